//! Kills at named places, and syncs turned off.
//!
//! A server dies when it passes a place for the n-th time, is started again, and must have lost nothing. With
//! a sync turned off and the power cut at the place right after it, it must have lost something: else either
//! the sync is for nothing, or the trial does not see what it is for.

use lakeferry_durable::{Place, Sync};
use rand::random;

use crate::failure::{Failure, broken};
use crate::server::{Faults, Keeper};
use crate::target::{Plan, Target, chain};
use crate::trial::{KEY_FILE, Setup, TASK, Trial, clear, until_done, until_task};
use crate::writer::TABLE;

/// Has the server die at a place in its first life, and checks that nothing is lost.
///
/// # Errors
/// What was lost, or why nothing can be said.
pub async fn run(setup: &Setup, place: Place) -> Result<(), Failure> {
    run_with(setup, place, Faults { life: 1, environment: Vec::new() }).await
}

/// Turns a sync off, cuts the power right behind it, and checks that something is lost.
///
/// # Errors
/// If nothing is lost, or nothing can be said.
pub async fn run_without(setup: &Setup, sync: Sync) -> Result<String, Failure> {
    let place = place_behind(sync);
    let life = if place == Place::KeyFileWritten { 1 } else { 2 };
    let all_on = Faults { life, environment: Vec::new() };
    run_with(setup, place, all_on).await.map_err(|failure| match failure {
        Failure::Lost(what) => Failure::Lost(format!("with all syncs on, at {}: {what}", place.name())),
        other => other,
    })?;
    let off = vec![("LAKEFERRY_SYNC_OFF", sync.name().to_owned())];
    match run_with(setup, place, Faults { life, environment: off }).await {
        Ok(()) => Err(Failure::Lost(format!("nothing, although the sync {} is off", sync.name()))),
        Err(Failure::Lost(what)) => {
            clear(&setup.folder);
            Ok(what)
        }
        Err(other) => Err(other),
    }
}

async fn run_with(setup: &Setup, place: Place, mut faults: Faults) -> Result<(), Failure> {
    faults.environment.push(("LAKEFERRY_KILL_AT", format!("{}:{}", place.name(), passes(place))));
    let setup = Setup { faults, seed: random(), ..setup.clone() };
    match place {
        Place::KeyFileWritten => first_key(&setup).await?,
        _ => rows_and_task(&setup, place).await?,
    }
    clear(&setup.folder);
    Ok(())
}

/// Which pass of a place is the last one. Enough came before that something is at stake.
fn passes(place: Place) -> u32 {
    match place {
        Place::EngineCommitted => 60,
        Place::CutDecided | Place::CutPrepared | Place::CutUploaded | Place::CutManifested => 3,
        Place::ObjectWritten | Place::ObjectNamed | Place::ObjectDurable => 16,
        Place::CutCommitted => 3,
        Place::UpdatePrepared | Place::UpdateLevel | Place::UpdateInForce => 1,
        Place::TaskEntered | Place::FullScanned | Place::RunBegun | Place::TaskDeleted => 1,
        Place::KeyFileWritten => 1,
    }
}

/// The place right after a sync.
fn place_behind(sync: Sync) -> Place {
    match sync {
        Sync::EngineCommit => Place::EngineCommitted,
        Sync::ObjectFile => Place::ObjectWritten,
        Sync::ObjectParents => Place::ObjectNamed,
        Sync::ObjectFolder => Place::ObjectDurable,
        Sync::DataFolder | Sync::KeyFile => Place::KeyFileWritten,
    }
}

async fn rows_and_task(setup: &Setup, place: Place) -> Result<(), Failure> {
    let mut trial = Trial::begin(setup).await?;
    let life = setup.faults.life;
    match place {
        Place::UpdatePrepared | Place::UpdateLevel | Place::UpdateInForce => {
            second_prefix(&trial.keeper).await?;
        }
        Place::RunBegun => second_run(&mut trial).await?,
        Place::TaskDeleted => second_task(&trial.keeper, setup).await?,
        _ => {}
    }
    died(&trial.keeper, life, place).await?;
    trial.end().await.map(drop)
}

/// The task is updated to another prefix, while rows are written and folders wait for their cuts.
async fn second_prefix(keeper: &Keeper) -> Result<(), Failure> {
    until_task(keeper, "the full phase ends", |state| state.phase == "INCR").await?;
    until_done(keeper, "change the prefix", |target| async move {
        target.change_prefix(TABLE, TASK, "data/moved/$yyyy/$MM/$dd/$HH/$mm").await
    })
    .await?;
    until_task(keeper, "the other prefix", |state| {
        state.all["configuration"] == 2 && state.all["next_configuration"].is_null()
    })
    .await
    .map(drop)
}

/// The task delivers everything again.
async fn second_run(trial: &mut Trial) -> Result<(), Failure> {
    until_task(&trial.keeper, "the full phase ends", |state| state.phase == "INCR").await?;
    let writers = trial.rest().await?;
    until_done(&trial.keeper, "deliver again", |target| async move {
        // The answer may be lost although the run has begun.
        match target.task(TABLE, TASK).await?.run {
            1 => target.deliver_again(TABLE, TASK).await,
            _ => Ok(()),
        }
    })
    .await?;
    trial.resume(writers);
    until_task(&trial.keeper, "a second run", |state| state.run == 2).await.map(drop)
}

/// A task beside the trial's own is made, deleted, and made again under its name.
async fn second_task(keeper: &Keeper, setup: &Setup) -> Result<(), Failure> {
    const OTHER: &str = "other";
    let other = Plan::whole(OTHER, "other/$yyyy", setup.object_age_ms);
    let make = |target: Target| async move { target.make_task(TABLE, &other).await };
    until_done(keeper, "make a second task", make).await?;
    until_done(keeper, "delete it", |target| async move { target.delete_task(TABLE, OTHER).await }).await?;
    died(keeper, setup.faults.life, Place::TaskDeleted).await?;
    let names =
        until_done(keeper, "list the tasks", |target| async move { target.tasks(TABLE).await }).await?;
    if names != [TASK] {
        return Err(Failure::Lost(format!("a task that was deleted is listed: {names:?}")));
    }
    until_done(keeper, "make it again", make).await
}

/// The first start of a server that is not for development: the key that its file tells is good for ever.
async fn first_key(setup: &Setup) -> Result<(), Failure> {
    let (keeper, data) = setup.start(&[])?;
    // The first life ends in its start, when its key could be read; the second one is ready.
    let (address, _) = keeper.life(2).await?;
    let seen = std::fs::read_to_string(setup.folder.join(KEY_FILE)).map_err(broken("read the first key"))?;
    let file = data.join(KEY_FILE);
    let text = std::fs::read_to_string(&file)
        .map_err(|error| Failure::Lost(format!("the operator's key `{}`: {error}", file.display())))?;
    if text != seen {
        return Err(Failure::Lost("the operator's key is another than before".to_owned()));
    }
    let part = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
        line.map(|value| value.trim().trim_matches('"').to_owned())
            .ok_or_else(|| Failure::Lost(format!("`{}` holds no {name}", file.display())))
    };
    let (id, secret) = (part("access_key_id")?, part("access_key_secret")?);
    let target = Target::at(&address, (&id, &secret))?;
    target
        .make_instance()
        .await
        .map_err(|error| Failure::Lost(format!("the operator's key: {}", chain(&error))))
}

/// Waits until the server has died at the place, in the life meant for that, and answers again.
async fn died(keeper: &Keeper, life: u32, place: Place) -> Result<(), Failure> {
    match keeper.life(life + 1).await {
        Err(Failure::Broken(_)) => Err(Failure::Broken(format!("the place {} was not passed", place.name()))),
        other => other.map(drop),
    }
}
