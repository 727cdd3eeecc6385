//! `lakeferry bucket create|add|list`.

use serde_json::json;

use super::api::{self, Bucket};
use crate::args::{AddBucket, BucketCommand, ListArgs, NameArgs};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Carries out one of the commands.
pub async fn run(command: BucketCommand) -> Result<(), Failure> {
    match command {
        BucketCommand::Create(args) => create(args).await,
        BucketCommand::Add(args) => add(args).await,
        BucketCommand::List(args) => list(args).await,
    }
}

async fn create(args: NameArgs) -> Result<(), Failure> {
    let bucket = name::bucket(&args.name)?;
    let server = Connection::open(&args.server)?;
    server.post("buckets", &json!({ "name": bucket })).await?;
    console::answer(format_args!("made bucket {bucket}: the directory lake/{bucket} of the server's data"))
}

async fn add(args: AddBucket) -> Result<(), Failure> {
    let bucket = name::bucket(&args.name)?;
    let server = Connection::open(&args.server)?;
    let asked = json!({
        "name": bucket,
        "url": args.url,
        "endpoint": args.store_endpoint,
        "region": args.region,
        "access_key_id": args.store_key_id,
        "access_key_secret": args.store_key_secret,
    });
    server.post("buckets", &asked).await?;
    console::answer(format_args!("added bucket {bucket} at {}", args.url))
}

async fn list(args: ListArgs) -> Result<(), Failure> {
    let server = Connection::open(&args.server)?;
    let answer = server.get("buckets").await?;
    if args.json {
        return console::answer(api::pretty(&answer));
    }
    let buckets: Vec<Bucket> = api::list(answer, "buckets")?;
    if buckets.is_empty() {
        console::note("there is no bucket yet; make one with: lakeferry bucket create NAME");
        return Ok(());
    }
    let mut columns = Columns::new(["BUCKET", "LIES AT", "STORE", "MADE"]);
    for bucket in buckets {
        columns.row([
            bucket.name.to_string(),
            bucket.url.unwrap_or_else(|| format!("lake/{} of the data directory", bucket.name)),
            bucket.endpoint.unwrap_or_else(|| "-".to_owned()),
            text::instant(bucket.created_at),
        ]);
    }
    console::answer(columns)
}
