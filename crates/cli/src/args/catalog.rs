//! `lakeferry instance`, `bucket`, `role` and `key`: what an operator sets up.

use clap::{Args, Subcommand};

use super::server::ServerArgs;

/// What to do with instances.
#[derive(Debug, Subcommand)]
pub enum InstanceCommand {
    /// Make an instance
    Create(NameArgs),
    /// List the instances
    List(ListArgs),
}

/// What to do with buckets.
#[derive(Debug, Subcommand)]
pub enum BucketCommand {
    /// Make a bucket that is a directory: `lake/NAME` under the server's data directory
    Create(NameArgs),
    /// Add a bucket of an S3-compatible store
    Add(AddBucket),
    /// List the buckets
    List(ListArgs),
}

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Make a role
    Create(NameArgs),
    /// Delete a role; tasks that need it stop until it is made again
    Delete(NameArgs),
    /// List the roles
    List(ListArgs),
}

/// What to do with access keys.
#[derive(Debug, Subcommand)]
pub enum KeyCommand {
    /// Make an access key, and print its secret this once
    Create(CreateKey),
    /// List the access keys, without their secrets
    List(ListArgs),
    /// Delete an access key; requests signed with it are refused from then on
    Delete(DeleteKey),
}

/// The one thing that is made or deleted.
#[derive(Debug, Args)]
pub struct NameArgs {
    /// Its name
    pub name: String,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// How to list.
#[derive(Debug, Args)]
pub struct ListArgs {
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A bucket that lies elsewhere.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  export LAKEFERRY_STORE_KEY_ID=… LAKEFERRY_STORE_KEY_SECRET=…
  lakeferry bucket add lake --url s3://my-bucket --region eu-central-1
  lakeferry bucket add lake --url s3://my-bucket \\
      --store-endpoint http://127.0.0.1:9000")]
pub struct AddBucket {
    /// The name that tasks will know it by
    pub name: String,
    /// Where it lies: s3://BUCKET
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The store's address, for stores that are not AWS
    #[arg(long, value_name = "URL")]
    pub store_endpoint: Option<String>,
    /// The region to sign for
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The id of the store's access key; without one, tasks need a role
    #[arg(long, value_name = "ID", requires = "store_key_secret", env = "LAKEFERRY_STORE_KEY_ID")]
    pub store_key_id: Option<String>,
    /// The secret of the store's access key; better given by the environment, since others may see flags
    #[arg(
        long,
        value_name = "SECRET",
        requires = "store_key_id",
        env = "LAKEFERRY_STORE_KEY_SECRET",
        hide_env_values = true
    )]
    pub store_key_secret: Option<String>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// What a new access key may do.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry key create --grant shop             for an application that uses the instance `shop`
  lakeferry key create --operator               may do everything")]
pub struct CreateKey {
    /// May do everything, on all instances
    #[arg(long, conflicts_with = "grant", required_unless_present = "grant")]
    pub operator: bool,
    /// May use the tables and tasks of this instance; repeat for several
    #[arg(long, value_name = "INSTANCE")]
    pub grant: Vec<String>,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Which access key to delete.
#[derive(Debug, Args)]
pub struct DeleteKey {
    /// Its id
    pub id: String,
    #[command(flatten)]
    pub server: ServerArgs,
}
