//! `lakeferry task pause|resume|retry-now|deliver-now|deliver-again`.

use serde_json::json;

use super::Named;
use crate::args::OneTask;
use crate::console;
use crate::failure::Failure;

/// Has what waits cut without waiting for age or size.
pub async fn deliver_now(args: OneTask) -> Result<(), Failure> {
    let named = asked(&args, "deliver-now").await?;
    console::answer(format_args!("task {} delivers what waits", named.task))?;
    console::note(format_args!("follow it with: {}", watch_command(&named)));
    Ok(())
}

/// Begins a new run, which delivers the whole table again.
pub async fn deliver_again(args: OneTask) -> Result<(), Failure> {
    let named = asked(&args, "deliver-again").await?;
    console::answer(format_args!("task {} begins anew; objects of earlier runs stay", named.task))?;
    console::note(format_args!("follow it with: {}", watch_command(&named)));
    Ok(())
}

/// Pauses the task until it is resumed.
pub async fn pause(args: OneTask) -> Result<(), Failure> {
    let named = asked(&args, "pause").await?;
    console::answer(format_args!("task {} is paused; what comes waits in the table's log", named.task))?;
    console::note(format_args!("let it go on with: lakeferry task resume {} {}", named.table, named.task));
    Ok(())
}

/// Lets a paused task go on.
pub async fn resume(args: OneTask) -> Result<(), Failure> {
    let named = asked(&args, "resume").await?;
    console::answer(format_args!("task {} goes on", named.task))
}

/// Skips the back-off of a task in trouble.
pub async fn retry_now(args: OneTask) -> Result<(), Failure> {
    let named = asked(&args, "retry-now").await?;
    console::answer(format_args!("task {} tries again", named.task))
}

/// Asks the server to do that with the task.
async fn asked(args: &OneTask, what: &str) -> Result<Named, Failure> {
    let named = Named::open(args)?;
    named.server.post(&format!("{}/{what}", named.path()), &json!({})).await?;
    Ok(named)
}

fn watch_command(named: &Named) -> String {
    format!("lakeferry task watch {} {} --until-delivered", named.table, named.task)
}
