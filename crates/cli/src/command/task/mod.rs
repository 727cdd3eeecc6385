//! `lakeferry task create|list|describe|watch|set|update|columns|history|delete`, and what steers a task.

mod columns;
pub mod create;
mod delete;
mod describe;
mod history;
mod list;
pub mod progress;
mod set;
mod steer;
mod update;
mod watch;

use lakeferry_model::{TableName, TaskName};

use super::api::{self, Task, path};
use crate::args::{OneTask, TaskCommand};
use crate::connection::{Connection, name};
use crate::failure::Failure;

/// Carries out one of the commands.
pub async fn run(command: TaskCommand) -> Result<(), Failure> {
    match command {
        TaskCommand::Create(args) => create::run(*args).await,
        TaskCommand::List(args) => list::run(args).await,
        TaskCommand::Update(args) => update::run(*args).await,
        TaskCommand::Columns(args) => columns::run(args).await,
        TaskCommand::Describe(args) => describe::run(args).await,
        TaskCommand::Watch(args) => watch::run(args).await,
        TaskCommand::DeliverNow(args) => steer::deliver_now(args).await,
        TaskCommand::DeliverAgain(args) => steer::deliver_again(args).await,
        TaskCommand::Pause(args) => steer::pause(args).await,
        TaskCommand::Resume(args) => steer::resume(args).await,
        TaskCommand::RetryNow(args) => steer::retry_now(args).await,
        TaskCommand::Set(args) => set::run(args).await,
        TaskCommand::History(args) => history::run(args).await,
        TaskCommand::Delete(args) => delete::run(args).await,
    }
}

/// A task that a command names, on its server.
struct Named {
    server: Connection,
    table: TableName,
    task: TaskName,
}

impl Named {
    fn open(args: &OneTask) -> Result<Self, Failure> {
        let (table, task) = (name::table(&args.table)?, name::task(&args.name)?);
        Ok(Self { server: Connection::open_instance(&args.at)?, table, task })
    }

    fn path(&self) -> String {
        path::task(self.server.instance(), &self.table, &self.task)
    }

    async fn read(&self) -> Result<Task, Failure> {
        api::read(self.server.get(&self.path()).await?)
    }
}
