//! Small proxies: http, https and SOCKS, good ones and bad ones.

mod http;
mod socks;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;

use crate::state::lock;

pub const USER: &str = "user";
pub const PASSWORD: &str = "pass";

/// How a proxy behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Http,
    HttpAuth,
    /// Wants digest credentials.
    HttpDigest,
    /// The same, and closes the connection on which it has asked for them, without saying that it will.
    HttpDigestClose,
    /// Stops inside its answer.
    HttpStall,
    Http502,
    /// Closes once it has read a request.
    HttpClose,
    HttpGarbage,
    /// Accepts and never says anything.
    Silent,
    Socks4,
    Socks4Refuse,
    Socks5,
    Socks5Auth,
    Socks5Stall,
    Socks5Refuse,
}

/// What a proxy has seen.
#[derive(Debug)]
pub struct ProxyStats {
    pub name: &'static str,
    kind: Kind,
    tls: bool,
    connections: AtomicU64,
    requests: AtomicU64,
    connect: AtomicU64,
    forward: AtomicU64,
    auth_refused: AtomicU64,
    by_name: AtomicU64,
    by_address: AtomicU64,
    last: Mutex<(String, String)>,
}

impl ProxyStats {
    fn new(name: &'static str, kind: Kind, tls: bool) -> ProxyStats {
        ProxyStats {
            name,
            kind,
            tls,
            connections: AtomicU64::new(0),
            requests: AtomicU64::new(0),
            connect: AtomicU64::new(0),
            forward: AtomicU64::new(0),
            auth_refused: AtomicU64::new(0),
            by_name: AtomicU64::new(0),
            by_address: AtomicU64::new(0),
            last: Mutex::default(),
        }
    }

    pub fn connections(&self) -> u64 {
        self.connections.load(Relaxed)
    }

    pub fn requests(&self) -> u64 {
        self.requests.load(Relaxed)
    }

    pub fn connects(&self) -> u64 {
        self.connect.load(Relaxed)
    }

    pub fn forwards(&self) -> u64 {
        self.forward.load(Relaxed)
    }

    /// How many targets came as a name, and how many as an address.
    pub fn by_name_and_address(&self) -> (u64, u64) {
        (self.by_name.load(Relaxed), self.by_address.load(Relaxed))
    }

    pub fn last_target(&self) -> String {
        lock(&self.last).0.clone()
    }

    pub fn last_head(&self) -> String {
        lock(&self.last).1.clone()
    }

    fn saw(&self, host: &str, port: u16, head: String) {
        let is_address = host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if is_address { &self.by_address } else { &self.by_name }.fetch_add(1, Relaxed);
        *lock(&self.last) = (format!("{host}:{port}"), head);
    }

    pub fn to_json(&self) -> Value {
        let (target, head) = lock(&self.last).clone();
        json!({
            "connections": self.connections(),
            "requests": self.requests(),
            "connect": self.connects(),
            "forward": self.forwards(),
            "auth_refused": self.auth_refused.load(Relaxed),
            "by_name": self.by_name.load(Relaxed),
            "by_address": self.by_address.load(Relaxed),
            "last_target": target,
            "last_head": head,
        })
    }
}

/// Every proxy there is.
pub fn all() -> Vec<Arc<ProxyStats>> {
    [
        ("http", Kind::Http),
        ("http-auth", Kind::HttpAuth),
        ("digest", Kind::HttpDigest),
        ("digest-close", Kind::HttpDigestClose),
        ("silent", Kind::Silent),
        ("stall", Kind::HttpStall),
        ("502", Kind::Http502),
        ("close", Kind::HttpClose),
        ("garbage", Kind::HttpGarbage),
        ("socks4", Kind::Socks4),
        ("socks4-refuse", Kind::Socks4Refuse),
        ("socks5", Kind::Socks5),
        ("socks5-auth", Kind::Socks5Auth),
        ("socks5-silent", Kind::Silent),
        ("socks5-stall", Kind::Socks5Stall),
        ("socks5-refuse", Kind::Socks5Refuse),
    ]
    .into_iter()
    .map(|(name, kind)| ProxyStats::new(name, kind, false))
    .chain([ProxyStats::new("https", Kind::Http, true)])
    .map(Arc::new)
    .collect()
}

pub async fn serve(listener: TcpListener, stats: Arc<ProxyStats>, config: Arc<ServerConfig>) {
    let acceptor = stats.tls.then(|| TlsAcceptor::from(config));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(Duration::from_millis(10)).await;
            continue;
        };
        stats.connections.fetch_add(1, Relaxed);
        let _ = stream.set_nodelay(true);
        let (stats, acceptor) = (Arc::clone(&stats), acceptor.clone());
        tokio::spawn(async move {
            // Whatever goes wrong shows at the client's end.
            let _ = match acceptor {
                None => converse(stream, &stats).await,
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => converse(stream, &stats).await,
                    Err(error) => Err(error),
                },
            };
        });
    }
}

async fn converse<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, stats: &ProxyStats) -> io::Result<()> {
    match stats.kind {
        Kind::Silent => silence(&mut stream).await,
        Kind::Socks4 | Kind::Socks4Refuse => socks::version4(stream, stats).await,
        Kind::Socks5 | Kind::Socks5Auth | Kind::Socks5Stall | Kind::Socks5Refuse => {
            socks::version5(stream, stats).await
        }
        _ => http::converse(stream, stats).await,
    }
}

/// Reads until the client closes, and says nothing.
async fn silence(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while stream.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// Connects to a target. Names of tests are this machine, whatever the resolver thinks.
async fn reach(host: &str, port: u16) -> io::Result<TcpStream> {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let stream = if host.ends_with(".test") || host == "localhost" {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?
    } else {
        TcpStream::connect((host, port)).await?
    };
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

fn basic_credentials() -> String {
    BASE64_STANDARD.encode(format!("{USER}:{PASSWORD}"))
}
