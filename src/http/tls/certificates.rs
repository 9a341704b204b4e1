//! Certificates and keys in files: CA bundles, directories of them, client certificates; and whether the files have
//! changed since they were read.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};

use super::x509::Trusted;
use crate::http::files::{self, ReadError};
use crate::http::socket::Limits;
use crate::message::error::{Error, ErrorKind};

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

/// A CA bundle: a PEM file, or a directory of them.
pub fn load_roots(path: &str, limits: &Limits) -> Result<Roots, Error> {
    let unreadable = |error| {
        Error::os(
            ErrorKind::Ssl,
            format!("Could not find a suitable TLS CA certificate bundle, invalid path: {path}"),
            &error,
        )
    };
    if fs::metadata(path).map_err(unreadable)?.is_dir() {
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
        return Ok(Roots::of(found));
    }
    let roots = Roots::of(some_certificates(path, &read(path, "certificate", limits)?)?);
    if roots.authorities.is_empty() {
        return Err(Error::new(ErrorKind::Ssl, format!("No usable CA certificate in {path}")));
    }
    Ok(roots)
}

/// The chain and the key of a client certificate. No key path: both stand in one file, which is read once.
pub fn load_pair(
    certificate: &str,
    key: Option<&str>,
    limits: &Limits,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), Error> {
    let content = read(certificate, "certificate", limits)?;
    let chain = some_certificates(certificate, &content)?;
    let key = match key {
        Some(path) => private_key(path, &read(path, "key", limits)?)?,
        None => private_key(certificate, &content)?,
    };
    Ok((chain, key))
}

/// All certificates of a file, which are one at least.
fn some_certificates(path: &str, content: &[u8]) -> Result<Vec<CertificateDer<'static>>, Error> {
    match certificates(content) {
        Ok(found) if found.is_empty() => {
            Err(Error::new(ErrorKind::Ssl, format!("No certificate in the TLS certificate file {path}")))
        }
        Ok(found) => Ok(found),
        Err(error) => Err(Error::new(
            ErrorKind::Ssl,
            format!("The TLS certificate file {path} is not valid PEM: {}", words(&error)),
        )),
    }
}

/// The first private key of a file.
fn private_key(path: &str, content: &[u8]) -> Result<PrivateKeyDer<'static>, Error> {
    PrivateKeyDer::from_pem_slice(content).map_err(|error| {
        Error::new(
            ErrorKind::Ssl,
            format!("Could not find a private key in the TLS key file {path}: {}", words(&error)),
        )
    })
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
    let mut text = Vec::with_capacity(content.len());
    for line in content.split_inclusive(|octet| *octet == b'\n') {
        let relabeled = [b"-----BEGIN ".as_slice(), b"-----END "].into_iter().find_map(|start| {
            let label = line.strip_prefix(start)?;
            let rest =
                [b"TRUSTED ".as_slice(), b"X509 "].into_iter().find_map(|word| label.strip_prefix(word))?;
            rest.starts_with(b"CERTIFICATE-----").then_some((start, rest))
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
