//! The demo's own server, and what an operator would make on it.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lakeferry_model::{Clock, InstanceName};
use lakeferry_server::settings::{Layer, Settings};
use lakeferry_server::{Ended, Server};
use serde_json::json;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::table;
use crate::connection::{Connection, KeyPair, name};
use crate::failure::Failure;

/// The instance and the bucket are both called this.
pub const NAME: &str = "demo";

/// A server running in this process.
pub struct DemoServer {
    connection: Connection,
    directory: PathBuf,
    endpoint: String,
    stop: oneshot::Sender<()>,
    running: JoinHandle<std::io::Result<Ended>>,
}

/// Starts a server at a free port of the loopback address, and makes an instance and a bucket on it.
pub async fn start_server(directory: &Path, clock: Arc<dyn Clock>) -> Result<DemoServer, Failure> {
    let layer = Layer {
        data: Some(directory.to_owned()),
        listen: Some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))),
        ..Layer::default()
    };
    let settings = Settings::from_layers([layer])
        .map_err(|error| Failure::broken("the demo's settings cannot be used").caused_by(error))?;
    let server = Server::open(settings, false, clock)
        .await
        .map_err(|error| Failure::broken("the demo's server cannot start").caused_by(error))?;
    let endpoint = format!("http://{}", server.address());
    let (stop, stopped) = oneshot::channel();
    let running = tokio::spawn(server.run(async {
        // A sender that is gone asks for the end too.
        let _ = stopped.await;
    }));
    let key = KeyPair::of_data_directory(directory)?
        .ok_or_else(|| Failure::broken("the demo's server has left no operator key"))?;
    let instance: InstanceName = name::instance(NAME)?;
    let connection = Connection::with_key(&endpoint, Some(instance), key)?;
    connection.post("instances", &json!({ "name": NAME })).await?;
    connection.post("buckets", &json!({ "name": NAME })).await?;
    Ok(DemoServer { connection, directory: directory.to_owned(), endpoint, stop, running })
}

/// Where the objects of a run lie.
pub fn objects_directory(directory: &Path) -> PathBuf {
    directory.join("lake").join(NAME).join(table::NAME)
}

impl DemoServer {
    /// The way to it.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Where the objects lie.
    pub fn objects(&self) -> PathBuf {
        objects_directory(&self.directory)
    }

    /// Stops it and waits until all is written down.
    pub async fn stop(self) -> Result<(), Failure> {
        let ended =
            |cause: String| Failure::broken("the demo's server did not stop in order").caused_by(cause);
        // If the server has ended already, its own answer below says why.
        let _ = self.stop.send(());
        match self.running.await {
            Ok(Ok(Ended::Stopped)) => Ok(()),
            Ok(Ok(Ended::Stuck)) => Err(ended("the disk has not come back from a commit".to_owned())),
            Ok(Err(error)) => Err(ended(error.to_string())),
            Err(error) => Err(ended(error.to_string())),
        }
    }
}
