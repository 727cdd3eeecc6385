//! `lakeferry table create`.

use lakeferry_client::CreateTable;
use lakeferry_model::{KeyKind, KeyValue, StreamSpec};

use super::row;
use crate::args::{self, KeyKindArg};
use crate::connection::{Connection, name};
use crate::console;
use crate::failure::Failure;

/// Makes a table.
pub async fn run(args: args::CreateTable) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let request = request(&args)?;
    let server = Connection::open_instance(&args.at)?;
    server.client().create_table(request).await.map_err(|error| server.explain(error))?;
    console::answer(format_args!("made table {table}"))?;
    console::note(format_args!("fill it with: lakeferry table import {table} FILE"));
    Ok(())
}

fn request(args: &args::CreateTable) -> Result<CreateTable, Failure> {
    let mut request = CreateTable::new(&args.table).versions_max(args.versions).allow_update(!args.no_update);
    for (name, kind) in &args.keys {
        request = match kind {
            KeyKindArg::Of(kind) => request.key(name, *kind),
            KeyKindArg::Auto => request.auto_increment_key(name),
        };
    }
    for (name, kind) in &args.columns {
        request = request.column(name, *kind);
    }
    if let Some(keep) = args.keep {
        let seconds = u32::try_from(keep.as_secs()).map_err(|_| Failure::usage("--keep is too long"))?;
        request = request.time_to_live_s(seconds);
    }
    if let Some(hours) = args.stream {
        let spec = StreamSpec { expiration_hours: hours.into(), origin_columns: Vec::new() };
        request = request.stream(spec);
    }
    Ok(request.split_at(split_points(args)?))
}

/// The values to split at, of the type of the first key column.
fn split_points(args: &args::CreateTable) -> Result<Vec<KeyValue>, Failure> {
    let kind = match args.keys.first() {
        Some((_, KeyKindArg::Of(kind))) => *kind,
        Some((name, KeyKindArg::Auto)) => {
            return Err(Failure::usage(format!("column {name} cannot be picked by the server"))
                .hint("the first key column decides where a row lies; put another one before it"));
        }
        None => KeyKind::Integer,
    };
    let points = args.split_at.iter().map(|word| row::first_key_value(kind, word));
    let points = points.collect::<Result<Vec<_>, _>>()?;
    if points.is_sorted_by(|a, b| a < b) {
        Ok(points)
    } else {
        Err(Failure::usage("the values of --split-at do not rise"))
    }
}
