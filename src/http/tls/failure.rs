//! Failures of TLS, in words.

use std::fmt::Write;

use rustls::{AlertDescription, CertificateError, InconsistentKeys, InvalidMessage, PeerIncompatible};

use super::verify::NotPinned;
use super::x509;
use crate::message::error::{Error, ErrorKind};

/// The most names of a certificate that a message shows.
const MOST_NAMES: usize = 3;

/// How far a connection was when it failed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Nothing of the server's was understood yet.
    Hello,
    Handshake,
    Transfer,
}

/// A failure of the protocol or of a certificate. `peer` is the server's host and port.
pub fn failure(error: &rustls::Error, peer: &str, phase: Phase) -> Error {
    use rustls::Error as E;
    let text = match error {
        E::InvalidCertificate(error) => {
            format!("certificate verify failed for {peer}: {}", of_certificate(error))
        }
        E::NoCertificatesPresented => {
            format!("certificate verify failed for {peer}: the server shows no certificate")
        }
        E::AlertReceived(alert) if phase == Phase::Transfer && !is_about_certificates(*alert) => {
            format!("{peer} ended the TLS connection with alert \"{}\"", name(*alert))
        }
        E::AlertReceived(alert) => format!("TLS handshake refused by {peer} with alert \"{}\"", name(*alert)),
        E::InvalidMessage(InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion)
            if phase == Phase::Hello =>
        {
            format!("{peer} speaks no TLS")
        }
        _ => format!("TLS with {peer} failed: {}", of_protocol(error)),
    };
    Error::new(ErrorKind::Ssl, text)
}

/// Why a client certificate and its key are of no use.
pub fn of_keys(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            "the key is not that of the certificate".into()
        }
        rustls::Error::InvalidCertificate(_) => "the certificate is malformed".into(),
        rustls::Error::General(text) => text.clone(),
        _ => "they do not fit together".into(),
    }
}

fn of_certificate(error: &CertificateError) -> String {
    use CertificateError as C;
    let date =
        |time: &rustls::pki_types::UnixTime| x509::date(i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    match error {
        C::Expired => "the certificate has expired".into(),
        C::ExpiredContext { not_after, .. } => format!("the certificate has expired on {}", date(not_after)),
        C::NotValidYet => "the certificate is not yet valid".into(),
        C::NotValidYetContext { not_before, .. } => {
            format!("the certificate is not yet valid, but from {}", date(not_before))
        }
        C::NotValidForName => "the certificate is for other names".into(),
        C::NotValidForNameContext { presented, .. } => for_others(presented),
        C::UnknownIssuer => "the certificate is not signed by a trusted authority".into(),
        C::BadEncoding => "the certificate is malformed".into(),
        C::BadSignature => "a signature is wrong, of the certificate or of the handshake".into(),
        C::InvalidPurpose | C::InvalidPurposeContext { .. } => "the certificate is not for servers".into(),
        C::Revoked => "the certificate is revoked".into(),
        C::UnsupportedSignatureAlgorithmContext { .. } => {
            "the certificate is signed in a way that is not supported".into()
        }
        C::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "the certificate's key is of a kind that is not supported".into()
        }
        C::Other(other) => {
            if let Some(key) = other.0.downcast_ref::<NotPinned>() {
                return format!("the server's public key, {key}, is none of those that are pinned");
            }
            other.0.downcast_ref::<webpki::Error>().map_or(UNFIT, of_chain).into()
        }
        _ => UNFIT.into(),
    }
}

const UNFIT: &str = "the certificate, or one that it is signed with, breaks the rules for certificates";

fn of_chain(error: &webpki::Error) -> &'static str {
    use webpki::Error as W;
    match error {
        W::CaUsedAsEndEntity => {
            "the certificate is that of an authority (CA:TRUE), and not among those that are trusted: see rf_options_set_ca_bundle"
        }
        W::EndEntityUsedAsCa => "the certificate is signed with one that is not an authority's",
        W::UnsupportedCertVersion => "the certificate is of another version than 3",
        W::UnsupportedCriticalExtension => "the certificate has a critical extension that is not known",
        W::NameConstraintViolation => "the authority may not sign certificates for this name",
        W::PathLenConstraintViolated | W::MaximumPathDepthExceeded => "the chain of certificates is too long",
        W::MaximumSignatureChecksExceeded
        | W::MaximumPathBuildCallsExceeded
        | W::MaximumNameConstraintComparisonsExceeded => "the chain of certificates is too intricate",
        W::CertDistrusted => "the authority that signed the certificate is distrusted",
        _ => UNFIT,
    }
}

fn for_others(presented: &[String]) -> String {
    if presented.is_empty() {
        return "the certificate names no host".into();
    }
    // Names come from the server: nothing of them may be taken for the message's own text.
    let shown: Vec<String> =
        presented.iter().take(MOST_NAMES).map(|name| name.escape_default().to_string()).collect();
    let mut text = format!("the certificate is for other names: {}", shown.join(", "));
    if presented.len() > MOST_NAMES {
        let _ = write!(text, " and {} more", presented.len() - MOST_NAMES);
    }
    text
}

fn of_protocol(error: &rustls::Error) -> &'static str {
    use rustls::Error as E;
    match error {
        E::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
            "the server speaks neither TLS 1.2 nor 1.3"
        }
        E::PeerIncompatible(PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig) => {
            "the server speaks none of the TLS versions that are allowed (rf_options_set_tls_versions)"
        }
        E::PeerIncompatible(_) => "the server wants what is not supported here",
        E::PeerMisbehaved(_) => "the server breaks the rules of TLS",
        E::InappropriateMessage { .. } | E::InappropriateHandshakeMessage { .. } => {
            "the server sent a message out of turn"
        }
        E::InvalidMessage(_) => "the server sent a malformed message",
        E::PeerSentOversizedRecord => "the server sent a record that is too long",
        E::DecryptError => "what the server sent cannot be decrypted",
        E::EncryptError => "a message cannot be encrypted",
        E::FailedToGetCurrentTime => "the system does not tell the time",
        E::FailedToGetRandomBytes => "the system gives no random numbers",
        E::NoApplicationProtocol => "the server speaks no HTTP/1.1",
        _ => "an error inside of TLS",
    }
}

/// Alerts by which a server says what it thinks of a client's certificate. In TLS 1.3 they come when the client takes
/// the handshake for done.
fn is_about_certificates(alert: AlertDescription) -> bool {
    matches!(u8::from(alert), 40..=49 | 51 | 113..=116)
}

/// The name of an alert as the standards have it (RFC 8446 6.2 and those before it).
fn name(alert: AlertDescription) -> String {
    let name = match u8::from(alert) {
        0 => "close notify",
        10 => "unexpected message",
        20 => "bad record mac",
        21 => "decryption failed",
        22 => "record overflow",
        30 => "decompression failure",
        40 => "handshake failure",
        41 => "no certificate",
        42 => "bad certificate",
        43 => "unsupported certificate",
        44 => "certificate revoked",
        45 => "certificate expired",
        46 => "certificate unknown",
        47 => "illegal parameter",
        48 => "unknown ca",
        49 => "access denied",
        50 => "decode error",
        51 => "decrypt error",
        60 => "export restriction",
        70 => "protocol version",
        71 => "insufficient security",
        80 => "internal error",
        86 => "inappropriate fallback",
        90 => "user canceled",
        100 => "no renegotiation",
        109 => "missing extension",
        110 => "unsupported extension",
        111 => "certificate unobtainable",
        112 => "unrecognized name",
        113 => "bad certificate status response",
        114 => "bad certificate hash value",
        115 => "unknown psk identity",
        116 => "certificate required",
        120 => "no application protocol",
        number => return format!("number {number}"),
    };
    name.into()
}
