//! A client command's way to its server.
//!
//! 1. [`access`] decides which key to use: the one given, else the operator key of a local data directory.
//! 2. [`Connection`] sends signed requests with it.
//! 3. [`explain`] turns what went wrong into a failure that says what to do.

mod access;
mod explain;
pub mod name;

use std::time::Duration;

use lakeferry_client::{Client, ClientConfig, Method};
use lakeferry_model::InstanceName;
use serde_json::Value;

use crate::args::{InInstanceArgs, ServerArgs};
use crate::failure::Failure;

pub use access::KeyPair;

/// How long a request that fails is repeated.
const RETRY_TIME_MAX: Duration = Duration::from_secs(1);

/// A server, and the key to ask it with.
pub struct Connection {
    client: Client,
    endpoint: String,
    instance: Option<InstanceName>,
}

impl Connection {
    /// Finds the server for commands that concern no instance.
    pub fn open(args: &ServerArgs) -> Result<Self, Failure> {
        Self::with_key(&args.endpoint, None, access::find(args)?)
    }

    /// Finds the server and the instance.
    pub fn open_instance(args: &InInstanceArgs) -> Result<Self, Failure> {
        let Some(instance) = &args.instance else {
            return Err(Failure::usage("which instance holds the table?")
                .hint("name it with --instance NAME, or once and for all: export TABLESTORE_INSTANCE=NAME")
                .hint("`lakeferry instance list` shows which there are"));
        };
        let instance = name::instance(instance)?;
        Self::with_key(&args.server.endpoint, Some(instance), access::find(&args.server)?)
    }

    /// Uses a server whose address and key are known.
    pub fn with_key(endpoint: &str, instance: Option<InstanceName>, key: KeyPair) -> Result<Self, Failure> {
        let endpoint = endpoint.trim_end_matches('/').to_owned();
        let named = instance.as_ref().map_or("", InstanceName::as_str);
        let config = ClientConfig {
            // Somebody is waiting: a server that is not there is told soon.
            retry_time_max: RETRY_TIME_MAX,
            ..ClientConfig::new(&endpoint, named, key.id, key.secret)
        };
        match Client::new(config) {
            Ok(client) => Ok(Self { client, endpoint, instance }),
            Err(error) => {
                Err(explain::explain(error, &explain::Asked { endpoint: &endpoint, instance: None }))
            }
        }
    }

    /// The same server, asked for longer: for long work, which a server that starts again should not end.
    pub fn patient(self, retry_time_max: Duration) -> Result<Self, Failure> {
        let config = ClientConfig { retry_time_max, ..self.client.config().clone() };
        let client = Client::new(config).map_err(|error| self.explain(error))?;
        Ok(Self { client, ..self })
    }

    /// The instance that the command named.
    ///
    /// # Panics
    /// If the connection was opened without one, which only commands do that name none.
    pub fn instance(&self) -> &InstanceName {
        self.instance.as_ref().expect("the command opened its connection with an instance")
    }

    /// The client, for the protocol's own operations.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Asks the JSON API.
    pub async fn get(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::GET, path, None).await
    }

    /// Has the JSON API do or make something.
    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::POST, path, Some(body)).await
    }

    /// Has the JSON API change something.
    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, Failure> {
        self.json(Method::PATCH, path, Some(body)).await
    }

    /// Has the JSON API delete something.
    pub async fn delete(&self, path: &str) -> Result<Value, Failure> {
        self.json(Method::DELETE, path, None).await
    }

    async fn json(&self, method: Method, path: &str, body: Option<&Value>) -> Result<Value, Failure> {
        let answer = self.client.json(method, path, body).await;
        answer.map_err(|error| self.explain(error))
    }

    /// What went wrong, and what to do about it.
    pub fn explain(&self, error: lakeferry_client::Error) -> Failure {
        explain::explain(
            error,
            &explain::Asked { endpoint: &self.endpoint, instance: self.instance.as_ref() },
        )
    }
}
