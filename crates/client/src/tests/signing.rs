//! Requests signed as the official clients sign them, byte for byte.

use lakeferry_model::ManualClock;
use lakeferry_wire::headers;

use super::*;
use crate::retry::Effect;
use crate::transport::{Call, Dialect};
use crate::{Method, Operation, Signature};

/// The headers of a DescribeTable of table `t`, sent at 2026-01-02T03:04:05Z.
fn headers_of(signature: Signature) -> http::HeaderMap {
    let config =
        ClientConfig { signature, ..ClientConfig::new("http://127.0.0.1:1", "inst", "testid", "testsecret") };
    let client = Client::with_clock(config, ManualClock::at(1_767_323_045_000_000)).unwrap();
    let request = proto::DescribeTableRequest { table_name: "t".to_owned() };
    let call = Call {
        method: Method::POST,
        path: Operation::DescribeTable.path(),
        body: Bytes::from(request.encode_to_vec()).into(),
        effect: Effect::None,
        dialect: Dialect::Protocol,
    };
    client.sign(&call).unwrap().0.headers().clone()
}

#[test]
fn the_classic_signature_is_the_official_one() {
    let headers = headers_of(Signature::V2);
    assert_eq!(headers[headers::SIGNATURE], "Y/Fysar7xfyOAJ1ERe7k+kNiar8=");
    assert_eq!(headers[headers::CONTENT_MD5], "yLFeGnWRrRXWNgAc1U8CZQ==");
    assert!(!headers.contains_key(headers::SIGNATURE_V4));
}

#[test]
fn the_v4_signature_is_the_official_one() {
    let headers = headers_of(Signature::V4 { region: "cn-hangzhou".to_owned() });
    assert_eq!(headers[headers::SIGNATURE_V4], "iMDyVEdBntwPVWlzpf3cyB6Li7DWJwhOV7gsLeSZxmo=");
    assert_eq!(headers[headers::SIGN_DATE], "20260102");
    assert!(!headers.contains_key(headers::SIGNATURE));
}
