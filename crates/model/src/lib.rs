//! The wide-column model: values and the rules they obey. No I/O, no async, no encodings.
//!
//! Everything here can be built only in a valid state: a [`TableName`] has passed the naming rules, a
//! [`PrimaryKey`] holds no bound, a checked [`RowChange`] fits its table. A broken rule is a [`Violation`]
//! that carries the exact text of the protocol, so that the front door can pass it on unchanged.

mod access;
mod change;
mod clock;
mod columns;
pub mod delivery;
pub mod filter;
mod index;
mod key;
pub mod limits;
mod name;
mod row;
mod schema;
mod transaction;
mod value;
mod violation;

pub use access::{
    AccessKey, AccessKind, Ambient, AssumedRole, BucketEntry, BucketLocation, InstanceEntry, RemoteBucket,
    RoleEntry, Secret, StoreCredentials,
};
pub use change::{
    CellChange, ColumnUpdate, Condition, Returning, RowChange, RowExistence, RowOperation, check_key_value,
    check_written_column_count,
};
pub use clock::{Clock, ManualClock, Micros, SystemClock};
pub use filter::{ColumnCondition, ColumnPage, Filter};
pub use index::{IndexKind, IndexSpec, check_index_count, check_index_options};
pub use key::{KeyBound, KeyRange, PrimaryKey};
pub use name::{BucketName, InstanceName, RoleName, TableName, TaskName, check_column_name};
pub use row::{Cell, Row};
pub use schema::{
    DefinedColumn, DefinedKind, KeyColumn, KeyKind, ReservedThroughput, StreamSpec, TableOptions,
    TableSchema, check_index_key_column_count, check_key_column_count,
};
pub use transaction::TransactionId;
pub use value::{KeyValue, Value, ValueKind, ValueRef};
pub use violation::{Rule, Violation};
