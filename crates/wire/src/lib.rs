//! The Tablestore protocol: what its clients put on the wire, and what they need to get back.
//!
//! A request comes in as headers and a body. [`sign`] checks both before anything is decoded, [`proto`] splits
//! the body into fields, [`plain_buffer`] turns the rows in them into values without copying their bytes, and
//! [`convert`] checks every rule that needs no table and hands over the words of the model. The way back is the
//! same in reverse. [`operation`] lists what can be asked for, [`code`] what can go wrong.
//!
//! The crate computes and does no I/O. It does not know HTTP: headers are pairs of names and values.

pub mod capacity;
pub mod code;
pub mod compress;
pub mod convert;
pub mod headers;
pub mod operation;
pub mod plain_buffer;
pub mod proto;
pub mod row_matrix;
pub mod row_token;
pub mod sign;

#[cfg(test)]
mod golden;
