//! `lakeferry bucket create|add|check|list`.

use serde_json::json;

use super::api::{self, Bucket, Checked};
use crate::args::{AddBucket, BucketCommand, CheckBucket, ListArgs, NameArgs, Place};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;
use crate::text::{self, Columns};

/// Carries out one of the commands.
pub async fn run(command: BucketCommand) -> Result<(), Failure> {
    match command {
        BucketCommand::Create(args) => create(args).await,
        BucketCommand::Add(args) => add(*args).await,
        BucketCommand::Check(args) => check(args).await,
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
    let secret = match &args.store_key_file {
        Some(path) => Some(std::fs::read_to_string(path).map_err(|error| {
            Failure::usage(format!("the key file {} cannot be read", path.display())).caused_by(error)
        })?),
        None => args.store_key_secret,
    };
    let server = Connection::open(&args.server)?;
    let asked = json!({
        "name": bucket,
        "url": args.url,
        "endpoint": args.store_endpoint,
        "region": args.region,
        "access_key_id": args.store_key_id,
        "access_key_secret": secret,
        "credentials_from": args.credentials_from.map(|place| match place {
            Place::Environment => "environment",
            Place::Instance => "instance",
        }),
        "assume_role": args.role.assume_role,
        "external_id": args.role.external_id,
        "sts_endpoint": args.role.sts_endpoint,
        "ca_file": args.ca_file,
    });
    server.post("buckets", &asked).await?;
    console::answer(format_args!("added bucket {bucket} at {}", args.url))?;
    console::note(format_args!("try it out with: lakeferry bucket check {bucket}"));
    Ok(())
}

/// Answers no if the bucket cannot be used.
async fn check(args: CheckBucket) -> Result<(), Failure> {
    let bucket = name::bucket(&args.name)?;
    let server = Connection::open(&args.server)?;
    let answer = server.post(&format!("buckets/{bucket}/check"), &json!({ "role": args.role })).await?;
    if args.json {
        console::answer(api::pretty(&answer))?;
    }
    let checked: Checked = api::read(answer)?;
    let Some(probe) = checked.probe else {
        let code =
            checked.error.filter(|code| code != "OK").map_or_else(String::new, |code| format!("{code}: "));
        return Err(Failure::no(format!("{code}{}", checked.detail.unwrap_or_default())));
    };
    if args.json {
        return Ok(());
    }
    let says = |does: bool| if does { "yes" } else { "no" };
    console::answer(format_args!(
        "bucket {bucket} can be written to; it creates without overwriting: {}; an upload appears whole: {}",
        says(probe.creates),
        says(probe.appears_whole)
    ))?;
    if let Some(doubt) = checked.detail {
        console::note(doubt);
    }
    Ok(())
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
    let mut columns = Columns::new(["BUCKET", "LIES AT", "STORE", "CREDENTIALS", "TRIED", "MADE"]);
    for bucket in buckets {
        columns.row([
            bucket.name.to_string(),
            bucket.url.clone().unwrap_or_else(|| format!("lake/{} of the data directory", bucket.name)),
            bucket.endpoint.clone().unwrap_or_else(|| "-".to_owned()),
            credentials(&bucket),
            tried(&bucket).to_owned(),
            text::instant(bucket.created_at),
        ]);
    }
    console::answer(columns)
}

/// How the service shows who it is, without anything secret.
fn credentials(bucket: &Bucket) -> String {
    let own = match (&bucket.access_key_id, &bucket.credentials_from) {
        (Some(id), _) => format!("key {id}"),
        (None, Some(place)) => place.clone(),
        (None, None) => String::new(),
    };
    match &bucket.assume_role {
        Some(arn) if own.is_empty() => format!("role {arn}"),
        Some(arn) => format!("{own}, role {arn}"),
        None if bucket.needs_role => "the task's role".to_owned(),
        None if own.is_empty() => "-".to_owned(),
        None => own,
    }
}

/// What was found when the bucket was last tried out.
fn tried(bucket: &Bucket) -> &'static str {
    match &bucket.probe {
        None => "-",
        Some(probe) if !probe.appears_whole => "objects appear late",
        Some(probe) if !probe.creates => "overwrites",
        Some(_) => "well",
    }
}
