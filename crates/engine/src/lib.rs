//! Byte keys in order: the seam, the embedded engine (fjall), and one in memory for tests.

mod seam;

pub use seam::{Area, Batch, Block, Engine, Error, Operation, Room, Scan, Space, SpaceId, WriteError};
