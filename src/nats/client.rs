//! The client's side: an executor that hands its tasks to the stream, and answers its workers.
//!
//! All that is known of tasks is known to one thread, which speaks with the server. What runs the user's functions, and may take
//! its time, is done by another: futures end there.

use std::collections::HashMap;
use std::ffi::{c_int, c_void};
use std::process;
use std::sync::mpsc as blocking;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use async_nats::jetstream::context::{ContextBuilder, GetStreamErrorKind};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use crate::message::{
    Address, Answer, Ask, Names, PIECE, Piece, TaskMessage, Writer, host_of, pairs, partition_of,
};
use crate::rf::{self, Added, Reply, Task};
use crate::settings::{Settings, nuid};

/// What the thread is told.
enum Told {
    Submitted(Box<Entry>),
    /// The future is over.
    Ended(u64),
    /// The stream has the message of this task, or could not take it, and it is to be sent again.
    Stored(u64, bool),
    /// So many messages of this client were in the stream, when these tasks were to have one there.
    Counted(u64, Vec<u64>),
    /// The server has answered what it was asked at that time; None: it has not.
    Answered(Option<Instant>),
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
    host: String,
    is_repeatable: bool,
    /// Its future runs.
    is_started: bool,
    /// The stream has confirmed that it has its message.
    is_stored: bool,
    /// So many workers that had it were lost.
    lost: u32,
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
    /// The thread that ends futures.
    ending: thread::ThreadId,
    /// The thread that speaks with the server.
    serving: Option<thread::JoinHandle<()>>,
    /// In a forked child there are no threads, and what they locked may be locked for ever.
    made_in: u32,
}

impl Executor {
    pub fn new(settings: &Settings, name: &str) -> Result<Executor, String> {
        let (told, hears) = mpsc::unbounded_channel();
        let (done, to_do) = blocking::channel();
        let (ready, is_ready) = blocking::channel();
        let open = Arc::new(Open::default());
        let counted = open.clone();
        let no_thread = |error: std::io::Error| format!("No thread could be started: {error}");
        let ending = thread::Builder::new().name("rf-nats-done".into());
        let ending = ending.spawn(move || end_all(&to_do, &counted)).map_err(no_thread)?.thread().id();
        let (own, name) = (settings.clone(), name.to_owned());
        let back = told.clone();
        let serving = thread::Builder::new()
            .name("rf-nats".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                match runtime {
                    Ok(runtime) => runtime.block_on(serve(own, &name, hears, back, done, &ready)),
                    Err(error) => _ = ready.send(Err(no_thread(error))),
                }
            })
            .map_err(no_thread)?;
        is_ready.recv().unwrap_or_else(|_| Err("The thread of the executor has ended".into()))?;
        let (submitting, serving) = (Mutex::new(true), Some(serving));
        Ok(Executor { told, open, submitting, ending, serving, made_in: process::id() })
    }

    fn is_inherited(&self) -> bool {
        self.made_in != process::id()
    }

    fn submit(&self, task: Task) -> Result<(), (Task, c_int)> {
        if self.is_inherited() {
            return Err((task, rf::RF_E_SHUTDOWN));
        }
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
        let (host, is_repeatable) = (host_of(&task.url()), task.is_repeatable());
        let entry = Entry {
            task,
            bytes,
            host,
            is_repeatable,
            is_started: false,
            is_stored: false,
            lost: 0,
            run: None,
        };
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
        if self.is_inherited() {
            return;
        }
        let _order = lock(&self.submitting);
        let _ = self.told.send(Told::Ended(task));
    }

    fn shut_down(&self, wait: bool, cancel_futures: bool) {
        if self.is_inherited() {
            return;
        }
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
        if self.is_inherited() {
            std::mem::forget(self.serving.take());
            return;
        }
        let _ = self.told.send(Told::Quit);
        // What was answered last is on its way when the program ends: workers would wait for it in vain.
        if let Some(serving) = self.serving.take()
            && ![self.ending, serving.thread().id()].contains(&thread::current().id())
        {
            let _ = serving.join();
        }
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
        std::mem::drop(unsafe { rf::take(executor.cast::<Executor>()) });
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
    mut settings: Settings,
    name: &str,
    mut hears: mpsc::UnboundedReceiver<Told>,
    told: mpsc::UnboundedSender<Told>,
    done: blocking::Sender<Done>,
    ready: &blocking::Sender<Result<(), String>>,
) {
    let id = nuid();
    let (heard, mut connection) = mpsc::unbounded_channel();
    let begun = async {
        let names = settings.names();
        let address = Address::new(name, &id).ok_or("The name is not a word")?;
        let client = settings
            .connect(&format!("requests-futures {address}"), &names.client_inbox(&address), heard)
            .await?;
        let (_, agreed) = settings.stream(&client).await?;
        settings.agreed(agreed);
        let subject = names.client(&address, "*");
        let asked = client.subscribe(subject.clone()).await;
        let asked = asked.map_err(|error| format!("{subject} cannot be subscribed to: {error}"))?;
        Ok((client, asked, address, agreed))
    };
    let (client, mut asked, address, agreed) = match begun.await {
        Ok(begun) => begun,
        Err(why) => {
            let _ = ready.send(Err(why));
            return;
        }
    };
    let lease = Duration::from_millis(agreed.lease_ms);
    let (out, said) = mpsc::unbounded_channel();
    let saying = tokio::spawn(say(client.clone(), said));
    let mut serving = Serving {
        names: settings.names(),
        partitions: agreed.partitions,
        lease,
        stream: to_stream(&client),
        entries: HashMap::new(),
        is_connected: true,
        epoch: 0,
        looked_at: Instant::now(),
        count_at: Instant::now() + COUNT_EVERY * lease,
        settings,
        is_asking: false,
        answered_at: None,
        out,
        client,
        address,
        told,
        done,
    };
    let _ = ready.send(Ok(()));
    let mut tick = tokio::time::interval(lease / 4);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = hears.recv() => match event {
                None | Some(Told::Quit) => break,
                Some(event) => serving.hear(event),
            },
            Some(is_connected) = connection.recv() => serving.connection(is_connected),
            Some(message) = asked.next() => serving.answer(message).await,
            _ = tick.tick() => serving.look(),
        }
    }
    for (id, entry) in std::mem::take(&mut serving.entries) {
        if let Some(run) = &entry.run {
            serving.cancel(id, run);
        }
        let _ = serving.done.send(Done::Free(entry.task));
    }
    // What is to be said is said before this one is gone.
    let client = serving.client.clone();
    drop(serving);
    let flushed = async {
        let _ = saying.await;
        let _ = client.flush().await;
    };
    let _ = tokio::time::timeout(FLUSHED, flushed).await;
}

/// Publishes, in order, what nobody waits for.
async fn say(client: Client, mut said: mpsc::UnboundedReceiver<(String, Bytes)>) {
    while let Some((subject, message)) = said.recv().await {
        let _ = client.publish(subject, message).await;
    }
}

struct Serving {
    settings: Settings,
    names: Names,
    partitions: u32,
    lease: Duration,
    client: Client,
    address: Address,
    /// Puts messages into the stream, so many at once.
    stream: Context,
    entries: HashMap<u64, Entry>,
    is_connected: bool,
    /// One more whenever messages have vanished from the stream, which takes those of one name once.
    epoch: u64,
    looked_at: Instant,
    /// The server is asked something, to see whether anything is heard of it.
    is_asking: bool,
    /// What it has answered was asked then.
    answered_at: Option<Instant>,
    /// What is published in order.
    out: mpsc::UnboundedSender<(String, Bytes)>,
    /// When the messages in the stream are to be counted.
    count_at: Instant,
    told: mpsc::UnboundedSender<Told>,
    done: blocking::Sender<Done>,
}

/// So many messages may be on their way into the stream.
const AT_ONCE: usize = 256;
/// A request with which so many workers were lost may be what ends them.
const MOST_LOST: u32 = 3;
/// How long the server is waited for in the end.
const FLUSHED: Duration = Duration::from_secs(1);
/// A message that is not confirmed for so long is sent again.
const CONFIRMED: Duration = Duration::from_secs(5);

fn to_stream(client: &Client) -> Context {
    ContextBuilder::new()
        .timeout(CONFIRMED)
        .ack_timeout(CONFIRMED)
        .max_ack_inflight(AT_ONCE)
        .backpressure_on_inflight(true)
        .build(client.clone())
}

/// Messages are counted after so many leases.
const COUNT_EVERY: u32 = 4;

impl Serving {
    fn hear(&mut self, told: Told) {
        match told {
            Told::Submitted(entry) => {
                let id = entry.task.id();
                self.entries.insert(id, *entry);
                self.send(id, String::new());
            }
            Told::Stored(id, true) => {
                if let Some(entry) = self.entries.get_mut(&id) {
                    entry.is_stored = true;
                }
            }
            Told::Stored(id, false) => self.send(id, String::new()),
            Told::Counted(count, ids) => self.counted(count, &ids),
            Told::Answered(asked_at) => {
                self.is_asking = false;
                self.answered_at = asked_at.or(self.answered_at);
            }
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
        let message = Writer::default().number(task).number(run.attempt).end();
        let _ = self.out.send((self.names.worker(&run.worker), message));
        self.acknowledge(&run.acknowledge);
    }

    fn acknowledge(&self, subject: &str) {
        let _ = self.out.send((subject.to_owned(), Bytes::from_static(b"+ACK")));
    }

    /// Asks the server something. What workers had said by then has come before the answer.
    fn ask(&mut self) {
        if std::mem::replace(&mut self.is_asking, true) {
            return;
        }
        let (client, stream, told) = (self.client.clone(), self.names.stream(), self.told.clone());
        let asked_at = Instant::now();
        tokio::spawn(async move {
            let context = jetstream::new(client);
            let answered = match context.get_stream(stream).await {
                Ok(_) => true,
                // That it is gone is an answer.
                Err(error) => matches!(error.kind(), GetStreamErrorKind::JetStream(_)),
            };
            let _ = told.send(Told::Answered(answered.then_some(asked_at)));
        });
    }

    /// Puts a task into the stream; once more, when that is not confirmed. The stream takes a message of the same name once.
    fn send(&mut self, id: u64, again: String) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.is_stored = false;
        let length = entry.bytes.len() as u64;
        let message = TaskMessage { task: id, host: &entry.host, length, bytes: &entry.bytes }.encode();
        let subject = self.names.task(partition_of(&entry.host, self.partitions), &self.address);
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{}-{id}-{}{again}", self.address, self.epoch));
        let (stream, told) = (self.stream.clone(), self.told.clone());
        let (settings, client) = (self.settings.clone(), self.client.clone());
        tokio::spawn(async move {
            let sent = async {
                let stored = stream.publish_with_headers(subject, headers, message).await.ok()?;
                stored.await.ok()
            };
            let is_stored = sent.await.is_some();
            if !is_stored {
                // The stream may be gone.
                let _ = settings.stream(&client).await;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            let _ = told.send(Told::Stored(id, is_stored));
        });
    }

    fn connection(&mut self, is_connected: bool) {
        if is_connected && !self.is_connected {
            self.resume();
        }
        self.is_connected = is_connected;
    }

    /// After a time in which nobody could be heard: workers get time to come back, and what has not started is sent again,
    /// and counted soon.
    fn resume(&mut self) {
        let now = Instant::now();
        // Those that are on their way wait for what will not come.
        self.stream = to_stream(&self.client);
        self.count_at = now + self.lease;
        for entry in self.entries.values_mut() {
            if let Some(run) = &mut entry.run {
                run.heard = now + 2 * self.lease;
            }
        }
        self.send_waiting();
    }

    fn send_waiting(&mut self) {
        let waiting: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| entry.run.is_none()).map(|(id, _)| *id).collect();
        waiting.into_iter().for_each(|id| self.send(id, String::new()));
    }

    /// Asks how many messages of this client the stream has. Each task has one there until it is over: one that somebody
    /// else has taken out would be waited for in vain.
    fn count(&mut self) {
        self.count_at = Instant::now() + COUNT_EVERY * self.lease;
        let ids: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| entry.is_stored).map(|(id, _)| *id).collect();
        if ids.is_empty() {
            return;
        }
        let (client, stream, told) = (self.client.clone(), self.names.stream(), self.told.clone());
        let subject = self.names.tasks_of_client(&self.address);
        tokio::spawn(async move {
            let count = async {
                let stream = jetstream::new(client).get_stream_no_info(stream).await.ok()?;
                let subjects = stream.info_with_subjects(subject).await.ok()?;
                subjects.try_fold(0, |sum, (_, count)| async move { Ok(sum + count as u64) }).await.ok()
            };
            if let Some(count) = count.await {
                let _ = told.send(Told::Counted(count, ids));
            }
        });
    }

    fn counted(&mut self, count: u64, ids: &[u64]) {
        let there = ids.iter().filter(|id| self.entries.get(id).is_some_and(|entry| entry.is_stored)).count();
        if (there as u64) > count {
            self.epoch += 1;
            self.send_waiting();
        }
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
        let lease = self.lease;
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
            // Its future is over.
            if let Some(entry) = self.entries.remove(&ask.task) {
                let _ = self.done.send(Done::Free(entry.task));
            }
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
        let Some(run) = entry.run.as_mut().filter(|run| run.attempt == piece.attempt) else {
            return Answer::No;
        };
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
        let added = if piece.number == run.next { run.reply.add(piece.bytes) } else { Added::Nonsense };
        run.next += 1;
        match added {
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

    /// Looks for workers that have been silent for too long, while the server was heard: where nothing comes at all, that says
    /// nothing of them.
    fn look(&mut self) {
        let (now, lease) = (Instant::now(), self.lease);
        if now.duration_since(self.looked_at) > lease {
            // This process has been stopped.
            self.resume();
        }
        self.looked_at = now;
        if !self.is_connected {
            return;
        }
        if now >= self.count_at {
            self.count();
        }
        let silent_at = |entry: &Entry, at: Instant| {
            entry.run.as_ref().is_some_and(|run| at.saturating_duration_since(run.heard) > lease)
        };
        if self.entries.values().any(|entry| silent_at(entry, now)) {
            self.ask();
        }
        let Some(answered_at) = self.answered_at.take() else { return };
        let is_silent = |entry: &Entry| silent_at(entry, answered_at);
        let silent: Vec<u64> =
            self.entries.iter().filter(|(_, entry)| is_silent(entry)).map(|(id, _)| *id).collect();
        for id in silent {
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            let Some(run) = entry.run.take() else { continue };
            entry.lost += 1;
            if entry.is_repeatable && entry.lost < MOST_LOST {
                // Whoever asks next may start it.
                self.cancel(id, &run);
                self.send(id, format!("-{}", run.attempt));
                continue;
            }
            let (worker, seconds) = (&run.worker, lease.as_secs_f64());
            let why = match entry.is_repeatable {
                true => format!(
                    "{MOST_LOST} workers that had started the request, {worker} the last of them, have not been heard of \
                     for {seconds} s: it may be what ends them"
                ),
                false => format!(
                    "The worker {worker} that had started the request has not been heard of for {seconds} s: it may have \
                     been carried out"
                ),
            };
            entry.run = Some(run);
            self.fail(id, rf::RF_ERROR_BROKEN_POOL, why);
        }
    }
}
