//! `lakeferry serve`.
//!
//! 1. Settings are put together: flags over the environment over the file over the defaults.
//! 2. The server opens its data. Once it answers, one line on stdout says where: `ready: http://…`.
//! 3. Ctrl-C or SIGTERM stops it in order, within `stop_s_max`; a second Ctrl-C ends the process at once. That
//!    loses nothing that was answered, and only makes the next start longer.
//! 4. A server whose disk does not come back from a commit replaces its own process by a new one.

mod clock;
mod snippets;

use std::env;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

use lakeferry_server::settings::{DeliveryLayer, EngineLayer, Layer, Settings};
use lakeferry_server::{Ended, Server};

use crate::args::ServeArgs;
use crate::console;
use crate::failure::Failure;
use crate::stop::Stop;

/// How much longer than `stop_s_max` an orderly stop may take before it is cut off.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Runs a server until it is told to stop.
pub async fn run(args: ServeArgs) -> Result<(), Failure> {
    let (ephemeral, restarted) = (args.ephemeral, args.restarted);
    let settings =
        settings(args).map_err(|error| Failure::usage("the settings cannot be used").caused_by(error))?;
    tracing::info!(settings = %serde_json::to_string(&settings).unwrap_or_default(), "starting");
    let stop_limit = Duration::from_secs(settings.stop_s_max) + STOP_GRACE;
    let stop = Stop::listen(Some(stop_limit))?;
    let (data, dev) = (settings.data.clone(), settings.dev);
    let server = Server::open(settings, ephemeral, clock::shared()).await.map_err(|error| {
        let failure = Failure::broken("the server cannot start").caused_by(error);
        failure.hint(format!("its data directory is `{}`; --data takes another", data.display()))
    })?;
    let address = server.address();
    if !restarted {
        tell_access(&server, dev, address);
        console::answer(format_args!("ready: http://{address}"))?;
    }
    let stop_asked = async {
        stop.asked().await;
        console::note("stopping; Ctrl-C again ends at once");
    };
    let ended = server.run(stop_asked).await;
    match ended.map_err(|error| Failure::broken("the server ended on an error").caused_by(error))? {
        Ended::Stopped => Ok(()),
        Ended::Stuck if ephemeral => Err(Failure::broken("the disk has not come back from a commit")),
        Ended::Stuck => Err(start_again(address)),
    }
}

fn settings(args: ServeArgs) -> Result<Settings, lakeferry_server::settings::SettingsError> {
    let file = args.settings.as_deref().map(Layer::from_file).transpose()?.unwrap_or_default();
    let environment = Layer::from_environment(|name| env::var(name).ok())?;
    let flags = Layer {
        data: args.data,
        listen: args.listen,
        dev: args.dev.then_some(true),
        stop_s_max: args.stop_s_max,
        request_s_max: args.request_s_max,
        engine: EngineLayer {
            cache_mib: args.cache_mib,
            reserve_mib: args.reserve_mib,
            ..EngineLayer::default()
        },
        delivery: DeliveryLayer {
            memory_mib: args.delivery_memory_mib,
            automatic_columns: args.delivery_automatic_columns,
            object_age_s: args.object_age_s,
            ..DeliveryLayer::default()
        },
        ..Layer::default()
    };
    Settings::from_layers([flags, environment, file])
}

/// Says how to get in: where the key is, or with `--dev` how each language uses the fixed one.
fn tell_access(server: &Server, dev: bool, address: SocketAddr) {
    if dev {
        console::note(snippets::all(&format!("http://{address}"), snippets::key_of_environment()));
        return;
    }
    if let Some(key) = server.first_key() {
        let made = if key.made_now { "made an operator key" } else { "the operator key" };
        console::note(format_args!("{made}, {}, is kept in {}", key.access_key_id, key.path.display()));
    }
}

/// Replaces this process by a new server at the same address. Returns only if that fails.
fn start_again(address: SocketAddr) -> Failure {
    let program = match env::current_exe() {
        Ok(program) => program,
        Err(error) => return Failure::broken("find this program to start it again").caused_by(error),
    };
    // Of two `--listen` the last holds, so a port that was picked freely stays the same.
    let mut again = Command::new(program);
    again.args(env::args_os().skip(1).filter(|argument| argument != "--restarted"));
    again.arg("--restarted").arg("--listen").arg(address.to_string());
    Failure::broken("start the server again").caused_by(again.exec())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use clap::Parser;

    use super::*;
    use crate::args::{Args, Command as Typed};

    fn typed(line: &[&str]) -> ServeArgs {
        let line = ["lakeferry", "serve"].iter().chain(line);
        let Typed::Serve(args) = Args::parse_from(line).command else { unreachable!("`serve` was typed") };
        args
    }

    #[test]
    fn a_flag_outweighs_the_settings_file() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("settings.toml");
        let text =
            "request_s_max = 3\nstop_s_max = 4\n[engine]\ncache_mib = 64\n[delivery]\nautomatic_columns = 6";
        fs::write(&file, text).unwrap();
        let file = file.to_str().unwrap();
        let typed = typed(&["--settings", file, "--stop-s-max", "5", "--delivery-automatic-columns", "7"]);
        let settings = settings(typed).unwrap();
        assert_eq!(settings.delivery.automatic_columns, 7);
        assert_eq!((settings.request_s_max, settings.stop_s_max, settings.engine.cache_mib), (3, 5, 64));
    }

    #[test]
    fn of_two_addresses_the_last_holds() {
        let args = typed(&["--listen", "127.0.0.1:0", "--restarted", "--listen", "127.0.0.1:8088"]);
        assert_eq!(args.listen.map(|address| address.port()), Some(8088));
        assert!(args.restarted);
    }
}
