//! What few requests say of how a server is reached: of TLS, and of connections.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::message::options::{either, shared_bytes};

/// Bytes that are nobody else's affair: a key, a password. Shared, however often what holds them is copied.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Hidden(#[serde(with = "shared_bytes")] Arc<[u8]>);

impl Hidden {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Hidden {
    fn from(bytes: &[u8]) -> Hidden {
        Hidden(bytes.into())
    }
}

impl From<&str> for Hidden {
    fn from(text: &str) -> Hidden {
        Hidden(text.as_bytes().into())
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0.len())
    }
}

/// What the client shows a server that asks who it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Certificate {
    /// PEM files. No key: it stands in the same file.
    Files { cert: String, key: Option<String> },
    /// PEM. No key: it stands in the same text.
    Pem { cert: Hidden, key: Option<Hidden> },
    /// A PKCS#12 file, with its password.
    Pkcs12 { path: String, password: Option<Hidden> },
}

impl Certificate {
    /// The files that it is in.
    pub fn paths(&self) -> impl Iterator<Item = &String> {
        let (first, second) = match self {
            Certificate::Files { cert, key } => (Some(cert), key.as_ref()),
            Certificate::Pkcs12 { path, .. } => (Some(path), None),
            Certificate::Pem { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    pub fn paths_mut(&mut self) -> impl Iterator<Item = &mut String> {
        let (first, second) = match self {
            Certificate::Files { cert, key } => (Some(cert), key.as_mut()),
            Certificate::Pkcs12 { path, .. } => (Some(path), None),
            Certificate::Pem { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    Tls12,
    Tls13,
}

/// From which version to which; None: the library's own bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TlsVersions {
    pub lowest: Option<TlsVersion>,
    pub highest: Option<TlsVersion>,
}

impl TlsVersions {
    pub fn allow(&self, version: TlsVersion) -> bool {
        self.lowest.is_none_or(|lowest| lowest <= version)
            && self.highest.is_none_or(|highest| version <= highest)
    }
}

/// The SHA-256 of a public key, as it stands in a certificate.
pub type Pin = [u8; 32];

/// Of which kind the addresses are that are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum IpVersion {
    #[default]
    Any,
    V4,
    V6,
}

/// Which version of HTTP a request goes by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpChoice {
    #[default]
    Http11,
    /// Over TLS HTTP/2 where the server wants it.
    Auto,
    /// HTTP/2 or none, over TLS.
    Http2,
    /// HTTP/2 without asking the server.
    PriorKnowledge,
}

/// How TCP finds out that the other side is gone, in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeepAlive {
    /// So long nothing has come.
    pub idle: u16,
    /// None: as the system has it.
    pub interval: Option<u16>,
    pub count: Option<u8>,
}

/// How connections are made: what sockets are told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dialing {
    pub ip_version: IpVersion,
    /// An address of this machine, or the name of an interface.
    pub local_address: Option<Arc<str>>,
    /// None: as the system has it. An inner None: not at all.
    pub keepalive: Option<Option<KeepAlive>>,
}

/// Every field is unset until somebody sets it. An inner None takes back what the set below says.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reach {
    pub tls_versions: Option<TlsVersions>,
    pub ca_pem: Option<Option<Hidden>>,
    pub key_password: Option<Option<Hidden>>,
    pub pinned_keys: Option<Option<Arc<[Pin]>>>,
    pub server_name: Option<Option<Arc<str>>>,
    pub ip_version: Option<IpVersion>,
    pub local_address: Option<Option<Arc<str>>>,
    /// Here an inner None is what it says.
    pub keepalive: Option<Option<KeepAlive>>,
    pub no_proxy: Option<Option<Arc<str>>>,
    pub http: Option<HttpChoice>,
}

impl Reach {
    /// This laid over `base`.
    pub fn over(&self, base: &Reach) -> Reach {
        Reach {
            tls_versions: self.tls_versions.or(base.tls_versions),
            ca_pem: either(&self.ca_pem, &base.ca_pem),
            key_password: either(&self.key_password, &base.key_password),
            pinned_keys: either(&self.pinned_keys, &base.pinned_keys),
            server_name: either(&self.server_name, &base.server_name),
            ip_version: self.ip_version.or(base.ip_version),
            local_address: either(&self.local_address, &base.local_address),
            keepalive: self.keepalive.or(base.keepalive),
            no_proxy: either(&self.no_proxy, &base.no_proxy),
            http: self.http.or(base.http),
        }
    }

    pub fn dialing(&self) -> Dialing {
        Dialing {
            ip_version: self.ip_version.unwrap_or_default(),
            local_address: self.local_address.clone().flatten(),
            keepalive: self.keepalive,
        }
    }

    /// For a session's defaults: what takes something out has done so, and goes. None: nothing is left.
    pub fn settle(self) -> Option<Reach> {
        let settled = Reach {
            tls_versions: self.tls_versions.filter(|versions| *versions != TlsVersions::default()),
            ca_pem: self.ca_pem.filter(Option::is_some),
            key_password: self.key_password.filter(Option::is_some),
            pinned_keys: self.pinned_keys.filter(Option::is_some),
            server_name: self.server_name.filter(Option::is_some),
            ip_version: self.ip_version.filter(|version| *version != IpVersion::Any),
            local_address: self.local_address.filter(Option::is_some),
            keepalive: self.keepalive,
            no_proxy: self.no_proxy.filter(Option::is_some),
            http: self.http.filter(|choice| *choice != HttpChoice::default()),
        };
        (settled != Reach::default()).then_some(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_back_is_gone_from_a_session() {
        let base = Reach { server_name: Some(Some("a".into())), ..Reach::default() };
        let versions = TlsVersions { lowest: Some(TlsVersion::Tls13), highest: None };
        let over = Reach { tls_versions: Some(versions), server_name: Some(None), ..Reach::default() };
        let settled = over.over(&base).settle();
        assert_eq!(settled, Some(Reach { tls_versions: Some(versions), ..Reach::default() }));
        let over = Reach { tls_versions: Some(TlsVersions::default()), ..Reach::default() };
        assert_eq!(over.over(&settled.unwrap()).settle(), None);
    }

    #[test]
    fn what_is_secret_is_not_shown() {
        let certificate = Certificate::Pkcs12 { path: "p".into(), password: Some("secret".into()) };
        assert!(!format!("{certificate:?}").contains("secret"));
    }
}
