//! Delivery from the outside: a store on an engine in memory, a lake in memory, and faults on purpose.

#![expect(missing_docs, reason = "a test's name says what it is about")]

mod base;
mod bucket;
mod crash;
mod folders;
mod harness;
mod incremental;
mod life;
