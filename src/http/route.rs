//! Where a request goes, and what it shares its connections with.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::sync::Arc;

use super::proxy::Proxy;
use super::tls::TlsSettings;
use crate::message::host::Authority;
use crate::message::options::Login;
use crate::message::reach::Dialing;

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    Direct,
    /// This address, whatever the name says.
    Address(IpAddr),
    Unix(String),
    Proxy(Proxy),
}

/// What is spoken with the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    #[default]
    Http1,
    /// HTTP/2 if it takes that.
    Negotiated,
    /// HTTP/2, which it has to take. Not what Negotiated is: what one of the two has learnt of a server says nothing to
    /// the other.
    Demanded,
    /// HTTP/2, as somebody knows.
    Http2,
}

/// What two requests must have in common to use the same connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    pub via: Via,
    /// None where no TLS is spoken.
    pub tls: Option<TlsSettings>,
    /// What the server's certificate is for, where that is not the host.
    pub server_name: Option<Arc<str>>,
    pub dialing: Dialing,
    /// Whose connections they are, where one may have been logged in.
    pub login: Option<Login>,
    pub protocol: Protocol,
}

impl Route {
    /// What the server's certificate is for.
    pub fn name_for_tls(&self) -> &str {
        self.server_name.as_deref().unwrap_or(&self.host)
    }

    /// The proxy that is told the whole URL and forwards the request, where one does.
    pub fn forward(&self) -> Option<&Proxy> {
        match &self.via {
            Via::Proxy(proxy) if !self.secure && !proxy.scheme.is_socks() => Some(proxy),
            _ => None,
        }
    }
}

/// Whom a request speaks with, as messages name it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(proxy) = self.forward() {
            return write!(f, "proxy {}", proxy.shown());
        }
        match &self.via {
            Via::Direct | Via::Address(_) => Authority(&self.host, self.port).fmt(f),
            Via::Unix(path) => write!(f, "the Unix socket {path}"),
            Via::Proxy(proxy) => {
                write!(f, "{} through proxy {}", Authority(&self.host, self.port), proxy.shown())
            }
        }
    }
}

// What tells routes apart is nearly always the host and the port. The table of routes is as small as the settings
// say, so it needs no hash that a stranger could not foresee.
impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mix = |hash: u64, byte: u64| (hash ^ byte).wrapping_mul(0x0100_0000_01B3);
        let seed = mix(0xCBF2_9CE4_8422_2325, u64::from(self.port));
        state.write_u64(self.host.bytes().fold(seed, |hash, byte| mix(hash, byte.into())));
    }
}

/// Returns the hash that [`Route`] computes of itself.
#[derive(Default)]
pub struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        // The table looks at the uppermost bits as well as at the lowest.
        self.0 ^ self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}
