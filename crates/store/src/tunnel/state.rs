//! What a tunnel knows of its channels and clients, and what a heartbeat makes of it. Pure: old state and a
//! report in, new state and an answer out; the time comes in, too.
//!
//! 1. Clients that sent no heartbeat in time are gone; their channels are free.
//! 2. What the client reports is adopted where its version is not older: it read a channel to its end, or gave
//!    it back.
//! 3. Channels that may be open (those of rows first, those of the log when all rows are read) are shared out
//!    evenly. A client that holds too many is asked to give some back; one that holds too few takes free ones.
//! 4. The answer is all that the client holds now; what is not in it, the client drops.
//!
//! A channel has one client at a time: it is free only when its client has given it back or is gone.

use std::collections::BTreeMap;
use std::time::Duration;

use super::entry::{ChannelEntry, ChannelStatus, ClientEntry, Position, TunnelKind};
use super::error::Error;
use super::share::share;
use super::{ChannelId, ClientId};

/// The highest version that a client's report is believed: no server ever said one as high, and the versions after
/// it must have room.
const VERSION_MAX: i64 = i64::MAX / 2;

/// A channel between server and client: what one of them says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelReport {
    /// Which.
    pub id: ChannelId,
    /// The version of what is said; the higher one is right.
    pub version: i64,
    /// How it is doing.
    pub status: ChannelStatus,
}

/// A client that is connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) entry: ClientEntry,
    /// When it was heard of last, by the monotonic clock.
    pub(super) seen: Duration,
    /// Whether it has sent a heartbeat: before that, it may never come to read anything.
    pub(super) beats: bool,
}

/// The channels and clients of a tunnel.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    pub(super) channels: BTreeMap<ChannelId, ChannelEntry>,
    pub(super) clients: BTreeMap<ClientId, Client>,
}

impl State {
    /// Takes a client's heartbeat.
    ///
    /// # Errors
    /// If the client is gone.
    pub(super) fn heartbeat(
        &mut self,
        kind: TunnelKind,
        id: &ClientId,
        reports: &[ChannelReport],
        now: Duration,
    ) -> Result<Vec<ChannelReport>, Error> {
        self.forget_silent(now);
        let client = self.clients.get_mut(id).ok_or_else(|| Error::ClientGone(id.clone()))?;
        client.seen = now;
        client.beats = true;
        for report in reports {
            self.adopt(id, report);
        }
        self.end_finished();
        self.share_out(kind, id);
        let held = self.channels.iter().filter(|(_, channel)| channel.client.as_ref() == Some(id));
        Ok(held
            .map(|(id, channel)| ChannelReport {
                id: id.clone(),
                version: channel.version,
                status: channel.status,
            })
            .collect())
    }

    /// Forgets clients that were silent for too long; their channels are free.
    pub(super) fn forget_silent(&mut self, now: Duration) {
        let silent: Vec<ClientId> = self
            .clients
            .iter()
            .filter(|(_, client)| client.is_silent(now))
            .map(|(id, _)| id.clone())
            .collect();
        for id in silent {
            self.forget(&id);
        }
    }

    /// Forgets a client; its channels are free.
    pub(super) fn forget(&mut self, id: &ClientId) {
        self.clients.remove(id);
        for channel in self.channels.values_mut().filter(|channel| channel.client.as_ref() == Some(id)) {
            channel.free();
        }
    }

    /// A channel that the client may read: one that it holds. Nobody, whose id is empty, may read what nobody holds:
    /// clients look into a tunnel like that, with what DescribeTunnel says of its channels.
    ///
    /// # Errors
    /// If the client is gone, or the channel is not its own.
    pub(super) fn readable(
        &self,
        client: &ClientId,
        id: &ChannelId,
        now: Duration,
    ) -> Result<&ChannelEntry, Error> {
        if client.is_nobody() {
            let free = self.channels.get(id).filter(|channel| channel.client.is_none());
            return free.ok_or_else(|| Error::ChannelGone(id.clone()));
        }
        self.held(client, id, now)
    }

    /// A channel that the client holds.
    ///
    /// # Errors
    /// If the client is gone, or the channel is not its own.
    pub(super) fn held(
        &self,
        client: &ClientId,
        id: &ChannelId,
        now: Duration,
    ) -> Result<&ChannelEntry, Error> {
        if self.clients.get(client).is_none_or(|client| client.is_silent(now)) {
            return Err(Error::ClientGone(client.clone()));
        }
        let channel = self.channels.get(id).filter(|channel| channel.client.as_ref() == Some(client));
        channel.ok_or_else(|| Error::ChannelGone(id.clone()))
    }

    /// Takes a client's checkpoint.
    ///
    /// # Errors
    /// If the channel is not the client's, or the number is not the one after the last.
    pub(super) fn checkpoint(
        &mut self,
        client: &ClientId,
        id: &ChannelId,
        position: Position,
        number: i64,
        now: Duration,
    ) -> Result<(), Error> {
        let expected = self.held(client, id, now)?.sequence_number + 1;
        if number != expected {
            return Err(Error::Sequence { given: number, expected });
        }
        let channel = self.channels.get_mut(id).ok_or_else(|| Error::ChannelGone(id.clone()))?;
        channel.sequence_number = number;
        channel.count = position.count().unwrap_or(channel.count);
        channel.checkpoint = position;
        Ok(())
    }

    /// Notes how much a channel held that its client has read to the end.
    pub(super) fn count_finished(&mut self, client: &ClientId, id: &ChannelId, count: u64, now: Duration) {
        if self.held(client, id, now).is_ok()
            && let Some(channel) = self.channels.get_mut(id)
        {
            channel.count = count;
        }
    }

    /// Takes a channel out of circulation, brings it back, or ends it, as an operator asks.
    ///
    /// # Errors
    /// If there is no such channel.
    pub(super) fn schedule(&mut self, id: &ChannelId, status: ChannelStatus) -> Result<(), Error> {
        let channel = self.channels.get_mut(id).ok_or_else(|| Error::ChannelGone(id.clone()))?;
        channel.suspended = matches!(status, ChannelStatus::Closing | ChannelStatus::Close);
        match (status, channel.status) {
            (ChannelStatus::Terminated, _) => channel.terminate(),
            (ChannelStatus::Closing | ChannelStatus::Close, ChannelStatus::Open) => {
                channel.set(ChannelStatus::Closing);
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether all rows are read.
    pub(super) fn base_is_done(&self) -> bool {
        self.channels.values().all(|channel| !channel.is_base() || channel.is_terminated())
    }

    fn adopt(&mut self, client: &ClientId, report: &ChannelReport) {
        let known = self.channels.get_mut(&report.id).filter(|_| report.version <= VERSION_MAX);
        let Some(channel) = known else { return };
        let is_newer = report.version >= channel.version;
        // Also of a channel that is not the client's: its next version must not look old there.
        channel.version = channel.version.max(report.version);
        if !is_newer || channel.client.as_ref() != Some(client) {
            return;
        }
        match report.status {
            ChannelStatus::Terminated => channel.terminate(),
            ChannelStatus::Close => channel.free(),
            ChannelStatus::Wait | ChannelStatus::Open | ChannelStatus::Closing => {}
        }
    }

    /// Ends what is read to its end although nobody said so: the client went away before it could.
    fn end_finished(&mut self) {
        for channel in self.channels.values_mut() {
            if channel.client.is_none() && channel.checkpoint == Position::Finished {
                channel.status = ChannelStatus::Terminated;
            }
        }
    }

    fn share_out(&mut self, kind: TunnelKind, id: &ClientId) {
        let base_is_done = kind == TunnelKind::Stream || self.base_is_done();
        let may_be_open = |channel: &ChannelEntry| {
            !channel.is_terminated() && !channel.suspended && (channel.is_base() || base_is_done)
        };
        let beating = self.clients.iter().filter(|(_, client)| client.beats);
        let mut held: BTreeMap<&ClientId, usize> = beating.map(|(id, _)| (id, 0)).collect();
        for channel in self.channels.values().filter(|channel| channel.status == ChannelStatus::Open) {
            if let Some(count) = channel.client.as_ref().and_then(|client| held.get_mut(client)) {
                *count += 1;
            }
        }
        let own = held.get(id).copied().unwrap_or(0);
        let target = share(&held, &id, self.channels.values().filter(|channel| may_be_open(channel)).count());
        let free = |channel: &&mut ChannelEntry| channel.client.is_none() && may_be_open(channel);
        for channel in self.channels.values_mut().filter(free).take(target.saturating_sub(own)) {
            channel.client = Some(id.clone());
            channel.set(ChannelStatus::Open);
        }
        let is_own = |channel: &&mut ChannelEntry| {
            channel.status == ChannelStatus::Open && channel.client.as_ref() == Some(id)
        };
        for channel in self.channels.values_mut().rev().filter(is_own).take(own.saturating_sub(target)) {
            channel.set(ChannelStatus::Closing);
        }
    }
}

impl Client {
    fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.seen) > Duration::from_secs(self.entry.timeout_s.into())
    }
}

impl ChannelEntry {
    fn set(&mut self, status: ChannelStatus) {
        self.status = status;
        self.version += 1;
    }

    fn free(&mut self) {
        self.client = None;
        if !self.is_terminated() {
            self.status = ChannelStatus::Close;
        }
    }

    fn terminate(&mut self) {
        self.client = None;
        self.status = ChannelStatus::Terminated;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::entry::Source;
    use super::*;
    use crate::partition::PartitionId;

    const TIMEOUT_S: u32 = 10;

    fn state(base: usize, logs: usize) -> State {
        let partition = PartitionId(1);
        let rows = (0..base).map(|number| {
            let source = Source::Rows { after: None, until: None };
            let start = Position::Rows { after: None, count: 0 };
            (ChannelId::new(format!("BaseData_{number}")), ChannelEntry::new(partition, source, start))
        });
        let logs = (0..logs).map(|number| {
            let start = Position::Log { after: 0, time: 0, count: 0 };
            (ChannelId::new(format!("Stream_{number}")), ChannelEntry::new(partition, Source::Log, start))
        });
        State { channels: rows.chain(logs).collect(), clients: BTreeMap::new() }
    }

    fn connect(state: &mut State, name: &str, now: Duration) -> ClientId {
        let id = ClientId::new(name);
        let entry = ClientEntry { timeout_s: TIMEOUT_S, tag: String::new() };
        state.clients.insert(id.clone(), Client { entry, seen: now, beats: false });
        id
    }

    /// What a worker knows of its channels, as the official ones keep it.
    struct Worker {
        id: ClientId,
        channels: BTreeMap<ChannelId, ChannelReport>,
        running: BTreeSet<ChannelId>,
    }

    impl Worker {
        fn new(state: &mut State, name: &str, now: Duration) -> Self {
            Self { id: connect(state, name, now), channels: BTreeMap::new(), running: BTreeSet::new() }
        }

        fn beat(&mut self, state: &mut State, now: Duration, loses_answer: bool) {
            let reports: Vec<ChannelReport> = self.channels.values().cloned().collect();
            let answer = state.heartbeat(TunnelKind::BaseAndStream, &self.id, &reports, now).unwrap();
            if loses_answer {
                return;
            }
            let mut merged = BTreeMap::new();
            for told in answer {
                let known = self.channels.remove(&told.id).filter(|known| known.version > told.version);
                merged.insert(told.id.clone(), known.unwrap_or(told));
            }
            self.channels = merged;
            let is_open =
                |id: &ChannelId| self.channels.get(id).is_some_and(|c| c.status != ChannelStatus::Close);
            self.running.retain(is_open);
            let opened = self.channels.values().filter(|channel| channel.status == ChannelStatus::Open);
            self.running.extend(opened.map(|channel| channel.id.clone()));
        }

        /// Ends the reading of all channels for which it holds, as done or to be given back; also of those that it
        /// never began with.
        fn end(&mut self, status: ChannelStatus, which: impl Fn(&ChannelReport) -> bool) {
            for channel in self.channels.values_mut().filter(|channel| which(channel)) {
                if self.running.remove(&channel.id) || channel.status == ChannelStatus::Closing {
                    channel.version += 1;
                    channel.status = status;
                }
            }
        }
    }

    fn held(state: &State, worker: &Worker) -> usize {
        state.channels.values().filter(|channel| channel.client.as_ref() == Some(&worker.id)).count()
    }

    #[test]
    fn a_channel_moves_when_its_client_has_given_it_back_and_not_before() {
        let (mut state, now) = (state(4, 0), Duration::ZERO);
        let mut first = Worker::new(&mut state, "first", now);
        first.beat(&mut state, now, false);
        assert_eq!(first.running.len(), 4);
        let mut second = Worker::new(&mut state, "second", now);
        second.beat(&mut state, now, false);
        first.beat(&mut state, now, false);
        let closing = |channel: &ChannelReport| channel.status == ChannelStatus::Closing;
        assert_eq!(first.channels.values().filter(|channel| closing(channel)).count(), 2);
        second.beat(&mut state, now, false);
        assert_eq!(second.running.len(), 0);
        first.end(ChannelStatus::Close, closing);
        first.beat(&mut state, now, false);
        second.beat(&mut state, now, false);
        assert_eq!((first.running.len(), second.running.len()), (2, 2));
        assert!(first.running.is_disjoint(&second.running));
    }

    #[test]
    fn logs_are_opened_when_all_rows_are_read() {
        let (mut state, now) = (state(2, 2), Duration::ZERO);
        let mut worker = Worker::new(&mut state, "worker", now);
        worker.beat(&mut state, now, false);
        assert!(worker.running.iter().all(|id| id.as_str().starts_with("BaseData_")));
        worker.end(ChannelStatus::Terminated, |channel| channel.id.as_str() == "BaseData_0");
        worker.beat(&mut state, now, false);
        assert_eq!(worker.channels.keys().map(ChannelId::as_str).collect::<Vec<_>>(), ["BaseData_1"]);
        worker.end(ChannelStatus::Terminated, |_| true);
        worker.beat(&mut state, now, false);
        assert_eq!(
            worker.running.iter().map(ChannelId::as_str).collect::<Vec<_>>(),
            ["Stream_0", "Stream_1"]
        );
    }

    #[test]
    fn a_channel_whose_client_failed_is_opened_again_with_a_higher_version() {
        let (mut state, now) = (state(1, 0), Duration::ZERO);
        let mut worker = Worker::new(&mut state, "worker", now);
        worker.beat(&mut state, now, false);
        worker.end(ChannelStatus::Close, |_| true);
        worker.beat(&mut state, now, false);
        let channel = worker.channels.values().next().unwrap();
        assert_eq!((channel.version, channel.status), (3, ChannelStatus::Open));
    }

    #[test]
    fn a_version_that_no_server_ever_said_is_not_adopted() {
        let (mut state, now) = (state(1, 0), Duration::ZERO);
        let mut worker = Worker::new(&mut state, "worker", now);
        worker.beat(&mut state, now, false);
        for channel in worker.channels.values_mut() {
            channel.version = i64::MAX;
        }
        worker.beat(&mut state, now, true);
        let id = ChannelId::new("BaseData_0");
        // The next version must still have room.
        state.schedule(&id, ChannelStatus::Terminated).unwrap();
        assert!(state.channels[&id].version < VERSION_MAX);
    }

    #[test]
    fn what_is_checkpointed_as_finished_is_ended_when_its_client_goes() {
        let (mut state, now) = (state(1, 1), Duration::ZERO);
        let mut first = Worker::new(&mut state, "first", now);
        first.beat(&mut state, now, false);
        let base = ChannelId::new("BaseData_0");
        state.checkpoint(&first.id, &base, Position::Finished, 1, now).unwrap();
        state.forget(&first.id);
        let mut second = Worker::new(&mut state, "second", now);
        second.beat(&mut state, now, false);
        assert_eq!(second.running.iter().map(ChannelId::as_str).collect::<Vec<_>>(), ["Stream_0"]);
    }

    #[test]
    fn a_client_that_was_silent_too_long_is_gone() {
        let mut state = state(1, 0);
        let mut worker = Worker::new(&mut state, "worker", Duration::ZERO);
        worker.beat(&mut state, Duration::ZERO, false);
        let limit = Duration::from_secs(TIMEOUT_S.into());
        let channel = ChannelId::new("BaseData_0");
        assert!(state.held(&worker.id, &channel, limit).is_ok());
        let late = limit + Duration::from_millis(1);
        assert!(matches!(state.held(&worker.id, &channel, late), Err(Error::ClientGone(_))));
        let beat = state.heartbeat(TunnelKind::BaseData, &worker.id, &[], late);
        assert!(matches!(beat, Err(Error::ClientGone(_))));
    }

    #[test]
    fn an_operator_takes_a_channel_out_and_brings_it_back() {
        let (mut state, now) = (state(0, 2), Duration::ZERO);
        let mut worker = Worker::new(&mut state, "worker", now);
        worker.beat(&mut state, now, false);
        let (first, second) = (ChannelId::new("Stream_0"), ChannelId::new("Stream_1"));
        state.schedule(&first, ChannelStatus::Closing).unwrap();
        state.schedule(&second, ChannelStatus::Terminated).unwrap();
        worker.beat(&mut state, now, false);
        worker.end(ChannelStatus::Close, |channel| channel.status == ChannelStatus::Closing);
        worker.beat(&mut state, now, false);
        assert_eq!((worker.channels.len(), held(&state, &worker)), (0, 0));
        state.schedule(&first, ChannelStatus::Open).unwrap();
        worker.beat(&mut state, now, false);
        assert_eq!(worker.running, BTreeSet::from([first]));
        assert!(state.schedule(&ChannelId::new("Stream_7"), ChannelStatus::Open).is_err());
    }

    /// What happens next to one of the workers.
    #[derive(Debug, Clone, Copy)]
    enum Event {
        Connect,
        Beat { loses_answer: bool },
        GiveBack,
        Fail,
        Die,
    }

    fn event() -> impl Strategy<Value = Event> {
        prop_oneof![
            2 => Just(Event::Connect),
            8 => any::<bool>().prop_map(|loses_answer| Event::Beat { loses_answer }),
            4 => Just(Event::GiveBack),
            1 => Just(Event::Fail),
            1 => Just(Event::Die),
        ]
    }

    proptest! {
        #[test]
        fn no_two_clients_read_a_channel_and_in_the_end_each_has_its_share(
            channels in 1_usize..6,
            events in prop::collection::vec((event(), 0_usize..4), 0..60),
        ) {
            let (mut state, mut now) = (state(0, channels), Duration::ZERO);
            let mut workers: Vec<Worker> = Vec::new();
            for (number, (event, which)) in events.into_iter().enumerate() {
                if let Event::Connect = event {
                    let name = format!("worker-{number}");
                    workers.push(Worker::new(&mut state, &name, now));
                    continue;
                }
                if workers.is_empty() {
                    continue;
                }
                let at = which % workers.len();
                let worker = &mut workers[at];
                match event {
                    Event::Beat { loses_answer } => worker.beat(&mut state, now, loses_answer),
                    Event::GiveBack => {
                        worker.end(ChannelStatus::Close, |channel| channel.status == ChannelStatus::Closing);
                    }
                    Event::Fail => worker.end(ChannelStatus::Close, |_| true),
                    Event::Connect | Event::Die => {
                        workers.remove(at);
                        // The others go on sending heartbeats while it is silent.
                        for _ in 0..3 {
                            now += Duration::from_secs(u64::from(TIMEOUT_S) / 2);
                            workers.iter_mut().for_each(|worker| worker.beat(&mut state, now, false));
                        }
                    }
                }
                let mut read = BTreeSet::new();
                for id in workers.iter().flat_map(|worker| &worker.running) {
                    prop_assert!(read.insert(id.clone()), "{} is read twice", id);
                }
            }
            for _ in 0..6 {
                for worker in &mut workers {
                    worker.beat(&mut state, now, false);
                    worker.end(ChannelStatus::Close, |channel| channel.status == ChannelStatus::Closing);
                }
            }
            if let (Some(most), Some(least)) =
                (workers.iter().map(|w| w.running.len()).max(), workers.iter().map(|w| w.running.len()).min())
            {
                prop_assert!(most - least <= 1);
                prop_assert_eq!(workers.iter().map(|w| w.running.len()).sum::<usize>(), channels);
            }
        }
    }
}
