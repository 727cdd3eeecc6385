//! `lakeferry instance`, `bucket`, `role` and `key`: what an operator sets up.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

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
    /// Add a bucket of an object store: S3 and compatible, OSS, Azure, Google
    Add(Box<AddBucket>),
    /// Try a bucket out, as a task does when it begins
    Check(CheckBucket),
    /// List the buckets
    List(ListArgs),
}

/// What to do with roles.
#[derive(Debug, Subcommand)]
pub enum RoleCommand {
    /// Make a role, or give one its ARN
    Create(CreateRole),
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
      --store-endpoint http://127.0.0.1:9000
  lakeferry bucket add lake --url oss://my-bucket --region cn-hangzhou \\
      --store-endpoint https://oss-cn-hangzhou-internal.aliyuncs.com \\
      --credentials-from instance
  lakeferry bucket add lake --url oss://my-bucket --region cn-hangzhou \\
      --assume-role acs:ram::123456789012:role/lake
  lakeferry bucket add lake --url az://my-account/my-container
  lakeferry bucket add lake --url gs://my-bucket --store-key-file key.json")]
pub struct AddBucket {
    /// The name that tasks will know it by
    pub name: String,
    /// Where it lies: s3://BUCKET, oss://BUCKET, az://ACCOUNT/CONTAINER or gs://BUCKET
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The store's address, where it is not the one of the region or account
    #[arg(long, value_name = "URL")]
    pub store_endpoint: Option<String>,
    /// The region to sign for
    #[arg(long, value_name = "REGION")]
    pub region: Option<String>,
    /// The id of the store's access key; without any credentials, tasks need a role
    #[arg(long, value_name = "ID", env = "LAKEFERRY_STORE_KEY_ID")]
    pub store_key_id: Option<String>,
    /// The secret of the store's access key, or of the Azure account; better given by the environment, since others may see flags
    #[arg(long, value_name = "SECRET", env = "LAKEFERRY_STORE_KEY_SECRET", hide_env_values = true)]
    pub store_key_secret: Option<String>,
    /// The key file of a Google service account
    #[arg(long, value_name = "FILE", conflicts_with_all = ["store_key_id", "store_key_secret"])]
    pub store_key_file: Option<PathBuf>,
    /// Where the server finds credentials by itself
    #[arg(long, value_name = "PLACE", conflicts_with_all = ["store_key_id", "store_key_secret", "store_key_file"])]
    pub credentials_from: Option<Place>,
    #[command(flatten)]
    pub role: AssumedRoleArgs,
    /// A file of certificates on the server's computer, as PEM, to trust beside the system's
    #[arg(long, value_name = "FILE")]
    pub ca_file: Option<PathBuf>,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// Where credentials are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Place {
    /// The server's environment, under the names that the store's own programs use
    Environment,
    /// The computer: the role of an instance, a container, a managed identity
    Instance,
}

/// A role that is assumed for a bucket.
#[derive(Debug, Args)]
pub struct AssumedRoleArgs {
    /// The ARN of a role to assume, on S3 and OSS
    #[arg(long, value_name = "ARN")]
    pub assume_role: Option<String>,
    /// What the role's trust policy asks for
    #[arg(long, value_name = "ID", requires = "assume_role")]
    pub external_id: Option<String>,
    /// The address of the STS, where it is not the store's own
    #[arg(long, value_name = "URL", requires = "assume_role")]
    pub sts_endpoint: Option<String>,
}

/// Which bucket to try out.
#[derive(Debug, Args)]
pub struct CheckBucket {
    /// Its name
    pub name: String,
    /// The role that tasks name, for a bucket without credentials of its own
    #[arg(long, value_name = "ROLE")]
    pub role: Option<String>,
    /// Print the server's answer as JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    pub server: ServerArgs,
}

/// A new role.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  lakeferry role create carrier --arn acs:ram::123456789012:role/carrier")]
pub struct CreateRole {
    /// Its short name, which tasks may name alone or at the end of an ARN
    pub name: String,
    /// The role that the store's own STS knows, for buckets without credentials of their own
    #[arg(long, value_name = "ARN")]
    pub arn: Option<String>,
    /// What the role's trust policy asks for
    #[arg(long, value_name = "ID", requires = "arn")]
    pub external_id: Option<String>,
    /// The address of the STS, where it is not the store's own
    #[arg(long, value_name = "URL", requires = "arn")]
    pub sts_endpoint: Option<String>,
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
