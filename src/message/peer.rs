//! Whom a response came from: what is known of the connection that it came over.

use std::net::SocketAddr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::message::terminated::Terminated;

/// One end of a connection, and the other. There is one of it for all responses of a connection.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Peer {
    /// None: not by TCP.
    pub remote: Option<SocketAddr>,
    pub local: Option<SocketAddr>,
    /// With the server; None: there is none.
    pub tls: Option<Box<TlsFacts>>,
    /// The addresses as text, once somebody has asked.
    #[serde(skip)]
    shown: [OnceLock<Terminated>; 2],
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TlsFacts {
    pub version: Terminated,
    pub cipher: Terminated,
    /// The peer's chain, its own first.
    pub certificates: Vec<serde_bytes::ByteBuf>,
}

impl Peer {
    pub fn new(remote: Option<SocketAddr>, local: Option<SocketAddr>, tls: Option<TlsFacts>) -> Peer {
        Peer { remote, local, tls: tls.map(Box::new), shown: Default::default() }
    }

    pub fn remote_text(&self) -> Option<&Terminated> {
        self.remote.map(|address| self.shown[0].get_or_init(|| Terminated::new(address.to_string())))
    }

    pub fn local_text(&self) -> Option<&Terminated> {
        self.local.map(|address| self.shown[1].get_or_init(|| Terminated::new(address.to_string())))
    }
}

/// The version that a response was sent by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HttpVersion {
    Http10,
    Http11,
    Http2,
}

impl HttpVersion {
    /// With a NUL behind it.
    pub fn name(self) -> &'static str {
        match self {
            HttpVersion::Http10 => "HTTP/1.0\0",
            HttpVersion::Http11 => "HTTP/1.1\0",
            HttpVersion::Http2 => "HTTP/2\0",
        }
    }
}
