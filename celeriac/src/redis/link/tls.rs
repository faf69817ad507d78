//! TLS, as `rediss://` and the settings want it.
//!
//! The cryptography is named here and is not the process's default: what else a
//! program is linked with does not matter.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WebPkiServerVerifier;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error as TlsError, RootCertStore,
    SignatureScheme,
};

use crate::config::{CertReqs, SslOptions};

/// Opens connections with TLS. Files are read each time, so that a certificate
/// that has been renewed is used with the next connection.
pub(super) fn connector(options: &SslOptions) -> Result<TlsConnector, String> {
    let provider = Arc::new(ring::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier(options, &provider)?);
    let config = match &options.ssl_certfile {
        None if options.ssl_keyfile.is_some() => {
            return Err("ssl_keyfile needs ssl_certfile".to_owned());
        }
        None => config.with_no_client_auth(),
        Some(path) => {
            let chain = certificates("ssl_certfile", path)?;
            let keyfile = options.ssl_keyfile.as_ref().unwrap_or(path);
            let key = PrivateKeyDer::from_pem_file(keyfile);
            let key = key.map_err(|error| unreadable("ssl_keyfile", keyfile, &error))?;
            let config = config.with_client_auth_cert(chain, key);
            config.map_err(|error| unreadable("ssl_certfile", path, &error))?
        }
    };
    Ok(TlsConnector::from(Arc::new(config)))
}

fn verifier(
    options: &SslOptions,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, String> {
    let strict = match options.ssl_cert_reqs {
        CertReqs::None => None,
        CertReqs::Required => {
            let roots = Arc::new(roots(options)?);
            let provider = Arc::clone(provider);
            let strict = WebPkiServerVerifier::builder_with_provider(roots, provider).build();
            Some(strict.map_err(|error| error.to_string())?)
        }
    };
    Ok(match strict {
        Some(strict) if options.ssl_check_hostname.unwrap_or(true) => strict,
        strict => Arc::new(Lenient {
            strict,
            provider: Arc::clone(provider),
        }),
    })
}

/// The authorities that are trusted.
fn roots(options: &SslOptions) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &options.ssl_ca_certs {
        for certificate in certificates("ssl_ca_certs", path)? {
            let added = roots.add(certificate);
            added.map_err(|error| unreadable("ssl_ca_certs", path, &error))?;
        }
        return Ok(roots);
    }
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let reasons = found.errors.iter().map(|error| format!(" ({error})"));
        let reasons = reasons.collect::<String>();
        return Err(format!(
            "this machine trusts no certificates{reasons}: name a file in ssl_ca_certs or SSL_CERT_FILE"
        ));
    }
    Ok(roots)
}

fn certificates(option: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let read = read.map_err(|error| unreadable(option, path, &error))?;
    match read.is_empty() {
        true => Err(format!(
            "{option} {}: no certificate in PEM",
            path.display()
        )),
        false => Ok(read),
    }
}

fn unreadable(option: &str, path: &Path, error: &dyn std::fmt::Display) -> String {
    format!("{option} {}: {error}", path.display())
}

/// Looks at less than it should, as it was told to.
#[derive(Debug)]
struct Lenient {
    /// Verifies all but the host's name; `None` verifies nothing.
    strict: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Lenient {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, TlsError> {
        let Some(strict) = &self.strict else {
            return Ok(ServerCertVerified::assertion());
        };
        let verified =
            strict.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        match verified {
            Err(TlsError::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verified => verified,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, TlsError> {
        let known = &self.provider.signature_verification_algorithms;
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let known = &self.provider.signature_verification_algorithms;
        known.supported_schemes()
    }
}
