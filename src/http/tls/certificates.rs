//! Certificates and keys, in files and in what the program gives: CA bundles, directories of them, client certificates;
//! and whether the files have changed since they were read.

use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use super::encrypted::{self, Effort, Failure, Password, aside};
use super::pkcs12;
use super::x509::Trusted;
use crate::http::files::{self, ReadError};
use crate::http::socket::Limits;
use crate::message::error::{Error, ErrorKind};
use crate::message::reach::{Certificate, Hidden};

/// Who is trusted: authorities, and certificates that stand there themselves.
#[derive(Debug)]
pub struct Roots {
    pub authorities: RootCertStore,
    /// Digests of the certificates, whole, in order.
    listed: Vec<[u8; 32]>,
}

impl Roots {
    /// Those that can be authorities are.
    pub fn of(certificates: Vec<CertificateDer<'static>>) -> Roots {
        let mut listed: Vec<_> = certificates.iter().map(|certificate| digest(certificate)).collect();
        listed.sort_unstable();
        listed.dedup();
        let mut authorities = RootCertStore::empty();
        authorities.add_parsable_certificates(certificates);
        Roots { authorities, listed }
    }

    /// Whether this very certificate is among them.
    pub fn lists(&self, certificate: &CertificateDer) -> bool {
        self.listed.binary_search(&digest(certificate)).is_ok()
    }
}

fn digest(certificate: &[u8]) -> [u8; 32] {
    Sha256::digest(certificate).into()
}

/// Those of a CA bundle, and those that the program gives.
pub fn load_roots(path: Option<&str>, pem: Option<&Hidden>, limits: &Limits) -> Result<Roots, Error> {
    let mut found = Vec::new();
    if let Some(path) = path {
        found.extend(bundle(path, limits)?);
    }
    if let Some(pem) = pem {
        let given = Given("rf_options_set_ca_pem");
        found.extend(some_authorities(&given, pem.bytes())?);
    }
    Ok(Roots::of(found))
}

/// A CA bundle: a PEM file, or a directory of them.
fn bundle(path: &str, limits: &Limits) -> Result<Vec<CertificateDer<'static>>, Error> {
    let unreadable = |error| {
        Error::os(
            ErrorKind::Ssl,
            format!("Could not find a suitable TLS CA certificate bundle, invalid path: {path}"),
            &error,
        )
    };
    if !fs::metadata(path).map_err(unreadable)?.is_dir() {
        let content = read(path, "certificate", limits)?;
        return some_authorities(&format_args!("TLS certificate file {path}"), &content);
    }
    let mut found = Vec::new();
    // Like OpenSSL, a directory is taken for what is in it; other files may lie there.
    for entry in fs::read_dir(path).map_err(unreadable)?.flatten() {
        let path = entry.path();
        if !path.is_file() {
            continue;
        }
        match files::read(&path, limits) {
            Ok(content) => {
                found.extend(certificates(&content).unwrap_or_default());
            }
            Err(ReadError::Ended(error)) => return Err(error),
            Err(ReadError::Io(_)) => {}
        }
    }
    Ok(found)
}

/// PEM that did not come out of a file, by the function that it was given to.
struct Given(&'static str);

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PEM given to {}", self.0)
    }
}

/// A chain of certificates, the leaf first, and the leaf's key.
pub type Pair = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// What is shown to servers.
pub fn load_pair(
    certificate: &Certificate,
    key_password: Option<&Hidden>,
    limits: &Limits,
) -> Result<Pair, Error> {
    match certificate {
        Certificate::Files { cert, key } => {
            let content = read(cert, "certificate", limits)?;
            let chain = some_certificates(&format_args!("TLS certificate file {cert}"), &content)?;
            let key_content = key.as_ref().map(|path| read(path, "key", limits)).transpose()?;
            let path = key.as_ref().unwrap_or(cert);
            let place = format_args!("TLS key file {path}");
            let key = private_key(&place, key_content.as_ref().unwrap_or(&content), key_password, limits)?;
            Ok((chain, key))
        }
        Certificate::Pem { cert, key } => {
            let given = Given("rf_options_set_cert_pem");
            let chain = some_certificates(&given, cert.bytes())?;
            Ok((chain, private_key(&given, key.as_ref().unwrap_or(cert).bytes(), key_password, limits)?))
        }
        Certificate::Pkcs12 { path, password } => load_pkcs12(path, password.as_ref(), limits),
    }
}

/// What a message calls it, and where its key is.
pub fn names_of(certificate: &Certificate) -> (String, String) {
    match certificate {
        Certificate::Files { cert, key } => {
            (format!("certificate {cert}"), format!("key {}", key.as_ref().unwrap_or(cert)))
        }
        Certificate::Pem { .. } => ("certificate of rf_options_set_cert_pem".into(), "key".into()),
        Certificate::Pkcs12 { path, .. } => (format!("certificate in {path}"), "key".into()),
    }
}

fn load_pkcs12(path: &str, password: Option<&Hidden>, limits: &Limits) -> Result<Pair, Error> {
    let content = read(path, "PKCS#12", limits)?;
    let password = password.cloned();
    let opened = aside(limits, move || {
        pkcs12::open(&content, password.as_ref().map_or(&[], Hidden::bytes), Effort::default())
    })?;
    let malformed = || format!("{path} is no PKCS#12 file, or a damaged one");
    let opened = opened.map_err(|why| not_opened(&format!("PKCS#12 file {path}"), malformed, why))?;
    let missing = |what: &str| Error::new(ErrorKind::Ssl, format!("No {what} in the PKCS#12 file {path}"));
    let key = opened.key.ok_or_else(|| missing("private key"))?;
    if opened.chain.is_empty() {
        return Err(missing("certificate"));
    }
    let chain = opened.chain.into_iter().map(CertificateDer::from).collect();
    Ok((chain, PrivatePkcs8KeyDer::from(key).into()))
}

/// Why something that is encrypted cannot be opened.
fn not_opened(what: &str, malformed: impl FnOnce() -> String, why: Failure) -> Error {
    let text = match why {
        Failure::WrongPassword => format!("The password of the {what} is wrong"),
        Failure::Malformed => malformed(),
        Failure::Unsupported(how) => {
            format!("The {what} is encrypted in a way that is not supported ({how})")
        }
        Failure::TooHard => {
            format!("The {what} is encrypted so that trying its password takes too much time or memory")
        }
    };
    Error::new(ErrorKind::Ssl, text)
}

/// All certificates of a text, which are one at least.
fn some_certificates(
    place: &dyn fmt::Display,
    content: &[u8],
) -> Result<Vec<CertificateDer<'static>>, Error> {
    match certificates(content) {
        Ok(found) if found.is_empty() => {
            Err(Error::new(ErrorKind::Ssl, format!("No certificate in the {place}")))
        }
        Ok(found) => Ok(found),
        Err(error) => {
            let text = format!("The {place} is not valid PEM: {}", words(&error));
            Err(Error::new(ErrorKind::Ssl, text))
        }
    }
}

/// The same, of which one at least can be an authority's.
fn some_authorities(place: &dyn fmt::Display, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found = some_certificates(place, content)?;
    if found.iter().all(|one| webpki::anchor_from_trusted_cert(one).is_err()) {
        return Err(Error::new(ErrorKind::Ssl, format!("No usable CA certificate in the {place}")));
    }
    Ok(found)
}

/// The first private key of a text: one that is not encrypted, if there is one.
fn private_key(
    place: &dyn fmt::Display,
    content: &[u8],
    password: Option<&Hidden>,
    limits: &Limits,
) -> Result<PrivateKeyDer<'static>, Error> {
    let failure = |text: String| Error::new(ErrorKind::Ssl, text);
    let error = match PrivateKeyDer::from_pem_slice(content) {
        Ok(key) => return Ok(key),
        Err(error) => error,
    };
    if let Some(encrypted) = encrypted_key(content) {
        let Some(password) = password.cloned() else {
            return Err(failure(format!(
                "The private key in the {place} is encrypted, and there is no password for it: see rf_options_set_key_password"
            )));
        };
        let decrypted = aside(limits, move || {
            let text = password.bytes();
            let wide = Some(Password::widened(text));
            let password = Password { text, wide, effort: Effort::default() };
            encrypted::private_key(encrypted.secret_pkcs8_der(), &password)
        })?;
        let malformed = || format!("The encrypted private key in the {place} is malformed");
        let key =
            decrypted.map_err(|why| not_opened(&format!("private key in the {place}"), malformed, why))?;
        return Ok(PrivatePkcs8KeyDer::from(key).into());
    }
    if memchr::memmem::find(content, b"Proc-Type: 4,ENCRYPTED").is_some() {
        return Err(failure(format!(
            "The private key in the {place} is encrypted in an old form that is not supported: openssl pkcs8 -topk8 converts it"
        )));
    }
    Err(failure(format!("Could not find a private key in the {place}: {}", words(&error))))
}

/// The first encrypted key of a text, as it stands there.
fn encrypted_key(content: &[u8]) -> Option<PrivatePkcs8KeyDer<'static>> {
    let text = relabelled(content, &[b"ENCRYPTED "], b"PRIVATE KEY-----");
    PrivatePkcs8KeyDer::from_pem_slice(&text).ok()
}

fn read(path: &str, what: &str, limits: &Limits) -> Result<Vec<u8>, Error> {
    files::read(Path::new(path), limits).map_err(|error| match error {
        ReadError::Io(error) => {
            Error::os(ErrorKind::Ssl, format!("Could not read the TLS {what} file {path}"), &error)
        }
        ReadError::Ended(error) => error,
    })
}

/// The certificates in this text. Of OpenSSL's trusted form, those that may vouch for servers.
fn certificates(content: &[u8]) -> Result<Vec<CertificateDer<'static>>, pem::Error> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(&with_one_label(content)) {
        let certificate = certificate?;
        match Trusted::parse(&certificate) {
            Some(trusted) if !trusted.for_servers => {}
            Some(trusted) if trusted.certificate.len() < certificate.len() => {
                found.push(CertificateDer::from(trusted.certificate.to_vec()));
            }
            _ => found.push(certificate),
        }
    }
    Ok(found)
}

/// The text with `CERTIFICATE` for OpenSSL's other labels of one.
fn with_one_label(content: &[u8]) -> Vec<u8> {
    relabelled(content, &[b"TRUSTED ", b"X509 "], b"CERTIFICATE-----")
}

/// The text without these words before this end of a label.
fn relabelled(content: &[u8], words: &[&[u8]], end: &[u8]) -> Vec<u8> {
    let mut text = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        let relabeled = [b"-----BEGIN ".as_slice(), b"-----END "].into_iter().find_map(|start| {
            let label = line.strip_prefix(start)?;
            let rest = words.iter().find_map(|word| label.strip_prefix(*word))?;
            rest.starts_with(end).then_some((start, rest))
        });
        match relabeled {
            Some((start, rest)) => {
                text.extend_from_slice(start);
                text.extend_from_slice(rest);
            }
            None => text.extend_from_slice(line),
        }
    }
    text
}

fn words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end",
        pem::Error::IllegalSectionStart { .. } => "a section's first line is malformed",
        pem::Error::Base64Decode(_) => "a section is not valid base64",
        pem::Error::NoItemsFound => "there is none in it",
        _ => "it cannot be read",
    }
}

/// What a path led to at one moment.
#[derive(Debug, PartialEq, Eq)]
pub enum Stamp {
    /// Nothing, or nothing that may be looked at.
    Missing,
    File {
        device: u64,
        inode: u64,
        size: u64,
        modified: (i64, i64),
    },
    Directory {
        device: u64,
        inode: u64,
        modified: (i64, i64),
        entries: Vec<Stamp>,
    },
    /// A pipe or another thing that tells its content only once.
    Stream {
        device: u64,
        inode: u64,
    },
}

/// Of a directory with more entries than this, a change inside of a file goes unnoticed.
const MOST_ENTRIES: usize = 1000;

impl Stamp {
    pub fn of(path: &Path) -> Stamp {
        let Ok(about) = fs::metadata(path) else { return Stamp::Missing };
        if !about.is_dir() {
            return Stamp::of_file(&about);
        }
        let entries = fs::read_dir(path).map(|entries| {
            entries
                .flatten()
                .take(MOST_ENTRIES)
                .map(|entry| {
                    fs::metadata(entry.path()).map_or(Stamp::Missing, |about| Stamp::of_file(&about))
                })
                .collect()
        });
        Stamp::Directory {
            device: about.dev(),
            inode: about.ino(),
            modified: (about.mtime(), about.mtime_nsec()),
            entries: entries.unwrap_or_default(),
        }
    }

    fn of_file(about: &fs::Metadata) -> Stamp {
        let (device, inode) = (about.dev(), about.ino());
        if about.is_file() {
            let modified = (about.mtime(), about.mtime_nsec());
            Stamp::File { device, inode, size: about.size(), modified }
        } else {
            Stamp::Stream { device, inode }
        }
    }
}

/// Whether the system could not read something now that it may be able to read in a moment.
pub fn is_passing(error: &io::Error) -> bool {
    error.raw_os_error().is_some_and(|code| [libc::EMFILE, libc::ENFILE, libc::ENOMEM].contains(&code))
}
