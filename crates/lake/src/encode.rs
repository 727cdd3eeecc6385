//! Rows in, one Parquet object out. This is the path that every delivered row takes.
//!
//! 1. `push` finds each cell's columns and appends the value to their builders; a value of the wrong type is
//!    a dirty field, a name without a column is counted.
//! 2. Every so many rows the builders become a batch, and the writer encodes and compresses it.
//! 3. `finish` closes the object, in memory: it is uploaded whole or not at all.
//!
//! The same rows in the same order with the same schema and metadata give the same bytes.

use std::str::Utf8Error;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{ArrowError, SchemaRef};
use bytes::Bytes;
use lakeferry_model::delivery::Compression;
use lakeferry_model::{Micros, ValueKind, ValueRef};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::errors::ParquetError;

use crate::column::{ColumnBuilder, Placed};
use crate::name_table::NameTable;
use crate::schema::{ObjectSchema, Source, arrow_schema, writer_properties};
use crate::sink::Sink;

/// Rows of a batch at most.
const BATCH_ROWS_MAX: usize = 8192;
/// Bytes of text and binaries in a batch, after which the row under way is its last. The writer takes a batch in
/// pieces of 1,024 rows and ends it with what is left: batches of 512 KiB, about a thousand rows of 500 bytes, cost a
/// twentieth of a delivery.
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Names without a column that are counted one by one; the rest is counted together.
const UNDELIVERED_NAMES_MAX: usize = 1024;
/// Room for a footer: the schema and the statistics of some row groups.
const FOOTER_BYTES: usize = 64 * 1024;
/// No column.
const NONE: usize = usize::MAX;

/// What a delivered row tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Operation {
    /// The row as a scan found it.
    Base,
    /// A whole row was put.
    Put,
    /// Some of its columns were changed.
    Update,
    /// It was deleted.
    Delete,
}

impl Operation {
    /// The text that `$operation` holds.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Base => "BASE",
            Self::Put => "PUT",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// A row's values of the reserved sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowMeta {
    /// What happened to the row.
    pub operation: Operation,
    /// When that became durable.
    pub commit_time: Micros,
    /// Its position in the change log of the row's partition.
    pub sequence: u64,
}

/// A finished object.
#[derive(Debug, Clone)]
pub struct EncodedObject {
    /// The whole object.
    pub bytes: Bytes,
    /// Its rows.
    pub rows: u64,
    /// The CRC-32 (IEEE) of its bytes.
    pub crc32: u32,
    /// Fields left out because of their type, counted by the name of their column.
    pub dirty: Vec<(String, u64)>,
    /// Cells that no column takes, counted by their name.
    pub undelivered: Vec<(String, u64)>,
    /// The type that was first seen of each of those names.
    pub undelivered_kinds: Vec<(String, ValueKind)>,
    /// Cells that no column takes, of names beyond the 1,024 that are counted one by one.
    pub undelivered_others: u64,
}

/// Why an object could not be encoded: text that nobody had made sure of, or a mistake of ours.
#[derive(Debug, thiserror::Error)]
pub enum EncodeError {
    /// Text of a batch is not UTF-8, see [`ObjectEncoder::set_text`]. What was written is, so it is damaged.
    #[error("text that is not UTF-8: an entry is damaged")]
    Text(#[source] ArrowError),
    /// The batch does not fit its schema.
    #[error("gather rows into a batch")]
    Batch(#[from] ArrowError),
    /// The writer refuses the batch.
    #[error("write a batch as parquet")]
    Write(#[from] ParquetError),
}

/// Encodes one object.
pub struct ObjectEncoder {
    schema: Arc<ObjectSchema>,
    arrow_schema: SchemaRef,
    writer: ArrowWriter<Sink>,
    columns: Vec<ColumnBuilder>,
    dirty: Vec<u64>,
    routes: Routes,
    /// Rows in the batch under way.
    batch_rows: usize,
    batch_bytes: usize,
    /// Rows in finished batches.
    written_rows: u64,
    dirty_columns: Vec<usize>,
    /// Numbers of cells of the row under way that no column takes.
    row_undelivered: Vec<usize>,
    /// What `batch_bytes` was before the row under way.
    bytes_before_row: usize,
    undelivered_others: u64,
}

/// Which columns take what.
struct Routes {
    /// By place in the primary key: its first column, or none.
    key_columns: Vec<usize>,
    reserved: Vec<(Reserved, usize)>,
    names: NameTable,
    /// By the number of a name: its first column, or none.
    first_column: Vec<usize>,
    /// By column: the next one of the same source, or none.
    next_column: Vec<usize>,
    /// By the number of a name: cells that no column took.
    undelivered: Vec<u64>,
    /// The type first seen of each name behind those that have a column.
    undelivered_kinds: Vec<ValueKind>,
    /// Names that have a column.
    delivered_names: usize,
}

#[derive(Debug, Clone, Copy)]
enum Reserved {
    Operation,
    CommitTime,
    Sequence,
}

impl ObjectEncoder {
    /// Begins an object. The metadata becomes its key-value metadata.
    ///
    /// # Errors
    /// What the Parquet writer has against the schema.
    pub fn new(
        schema: Arc<ObjectSchema>,
        compression: Compression,
        metadata: &[(String, String)],
    ) -> Result<Self, EncodeError> {
        let arrow_schema = arrow_schema(&schema);
        let options = ArrowWriterOptions::new()
            .with_properties(writer_properties(&schema, compression, metadata))
            // Readers shall see a plain Parquet file, whatever wrote it.
            .with_skip_arrow_metadata(true);
        let writer = ArrowWriter::try_new_with_options(Sink::default(), Arc::clone(&arrow_schema), options)?;
        let columns = schema.columns().iter().map(|column| ColumnBuilder::new(column.kind)).collect();
        let dirty = vec![0; schema.columns().len()];
        let routes = Routes::of(&schema);
        Ok(Self {
            schema,
            arrow_schema,
            writer,
            columns,
            dirty,
            routes,
            batch_rows: 0,
            batch_bytes: 0,
            written_rows: 0,
            dirty_columns: Vec::new(),
            row_undelivered: Vec::new(),
            bytes_before_row: 0,
            undelivered_others: 0,
        })
    }

    /// Adds a row: its key in schema order, and the newest cell of each attribute column. Of two cells of
    /// one name the first counts.
    ///
    /// # Errors
    /// What the Parquet writer says when the batch is full; the encoder is of no use afterwards.
    #[inline]
    pub fn push<'a>(
        &mut self,
        meta: RowMeta,
        key: &[ValueRef<'_>],
        cells: impl IntoIterator<Item = (&'a str, ValueRef<'a>)>,
    ) -> Result<(), EncodeError> {
        self.begin_row(meta);
        for (position, value) in key.iter().enumerate() {
            self.set_key(position, *value);
        }
        self.routes.names.begin_row();
        for (name, value) in cells {
            match self.routes.names.find(name) {
                Some(number) => self.set_cell(number, value),
                None => self.count_new_name(name, value.kind()),
            }
        }
        self.end_row()
    }

    /// The names of cells that the encoder knows, by their numbers: those of its columns, and further ones that it
    /// met and only counts.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.routes.names.len()).map(|number| self.routes.names.name(number))
    }

    /// Begins a row, for whoever knows the numbers of [`Self::names`]. [`Self::set_key`] and [`Self::set_cell`] fill
    /// it, [`Self::end_row`] adds it.
    #[inline]
    pub fn begin_row(&mut self, meta: RowMeta) {
        self.dirty_columns.clear();
        self.row_undelivered.clear();
        self.bytes_before_row = self.batch_bytes;
        for at in 0..self.routes.reserved.len() {
            let (reserved, column) = self.routes.reserved[at];
            self.place(column, reserved.value(meta));
        }
    }

    /// Sets the key's column at that position.
    #[inline(always)]
    pub fn set_key(&mut self, position: usize, value: ValueRef<'_>) {
        let first = self.routes.key_columns.get(position).copied().unwrap_or(NONE);
        self.place_all(first, value);
    }

    /// Sets the key's column at that position to text, as [`Self::set_text`] does with a cell.
    ///
    /// # Errors
    /// As [`Self::set_text`].
    #[inline(always)]
    pub fn set_key_text(&mut self, position: usize, text: &[u8]) -> Result<(), Utf8Error> {
        let first = self.routes.key_columns.get(position).copied().unwrap_or(NONE);
        if self.is_text_alone(first) {
            self.place_text(first, text);
        } else {
            self.place_all(first, ValueRef::String(std::str::from_utf8(text)?));
        }
        Ok(())
    }

    /// Sets the cell with the name of that number. Of two cells of one name the first counts.
    ///
    /// # Panics
    /// If there is no such name.
    #[inline(always)]
    pub fn set_cell(&mut self, number: usize, value: ValueRef<'_>) {
        let first = self.routes.first_column[number];
        if first == NONE {
            self.routes.undelivered[number] += 1;
            self.row_undelivered.push(number);
        }
        self.place_all(first, value);
    }

    /// Sets the cell to text of which nobody has made sure that it is UTF-8: the end of the batch does, for all text
    /// at once.
    ///
    /// # Errors
    /// If it is not, unless it has a single column, one of text; the encoder is of no use afterwards.
    ///
    /// # Panics
    /// If there is no such name.
    #[inline(always)]
    pub fn set_text(&mut self, number: usize, text: &[u8]) -> Result<(), Utf8Error> {
        let column = self.routes.first_column[number];
        if self.is_text_alone(column) {
            self.place_text(column, text);
            return Ok(());
        }
        self.set_unusual_text(number, text)
    }

    /// Whether there is a column, one of text, and no other of its source.
    #[inline(always)]
    fn is_text_alone(&self, column: usize) -> bool {
        column != NONE && self.routes.next_column[column] == NONE && self.columns[column].is_text()
    }

    #[inline(always)]
    fn place_text(&mut self, column: usize, text: &[u8]) {
        let placed = self.columns[column].place_text(self.batch_rows, text);
        self.count_placed(column, placed);
    }

    #[cold]
    fn set_unusual_text(&mut self, number: usize, text: &[u8]) -> Result<(), Utf8Error> {
        self.set_cell(number, ValueRef::String(std::str::from_utf8(text)?));
        Ok(())
    }

    /// Forgets the row that was begun.
    #[cold]
    pub fn take_row_back(&mut self) {
        for column in &mut self.columns {
            column.take_back(self.batch_rows);
        }
        for column in self.dirty_columns.drain(..) {
            self.dirty[column] -= 1;
        }
        for number in self.row_undelivered.drain(..) {
            self.routes.undelivered[number] -= 1;
        }
        self.batch_bytes = self.bytes_before_row;
    }

    /// Adds the row that was begun.
    ///
    /// # Errors
    /// What the Parquet writer says when the batch is full; the encoder is of no use afterwards.
    #[inline]
    pub fn end_row(&mut self) -> Result<(), EncodeError> {
        self.batch_rows += 1;
        if self.batch_rows >= BATCH_ROWS_MAX || self.batch_bytes >= BATCH_BYTES_MAX {
            self.write_batch()?;
        }
        Ok(())
    }

    /// The columns whose fields of the row pushed last are dirty, by their place in the schema.
    pub fn dirty_columns(&self) -> &[usize] {
        &self.dirty_columns
    }

    /// Rows pushed so far.
    pub fn rows(&self) -> u64 {
        self.written_rows + self.batch_rows as u64
    }

    /// Bytes that the object has so far, about; the batch under way counts as it came.
    pub fn bytes(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size() + self.batch_bytes
    }

    /// Bytes of memory that the encoder holds, about.
    pub fn memory_bytes(&self) -> usize {
        let builders: usize = self.columns.iter().map(ColumnBuilder::memory_bytes).sum();
        builders + self.writer.memory_size() + self.writer.inner().capacity()
    }

    /// Closes the object.
    ///
    /// # Errors
    /// What the Parquet writer says.
    pub fn finish(mut self) -> Result<EncodedObject, EncodeError> {
        self.write_batch()?;
        // The last row group, mostly the only one, is still to be laid behind the others: grown step by step,
        // the object would be copied and its memory touched twice.
        let in_progress = self.writer.in_progress_size();
        self.writer.inner_mut().reserve(in_progress + in_progress / 32 + FOOTER_BYTES);
        let (bytes, crc32) = self.writer.into_inner()?.finish();
        let targets = self.schema.columns().iter().map(|column| column.target.clone());
        Ok(EncodedObject {
            bytes,
            crc32,
            rows: self.written_rows,
            dirty: targets.zip(self.dirty).filter(|(_, count)| *count > 0).collect(),
            undelivered: self.routes.undelivered(),
            undelivered_kinds: self.routes.undelivered_kinds(),
            undelivered_others: self.undelivered_others,
        })
    }

    /// Places a value in a column and in the others of the same source.
    #[inline(always)]
    fn place_all(&mut self, first: usize, value: ValueRef<'_>) {
        let mut column = first;
        while column != NONE {
            self.place(column, value);
            column = self.routes.next_column[column];
        }
    }

    #[inline(always)]
    fn place(&mut self, column: usize, value: ValueRef<'_>) {
        let placed = self.columns[column].place(self.batch_rows, value);
        self.count_placed(column, placed);
    }

    #[inline(always)]
    fn count_placed(&mut self, column: usize, placed: Placed) {
        match placed {
            Placed::Taken(bytes) => self.batch_bytes += bytes,
            Placed::Dirty => self.note_dirty(column),
            Placed::Twice => {}
        }
    }

    #[cold]
    fn note_dirty(&mut self, column: usize) {
        self.dirty[column] += 1;
        self.dirty_columns.push(column);
    }

    #[cold]
    fn count_new_name(&mut self, name: &str, kind: ValueKind) {
        if self.routes.names.len() < self.routes.delivered_names + UNDELIVERED_NAMES_MAX {
            self.routes.names.learn(name);
            self.routes.first_column.push(NONE);
            self.routes.undelivered.push(1);
            self.routes.undelivered_kinds.push(kind);
        } else {
            self.undelivered_others += 1;
        }
    }

    fn write_batch(&mut self) -> Result<(), EncodeError> {
        if self.batch_rows == 0 {
            return Ok(());
        }
        let rows = self.batch_rows;
        let arrays: Result<Vec<_>, _> = self.columns.iter_mut().map(|column| column.finish(rows)).collect();
        let batch = RecordBatch::try_new(Arc::clone(&self.arrow_schema), arrays.map_err(EncodeError::Text)?)?;
        self.writer.write(&batch)?;
        self.written_rows += rows as u64;
        self.batch_rows = 0;
        self.batch_bytes = 0;
        Ok(())
    }
}

impl std::fmt::Debug for ObjectEncoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (rows, bytes) = (self.rows(), self.bytes());
        f.debug_struct("ObjectEncoder").field("rows", &rows).field("bytes", &bytes).finish_non_exhaustive()
    }
}

impl Reserved {
    fn value(self, meta: RowMeta) -> ValueRef<'static> {
        match self {
            Self::Operation => ValueRef::String(meta.operation.as_str()),
            Self::CommitTime => ValueRef::Integer(meta.commit_time),
            // A log would have to grow for millennia to get past this.
            Self::Sequence => ValueRef::Integer(i64::try_from(meta.sequence).unwrap_or(i64::MAX)),
        }
    }
}

impl Routes {
    fn of(schema: &ObjectSchema) -> Self {
        let mut routes = Self {
            key_columns: Vec::new(),
            reserved: Vec::new(),
            names: NameTable::default(),
            first_column: Vec::new(),
            next_column: vec![NONE; schema.columns().len()],
            undelivered: Vec::new(),
            undelivered_kinds: Vec::new(),
            delivered_names: 0,
        };
        for (at, column) in schema.columns().iter().enumerate() {
            match &column.source {
                Source::Key(_, position) => routes.add_key(*position, at),
                Source::Attribute(name) => routes.add_attribute(name, at),
                Source::Operation => routes.reserved.push((Reserved::Operation, at)),
                Source::CommitTime => routes.reserved.push((Reserved::CommitTime, at)),
                Source::Sequence => routes.reserved.push((Reserved::Sequence, at)),
            }
        }
        routes.delivered_names = routes.names.len();
        routes
    }

    fn add_key(&mut self, position: usize, column: usize) {
        let places = self.key_columns.len().max(position + 1);
        self.key_columns.resize(places, NONE);
        self.next_column[column] = std::mem::replace(&mut self.key_columns[position], column);
    }

    fn add_attribute(&mut self, name: &str, column: usize) {
        let number = self.names.learn(name);
        match self.first_column.get(number) {
            // One source for two columns: the newer one comes first, which nobody can tell.
            Some(&earlier) => {
                self.next_column[column] = earlier;
                self.first_column[number] = column;
            }
            None => {
                self.first_column.push(column);
                self.undelivered.push(0);
            }
        }
    }

    fn undelivered(&self) -> Vec<(String, u64)> {
        let counts = self.undelivered.iter().enumerate().filter(|(_, count)| **count > 0);
        counts.map(|(number, count)| (self.names.name(number).to_owned(), *count)).collect()
    }

    fn undelivered_kinds(&self) -> Vec<(String, ValueKind)> {
        let kinds = (self.delivered_names..).zip(&self.undelivered_kinds);
        kinds.map(|(number, kind)| (self.names.name(number).to_owned(), *kind)).collect()
    }
}
