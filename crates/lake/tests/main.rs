//! The lake from outside: objects written and read back, and the contract of buckets on every kind of store.

mod bucket_contract;
mod bucket_failures;
mod credentials;
mod encoding;
mod folder_marks;
mod roundtrip;
mod rows;
mod s3_server;
mod stores;
mod sync_marks;
mod table_files;
mod uploads;
