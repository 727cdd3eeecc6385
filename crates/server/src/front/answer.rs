//! Answers: their headers, their signature, and the error body.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use lakeferry_model::Micros;
use lakeferry_store::aside;
use lakeferry_wire::compress;
use lakeferry_wire::headers;
use lakeferry_wire::sign::{SigningKey, authorization, content_md5};
use uuid::Uuid;

use super::error_body;
use super::room::HeldAnswer;
use crate::error::ApiError;

/// Answers shorter than this are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 1024;
/// Answers from this on take milliseconds to compress.
const ASIDE_BYTES_MIN: usize = 256 * 1024;

/// What signs an answer: the key that signed its request.
#[derive(Debug)]
pub struct Signer {
    /// The access key's public half.
    pub access_key_id: String,
    /// The key itself.
    pub key: SigningKey,
}

/// Makes the response of a call. Without a signer, since the caller is not known, it goes out unsigned; no SDK
/// asks for a signature on such an error.
pub fn response(
    outcome: Result<HeldAnswer, ApiError>,
    request_id: Uuid,
    path: &str,
    signer: Option<&Signer>,
    compress: bool,
    now: Micros,
) -> Response {
    let (status, answer) = match outcome {
        Ok(answer) => (StatusCode::OK, answer),
        Err(error) => (
            StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error_body(&error).into(),
        ),
    };
    // The digest is of the uncompressed body: the one client that asks for compression compares it so.
    let mut fields = fields(&answer.bytes, headers::PROTOCOL_BUFFER, request_id, now);
    let answer = if compress && answer.bytes.len() >= COMPRESS_BYTES_MIN {
        fields.push((headers::RESPONSE_COMPRESS_SIZE, answer.bytes.len().to_string()));
        fields.push((headers::RESPONSE_COMPRESS_TYPE, headers::DEFLATE.to_owned()));
        let deflated = deflate(&answer.bytes);
        answer.sent_as(deflated)
    } else {
        answer
    };
    signed(status, answer.into_bytes(), &fields, path, signer)
}

fn deflate(bytes: &[u8]) -> Bytes {
    let compressed = if bytes.len() >= ASIDE_BYTES_MIN {
        aside(|| compress::deflate(bytes))
    } else {
        compress::deflate(bytes)
    };
    compressed.into()
}

/// The protocol's headers of every answer.
pub fn fields(body: &[u8], content_type: &str, request_id: Uuid, now: Micros) -> Vec<(&'static str, String)> {
    vec![
        (headers::CONTENT_MD5, content_md5(body)),
        (headers::CONTENT_TYPE, content_type.to_owned()),
        (headers::DATE, headers::format_date(now)),
        (headers::REQUEST_ID, request_id.to_string()),
    ]
}

/// Makes a response with these headers, signed if there is a signer.
pub fn signed(
    status: StatusCode,
    body: Bytes,
    fields: &[(&'static str, String)],
    path: &str,
    signer: Option<&Signer>,
) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    for (name, value) in fields {
        if let Ok(value) = HeaderValue::from_str(value) {
            response.headers_mut().insert(*name, value);
        }
    }
    if let Some(signer) = signer {
        let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let signature = signer.key.sign_response(path, &fields);
        if let Ok(value) = HeaderValue::from_str(&authorization(&signer.access_key_id, &signature)) {
            response.headers_mut().insert(headers::AUTHORIZATION, value);
        }
    }
    response
}
