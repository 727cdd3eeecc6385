//! `lakeferry table import`: the rows of a file into a table.
//!
//! 1. [`feed`] reads the file a little ahead.
//! 2. Each row is checked against the table's primary key and becomes a write.
//! 3. [`lanes`] writes batches, several at once, each key's rows in their order.
//! 4. [`tally`] knows how far the file is written, whatever stops it: a row that is refused, the server, Ctrl-C.

mod feed;
mod lanes;
mod tally;

use std::sync::Arc;
use std::time::{Duration, Instant};

use lakeferry_model::TableSchema;
use parking_lot::Mutex;

use self::feed::Chunk;
use self::lanes::Lanes;
use self::tally::Tally;
use super::row;
use crate::args::ImportRows;
use crate::connection::{Connection, name};
use crate::console::{self, Live};
use crate::failure::Failure;
use crate::rows::{Record, Source, Types};
use crate::stop::Stop;
use crate::text;

/// How long a request is repeated while its server is away.
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);

/// Writes a file's rows.
pub async fn run(args: ImportRows) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let format = super::export::format(args.format, &args.file)?;
    let server = Connection::open_instance(&args.at)?.patient(RETRY_TIME_MAX)?;
    let schema = row::described(&server, &table).await?.schema;
    let types = Types::new(&schema, args.types.iter().cloned());
    let source = Source::open(&args.file, format, args.delimiter, types)
        .map_err(|error| Failure::broken(error.to_string()))?;
    if let Some(guesses) = source.guesses() {
        console::note(format_args!("types guessed from the first rows: {guesses}"));
    }
    let tally = Arc::new(Mutex::new(Tally::new(args.skip, args.keep_going)));
    let lanes = Lanes::start(args.parallel.into(), server.client(), &schema, &tally);
    let import = Import { args: &args, schema: &schema, tally: &tally, started: Instant::now() };
    import.run(source, lanes, Stop::listen(None)?).await;
    report(&args, &tally.lock())
}

struct Import<'a> {
    args: &'a ImportRows,
    schema: &'a TableSchema,
    tally: &'a Mutex<Tally>,
    started: Instant,
}

impl Import<'_> {
    /// Takes the file's rows until its end, its limit, or until something stops it.
    async fn run(&self, source: Source, mut lanes: Lanes, stop: Stop) {
        let mut chunks = feed::start(source);
        let mut live = Live::start();
        'file: loop {
            let chunk = tokio::select! {
                chunk = chunks.recv() => chunk,
                () = stop.clone().asked() => {
                    self.tally.lock().stop(None, "stopped by Ctrl-C");
                    break;
                }
            };
            let Some(Chunk { rows, percent }) = chunk else { break };
            for row in rows {
                if !self.take(row, &mut lanes).await {
                    break 'file;
                }
            }
            self.tally.lock().take_untold().iter().for_each(|line| live.note(line));
            live.set(self.progress(percent));
        }
        // Nobody takes the rest of the file, and its reader ends.
        drop(chunks);
        lanes.finish().await;
        live.clear();
        self.tally.lock().take_untold().iter().for_each(console::note);
    }

    /// Takes a row; gives whether another one is wanted.
    async fn take(&self, row: Result<Record, crate::rows::SourceError>, lanes: &mut Lanes) -> bool {
        let record = match row {
            Ok(record) => record,
            Err(error) => {
                let is_skipped =
                    error.place.is_some_and(|place| place.row != 0 && place.row <= self.args.skip);
                if is_skipped && !error.is_fatal {
                    return true;
                }
                return self.refuse(&error);
            }
        };
        let place = record.place;
        if place.row <= self.args.skip {
            return true;
        }
        if self.args.limit.is_some_and(|limit| place.row > self.args.skip.saturating_add(limit)) {
            return false;
        }
        let mut cells = record.cells;
        if !self.args.columns.is_empty() {
            cells.retain(|(name, _)| self.is_wanted(name));
        }
        self.tally.lock().begin(place);
        match row::write(self.schema, cells, self.args.update) {
            Ok(write) => lanes.add(place, write).await,
            Err(why) => self.tally.lock().refused(place, &why),
        }
        self.tally.lock().stopped().is_none()
    }

    fn is_wanted(&self, column: &str) -> bool {
        let is_key = || self.schema.primary_key.iter().any(|key| key.name == column);
        self.args.columns.iter().any(|name| name == column) || is_key()
    }

    /// A row, or the file, cannot be read.
    fn refuse(&self, error: &crate::rows::SourceError) -> bool {
        match error.place {
            Some(place) if !error.is_fatal => {
                let mut tally = self.tally.lock();
                tally.begin(place);
                tally.refused(place, &error.why);
            }
            _ => self.tally.lock().unreadable(&error.to_string()),
        }
        self.tally.lock().stopped().is_none()
    }

    fn progress(&self, percent: Option<u64>) -> String {
        let tally = self.tally.lock();
        let mut line = format!("{} written", text::counted(tally.written_rows(), ("row", "rows")));
        if let Some(percent) = percent {
            line.push_str(&format!(", {percent} % of the file read"));
        }
        let millis = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let rate = tally.written_rows().saturating_mul(1000) / millis;
        line.push_str(&format!(", {} rows/s", text::count(rate)));
        if tally.refused_rows() > 0 {
            line.push_str(&format!(", {} refused", text::count(tally.refused_rows())));
        }
        line
    }
}

/// Tells what is written, and how to go on where not all is.
fn report(args: &ImportRows, tally: &Tally) -> Result<(), Failure> {
    let written = text::counted(tally.written_rows(), ("row", "rows"));
    let Some(stopped) = tally.stopped() else {
        console::answer(format_args!("wrote {written} into table {}", args.table))?;
        return match tally.refused_rows() {
            0 => Ok(()),
            refused => Err(Failure::broken(format!(
                "{} refused, and passed over",
                text::counted(refused, ("row was", "rows were"))
            ))),
        };
    };
    let message = match stopped.place {
        Some(place) => format!("{place}: {}", stopped.why),
        None => stopped.why.clone(),
    };
    let done = tally.done_up_to();
    let behind = if tally.is_ragged() { ", and some behind them" } else { "" };
    let mut failure = Failure::broken(message).hint(match done {
        0 => format!("{written} of the file were written{behind}"),
        _ => format!("{written} were written: the file's first {}{behind}", text::count(done)),
    });
    if args.file.as_os_str() != "-" || done == 0 {
        let again = if done == 0 { String::new() } else { format!(", with --skip {done}") };
        failure = failure.hint(format!("mend it, then run the same command again{again}"));
    }
    if stopped.place.is_some() && !args.keep_going {
        failure = failure.hint("or pass over rows that are refused, with --keep-going");
    }
    Err(failure)
}
