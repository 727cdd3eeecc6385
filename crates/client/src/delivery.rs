//! Calls for delivery tasks, in the protocol's words. What the protocol cannot say goes through the JSON API.

use lakeferry_model::delivery::{Mode, TaskSpec};
use lakeferry_model::{TableName, Violation};
use lakeferry_wire::convert::{self, TaskReport};
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::transport::Client;

/// A delivery task as it is described.
#[derive(Debug, Clone, PartialEq)]
pub struct DeliveryTask {
    /// What it delivers.
    pub mode: Mode,
    /// Where to and which columns, as the protocol has it.
    pub config: proto::OssTaskConfig,
    /// How it is doing.
    pub report: TaskReport,
}

impl Client {
    /// Makes a delivery task of a table. The task's tuning, zone and suffix do not travel.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_delivery_task(&self, table: &str, spec: &TaskSpec) -> Result<(), Error> {
        let request = proto::CreateDeliveryTaskRequest {
            table_name: Some(table.to_owned()),
            task_name: Some(spec.name.as_str().to_owned()),
            task_config: Some(convert::oss_task_config(spec)),
            task_type: Some(convert::wire_mode(spec.mode)),
        };
        let proto::CreateDeliveryTaskResponse {} = self.call(Operation::CreateDeliveryTask, &request).await?;
        Ok(())
    }

    /// Names and modes of a table's delivery tasks.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_delivery_tasks(&self, table: &str) -> Result<Vec<(String, Mode)>, Error> {
        let request = proto::ListDeliveryTaskRequest { table_name: Some(table.to_owned()) };
        let answer: proto::ListDeliveryTaskResponse =
            self.call(Operation::ListDeliveryTask, &request).await?;
        let tasks = answer.tasks.into_iter().map(|task| {
            let mode = convert::mode(task.task_type.unwrap_or_default());
            Ok((task.task_name.unwrap_or_default(), mode.map_err(malformed(Operation::ListDeliveryTask))?))
        });
        tasks.collect()
    }

    /// Describes a delivery task.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_delivery_task(&self, table: &str, task: &str) -> Result<DeliveryTask, Error> {
        let request = proto::DescribeDeliveryTaskRequest {
            table_name: Some(table.to_owned()),
            task_name: Some(task.to_owned()),
        };
        let answer: proto::DescribeDeliveryTaskResponse =
            self.call(Operation::DescribeDeliveryTask, &request).await?;
        let malformed = malformed(Operation::DescribeDeliveryTask);
        Ok(DeliveryTask {
            mode: convert::mode(answer.task_type.unwrap_or_default()).map_err(malformed)?,
            report: convert::task_status(&answer).map_err(malformed)?,
            config: answer.task_config.unwrap_or_default(),
        })
    }

    /// Changes a delivery task to a specification with its name: its destination and its columns. No columns
    /// stand for those that it has; tuning, zone and suffix do not travel.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn update_delivery_task(&self, table: &str, spec: &TaskSpec) -> Result<(), Error> {
        let table = TableName::parse(table).map_err(malformed(Operation::UpdateDeliveryTask))?;
        let request = convert::update_delivery_task_request(&table, spec);
        let proto::UpdateDeliveryTaskResponse {} = self.call(Operation::UpdateDeliveryTask, &request).await?;
        Ok(())
    }

    /// Ends a delivery task. Its objects stay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_delivery_task(&self, table: &str, task: &str) -> Result<(), Error> {
        let request = proto::DeleteDeliveryTaskRequest {
            table_name: Some(table.to_owned()),
            task_name: Some(task.to_owned()),
        };
        let proto::DeleteDeliveryTaskResponse {} = self.call(Operation::DeleteDeliveryTask, &request).await?;
        Ok(())
    }
}

fn malformed(operation: Operation) -> impl Fn(Violation) -> Error + Copy {
    move |violation| Error::malformed(operation, violation)
}
