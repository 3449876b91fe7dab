//! TLS by rustls, with the cryptography of this package: whether the program has installed one does not matter.

use std::path::Path;
use std::sync::Arc;

use kv_api::{Error, ErrorKind, Result};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::CertificateDer;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// What makes connections, and trusts the certificates in this file, or else those that this machine trusts. Reads
/// files.
///
/// # Errors
/// `Misconfigured` when there are no certificates to trust.
pub(crate) fn connector(ca: Option<&Path>) -> Result<TlsConnector> {
    let roots = match ca {
        Some(path) => roots_of(path)?,
        None => native_roots()?,
    };
    let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| misconfigured("TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn roots_of(path: &Path) -> Result<RootCertStore> {
    let unreadable = |error| misconfigured("the file tls_ca cannot be read as certificates in PEM").with_source(error);
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(unreadable)? {
        let certificate = certificate.map_err(unreadable)?;
        roots
            .add(certificate)
            .map_err(|error| misconfigured("a certificate of tls_ca is damaged").with_source(error))?;
    }
    if roots.is_empty() { Err(misconfigured("the file tls_ca holds no certificate")) } else { Ok(roots) }
}

fn native_roots() -> Result<RootCertStore> {
    let mut roots = RootCertStore::empty();
    // One that rustls does not understand is no reason to trust none.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        Err(misconfigured("this machine trusts no certificates; name a file tls_ca"))
    } else {
        Ok(roots)
    }
}

fn misconfigured(message: &'static str) -> Error {
    Error::new(ErrorKind::Misconfigured, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn life_1_a_file_without_certificates_is_refused() {
        let folder = std::env::temp_dir().join(format!("kv-redis-tls-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("ca.pem");
        for content in ["", "hush", "-----BEGIN CERTIFICATE-----\naHVzaA==\n-----END CERTIFICATE-----\n"] {
            fs::write(&path, content).unwrap();
            let error = connector(Some(&path)).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Misconfigured, "{error}");
        }
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(connector(Some(&path)).map(drop).unwrap_err().kind(), ErrorKind::Misconfigured);
    }
}
