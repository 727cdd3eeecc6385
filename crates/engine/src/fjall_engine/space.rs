//! The handle of a space.

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::oneshot;

use super::opened::Life;
use super::queue::PushError;
use super::reader;
use super::shared::{Request, Shared, Ticket, WriteRequest, closed};
use crate::seam::{Area, Batch, Block, Error, Scan, Space, SpaceId, Visitor, WriteError};

pub(super) struct FjallSpace {
    pub(super) id: SpaceId,
    pub(super) life: Arc<Life>,
    pub(super) shared: Arc<Shared>,
}

impl fmt::Debug for FjallSpace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FjallSpace").field(&self.id).finish()
    }
}

#[async_trait]
impl Space for FjallSpace {
    fn id(&self) -> &SpaceId {
        &self.id
    }

    async fn read(
        &self,
        area: Area,
        keys: Vec<Bytes>,
        deadline: Instant,
    ) -> Result<Vec<Option<Bytes>>, Error> {
        reader::ask(&self.shared, &self.id, &self.life, deadline, move |opened, space| {
            reader::read(opened, space, area, &keys)
        })
        .await
    }

    async fn scan(&self, scan: Scan, deadline: Instant) -> Result<Block, Error> {
        reader::ask(&self.shared, &self.id, &self.life, deadline, move |opened, space| {
            reader::scan(opened, space, &scan)
        })
        .await
    }

    fn visit(&self, scan: Scan, deadline: Instant, visitor: &mut Visitor<'_>) -> Result<bool, Error> {
        if Instant::now() >= deadline {
            return Err(Error::Deadline);
        }
        reader::visit_here(&self.shared, &self.id, &self.life, &scan, visitor)
    }

    async fn write(&self, batch: Batch, deadline: Instant) -> Result<(), WriteError> {
        if self.life.is_over() {
            return Err(WriteError::NotWritten(Error::SpaceGone(self.id.clone())));
        }
        let weight = u32::try_from(batch.bytes() / 1024 + 1).unwrap_or(u32::MAX);
        let ticket = Arc::new(Ticket::default());
        let (reply, mut answer) = oneshot::channel();
        let (id, life) = (self.id.clone(), Arc::clone(&self.life));
        let request = WriteRequest { id, life, batch, deadline, ticket: Arc::clone(&ticket), reply };
        send(&self.shared, Request::Write(request), weight, deadline)
            .await
            .map_err(WriteError::NotWritten)?;
        let cause = match tokio::time::timeout_at(deadline.into(), &mut answer).await {
            Ok(Ok(outcome)) => return outcome,
            Ok(Err(_)) => closed(),
            Err(_) => Error::Deadline,
        };
        // Whoever is first decides: the writer skips what was given up.
        if ticket.give_up() { Err(WriteError::NotWritten(cause)) } else { Err(WriteError::Unknown(cause)) }
    }

    async fn trim(&self, below: Bytes, deadline: Instant) -> Result<(), Error> {
        let below = Bytes::copy_from_slice(&below);
        let (id, life) = (self.id.clone(), Arc::clone(&self.life));
        request(&self.shared, deadline, |reply| Request::Trim { id, life, below, reply }).await
    }

    async fn log_bytes(&self, _deadline: Instant) -> Result<u64, Error> {
        // All in memory.
        Ok(self.shared.opened()?.space_of(&self.id, &self.life)?.log.bytes())
    }
}

/// Asks the writer for something, and waits for its answer up to the deadline.
pub(super) async fn request<T>(
    shared: &Shared,
    deadline: Instant,
    make: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Request,
) -> Result<T, Error> {
    let (reply, answer) = oneshot::channel();
    send(shared, make(reply), 1, deadline).await?;
    match tokio::time::timeout_at(deadline.into(), answer).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(closed()),
        Err(_) => Err(Error::Deadline),
    }
}

async fn send(shared: &Shared, request: Request, weight: u32, deadline: Instant) -> Result<(), Error> {
    // Says whether the engine can serve at all, before the request waits in line for it.
    drop(shared.opened()?);
    shared.requests.push(request, weight, deadline).await.map_err(|error| match error {
        PushError::Deadline => Error::Deadline,
        PushError::Ended => closed(),
    })
}
