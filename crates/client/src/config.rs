//! Where a client calls, as whom, and how patient it is.

use std::time::Duration;

use lakeferry_model::Secret;

/// A client's settings.
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// `http://host[:port]` or `https://host[:port]`, a slash at its end allowed, no path.
    pub endpoint: String,
    /// The instance that all calls are about; empty for the JSON API alone.
    pub instance: String,
    /// The public half of the access key.
    pub access_key_id: String,
    /// Its secret half.
    pub access_key_secret: Secret,
    /// The token of a temporary key (STS).
    pub security_token: Option<Secret>,
    /// How requests are signed.
    pub signature: Signature,
    /// How long one attempt may take, from connecting to the answer's last byte.
    ///
    /// Longer than a server's own limit of 10 s, so that an attempt is given up only when nobody will answer
    /// it: of a write that is given up nobody knows whether it happened.
    pub attempt_time_max: Duration,
    /// How long failed attempts are repeated, pauses included; zero for never.
    ///
    /// Calls of the tunnel service have longer times of their own, as in the official clients: 75 s for
    /// reading records, 35 s for the rest.
    pub retry_time_max: Duration,
    /// Compress requests of at least so many bytes; `None` for none.
    ///
    /// Saves network at the price of both sides' processors; worth it across a slow line, not beside one.
    pub compress_requests_from: Option<usize>,
    /// Ask for compressed answers. The server decides which are worth it.
    pub compress_answers: bool,
    /// Whose certificates are believed where the endpoint is `https`.
    pub tls_roots: TlsRoots,
}

/// Whose certificates are believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsRoots {
    /// Those that the system believes; `SSL_CERT_FILE` and `SSL_CERT_DIR` say otherwise.
    System,
    /// Those of these certificates alone, in PEM: for a private authority, or a certificate signed by itself.
    Pem(Vec<u8>),
}

/// How requests are signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Signature {
    /// With the secret itself.
    V2,
    /// With a key derived from the secret for the day and this region.
    V4 {
        /// The region, `cn-hangzhou` for example.
        region: String,
    },
}

impl ClientConfig {
    /// The given endpoint, instance and key pair, all else at its default: V2, 30 s an attempt, 10 s of
    /// retries, nothing compressed, the system's certificates.
    pub fn new(
        endpoint: impl Into<String>,
        instance: impl Into<String>,
        access_key_id: impl Into<String>,
        access_key_secret: impl Into<String>,
    ) -> Self {
        Self {
            endpoint: endpoint.into(),
            instance: instance.into(),
            access_key_id: access_key_id.into(),
            access_key_secret: Secret::new(access_key_secret),
            security_token: None,
            signature: Signature::V2,
            attempt_time_max: Duration::from_secs(30),
            retry_time_max: Duration::from_secs(10),
            compress_requests_from: None,
            compress_answers: false,
            tls_roots: TlsRoots::System,
        }
    }
}
