//! What the h2 crate reads from and writes to: a channel, without ever waiting.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::http::channel::Channel;
use crate::http::socket::Limits;
use crate::message::error::{Error, ErrorKind};
use crate::system::lock::Mutex;

/// So much is received in one turn: a peer that sends without end must not keep us from looking at the clock.
const TURN: usize = 512 * 1024;
/// And in so many pieces.
const PIECES: usize = 64;

/// So many frames that carry nothing of a body may come at once, besides those for which there is a reason. See
/// [`Frames::take`].
const BURST: usize = 10_000;
/// The same for heads, of which each may take as much memory as one of HTTP/1.1.
const BURST_OF_HEADS: usize = 128;
/// For each request so many frames may come, among them so many heads: interim responses, the response, and trailers.
const FRAMES_FOR_REQUEST: usize = 128;
const HEADS_FOR_REQUEST: usize = 8;

/// What has come: anything but answers to a PING.
pub const NEWS: u8 = 1;
pub const SETTINGS: u8 = 2;
pub const GO_AWAY: u8 = 4;

/// What a transport and who drives it tell each other.
#[derive(Debug, Default)]
pub struct Flow {
    /// Of the constants above.
    heard: AtomicU8,
    /// So many frames that carry nothing may come besides, and so many heads.
    credit: AtomicUsize,
    heads: AtomicUsize,
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
    /// It has not answered a PING.
    Dead,
    /// It sends frames without end that carry nothing.
    Flood,
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
            Broken::Dead => {
                let text = format!("Connection aborted: {} has not answered a PING of HTTP/2", limits.peer);
                Error::new(ErrorKind::Connection, text)
            }
            Broken::Flood => {
                let text = format!(
                    "Connection aborted: {} broke the rules of HTTP/2: ENHANCE_YOUR_CALM (frames without end \
                     that carry nothing)",
                    limits.peer
                );
                Error::new(ErrorKind::Connection, text)
            }
        })
    }

    /// What has come of this since somebody asked, and is forgotten with that.
    pub fn take_heard(&self, what: u8) -> u8 {
        self.heard.fetch_and(!what, Ordering::Relaxed) & what
    }

    /// So many frames that carry nothing are on their way for a good reason.
    pub fn allow(&self, count: usize) {
        self.credit.fetch_add(count, Ordering::Relaxed);
    }

    /// A request has an answer.
    pub fn allow_answer(&self) {
        self.allow(FRAMES_FOR_REQUEST);
        self.heads.fetch_add(HEADS_FOR_REQUEST, Ordering::Relaxed);
    }

    /// A head was taken: another one may come in its place.
    pub fn allow_head(&self) {
        self.allow(1);
        self.heads.fetch_add(1, Ordering::Relaxed);
    }

    /// The other side is taken for gone: the next look finds that.
    pub fn give_up(&self) {
        let _ = self.failed.set(Broken::Dead);
        self.expect();
    }

    fn is_broken(&self) -> bool {
        self.failed.get().is_some()
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

/// Looks at the frames that come, as far as their heads say something that the h2 crate does not tell.
struct Frames {
    head: [u8; 9],
    /// So much of the head is here.
    have: usize,
    /// So much of the payload is to come.
    left: usize,
    /// What is told of the frame: that it comes at once, the rest when all of it is here.
    tells: u8,
    empty: Budget,
    heads: Budget,
}

/// How many frames of a kind may come: at once, and over time.
struct Budget {
    /// Before somebody looks at the clock.
    left: usize,
    burst: usize,
    looked_at: Instant,
    /// For each of which one more may come.
    millis: u64,
}

impl Budget {
    fn new(burst: usize, millis: u64) -> Budget {
        Budget { left: burst, burst, looked_at: Instant::now(), millis }
    }

    /// `reasons`: so many more may come since somebody took that.
    fn take(&mut self, reasons: &AtomicUsize) -> bool {
        if self.left == 0 {
            let passed = self.looked_at.elapsed().as_millis() as u64 / self.millis;
            if passed > 0 {
                self.looked_at = Instant::now();
            }
            self.left = reasons.swap(0, Ordering::Relaxed) + self.burst.min(passed as usize);
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
    }
}

impl Frames {
    const DATA: u8 = 0;
    /// The flags END_STREAM and PADDED.
    const ENDS_OR_PADDED: u8 = 0x9;
    const HEADERS: u8 = 1;
    const SETTINGS: u8 = 4;
    const PING: u8 = 6;
    const GO_AWAY: u8 = 7;

    /// How much of a piece is kept, at its beginning. None: too many have come that carry nothing. They are counted because
    /// each of them costs time, and some memory or an answer, and a peer that sends nothing else could go on for ever. A
    /// thousand a second are fine, and as many as there is a reason for. Pieces of a body that are empty are not kept: the h2
    /// crate bears a hundred of them in the life of a connection, and servers send them to show that they are there.
    fn take(&mut self, piece: &mut [u8], flow: &Flow) -> Option<usize> {
        let (mut heard, mut at, mut kept) = (0, 0, 0);
        let mut keep = |piece: &mut [u8], at: usize, count: usize| {
            if kept != at {
                piece.copy_within(at..at + count, kept);
            }
            kept += count;
        };
        while at < piece.len() {
            if self.left > 0 {
                let count = self.left.min(piece.len() - at);
                keep(piece, at, count);
                (self.left, at) = (self.left - count, at + count);
                heard |= self.tells & NEWS;
                if self.left == 0 {
                    heard |= self.tells;
                }
                continue;
            }
            let count = (self.head.len() - self.have).min(piece.len() - at);
            self.head[self.have..self.have + count].copy_from_slice(&piece[at..at + count]);
            self.have += count;
            let [a, b, c, kind, flags, ..] = self.head;
            let is_whole = count == self.head.len();
            let is_empty = [a, b, c, kind] == [0, 0, 0, Frames::DATA] && flags & Frames::ENDS_OR_PADDED == 0;
            if !(is_whole && is_empty) {
                keep(piece, at, count);
            }
            at += count;
            if self.have < self.head.len() {
                break;
            }
            self.have = 0;
            self.left = u32::from_be_bytes([0, a, b, c]) as usize;
            self.tells = match kind {
                Frames::PING => 0,
                Frames::SETTINGS if flags & 1 == 0 => NEWS | SETTINGS,
                Frames::GO_AWAY => NEWS | GO_AWAY,
                _ => NEWS,
            };
            heard |= if self.left == 0 { self.tells } else { self.tells & NEWS };
            let may_come = match kind {
                Frames::DATA if self.left > 0 => true,
                Frames::HEADERS => self.heads.take(&flow.heads) && self.empty.take(&flow.credit),
                _ => self.empty.take(&flow.credit),
            };
            if !may_come {
                return None;
            }
        }
        if heard != 0 {
            flow.heard.fetch_or(heard, Ordering::Relaxed);
        }
        Some(kept)
    }
}

pub struct Transport {
    channel: Arc<Mutex<Channel>>,
    flow: Arc<Flow>,
    is_plain: bool,
    frames: Frames,
}

impl Transport {
    pub fn new(channel: Arc<Mutex<Channel>>, flow: Arc<Flow>, is_plain: bool) -> Transport {
        let frames = Frames {
            head: [0; 9],
            have: 0,
            left: 0,
            tells: 0,
            empty: Budget::new(BURST, 1),
            heads: Budget::new(BURST_OF_HEADS, 50),
        };
        Transport { channel, flow, is_plain, frames }
    }

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
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.flow.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        loop {
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
                    return Poll::Pending;
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
                    let Transport { frames, flow, .. } = &mut *self;
                    let Some(kept) = frames.take(&mut room[..count], flow) else {
                        let _ = flow.failed.set(Broken::Flood);
                        return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                    };
                    // None of it: that is not the end.
                    if kept > 0 || count == 0 {
                        buffer.advance(kept);
                        return Poll::Ready(Ok(()));
                    }
                }
                Err(error) => return Poll::Ready(Err(self.flow.fail(error))),
            }
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
        if self.flow.is_broken() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Frames {
        Frames {
            head: [0; 9],
            have: 0,
            left: 0,
            tells: 0,
            empty: Budget::new(BURST, 1_000_000),
            heads: Budget::new(BURST_OF_HEADS, 1_000_000),
        }
    }

    fn frame(kind: u8, flags: u8, length: u8) -> Vec<u8> {
        let mut frame = vec![0, 0, length, kind, flags, 0, 0, 0, 1];
        frame.resize(9 + usize::from(length), 0xff);
        frame
    }

    fn takes(frames: &mut Frames, piece: &[u8], flow: &Flow) -> bool {
        frames.take(&mut piece.to_vec(), flow).is_some()
    }

    #[test]
    fn empty_pieces_of_bodies_are_left_out() {
        let (mut frames, flow) = (frames(), Flow::default());
        let [empty, last, data, ping] = [frame(0, 0, 0), frame(0, 1, 0), frame(0, 0, 3), frame(6, 0, 8)];
        let mut all = [&empty[..], &data, &empty, &empty, &ping, &last, &empty].concat();
        let kept = frames.take(&mut all, &flow).expect("no flood");
        assert_eq!(all[..kept], [data, ping, last].concat());
        // What is cut is left in.
        assert_eq!(frames.take(&mut empty[..4].to_vec(), &flow), Some(4));
        assert_eq!(frames.take(&mut empty[4..].to_vec(), &flow), Some(5));
        assert_eq!(frames.take(&mut empty.clone(), &flow), Some(0));
        assert_eq!(frames.empty.left, BURST - 8);
    }

    /// Whoever is refused is not heard any more; here it is, from its next frame on.
    fn refuses(frames: &mut Frames, frame: &[u8], flow: &Flow) {
        assert!(!takes(frames, frame, flow));
        frames.left = 0;
    }

    #[test]
    fn frames_are_found_however_they_are_cut() {
        let kinds = [(4, 0, 6), (0, 0, 200), (6, 0, 8), (7, 0, 8), (4, 1, 0), (1, 4, 1)];
        let all: Vec<u8> =
            kinds.iter().flat_map(|(kind, flags, length)| frame(*kind, *flags, *length)).collect();
        for size in [1, 2, 8, 9, 10, 64, all.len()] {
            let (mut frames, flow) = (frames(), Flow::default());
            assert!(all.chunks(size).all(|piece| takes(&mut frames, piece, &flow)));
            assert_eq!(flow.take_heard(0xff), NEWS | SETTINGS | GO_AWAY, "{size}");
            assert_eq!((frames.have, frames.left), (0, 0));
            assert_eq!((frames.empty.left, frames.heads.left), (BURST - 5, BURST_OF_HEADS - 1));
        }
    }

    #[test]
    fn settings_are_told_of_when_all_of_them_are_here() {
        let (mut frames, flow) = (frames(), Flow::default());
        let settings = frame(4, 0, 6);
        assert!(takes(&mut frames, &settings[..14], &flow));
        assert_eq!(flow.take_heard(0xff), NEWS);
        assert!(takes(&mut frames, &settings[14..], &flow));
        assert_eq!(flow.take_heard(0xff), NEWS | SETTINGS);
    }

    #[test]
    fn answers_to_pings_are_no_news() {
        let (mut frames, flow) = (frames(), Flow::default());
        assert!(takes(&mut frames, &frame(6, 1, 8), &flow));
        assert_eq!(flow.take_heard(0xff), 0);
        assert!(takes(&mut frames, &frame(4, 1, 0), &flow));
        assert_eq!(flow.take_heard(SETTINGS | GO_AWAY), 0);
        assert_eq!(flow.take_heard(NEWS), NEWS);
    }

    #[test]
    fn what_carries_nothing_is_counted_and_what_has_a_reason_is_not() {
        let (mut frames, flow) = (frames(), Flow::default());
        let (ping, head, data) = (frame(6, 0, 8), frame(1, 4, 1), frame(0, 0, 1));
        assert!((0..BURST).all(|_| takes(&mut frames, &ping, &flow)));
        refuses(&mut frames, &ping, &flow);
        assert!(takes(&mut frames, &data, &flow));
        flow.allow_answer();
        assert!((0..FRAMES_FOR_REQUEST).all(|_| takes(&mut frames, &ping, &flow)));
        refuses(&mut frames, &ping, &flow);
        flow.allow(1000);
        assert!((0..BURST_OF_HEADS + HEADS_FOR_REQUEST).all(|_| takes(&mut frames, &head, &flow)));
        refuses(&mut frames, &head, &flow);
        assert!(takes(&mut frames, &ping, &flow));
    }

    #[test]
    fn a_moment_later_more_may_come() {
        let mut budget = Budget::new(10, 1);
        let none = AtomicUsize::new(0);
        while budget.take(&none) {}
        std::thread::sleep(std::time::Duration::from_millis(3));
        assert!(budget.take(&none));
    }
}
