//! The program under trial: started, killed, and started again on what is left.
//!
//! A [`Keeper`] owns the process in a task of its own. When the process ends, whether we killed it, stopped it or
//! it killed itself at a named place, the keeper cuts the power if the trial asks for that, and starts the next
//! one. Whoever calls the server asks the keeper for the address of the moment.

use std::fs::{File, OpenOptions};
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::failure::{Failure, broken};
use crate::full_disk::FullDisk;
use crate::powercut::PowerCut;

/// How long the program may take until it says that it is ready.
const START_MAX: Duration = Duration::from_secs(30);
/// How long it may take to end when it is asked to: what it promises.
const STOP_MAX: Duration = Duration::from_secs(12);
/// The pause before a start that may fail is tried again.
const START_AGAIN: Duration = Duration::from_millis(200);

/// How the program is run.
#[derive(Debug)]
pub struct Program {
    /// The binary.
    pub path: PathBuf,
    /// Its arguments behind `serve`, data directory and address aside.
    pub arguments: Vec<String>,
    /// The data directory.
    pub data: PathBuf,
    /// Where its errors go.
    pub log: PathBuf,
    /// Cuts the power at each end, if asked for.
    pub cut: Option<PowerCut>,
    /// What one of its lives is to suffer.
    pub faults: Faults,
    /// What the environment of all lives says.
    pub environment: Vec<(&'static str, String)>,
    /// While this disk is full, it may fail to start, and is started again.
    pub disk: FullDisk,
    /// A file of the data directory, and where a copy goes at each end: what people could see before the cut.
    pub witness: Option<(PathBuf, PathBuf)>,
}

/// Places to die at and syncs to leave out, in one life.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The life, counted from 1.
    pub life: u32,
    /// What its environment says.
    pub environment: Vec<(&'static str, String)>,
}

/// What is to be seen of the program from outside.
#[derive(Debug, Clone)]
pub enum State {
    /// It answers at this address. The number counts its lives.
    Up(Arc<str>, u32),
    /// It ended, and the next one is not ready yet.
    Down,
    /// It cannot be started again.
    Gone(Failure),
}

/// Owns the process. Dropping it ends the process.
#[derive(Debug)]
pub struct Keeper {
    state: watch::Receiver<State>,
    end: mpsc::Sender<End>,
    pid: Arc<AtomicU32>,
    task: JoinHandle<()>,
}

/// How the process is ended.
enum End {
    /// SIGKILL.
    Kill,
    /// SIGTERM; how long it took is told.
    Stop(oneshot::Sender<Duration>),
}

impl Keeper {
    /// Starts the program and keeps it running from then on.
    pub fn new(program: Program) -> Self {
        let (tell, state) = watch::channel(State::Down);
        let (end, ended) = mpsc::channel(1);
        let pid = Arc::<AtomicU32>::default();
        let told = Arc::clone(&pid);
        let task = tokio::spawn(async move {
            if let Err(failure) = keep(program, &tell, ended, &told).await {
                tell.send_replace(State::Gone(failure));
            }
        });
        Self { state, end, pid, task }
    }

    /// Ends the process by SIGKILL, now.
    pub async fn kill(&self) {
        // A program that is gone is dead enough.
        _ = self.end.send(End::Kill).await;
    }

    /// Ends the process by SIGTERM, and says how long it took.
    ///
    /// # Errors
    /// If it does not end within the 12 seconds that it promises, or cannot be started again.
    pub async fn stop(&self) -> Result<Duration, Failure> {
        let (tell, told) = oneshot::channel();
        // If nobody keeps it any more, nobody answers either.
        _ = self.end.send(End::Stop(tell)).await;
        match told.await {
            Ok(took) => Ok(took),
            Err(_) => {
                match self.state.clone().wait_for(|state| matches!(state, State::Gone(_))).await.as_deref() {
                    Ok(State::Gone(failure)) => Err(failure.clone()),
                    _ => Err(Failure::Broken("nobody keeps the server any more".to_owned())),
                }
            }
        }
    }

    /// The address, if the program answers right now.
    pub fn address_now(&self) -> Option<Arc<str>> {
        self.up_now().map(|(address, _)| address)
    }

    /// The number of its life, if the program answers right now.
    pub fn life_now(&self) -> Option<u32> {
        self.up_now().map(|(_, life)| life)
    }

    fn up_now(&self) -> Option<(Arc<str>, u32)> {
        match &*self.state.borrow() {
            State::Up(address, life) => Some((Arc::clone(address), *life)),
            State::Down | State::Gone(_) => None,
        }
    }

    /// The process's id; none while there is no process that is ready.
    pub fn pid(&self) -> Option<u32> {
        Some(self.pid.load(Ordering::Relaxed)).filter(|pid| *pid != 0)
    }

    /// The address, once the program answers.
    ///
    /// # Errors
    /// If it cannot be started.
    pub async fn address(&self) -> Result<Arc<str>, Failure> {
        Ok(self.life(0).await?.0)
    }

    /// Whether the program is in its `life`-th life right now.
    pub fn is_in(&self, life: u32) -> bool {
        matches!(&*self.state.borrow(), State::Up(_, lives) if *lives == life)
    }

    /// The address of its `life`-th life, counted from 1, or of a later one.
    ///
    /// # Errors
    /// If it cannot be started, or does not come to that life within a minute.
    pub async fn life(&self, life: u32) -> Result<(Arc<str>, u32), Failure> {
        let mut state = self.state.clone();
        let reached = state.wait_for(|state| match state {
            State::Up(_, lives) => *lives >= life,
            State::Down => false,
            State::Gone(_) => true,
        });
        let reached = timeout(Duration::from_secs(60), reached).await;
        match reached.map(|reached| reached.map(|state| state.clone())) {
            Ok(Ok(State::Up(address, lives))) => Ok((address, lives)),
            Ok(Ok(State::Gone(failure))) => Err(failure),
            Ok(_) => Err(Failure::Broken("nobody keeps the server any more".to_owned())),
            Err(_) => Err(Failure::Broken(format!("the server does not come to its life {life}"))),
        }
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        // The process is killed with its handle.
        self.task.abort();
    }
}

async fn keep(
    program: Program,
    tell: &watch::Sender<State>,
    mut end: mpsc::Receiver<End>,
    pid: &AtomicU32,
) -> Result<(), Failure> {
    let program = Arc::new(program);
    for life in 1.. {
        let mut child = start(&program, life)?;
        match ready(&mut child).await {
            Ready::At(address) => {
                pid.store(child.id().unwrap_or_default(), Ordering::Relaxed);
                tell.send_replace(State::Up(address, life));
                tokio::select! {
                    _ = child.wait() => {}
                    Some(how) = end.recv() => how.carry_out(&mut child).await?,
                }
                pid.store(0, Ordering::Relaxed);
            }
            // The place to die at may lie in the start.
            Ready::Ended if life == program.faults.life => {}
            Ready::Ended if program.disk.is_full() => tokio::time::sleep(START_AGAIN).await,
            Ready::Ended | Ready::Silent => return Err(does_not_start(&program)),
        }
        tell.send_replace(State::Down);
        let program = Arc::clone(&program);
        tokio::task::spawn_blocking(move || program.end()).await.map_err(broken("end a life"))??;
    }
    Ok(())
}

impl End {
    async fn carry_out(self, child: &mut Child) -> Result<(), Failure> {
        let Self::Stop(tell) = self else {
            return child.kill().await.map_err(broken("kill the server"));
        };
        let begun = Instant::now();
        terminate(child);
        match timeout(STOP_MAX, child.wait()).await {
            Ok(ended) => drop(ended.map_err(broken("wait for the server's end"))?),
            Err(_) => {
                return Err(Failure::Lost(format!("SIGTERM has not ended the server within {STOP_MAX:?}")));
            }
        }
        // Whoever asked may have gone.
        _ = tell.send(begun.elapsed());
        Ok(())
    }
}

#[expect(unsafe_code, reason = "std sends no signal but SIGKILL")]
fn terminate(child: &Child) {
    if let Some(pid) = child.id().and_then(|pid| i32::try_from(pid).ok()) {
        // SAFETY: it touches no memory, and the child is not waited for yet, so that its id is still its own.
        unsafe { libc::kill(pid, libc::SIGTERM) };
    }
}

impl Program {
    /// What happens between two lives.
    fn end(&self) -> Result<(), Failure> {
        if let Some((file, copy)) = &self.witness
            && file.exists()
        {
            std::fs::copy(file, copy).map_err(broken("keep what people could see"))?;
        }
        self.cut.as_ref().map_or(Ok(()), PowerCut::cut)
    }
}

fn start(program: &Program, life: u32) -> Result<Child, Failure> {
    let log = OpenOptions::new().create(true).append(true).open(&program.log);
    let log: File = log.map_err(broken("open the server's log"))?;
    let mut command = Command::new(&program.path);
    command.arg("serve").args(&program.arguments).arg("--data").arg(&program.data);
    command.args(["--listen", "127.0.0.1:0"]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
    command.envs(program.environment.iter().cloned());
    if life == program.faults.life {
        command.envs(program.faults.environment.iter().cloned());
    }
    if let Some(cut) = &program.cut {
        command.envs(cut.environment());
    }
    command.spawn().map_err(broken("start the server"))
}

enum Ready {
    At(Arc<str>),
    Ended,
    Silent,
}

/// Waits for the line `ready: ADDRESS`.
async fn ready(child: &mut Child) -> Ready {
    let Some(said) = child.stdout.take() else { return Ready::Silent };
    let mut lines = BufReader::new(said).lines();
    let address = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some(address) = line.strip_prefix("ready: ") {
                return Some(Arc::from(address.trim()));
            }
        }
        None
    };
    match timeout(START_MAX, address).await {
        Ok(Some(address)) => {
            // Read on, so that the program never blocks on what it says.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            Ready::At(address)
        }
        Ok(None) => Ready::Ended,
        Err(_) => Ready::Silent,
    }
}

fn does_not_start(program: &Program) -> Failure {
    let log = std::fs::read_to_string(&program.log).unwrap_or_default();
    let lines: Vec<_> = log.lines().collect();
    let last = lines[lines.len().saturating_sub(20)..].join("\n");
    Failure::Lost(format!("the server does not start again on its data; it said last:\n{last}"))
}
