//! The worker's side: takes tasks out of the stream, asks their clients, carries them out, and sends what comes of them.

use std::collections::HashMap;
use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_nats::client::RequestErrorKind;
use async_nats::connection::State;
use async_nats::jetstream::AckKind;
use async_nats::jetstream::consumer::pull::{self, BatchConfig};
use async_nats::jetstream::consumer::{AckPolicy, PullConsumer};
use async_nats::{Client, Message, Request, StatusCode};
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit, mpsc, watch};
use tokio::time::MissedTickBehavior;

use crate::message::{Address, Answer, Ask, Names, PIECE, Piece, Presence, TaskMessage, Writer, hash, pairs};
use crate::politeness::{Hosts, Rate, assigned};
use crate::rf::{self, Stop};
use crate::settings::{Settings, nuid};

/// What a worker is told on its command line.
#[derive(Clone, Debug)]
pub struct Options {
    pub settings: Settings,
    /// How many requests run at once.
    pub slots: usize,
    /// How many more may wait here.
    pub queue: usize,
    pub max_per_host: Option<usize>,
    pub rate: Option<Rate>,
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
  --slots N           so many requests at once (16)
  --queue N           so many more may wait here for a slot (as many as slots)
  --max-per-host N    so many at once for one scheme, host and port (no limit)
  --rate N            so many a second for one scheme, host and port, may be a fraction (no limit)
  --burst N           so many of them may come at once (1)
  --no-hooks          refuses requests with functions
  --no-files          refuses requests with files
  --help              says this

For all that use the same stream, and decided by who makes it; where it is another, the worker does not begin:

  --partitions N      hosts are spread over so many partitions, each of which one worker takes at a time (16); 1: every
                      worker takes any task
  --lease-ms N        a worker that is silent for so long is lost (5000)
  --replicas N        so many servers of a cluster keep the stream (1)

SIGTERM and SIGINT: nothing new is started, what runs ends. SIGUSR1: a line of figures, as every 10 seconds.
";

impl Options {
    /// What these arguments say. None: help is asked for.
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Option<Options>, String> {
        let mut options = Options {
            settings: Settings::default(),
            slots: 16,
            queue: 0,
            max_per_host: None,
            rate: None,
            no_hooks: false,
            no_files: false,
        };
        let settings = &mut options.settings;
        let (mut servers, mut certificate, mut key, mut queue) = (Vec::new(), None, None, None);
        let (mut rate, mut burst) = (None, None);
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let (name, given) = match name.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (name, None),
            };
            let mut value =
                || given.clone().or_else(|| arguments.next()).ok_or(format!("{name} needs a value"));
            let number = |value: Result<String, String>, least: u64, most: u64| -> Result<u64, String> {
                let value = value?;
                let number = value.parse().ok().filter(|number| (least..=most).contains(number));
                number.ok_or(format!("{name}: {value} is not a number from {least} to {most}"))
            };
            match &*name {
                "--help" => return Ok(None),
                "--server" => servers.push(value()?),
                "--credentials" => settings.credentials = Some(value()?),
                "--ca" => settings.ca = Some(value()?),
                "--cert" => certificate = Some(value()?),
                "--key" => key = Some(value()?),
                "--prefix" => {
                    let prefix = value()?;
                    if !Names::is_fit(&prefix) {
                        return Err(format!("--prefix: {prefix} is not a word of letters, digits, _ and -"));
                    }
                    settings.prefix = prefix;
                }
                "--partitions" => settings.partitions = Some(number(value(), 1, 1000)? as u32),
                "--lease-ms" => {
                    settings.lease = Some(Duration::from_millis(number(value(), 100, 3_600_000)?))
                }
                "--replicas" => settings.replicas = number(value(), 1, 5)? as usize,
                "--slots" => options.slots = number(value(), 1, 100_000)? as usize,
                "--queue" => queue = Some(number(value(), 0, 100_000)? as usize),
                "--max-per-host" => options.max_per_host = Some(number(value(), 1, 100_000)? as usize),
                "--rate" => {
                    let value = value()?;
                    let number =
                        value.parse().ok().filter(|rate: &f64| *rate >= 0.001 && *rate <= 1_000_000.0);
                    rate =
                        Some(number.ok_or(format!("--rate: {value} is not a number from 0.001 to 1000000"))?);
                }
                "--burst" => burst = Some(number(value(), 1, 1_000_000)? as u32),
                "--no-hooks" => options.no_hooks = true,
                "--no-files" => options.no_files = true,
                _ => return Err(format!("{name} is no option; --help tells them")),
            }
        }
        if !servers.is_empty() {
            settings.servers = servers;
        }
        settings.certificate = match (certificate, key) {
            (None, None) => None,
            (Some(certificate), Some(key)) => Some((certificate, key)),
            _ => return Err("--cert and --key need each other".into()),
        };
        options.rate = match (rate, burst) {
            (Some(per_second), burst) => Some(Rate { per_second, burst: burst.unwrap_or(1) }),
            (None, None) => None,
            (None, Some(_)) => return Err("--burst needs --rate".into()),
        };
        options.queue = queue.unwrap_or(options.slots);
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
const PULL: Duration = Duration::from_secs(3);
/// How long after a pull that has failed the next one comes.
const PULL_AGAIN: Duration = Duration::from_millis(100);
/// So many tasks come in one pull at most.
const PULLED: usize = 256;
/// The time in which other workers tell one that has come that they are there.
const ACQUAINTED: Duration = Duration::from_millis(300);

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

/// Whose a task is that runs, and what ends it.
struct Running {
    client: Address,
    stop: Arc<Stop>,
}

/// While it lives, a task waits for a client that lets it wait.
struct Awaits<'a> {
    awaited: &'a Mutex<HashMap<Address, usize>>,
    client: &'a Address,
}

impl<'a> Awaits<'a> {
    fn new(awaited: &'a Mutex<HashMap<Address, usize>>, client: &'a Address) -> Awaits<'a> {
        *lock(awaited).entry(client.clone()).or_default() += 1;
        Awaits { awaited, client }
    }
}

impl Drop for Awaits<'_> {
    fn drop(&mut self) {
        let mut awaited = lock(self.awaited);
        if let Some(tasks) = awaited.get_mut(self.client) {
            *tasks -= 1;
            if *tasks == 0 {
                awaited.remove(self.client);
            }
        }
    }
}

struct Worker {
    id: String,
    client: Client,
    settings: Settings,
    names: Names,
    flags: c_int,
    lease: Duration,
    slots: Arc<Semaphore>,
    /// For all tasks that are here, and one more for each partition that waits for some.
    room: Arc<Semaphore>,
    hosts: Hosts,
    /// So many consumers are looked for at once.
    looking: Semaphore,
    figures: Figures,
    /// Nothing new is to start.
    is_ending: AtomicBool,
    /// By task and attempt.
    running: Mutex<HashMap<(u64, u64), Running>>,
    /// Since when clients have not answered.
    silent: Mutex<HashMap<Address, Instant>>,
    /// Clients that are there and have let a question time out, with how many tasks wait for them all the same. Other tasks of
    /// theirs are put back, so that one program that is stopped holds up no other one.
    awaited: Mutex<HashMap<Address, usize>>,
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
    let mut settings = options.settings.clone();
    let names = settings.names();
    let (heard, mut connection) = mpsc::unbounded_channel();
    let client = settings
        .connect(&format!("requests-futures-nats-worker {id}"), &names.worker_inbox(&id), heard)
        .await?;
    let (_, agreed) = settings.stream(&client).await?;
    settings.agreed(agreed);
    let subscribed = async |subject: String| {
        let subscribed = client.subscribe(subject.clone()).await;
        subscribed.map_err(|error| format!("{subject} cannot be subscribed to: {error}"))
    };
    let mut told = subscribed(names.worker(&id)).await?;
    let mut heard_of = subscribed(names.member()).await?;
    let on = |kind: SignalKind| signal(kind).map_err(|error| format!("No signals: {error}"));
    let (mut terminate, mut interrupt, mut tell) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::user_defined1())?);
    let flags = |no: bool, flag: c_int| if no { flag } else { 0 };
    let lease = Duration::from_millis(agreed.lease_ms);
    let worker = Arc::new(Worker {
        names,
        flags: flags(options.no_hooks, rf::RF_EXECUTE_NO_HOOKS)
            | flags(options.no_files, rf::RF_EXECUTE_NO_FILES),
        lease,
        slots: Arc::new(Semaphore::new(options.slots)),
        room: Arc::new(Semaphore::new(options.slots + options.queue + agreed.partitions as usize)),
        hosts: Hosts::new(options.max_per_host, options.rate),
        looking: Semaphore::new(16),
        figures: Figures::default(),
        is_ending: AtomicBool::new(false),
        running: Mutex::default(),
        silent: Mutex::default(),
        awaited: Mutex::default(),
        next_attempt: AtomicU64::new(hash(id.bytes())),
        client: client.clone(),
        settings,
        id,
    });
    let mut shares = Shares::new(worker.clone(), agreed.partitions);
    worker.present(Presence::Hello).await;
    eprintln!("requests-futures-nats-worker {}: {} slots, ready", worker.id, options.slots);

    let mut beats = tokio::time::interval(lease / 4);
    beats.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let every = Duration::from_secs(10);
    let mut figures = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    let acquainted = tokio::time::sleep(ACQUAINTED.min(lease / 4));
    tokio::pin!(acquainted);
    let mut lost_at = None;
    loop {
        tokio::select! {
            Some(message) = told.next() => {
                for pair in pairs(&message.payload) {
                    if let Some(running) = lock(&worker.running).get(&pair) {
                        running.stop.set();
                    }
                }
            }
            Some(message) = heard_of.next() => {
                if let Some((presence, id)) = Presence::decode(&message.payload)
                    && id != worker.id
                {
                    if presence == Presence::Hello && !shares.is_over() {
                        worker.present(Presence::Here).await;
                    }
                    shares.hear(id, presence);
                }
            }
            () = &mut acquainted, if !shares.is_begun => {
                shares.is_begun = true;
                shares.divide();
            }
            _ = beats.tick() => {
                worker.beat().await;
                if !shares.is_over() {
                    worker.present(Presence::Here).await;
                }
                if lost_at.is_none() {
                    shares.forget();
                }
            }
            Some(is_connected) = connection.recv() => {
                lost_at = if is_connected { None } else { Some(lost_at.unwrap_or_else(Instant::now)) };
                if is_connected {
                    shares.reconnected();
                }
            }
            _ = figures.tick() => worker.figures.say(),
            _ = tell.recv() => worker.figures.say(),
            _ = terminate.recv() => shares.end().await,
            _ = interrupt.recv() => shares.end().await,
            // Nothing new begins, and all that was here is over.
            _ = shares.all_gone.recv(), if shares.is_over() => break,
            // Nobody takes what has come of it.
            () = tokio::time::sleep(Duration::from_secs(1)),
                if shares.is_over() && lost_at.is_some_and(|at: Instant| at.elapsed() > GONE) => break,
        }
    }
    worker.figures.say();
    let _ = tokio::time::timeout(ANSWER, worker.client.flush()).await;
    Ok(())
}

async fn told_to_end(ends: &mut watch::Receiver<bool>) {
    let _ = ends.wait_for(|ends| *ends).await;
}

/// Which partitions this worker takes.
struct Shares {
    worker: Arc<Worker>,
    partitions: u32,
    /// It has heard who else is there.
    is_begun: bool,
    /// The other workers, and when they were heard of.
    members: HashMap<String, Instant>,
    /// What ends the pulls of a partition.
    taken: HashMap<u32, watch::Sender<bool>>,
    /// One more for each connection.
    connections: watch::Sender<u64>,
    /// Whatever is under way has one; none here: nothing new is to begin.
    alive: Option<mpsc::Sender<()>>,
    all_gone: mpsc::Receiver<()>,
}

impl Shares {
    fn new(worker: Arc<Worker>, partitions: u32) -> Shares {
        let (alive, all_gone) = mpsc::channel(1);
        Shares {
            worker,
            partitions,
            is_begun: false,
            members: HashMap::new(),
            taken: HashMap::new(),
            connections: watch::channel(0).0,
            alive: Some(alive),
            all_gone,
        }
    }

    fn is_over(&self) -> bool {
        self.alive.is_none()
    }

    fn hear(&mut self, id: &str, presence: Presence) {
        let before = match presence {
            Presence::Leaving => self.members.remove(id).is_none(),
            Presence::Hello | Presence::Here => self.members.insert(id.to_owned(), Instant::now()).is_some(),
        };
        if !before {
            self.divide();
        }
    }

    /// Those that have been silent for a lease.
    fn forget(&mut self) {
        let (lease, before) = (self.worker.lease, self.members.len());
        self.members.retain(|_, heard| heard.elapsed() <= lease);
        if self.members.len() != before {
            self.divide();
        }
    }

    /// Nobody could be heard before, and what was asked of the server is forgotten.
    fn reconnected(&mut self) {
        let now = Instant::now();
        self.members.values_mut().for_each(|heard| *heard = now);
        self.connections.send_modify(|number| *number += 1);
    }

    /// Begins to take what is this worker's share, and leaves the rest to others.
    fn divide(&mut self) {
        let Some(alive) = self.alive.as_ref().filter(|_| self.is_begun) else { return };
        let share = assigned(&self.worker.id, self.members.keys().cloned(), self.partitions);
        self.taken.retain(|partition, end| {
            let stays = share.contains(partition);
            if !stays {
                let _ = end.send(true);
            }
            stays
        });
        for partition in share {
            let connections = self.connections.subscribe();
            self.taken.entry(partition).or_insert_with(|| {
                let (end, ends) = watch::channel(false);
                tokio::spawn(self.worker.clone().pull(partition, connections, ends, alive.clone()));
                end
            });
        }
    }

    async fn end(&mut self) {
        self.alive = None;
        self.worker.is_ending.store(true, Ordering::SeqCst);
        for end in self.taken.values() {
            let _ = end.send(true);
        }
        self.worker.present(Presence::Leaving).await;
    }
}

impl Worker {
    /// Tells other workers of this one.
    async fn present(&self, presence: Presence) {
        let _ = self.client.publish(self.names.member(), presence.encode(&self.id)).await;
    }

    /// Tells clients what runs for them.
    async fn beat(&self) {
        // Those of whom nothing is left here either.
        lock(&self.silent).retain(|_, since| since.elapsed() < 30 * GONE);
        let mut by_client: HashMap<Address, Writer> = HashMap::new();
        for ((task, attempt), Running { client, .. }) in lock(&self.running).iter() {
            let beat = by_client.remove(client).unwrap_or_default().number(*task).number(*attempt);
            by_client.insert(client.clone(), beat);
        }
        for (client, beat) in by_client {
            let _ = self.client.publish(self.names.client(&client, "beat"), beat.end()).await;
        }
    }

    async fn consumer(&self, partition: u32) -> Result<PullConsumer, String> {
        let _place = self.looking.acquire().await;
        let (stream, _) = self.settings.stream(&self.client).await?;
        let name = self.names.consumer(partition);
        let config = pull::Config {
            durable_name: Some(name.clone()),
            ack_policy: AckPolicy::Explicit,
            ack_wait: self.lease,
            filter_subject: self.names.tasks_of_partition(partition),
            max_ack_pending: 100_000,
            max_deliver: -1,
            ..pull::Config::default()
        };
        let within = self.settings.connect_timeout;
        match tokio::time::timeout(within, stream.get_or_create_consumer(&name, config)).await {
            Ok(Ok(consumer)) => Ok(consumer),
            Ok(Err(error)) => Err(format!("The consumer {name} cannot be used: {error}")),
            Err(_) => Err(format!("The consumer {name} cannot be used: the server does not answer")),
        }
    }

    /// Takes tasks of a partition, as many as there is room for.
    async fn pull(
        self: Arc<Worker>,
        partition: u32,
        mut connections: watch::Receiver<u64>,
        mut ends: watch::Receiver<bool>,
        alive: mpsc::Sender<()>,
    ) {
        let mut said = String::new();
        let mut wanted = 1;
        'consumer: loop {
            connections.mark_unchanged();
            let consumer = tokio::select! {
                consumer = self.consumer(partition) => consumer,
                () = told_to_end(&mut ends) => return,
            };
            let consumer = match consumer {
                Ok(consumer) => consumer,
                Err(why) => {
                    if why != said {
                        eprintln!("{why}");
                        said = why;
                    }
                    tokio::select! {
                        _ = tokio::time::sleep(Duration::from_millis(500)) => continue,
                        () = told_to_end(&mut ends) => return,
                    }
                }
            };
            said.clear();
            let inbox = self.client.new_inbox();
            let Ok(mut delivered) = self.client.subscribe(format!("{inbox}.*")).await else { continue };
            for number in 0_u64.. {
                let first = tokio::select! {
                    first = self.room.clone().acquire_owned() => first,
                    () = told_to_end(&mut ends) => return,
                };
                let Ok(first) = first else { return };
                let mut room = vec![first];
                // One that waits for nothing keeps no room from those that have something.
                while room.len() < wanted
                    && let Ok(more) = self.room.clone().try_acquire_owned()
                {
                    room.push(more);
                }
                let asked = room.len();
                // What is there comes at once, and the pull is over; where there is nothing, the next one is waited for.
                let pull = BatchConfig {
                    batch: asked,
                    expires: Some(PULL),
                    no_wait: true,
                    ..BatchConfig::default()
                };
                let own = format!("{inbox}.{number}");
                if consumer.request_batch(pull, own.as_str().into()).await.is_err() {
                    tokio::time::sleep(PULL_AGAIN).await;
                    continue 'consumer;
                }
                let until = tokio::time::Instant::now() + PULL + Duration::from_secs(1);
                while !room.is_empty() {
                    let next = tokio::select! {
                        next = tokio::time::timeout_at(until, delivered.next()) => next,
                        _ = connections.changed() => continue 'consumer,
                        () = told_to_end(&mut ends) => {
                            // What has come already is for somebody else.
                            while let Some(Some(message)) = delivered.next().now_or_never() {
                                self.answer(&message, AckKind::Nak(None)).await;
                            }
                            return;
                        }
                    };
                    // It may be silent because its leader is another.
                    let Ok(Some(message)) = next else { continue 'consumer };
                    match message.status {
                        None => {
                            let (worker, place, alive) = (self.clone(), room.pop(), alive.clone());
                            tokio::spawn(async move {
                                worker.take(message, place).await;
                                drop(alive);
                            });
                        }
                        Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) if *message.subject == *own => {
                            break;
                        }
                        // Of a pull before.
                        Some(StatusCode::NOT_FOUND | StatusCode::TIMEOUT) => {}
                        // The stream, the consumer or its leader is gone.
                        Some(_) => {
                            tokio::time::sleep(PULL_AGAIN).await;
                            continue 'consumer;
                        }
                    }
                }
                wanted = match asked - room.len() {
                    0 => 1,
                    all if all == asked => (2 * asked).min(PULLED),
                    some => some,
                };
            }
        }
    }

    /// What the server is told of a message of the stream.
    async fn answer(&self, message: &Message, kind: AckKind) {
        if let Some(to) = &message.reply {
            let _ = self.client.publish(to.clone(), kind.into()).await;
        }
    }

    /// A task that has come. It has its place for as long as it is here.
    async fn take(&self, message: Message, place: Option<OwnedSemaphorePermit>) {
        let task = TaskMessage::decode(&message.payload).zip(self.names.client_of(&message.subject));
        let Some((task, client)) = task else {
            eprintln!("A message in the stream is no task, and is taken out");
            self.answer(&message, AckKind::Term).await;
            return;
        };
        // The server would give it to somebody else.
        let held = async {
            loop {
                tokio::time::sleep(self.lease / 3).await;
                self.answer(&message, AckKind::Progress).await;
            }
        };
        let then = tokio::select! {
            then = self.see_to(&message, &task, &client) => then,
            () = held => None,
        };
        if let Some(then) = then {
            self.answer(&message, then).await;
        }
        drop(place);
    }

    /// Carries a task out when its host has a turn, there is a slot, and its client wants it. What the server is told of its
    /// message.
    async fn see_to(&self, message: &Message, task: &TaskMessage<'_>, client: &Address) -> Option<AckKind> {
        let Some(turn) = self.hosts.turn(task.host, self.lease).await else {
            return Some(AckKind::Nak(Some(ASK_AGAIN)));
        };
        let mut slot = Some(self.slots.acquire().await.ok()?);
        if self.is_ending.load(Ordering::SeqCst) {
            return Some(AckKind::Nak(None));
        }
        let attempt = self.next_attempt.fetch_add(1, Ordering::Relaxed);
        match self.ask(message, task, client, attempt, &mut slot).await {
            Some(Answer::Yes) => {
                self.figures.granted.fetch_add(1, Ordering::Relaxed);
                self.figures.in_flight.fetch_add(1, Ordering::Relaxed);
                self.carry_out(task, client, attempt, slot).await;
                self.figures.in_flight.fetch_sub(1, Ordering::Relaxed);
                drop(turn);
                // The client acknowledges it.
                None
            }
            Some(Answer::No) => {
                turn.give_back();
                self.figures.refused.fetch_add(1, Ordering::Relaxed);
                Some(AckKind::Term)
            }
            Some(Answer::Later(ms)) => {
                turn.give_back();
                Some(AckKind::Nak(Some(Duration::from_millis(ms.min(60_000)))))
            }
            // The server gives it to somebody when nobody says anything about it.
            None => None,
        }
    }

    /// Whether the client wants the task started. One that lets this worker wait takes no slot meanwhile.
    async fn ask(
        &self,
        message: &Message,
        task: &TaskMessage<'_>,
        client: &Address,
        attempt: u64,
        slot: &mut Option<SemaphorePermit<'_>>,
    ) -> Option<Answer> {
        let acknowledge = message.reply.as_ref()?.to_string();
        let format = u64::from(rf::format());
        let ask = Ask { task: task.task, attempt, format, worker: &self.id, acknowledge: &acknowledge };
        let (ask, subject) = (ask.encode(), self.names.client(client, "ask"));
        let until = Instant::now() + 5 * self.lease;
        if lock(&self.awaited).contains_key(client) {
            return Some(Answer::Later(ASK_AGAIN.as_millis() as u64));
        }
        let mut awaits = None;
        loop {
            let request = Request::new().payload(ask.clone()).timeout(Some(ANSWER));
            match self.client.send_request(subject.clone(), request).await {
                Ok(answer) => {
                    lock(&self.silent).remove(client);
                    return Answer::decode(&answer.payload);
                }
                Err(error) if error.kind() == RequestErrorKind::NoResponders => {
                    // Perhaps it has not come back yet, after the server was gone.
                    let mut silent = lock(&self.silent);
                    let since = *silent.entry(client.clone()).or_insert_with(Instant::now);
                    let is_gone = since.elapsed() > GONE;
                    return Some(if is_gone {
                        Answer::No
                    } else {
                        Answer::Later(ASK_AGAIN.as_millis() as u64)
                    });
                }
                // The answer may have been lost, and the same attempt may ask again.
                Err(_) if Instant::now() < until => {
                    *slot = None;
                    awaits.get_or_insert_with(|| Awaits::new(&self.awaited, client));
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
                Err(_) => return None,
            }
        }
    }

    async fn carry_out(
        &self,
        task: &TaskMessage<'_>,
        client: &Address,
        attempt: u64,
        slot: Option<SemaphorePermit<'_>>,
    ) {
        let Some(stop) = Stop::new().map(Arc::new) else { return };
        let key = (task.task, attempt);
        lock(&self.running).insert(key, Running { client: client.clone(), stop: stop.clone() });
        let _slot = match slot {
            Some(slot) => Ok(slot),
            None => self.slots.acquire().await,
        };
        let sender = Sender {
            client: self.client.clone(),
            subject: self.names.client(client, "piece"),
            task: task.task,
            attempt,
            stop: stop.clone(),
            next: 0,
            gone_since: None,
        };
        let ran = async {
            let bytes = match task.bytes.is_empty() {
                false => Bytes::copy_from_slice(task.bytes),
                true => self.fetch(task, client).await?,
            };
            let (flags, handle) = (self.flags, Handle::current());
            let run = tokio::task::spawn_blocking(move || execute(&bytes, flags, &stop, sender, &handle));
            run.await.ok()?
        };
        let sent = ran.await;
        lock(&self.running).remove(&key);
        match sent {
            Some(bytes) => {
                self.figures.done.fetch_add(1, Ordering::Relaxed);
                self.figures.bytes.fetch_add(bytes, Ordering::Relaxed);
            }
            None => _ = self.figures.failed.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The bytes of a task that is too long for the stream.
    async fn fetch(&self, task: &TaskMessage<'_>, client: &Address) -> Option<Bytes> {
        let subject = self.names.client(client, "fetch");
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
    stop: Arc<Stop>,
    /// The number of the next piece.
    next: u64,
    gone_since: Option<Instant>,
}

impl Sender {
    /// Until the client has the piece. False: it does not want it, or is gone.
    async fn send(&mut self, bytes: &[u8]) -> bool {
        let piece = Piece { task: self.task, attempt: self.attempt, number: self.next, bytes }.encode();
        loop {
            if self.stop.is_set() {
                return false;
            }
            let request = Request::new().payload(piece.clone()).timeout(Some(ANSWER));
            match self.client.send_request(self.subject.clone(), request).await {
                Ok(answer) => {
                    self.next = self.next.wrapping_add(1);
                    return Answer::decode(&answer.payload) == Some(Answer::Yes);
                }
                // The server is gone: what was done is not lost while it comes back.
                Err(_) if self.client.connection_state() != State::Connected => self.gone_since = None,
                Err(_) => {
                    let since = *self.gone_since.get_or_insert_with(Instant::now);
                    if since.elapsed() > GONE {
                        return false;
                    }
                }
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
        let options = parse(&[
            "--slots",
            "3",
            "--server=nats://a",
            "--server",
            "nats://b",
            "--no-hooks",
            "--partitions=4",
        ]);
        let options = options.expect("options").expect("no help");
        assert_eq!((options.slots, options.queue, options.no_hooks, options.no_files), (3, 3, true, false));
        assert_eq!(options.settings.servers, ["nats://a", "nats://b"]);
        assert_eq!((options.settings.partitions, options.settings.lease), (Some(4), None));
        assert_eq!((options.max_per_host, options.rate), (None, None));
        let options =
            parse(&["--queue=0", "--max-per-host", "2", "--rate", "0.5", "--burst", "7", "--lease-ms=250"]);
        let options = options.expect("options").expect("no help");
        assert_eq!((options.queue, options.max_per_host), (0, Some(2)));
        assert_eq!(options.rate, Some(Rate { per_second: 0.5, burst: 7 }));
        assert_eq!(options.settings.lease, Some(Duration::from_millis(250)));
        assert!(parse(&["--help"]).expect("help").is_none());
        for (wrong, named) in [
            (&["--slots", "0"][..], "--slots"),
            (&["--slots"], "needs a value"),
            (&["--nonsense"], "--nonsense"),
            (&["--prefix", "a.b"], "--prefix"),
            (&["--rate", "0"], "--rate"),
            (&["--rate", "NaN"], "--rate"),
            (&["--burst", "1"], "--rate"),
            (&["--cert", "x"], "--key"),
        ] {
            let why = parse(wrong).expect_err("wrong");
            assert!(why.contains(named), "{why}");
        }
    }
}
