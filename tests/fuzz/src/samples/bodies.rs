//! Bodies of every operation, as clients send them.

use bytes::Bytes;
use lakeferry_model::ValueRef;
use lakeferry_wire::plain_buffer::variant::{self, Variant};
use lakeferry_wire::proto::{self, Message, tunnel};

use super::{
    SIGNED_AT, TABLE, delete_row, high, key, low, put_row, single, start_key, token_texts, update_row,
};

/// Well-formed bodies of every operation that has a message here, by the operation's name.
pub fn bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    [
        table_bodies(),
        row_bodies(),
        read_bodies(),
        batch_bodies(),
        stream_bodies(),
        tunnel_bodies(),
        other_bodies(),
    ]
    .concat()
}

fn one(name: &'static str, message: &impl Message) -> (&'static str, Vec<Vec<u8>>) {
    (name, vec![message.encode_to_vec()])
}

fn table() -> String {
    TABLE.to_owned()
}

fn index() -> proto::IndexMeta {
    proto::IndexMeta {
        name: "fuzzed_by_a".to_owned(),
        primary_key: vec!["a".to_owned()],
        defined_column: vec!["b".to_owned()],
        ..Default::default()
    }
}

/// Makes the table that all other bodies are about.
pub fn create_table() -> proto::CreateTableRequest {
    let key_column = |name: &str, kind: proto::PrimaryKeyType| proto::PrimaryKeySchema {
        name: name.to_owned(),
        r#type: kind.into(),
        option: None,
    };
    let defined = |name: &str, kind: proto::DefinedColumnType| proto::DefinedColumnSchema {
        name: name.to_owned(),
        r#type: kind.into(),
    };
    proto::CreateTableRequest {
        table_meta: proto::TableMeta {
            table_name: table(),
            primary_key: vec![
                key_column("group", proto::PrimaryKeyType::String),
                key_column("id", proto::PrimaryKeyType::Integer),
            ],
            defined_column: vec![
                defined("a", proto::DefinedColumnType::Integer),
                defined("b", proto::DefinedColumnType::String),
            ],
            ..Default::default()
        },
        table_options: Some(proto::TableOptions {
            time_to_live: Some(-1),
            max_versions: Some(3),
            deviation_cell_version_in_sec: Some(1_000_000_000),
            ..Default::default()
        }),
        stream_spec: Some(proto::StreamSpecification {
            enable_stream: true,
            expiration_time: Some(24),
            columns_to_get: vec!["a".to_owned()],
        }),
        ..Default::default()
    }
}

fn table_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let mut split = create_table();
    let point = variant::encode(ValueRef::String("m"));
    split.partitions = vec![
        proto::PartitionRange { begin: variant::encode_variant(&Variant::InfMin), end: point.clone() },
        proto::PartitionRange { begin: point, end: variant::encode_variant(&Variant::InfMax) },
    ];
    let mut indexed = create_table();
    indexed.table_meta.table_name = "fuzzed_too".to_owned();
    indexed.index_metas = vec![index()];
    let creations = [create_table(), split, indexed].iter().map(Message::encode_to_vec).collect();
    vec![
        ("CreateTable", creations),
        one("ListTable", &proto::ListTableRequest {}),
        one("DescribeTable", &proto::DescribeTableRequest { table_name: table() }),
        one("DeleteTable", &proto::DeleteTableRequest { table_name: "fuzzed_too".to_owned() }),
        one(
            "UpdateTable",
            &proto::UpdateTableRequest {
                table_name: table(),
                table_options: Some(proto::TableOptions { max_versions: Some(2), ..Default::default() }),
                stream_spec: create_table().stream_spec,
                ..Default::default()
            },
        ),
        one(
            "ComputeSplitPointsBySize",
            &proto::ComputeSplitPointsBySizeRequest {
                table_name: table(),
                split_size: 1,
                split_size_unit_in_byte: Some(1 << 20),
                split_point_limit: Some(3),
            },
        ),
        one(
            "AddDefinedColumn",
            &proto::AddDefinedColumnRequest {
                table_name: table(),
                columns: create_table().table_meta.defined_column,
            },
        ),
        one(
            "DeleteDefinedColumn",
            &proto::DeleteDefinedColumnRequest { table_name: table(), columns: vec!["b".to_owned()] },
        ),
        one(
            "CreateIndex",
            &proto::CreateIndexRequest {
                main_table_name: table(),
                index_meta: index(),
                include_base_data: Some(true),
            },
        ),
        one("DropIndex", &proto::DropIndexRequest { main_table_name: table(), index_name: index().name }),
    ]
}

fn condition() -> proto::Condition {
    proto::Condition {
        row_existence: proto::RowExistenceExpectation::Ignore.into(),
        column_condition: Some(single(1, None).encode_to_vec().into()),
    }
}

fn returning() -> Option<proto::ReturnContent> {
    Some(proto::ReturnContent {
        return_type: Some(proto::ReturnType::Pk.into()),
        return_column_names: Vec::new(),
    })
}

fn row_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let put = proto::PutRowRequest { table_name: table(), row: put_row(), ..Default::default() };
    let checked = proto::PutRowRequest { condition: condition(), return_content: returning(), ..put.clone() };
    let update =
        proto::UpdateRowRequest { table_name: table(), row_change: update_row(), ..Default::default() };
    let changed = proto::UpdateRowRequest {
        return_content: Some(proto::ReturnContent {
            return_type: Some(proto::ReturnType::AfterModify.into()),
            return_column_names: vec!["n".to_owned()],
        }),
        ..update.clone()
    };
    let inside = proto::PutRowRequest { transaction_id: Some("transaction".to_owned()), ..put.clone() };
    vec![
        ("PutRow", [put, checked, inside].iter().map(Message::encode_to_vec).collect()),
        ("UpdateRow", [update, changed].iter().map(Message::encode_to_vec).collect()),
        one(
            "DeleteRow",
            &proto::DeleteRowRequest { table_name: table(), primary_key: delete_row(), ..Default::default() },
        ),
    ]
}

/// GetRow with everything that it can be asked.
pub fn get_row() -> proto::GetRowRequest {
    proto::GetRowRequest {
        table_name: table(),
        primary_key: key(),
        max_versions: Some(1),
        ..Default::default()
    }
}

fn read_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let filter: Bytes = single(1, None).encode_to_vec().into();
    let chosen = proto::GetRowRequest {
        columns_to_get: vec!["a".to_owned(), "b".to_owned()],
        time_range: Some(proto::TimeRange {
            start_time: Some(0),
            end_time: Some(i64::MAX),
            specific_time: None,
        }),
        filter: Some(filter.clone()),
        start_column: Some("a".to_owned()),
        end_column: Some("z".to_owned()),
        ..get_row()
    };
    let continued = proto::GetRowRequest { token: Some(Bytes::from_static(&[1, 2, 3])), ..get_row() };
    let range = proto::GetRangeRequest {
        table_name: table(),
        max_versions: Some(1),
        inclusive_start_primary_key: low(),
        exclusive_end_primary_key: high(),
        ..Default::default()
    };
    let chosen_range = proto::GetRangeRequest {
        direction: proto::Direction::Backward.into(),
        limit: Some(10),
        inclusive_start_primary_key: high(),
        exclusive_end_primary_key: low(),
        filter: Some(filter.clone()),
        data_block_type_hint: Some(1),
        ..range.clone()
    };
    vec![
        ("GetRow", [get_row(), chosen, continued].iter().map(Message::encode_to_vec).collect()),
        ("GetRange", [range, chosen_range].iter().map(Message::encode_to_vec).collect()),
        one(
            "BulkExport",
            &proto::BulkExportRequest {
                table_name: table(),
                columns_to_get: vec!["group".to_owned(), "a".to_owned()],
                inclusive_start_primary_key: low(),
                exclusive_end_primary_key: high(),
                filter: Some(filter),
                data_block_type_hint: Some(1),
            },
        ),
    ]
}

fn batch_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let change = |kind: proto::OperationType, row_change: Bytes| proto::RowInBatchWriteRowRequest {
        r#type: kind.into(),
        row_change,
        return_content: returning(),
        ..Default::default()
    };
    let rows = vec![
        change(proto::OperationType::Put, put_row()),
        change(proto::OperationType::Update, update_row()),
        change(proto::OperationType::Delete, delete_row()),
    ];
    let imported = rows
        .iter()
        .map(|row| proto::RowInBulkImportRequest { r#type: row.r#type, row_change: row.row_change.clone() });
    let import = proto::BulkImportRequest { table_name: table(), rows: imported.collect() };
    let write = proto::BatchWriteRowRequest {
        tables: vec![proto::TableInBatchWriteRowRequest { table_name: table(), rows }],
        ..Default::default()
    };
    let atomic = proto::BatchWriteRowRequest { is_atomic: Some(true), ..write.clone() };
    let read = proto::BatchGetRowRequest {
        tables: vec![proto::TableInBatchGetRowRequest {
            table_name: table(),
            primary_key: vec![key(), key()],
            token: vec![Bytes::new(), Bytes::new()],
            max_versions: Some(1),
            ..Default::default()
        }],
    };
    vec![
        ("BatchWriteRow", [write, atomic].iter().map(Message::encode_to_vec).collect()),
        one("BatchGetRow", &read),
        one("BulkImport", &import),
    ]
}

fn stream_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let iterator = proto::GetShardIteratorRequest {
        stream_id: "stream".to_owned(),
        shard_id: "shard".to_owned(),
        ..Default::default()
    };
    let at_time = proto::GetShardIteratorRequest { timestamp: Some(SIGNED_AT), ..iterator.clone() };
    let continued = proto::GetShardIteratorRequest { token: Some("token".to_owned()), ..at_time.clone() };
    let iterators = [iterator, at_time, continued].iter().map(Message::encode_to_vec).collect();
    vec![
        one(
            "StartLocalTransaction",
            &proto::StartLocalTransactionRequest { table_name: table(), key: start_key() },
        ),
        one(
            "CommitTransaction",
            &proto::CommitTransactionRequest { transaction_id: "transaction".to_owned() },
        ),
        one("AbortTransaction", &proto::AbortTransactionRequest { transaction_id: "transaction".to_owned() }),
        one("ListStream", &proto::ListStreamRequest { table_name: Some(table()) }),
        one(
            "DescribeStream",
            &proto::DescribeStreamRequest { stream_id: "stream".to_owned(), ..Default::default() },
        ),
        ("GetShardIterator", iterators),
        one(
            "GetStreamRecord",
            &proto::GetStreamRecordRequest {
                shard_iterator: "iterator".to_owned(),
                limit: Some(10),
                ..Default::default()
            },
        ),
    ]
}

fn tunnel_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let [id, client, channel] = ["tunnel", "client", "Stream_1"].map(str::to_owned);
    let tunnel = tunnel::Tunnel {
        table_name: table(),
        tunnel_name: "tunnel".to_owned(),
        tunnel_type: tunnel::TunnelType::BaseAndStream.into(),
        stream_tunnel_config: Some(tunnel::StreamTunnelConfig::default()),
        ..Default::default()
    };
    let held = tunnel::Channel { channel_id: channel.clone(), version: 1, status: 1, detail: None };
    let token = String::from_utf8_lossy(&token_texts()[0]).into_owned();
    vec![
        one("tunnel/create", &tunnel::CreateTunnelRequest { tunnel }),
        one(
            "tunnel/delete",
            &tunnel::DeleteTunnelRequest { table_name: table(), tunnel_name: id.clone(), tunnel_id: None },
        ),
        one("tunnel/list", &tunnel::ListTunnelRequest { table_name: Some(table()) }),
        one(
            "tunnel/describe",
            &tunnel::DescribeTunnelRequest { table_name: table(), tunnel_name: id.clone(), tunnel_id: None },
        ),
        one(
            "tunnel/connect",
            &tunnel::ConnectRequest {
                tunnel_id: id.clone(),
                client_config: Some(tunnel::ClientConfig::default()),
            },
        ),
        one(
            "tunnel/heartbeat",
            &tunnel::HeartbeatRequest {
                tunnel_id: id.clone(),
                client_id: client.clone(),
                channels: vec![held.clone()],
            },
        ),
        one("tunnel/shutdown", &tunnel::ShutdownRequest { tunnel_id: id.clone(), client_id: client.clone() }),
        one(
            "tunnel/getcheckpoint",
            &tunnel::GetCheckpointRequest {
                tunnel_id: id.clone(),
                client_id: client.clone(),
                channel_id: channel.clone(),
            },
        ),
        one(
            "tunnel/readrecords",
            &tunnel::ReadRecordsRequest {
                tunnel_id: id.clone(),
                client_id: client.clone(),
                channel_id: channel.clone(),
                token: token.clone(),
            },
        ),
        one(
            "tunnel/checkpoint",
            &tunnel::CheckpointRequest {
                tunnel_id: id.clone(),
                client_id: client,
                channel_id: channel,
                checkpoint: token,
                sequence_number: 1,
            },
        ),
        one("tunnel/getrpo", &tunnel::GetRpoRequest { tunnel_id: Some(id.clone()), ..Default::default() }),
        one("tunnel/schedule", &tunnel::ScheduleRequest { tunnel_id: id, channels: vec![held] }),
    ]
}

fn other_bodies() -> Vec<(&'static str, Vec<Vec<u8>>)> {
    let task = proto::CreateDeliveryTaskRequest {
        table_name: Some(table()),
        task_name: Some("task1".to_owned()),
        task_config: Some(proto::OssTaskConfig {
            oss_prefix: Some("p/year=$yyyy/month=$MM".to_owned()),
            oss_bucket: Some("bucket".to_owned()),
            oss_endpoint: Some("oss-cn-hangzhou.aliyuncs.com".to_owned()),
            oss_sts_role: Some("role".to_owned()),
            schema: vec![proto::ParquetSchema {
                column_name: Some("group".to_owned()),
                oss_column_name: Some("group".to_owned()),
                r#type: Some(2),
                encode: Some(0),
                type_extend: None,
            }],
            ..Default::default()
        }),
        task_type: Some(2),
    };
    let named = |table_name, task_name| proto::DescribeDeliveryTaskRequest { table_name, task_name };
    let delete =
        proto::DeleteDeliveryTaskRequest { table_name: Some(table()), task_name: task.task_name.clone() };
    let update = proto::UpdateDeliveryTaskRequest {
        table: Some(table()),
        task_name: task.task_name.clone(),
        task_config: task.task_config.clone(),
    };
    vec![
        one("CreateDeliveryTask", &task),
        one("UpdateDeliveryTask", &update),
        one("DeleteDeliveryTask", &delete),
        one("DescribeDeliveryTask", &named(Some(table()), Some("task1".to_owned()))),
        one("ListDeliveryTask", &proto::ListDeliveryTaskRequest { table_name: Some(table()) }),
        one("SQLQuery", &proto::SqlQueryRequest { query: "SELECT 1".to_owned(), ..Default::default() }),
    ]
}
