//! A worker process, from inside: it takes requests one after the other, runs them, and sends what comes of them.
//!
//! Two threads: the first runs the requests, the second listens for aborts and for the end of the process that this one
//! works for. A body that is to be streamed gets a thread of its own, so that the next request need not wait for it.

use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use super::channel::{self, Channel, Endless, Kind};
use super::memory::Mapping;
use crate::executor::elsewhere::{
    Done, Host, Job, PIECE, pass_on, reply_without_response, send_kept, send_pieces,
};
use crate::executor::panic_text;
use crate::executor::wire::{self, LastBody, Permitted};
use crate::future::control::Control;
use crate::future::monitor::{Monitor, Until};
use crate::message::error::{Error, ErrorKind};
use crate::message::options::Borrowed;
use crate::message::response::Response;
use crate::system::fork;
use crate::system::signal::Signal;

/// How often a worker looks whether the process it works for is still there, should nothing else tell it.
const LOOK: Duration = Duration::from_secs(1);
/// The time that requests have to end once nobody wants them any more.
const GRACE: Duration = Duration::from_millis(200);

/// What this process does at this moment.
struct Work {
    now: Monitor<Now>,
    /// The list of streams is another.
    news: Signal,
}

#[derive(Default)]
struct Now {
    running: Option<Arc<Control>>,
    /// How many requests were begun.
    begun: u64,
    /// The number of the last request that was aborted; it may not have begun yet.
    abort: u64,
    /// Bodies on their way, by the descriptor they go to.
    streams: Vec<(RawFd, Arc<Control>)>,
}

/// Serves until nobody is at the other end; the exit status.
pub fn serve(host: Host) -> i32 {
    fork::is_worker_from_now_on();
    let Some((mut data, control, parent)) = greet() else { return 1 };
    let Ok(news) = Signal::new() else { return 1 };
    let work = Arc::new(Work { now: Monitor::default(), news });
    let watched = work.clone();
    let watcher = thread::Builder::new().name("rf-watcher".into());
    if watcher.spawn(move || watch(&watched, &control, parent)).is_err() {
        return 1;
    }
    let ready = process::id().to_string();
    if data.send(Kind::Ready, ready.as_bytes(), None, &mut Endless).is_err() {
        return 1;
    }
    // Zeroed once: a body passes through it, whole or piece by piece.
    let mut buffer = vec![0; PIECE];
    let ended_well = loop {
        match data.receive(&mut Endless) {
            Ok(None) => break true,
            Ok(Some((Kind::Task, message))) => {
                let Ok(message) = wire::owned(message.into()) else { break false };
                let attachment = data.take_descriptor();
                if !answer(&mut data, &work, &message, attachment, host, &mut buffer) {
                    break false;
                }
            }
            _ => break false,
        }
    };
    let mut now = work.now.lock();
    while !now.streams.is_empty() {
        now = now.wait(Until::Forever);
    }
    i32::from(!ended_well)
}

/// The two sockets and the process at their other ends.
fn greet() -> Option<(Channel, OwnedFd, i32)> {
    // SAFETY: no pointers but to a set that is filled in; the standard input is ours to replace.
    let data = unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&mut none);
        libc::pthread_sigmask(libc::SIG_SETMASK, &none, std::ptr::null_mut());
        // A key that is meant for the program in the terminal is not meant for its workers: they end with it.
        libc::signal(libc::SIGINT, libc::SIG_IGN);
        // The program's own handlers would let a signal pass that no fault has caused.
        libc::signal(libc::SIGSEGV, libc::SIG_DFL);
        libc::signal(libc::SIGBUS, libc::SIG_DFL);
        let data = libc::fcntl(0, libc::F_DUPFD_CLOEXEC, 3);
        let nothing = CString::from(c"/dev/null");
        let nothing = libc::open(nothing.as_ptr(), libc::O_RDONLY | libc::O_CLOEXEC);
        if data < 0 || nothing < 0 {
            return None;
        }
        // Hooks may read the standard input.
        libc::dup2(nothing, 0);
        libc::close(nothing);
        OwnedFd::from_raw_fd(data)
    };
    let mut data = Channel::endless(data);
    let hello = match data.receive(&mut Endless) {
        Ok(Some((Kind::Hello, hello))) => String::from_utf8_lossy(hello).into_owned(),
        _ => return None,
    };
    let (version, parent) = hello.split_once(' ')?;
    if version != env!("CARGO_PKG_VERSION") {
        return None;
    }
    let control = data.take_descriptor()?;
    Some((data, control, parent.parse().ok()?))
}

/// Listens for aborts, for streams that nobody reads any more, and for the end.
fn watch(work: &Work, control: &OwnedFd, parent: i32) {
    loop {
        let streams: Vec<RawFd> = work.now.lock().streams.iter().map(|(to, _)| *to).collect();
        let mut entries = vec![(control.as_raw_fd(), libc::POLLIN), (work.news.descriptor(), libc::POLLIN)];
        entries.extend(streams.iter().map(|to| (*to, 0)));
        let events = poll_all(&entries, LOOK);
        if events[1] != 0 {
            work.news.clear();
        }
        for (to, _) in streams.iter().zip(&events[2..]).filter(|(_, events)| **events != 0) {
            // It may have ended by itself, and its number may be another's by now.
            let now = work.now.lock();
            if let Some((_, reading)) = now.streams.iter().find(|(other, _)| other == to) {
                reading.abort();
            }
        }
        let mut is_over = false;
        if events[0] != 0 {
            let mut number = [0_u8; 8];
            // SAFETY: eight writable bytes. They were sent at once, and so they are there at once.
            let count = unsafe {
                let into = number.as_mut_ptr().cast();
                libc::recv(control.as_raw_fd(), into, number.len(), libc::MSG_DONTWAIT)
            };
            is_over = count == 0;
            if count == 8 {
                work.abort(u64::from_ne_bytes(number));
            }
        }
        // SAFETY: no arguments.
        if is_over || unsafe { libc::getppid() } != parent {
            work.end();
        }
    }
}

fn poll_all(of: &[(RawFd, i16)], wait: Duration) -> Vec<i16> {
    let mut entries: Vec<_> =
        of.iter().map(|&(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    // SAFETY: the entries live during the call.
    let count = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as _, wait.as_millis() as i32) };
    entries.iter().map(|entry| if count > 0 { entry.revents } else { 0 }).collect()
}

impl Work {
    fn begin(&self, control: &Arc<Control>) {
        let mut now = self.now.lock();
        now.begun += 1;
        now.running = Some(control.clone());
        if now.abort == now.begun {
            control.abort();
        }
    }

    /// Of a request that was begun, or is about to be. One that is over stays as it is.
    fn abort(&self, number: u64) {
        let mut now = self.now.lock();
        now.abort = number;
        if let Some(control) = now.running.as_ref().filter(|_| number == now.begun) {
            control.abort();
        }
    }

    fn finished(&self) {
        self.now.lock().running = None;
    }

    fn add_stream(&self, to: RawFd, control: &Arc<Control>) {
        self.now.lock().streams.push((to, control.clone()));
        self.news.set();
    }

    /// Before the descriptor is closed.
    fn remove_stream(&self, to: RawFd) {
        let mut now = self.now.lock();
        now.streams.retain(|(other, _)| *other != to);
        now.notify_all();
        self.news.set();
    }

    /// Nobody is left to work for.
    fn end(&self) -> ! {
        let now = self.now.lock();
        for control in now.running.iter().chain(now.streams.iter().map(|(_, control)| control)) {
            control.abort();
        }
        drop(now);
        // The first thread ends the process, unless a hook keeps it.
        thread::sleep(GRACE);
        // SAFETY: nothing is left to be tidied up that the system does not tidy up.
        unsafe { libc::_exit(0) };
    }
}

/// Runs a request and sends its outcome. False when there is nobody to work for, or no sense in going on.
fn answer(
    data: &mut Channel,
    work: &Arc<Work>,
    message: &[u8],
    attachment: Option<OwnedFd>,
    host: Host,
    buffer: &mut [u8],
) -> bool {
    let control = Arc::new(Control::new());
    work.begin(&control);
    let attachment = match attachment.map(Mapping::of) {
        None => None,
        Some(Ok(mapping)) => Some(Arc::new(mapping) as Arc<dyn Borrowed>),
        Some(Err(_)) => {
            let Ok(name) = wire::name_of_task(message) else { return false };
            work.finished();
            let reply = reply_without_response(name, Error::out_of_memory("the request's body"));
            return data.send(Kind::Reply, &reply, None, &mut Endless).is_ok();
        }
    };
    let mut job = match Job::open(message, attachment, host, Permitted::ALL) {
        Ok(Ok(job)) => job,
        Ok(Err(reply)) => {
            work.finished();
            return data.send(Kind::Reply, &reply, None, &mut Endless).is_ok();
        }
        Err(_) => return false,
    };
    let name = job.name();
    let is_streamed = job.is_streamed();
    let is_passed_on = !is_streamed && job.pass_body_on();
    let done = catch_unwind(AssertUnwindSafe(|| job.run(&control)));
    let sent = match &done {
        Err(panic) => {
            let text = format!("A defect in this library: {}", panic_text(&**panic));
            let reply = reply_without_response(name, Error::new(ErrorKind::Request, text));
            data.send(Kind::Reply, &reply, None, &mut Endless)
        }
        Ok(done) => match &done.outcome {
            Ok(response) if is_passed_on => pass_on(done, response, buffer, &mut send_to(data)),
            Ok(response) if is_streamed && response.carry().open => {
                stream(data, work, done, response, &control)
            }
            Ok(response) => send_kept(done, response, &mut send_to(data)),
            Err(_) => data.send(Kind::Reply, &done.reply(&LastBody::Inside), None, &mut Endless),
        },
    };
    work.finished();
    sent.is_ok()
}

/// Sends messages of a reply to the process that this one works for.
fn send_to(data: &Channel) -> impl FnMut(wire::Kind, &[u8]) -> std::io::Result<()> {
    |kind, content| {
        let kind = match kind {
            wire::Kind::Task => Kind::Task,
            wire::Kind::Reply => Kind::Reply,
            wire::Kind::Piece => Kind::Piece,
            wire::Kind::Trailers => Kind::Trailers,
            wire::Kind::End => Kind::End,
        };
        data.send(kind, content, None, &mut Endless)
    }
}

/// Sends the head, and has a thread send the body by a way of its own.
fn stream(
    data: &Channel,
    work: &Arc<Work>,
    done: &Done,
    response: &Arc<Response>,
    control: &Arc<Control>,
) -> std::io::Result<()> {
    let (ours, theirs) = channel::pair()?;
    let reply = done.reply(&LastBody::RestFollows);
    data.send(Kind::Reply, &reply, Some(theirs.as_fd()), &mut Endless)?;
    drop(theirs);
    let channel = Channel::endless(ours);
    work.add_stream(channel.descriptor(), control);
    let (working, response) = (work.clone(), response.clone());
    let descriptor = channel.descriptor();
    let body = move || {
        let mut buffer = vec![0; PIECE];
        // The reader may stop at any time.
        let _ = send_pieces(&response, &mut buffer, &mut send_to(&channel));
        response.close();
        working.remove_stream(channel.descriptor());
    };
    let spawned = thread::Builder::new().name("rf-stream".into()).spawn(body);
    if spawned.is_err() {
        // The reader finds the body broken off.
        work.remove_stream(descriptor);
    }
    Ok(())
}
