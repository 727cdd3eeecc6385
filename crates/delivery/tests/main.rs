//! Delivery from the outside: a store on an engine in memory, a lake in memory, and faults on purpose.

mod base;
mod bucket;
mod control;
mod crash;
mod dirty;
mod folders;
mod freshness;
mod harness;
mod incremental;
mod lanes;
mod life;
mod local;
mod marks;
mod updates;
