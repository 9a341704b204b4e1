//! HTTP/2: one connection that carries many requests at a time.
//!
//! The protocol itself is the h2 crate's. It asks for somebody who polls the connection whenever there is something to be
//! sent or received, and that is whoever waits for one of its streams: nobody else has to run for it. One of those who
//! wait leads: it waits for the socket, receives for all, and is woken with them; the others wait to be woken. Who leads
//! hands that on to another when it has what it waits for, or does not wait any longer. To poll never blocks, so whoever
//! has something to send sends it, under a lock that is only tried for: who finds it taken leaves a word for who has it.
//!
//! Nothing of this knows whether it runs on threads or in fibers but [`Http2::lead`].

mod head;
mod stream;
mod transport;

use std::env;
use std::future::Future;
use std::io;
use std::iter;
use std::mem;
use std::os::fd::RawFd;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{self, Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Error as Failed, Ping, PingPong, Reason, SendStream};

pub use self::head::of_request;
pub use self::stream::{Body, Opened, Stream, Unanswered};
use self::transport::{Flow, GO_AWAY, NEWS, SETTINGS, Transport};
use super::channel::Channel;
use super::connection::HEAD_LIMIT;
use super::pool::Pool;
use super::route::Route;
use super::socket::{Limits, await_either, close_copy};
use crate::future::control::Control;
use crate::future::monitor::{Monitor, Until};
use crate::message::error::{Error, ErrorKind};
use crate::message::peer::Peer;
use crate::system::fiber::{self, Here, READABLE, WRITABLE, Waker, on_thread_stack};
use crate::system::fork;
use crate::system::lock::Mutex;
use crate::system::signal::Signal;

/// So much of one body may be on its way to us, or lie here unread.
const WINDOW: u32 = 1 << 20;
/// And so much of one whose reader keeps up, where it takes more to fill a long way; but no more of all together.
const WIDEST: u32 = 16 << 20;
const WIDE_TOGETHER: u64 = 128 << 20;
/// And of all together: what nobody reads must not hold up the others.
const ALL_WINDOWS: u32 = (1 << 31) - 1;
/// The longest frame that we take. A head may be in as many of them as it needs when each is as short as this.
const FRAME: u32 = 16 * 1024;
/// So much of a body waits to be sent.
const UNSENT: usize = 256 * 1024;

/// So much memory the frames of bodies may take that nobody has read, beside what is in them.
const SMALL_FRAMES: usize = 16 << 20;
/// After so much silence, while somebody waits, the other side is asked whether it is there.
const PING_AFTER: Duration = Duration::from_secs(30);
/// And so long after it has said so. Some servers end connections of those who ask more often.
const PING_AGAIN: Duration = Duration::from_secs(6 * 60);
/// It has so long to answer.
const PING_WAIT: Duration = Duration::from_secs(15);

/// So many streams may end because of what we do not understand, or do not want any more, in the life of a connection.
const OUR_RESETS: usize = 1 << 20;
/// So many streams that were reset are remembered for a moment, so that what was on its way is known to be theirs.
const RESET: usize = 1000;

pub struct Http2 {
    /// Whose connection it is.
    host: OnceLock<(Weak<Pool>, Arc<Route>, Weak<Http2>)>,
    /// So many requests it carries at a time. Until the server has said how many that are, one.
    most: AtomicUsize,
    has_rested: AtomicBool,
    life: Mutex<Life>,
    /// The generation of processes that it is of: in a forked child nobody touches what a thread may have locked that is not
    /// there.
    made_in: u32,
    /// None in a forked child, once it is dropped.
    driver: Mutex<Option<Driver>>,
    opener: Mutex<Option<SendRequest<Bytes>>>,
    due: Arc<Due>,
    flow: Arc<Flow>,
    window: AtomicU32,
    channel: Arc<Mutex<Channel>>,
    descriptor: RawFd,
    /// Wakes a thread that leads.
    bell: OnceLock<Arc<Signal>>,
    roles: Mutex<Roles>,
    /// Why it is over, once it is.
    ended: OnceLock<Option<Failed>>,
    /// No more requests go over it.
    is_closing: AtomicBool,
    /// How many requests have it now.
    pub streams: AtomicUsize,
    /// How many requests it has carried before.
    served: AtomicU32,
    used_at: Mutex<Instant>,
    pub peer: Arc<Peer>,
}

type Connection = h2::client::Connection<Transport, Bytes>;

/// Whether the other side is still there.
struct Life {
    pinger: Option<PingPong>,
    /// When something came last.
    heard_at: Instant,
    /// A PING is on its way since then.
    pinged_at: Option<Instant>,
    /// Since the last PING but one nothing has come but the answer.
    is_silent: bool,
}

struct Driver {
    connection: Connection,
    waker: task::Waker,
}

/// Something is to be done that nobody has done yet.
#[derive(Debug, Default)]
struct Due(AtomicBool);

impl task::Wake for Due {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Who waits for streams of one connection.
#[derive(Default)]
struct Roles {
    leader: Option<Arc<Seat>>,
    others: Vec<Arc<Seat>>,
}

/// Where somebody waits for one stream.
pub struct Seat {
    http2: Weak<Http2>,
    state: Monitor<Sitting>,
    /// What is sent on the stream. None before it is open, and when it is over.
    sender: Mutex<Option<SendStream<Bytes>>>,
}

#[derive(Default)]
struct Sitting {
    is_woken: bool,
    /// How to wake it, while it waits for the socket.
    leading: Option<Rouse>,
}

enum Rouse {
    Thread(Arc<Signal>),
    Fiber(Waker),
}

impl Seat {
    fn at(http2: &Arc<Http2>) -> Arc<Seat> {
        Arc::new(Seat { http2: Arc::downgrade(http2), state: Monitor::default(), sender: Mutex::default() })
    }

    /// None: the stream is over.
    fn with_sender<T>(&self, act: impl FnOnce(&mut SendStream<Bytes>) -> T) -> Option<T> {
        self.sender.lock().as_mut().map(act)
    }

    fn rouse(&self) {
        let mut state = self.state.lock();
        state.is_woken = true;
        match &state.leading {
            Some(Rouse::Thread(signal)) => signal.set(),
            Some(Rouse::Fiber(waker)) => waker.wake(),
            None => {}
        }
        state.notify_all();
    }

    fn is_woken(&self) -> bool {
        self.state.lock().is_woken
    }

    fn clear(&self) {
        self.state.lock().is_woken = false;
    }

    /// From now on it is woken like this. False: it has been woken already.
    fn begin_leading(&self, rouse: Rouse) -> bool {
        let mut state = self.state.lock();
        if !state.is_woken {
            state.leading = Some(rouse);
        }
        !state.is_woken
    }

    fn end_leading(&self) {
        let leading = self.state.lock().leading.take();
        if let Some(Rouse::Thread(signal)) = leading {
            signal.clear();
        }
    }
}

impl task::Wake for Seat {
    fn wake(self: Arc<Self>) {
        self.rouse();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rouse();
    }
}

/// An abort wakes who waits, and ends the stream of which nobody waits for anything.
impl fiber::Wake for Seat {
    fn wake(&self) {
        if let Some(sender) = &mut *self.sender.lock() {
            sender.send_reset(Reason::CANCEL);
        }
        self.rouse();
        if let Some(http2) = self.http2.upgrade() {
            http2.drive_if_due();
        }
    }
}

impl Http2 {
    /// Begins to speak HTTP/2.
    pub fn new(channel: Channel, peer: Peer, limits: &Limits) -> Result<Arc<Http2>, Error> {
        let (descriptor, is_plain) = (channel.descriptor(), channel.is_plain());
        let channel = Arc::new(Mutex::new(channel));
        let flow = Arc::new(Flow::default());
        let transport = Transport::new(channel.clone(), flow.clone(), is_plain);
        let due = Arc::new(Due::default());
        let waker = task::Waker::from(due.clone());
        let shaken = on_thread_stack(|| {
            let mut builder = Builder::new();
            builder
                .enable_push(false)
                .initial_window_size(WINDOW)
                .initial_connection_window_size(ALL_WINDOWS)
                .max_frame_size(FRAME)
                .max_header_list_size(HEAD_LIMIT as u32)
                .max_concurrent_reset_streams(RESET)
                .max_local_error_reset_streams(Some(OUR_RESETS))
                .max_send_buffer_size(UNSENT)
                .data_frame_budget(SMALL_FRAMES);
            // A few bytes, which a socket that is new has room for.
            pin!(builder.handshake::<_, Bytes>(transport)).poll(&mut Context::from_waker(&waker))
        });
        let (opener, mut connection) = match shaken {
            Poll::Ready(Ok(both)) => both,
            Poll::Ready(Err(error)) => return Err(failure(&error, limits, &flow)),
            Poll::Pending => return Err(limits.lost(&io::ErrorKind::WouldBlock.into())),
        };
        let pinger = connection.ping_pong();
        // Nobody has polled it yet, so it wakes nobody for what is sent next; and what TLS has received with the last of its
        // handshake lies there.
        due.0.store(true, Ordering::SeqCst);
        flow.expect();
        Ok(Arc::new(Http2 {
            made_in: fork::generation(),
            host: OnceLock::new(),
            most: AtomicUsize::new(1),
            has_rested: AtomicBool::new(false),
            life: Mutex::new(Life { pinger, heard_at: Instant::now(), pinged_at: None, is_silent: false }),
            driver: Mutex::new(Some(Driver { connection, waker })),
            opener: Mutex::new(Some(opener)),
            due,
            flow,
            window: AtomicU32::new(WINDOW),
            channel,
            descriptor,
            bell: OnceLock::new(),
            roles: Mutex::default(),
            ended: OnceLock::new(),
            is_closing: AtomicBool::new(false),
            streams: AtomicUsize::new(0),
            served: AtomicU32::new(0),
            used_at: Mutex::new(Instant::now()),
            peer: Arc::new(peer),
        }))
    }

    /// Who is told that it has room for more.
    pub fn belongs_to(self: &Arc<Self>, pool: &Arc<Pool>, route: &Arc<Route>) {
        let _ = self.host.set((Arc::downgrade(pool), route.clone(), Arc::downgrade(self)));
    }

    /// Whether it may carry one more request.
    pub fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.most.load(Ordering::Relaxed) && self.is_open()
    }

    /// Whether there was a time when nobody used it.
    pub fn has_rested(&self) -> bool {
        self.has_rested.load(Ordering::Relaxed)
    }

    pub fn used_at(&self) -> Instant {
        *self.used_at.lock()
    }

    /// Its last request is over.
    pub fn rest(&self) {
        self.has_rested.store(true, Ordering::Relaxed);
        *self.used_at.lock() = Instant::now();
    }

    /// A request begins; whether it is not the first.
    pub fn begin(&self) -> bool {
        self.flow.allow_answer();
        self.served.fetch_add(1, Ordering::Relaxed) > 0
    }

    /// Whether more requests may go over it, as far as that is known.
    pub fn is_open(&self) -> bool {
        !self.is_closing.load(Ordering::Relaxed) && self.ended.get().is_none() && !self.is_inherited()
    }

    /// The same, after a look at what has come while nobody waited.
    pub fn is_alive(&self) -> bool {
        if self.is_open() {
            self.flow.expect();
            self.drive();
            if let Poll::Ready(Err(_)) = self.may_open(&mut Context::from_waker(task::Waker::noop())) {
                self.close();
            }
        }
        self.is_open()
    }

    /// No more requests go over it.
    pub fn close(&self) {
        self.is_closing.store(true, Ordering::Relaxed);
    }

    fn may_open(&self, context: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        self.opener.lock().as_mut().map_or(Poll::Pending, |opener| opener.poll_ready(context))
    }

    fn is_inherited(&self) -> bool {
        fork::is_inherited(self.made_in)
    }

    /// Does what is due, unless somebody else is about to.
    fn drive_if_due(&self) {
        if !self.due.0.load(Ordering::SeqCst) {
            return;
        }
        if fiber::here().is_some() {
            // A leader in a fiber goes on when those have who go on now: it sends for all of them.
            let roles = self.roles.lock();
            if let Some(leader) = &roles.leader {
                let in_fiber = matches!(leader.state.lock().leading, Some(Rouse::Fiber(_)));
                if in_fiber {
                    leader.rouse();
                    return;
                }
            }
        }
        self.drive_while_due();
    }

    fn drive(&self) {
        self.due.0.store(true, Ordering::SeqCst);
        self.drive_while_due();
    }

    fn drive_while_due(&self) {
        let was_full = self.flow.is_full();
        self.flow.begin_turn();
        while self.due.0.load(Ordering::SeqCst) {
            // Who has it looks again afterwards.
            let Some(mut driver) = self.driver.try_lock() else { return };
            self.due.0.store(false, Ordering::SeqCst);
            if self.ended.get().is_some() {
                return;
            }
            let Some(Driver { connection, waker }) = &mut *driver else { return };
            let polled = on_thread_stack(|| Pin::new(&mut *connection).poll(&mut Context::from_waker(waker)));
            if let Poll::Ready(result) = polled {
                let _ = self.ended.set(result.err());
            }
            let heard = self.flow.take_heard(SETTINGS | GO_AWAY);
            if heard != 0 {
                self.most.store(connection.max_concurrent_send_streams(), Ordering::Relaxed);
                drop(driver);
                self.tell_host(heard);
            }
        }
        if !was_full && self.flow.is_full() {
            // Who waits for the socket has to wait for more.
            let leader = self.roles.lock().leader.clone();
            if let Some(leader) = leader {
                leader.rouse();
            }
        }
        if self.ended.get().is_some() {
            self.wake_all();
        }
    }

    /// Somebody who had to wait for it has received so much of a body: more may be on its way, unless too much would lie here
    /// where nobody else reads.
    fn keeps_up(&self, received: u64) {
        let window = self.window.load(Ordering::Relaxed);
        if window < WIDEST && received >= u64::from(window) {
            self.widen(4 * window);
        }
    }

    #[cold]
    fn widen(&self, window: u32) {
        if u64::from(window) * self.streams.load(Ordering::Relaxed) as u64 > WIDE_TOGETHER {
            return;
        }
        // Where somebody else has it, the next piece is soon enough; and where the last change is not confirmed yet.
        let Some(mut driver) = self.driver.try_lock() else { return };
        let Some(Driver { connection, .. }) = &mut *driver else { return };
        if connection.set_initial_window_size(window).is_ok() {
            self.window.store(window, Ordering::Relaxed);
            drop(driver);
            self.drive();
        }
    }

    /// It takes more, or less, or no more at all.
    #[cold]
    fn tell_host(&self, heard: u8) {
        if heard & GO_AWAY != 0 {
            self.close();
        }
        if let Some((pool, route, this)) = self.host.get()
            && let (Some(pool), Some(this)) = (pool.upgrade(), this.upgrade())
        {
            pool.look_at(route, &this);
        }
    }

    /// Remembers when something came last.
    fn note_news(&self) {
        if self.flow.take_heard(NEWS) != 0 {
            let mut life = self.life.lock();
            (life.heard_at, life.pinged_at, life.is_silent) = (Instant::now(), None, false);
        }
    }

    /// Asks the other side whether it is there, when it has said nothing for long. When to look again.
    fn look_for_life(&self) -> Option<Instant> {
        self.note_news();
        let now = Instant::now();
        let mut life = self.life.lock();
        let Life { pinger: Some(pinger), heard_at, pinged_at, is_silent } = &mut *life else { return None };
        let (after, wait) = times_of_ping();
        if let Some(at) = *pinged_at {
            match pinger.poll_pong(&mut Context::from_waker(task::Waker::noop())) {
                Poll::Ready(_) => (*heard_at, *pinged_at, *is_silent) = (now, None, true),
                Poll::Pending if now < at + wait => return Some(at + wait),
                Poll::Pending => {
                    drop(life);
                    self.close();
                    self.flow.give_up();
                    self.drive();
                    return None;
                }
            }
        }
        let next = *heard_at + if *is_silent { PING_AGAIN } else { after };
        if now < next {
            return Some(next);
        }
        *pinged_at = Some(now);
        let sent = pinger.send_ping(Ping::opaque()).is_ok();
        drop(life);
        self.drive();
        sent.then(|| now + wait)
    }

    #[cold]
    fn wake_all(&self) {
        let all: Vec<_> = {
            let roles = self.roles.lock();
            roles.leader.iter().chain(&roles.others).cloned().collect()
        };
        all.iter().for_each(|seat| seat.rouse());
    }

    /// Waits until the seat is woken, or until that time; or for no reason at all.
    fn wait(&self, seat: &Arc<Seat>, control: &Control, until: Option<Instant>) -> io::Result<()> {
        let mut roles = self.roles.lock();
        let leads = Arc::ptr_eq(roles.leader.get_or_insert_with(|| seat.clone()), seat);
        if !leads {
            roles.others.push(seat.clone());
        }
        drop(roles);
        if leads {
            let until = [until, self.look_for_life()].into_iter().flatten().min();
            return self.lead(seat, control, until);
        }
        let until = until.map_or(Until::Forever, Until::At);
        let mut state = seat.state.lock();
        while !state.is_woken && !until.has_passed() && !control.is_aborted() {
            state = state.wait(until);
        }
        drop(state);
        self.roles.lock().others.retain(|other| !Arc::ptr_eq(other, seat));
        Ok(())
    }

    /// It does not wait any more: if it leads, somebody else has to.
    fn leave(&self, seat: &Arc<Seat>) {
        let mut roles = self.roles.lock();
        if !roles.leader.as_ref().is_some_and(|leader| Arc::ptr_eq(leader, seat)) {
            return;
        }
        roles.leader = roles.others.pop();
        let next = roles.leader.clone();
        drop(roles);
        if let Some(next) = next {
            next.rouse();
        }
    }

    fn lead(&self, seat: &Seat, control: &Control, until: Option<Instant>) -> io::Result<()> {
        match fiber::here() {
            Some(here) => self.lead_in_fiber(here, seat, control, until),
            None => self.lead_on_thread(seat, control, until),
        }
    }

    fn goes_on(&self, seat: &Seat, control: &Control, until: Option<Instant>) -> bool {
        let is_late = until.is_some_and(|until| Instant::now() >= until);
        !seat.is_woken() && !control.is_aborted() && !is_late && self.ended.get().is_none()
    }

    fn lead_in_fiber(
        &self,
        here: Here<'_>,
        seat: &Seat,
        control: &Control,
        until: Option<Instant>,
    ) -> io::Result<()> {
        let watched = self.channel.lock().watch(here)?;
        let readiness = &watched.readiness;
        loop {
            if readiness.has(READABLE) {
                readiness.clear(READABLE);
                self.flow.expect();
            }
            if self.flow.may_receive() {
                self.drive();
            }
            let mut wanted = READABLE;
            if self.flow.is_full() {
                // What has become free since then is found now.
                readiness.clear(WRITABLE);
                self.drive();
                if self.flow.is_full() {
                    wanted |= WRITABLE;
                }
            }
            if !self.goes_on(seat, control, until) {
                return Ok(());
            }
            if self.flow.may_receive() {
                here.give_way();
            } else if seat.begin_leading(Rouse::Fiber(here.waker())) {
                here.wait_for(iter::once(&*watched), wanted, until);
                seat.end_leading();
            }
        }
    }

    fn lead_on_thread(&self, seat: &Seat, control: &Control, until: Option<Instant>) -> io::Result<()> {
        let bell = match self.bell.get() {
            Some(bell) => bell,
            None => {
                let bell = Arc::new(Signal::new()?);
                self.bell.get_or_init(|| bell)
            }
        };
        while self.goes_on(seat, control, until) {
            if self.flow.may_receive() {
                self.drive();
                continue;
            }
            fiber::blocks();
            if !seat.begin_leading(Rouse::Thread(bell.clone())) {
                return Ok(());
            }
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            let ready = await_either(self.descriptor, self.flow.is_full(), bell.descriptor(), left);
            seat.end_leading();
            match ready {
                Ok((readable, writable)) => {
                    if readable {
                        self.flow.expect();
                    }
                    if readable || writable {
                        self.drive();
                        self.note_news();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Why a request has failed. What ended the connection says more than that it has ended.
    fn failure(&self, failed: &Failed, limits: &Limits) -> Error {
        let ended = if failed.is_io() { self.lost(limits) } else { None };
        ended.unwrap_or_else(|| failure(failed, limits, &self.flow))
    }

    /// Why it is over, as an error of one of its requests.
    fn lost(&self, limits: &Limits) -> Option<Error> {
        let ended = self.ended.get()?;
        Some(match ended {
            Some(error) => failure(error, limits, &self.flow),
            None => hung_up(limits),
        })
    }
}

impl Drop for Http2 {
    fn drop(&mut self) {
        let parts = (self.opener.get_mut().take(), self.driver.get_mut().take());
        if self.is_inherited() {
            // It would wait for threads that are not there.
            mem::forget(parts);
            close_copy(self.descriptor);
        } else {
            on_thread_stack(|| drop(parts));
        }
    }
}

impl std::fmt::Debug for Http2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Http2").field("descriptor", &self.descriptor).finish_non_exhaustive()
    }
}

/// After how much silence a PING goes out, and how long its answer may take.
fn times_of_ping() -> (Duration, Duration) {
    // So that the tests need not wait for that.
    if cfg!(debug_assertions)
        && let Some(millis) = env::var("RF_TEST_PING_MS").ok().and_then(|millis| millis.parse().ok())
    {
        let time = Duration::from_millis(millis);
        return (time, time);
    }
    (PING_AFTER, PING_WAIT)
}

fn hung_up(limits: &Limits) -> Error {
    let text = format!("Connection aborted: {} closed the connection without a response", limits.peer);
    Error::new(ErrorKind::Connection, text)
}

/// What the h2 crate says, as it is said here, with the name that HTTP/2 has for it.
fn failure(error: &Failed, limits: &Limits, flow: &Flow) -> Error {
    let peer = limits.peer;
    if flow.is_http1() {
        let text = format!("Connection aborted: {peer} speaks HTTP/1, not HTTP/2");
        return Error::new(ErrorKind::Connection, text);
    }
    if error.is_io() {
        return flow.failure(limits).unwrap_or_else(|| hung_up(limits));
    }
    let Some(reason) = error.reason() else {
        return Error::new(ErrorKind::Connection, format!("Connection aborted: HTTP/2 with {peer}: {error}"));
    };
    let what = match (error.is_remote(), error.is_reset()) {
        (true, true) => "reset the request",
        (true, false) => "ended the HTTP/2 connection",
        (false, _) => "broke the rules of HTTP/2",
    };
    Error::new(ErrorKind::Connection, format!("Connection aborted: {peer} {what}: {reason:?}"))
}

/// Why a server has not processed a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unprocessed {
    /// It may be sent again.
    Again,
    /// It may be sent again, over HTTP/1.1.
    ByHttp1,
    /// It does not speak HTTP/2, and would not the next time.
    Never,
}

fn unprocessed(error: &Failed) -> Option<Unprocessed> {
    match error.reason() {
        Some(Reason::HTTP_1_1_REQUIRED) if error.is_remote() => Some(Unprocessed::ByHttp1),
        Some(Reason::REFUSED_STREAM) if error.is_remote() && error.is_reset() => Some(Unprocessed::Again),
        // What was not beyond the last stream that it says ends in another way.
        _ if error.is_remote() && error.is_go_away() => Some(Unprocessed::Again),
        _ => None,
    }
}
