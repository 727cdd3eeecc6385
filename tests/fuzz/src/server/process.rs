//! The server, in a process of its own.

use std::fs::File;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

/// How long it may take until it says that it is ready.
const START_MAX: Duration = Duration::from_secs(60);

/// What the engine may hold: little, so that it is held soon, and what is more is seen.
const BUDGETS: [(&str, &str); 2] =
    [("LAKEFERRY_ENGINE_CACHE_MIB", "8"), ("LAKEFERRY_ENGINE_WRITE_BUFFER_MIB", "16")];

/// A running server. Dropping it ends it.
pub struct Server {
    process: u32,
    /// `host:port`.
    pub address: String,
    // Its end, then its data's: fields are dropped in this order.
    _child: Child,
    _data: TempDir,
}

impl Server {
    /// Starts one for development, with data that go when it goes.
    pub async fn start(program: &Path, log: &Path) -> Result<Self, String> {
        let data = tempfile::tempdir().map_err(|error| format!("make a folder: {error}"))?;
        let log = File::create(log).map_err(|error| format!("make `{}`: {error}", log.display()))?;
        let mut child = Command::new(program)
            .args(["serve", "--dev", "--listen", "127.0.0.1:0", "--data"])
            .arg(data.path())
            .env("RUST_LOG", "warn")
            .envs(BUDGETS)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| format!("start `{}`: {error}", program.display()))?;
        let process = child.id().ok_or("it ended at once")?;
        let said = child.stdout.take().ok_or("its output is not there")?;
        let mut lines = BufReader::new(said).lines();
        let ready = async {
            while let Ok(Some(line)) = lines.next_line().await {
                if let Some(address) = line.strip_prefix("ready: http://") {
                    return Some(address.trim().to_owned());
                }
            }
            None
        };
        let address =
            tokio::time::timeout(START_MAX, ready).await.ok().flatten().ok_or("it did not become ready")?;
        // What it says later is read too, so that it never waits for a reader.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Ok(Self { process, address, _child: child, _data: data })
    }

    /// The memory that it takes right now, in MiB.
    pub fn memory_mib(&self) -> Result<u64, String> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process))
            .map_err(|error| format!("the server is gone: {error}"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
        Ok(kib.ok_or("the server has ended: it takes no memory")? / 1024)
    }
}
