//! A prepared cut of the log done again: the same records, from the log, into the same names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lakeferry_store::{Error, LogBlock, PartitionId};

use super::Lane;
use crate::gather::{CutReason, Gather, Gathered, SealedFolder};
use crate::memory::Lease;
use crate::space::{CutKind, PreparedCut};
use crate::status::Who;
use crate::stop::Stopped;
use crate::trouble::Trouble;

impl Lane {
    /// Does a prepared cut again: the same ranges under the same names, which gives the same bytes.
    pub(super) async fn redo(&mut self, cut: PreparedCut) -> Result<(), Stopped> {
        let CutKind::Log { upto } = &cut.kind else {
            // A scan's cut is given up before any lane of the log begins.
            return Ok(());
        };
        let upto: BTreeMap<PartitionId, u64> =
            upto.iter().map(|(partition, to)| (PartitionId(*partition), *to)).collect();
        // Whether deletes are delivered is a matter of the schema, which may have changed since.
        let placement = self.setup.placement(&cut.schema);
        let present = std::mem::replace(&mut self.placement, placement);
        tracing::info!(task = %self.task.id, lane = self.ticket.lane, cut = cut.number, "doing a prepared cut again");
        let (folders, lease) = loop {
            match self.gather_again(&cut, &upto).await? {
                Ok(gathered) => break gathered,
                Err(error) => {
                    let who = Who::Lane(self.ticket.lane);
                    self.task.wait_in_trouble(who, Trouble::of(&error), 1, &self.stop).await?;
                }
            }
        };
        self.placement = present;
        self.send(cut, upto, folders, lease);
        self.collect_under_way().await
    }

    /// Gathers the records of a prepared cut's folders once more.
    async fn gather_again(
        &mut self,
        cut: &PreparedCut,
        upto: &BTreeMap<PartitionId, u64>,
    ) -> Result<Result<(Vec<SealedFolder>, Lease), Error>, Stopped> {
        let wanted: BTreeSet<&str> = cut.objects.iter().map(|object| object.folder.as_str()).collect();
        let mut again = Gather::new(self.task.account.lease());
        for (&partition, &to) in upto {
            let mut after = self.progress.low(partition);
            while after < to {
                let block = self.read_block(partition, after).await?;
                match self.gather_wanted(&mut again, &wanted, partition, &block, to) {
                    Ok(Some(read)) => after = read,
                    Ok(None) => break,
                    Err(error) => return Ok(Err(error)),
                }
            }
        }
        let (folders, lease) = again.take(CutReason::Asked, Duration::ZERO, &self.rules);
        let mut by_path: BTreeMap<String, SealedFolder> =
            folders.into_iter().map(|folder| (folder.path.as_str().to_owned(), Arc::new(folder))).collect();
        let folders: Vec<SealedFolder> =
            cut.objects.iter().filter_map(|object| by_path.remove(&object.folder)).collect();
        if folders.len() < cut.objects.len() {
            let message = format!("the log no longer holds what cut {} was prepared with", cut.number);
            return Ok(Err(Error::Corrupt(message)));
        }
        Ok(Ok((folders, lease)))
    }

    /// Gathers those records of a block that belong to wanted folders, up to the sequence `to`. Answers how
    /// far it came; nothing if there is no such record.
    fn gather_wanted(
        &mut self,
        again: &mut Gather,
        wanted: &BTreeSet<&str>,
        partition: PartitionId,
        block: &LogBlock,
        to: u64,
    ) -> Result<Option<u64>, Error> {
        let mut read = None;
        for at in 0..block.len() {
            let (view, record) = block.record(at)?;
            let sequence = view.sequence();
            if sequence > to {
                return Ok(Some(to));
            }
            read = Some(sequence);
            let Some(place) = self.placement.place(&view)? else { continue };
            let folder = place.folder.as_str();
            if !wanted.contains(folder) || self.progress.is_delivered(partition, folder, sequence) {
                continue;
            }
            let (commit_time, is_event_time_dirty) = (view.commit_time(), place.is_event_time_dirty);
            let slot = again.slot(place.folder, Duration::ZERO);
            again.push(slot, Gathered { partition, sequence, commit_time, is_event_time_dirty, record });
        }
        Ok(read)
    }
}
