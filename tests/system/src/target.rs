//! What trials ask of the server, in their own words. All calls go through the client, which knows HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use lakeferry_client::tunnel::{TunnelKind, TunnelStart};
use lakeferry_client::{
    Client, ClientConfig, CreateTable, Delete, Error, ErrorCode, Index, Key as ClientKey, Method, Put, Range,
    Row as ClientRow, RowWrite, TableWrites, Update,
};
use lakeferry_model::{IndexKind, KeyKind, KeyValue, ValueKind};
use serde_json::{Value, json};

use crate::failure::Failure;
use crate::gate::Gate;
use crate::ledger::Outcome;
use crate::row::{Change, Key, Row, SPLIT_POINTS, text};
use crate::session::KEY;

/// The indexes of a trial's table, each with its key: of both kinds, by the number of the last write.
pub const INDEXES: [(&str, IndexKind, [&str; 3]); 2] = [
    ("rows_by_write", IndexKind::Global, ["write", "place", "item"]),
    ("rows_in_place", IndexKind::Local, ["place", "write", "item"]),
];

/// The bucket of a trial's own task.
pub const LAKE: &str = "lake";

/// The instance that trials use.
pub const INSTANCE: &str = "trial";

/// The server at one address, for one of its lives.
#[derive(Debug, Clone)]
pub struct Target {
    client: Client,
}

/// A task to be made, with the columns of a trial.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    /// Its name.
    pub name: &'static str,
    /// BASE, INC or BASE_INC.
    pub mode: &'static str,
    /// Where it delivers.
    pub bucket: &'static str,
    /// The prefix of its objects.
    pub prefix: &'static str,
    /// Its object age, in milliseconds.
    pub age_ms: u64,
}

impl Plan {
    /// A BASE_INC task into the bucket [`LAKE`].
    pub fn whole(name: &'static str, prefix: &'static str, age_ms: u64) -> Self {
        Self { name, mode: "BASE_INC", bucket: LAKE, prefix, age_ms }
    }
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
        let mut table = CreateTable::new(table)
            .key("place", KeyKind::Integer)
            .key("item", KeyKind::Integer)
            .column("write", ValueKind::Integer)
            .local_transactions(true)
            .split_at(SPLIT_POINTS);
        for (name, kind, key) in INDEXES {
            table = table.index(Index::new(name, kind, key));
        }
        exists_is_fine(self.client.create_table(table).await)
    }

    /// Makes the changes together, in a transaction: they must be of one place. None if it did not come to asking
    /// for the commit: then nothing has happened.
    pub async fn write_together(&self, table: &str, changes: &[(Key, Change)]) -> Option<Outcome> {
        let (first, _) = changes.first()?;
        let transaction = self.client.begin(table, &ClientKey::new("place", first.place)).await.ok()?;
        let rows = changes.iter().map(|(key, change)| row_write(*key, *change));
        let written = transaction.batch_write_row(rows).await.ok()?;
        if written.iter().any(Result::is_err) {
            // The row stays closed to others until it is given up, here or by its time.
            _ = transaction.abort().await;
            return None;
        }
        Some(transaction.commit().await.map_or(Outcome::Unknown, |()| Outcome::Answered))
    }

    /// Makes a tunnel of rows and changes, if it is not there yet, and gives its id.
    ///
    /// # Errors
    /// What the call says.
    pub async fn make_tunnel(&self, table: &str, name: &str) -> Result<String, Error> {
        let made =
            self.client.create_tunnel(table, name, TunnelKind::BaseAndStream, TunnelStart::Latest).await;
        match made {
            Ok(id) => Ok(id),
            // An answer that was lost may have made it.
            Err(error) => match self.client.describe_tunnel(table, name).await {
                Ok(described) => Ok(described.tunnel.id),
                Err(_) => Err(error),
            },
        }
    }

    /// The number of the last write of each row, as an index tells.
    ///
    /// # Errors
    /// What the call says.
    pub async fn read_index(&self, index: &str, key: [&str; 3]) -> Result<BTreeMap<Key, i64>, Error> {
        let mut found = BTreeMap::new();
        let mut rows = self.client.rows(index, Range::all(key));
        while let Some(row) = rows.next().await? {
            let key = Key { place: key_part(&row, "place"), item: key_part(&row, "item") };
            if let Some(twice) = found.insert(key, key_part(&row, "write")) {
                panic!("the index {index} has {key:?} twice: with {twice} and {row:?}");
            }
        }
        Ok(found)
    }

    /// The client, for what only one part of a trial asks.
    pub fn client(&self) -> &Client {
        &self.client
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
            let values = Row {
                write: row.integer("write").unwrap_or_default(),
                text: row.text("text").map(str::to_owned),
                count: row.integer("count").unwrap_or_default(),
            };
            found.insert(Key { place: key_part(&row, "place"), item: key_part(&row, "item") }, values);
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

    /// Adds a bucket of the gate, if it is not there yet: with a key that is good for assuming a role alone, whose
    /// sessions are short.
    ///
    /// # Errors
    /// What the call says.
    pub async fn add_bucket(&self, bucket: &str, gate: &Gate) -> Result<(), Error> {
        let entry = json!({
            "name": bucket,
            "url": format!("s3://{bucket}"),
            "endpoint": gate.url(),
            "region": "us-east-1",
            "access_key_id": KEY.0,
            "access_key_secret": KEY.1,
            "assume_role": "arn:aws:iam::1:role/trial",
            "sts_endpoint": format!("{}/-gate/sts", gate.url()),
        });
        exists_is_fine(self.client.json(Method::POST, "buckets", Some(&entry)).await.map(drop))
    }

    /// Makes a task, if it is not there yet.
    ///
    /// # Errors
    /// What the call says.
    pub async fn make_task(&self, table: &str, plan: &Plan) -> Result<(), Error> {
        let field = |name: &str, kind: &str| json!({"source": name, "target": name, "kind": kind});
        let spec = json!({
            "name": plan.name,
            "mode": plan.mode,
            "destination": {
                "bucket": plan.bucket,
                "endpoint": "local",
                "role": "role",
                "prefix": plan.prefix,
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
            "tuning": {"object_age_ms_max": plan.age_ms},
        });
        let path = format!("instances/{INSTANCE}/tables/{table}/tasks");
        exists_is_fine(self.client.json(Method::POST, &path, Some(&spec)).await.map(drop))
    }

    /// Changes where a task delivers. Asking for what it does already changes nothing.
    ///
    /// # Errors
    /// What the call says.
    pub async fn change_prefix(&self, table: &str, task: &str, prefix: &str) -> Result<(), Error> {
        let patch = json!({"destination": {"prefix": prefix}});
        self.client.json(Method::PATCH, &task_path(table, task, ""), Some(&patch)).await.map(drop)
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

fn key_part(row: &ClientRow, name: &str) -> i64 {
    match row.key.get(name) {
        Some(KeyValue::Integer(value)) => *value,
        other => panic!("the primary key column `{name}` is an integer, not {other:?}"),
    }
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
