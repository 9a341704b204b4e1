//! The client's side: an executor that hands its tasks to the stream, and answers its workers.
//!
//! All that is known of tasks is known to one thread, which speaks with the server. What runs the user's functions, and may take
//! its time, is done by another: futures end there.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::sync::mpsc as blocking;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream::{self, stream};
use async_nats::{Client, ConnectOptions, Event, HeaderMap};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;

use crate::message::{Answer, Ask, Names, PIECE, Piece, TaskMessage, Writer, pairs, partition_of};
use crate::rf::{self, Added, Reply, Task};

/// What an executor is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: Vec<String>,
    pub credentials: Option<String>,
    pub ca: Option<String>,
    pub certificate: Option<(String, String)>,
    pub connect_timeout: Duration,
    pub lease: Duration,
    pub prefix: String,
    pub partitions: u32,
    pub replicas: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            servers: vec!["nats://127.0.0.1:4222".into()],
            credentials: None,
            ca: None,
            certificate: None,
            connect_timeout: Duration::from_secs(10),
            lease: Duration::from_secs(5),
            prefix: "rf".into(),
            partitions: 1,
            replicas: 1,
        }
    }
}

impl Settings {
    /// Connects within the time that there is for it.
    pub async fn connect(&self, name: &str, heard: mpsc::UnboundedSender<bool>) -> Result<Client, String> {
        let mut options = ConnectOptions::new()
            .name(name)
            .connection_timeout(self.connect_timeout)
            .reconnect_delay_callback(|attempts| {
                Duration::from_millis(100 * u64::try_from(attempts).unwrap_or(10).clamp(1, 10))
            })
            .event_callback(move |event| {
                let heard = heard.clone();
                async move {
                    match event {
                        Event::Connected => _ = heard.send(true),
                        Event::Disconnected => _ = heard.send(false),
                        _ => {}
                    }
                }
            });
        let servers = self.servers.join(",");
        if let Some(path) = &self.credentials {
            let read = options.credentials_file(path).await;
            options = read.map_err(|error| format!("The credentials file {path} cannot be read: {error}"))?;
        }
        if let Some(path) = &self.ca {
            options = options.add_root_certificates(path.into()).require_tls(true);
        }
        if let Some((certificate, key)) = &self.certificate {
            options = options.add_client_certificate(certificate.into(), key.into()).require_tls(true);
        }
        let failed = |why: String| format!("The NATS server {servers} cannot be reached: {why}");
        match tokio::time::timeout(self.connect_timeout, options.connect(&self.servers)).await {
            Ok(Ok(client)) => Ok(client),
            Ok(Err(error)) => Err(failed(error.to_string())),
            Err(_) => Err(failed(format!("no connection within {} s", self.connect_timeout.as_secs_f64()))),
        }
    }

    pub fn names(&self) -> Names {
        Names::new(&self.prefix)
    }

    /// The stream of tasks, which whoever comes first makes. An error where it has other settings.
    pub async fn stream(&self, client: &Client) -> Result<stream::Stream, String> {
        let names = self.names();
        let config = stream::Config {
            name: names.stream(),
            subjects: vec![names.tasks()],
            retention: stream::RetentionPolicy::WorkQueue,
            storage: stream::StorageType::File,
            discard: stream::DiscardPolicy::New,
            num_replicas: self.replicas,
            max_age: Duration::from_secs(24 * 60 * 60),
            ..stream::Config::default()
        };
        let context = jetstream::new(client.clone());
        let made = tokio::time::timeout(self.connect_timeout, context.get_or_create_stream(config.clone())).await;
        let name = &config.name;
        let mut stream = match made {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return Err(format!("The stream {name} cannot be used: {error}")),
            Err(_) => return Err(format!("The stream {name} cannot be used: the server has no JetStream, or is too slow")),
        };
        let found = stream.info().await.map_err(|error| format!("The stream {name}: {error}"))?.config.clone();
        let differs = [
            (found.subjects != config.subjects, "its subjects"),
            (found.retention != config.retention, "its retention"),
            (found.storage != config.storage, "its storage"),
        ];
        match differs.iter().find(|(differs, _)| *differs) {
            Some((_, what)) => Err(format!("The stream {name} has other settings than this program: {what}")),
            None => Ok(stream),
        }
    }
}

/// What the thread is told.
enum Told {
    Submitted(Box<Entry>),
    /// The future is over.
    Ended(u64),
    /// The message could not be stored, and is to be sent again.
    Unsent(u64),
    CancelPending,
    Quit,
}

/// What becomes of a task in the end.
enum Done {
    Complete(Task, Reply),
    Fail(Task, c_int, String),
    Free(Task),
}

struct Entry {
    task: Task,
    /// Of the task.
    bytes: Bytes,
    subject: String,
    is_repeatable: bool,
    /// Its future runs.
    is_started: bool,
    run: Option<Run>,
}

/// What a worker does.
struct Run {
    attempt: u64,
    worker: String,
    acknowledge: String,
    heard: Instant,
    reply: Reply,
    /// The number of the next piece.
    next: u64,
}

/// How many tasks are not over.
#[derive(Default)]
struct Open {
    count: Mutex<usize>,
    changed: Condvar,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What the executor's functions are given.
pub struct Executor {
    told: mpsc::UnboundedSender<Told>,
    open: Arc<Open>,
    /// Held while a task is submitted, so that its end is not told before it.
    submitting: Mutex<bool>,
    names: Names,
    partitions: u32,
    /// The thread that ends futures.
    ending: thread::ThreadId,
}

impl Executor {
    pub fn new(settings: &Settings) -> Result<Executor, String> {
        let (told, hears) = mpsc::unbounded_channel();
        let (done, to_do) = blocking::channel();
        let (ready, is_ready) = blocking::channel();
        let open = Arc::new(Open::default());
        let counted = open.clone();
        let no_thread = |error: std::io::Error| format!("No thread could be started: {error}");
        let ending = thread::Builder::new().name("rf-nats-done".into());
        let ending = ending.spawn(move || end_all(&to_do, &counted)).map_err(no_thread)?.thread().id();
        let own = settings.clone();
        let back = told.clone();
        thread::Builder::new()
            .name("rf-nats".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(serve(own, hears, back, done, &ready)),
                    Err(error) => _ = ready.send(Err(no_thread(error))),
                }
            })
            .map_err(no_thread)?;
        is_ready.recv().unwrap_or_else(|_| Err("The thread of the executor has ended".into()))?;
        let (names, partitions) = (settings.names(), settings.partitions);
        Ok(Executor { told, open, submitting: Mutex::new(true), names, partitions, ending })
    }

    fn submit(&self, task: Task) -> Result<(), (Task, c_int)> {
        let is_open = lock(&self.submitting);
        if !*is_open {
            return Err((task, rf::RF_E_SHUTDOWN));
        }
        let bytes = match task.encode() {
            Ok(bytes) => Bytes::from(bytes),
            // Its future is over already.
            Err(rf::RF_E_STATE) => return Ok(()),
            Err(_) => return Err((task, rf::RF_E_RESOURCE)),
        };
        let subject = self.names.task(partition_of(&task.url(), self.partitions));
        let is_repeatable = task.is_repeatable();
        let entry = Entry { task, bytes, subject, is_repeatable, is_started: false, run: None };
        *lock(&self.open.count) += 1;
        match self.told.send(Told::Submitted(Box::new(entry))) {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendError(Told::Submitted(entry))) => {
                *lock(&self.open.count) -= 1;
                Err((entry.task, rf::RF_E_SHUTDOWN))
            }
            Err(_) => Ok(()),
        }
    }

    fn ended(&self, task: u64) {
        let _order = lock(&self.submitting);
        let _ = self.told.send(Told::Ended(task));
    }

    fn shut_down(&self, wait: bool, cancel_futures: bool) {
        *lock(&self.submitting) = false;
        if cancel_futures {
            let _ = self.told.send(Told::CancelPending);
        }
        if wait && thread::current().id() != self.ending {
            let mut count = lock(&self.open.count);
            while *count > 0 {
                count = self.open.changed.wait(count).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        let _ = self.told.send(Told::Quit);
    }
}

/// The functions that the library calls.
pub mod functions {
    use super::*;

    /// # Safety
    /// The library calls it with a task of its own, and with the executor that was given for it.
    pub unsafe extern "C" fn submit(task: *mut rf::rf_task, executor: *mut c_void) -> c_int {
        // SAFETY: as above.
        let (task, executor) = unsafe { (Task::own(task), &*executor.cast::<Executor>()) };
        match executor.submit(task) {
            Ok(()) => rf::RF_OK,
            Err((task, status)) => {
                // It is the library's again.
                let _ = task.into_raw();
                status
            }
        }
    }

    /// # Safety
    /// As for [`submit`].
    pub unsafe extern "C" fn shut_down(wait: bool, cancel_futures: bool, executor: *mut c_void) {
        // SAFETY: as above.
        unsafe { &*executor.cast::<Executor>() }.shut_down(wait, cancel_futures);
    }

    /// # Safety
    /// As for [`submit`].
    pub unsafe extern "C" fn ended(task: u64, executor: *mut c_void) {
        // SAFETY: as above.
        unsafe { &*executor.cast::<Executor>() }.ended(task);
    }

    /// # Safety
    /// Nobody uses the executor any more.
    pub unsafe extern "C" fn drop(executor: *mut c_void) {
        // SAFETY: as above, and it was boxed when it was given.
        std::mem::drop(unsafe { Box::from_raw(executor.cast::<Executor>()) });
    }
}

/// Ends futures, which runs the user's functions, one after the other.
fn end_all(to_do: &blocking::Receiver<Done>, open: &Open) {
    for done in to_do {
        match done {
            Done::Complete(task, reply) => task.complete(reply),
            Done::Fail(task, kind, why) => task.fail(kind, &why),
            Done::Free(task) => drop(task),
        }
        *lock(&open.count) -= 1;
        open.changed.notify_all();
    }
}

/// The thread that speaks with the server.
async fn serve(
    settings: Settings,
    mut hears: mpsc::UnboundedReceiver<Told>,
    told: mpsc::UnboundedSender<Told>,
    done: blocking::Sender<Done>,
    ready: &blocking::Sender<Result<(), String>>,
) {
    let id = nuid();
    let (heard, mut connection) = mpsc::unbounded_channel();
    let begun = async {
        let client = settings.connect(&format!("requests-futures client {id}"), heard).await?;
        settings.stream(&client).await?;
        let subject = settings.names().client(&id, "*");
        let asked = client.subscribe(subject.clone()).await;
        let asked = asked.map_err(|error| format!("{subject} cannot be subscribed to: {error}"))?;
        Ok((client, asked))
    };
    let (client, mut asked) = match begun.await {
        Ok(begun) => begun,
        Err(why) => {
            let _ = ready.send(Err(why));
            return;
        }
    };
    let mut serving = Serving {
        context: jetstream::new(client.clone()),
        sending: Arc::new(Semaphore::new(256)),
        entries: HashMap::new(),
        is_connected: true,
        lost_at: None,
        epoch: 0,
        looked_at: Instant::now(),
        settings,
        client,
        id,
        told,
        done,
    };
    let _ = ready.send(Ok(()));
    let mut tick = tokio::time::interval(serving.settings.lease / 4);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            biased;
            event = hears.recv() => match event {
                None | Some(Told::Quit) => break,
                Some(event) => serving.hear(event),
            },
            Some(is_connected) = connection.recv() => serving.connection(is_connected).await,
            Some(message) = asked.next() => serving.answer(message).await,
            _ = tick.tick() => serving.look(),
        }
    }
    for (_, entry) in serving.entries.drain() {
        let _ = serving.done.send(Done::Free(entry.task));
    }
    let _ = serving.client.flush().await;
}

/// A name that nobody else has.
pub fn nuid() -> String {
    nuid::next().to_string()
}

struct Serving {
    settings: Settings,
    client: Client,
    context: jetstream::Context,
    /// How many messages are on their way into the stream.
    sending: Arc<Semaphore>,
    id: String,
    entries: HashMap<u64, Entry>,
    is_connected: bool,
    lost_at: Option<Instant>,
    /// One more whenever messages may have been taken for those of a client that is gone.
    epoch: u64,
    looked_at: Instant,
    told: mpsc::UnboundedSender<Told>,
    done: blocking::Sender<Done>,
}

/// A client that was silent for so long may have been taken for gone.
const SILENT: Duration = Duration::from_secs(10);

impl Serving {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Submitted(entry) => {
                let id = entry.task.id();
                self.entries.insert(id, *entry);
                self.send(id, String::new());
            }
            Told::Unsent(id) => self.send(id, String::new()),
            Told::Ended(id) => {
                let Some(entry) = self.entries.remove(&id) else { return };
                if let Some(run) = &entry.run {
                    self.cancel(id, run);
                }
                let _ = self.done.send(Done::Free(entry.task));
            }
            Told::CancelPending => {
                let pending: Vec<u64> =
                    self.entries.iter().filter(|(_, entry)| !entry.is_started).map(|(id, _)| *id).collect();
                for entry in pending.iter().filter_map(|id| self.entries.remove(id)) {
                    let _ = self.done.send(Done::Free(entry.task));
                }
            }
            Told::Quit => {}
        }
    }

    /// Tells a worker that nobody wants a task any more, and the stream as well.
    fn cancel(&self, task: u64, run: &Run) {
        let client = self.client.clone();
        let subject = self.settings.names().worker(&run.worker);
        let message = Writer::default().number(task).number(run.attempt).end();
        tokio::spawn(async move { client.publish(subject, message).await });
        self.acknowledge(&run.acknowledge);
    }

    fn acknowledge(&self, subject: &str) {
        let (client, subject) = (self.client.clone(), subject.to_owned());
        tokio::spawn(async move { client.publish(subject, Bytes::from_static(b"+ACK")).await });
    }

    /// Puts a task into the stream; once more, when that is not confirmed. The stream takes a message of the same name once.
    fn send(&self, id: u64, again: String) {
        let Some(entry) = self.entries.get(&id) else { return };
        let length = entry.bytes.len() as u64;
        let message = TaskMessage { client: &self.id, task: id, length, bytes: &entry.bytes }.encode();
        let subject = entry.subject.clone();
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{}-{id}-{}{again}", self.id, self.epoch));
        let (context, sending, told) = (self.context.clone(), self.sending.clone(), self.told.clone());
        let (settings, client) = (self.settings.clone(), self.client.clone());
        tokio::spawn(async move {
            let sent = async {
                let _permit = sending.acquire_owned().await.ok()?;
                let stored = context.publish_with_headers(subject, headers, message).await.ok()?;
                stored.await.ok()
            };
            if sent.await.is_none() {
                // The stream may be gone.
                let _ = settings.stream(&client).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
                let _ = told.send(Told::Unsent(id));
            }
        });
    }

    async fn connection(&mut self, is_connected: bool) {
        if is_connected && !self.is_connected {
            if self.lost_at.is_some_and(|lost_at| lost_at.elapsed() > SILENT) {
                self.epoch += 1;
            }
            self.resume();
        }
        if !is_connected && self.is_connected {
            self.lost_at = Some(Instant::now());
        }
        self.is_connected = is_connected;
    }

    /// After a time in which nobody could be heard: workers get time to come back, and what has not started is sent again.
    fn resume(&mut self) {
        let later = Instant::now() + 2 * self.settings.lease;
        let mut waiting = Vec::new();
        for (id, entry) in &mut self.entries {
            match &mut entry.run {
                Some(run) => run.heard = later,
                None => waiting.push(*id),
            }
        }
        waiting.into_iter().for_each(|id| self.send(id, String::new()));
    }

    async fn answer(&mut self, message: async_nats::Message) {
        let what = message.subject.rsplit('.').next().unwrap_or_default().to_owned();
        let answer = match &*what {
            "ask" => Ask::decode(&message.payload).map(|ask| self.grant(&ask).encode()),
            "piece" => Piece::decode(&message.payload).map(|piece| self.add(&piece).encode()),
            "fetch" => self.fetch(&message.payload),
            "beat" => {
                for (task, attempt) in pairs(&message.payload) {
                    match self.entries.get_mut(&task).and_then(|entry| entry.run.as_mut()) {
                        Some(run) if run.attempt == attempt => run.heard = run.heard.max(Instant::now()),
                        _ => {}
                    }
                }
                None
            }
            _ => None,
        };
        if let (Some(answer), Some(to)) = (answer, message.reply) {
            let _ = self.client.publish(to, answer).await;
        }
    }

    /// Whether a worker may start a task.
    fn grant(&mut self, ask: &Ask<'_>) -> Answer {
        let lease = self.settings.lease;
        let Some(entry) = self.entries.get_mut(&ask.task) else { return Answer::No };
        if let Some(run) = &mut entry.run {
            if run.attempt == ask.attempt {
                run.acknowledge = ask.acknowledge.to_owned();
                return Answer::Yes;
            }
            return Answer::Later(lease.as_millis() as u64);
        }
        let own = u64::from(rf::format());
        if ask.format != own {
            let why = format!(
                "The worker {} reads tasks in format {}, and this program writes format {own}",
                ask.worker, ask.format
            );
            self.fail(ask.task, rf::RF_ERROR_NOT_TRANSFERABLE, why);
            return Answer::No;
        }
        let reply = entry.task.reply();
        if !entry.is_started && !entry.task.start() {
            // Its future is over, which is about to be told.
            return Answer::No;
        }
        entry.is_started = true;
        let Some(reply) = reply else { return Answer::Later(lease.as_millis() as u64) };
        entry.run = Some(Run {
            attempt: ask.attempt,
            worker: ask.worker.to_owned(),
            acknowledge: ask.acknowledge.to_owned(),
            heard: Instant::now(),
            reply,
            next: 0,
        });
        Answer::Yes
    }

    fn fail(&mut self, task: u64, kind: c_int, why: String) {
        let Some(entry) = self.entries.remove(&task) else { return };
        if let Some(run) = &entry.run {
            self.cancel(task, run);
        }
        let _ = self.done.send(Done::Fail(entry.task, kind, why));
    }

    /// A piece of a task that is too long for the stream.
    fn fetch(&self, asked: &[u8]) -> Option<Bytes> {
        let (task, at) = pairs(asked).next()?;
        let bytes = &self.entries.get(&task)?.bytes;
        let at = usize::try_from(at).ok().filter(|at| *at <= bytes.len())?;
        Some(bytes.slice(at..bytes.len().min(at + PIECE)))
    }

    /// Some of a reply.
    fn add(&mut self, piece: &Piece<'_>) -> Answer {
        let Some(entry) = self.entries.get_mut(&piece.task) else { return Answer::No };
        let Some(run) = entry.run.as_mut().filter(|run| run.attempt == piece.attempt) else { return Answer::No };
        run.heard = run.heard.max(Instant::now());
        if piece.number == Piece::ERROR {
            let why = String::from_utf8_lossy(piece.bytes).into_owned();
            self.fail(piece.task, rf::RF_ERROR_NOT_TRANSFERABLE, why);
            return Answer::Yes;
        }
        // Its answer was lost.
        if piece.number < run.next {
            return Answer::Yes;
        }
        run.next += 1;
        match run.reply.add(piece.bytes) {
            Added::More => {}
            Added::Whole => {
                let Some(Entry { task, run: Some(run), .. }) = self.entries.remove(&piece.task) else {
                    return Answer::No;
                };
                self.acknowledge(&run.acknowledge);
                let _ = self.done.send(Done::Complete(task, run.reply));
            }
            Added::Nonsense => {
                let why = format!("The worker {} sent what is no reply", run.worker);
                self.fail(piece.task, rf::RF_ERROR_BROKEN_POOL, why);
                return Answer::No;
            }
        }
        Answer::Yes
    }

    /// Looks for workers that have been silent for too long.
    fn look(&mut self) {
        let (now, lease) = (Instant::now(), self.settings.lease);
        if now.duration_since(self.looked_at) > lease {
            // This process has been stopped.
            self.epoch += 1;
            self.resume();
        }
        self.looked_at = now;
        if !self.is_connected {
            return;
        }
        let is_silent = |entry: &Entry| {
            entry.run.as_ref().is_some_and(|run| now.saturating_duration_since(run.heard) > lease)
        };
        let silent: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| is_silent(entry)).map(|(id, _)| *id).collect();
        for id in silent {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let Some(run) = entry.run.take() else { continue };
            if entry.is_repeatable {
                // Whoever asks next may start it.
                self.send(id, format!("-{}", run.attempt));
                continue;
            }
            let why = format!(
                "The worker {} that had started the request has not been heard of for {} s: it may have been carried out",
                run.worker,
                lease.as_secs_f64()
            );
            entry.run = Some(run);
            self.fail(id, rf::RF_ERROR_BROKEN_POOL, why);
        }
    }
}
