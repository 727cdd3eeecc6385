//! What buckets are opened in: the directory of local ones, the limits of calls, and the process's environment.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::BucketLimits;

/// What buckets are opened in.
#[derive(Debug, Clone)]
pub struct Surroundings {
    /// The directory of local buckets.
    pub lake_dir: PathBuf,
    /// How long calls may take.
    pub limits: BucketLimits,
    /// Where credentials may be looked for.
    pub environment: Environment,
}

impl Surroundings {
    /// Default limits, and the process's own environment.
    pub fn new(lake_dir: impl Into<PathBuf>) -> Self {
        Self {
            lake_dir: lake_dir.into(),
            limits: BucketLimits::default(),
            environment: Environment::of_process(),
        }
    }
}

/// The variables that name credentials and the addresses of metadata services.
#[derive(Clone)]
pub struct Environment(Arc<Lookup>);

type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// The variables of this process.
    pub fn of_process() -> Self {
        Self::of(|name| std::env::var(name).ok())
    }

    /// Variables that somebody else tells.
    pub fn of(lookup: impl Fn(&str) -> Option<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(lookup))
    }

    /// A variable; one that is empty counts as unset.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.0)(name).filter(|value| !value.is_empty())
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Environment")
    }
}
