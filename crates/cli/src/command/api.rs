//! The JSON API's answers as the commands read them, and its paths.

use lakeferry_model::delivery::{Mode, TaskSpec, TaskStatus};
use lakeferry_model::{
    AccessKind, AssumedRole, BucketName, InstanceName, Micros, RoleName, TableName, TaskName,
};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::failure::Failure;

/// An instance: little more than a name.
#[derive(Debug, Deserialize)]
pub struct Named<N> {
    pub name: N,
    pub created_at: Micros,
}

/// An instance, as listed.
pub type Instance = Named<InstanceName>;

/// A role, as listed.
#[derive(Debug, Deserialize)]
pub struct Role {
    pub name: RoleName,
    /// What the store's own STS knows it as.
    #[serde(default)]
    pub assumed: Option<AssumedRole>,
    pub created_at: Micros,
}

/// A bucket, as listed.
#[derive(Debug, Deserialize)]
pub struct Bucket {
    pub name: BucketName,
    /// Absent: a directory under the server's `lake`.
    #[serde(default)]
    pub url: Option<String>,
    #[serde(default)]
    pub endpoint: Option<String>,
    #[serde(default)]
    pub access_key_id: Option<String>,
    #[serde(default)]
    pub credentials_from: Option<String>,
    #[serde(default)]
    pub assume_role: Option<String>,
    /// It has no credentials of its own.
    #[serde(default)]
    pub needs_role: bool,
    #[serde(default)]
    pub probe: Option<Probe>,
    pub created_at: Micros,
}

/// What was found when a bucket was tried out.
#[derive(Debug, Deserialize)]
pub struct Probe {
    pub creates: bool,
    pub appears_whole: bool,
}

/// How trying a bucket out ended.
#[derive(Debug, Deserialize)]
pub struct Checked {
    #[serde(default)]
    pub error: Option<String>,
    #[serde(default)]
    pub probe: Option<Probe>,
    #[serde(default)]
    pub detail: Option<String>,
}

/// An access key, as listed: its secret is told only once, when it is made.
#[derive(Debug, Deserialize)]
pub struct Key {
    pub id: String,
    pub kind: AccessKind,
    #[serde(default)]
    pub instances: Vec<InstanceName>,
    pub created_at: Micros,
}

/// A new access key.
#[derive(Debug, Deserialize)]
pub struct NewKey {
    pub id: String,
    pub secret: String,
}

/// A task in a list.
#[derive(Debug, Deserialize)]
pub struct TaskEntry {
    pub name: TaskName,
    pub mode: Mode,
}

/// A task in full.
#[derive(Debug, Deserialize)]
pub struct Task {
    pub table: TableName,
    pub spec: TaskSpec,
    pub status: TaskStatus,
}

/// Reads an answer of the JSON API.
pub fn read<T: DeserializeOwned>(answer: Value) -> Result<T, Failure> {
    serde_json::from_value(answer).map_err(|error| {
        Failure::broken("the server's answer cannot be understood")
            .caused_by(error)
            .hint("is the server of the same version as this program? see `lakeferry --version`")
    })
}

/// Reads the list that the answer holds under a name, as all lists of the JSON API are.
pub fn list<T: DeserializeOwned>(mut answer: Value, name: &str) -> Result<Vec<T>, Failure> {
    read(answer.get_mut(name).map(Value::take).unwrap_or_default())
}

/// The answer, for `--json`.
pub fn pretty(answer: &Value) -> String {
    serde_json::to_string_pretty(answer).expect("a JSON value can always be written")
}

/// Paths of the JSON API, relative to `/api/v1`.
pub mod path {
    use super::{InstanceName, TableName, TaskName};

    /// The tables of an instance.
    pub fn tables(instance: &InstanceName) -> String {
        format!("instances/{instance}/tables")
    }

    /// The tasks of all tables of an instance.
    pub fn all_tasks(instance: &InstanceName) -> String {
        format!("instances/{instance}/tasks")
    }

    /// A table.
    pub fn table(instance: &InstanceName, table: &TableName) -> String {
        format!("instances/{instance}/tables/{table}")
    }

    /// The tasks of a table.
    pub fn tasks(instance: &InstanceName, table: &TableName) -> String {
        format!("instances/{instance}/tables/{table}/tasks")
    }

    /// A task.
    pub fn task(instance: &InstanceName, table: &TableName, task: &TaskName) -> String {
        format!("instances/{instance}/tables/{table}/tasks/{task}")
    }

    /// One segment of a path, whatever characters it has.
    pub fn segment(text: &str) -> String {
        use std::fmt::Write;
        text.bytes().fold(String::new(), |mut path, byte| {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                path.push(char::from(byte));
            } else {
                write!(path, "%{byte:02X}").expect("text takes whatever is written to it");
            }
            path
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slash_within_a_segment_does_not_end_it() {
        assert_eq!(path::segment("LF+a/b"), "LF%2Ba%2Fb");
    }

    #[test]
    fn an_answer_of_another_shape_is_told_with_what_to_do() {
        let failure = list::<Instance>(serde_json::json!({"what": 1}), "instances").unwrap_err();
        assert!(failure.to_string().contains("same version"), "{failure}");
    }
}
