//! The way to an endpoint: plain, or through TLS with the authorities that the settings believe.

use std::sync::Arc;

use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::config::TlsRoots;

/// What every connection is made with.
pub(crate) type Connector = HttpsConnector<HttpConnector>;

/// Why no connection can be made through TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The system's certificates cannot be read.
    #[error("read the system's certificates")]
    System(#[source] std::io::Error),
    /// The text is no certificate.
    #[error("read a certificate")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// There is no certificate in it, or none that can be used.
    #[error("no certificate can be used")]
    NoRoots,
    /// What the library has against a certificate or the settings.
    #[error("set up tls")]
    Setup(#[from] rustls::Error),
}

/// Makes connections, to `https` endpoints through TLS. The roots are read only where there will be any.
pub(crate) fn connector(is_https: bool, roots: &TlsRoots) -> Result<Connector, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match (is_https, roots) {
        (false, _) => builder.with_root_certificates(RootCertStore::empty()),
        (true, TlsRoots::System) => builder.with_native_roots().map_err(TlsError::System)?,
        (true, TlsRoots::Pem(pem)) => builder.with_root_certificates(read_roots(pem)?),
    };
    let mut http = HttpConnector::new();
    http.set_nodelay(true);
    http.enforce_http(false);
    let connector = HttpsConnectorBuilder::new().with_tls_config(builder.with_no_client_auth());
    // A client has one endpoint, and its scheme is checked; nothing can lead an `https` call astray.
    Ok(connector.https_or_http().enable_http1().wrap_connector(http))
}

fn read_roots(pem: &[u8]) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        roots.add(certificate.map_err(TlsError::Pem)?)?;
    }
    if roots.is_empty() { Err(TlsError::NoRoots) } else { Ok(roots) }
}
