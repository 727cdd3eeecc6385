//! The store at its boundary, on engines that work, fail and wait.

mod support;

mod auto_keys;
mod concurrency;
mod faults;
mod log;
mod model;
mod random_rows;
mod records;
mod rows;
mod tables;
mod together;
mod transaction_model;
mod transactions;
