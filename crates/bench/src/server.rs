//! The program under test, in a process of its own, and what the system says of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use lakeferry_client::{Client, ClientConfig, Operation};

use crate::report::Report;
use crate::{Failure, Setting, rows};

/// The instance that all benchmarks use.
pub const INSTANCE: &str = "bench";
/// Connections that write at once.
pub const CONNECTIONS: usize = 8;

/// A running server.
pub struct Server {
    child: Child,
    /// Where it answers.
    pub endpoint: String,
    /// Its data directory.
    pub data: PathBuf,
    /// How long it took from `exec` to its line that says it answers.
    pub ready_after: Duration,
}

impl Server {
    /// Starts a server on data in `name` below the scratch directory.
    pub fn start(setting: &Setting, name: &str) -> Result<Self, Failure> {
        Self::start_at(&setting.program, setting.scratch.path().join(name), "127.0.0.1:0")
    }

    /// Starts a server on this data at this address.
    pub fn start_at(program: &Path, data: PathBuf, listen: &str) -> Result<Self, Failure> {
        let started = Instant::now();
        let mut child = Command::new(program)
            .args(["serve", "--dev", "--listen", listen, "--data"])
            .arg(&data)
            .env("RUST_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("its output is not there")?;
        for line in BufReader::new(stdout).lines() {
            if let Some(endpoint) = line?.strip_prefix("ready: ") {
                let endpoint = endpoint.to_owned();
                return Ok(Self { child, endpoint, data, ready_after: started.elapsed() });
            }
        }
        let ended = child.wait()?;
        Err(format!("the server did not become ready: {ended}").into())
    }

    /// A client of the server.
    pub fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(ClientConfig::new(&self.endpoint, INSTANCE, "dev", "dev"))?)
    }

    /// Seconds of CPU that it has used.
    pub fn cpu_seconds(&self) -> Result<f64, Failure> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name, in brackets, may hold blanks: the fields behind it are counted from its end.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
        let ticks: u64 = [11, 12].iter().filter_map(|at| fields.get(*at)?.parse::<u64>().ok()).sum();
        Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
    }

    /// Waits until it does nothing: what a load left to be flushed and compacted is not what is measured.
    pub async fn settle(&self) -> Result<(), Failure> {
        let mut before = self.cpu_seconds()?;
        for _ in 0..240 {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let now = self.cpu_seconds()?;
            if now - before < 0.03 {
                return Ok(());
            }
            before = now;
        }
        Err("the server does not come to rest".into())
    }

    /// The most memory that it has taken, in MiB.
    pub fn peak_mib(&self) -> Result<f64, Failure> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib: f64 =
            line.and_then(|line| line.split_whitespace().next()?.parse().ok()).ok_or("no VmHWM")?;
        Ok(kib / 1024.0)
    }

    /// Stops it as an operator would, and waits for its end.
    pub fn stop(mut self, report: &mut Report) -> Result<PathBuf, Failure> {
        report.saw_peak(self.peak_mib()?);
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let ended = self.child.wait()?;
        if !ended.success() {
            return Err(format!("the server ended with {ended}").into());
        }
        Ok(std::mem::take(&mut self.data))
    }

    /// Ends it as a power cut would.
    pub fn kill(mut self, report: &mut Report) -> Result<PathBuf, Failure> {
        report.saw_peak(self.peak_mib()?);
        self.child.kill()?;
        self.child.wait()?;
        Ok(std::mem::take(&mut self.data))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Only where a benchmark broke off: an ended child is not killed again.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends all bodies as BatchWriteRow over [`CONNECTIONS`] connections, and returns how long that took. Every
/// row of every answer must have succeeded.
pub async fn write_all(server: &Server, bodies: Vec<Bytes>) -> Result<Duration, Failure> {
    let bodies = std::sync::Arc::new(bodies);
    let next = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let clients: Vec<Client> = (0..CONNECTIONS).map(|_| server.client()).collect::<Result<_, _>>()?;
    let started = Instant::now();
    let writers = clients.into_iter().map(|client| {
        let (bodies, next) = (bodies.clone(), next.clone());
        tokio::spawn(async move {
            loop {
                let at = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let Some(body) = bodies.get(at) else { return Ok::<(), Failure>(()) };
                let answer = client.call_raw(Operation::BatchWriteRow, body.clone()).await?;
                check_answer(&answer)?;
            }
        })
    });
    for outcome in try_join_all(writers).await? {
        outcome?;
    }
    Ok(started.elapsed())
}

/// A row that failed carries the code of its error, as text.
pub fn check_answer(answer: &Bytes) -> Result<(), Failure> {
    match answer.windows(3).position(|window| window == b"OTS") {
        None => Ok(()),
        Some(at) => Err(format!("a row failed: {}", String::from_utf8_lossy(&answer[at..])).into()),
    }
}

/// Makes the table and writes rows 0 to `count`.
pub async fn load(server: &Server, shape: rows::Shape, count: u64) -> Result<(), Failure> {
    server.client()?.create_table(rows::table()).await?;
    // Bodies of one part at a time: all of them would take more memory than the server.
    const PART: u64 = 100_000;
    for from in (0..count).step_by(usize::try_from(PART)?) {
        write_all(server, shape.bodies(from, (from + PART).min(count))).await?;
    }
    Ok(())
}
