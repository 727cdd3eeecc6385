//! How a command ends when it does not succeed: "no" exits with 1, "broken" and wrong usage with 2.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::process::ExitCode;

use crate::console;

/// Why a command did not succeed, and what to do about it.
#[derive(Debug)]
pub struct Failure {
    kind: Kind,
    message: String,
    source: Option<Box<dyn Error + Send + Sync>>,
    hints: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The question was answered, with no: there is no such thing, or two things differ.
    No,
    /// The question was not answered.
    Broken,
    /// Whoever read our stdout has gone; there is nobody left to tell.
    ReaderGone,
}

impl Failure {
    /// The answer is no.
    pub fn no(message: impl Into<String>) -> Self {
        Self { kind: Kind::No, message: message.into(), source: None, hints: Vec::new() }
    }

    /// Something is broken.
    pub fn broken(message: impl Into<String>) -> Self {
        Self { kind: Kind::Broken, ..Self::no(message) }
    }

    /// What was asked makes no sense. Exits as clap does for the mistakes that it finds itself.
    pub fn usage(message: impl Into<String>) -> Self {
        Self::broken(message)
    }

    /// Adds what caused it.
    #[must_use]
    pub fn caused_by(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a line on what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Whether the answer was no, rather than none.
    pub fn is_no(&self) -> bool {
        self.kind == Kind::No
    }

    /// Tells it on stderr, and how to exit.
    pub fn report(&self) -> ExitCode {
        match self.kind {
            Kind::ReaderGone => return ExitCode::SUCCESS,
            Kind::No => console::note(self),
            Kind::Broken => console::note(format_args!("error: {self}")),
        }
        ExitCode::from(if self.is_no() { 1 } else { 2 })
    }
}

impl Display for Failure {
    /// The message, then its causes and its hints, each on a line of its own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.source.as_ref().map(|source| &**source as &dyn Error);
        while let Some(error) = cause {
            let text = error.to_string();
            write!(f, "\n  because: {}", text.trim_end().replace('\n', "\n    "))?;
            cause = error.source();
        }
        self.hints.iter().try_for_each(|hint| write!(f, "\n  hint: {hint}"))
    }
}

impl From<io::Error> for Failure {
    /// For writes to our own stdout and stderr; other I/O says what it was about.
    fn from(error: io::Error) -> Self {
        let gone = error.kind() == io::ErrorKind::BrokenPipe;
        let kind = if gone { Kind::ReaderGone } else { Kind::Broken };
        Self { kind, ..Self::broken("write the answer").caused_by(error) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_and_hints_follow_the_message_line_by_line() {
        let failure = Failure::broken("open the data directory")
            .caused_by(io::Error::other("disk on fire"))
            .hint("put it out");
        assert_eq!(
            failure.to_string(),
            "open the data directory\n  because: disk on fire\n  hint: put it out"
        );
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!(failure.report(), ExitCode::SUCCESS);
        assert_eq!(Failure::no("there is none").report(), ExitCode::from(1));
        assert_eq!(Failure::broken("it broke").report(), ExitCode::from(2));
    }
}
