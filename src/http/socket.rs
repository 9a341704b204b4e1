//! A stream socket whose every wait ends: with data, with a time-out, with the deadline, or with an abort.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::io;
use std::iter;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::dialing::Origin;
use super::pace::{Bucket, Pace, Watch};
use super::trace;
use crate::future::control::{Control, Deadline, SLICE, Stopped};
use crate::future::monitor::Until;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::LowSpeed;
use crate::message::reach::KeepAlive;
use crate::system::fiber::{self, Here, READABLE, WRITABLE, Watched};

/// What bounds the waits of one phase of a request.
#[derive(Clone, Copy)]
pub struct Limits<'a> {
    pub control: &'a Control,
    /// The longest silence.
    pub silence: Option<Duration>,
    /// When it has to be done, whatever comes meanwhile, and what the user asked for, for the message: while connecting, and
    /// while a server is asked whether it wants a body.
    pub connect: Option<(Instant, Duration)>,
    pub step: Step,
    /// With whom: host and port, for messages.
    pub peer: &'a dyn fmt::Display,
    /// Of a body that is received.
    pub progress: Option<&'a Progress>,
    /// How fast it may go, and how slowly.
    pub pace: Option<&'a Pace>,
}

/// How much of a body has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    pub received: u64,
    pub total: Total,
}

/// How much will come.
#[derive(Clone, Copy, Debug, Default)]
pub enum Total {
    Bytes(u64),
    /// All up to the last chunk.
    Chunks,
    #[default]
    Unknown,
}

/// "120 of 500 bytes".
impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Progress { received, total } = self;
        match total {
            Total::Bytes(total) => write!(f, "{received} of {total} bytes"),
            Total::Chunks => write!(f, "{received} bytes, before its last chunk"),
            Total::Unknown => write!(f, "{received} bytes"),
        }
    }
}

/// What a request is busy with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    Resolve,
    Connect,
    Handshake,
    Tunnel,
    Send,
    Head,
    Body,
}

impl Step {
    fn is_of_connecting(self) -> bool {
        matches!(self, Step::Resolve | Step::Connect | Step::Handshake | Step::Tunnel)
    }
}

/// The step and with whom, as it continues a sentence: " while connecting to example.org:443".
impl fmt::Display for Limits<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let during = match self.step {
            Step::Resolve => "while resolving",
            Step::Connect => "while connecting to",
            Step::Handshake => "during the TLS handshake with",
            Step::Tunnel => "while waiting for a tunnel to",
            Step::Send => "while sending to",
            Step::Head => "while waiting for an answer from",
            Step::Body => "while receiving the body from",
        };
        write!(f, " {during} {}{}", self.peer, self.so_far())
    }
}

impl<'a> Limits<'a> {
    fn so_far(&self) -> String {
        self.progress.map_or(String::new(), |progress| format!(", after {progress}"))
    }

    /// The same in another step, with whom.
    pub fn to(self, step: Step, peer: &'a dyn fmt::Display) -> Limits<'a> {
        Limits { step, peer, ..self }
    }

    /// Begins a wait. An error when there is no time left for one.
    pub fn wait(&self) -> Result<Wait, Error> {
        let silence = if self.step.is_of_connecting() { None } else { self.silence };
        let connect = self.connect.map(|(until, _)| until);
        let fixed = [connect, self.control.ends_at()].into_iter().flatten().min();
        if fixed.is_none() && silence.is_none() {
            return Ok(Wait { until: None, left: None });
        }
        let now = Instant::now();
        if fixed.is_some_and(|fixed| fixed <= now) {
            return Err(self.timed_out());
        }
        let quiet = silence.and_then(|silence| now.checked_add(silence));
        let until = [fixed, quiet].into_iter().flatten().min();
        Ok(Wait { until, left: until.map(|until| until - now) })
    }

    /// How long somebody may sleep who is not woken by an abort. An error when there is a reason to give up.
    pub fn next_look(&self) -> Result<Until, Error> {
        if self.control.is_aborted() {
            return Err(Error::aborted());
        }
        let until = self.wait()?.until.map_or(Until::Forever, Until::At);
        // An abort wakes a fiber.
        Ok(if fiber::here().is_some() { until } else { until.or_soon() })
    }

    /// What slows a body down.
    pub fn bucket(&self) -> Option<&'a Bucket> {
        self.pace?.limit.as_ref()
    }

    pub fn watch(&self) -> Option<&'a Watch> {
        self.pace?.low.as_ref()
    }

    /// The most of a body that goes at once, out of so many bytes.
    pub fn piece(&self, bytes: usize) -> usize {
        self.bucket().map_or(bytes, |bucket| bytes.min(bucket.piece()))
    }

    /// So many bytes of a body go, or have come: waits until the limit allows that.
    #[inline]
    pub fn hold_back(&self, count: usize) -> Result<(), Error> {
        self.bucket().map_or(Ok(()), |bucket| self.wait_for(bucket, count))
    }

    #[cold]
    fn wait_for(&self, bucket: &Bucket, count: usize) -> Result<(), Error> {
        let until = bucket.take(count, Instant::now());
        let end = self.control.ends_at().map_or(until, |end| end.min(until));
        loop {
            Error::check(self.control, self)?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(());
            }
            // An abort wakes a fiber.
            let left = end.saturating_duration_since(Instant::now()).min(left);
            fiber::sleep(if fiber::here().is_some() { left } else { left.min(SLICE) });
        }
    }

    /// The error of a wait that ended with its time.
    pub fn timed_out(&self) -> Error {
        if self.control.is_aborted() {
            return Error::aborted();
        }
        if let Some(deadline) = self.control.deadline().filter(Deadline::is_over) {
            return Error::stopped(Stopped::Late(deadline), self);
        }
        if self.step.is_of_connecting() {
            let asked = self.connect.map_or(String::new(), |(_, asked)| seconds(asked));
            let missing = match self.step {
                Step::Resolve => "address of",
                Step::Handshake => "end of the TLS handshake with",
                Step::Tunnel => "tunnel to",
                _ => "connection to",
            };
            let text = format!(
                "No {missing} {} within {asked} s: Connection timed out. (connect timeout={asked})",
                self.peer
            );
            return Error::new(ErrorKind::ConnectTimeout, text);
        }
        if let Some((asked, bytes)) = self.watch().and_then(Watch::verdict) {
            return self.too_slow(asked, bytes);
        }
        let asked = self.silence.map_or(String::new(), seconds);
        let (peer, so_far) = (self.peer, self.so_far());
        let silence = match self.step {
            Step::Send => format!("{peer} took no data for {asked} s"),
            Step::Body => format!("No data from {peer} for {asked} s{so_far}"),
            _ => format!("No answer from {peer} for {asked} s"),
        };
        // The words of requests.
        Error::new(ErrorKind::ReadTimeout, format!("{silence}: Read timed out. (read timeout={asked})"))
    }

    fn too_slow(&self, asked: LowSpeed, bytes: u64) -> Error {
        let LowSpeed { bytes_per_s, time } = asked;
        let (peer, so_far, time) = (self.peer, self.so_far(), seconds(time));
        let what = match self.step {
            Step::Send => format!("{peer} took only {bytes} bytes in {time} s"),
            Step::Body => format!("Only {bytes} bytes to and from {peer} in {time} s{so_far}"),
            _ => format!("No answer from {peer}, and only {bytes} bytes in {time} s"),
        };
        let text = format!("{what}: Read timed out. (low speed={bytes_per_s} bytes/s for {time} s)");
        Error::new(ErrorKind::ReadTimeout, text)
    }

    /// The error of a connection that the other side or the system has ended.
    pub fn lost(&self, error: &io::Error) -> Error {
        self.failed(format_args!("Connection aborted{self}"), error)
    }

    /// Of an error that came through `std::io`: our own is untouched, and another one is the connection's end.
    pub fn explain(&self, error: io::Error) -> Error {
        Error::from_io(error).unwrap_or_else(|error| self.lost(&error))
    }

    fn failed(&self, what: impl fmt::Display, error: &io::Error) -> Error {
        if self.control.is_aborted() {
            Error::aborted()
        } else {
            Error::os(ErrorKind::Connection, what, error)
        }
    }
}

/// One wait, from its beginning to the first of what ends it: the silence, the connect time-out, the deadline. A signal
/// that interrupts it does not make it longer.
#[derive(Clone, Copy, Debug)]
pub struct Wait {
    pub until: Option<Instant>,
    /// What was left when this was last asked for; None: it lasts as long as it takes.
    left: Option<Duration>,
}

impl Wait {
    /// After an interruption: what is left now. An error when that is nothing.
    fn go_on(&mut self, limits: &Limits) -> Result<(), Error> {
        if limits.control.is_aborted() {
            return Err(Error::aborted());
        }
        if let Some(until) = self.until {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(limits.timed_out());
            }
            self.left = Some(left);
        }
        Ok(())
    }
}

/// A part of a wait.
#[derive(Clone, Copy, Debug)]
struct Stretch {
    left: Option<Duration>,
    /// When it began, where somebody watches how fast it goes: then the wait may go on behind it.
    begun: Option<Instant>,
}

impl Stretch {
    /// It is over without anything. An error when the wait is, too.
    fn end(self, wait: &mut Wait, limits: &Limits) -> Result<(), Error> {
        match self.begun {
            Some(_) => wait.go_on(limits),
            None => Err(limits.timed_out()),
        }
    }
}

/// Seconds as Python shows a float.
fn seconds(duration: Duration) -> String {
    format!("{:?}", duration.as_secs_f64())
}

/// A connected socket. Blocking; receiving is bounded by SO_RCVTIMEO, sending by poll(2). In a fiber no call blocks: the
/// fiber waits until it is told that there is something to do.
#[derive(Debug)]
pub struct Socket {
    descriptor: OwnedFd,
    /// What it is connected to; None: no address of IP.
    pub remote: Option<SocketAddr>,
    /// What SO_RCVTIMEO stands at.
    receive_timeout: Option<Duration>,
    /// How many bytes were sent since this was last made 0.
    pub written: Cell<u64>,
    /// The wait that began when it was full, until it takes something again.
    full: Cell<Option<Wait>>,
    /// What tells fibers of it; None until one has used it.
    watched: RefCell<Option<Arc<Watched>>>,
    /// How much has gone and come since the fiber gave way to others.
    burst: Cell<usize>,
}

/// A fiber gives way to others after so many bytes.
const BURST: usize = 256 * 1024;

impl Socket {
    pub fn descriptor(&self) -> RawFd {
        self.descriptor.as_raw_fd()
    }

    /// Its own address, of IP.
    pub fn local(&self) -> Option<SocketAddr> {
        self.remote?;
        // SAFETY: all zeroes are a valid sockaddr of every family.
        let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
        let mut length = size_of::<libc::sockaddr_storage>() as libc::socklen_t;
        // SAFETY: the storage is writable for the length given.
        let result =
            unsafe { libc::getsockname(self.descriptor(), (&raw mut storage).cast(), &raw mut length) };
        // SAFETY: the system has filled it in.
        if result < 0 { None } else { unsafe { address_of_raw((&raw const storage).cast()) } }
    }

    /// Bytes received; 0 at the end of the stream.
    pub fn receive(&mut self, buffer: &mut [u8], limits: &Limits) -> Result<usize, Error> {
        self.receive_by(buffer.len(), limits, |socket, flags| socket.try_receive(buffer, flags))
    }

    /// The same, behind what `content` holds, into memory that it has reserved: at most `most` bytes.
    pub fn receive_into(
        &mut self,
        content: &mut Vec<u8>,
        most: usize,
        limits: &Limits,
    ) -> Result<usize, Error> {
        let most = most.min(content.spare_capacity_mut().len());
        self.receive_by(most, limits, |socket, flags| {
            let spare = content.spare_capacity_mut();
            let most = most.min(spare.len());
            // SAFETY: the spare capacity is writable for its whole length during the call.
            let count = unsafe { libc::recv(socket.descriptor(), spare.as_mut_ptr().cast(), most, flags) };
            let received = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
            // SAFETY: so many bytes of the spare capacity, and no more than there are, were just written.
            unsafe { content.set_len(content.len() + received) };
            Ok(received)
        })
    }

    /// Waits, in a fiber, until there is something to be received, or the end: who has no memory for it yet need not have
    /// it any sooner. On a thread it does not wait, as the call that receives is the one that waits there.
    pub fn await_input(&mut self, limits: &Limits) -> Result<(), Error> {
        match fiber::here() {
            // Without room nothing is received, and what is there stays.
            Some(_) => self.receive_by(0, limits, |_, _| Ok(0)).map(drop),
            None => Ok(()),
        }
    }

    /// By this call, which has so much room and takes flags of recv(2).
    fn receive_by(
        &mut self,
        room: usize,
        limits: &Limits,
        mut receive: impl FnMut(&Socket, i32) -> io::Result<usize>,
    ) -> Result<usize, Error> {
        let here = fiber::here();
        let mut wait = limits.wait()?;
        loop {
            let stretch = self.stretch(&wait, limits)?;
            let received = match here {
                Some(here) => self.receive_in_fiber(here, room, stretch.left, &mut receive),
                None => {
                    fiber::blocks();
                    if stretch.left != self.receive_timeout {
                        set_receive_timeout(self.descriptor(), stretch.left)
                            .map_err(|error| limits.failed("Cannot set the time-out of a socket", &error))?;
                        self.receive_timeout = stretch.left;
                    }
                    receive(self, 0)
                }
            };
            self.waited(&stretch, limits, *received.as_ref().unwrap_or(&0));
            match received {
                // After an abort an end is the shutdown of our own side.
                _ if limits.control.is_aborted() => return Err(Error::aborted()),
                Ok(received) => return Ok(received),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => wait.go_on(limits)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => stretch.end(&mut wait, limits)?,
                Err(error) => return Err(limits.lost(&error)),
            }
        }
    }

    /// `WouldBlock` when the time is over, `Interrupted` when there is another reason to look again.
    fn receive_in_fiber(
        &self,
        here: Here<'_>,
        room: usize,
        left: Option<Duration>,
        receive: &mut dyn FnMut(&Socket, i32) -> io::Result<usize>,
    ) -> io::Result<usize> {
        self.give_way(here);
        if !self.await_in_fiber(here, READABLE, left)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let received = receive(self, libc::MSG_DONTWAIT);
        let watched = self.watch(here)?;
        match received {
            Ok(count) => {
                // What does not fill the room is all there was.
                if count < room {
                    watched.readiness.clear(READABLE);
                }
                self.burst.set(self.burst.get() + count);
                Ok(count)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                watched.readiness.clear(READABLE);
                Err(io::ErrorKind::Interrupted.into())
            }
            Err(error) => Err(error),
        }
    }

    /// What tells this fiber, and others, of the socket.
    fn watch(&self, here: Here<'_>) -> io::Result<Ref<'_, Arc<Watched>>> {
        if let Some(watched) = self.watched(&here) {
            return Ok(watched);
        }
        *self.watched.borrow_mut() = Some(Arc::new(here.watch(self.descriptor())?));
        Ok(Ref::map(self.watched.borrow(), |watched| watched.as_ref().expect("watched from now on")))
    }

    /// The same, where it is told of already.
    fn watched(&self, here: &Here<'_>) -> Option<Ref<'_, Arc<Watched>>> {
        let of_this =
            |watched: &'_ Option<Arc<Watched>>| watched.as_ref().is_some_and(|watched| watched.is_for(here));
        let watched = self.watched.borrow();
        of_this(&watched).then(|| Ref::map(watched, |watched| watched.as_ref().expect("looked at above")))
    }

    /// The same for who waits without the socket.
    pub fn watch_shared(&self, here: Here<'_>) -> io::Result<Arc<Watched>> {
        self.watch(here).map(|watched| watched.clone())
    }

    /// True when it is ready, false when the time is over; `Interrupted` when there is another reason to look again.
    fn await_in_fiber(&self, here: Here<'_>, wanted: u8, left: Option<Duration>) -> io::Result<bool> {
        let watched = self.watch(here)?;
        if watched.readiness.has(wanted) {
            return Ok(true);
        }
        self.burst.set(0);
        let until = left.and_then(|left| Instant::now().checked_add(left));
        here.wait_for(iter::once(&**watched), wanted, until);
        if watched.readiness.has(wanted) {
            return Ok(true);
        }
        if until.is_some_and(|until| Instant::now() >= until) {
            return Ok(false);
        }
        Err(io::ErrorKind::Interrupted.into())
    }

    /// One that never waits must not keep the others from going on.
    fn give_way(&self, here: Here<'_>) {
        if self.burst.get() >= BURST {
            self.burst.set(0);
            here.give_way();
        }
    }

    /// The wait, or as much of it as may pass before it is looked at again how fast it goes. An error when that was too
    /// slow.
    #[inline]
    fn stretch(&self, wait: &Wait, limits: &Limits) -> Result<Stretch, Error> {
        match limits.watch() {
            None => Ok(Stretch { left: wait.left, begun: None }),
            Some(watch) => self.watched_stretch(watch, wait, limits),
        }
    }

    #[cold]
    fn watched_stretch(&self, watch: &Watch, wait: &Wait, limits: &Limits) -> Result<Stretch, Error> {
        let Some(left) = watch.left() else { return Err(limits.timed_out()) };
        // What has left before this is none of it.
        self.left_since(watch, limits);
        let left = wait.left.map_or(left, |longest| longest.min(left));
        Ok(Stretch { left: Some(left), begun: Some(Instant::now()) })
    }

    #[inline]
    fn waited(&self, stretch: &Stretch, limits: &Limits, received: usize) {
        if let (Some(begun), Some(watch)) = (stretch.begun, limits.watch()) {
            watch.waited(begun.elapsed(), received as u64 + self.left_since(watch, limits));
        }
    }

    /// How many bytes the other side's system has taken since this was last asked. While an answer is awaited the end of
    /// the request may still be on its way.
    #[cold]
    fn left_since(&self, watch: &Watch, limits: &Limits) -> u64 {
        if limits.step == Step::Body {
            return 0;
        }
        let written = i64::try_from(self.written.get()).unwrap_or(i64::MAX);
        watch.left_since(written - i64::from(unsent(self.descriptor())))
    }

    /// What is there, without waiting.
    pub fn receive_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.try_receive(buffer, libc::MSG_DONTWAIT)
    }

    /// Whether nothing is there to be read, not even the end.
    pub fn is_silent(&self) -> bool {
        let watched = fiber::here().and_then(|here| self.watched(&here));
        if watched.as_ref().is_some_and(|watched| !watched.readiness.has(READABLE)) {
            return true;
        }
        let is_silent = matches!(self.try_receive(&mut [0], libc::MSG_PEEK | libc::MSG_DONTWAIT),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock);
        if let Some(watched) = watched.filter(|_| is_silent) {
            watched.readiness.clear(READABLE);
        }
        is_silent
    }

    fn try_receive(&self, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
        // SAFETY: the buffer is writable for its whole length during the call.
        let count = unsafe { libc::recv(self.descriptor(), buffer.as_mut_ptr().cast(), buffer.len(), flags) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// Sends from several pieces in one call, without waiting; how many bytes went.
    pub fn send_now(&self, pieces: &[io::IoSlice]) -> io::Result<usize> {
        let here = fiber::here();
        if let Some(here) = here {
            self.give_way(here);
        }
        let sent = self.try_send(pieces);
        if let Err(error) = &sent
            && error.kind() == io::ErrorKind::WouldBlock
            && let Some(here) = here
            && let Some(watched) = self.watched(&here)
        {
            watched.readiness.clear(WRITABLE);
        }
        sent
    }

    /// The same, whoever else may have something to do.
    pub fn try_send(&self, pieces: &[io::IoSlice]) -> io::Result<usize> {
        let flags = libc::MSG_DONTWAIT | NO_SIGNAL;
        let count = if let [piece] = pieces {
            // SAFETY: the piece is readable for its whole length during the call.
            unsafe { libc::send(self.descriptor(), piece.as_ptr().cast(), piece.len(), flags) }
        } else {
            // SAFETY: all zeroes are an empty message.
            let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
            message.msg_iov = pieces.as_ptr().cast_mut().cast();
            message.msg_iovlen = pieces.len() as _;
            // SAFETY: IoSlice has the layout of iovec, and sendmsg only reads what the pieces point to.
            unsafe { libc::sendmsg(self.descriptor(), &message, flags) }
        };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        self.burst.set(self.burst.get() + count);
        self.written.set(self.written.get() + count as u64);
        self.full.set(None);
        Ok(count)
    }

    /// What happened to a request before is forgotten.
    pub fn begin(&self) {
        self.written.set(0);
        self.full.set(None);
    }

    /// Waits until it can send again, or, if `or_receive`, until there is something to read. The time counts from when
    /// the socket last took something, however often it was looked at meanwhile.
    pub fn wait_to_send(&self, or_receive: bool, limits: &Limits) -> Result<(), Error> {
        let events = if or_receive { libc::POLLOUT | libc::POLLIN } else { libc::POLLOUT };
        let wanted = if or_receive { WRITABLE | READABLE } else { WRITABLE };
        let mut wait = match self.full.get() {
            Some(mut wait) => {
                wait.go_on(limits)?;
                wait
            }
            None => limits.wait()?,
        };
        self.full.set(Some(wait));
        loop {
            let stretch = self.stretch(&wait, limits)?;
            let ready = match fiber::here() {
                Some(here) => self.await_in_fiber(here, wanted, stretch.left),
                None => poll(self.descriptor(), events, stretch.left),
            };
            self.waited(&stretch, limits, 0);
            match ready {
                _ if limits.control.is_aborted() => return Err(Error::aborted()),
                Ok(true) => return Ok(()),
                Ok(false) => stretch.end(&mut wait, limits)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => wait.go_on(limits)?,
                Err(error) => return Err(limits.lost(&error)),
            }
        }
    }

    /// Connects to the first address that answers. An address that keeps silent for a moment has the next one
    /// tried beside it (RFC 8305).
    pub fn connect(
        addresses: &[SocketAddr],
        origin: &Origin,
        keepalive: Option<Option<KeepAlive>>,
        limits: &Limits,
    ) -> Result<Socket, Error> {
        let mut attempts: Vec<Attempt> = Vec::new();
        let mut untried = interleaved(addresses).into_iter();
        let mut last = None;
        let mut next_at = Instant::now();
        loop {
            Error::check(limits.control, limits)?;
            if attempts.is_empty() || Instant::now() >= next_at {
                match untried.next() {
                    Some(address) => {
                        next_at = Instant::now() + Duration::from_millis(250);
                        trace::info(limits.control, || format!("Trying {address}"))?;
                        match Attempt::begin(address, origin) {
                            Ok((attempt, true)) => return attempt.ready(keepalive),
                            Ok((attempt, false)) => attempts.push(attempt),
                            Err(error) => last = Some((error, address)),
                        }
                        continue;
                    }
                    None if attempts.is_empty() => break,
                    None => next_at = Instant::now() + Duration::from_secs(3600),
                }
            }
            // One at a time: the others are still there at the next look.
            if let Some(index) = await_any(&attempts, next_at, limits)? {
                let attempt = attempts.remove(index);
                match pending_error(attempt.descriptor.as_raw_fd()) {
                    None => return attempt.ready(keepalive),
                    Some(error) => {
                        last = Some((error, attempt.address));
                        next_at = Instant::now();
                    }
                }
            }
        }
        let (error, address) =
            last.unwrap_or_else(|| (io::Error::from_raw_os_error(libc::EADDRNOTAVAIL), addresses[0]));
        Err(not_connected(address, origin, &error, limits))
    }

    pub fn connect_unix(path: &str, limits: &Limits) -> Result<Socket, Error> {
        let what = format_args!("Failed to connect to the Unix socket {path}");
        let failed = |error| limits.failed(what, &error);
        let (address, length) = unix_address(path).map_err(failed)?;
        let descriptor = new_socket(libc::AF_UNIX).map_err(failed)?;
        loop {
            // SAFETY: the address is initialised for its length.
            let result =
                unsafe { libc::connect(descriptor.as_raw_fd(), (&raw const address).cast(), length) };
            if result == 0 {
                break;
            }
            let error = io::Error::last_os_error();
            // A Unix socket with a full backlog says so at once; there is nothing to poll for.
            if error.kind() != io::ErrorKind::WouldBlock && error.kind() != io::ErrorKind::Interrupted {
                return Err(failed(error));
            }
            Error::check(limits.control, limits)?;
            fiber::sleep(limits.wait()?.left.map_or(SLICE, |left| left.min(SLICE)));
        }
        set_blocking(descriptor.as_raw_fd()).map_err(failed)?;
        Ok(descriptor.into())
    }
}

/// None of the addresses has answered, and this one was the last.
#[cold]
fn not_connected(address: SocketAddr, origin: &Origin, error: &io::Error, limits: &Limits) -> Error {
    let peer = limits.peer.to_string();
    let address = address.to_string();
    let tried = if peer == address { String::new() } else { format!(" ({address})") };
    limits.failed(format_args!("Failed to establish a new connection to {peer}{tried}{origin}"), error)
}

/// A stream socket that is connected and blocks.
impl From<OwnedFd> for Socket {
    fn from(descriptor: OwnedFd) -> Socket {
        Socket {
            descriptor,
            remote: None,
            receive_timeout: None,
            written: Cell::new(0),
            full: Cell::new(None),
            watched: RefCell::new(None),
            burst: Cell::new(0),
        }
    }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
const NO_SIGNAL: i32 = libc::MSG_NOSIGNAL;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const NO_SIGNAL: i32 = 0;

/// Address families in turn, the resolver's order kept within each.
#[inline(never)]
fn interleaved(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    let first_is_v6 = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut first, mut second): (Vec<_>, Vec<_>) =
        addresses.iter().partition::<Vec<SocketAddr>, _>(|address| address.is_ipv6() == first_is_v6);
    let mut mixed = Vec::with_capacity(addresses.len());
    first.reverse();
    second.reverse();
    while !first.is_empty() || !second.is_empty() {
        mixed.extend(first.pop());
        mixed.extend(second.pop());
    }
    mixed
}

fn new_socket(family: i32) -> io::Result<OwnedFd> {
    #[cfg(target_os = "linux")]
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
    #[cfg(not(target_os = "linux"))]
    let kind = libc::SOCK_STREAM;
    // SAFETY: no pointers.
    let descriptor = unsafe { libc::socket(family, kind, 0) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call above has just opened it, and nobody else knows it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    #[cfg(not(target_os = "linux"))]
    {
        // SAFETY: no pointers; the descriptor is open.
        unsafe {
            libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC);
            libc::fcntl(descriptor.as_raw_fd(), libc::F_SETFL, libc::O_NONBLOCK);
        }
        set_flag(descriptor.as_raw_fd(), libc::SOL_SOCKET, libc::SO_NOSIGPIPE)?;
    }
    Ok(descriptor)
}

/// A socket that connects.
struct Attempt {
    descriptor: OwnedFd,
    address: SocketAddr,
    /// In a fiber.
    watched: Option<Watched>,
}

impl Attempt {
    /// Starts to connect; true when it is done already.
    #[inline(never)]
    fn begin(address: SocketAddr, origin: &Origin) -> io::Result<(Attempt, bool)> {
        let descriptor = new_socket(if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 })?;
        origin.bind(descriptor.as_raw_fd(), &address)?;
        let (storage, length) = raw_address(&address);
        // SAFETY: the storage is initialised for its length.
        let result = unsafe { libc::connect(descriptor.as_raw_fd(), (&raw const storage).cast(), length) };
        if result == 0 {
            return Ok((Attempt { descriptor, address, watched: None }, true));
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINPROGRESS | libc::EINTR) => {
                let watched = fiber::here().map(|here| here.watch(descriptor.as_raw_fd())).transpose()?;
                Ok((Attempt { descriptor, address, watched }, false))
            }
            _ => Err(error),
        }
    }

    /// It has connected.
    fn ready(self, keepalive: Option<Option<KeepAlive>>) -> Result<Socket, Error> {
        let Attempt { descriptor, address, watched } = self;
        let failed = |error| {
            Error::os(ErrorKind::Connection, format!("Cannot set up the socket to {address}"), &error)
        };
        set_blocking(descriptor.as_raw_fd()).map_err(failed)?;
        set_flag(descriptor.as_raw_fd(), libc::IPPROTO_TCP, libc::TCP_NODELAY).map_err(failed)?;
        if keepalive != Some(None) {
            set_flag(descriptor.as_raw_fd(), libc::SOL_SOCKET, libc::SO_KEEPALIVE).map_err(failed)?;
        }
        if let Some(Some(keepalive)) = keepalive {
            set_keepalive(descriptor.as_raw_fd(), keepalive).map_err(failed)?;
        }
        let socket = Socket { remote: Some(address), ..Socket::from(descriptor) };
        *socket.watched.borrow_mut() = watched.map(Arc::new);
        Ok(socket)
    }
}

/// Waits until one of them has connected, or failed: which; None when it is time for the next one, or to look again.
fn await_any(attempts: &[Attempt], next_at: Instant, limits: &Limits) -> Result<Option<usize>, Error> {
    let wait = limits.wait()?;
    let Some(here) = fiber::here() else {
        // An abort has no socket to shut down here: several may be under way.
        return Ok(poll_all(attempts, wait.left.map_or(SLICE, |left| left.min(SLICE))));
    };
    let until = wait.until.map_or(next_at, |until| until.min(next_at));
    let watched = attempts.iter().filter_map(|attempt| attempt.watched.as_ref());
    here.wait_for(watched, WRITABLE, Some(until));
    let is_ready =
        |attempt: &Attempt| attempt.watched.as_ref().is_some_and(|watched| watched.readiness.has(WRITABLE));
    Ok(attempts.iter().position(is_ready))
}

pub(super) fn raw_address(address: &SocketAddr) -> (libc::sockaddr_storage, libc::socklen_t) {
    // SAFETY: all zeroes are a valid sockaddr of every family.
    let mut storage: libc::sockaddr_storage = unsafe { std::mem::zeroed() };
    let length = match address {
        SocketAddr::V4(v4) => {
            // SAFETY: sockaddr_storage is large enough and aligned for every family.
            let raw = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in>() };
            raw.sin_family = libc::AF_INET as _;
            raw.sin_port = v4.port().to_be();
            raw.sin_addr.s_addr = u32::from_ne_bytes(v4.ip().octets());
            size_of::<libc::sockaddr_in>()
        }
        SocketAddr::V6(v6) => {
            // SAFETY: as above.
            let raw = unsafe { &mut *(&raw mut storage).cast::<libc::sockaddr_in6>() };
            raw.sin6_family = libc::AF_INET6 as _;
            raw.sin6_port = v6.port().to_be();
            raw.sin6_addr.s6_addr = v6.ip().octets();
            raw.sin6_flowinfo = v6.flowinfo();
            raw.sin6_scope_id = v6.scope_id();
            size_of::<libc::sockaddr_in6>()
        }
    };
    (storage, length as libc::socklen_t)
}

/// None: it is not one of IP.
///
/// SAFETY: it points to an address that is whole for the family that it names.
pub(super) unsafe fn address_of_raw(raw: *const libc::sockaddr) -> Option<SocketAddr> {
    // SAFETY: as said above.
    match i32::from(unsafe { (*raw).sa_family }) {
        libc::AF_INET => {
            // SAFETY: as above.
            let raw = unsafe { &*raw.cast::<libc::sockaddr_in>() };
            let address = Ipv4Addr::from(raw.sin_addr.s_addr.to_ne_bytes());
            Some(SocketAddrV4::new(address, u16::from_be(raw.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let raw = unsafe { &*raw.cast::<libc::sockaddr_in6>() };
            let (address, port) = (Ipv6Addr::from(raw.sin6_addr.s6_addr), u16::from_be(raw.sin6_port));
            Some(SocketAddrV6::new(address, port, raw.sin6_flowinfo, raw.sin6_scope_id).into())
        }
        _ => None,
    }
}

fn unix_address(path: &str) -> io::Result<(libc::sockaddr_un, libc::socklen_t)> {
    // SAFETY: all zeroes are an empty Unix address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as _;
    if path.is_empty() || path.len() >= address.sun_path.len() || path.contains('\0') {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in address.sun_path.iter_mut().zip(path.bytes()) {
        *to = from as _;
    }
    Ok((address, size_of::<libc::sockaddr_un>() as libc::socklen_t))
}

fn set_blocking(descriptor: RawFd) -> io::Result<()> {
    // SAFETY: no pointers; the descriptor is open.
    let result = unsafe { libc::fcntl(descriptor, libc::F_SETFL, 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

fn set_flag(descriptor: RawFd, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    set_option(descriptor, level, option, &on)
}

fn set_keepalive(descriptor: RawFd, keepalive: KeepAlive) -> io::Result<()> {
    #[cfg(not(target_vendor = "apple"))]
    const IDLE: i32 = libc::TCP_KEEPIDLE;
    #[cfg(target_vendor = "apple")]
    const IDLE: i32 = libc::TCP_KEEPALIVE;
    let set = |option, value: i32| set_option(descriptor, libc::IPPROTO_TCP, option, &value);
    set(IDLE, keepalive.idle.into())?;
    if let Some(interval) = keepalive.interval {
        set(libc::TCP_KEEPINTVL, interval.into())?;
    }
    keepalive.count.map_or(Ok(()), |count| set(libc::TCP_KEEPCNT, count.into()))
}

fn set_receive_timeout(descriptor: RawFd, timeout: Option<Duration>) -> io::Result<()> {
    let micros = timeout.map_or(0, |timeout| timeout.as_micros().max(1));
    let value = libc::timeval {
        // As much as every time_t takes.
        tv_sec: (micros / 1_000_000).min(i32::MAX as u128) as _,
        tv_usec: (micros % 1_000_000) as _,
    };
    set_option(descriptor, libc::SOL_SOCKET, libc::SO_RCVTIMEO, &value)
}

pub(super) fn set_option<T>(descriptor: RawFd, level: i32, option: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is readable for its length.
    let result =
        unsafe { libc::setsockopt(descriptor, level, option, std::ptr::from_ref(value).cast(), length) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// How many bytes are on their way, which the other side's system has not taken yet; 0 where nobody tells.
fn unsent(descriptor: RawFd) -> i32 {
    let mut bytes: libc::c_int = 0;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    // SAFETY: SIOCOUTQ, which has the number of TIOCOUTQ, fills in one int.
    unsafe {
        libc::ioctl(descriptor, libc::TIOCOUTQ, &raw mut bytes)
    };
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    let _ = (descriptor, &mut bytes);
    bytes
}

fn pending_error(descriptor: RawFd) -> Option<io::Error> {
    let mut code: libc::c_int = 0;
    let mut length = size_of::<libc::c_int>() as libc::socklen_t;
    // SAFETY: both are writable for the length given.
    let result = unsafe {
        libc::getsockopt(descriptor, libc::SOL_SOCKET, libc::SO_ERROR, (&raw mut code).cast(), &mut length)
    };
    match (result, code) {
        (0, 0) => None,
        (0, code) => Some(io::Error::from_raw_os_error(code)),
        _ => Some(io::Error::last_os_error()),
    }
}

/// True when one of the events is there, false when the time is over.
fn poll(descriptor: RawFd, events: i16, wait: Option<Duration>) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: descriptor, events, revents: 0 };
    // SAFETY: one entry, alive during the call.
    match unsafe { libc::poll(&mut entry, 1, poll_millis(wait)) } {
        count if count < 0 => Err(io::Error::last_os_error()),
        count => Ok(count > 0),
    }
}

/// Closes what a forked child has of a connection whose owner nobody can drop there.
pub fn close_copy(socket: RawFd) {
    // SAFETY: the owner is forgotten, so nobody else closes it or uses it.
    unsafe { libc::close(socket) };
}

/// Blocks until a socket can be read, or written where that is wanted, or the other descriptor can be read, or so long.
/// What the socket is ready for: reading, writing.
pub fn await_either(
    socket: RawFd,
    wants_write: bool,
    other: RawFd,
    wait: Option<Duration>,
) -> io::Result<(bool, bool)> {
    let events = if wants_write { libc::POLLIN | libc::POLLOUT } else { libc::POLLIN };
    let mut entries = [
        libc::pollfd { fd: socket, events, revents: 0 },
        libc::pollfd { fd: other, events: libc::POLLIN, revents: 0 },
    ];
    // SAFETY: two entries, alive during the call.
    if unsafe { libc::poll(entries.as_mut_ptr(), 2, poll_millis(wait)) } < 0 {
        return Err(io::Error::last_os_error());
    }
    let ready = entries[0].revents;
    let ended = ready & !(libc::POLLIN | libc::POLLOUT) != 0;
    Ok((ended || ready & libc::POLLIN != 0, ended || ready & libc::POLLOUT != 0))
}

/// The index of a connection that is made or has failed.
fn poll_all(attempts: &[Attempt], wait: Duration) -> Option<usize> {
    let mut entries: Vec<_> = attempts
        .iter()
        .map(|attempt| libc::pollfd { fd: attempt.descriptor.as_raw_fd(), events: libc::POLLOUT, revents: 0 })
        .collect();
    // SAFETY: the entries are alive during the call.
    unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as _, poll_millis(Some(wait))) };
    entries.iter().position(|entry| entry.revents != 0)
}

fn poll_millis(wait: Option<Duration>) -> i32 {
    // Rounded up: a wait that ends early would be taken for one that is over.
    wait.map_or(-1, |wait| i32::try_from(wait.as_micros().div_ceil(1000)).unwrap_or(i32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn limits(control: &Control) -> Limits<'_> {
        Limits {
            control,
            silence: Some(Duration::from_millis(30)),
            connect: None,
            step: Step::Head,
            peer: &"test",
            progress: None,
            pace: None,
        }
    }

    #[test]
    fn families_take_turns() {
        let all: Vec<SocketAddr> =
            ["[::1]:1", "[::2]:1", "1.1.1.1:1", "2.2.2.2:1"].map(|text| text.parse().unwrap()).to_vec();
        let mixed: Vec<String> = interleaved(&all).iter().map(ToString::to_string).collect();
        assert_eq!(mixed, ["[::1]:1", "1.1.1.1:1", "[::2]:1", "2.2.2.2:1"]);
    }

    #[test]
    fn silence_ends_a_receive_and_an_abort_ends_it_sooner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let control = std::sync::Arc::new(Control::new());
        let mut socket =
            Socket::connect(&[listener.local_addr().unwrap()], &Origin::Any, None, &limits(&control))
                .unwrap();
        let error = socket.receive(&mut [0; 8], &limits(&control)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ReadTimeout);
        assert_eq!(
            error.message().as_str(),
            "No answer from test for 0.03 s: Read timed out. (read timeout=0.03)"
        );

        control.attach(socket.descriptor());
        let other = control.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(30));
            other.abort();
        });
        let endless = Limits { silence: None, ..limits(&control) };
        assert_eq!(socket.receive(&mut [0; 8], &endless).unwrap_err().kind(), ErrorKind::Aborted);
        thread.join().unwrap();
        control.detach(socket.descriptor());
    }

    #[test]
    fn a_refused_connection_names_the_address_and_the_system_error() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Socket::connect(&[closed], &Origin::Any, None, &limits(&Control::new())).unwrap_err();
        assert_eq!((error.kind(), error.os_code()), (ErrorKind::Connection, libc::ECONNREFUSED));
        assert!(error.message().as_str().contains(&closed.to_string()));
    }
}
