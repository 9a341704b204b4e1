//! Where a request runs that was submitted in another process, or is to be run as if it were.

use std::collections::BTreeMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::TaskError;
use super::wire::{
    self, EncodedTask, ErrorMessage, Finders, ForeignAdapter, ForeignHttp, ForeignTask, Kind, LastBody,
    Malformed, Permitted, TaskName,
};
use crate::future::control::Control;
use crate::http::adapter::{Adapter, IDLE_TIMEOUT, Identity};
use crate::http::cookies::{Cookie, Jar};
use crate::http::digest::DigestCache;
use crate::http::mount::{AnyAdapter, Mounts};
use crate::http::request::{Outcome, Owner, Request, Seldom, Shared};
use crate::http::retry::Bucket;
use crate::message::error::Error;
use crate::message::options::{Borrowed, Options};
use crate::message::response::{BodyState, Refusal, Response, SentBody};
use crate::system::fork::{Origin, PerProcess};
use crate::system::lock::Mutex;

/// So many connections rest for sessions of other processes, those used last.
const MOST_IDLE: usize = 256;
/// A session without connections that was not used for so long is forgotten.
const UNUSED: Duration = IDLE_TIMEOUT;
/// So many sessions of other processes are remembered. A session without connections is little more than its name.
const MOST_SESSIONS: usize = 4096;
/// How often the ages of connections are looked at.
const LOOK: Duration = Duration::from_secs(1);

/// What the requests of one session share wherever they run: connections and nonces.
#[derive(Clone)]
struct Kept {
    adapter: Arc<Adapter>,
    digest: Arc<DigestCache>,
    bucket: Arc<Bucket>,
}

struct Known {
    adapter: Weak<Adapter>,
    digest: Weak<DigestCache>,
    bucket: Weak<Bucket>,
    /// Held for a session that lives elsewhere; one of this process holds its own.
    kept: Option<Kept>,
    used_at: Instant,
    /// How many of its connections rested when somebody looked last.
    idle: usize,
}

/// The sessions whose requests are executed here. Its lock is held for moments only: connections are looked at and
/// closed without it.
#[derive(Default)]
struct Table {
    sessions: BTreeMap<Identity, Known>,
    /// The sum over those that live elsewhere.
    idle: usize,
    looked_at: Option<Instant>,
}

static KNOWN: PerProcess<Mutex<Table>> = PerProcess::new(|_| Mutex::default());

/// The session is of this process: what is encoded here and executed here uses the same connections.
pub fn remember(shared: &Shared, mounts: Option<&Mounts>) {
    let mut table = KNOWN.get().lock();
    for (_, adapter) in mounts.into_iter().flat_map(Mounts::iter) {
        let AnyAdapter::Http(adapter) = adapter else { continue };
        table.sessions.entry(adapter.identity()).or_insert_with(|| Known {
            adapter: Arc::downgrade(adapter),
            digest: Weak::new(),
            bucket: Weak::new(),
            kept: None,
            used_at: Instant::now(),
            idle: 0,
        });
    }
    table.sessions.entry(shared.identity()).or_insert_with(|| Known {
        adapter: Arc::downgrade(&shared.adapter),
        digest: Arc::downgrade(&shared.digest),
        bucket: Arc::downgrade(&shared.bucket),
        kept: None,
        used_at: Instant::now(),
        idle: 0,
    });
    let is_due = table.is_due(Instant::now());
    drop(table);
    if is_due {
        tidy(Instant::now());
    }
}

impl Table {
    fn find(&mut self, session: ForeignHttp, now: Instant) -> (Kept, Option<Known>) {
        let ForeignHttp { identity: session, settings, resolver } = session;
        if let Some(one) = self.sessions.get_mut(&session)
            && let Some(adapter) = one.adapter.upgrade()
        {
            one.used_at = now;
            // A mounted adapter has none of these.
            let digest = one.digest.upgrade().unwrap_or_default();
            let bucket = one.bucket.upgrade().unwrap_or_default();
            return (Kept { adapter, digest, bucket }, None);
        }
        let kept = Kept {
            adapter: Arc::new(Adapter::with_resolver(settings, resolver)),
            digest: Arc::default(),
            bucket: Arc::default(),
        };
        let known = Known {
            adapter: Arc::downgrade(&kept.adapter),
            digest: Arc::downgrade(&kept.digest),
            bucket: Arc::downgrade(&kept.bucket),
            kept: Some(kept.clone()),
            used_at: now,
            idle: 0,
        };
        let gone = if self.sessions.len() < MOST_SESSIONS { None } else { self.take_oldest() };
        self.sessions.insert(session, known);
        (kept, gone)
    }

    /// Of those that live elsewhere, one that has no connections where there is one.
    fn take_oldest(&mut self) -> Option<Known> {
        let foreign = self.sessions.iter().filter(|(_, one)| one.kept.is_some());
        let oldest =
            foreign.min_by_key(|(_, one)| (one.idle > 0, one.used_at)).map(|(session, _)| *session)?;
        self.take(oldest)
    }

    fn take(&mut self, session: Identity) -> Option<Known> {
        let gone = self.sessions.remove(&session)?;
        self.idle -= gone.idle;
        Some(gone)
    }

    fn count(&mut self, session: Identity, adapter: &Arc<Adapter>, idle: usize) {
        let is_its =
            |one: &&mut Known| one.kept.as_ref().is_some_and(|kept| Arc::ptr_eq(&kept.adapter, adapter));
        if let Some(one) = self.sessions.get_mut(&session).filter(is_its) {
            self.idle = self.idle - one.idle + idle;
            one.idle = idle;
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.looked_at.is_none_or(|at| now.saturating_duration_since(at) >= LOOK)
    }

    fn adapters(&self) -> Vec<(Identity, Arc<Adapter>)> {
        let foreign = self.sessions.iter().filter_map(|(session, one)| Some((session, one.kept.as_ref()?)));
        foreign.map(|(session, kept)| (*session, kept.adapter.clone())).collect()
    }

    /// Takes out those of this process that are gone, and those that have no connection and were not used for long.
    fn take_unused(&mut self, before: Option<Instant>) -> Vec<Known> {
        let is_unused = |one: &Known| match &one.kept {
            None => one.adapter.strong_count() == 0,
            // One that is running at this moment is held by its request as well.
            Some(kept) => {
                one.idle == 0
                    && before.is_some_and(|before| one.used_at < before)
                    && Arc::strong_count(&kept.adapter) == 1
            }
        };
        let unused: Vec<_> =
            self.sessions.iter().filter(|(_, one)| is_unused(one)).map(|(session, _)| *session).collect();
        unused.into_iter().filter_map(|session| self.take(session)).collect()
    }
}

/// Closes what has rested for too long, and of the rest what is too much; forgets sessions that nobody uses.
fn tidy(now: Instant) {
    let mut table = KNOWN.get().lock();
    table.looked_at = Some(now);
    let adapters = table.adapters();
    drop(table);
    let mut times = Vec::new();
    for (_, adapter) in &adapters {
        // They close by themselves, unless there is no thread for that.
        if let Some(before) = adapter.settings.idle_timeout.and_then(|longest| now.checked_sub(longest)) {
            adapter.close_idle_before(before);
        }
        times.append(&mut adapter.idle_since());
    }
    if times.len() > MOST_IDLE {
        let (_, oldest_kept, _) = times.select_nth_unstable_by(MOST_IDLE - 1, |one, other| other.cmp(one));
        adapters.iter().for_each(|(_, adapter)| adapter.close_idle_before(*oldest_kept));
    }
    // Another thread may be using a pool whose lock it has: not both locks at once.
    let counts: Vec<_> = adapters.iter().map(|(_, adapter)| adapter.idle_count()).collect();
    let mut table = KNOWN.get().lock();
    for ((session, adapter), idle) in adapters.into_iter().zip(counts) {
        table.count(session, &adapter, idle);
    }
    let gone = table.take_unused(now.checked_sub(UNUSED));
    drop(table);
    drop(gone);
}

/// The use of a session by one of its requests. When it is over, its connections are counted.
struct Use {
    session: Identity,
    adapter: Arc<Adapter>,
    origin: Origin,
}

impl Use {
    fn begin(http: ForeignHttp) -> (Use, Kept) {
        let session = http.identity;
        let now = Instant::now();
        let mut table = KNOWN.get().lock();
        let (kept, gone) = table.find(http, now);
        let is_due = table.is_due(now);
        drop(table);
        drop(gone);
        if is_due {
            tidy(now);
        }
        (Use { session, adapter: kept.adapter.clone(), origin: Origin::here() }, kept)
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if self.origin.is_inherited() {
            return;
        }
        let idle = self.adapter.idle_count();
        let mut table = KNOWN.get().lock();
        table.count(self.session, &self.adapter, idle);
        let is_full = table.idle > MOST_IDLE;
        drop(table);
        if is_full {
            tidy(Instant::now());
        }
    }
}

/// The request as bytes for [`execute`], here or elsewhere. `future` is the id of its future.
pub fn encode(future: u64, request: &Request, may_attach: bool) -> Result<EncodedTask, Error> {
    wire::encode_task(TaskName::of(future), request, may_attach).map_err(|error| error.at(&request.url))
}

/// What a process has for the requests of others, as the C face gives it.
#[derive(Clone, Copy)]
pub struct Host {
    /// The functions that a request names.
    pub finders: Finders,
    /// Somebody to take the place of the session that a request was submitted to.
    pub stand_in: fn(Arc<Options>, Arc<Shared>) -> Arc<dyn Owner>,
}

/// A request from elsewhere, about to run.
pub struct Job {
    name: TaskName,
    request: Request,
    body: SentBody,
    /// Of the session, and of what it has mounted.
    uses: Vec<Use>,
}

impl Job {
    /// The inner error is the reply.
    pub fn open(
        message: &[u8],
        attachment: Option<Arc<dyn Borrowed>>,
        host: Host,
        permitted: Permitted,
    ) -> Result<Result<Job, Vec<u8>>, Malformed> {
        let decoded = wire::decode_task(message, attachment, &host.finders, permitted)?;
        let name = decoded.name;
        let task = match decoded.task {
            Ok(task) => task,
            Err(error) => return Ok(Err(reply_without_response(name, error))),
        };
        let ForeignTask { session, method, url, defaults, options, environment, .. } = task;
        let (use_of_session, Kept { adapter, digest, bucket }) = Use::begin(session);
        let mut uses = vec![use_of_session];
        let mut mounts = Mounts::default();
        for (prefix, adapter) in task.mounts {
            let adapter = match adapter {
                ForeignAdapter::Http(http) => {
                    let (used, Kept { adapter, .. }) = Use::begin(http);
                    uses.push(used);
                    AnyAdapter::Http(adapter)
                }
                ForeignAdapter::Custom(adapter) => AnyAdapter::Custom(adapter),
            };
            let before = mounts.set(prefix, Some(adapter));
            drop(before);
        }
        let defaults = Arc::new(defaults);
        let shared = Arc::new(Shared::with(Jar::copy_of(task.cookies), digest, adapter, bucket));
        let request = Request {
            owner: (host.stand_in)(defaults.clone(), shared),
            method: method.into(),
            url: url.into(),
            defaults,
            options: Some(Arc::new(options)),
            environment: environment.map(Arc::new),
            ends_at: task.ends_at,
            seldom: Seldom {
                mounts: (!mounts.is_empty()).then(|| Arc::new(mounts)),
                queue_ends_at: task.queue_ends_at,
                ..Seldom::default()
            }
            .boxed(),
        };
        Ok(Ok(Job { name, request, body: task.body, uses }))
    }

    pub fn name(&self) -> TaskName {
        self.name
    }

    /// Whether the receiver of the response reads the body.
    pub fn is_streamed(&self) -> bool {
        let options = self.request.options.as_deref();
        let chosen = options.and_then(|options| options.stream).or(self.request.defaults.stream);
        chosen == Some(true) && options.is_none_or(|options| options.sink.is_none())
    }

    /// Leaves the body on its connection when nothing here looks at it, so that it can be passed on as it comes in.
    /// False when it will be in memory anyway, or in a file.
    pub fn pass_body_on(&mut self) -> bool {
        let Some(options) = self.request.options.as_mut().and_then(Arc::get_mut) else { return false };
        let looked_at = !options.hooks.is_empty() || options.background.is_some() || options.sink.is_some();
        if looked_at {
            return false;
        }
        options.stream = Some(true);
        true
    }

    /// Runs it on this thread.
    pub fn run(self, control: &Arc<Control>) -> Done {
        let owner = self.request.owner.clone();
        let outcome = self.request.run(control);
        Done { name: self.name, outcome, owner, body: self.body, _uses: self.uses }
    }
}

/// A request from elsewhere that was run.
pub struct Done {
    name: TaskName,
    pub outcome: Outcome,
    owner: Arc<dyn Owner>,
    body: SentBody,
    // Last, so that the body of the outcome has let go of its connection.
    _uses: Vec<Use>,
}

impl Done {
    pub fn reply(&self, last: &LastBody<'_>) -> Vec<u8> {
        self.reply_with(&self.outcome, last)
    }

    /// The same with another outcome.
    pub fn reply_with(&self, outcome: &Outcome, last: &LastBody<'_>) -> Vec<u8> {
        wire::encode_reply(self.name, outcome, self.cookies(), &self.body, last)
    }

    fn cookies(&self) -> Vec<Cookie> {
        self.owner.shared().jar.journal()
    }
}

/// Ends executions, those that begin later included.
#[derive(Default)]
pub struct Stop {
    is_set: AtomicBool,
    running: Mutex<Vec<Arc<Control>>>,
}

impl Stop {
    pub fn set(&self) {
        self.is_set.store(true, Ordering::SeqCst);
        let running = self.running.lock().clone();
        running.iter().for_each(|control| control.abort());
    }

    /// Until what this returns is dropped.
    fn reach<'a>(&'a self, control: &'a Arc<Control>) -> Reached<'a> {
        self.running.lock().push(control.clone());
        if self.is_set.load(Ordering::SeqCst) {
            control.abort();
        }
        Reached { stop: self, control }
    }
}

/// An execution that a stop ends.
struct Reached<'a> {
    stop: &'a Stop,
    control: &'a Arc<Control>,
}

impl Drop for Reached<'_> {
    fn drop(&mut self) {
        self.stop.running.lock().retain(|other| !Arc::ptr_eq(other, self.control));
    }
}

/// Runs the request in these bytes on this thread and returns its outcome as bytes.
pub fn execute(
    message: &[u8],
    host: Host,
    permitted: Permitted,
    stop: Option<&Stop>,
) -> Result<Vec<u8>, TaskError> {
    run_job(message, host, permitted, stop, |job, control| {
        let done = job.run(control);
        if control.origin().is_inherited() {
            // The process that forked this one replies.
            mem::forget(done);
            return Err(TaskError::Forked);
        }
        Ok(done.reply(&LastBody::Inside))
    })
    .and_then(|outcome| outcome.unwrap_or_else(Ok))
}

/// The same, its outcome given to `write` in pieces while the body arrives. False ends it.
pub fn execute_to(
    message: &[u8],
    host: Host,
    permitted: Permitted,
    stop: Option<&Stop>,
    write: &mut dyn FnMut(&[u8]) -> bool,
) -> Result<(), TaskError> {
    let refused = |is_written: bool| if is_written { Ok(()) } else { Err(TaskError::Refused) };
    let outcome = run_job(message, host, permitted, stop, |mut job, control| {
        let is_streamed = job.is_streamed();
        let is_passed_on = is_streamed || job.pass_body_on();
        let done = job.run(control);
        if control.origin().is_inherited() {
            mem::forget(done);
            return Err(TaskError::Forked);
        }
        let mut piece = Vec::new();
        let mut send = |kind: Kind, content: &[u8]| {
            if kind == Kind::Reply {
                return if write(content) { Ok(()) } else { Err(Gone) };
            }
            wire::seal_bytes(kind, content, &mut piece);
            if write(&piece) { Ok(()) } else { Err(Gone) }
        };
        let sent = match &done.outcome {
            Ok(response) if is_streamed && response.carry().open => {
                let head = send(Kind::Reply, &done.reply(&LastBody::RestFollows));
                head.and_then(|()| send_pieces(response, &mut vec![0; PIECE], &mut send))
            }
            Ok(response) if is_passed_on && response.carry().open => {
                pass_on(&done, response, &mut vec![0; PIECE], &mut send)
            }
            Ok(response) => send_kept(&done, response, &mut send),
            Err(_) => send(Kind::Reply, &done.reply(&LastBody::Inside)),
        };
        if sent.is_err()
            && let Ok(response) = &done.outcome
        {
            response.close();
        }
        refused(sent.is_ok())
    })?;
    match outcome {
        Ok(sent) => sent,
        Err(reply) => refused(write(&reply)),
    }
}

/// Has `run` run what is in these bytes. The inner error is the reply.
fn run_job<T>(
    message: &[u8],
    host: Host,
    permitted: Permitted,
    stop: Option<&Stop>,
    run: impl FnOnce(Job, &Arc<Control>) -> T,
) -> Result<Result<T, Vec<u8>>, TaskError> {
    let job = match Job::open(message, None, host, permitted).map_err(|_| TaskError::Malformed)? {
        Ok(job) => job,
        Err(reply) => return Ok(Err(reply)),
    };
    let control = Arc::new(Control::new());
    let _reached = stop.map(|stop| stop.reach(&control));
    Ok(Ok(run(job, &control)))
}

/// Nobody takes any more of it.
pub struct Gone;

/// Sends a message of a reply on: a reply is sealed already, the others are plain bytes.
pub type SendMessage<'a, E> = &'a mut dyn FnMut(Kind, &[u8]) -> Result<(), E>;

/// What goes over in one piece of a body.
pub const PIECE: usize = 64 * 1024;

/// Sends a response whose body nobody here has looked at: in one message when it is small, else as it comes in.
pub fn pass_on<E>(
    done: &Done,
    response: &Response,
    buffer: &mut [u8],
    send: SendMessage<'_, E>,
) -> Result<(), E> {
    let mut filled = 0;
    let (ended, failure) = loop {
        match response.read(&mut buffer[filled..]) {
            Ok(0) => break (true, None),
            Ok(count) => filled += count,
            Err(refusal) => break (true, Some(failure_of(refusal))),
        }
        if filled == buffer.len() {
            break (false, None);
        }
    };
    if let Some(failure) = failure {
        return send(Kind::Reply, &done.reply_with(&Err(failure), &LastBody::Inside));
    }
    if ended {
        return send(Kind::Reply, &done.reply(&LastBody::Whole(&buffer[..filled])));
    }
    send(Kind::Reply, &done.reply(&LastBody::WholeFollows))?;
    send(Kind::Piece, buffer)?;
    send_pieces(response, buffer, send)
}

/// The rest of a body, as it comes in, and how it ended.
pub fn send_pieces<E>(response: &Response, buffer: &mut [u8], send: SendMessage<'_, E>) -> Result<(), E> {
    loop {
        match response.read(buffer) {
            Ok(0) => {
                if let Some(trailers) = response.trailers() {
                    send(Kind::Trailers, &wire::trailer_lines(trailers))?;
                }
                return send(Kind::End, b"");
            }
            Ok(count) => send(Kind::Piece, &buffer[..count])?,
            Err(refusal) => return send(Kind::End, &ErrorMessage::to_end(&failure_of(refusal))),
        }
    }
}

fn failure_of(refusal: Refusal) -> Error {
    match refusal {
        Refusal::Failed(error) => error,
        // Only an abort closes it here.
        Refusal::State => Error::aborted(),
    }
}

/// Sends a response that is in memory.
pub fn send_kept<E>(done: &Done, response: &Response, send: SendMessage<'_, E>) -> Result<(), E> {
    let carried = response.carry();
    let whole = carried.content.as_deref().filter(|_| carried.state == BodyState::Kept);
    let Some(whole) = whole.filter(|whole| whole.len() > PIECE && carried.delivered == 0) else {
        return send(Kind::Reply, &done.reply(&LastBody::Inside));
    };
    send(Kind::Reply, &done.reply(&LastBody::WholeFollows))?;
    for piece in whole.chunks(PIECE) {
        send(Kind::Piece, piece)?;
    }
    send(Kind::End, b"")
}

/// The reply to a task that led to nothing but an error.
pub fn reply_without_response(name: TaskName, error: Error) -> Vec<u8> {
    wire::encode_reply(name, &Err(error), Vec::new(), &None, &LastBody::Inside)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::adapter::AdapterSettings;
    use crate::http::request::Nobody;
    use crate::system::environment::Environment;
    use std::io::{Read, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    /// The table is one for all tests.
    static ALONE: Mutex<()> = Mutex::new(());

    const HOST: Host = Host { finders: Finders::NONE, stand_in: |_, shared| Nobody::with(shared) };

    /// Answers every request and keeps its connections; how many it has, and how many it has had.
    struct Server {
        address: SocketAddr,
        open: Arc<AtomicUsize>,
        accepted: Arc<AtomicUsize>,
    }

    impl Server {
        fn start() -> Server {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let (open, accepted) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
            let server = Server { address, open: open.clone(), accepted: accepted.clone() };
            thread::spawn(move || {
                for stream in listener.incoming() {
                    let (mut stream, open) = (stream.unwrap(), open.clone());
                    open.fetch_add(1, Ordering::SeqCst);
                    accepted.fetch_add(1, Ordering::SeqCst);
                    thread::spawn(move || {
                        let mut input = [0; 4096];
                        while matches!(stream.read(&mut input), Ok(1..)) {
                            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").unwrap();
                        }
                        open.fetch_sub(1, Ordering::SeqCst);
                    });
                }
            });
            server
        }

        fn accepted(&self) -> usize {
            self.accepted.load(Ordering::SeqCst)
        }

        fn becomes_open(&self, count: usize) {
            let until = Instant::now() + Duration::from_secs(20);
            while self.open.load(Ordering::SeqCst) != count {
                let open = self.open.load(Ordering::SeqCst);
                assert!(Instant::now() < until, "{open} connections are open, not {count}");
                thread::sleep(Duration::from_millis(1));
            }
        }

        /// A request of a session that is taken for one of another process.
        fn task(&self) -> Vec<u8> {
            let request = Request {
                owner: Nobody::owner(),
                method: "GET".into(),
                url: format!("http://{}/", self.address).into(),
                defaults: Arc::default(),
                options: None,
                environment: Environment::snapshot(),
                ends_at: None,
                seldom: None,
            };
            encode(1, &request, false).unwrap_or_else(|error| panic!("{error}")).message
        }
    }

    fn run(task: &[u8]) {
        let reply = execute(task, HOST, Permitted::ALL, None).unwrap_or_else(|_| panic!("not executed"));
        let reply = wire::Reply::decode(&reply).expect("a reply");
        let outcome = reply.outcome(&None, None, None, &Arc::new(Control::new())).expect("an outcome");
        assert_eq!(outcome.unwrap_or_else(|error| panic!("{error}")).status(), 200);
    }

    fn forget_all() {
        let gone = mem::take(&mut KNOWN.get().lock().sessions);
        KNOWN.get().lock().idle = 0;
        drop(gone);
    }

    fn known() -> usize {
        KNOWN.get().lock().sessions.len()
    }

    #[test]
    fn each_of_many_foreign_sessions_keeps_its_connection() {
        let _alone = ALONE.lock();
        let server = Server::start();
        let tasks: Vec<_> = (0..100).map(|_| server.task()).collect();
        for _ in 0..3 {
            tasks.iter().for_each(|task| run(task));
        }
        assert_eq!(server.accepted(), 100);
        forget_all();
        server.becomes_open(0);
    }

    #[test]
    fn of_their_idle_connections_those_used_last_are_kept() {
        let _alone = ALONE.lock();
        let server = Server::start();
        let tasks: Vec<_> = (0..MOST_IDLE + 44).map(|_| server.task()).collect();
        tasks.iter().for_each(|task| run(task));
        server.becomes_open(MOST_IDLE);
        // The last ones have theirs, the first ones need others.
        tasks[44..].iter().for_each(|task| run(task));
        assert_eq!(server.accepted(), MOST_IDLE + 44);
        tasks[..44].iter().for_each(|task| run(task));
        assert_eq!(server.accepted(), MOST_IDLE + 2 * 44);
        server.becomes_open(MOST_IDLE);
        forget_all();
        server.becomes_open(0);
    }

    #[test]
    fn connections_and_sessions_that_nobody_uses_are_let_go() {
        let _alone = ALONE.lock();
        let server = Server::start();
        let tasks: Vec<_> = (0..5).map(|_| server.task()).collect();
        tasks.iter().for_each(|task| run(task));
        let before = known();
        tidy(Instant::now() + UNUSED - Duration::from_secs(30));
        assert_eq!(known(), before);
        server.becomes_open(5);
        // One of them is in use.
        let job = Job::open(&tasks[0], None, HOST, Permitted::ALL).unwrap_or_else(|_| panic!("no job"));
        tidy(Instant::now() + UNUSED + Duration::from_secs(1));
        server.becomes_open(0);
        assert_eq!(known(), before - 4);
        drop(job);
        run(&tasks[0]);
        run(&tasks[1]);
        assert_eq!(server.accepted(), 7);
        forget_all();
    }

    #[test]
    fn the_sessions_that_are_known_are_bounded() {
        let _alone = ALONE.lock();
        let server = Server::start();
        let used = server.task();
        run(&used);
        let settings = AdapterSettings::default();
        for session in 0..MOST_SESSIONS as u128 + 10 {
            drop(Use::begin(ForeignHttp { identity: session, settings, resolver: None }));
        }
        assert_eq!(known(), MOST_SESSIONS);
        // It has a connection, and so it is none of those that went.
        run(&used);
        assert_eq!(server.accepted(), 1);
        forget_all();
    }
}
