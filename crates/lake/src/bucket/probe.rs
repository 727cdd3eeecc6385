//! What a bucket can do, tried out when a task begins and when an operator asks.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::sync::atomic::Ordering;
use uuid::Uuid;

use super::error::BucketError;
use super::{Bucket, PutOutcome};
use crate::SERVICE_FOLDER;

/// What was found of a bucket that can be written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// The store leaves a name alone that is taken. Where it does not, the service looks before it writes.
    pub creates: bool,
    /// What was written is read back as it was, and listed, at once.
    pub appears_whole: bool,
}

impl Probe {
    /// What a person should know, in a sentence; nothing if all is well.
    pub fn doubt(&self) -> Option<&'static str> {
        match (self.appears_whole, self.creates) {
            (false, _) => Some(
                "what is written to the bucket is not read back at once as it was; consumers may see objects late",
            ),
            (true, false) => Some(
                "the bucket does not create without overwriting (a versioned one may not), so names are looked up \
                 before they are written; let nobody else write under the task's names",
            ),
            (true, true) => None,
        }
    }
}

impl Bucket {
    /// Tries the bucket: that it is there, that objects can be written, read and deleted, that a name that is
    /// taken is left alone, and that an upload appears whole. Nothing is left behind but by a crash.
    ///
    /// # Errors
    /// What keeps delivery from using it.
    pub async fn probe(&self) -> Result<Probe, BucketError> {
        // Some stores make a missing bucket with the first put, so it is looked for by listing.
        let folder = format!("{SERVICE_FOLDER}/probe");
        self.visit(&folder, &mut |_| ()).await?;
        let name = format!("{folder}/{}", Uuid::new_v4());
        let tried = self.try_name(&folder, &name).await;
        let deleted = self.delete(&name).await;
        let probe = tried?;
        deleted?;
        self.overwrites.store(!probe.creates, Ordering::Relaxed);
        Ok(probe)
    }

    async fn try_name(&self, folder: &str, name: &str) -> Result<Probe, BucketError> {
        let first = Bytes::from_static(b"lakeferry probes whether it can write here");
        self.replace(name, first.clone()).await?;
        let read = self.read(name).await?;
        let mut listed = None;
        self.visit(folder, &mut |object| {
            if object.name == name {
                listed = Some(object.bytes);
            }
        })
        .await?;
        let appears_whole = read.as_ref() == Some(&first) && listed == Some(first.len() as u64);
        let again = self.create_over(name, Bytes::from_static(b"again")).await?;
        let creates = again == PutOutcome::Exists && self.read(name).await? == Some(first);
        Ok(Probe { creates, appears_whole })
    }
}
