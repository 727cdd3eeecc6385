//! Ranges of about one size, for reading a table with several readers.

use bytestring::ByteString;
use lakeferry_model::KeyBound;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::plain_buffer::{WireKeyValue, decode_row};
use lakeferry_wire::proto;

use crate::error::Error;
use crate::range::Range;
use crate::transport::Client;

/// A part of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// Its rows.
    pub range: Range,
    /// Where they lie; equal for splits that one machine holds.
    pub location: String,
}

impl Client {
    /// Splits a table into ranges of about `units` times `unit_bytes` each, which together are the whole table.
    /// `unit_bytes` is 1 MiB at least, 100 MB by default; `points_max` bounds the splits to one more.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn split_by_size(
        &self,
        table: &str,
        units: i64,
        unit_bytes: Option<i64>,
        points_max: Option<u32>,
    ) -> Result<Vec<Split>, Error> {
        let request = proto::ComputeSplitPointsBySizeRequest {
            table_name: table.to_owned(),
            split_size: units,
            split_size_unit_in_byte: unit_bytes,
            split_point_limit: points_max.map(|points| i32::try_from(points).unwrap_or(i32::MAX)),
        };
        let answer: proto::ComputeSplitPointsBySizeResponse =
            self.call(Operation::ComputeSplitPointsBySize, &request).await?;
        splits(&answer).map_err(|reason| Error::malformed(Operation::ComputeSplitPointsBySize, reason))
    }
}

type Bound = Vec<(ByteString, KeyBound)>;

fn splits(answer: &proto::ComputeSplitPointsBySizeResponse) -> Result<Vec<Split>, String> {
    let names: Vec<ByteString> = answer.schema.iter().map(|column| column.name.as_str().into()).collect();
    let all =
        |bound: &KeyBound| -> Bound { names.iter().map(|name| (name.clone(), bound.clone())).collect() };
    let points = answer.split_points.iter().map(|point| {
        let key = decode_row(point).map_err(|error| error.to_string())?.key;
        // A point names only its first columns; those it leaves out lie at their lowest.
        let mut bound = all(&KeyBound::InfMin);
        for ((expected, bound), (name, value)) in bound.iter_mut().zip(key) {
            match value {
                WireKeyValue::Value(value) if name == *expected => *bound = KeyBound::Value(value),
                _ => return Err("a split point is no beginning of a key".to_owned()),
            }
        }
        Ok(bound)
    });
    let points: Vec<Bound> = points.collect::<Result<_, String>>()?;
    let locations = locations(&answer.locations, points.len() + 1)?;
    let starts = std::iter::once(all(&KeyBound::InfMin)).chain(points.iter().cloned());
    let ends = points.iter().cloned().chain([all(&KeyBound::InfMax)]);
    let ranges = starts.zip(ends).map(|(start, end)| Range::new(start, end));
    Ok(ranges.zip(locations).map(|(range, location)| Split { range, location }).collect())
}

/// One location a split, from a list that says how often each is repeated.
fn locations(runs: &[proto::SplitLocation], splits: usize) -> Result<Vec<String>, String> {
    let mut all = Vec::with_capacity(splits);
    for run in runs {
        let repeat = usize::try_from(run.repeat).map_err(|_| "a location's count is negative")?;
        if repeat > splits - all.len() {
            return Err("there are more locations than splits".to_owned());
        }
        all.extend(std::iter::repeat_n(run.location.clone(), repeat));
    }
    if all.len() == splits { Ok(all) } else { Err("there are fewer locations than splits".to_owned()) }
}
