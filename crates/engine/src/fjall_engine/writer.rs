//! The writer: the one thread that changes anything.
//!
//! It takes requests in their order. Writes go through [`commit_group`]; between them it makes and drops
//! spaces, trims, and looks after fjall ([`Upkeep`]). Since nobody else writes, between two requests the
//! database stands still but for fjall's flushing and merging.
//!
//! When the database fails (a full disk, a failed sync), it cannot be trusted any more. The writer then waits
//! until no reader has it, drops it and opens it again, with growing pauses until that succeeds. Meanwhile
//! every request is refused. What was answered is in the journal, so nothing of it is lost.
//!
//! After a failed sync the journal reads from memory as if it were on disk, and the system tells of the failure only
//! once. Whatever would be written behind such a place would be lost with it in a power cut. So before the database is
//! used again, everything that the journal holds is written into tables, and the journal is emptied.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::sleep;
use std::time::{Duration, Instant};

use super::commit::{commit_group, probe};
use super::opened::{Life, Opened};
use super::queue::Popped;
use super::shared::{Request, Shared, closed};
use super::upkeep::{TICK, Upkeep};
use crate::seam::{Error, SpaceId};

/// Why the database is to be given up.
#[derive(Debug)]
pub(super) struct Failed(pub(super) String);

impl Failed {
    fn cause(&self) -> Error {
        Error::Unavailable(self.0.clone())
    }
}

/// Pauses between two tries to open the database.
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// How long the writer goes on writing everything into tables after a failure. What it got done by then is not done
/// again by the next try.
const EMPTIED_WITHIN: Duration = Duration::from_secs(60);

/// Time of a closing's deadline that is left for dropping the database.
const DROPPING: Duration = Duration::from_millis(200);

/// What the writer's thread does until the engine ends.
pub(super) fn run(shared: &Shared) {
    let _end = EndGuard(shared);
    let opened = shared.opened.read().clone();
    let mut writer = Writer {
        shared,
        opened,
        upkeep: Upkeep::new(&shared.dir, &shared.settings),
        pause: PAUSE_MIN,
        open_at: Instant::now(),
    };
    writer.work();
    writer.let_go();
}

/// Whatever ends the writer ends the engine, so that nobody waits for an answer that cannot come.
struct EndGuard<'a>(&'a Shared);

impl Drop for EndGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.busy.lose();
        }
        self.0.closing.store(true, Ordering::Release);
        self.0.requests.end();
        self.0.jobs.end();
        while let Popped::Item(request) = self.0.requests.pop(None) {
            refuse(request, closed());
        }
        self.0.ended.send_replace(true);
    }
}

struct Writer<'a> {
    shared: &'a Shared,
    opened: Option<Arc<Opened>>,
    upkeep: Upkeep,
    pause: Duration,
    open_at: Instant,
}

impl Writer<'_> {
    fn work(&mut self) {
        loop {
            let wait = if self.opened.is_some() { self.upkeep.idle_for() } else { self.until_opening() };
            match self.shared.requests.pop(Some(wait)) {
                Popped::Ended => return,
                Popped::Item(Request::Close { deadline }) => return self.close(deadline),
                Popped::Item(request) => self.serve(request),
                Popped::Nothing => {}
            }
            match self.opened.clone() {
                Some(opened) => {
                    let shared = self.shared;
                    let result = shared.busy.during(|| self.upkeep.tick(&opened));
                    drop(opened);
                    self.heed(result);
                }
                None if Instant::now() >= self.open_at => self.open(),
                None => {}
            }
        }
    }

    fn serve(&mut self, request: Request) {
        let Some(opened) = self.opened.clone() else {
            return refuse(request, Error::Unavailable("it is being opened again".into()));
        };
        let shared = self.shared;
        let result = match request {
            Request::Write(write) => commit_group(shared, &opened, &mut self.upkeep, write),
            Request::OpenSpace { id, reply } => {
                let result = shared.busy.during(|| open_space(shared, &opened, &id));
                answer(result, |result| drop(reply.send(result)))
            }
            Request::DropSpace { id, reply } => {
                let result = shared.busy.during(|| {
                    drop_space(shared, &opened, &id)?;
                    self.upkeep.after_drop(&opened)
                });
                answer(result, |result| drop(reply.send(result)))
            }
            Request::Trim { id, life, below, reply } => {
                let result = match opened.space_of(&id, &life) {
                    Ok(space) => shared.busy.during(|| self.upkeep.trim(&space, below)),
                    Err(error) => return drop(reply.send(Err(error))),
                };
                answer(result, |result| drop(reply.send(result)))
            }
            Request::Close { .. } => Ok(()),
        };
        drop(opened);
        self.heed(result);
    }

    /// Gives the database up if something failed.
    fn heed(&mut self, result: Result<(), Failed>) {
        if let Err(failed) = result {
            tracing::error!(cause = failed.0, "the database failed, it is opened again");
            self.let_go();
            self.open_at = Instant::now();
        }
    }

    fn until_opening(&self) -> Duration {
        self.open_at.saturating_duration_since(Instant::now())
    }

    /// Drops the database, once no reader has it any more.
    fn let_go(&mut self) {
        *self.shared.opened.write() = None;
        let Some(mut opened) = self.opened.take() else { return };
        // What is trimmed and not dropped yet is found again, and trimmed again by its owner.
        self.upkeep = Upkeep::new(&self.shared.dir, &self.shared.settings);
        self.shared.busy.during(|| {
            loop {
                match Arc::try_unwrap(opened) {
                    Ok(last) => break drop(catch_unwind(AssertUnwindSafe(|| drop(last)))),
                    Err(shared) => opened = shared,
                }
                sleep(Duration::from_millis(1));
            }
        });
    }

    fn open(&mut self) {
        let shared = self.shared;
        match self.open_on_tables() {
            Ok(opened) => {
                tracing::info!("the database is open again");
                let opened = Arc::new(opened);
                *shared.opened.write() = Some(Arc::clone(&opened));
                self.opened = Some(opened);
                self.pause = PAUSE_MIN;
            }
            Err(error) => {
                tracing::warn!(%error, pause = ?self.pause, "the database could not be opened");
                self.open_at = Instant::now() + self.pause;
                self.pause = (self.pause * 2).min(PAUSE_MAX);
            }
        }
    }

    /// Opens the database, writes what its journal holds into tables, and opens it with an empty one.
    fn open_on_tables(&mut self) -> Result<Opened, Error> {
        let shared = self.shared;
        let open = || Opened::open(&shared.dir, &shared.settings, &shared.lives);
        let opened = shared.busy.during(open)?;
        let emptied = self.empty_journal(&opened, Instant::now() + EMPTIED_WITHIN);
        self.upkeep = Upkeep::new(&shared.dir, &shared.settings);
        shared.busy.during(|| drop(catch_unwind(AssertUnwindSafe(|| drop(opened)))));
        emptied.map_err(|failed| failed.cause())?;
        shared.busy.during(open)
    }

    /// Writes everything into tables and empties the journal. Nothing may be written after.
    fn empty_journal(&mut self, opened: &Opened, until: Instant) -> Result<(), Failed> {
        let shared = self.shared;
        shared.busy.during(|| self.upkeep.checkpoint(opened))?;
        while !opened.is_flushed() {
            if Instant::now() >= until {
                return Err(Failed("there was no time to flush everything".into()));
            }
            shared.busy.during(|| probe(opened))?;
            sleep(Duration::from_millis(2));
        }
        shared.busy.during(|| opened.empty_journal(&shared.dir)).map_err(|error| Failed(error.to_string()))
    }

    /// Writes everything into tables, so that the next start has no journal to read.
    fn close(&mut self, deadline: Instant) {
        let Some(opened) = self.opened.clone() else { return };
        let until = deadline.checked_sub(DROPPING).unwrap_or(deadline);
        let shared = self.shared;
        let dropped = shared.busy.during(|| self.upkeep.drop_trimmed(&opened, usize::MAX, until));
        let result = dropped.and_then(|()| self.empty_journal(&opened, until));
        if let Err(failed) = result {
            tracing::warn!(cause = failed.0, "the next start has to read the journal");
        }
    }
}

/// Sends what a request came to, and hands a failure on.
fn answer<T>(result: Result<T, Failed>, send: impl FnOnce(Result<T, Error>)) -> Result<(), Failed> {
    match result {
        Ok(value) => {
            send(Ok(value));
            Ok(())
        }
        Err(failed) => {
            send(Err(failed.cause()));
            Err(failed)
        }
    }
}

fn open_space(shared: &Shared, opened: &Opened, id: &SpaceId) -> Result<Arc<Life>, Failed> {
    let space = opened.make_space(id, &shared.lives);
    let space = space.map_err(|error| Failed(format!("space `{id}` could not be made: {error}")))?;
    Ok(Arc::clone(&space.life))
}

fn drop_space(shared: &Shared, opened: &Opened, id: &SpaceId) -> Result<(), Failed> {
    let removed = opened.remove_space(id, &shared.lives);
    removed.map_err(|error| Failed(format!("space `{id}` could not be dropped: {error}")))
}

fn refuse(request: Request, cause: Error) {
    match request {
        Request::Write(write) => write.refuse(cause),
        Request::OpenSpace { reply, .. } => drop(reply.send(Err(cause))),
        Request::DropSpace { reply, .. } | Request::Trim { reply, .. } => drop(reply.send(Err(cause))),
        Request::Close { .. } => {}
    }
}

/// What the watching thread does until the engine ends: it calls when a call into fjall does not come back, or
/// the writer is dead. It never calls fjall itself.
pub(super) fn watch(shared: &Shared, on_stuck: impl Fn()) {
    loop {
        // Read first: a writer that dies says so before it has ended.
        let has_ended = *shared.ended.borrow();
        if shared.busy.found_stuck(shared.settings.stuck_after) {
            tracing::error!("the writer of the database does not come back");
            on_stuck();
        }
        if has_ended {
            return;
        }
        std::thread::park_timeout(TICK);
    }
}
