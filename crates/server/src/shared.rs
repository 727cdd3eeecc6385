//! What every request of a running server shares.

use std::sync::Arc;
use std::time::Instant;

use lakeferry_delivery::{CreateVia, Delivery};
use lakeferry_engine::FjallEngine;
use lakeferry_lake::Bucket;
use lakeferry_model::delivery::{Destination, TaskSpec};
use lakeferry_model::{
    BucketEntry, BucketLocation, BucketName, Clock, InstanceEntry, InstanceName, RoleEntry, RoleName,
    TableName, TaskName, Violation,
};
use lakeferry_store::tunnel::Tunnels;
use lakeferry_store::{Store, Table};
use lakeferry_wire::code::{ErrorCode, message};
use tokio::sync::{Mutex, MutexGuard};

use crate::error::{ApiError, chain};
use crate::front::body::BodyBudget;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// The parts of a running server.
pub struct Shared {
    /// The settings in force.
    pub settings: Settings,
    /// The engine under the rows, for those who watch it.
    pub engine: Arc<FjallEngine>,
    /// The rows.
    pub store: Store,
    /// The tasks.
    pub delivery: Delivery,
    /// The tunnels.
    pub tunnels: Tunnels,
    /// The bytes of request bodies held at once.
    pub bodies: BodyBudget,
    /// The bytes of large answers held at once, until their callers have read them.
    pub answers: BodyBudget,
    /// What has been counted.
    pub metrics: Metrics,
    /// Held while a table is changed or deleted and while a task is made: no change is lost to another, and
    /// no task is left without its table. Also while a key is deleted: one operator is left.
    pub changing: Mutex<()>,
}

impl Shared {
    /// The time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        self.store.clock()
    }

    /// Lets nobody else make a task, change or delete a table, or delete a key, while the answer is held.
    ///
    /// # Errors
    /// If somebody else holds it until the deadline.
    pub async fn hold_tables(&self, deadline: Instant) -> Result<MutexGuard<'_, ()>, ApiError> {
        let held = tokio::time::timeout_at(deadline.into(), self.changing.lock()).await;
        held.map_err(|_| ApiError::new(ErrorCode::ServerBusy, message::SERVER_BUSY))
    }

    /// Makes a delivery task, and answers its table. With `--dev` a bucket or role that is missing is made
    /// first.
    ///
    /// # Errors
    /// If there is no such table, or delivery refuses the task.
    pub async fn create_task(
        &self,
        instance: &InstanceName,
        table: &TableName,
        spec: TaskSpec,
        via: CreateVia,
        deadline: Instant,
    ) -> Result<Table, ApiError> {
        let _held = self.hold_tables(deadline).await?;
        let table = self.store.table(instance, table)?;
        if self.settings.dev {
            self.make_destination(&spec.destination).await?;
        }
        self.delivery.create(&table, spec, via).await?;
        Ok(table)
    }

    /// Changes a delivery task, given what was asked for last. With `--dev` a bucket or role that is missing is
    /// made first.
    ///
    /// # Errors
    /// If there is no such task, or delivery refuses the change.
    pub async fn update_task(
        &self,
        table: &Table,
        task: &TaskName,
        change: impl Fn(TaskSpec) -> Result<TaskSpec, Violation>,
        via: CreateVia,
        deadline: Instant,
    ) -> Result<(), ApiError> {
        let _held = self.hold_tables(deadline).await?;
        if self.settings.dev {
            let asked = change(self.delivery.describe(table, task)?.spec)?;
            self.make_destination(&asked.destination).await?;
        }
        Ok(self.delivery.update(table, task, change, via).await?)
    }

    async fn make_destination(&self, destination: &Destination) -> Result<(), ApiError> {
        if self.store.bucket(&destination.bucket).is_none() {
            self.make_bucket(destination.bucket.clone(), BucketLocation::Local).await?;
        }
        // A role that cannot be named is delivery's to refuse.
        let Ok(name) = RoleName::parse(&destination.role) else { return Ok(()) };
        if self.store.role(&name).is_none() {
            let role = RoleEntry { name, created_at: self.clock().now_micros(), assumed: None };
            self.store.put_role(role).await?;
        }
        Ok(())
    }

    /// Adds a bucket to the bucket table. A local one's directory is made first: a table that names a
    /// directory that is not there would mean that somebody removed it.
    ///
    /// # Errors
    /// If the directory cannot be made or the catalog cannot be written.
    pub async fn make_bucket(
        &self,
        name: BucketName,
        location: BucketLocation,
    ) -> Result<BucketEntry, ApiError> {
        let entry = BucketEntry { name, location, created_at: self.clock().now_micros() };
        Bucket::create(&entry, &self.settings.lake_dir()).await.map_err(|error| {
            let message = "The bucket's directory cannot be made.";
            ApiError::internal(ErrorCode::InternalServerError, message, chain(&error))
        })?;
        self.store.put_bucket(entry.clone()).await?;
        Ok(entry)
    }

    /// Makes an instance, unless it is there.
    ///
    /// # Errors
    /// If the catalog cannot be written.
    pub async fn make_instance(&self, name: &InstanceName) -> Result<(), ApiError> {
        match self.store.create_instance(name).await {
            Err(error) if matches!(error.kind(), lakeferry_store::ErrorKind::Exists) => Ok(()),
            other => Ok(other.map(|_: InstanceEntry| ())?),
        }
    }
}
