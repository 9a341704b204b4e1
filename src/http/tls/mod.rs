//! TLS: what a request asks of it, the configuration that comes of that, and the handshake.

mod certificates;
mod der;
mod encrypted;
mod failure;
mod key_log;
mod p521;
pub mod pkcs12;
mod verify;
mod x509;

use std::borrow::Cow;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rustls::client::Resumption;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection, ProtocolVersion, SupportedProtocolVersion};

use self::certificates::{Roots, Stamp, is_passing, load_pair, load_roots, names_of};
use self::encrypted::aside;
pub use self::failure::{Phase, failure};
use self::key_log::KeyLog;
use self::verify::Verifier;
use super::socket::Limits;
use crate::future::monitor::Monitor;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::Options;
use crate::message::peer::TlsFacts;
use crate::message::reach::{Certificate, Hidden, Pin, TlsVersion, TlsVersions};
use crate::message::terminated::Terminated;
use crate::system::environment::Environment;
use crate::system::fiber;
use crate::system::fork::PerProcess;

/// The TLS settings of a request. Connections are pooled by them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TlsSettings {
    pub verify: bool,
    /// A PEM file or a directory of them. Without this and the next one: the system's roots.
    pub ca_bundle: Option<String>,
    pub ca_pem: Option<Hidden>,
    pub certificate: Option<Certificate>,
    /// Of the certificate's key.
    pub key_password: Option<Hidden>,
    pub versions: TlsVersions,
    /// The server has one of these keys.
    pub pinned_keys: Option<Arc<[Pin]>>,
    /// Where secrets are written to, for those who look at what goes over the wire.
    pub key_log: Option<PathBuf>,
    /// HTTP/2 is offered beside HTTP/1.1.
    pub offers_http2: bool,
}

impl TlsSettings {
    /// As the options say, and the environment where that is trusted.
    pub fn of(options: &Options, environment: Option<&Environment>) -> TlsSettings {
        let verify = options.verify.unwrap_or(true);
        let reach = options.reach.as_deref();
        let ca_pem = reach.and_then(|reach| reach.ca_pem.clone().flatten());
        let ca_bundle = match &options.ca_bundle {
            Some(chosen) => chosen.clone(),
            None if !verify || ca_pem.is_some() => None,
            None => {
                environment.and_then(Environment::ca_bundle).map(|path| path.to_string_lossy().into_owned())
            }
        };
        TlsSettings {
            verify,
            ca_bundle,
            ca_pem,
            certificate: options.certificate.clone().flatten(),
            key_password: reach.and_then(|reach| reach.key_password.clone().flatten()),
            versions: reach.and_then(|reach| reach.tls_versions).unwrap_or_default(),
            pinned_keys: reach.and_then(|reach| reach.pinned_keys.clone().flatten()),
            key_log: environment.and_then(|environment| environment.ssl_key_log_file.clone()),
            offers_http2: false,
        }
    }

    /// Those for a proxy, which has a key of its own, and speaks HTTP/1.1.
    pub fn of_proxy(&self) -> Cow<'_, TlsSettings> {
        match &self.pinned_keys {
            None if !self.offers_http2 => Cow::Borrowed(self),
            _ => Cow::Owned(TlsSettings { pinned_keys: None, offers_http2: false, ..self.clone() }),
        }
    }

    /// The same without HTTP/2.
    pub fn of_http1(&self) -> Cow<'_, TlsSettings> {
        match self.offers_http2 {
            false => Cow::Borrowed(self),
            true => Cow::Owned(TlsSettings { offers_http2: false, ..self.clone() }),
        }
    }

    /// The files that are read for them.
    fn files(&self) -> impl Iterator<Item = &str> {
        let certificate = self.certificate.iter().flat_map(Certificate::paths);
        self.ca_bundle.iter().chain(certificate).map(String::as_str)
    }
}

/// How one kind of TLS connection is made.
#[derive(Debug)]
pub struct TlsConfig {
    client: Arc<ClientConfig>,
    verifier: Arc<Verifier>,
}

/// Configurations made so far. Each keeps the sessions that its connections can resume. Of those that programs make out of
/// certificates that they renew the ones used last are kept.
#[derive(Default)]
pub struct TlsConfigs {
    /// Notified when one has been made, or was not.
    known: Monitor<HashMap<TlsSettings, Known>>,
}

/// So many configurations are kept.
const MOST: usize = 64;

#[derive(Default)]
struct Known {
    made: Option<Arc<Made>>,
    /// When its files were looked at last.
    looked_at: Option<Instant>,
    /// Somebody makes it, or looks at its files.
    busy: bool,
    used_at: Option<Instant>,
}

struct Made {
    config: Arc<TlsConfig>,
    /// What its files were before they were read.
    stamps: Vec<Stamp>,
}

/// How long the files of a configuration are taken for unchanged.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl TlsConfigs {
    /// The configuration for these settings, made of what their files say now. Files may be slow to read: that holds up
    /// only those who need them, and each for no longer than its own limits.
    pub fn get(&self, settings: &TlsSettings, limits: &Limits) -> Result<Arc<TlsConfig>, Error> {
        let mut known = self.known.lock();
        let before = loop {
            let Some(entry) = known.get_mut(settings) else { break None };
            entry.used_at = Some(Instant::now());
            match &entry.made {
                Some(made) if entry.busy || !entry.is_due(settings) => return Ok(made.config.clone()),
                made if !entry.busy => break made.clone(),
                _ => known = known.wait(limits.next_look()?),
            }
        };
        let gone = if known.contains_key(settings) { None } else { make_room(&mut known) };
        let entry = known.entry(settings.clone()).or_default();
        (entry.busy, entry.used_at) = (true, Some(Instant::now()));
        drop(known);
        drop(gone);
        let mut turn = Turn { configs: self, settings, made: before };
        let stamps = settings.files().map(|path| Stamp::of(Path::new(path))).collect();
        if let Some(made) = turn.made.as_ref().filter(|made| made.stamps == stamps) {
            return Ok(made.config.clone());
        }
        match build(settings, limits) {
            Ok(config) => {
                let config = Arc::new(config);
                turn.made = Some(Arc::new(Made { config: config.clone(), stamps }));
                Ok(config)
            }
            Err(error) => {
                // Files that say nothing of use now: the next request reads them again.
                turn.made = turn.made.take().filter(|_| error.kind() != ErrorKind::Ssl);
                Err(error)
            }
        }
    }
}

/// Where there are as many as may be, the one that was not used for longest goes.
fn make_room(known: &mut HashMap<TlsSettings, Known>) -> Option<Known> {
    if known.len() < MOST {
        return None;
    }
    let unused = known.iter().filter(|(_, entry)| !entry.busy);
    let oldest = unused.min_by_key(|(_, entry)| entry.used_at).map(|(settings, _)| settings.clone())?;
    known.remove(&oldest)
}

impl Known {
    fn is_due(&self, settings: &TlsSettings) -> bool {
        settings.files().next().is_some() && self.looked_at.is_none_or(|then| then.elapsed() >= LOOK_EVERY)
    }
}

/// The turn to make a configuration. It ends with what there is then, however it ends.
struct Turn<'a> {
    configs: &'a TlsConfigs,
    settings: &'a TlsSettings,
    made: Option<Arc<Made>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let mut known = self.configs.known.lock();
        match self.made.take() {
            None => drop(known.remove(self.settings)),
            made => {
                if let Some(entry) = known.get_mut(self.settings) {
                    *entry =
                        Known { made, looked_at: Some(Instant::now()), busy: false, used_at: entry.used_at };
                }
            }
        }
        known.notify_all();
    }
}

static PROVIDER: PerProcess<Arc<CryptoProvider>> = PerProcess::new(|_| {
    let mut provider = rustls::crypto::ring::default_provider();
    provider.signature_verification_algorithms = p521::added_to(provider.signature_verification_algorithms);
    Arc::new(provider)
});

static SYSTEM_ROOTS: PerProcess<OnceLock<Arc<Roots>>> = PerProcess::new(|_| OnceLock::new());

/// The system's roots, or Mozilla's where the system has none. A system that cannot tell at this moment is asked again
/// the next time.
fn system_roots() -> Result<Arc<Roots>, Error> {
    if let Some(roots) = SYSTEM_ROOTS.get().get() {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = Roots::of(found.certs);
    if roots.authorities.is_empty() {
        for error in &found.errors {
            if let rustls_native_certs::ErrorKind::Io { inner, .. } = &error.kind
                && is_passing(inner)
            {
                return Err(Error::os(ErrorKind::Ssl, "Cannot read the system's certificates", inner));
            }
        }
        roots.authorities.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(SYSTEM_ROOTS.get().get_or_init(|| Arc::new(roots)).clone())
}

const VERSIONS: [(TlsVersion, &SupportedProtocolVersion); 2] =
    [(TlsVersion::Tls12, &TLS12), (TlsVersion::Tls13, &TLS13)];

fn build(settings: &TlsSettings, limits: &Limits) -> Result<TlsConfig, Error> {
    let provider = PROVIDER.get();
    let versions: Vec<_> = VERSIONS
        .into_iter()
        .filter(|(version, _)| settings.versions.allow(*version))
        .map(|(_, supported)| supported)
        .collect();
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&versions)
        .map_err(|error| Error::new(ErrorKind::Ssl, format!("No TLS version can be used: {error}")))?;
    let (path, pem) = (settings.ca_bundle.as_deref(), settings.ca_pem.as_ref());
    // A bundle that does not load is an error even where nothing is verified: it was asked for.
    let roots = if path.is_some() || pem.is_some() {
        Some(Arc::new(load_roots(path, pem, limits)?))
    } else if settings.verify {
        // To read them takes a while, which others in the loop need not wait for.
        Some(if fiber::here().is_some() { aside(limits, system_roots)?? } else { system_roots()? })
    } else {
        None
    };
    let roots = roots.filter(|_| settings.verify);
    let pinned = settings.pinned_keys.clone();
    let verifier = Arc::new(Verifier::new(provider.signature_verification_algorithms, roots, pinned));
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier.clone());
    let mut client = match &settings.certificate {
        None => builder.with_no_client_auth(),
        Some(certificate) => {
            let (chain, key) = load_pair(certificate, settings.key_password.as_ref(), limits)?;
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                let (cert, key) = names_of(certificate);
                Error::new(
                    ErrorKind::Ssl,
                    format!("The TLS {cert} and the {key} cannot be used: {}", failure::of_keys(&error)),
                )
            })?
        }
    };
    if let Some(log) = settings.key_log.as_deref().and_then(KeyLog::open) {
        client.key_log = Arc::new(log);
    }
    let protocols: &[&[u8]] = if settings.offers_http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] };
    client.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
    Ok(TlsConfig { client: Arc::new(client), verifier })
}

/// What was agreed on, once hands were shaken.
pub fn facts(connection: &ClientConnection) -> TlsFacts {
    let version = match connection.protocol_version() {
        Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
        Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
        _ => "",
    };
    let suite = connection.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or("");
    // As IANA has it.
    let cipher = suite.replacen("TLS13_", "TLS_", 1);
    let chain = connection.peer_certificates().unwrap_or_default();
    TlsFacts {
        version: Terminated::copy_of(version),
        cipher: Terminated::new(cipher),
        certificates: chain.iter().map(|one| serde_bytes::ByteBuf::from(one.to_vec())).collect(),
    }
}

/// A connection that has yet to shake hands.
pub fn client(config: &TlsConfig, host: &str) -> Result<ClientConnection, rustls::Error> {
    if let Some(name) = server_name(host) {
        return ClientConnection::new(config.client.clone(), name);
    }
    // The resolver knows more names than rustls takes. Such a one is not sent to the server, but the certificate must be
    // for it; and as sessions are kept by the name that stands here for all of them, none is resumed.
    let mut client = ClientConfig::clone(&config.client);
    client.resumption = Resumption::disabled();
    client.dangerous().set_certificate_verifier(Arc::new(config.verifier.for_host(host)));
    ClientConnection::new(Arc::new(client), IpAddr::V6(Ipv6Addr::UNSPECIFIED).into())
}

/// What a certificate must be for: the host, an address without its zone. None: rustls does not take it for a name.
fn server_name(host: &str) -> Option<ServerName<'static>> {
    match host.split_once('%').and_then(|(address, _zone)| address.parse::<Ipv6Addr>().ok()) {
        Some(address) => Some(IpAddr::V6(address).into()),
        None => ServerName::try_from(host.to_owned()).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_that_was_used_last_stays() {
        let mut known = HashMap::new();
        let settings = |name: usize| {
            let options = Options { ca_bundle: Some(Some(name.to_string())), ..Options::default() };
            TlsSettings::of(&options, None)
        };
        let begin = Instant::now();
        for name in 0..MOST {
            assert!(make_room(&mut known).is_none());
            let used_at = Some(begin + Duration::from_secs(((name + 5) % MOST) as u64));
            known.insert(settings(name), Known { used_at, busy: name == MOST - 5, ..Known::default() });
        }
        assert!(make_room(&mut known).is_some());
        // The oldest one is being made.
        assert!(known.contains_key(&settings(MOST - 5)) && !known.contains_key(&settings(MOST - 4)));
    }

    #[test]
    fn a_certificate_is_checked_for_an_address_without_its_zone() {
        let address = |text: &str| ServerName::from(text.parse::<IpAddr>().unwrap());
        for (host, name) in
            [("fe80::1%eth0", "fe80::1"), ("::1%lo", "::1"), ("::1", "::1"), ("127.0.0.1", "127.0.0.1")]
        {
            assert_eq!(server_name(host), Some(address(name)), "{host}");
        }
        assert_eq!(server_name("localhost"), ServerName::try_from("localhost").ok());
        assert_eq!(server_name("foo-.example"), None);
    }
}
