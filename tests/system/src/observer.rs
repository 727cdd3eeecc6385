//! Watches a task while it is killed: what it shows must not go back, and what it has shown must stay true.
//!
//! When a sync point is shown, by the task's state or by a "complete up to" mark in the bucket, everything
//! committed before it is in the lake. So an object that is listed
//! only later, or vanishes and comes again, holds nothing that was committed before that sync point.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::failure::Failure;
use crate::lake::{Lake, Object};
use crate::server::Keeper;
use crate::target::{Target, TaskState};
use crate::writer::{DEV_KEY, TABLE};

/// What was seen of a task.
#[derive(Debug, Default)]
pub struct Seen {
    last: Option<TaskState>,
    /// The newest mark.
    marked: Shown,
    /// Per object that is listed, the highest sync point that was shown while it was not, with its run.
    shown_before: HashMap<PathBuf, Shown>,
}

/// A sync point; it speaks of its run alone.
#[derive(Debug, Clone, Copy, Default)]
struct Shown {
    run: i64,
    sync_point: i64,
}

impl Seen {
    /// Looks at the task until `stop` is set.
    ///
    /// # Errors
    /// If the task goes back, or the server does not come back.
    pub async fn watch(
        task: &'static str,
        lake: Arc<Lake>,
        keeper: Arc<Keeper>,
        stop: Arc<AtomicBool>,
    ) -> Result<Self, Failure> {
        let mut seen = Self::default();
        while !stop.load(Ordering::Relaxed) {
            let (address, life) = keeper.life(1).await?;
            let target = Target::at(&address, DEV_KEY)?;
            // In this order: what is listed after the sync point was shown includes all it speaks of.
            if let Ok(state) = target.task(TABLE, task).await {
                let marked = lake.complete_up_to(task);
                let names = lake.names();
                // While a power cut rebuilds the lake, nobody serves it.
                if keeper.is_in(life) {
                    seen.note(state, marked, names)?;
                }
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        Ok(seen)
    }

    fn note(
        &mut self,
        state: TaskState,
        marked: Option<(i64, i64)>,
        names: BTreeSet<PathBuf>,
    ) -> Result<(), Failure> {
        if let Some(last) = self.last.as_ref().filter(|last| last.run == state.run) {
            if state.sync_point < last.sync_point {
                let (from, to) = (last.sync_point, state.sync_point);
                return Err(Failure::Lost(format!("the sync point went back from {from} to {to}")));
            }
            if rank(&state.phase) < rank(&last.phase) {
                return Err(Failure::Lost(format!("the phase went from {} to {}", last.phase, state.phase)));
            }
        }
        let before = self.shown();
        self.shown_before.retain(|name, _| names.contains(name));
        for name in names {
            self.shown_before.entry(name).or_insert(before);
        }
        self.last = Some(state);
        if let Some((run, sync_point)) = marked {
            self.marked = Shown { run, sync_point };
        }
        Ok(())
    }

    /// Checks the objects against the sync points that were shown before they were listed.
    ///
    /// # Errors
    /// The first object that came too late.
    pub fn check(&self, objects: &[Object]) -> Result<(), Failure> {
        for object in objects {
            let shown = self.shown_before.get(&object.name).copied().unwrap_or(self.shown());
            if object.metadata.get("lakeferry.run") != Some(&shown.run.to_string()) {
                continue;
            }
            if let Some(row) = object.rows.iter().find(|row| row.commit_time < shown.sync_point) {
                let (name, shown) = (object.name.display(), shown.sync_point);
                return Err(Failure::Lost(format!(
                    "`{name}` came after the sync point {shown}, with {row:?}"
                )));
            }
        }
        Ok(())
    }

    fn shown(&self) -> Shown {
        let Some(Shown { run, sync_point }) =
            self.last.as_ref().map(|state| Shown { run: state.run, sync_point: state.sync_point })
        else {
            return self.marked;
        };
        let marked = if self.marked.run == run { self.marked.sync_point } else { 0 };
        Shown { run, sync_point: sync_point.max(marked) }
    }
}

fn rank(phase: &str) -> usize {
    ["INIT", "FULL", "INCR"].iter().position(|name| *name == phase).unwrap_or(0)
}
