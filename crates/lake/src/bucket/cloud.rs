//! A bucket of a store that the `object_store` library speaks to: S3 and compatible, Azure, Google.
//!
//! Small objects are put in one request. Larger ones are uploaded in parts, each signed when it is its turn, so
//! that credentials may change on the way; the object appears when all of them are there. An upload that fails or
//! is given up is ended, and one that a crash has left is ended before its name is used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::path::Path as ObjectPath;
use object_store::{GetOptions, GetRange, MultipartUpload, ObjectStore, ObjectStoreExt, PutPayload};

use super::answer::{answer, explain};
use super::error::BucketError;
use super::uploads::Uploads;
use super::{BucketLimits, ListedObject, Part, PutMode, PutOutcome, ReadObject, Store, within};

/// Parts of one object that are under way at a time.
pub(super) const PARTS_MAX: usize = 4;
/// How long ending an upload that was given up may take.
pub(super) const END_MAX: Duration = Duration::from_secs(10);

/// A bucket reached over HTTP.
#[derive(Debug)]
pub(super) struct CloudStore {
    store: Arc<dyn ObjectStore>,
    /// Finds uploads that were never ended; absent where the store forgets them by itself.
    uploads: Option<Uploads>,
    limits: BucketLimits,
    /// The store has said that it knows no conditional writes.
    lacks_create: AtomicBool,
}

impl CloudStore {
    pub(super) fn new(store: Arc<dyn ObjectStore>, uploads: Option<Uploads>, limits: BucketLimits) -> Self {
        Self { store, uploads, limits, lacks_create: AtomicBool::new(false) }
    }

    async fn create(&self, path: &ObjectPath, bytes: Bytes) -> Result<PutOutcome, BucketError> {
        if !self.lacks_create.load(Ordering::Relaxed) && !self.limits.takes_parts(bytes.len()) {
            let mode = object_store::PutMode::Create;
            match self.store.put_opts(path, PutPayload::from(bytes.clone()), mode.into()).await {
                Ok(_) => return Ok(PutOutcome::Created),
                Err(object_store::Error::AlreadyExists { .. }) => return Ok(PutOutcome::Exists),
                Err(error) if answer(&error).is_some_and(|answer| answer.status == 501) => {
                    self.lacks_create.store(true, Ordering::Relaxed);
                }
                Err(error) => return Err(explain("write", path.as_ref(), error)),
            }
        }
        // Names are used once by one service, so looking first does where the store cannot.
        match self.store.head(path).await {
            Ok(_) => Ok(PutOutcome::Exists),
            // Also if the bucket is missing: then the put says so.
            Err(object_store::Error::NotFound { .. }) => self.replace(path, bytes).await,
            Err(error) => Err(explain("look for", path.as_ref(), error)),
        }
    }

    async fn replace(&self, path: &ObjectPath, bytes: Bytes) -> Result<PutOutcome, BucketError> {
        if self.limits.takes_parts(bytes.len()) {
            return self.put_parts(path, bytes).await.map(|()| PutOutcome::Created);
        }
        let put = self.store.put(path, PutPayload::from(bytes)).await;
        put.map(|_| PutOutcome::Created).map_err(|error| explain("write", path.as_ref(), error))
    }

    async fn put_parts(&self, path: &ObjectPath, bytes: Bytes) -> Result<(), BucketError> {
        self.end_uploads(path.as_ref()).await?;
        let failed = |error| explain("write", path.as_ref(), error);
        let begun = self.store.put_multipart(path).await.map_err(failed)?;
        let mut upload = Upload(Some(begun));
        let outcome = upload.finish(bytes, self.limits.part_bytes).await;
        if outcome.is_err() {
            upload.end().await;
        }
        outcome.map_err(failed)
    }

    async fn read_path(&self, path: &ObjectPath, part: Part) -> Result<Option<ReadObject>, BucketError> {
        let range = match part {
            Part::Whole => None,
            Part::End(bytes) => Some(GetRange::Suffix(bytes)),
        };
        let options = GetOptions { range, ..GetOptions::default() };
        let failed = |error| explain("read", path.as_ref(), error);
        // The first words of the answer tell how much will come, and so how long it may take.
        let result = match within(self.limits.call, self.store.get_opts(path, options)).await? {
            Ok(result) => result,
            Err(error) if answer(&error).is_some_and(|answer| answer.is_absence()) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let object_bytes = result.meta.size;
        let body_bytes = usize::try_from(result.range.end - result.range.start).unwrap_or(usize::MAX);
        let body = within(self.limits.transfer(body_bytes), result.bytes()).await?;
        Ok(Some(ReadObject { bytes: body.map_err(failed)?, object_bytes }))
    }
}

#[async_trait]
impl Store for CloudStore {
    async fn put(&self, name: &str, bytes: Bytes, mode: PutMode) -> Result<PutOutcome, BucketError> {
        let path = parse(name)?;
        match mode {
            PutMode::Create => self.create(&path, bytes).await,
            PutMode::Replace => self.replace(&path, bytes).await,
        }
    }

    async fn read(&self, name: &str, part: Part) -> Result<Option<ReadObject>, BucketError> {
        let path = parse(name)?;
        match self.read_path(&path, part).await {
            // Azure alone knows no ranges that are counted from the end.
            Err(error) if is_unsupported(&error) => self.read_end(&path, part).await,
            read => read,
        }
    }

    async fn delete(&self, name: &str) -> Result<(), BucketError> {
        let path = parse(name)?;
        match self.store.delete(&path).await {
            Ok(()) => Ok(()),
            Err(error @ object_store::Error::NotFound { .. }) => match answer(&error) {
                Some(answer) if answer.is_missing_bucket() => Err(explain("delete", name, error)),
                _ => Ok(()),
            },
            Err(error) => Err(explain("delete", name, error)),
        }
    }

    async fn visit(
        &self,
        folder: &str,
        show: &mut (dyn FnMut(ListedObject) + Send),
    ) -> Result<(), BucketError> {
        let path = parse(folder)?;
        let mut listing = self.store.list((!folder.is_empty()).then_some(&path));
        loop {
            match within(self.limits.call, listing.next()).await? {
                Some(Ok(object)) => {
                    show(ListedObject { name: object.location.to_string(), bytes: object.size });
                }
                Some(Err(error)) => return Err(explain("list", folder, error)),
                None => return Ok(()),
            }
        }
    }

    async fn end_uploads(&self, name: &str) -> Result<(), BucketError> {
        match &self.uploads {
            Some(uploads) => uploads.end(name).await,
            None => Ok(()),
        }
    }

    /// An upload that was cut off leaves nothing that has a name of its own.
    async fn clean_temporary(&self) -> Result<(), BucketError> {
        Ok(())
    }
}

impl CloudStore {
    async fn read_end(&self, path: &ObjectPath, part: Part) -> Result<Option<ReadObject>, BucketError> {
        let Part::End(wanted) = part else { return self.read_path(path, part).await };
        // A look at the first byte rather than at the head, which does not tell why there is nothing.
        let options = GetOptions { range: Some(GetRange::Bounded(0..1)), ..GetOptions::default() };
        let failed = |error| explain("read", path.as_ref(), error);
        let size = match within(self.limits.call, self.store.get_opts(path, options)).await? {
            Ok(result) => result.meta.size,
            Err(error) if answer(&error).is_some_and(|answer| answer.is_absence()) => return Ok(None),
            Err(error) => return Err(failed(error)),
        };
        let range = size.saturating_sub(wanted)..size;
        let limit = self.limits.transfer(usize::try_from(range.end - range.start).unwrap_or(usize::MAX));
        let bytes = within(limit, self.store.get_range(path, range)).await?.map_err(failed)?;
        Ok(Some(ReadObject { bytes, object_bytes: size }))
    }
}

/// An upload in parts, which is ended if it is let go before it is complete.
struct Upload(Option<Box<dyn MultipartUpload>>);

impl Upload {
    async fn finish(&mut self, bytes: Bytes, part_bytes: usize) -> object_store::Result<()> {
        let upload = self.0.as_mut().expect("an upload is here until it is complete or ended");
        let starts = (0..bytes.len()).step_by(part_bytes);
        let parts: Vec<_> = starts
            .map(|start| upload.put_part(bytes.slice(start..bytes.len().min(start + part_bytes)).into()))
            .collect();
        stream::iter(parts).buffer_unordered(PARTS_MAX).try_collect::<()>().await?;
        upload.complete().await?;
        self.0 = None;
        Ok(())
    }

    async fn end(&mut self) {
        let Some(mut upload) = self.0.take() else { return };
        match tokio::time::timeout(END_MAX, upload.abort()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, "an upload that failed could not be ended"),
            Err(_) => tracing::debug!("an upload that failed could not be ended in time"),
        }
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let Some(upload) = self.0.take() else { return };
        // Given up on the way: it ends in the background, within its time.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(async move { Self(Some(upload)).end().await });
        }
    }
}

fn parse(name: &str) -> Result<ObjectPath, BucketError> {
    ObjectPath::parse(name)
        .map_err(|error| BucketError::lasting_from(format!("`{name}` is no name of an object"), error))
}

/// Whether the library does not do that with this store.
fn is_unsupported(error: &BucketError) -> bool {
    let BucketError::Other { source: Some(source), .. } = error else { return false };
    matches!(source.downcast_ref(), Some(object_store::Error::NotSupported { .. }))
}
