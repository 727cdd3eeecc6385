//! A program under test that serves: started on a free port, waited for, ended.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use tempfile::TempDir;

use crate::run::{Run, build, prepared};

/// The file, in the data directory, that says how far a server's clock is ahead.
const CLOCK_AHEAD: &str = "clock-ahead";

/// How long a server may take until it says that it is ready.
const START_MAX: Duration = Duration::from_secs(60);

/// A running server. Dropping it ends it.
pub struct Server {
    child: Child,
    /// Where it answers, as `http://127.0.0.1:PORT`.
    pub address: String,
}

/// `lakeferry serve --dev` on data of its own.
pub struct Development {
    // The server goes before its data do: fields are dropped in this order.
    server: Server,
    data: TempDir,
    log: PathBuf,
}

impl Development {
    /// Builds the program and starts it; what it says is kept below the target directory, under `name`.
    ///
    /// # Errors
    /// If it does not build or does not become ready.
    pub fn start(name: &str) -> Result<Self, String> {
        let program = build("lakeferry")?;
        let data = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
        let log = prepared("logs")?.join(format!("{name}.log"));
        let folder = data.path().to_string_lossy();
        let serve = ["serve", "--dev", "--data", &*folder, "--listen", "127.0.0.1:0"];
        // For tests that step the server's clock.
        let ahead = data.path().join(CLOCK_AHEAD);
        let server = Server::start(&program, &serve, &[("LAKEFERRY_CLOCK_AHEAD", &ahead)], &log)?;
        Ok(Self { server, data, log })
    }

    /// Runs tests with the server's address in `LAKEFERRY_ENDPOINT`, the folder of its local buckets in
    /// `LAKEFERRY_LAKE`, and in `LAKEFERRY_CLOCK_AHEAD` the file that says how many seconds its clock is ahead.
    ///
    /// # Errors
    /// How they ended, if not well, and where the server's log lies.
    pub fn test(&self, tests: Run) -> Result<(), String> {
        tests
            .variable("LAKEFERRY_ENDPOINT", &self.server.address)
            .variable("LAKEFERRY_LAKE", self.data.path().join("lake"))
            .variable("LAKEFERRY_CLOCK_AHEAD", self.data.path().join(CLOCK_AHEAD))
            .show()
            .map_err(|why| format!("{why}; the server's log is `{}`", self.log.display()))
    }
}

/// What tests need that start `lakeferry serve` themselves, and end it and start it again.
pub struct Restartable {
    program: PathBuf,
    data: TempDir,
    log: PathBuf,
}

impl Restartable {
    /// Builds the program; what it says is to be kept below the target directory, under `name`.
    ///
    /// # Errors
    /// If it does not build.
    pub fn new(name: &str) -> Result<Self, String> {
        let program = build("lakeferry")?;
        let data = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
        Ok(Self { program, data, log: prepared("logs")?.join(format!("{name}.log")) })
    }

    /// Runs tests with the program in `LAKEFERRY_PROGRAM`, an empty folder for its data in `LAKEFERRY_DATA`, and in
    /// `LAKEFERRY_LOG` the file for what it says.
    ///
    /// # Errors
    /// How they ended, if not well, and where the servers' log lies.
    pub fn test(&self, tests: Run) -> Result<(), String> {
        // Tests append to it, so that each start's words are kept.
        File::create(&self.log).map_err(|error| format!("make `{}`: {error}", self.log.display()))?;
        tests
            .variable("LAKEFERRY_PROGRAM", &self.program)
            .variable("LAKEFERRY_DATA", self.data.path())
            .variable("LAKEFERRY_LOG", &self.log)
            .show()
            .map_err(|why| format!("{why}; the servers' log is `{}`", self.log.display()))
    }
}

impl Server {
    /// Starts `program` and waits for its line `ready: ADDRESS`. What else it says goes to `log`.
    ///
    /// # Errors
    /// If it ends or stays silent instead.
    pub fn start(
        program: &Path,
        arguments: &[&str],
        environment: &[(&str, &Path)],
        log: &Path,
    ) -> Result<Self, String> {
        let name = program.display();
        let file = File::create(log).map_err(|error| format!("make `{}`: {error}", log.display()))?;
        let mut child = Command::new(program)
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .map_err(|error| format!("start `{name}`: {error}"))?;
        let said = child.stdout.take().expect("its output is piped");
        let address = listen(said).recv_timeout(START_MAX);
        let mut server = Self { child, address: String::new() };
        server.address = address.map_err(|_| {
            let log = std::fs::read_to_string(log).unwrap_or_default();
            format!("`{name} {}` did not become ready; it said:\n{log}", arguments.join(" "))
        })?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Whether it was still there does not matter any more.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Reads a server's output to its end, so that it never blocks, and hands out the address it names.
fn listen(said: ChildStdout) -> mpsc::Receiver<String> {
    let (send, receive) = mpsc::channel();
    std::thread::spawn(move || {
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if let Some(address) = line.strip_prefix("ready: ") {
                // Nobody may be waiting any more.
                _ = send.send(address.trim().to_owned());
            }
        }
    });
    receive
}
