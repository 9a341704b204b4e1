//! Accepting connections and speaking well-behaved HTTP/1.1 on them, or HTTP/2: over TLS as ALPN says, without it as the
//! client begins.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use hyper::http::{Request, Version};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::{ProtocolVersion, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Notify;
use tokio_rustls::TlsAcceptor;

use crate::routes;
use crate::state::{Connection, Listener, Shared};

/// What TLS agreed upon.
#[derive(Debug)]
pub struct TlsFacts {
    pub version: &'static str,
    pub sni: Option<String>,
    pub alpn: Option<String>,
    pub client_cert: bool,
    pub resumed: bool,
}

/// The other end of a connection.
pub struct Peer {
    pub connection: Connection,
    pub origin: String,
    pub tls: Option<TlsFacts>,
    pub shared: Arc<Shared>,
}

impl Peer {
    pub fn scheme(&self) -> &'static str {
        if self.tls.is_some() { "https" } else { "http" }
    }
}

/// How a listener treats its connections.
#[derive(Clone)]
pub struct Manner {
    pub shared: Arc<Shared>,
    pub listener: Arc<Listener>,
    pub tls: Option<Arc<ServerConfig>>,
    /// Close a connection that has been silent for so long after an answer.
    pub idle: Option<Duration>,
}

pub async fn serve_tcp(listener: TcpListener, manner: Manner) {
    loop {
        // Accepting fails when descriptors run out; that passes when connections end.
        let Ok((stream, address)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _ = stream.set_nodelay(true);
        tokio::spawn(connection(stream, address.ip().to_string(), manner.clone()));
    }
}

pub async fn serve_unix(listener: UnixListener, manner: Manner) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        tokio::spawn(connection(stream, "unix".to_owned(), manner.clone()));
    }
}

async fn connection<S>(stream: S, origin: String, manner: Manner)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let connection = manner.listener.accepted();
    let shared = manner.shared;
    let Some(config) = manner.tls else {
        return speak(stream, Peer { connection, origin, tls: None, shared }, manner.idle).await;
    };
    // A failed handshake is the client's business.
    let Ok(stream) = TlsAcceptor::from(config).accept(stream).await else { return };
    let session = stream.get_ref().1;
    let facts = TlsFacts {
        version: match session.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
            Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
            _ => "unknown",
        },
        sni: session.server_name().map(str::to_owned),
        alpn: session.alpn_protocol().map(|name| String::from_utf8_lossy(name).into_owned()),
        client_cert: session.peer_certificates().is_some(),
        resumed: session.handshake_kind() == Some(rustls::HandshakeKind::Resumed),
    };
    speak(stream, Peer { connection, origin, tls: Some(facts), shared }, manner.idle).await;
}

async fn speak<S>(stream: S, peer: Peer, idle: Option<Duration>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let answers = Arc::new(Answers::default());
    let given = Arc::clone(&answers);
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let peer = Arc::clone(&peer);
        let answers = idle.map(|_| Arc::clone(&given));
        async move {
            peer.connection.count_request();
            if request.version() == Version::HTTP_2 && request.uri().path() == "/http1-only" {
                return Err(h2::Error::from(h2::Reason::HTTP_1_1_REQUIRED));
            }
            let response = routes::answer(&peer, request).await;
            if let Some(answers) = answers {
                answers.given.fetch_add(1, Relaxed);
                answers.news.notify_one();
            }
            Ok(response)
        }
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().title_case_headers(true).header_read_timeout(None).max_buf_size(1 << 20);
    builder.http2().max_header_list_size(1 << 20);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let Some(idle) = idle else {
        // However it ends, the client has noticed.
        let _ = connection.await;
        return;
    };
    tokio::select! {
        _ = &mut connection => return,
        () = answers.silence(idle) => connection.as_mut().graceful_shutdown(),
    }
    let _ = connection.await;
}

/// Tells when a connection has been idle.
#[derive(Default)]
struct Answers {
    given: AtomicU64,
    news: Notify,
}

impl Answers {
    /// Ends when an answer was given and no other one within `idle`.
    async fn silence(&self, idle: Duration) {
        self.news.notified().await;
        loop {
            let before = self.given.load(Relaxed);
            tokio::time::sleep(idle).await;
            if self.given.load(Relaxed) == before {
                return;
            }
        }
    }
}
