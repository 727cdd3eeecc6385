//! Answers: their headers, their signature, and the error body.

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::{HeaderValue, StatusCode};
use lakeferry_model::Micros;
use lakeferry_wire::compress;
use lakeferry_wire::headers;
use lakeferry_wire::sign::{SigningKey, authorization, content_md5};
use uuid::Uuid;

use super::error_body;
use crate::error::ApiError;

/// Answers shorter than this are not worth compressing.
const COMPRESS_BYTES_MIN: usize = 1024;

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
    outcome: Result<Bytes, ApiError>,
    request_id: Uuid,
    path: &str,
    signer: Option<&Signer>,
    compress: bool,
    now: Micros,
) -> Response {
    let (status, body) = match outcome {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => (
            StatusCode::from_u16(error.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
            error_body(&error),
        ),
    };
    // The digest is of the uncompressed body: the one client that asks for compression compares it so.
    let mut fields = vec![
        (headers::CONTENT_MD5, content_md5(&body)),
        (headers::CONTENT_TYPE, headers::PROTOCOL_BUFFER.to_owned()),
        (headers::DATE, headers::format_date(now)),
        (headers::REQUEST_ID, request_id.to_string()),
    ];
    let body = if compress && body.len() >= COMPRESS_BYTES_MIN {
        fields.push((headers::RESPONSE_COMPRESS_SIZE, body.len().to_string()));
        fields.push((headers::RESPONSE_COMPRESS_TYPE, headers::DEFLATE.to_owned()));
        compress::deflate(&body).into()
    } else {
        body
    };
    signed(status, body, &fields, path, signer)
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
