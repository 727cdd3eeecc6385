//! A database that is open: its spaces, and the state that readers see.
//!
//! Fjall numbers flushes and compactions like batches, so a snapshot that it gives while a batch is being
//! applied may hold half of the batch. Therefore readers never ask fjall for one: the writer takes a snapshot
//! between two batches and puts it up as the *view*, of which readers take copies.

use std::collections::{BTreeMap, HashMap};
use std::fs::OpenOptions;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use fjall::{Database, Keyspace, Snapshot};
use parking_lot::{Mutex, RwLock};

use super::fault;
use super::log::{KeyspaceName, Log, log_name};
use super::numbers::Numbers;
use super::settings::FjallSettings;
use super::spares::{Owner, Pair, Spares};
use super::torn;
use super::tree::Tree;
use super::tuning::{database_builder, log_options, table_options};
use crate::seam::{Error, SpaceId};

/// The engine's own keyspace. It keeps the limit of [`Numbers`] and the owners of pairs, and is written to in order to
/// set fjall's housekeeping going. No space is named so.
const KICK: &str = "_kick";

/// How long a spare is waited for whose mark is being flushed. Making a pair takes as long.
const SPARE_WITHIN: Duration = Duration::from_millis(20);

pub(super) struct Opened {
    pub(super) db: Database,
    pub(super) kick: Tree,
    numbers: Numbers,
    spaces: RwLock<BTreeMap<SpaceId, Arc<SpaceData>>>,
    spares: Mutex<Spares>,
    view: RwLock<Snapshot>,
}

pub(super) struct SpaceData {
    pub(super) id: SpaceId,
    pub(super) life: Arc<Life>,
    pub(super) table: Tree,
    pub(super) log: Log,
    /// The keyspaces of both.
    pair: Pair,
}

impl SpaceData {
    fn new(id: SpaceId, pair: Pair, lives: &Lives) -> fjall::Result<Self> {
        let table = Tree::new(pair.table.clone());
        let log = Log::found(pair.log.clone())?;
        Ok(Self { life: lives.of(&id), id, table, log, pair })
    }
}

/// A space's time from its making to its dropping; a later space of the same name has another. It outlives
/// the database's being opened again, and so do the handles that hold it.
#[derive(Debug, Default)]
pub(super) struct Life(AtomicBool);

impl Life {
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The lives of all spaces.
#[derive(Debug, Default)]
pub(super) struct Lives(Mutex<HashMap<SpaceId, Arc<Life>>>);

impl Lives {
    fn of(&self, id: &SpaceId) -> Arc<Life> {
        Arc::clone(self.0.lock().entry(id.clone()).or_default())
    }

    fn end(&self, id: &SpaceId) {
        if let Some(life) = self.0.lock().remove(id) {
            life.0.store(true, Ordering::Release);
        }
    }
}

impl Opened {
    /// Opens the database in `dir`, making it if there is none, and removes what crashes left over.
    pub(super) fn open(dir: &Path, settings: &FjallSettings, lives: &Lives) -> Result<Self, Error> {
        let db = open_database(dir, settings)?;
        let kick = Tree::new(db.keyspace(KICK, table_options).map_err(fault::of_read)?);
        // Before anything is made or dropped.
        let numbers = Numbers::restore(&db, &kick.keyspace).map_err(fault::of_read)?;
        let (spaces, spares) = find_spaces(&db, &kick.keyspace, lives)?;
        let view = RwLock::new(db.snapshot());
        Ok(Self { db, kick, numbers, spaces: RwLock::new(spaces), spares: Mutex::new(spares), view })
    }

    /// Sees to it that no number is given again after a start. Only the writer may do so.
    pub(super) fn keep_numbers_ahead(&self) -> fjall::Result<()> {
        self.numbers.keep_ahead(&self.db, &self.kick.keyspace)
    }

    /// A copy of the view: every batch up to some point, whole, and nothing of any later one.
    pub(super) fn view(&self) -> Snapshot {
        self.view.read().clone()
    }

    /// Puts up the present state as the view. Only the writer may do so, and only between two batches.
    pub(super) fn renew_view(&self) {
        if self.view.read().seqno() != self.db.seqno() {
            let view = self.db.snapshot();
            let past = std::mem::replace(&mut *self.view.write(), view);
            drop(past);
        }
    }

    pub(super) fn space_ids(&self) -> Vec<SpaceId> {
        self.spaces.read().keys().cloned().collect()
    }

    pub(super) fn spaces(&self) -> Vec<Arc<SpaceData>> {
        self.spaces.read().values().cloned().collect()
    }

    /// The space of that name, whichever life it lives.
    pub(super) fn space(&self, id: &SpaceId) -> Option<Arc<SpaceData>> {
        self.spaces.read().get(id).cloned()
    }

    /// The space that a handle was opened for.
    pub(super) fn space_of(&self, id: &SpaceId, life: &Arc<Life>) -> Result<Arc<SpaceData>, Error> {
        self.space(id)
            .filter(|space| Arc::ptr_eq(&space.life, life))
            .ok_or_else(|| Error::SpaceGone(id.clone()))
    }

    /// Makes the space, or finds it. Its keyspaces are those of a spare if there is one, since what a new pair
    /// costs is never given back.
    pub(super) fn make_space(&self, id: &SpaceId, lives: &Lives) -> fjall::Result<Arc<SpaceData>> {
        if let Some(space) = self.space(id) {
            return Ok(space);
        }
        let (pair, birth) = match self.take_spare()? {
            Some(spare) => spare,
            None => (Pair::make(&self.db, id)?, 0),
        };
        let owner = Owner::Space { id: id.clone(), birth };
        if pair.owner(&self.kick.keyspace)? != owner {
            pair.note(&self.db, &self.kick.keyspace, &owner)?;
        }
        // An older view still shows what a spare held.
        self.renew_view();
        let space = Arc::new(SpaceData::new(id.clone(), pair, lives)?);
        self.spaces.write().insert(id.clone(), Arc::clone(&space));
        Ok(space)
    }

    /// Takes the space away from readers and writers, and makes a spare of its keyspaces.
    pub(super) fn remove_space(&self, id: &SpaceId, lives: &Lives) -> fjall::Result<()> {
        let Some(space) = self.spaces.write().remove(id) else { return Ok(()) };
        lives.end(id);
        space.pair.note(&self.db, &self.kick.keyspace, &Owner::Nobody)?;
        self.spares.lock().add(space.pair.clone());
        self.empty_spares()
    }

    /// Goes on emptying what dropped spaces left. Only the writer may do so.
    pub(super) fn empty_spares(&self) -> fjall::Result<()> {
        self.spares.lock().empty(&self.db)
    }

    /// A spare that is ready, or will be before a new pair could be made.
    fn take_spare(&self) -> fjall::Result<Option<(Pair, u64)>> {
        let until = Instant::now() + SPARE_WITHIN;
        loop {
            let mut spares = self.spares.lock();
            spares.empty(&self.db)?;
            let spare = spares.take();
            if spare.is_some() || !spares.is_one_marked() || Instant::now() >= until {
                return Ok(spare);
            }
            drop(spares);
            sleep(Duration::from_millis(1));
        }
    }

    /// Whether everything is in tables, and no journal but the one in use is left.
    pub(super) fn is_flushed(&self) -> bool {
        let mut is_flushed = self.db.journal_count() == 1;
        self.each_tree(|tree| is_flushed &= tree.is_flushed());
        is_flushed
    }

    /// Cuts the journal in use to nothing, so that the next start does not read what is in tables anyway. Fjall
    /// itself begins a new journal only every 64 MB.
    ///
    /// Only the writer may do this, when everything [is flushed](Self::is_flushed), and nothing may be written
    /// after. If a crash undoes it, the next start skips what it finds in tables.
    pub(super) fn empty_journal(&self, dir: &Path) -> io::Result<()> {
        for entry in std::fs::read_dir(dir)? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "jnl") {
                OpenOptions::new().write(true).open(path)?.set_len(0)?;
            }
        }
        Ok(())
    }

    /// Calls `visit` with every keyspace.
    pub(super) fn each_tree(&self, mut visit: impl FnMut(&Tree)) {
        visit(&self.kick);
        for space in self.spaces() {
            visit(&space.table);
            visit(&space.log.tree);
        }
        self.spares.lock().trees().for_each(visit);
    }
}

fn open_database(dir: &Path, settings: &FjallSettings) -> Result<Database, Error> {
    // Fjall's recovery has assertions about what it finds on disk.
    let open = || {
        catch_unwind(AssertUnwindSafe(|| database_builder(dir, settings).open()))
            .map_err(|_| Error::Corrupt("fjall cannot make sense of its files".into()))
    };
    let opened = match open()? {
        Err(fjall::Error::JournalRecovery(error)) => {
            let cut = torn::cut_newest(dir).map_err(|error| fault::of_read(error.into()))?;
            if cut { open()? } else { Err(fjall::Error::JournalRecovery(error)) }
        }
        opened => opened,
    };
    opened.map_err(fault::of_read)
}

/// All spaces, and the pairs that are nobody's.
fn find_spaces(
    db: &Database,
    notes: &Keyspace,
    lives: &Lives,
) -> Result<(BTreeMap<SpaceId, Arc<SpaceData>>, Spares), Error> {
    let mut tables = Vec::new();
    let mut logs = HashMap::new();
    for name in db.list_keyspace_names() {
        let keyspace = || db.keyspace(&name, table_options).map_err(fault::of_read);
        match KeyspaceName::parse(&name) {
            KeyspaceName::Table(pair) => tables.push((pair, keyspace()?)),
            KeyspaceName::Log(pair) => drop(logs.insert(pair, keyspace()?)),
            KeyspaceName::Other if &*name == KICK => {}
            KeyspaceName::Other => {
                tracing::warn!(keyspace = &*name, "the engine has a keyspace that is not ours")
            }
        }
    }
    let mut spaces = BTreeMap::new();
    let mut spares = Spares::default();
    for (name, table) in tables {
        let log = match logs.remove(&name) {
            Some(log) => log,
            None => db.keyspace(&log_name(&name), log_options).map_err(fault::of_read)?,
        };
        let pair = Pair { name, table, log };
        match pair.owner(notes).map_err(fault::of_read)? {
            Owner::Nobody => spares.add(pair),
            Owner::Space { id, birth } => {
                pair.forget_before(db, birth).map_err(fault::of_read)?;
                let space = SpaceData::new(id.clone(), pair, lives).map_err(fault::of_read)?;
                spaces.insert(id, Arc::new(space));
            }
        }
    }
    for log in logs.into_values() {
        db.delete_keyspace(log).map_err(fault::of_read)?;
    }
    Ok((spaces, spares))
}
