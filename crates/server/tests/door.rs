//! What is checked before an operation sees a request, and that a refused request changes nothing.

use bytes::Bytes;
use http::Method;
use lakeferry_model::{KeyKind, ValueRef};
use lakeferry_wire::plain_buffer::encode;
use lakeferry_wire::{headers, proto};

use crate::harness::{Answer, Key, Request, TestServer, create_table};
use crate::rows::put;

/// A server with a table `t` of one row, and a request that would add another.
struct Guarded {
    server: TestServer,
    request: Request,
}

impl Guarded {
    async fn start() -> Self {
        let server = TestServer::start().await;
        server.make_table("t", &[("pk", KeyKind::Integer)]).await;
        server
            .call("PutRow", &put("t", 1, &[("c", ValueRef::Integer(1))]))
            .await
            .ok::<proto::PutRowResponse>();
        let request = server.request("PutRow", &put("t", 2, &[("c", ValueRef::Integer(2))]));
        Self { server, request }
    }

    /// Sends the request with a change, and checks that nothing came of it.
    async fn refused(&self, change: impl FnOnce(&mut Request)) -> Answer {
        let mut request = self.request.clone();
        change(&mut request);
        let answer = self.server.send(&request).await;
        assert!(!answer.status.is_success());
        assert_eq!(self.server.scan("t", &["pk"]).await.len(), 1, "a refused request changes nothing");
        answer
    }
}

const AUTH: &str = "OTSAuthFailed";
const PARAMETER: &str = "OTSParameterInvalid";

#[tokio::test]
async fn a_signature_by_another_secret_is_refused() {
    let guarded = Guarded::start().await;
    for v4 in [false, true] {
        let answer = guarded
            .refused(|request| {
                request.v4 = v4;
                request.key.secret = "invalidsecret".into();
            })
            .await;
        answer.refused(403, AUTH, "Signature mismatch.");
    }
    let answer = guarded.refused(|request| request.key.id = "nobody".into()).await;
    answer.refused(403, AUTH, "The AccessKeyID does not exist.");
    assert_eq!(answer.header(headers::REQUEST_ID).len(), 36);
}

#[tokio::test]
async fn a_body_other_than_the_signed_one_is_refused() {
    let guarded = Guarded::start().await;
    let answer = guarded
        .refused(|request| {
            let digest = lakeferry_wire::sign::content_md5(b"other");
            request.headers.push((headers::CONTENT_MD5, digest));
        })
        .await;
    answer.refused(403, AUTH, "Mismatch between MD5 value of request body and x-ots-contentmd5 in header.");
}

#[tokio::test]
async fn a_header_changed_after_signing_is_refused() {
    let guarded = Guarded::start().await;
    let answer =
        guarded.refused(|request| request.tampered.push((headers::INSTANCE_NAME, "other".into()))).await;
    answer.refused(403, AUTH, "Signature mismatch.");
}

#[tokio::test]
async fn a_stale_date_is_refused() {
    let guarded = Guarded::start().await;
    let stale = "2020-01-01T00:00:00.000Z";
    let answer = guarded.refused(|request| request.headers.push((headers::DATE, stale.into()))).await;
    answer.refused(403, AUTH, &format!("Mismatch between system time and x-ots-date: {stale}."));
    let answer = guarded.refused(|request| request.headers.push((headers::DATE, "now".into()))).await;
    answer.refused(400, PARAMETER, "Invalid date format: now.");
}

#[tokio::test]
async fn a_missing_header_is_refused_by_its_name() {
    let guarded = Guarded::start().await;
    for name in [
        headers::DATE,
        headers::APIVERSION,
        headers::ACCESS_KEY_ID,
        headers::CONTENT_MD5,
        headers::INSTANCE_NAME,
    ] {
        // An empty header is not sent.
        let answer = guarded.refused(|request| request.headers.push((name, String::new()))).await;
        answer.refused(400, PARAMETER, &format!("Missing header: '{name}'."));
    }
}

#[tokio::test]
async fn a_body_that_is_no_message_is_refused() {
    let guarded = Guarded::start().await;
    let answer = guarded.refused(|request| request.body = Bytes::from_static(b"\xff\xff\xff")).await;
    assert_eq!(answer.status, 400);
    let (code, message) = answer.error();
    assert_eq!(code, PARAMETER);
    assert!(message.starts_with("Failed to parse the request"), "{message}");
    answer.check_signature(&guarded.request);
}

#[tokio::test]
async fn a_row_with_a_wrong_checksum_is_refused() {
    let guarded = Guarded::start().await;
    let mut row = encode::key([("pk", ValueRef::Integer(2))]).to_vec();
    *row.last_mut().unwrap() ^= 1;
    let mut message = put("t", 2, &[]);
    message.row = row.into();
    let request = guarded.server.request("PutRow", &message);
    let answer = guarded.refused(|own| *own = request).await;
    let (code, message) = answer.error();
    assert_eq!((answer.status.as_u16(), code.as_str()), (400, PARAMETER));
    assert!(message.contains("checksum"), "{message}");
}

#[tokio::test]
async fn a_body_larger_than_any_legal_request_is_refused() {
    let guarded = Guarded::start().await;
    // Refused by its length, before it is read: so it need not be signed rightly either.
    let answer = guarded.refused(|request| request.body = vec![0; (32 << 20) + 1].into()).await;
    answer.refused(413, "OTSRequestBodyTooLarge", "The size of POST data is too large.");
}

#[tokio::test]
async fn a_slow_body_is_answered_408_and_gives_its_budget_back() {
    let server = TestServer::start_impatient().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let request = server.request("PutRow", &put("t", 1, &[("c", ValueRef::Integer(1))]));
    let answer = server.send_cut_off(&request, 32 << 20).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("OTSRequestTimeout"), "{answer}");
    server.send(&request).await.ok::<proto::PutRowResponse>();
}

#[tokio::test]
async fn a_compressed_body_is_taken_and_a_bomb_is_not() {
    let Guarded { server, request } = Guarded::start().await;
    let compressed = |inflated: usize| Request {
        body: lakeferry_wire::compress::deflate(&request.body).into(),
        headers: vec![
            (headers::REQUEST_COMPRESS_TYPE, headers::DEFLATE.into()),
            (headers::REQUEST_COMPRESS_SIZE, inflated.to_string()),
        ],
        ..request.clone()
    };
    let answer = server.send(&compressed(request.body.len() - 1)).await;
    assert_eq!(answer.error().0, PARAMETER);
    assert_eq!(server.scan("t", &["pk"]).await.len(), 1, "a refused request changes nothing");
    server.send(&compressed(request.body.len())).await.ok::<proto::PutRowResponse>();
    assert_eq!(server.scan("t", &["pk"]).await.len(), 2);
}

#[tokio::test]
async fn a_body_of_empty_messages_is_refused_before_it_is_taken_apart() {
    let server = TestServer::start().await;
    for (operation, tag) in
        [("BatchGetRow", 0x0a), ("BatchWriteRow", 0x0a), ("BulkImport", 0x12), ("tunnel/heartbeat", 0x1a)]
    {
        let plain = Request {
            body: [tag, 0].repeat(1 << 20).into(),
            ..server.request(operation, &proto::ListTableRequest {})
        };
        let compressed = Request {
            body: lakeferry_wire::compress::deflate(&plain.body).into(),
            headers: vec![
                (headers::REQUEST_COMPRESS_TYPE, headers::DEFLATE.into()),
                (headers::REQUEST_COMPRESS_SIZE, plain.body.len().to_string()),
            ],
            ..plain.clone()
        };
        for request in [plain, compressed] {
            let message = "Failed to parse the request: it has too many fields.";
            server.send(&request).await.refused(400, PARAMETER, message);
        }
    }
}

#[tokio::test]
async fn a_compressed_answer_says_its_size() {
    let server = TestServer::start().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    let text = "x".repeat(10_000);
    server
        .call("PutRow", &put("t", 1, &[("c", ValueRef::String(&text))]))
        .await
        .ok::<proto::PutRowResponse>();
    let mut request = server.request("GetRange", &crate::harness::whole_range("t", &["pk"]));
    request.headers.push((headers::RESPONSE_COMPRESS_TYPE, headers::DEFLATE.into()));
    let answer = server.send(&request).await;
    assert_eq!(answer.header(headers::RESPONSE_COMPRESS_TYPE), headers::DEFLATE);
    let size: usize = answer.header(headers::RESPONSE_COMPRESS_SIZE).parse().unwrap();
    let inflated = lakeferry_wire::compress::inflate(&answer.body, size).unwrap();
    assert_eq!(inflated.len(), size);
    assert!(answer.body.len() < size);
    // The digest and so the signature are of the answer as it was before.
    let whole = Answer { body: inflated.into(), ..answer };
    whole.check_signature(&request);
}

#[tokio::test]
async fn both_kinds_of_signature_are_taken_and_answered_in_kind() {
    let server = TestServer::start().await;
    for v4 in [false, true] {
        let request = Request { v4, ..server.request("ListTable", &proto::ListTableRequest {}) };
        let answer = server.send(&request).await;
        answer.ok::<proto::ListTableResponse>();
        answer.check_signature(&request);
    }
}

#[tokio::test]
async fn an_operation_that_there_is_not_is_refused_by_its_name() {
    let server = TestServer::start().await;
    let nothing = proto::ListTableRequest {};
    let unknown = server.call("getrow", &nothing).await;
    unknown.refused(400, "OTSUnsupportOperation", "There is no operation 'getrow'.");
    for operation in ["Search", "LoadTable", "CreateTimeseriesTable", "tunnel/getrpobyoffset", "SQLQuery"] {
        let answer = server.call(operation, &nothing).await;
        let (code, message) = answer.error();
        assert_eq!((answer.status.as_u16(), code.as_str()), (400, "OTSUnsupportOperation"));
        assert!(message.starts_with(&format!("{operation} is not supported here; ")), "{message}");
    }
}

#[tokio::test]
async fn two_calls_that_must_not_fail_answer_nothing() {
    let server = TestServer::start().await;
    for operation in ["ListSearchIndex", "ListTimeseriesTable"] {
        let answer = server.call(operation, &proto::ListTableRequest {}).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 0));
    }
}

#[tokio::test]
async fn a_protocol_path_is_called_by_post_alone() {
    let server = TestServer::start().await;
    let answer = server.get_open("/ListTable").await;
    assert_eq!((answer.status.as_u16(), answer.error().0.as_str()), (405, "OTSMethodNotAllowed"));
}

#[tokio::test]
async fn an_instance_that_there_is_not_is_refused() {
    let guarded = Guarded::start().await;
    let answer = guarded.refused(|request| request.instance = "other".into()).await;
    answer.refused(403, AUTH, "The instance is not found.");
}

#[tokio::test]
async fn an_applications_key_stays_in_its_instances() {
    let guarded = Guarded::start().await;
    let server = &guarded.server;
    server.json(Method::POST, "instances", r#"{"name":"theirs"}"#).await.ok_json();
    let made = server.json(Method::POST, "keys", r#"{"kind":"application","instances":["theirs"]}"#).await;
    let made = made.ok_json();
    let text = |name: &str| made[name].as_str().unwrap().to_owned();
    let application = Key { id: text("id"), secret: text("secret") };
    let answer = guarded.refused(|request| request.key = application.clone()).await;
    answer.refused(403, AUTH, "The user has no privilege to access the instance.");
    let own = Request {
        key: application,
        instance: "theirs".into(),
        ..server.request("CreateTable", &create_table("t", &[("pk", KeyKind::Integer)]))
    };
    let answer = server.send(&own).await;
    answer.ok::<proto::CreateTableResponse>();
    answer.check_signature(&own);
}

#[tokio::test]
async fn a_development_server_makes_instances_when_they_are_named() {
    let server = TestServer::start_dev().await;
    server.make_table("t", &[("pk", KeyKind::Integer)]).await;
    assert_eq!(server.key.id, "dev");
}
