//! Durability that can be tested: every sync has a name, and so has every place where a crash is interesting.
//!
//! No other crate calls `sync_all`, `sync_data` or its like; a test of the tree sees to that. In a build
//! with the feature `faults`, the environment decides:
//! - `LAKEFERRY_SYNC_OFF=object.file,object.folder` turns syncs off by name;
//! - `LAKEFERRY_KILL_AT=cut.prepared:3` ends the process, as SIGKILL does, when it passes the place for the
//!   third time.
//!
//! Without the feature both cost nothing, and the environment is not read. [`Timings`] count how long syncs, and what
//! hangs on them, take.

mod place;
mod sync;
mod timings;

pub use place::Place;
pub use sync::Sync;
pub use timings::{Timed, Timings};
