//! A whole server on the loopback address, asked as its callers ask: signed requests over HTTP.

mod batches;
mod conditions;
mod control;
mod door;
mod exports;
mod filters;
mod harness;
mod indexes;
mod json_api;
mod metrics;
mod openapi;
mod quick_start;
mod ranges;
mod restarts;
mod rows;
mod streams;
mod tables;
mod task_errors;
mod tasks;
mod transactions;
mod tunnels;
mod validation;
mod wide_rows;
mod writes;
