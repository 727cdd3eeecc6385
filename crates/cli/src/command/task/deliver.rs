//! `lakeferry task deliver-now|deliver-again`.

use serde_json::json;

use super::Named;
use crate::args::OneTask;
use crate::console;
use crate::failure::Failure;

/// Has what waits cut without waiting for age or size.
pub async fn now(args: OneTask) -> Result<(), Failure> {
    let named = Named::open(&args)?;
    named.server.post(&format!("{}/deliver-now", named.path()), &json!({})).await?;
    console::answer(format_args!("task {} delivers what waits", named.task))?;
    console::note(format_args!("follow it with: {}", watch_command(&named)));
    Ok(())
}

/// Begins a new run, which delivers the whole table again.
pub async fn again(args: OneTask) -> Result<(), Failure> {
    let named = Named::open(&args)?;
    named.server.post(&format!("{}/deliver-again", named.path()), &json!({})).await?;
    console::answer(format_args!("task {} begins anew; objects of earlier runs stay", named.task))?;
    console::note(format_args!("follow it with: {}", watch_command(&named)));
    Ok(())
}

fn watch_command(named: &Named) -> String {
    format!("lakeferry task watch {} {} --until-delivered", named.table, named.task)
}
