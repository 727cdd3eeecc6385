//! The store at its boundary, on engines that work, fail and wait.

mod support;

mod auto_keys;
mod concurrency;
mod faults;
mod index_expiry;
mod index_faults;
mod index_model;
mod index_support;
mod indexes;
mod kills;
mod log;
mod model;
mod random_rows;
mod reclaim;
mod records;
mod rows;
mod split_points;
mod tables;
mod together;
mod transaction_ends;
mod transaction_model;
mod transactions;
mod tunnel_places;
mod tunnel_support;
mod tunnels;
