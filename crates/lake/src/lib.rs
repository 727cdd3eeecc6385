//! The destination of delivery: what an object is called, what it holds, and where it is put.
//!
//! ```text
//! prefix + zone ─▶ FolderPath ─▶ object_name ─▶ ObjectName ─┐
//!                                                           ├─▶ Bucket ─▶ local directory | S3 | OSS | Azure | Google
//! rows ─▶ ObjectSchema ─▶ ObjectEncoder ─▶ EncodedObject ───┘
//! ```
//!
//! Only this crate knows Parquet and object stores. It decides nothing about when to deliver: naming and
//! encoding are pure, and a [`Bucket`] does one call at a time, each bounded by a timeout.

pub mod bucket;
mod column;
mod convert;
mod decode;
mod dirty;
mod encode;
pub mod event_time;
mod folder;
mod folder_mark;
mod folder_time;
mod manifest;
mod name;
mod name_table;
mod prefix;
mod schema;
mod sink;
mod table_file;

pub use bucket::{
    Bucket, BucketError, BucketIdentity, BucketLimits, ListedObject, Probe, PutOutcome, Surroundings,
};
pub use decode::{DecodeError, DecodedObject, read_object};
pub use dirty::{DIRTY_VALUE_BYTES_MAX, DirtyField, DirtyValue, check_dirty_prefix, dirty_name};
pub use encode::{EncodeError, EncodedObject, ObjectEncoder, Operation, RowMeta};
pub use event_time::EventTimeError;
pub use folder::{FolderFinder, FolderPath, Zone};
pub use folder_mark::{FolderMark, success_name};
pub use manifest::{
    Manifest, ManifestDirty, ManifestError, ManifestObject, ManifestRange, ManifestSpan, SyncMarks,
};
pub use name::{ObjectName, ObjectParts, check_suffix, object_name, recognise};
pub use name_table::ColumnScout;
pub use prefix::Prefix;
pub use schema::{Column, ColumnKind, ObjectSchema, Source, arrow_schema, writer_properties};
pub use table_file::{FileRow, TableFileReader, TableFileWriter, WriteError};

/// The folder at a bucket's root that is ours: identity, manifests, marks, dirty data, temporary files.
pub const SERVICE_FOLDER: &str = "_lakeferry";
