//! TLS as a client: rustls on ring, by name. No default of the process is read or set.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};
use saas_core::InternalError;

/// A TLS client that could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// This machine has no certificates to check a server's with.
    #[error("this machine has no root certificates: install its package of them, on Debian ca-certificates")]
    NoCertificates,
    /// rustls refused.
    #[error("TLS could not be set up")]
    Setup(#[source] InternalError),
}

/// A client that trusts what this machine trusts.
pub fn client() -> Result<ClientConfig, TlsError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err(TlsError::NoCertificates);
    }
    trusting(roots)
}

/// A client that trusts nobody: for one that speaks plain HTTP alone, and must not need certificates for it.
pub fn client_that_trusts_nobody() -> Result<ClientConfig, TlsError> {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let failed = |error: rustls::Error| TlsError::Setup(InternalError::new(error));
    Ok(ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(failed)?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
