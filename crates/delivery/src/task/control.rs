//! Steering a running task: paused, resumed, hurried, tuned, held to its limits.
//!
//! What is asked for is written down before it is answered, then told to whoever waits in the task. A paused task
//! has no lanes: each one ends once its cut is committed, and what it had gathered is read again when the task is
//! resumed. A cut that waits for its store, or for its limit, is given up instead, for it could wait for ever: one
//! of the log stays prepared and is done again.

use std::time::Duration;

use lakeferry_model::delivery::{TaskError, TaskEventKind, TuningChange};

use super::Task;
use crate::error::Error;
use crate::registry::check_tuning;
use crate::space::{Stage, TaskEntry, Writes};
use crate::status::Who;
use crate::stop::{Stop, Stopped};
use crate::trouble::Trouble;

/// What was last asked of a task. Every change wakes whoever waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Wish {
    pub(crate) is_paused: bool,
    /// How often it was asked to try again at once.
    retries: u64,
    /// How often it was tuned.
    tunings: u64,
}

impl Wish {
    /// What holds for a task as it is written down.
    pub(super) fn written(is_paused: bool) -> Self {
        Self { is_paused, ..Self::default() }
    }
}

/// The task is paused, and what waits need not wait any longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paused;

impl Task {
    /// Pauses or resumes the task, durably.
    pub(crate) async fn set_paused(&self, is_paused: bool) -> Result<(), Error> {
        let (kind, text) = match is_paused {
            true => (TaskEventKind::Paused, "paused"),
            false => (TaskEventKind::Resumed, "resumed"),
        };
        let has_changed = self.change_entry(|entry| {
            let has_changed = entry.is_paused != is_paused;
            entry.is_paused = is_paused;
            Ok(has_changed)
        });
        if has_changed.await? {
            self.note(kind, text.to_owned());
        }
        if !is_paused {
            self.board.forget_too_dirty();
        }
        // Also if it was so before: an answer that was lost may have left this behind.
        self.wishes.send_modify(|wish| wish.is_paused = is_paused);
        Ok(())
    }

    /// Ends the present wait of whoever is in trouble.
    pub(crate) fn retry_now(&self) {
        self.wishes.send_modify(|wish| wish.retries += 1);
    }

    /// Changes the task's tuning, durably.
    pub(crate) async fn tune(&self, change: &TuningChange) -> Result<(), Error> {
        let has_changed = self.change_entry(|entry| {
            let mut has_changed = false;
            // Also what waits to come into force, or it would bring the old settings back.
            let specs =
                std::iter::once(&mut entry.spec).chain(entry.next.as_mut().map(|next| &mut next.spec));
            for spec in specs {
                let tuning = change.applied_to(&spec.tuning);
                check_tuning(&tuning)?;
                has_changed |= spec.tuning != tuning;
                spec.tuning = tuning;
            }
            Ok(has_changed)
        });
        if has_changed.await? {
            self.note(TaskEventKind::Settings, format!("settings changed: {}", told(change)));
            self.wishes.send_modify(|wish| wish.tunings += 1);
        }
        Ok(())
    }

    /// Changes the entry and writes it down; whether there was anything to change.
    async fn change_entry(
        &self,
        change: impl FnOnce(&mut TaskEntry) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut book = self.book.lock().await;
        let mut entry = book.entry.clone();
        if entry.stage == Stage::Deleted {
            return Err(Error::Closed);
        }
        if !change(&mut entry)? {
            return Ok(false);
        }
        let mut writes = Writes::default();
        writes.put_entry(&entry);
        self.space.write(writes).await?;
        book.entry = entry;
        self.board.set_entry(&book.entry);
        Ok(true)
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.wishes.borrow().is_paused
    }

    /// Waits until the task is not paused.
    pub(crate) async fn wait_while_paused(&self, stop: &Stop) -> Result<(), Stopped> {
        let mut wishes = self.wishes.subscribe();
        // An error means that the task is gone, and then the stop is told as well.
        stop.or(async { drop(wishes.wait_for(|wish| !wish.is_paused).await) }).await
    }

    /// Shows a trouble, and waits as long as so many failures in a row call for, or until somebody asks to try
    /// again, or pauses the task.
    pub(crate) async fn wait_in_trouble(
        &self,
        who: Who,
        trouble: Trouble,
        failures: u32,
        stop: &Stop,
    ) -> Result<(), Stopped> {
        let mut wait = self.env.settings.backoff(failures);
        if trouble.code() != TaskError::Ok {
            // What a person mends is to be seen soon after.
            wait = wait.min(self.env.settings.look_every);
        }
        if failures == 1 {
            tracing::warn!(task = %self.id, ?who, trouble = trouble.text(), "delivery cannot go on, trying again");
        }
        let mut wishes = self.wishes.subscribe();
        let before = *wishes.borrow_and_update();
        let micros = i64::try_from(wait.as_micros()).unwrap_or(i64::MAX);
        self.show_trouble(who, trouble, Some(self.env.clock.now_micros().saturating_add(micros)));
        self.account.set_failing(true);
        let is_hurried =
            |wish: &Wish| wish.retries != before.retries || (wish.is_paused && !before.is_paused);
        let hurried = async {
            if wishes.wait_for(is_hurried).await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        stop.or(async {
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = hurried => {}
            }
        })
        .await?;
        if self.leave_bucket().await { Err(Stopped) } else { Ok(()) }
    }

    /// Stands still with too many dirty fields until the task is updated, or otherwise told to stop, or somebody asks
    /// to try again. A pause ends it as well, but what is wrong is shown until the task is resumed or updated.
    pub(crate) async fn stand_still(&self, who: Who, text: String, stop: &Stop) -> Stopped {
        tracing::warn!(task = %self.id, ?who, "too many fields are dirty: the task stands still until it is updated");
        let mut wishes = self.wishes.subscribe();
        let before = *wishes.borrow_and_update();
        self.show_trouble(who, Trouble::TooDirty(text), None);
        self.account.set_failing(true);
        let heard = stop.or(async {
            let heard = wishes.wait_for(|wish| wish.is_paused || wish.retries != before.retries).await;
            heard.map_or(before, |wish| *wish)
        });
        match heard.await {
            Ok(wish) if wish.is_paused => self.account.set_failing(false),
            _ => self.forget_trouble(who),
        }
        Stopped
    }

    /// Waits until the task's limits let so much pass. Only this task waits.
    pub(crate) async fn pass_limits(&self, bytes: u64, rows: u64) -> Result<(), Paused> {
        let mut wishes = self.wishes.subscribe();
        let mut has_waited = false;
        let passed = loop {
            let wish = *wishes.borrow_and_update();
            let entry = self.board.entry();
            let Err(wait) = self.limiter.try_pass(self.now(), &entry.spec.tuning, bytes, rows) else {
                break Ok(());
            };
            if wish.is_paused {
                break Err(Paused);
            }
            if !std::mem::replace(&mut has_waited, true) {
                // What it has gathered waits long: others may need the memory more.
                self.account.set_failing(true);
            }
            let tick: Duration = self.env.settings.tick;
            tokio::select! {
                () = tokio::time::sleep(wait.min(tick)) => {}
                _ = wishes.changed() => {}
            }
        };
        if has_waited {
            self.account.set_failing(false);
        }
        passed
    }
}

/// A change of tuning in words: what it names, with the new values.
fn told(change: &TuningChange) -> String {
    let Ok(serde_json::Value::Object(fields)) = serde_json::to_value(change) else { return String::new() };
    let parts: Vec<String> = fields.iter().map(|(name, value)| format!("{name} {value}")).collect();
    parts.join(", ")
}
