//! Lakeferry from outside: killed, cut from power, and held by its store.
//!
//! Writers change rows through the client and keep a [`ledger`] of what was answered. A [`server::Keeper`]
//! kills the program and starts it again, over a data directory whose power a [`powercut::PowerCut`] may cut.
//! In the end [`trial`] compares ledger, table and lake.
//!
//! [`promises`] measures how late rows come while nothing goes wrong.
//!
//! The [`gate`] is an S3 endpoint that other tests hold while they look at a task.

#![expect(clippy::print_stdout, reason = "what trials say is read by people")]

pub mod arrivals;
pub mod failure;
pub mod files;
pub mod full_disk;
pub mod gate;
pub mod kill;
pub mod lake;
pub mod ledger;
pub mod listener;
pub mod observer;
pub mod place;
pub mod powercut;
pub mod preload;
pub mod promises;
pub mod rounds;
pub mod row;
pub mod samples;
pub mod scrape;
pub mod server;
pub mod session;
pub mod soak;
pub mod store_fault;
pub mod target;
pub mod trial;
pub mod writer;
