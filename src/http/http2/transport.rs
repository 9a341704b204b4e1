//! What the h2 crate reads from and writes to: a channel, without ever waiting.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::channel::Channel;
use crate::http::socket::Limits;
use crate::message::error::Error;
use crate::system::lock::Mutex;

/// So much is received in one turn: a peer that sends without end must not keep us from looking at the clock.
const TURN: usize = 512 * 1024;
/// And in so many pieces.
const PIECES: usize = 64;

/// What a transport and who drives it tell each other.
#[derive(Debug, Default)]
pub struct Flow {
    /// Something may be there to be received. Who finds nothing says so.
    may_receive: AtomicBool,
    /// Something could not be sent.
    is_full: AtomicBool,
    /// Anything has come.
    has_heard: AtomicBool,
    /// What came first was an answer of HTTP/1.
    is_http1: AtomicBool,
    bytes_left: AtomicUsize,
    pieces_left: AtomicUsize,
    /// Why the socket is of no use any more: the h2 crate keeps no more of it than a text.
    failed: OnceLock<Broken>,
}

#[derive(Debug)]
enum Broken {
    Ours(Error),
    System(i32),
}

impl Flow {
    pub fn may_receive(&self) -> bool {
        self.may_receive.load(Ordering::Relaxed)
    }

    pub fn expect(&self) {
        self.may_receive.store(true, Ordering::Relaxed);
    }

    pub fn is_full(&self) -> bool {
        self.is_full.load(Ordering::Relaxed)
    }

    pub fn is_http1(&self) -> bool {
        self.is_http1.load(Ordering::Relaxed)
    }

    /// Why the socket is of no use any more; None: the other side has ended it, or nothing is wrong.
    pub fn failure(&self, limits: &Limits) -> Option<Error> {
        self.failed.get().map(|broken| match broken {
            Broken::Ours(error) => error.clone(),
            Broken::System(code) => limits.lost(&io::Error::from_raw_os_error(*code)),
        })
    }

    fn fail(&self, error: io::Error) -> io::Error {
        let kind = error.kind();
        match (error.raw_os_error(), Error::from_io(error)) {
            (Some(code), _) => _ = self.failed.set(Broken::System(code)),
            (None, Ok(error)) => _ = self.failed.set(Broken::Ours(error)),
            (None, Err(_)) => {}
        }
        kind.into()
    }

    pub fn begin_turn(&self) {
        self.bytes_left.store(TURN, Ordering::Relaxed);
        self.pieces_left.store(PIECES, Ordering::Relaxed);
    }

    /// Whether this turn may receive once more, and how much.
    fn room(&self) -> usize {
        let pieces = self.pieces_left.load(Ordering::Relaxed);
        self.pieces_left.store(pieces.saturating_sub(1), Ordering::Relaxed);
        if pieces == 0 { 0 } else { self.bytes_left.load(Ordering::Relaxed) }
    }

    fn received(&self, piece: &[u8]) {
        let left = self.bytes_left.load(Ordering::Relaxed);
        self.bytes_left.store(left.saturating_sub(piece.len()), Ordering::Relaxed);
        if !self.has_heard.swap(true, Ordering::Relaxed) && piece.starts_with(b"HTTP/1.") {
            self.is_http1.store(true, Ordering::Relaxed);
        }
    }
}

pub struct Transport {
    pub channel: Arc<Mutex<Channel>>,
    pub flow: Arc<Flow>,
    pub is_plain: bool,
}

impl Transport {
    fn sent<T>(&self, result: io::Result<T>) -> Poll<io::Result<T>> {
        match result {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.flow.is_full.store(true, Ordering::Relaxed);
                Poll::Pending
            }
            result => {
                self.flow.is_full.store(false, Ordering::Relaxed);
                Poll::Ready(result.map_err(|error| self.flow.fail(error)))
            }
        }
    }
}

impl AsyncRead for Transport {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = if self.flow.may_receive() { self.flow.room() } else { 0 };
        if most == 0 {
            return Poll::Pending;
        }
        let room = buffer.initialize_unfilled();
        let most = most.min(room.len());
        let room = &mut room[..most];
        let received = loop {
            match self.channel.lock().receive_now(room) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                received => break received,
            }
        };
        match received {
            Ok(None) => {
                self.flow.may_receive.store(false, Ordering::Relaxed);
                Poll::Pending
            }
            Ok(Some(count)) => {
                // What does not fill the room is all there was. TLS may have more of what it has received.
                if self.is_plain && count > 0 && count < most {
                    self.flow.may_receive.store(false, Ordering::Relaxed);
                }
                self.flow.received(&room[..count]);
                if self.flow.is_http1() {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                buffer.advance(count);
                Poll::Ready(Ok(()))
            }
            Err(error) => Poll::Ready(Err(self.flow.fail(error))),
        }
    }
}

impl AsyncWrite for Transport {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(context, &[IoSlice::new(data)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let sent = loop {
            match self.channel.lock().send_now(pieces) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                sent => break sent,
            }
        };
        self.sent(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.is_plain
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.channel.lock().flush_now();
        self.sent(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
