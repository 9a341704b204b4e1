//! Certificates, made anew for each server, and the TLS settings of the listeners.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{
    KeyLog, RootCertStore, ServerConfig, SignatureAlgorithm, SignatureScheme, SupportedProtocolVersion,
    version,
};
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
    /// As `openssl req -x509` makes them: a server's certificate that says it is an authority's.
    AuthorityServer,
    ExpiredAuthorityServer,
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
        _ => ExtendedKeyUsagePurpose::ServerAuth,
    }];
    if matches!(purpose, Purpose::AuthorityServer | Purpose::ExpiredAuthorityServer) {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages.clear();
        params.extended_key_usages.clear();
    }
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = match purpose {
        Purpose::ExpiredServer | Purpose::ExpiredAuthorityServer => date_time_ymd(2020, 6, 1),
        Purpose::Server | Purpose::AuthorityServer | Purpose::Client => date_time_ymd(2045, 1, 1),
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
            roots.add(
                CertificateDer::from_pem_slice(CLIENT_ROOT.as_bytes())
                    .map_err(|error| rustls::Error::General(error.to_string()))?,
            )?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider())
                .build()
                .map_err(|error| rustls::Error::General(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(leaf.key.serialize_der()));
    let mut config = builder.with_single_cert(leaf.chain.clone(), key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn of_http1(config: Arc<ServerConfig>) -> Arc<ServerConfig> {
    let mut config = Arc::unwrap_or_clone(config);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}

// Certificates that are made by no library in this tree, each with its key unless nobody here can sign with it.
const VERSION_1: &str = include_str!("../certificates/version-1.pem");
const ODD_EXTENSION: &str = include_str!("../certificates/odd-extension.pem");
const RSA_1024: &str = include_str!("../certificates/rsa-1024.pem");
const P521_PEM: &str = include_str!("../certificates/p521.pem");
const P521_CA: &str = include_str!("../certificates/p521-ca.pem");
const RSA_PSS: &str = include_str!("../certificates/rsa-pss.pem");
/// Signs the client certificates of `../certificates/client`.
const CLIENT_ROOT: &str = include_str!("../certificates/client/ca.pem");

/// A key under the name of another kind of signature.
#[derive(Debug)]
struct Renamed {
    key: Arc<dyn SigningKey>,
    signs: SignatureScheme,
    says: SignatureScheme,
}

#[derive(Debug)]
struct RenamedSigner(Box<dyn Signer>, SignatureScheme);

impl SigningKey for Renamed {
    fn choose_scheme(&self, _offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        Some(Box::new(RenamedSigner(self.key.choose_scheme(&[self.signs])?, self.says)))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::RSA
    }
}

impl Signer for RenamedSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        self.0.sign(message)
    }

    fn scheme(&self) -> SignatureScheme {
        self.1
    }
}

fn key_of(pem: &str) -> Result<Arc<dyn SigningKey>, Failure> {
    Ok(ring::sign::any_supported_type(&PrivateKeyDer::from_pem_slice(pem.as_bytes())?)?)
}

/// A key on P-521, which the provider cannot sign with.
#[derive(Clone, Debug)]
struct P521(p521::ecdsa::SigningKey);

impl SigningKey for P521 {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&SignatureScheme::ECDSA_NISTP521_SHA512)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }
}

impl Signer for P521 {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signature: p521::ecdsa::DerSignature = p521::ecdsa::signature::Signer::sign(&self.0, message);
        Ok(signature.as_bytes().to_vec())
    }

    fn scheme(&self) -> SignatureScheme {
        SignatureScheme::ECDSA_NISTP521_SHA512
    }
}

/// A server with these very things, whether they fit together or not.
fn odd_config(
    certificate: CertificateDer<'static>,
    key: Arc<dyn SigningKey>,
    versions: &[&'static SupportedProtocolVersion],
) -> Result<Arc<ServerConfig>, Failure> {
    let certified = CertifiedKey::new(vec![certificate], key);
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(versions)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The settings of the listeners whose certificates only some clients take, by the names of these.
fn odd_configs() -> Result<Vec<(&'static str, Arc<ServerConfig>)>, Failure> {
    let certificate = |pem: &str| CertificateDer::from_pem_slice(pem.as_bytes());
    let garbage = CertificateDer::from(b"this is no certificate".to_vec());
    // A signature that nobody can check: the length of the key forbids it.
    let rsa_1024 = Arc::new(Renamed {
        key: key_of(VERSION_1)?,
        signs: SignatureScheme::ECDSA_NISTP256_SHA256,
        says: SignatureScheme::RSA_PSS_SHA256,
    });
    let rsa_pss = Arc::new(Renamed {
        key: key_of(RSA_PSS)?,
        signs: SignatureScheme::RSA_PSS_SHA256,
        // rsa_pss_pss_sha256 of RFC 8446.
        says: SignatureScheme::Unknown(0x0809),
    });
    let key = P521_PEM.find("-----BEGIN PRIVATE KEY").map(|at| &P521_PEM[at..]).unwrap_or_default();
    let key = <p521::ecdsa::SigningKey as p521::pkcs8::DecodePrivateKey>::from_pkcs8_pem(key)
        .map_err(|error| Failure::Certificate(error.to_string()))?;
    let p521 = Arc::new(P521(key));
    let tls12: &[&SupportedProtocolVersion] = &[&version::TLS12];
    let tls13: &[&SupportedProtocolVersion] = &[&version::TLS13];
    Ok(vec![
        ("version-1", odd_config(certificate(VERSION_1)?, key_of(VERSION_1)?, tls13)?),
        ("version-1-tls12", odd_config(certificate(VERSION_1)?, key_of(VERSION_1)?, tls12)?),
        ("odd-extension", odd_config(certificate(ODD_EXTENSION)?, key_of(ODD_EXTENSION)?, BOTH_VERSIONS)?),
        ("rsa-1024", odd_config(certificate(RSA_1024)?, rsa_1024, BOTH_VERSIONS)?),
        ("rsa-pss", odd_config(certificate(RSA_PSS)?, rsa_pss, tls13)?),
        ("p521", odd_config(certificate(P521_PEM)?, p521.clone(), tls13)?),
        ("p521-tls12", odd_config(certificate(P521_PEM)?, p521, tls12)?),
        ("garbage", odd_config(garbage, key_of(VERSION_1)?, BOTH_VERSIONS)?),
        ("wrong-key", odd_config(certificate(VERSION_1)?, key_of(ODD_EXTENSION)?, tls13)?),
        ("wrong-key-tls12", odd_config(certificate(ODD_EXTENSION)?, key_of(VERSION_1)?, tls12)?),
    ])
}

/// Writes a certificate in OpenSSL's trusted form, which ends with what it may be used for.
fn trusted_form(certificate: &CertificateDer, auxiliary: &[u8]) -> String {
    let der = [certificate.as_ref(), auxiliary].concat();
    let lines: Vec<String> = base64::engine::general_purpose::STANDARD
        .encode(der)
        .as_bytes()
        .chunks(64)
        .map(|line| String::from_utf8_lossy(line).into_owned())
        .collect();
    let label = "TRUSTED CERTIFICATE";
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}

/// The purpose of servers (1.3.6.1.5.5.7.3.1), allowed and rejected.
const FOR_SERVERS: &[u8] = b"\x30\x0c\x30\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";
const NOT_FOR_SERVERS: &[u8] = b"\x30\x0c\xa0\x0a\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01";

/// The secrets of connections, as the server has them: a client that writes them down has to have the same.
#[derive(Debug)]
struct Secrets(File);

impl KeyLog for Secrets {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let digits = |octets: &[u8]| octets.iter().map(|octet| format!("{octet:02x}")).collect::<String>();
        let line = format!("{label} {} {}\n", digits(client_random), digits(secret));
        // Nobody could be told of a failure but by what is missing.
        let _ = (&self.0).write_all(line.as_bytes());
    }
}

/// The settings of every TLS listener.
#[derive(Clone)]
pub struct Configs {
    pub good: Arc<ServerConfig>,
    /// The same, of a server that speaks HTTP/1.1 alone.
    pub http1: Arc<ServerConfig>,
    pub expired: Arc<ServerConfig>,
    pub wrong_host: Arc<ServerConfig>,
    pub untrusted: Arc<ServerConfig>,
    pub self_signed: Arc<ServerConfig>,
    pub client_cert: Arc<ServerConfig>,
    pub tls12: Arc<ServerConfig>,
    pub tls13: Arc<ServerConfig>,
    pub odd: Vec<(&'static str, Arc<ServerConfig>)>,
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
    pub server_cert: PathBuf,
    pub server_key: PathBuf,
    pub client_combined: PathBuf,
    pub wrong_client_combined: PathBuf,
    pub bad_pem: PathBuf,
    /// What the server says of the secrets of its connections.
    pub secrets: PathBuf,
    pub trusted_ca: PathBuf,
    pub distrusted_ca: PathBuf,
    /// A certificate for each of the odd listeners that shows one, by its name.
    pub odd: Vec<(&'static str, PathBuf)>,
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

impl From<rustls::pki_types::pem::Error> for Failure {
    fn from(error: rustls::pki_types::pem::Error) -> Failure {
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
    let own = leaf(GOOD_NAMES, Purpose::AuthorityServer, None)?;
    let own_expired = leaf(GOOD_NAMES, Purpose::ExpiredAuthorityServer, None)?;
    let own_others = leaf(
        &["a.example.test", "b.example.test", "c.example.test", "d.example.test"],
        Purpose::AuthorityServer,
        None,
    )?;
    let mut odd = odd_configs()?;
    for (name, own) in [("own", &own), ("own-expired", &own_expired), ("own-others", &own_others)] {
        odd.push((name, config(own, BOTH_VERSIONS, None)?));
    }
    let secrets = directory.join("server-secrets");
    let log = Arc::new(Secrets(File::options().append(true).create_new(true).open(&secrets)?));
    let logged = |config: Arc<ServerConfig>| {
        let mut config = ServerConfig::clone(&config);
        config.key_log = log.clone();
        Arc::new(config)
    };
    let configs = Configs {
        expired: config(&leaf(GOOD_NAMES, Purpose::ExpiredServer, Some(&ca))?, BOTH_VERSIONS, None)?,
        wrong_host: config(&leaf(&["wrong.example.test"], Purpose::Server, Some(&ca))?, BOTH_VERSIONS, None)?,
        untrusted: config(&leaf(GOOD_NAMES, Purpose::Server, Some(&wrong_ca))?, BOTH_VERSIONS, None)?,
        self_signed: config(&leaf(GOOD_NAMES, Purpose::Server, None)?, BOTH_VERSIONS, None)?,
        client_cert: config(&good, BOTH_VERSIONS, Some(&client_ca))?,
        tls12: logged(config(&good, &[&version::TLS12], None)?),
        tls13: logged(config(&good, &[&version::TLS13], None)?),
        http1: of_http1(config(&good, BOTH_VERSIONS, None)?),
        good: config(&good, BOTH_VERSIONS, None)?,
        odd,
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
        server_cert: write("server.pem", &good.pem)?,
        server_key: write("server.key", &good.key.serialize_pem())?,
        client_combined: write("client-combined.pem", &combined(&client))?,
        wrong_client_combined: write("wrong-client-combined.pem", &combined(&wrong_client))?,
        secrets,
        bad_pem: write("bad.pem", "this is no PEM\n")?,
        trusted_ca: write("trusted-ca.pem", &trusted_form(&ca.der, FOR_SERVERS))?,
        distrusted_ca: write("distrusted-ca.pem", &trusted_form(&ca.der, NOT_FOR_SERVERS))?,
        odd: vec![
            ("own", write("own.pem", &own.pem)?),
            ("own-expired", write("own-expired.pem", &own_expired.pem)?),
            ("own-others", write("own-others.pem", &own_others.pem)?),
            ("version-1", write("version-1.pem", VERSION_1)?),
            ("odd-extension", write("odd-extension.pem", ODD_EXTENSION)?),
            ("rsa-pss", write("rsa-pss.pem", RSA_PSS)?),
            ("p521-ca", write("p521-ca.pem", P521_CA)?),
        ],
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
