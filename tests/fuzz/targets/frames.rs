//! Frames of HTTP/2 on a connection with one or two requests.
//!
//! The first byte of the input says what was asked and how the connection ends (1: the requests are HEAD; 2: they have a
//! body that is longer than the window; 4: there are two of them; 8: it is reset in the place of a close), the second one into
//! which pieces all is cut. Behind these stands what the server sends.
//!
//! Every request ends. However the frames arrive, a response has the same head and its body begins alike; a body that ends
//! well is as long as was announced. Nothing takes more memory than the windows and what a head may take.

use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, LazyLock};

use http::Request;
use requests_futures::future::control::Control;
use requests_futures::http::adapter::AdapterSettings;
use requests_futures::http::body::Outlet;
use requests_futures::http::channel::Channel;
use requests_futures::http::http2::{Http2, Opened, Stream};
use requests_futures::http::pool::{Pool, Turn};
use requests_futures::http::route::{Protocol, Route, Via};
use requests_futures::http::sharing::Dialed;
use requests_futures::http::socket::{Limits, Socket, Step};
use requests_futures::message::error::{Error, ErrorKind};
use requests_futures::message::peer::Peer as Facts;
use requests_futures::message::reach::Dialing;

use super::memory;
use super::response::{cut, starts};
use super::wire::{self, Ending};

/// What a connection takes, however little arrives: buffers, tables, and heads that came before anybody looked.
const FIXED: usize = 32 * 1024 * 1024;

/// Longer than the window that a server has to begin with.
const LONG: usize = 100_000;

static ROUTE: LazyLock<Arc<Route>> = LazyLock::new(|| {
    Arc::new(Route {
        secure: false,
        host: "h.example".into(),
        port: 80,
        via: Via::Direct,
        tls: None,
        server_name: None,
        dialing: Dialing::default(),
        login: None,
        protocol: Protocol::Http2,
    })
});

/// Of a request that was answered: status, announced length, and what came of the body.
type Answered = Option<(u16, Option<u64>, Vec<u8>)>;

fn limits(control: &Control) -> Limits<'_> {
    Limits {
        control,
        silence: None,
        connect: None,
        step: Step::Head,
        peer: &"h.example",
        progress: None,
        pace: None,
    }
}

fn kind(error: io::Error) -> ErrorKind {
    Error::from_io(error).expect("an error of ours").kind()
}

fn outcome(opened: Opened) -> Answered {
    let Opened { status, length, body: mut receiver, .. } = opened;
    let mut body = Vec::new();
    let failure = receiver.read_to_end(&mut body).err().map(kind);
    if failure.is_none() {
        assert!(length.is_none_or(|length| length == body.len() as u64), "{length:?}, {} bytes", body.len());
    }
    // It stays as it is.
    let again = receiver.read(&mut [0; 9]);
    assert_eq!(again.map_err(kind), failure.map_or(Ok(0), Err));
    Some((status, length, body))
}

/// What becomes of the requests.
fn exchange<'a>(how: u8, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Answered> {
    let (head_only, has_body) = (how & 1 != 0, how & 2 != 0);
    let (ours, mut theirs) = UnixStream::pair().expect("a pair of sockets");
    // There is always something to be received, as far as poll(2) knows.
    theirs.write_all(b"x").expect("room for a byte");
    let descriptor = OwnedFd::from(ours);
    let peer = wire::play_on(&descriptor);
    peer.send(pieces, if how & 8 != 0 { Ending::Reset } else { Ending::Closed });
    let settings = AdapterSettings { pool_connections: 1, pool_maxsize: 1, ..AdapterSettings::default() };
    let (pool, control) = (Pool::new(settings), Arc::<Control>::default());
    let limits = limits(&control);
    let http2 =
        Http2::new(Channel::new(Socket::from(descriptor)), Facts::default(), &limits).expect("a preface");
    let mut streams = Vec::new();
    for number in 0..1 + (how >> 2 & 1) {
        let (_, lease) = pool.take(Turn::Free, &ROUTE, true);
        pool.dialed(&ROUTE, false, Dialed::Http2(&http2));
        http2.begin();
        let mut request = Request::new(());
        *request.uri_mut() = format!("http://h.example/{number}").parse().expect("a URL");
        *request.method_mut() = match (has_body, head_only) {
            (true, _) => http::Method::POST,
            (false, true) => http::Method::HEAD,
            (false, false) => http::Method::GET,
        };
        let length = Some(if has_body { LONG as u64 } else { 0 });
        let opened = Stream::open(http2.clone(), lease, None, control.clone(), request, length, &limits);
        streams.push(opened.ok());
    }
    let body = vec![b'b'; LONG];
    let outcomes = streams.into_iter().map(|stream| {
        let mut stream = stream?;
        if has_body && stream.send(&[&body], &limits).is_err() {
            return None;
        }
        stream.receive(&limits, None, head_only).ok().and_then(outcome)
    });
    let outcomes: Vec<_> = outcomes.collect();
    drop((http2, pool));
    drop((peer, theirs));
    outcomes
}

pub fn frames(data: &[u8]) {
    let [how, by, sent @ ..] = data else { return };
    let most = FIXED + 100 * sent.len();
    let whole = memory::within(most, || exchange(*how, std::iter::once(sent)));
    let in_pieces = memory::within(most, || exchange(*how, cut(sent, *by)));
    for (whole, in_pieces) in whole.iter().zip(&in_pieces) {
        if let (Some((status, length, body)), Some((other_status, other_length, other_body))) =
            (whole, in_pieces)
        {
            assert_eq!((status, length), (other_status, other_length));
            assert!(starts(body, other_body), "other bytes");
        }
    }
}
