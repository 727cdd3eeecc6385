//! The protocol's protobuf messages (proto2), spelled as the union of the official SDKs' schemas.
//!
//! Every `bytes` field is a [`bytes::Bytes`]: decoded from a request body it is a slice of that body, so that
//! a row reaches the store without being copied. Unknown fields are skipped. A required field that is missing
//! takes its default, as prost has it; `convert` refuses what must not be empty.
#![expect(missing_docs, reason = "the fields and values are the protocol's own names")]

pub mod bounded;
mod common;
mod delivery;
mod filter;
mod row;
mod sql;
mod stream;
mod table;
mod transaction;
pub mod tunnel;

pub use common::*;
pub use delivery::*;
pub use filter::*;
pub use row::*;
pub use sql::*;
pub use stream::*;
pub use table::*;
pub use transaction::*;

pub use prost::{DecodeError, Message};
