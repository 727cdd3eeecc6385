//! Calls to a Tablestore endpoint, ours or the original.
//!
//! A call is encoded by `wire`, signed, sent over a pool of kept connections, and answered: the answer's
//! signature is checked before its body is believed. What failed is sent again only where that is safe: always
//! on the codes that mean "nothing was written", and on a lost answer only if the call changes nothing.
//!
//! ```no_run
//! # use lakeferry_client::{Client, ClientConfig, CreateTable, Key, Put, Range, Read};
//! # use lakeferry_model::KeyKind;
//! # async fn example() -> Result<(), lakeferry_client::Error> {
//! let client = Client::new(ClientConfig::new("http://127.0.0.1:8080", "shop", "dev", "dev"))?;
//! client.create_table(CreateTable::new("orders").key("customer", KeyKind::String)).await?;
//! client.put_row("orders", Put::new(Key::new("customer", "ann")).set("total", 12.5).set("paid", true)).await?;
//! let row = client.get_row("orders", &Key::new("customer", "ann"), &Read::default()).await?;
//! assert_eq!(row.and_then(|row| row.double("total")), Some(12.5));
//! let mut rows = client.rows("orders", Range::all(["customer"]));
//! while let Some(row) = rows.next().await? {
//!     assert!(row.boolean("paid").is_some());
//! }
//! # Ok(())
//! # }
//! ```

mod alter;
mod batch;
mod bulk;
mod config;
mod delivery;
mod error;
mod index;
mod json;
mod range;
mod record;
mod retry;
mod row;
mod rows;
mod split;
mod stream;
mod table;
mod tls;
mod transaction;
mod transport;
pub mod tunnel;
mod write;

pub use alter::{UpdateTable, UpdatedTable};
pub use batch::{TableReads, TableWrites, encode_batch_write};
pub use bulk::{ExportPage, Imported};
pub use config::{ClientConfig, Signature, TlsRoots};
pub use delivery::DeliveryTask;
pub use error::{Error, ServiceError};
pub use http::Method;
pub use index::{DescribedIndex, Index};
pub use lakeferry_wire::code::ErrorCode;
pub use lakeferry_wire::convert::{TaskReport, TimeRange};
pub use lakeferry_wire::operation::Operation;
pub use lakeferry_wire::plain_buffer::SequenceInfo;
pub use range::{Range, RangePage, RangeRows};
pub use record::{Action, ChangeRecord};
pub use row::{IntoKeyValue, IntoValue, Key, Read, Row};
pub use rows::{Units, Written};
pub use split::Split;
pub use stream::{Shard, StreamInfo, StreamPage, StreamShards};
pub use table::{CreateTable, DescribedStream, DescribedTable};
pub use tls::TlsError;
pub use transaction::Transaction;
pub use transport::{Body, Client};
pub use write::{Delete, Put, RowWrite, Update};

#[cfg(test)]
mod tests;
