//! Starts the program, as a server or for one command.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

/// The program, without anything of this process's environment that it would listen to.
pub fn lakeferry() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lakeferry"));
    let names = std::env::vars().map(|(name, _)| name);
    for name in names.filter(|name| is_heard(name)) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn is_heard(name: &str) -> bool {
    name.starts_with("TABLESTORE_") || name.starts_with("LAKEFERRY_") || name == "RUST_LOG"
}

/// What a command said and how it ended.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub answer: String,
    pub notes: String,
}

/// Runs a command to its end.
pub fn run(command: &mut Command) -> Said {
    let output = command.output().expect("the program can be started");
    Said {
        code: output.status.code(),
        answer: String::from_utf8(output.stdout).expect("answers are text"),
        notes: String::from_utf8(output.stderr).expect("notes are text"),
    }
}

/// A server in a process of its own; killed when dropped.
pub struct Server {
    child: Child,
    notes: ChildStderr,
    rest: BufReader<std::process::ChildStdout>,
    pub endpoint: String,
}

impl Server {
    /// Starts one at a free port, and waits until it answers.
    pub fn start(data: &Path, more: &[&str]) -> Self {
        let mut command = lakeferry();
        command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"]);
        if !more.contains(&"--ephemeral") {
            command.arg("--data").arg(data);
        }
        command.args(more).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the program can be started");
        let notes = child.stderr.take().expect("it is piped");
        let mut rest = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut line = String::new();
        rest.read_line(&mut line).expect("its answer can be read");
        let endpoint = line.trim_end().strip_prefix("ready: ").map(str::to_owned);
        let Some(endpoint) = endpoint else {
            let mut notes = notes;
            let mut said = String::new();
            notes.read_to_string(&mut said).expect("its notes can be read");
            panic!("the server said {line:?} and {said}");
        };
        Self { child, notes, rest, endpoint }
    }

    /// A command of a client that knows the server's address, and looks for a key in `data`.
    pub fn client(&self, data: &Path) -> Command {
        let mut command = lakeferry();
        command.env("TABLESTORE_ENDPOINT", &self.endpoint).env("LAKEFERRY_DATA", data);
        command
    }

    /// Runs a command of a client whose words stand apart in `line`.
    pub fn ask(&self, data: &Path, line: &str) -> Said {
        run(self.client(data).args(line.split_whitespace()))
    }

    /// Sends a signal by its name, waits for the end, and tells what else was said.
    pub fn end_with(mut self, signal: &str) -> (ExitStatus, String, String) {
        signal_to(&self.child, signal);
        let status = self.child.wait().expect("it is our child");
        let (mut answer, mut notes) = (String::new(), String::new());
        self.rest.read_to_string(&mut answer).expect("its answer can be read");
        self.notes.read_to_string(&mut notes).expect("its notes can be read");
        (status, answer, notes)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a child that has not been waited for.
pub fn signal_to(child: &Child, signal: &str) {
    let status = Command::new("kill").args(["-s", signal, &child.id().to_string()]).status();
    assert!(status.expect("`kill` can be started").success());
}
