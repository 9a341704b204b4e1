//! Which certificates are taken: with verifying, and without.

use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{CertificateDer, ServerName, SignatureVerificationAlgorithm, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, OtherError, PeerMisbehaved, SignatureScheme};
use sha2::{Digest, Sha256};

use super::certificates::Roots;
use super::x509::{Name, PublicKey, X509};
use crate::message::reach::Pin;

/// Looks at what servers show.
#[derive(Clone, Debug)]
pub struct Verifier {
    algorithms: WebPkiSupportedAlgorithms,
    /// None: any certificate will do.
    trusted: Option<Arc<Roots>>,
    /// The server has one of these keys, whoever has signed its certificate.
    pinned: Option<Arc<[Pin]>>,
    /// The host whose name rustls does not take. None: the name that the connection is made for.
    host: Option<Box<str>>,
}

impl Verifier {
    pub fn new(
        algorithms: WebPkiSupportedAlgorithms,
        trusted: Option<Arc<Roots>>,
        pinned: Option<Arc<[Pin]>>,
    ) -> Verifier {
        Verifier { algorithms, trusted, pinned, host: None }
    }

    /// The same for this host alone, whatever name the connection is made for.
    pub fn for_host(&self, host: &str) -> Verifier {
        Verifier { host: Some(host.into()), ..self.clone() }
    }

    /// Whether an authority has signed it for this server.
    fn verify_chain(
        &self,
        roots: &Roots,
        certificate: &CertificateDer,
        intermediates: &[CertificateDer],
        server: &ServerName,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &roots.authorities,
            intermediates,
            now,
            algorithms,
        )?;
        if self.host.is_none() {
            match verify_server_name(&parsed, server) {
                Err(Error::InvalidCertificate(
                    CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
                )) => {}
                other => return other,
            }
        }
        let parsed = X509::parse(certificate).ok_or(CertificateError::BadEncoding)?;
        match &self.host {
            Some(host) if parsed.is_for(host) => Ok(()),
            _ => Err(for_others(&parsed, server)),
        }
    }

    /// Whether it is for this server and valid now: all that is left to ask of one that is trusted itself.
    fn verify_listed(
        &self,
        certificate: &CertificateDer,
        server: &ServerName,
        now: UnixTime,
    ) -> Result<(), Error> {
        let parsed = X509::parse(certificate).ok_or(CertificateError::BadEncoding)?;
        let (not_before, not_after) = parsed.validity().ok_or(CertificateError::BadEncoding)?;
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let time = |seconds: i64| {
            UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(seconds).unwrap_or(0)))
        };
        if seconds < not_before {
            return Err(
                CertificateError::NotValidYetContext { time: now, not_before: time(not_before) }.into()
            );
        }
        if seconds > not_after {
            return Err(CertificateError::ExpiredContext { time: now, not_after: time(not_after) }.into());
        }
        let is_for = match &self.host {
            Some(host) => parsed.is_for(host),
            None => parsed.is_for(&server.to_str()),
        };
        if is_for { Ok(()) } else { Err(for_others(&parsed, server)) }
    }

    /// Whether its key is one of those that are pinned, where any are.
    fn verify_pins(&self, certificate: &CertificateDer) -> Result<(), Error> {
        let Some(pinned) = &self.pinned else { return Ok(()) };
        let parsed = X509::parse(certificate).ok_or(CertificateError::BadEncoding)?;
        let key: Pin = Sha256::digest(parsed.key_info).into();
        if pinned.contains(&key) {
            return Ok(());
        }
        Err(CertificateError::Other(OtherError(Arc::new(NotPinned(key)))).into())
    }

    fn verify_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer,
        signed: &DigitallySignedStruct,
        version_1_3: bool,
    ) -> Result<HandshakeSignatureValid, Error> {
        let key = X509::parse(certificate).and_then(|certificate| certificate.public_key());
        let valid = match key {
            None => Err(CertificateError::BadEncoding.into()),
            Some(key) => self.verify_with_key(&key, message, signed, version_1_3),
        };
        match valid {
            // It would be no better if the key were read; but one that is pinned must be the server's.
            Err(Error::InvalidCertificate(
                CertificateError::BadEncoding
                | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
            )) if self.trusted.is_none() && self.pinned.is_none() => Ok(HandshakeSignatureValid::assertion()),
            other => other.map(|()| HandshakeSignatureValid::assertion()),
        }
    }

    /// An error of the encoding or of the algorithm says that the key is none that can be used.
    fn verify_with_key(
        &self,
        key: &PublicKey,
        message: &[u8],
        signed: &DigitallySignedStruct,
        version_1_3: bool,
    ) -> Result<(), Error> {
        if version_1_3 && is_of_tls_1_2(signed.scheme) {
            return Err(unadvertised());
        }
        let unusable = || {
            Error::InvalidCertificate(CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: u16::from(signed.scheme).to_be_bytes().to_vec(),
                public_key_algorithm_id: key.algorithm.to_vec(),
            })
        };
        let pss_only = key.is_rsa_pss();
        if (pss_only || key.is_rsa()) && !key.rsa_bits().is_some_and(|bits| RSA_BITS.contains(&bits)) {
            return Err(unusable());
        }
        // The scheme for keys that are for PSS alone differs from the one for all RSA keys in its number, no more.
        let scheme = match PSS_SCHEMES.iter().find(|(pss, _)| *pss == u16::from(signed.scheme)) {
            Some((_, scheme)) if pss_only => *scheme,
            Some(_) => return Err(unadvertised()),
            None => signed.scheme,
        };
        let (_, candidates) =
            self.algorithms.mapping.iter().find(|(known, _)| *known == scheme).ok_or_else(unadvertised)?;
        // In TLS 1.3 the scheme names the curve as well, and the first candidate is the one with that.
        let candidates = if version_1_3 { &candidates[..1] } else { candidates };
        let fits = |one: &&&dyn SignatureVerificationAlgorithm| {
            (pss_only && scheme != signed.scheme) || one.public_key_alg_id().as_ref() == key.algorithm
        };
        let mut fitting = candidates.iter().filter(fits).peekable();
        if fitting.peek().is_none() {
            return Err(unusable());
        }
        if fitting.any(|one| one.verify_signature(key.bits, message, signed.signature()).is_ok()) {
            return Ok(());
        }
        Err(CertificateError::BadSignature.into())
    }
}

/// The server has this key, which is none of those that are pinned.
#[derive(Debug)]
pub struct NotPinned(pub Pin);

impl fmt::Display for NotPinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", BASE64.encode(self.0))
    }
}

impl std::error::Error for NotPinned {}

/// The lengths of RSA keys with which signatures can be checked.
const RSA_BITS: RangeInclusive<usize> = 2048..=8192;

/// Schemes of RSA keys that are for PSS alone (`rsa_pss_pss_*` of RFC 8446), each with that of keys for any use.
const PSS_SCHEMES: [(u16, SignatureScheme); 3] = [
    (0x0809, SignatureScheme::RSA_PSS_SHA256),
    (0x080A, SignatureScheme::RSA_PSS_SHA384),
    (0x080B, SignatureScheme::RSA_PSS_SHA512),
];

fn unadvertised() -> Error {
    PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into()
}

fn is_of_tls_1_2(scheme: SignatureScheme) -> bool {
    use SignatureScheme as S;
    matches!(scheme, S::RSA_PKCS1_SHA1 | S::RSA_PKCS1_SHA256 | S::RSA_PKCS1_SHA384 | S::RSA_PKCS1_SHA512)
}

/// It is for other names than that of the server.
fn for_others(certificate: &X509, server: &ServerName) -> Error {
    let presented = certificate.names().map(|name| match name {
        Name::Dns(name) => name.to_owned(),
        Name::Address(address) => address.to_string(),
    });
    let presented = presented.collect();
    CertificateError::NotValidForNameContext { expected: server.to_owned(), presented }.into()
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if let Some(roots) = &self.trusted {
            match self.verify_chain(roots, certificate, intermediates, server, now) {
                // Who puts a certificate itself among the roots wants exactly this one, whatever its extensions say.
                Err(_) if roots.lists(certificate) => self.verify_listed(certificate, server, now)?,
                other => other?,
            }
        }
        self.verify_pins(certificate)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed, false)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(message, certificate, signed, true)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let pss = PSS_SCHEMES.map(|(scheme, _)| SignatureScheme::from(scheme));
        self.algorithms.supported_schemes().into_iter().chain(pss).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::pki_types::pem::PemObject;

    #[test]
    fn a_pin_is_what_openssl_makes_of_a_key() {
        // openssl x509 -pubkey -noout | openssl pkey -pubin -outform der | openssl dgst -sha256 -binary | base64
        let pem = include_bytes!("../../../tests/support/certificates/client/ca.pem");
        let certificate = CertificateDer::from_pem_slice(pem).unwrap();
        let key = Sha256::digest(X509::parse(&certificate).unwrap().key_info);
        assert_eq!(NotPinned(key.into()).to_string(), "sha256//k4s8uUL83OsiE3WQegvI14mZfKiyCCc0QFAwaqZbkQw=");
    }
}
