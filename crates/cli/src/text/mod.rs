//! How things are written for people, and how people write things: pure functions only.

mod columns;
mod facts;
mod format;
mod parse;
mod quote;

pub use columns::Columns;
pub use facts::Facts;
pub use format::{count, counted, duration, instant, shortened, size, time_of_day};
pub use parse::{
    ColumnArg, ColumnType, Limit, duration_limit, event_time, number_limit, parse_duration, parse_size,
    size_limit,
};
pub use quote::{shell, sql};
