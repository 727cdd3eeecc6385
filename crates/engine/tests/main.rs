//! The engines against their contract.

mod deadlines;
mod giving_back;
mod homes;
mod promises;
mod spares;
mod start;
