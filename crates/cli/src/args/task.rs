//! `lakeferry task`.

use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use lakeferry_model::delivery::EventTimeColumn;

use super::server::InInstanceArgs;
use crate::text::{
    ColumnArg, Limit, duration_limit, event_time, number_limit, parse_duration, parse_size, size_limit,
};

/// What to do with delivery tasks.
#[derive(Debug, Subcommand)]
pub enum TaskCommand {
    /// Make a task, which begins to deliver its table at once
    Create(Box<CreateTask>),
    /// List the tasks of a table, or of all tables of the instance, with how each is doing
    List(ListTasks),
    /// Give a task a new configuration, in force between two cuts: where it delivers to, which columns, how dirty fields are kept
    Update(Box<UpdateTask>),
    /// List the columns that rows have and a task does not deliver; with --add, deliver them
    Columns(TaskColumns),
    /// Show how a task is set up and how it is doing
    Describe(ShowTask),
    /// Follow a task: its phase, what waits, each object as it lands
    Watch(WatchTask),
    /// Deliver what waits now, without waiting for age or size
    DeliverNow(OneTask),
    /// Begin anew: deliver the whole table again, in a new run
    DeliverAgain(OneTask),
    /// Pause a task, also over restarts of the server; what comes waits in the table's log
    Pause(OneTask),
    /// Let a paused task go on from where it was
    Resume(OneTask),
    /// Have a task in trouble try again at once
    RetryNow(OneTask),
    /// Change settings of a task that take effect at once: sizes, ages, limits, lanes, lateness
    Set(SetTask),
    /// Show what a task has been through
    History(ShowTask),
    /// Delete a task; what it has delivered stays in the lake
    Delete(OneTask),
}

/// One task.
#[derive(Debug, Args)]
pub struct OneTask {
    /// The table's name
    pub table: String,
    /// The task's name
    pub name: String,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// A new task.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry task create --table orders --name to-lake --bucket lake \\
      --prefix 'orders/year=$yyyy/month=$MM/day=$dd'
  lakeferry task create --table orders --name by-day --bucket lake \\
      --prefix 'days/$yyyy$MM$dd' --event-time ordered_at:unix \\
      --zone Europe/Berlin --column id --column price:price:double \\
      --column ordered_at::int64

Quote the prefix, or the shell takes the dollar signs. $yyyy $MM $dd $HH $mm stand for a row's time, \
which is that of its commit, or the event time column's; $$ is a dollar sign.

Without --column the objects have every column that the rows have, and three that tell about the change: \
$operation (BASE, PUT, UPDATE, DELETE), $commit_time and $sequence. With --column they have the columns \
named, and the same three unless --no-reserved is given; without $operation, deletes are not delivered.")]
pub struct CreateTask {
    /// The table to deliver
    #[arg(long)]
    pub table: String,
    /// The task's name: 3 to 16 lowercase letters, digits and hyphens
    #[arg(long)]
    pub name: String,
    /// What to deliver
    #[arg(long, value_enum, default_value = "BASE_INC", ignore_case = true)]
    pub mode: ModeArg,
    /// The bucket to deliver into; `lakeferry bucket list` shows which there are
    #[arg(long)]
    pub bucket: String,
    /// The folder in the bucket, with variables for the time
    #[arg(long)]
    pub prefix: String,
    /// Put rows into folders by this column's value instead of their commit time. FORMAT is rfc822, rfc850,
    /// rfc1123, rfc3339 or unix
    #[arg(long, value_name = "COLUMN:FORMAT", value_parser = event_time)]
    pub event_time: Option<EventTimeColumn>,
    /// A column to deliver; repeat for several. Without TYPE, the type that the table declares. TYPE is bool,
    /// int64, double, utf8, binary, int32, float, date, decimal(18,2), time_* or timestamp_* (_millis, _micros).
    /// ENCODING is plain, plain_dictionary, delta_binary_packed, delta_byte_array or delta_length_byte_array
    #[arg(long = "column", value_name = "SOURCE[:TARGET[:TYPE[/ENCODING]]]")]
    pub columns: Vec<ColumnArg>,
    /// Do not deliver $operation, $commit_time and $sequence, and so no deletes
    #[arg(long)]
    pub no_reserved: bool,
    /// Cut an object at the latest this long after its first row, such as 30s [default: the server's, 2m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub object_age: Option<Duration>,
    /// Cut an object also when its folder got no row for this long, such as 10s [default: no such limit]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub inactivity: Option<Duration>,
    /// Cut an object when its rows reach this size, such as 64MiB [default: the server's, 64MiB]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub object_size: Option<u64>,
    /// Lanes, parallel streams of objects, to begin with [default: the server's, 1]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub lanes_min: Option<u32>,
    /// Lanes at most [default: the server's, one per core]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub lanes_max: Option<u32>,
    /// Bytes of objects to send to the store per second at most, such as 10MiB [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub bytes_per_second: Option<u64>,
    /// Rows to send to the store per second at most [default: no limit]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub rows_per_second: Option<u64>,
    /// Mark a folder complete no sooner than so long after its time [default: 0s]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub lateness: Option<Duration>,
    /// Put a _SUCCESS object into each folder that is complete
    #[arg(long)]
    pub success_objects: bool,
    /// What object names end with
    #[arg(long, default_value = ".parquet")]
    pub suffix: String,
    /// The time zone of the prefix's variables, such as Europe/Berlin
    #[arg(long, default_value = "UTC")]
    pub zone: String,
    /// How objects are compressed
    #[arg(long, value_enum, default_value = "snappy")]
    pub compression: CompressionArg,
    /// Keep fields that do not fit their columns in this folder of the bucket [default: the server's own]
    #[arg(long, value_name = "FOLDER")]
    pub dirty_prefix: Option<String>,
    /// Stop when more fields than this do not fit their columns; 0 stops at the first [default: no limit]
    #[arg(long, value_name = "N")]
    pub dirty_max: Option<u64>,
    /// The bucket's endpoint, for buckets that several stores have
    #[arg(long, value_name = "URL", default_value = "local", hide_default_value = true)]
    pub bucket_endpoint: String,
    /// The role that grants access to the bucket, where its entry has no key of its own
    #[arg(long, value_name = "ROLE", default_value = lakeferry_model::RoleEntry::SERVICE_LINKED)]
    pub role: String,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Settings of a task to change. They take effect at once, also for what is gathered already, other bounds of lanes
/// once all folders are cut. `lakeferry task update` takes the same flags, beside what it changes of names, columns and
/// dirty fields.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry task set orders to-lake --object-age 30s --object-size 128MiB
  lakeferry task set orders to-lake --bytes-per-second 10MiB
  lakeferry task set orders to-lake --bytes-per-second off")]
pub struct SetTask {
    #[command(flatten)]
    pub task: OneTask,
    #[command(flatten)]
    pub tuning: TuningArgs,
}

/// What may be changed without a new configuration.
#[derive(Debug, Args)]
pub struct TuningArgs {
    /// Cut an object at the latest this long after its first row, such as 30s
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub object_age: Option<Duration>,
    /// Cut an object also when its folder got no row for this long, such as 10s, or `off`
    #[arg(long, value_name = "DURATION", value_parser = duration_limit)]
    pub inactivity: Option<Limit>,
    /// Cut an object when its rows reach this size, such as 64MiB
    #[arg(long, value_name = "SIZE", value_parser = parse_size)]
    pub object_size: Option<u64>,
    /// Lanes to begin with
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub lanes_min: Option<u32>,
    /// Lanes at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub lanes_max: Option<u32>,
    /// Bytes of objects to send to the store per second at most, such as 10MiB, or `off`
    #[arg(long, value_name = "SIZE", value_parser = size_limit)]
    pub bytes_per_second: Option<Limit>,
    /// Rows to send to the store per second at most, or `off`
    #[arg(long, value_name = "N", value_parser = number_limit)]
    pub rows_per_second: Option<Limit>,
    /// Mark a folder complete no sooner than so long after its time
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub lateness: Option<Duration>,
    /// Whether a folder that is complete gets a _SUCCESS object
    #[arg(long, value_name = "YES", action = clap::ArgAction::Set)]
    pub success_objects: Option<bool>,
}

/// What to change about a task, as a new configuration. What is not named stays as it is. For sizes, ages, limits, lanes
/// and lateness alone, `lakeferry task set` does without a new configuration.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry task update orders to-lake --add-column colour::utf8
  lakeferry task update orders to-lake --prefix 'orders/$yyyy/$MM' --zone Europe/Berlin
  lakeferry task update orders to-lake --dirty-max 1000

Columns, compression and the rules of cutting change with the next object. Another bucket, prefix, event \
time, zone or suffix follows once all rows gathered so far are in the lake; no row is delivered twice.")]
pub struct UpdateTask {
    #[command(flatten)]
    pub task: OneTask,
    /// The bucket to deliver into from now on
    #[arg(long)]
    pub bucket: Option<String>,
    /// The folder in the bucket, with variables for the time
    #[arg(long)]
    pub prefix: Option<String>,
    /// Put rows into folders by this column's value
    #[arg(long, value_name = "COLUMN:FORMAT", value_parser = event_time, conflicts_with = "commit_time")]
    pub event_time: Option<EventTimeColumn>,
    /// Put rows into folders by their commit time
    #[arg(long)]
    pub commit_time: bool,
    /// The time zone of the prefix's variables
    #[arg(long)]
    pub zone: Option<String>,
    /// What object names end with
    #[arg(long)]
    pub suffix: Option<String>,
    /// The columns to deliver, in the place of those that are delivered; repeat for several
    #[arg(long = "column", value_name = "SOURCE[:TARGET[:TYPE[/ENCODING]]]", conflicts_with_all = ["add_columns", "all_columns"])]
    pub columns: Vec<ColumnArg>,
    /// With --column: do not deliver $operation, $commit_time and $sequence
    #[arg(long, requires = "columns")]
    pub no_reserved: bool,
    /// A column to deliver beside those that are delivered; repeat for several
    #[arg(long = "add-column", value_name = "SOURCE[:TARGET[:TYPE[/ENCODING]]]")]
    pub add_columns: Vec<ColumnArg>,
    /// Deliver every column that the rows have, and $operation, $commit_time and $sequence
    #[arg(long, conflicts_with = "add_columns")]
    pub all_columns: bool,
    #[command(flatten)]
    pub tuning: TuningArgs,
    /// How objects are compressed
    #[arg(long, value_enum)]
    pub compression: Option<CompressionArg>,
    /// Keep fields that do not fit their columns in this folder; an empty one for the server's own
    #[arg(long, value_name = "FOLDER")]
    pub dirty_prefix: Option<String>,
    /// Stop when more fields than this do not fit their columns; `none` for no limit
    #[arg(long, value_name = "N|none", value_parser = dirty_limit)]
    pub dirty_max: Option<DirtyLimit>,
    /// The bucket's endpoint, for buckets that several stores have
    #[arg(long, value_name = "URL")]
    pub bucket_endpoint: Option<String>,
    /// The role that grants access to the bucket
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
}

/// How many dirty fields a task may leave out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DirtyLimit {
    AtMost(u64),
    None,
}

fn dirty_limit(text: &str) -> Result<DirtyLimit, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(DirtyLimit::None);
    }
    text.parse().map(DirtyLimit::AtMost).map_err(|_| "write a number, or `none`".to_owned())
}

/// Columns that a task does not deliver.
#[derive(Debug, Args)]
pub struct TaskColumns {
    #[command(flatten)]
    pub task: OneTask,
    /// Deliver them from the next object on: these, separated by commas, or all if none is named
    #[arg(long, value_name = "COLUMN,...", num_args = 0.., value_delimiter = ',')]
    pub add: Option<Vec<String>>,
}

/// The protocol's modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[clap(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ModeArg {
    /// The table as it is, once
    Base,
    /// Every change from now on
    Inc,
    /// The table as it is, then every change
    BaseInc,
}

/// How objects may be compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressionArg {
    /// Fast, and read by everything
    Snappy,
    /// Not at all
    None,
}

/// Which tasks to list.
#[derive(Debug, Args)]
#[command(
    after_help = "A long error is cut at its end; `lakeferry task describe` and --json tell the whole."
)]
pub struct ListTasks {
    /// Only the tasks of this table
    pub table: Option<String>,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub at: InInstanceArgs,
}

/// Which task to show.
#[derive(Debug, Args)]
pub struct ShowTask {
    #[command(flatten)]
    pub task: OneTask,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// Which task to follow, and how long.
#[derive(Debug, Args)]
pub struct WatchTask {
    #[command(flatten)]
    pub task: OneTask,
    /// End as soon as everything that is in the table now is in the lake
    #[arg(long)]
    pub until_delivered: bool,
}
