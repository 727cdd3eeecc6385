//! Calls for streams: a table's change log, shard by shard.

use lakeferry_model::Micros;
use lakeferry_wire::operation::Operation;
use lakeferry_wire::proto;

use crate::error::Error;
use crate::record::ChangeRecord;
use crate::transport::Client;

/// A stream in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its id.
    pub id: String,
    /// The table whose changes it holds.
    pub table: String,
    /// When it was made.
    pub created_at: Micros,
}

/// A stream with its shards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamShards {
    /// The stream itself.
    pub stream: StreamInfo,
    /// Hours that a record stays readable.
    pub expiration_hours: i32,
    /// Whether it can be read already.
    pub is_active: bool,
    /// Its shards, or the first of them.
    pub shards: Vec<Shard>,
    /// The first shard that is not listed, if there are more.
    pub next_shard: Option<String>,
}

/// A part of a stream: the changes of one partition, in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shard {
    /// Its id.
    pub id: String,
    /// The shards that it came from, which are to be read to their end before it.
    pub parents: Vec<String>,
}

/// A page of a shard's records.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamPage {
    /// The records, in their order.
    pub records: Vec<ChangeRecord>,
    /// Where to read on; the same as was asked with if there was nothing to read. `None` at the end of a shard
    /// that was closed.
    pub next: Option<String>,
    /// Whether more can be read at once; `None` if the server does not say.
    pub has_more: Option<bool>,
}

impl Client {
    /// The streams of a table, at most one; or of all tables of the instance.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_streams(&self, table: Option<&str>) -> Result<Vec<StreamInfo>, Error> {
        let request = proto::ListStreamRequest { table_name: table.map(str::to_owned) };
        let answer: proto::ListStreamResponse = self.call(Operation::ListStream, &request).await?;
        let streams = answer.streams.into_iter().map(|stream| StreamInfo {
            id: stream.stream_id,
            table: stream.table_name,
            created_at: stream.creation_time,
        });
        Ok(streams.collect())
    }

    /// Describes a stream and its shards, `shards_max` of them from `first_shard` on; all of them by default.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn describe_stream(
        &self,
        stream: &str,
        first_shard: Option<&str>,
        shards_max: Option<u32>,
    ) -> Result<StreamShards, Error> {
        let request = proto::DescribeStreamRequest {
            stream_id: stream.to_owned(),
            inclusive_start_shard_id: first_shard.map(str::to_owned),
            shard_limit: shards_max.map(|shards| i32::try_from(shards).unwrap_or(i32::MAX)),
            support_timeseries_data_table: None,
        };
        let answer: proto::DescribeStreamResponse = self.call(Operation::DescribeStream, &request).await?;
        let is_active = answer.stream_status() == proto::StreamStatus::Active;
        let shards = answer.shards.into_iter().map(|shard| {
            let parents = [shard.parent_id, shard.parent_sibling_id].into_iter().flatten();
            Shard { id: shard.shard_id, parents: parents.filter(|parent| !parent.is_empty()).collect() }
        });
        Ok(StreamShards {
            shards: shards.collect(),
            expiration_hours: answer.expiration_time,
            is_active,
            next_shard: answer.next_shard_id.filter(|shard| !shard.is_empty()),
            stream: StreamInfo {
                id: answer.stream_id,
                table: answer.table_name,
                created_at: answer.creation_time,
            },
        })
    }

    /// Where to begin to read a shard: at the first record of that time or later, or at the earliest there is.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn shard_iterator(
        &self,
        stream: &str,
        shard: &str,
        since: Option<Micros>,
    ) -> Result<String, Error> {
        let mut request = proto::GetShardIteratorRequest {
            stream_id: stream.to_owned(),
            shard_id: shard.to_owned(),
            timestamp: since,
            token: None,
        };
        loop {
            let answer: proto::GetShardIteratorResponse =
                self.call(Operation::GetShardIterator, &request).await?;
            // The server may search a long shard in steps.
            match answer.next_token.filter(|token| !token.is_empty()) {
                None => return Ok(answer.shard_iterator),
                Some(token) if request.token.as_ref() == Some(&token) => {
                    let reason = "its token is the one that was sent";
                    return Err(Error::malformed(Operation::GetShardIterator, reason));
                }
                Some(token) => request.token = Some(token),
            }
        }
    }

    /// Reads records from an iterator on, at most so many; as many as the server likes by default.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn stream_records(
        &self,
        iterator: &str,
        records_max: Option<u32>,
    ) -> Result<StreamPage, Error> {
        let request = proto::GetStreamRecordRequest {
            shard_iterator: iterator.to_owned(),
            limit: records_max.map(|records| i32::try_from(records).unwrap_or(i32::MAX)),
            table_name: None,
        };
        let answer: proto::GetStreamRecordResponse = self.call(Operation::GetStreamRecord, &request).await?;
        let records = answer.stream_records.iter().map(|record| {
            ChangeRecord::decode(record.action_type, &record.record, record.origin_record.as_ref())
                .map_err(|reason| Error::malformed(Operation::GetStreamRecord, reason))
        });
        Ok(StreamPage {
            records: records.collect::<Result<_, _>>()?,
            next: answer.next_shard_iterator.filter(|iterator| !iterator.is_empty()),
            has_more: answer.may_more_record,
        })
    }
}
