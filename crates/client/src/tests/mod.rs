//! The client against a small server that checks every request's signature and signs its answers.

mod calls;
mod failures;
mod features;
mod filters;
mod operations;
mod real;
mod server;
mod signing;
mod transfer;
mod tunnel;
mod writes;

use bytes::Bytes;
use lakeferry_wire::code::ErrorCode;
use lakeferry_wire::plain_buffer::RowWriter;
use lakeferry_wire::{capacity, proto};
use prost::Message;
use server::{Answer, TestServer};

use crate::{Client, ClientConfig};

/// A client of `server` with the one key that it knows.
fn client(server: &TestServer) -> Client {
    Client::new(config(server)).unwrap()
}

fn config(server: &TestServer) -> ClientConfig {
    ClientConfig::new(&server.endpoint, server::INSTANCE, server::KEY_ID, server::SECRET)
}

fn error(code: ErrorCode, message: &str) -> Answer {
    let error = proto::Error {
        code: code.as_str().to_owned(),
        message: Some(message.to_owned()),
        access_denied_detail: None,
    };
    Answer::new(code.status(), error.encode_to_vec())
}

fn ok(message: &impl Message) -> Answer {
    Answer::new(200, message.encode_to_vec())
}

fn put_ok() -> Answer {
    ok(&proto::PutRowResponse { consumed: capacity::consumed(0, 1), row: None })
}

/// A page of rows with the key `id` and the column `n`, both the same number.
fn page(ids: &[i64]) -> Bytes {
    let mut writer = RowWriter::new();
    for id in ids {
        writer.start_row();
        writer.key_cell("id", lakeferry_model::ValueRef::Integer(*id));
        writer.cell("n", lakeferry_model::ValueRef::Integer(*id), 1);
        writer.end_row();
    }
    writer.finish()
}
