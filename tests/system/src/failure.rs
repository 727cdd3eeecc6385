//! How a trial fails: the program lost something, or nothing can be said.

use std::fmt;

/// Why a trial did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Something that was promised is not so.
    Lost(String),
    /// The trial itself could not be carried out.
    Broken(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lost(what) => write!(f, "lost: {what}"),
            Self::Broken(why) => write!(f, "the trial could not be carried out: {why}"),
        }
    }
}

/// Makes an error of the surroundings a [`Failure::Broken`], told with what was being done.
pub fn broken<E: fmt::Display>(doing: &str) -> impl FnOnce(E) -> Failure {
    move |error| Failure::Broken(format!("{doing}: {error}"))
}
