//! What a task has been through: its latest events, kept over restarts.
//!
//! Noting an event waits for nobody. What is noted is written down behind it, by the task's own life; an end of the
//! program in between costs the last few events and nothing else. Cuts are no events: there are too many.

use std::collections::VecDeque;

use lakeferry_model::Micros;
use lakeferry_model::delivery::{TaskEvent, TaskEventKind};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::space::{TaskId, TaskSpace, Writes};
use crate::stop::{Stop, Stopped};

/// Events of one task at most; the oldest go.
const EVENTS_MAX: usize = 200;

/// A task's history.
#[derive(Debug)]
pub(crate) struct History {
    ring: Mutex<Ring>,
    news: Notify,
}

#[derive(Debug)]
struct Ring {
    events: VecDeque<TaskEvent>,
    next: u64,
    /// Events up to this number are written down.
    written: u64,
    /// The oldest number that may still be written down.
    oldest_written: u64,
}

impl History {
    /// A history that goes on behind what is written down, in the order of the numbers.
    pub(crate) fn new(events: Vec<TaskEvent>) -> Self {
        let last = events.last().map_or(0, |event| event.number);
        let first = events.first().map_or(1, |event| event.number);
        let ring = Ring { events: events.into(), next: last + 1, written: last, oldest_written: first };
        Self { ring: Mutex::new(ring), news: Notify::new() }
    }

    /// Notes an event.
    pub(crate) fn note(&self, at: Micros, kind: TaskEventKind, text: String) {
        let mut ring = self.ring.lock();
        let number = ring.next;
        ring.next += 1;
        ring.events.push_back(TaskEvent { number, at, kind, text });
        if ring.events.len() > EVENTS_MAX {
            ring.events.pop_front();
        }
        drop(ring);
        self.news.notify_one();
    }

    /// All events, oldest first.
    pub(crate) fn told(&self) -> Vec<TaskEvent> {
        self.ring.lock().events.iter().cloned().collect()
    }

    /// Writes down what is noted, until told to stop.
    pub(crate) async fn keep(&self, task: TaskId, space: &TaskSpace, stop: &Stop) -> Stopped {
        loop {
            let (writes, written, oldest) = self.unwritten(task);
            if let Err(stopped) = space.write_surely(writes, stop).await {
                return stopped;
            }
            self.mark_written(written, oldest);
            if let Err(stopped) = stop.or(self.news.notified()).await {
                return stopped;
            }
        }
    }

    /// Writes down what is left, once: the end of a task's life does not wait for an engine that fails.
    pub(crate) async fn keep_last(&self, task: TaskId, space: &TaskSpace) {
        let (writes, written, oldest) = self.unwritten(task);
        if space.write(writes).await.is_ok() {
            self.mark_written(written, oldest);
        }
    }

    /// Removes everything that is written down, for good.
    pub(crate) fn remove(&self, task: TaskId, writes: &mut Writes) {
        let ring = self.ring.lock();
        for number in ring.oldest_written..ring.next {
            writes.remove_event(task, number);
        }
    }

    fn unwritten(&self, task: TaskId) -> (Writes, u64, u64) {
        let ring = self.ring.lock();
        let mut writes = Writes::default();
        let oldest = ring.events.front().map_or(ring.next, |event| event.number);
        for number in ring.oldest_written..oldest {
            writes.remove_event(task, number);
        }
        for event in ring.events.iter().filter(|event| event.number > ring.written) {
            writes.put_event(task, event);
        }
        (writes, ring.next - 1, oldest)
    }

    fn mark_written(&self, written: u64, oldest: u64) {
        let mut ring = self.ring.lock();
        (ring.written, ring.oldest_written) = (written, oldest);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use lakeferry_engine::{Engine, MemoryEngine};

    use super::*;
    use crate::stop::Stopper;

    #[test]
    fn the_oldest_events_go_and_numbers_go_on() {
        let history = History::new(Vec::new());
        for at in 0..250 {
            history.note(at, TaskEventKind::Paused, String::new());
        }
        let told = history.told();
        assert_eq!((told.len(), told[0].number, told[199].number), (200, 51, 250));
        let history = History::new(told);
        history.note(0, TaskEventKind::Resumed, String::new());
        assert_eq!(history.told()[199].number, 251);
    }

    #[tokio::test]
    async fn no_more_events_are_written_down_than_are_told() {
        let engine: Arc<dyn Engine> = Arc::new(MemoryEngine::default());
        let space = TaskSpace::open(&engine, 1).await.unwrap();
        let (task, stopper) = (TaskId::of_number(1), Stopper::new());
        let history = History::new(Vec::new());
        for round in 0..3 {
            for at in 0..150 {
                history.note(at, TaskEventKind::Paused, round.to_string());
            }
            history.keep_last(task, &space).await;
        }
        assert_eq!(space.event_count(task).await, 200);
        let mut writes = Writes::default();
        history.remove(task, &mut writes);
        space.write_surely(writes, &stopper.handle()).await.unwrap();
        assert_eq!(space.event_count(task).await, 0);
    }
}
