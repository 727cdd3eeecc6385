//! Room for large answers: it bounds what reads hold in memory, and what callers leave unread.
//!
//! A read that may answer much takes room before it begins. When its answer is made, it keeps as much as that needs,
//! until the answer is sent or its connection gone. Small answers need none. Only reads take room: a write that is
//! done must be told so.

use std::time::Instant;

use bytes::Bytes;
use lakeferry_model::limits;
use lakeferry_wire::operation::Operation;
use tokio::sync::OwnedSemaphorePermit;

use super::body::BodyBudget;
use crate::error::ApiError;

/// Answers up to this are not worth counting.
const SMALL_BYTES_MAX: usize = 64 * 1024;

/// An answer, and the room that it takes.
pub struct HeldAnswer {
    /// The answer's message.
    pub bytes: Bytes,
    held: Option<OwnedSemaphorePermit>,
}

/// The room of an answer that is not made yet.
pub struct Room {
    budget: BodyBudget,
    operation: Operation,
    held: Option<OwnedSemaphorePermit>,
}

impl Room {
    /// Room for the answer that the operation may be expected to make.
    ///
    /// # Errors
    /// If there is none until the deadline.
    pub async fn expect(
        budget: &BodyBudget,
        operation: Operation,
        deadline: Instant,
    ) -> Result<Self, ApiError> {
        let held = match operation {
            Operation::GetRange
            | Operation::BulkExport
            | Operation::BatchGetRow
            | Operation::GetStreamRecord
            | Operation::TunnelReadRecords => Some(budget.hold(limits::RANGE_BYTES_MAX, deadline).await?),
            _ => None,
        };
        Ok(Self { budget: budget.clone(), operation, held })
    }

    /// Keeps as much as the answer takes.
    ///
    /// # Errors
    /// If it takes more than was expected, and there is not so much until the deadline.
    pub async fn keep(mut self, bytes: Bytes, deadline: Instant) -> Result<HeldAnswer, ApiError> {
        if bytes.len() <= SMALL_BYTES_MAX || !self.operation.is_idempotent() {
            return Ok(HeldAnswer { bytes, held: None });
        }
        let kept = self.held.as_mut().and_then(|held| held.split(bytes.len().div_ceil(1024)));
        // All is given back before more is waited for: those that wait for more would wait for each other.
        drop(self.held);
        let held = match kept {
            Some(kept) => kept,
            None => self.budget.hold(bytes.len(), deadline).await?,
        };
        Ok(HeldAnswer { bytes, held: Some(held) })
    }
}

impl HeldAnswer {
    /// The same room for what is sent in the answer's place.
    pub fn sent_as(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }

    /// The bytes, which give the room back when the last of them is sent.
    pub fn into_bytes(self) -> Bytes {
        if self.held.is_some() { Bytes::from_owner(self) } else { self.bytes }
    }
}

impl AsRef<[u8]> for HeldAnswer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl From<Bytes> for HeldAnswer {
    fn from(bytes: Bytes) -> Self {
        Self { bytes, held: None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    /// An answer of that size, at once or never.
    async fn answer(budget: &BodyBudget, operation: Operation, bytes: usize) -> Result<HeldAnswer, ApiError> {
        let now = Instant::now();
        Room::expect(budget, operation, now).await?.keep(vec![0; bytes].into(), now).await
    }

    #[tokio::test]
    async fn a_large_answer_has_its_room_until_it_is_sent() {
        let budget = BodyBudget::new(8);
        let sent = answer(&budget, Operation::GetRange, 5 * MIB).await.unwrap().into_bytes();
        assert_eq!(sent.len(), 5 * MIB);
        assert!(answer(&budget, Operation::GetRange, 1).await.is_err(), "3 MiB are left");
        let rest = sent.slice(MIB..);
        drop(sent);
        assert!(answer(&budget, Operation::GetRow, 4 * MIB).await.is_err());
        drop(rest);
        assert!(answer(&budget, Operation::GetRow, 8 * MIB).await.is_ok());
    }

    #[tokio::test]
    async fn an_answer_keeps_no_more_than_it_takes() {
        let budget = BodyBudget::new(4);
        let _small = answer(&budget, Operation::GetRange, 100).await.unwrap();
        let _larger = answer(&budget, Operation::GetRange, MIB).await.unwrap();
        assert!(budget.hold(3 * MIB, Instant::now()).await.is_ok());
    }

    #[tokio::test]
    async fn a_write_that_is_done_is_told_so_whatever_is_held() {
        let budget = BodyBudget::new(1);
        let _held = budget.hold(MIB, Instant::now()).await.unwrap();
        assert!(answer(&budget, Operation::BatchWriteRow, MIB).await.is_ok());
    }
}
