//! How a client command finds its server.

use std::path::PathBuf;

use clap::Args;

/// Which server to ask, and with which key.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Finding the server")]
pub struct ServerArgs {
    /// The server's address
    #[arg(long, env = "TABLESTORE_ENDPOINT", default_value = "http://127.0.0.1:8087", value_name = "URL")]
    pub endpoint: String,
    /// The access key's id; without a key, the operator key of a server's data directory is used
    #[arg(long, env = "TABLESTORE_ACCESS_KEY_ID", value_name = "ID")]
    pub access_key_id: Option<String>,
    /// The access key's secret; better given by the environment, since others may see flags
    #[arg(long, env = "TABLESTORE_ACCESS_KEY_SECRET", hide_env_values = true, value_name = "SECRET")]
    pub access_key_secret: Option<String>,
    /// The data directory in which to look for the operator key when no key is given
    #[arg(long, env = "LAKEFERRY_DATA", default_value = "data", value_name = "DIR")]
    pub data: PathBuf,
}

/// Which server to ask, and which instance on it.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Finding the server")]
pub struct InInstanceArgs {
    /// The instance that holds the table
    #[arg(long, env = "TABLESTORE_INSTANCE", value_name = "NAME")]
    pub instance: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}
