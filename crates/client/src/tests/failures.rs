//! Calls that fail, and those that succeed at last.

use std::time::Duration;

use lakeferry_wire::code::{ErrorCode, message};

use super::server::Fault;
use super::*;
use crate::{Error, Key, Put, Read};

fn row() -> Put {
    Put::new(Key::new("id", 1))
}

#[tokio::test]
async fn an_error_tells_code_message_and_request() {
    let server = TestServer::playing([error(ErrorCode::ObjectNotExist, message::NO_SUCH_TABLE)]).await;
    let error = client(&server).put_row("t", row()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::ObjectNotExist));
    assert_eq!(error.request_id(), Some("00000000-0000-0000-0000-000000000001"));
    assert_eq!(
        error.to_string(),
        "OTSObjectNotExist: Requested table does not exist. (request 00000000-0000-0000-0000-000000000001)"
    );
    assert!(!error.is_outcome_unknown());
}

#[tokio::test]
async fn a_write_that_was_not_written_is_sent_again() {
    let busy = || error(ErrorCode::ServerBusy, message::SERVER_BUSY);
    let server = TestServer::playing([busy(), busy(), put_ok()]).await;
    client(&server).put_row("t", row()).await.unwrap();
    assert_eq!(server.seen().len(), 3);
}

#[tokio::test]
async fn a_write_of_unknown_outcome_is_not_sent_again() {
    for answer in [
        error(ErrorCode::Timeout, message::TIMEOUT),
        error(ErrorCode::InternalServerError, message::INTERNAL),
        put_ok().with(Fault::HangUp),
    ] {
        let server = TestServer::playing([answer.clone(), put_ok()]).await;
        let error = client(&server).put_row("t", row()).await.unwrap_err();
        assert!(error.is_outcome_unknown(), "{answer:?}");
        assert_eq!(server.seen().len(), 1, "{answer:?}");
    }
}

#[tokio::test]
async fn a_read_is_sent_again_whatever_became_of_it() {
    let found = || ok(&proto::GetRowResponse { row: page(&[1]), ..Default::default() });
    for answer in [
        error(ErrorCode::Timeout, message::TIMEOUT),
        error(ErrorCode::ServerUnavailable, message::SERVER_UNAVAILABLE),
        found().with(Fault::HangUp),
    ] {
        let server = TestServer::playing([answer.clone(), found()]).await;
        let row = client(&server).get_row("t", &Key::new("id", 1), &Read::default()).await;
        assert!(row.unwrap().is_some(), "{answer:?}");
        assert_eq!(server.seen().len(), 2, "{answer:?}");
    }
}

#[tokio::test]
async fn retries_end_when_their_time_is_used_up() {
    let server = TestServer::playing(vec![error(ErrorCode::ServerBusy, message::SERVER_BUSY); 20]).await;
    let mut config = config(&server);
    config.retry_time_max = Duration::ZERO;
    let error = Client::new(config).unwrap().put_row("t", row()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::ServerBusy));
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn an_answer_that_the_server_did_not_sign_is_not_believed() {
    let faults = [Fault::OtherBody, Fault::OtherKey, Fault::Unsigned, Fault::Old, Fault::DeflatedOtherBody];
    for fault in faults {
        let server = TestServer::playing([put_ok().with(fault)]).await;
        let config = ClientConfig { compress_answers: true, ..config(&server) };
        let error = Client::new(config).unwrap().put_row("t", row()).await.unwrap_err();
        assert!(matches!(error, Error::Untrusted { .. }), "{fault:?}: {error}");
        assert!(error.is_outcome_unknown());
    }
}

#[tokio::test]
async fn an_error_may_come_unsigned_but_not_signed_by_somebody_else() {
    let missing = || error(ErrorCode::ObjectNotExist, message::NO_SUCH_TABLE);
    let server =
        TestServer::playing([missing().with(Fault::Unsigned), missing().with(Fault::OtherKey)]).await;
    let client = client(&server);
    let unsigned = client.put_row("t", row()).await.unwrap_err();
    assert_eq!(unsigned.code(), Some(ErrorCode::ObjectNotExist));
    let forged = client.put_row("t", row()).await.unwrap_err();
    assert!(matches!(forged, Error::Untrusted { .. }), "{forged}");
}

#[tokio::test]
async fn an_unknown_key_is_named_although_nobody_could_sign_for_it() {
    let answer = error(ErrorCode::AuthFailed, message::NO_SUCH_ACCESS_KEY).with(Fault::OtherKey);
    let server = TestServer::playing([answer]).await;
    let error = client(&server).put_row("t", row()).await.unwrap_err();
    assert_eq!(error.code(), Some(ErrorCode::AuthFailed));
}

#[tokio::test]
async fn an_error_that_is_no_message_still_tells_its_status() {
    let server = TestServer::playing([Answer::new(404, "<html>").with(Fault::Unsigned)]).await;
    let error = client(&server).put_row("t", row()).await.unwrap_err();
    let Error::Service(error) = error else { panic!("the server did answer") };
    assert_eq!((error.status, error.code.as_str()), (404, "HTTP 404"));
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let server = TestServer::playing([put_ok().with(Fault::Silence)]).await;
    let mut config = config(&server);
    config.attempt_time_max = Duration::from_millis(50);
    let error = Client::new(config).unwrap().put_row("t", row()).await.unwrap_err();
    assert!(matches!(error, Error::NoAnswer { .. }), "{error}");
    assert!(error.is_outcome_unknown());
}

#[tokio::test]
async fn nobody_at_the_endpoint_is_known_to_have_written_nothing() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let client = Client::new(ClientConfig::new(&endpoint, "shop", "id", "secret")).unwrap();
    let error = client.put_row("t", row()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    assert!(!error.is_outcome_unknown());
    assert!(!client.is_healthy().await);
}

#[test]
fn endpoints_that_cannot_be_called_are_refused() {
    for (endpoint, reason) in [
        ("ftp://example.com", "it must begin with http:// or https://"),
        ("127.0.0.1:8080", "it must begin with http:// or https://"),
        ("http://127.0.0.1:8080/path", "it must end after host and port"),
        ("not a url", "it is no URL"),
    ] {
        let error = Client::new(ClientConfig::new(endpoint, "shop", "id", "secret")).unwrap_err();
        assert!(error.to_string().contains(reason), "{error}");
    }
}

#[test]
fn the_secret_is_not_shown() {
    let config = ClientConfig::new("http://127.0.0.1:1", "shop", "id", "hush");
    let client = Client::new(config).unwrap();
    assert!(!format!("{client:?}").contains("hush"));
}
