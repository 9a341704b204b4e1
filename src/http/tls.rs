//! TLS: what a request asks of it, the configuration that comes of that, and the handshake.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::error::{Error, ErrorKind};
use crate::fork::PerProcess;
use crate::lock::Mutex;
use crate::options::Certificate;

/// The TLS settings of a request. Connections are pooled by them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    pub verify: bool,
    /// A PEM file or a directory of them; None: the system's roots.
    pub ca_bundle: Option<String>,
    pub certificate: Option<(String, Option<String>)>,
}

impl TlsSettings {
    pub fn certificate_of(certificate: Option<&Certificate>) -> Option<(String, Option<String>)> {
        certificate.map(|one| (one.cert.clone(), one.key.clone()))
    }
}

/// Configurations made so far. Each keeps the sessions that its connections can resume.
#[derive(Default)]
pub struct TlsConfigs(Mutex<HashMap<TlsSettings, Arc<ClientConfig>>>);

impl TlsConfigs {
    pub fn get(&self, settings: &TlsSettings) -> Result<Arc<ClientConfig>, Error> {
        if let Some(config) = self.0.lock().get(settings) {
            return Ok(config.clone());
        }
        let config = Arc::new(build(settings)?);
        Ok(self.0.lock().entry(settings.clone()).or_insert(config).clone())
    }
}

static PROVIDER: PerProcess<Arc<CryptoProvider>> =
    PerProcess::new(|_| Arc::new(rustls::crypto::ring::default_provider()));

static SYSTEM_ROOTS: PerProcess<OnceLock<Arc<RootCertStore>>> = PerProcess::new(|_| OnceLock::new());

/// The system's roots, or Mozilla's where the system has none. A system that cannot tell at this moment is asked again
/// the next time.
fn system_roots() -> Result<Arc<RootCertStore>, Error> {
    if let Some(roots) = SYSTEM_ROOTS.get().get() {
        return Ok(roots.clone());
    }
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let passing = [libc::EMFILE, libc::ENFILE, libc::ENOMEM];
        for error in &found.errors {
            if let rustls_native_certs::ErrorKind::Io { inner, .. } = &error.kind
                && inner.raw_os_error().is_some_and(|code| passing.contains(&code))
            {
                return Err(Error::os(ErrorKind::Ssl, "Cannot read the system's certificates", inner));
            }
        }
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(SYSTEM_ROOTS.get().get_or_init(|| Arc::new(roots)).clone())
}

fn build(settings: &TlsSettings) -> Result<ClientConfig, Error> {
    let builder = ClientConfig::builder_with_provider(PROVIDER.get().clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::new(ErrorKind::Ssl, format!("No TLS version can be used: {error}")))?;
    // A bundle that does not load is an error even where nothing is verified: it was asked for.
    let roots = match &settings.ca_bundle {
        Some(path) => Arc::new(load_roots(path)?),
        None if settings.verify => system_roots()?,
        None => Arc::new(RootCertStore::empty()),
    };
    let builder = if settings.verify {
        builder.with_root_certificates(roots)
    } else {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AcceptAny(PROVIDER.get().clone())))
    };
    let mut config = match &settings.certificate {
        None => builder.with_no_client_auth(),
        Some((cert, key)) => {
            let key_path = key.as_ref().unwrap_or(cert);
            let chain = load_certificates(cert)?;
            let key = PrivateKeyDer::from_pem_file(key_path).map_err(|error| match error {
                rustls::pki_types::pem::Error::Io(error) => {
                    Error::os(ErrorKind::Ssl, format!("Could not read the TLS key file {key_path}"), &error)
                }
                error => Error::new(
                    ErrorKind::Ssl,
                    format!("Could not find a private key in the TLS key file {key_path}: {error}"),
                ),
            })?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                Error::new(
                    ErrorKind::Ssl,
                    format!("The TLS certificate {cert} and the key {key_path} cannot be used: {error}"),
                )
            })?
        }
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

fn load_certificates(path: &str) -> Result<Vec<CertificateDer<'static>>, Error> {
    let failed = |error: rustls::pki_types::pem::Error| match error {
        rustls::pki_types::pem::Error::Io(error) => {
            Error::os(ErrorKind::Ssl, format!("Could not read the TLS certificate file {path}"), &error)
        }
        error => {
            Error::new(ErrorKind::Ssl, format!("The TLS certificate file {path} is not valid PEM: {error}"))
        }
    };
    let found: Result<Vec<_>, _> =
        CertificateDer::pem_file_iter(path).map_err(failed)?.collect::<Result<Vec<_>, _>>().map_err(failed);
    match found? {
        found if found.is_empty() => {
            Err(Error::new(ErrorKind::Ssl, format!("No certificate in the TLS certificate file {path}")))
        }
        found => Ok(found),
    }
}

fn load_roots(path: &str) -> Result<RootCertStore, Error> {
    let unreadable = |error| {
        Error::os(
            ErrorKind::Ssl,
            format!("Could not find a suitable TLS CA certificate bundle, invalid path: {path}"),
            &error,
        )
    };
    let mut roots = RootCertStore::empty();
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        // Like OpenSSL, a directory is taken for what is in it; other files may lie there.
        for entry in std::fs::read_dir(path).map_err(unreadable)?.flatten() {
            if let Ok(certificates) = load_certificates(&entry.path().to_string_lossy()) {
                roots.add_parsable_certificates(certificates);
            }
        }
    } else {
        let (added, _) = roots.add_parsable_certificates(load_certificates(path)?);
        if added == 0 {
            return Err(Error::new(ErrorKind::Ssl, format!("No usable CA certificate in {path}")));
        }
    }
    Ok(roots)
}

/// A connection that has yet to shake hands.
pub fn client(config: &Arc<ClientConfig>, host: &str) -> Result<ClientConnection, Error> {
    let name = ServerName::try_from(host.to_string())
        .map_err(|_| Error::new(ErrorKind::Ssl, format!("'{host}' cannot be the name of a TLS server")))?;
    ClientConnection::new(config.clone(), name).map_err(|error| failure(&error, host))
}

/// A failure of the protocol or of a certificate, in words.
pub fn failure(error: &rustls::Error, host: &str) -> Error {
    let text = match error {
        rustls::Error::InvalidCertificate(_) => format!("certificate verify failed for '{host}': {error}"),
        _ => format!("TLS with '{host}' failed: {error}"),
    };
    Error::new(ErrorKind::Ssl, text)
}

/// For `verify` off: any certificate will do, but the handshake must be signed with its key.
#[derive(Debug)]
struct AcceptAny(Arc<CryptoProvider>);

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls12_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        rustls::crypto::verify_tls13_signature(
            message,
            certificate,
            signed,
            &self.0.signature_verification_algorithms,
        )
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
