//! ComputeSplitPointsBySize: the keys at which a table, or an index, falls into parts of about one size.
//!
//! The walk over the rows gets half of the request's time; what it does not reach is one last part.

use std::time::Instant;

use lakeferry_model::KeyValue;
use lakeferry_store::PartitionId;
use lakeferry_wire::convert::{self, SplitPointsAsked};
use lakeferry_wire::proto::{ComputeSplitPointsBySizeRequest, ComputeSplitPointsBySizeResponse};

use super::Call;
use crate::error::ApiError;

pub async fn answer(
    call: Call,
    request: ComputeSplitPointsBySizeRequest,
) -> Result<ComputeSplitPointsBySizeResponse, ApiError> {
    let SplitPointsAsked { table, part_bytes, points_max } = convert::split_points_asked(&request)?;
    let table = call.readable(&table)?;
    let points_max = points_max.unwrap_or(usize::MAX);
    let now = Instant::now();
    let until = now + call.deadline.saturating_duration_since(now) / 2;
    let split = table.split_points(part_bytes, points_max, until, call.deadline).await?;
    let points: Vec<Vec<KeyValue>> = split.points.iter().map(|point| point.values().to_vec()).collect();
    let locations: Vec<(String, u64)> =
        split.places.iter().map(|(place, count)| (location(*place), *count)).collect();
    Ok(convert::split_points_response(&table.info().schema.primary_key, &points, &locations))
}

/// A partition's name among locations: 32 hexadecimal digits.
fn location(PartitionId(partition): PartitionId) -> String {
    format!("{partition:032x}")
}
