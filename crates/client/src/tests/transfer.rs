//! The ways that bytes take: through TLS, compressed, with a temporary key.

use lakeferry_model::Secret;

use super::server::{CERTIFICATE, Fault};
use super::*;
use crate::{Error, Key, Put, Read, TlsRoots};

fn large_row() -> Put {
    Put::new(Key::new("id", 1)).set("text", "again and ".repeat(1000))
}

#[tokio::test]
async fn a_server_with_a_certificate_that_is_believed_is_called_through_tls() {
    let server = TestServer::playing_securely([put_ok(), put_ok()]).await;
    assert!(server.endpoint.starts_with("https://"));
    let config = ClientConfig { tls_roots: TlsRoots::Pem(CERTIFICATE.to_vec()), ..config(&server) };
    let client = Client::new(config).unwrap();
    for _ in 0..2 {
        client.put_row("t", large_row()).await.unwrap();
    }
    assert_eq!((server.seen().len(), server.connections()), (2, 1));
    assert!(client.is_healthy().await);
}

#[tokio::test]
async fn a_server_with_a_certificate_that_nobody_vouches_for_gets_no_request() {
    let server = TestServer::playing_securely([put_ok()]).await;
    let other = include_bytes!("tls/other.pem").to_vec();
    let config = ClientConfig { tls_roots: TlsRoots::Pem(other), ..config(&server) };
    let client = Client::new(config).unwrap();
    let error = client.put_row("t", large_row()).await.unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error:?}");
    assert!(!error.is_outcome_unknown());
    assert!(server.seen().is_empty());
}

#[test]
fn what_is_no_certificate_is_refused_before_any_call() {
    for (pem, told) in [(&b"nothing"[..], "no certificate"), (b"", "no certificate")] {
        let config = ClientConfig {
            tls_roots: TlsRoots::Pem(pem.to_vec()),
            ..ClientConfig::new("https://127.0.0.1:1", "shop", "id", "secret")
        };
        let error = Client::new(config).unwrap_err();
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(told), "{source}");
    }
}

#[tokio::test]
async fn large_requests_are_compressed_and_small_ones_are_not() {
    let server = TestServer::playing([put_ok(), put_ok()]).await;
    let config = ClientConfig { compress_requests_from: Some(1024), ..config(&server) };
    let client = Client::new(config).unwrap();
    client.put_row("t", large_row()).await.unwrap();
    client.put_row("t", Put::new(Key::new("id", 1))).await.unwrap();
    let seen = server.seen();
    assert_eq!(seen.iter().map(|seen| seen.is_deflated).collect::<Vec<_>>(), [true, false]);
    let request = proto::PutRowRequest::decode(seen[0].body.clone()).unwrap();
    assert!(request.row.len() > 10_000, "the server got the row back whole");
}

#[tokio::test]
async fn an_answer_may_come_compressed_whichever_form_its_digest_is_of() {
    let found = || ok(&proto::GetRowResponse { row: page(&[7]), ..Default::default() });
    for fault in [Fault::Deflated, Fault::DeflatedOtherDigest] {
        let server = TestServer::playing([found().with(fault)]).await;
        let config = ClientConfig { compress_answers: true, ..config(&server) };
        let client = Client::new(config).unwrap();
        let row = client.get_row("t", &Key::new("id", 7), &Read::default()).await.unwrap();
        assert_eq!(row.unwrap().integer("n"), Some(7), "{fault:?}");
    }
}

#[tokio::test]
async fn a_temporary_key_sends_its_token_signed() {
    let server = TestServer::playing([put_ok()]).await;
    let config = ClientConfig { security_token: Some(Secret::new("temporary")), ..config(&server) };
    Client::new(config).unwrap().put_row("t", large_row()).await.unwrap();
    // The server has checked the signature, which covers every header of the protocol.
    assert_eq!(server.seen()[0].security_token.as_deref(), Some("temporary"));
}
