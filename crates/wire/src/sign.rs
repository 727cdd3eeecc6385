//! Signatures of requests and answers.
//!
//! A request is signed over its method, path and `x-ots-` headers; its body enters through its MD5, which is
//! one of those headers. There are two kinds of keys: the classic ("V2") key is the secret itself, a V4 key is
//! derived from the secret for a day and a region. The answer is signed with the request's key.
//!
//! The server takes a request apart with [`SignedRequest`], finds the secret, and lets [`SignedRequest::verify`]
//! hand out the [`SigningKey`] that signs the answer. The client makes the key itself.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, KeyInit, Mac};
use lakeferry_model::Micros;
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::Sha256;

use crate::headers;

/// How far a request's date may lie from the server's, in either direction.
pub const SKEW_MAX: Micros = 15 * 60 * 1_000_000;

/// What is wrong with a request's signature. The texts are the protocol's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// A header that every request needs is not there.
    #[error("Missing header: '{0}'.")]
    MissingHeader(&'static str),
    /// The date cannot be read.
    #[error("Invalid date format: {0}.")]
    InvalidDate(String),
    /// The date is too far from the server's.
    #[error("Mismatch between system time and x-ots-date: {0}.")]
    Skew(String),
    /// The body is not the one that was signed.
    #[error("Mismatch between MD5 value of request body and x-ots-contentmd5 in header.")]
    BodyMismatch,
    /// The signature is not the one that the secret makes.
    #[error("Signature mismatch.")]
    Mismatch,
}

impl SignError {
    /// The protocol's code for it.
    pub fn code(&self) -> crate::code::ErrorCode {
        match self {
            Self::MissingHeader(_) | Self::InvalidDate(_) => crate::code::ErrorCode::ParameterInvalid,
            Self::Skew(_) | Self::BodyMismatch | Self::Mismatch => crate::code::ErrorCode::AuthFailed,
        }
    }
}

/// A key that signs. Its `Debug` shows only the kind.
#[derive(Clone, PartialEq, Eq)]
pub enum SigningKey {
    /// The secret itself.
    V2(Vec<u8>),
    /// The base64 text of the key derived for one day and region.
    V4(Vec<u8>),
}

impl SigningKey {
    /// The classic key.
    pub fn v2(secret: &str) -> Self {
        Self::V2(secret.as_bytes().to_vec())
    }

    /// The V4 key for a day (`yyyyMMdd`) and a region.
    pub fn v4(secret: &str, date: &str, region: &str) -> Self {
        let day_key = sha256(format!("aliyun_v4{secret}").as_bytes(), &[date.as_bytes()]);
        let region_key = sha256(&day_key, &[region.as_bytes()]);
        let service_key = sha256(&region_key, &[b"ots"]);
        let key = sha256(&service_key, &[b"aliyun_v4_request"]);
        // The text is the key, not the bytes it stands for.
        Self::V4(BASE64.encode(key).into_bytes())
    }

    /// The header that a request's signature travels in.
    pub fn header(&self) -> &'static str {
        match self {
            Self::V2(_) => headers::SIGNATURE,
            Self::V4(_) => headers::SIGNATURE_V4,
        }
    }

    /// Signs a request's [`string_to_sign`].
    pub fn sign_request(&self, string_to_sign: &str) -> String {
        match self {
            Self::V2(key) => BASE64.encode(sha1(key, &[string_to_sign.as_bytes()]).finalize().into_bytes()),
            Self::V4(key) => BASE64.encode(sha256(key, &[string_to_sign.as_bytes(), b"ots"])),
        }
    }

    /// Signs an answer to a call of `path` with these headers; those without the protocol's prefix do not
    /// matter.
    pub fn sign_response(&self, path: &str, response: &[(&str, &str)]) -> String {
        BASE64.encode(self.response_mac(path, response).finalize().into_bytes())
    }

    /// Whether this is the answer's signature. Takes the same time wherever the two differ.
    pub fn verifies_response(&self, path: &str, response: &[(&str, &str)], signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        self.response_mac(path, response).verify_slice(&signature).is_ok()
    }

    fn response_mac(&self, path: &str, response: &[(&str, &str)]) -> Hmac<Sha1> {
        let (Self::V2(key) | Self::V4(key)) = self;
        sha1(key, &[canonical_headers(response).as_bytes(), path.as_bytes()])
    }

    fn verifies_request(&self, string_to_sign: &str, signature: &str) -> bool {
        let Ok(signature) = BASE64.decode(signature) else { return false };
        let message = string_to_sign.as_bytes();
        match self {
            Self::V2(key) => sha1(key, &[message]).verify_slice(&signature).is_ok(),
            Self::V4(key) => hmac::<Hmac<Sha256>>(key, &[message, b"ots"]).verify_slice(&signature).is_ok(),
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2(_) => "SigningKey::V2(***)",
            Self::V4(_) => "SigningKey::V4(***)",
        })
    }
}

/// A request as its signature sees it.
#[derive(Debug, Clone)]
pub struct SignedRequest<'a> {
    method: &'a str,
    path: &'a str,
    query: &'a str,
    headers: Vec<(&'a str, &'a str)>,
}

impl<'a> SignedRequest<'a> {
    /// Takes the headers that belong to the protocol, in any order and case. `query` comes without its question
    /// mark and is empty in every call of the protocol.
    pub fn new(
        method: &'a str,
        path: &'a str,
        query: &'a str,
        headers: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Self {
        let headers = headers.into_iter().filter(|(name, _)| is_protocol_header(name)).collect();
        Self { method, path, query, headers }
    }

    /// A header's value, without the blanks around it.
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let found = self.headers.iter().find(|(header, _)| header.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.trim())
    }

    /// A header's value.
    ///
    /// # Errors
    /// The header is not there, or is empty.
    pub fn require(&self, name: &'static str) -> Result<&'a str, SignError> {
        self.header(name).filter(|value| !value.is_empty()).ok_or(SignError::MissingHeader(name))
    }

    /// Checks that the request was sent within [`SKEW_MAX`] of `now`.
    ///
    /// # Errors
    /// The date is missing, unreadable or too far away.
    pub fn check_date(&self, now: Micros) -> Result<(), SignError> {
        let text = self.require(headers::DATE)?;
        let date = headers::parse_date(text).ok_or_else(|| SignError::InvalidDate(text.to_owned()))?;
        if now.abs_diff(date) > SKEW_MAX.unsigned_abs() {
            return Err(SignError::Skew(text.to_owned()));
        }
        Ok(())
    }

    /// Checks that this is the body, as transmitted, that the signature is about.
    ///
    /// # Errors
    /// The digest is missing or another.
    pub fn check_body(&self, body: &[u8]) -> Result<(), SignError> {
        if self.require(headers::CONTENT_MD5)? == content_md5(body) {
            Ok(())
        } else {
            Err(SignError::BodyMismatch)
        }
    }

    /// Checks the signature, V4 if one is there, and hands out the key that signs the answer. Takes the same
    /// time wherever the signatures differ.
    ///
    /// # Errors
    /// A header that the signature needs is missing, or the signature is not the one that the secret makes.
    pub fn verify(&self, secret: &str) -> Result<SigningKey, SignError> {
        let (key, signature) = match self.header(headers::SIGNATURE_V4) {
            Some(signature) => {
                let date = self.require(headers::SIGN_DATE)?;
                let region = self.require(headers::SIGN_REGION)?;
                (SigningKey::v4(secret, date, region), signature)
            }
            None => (SigningKey::v2(secret), self.require(headers::SIGNATURE)?),
        };
        if key.verifies_request(&self.string_to_sign(), signature) {
            Ok(key)
        } else {
            Err(SignError::Mismatch)
        }
    }

    fn string_to_sign(&self) -> String {
        string_to_sign(self.method, self.path, self.query, &self.headers)
    }
}

/// What a request's signature is computed over; for V4, [`SigningKey::sign_request`] adds its ending.
pub fn string_to_sign(method: &str, path: &str, query: &str, request: &[(&str, &str)]) -> String {
    let mut text = format!("{path}\n{method}\n{query}\n");
    text.push_str(&canonical_headers(request));
    text
}

/// The base64 of the body's MD5.
pub fn content_md5(body: &[u8]) -> String {
    BASE64.encode(Md5::digest(body))
}

/// The value of an answer's `authorization` header.
pub fn authorization(access_key_id: &str, signature: &str) -> String {
    format!("OTS {access_key_id}:{signature}")
}

/// The key id and the signature in an answer's `authorization` header.
pub fn parse_authorization(value: &str) -> Option<(&str, &str)> {
    value.strip_prefix("OTS ")?.rsplit_once(':')
}

/// The protocol's headers but for the signatures: `name:value\n` each, names in lower case and sorted.
fn canonical_headers(all: &[(&str, &str)]) -> String {
    let mut signed: Vec<(String, &str)> = all
        .iter()
        .filter(|(name, _)| is_protocol_header(name))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim()))
        .filter(|(name, _)| name != headers::SIGNATURE && name != headers::SIGNATURE_V4)
        .collect();
    signed.sort_unstable();
    let mut text =
        String::with_capacity(signed.iter().map(|(name, value)| name.len() + value.len() + 2).sum());
    for (name, value) in &signed {
        text.extend([name.as_str(), ":", value, "\n"]);
    }
    text
}

fn is_protocol_header(name: &str) -> bool {
    let prefix = name.as_bytes().get(..headers::PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(headers::PREFIX.as_bytes()))
}

fn sha1(key: &[u8], parts: &[&[u8]]) -> Hmac<Sha1> {
    hmac(key, parts)
}

fn sha256(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    hmac::<Hmac<Sha256>>(key, parts).finalize().into_bytes().into()
}

fn hmac<M: Mac + KeyInit>(key: &[u8], parts: &[&[u8]]) -> M {
    let mut mac = <M as KeyInit>::new_from_slice(key).expect("a mac takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "testsecret";
    const BODY: &[u8] = &[0x0a, 0x01, 0x74];
    const REQUEST: [(&str, &str); 5] = [
        ("x-ots-date", "2026-01-02T03:04:05.000Z"),
        ("X-Ots-Apiversion", "2015-12-31"),
        ("x-ots-accesskeyid", "testid"),
        ("x-ots-contentmd5", "yLFeGnWRrRXWNgAc1U8CZQ=="),
        ("x-ots-instancename", " inst "),
    ];
    const RESPONSE: [(&str, &str); 5] = [
        ("x-ots-contentmd5", "yLFeGnWRrRXWNgAc1U8CZQ=="),
        ("x-ots-contenttype", "protocol buffer"),
        ("content-length", "3"),
        ("x-ots-date", "2026-01-02T03:04:05.000Z"),
        ("x-ots-requestid", "00000000-0000-0000-0000-000000000001"),
    ];
    const SIGNATURE_V2: &str = "Y/Fysar7xfyOAJ1ERe7k+kNiar8=";
    const SIGNATURE_V4: &str = "iMDyVEdBntwPVWlzpf3cyB6Li7DWJwhOV7gsLeSZxmo=";

    fn signed(extra: &[(&'static str, &'static str)]) -> SignedRequest<'static> {
        SignedRequest::new("POST", "/DescribeTable", "", REQUEST.into_iter().chain(extra.iter().copied()))
    }

    fn signed_v4() -> SignedRequest<'static> {
        signed(&[
            ("x-ots-signdate", "20260102"),
            ("x-ots-signregion", "cn-hangzhou"),
            ("x-ots-signaturev4", SIGNATURE_V4),
        ])
    }

    #[test]
    fn the_classic_signature_is_the_known_one() {
        let to_sign = string_to_sign("POST", "/DescribeTable", "", &REQUEST);
        assert_eq!(SigningKey::v2(SECRET).sign_request(&to_sign), SIGNATURE_V2);
        let key = signed(&[("X-Ots-Signature", SIGNATURE_V2)]).verify(SECRET).unwrap();
        assert_eq!(key.sign_response("/DescribeTable", &RESPONSE), "LCDROEM0rqVFeN5te3jo5/a7ezk=");
        assert!(key.verifies_response("/DescribeTable", &RESPONSE, "LCDROEM0rqVFeN5te3jo5/a7ezk="));
        assert!(!key.verifies_response("/DescribeTable", &RESPONSE, "ljhbXh1LHT92rSF1BczuobGmEmU="));
    }

    #[test]
    fn the_v4_signature_is_the_known_one() {
        let key = SigningKey::v4(SECRET, "20260102", "cn-hangzhou");
        assert_eq!(key, SigningKey::V4(b"T+W/EGjCXQgDNdB4vKsCKnjD8ZyNRGE5m3zXo2uu2mo=".to_vec()));
        assert_eq!(signed_v4().verify(SECRET), Ok(key.clone()));
        assert_eq!(key.sign_request(&signed_v4().string_to_sign()), SIGNATURE_V4);
        assert_eq!(key.sign_response("/DescribeTable", &RESPONSE), "ljhbXh1LHT92rSF1BczuobGmEmU=");
    }

    #[test]
    fn any_change_breaks_the_signature() {
        assert_eq!(signed_v4().verify("othersecret"), Err(SignError::Mismatch));
        let signature = ("x-ots-signature", SIGNATURE_V2);
        assert_eq!(signed(&[signature, ("x-ots-more", "")]).verify(SECRET), Err(SignError::Mismatch));
        for (method, path, query) in
            [("GET", "/DescribeTable", ""), ("POST", "/DescribeTable", "a=b"), ("POST", "/ListTable", "")]
        {
            let request = SignedRequest::new(method, path, query, REQUEST.into_iter().chain([signature]));
            assert_eq!(request.verify(SECRET), Err(SignError::Mismatch), "{method} {path} {query}");
        }
        for broken in ["", "Y/Fysar7xfyOAJ1ERe7k", "not base64", "Y/Fysar7xfyOAJ1ERe7k+kNiar8"] {
            assert!(signed(&[("x-ots-signature", broken)]).verify(SECRET).is_err(), "{broken}");
        }
    }

    #[test]
    fn a_v4_signature_is_not_passed_over_for_a_good_classic_one() {
        let both = signed(&[("x-ots-signature", SIGNATURE_V2), ("x-ots-signaturev4", "AAAA")]);
        assert_eq!(both.verify(SECRET), Err(SignError::MissingHeader("x-ots-signdate")));
    }

    #[test]
    fn the_body_is_checked_by_its_digest() {
        assert_eq!(signed(&[]).check_body(BODY), Ok(()));
        assert_eq!(signed(&[]).check_body(b""), Err(SignError::BodyMismatch));
        assert_eq!(content_md5(b""), "1B2M2Y8AsgTpgAmY7PhCfg==");
    }

    #[test]
    fn a_date_may_lie_a_quarter_of_an_hour_away() {
        let date = 1_767_323_045_000_000;
        for (now, fits) in
            [(date, true), (date - SKEW_MAX, true), (date + SKEW_MAX, true), (date + SKEW_MAX + 1, false)]
        {
            assert_eq!(signed(&[]).check_date(now).is_ok(), fits, "{now}");
        }
        let skew = signed(&[]).check_date(0).unwrap_err();
        assert_eq!(
            skew.to_string(),
            "Mismatch between system time and x-ots-date: 2026-01-02T03:04:05.000Z."
        );
    }

    #[test]
    fn a_key_does_not_show_itself() {
        assert_eq!(format!("{:?}", SigningKey::v2(SECRET)), "SigningKey::V2(***)");
    }

    #[test]
    fn an_authorization_is_taken_apart_at_its_last_colon() {
        assert_eq!(parse_authorization(&authorization("testid", "c2ln")), Some(("testid", "c2ln")));
        assert_eq!(parse_authorization("OSS testid:c2ln"), None);
    }
}
