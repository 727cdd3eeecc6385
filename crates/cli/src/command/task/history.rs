//! `lakeferry task history`: what a task has been through.

use lakeferry_model::delivery::{TaskEvent, TaskEventKind};

use super::super::api;
use super::Named;
use crate::args::ShowTask;
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Shows the events, oldest first.
pub async fn run(args: ShowTask) -> Result<(), Failure> {
    let named = Named::open(&args.task)?;
    let answer = named.server.get(&format!("{}/history", named.path())).await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let events: Vec<TaskEvent> = api::list(answer, "events")?;
    let mut columns = Columns::new(["TIME", "EVENT", "TEXT"]);
    for event in events {
        columns.row([text::instant(event.at), kind_name(event.kind).to_owned(), event.text]);
    }
    console::answer(columns)
}

fn kind_name(kind: TaskEventKind) -> &'static str {
    match kind {
        TaskEventKind::Made => "made",
        TaskEventKind::Phase => "phase",
        TaskEventKind::Run => "run",
        TaskEventKind::Paused => "paused",
        TaskEventKind::Resumed => "resumed",
        TaskEventKind::Settings => "settings",
        TaskEventKind::Updated => "updated",
        TaskEventKind::Trouble => "trouble",
        TaskEventKind::Recovered => "recovered",
        TaskEventKind::Remarked => "remarked",
        TaskEventKind::Lanes => "lanes",
    }
}
