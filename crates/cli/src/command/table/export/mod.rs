//! `lakeferry table export`: the rows of a table into a file.
//!
//! 1. For a format with columns, look through the rows for their names and types, unless they were typed.
//! 2. Read the rows, a page ahead of what is written.
//! 3. Write them into a file beside the one that was named ([`target`]), which takes its name when it is whole.

mod target;

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use lakeferry_client::{Client, Error, Range, Row};
use lakeferry_model::{TableName, TableSchema};
use tokio::sync::mpsc;

use self::target::Target;
use super::row;
use crate::args::ExportRows;
use crate::connection::{Connection, name};
use crate::console::{self, Live};
use crate::failure::Failure;
use crate::rows::layout::Found;
use crate::rows::{Format, Layout, Types, csv, json, parquet};
use crate::stop::Stop;
use crate::text;

/// How long a request is repeated while its server is away.
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
/// Pages that wait to be written.
const PAGES_WAITING: usize = 1;

/// The format that was asked for, or that the file's name tells.
pub fn format(asked: Option<Format>, path: &Path) -> Result<Format, Failure> {
    asked.or_else(|| Format::of(path)).ok_or_else(|| {
        Failure::usage(format!("the name `{}` does not tell the format", path.display()))
            .hint("say it: --format jsonl, csv, tsv or parquet")
    })
}

/// Writes a table's rows.
pub async fn run(args: ExportRows) -> Result<(), Failure> {
    let table = name::table(&args.table)?;
    let format = format(args.format, &args.file)?;
    let target = Target::open(&args.file, args.force)?;
    let server = Connection::open_instance(&args.at)?.patient(RETRY_TIME_MAX)?;
    let schema = row::described(&server, &table).await?.schema;
    let range = row::range(&schema, &args.rows)?;
    let stop = Stop::listen(None)?;
    let mut export = Export { server: &server, table: &table, range, stop, live: Live::start() };
    let layout = match format {
        Format::Jsonl => Layout::new(&schema, []),
        Format::Csv | Format::Tsv | Format::Parquet => export.layout(&schema, &args).await?,
    };
    let sink = Sink::open(target, format, layout, Types::new(&schema, []))?;
    let written = export.write(sink).await?;
    export.live.clear();
    let written = text::counted(written, ("row", "rows"));
    if args.file.as_os_str() == "-" {
        console::note(format_args!("wrote {written} of table {table}"));
        return Ok(());
    }
    console::answer(format_args!("wrote {written} of table {table} into {}", args.file.display()))
}

struct Export<'a> {
    server: &'a Connection,
    table: &'a TableName,
    range: Range,
    stop: Stop,
    live: Live,
}

impl Export<'_> {
    /// The columns of the file: those that were typed, or those that the rows have.
    async fn layout(&mut self, schema: &TableSchema, args: &ExportRows) -> Result<Layout, Failure> {
        if !args.types.is_empty() {
            let is_key = |name: &str| schema.primary_key.iter().any(|key| key.name == name);
            let columns = args.types.iter().filter(|(name, _)| !is_key(name)).cloned();
            return Ok(Layout::new(schema, columns));
        }
        let mut found = Found::default();
        let mut seen = 0;
        let mut pages = self.pages();
        while let Some(page) = self.next(&mut pages).await? {
            for row in &page {
                found.look_at(row).map_err(|why| {
                    Failure::broken(why)
                        .hint("name those that matter with --columns")
                        .hint("or export JSON lines, which take any: --format jsonl")
                })?;
            }
            seen += page.len() as u64;
            let rows = text::counted(seen, ("row", "rows"));
            self.live.set(format!("looking for the columns: {rows}; --type NAME:TYPE saves this"));
        }
        Ok(Layout::of_found(schema, found))
    }

    async fn write(&mut self, mut sink: Sink) -> Result<u64, Failure> {
        let mut written = 0;
        let mut pages = self.pages();
        while let Some(page) = self.next(&mut pages).await? {
            sink.write(&page)?;
            written += page.len() as u64;
            self.live.set(format!("{} written", text::counted(written, ("row", "rows"))));
        }
        sink.finish()?;
        Ok(written)
    }

    /// Reads pages ahead. The reader ends with the range, with an error, or when nobody takes its pages.
    fn pages(&self) -> mpsc::Receiver<Result<Vec<Row>, Error>> {
        let (send, pages) = mpsc::channel(PAGES_WAITING);
        tokio::spawn(read(self.server.client().clone(), self.table.clone(), self.range.clone(), send));
        pages
    }

    async fn next(
        &self,
        pages: &mut mpsc::Receiver<Result<Vec<Row>, Error>>,
    ) -> Result<Option<Vec<Row>>, Failure> {
        tokio::select! {
            page = pages.recv() => page.transpose().map_err(|error| self.server.explain(error)),
            () = self.stop.clone().asked() => Err(Failure::broken("stopped by Ctrl-C; no file was written")),
        }
    }
}

async fn read(client: Client, table: TableName, range: Range, send: mpsc::Sender<Result<Vec<Row>, Error>>) {
    let mut rows = client.rows(table.as_str(), range);
    loop {
        let page = match rows.next_page().await {
            Ok(Some(page)) => Ok(page),
            Ok(None) => return,
            Err(error) => Err(error),
        };
        let is_last = page.is_err();
        if send.send(page).await.is_err() || is_last {
            return;
        }
    }
}

/// A file under way.
enum Sink {
    Lines { target: Target, types: Types },
    Csv { target: Target, layout: Layout, delimiter: u8 },
    Parquet { file: Box<parquet::Writer<Target>>, layout: Layout },
}

impl Sink {
    fn open(target: Target, format: Format, layout: Layout, types: Types) -> Result<Self, Failure> {
        Ok(match format.delimiter() {
            Some(delimiter) => {
                let mut heading = String::new();
                csv::write_heading(&mut heading, &layout, delimiter);
                let mut target = target;
                target.write_all(heading.as_bytes()).map_err(broken)?;
                Self::Csv { target, layout, delimiter }
            }
            None if format == Format::Parquet => {
                let file = parquet::Writer::new(target, &layout).map_err(Failure::broken)?;
                Self::Parquet { file: Box::new(file), layout }
            }
            None => Self::Lines { target, types },
        })
    }

    fn write(&mut self, rows: &[Row]) -> Result<(), Failure> {
        match self {
            Self::Lines { target, types } => {
                for row in rows {
                    target.write_all((json::write(row, types) + "\n").as_bytes()).map_err(broken)?;
                }
            }
            Self::Csv { target, layout, delimiter } => {
                let mut lines = String::new();
                for row in rows {
                    csv::write_row(&mut lines, layout, row, *delimiter).map_err(no_column)?;
                }
                target.write_all(lines.as_bytes()).map_err(broken)?;
            }
            Self::Parquet { file, layout } => {
                for row in rows {
                    file.push(layout, row).map_err(no_column)?;
                }
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<(), Failure> {
        match self {
            Self::Lines { target, .. } | Self::Csv { target, .. } => target.finish(),
            Self::Parquet { file, .. } => file.finish().map_err(Failure::broken)?.finish(),
        }
    }
}

fn broken(error: std::io::Error) -> Failure {
    match error.kind() {
        // Whoever reads our stdout has enough.
        std::io::ErrorKind::BrokenPipe => error.into(),
        _ => Failure::broken("write the file").caused_by(error),
    }
}

fn no_column(why: String) -> Failure {
    Failure::broken(why)
        .hint("with --type, name every column with each type that it has; without, columns are looked for")
        .hint("if rows were written meanwhile, run it again, or export JSON lines: --format jsonl")
}
