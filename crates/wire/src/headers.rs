//! Names of the protocol's headers, and the format of its dates.

use chrono::{DateTime, NaiveDateTime};
use lakeferry_model::Micros;

/// What every signed header's name begins with.
pub const PREFIX: &str = "x-ots-";
/// When the message was sent.
pub const DATE: &str = "x-ots-date";
/// The protocol's version: [`API_VERSION`].
pub const APIVERSION: &str = "x-ots-apiversion";
/// The public half of the caller's key.
pub const ACCESS_KEY_ID: &str = "x-ots-accesskeyid";
/// The instance that the call is about.
pub const INSTANCE_NAME: &str = "x-ots-instancename";
/// The base64 of the body's MD5.
pub const CONTENT_MD5: &str = "x-ots-contentmd5";
/// The classic signature.
pub const SIGNATURE: &str = "x-ots-signature";
/// The V4 signature; takes the place of the classic one.
pub const SIGNATURE_V4: &str = "x-ots-signaturev4";
/// The day that a V4 key was derived for, `yyyyMMdd`.
pub const SIGN_DATE: &str = "x-ots-signdate";
/// The region that a V4 key was derived for.
pub const SIGN_REGION: &str = "x-ots-signregion";
/// A security token.
pub const STS_TOKEN: &str = "x-ots-ststoken";
/// How the request's body is compressed; see [`DEFLATE`].
pub const REQUEST_COMPRESS_TYPE: &str = "x-ots-request-compress-type";
/// The length of the request's body before it was compressed.
pub const REQUEST_COMPRESS_SIZE: &str = "x-ots-request-compress-size";
/// In a request: how the answer may be compressed. In an answer: how it is.
pub const RESPONSE_COMPRESS_TYPE: &str = "x-ots-response-compress-type";
/// The length of the answer's body before it was compressed.
pub const RESPONSE_COMPRESS_SIZE: &str = "x-ots-response-compress-size";
/// The server's name for a request, in its answer.
pub const REQUEST_ID: &str = "x-ots-requestid";
/// What the answer's body is; see [`PROTOCOL_BUFFER`].
pub const CONTENT_TYPE: &str = "x-ots-contenttype";
/// A client's name for a request.
pub const TRACE_ID: &str = "x-ots-sdk-traceid";
/// The answer's signature, `OTS <access key id>:<signature>`.
pub const AUTHORIZATION: &str = "authorization";

/// The version that clients send.
pub const API_VERSION: &str = "2015-12-31";
/// The version that the Go tunnel client sends.
pub const API_VERSION_TUNNEL: &str = "2018-04-01";
/// The one compression: the zlib container, whatever its name says.
pub const DEFLATE: &str = "deflate";
/// The content type of answers that carry messages.
pub const PROTOCOL_BUFFER: &str = "protocol buffer";

/// Writes a date as every client reads it: `2026-01-02T03:04:05.678Z`. Some need the fraction to be there.
pub fn format_date(at: Micros) -> String {
    let date = DateTime::from_timestamp_micros(at).unwrap_or(DateTime::UNIX_EPOCH);
    date.format("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Reads a date to the second.
///
/// The fraction must be digits, but its value is dropped: the Go client prints month, day and hour there.
pub fn parse_date(text: &str) -> Option<Micros> {
    let text = text.strip_suffix('Z')?;
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    // A year may have a sign in other formats.
    let is_plain = seconds.starts_with(|first: char| first.is_ascii_digit());
    if !is_plain
        || seconds.len() != "2026-01-02T03:04:05".len()
        || !fraction.bytes().all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let date = NaiveDateTime::parse_from_str(seconds, "%Y-%m-%dT%H:%M:%S").ok()?;
    Some(date.and_utc().timestamp_micros())
}

/// The day of a V4 key, `yyyyMMdd`.
pub fn format_sign_date(at: Micros) -> String {
    let date = DateTime::from_timestamp_micros(at).unwrap_or(DateTime::UNIX_EPOCH);
    date.format("%Y%m%d").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_with_milliseconds() {
        assert_eq!(format_date(1_767_323_045_678_999), "2026-01-02T03:04:05.678Z");
        assert_eq!(format_date(0), "1970-01-01T00:00:00.000Z");
        assert_eq!(format_sign_date(1_767_323_045_678_999), "20260102");
    }

    #[test]
    fn the_fraction_of_a_date_does_not_matter() {
        let expected = Some(1_767_323_045_000_000);
        for text in [
            "2026-01-02T03:04:05.000Z",
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.11207Z",
            "2026-01-02T03:04:05.123111Z",
        ] {
            assert_eq!(parse_date(text), expected, "{text}");
        }
    }

    #[test]
    fn what_is_not_a_date_is_refused() {
        for text in [
            "",
            "Z",
            "2026-01-02",
            "2026-01-02T03:04:05",
            "2026-01-02T03:04:05.x1Z",
            "2026-13-02T03:04:05Z",
            "-026-01-02T03:04:05Z",
            "é",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
    }
}
