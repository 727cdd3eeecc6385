//! What was typed, and nothing more: reading it opens no file and no connection.

mod catalog;
mod demo;
mod rows;
mod serve;
mod server;
mod table;
mod task;

use clap::{Parser, Subcommand};

pub use catalog::{
    AddBucket, BucketCommand, CheckBucket, CreateKey, CreateRole, DeleteKey, InstanceCommand, KeyCommand,
    ListArgs, NameArgs, Place, RoleCommand,
};
pub use demo::DemoArgs;
pub use rows::{ExportRows, ImportRows, RowsArgs, ScanTable};
pub use serve::ServeArgs;
pub use server::{InInstanceArgs, ServerArgs};
pub use table::{
    CreateTable, DeleteRow, DescribeTable, DropTable, GetRow, KeyKindArg, ListTables, PutRows, TableCommand,
    UpdateRow,
};
pub use task::{
    CompressionArg, CreateTask, DirtyLimit, ListTasks, ModeArg, OneTask, SetTask, ShowTask, TaskColumns,
    TaskCommand, TuningArgs, UpdateTask, WatchTask,
};

/// A self-hosted table service that speaks the Tablestore protocol, and delivers its tables into a data lake
/// as Parquet.
#[derive(Debug, Parser)]
#[command(
    name = "lakeferry",
    version,
    arg_required_else_help = true,
    subcommand_required = true,
    max_term_width = 100,
    after_help = "\
First steps:
  lakeferry demo                        see it at work on this computer's metrics
  lakeferry serve --dev                 a server for development, with fixed keys
  lakeferry serve --data ./data         a server that keeps its data in ./data

Then, in another terminal:
  lakeferry instance create shop        a namespace of tables, for any SDK to use
  lakeferry bucket create lake          a directory to deliver tables into
  export TABLESTORE_INSTANCE=shop
  lakeferry table create orders --key id:integer
  lakeferry table import orders orders.csv
  lakeferry task create --table orders --name to-lake --bucket lake \\
      --prefix 'orders/$yyyy/$MM/$dd'
  lakeferry task watch orders to-lake

Exit status: 0 done; 1 the answer is no, as when there is no such thing; 2 something is broken or \
mistyped."
)]
pub struct Args {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// What to log on stderr: error, warn, info, debug, trace, or a filter such as `lakeferry_delivery=debug`
    #[arg(long, global = true, env = "RUST_LOG", value_name = "FILTER", help_heading = "Everywhere")]
    pub log: Option<String>,
}

/// The commands, in the order of a newcomer's day.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run the whole main job on this computer's own metrics, and check the result
    Demo(DemoArgs),
    /// Run a server
    Serve(ServeArgs),
    /// Make or list instances, the namespaces of tables
    #[command(subcommand)]
    Instance(InstanceCommand),
    /// Make, add or list buckets, the places that tasks deliver into
    #[command(subcommand)]
    Bucket(BucketCommand),
    /// Make, delete or list roles, which grant the service access to buckets
    #[command(subcommand)]
    Role(RoleCommand),
    /// Make, list or delete access keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Make tables, look at them, read and write their rows
    #[command(subcommand)]
    Table(TableCommand),
    /// Make, watch and steer delivery tasks
    #[command(subcommand)]
    Task(TaskCommand),
}

impl Command {
    /// Whether this is a server that runs on, and so tells what it does.
    pub fn is_server(&self) -> bool {
        matches!(self, Self::Serve(_))
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn parse(line: &str) -> Result<Args, clap::Error> {
        Args::try_parse_from(std::iter::once("lakeferry").chain(line.split_whitespace()))
    }

    #[test]
    fn the_arguments_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn every_command_has_help() {
        fn walk(command: &clap::Command) {
            assert!(command.get_about().is_some(), "`{}` has no help", command.get_name());
            for argument in command.get_arguments() {
                assert!(
                    argument.get_help().is_some(),
                    "`{argument}` of `{}` has no help",
                    command.get_name()
                );
            }
            command.get_subcommands().for_each(walk);
        }
        walk(&Args::command());
    }

    #[test]
    fn a_task_is_made_from_flags() {
        let line = "task create --table orders --name to-lake --bucket lake --prefix orders/$yyyy \
                    --event-time at:unix --column id --column price:cost:double --object-age 5s \
                    --object-size 8MiB --lanes-min 2 --lanes-max 4";
        let Command::Task(TaskCommand::Create(task)) = parse(line).unwrap().command else { panic!("{line}") };
        assert_eq!(task.columns.len(), 2);
        assert_eq!(task.object_age.unwrap().as_secs(), 5);
        assert_eq!(task.object_size, Some(8 << 20));
        assert_eq!((task.suffix.as_str(), task.zone.as_str()), (".parquet", "UTC"));
    }

    #[test]
    fn a_key_may_be_negative_and_flags_may_follow_it() {
        let Command::Table(TableCommand::Get(get)) =
            parse("table get visits ann -7 --columns a,b").unwrap().command
        else {
            unreachable!("`table get` was typed")
        };
        assert_eq!(
            (get.key, get.columns),
            (vec!["ann".to_owned(), "-7".to_owned()], vec!["a".into(), "b".into()])
        );
    }

    #[test]
    fn a_mistyped_flag_is_refused_with_what_can_be_written() {
        let error =
            parse("task create --table t --name n --bucket b --prefix p --object-age soon").unwrap_err();
        assert!(error.to_string().contains("500ms"), "{error}");
        assert_eq!(error.exit_code(), 2);
    }

    #[test]
    fn a_server_alone_logs_what_it_does() {
        assert!(parse("serve --dev").unwrap().command.is_server());
        assert!(!parse("table list").unwrap().command.is_server());
    }
}
