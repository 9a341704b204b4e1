//! What holds for futures in whatever order their threads run. A lost wake-up shows as a thread that waits for ever,
//! which the checker reports.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use loom::thread::{self, JoinHandle};
use model::future::control::{Control, Left, Stopped};
use model::future::deadlock::Way;
use model::future::monitor::{Monitor, Until};
use model::future::ticket::{Holder, Ticket};
use model::future::wait::{Completed, ReturnWhen, WaitError, wait_many, wait_one};
use model::future::waiting::{Aside, Home, Reason, Waiting};
use model::future::{Future, State, Work};

fn in_every_order(model: impl Fn() + Send + Sync + 'static) {
    explore(None, model);
}

/// For models so large that all orders would take hours: those in which at most three times a thread is interrupted that
/// could go on.
fn in_orders_with_few_interruptions(model: impl Fn() + Send + Sync + 'static) {
    explore(Some(3), model);
}

fn explore(preemption_bound: Option<usize>, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = preemption_bound;
    builder.check(model);
}

// ---- a future whose parts are counted ----

/// How often each part was dropped.
#[derive(Default)]
struct Drops {
    work: AtomicUsize,
    ticket: AtomicUsize,
    outcome: AtomicUsize,
    callback: AtomicUsize,
}

type Part = fn(&Drops) -> &AtomicUsize;

struct Counted(Arc<Drops>, Part);

impl Drop for Counted {
    fn drop(&mut self) {
        self.1(&self.0).fetch_add(1, Ordering::SeqCst);
    }
}

struct Job(#[allow(dead_code)] Counted);

/// Counts the tickets that come back.
struct Books(Arc<Drops>);

impl Holder for Books {
    fn leave(&self, _: u32) {
        self.0.ticket.fetch_add(1, Ordering::SeqCst);
    }

    fn closing(&self, _: u32) {}
}

#[derive(Debug, PartialEq, Eq)]
enum What {
    Result,
    Error,
    Cancelled,
    Aborted,
}

struct Outcome(What, #[allow(dead_code)] Option<Counted>);

impl Work for Job {
    type Outcome = Outcome;

    fn cancelled() -> Outcome {
        Outcome(What::Cancelled, None)
    }

    fn aborted(_: &Outcome) -> Outcome {
        Outcome(What::Aborted, None)
    }

    fn deserted(_: Stopped, _: &Left) -> Outcome {
        Outcome(What::Aborted, None)
    }
}

type JobFuture = Arc<Future<Job>>;

fn failed(outcome: &Outcome) -> bool {
    outcome.0 != What::Result
}

fn pending_with(drops: &Arc<Drops>) -> JobFuture {
    let job = Job(Counted(drops.clone(), |drops| &drops.work));
    let ticket = Ticket::new(Arc::new(Books(drops.clone())), 0, 0);
    Future::new(job, 0, 0, |_| Some(ticket)).expect("has a ticket")
}

fn pending() -> JobFuture {
    pending_with(&Arc::default())
}

fn what(future: &Future<Job>) -> Option<&What> {
    future.outcome().map(|outcome| &outcome.0)
}

/// What a worker does. False: it was cancelled before.
fn run_with(future: &JobFuture, outcome: Outcome) -> bool {
    let control = Arc::new(Control::new());
    let Some(work) = future.start(&control) else { return false };
    drop(work);
    future.finish(outcome);
    true
}

fn run(future: &JobFuture) -> bool {
    run_with(future, Outcome(What::Result, None))
}

fn spawn<T: 'static>(future: &JobFuture, act: impl FnOnce(&JobFuture) -> T + 'static) -> JoinHandle<T> {
    let future = future.clone();
    thread::spawn(move || act(&future))
}

fn get<T>(counter: &Arc<T>, of: impl Fn(&T) -> &AtomicUsize) -> usize {
    of(counter).load(Ordering::SeqCst)
}

// ---- the state machine ----

#[test]
fn a_future_has_one_final_state() {
    in_every_order(|| {
        let future = pending();
        let worker = spawn(&future, run);
        let canceller = spawn(&future, |future| future.cancel());
        // Whoever saw the end of it sees the same for ever, and its outcome with it.
        let seen = (future.is_done(), future.state(), what(&future).map(std::ptr::from_ref));
        let rejected = future.reject(Outcome(What::Error, None));
        let (ran, cancelled) = (worker.join().unwrap(), canceller.join().unwrap());
        let end = (future.state(), what(&future).expect("is over"));
        if seen.0 {
            assert_eq!(seen.1, end.0);
            assert!(std::ptr::eq(seen.2.expect("an outcome with the state"), end.1));
        }
        assert_eq!(usize::from(ran) + usize::from(cancelled) + usize::from(rejected), 1);
        let expected = match (ran, cancelled) {
            (true, _) => (State::Finished, &What::Result),
            (_, true) => (State::Cancelled, &What::Cancelled),
            _ => (State::Finished, &What::Error),
        };
        assert_eq!(end, expected);
    });
}

#[test]
fn cancelling_and_starting_exclude_each_other() {
    in_every_order(|| {
        let drops = Arc::default();
        let future = pending_with(&drops);
        let worker = spawn(&future, |future| future.start(&Arc::new(Control::new())).is_some());
        let cancelled = future.cancel();
        let started = worker.join().unwrap();
        assert!(started != cancelled);
        assert_eq!(future.state(), if started { State::Running } else { State::Cancelled });
        assert_eq!(get(&drops, |drops| &drops.work), 1);
        assert_eq!(future.cancel(), cancelled);
    });
}

#[test]
fn cancelling_changes_nothing_about_what_finishes() {
    in_every_order(|| {
        let future = pending();
        let work = future.start(&Arc::new(Control::new()));
        let worker = spawn(&future, |future| future.finish(Outcome(What::Result, None)));
        assert!(!future.cancel());
        worker.join().unwrap();
        assert!(!future.cancel() && work.is_some());
        assert_eq!((future.state(), what(&future)), (State::Finished, Some(&What::Result)));
    });
}

#[test]
fn an_abort_tells_the_truth_about_the_outcome() {
    in_every_order(|| {
        let future = pending();
        let worker = spawn(&future, run);
        let other = spawn(&future, |future| future.abort());
        let aborted = (future.abort(), other.join().unwrap());
        let ran = worker.join().unwrap();
        let end = what(&future).expect("is over");
        match aborted {
            (false, false) => assert_eq!(end, &What::Result),
            _ => assert_eq!(end, if ran { &What::Aborted } else { &What::Cancelled }),
        }
    });
}

#[test]
fn what_is_held_back_never_begins() {
    in_every_order(|| {
        let future = pending();
        let worker = spawn(&future, run);
        let held = future.hold_back();
        let aborted = if held { future.cancel() } else { future.abort() };
        let ran = worker.join().unwrap();
        assert_eq!(held, !ran);
        let end = if held { &What::Cancelled } else { [&What::Result, &What::Aborted][usize::from(aborted)] };
        assert_eq!(what(&future), Some(end));
    });
}

#[test]
fn an_abort_reaches_what_runs() {
    in_every_order(|| {
        let future = pending();
        let control = Arc::new(Control::new());
        // The body of a streamed response, which goes on when the future is over.
        let body = control.clone();
        let work = future.start(&control);
        let aborter = spawn(&future, |future| future.abort());
        // As a request would, it looks now and then.
        let noticed = control.is_aborted();
        future.finish(Outcome(What::Result, None));
        let aborted = aborter.join().unwrap();
        assert!(work.is_some() && (aborted || !noticed));
        assert_eq!(what(&future), Some(if aborted { &What::Aborted } else { &What::Result }));
        assert!(!future.abort() && body.is_aborted());
    });
}

#[test]
fn every_part_is_dropped_once() {
    in_every_order(|| {
        let drops: Arc<Drops> = Arc::default();
        let future = pending_with(&drops);
        let mark = Counted(drops.clone(), |drops| &drops.callback);
        future.add_done_callback(move |_| drop(mark));
        let outcome = Outcome(What::Result, Some(Counted(drops.clone(), |drops| &drops.outcome)));
        let worker = spawn(&future, move |future| run_with(future, outcome));
        let aborter = spawn(&future, |future| future.abort());
        drop(future);
        worker.join().unwrap();
        aborter.join().unwrap();
        let count = |part: Part| get(&drops, part);
        assert_eq!(
            [count(|d| &d.work), count(|d| &d.ticket), count(|d| &d.outcome), count(|d| &d.callback)],
            [1; 4]
        );
    });
}

// ---- callbacks ----

#[test]
fn every_callback_runs_once_when_the_future_is_over() {
    in_every_order(|| {
        let future = pending();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let add = |future: &JobFuture, calls: &Arc<Mutex<Vec<u8>>>, name: u8| {
            let calls = calls.clone();
            future.add_done_callback(move |future| {
                assert!(future.is_done() && future.outcome().is_some());
                calls.lock().unwrap().push(name);
            });
        };
        add(&future, &calls, 1);
        let worker = spawn(&future, run);
        let canceller = spawn(&future, |future| future.cancel());
        add(&future, &calls, 2);
        // At the latest when all who may have to call it are gone.
        worker.join().unwrap();
        canceller.join().unwrap();
        let mut called = calls.lock().unwrap().clone();
        called.sort_unstable();
        assert_eq!(called, [1, 2]);
    });
}

#[test]
fn callbacks_run_in_the_order_in_which_they_were_added() {
    in_every_order(|| {
        let future = pending();
        let calls = Arc::new(Mutex::new(Vec::new()));
        let canceller = spawn(&future, |future| future.cancel());
        let adder = {
            let calls = calls.clone();
            spawn(&future, move |future| {
                for name in [1, 2] {
                    let (calls, me) = (calls.clone(), thread::current().id());
                    future.add_done_callback(move |_| {
                        calls.lock().unwrap().push((thread::current().id() == me, name));
                    });
                }
            })
        };
        canceller.join().unwrap();
        adder.join().unwrap();
        let called = calls.lock().unwrap();
        assert_eq!(called.len(), 2);
        // Those that one thread runs keep their order. One that comes late runs at once, where it was added.
        assert!(called[0].0 != called[1].0 || called[0].1 < called[1].1, "{called:?}");
    });
}

// ---- requests that wait between two of their steps ----

struct NoReason;

impl Reason for NoReason {
    fn ways(&self) -> Vec<Way> {
        Vec::new()
    }
}

/// Counts how often it goes on.
struct Counting(Arc<AtomicUsize>);

impl Aside for Counting {
    fn go_on(self: Box<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Whoever resumes takes it up again at once.
struct AtOnce;

impl Home for AtOnce {
    fn resume(&self, waiting: Arc<Waiting>) {
        if let Some(aside) = waiting.take() {
            aside.go_on();
        }
    }
}

#[test]
fn what_is_put_aside_goes_on_once() {
    in_every_order(|| {
        let waiting = Waiting::new(NoReason, 0);
        let count = Arc::new(AtomicUsize::new(0));
        let (for_worker, counting) = (waiting.clone(), Counting(count.clone()));
        let worker = thread::spawn(move || {
            if let Some(back) = for_worker.put_aside(Box::new(counting), Arc::new(AtOnce)) {
                back.go_on();
            }
        });
        let for_giver = waiting.clone();
        let giver = thread::spawn(move || for_giver.resume());
        waiting.end();
        giver.join().unwrap();
        worker.join().unwrap();
        assert_eq!(count.load(Ordering::SeqCst), 1);
    });
}

#[test]
fn a_thread_that_waits_is_woken() {
    in_every_order(|| {
        let waiting = Waiting::new(NoReason, 0);
        let giver = {
            let waiting = waiting.clone();
            thread::spawn(move || waiting.resume())
        };
        waiting.block(Until::Forever);
        giver.join().unwrap();
    });
}

/// A request whose first turn has not come: what a worker does with it when it goes on.
struct BeforeItsTurn(JobFuture, Arc<Control>);

impl Aside for BeforeItsTurn {
    fn go_on(self: Box<Self>) {
        if self.1.check().is_ok() && self.0.begin() {
            self.0.finish(Outcome(What::Result, None));
        }
    }
}

#[test]
fn what_waits_for_its_turn_is_cancelled_or_begins() {
    in_every_order(|| {
        let drops: Arc<Drops> = Arc::default();
        let future = pending_with(&drops);
        let control = Arc::new(Control::new());
        let work = future.take(&control, |_| false).expect("nobody else has taken it");
        drop(work);
        let waiting = Waiting::new(NoReason, 0);
        control.attach_waiting(&waiting);
        let giver = {
            let waiting = waiting.clone();
            thread::spawn(move || waiting.resume())
        };
        let canceller = spawn(&future, |future| future.cancel());
        if let Some(back) =
            waiting.put_aside(Box::new(BeforeItsTurn(future.clone(), control.clone())), Arc::new(AtOnce))
        {
            back.go_on();
        }
        giver.join().unwrap();
        let cancelled = canceller.join().unwrap();
        let end = if cancelled { &What::Cancelled } else { &What::Result };
        assert_eq!(what(&future), Some(end));
        control.detach_waiting();
        assert_eq!(get(&drops, |drops| &drops.ticket), 1);
    });
}

// ---- waiting ----

#[test]
fn who_waits_for_one_is_woken() {
    in_every_order(|| {
        let future = pending();
        let worker = spawn(&future, run);
        assert!(wait_one(&future, Until::Forever).is_ok_and(|outcome| outcome.0 == What::Result));
        assert!(worker.join().unwrap());
    });
}

#[test]
fn all_who_wait_for_one_are_woken() {
    in_orders_with_few_interruptions(|| {
        let future = pending();
        let others = [spawn(&future, |future| _ = run(future)), spawn(&future, |future| _ = future.cancel())];
        let waiter = spawn(&future, |future| wait_one(future, Until::Forever).map(|_| future.state()));
        let outcome = wait_one(&future, Until::Forever).map(|outcome| &outcome.0);
        assert_eq!(outcome, Ok(what(&future).expect("is over")));
        assert_eq!(waiter.join().unwrap(), Ok(future.state()));
        others.into_iter().for_each(|other| other.join().unwrap());
    });
}

fn who_waits_for_two_is_woken(when: ReturnWhen, enough: fn(&[JobFuture; 2]) -> bool) {
    in_orders_with_few_interruptions(move || {
        let both = [pending(), pending()];
        let worker = spawn(&both[0], |future| run_with(future, Outcome(What::Error, None)));
        let canceller = spawn(&both[1], |future| future.cancel());
        assert_eq!(wait_many(&both, Until::Forever, when, failed, &mut [false; 2]), Ok(()));
        assert!(enough(&both));
        assert!(worker.join().unwrap() && canceller.join().unwrap());
        assert_eq!(wait_many(&both, Until::Now, ReturnWhen::AllCompleted, failed, &mut [false; 2]), Ok(()));
    });
}

#[test]
fn who_waits_for_all_is_woken_when_all_are_over() {
    who_waits_for_two_is_woken(ReturnWhen::AllCompleted, |both| both.iter().all(|future| future.is_done()));
}

#[test]
fn who_waits_for_the_first_is_woken_by_any() {
    who_waits_for_two_is_woken(ReturnWhen::FirstCompleted, |both| both.iter().any(|future| future.is_done()));
}

#[test]
fn who_waits_for_an_exception_is_woken_by_one() {
    who_waits_for_two_is_woken(ReturnWhen::FirstException, |both| both[0].is_done());
}

/// The same one twice counts twice.
#[test]
fn who_waits_for_the_same_twice_is_woken() {
    in_every_order(|| {
        let future = pending();
        let worker = spawn(&future, run);
        let twice = [future.clone(), future];
        assert_eq!(
            wait_many(&twice, Until::Forever, ReturnWhen::AllCompleted, failed, &mut [false; 2]),
            Ok(())
        );
        assert!(worker.join().unwrap());
    });
}

/// A wait that gives up takes nothing from one that goes on.
#[test]
fn who_gives_up_disturbs_nobody() {
    in_every_order(|| {
        let future = pending();
        let worker = spawn(&future, run);
        let impatient = spawn(&future, |future| {
            let result = wait_one(future, Until::At(Instant::now())).map(|_| ());
            assert!(result == Ok(()) || result == Err(WaitError::TimedOut));
        });
        assert!(wait_one(&future, Until::Forever).is_ok());
        impatient.join().unwrap();
        assert!(worker.join().unwrap());
    });
}

#[test]
fn a_change_that_all_are_told_wakes_all() {
    in_every_order(|| {
        let monitor = Arc::new(Monitor::new(false));
        let wait = |monitor: &Monitor<bool>| {
            let mut changed = monitor.lock();
            while !*changed {
                changed = changed.wait(Until::Forever);
            }
        };
        let other = monitor.clone();
        let waiter = thread::spawn(move || wait(&other));
        let other = monitor.clone();
        let notifier = thread::spawn(move || {
            let mut changed = other.lock();
            *changed = true;
            changed.notify_all();
        });
        wait(&monitor);
        waiter.join().unwrap();
        notifier.join().unwrap();
    });
}

/// Telling one is enough where each change is for one: nobody is told twice, and nobody sleeps beside what is there.
#[test]
fn a_change_that_one_is_told_is_taken() {
    in_orders_with_few_interruptions(|| {
        let there = Arc::new(Monitor::new(0));
        let give = |there: &Monitor<usize>| {
            let mut count = there.lock();
            *count += 1;
            count.notify_one();
        };
        let take = |there: &Monitor<usize>| {
            let mut count = there.lock();
            while *count == 0 {
                count = count.wait(Until::Forever);
            }
            *count -= 1;
        };
        let threads = [there.clone(), there.clone()].map(|there| thread::spawn(move || take(&there)));
        let other = there.clone();
        let giver = thread::spawn(move || give(&other));
        give(&there);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        giver.join().unwrap();
        assert_eq!(*there.lock(), 0);
    });
}

// ---- queues ----

type Queue = Arc<Completed<Job>>;

fn queue_of(futures: &[&JobFuture]) -> Queue {
    let queue = Completed::default();
    futures.iter().for_each(|future| queue.add(future).unwrap());
    Arc::new(queue)
}

fn next(queue: &Queue) -> Option<usize> {
    queue.next(Until::Forever).unwrap().map(|(_, index)| index)
}

#[test]
fn a_queue_delivers_what_finishes_and_what_is_cancelled_once() {
    in_every_order(|| {
        let both = [pending(), pending()];
        let queue = queue_of(&[&both[0], &both[1]]);
        let worker = spawn(&both[0], run);
        let canceller = spawn(&both[1], |future| future.cancel());
        let mut delivered = [next(&queue).unwrap(), next(&queue).unwrap()];
        assert!(both[delivered[0]].is_done() && both[delivered[1]].is_done());
        delivered.sort_unstable();
        assert_eq!((delivered, next(&queue)), ([0, 1], None));
        assert!(worker.join().unwrap() && canceller.join().unwrap());
    });
}

#[test]
fn those_who_take_from_a_queue_share_it_and_all_see_its_end() {
    in_every_order(|| {
        let both = [pending(), pending()];
        let queue = queue_of(&[&both[0], &both[1]]);
        let taker = {
            let queue = queue.clone();
            thread::spawn(move || std::iter::from_fn(|| next(&queue)).collect::<Vec<_>>())
        };
        let worker = spawn(&both[0], run);
        both[1].cancel();
        let mut delivered: Vec<_> = std::iter::from_fn(|| next(&queue)).collect();
        delivered.extend(taker.join().unwrap());
        delivered.sort_unstable();
        assert_eq!(delivered, [0, 1]);
        assert!(worker.join().unwrap());
    });
}

/// It is delivered once, and never forgotten, when it is added while it finishes.
#[test]
fn a_future_that_two_threads_add_is_delivered_once() {
    in_every_order(|| {
        let future = pending();
        let queue = queue_of(&[]);
        let worker = spawn(&future, run);
        let adder = {
            let queue = queue.clone();
            spawn(&future, move |future| queue.add(future).unwrap())
        };
        queue.add(&future).unwrap();
        assert!(next(&queue).is_some());
        adder.join().unwrap();
        assert!(worker.join().unwrap());
        queue.add(&future).unwrap();
        assert_eq!(next(&queue), None);
    });
}

fn readable(descriptor: i32) -> bool {
    let mut one = libc::pollfd { fd: descriptor, events: libc::POLLIN, revents: 0 };
    // SAFETY: one descriptor, which is open.
    unsafe { libc::poll(&mut one, 1, 0) == 1 }
}

#[test]
fn the_descriptor_says_whether_a_queue_would_wait() {
    in_every_order(|| {
        let (future, slow) = (pending(), pending());
        let queue = queue_of(&[&future, &slow]);
        let descriptor = queue.descriptor().unwrap();
        let worker = spawn(&future, run);
        assert_eq!(next(&queue), Some(0));
        assert!(worker.join().unwrap());
        assert!(!readable(descriptor));
        let canceller = spawn(&slow, |future| future.cancel());
        let added = pending();
        queue.add(&added).unwrap();
        canceller.join().unwrap();
        assert!(readable(descriptor));
        assert_eq!(next(&queue), Some(1));
        assert!(!readable(descriptor));
        added.cancel();
        assert_eq!(next(&queue), Some(2));
        assert!(readable(descriptor) && next(&queue).is_none());
    });
}

#[test]
fn a_queue_can_be_freed_while_its_futures_finish() {
    in_every_order(|| {
        let drops: Arc<Drops> = Arc::default();
        let future = pending_with(&drops);
        let queue = queue_of(&[&future]);
        let worker = spawn(&future, run);
        drop(future);
        drop(queue);
        assert!(worker.join().unwrap());
        assert_eq!((get(&drops, |drops| &drops.work), get(&drops, |drops| &drops.ticket)), (1, 1));
    });
}
