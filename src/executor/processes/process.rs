//! One worker process, seen from the process that started it.

use std::borrow::Cow;
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{self, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{self, Channel, Kind, Patience};
use super::memory;
use super::program::Program;
use crate::executor::wire::{self, EncodedTask, ErrorMessage, Follows, Reply, TaskName};
use crate::future::control::{Control, SLICE, Stopped};
use crate::http::request::{Outcome, Request};
use crate::message::error::{Error, ErrorKind, os_text};
use crate::message::response::{Source, Trailers};
use crate::system::fork;
use crate::system::lock::Mutex;
use crate::system::signal::Signal;

/// How long a process may take to be ready.
const START: Duration = Duration::from_secs(30);
/// An aborted request has this long to end by itself; and this long where the process passes bodies of others on.
const ABORT: Duration = Duration::from_millis(35);
const ABORT_AMONG_OTHERS: Duration = Duration::from_secs(1);
/// A process that was told of a request's deadline has this long to answer: one of the user's functions may be running.
const DEADLINE: Duration = Duration::from_secs(1);
/// What has arrived is read for this long after the time was over.
const LAST_WORDS: Duration = Duration::from_millis(10);
/// A process whose side of the connection is closed has this long to be dead.
const EXIT: Duration = Duration::from_millis(100);
/// How often it is looked for its death where nothing tells of that.
const LOOK: Duration = Duration::from_millis(1);
/// A process that is not needed any more has this long to end by itself.
const END: Duration = Duration::from_secs(2);
/// So many hosts are remembered of each process.
const HOSTS: usize = 32;

/// Why there is no outcome.
pub enum Trouble {
    /// The process was gone before it was asked.
    Unsent(Error),
    /// It died, or had to be killed.
    Broken(Error),
}

pub struct Process {
    // First, so that the process sees the end of its work before it is waited for.
    channel: Channel,
    child: Arc<Child>,
    /// What an abort sets.
    wake: Arc<Signal>,
    hosts: Vec<Box<str>>,
    /// How many requests it was sent.
    asked: u64,
}

/// The process itself. Bodies that still come from it hold it as well.
struct Child {
    process: Mutex<process::Child>,
    /// Aborts go out here; and it ends with the process.
    control: OwnedFd,
    /// Readable once the process has ended, even if another process still holds its sockets; where the system has such
    /// a thing.
    end: Option<OwnedFd>,
    made_in: u32,
}

/// The error of a worker process that was stopped because it was late.
fn past_deadline(control: &Control) -> Error {
    match control.deadline() {
        Some(deadline) if !control.is_aborted() => {
            Error::stopped(Stopped::Late(deadline), " in a worker process")
        }
        _ => Error::aborted(),
    }
}

fn broken(what: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::BrokenPool, what.to_string())
}

impl Process {
    /// Starts one and waits until it is ready.
    pub fn start(control: &Arc<Control>) -> Result<Process, Trouble> {
        let program = Program::find().map_err(Trouble::Broken)?;
        let failed = |error: io::Error| {
            let text = format!(
                "No worker process could be started: {}: {}",
                program.path.display(),
                os_text(&error)
            );
            Trouble::Broken(broken(text).with_os_code(error.raw_os_error().unwrap_or(0)))
        };
        let (ours, theirs) = channel::pair().map_err(failed)?;
        let (our_control, their_control) = channel::pair().map_err(failed)?;
        let wake = Arc::new(Signal::new().map_err(failed)?);
        let mut command = Command::new(&program.path);
        command.args(&program.library).stdin(Stdio::from(theirs));
        let spawned = command.spawn().map_err(failed)?;
        drop(command);
        let child = Child {
            end: end_of(spawned.id()),
            process: Mutex::new(spawned),
            control: our_control,
            made_in: fork::generation(),
        };
        let mut process = Process {
            channel: Channel::patient(ours),
            child: Arc::new(child),
            wake,
            hosts: Vec::new(),
            asked: 0,
        };
        let until = [Some(Instant::now() + START), control.ends_at()].into_iter().flatten().min();
        let mut watch = Watch { until, deadline: None, ..process.watch(control) };
        watch.give_up_at_once = true;
        control.attach_signal(&process.wake);
        let hello = format!("{} {}", env!("CARGO_PKG_VERSION"), process::id());
        let greeted = process
            .channel
            .send(Kind::Hello, hello.as_bytes(), Some(their_control.as_fd()), &mut watch)
            .and_then(|()| Ok(process.channel.receive(&mut watch)?.map(|(kind, _)| kind)));
        drop(watch);
        drop(their_control);
        control.detach_signal(&process.wake);
        match greeted {
            Ok(Some(Kind::Ready)) => Ok(process),
            _ if control.is_aborted() => {
                process.child.kill();
                Err(Trouble::Broken(Error::aborted()))
            }
            greeted => {
                let timed_out = matches!(&greeted, Err(error) if error.kind() == io::ErrorKind::TimedOut);
                if timed_out && let Err(late) = Error::check(control, " while starting a worker process") {
                    process.child.kill();
                    return Err(Trouble::Broken(late));
                }
                let fate = match greeted {
                    Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                        process.child.kill();
                        "it was not ready in time".into()
                    }
                    Ok(Some(_)) => {
                        process.child.kill();
                        "it is no worker".into()
                    }
                    _ => process.child.fate(control),
                };
                let said = String::from_utf8_lossy(process.channel.last_words());
                let said = said.trim().chars().take(500).collect::<String>();
                let text = format!(
                    "No worker process could be started: {}: {}",
                    program.path.display(),
                    if said.is_empty() { fate } else { said }
                );
                Err(Trouble::Broken(broken(text)))
            }
        }
    }

    pub fn has_been_to(&self, host: &str) -> bool {
        self.hosts.iter().any(|known| **known == *host)
    }

    /// Has the process run a request. After trouble it is of no more use.
    pub fn run(
        &mut self,
        task: &EncodedTask,
        request: &Request,
        host: &str,
        control: &Arc<Control>,
    ) -> Result<Outcome, Trouble> {
        let attachment = match &task.attachment {
            None => None,
            Some(bytes) => match memory::share(bytes.bytes(), control) {
                Ok(shared) => Some(shared),
                Err(error) => return Ok(Err(error.at(&request.url))),
            },
        };
        control.attach_signal(&self.wake);
        self.asked += 1;
        let mut watch = self.watch(control);
        watch.runs_functions = request.runs_functions();
        let sent =
            self.channel.send(Kind::Task, &task.message, attachment.as_ref().map(AsFd::as_fd), &mut watch);
        drop(attachment);
        let outcome = match sent {
            Ok(()) => self.answer(task.name, request, control, &mut watch),
            Err(error) => Err(error),
        };
        let (is_late, runs_functions) = (watch.is_late, watch.runs_functions);
        drop(watch);
        control.detach_signal(&self.wake);
        match outcome {
            // It was the deadline that has stopped it.
            Ok(Err(error)) if is_late && error.kind() == ErrorKind::Aborted && !control.is_aborted() => {
                Ok(Err(past_deadline(control).at(&request.url)))
            }
            Ok(outcome) => {
                if !self.has_been_to(host) {
                    self.hosts.truncate(HOSTS - 1);
                    self.hosts.insert(0, host.into());
                }
                Ok(outcome)
            }
            // It was stopped, or has no processor: nothing but the library's own was running.
            Err(error) if error.kind() == io::ErrorKind::TimedOut && is_late && !runs_functions => {
                self.child.kill();
                Err(Trouble::Broken(past_deadline(control)))
            }
            Err(error) => {
                let is_unsent = error.kind() == io::ErrorKind::BrokenPipe;
                let trouble = self.trouble(&error, control);
                Err(if is_unsent { Trouble::Unsent(trouble) } else { Trouble::Broken(trouble) })
            }
        }
    }

    /// What has become of a process that did not answer. It does not live any longer.
    fn trouble(&self, error: &io::Error, control: &Control) -> Error {
        let number = self.child.number();
        let what = match error.kind() {
            _ if control.is_aborted() => {
                self.child.kill();
                return Error::aborted();
            }
            io::ErrorKind::TimedOut => {
                self.child.kill();
                "was still busy after the deadline of the request, and was killed".into()
            }
            io::ErrorKind::InvalidData => {
                self.child.kill();
                "sent what is no answer, and was killed".into()
            }
            io::ErrorKind::OutOfMemory => {
                self.child.kill();
                return Error::out_of_memory(format!("the reply of the worker process {number}"));
            }
            _ => self.child.fate(control),
        };
        broken(format!("The worker process {number} that ran the request {what}"))
    }

    fn watch(&self, control: &Arc<Control>) -> Watch {
        Watch {
            wake: self.wake.clone(),
            control: control.clone(),
            child: self.child.clone(),
            number: self.asked,
            deadline: control.ends_at(),
            until: None,
            is_late: false,
            is_aborted: false,
            give_up_at_once: false,
            runs_functions: false,
        }
    }

    /// The outcome, with its cookies put into the session's jar.
    fn answer(
        &mut self,
        name: TaskName,
        request: &Request,
        control: &Arc<Control>,
        watch: &mut Watch,
    ) -> io::Result<Outcome> {
        let rubbish = || io::Error::from(io::ErrorKind::InvalidData);
        let ended = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let Some((Kind::Reply, message)) = self.channel.receive(watch)? else { return Err(ended()) };
        let body = wire::body_of(request);
        let mut reply = Reply::decode(message).map_err(|_| rubbish())?;
        if reply.name() != name {
            // To an earlier request, or of a process that the worker has forked.
            return Err(rubbish());
        }
        let jar = &request.owner.shared().jar;
        match reply.follows() {
            Follows::Nothing => {
                jar.merge(reply.take_cookies());
                Ok(reply.outcome(&body, None, None, control)?)
            }
            Follows::Rest => {
                jar.merge(reply.take_cookies());
                let message = wire::owned(Cow::Borrowed(message))?;
                let descriptor = self.channel.take_descriptor().ok_or_else(rubbish)?;
                let trailers = Trailers::default();
                let source: Source =
                    Box::new(Remote::new(descriptor, control, &self.child, trailers.clone()));
                request.owner.remember_stream(control);
                let reply = Reply::decode(&message).map_err(|_| rubbish())?;
                let outcome = reply.outcome(&body, None, Some(source), control)?;
                if let Ok(response) = &outcome {
                    response.expect_trailers(trailers);
                }
                Ok(outcome)
            }
            Follows::Whole => {
                let announced = reply.announced();
                let cookies = reply.take_cookies();
                let message = wire::owned(Cow::Borrowed(message))?;
                let mut whole = Vec::new();
                let trailers = Trailers::default();
                let failure = loop {
                    match self.channel.receive(watch)?.ok_or_else(ended)? {
                        (Kind::Piece, piece) => {
                            if let (true, Some(announced)) = (whole.is_empty(), announced) {
                                // One more for the NUL. What is not there yet costs no memory but addresses.
                                whole.try_reserve_exact(announced.min(16 * piece.len()) + 1)?;
                            }
                            // One more here as well.
                            whole.try_reserve(piece.len() + 1)?;
                            whole.extend_from_slice(piece);
                        }
                        (Kind::Trailers, lines) => _ = trailers.set(wire::trailers_of(lines)),
                        (Kind::End, end) => break ErrorMessage::at_end(end).map_err(|_| rubbish())?,
                        _ => return Err(rubbish()),
                    }
                };
                jar.merge(cookies);
                if let Some(failure) = failure {
                    return Ok(Err(failure));
                }
                let reply = Reply::decode(&message).map_err(|_| rubbish())?;
                let outcome = reply.outcome(&body, Some(whole), None, control)?;
                if let Ok(response) = &outcome {
                    response.expect_trailers(trailers);
                }
                Ok(outcome)
            }
        }
    }

    /// Tells the process that there is no more work. It is waited for when the result is dropped, unless bodies still
    /// come from it.
    pub fn end(self) -> impl Sized {
        self.channel.hang_up();
        self.child
    }
}

/// A descriptor that tells of the end of a process.
#[cfg(target_os = "linux")]
fn end_of(number: u32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    // SAFETY: no pointers. The number stays that of our child until we have waited for it.
    let descriptor = unsafe { libc::syscall(libc::SYS_pidfd_open, number, 0) };
    // SAFETY: the call has just opened it, and nobody else knows it.
    (descriptor >= 0).then(|| unsafe { OwnedFd::from_raw_fd(descriptor as RawFd) })
}

#[cfg(not(target_os = "linux"))]
fn end_of(_: u32) -> Option<OwnedFd> {
    None
}

fn is_over(at: Instant) -> bool {
    at <= Instant::now()
}

impl Child {
    fn number(&self) -> u32 {
        self.process.lock().id()
    }

    /// What poll is to be asked about its end.
    fn end(&self) -> (RawFd, i16) {
        (self.end.as_ref().map_or(-1, AsRawFd::as_raw_fd), libc::POLLIN)
    }

    fn kill(&self) {
        let mut process = self.process.lock();
        // Of one that has ended the number may be another's by now, where the program waits for its children itself.
        if channel::poll([self.end()], Some(Instant::now())).is_none() {
            let _ = process.kill();
        }
        let _ = process.wait();
    }

    /// How it ended, for the end of a sentence. It has closed its side: one that still lives a moment later is killed,
    /// and so is one whose request is over.
    fn fate(&self, control: &Control) -> String {
        let mut process = self.process.lock();
        let until = Instant::now() + EXIT;
        loop {
            match process.try_wait() {
                Ok(Some(status)) => return described(status),
                Ok(None) if !is_over(until) && control.check().is_ok() => {
                    let look = Instant::now() + if self.end.is_some() { SLICE } else { LOOK };
                    channel::poll([self.end()], Some(look));
                }
                Ok(None) => break,
                // The program waits for its children by itself, or ignores them.
                Err(_) => return "died".into(),
            }
        }
        let _ = process.kill();
        let _ = process.wait();
        "closed its connection to this process, and was killed".into()
    }
}

fn described(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => match signal_name(signal) {
            Some(name) => format!("was killed by signal {signal} ({name})"),
            None => format!("was killed by signal {signal}"),
        },
        (None, Some(code)) => format!("exited with status {code}"),
        (None, None) => "died".into(),
    }
}

fn signal_name(signal: i32) -> Option<&'static str> {
    const NAMES: [(i32, &str); 12] = [
        (libc::SIGHUP, "SIGHUP"),
        (libc::SIGINT, "SIGINT"),
        (libc::SIGQUIT, "SIGQUIT"),
        (libc::SIGILL, "SIGILL"),
        (libc::SIGABRT, "SIGABRT"),
        (libc::SIGBUS, "SIGBUS"),
        (libc::SIGFPE, "SIGFPE"),
        (libc::SIGKILL, "SIGKILL"),
        (libc::SIGSEGV, "SIGSEGV"),
        (libc::SIGPIPE, "SIGPIPE"),
        (libc::SIGTERM, "SIGTERM"),
        (libc::SIGXCPU, "SIGXCPU"),
    ];
    NAMES.iter().find(|(number, _)| *number == signal).map(|(_, name)| *name)
}

impl Drop for Child {
    fn drop(&mut self) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        // Its side of the control socket closes when it ends, if not before.
        let until = Instant::now() + END;
        while !is_over(until) {
            if channel::poll([(self.control.as_raw_fd(), 0), self.end()], Some(until)).is_some() {
                break;
            }
        }
        self.kill();
    }
}

/// The patience of one who waits for a worker: until the deadline, or an abort.
struct Watch {
    wake: Arc<Signal>,
    control: Arc<Control>,
    child: Arc<Child>,
    /// What the process is asked.
    number: u64,
    /// When the request has to be over; None once the process was told.
    deadline: Option<Instant>,
    /// When nobody waits any longer.
    until: Option<Instant>,
    /// The process was told of the deadline.
    is_late: bool,
    is_aborted: bool,
    /// There is nothing yet that could be aborted.
    give_up_at_once: bool,
    /// Functions of the user's may be running.
    runs_functions: bool,
}

impl Watch {
    fn pass_abort_on(&mut self) {
        self.is_aborted = true;
        // Beside the one who asks, who holds it twice.
        let has_others = Arc::strong_count(&self.child) > 2;
        let patience = match (self.give_up_at_once, has_others) {
            (true, _) => Duration::ZERO,
            (false, true) => ABORT_AMONG_OTHERS,
            (false, false) => ABORT,
        };
        self.stop_within(patience);
    }

    /// The deadline is over. The process has a clock of its own, but that was told later how much is left.
    fn pass_deadline_on(&mut self) {
        self.deadline = None;
        self.is_late = true;
        let has_others = Arc::strong_count(&self.child) > 2;
        self.stop_within(if self.runs_functions || has_others { DEADLINE } else { ABORT });
    }

    fn stop_within(&mut self, patience: Duration) {
        let soon = Instant::now() + patience;
        self.until = Some(self.until.map_or(soon, |until| until.min(soon)));
        let number = self.number.to_ne_bytes();
        // SAFETY: eight readable bytes. Should they not get through, the process is killed soon.
        unsafe {
            let (to, flags) = (self.child.control.as_raw_fd(), libc::MSG_DONTWAIT | channel::QUIET);
            libc::send(to, number.as_ptr().cast(), number.len(), flags);
        }
    }
}

impl Patience for Watch {
    fn wait(&mut self, socket: RawFd, events: i16) -> io::Result<()> {
        loop {
            if !self.is_aborted && self.control.is_aborted() {
                self.pass_abort_on();
            }
            if self.deadline.is_some_and(is_over) {
                self.pass_deadline_on();
            }
            if self.until.is_some_and(|until| is_over(until + LAST_WORDS)) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let next = [self.until, self.deadline].into_iter().flatten().min();
            let wake = self.wake.descriptor();
            match channel::poll([(socket, events), (wake, libc::POLLIN), self.child.end()], next) {
                Some([ready, ..]) if ready != 0 => return Ok(()),
                // Its last words may have come between the looks at the two.
                Some([_, 0, _]) => match channel::poll([(socket, events)], Some(Instant::now())) {
                    Some(_) => return Ok(()),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
                Some(_) => self.wake.clear(),
                None if self.until.is_some_and(is_over) => return Err(io::ErrorKind::TimedOut.into()),
                None => {}
            }
        }
    }
}

/// The rest of a body, which the process that began to receive it passes on.
struct Remote {
    // First, so that it is closed before the process is waited for, should this be the last that held it.
    channel: Channel,
    control: Arc<Control>,
    child: Arc<Child>,
    piece: Vec<u8>,
    read: usize,
    is_over: bool,
    /// Where they appear.
    trailers: Trailers,
}

impl Remote {
    fn new(descriptor: OwnedFd, control: &Arc<Control>, child: &Arc<Child>, trailers: Trailers) -> Remote {
        control.attach(descriptor.as_raw_fd());
        Remote {
            channel: Channel::patient(descriptor),
            control: control.clone(),
            child: child.clone(),
            piece: Vec::new(),
            read: 0,
            is_over: false,
            trailers,
        }
    }

    fn failure(&self, error: Option<io::Error>) -> io::Error {
        if self.control.is_aborted() {
            return Error::aborted().into_io();
        }
        let number = self.child.number();
        let what = match error {
            Some(error) if error.kind() == io::ErrorKind::InvalidData => "sent what is no answer".into(),
            Some(error) if error.kind() == io::ErrorKind::TimedOut => {
                return past_deadline(&self.control).into_io();
            }
            Some(error) if error.kind() == io::ErrorKind::OutOfMemory => {
                return Error::out_of_memory(format!("a piece of a body from the worker process {number}"))
                    .into_io();
            }
            _ => match self.child.process.lock().try_wait() {
                Ok(Some(status)) => described(status),
                _ => "broke off".into(),
            },
        };
        broken(format!("The worker process {number} that passed the body on {what}")).into_io()
    }
}

/// The patience of one who reads a body: until the request's deadline, or the end of the process. An abort shuts the
/// socket down.
struct UntilDeadline<'a> {
    at: Option<Instant>,
    child: &'a Child,
}

impl Patience for UntilDeadline<'_> {
    fn wait(&mut self, socket: RawFd, events: i16) -> io::Result<()> {
        loop {
            if self.at.is_some_and(is_over) {
                return Err(io::ErrorKind::TimedOut.into());
            }
            match channel::poll([(socket, events), self.child.end()], self.at) {
                None => {}
                Some([0, _]) => match channel::poll([(socket, events)], Some(Instant::now())) {
                    Some(_) => return Ok(()),
                    None => return Err(io::ErrorKind::UnexpectedEof.into()),
                },
                Some(_) => return Ok(()),
            }
        }
    }
}

impl Read for Remote {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read == self.piece.len() {
            if self.is_over {
                return Ok(0);
            }
            self.piece.clear();
            self.read = 0;
            let mut patience = UntilDeadline { at: self.control.ends_at(), child: &self.child };
            match self.channel.receive(&mut patience) {
                Ok(Some((Kind::Piece, piece))) => match self.piece.try_reserve(piece.len()) {
                    Ok(()) => self.piece.extend_from_slice(piece),
                    Err(error) => return Err(self.failure(Some(error.into()))),
                },
                Ok(Some((Kind::Trailers, lines))) => {
                    let _ = self.trailers.set(wire::trailers_of(lines));
                }
                Ok(Some((Kind::End, end))) => {
                    self.is_over = true;
                    match ErrorMessage::at_end(end) {
                        Ok(None) => {}
                        Ok(Some(failure)) => return Err(failure.into_io()),
                        Err(_) => return Err(self.failure(Some(io::ErrorKind::InvalidData.into()))),
                    }
                }
                Ok(Some(_)) => return Err(self.failure(Some(io::ErrorKind::InvalidData.into()))),
                Ok(None) => return Err(self.failure(None)),
                Err(error) => return Err(self.failure(Some(error))),
            }
        }
        let left = &self.piece[self.read..];
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        self.control.detach(self.channel.descriptor());
        if !fork::is_inherited(self.child.made_in) {
            self.channel.hang_up();
        }
    }
}
