//! Kills at random instants. The seed is printed and brings the instants back.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::failure::Failure;
use crate::trial::{Setup, Trial, clear, until_task};

/// Milliseconds from a server's start to its end.
const INSTANTS: std::ops::Range<u64> = 20..1500;

/// Kills the server `rounds` times while writers and a task run.
///
/// # Errors
/// What was lost, or why nothing can be said.
pub async fn run(setup: &Setup, rounds: u32) -> Result<(), Failure> {
    println!("    {rounds} rounds; --seed={} brings their instants back", setup.seed);
    let mut random = SmallRng::seed_from_u64(setup.seed);
    let trial = Trial::begin(setup).await?;
    let (_, first) = trial.keeper.life(1).await?;
    for life in (first..).take(rounds as usize) {
        trial.keeper.life(life).await?;
        tokio::time::sleep(Duration::from_millis(random.random_range(INSTANTS))).await;
        trial.keeper.kill().await;
    }
    trial.keeper.life(first + rounds).await?;
    // The last life gets its share of changes too.
    let state = until_task(&trial.keeper, "the full phase ends", |state| state.phase == "INCR").await?;
    until_task(&trial.keeper, "the sync point moves", |now| now.sync_point > state.sync_point).await?;
    trial.end().await?.report.tell()?;
    clear(&setup.folder);
    Ok(())
}
