//! A queue from async callers to the engine's own threads, bounded by weight.
//!
//! Callers wait for room without holding a thread, up to their deadline; threads wait for items. After
//! [`Queue::end`] nothing more goes in, and what is in comes out before [`Popped::Ended`].

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use tokio::sync::Semaphore;

pub(super) struct Queue<T> {
    waiting: Mutex<Waiting<T>>,
    filled: Condvar,
    room: Semaphore,
    weight_max: u32,
}

struct Waiting<T> {
    items: VecDeque<(u32, T)>,
    ended: bool,
}

pub(super) enum Popped<T> {
    Item(T),
    Nothing,
    Ended,
}

/// Why an item did not go in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum PushError {
    Deadline,
    Ended,
}

impl<T> Queue<T> {
    pub(super) fn new(weight_max: u32) -> Self {
        Self {
            waiting: Mutex::new(Waiting { items: VecDeque::new(), ended: false }),
            filled: Condvar::new(),
            room: Semaphore::new(weight_max as usize),
            weight_max,
        }
    }

    /// Adds an item at the end. One heavier than the whole queue counts as the whole queue.
    pub(super) async fn push(&self, item: T, weight: u32, deadline: Instant) -> Result<(), PushError> {
        let weight = weight.clamp(1, self.weight_max);
        let permit = match self.room.try_acquire_many(weight) {
            Ok(permit) => permit,
            Err(_) => tokio::time::timeout_at(deadline.into(), self.room.acquire_many(weight))
                .await
                .map_err(|_| PushError::Deadline)?
                .map_err(|_| PushError::Ended)?,
        };
        let mut waiting = self.waiting.lock();
        if waiting.ended {
            return Err(PushError::Ended);
        }
        permit.forget();
        waiting.items.push_back((weight, item));
        drop(waiting);
        self.filled.notify_one();
        Ok(())
    }

    /// Takes the first item, waiting for it at most this long; without a bound if there is none.
    pub(super) fn pop(&self, wait: Option<Duration>) -> Popped<T> {
        let until = wait.map(|wait| Instant::now() + wait);
        let mut waiting = self.waiting.lock();
        loop {
            if let Some((weight, item)) = waiting.items.pop_front() {
                self.room.add_permits(weight as usize);
                return Popped::Item(item);
            }
            if waiting.ended {
                return Popped::Ended;
            }
            match until {
                None => self.filled.wait(&mut waiting),
                Some(until) => {
                    if self.filled.wait_until(&mut waiting, until).timed_out() && waiting.items.is_empty() {
                        return if waiting.ended { Popped::Ended } else { Popped::Nothing };
                    }
                }
            }
        }
    }

    /// Takes the first item if there is one and it passes.
    pub(super) fn pop_if(&self, passes: impl FnOnce(&T) -> bool) -> Option<T> {
        let mut waiting = self.waiting.lock();
        if !waiting.items.front().is_some_and(|(_, item)| passes(item)) {
            return None;
        }
        let (weight, item) = waiting.items.pop_front()?;
        self.room.add_permits(weight as usize);
        Some(item)
    }

    pub(super) fn end(&self) {
        self.waiting.lock().ended = true;
        self.room.close();
        self.filled.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    #[tokio::test]
    async fn a_full_queue_makes_callers_wait_up_to_their_deadline() {
        let queue = Queue::new(10);
        queue.push('a', 6, soon()).await.unwrap();
        assert_eq!(queue.push('b', 6, soon()).await, Err(PushError::Deadline));
        assert!(matches!(queue.pop(None), Popped::Item('a')));
        queue.push('c', 1_000, soon()).await.unwrap();
        assert!(matches!(queue.pop(None), Popped::Item('c')));
    }

    #[tokio::test]
    async fn what_is_in_an_ended_queue_still_comes_out() {
        let queue = Queue::new(10);
        queue.push('a', 1, soon()).await.unwrap();
        queue.end();
        assert_eq!(queue.push('b', 1, soon()).await, Err(PushError::Ended));
        assert!(matches!(queue.pop(None), Popped::Item('a')));
        assert!(matches!(queue.pop(None), Popped::Ended));
    }

    #[tokio::test]
    async fn only_an_item_that_passes_is_taken() {
        let queue = Queue::new(10);
        queue.push(1, 1, soon()).await.unwrap();
        assert_eq!(queue.pop_if(|item| *item > 1), None);
        assert_eq!(queue.pop_if(|item| *item == 1), Some(1));
        assert!(matches!(queue.pop(Some(Duration::ZERO)), Popped::Nothing));
    }
}
