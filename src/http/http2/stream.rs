//! One request on a connection of HTTP/2, and its answer.

use std::future::Future;
use std::io::{self, Read};
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};
use h2::client::ResponseFuture;
use h2::{Error as Failed, RecvStream, SendStream};
use http::{Request, Response, StatusCode};

use super::{Http2, Seat, UNSENT, Unprocessed, head, unprocessed};
use crate::future::control::Control;
use crate::future::stopwatch::Phase;
use crate::future::trace::Kind;
use crate::http::body::Outlet;
use crate::http::pace::Pace;
use crate::http::pool::{Lease, Place};
use crate::http::receive::FIELD_LIMIT;
use crate::http::socket::{Limits, Progress, Step, Total, Wait};
use crate::http::trace;
use crate::message::error::{Error, ErrorKind, os_text};
use crate::message::head::Head;
use crate::message::response::Trailers;
use crate::system::clock::Moment;

/// So many interim responses (1xx) may come before the response.
const INTERIM_LIMIT: usize = 100;

/// How somebody waits for one stream.
struct Line {
    http2: Arc<Http2>,
    seat: Arc<Seat>,
    waker: task::Waker,
}

impl Line {
    /// Asks until there is an answer, and waits in between.
    fn wait_for<T>(
        &self,
        limits: &Limits,
        mut ask: impl FnMut(&mut Context<'_>) -> Poll<T>,
    ) -> Result<T, Error> {
        let mut context = Context::from_waker(&self.waker);
        let mut wait = None;
        let result = loop {
            self.seat.clear();
            if let Poll::Ready(answer) = ask(&mut context) {
                break Ok(answer);
            }
            self.http2.drive_if_due();
            if self.seat.is_woken() {
                continue;
            }
            if let Err(error) = self.wait(limits, &mut wait) {
                break Err(error);
            }
        };
        if wait.is_some() {
            self.http2.leave(&self.seat);
        }
        result
    }

    fn wait(&self, limits: &Limits, wait: &mut Option<Wait>) -> Result<(), Error> {
        if limits.control.is_aborted() {
            return Err(Error::aborted());
        }
        if let Some(error) = self.http2.lost(limits) {
            return Err(error);
        }
        let wait = match wait {
            Some(wait) => wait,
            None => wait.insert(limits.wait()?),
        };
        let now = Instant::now();
        if wait.until.is_some_and(|until| until <= now) {
            return Err(limits.timed_out());
        }
        let mut until = wait.until;
        if let Some(watch) = limits.watch() {
            let Some(left) = watch.left() else { return Err(limits.timed_out()) };
            until = [until, now.checked_add(left)].into_iter().flatten().min();
        }
        let waited = self.http2.wait(&self.seat, limits.control, until);
        if let Some(watch) = limits.watch() {
            watch.waited(now.elapsed(), 0);
        }
        waited.map_err(|error| limits.lost(&error))
    }
}

/// A request that is on its way. Dropped before its end, it is reset.
pub struct Stream {
    line: Line,
    control: Arc<Control>,
    /// None once it is over.
    held: Option<Held>,
    place: Option<Arc<Place>>,
    /// How much of its body is to be sent, as far as that is known.
    unsent: Option<u64>,
    /// All of it was sent.
    is_sent: bool,
    /// What came before anybody asked for it.
    early: Option<Result<Response<RecvStream>, Failed>>,
    interim: usize,
}

struct Held {
    lease: Lease,
    response: ResponseFuture,
}

/// A failure, and whether the server had said anything before it.
pub struct Unanswered {
    pub error: Error,
    pub silent: bool,
    pub unprocessed: Option<Unprocessed>,
}

/// The head of an answer.
pub struct Opened {
    pub status: u16,
    pub head: Head,
    pub at: Moment,
    pub body: Body,
    pub length: Option<u64>,
}

const HELD: &str = "given back at the end only";

impl Stream {
    /// Sends a head. A body of that length follows; None: of any length.
    pub fn open(
        http2: Arc<Http2>,
        lease: Lease,
        place: Option<Arc<Place>>,
        control: Arc<Control>,
        request: Request<()>,
        length: Option<u64>,
        limits: &Limits,
    ) -> Result<Stream, Unanswered> {
        let seat = Seat::at(&http2);
        let waker = task::Waker::from(seat.clone());
        let line = Line { http2, seat, waker };
        let is_sent = length == Some(0);
        let opened = match &mut *line.http2.opener.lock() {
            Some(opener) => opener.clone().send_request(request, is_sent),
            None => unreachable!("taken by the one who drops it"),
        };
        let (response, sender) = match opened {
            Ok(both) => both,
            Err(error) => {
                // Nothing of it has gone.
                line.http2.close();
                let error = line.http2.failure(&error, limits);
                Stream::give_back(&line.http2, lease, place, None);
                return Err(Unanswered { error, silent: true, unprocessed: Some(Unprocessed::Again) });
            }
        };
        *line.seat.sender.lock() = Some(sender);
        control.attach_sleeper(line.seat.clone());
        let held = Some(Held { lease, response });
        let stream = Stream { line, control, held, place, unsent: length, is_sent, early: None, interim: 0 };
        stream.line.http2.drive_if_due();
        Ok(stream)
    }

    fn give_back(
        http2: &Arc<Http2>,
        mut lease: Lease,
        place: Option<Arc<Place>>,
        handles: Option<(ResponseFuture, Option<SendStream<Bytes>>)>,
    ) {
        drop(handles);
        http2.drive_if_due();
        lease.leave(http2);
        match place {
            None => lease.end(None),
            Some(place) => place.put(None, lease),
        }
    }

    /// The request is over.
    fn end(&mut self) {
        let Some(Held { lease, response }) = self.held.take() else { return };
        let early = self.early.take();
        // In a forked child the lock may be held by a thread that is not there.
        let sender = self.line.seat.sender.try_lock().and_then(|mut sender| sender.take());
        if self.line.http2.is_inherited() {
            // What they lock may be locked by a thread that is not there.
            mem::forget((early, response, sender, lease));
            return;
        }
        drop(early);
        self.control.detach_sleeper();
        Stream::give_back(&self.line.http2, lease, self.place.take(), Some((response, sender)));
    }

    /// A response that came while its request is still being sent, if there is one.
    fn look_for_answer(&mut self, context: &mut Context<'_>) -> bool {
        let Some(held) = &mut self.held else { return false };
        if self.early.is_none()
            && let Poll::Ready(answer) = Pin::new(&mut held.response).poll(context)
        {
            self.early = Some(answer);
        }
        self.early.is_some()
    }

    /// Whether the answer that came ends the matter.
    fn is_refused(&self) -> bool {
        match &self.early {
            None => false,
            Some(Ok(answer)) => (300..600).contains(&answer.status().as_u16()),
            Some(Err(_)) => true,
        }
    }

    /// False: the server wants no more, and has said so, or will not any more.
    fn push(&mut self, mut data: &[u8], limits: &Limits) -> Result<bool, Error> {
        while !data.is_empty() {
            let wanted = data.len().min(UNSENT);
            let Some(mut room) = self.line.seat.with_sender(|sender| {
                sender.reserve_capacity(wanted);
                sender.capacity()
            }) else {
                return Ok(false);
            };
            if room == 0 {
                // Not a borrow of all of it: it waits meanwhile.
                let line = Line {
                    http2: self.line.http2.clone(),
                    seat: self.line.seat.clone(),
                    waker: self.line.waker.clone(),
                };
                room = line.wait_for(limits, |context| {
                    if self.early.is_none() {
                        self.look_for_answer(context);
                    }
                    if self.is_refused() {
                        return Poll::Ready(0);
                    }
                    match self.line.seat.with_sender(|sender| sender.poll_capacity(context)) {
                        Some(Poll::Ready(Some(Ok(0))) | Poll::Pending) => Poll::Pending,
                        Some(Poll::Ready(Some(Ok(room)))) => Poll::Ready(room),
                        Some(Poll::Ready(Some(Err(_)) | None)) | None => Poll::Ready(0),
                    }
                })?;
            }
            if room == 0 {
                return Ok(false);
            }
            let count = room.min(data.len());
            let (piece, rest) = data.split_at(count);
            data = rest;
            if let Some(unsent) = &mut self.unsent {
                *unsent = unsent.saturating_sub(count as u64);
            }
            let is_last = self.unsent == Some(0);
            let bytes = Bytes::copy_from_slice(piece);
            let sent = self.line.seat.with_sender(|sender| sender.send_data(bytes, is_last).is_ok());
            if sent != Some(true) {
                return Ok(false);
            }
            self.is_sent |= is_last;
            // The server may open its windows, the stream's and that of all, by as little as that.
            self.line.http2.flow.allow(2 * (1 + count / 256));
            self.line.http2.drive_if_due();
            if let Some(watch) = limits.watch() {
                watch.waited(Duration::ZERO, count as u64);
            }
        }
        Ok(true)
    }

    /// The body was sent, all that there is of it.
    pub fn finish(&mut self) {
        if self.held.is_some() && !self.is_sent {
            // Where that fails the answer says why.
            let sent = self.line.seat.with_sender(|sender| sender.send_data(Bytes::new(), true).is_ok());
            self.is_sent = sent == Some(true);
            self.line.http2.drive_if_due();
        }
    }

    /// After a head that asks for it: waits until the server wants the body, or so long. False: it has said something else,
    /// and the body is not to be sent.
    pub fn is_wanted(&mut self, wait: Duration, limits: &Limits) -> Result<bool, Error> {
        let end = Instant::now().checked_add(wait).map(|until| (until, wait));
        let limits = Limits { connect: end, silence: None, step: Step::Head, pace: None, ..*limits };
        loop {
            match self.hear(&limits) {
                Ok(Heard::Interim(status, _)) if status == StatusCode::CONTINUE => return Ok(true),
                Ok(Heard::Interim(..)) => {}
                Ok(Heard::Answer(answer)) => {
                    self.early = Some(answer);
                    return Ok(false);
                }
                Err(error) if error.kind() == ErrorKind::ReadTimeout => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Waits for what comes next: an interim response, or the response.
    fn hear(&mut self, limits: &Limits) -> Result<Heard, Error> {
        if let Some(answer) = self.early.take() {
            return Ok(Heard::Answer(answer));
        }
        let held = self.held.as_mut().expect(HELD);
        let heard = self.line.wait_for(limits, |context| {
            match held.response.poll_informational(context) {
                Poll::Ready(Some(Ok(interim))) => return Poll::Ready(Heard::interim(&interim)),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Heard::Answer(Err(error))),
                Poll::Ready(None) | Poll::Pending => {}
            }
            Pin::new(&mut held.response).poll(context).map(Heard::Answer)
        })?;
        if let Heard::Interim(_, head) = &heard {
            self.line.http2.flow.allow_head();
            trace::head(limits.control, Kind::HeadIn, head)?;
            self.interim += 1;
            if self.interim > INTERIM_LIMIT {
                let text = format!(
                    "Connection aborted: {} sent more than {INTERIM_LIMIT} interim responses (ENHANCE_YOUR_CALM)",
                    limits.peer
                );
                return Err(Error::new(ErrorKind::Connection, text));
            }
        }
        Ok(heard)
    }

    /// Receives the head of the response. `limits` are those of the request, the others those of the body.
    pub fn receive(
        mut self,
        limits: &Limits,
        pace: Option<Box<Pace>>,
        head_only: bool,
    ) -> Result<Opened, Unanswered> {
        let limits = Limits { step: Step::Head, pace: pace.as_deref(), ..*limits };
        let answer = loop {
            match self.hear(&limits) {
                Ok(Heard::Interim(..)) => {}
                Ok(Heard::Answer(Ok(answer))) => break answer,
                Ok(Heard::Answer(Err(failed))) => {
                    let is_http1 = self.line.http2.flow.is_http1();
                    let why = if is_http1 { Some(Unprocessed::Never) } else { unprocessed(&failed) };
                    if failed.is_go_away() || failed.is_io() {
                        self.line.http2.close();
                    }
                    let error = self.line.http2.failure(&failed, &limits);
                    // What ends one stream alone is an answer.
                    let silent = self.interim == 0 && !failed.is_reset();
                    return Err(Unanswered { error, silent, unprocessed: why });
                }
                Err(error) => {
                    return Err(Unanswered { error, silent: self.interim == 0, unprocessed: None });
                }
            }
        };
        let at = Moment::now();
        self.control.stopwatch.enter_at(Phase::Receive, at);
        let refused = |error| Unanswered { error, silent: false, unprocessed: None };
        let (parts, receiver) = answer.into_parts();
        let raw = head::of_response(parts.status, &parts.headers);
        trace::head(limits.control, Kind::HeadIn, &raw).map_err(refused)?;
        let head = Head::of_response(raw);
        if head.count() > FIELD_LIMIT {
            let text = format!(
                "Connection aborted: {} sent a response with more than {FIELD_LIMIT} fields in its head",
                limits.peer
            );
            return Err(refused(Error::new(ErrorKind::Connection, text)));
        }
        let status = parts.status.as_u16();
        let is_empty = head_only || matches!(status, 204 | 304);
        let length = match is_empty {
            true => Some(0),
            false => head.get("content-length").and_then(|length| length.parse().ok()),
        };
        let silence = limits.silence;
        let mut body = Body {
            is_over: false,
            stream: self,
            receiver: Some(receiver),
            chunk: Bytes::new(),
            silence,
            pace,
            progress: Progress { received: 0, total: length.map_or(Total::Unknown, Total::Bytes) },
            failure: None,
            trailers: Trailers::default(),
        };
        let ends = body.receiver.as_ref().is_some_and(RecvStream::is_end_stream);
        if is_empty || ends {
            body.end();
        }
        Ok(Opened { status, head, at, body, length: if ends { Some(0) } else { length } })
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a server says before a body.
enum Heard {
    Interim(StatusCode, Vec<u8>),
    Answer(Result<Response<RecvStream>, Failed>),
}

impl Heard {
    fn interim(interim: &Response<()>) -> Heard {
        Heard::Interim(interim.status(), head::of_response(interim.status(), interim.headers()))
    }
}

impl Outlet for Stream {
    const FRAMES_ITSELF: bool = true;

    fn send(&mut self, pieces: &[&[u8]], limits: &Limits) -> Result<bool, Error> {
        for piece in pieces {
            if !self.push(piece, limits)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn is_turned_away(&mut self) -> bool {
        let waker = self.line.waker.clone();
        self.look_for_answer(&mut Context::from_waker(&waker));
        self.is_refused()
    }
}

/// The body of an answer. Once it failed it goes on failing.
pub struct Body {
    stream: Stream,
    /// None once it is over.
    receiver: Option<RecvStream>,
    /// What has come and was not taken.
    chunk: Bytes,
    silence: Option<Duration>,
    pace: Option<Box<Pace>>,
    progress: Progress,
    failure: Option<Error>,
    trailers: Trailers,
    is_over: bool,
}

impl Body {
    /// All of the body, if there is none.
    pub fn at_once(&mut self) -> Option<Vec<u8>> {
        (self.is_over && self.failure.is_none() && self.chunk.is_empty()).then(|| Vec::with_capacity(1))
    }

    pub fn trailers(&self) -> Option<Trailers> {
        (!self.is_over).then(|| self.trailers.clone())
    }

    fn end(&mut self) {
        self.is_over = true;
        let receiver = self.receiver.take();
        if self.stream.line.http2.is_inherited() {
            mem::forget((receiver, mem::take(&mut self.chunk)));
        } else {
            drop(receiver);
        }
        self.stream.end();
    }

    fn fail(&mut self, error: Error) -> io::Error {
        self.failure = Some(error.clone());
        self.end();
        error.into_io()
    }

    /// Sees to it that something of the body is here. False: it is over.
    fn fill(&mut self) -> Result<bool, Error> {
        while self.chunk.is_empty() {
            let Body { stream, receiver, silence, pace, progress, .. } = &mut *self;
            let Some(receiver) = receiver else { return Ok(false) };
            let Some(held) = &stream.held else { return Ok(false) };
            let limits = Limits {
                control: &stream.control,
                silence: *silence,
                connect: None,
                step: Step::Body,
                peer: held.lease.route(),
                progress: Some(progress),
                pace: pace.as_deref(),
            };
            // Even while there is always more.
            if stream.control.check().is_err() {
                return Err(match stream.control.is_aborted() {
                    true => Error::aborted(),
                    false => limits.timed_out(),
                });
            }
            let broken = |failed: &Failed| {
                let error = stream.line.http2.failure(failed, &limits);
                cut_short(&error, &limits, progress)
            };
            let mut asked = 0;
            let data = stream.line.wait_for(&limits, |context| {
                asked += 1;
                receiver.poll_data(context)
            });
            let data = data.map_err(|error| match error.kind() {
                ErrorKind::Connection => cut_short(&error, &limits, progress),
                _ => error,
            })?;
            match data {
                Some(Ok(data)) => {
                    // Who has it may send as much again.
                    let _ = receiver.flow_control().release_capacity(data.len());
                    if asked > 1 {
                        stream.line.http2.keeps_up(progress.received);
                    }
                    if let Some(watch) = limits.watch() {
                        watch.waited(Duration::ZERO, data.len() as u64);
                    }
                    self.chunk = data;
                }
                Some(Err(failed)) => return Err(broken(&failed)),
                None => {
                    let trailers =
                        stream.line.wait_for(&limits, |context| receiver.poll_trailers(context))?;
                    match trailers {
                        Ok(Some(trailers)) if trailers.len() <= FIELD_LIMIT => {
                            let _ = self.trailers.set(Head::of_response(head::of_trailers(&trailers)));
                        }
                        Ok(_) => {}
                        Err(failed) => return Err(broken(&failed)),
                    }
                    self.end();
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Takes at most so many bytes of what is here, when the limit allows that.
    fn take(&mut self, most: usize) -> Result<Bytes, Error> {
        let Body { stream, silence, pace, progress, .. } = &*self;
        let most = most.min(self.chunk.len());
        let mut count = most;
        if let Some(held) = &stream.held
            && pace.is_some()
        {
            let limits = Limits {
                control: &stream.control,
                silence: *silence,
                connect: None,
                step: Step::Body,
                peer: held.lease.route(),
                progress: Some(progress),
                pace: pace.as_deref(),
            };
            count = limits.piece(most);
            limits.hold_back(count)?;
        }
        self.progress.received += count as u64;
        let taken = self.chunk.split_to(count);
        // The last of it frees the stream before anybody asks for the end.
        if self.chunk.is_empty() && self.receiver.as_ref().is_some_and(RecvStream::is_end_stream) {
            self.end();
        }
        Ok(taken)
    }

    fn next(&mut self, most: usize) -> io::Result<Bytes> {
        if let Some(failure) = &self.failure {
            return Err(failure.clone().into_io());
        }
        if most == 0 {
            return Ok(Bytes::new());
        }
        let taken = match self.fill() {
            Ok(true) => self.take(most),
            Ok(false) => return Ok(Bytes::new()),
            Err(error) => Err(error),
        };
        taken.map_err(|error| self.fail(error))
    }
}

fn cut_short(error: &Error, limits: &Limits, progress: &Progress) -> Error {
    // Where the system says why, the rest of that message would say again what this one does.
    let why = match error.os_code() {
        0 => error.to_string(),
        code => os_text(&io::Error::from_raw_os_error(code)),
    };
    let text = format!("Connection broken: the body from {} ended after {progress}: {why}", limits.peer);
    Error::new(ErrorKind::ChunkedEncoding, text).with_os_code(error.os_code())
}

impl Drop for Body {
    fn drop(&mut self) {
        self.end();
    }
}

impl Read for Body {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut piece = self.next(buffer.len())?;
        let count = piece.len();
        piece.copy_to_slice(&mut buffer[..count]);
        Ok(count)
    }

    fn read_to_end(&mut self, content: &mut Vec<u8>) -> io::Result<usize> {
        let before = content.len();
        loop {
            let piece = self.next(usize::MAX)?;
            if piece.is_empty() {
                return Ok(content.len() - before);
            }
            // One byte more for the NUL that a caller puts behind the end.
            if content.capacity() - content.len() <= piece.len()
                && content.try_reserve(piece.len() + 1).is_err()
            {
                let error = Error::out_of_memory(format_args!("a body of {} bytes", self.progress.received));
                return Err(self.fail(error));
            }
            content.extend_from_slice(&piece);
        }
    }
}
