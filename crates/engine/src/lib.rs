//! Byte keys in order: the seam, the embedded engine (fjall), and one in memory for tests.
//!
//! The seam is what every engine promises; see [`Engine`] and [`Space`]. [`FjallEngine`] keeps its promises
//! on a local disk, [`MemoryEngine`] keeps all but durability in memory. With the feature `testing`,
//! the module `testing` holds the contract suite that proves the promises on any engine, and engines that
//! fail, wait and count around another.

pub mod fjall_engine;
pub mod memory;
mod seam;
#[cfg(feature = "testing")]
pub mod testing;

pub use fjall_engine::{FjallEngine, FjallSettings, Gauges, ReserveSetting};
pub use memory::MemoryEngine;
pub use seam::{
    Area, Batch, Block, Engine, Error, Operation, Room, Scan, Space, SpaceId, Visitor, WriteError,
};
