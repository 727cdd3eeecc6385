//! What trials ask of the server, in their own words. All calls go through the client, which knows HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeferry_client::{
    Client, ClientConfig, CreateTable, Delete, Error, ErrorCode, Key as ClientKey, Method, Put, Range,
    RowWrite, TableWrites, Update,
};
use lakeferry_model::KeyKind;
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::ledger::Outcome;
use crate::row::{Change, Key, Row, SPLIT_POINTS, text};

/// The instance that trials use.
pub const INSTANCE: &str = "trial";

/// The server at one address, for one of its lives.
#[derive(Debug, Clone)]
pub struct Target {
    client: Client,
}

/// What a task says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskState {
    /// INIT, FULL or INCR.
    pub phase: String,
    /// Microseconds since the epoch; 0 while there is none.
    pub sync_point: i64,
    /// Counted from 1.
    pub run: i64,
    /// Everything else, for people.
    pub all: Value,
}

impl Target {
    /// Nothing is sent again by itself: a trial must know what it sent.
    ///
    /// # Errors
    /// If the address is none.
    pub fn at(address: &str, key: (&str, &str)) -> Result<Self, Failure> {
        let mut config = ClientConfig::new(address, INSTANCE, key.0, key.1);
        config.retry_time_max = Duration::ZERO;
        let client = Client::new(config).map_err(|error| Failure::Broken(chain(&error)))?;
        Ok(Self { client })
    }

    /// Makes the trial's table, if it is not there yet.
    ///
    /// # Errors
    /// What the call says.
    pub async fn make_table(&self, table: &str) -> Result<(), Error> {
        let table = CreateTable::new(table).key("place", KeyKind::Integer).key("item", KeyKind::Integer);
        exists_is_fine(self.client.create_table(table.split_at(SPLIT_POINTS)).await)
    }

    /// Writes one change per key; the outcomes come in the order of the changes.
    pub async fn write(&self, table: &str, changes: &[(Key, Change)]) -> Vec<Outcome> {
        let rows = changes.iter().map(|(key, change)| row_write(*key, *change));
        match self.client.batch_write_row(&[TableWrites::new(table, rows)]).await {
            Ok(answers) => {
                let answered = |answer: &Result<_, _>| match answer {
                    Ok(_) => Outcome::Answered,
                    Err(_) => Outcome::Unknown,
                };
                answers.iter().flatten().map(answered).collect()
            }
            Err(_) => vec![Outcome::Unknown; changes.len()],
        }
    }

    /// Reads the whole table.
    ///
    /// # Errors
    /// What the call says.
    pub async fn read(&self, table: &str) -> Result<BTreeMap<Key, Row>, Error> {
        let mut found = BTreeMap::new();
        let mut rows = self.client.rows(table, Range::all(["place", "item"]));
        while let Some(row) = rows.next().await? {
            let part = |name| match row.key.get(name) {
                Some(lakeferry_model::KeyValue::Integer(value)) => *value,
                other => panic!("the primary key column `{name}` is an integer, not {other:?}"),
            };
            let values = Row {
                write: row.integer("write").unwrap_or_default(),
                text: row.text("text").map(str::to_owned),
                count: row.integer("count").unwrap_or_default(),
            };
            found.insert(Key { place: part("place"), item: part("item") }, values);
        }
        Ok(found)
    }

    /// The time of a table's last commit, in microseconds since the epoch.
    ///
    /// # Errors
    /// What the call says.
    pub async fn last_commit(&self, table: &str) -> Result<i64, Error> {
        let path = format!("instances/{INSTANCE}/tables/{table}");
        let detail = self.client.json(Method::GET, &path, None).await?;
        let partitions = detail["partitions"].as_array().into_iter().flatten();
        Ok(partitions
            .filter_map(|partition| partition["last_commit_time"].as_i64())
            .max()
            .unwrap_or_default())
    }

    /// Makes a BASE_INC task into the bucket `lake`, if it is not there yet.
    ///
    /// # Errors
    /// What the call says.
    pub async fn make_task(&self, table: &str, task: &str, prefix: &str, age_ms: u64) -> Result<(), Error> {
        let field = |name: &str, kind: &str| json!({"source": name, "target": name, "kind": kind});
        let spec = json!({
            "name": task,
            "mode": "BASE_INC",
            "destination": {
                "bucket": "lake",
                "endpoint": "local",
                "role": "role",
                "prefix": prefix,
                "event_time": null,
                "suffix": ".parquet",
            },
            "schema": {"manual": [
                field("place", "INT64"),
                field("item", "INT64"),
                field("write", "INT64"),
                field("text", "UTF8"),
                field("count", "INT64"),
                field("$operation", "UTF8"),
                field("$commit_time", "INT64"),
                field("$sequence", "INT64"),
            ]},
            "tuning": {"object_age_ms_max": age_ms},
        });
        let path = format!("instances/{INSTANCE}/tables/{table}/tasks");
        exists_is_fine(self.client.json(Method::POST, &path, Some(&spec)).await.map(drop))
    }

    /// What a task says of itself.
    ///
    /// # Errors
    /// What the call says.
    pub async fn task(&self, table: &str, task: &str) -> Result<TaskState, Error> {
        let answer = self.client.json(Method::GET, &task_path(table, task, ""), None).await?;
        let status = &answer["status"];
        Ok(TaskState {
            phase: status["phase"].as_str().unwrap_or_default().to_owned(),
            sync_point: status["sync_point"].as_i64().unwrap_or_default(),
            run: status["run"].as_i64().unwrap_or_default(),
            all: status.clone(),
        })
    }

    /// The names of a table's tasks.
    ///
    /// # Errors
    /// What the call says.
    pub async fn tasks(&self, table: &str) -> Result<Vec<String>, Error> {
        let tasks = self.client.list_delivery_tasks(table).await?;
        Ok(tasks.into_iter().map(|(name, _)| name).collect())
    }

    /// Has a task begin a new run.
    ///
    /// # Errors
    /// What the call says.
    pub async fn deliver_again(&self, table: &str, task: &str) -> Result<(), Error> {
        self.client.json(Method::POST, &task_path(table, task, "/deliver-again"), None).await.map(drop)
    }

    /// Deletes a task, if it is there.
    ///
    /// # Errors
    /// What the call says.
    pub async fn delete_task(&self, table: &str, task: &str) -> Result<(), Error> {
        match self.client.delete_delivery_task(table, task).await {
            Err(error) if error.code() == Some(ErrorCode::ObjectNotExist) => Ok(()),
            other => other,
        }
    }

    /// Makes an instance, as only an operator may, if it is not there yet.
    ///
    /// # Errors
    /// What the call says.
    pub async fn make_instance(&self) -> Result<(), Error> {
        let body = json!({"name": INSTANCE});
        exists_is_fine(self.client.json(Method::POST, "instances", Some(&body)).await.map(drop))
    }
}

/// An error with all its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

fn task_path(table: &str, task: &str, call: &str) -> String {
    format!("instances/{INSTANCE}/tables/{table}/tasks/{task}{call}")
}

fn exists_is_fine(result: Result<(), Error>) -> Result<(), Error> {
    match result {
        Err(error) if error.code() == Some(ErrorCode::ObjectAlreadyExist) => Ok(()),
        other => other,
    }
}

fn row_write(key: Key, change: Change) -> RowWrite {
    let key = ClientKey::new("place", key.place).and("item", key.item);
    match change {
        Change::Put(number) => {
            Put::new(key).set("write", number).set("text", text(number).as_str()).set("count", 0).into()
        }
        Change::Update(number) => Update::new(key).set("write", number).increment("count", 1).into(),
        Change::Delete => Delete::new(key).into(),
    }
}
