//! Other programs: how they are called, where they may write, and what is shown of what they say.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program with its arguments, in the project's root unless told otherwise.
pub struct Run {
    command: Command,
    line: String,
}

/// A call of the same cargo that called us.
pub fn cargo<I: AsRef<OsStr>>(arguments: impl IntoIterator<Item = I>) -> Run {
    program(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())).arguments(arguments)
}

/// A call of a program.
pub fn program(name: impl AsRef<OsStr>) -> Run {
    let mut command = Command::new(name.as_ref());
    command.current_dir(root()).stdin(Stdio::null());
    let short = Path::new(name.as_ref()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    Run { command, line: short }
}

impl Run {
    /// Adds arguments.
    pub fn arguments<I: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = I>) -> Self {
        for argument in arguments {
            self.line.push(' ');
            self.line.push_str(&argument.as_ref().to_string_lossy());
            self.command.arg(argument);
        }
        self
    }

    /// Sets a variable of its environment.
    pub fn variable(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// Runs it elsewhere.
    pub fn within(mut self, folder: &Path) -> Self {
        self.command.current_dir(folder);
        self
    }

    /// Runs it, with its output on ours.
    ///
    /// # Errors
    /// How it ended, if not well.
    pub fn show(mut self) -> Result<(), String> {
        println!("    $ {}", self.line);
        let status = self.command.status().map_err(|error| format!("`{}`: {error}", self.line))?;
        if status.success() { Ok(()) } else { Err(format!("`{}` ended with {status}", self.line)) }
    }

    /// Runs it quietly; what it says is returned, and printed only if it fails.
    ///
    /// # Errors
    /// How it ended, if not well.
    pub fn quiet(mut self) -> Result<String, String> {
        let output = self.command.output().map_err(|error| format!("`{}`: {error}", self.line))?;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        if output.status.success() {
            return Ok(said);
        }
        println!("    $ {}\n{said}{}", self.line, String::from_utf8_lossy(&output.stderr));
        Err(format!("`{}` ended with {}", self.line, output.status))
    }
}

/// The project's root.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().and_then(Path::parent).expect("xtask lies in crates/xtask")
}

/// Cargo's target directory.
pub fn target() -> PathBuf {
    let asked = std::env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| OsString::from("target"));
    root().join(asked)
}

/// The folder below the target directory in which tests keep what they prepare.
///
/// # Errors
/// If it cannot be made.
pub fn prepared(name: &str) -> Result<PathBuf, String> {
    let folder = target().join("tests").join(name);
    std::fs::create_dir_all(&folder).map_err(|error| format!("make `{}`: {error}", folder.display()))?;
    Ok(folder)
}

/// Finds a program on the path.
pub fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|file| file.is_file())
}

/// Builds a program in the development profile, with the faults that tests may ask for, and says where it lies.
/// What is up to date is not built again.
///
/// The whole workspace is named, as in the crates' own tests: chosen alone, a package would get its dependencies
/// with other features, and all of them would be built twice.
///
/// # Errors
/// If it does not build.
pub fn build(program: &str) -> Result<PathBuf, String> {
    let run = cargo(["build", "--quiet", "--workspace", "--features", "lakeferry/faults", "--bin", program]);
    run.show()?;
    Ok(target().join("debug").join(program))
}
