//! `lakeferry task delete`.

use super::Named;
use crate::args::OneTask;
use crate::console;
use crate::failure::Failure;

/// Deletes a task. What it has delivered stays in the lake.
pub async fn run(args: OneTask) -> Result<(), Failure> {
    let named = Named::open(&args)?;
    named.server.delete(&named.path()).await?;
    console::answer(format_args!("deleted task {} of table {}; its objects stay", named.task, named.table))
}
