//! Certificates, made anew for each server, and the TLS settings of the listeners.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion, version};
use sha1::{Digest, Sha1};

const GOOD_NAMES: &[&str] = &["localhost", "127.0.0.1", "::1", "example.test", "*.example.test"];
const BOTH_VERSIONS: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

struct Authority {
    name: &'static str,
    pem: String,
    der: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

struct Leaf {
    chain: Vec<CertificateDer<'static>>,
    pem: String,
    key: KeyPair,
}

/// What a leaf certificate is for.
#[derive(Clone, Copy, PartialEq)]
enum Purpose {
    Server,
    ExpiredServer,
    Client,
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn authority(common_name: &'static str) -> Result<Authority, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok(Authority {
        name: common_name,
        pem: certificate.pem(),
        der: certificate.der().clone(),
        issuer: Issuer::new(params, key),
    })
}

fn leaf(names: &[&str], purpose: Purpose, signer: Option<&Authority>) -> Result<Leaf, rcgen::Error> {
    let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
    let mut params = CertificateParams::new(names.clone())?;
    params.distinguished_name = name(&names[0]);
    params.use_authority_key_identifier_extension = signer.is_some();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![match purpose {
        Purpose::Client => ExtendedKeyUsagePurpose::ClientAuth,
        Purpose::Server | Purpose::ExpiredServer => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match purpose {
        Purpose::ExpiredServer => date_time_ymd(2020, 6, 1),
        Purpose::Server | Purpose::Client => date_time_ymd(2045, 1, 1),
    };
    let key = KeyPair::generate()?;
    let certificate = match signer {
        Some(authority) => params.signed_by(&key, &authority.issuer)?,
        None => params.self_signed(&key)?,
    };
    Ok(Leaf { chain: vec![certificate.der().clone()], pem: certificate.pem(), key })
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn config(
    leaf: &Leaf,
    versions: &[&'static SupportedProtocolVersion],
    clients: Option<&Authority>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    let builder = ServerConfig::builder_with_provider(provider()).with_protocol_versions(versions)?;
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            roots.add(authority.der.clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let mut config = builder.with_single_cert(leaf.chain.clone(), key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The settings of every TLS listener.
#[derive(Clone)]
pub struct Configs {
    pub good: Arc<ServerConfig>,
    pub expired: Arc<ServerConfig>,
    pub wrong_host: Arc<ServerConfig>,
    pub untrusted: Arc<ServerConfig>,
    pub self_signed: Arc<ServerConfig>,
    pub client_cert: Arc<ServerConfig>,
    pub tls12: Arc<ServerConfig>,
    pub tls13: Arc<ServerConfig>,
}

/// The files that clients are pointed to.
#[derive(Debug, Clone)]
pub struct Files {
    pub ca: PathBuf,
    pub ca_dir: PathBuf,
    pub wrong_ca: PathBuf,
    pub both_ca: PathBuf,
    pub client_cert: PathBuf,
    pub client_key: PathBuf,
    pub client_combined: PathBuf,
    pub wrong_client_combined: PathBuf,
    pub bad_pem: PathBuf,
}

/// Makes all certificates and writes the files into `directory`.
pub fn prepare(directory: &Path) -> io::Result<(Configs, Files)> {
    make(directory).map_err(|error| match error {
        Failure::Io(error) => error,
        Failure::Certificate(text) => io::Error::other(text),
    })
}

enum Failure {
    Io(io::Error),
    Certificate(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        Failure::Io(error)
    }
}

impl From<rcgen::Error> for Failure {
    fn from(error: rcgen::Error) -> Failure {
        Failure::Certificate(error.to_string())
    }
}

impl From<rustls::Error> for Failure {
    fn from(error: rustls::Error) -> Failure {
        Failure::Certificate(error.to_string())
    }
}

fn make(directory: &Path) -> Result<(Configs, Files), Failure> {
    let ca = authority("Local Server CA")?;
    let wrong_ca = authority("Local Server Wrong CA")?;
    let client_ca = authority("Local Server Client CA")?;

    let good = leaf(GOOD_NAMES, Purpose::Server, Some(&ca))?;
    let configs = Configs {
        expired: config(&leaf(GOOD_NAMES, Purpose::ExpiredServer, Some(&ca))?, BOTH_VERSIONS, None)?,
        wrong_host: config(&leaf(&["wrong.example.test"], Purpose::Server, Some(&ca))?, BOTH_VERSIONS, None)?,
        untrusted: config(&leaf(GOOD_NAMES, Purpose::Server, Some(&wrong_ca))?, BOTH_VERSIONS, None)?,
        self_signed: config(&leaf(GOOD_NAMES, Purpose::Server, None)?, BOTH_VERSIONS, None)?,
        client_cert: config(&good, BOTH_VERSIONS, Some(&client_ca))?,
        tls12: config(&good, &[&version::TLS12], None)?,
        tls13: config(&good, &[&version::TLS13], None)?,
        good: config(&good, BOTH_VERSIONS, None)?,
    };

    let client = leaf(&["client.example.test"], Purpose::Client, Some(&client_ca))?;
    let wrong_client = leaf(&["client.example.test"], Purpose::Client, Some(&wrong_ca))?;
    let combined = |leaf: &Leaf| leaf.pem.clone() + &leaf.key.serialize_pem();
    let write = |name: &str, text: &str| -> io::Result<PathBuf> {
        let path = directory.join(name);
        std::fs::write(&path, text)?;
        Ok(path)
    };
    let ca_dir = directory.join("ca");
    std::fs::create_dir(&ca_dir)?;
    write("ca/ca.pem", &ca.pem)?;
    write(&format!("ca/{}.0", openssl_hash(ca.name)), &ca.pem)?;
    let files = Files {
        ca: write("ca.pem", &ca.pem)?,
        ca_dir,
        wrong_ca: write("wrong-ca.pem", &wrong_ca.pem)?,
        both_ca: write("both-ca.pem", &(wrong_ca.pem.clone() + &ca.pem))?,
        client_cert: write("client.pem", &client.pem)?,
        client_key: write("client.key", &client.key.serialize_pem())?,
        client_combined: write("client-combined.pem", &combined(&client))?,
        wrong_client_combined: write("wrong-client-combined.pem", &combined(&wrong_client))?,
        bad_pem: write("bad.pem", "this is no PEM\n")?,
    };
    Ok((configs, files))
}

/// What `openssl x509 -hash` says for a name that is a common name alone: directories of certificates are
/// looked up by it. It is the SHA-1 of the name in a canonical form: lower case, no outer SEQUENCE.
fn openssl_hash(common_name: &str) -> String {
    const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];
    const UTF8_STRING: u8 = 0x0c;
    let element = |tag: u8, content: &[u8]| -> Vec<u8> {
        // Short lengths only: the names are ours.
        let mut out = vec![tag, content.len() as u8];
        out.extend_from_slice(content);
        out
    };
    let mut attribute = COMMON_NAME.to_vec();
    attribute.extend(element(UTF8_STRING, common_name.to_lowercase().as_bytes()));
    let hash = Sha1::digest(element(0x31, &element(0x30, &attribute)));
    format!("{:08x}", u32::from_le_bytes([hash[0], hash[1], hash[2], hash[3]]))
}
