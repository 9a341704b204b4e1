//! The worker's side: takes tasks out of the stream, asks their clients, carries them out, and sends what comes of them.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::{AckKind, Message};
use async_nats::{Client, Request};
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc, watch};

use crate::client::{Settings, nuid};
use crate::message::{Answer, Ask, Names, PIECE, Piece, TaskMessage, Writer, pairs};
use crate::rf::{self, Stop};

/// What a worker is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    pub settings: Settings,
    /// How many requests run at once.
    pub slots: usize,
    /// How many more may be asked for meanwhile.
    pub queue: usize,
    /// The partitions that it takes tasks from; none: all.
    pub take: Vec<u32>,
    pub no_hooks: bool,
    pub no_files: bool,
}

pub const HELP: &str = "\
Usage: requests-futures-nats-worker [OPTION]...
Carries out requests that programs submit to a NATS server.

  --server URL        the server, or one of a cluster; may be given several times (nats://127.0.0.1:4222)
  --credentials FILE  a credentials file of NATS
  --ca FILE           the certificates that the server's is checked with (PEM)
  --cert FILE         this worker's certificate, and
  --key FILE          its key (PEM)
  --prefix NAME       the first word of the subjects (rf)
  --partitions N      how many partitions tasks are in (1), as the programs say it
  --take N            takes tasks of this partition; may be given several times (all)
  --replicas N        of the stream, where this worker makes it (1)
  --slots N           so many requests at once (16)
  --queue N           so many more may wait for their clients' answer meanwhile (as many as slots)
  --lease-ms N        a worker that is silent for so long is lost (5000)
  --no-hooks          refuses requests with functions
  --no-files          refuses requests with files
  --help              says this

SIGTERM and SIGINT: nothing new is started, what runs ends. SIGUSR1: a line of figures, as every 10 seconds.
";

impl Options {
    /// What these arguments say. None: help is asked for.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            settings: Settings::default(),
            slots: 16,
            queue: 0,
            take: Vec::new(),
            no_hooks: false,
            no_files: false,
        };
        let (mut servers, mut certificate, mut key, mut queue) = (Vec::new(), None, None, None);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let (name, given) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (name, None),
            };
            let mut value = || given.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"));
            let number = |value: Result<String, String>, least: u64| -> Result<u64, String> {
                let value = value?;
                value.parse().ok().filter(|number| *number >= least && *number <= 1_000_000)
                    .ok_or(format!("{name}: {value} is not a number from {least} to 1000000"))
            };
            match &*name {
                "--help" => return Ok(None),
                "--server" => servers.push(value()?),
                "--credentials" => options.settings.credentials = Some(value()?),
                "--ca" => options.settings.ca = Some(value()?),
                "--cert" => certificate = Some(value()?),
                "--key" => key = Some(value()?),
                "--prefix" => {
                    options.settings.prefix = value()?;
                    if !Names::is_fit(&options.settings.prefix) {
                        return Err(format!("--prefix: {} is not a word of letters, digits, _ and -", options.settings.prefix));
                    }
                }
                "--partitions" => options.settings.partitions = number(value(), 1)? as u32,
                "--take" => options.take.push(number(value(), 0)? as u32),
                "--replicas" => options.settings.replicas = number(value(), 1)? as usize,
                "--slots" => options.slots = number(value(), 1)? as usize,
                "--queue" => queue = Some(number(value(), 0)? as usize),
                "--lease-ms" => options.settings.lease = Duration::from_millis(number(value(), 100)?),
                "--no-hooks" => options.no_hooks = true,
                "--no-files" => options.no_files = true,
                _ => return Err(format!("{name} is no option; --help tells them")),
            }
        }
        if !servers.is_empty() {
            options.settings.servers = servers;
        }
        options.settings.certificate = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("--cert and --key need each other".into()),
        };
        options.queue = queue.unwrap_or(options.slots);
        let partitions = options.settings.partitions;
        if let Some(beyond) = options.take.iter().find(|partition| **partition >= partitions) {
            return Err(format!("--take: there is no partition {beyond}, of {partitions} from 0"));
        }
        if options.take.is_empty() {
            options.take = (0..partitions).collect();
        }
        Ok(Some(options))
    }
}

/// A client that does not answer for so long is gone.
const GONE: Duration = Duration::from_secs(20);
/// A task whose client does not answer is asked for again after so long.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// How long one answer is waited for.
const ANSWER: Duration = Duration::from_secs(2);
/// How long one pull lasts. It is renewed, so that one which the server has forgotten does not last for ever.
const PULL: Duration = Duration::from_secs(5);

#[derive(Default)]
struct Figures {
    in_flight: AtomicUsize,
    done: AtomicU64,
    failed: AtomicU64,
    granted: AtomicU64,
    refused: AtomicU64,
    bytes: AtomicU64,
}

impl Figures {
    fn say(&self) {
        let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        eprintln!(
            "in flight {}, done {}, failed {}, granted {}, refused {}, bytes {}",
            self.in_flight.load(Ordering::Relaxed),
            number(&self.done),
            number(&self.failed),
            number(&self.granted),
            number(&self.refused),
            number(&self.bytes)
        );
    }
}

struct Worker {
    id: String,
    client: Client,
    names: Names,
    flags: c_int,
    lease: Duration,
    slots: Arc<Semaphore>,
    figures: Figures,
    /// By task and attempt: whose it is, and what ends it.
    running: Mutex<HashMap<(u64, u64), (String, Arc<Stop>)>>,
    /// Since when clients have not answered.
    silent: Mutex<HashMap<String, Instant>>,
    next_attempt: AtomicU64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Works until it is told to end. An error: it could not begin.
pub fn work(options: &Options) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .max_blocking_threads(options.slots + 4)
        .enable_all()
        .build()
        .map_err(|error| format!("No thread could be started: {error}"))?;
    runtime.block_on(run(options))
}

async fn run(options: &Options) -> Result<(), String> {
    let id = nuid();
    let settings = &options.settings;
    let (heard, _connection) = mpsc::unbounded_channel();
    let client = settings.connect(&format!("requests-futures worker {id}"), heard).await?;
    settings.stream(&client).await?;
    let names = settings.names();
    let subject = names.worker(&id);
    let mut told = client
        .subscribe(subject.clone())
        .await
        .map_err(|error| format!("{subject} cannot be subscribed to: {error}"))?;
    let flags = |no: bool, flag: c_int| if no { flag } else { 0 };
    let worker = Arc::new(Worker {
        client,
        names,
        flags: flags(options.no_hooks, rf::RF_EXECUTE_NO_HOOKS) | flags(options.no_files, rf::RF_EXECUTE_NO_FILES),
        lease: settings.lease,
        slots: Arc::new(Semaphore::new(options.slots)),
        figures: Figures::default(),
        running: Mutex::default(),
        silent: Mutex::default(),
        next_attempt: AtomicU64::new(seed(&id)),
        id,
    });
    let (end, ends) = watch::channel(false);
    let held = Arc::new(Semaphore::new(options.slots + options.queue));
    let all = options.slots + options.queue;
    for partition in &options.take {
        tokio::spawn(worker.clone().pull(settings.clone(), *partition, held.clone(), ends.clone()));
    }
    let on = |kind: SignalKind| signal(kind).map_err(|error| format!("No signals: {error}"));
    let (mut terminate, mut interrupt, mut tell) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::user_defined1())?);
    eprintln!("requests-futures-nats-worker {}: {} slots, ready", worker.id, options.slots);
    let mut beats = tokio::time::interval(settings.lease / 4);
    beats.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut figures = tokio::time::interval(Duration::from_secs(10));
    loop {
        tokio::select! {
            Some(message) = told.next() => {
                for pair in pairs(&message.payload) {
                    if let Some((_, stop)) = lock(&worker.running).get(&pair) {
                        stop.set();
                    }
                }
            }
            _ = beats.tick() => worker.beat().await,
            _ = figures.tick() => worker.figures.say(),
            _ = tell.recv() => worker.figures.say(),
            _ = terminate.recv() => { let _ = end.send(true); }
            _ = interrupt.recv() => { let _ = end.send(true); }
            // Nothing new begins, and all that was held is over.
            _ = held.acquire_many(all as u32), if *ends.borrow() => break,
        }
    }
    worker.figures.say();
    let _ = worker.client.flush().await;
    Ok(())
}

/// Attempts of different workers are different numbers.
fn seed(id: &str) -> u64 {
    id.bytes().fold(14_695_981_039_346_656_037, |hash: u64, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(1_099_511_628_211)
    })
}

impl Worker {
    /// Tells clients what runs for them.
    async fn beat(&self) {
        let mut by_client: HashMap<String, Writer> = HashMap::new();
        for ((task, attempt), (client, _)) in lock(&self.running).iter() {
            let beat = by_client.remove(client).unwrap_or_default().number(*task).number(*attempt);
            by_client.insert(client.clone(), beat);
        }
        for (client, beat) in by_client {
            let _ = self.client.publish(self.names.client(&client, "beat"), beat.end()).await;
        }
    }

    async fn consumer(&self, settings: &Settings, partition: u32) -> Result<PullConsumer, String> {
        let stream = settings.stream(&self.client).await?;
        let name = self.names.consumer(partition);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.lease,
            filter_subject: self.names.task(partition),
            max_ack_pending: 100_000,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let made = tokio::time::timeout(settings.connect_timeout, stream.get_or_create_consumer(&name, config)).await;
        match made {
            Ok(Ok(consumer)) => Ok(consumer),
            Ok(Err(error)) => Err(format!("The consumer {name} cannot be used: {error}")),
            Err(_) => Err(format!("The consumer {name} cannot be used: the server does not answer")),
        }
    }

    /// Takes tasks of a partition, as many as there is room for.
    async fn pull(
        self: Arc<Worker>,
        settings: Settings,
        partition: u32,
        held: Arc<Semaphore>,
        mut ends: watch::Receiver<bool>,
    ) {
        let mut said = String::new();
        'consumer: loop {
            let consumer = match self.consumer(&settings, partition).await {
                Ok(consumer) => consumer,
                Err(why) => {
                    if why != said {
                        eprintln!("{why}");
                        said = why;
                    }
                    tokio::select! {
                        _ = tokio::time::sleep(Duration::from_millis(500)) => continue,
                        _ = ends.wait_for(|ends| *ends) => return,
                    }
                }
            };
            said.clear();
            loop {
                let first = tokio::select! {
                    first = held.clone().acquire_owned() => first,
                    _ = ends.wait_for(|ends| *ends) => return,
                };
                let Ok(first) = first else { return };
                let mut room = vec![first];
                while room.len() < 256
                    && let Ok(more) = held.clone().try_acquire_owned()
                {
                    room.push(more);
                }
                let batch = consumer.fetch().max_messages(room.len()).expires(PULL).messages().await;
                let Ok(mut batch) = batch else { continue 'consumer };
                let until = tokio::time::Instant::now() + PULL + Duration::from_secs(2);
                loop {
                    let next = tokio::select! {
                        next = tokio::time::timeout_at(until, batch.next()) => next,
                        _ = ends.wait_for(|ends| *ends) => return,
                    };
                    match next {
                        Ok(Some(Ok(message))) => {
                            let worker = self.clone();
                            let place = room.pop();
                            tokio::spawn(async move {
                                worker.take(message).await;
                                drop(place);
                            });
                            if room.is_empty() {
                                break;
                            }
                        }
                        Ok(None) => break,
                        // The server has forgotten the pull, or its leader is another.
                        Ok(Some(Err(_))) | Err(_) => continue 'consumer,
                    }
                }
            }
        }
    }

    /// A task that has come.
    async fn take(&self, message: Message) {
        let Some(task) = TaskMessage::decode(&message.payload) else {
            eprintln!("A message in the stream is no task, and is taken out");
            let _ = message.ack_with(AckKind::Term).await;
            return;
        };
        let Ok(slot) = self.slots.clone().acquire_owned().await else { return };
        let attempt = self.next_attempt.fetch_add(1, Ordering::Relaxed);
        let answer = self.ask(&message, &task, attempt).await;
        match answer {
            Some(Answer::Yes) => {
                self.figures.granted.fetch_add(1, Ordering::Relaxed);
                self.figures.in_flight.fetch_add(1, Ordering::Relaxed);
                self.carry_out(&message, &task, attempt).await;
                self.figures.in_flight.fetch_sub(1, Ordering::Relaxed);
            }
            Some(Answer::No) => {
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                let _ = message.ack_with(AckKind::Term).await;
            }
            Some(Answer::Later(ms)) => {
                let _ = message.ack_with(AckKind::Nak(Some(Duration::from_millis(ms)))).await;
            }
            // The server gives it to somebody when nobody says anything about it.
            None => {}
        }
        drop(slot);
    }

    /// Whether the client wants the task started.
    async fn ask(&self, message: &Message, task: &TaskMessage<'_>, attempt: u64) -> Option<Answer> {
        let acknowledge = message.reply.as_ref()?.to_string();
        let format = u64::from(rf::format());
        let ask = Ask { task: task.task, attempt, format, worker: &self.id, acknowledge: &acknowledge };
        let (ask, subject) = (ask.encode(), self.names.client(task.client, "ask"));
        let until = Instant::now() + 5 * self.lease;
        loop {
            let request = Request::new().payload(ask.clone()).timeout(Some(ANSWER));
            match self.client.send_request(subject.clone(), request).await {
                Ok(answer) => {
                    lock(&self.silent).remove(task.client);
                    return Answer::decode(&answer.payload);
                }
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    // Perhaps it has not come back yet, after the server was gone.
                    let mut silent = lock(&self.silent);
                    let since = *silent.entry(task.client.to_owned()).or_insert_with(Instant::now);
                    let is_gone = since.elapsed() > GONE;
                    return Some(if is_gone { Answer::No } else { Answer::Later(ASK_AGAIN.as_millis() as u64) });
                }
                // The answer may have been lost, and the same attempt may ask again.
                Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(_) => return None,
            }
        }
    }

    async fn carry_out(&self, message: &Message, task: &TaskMessage<'_>, attempt: u64) {
        let Some(stop) = Stop::new().map(Arc::new) else { return };
        let key = (task.task, attempt);
        lock(&self.running).insert(key, (task.client.to_owned(), stop.clone()));
        let sender = Sender {
            client: self.client.clone(),
            subject: self.names.client(task.client, "piece"),
            task: task.task,
            attempt,
            next: 0,
            gone_since: None,
        };
        let ran = async {
            let bytes = match task.bytes.is_empty() {
                false => Bytes::copy_from_slice(task.bytes),
                true => self.fetch(task).await?,
            };
            let (flags, handle) = (self.flags, Handle::current());
            let run = tokio::task::spawn_blocking(move || execute(&bytes, flags, &stop, sender, &handle));
            run.await.ok()
        };
        tokio::pin!(ran);
        let ran = loop {
            tokio::select! {
                ran = &mut ran => break ran,
                _ = tokio::time::sleep(self.lease / 3) => {
                    let _ = message.ack_with(AckKind::Progress).await;
                }
            }
        };
        lock(&self.running).remove(&key);
        match ran {
            Some(Some(bytes)) => {
                self.figures.done.fetch_add(1, Ordering::Relaxed);
                self.figures.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            _ => _ = self.figures.failed.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The bytes of a task that is too long for the stream.
    async fn fetch(&self, task: &TaskMessage<'_>) -> Option<Bytes> {
        let subject = self.names.client(task.client, "fetch");
        let length = usize::try_from(task.length).ok()?;
        let mut bytes: Vec<u8> = Vec::new();
        let until = Instant::now() + GONE;
        while bytes.len() < length {
            let ask = Writer::default().number(task.task).number(bytes.len() as u64).end();
            let request = Request::new().payload(ask).timeout(Some(ANSWER));
            match self.client.send_request(subject.clone(), request).await {
                Ok(piece) if piece.payload.is_empty() => return None,
                Ok(piece) => {
                    bytes.try_reserve(piece.payload.len()).ok()?;
                    bytes.extend_from_slice(&piece.payload);
                }
                Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(200)).await,
                Err(_) => return None,
            }
        }
        (bytes.len() == length).then(|| bytes.into())
    }
}

/// Carries a task out on this thread. How many bytes the reply had; None: nobody has taken it.
fn execute(bytes: &Bytes, flags: c_int, stop: &Stop, mut sender: Sender, handle: &Handle) -> Option<u64> {
    let mut piece: Vec<u8> = Vec::new();
    let mut sent = 0;
    let status = rf::execute(bytes, flags, stop, |mut part| {
        while !part.is_empty() {
            let (taken, rest) = part.split_at(part.len().min(PIECE - piece.len()));
            piece.extend_from_slice(taken);
            part = rest;
            if piece.len() == PIECE {
                sent += piece.len() as u64;
                if !handle.block_on(sender.send(&std::mem::take(&mut piece))) {
                    return false;
                }
            }
        }
        true
    });
    match status {
        rf::RF_OK => {
            sent += piece.len() as u64;
            let is_taken = piece.is_empty() || handle.block_on(sender.send(&piece));
            is_taken.then_some(sent)
        }
        rf::RF_FAILED => None,
        status => {
            let why = format!("The worker could not read the request: status {status} of rf_task_execute_to");
            sender.next = Piece::ERROR;
            handle.block_on(sender.send(why.as_bytes()));
            None
        }
    }
}

/// Sends a reply to its client.
struct Sender {
    client: Client,
    subject: String,
    task: u64,
    attempt: u64,
    /// The number of the next piece.
    next: u64,
    gone_since: Option<Instant>,
}

impl Sender {
    /// Until the client has the piece. False: it does not want it, or is gone.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        let piece = Piece { task: self.task, attempt: self.attempt, number: self.next, bytes }.encode();
        loop {
            let request = Request::new().payload(piece.clone()).timeout(Some(ANSWER));
            match self.client.send_request(self.subject.clone(), request).await {
                Ok(answer) => {
                    self.next = self.next.wrapping_add(1);
                    return Answer::decode(&answer.payload) == Some(Answer::Yes);
                }
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    let since = *self.gone_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > GONE {
                        return false;
                    }
                }
                // The server is gone: what was done is not lost while it comes back.
                Err(_) => self.gone_since = None,
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Option<Options>, String> {
        Options::parse(arguments.iter().map(|argument| (*argument).to_owned()))
    }

    #[test]
    fn options_are_read_and_what_is_none_is_named() {
        let options = parse(&["--slots", "3", "--server=nats://a", "--server", "nats://b", "--no-hooks", "--partitions=4"]);
        let options = options.expect("options").expect("no help");
        assert_eq!((options.slots, options.queue, options.no_hooks, options.no_files), (3, 3, true, false));
        assert_eq!(options.settings.servers, ["nats://a", "nats://b"]);
        assert_eq!(options.take, [0, 1, 2, 3]);
        assert!(parse(&["--help"]).expect("help").is_none());
        for (wrong, named) in [
            (&["--slots", "0"][..], "--slots"),
            (&["--slots"], "needs a value"),
            (&["--nonsense"], "--nonsense"),
            (&["--prefix", "a.b"], "--prefix"),
            (&["--take", "1"], "no partition 1"),
            (&["--cert", "x"], "--key"),
        ] {
            let why = parse(wrong).expect_err("wrong");
            assert!(why.contains(named), "{why}");
        }
    }
}
