//! One column of a batch as it grows, and the Arrow array that it becomes.
//!
//! A column is told only of the values it gets. Rows without one are filled in as nulls when the next value
//! or the batch's end comes, so a wide schema costs nothing for the columns that a row lacks. While there is
//! no null, no validity is kept.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array,
    Int32Array, Int64Array, StringArray, Time32MillisecondArray, Time64MicrosecondArray,
    TimestampMicrosecondArray, TimestampMillisecondArray,
};
use arrow_buffer::{BooleanBufferBuilder, Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow_schema::ArrowError;
use lakeferry_model::ValueRef;

use crate::convert;
use crate::schema::ColumnKind;

/// A column of the batch under way.
#[derive(Debug)]
pub(crate) struct ColumnBuilder {
    kind: ColumnKind,
    cells: Cells,
    /// Absent as long as there is no null.
    validity: Option<BooleanBufferBuilder>,
    /// Rows that have a value or a null.
    filled: usize,
}

#[derive(Debug)]
enum Cells {
    Bool(BooleanBufferBuilder),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal(Vec<i128>),
    Bytes { offsets: Vec<i32>, data: Vec<u8> },
}

/// What became of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Placed {
    /// It is in the column; so many bytes were taken beside a fixed few.
    Taken(usize),
    /// It does not fit the column; the row has a null.
    Dirty,
    /// The row has a value in this column already.
    Twice,
}

impl ColumnBuilder {
    pub(crate) fn new(kind: ColumnKind) -> Self {
        Self { kind, cells: Cells::of(kind), validity: None, filled: 0 }
    }

    /// Places a value in a row, counted from 0 within the batch; rows only go forward.
    #[inline(always)]
    pub(crate) fn place(&mut self, row: usize, value: ValueRef<'_>) -> Placed {
        if self.filled > row {
            return Placed::Twice;
        }
        if self.filled < row {
            self.fill_with_nulls(row);
        }
        let taken = match (&mut self.cells, self.kind, value) {
            (Cells::Int64(cells), ColumnKind::Int64, ValueRef::Integer(integer)) => push(cells, integer),
            (
                Cells::Bytes { offsets, data },
                ColumnKind::Utf8 | ColumnKind::Binary,
                ValueRef::String(text),
            ) => push_bytes(offsets, data, text.as_bytes()),
            (Cells::Double(cells), ColumnKind::Double, ValueRef::Double(double)) => push(cells, double),
            (Cells::Bool(cells), ColumnKind::Bool, ValueRef::Boolean(boolean)) => {
                cells.append(boolean);
                Some(0)
            }
            (Cells::Bytes { offsets, data }, ColumnKind::Binary, ValueRef::Binary(bytes)) => {
                push_bytes(offsets, data, bytes)
            }
            (cells, kind, value) => cells.push_converted(kind, value),
        };
        self.placed(row, taken)
    }

    /// Whether it is a column of text.
    #[inline(always)]
    pub(crate) fn is_text(&self) -> bool {
        self.kind == ColumnKind::Utf8
    }

    /// The same with text for a column of text, as bytes that the end of the batch makes sure of.
    #[inline(always)]
    pub(crate) fn place_text(&mut self, row: usize, text: &[u8]) -> Placed {
        if self.filled > row {
            return Placed::Twice;
        }
        if self.filled < row {
            self.fill_with_nulls(row);
        }
        let taken = match &mut self.cells {
            Cells::Bytes { offsets, data } => push_bytes(offsets, data, text),
            _ => None,
        };
        self.placed(row, taken)
    }

    #[inline(always)]
    fn placed(&mut self, row: usize, taken: Option<usize>) -> Placed {
        let Some(bytes) = taken else {
            self.fill_with_nulls(row + 1);
            return Placed::Dirty;
        };
        self.filled = row + 1;
        if let Some(validity) = &mut self.validity {
            validity.append(true);
        }
        Placed::Taken(bytes)
    }

    /// Forgets what was placed in a row, the last one.
    pub(crate) fn take_back(&mut self, row: usize) {
        if self.filled <= row {
            return;
        }
        self.filled = row;
        if let Some(validity) = &mut self.validity {
            validity.truncate(row);
        }
        match &mut self.cells {
            Cells::Bool(cells) => cells.truncate(row),
            Cells::Int32(cells) => cells.truncate(row),
            Cells::Int64(cells) => cells.truncate(row),
            Cells::Float(cells) => cells.truncate(row),
            Cells::Double(cells) => cells.truncate(row),
            Cells::Decimal(cells) => cells.truncate(row),
            Cells::Bytes { offsets, data } => {
                offsets.truncate(row + 1);
                data.truncate(offsets.last().map_or(0, |end| usize::try_from(*end).unwrap_or(0)));
            }
        }
    }

    /// The array of so many rows. The builder begins anew.
    ///
    /// # Errors
    /// What Arrow says about text that is not UTF-8, see [`Self::place_text`]; of anything else it has nothing to say.
    pub(crate) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        if self.filled < rows {
            self.fill_with_nulls(rows);
        }
        self.filled = 0;
        let nulls = self.validity.take().map(|mut validity| NullBuffer::new(validity.finish()));
        self.cells.take_array(self.kind, nulls)
    }

    /// Bytes set aside, used or not.
    pub(crate) fn memory_bytes(&self) -> usize {
        let validity = self.validity.as_ref().map_or(0, |validity| validity.capacity() / 8);
        let cells = match &self.cells {
            Cells::Bool(cells) => cells.capacity() / 8,
            Cells::Int32(cells) => cells.capacity() * 4,
            Cells::Int64(cells) => cells.capacity() * 8,
            Cells::Float(cells) => cells.capacity() * 4,
            Cells::Double(cells) => cells.capacity() * 8,
            Cells::Decimal(cells) => cells.capacity() * 16,
            Cells::Bytes { offsets, data } => offsets.capacity() * 4 + data.capacity(),
        };
        validity + cells
    }

    #[cold]
    fn fill_with_nulls(&mut self, until: usize) {
        let missing = until - self.filled;
        let filled = self.filled;
        let validity = self.validity.get_or_insert_with(|| {
            let mut all_valid = BooleanBufferBuilder::new(until.max(64));
            all_valid.append_n(filled, true);
            all_valid
        });
        validity.append_n(missing, false);
        match &mut self.cells {
            Cells::Bool(cells) => cells.append_n(missing, false),
            Cells::Int32(cells) => cells.resize(until, 0),
            Cells::Int64(cells) => cells.resize(until, 0),
            Cells::Float(cells) => cells.resize(until, 0.0),
            Cells::Double(cells) => cells.resize(until, 0.0),
            Cells::Decimal(cells) => cells.resize(until, 0),
            Cells::Bytes { offsets, .. } => {
                let end = *offsets.last().expect("offsets begin with a 0");
                offsets.resize(until + 1, end);
            }
        }
        self.filled = until;
    }
}

#[inline]
fn push<T>(cells: &mut Vec<T>, value: T) -> Option<usize> {
    cells.push(value);
    Some(0)
}

#[inline]
fn push_bytes(offsets: &mut Vec<i32>, data: &mut Vec<u8>, bytes: &[u8]) -> Option<usize> {
    data.extend_from_slice(bytes);
    // The encoder ends a batch long before.
    offsets.push(i32::try_from(data.len()).expect("the bytes of a batch are far fewer than 2 GiB"));
    Some(bytes.len())
}

impl Cells {
    fn of(kind: ColumnKind) -> Self {
        match kind {
            ColumnKind::Bool => Self::Bool(BooleanBufferBuilder::new(0)),
            ColumnKind::Int32 | ColumnKind::Date | ColumnKind::TimeMillis => Self::Int32(Vec::new()),
            ColumnKind::Int64
            | ColumnKind::TimeMicros
            | ColumnKind::TimestampMillis
            | ColumnKind::TimestampMicros => Self::Int64(Vec::new()),
            ColumnKind::Float => Self::Float(Vec::new()),
            ColumnKind::Double => Self::Double(Vec::new()),
            ColumnKind::Decimal { .. } => Self::Decimal(Vec::new()),
            ColumnKind::Utf8 | ColumnKind::Binary => Self::Bytes { offsets: vec![0], data: Vec::new() },
        }
    }

    #[inline(never)]
    fn push_converted(&mut self, kind: ColumnKind, value: ValueRef<'_>) -> Option<usize> {
        match (self, kind) {
            (Self::Int32(cells), ColumnKind::Int32) => push(cells, convert::int32(value)?),
            (Self::Int32(cells), ColumnKind::Date) => push(cells, convert::date(value)?),
            (Self::Int32(cells), ColumnKind::TimeMillis) => push(cells, convert::time_millis(value)?),
            (Self::Int64(cells), ColumnKind::TimeMicros) => push(cells, convert::time_micros(value)?),
            (Self::Int64(cells), ColumnKind::TimestampMillis) => {
                push(cells, convert::timestamp_millis(value)?)
            }
            (Self::Int64(cells), ColumnKind::TimestampMicros) => {
                push(cells, convert::timestamp_micros(value)?)
            }
            (Self::Float(cells), ColumnKind::Float) => push(cells, convert::float(value)?),
            (Self::Decimal(cells), ColumnKind::Decimal { precision, scale }) => {
                push(cells, convert::decimal(value, precision, scale)?)
            }
            _ => None,
        }
    }

    fn take_array(&mut self, kind: ColumnKind, nulls: Option<NullBuffer>) -> Result<ArrayRef, ArrowError> {
        Ok(match self {
            Self::Bool(cells) => Arc::new(BooleanArray::new(cells.finish(), nulls)),
            Self::Int32(cells) => {
                let values = take(cells);
                match kind {
                    ColumnKind::Date => Arc::new(Date32Array::new(values, nulls)),
                    ColumnKind::TimeMillis => Arc::new(Time32MillisecondArray::new(values, nulls)),
                    _ => Arc::new(Int32Array::new(values, nulls)),
                }
            }
            Self::Int64(cells) => {
                let values = take(cells);
                match kind {
                    ColumnKind::TimeMicros => Arc::new(Time64MicrosecondArray::new(values, nulls)),
                    ColumnKind::TimestampMillis => {
                        Arc::new(TimestampMillisecondArray::new(values, nulls).with_timezone("UTC"))
                    }
                    ColumnKind::TimestampMicros => {
                        Arc::new(TimestampMicrosecondArray::new(values, nulls).with_timezone("UTC"))
                    }
                    _ => Arc::new(Int64Array::new(values, nulls)),
                }
            }
            Self::Float(cells) => Arc::new(Float32Array::new(take(cells), nulls)),
            Self::Double(cells) => Arc::new(Float64Array::new(take(cells), nulls)),
            Self::Decimal(cells) => {
                Arc::new(Decimal128Array::new(take(cells), nulls).with_data_type(kind.arrow_type()))
            }
            Self::Bytes { offsets, data } => {
                let mut fresh_offsets = Vec::with_capacity(with_slack(offsets.len()));
                fresh_offsets.push(0);
                let offsets = OffsetBuffer::new(std::mem::replace(offsets, fresh_offsets).into());
                let fresh_data = Vec::with_capacity(with_slack(data.len()));
                let data = Buffer::from_vec(std::mem::replace(data, fresh_data));
                match kind {
                    ColumnKind::Utf8 => Arc::new(StringArray::try_new(offsets, data, nulls)?),
                    _ => Arc::new(BinaryArray::new(offsets, data, nulls)),
                }
            }
        })
    }
}

/// Takes the values and leaves room for as many.
fn take<T: arrow_buffer::ArrowNativeType>(cells: &mut Vec<T>) -> ScalarBuffer<T> {
    let fresh = Vec::with_capacity(with_slack(cells.len()));
    std::mem::replace(cells, fresh).into()
}

/// Room for a batch like the last one and a little more: one entry too many would double it all.
fn with_slack(length: usize) -> usize {
    length + length / 8
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow_array::Array;

    #[test]
    fn rows_without_a_value_are_null() {
        let mut column = ColumnBuilder::new(ColumnKind::Int64);
        assert_eq!(column.place(2, ValueRef::Integer(7)), Placed::Taken(0));
        assert_eq!(column.place(2, ValueRef::Integer(8)), Placed::Twice);
        assert_eq!(column.place(3, ValueRef::Boolean(true)), Placed::Dirty);
        let array = column.finish(5).unwrap();
        assert_eq!(array.as_ref(), &Int64Array::from(vec![None, None, Some(7), None, None]) as &dyn Array);
        assert_eq!(column.place(0, ValueRef::Integer(1)), Placed::Taken(0));
        assert_eq!(column.finish(1).unwrap().null_count(), 0);
    }

    #[test]
    fn a_column_that_gets_nothing_is_all_null() {
        for kind in [ColumnKind::Bool, ColumnKind::Utf8, ColumnKind::Date, ColumnKind::Float] {
            let mut column = ColumnBuilder::new(kind);
            let array = column.finish(3).unwrap();
            assert_eq!((array.len(), array.null_count()), (3, 3));
            assert_eq!(column.finish(0).unwrap().len(), 0);
        }
    }
}
