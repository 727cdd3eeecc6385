//! /tunnel/readrecords: reads a page of a channel.

use lakeferry_store::Table;
use lakeferry_store::tunnel::{ChannelId, ClientId, Page, Position, Read};
use lakeferry_wire::proto::tunnel::{ReadRecordsRequest, ReadRecordsResponse, Record};

use super::{Call, record, tunnel};
use crate::error::ApiError;

pub async fn answer(call: Call, request: ReadRecordsRequest) -> Result<ReadRecordsResponse, ApiError> {
    let found = call.tunnel(&request.tunnel_id)?;
    let schema = &found.table().info().schema;
    let (client, channel) = (ClientId::new(request.client_id), ChannelId::new(request.channel_id));
    found.check_readable(&client, &channel, call.deadline).await?;
    let position = tunnel::position(&request.token, schema)?;
    let Page { read, next, more, .. } = found.read(&client, &channel, position, call.deadline).await?;
    let records = records(&read, found.table())?.into_iter().map(|record| Record {
        action_type: record.action.into(),
        record: record.record,
        origin_record: record.origin,
    });
    Ok(ReadRecordsResponse {
        records: records.collect(),
        next_token: tunnel::token(&next, schema)?,
        may_more_record: Some(more && next != Position::Finished),
    })
}

fn records(read: &Read, table: &Table) -> Result<Vec<record::Record>, ApiError> {
    Ok(match read {
        Read::Rows(block) => record::rows(block)?,
        Read::Log(block, count) => {
            let info = table.info();
            let records = block.records().take(*count);
            records.map(|record| record::change(&record?, &info)).collect::<Result<_, _>>()?
        }
        Read::Nothing => Vec::new(),
    })
}
