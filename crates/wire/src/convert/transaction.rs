//! Local transactions.

use lakeferry_model::{TableName, TransactionId, Violation, check_column_name, check_key_value};

use super::{KeyColumns, key_values};
use crate::plain_buffer::decode_row_to_write;
use crate::proto;

/// Takes a StartLocalTransaction: the table, and the partition key with its column's name;
/// [`lakeferry_model::TableSchema::partition_key`] takes it.
///
/// # Errors
/// The first broken rule that needs no table.
pub fn start_local_transaction(
    request: &proto::StartLocalTransactionRequest,
) -> Result<(TableName, KeyColumns), Violation> {
    let table = TableName::parse(&request.table_name)?;
    let row = decode_row_to_write(&request.key)?;
    if row.key.len() > 1 {
        return Err(Violation::parameter("StartLocalTransaction support only one primary key."));
    }
    let key: KeyColumns = key_values(row.key)?.collect();
    for (name, value) in &key {
        check_column_name(name)?;
        check_key_value(name, value.as_ref())?;
    }
    Ok((table, key))
}

/// Takes the id of a row's transaction. An empty one is no id: taken for none, what was meant for a transaction would
/// be written outside it.
///
/// # Errors
/// If it is no id.
pub fn transaction_id(id: Option<&str>) -> Result<Option<TransactionId>, Violation> {
    id.map(TransactionId::parse).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plain_buffer::encode;
    use bytes::Bytes;
    use lakeferry_model::{KeyBound, KeyValue, ValueRef};

    fn start(table: &str, key: Bytes) -> Result<(TableName, KeyColumns), Violation> {
        start_local_transaction(&proto::StartLocalTransactionRequest { table_name: table.into(), key })
    }

    #[test]
    fn a_transaction_begins_with_one_value() {
        let value = ("a", ValueRef::Integer(1));
        let (_, key) = start("t", encode::key([value])).unwrap();
        assert_eq!(key, [("a".into(), KeyValue::Integer(1))]);
        let message = |table, key| start(table, key).unwrap_err().message;
        let two = message("t", encode::key([value, ("b", ValueRef::Integer(2))]));
        assert_eq!(two, "StartLocalTransaction support only one primary key.");
        assert_eq!(message("", encode::key([value])), "Invalid table name: ''.");
        let infinite = encode::bound([("a", &KeyBound::InfMin)]);
        assert_eq!(message("t", infinite), "VT_INF_MIN is an invalid type for the primary key.");
    }

    #[test]
    fn an_id_that_is_empty_or_malformed_is_refused() {
        assert_eq!(transaction_id(None), Ok(None));
        assert!(transaction_id(Some(&TransactionId::new(7).to_string())).unwrap().is_some());
        for id in ["", "x"] {
            assert_eq!(transaction_id(Some(id)).unwrap_err().message, "TransactionID is invalid.");
        }
    }
}
