//! The threads of an event loop: one leads, one has an eye on it while it calls functions of the user's, and the others
//! call those that belong to requests.

use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::iter;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::{Core, Led, Shared};
use crate::future::control::Control;
use crate::future::deadlock::{Inside, Way};
use crate::future::monitor::{MonitorGuard, Until};
use crate::future::workers::{self, Blocked, Closing, Shortage, WorkerPool};
use crate::http::recent::Remembering;
use crate::http::request::RequestFuture;
use crate::system::fiber::Job;
use crate::system::fork;
use crate::system::lock::MutexGuard;
use crate::system::thread::{token, with_signals_blocked};

/// Who leads may be outside for so long.
const PATIENCE: Duration = Duration::from_millis(10);

/// What [`Shared::watch`] says: nobody watches the leader; somebody does, who has seen it call nothing lately; it has
/// called something since.
const UNWATCHED: usize = 0;
const QUIET: usize = 1;
const CALLED: usize = 2;

#[derive(Default)]
pub struct Crew {
    handles: HashMap<usize, JoinHandle<()>>,
    started: usize,
    live: usize,
    /// Threads that wait for something to do, and those that were called and have not come yet.
    idle: usize,
    coming: usize,
    /// A thread could not be had when one was wanted last.
    is_short: bool,
    is_led: bool,
    is_watched: bool,
    /// Functions to be called, and how many are being called.
    calls: VecDeque<Call>,
    calling: usize,
    /// Threads that are inside a close or a shutdown, of whatever executor: see [`Closing`].
    closing: usize,
    /// Who waits for futures of this executor, by their [`token`]: in functions that belong to a request, and in callbacks.
    blocked_calls: Vec<usize>,
    blocked_callbacks: Vec<usize>,
    /// Whom requests wait for that wait for futures of this executor, by their [`token`], once for each request.
    holders: Vec<usize>,
    /// Who runs here: the threads that live, and the requests whose functions are being called, by their [`token`].
    runners: Vec<usize>,
    gone: Vec<usize>,
}

/// The request that a function is called for.
#[derive(Clone)]
pub struct Whose {
    pub future: Arc<RequestFuture>,
    pub control: Arc<Control>,
}

/// A function of the user's that a fiber waits for.
pub struct Call {
    pub number: u64,
    pub job: Job,
    pub whose: Whose,
}

enum Duty {
    Lead,
    Call(Call),
    Watch,
    Leave,
}

thread_local! {
    /// Whether this thread calls a function that belongs to a request.
    static CALLING: Cell<bool> = const { Cell::new(false) };
}

impl Shared {
    /// How many threads there are at most: one that leads, one that watches it, and those that call functions.
    fn most_threads(&self) -> usize {
        self.max_calls.saturating_add(2)
    }

    /// Sees to it that there is a thread; false when there is none to be had.
    pub(super) fn is_manned(&self) -> bool {
        let crew = self.crew.lock();
        if crew.live > 0 {
            return true;
        }
        self.call_threads(crew);
        self.crew.lock().live > 0
    }

    /// There is something to do: calls as many threads as that needs.
    pub(super) fn summon(&self) {
        self.call_threads(self.crew.lock());
    }

    fn call_threads(&self, mut crew: MonitorGuard<'_, Crew>) {
        let calls = crew.calls.len().min(self.max_calls.saturating_sub(crew.calling));
        let watch = !crew.is_watched && self.watch.load(Ordering::SeqCst) != UNWATCHED;
        let wanted = calls + usize::from(!crew.is_led) + usize::from(watch);
        let mut notified = false;
        while wanted > crew.coming {
            if crew.idle > crew.coming {
                crew.coming += 1;
                notified = true;
            } else if crew.live >= self.most_threads() || !self.spawn(&mut crew) {
                break;
            }
        }
        // Who was not meant looks, and sleeps on.
        if notified { crew.notify_all() } else { drop(crew) }
    }

    fn spawn(&self, crew: &mut Crew) -> bool {
        let Some(shared) = self.this.upgrade() else { return false };
        let number = crew.started;
        let body = move || work(number, &shared);
        let started =
            with_signals_blocked(|| thread::Builder::new().name(format!("rf-events-{number}")).spawn(body));
        crew.is_short = started.is_err();
        let Ok(handle) = started else { return false };
        crew.handles.insert(number, handle);
        crew.started += 1;
        crew.live += 1;
        crew.coming += 1;
        true
    }

    fn duty(&self, mut has_come: bool) -> Duty {
        let mut crew = self.crew.lock();
        loop {
            if mem::take(&mut has_come) {
                crew.coming = crew.coming.saturating_sub(1);
            }
            if !crew.is_led && !self.is_over() {
                crew.is_led = true;
                // Who has watched until now leaves nobody who does.
                self.call_threads(crew);
                return Duty::Lead;
            }
            if crew.calling < self.max_calls
                && let Some(call) = crew.calls.pop_front()
            {
                crew.calling += 1;
                crew.runners.push(call.job.token());
                self.call_threads(crew);
                return Duty::Call(call);
            }
            if self.is_over() {
                return Duty::Leave;
            }
            if !crew.is_watched && self.watch.load(Ordering::SeqCst) != UNWATCHED {
                crew.is_watched = true;
                return Duty::Watch;
            }
            crew.idle += 1;
            crew = crew.wait(Until::Forever);
            crew.idle -= 1;
            has_come = true;
        }
    }

    /// A fiber waits until this function was called.
    pub(super) fn call<'a>(&'a self, core: MutexGuard<'a, Core>, call: Call) -> Led<'a> {
        call.whose.control.calls(self.id);
        let mut crew = self.crew.lock();
        crew.calls.push_back(call);
        self.call_threads(crew);
        let mut crew = self.crew.lock();
        if crew.live > 1 {
            return Ok(core);
        }
        // There is no other thread, and none to be had.
        let Some(call) = crew.calls.pop_back() else { return Ok(core) };
        crew.calling += 1;
        crew.runners.push(call.job.token());
        drop(crew);
        self.outside(core, || self.make_call(call))
    }

    /// Of those that were woken while a function of theirs was to be called, the ones whose request is over go on without
    /// it, unless it has begun.
    pub(super) fn recall(&self, core: &mut Core) {
        for number in mem::take(&mut core.recalled) {
            let Some(whose) = core.place(number).and_then(|place| place.whose.clone()) else { continue };
            if whose.control.check().is_ok() {
                continue;
            }
            let mut crew = self.crew.lock();
            let at = crew.calls.iter().position(|call| call.number == number && call.job.may_be_left());
            let Some(call) = at.and_then(|at| crew.calls.remove(at)) else { continue };
            drop(crew);
            call.whose.control.calls(0);
            core.has_been_called(number);
        }
    }

    fn make_call(&self, call: Call) {
        let Call { number, job, whose } = call;
        let Whose { future, control } = whose;
        let token = job.token();
        control.calls(0);
        let before = CALLING.replace(true);
        job.run(|| future.hold(&control));
        CALLING.set(before);
        if fork::is_inherited(self.made_in) {
            // The function has returned in a forked child, where there is nobody to go on.
            mem::forget((future, control));
            return;
        }
        drop((future, control));
        let mut crew = self.crew.lock();
        crew.calling -= 1;
        if let Some(at) = crew.runners.iter().position(|runner| *runner == token) {
            crew.runners.swap_remove(at);
        }
        drop(crew);
        self.mail.lock().called.push(number);
        self.ring();
    }

    /// The leader calls a function of the user's: somebody is to have an eye on it.
    pub(super) fn wants_watch(&self) {
        let called = |before| self.watch.compare_exchange(before, CALLED, Ordering::SeqCst, Ordering::SeqCst);
        if self.watch.load(Ordering::SeqCst) == CALLED || called(QUIET).is_ok() {
            return;
        }
        if called(UNWATCHED).is_ok() {
            self.summon();
        }
    }

    /// Takes the role from a leader that is outside, if it still is. Somebody else may have it now.
    pub(super) fn unseat(&self, beat: u64) -> bool {
        if self.beat.compare_exchange(beat, 0, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        self.crew.lock().is_led = false;
        self.watch_ends.lock().notify_all();
        true
    }

    /// Has an eye on the leader, until it has called nothing for a while or somebody has to take its place.
    fn watch_leader(&self) {
        let mut before = 0;
        loop {
            let guard = self.watch_ends.lock();
            drop(guard.wait(Until::At(Instant::now() + PATIENCE)));
            let beat = self.beat.load(Ordering::SeqCst);
            let is_outside = beat % 2 == 1;
            if (is_outside && beat == before && self.unseat(beat)) || self.is_over() {
                break;
            }
            let mut crew = self.crew.lock();
            if !crew.is_led {
                crew.is_watched = false;
                return;
            }
            drop(crew);
            before = beat;
            let now =
                |from, to| self.watch.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
            if !now(CALLED, QUIET) && !is_outside && now(QUIET, UNWATCHED) {
                break;
            }
        }
        self.crew.lock().is_watched = false;
    }

    /// Until all is over, but for what waits for this very thread.
    pub(super) fn wait_for_end(&self) {
        let blocked = Blocked::on(|| iter::once(self.id));
        let closing = Closing::here();
        let mut crew = self.crew.lock();
        let mut waiting = Inside::here();
        // Those that close, this executor or another one, do not wait for each other. Everybody else waits for all.
        let goes_on = |crew: &Crew| match closing.is_worker() {
            true => self.open.load(Ordering::SeqCst) > crew.closing,
            false => crew.live > 0,
        };
        while goes_on(&crew) {
            // What is queued may have nobody left to begin it, and what runs nobody to call its functions.
            if let Some(blocked) = &blocked {
                drop(crew);
                let shortage = blocked.shortage(self.id);
                if shortage.to_begin.is_some() {
                    return;
                }
                crew = self.crew.lock();
                let uncalled = if shortage.to_call.is_some() { crew.calls.len() } else { 0 };
                if self.open.load(Ordering::SeqCst) <= crew.closing + uncalled {
                    return;
                }
            }
            crew = match &mut waiting {
                None if blocked.is_some() => crew.wait(Until::Forever.or_soon()),
                None => crew.wait(Until::Forever),
                Some(waiting) if self.waits_for(waiting, &crew) => break,
                Some(waiting) => {
                    waiting.tell_others(crew.runners.iter().map(|runner| Way::By(*runner)).collect());
                    crew.wait(Until::Forever.or_soon())
                }
            };
        }
        drop(waiting);
        let gone = mem::take(&mut crew.gone);
        let handles: Vec<_> = gone.iter().filter_map(|number| crew.handles.remove(number)).collect();
        drop(crew);
        for handle in handles {
            // It has left its loop; a panic of its own was caught before.
            let _ = handle.join();
        }
    }

    /// Whether all that is left to do waits for what this thread has.
    fn waits_for(&self, inside: &Inside, crew: &Crew) -> bool {
        let futures: Vec<_> = self.aside.lock().futures.values().cloned().collect();
        let ways: Vec<_> = futures.iter().map(|future| future.way(&[])).collect();
        inside.is_in_the_way(&ways) && self.open.load(Ordering::SeqCst) <= crew.closing + futures.len()
    }
}

fn work(number: usize, shared: &Arc<Shared>) {
    workers::work_for(Some(shared.clone()));
    let own = token();
    shared.crew.lock().runners.push(own);
    let remembering = Remembering::begin();
    let mut has_come = true;
    loop {
        match shared.duty(mem::take(&mut has_come)) {
            Duty::Lead => shared.lead(),
            Duty::Call(call) => shared.make_call(call),
            Duty::Watch => shared.watch_leader(),
            Duty::Leave => break,
        }
        // A function of the user's may have forked. In the child there is no crew, only this thread of it.
        if fork::is_inherited(shared.made_in) {
            return;
        }
    }
    workers::work_for(None);
    drop(remembering);
    let mut crew = shared.crew.lock();
    crew.live -= 1;
    crew.runners.retain(|runner| *runner != own);
    crew.gone.push(number);
    crew.notify_all();
}

impl WorkerPool for Shared {
    fn id(&self) -> u64 {
        self.id
    }

    fn blocked(&self, begins: bool) {
        // In a forked child whoever had the lock is not there.
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut crew = self.crew.lock();
        let Crew { blocked_calls, blocked_callbacks, .. } = &mut *crew;
        let blocked = if CALLING.get() { blocked_calls } else { blocked_callbacks };
        if begins {
            blocked.push(token());
        } else if let Some(at) = blocked.iter().position(|blocked| *blocked == token()) {
            blocked.swap_remove(at);
        }
    }

    fn shortage(&self) -> Shortage {
        if fork::is_inherited(self.made_in) {
            return Shortage::default();
        }
        let crew = self.crew.lock();
        let threads = if crew.is_short { crew.live } else { self.most_threads() };
        let calls = crew.blocked_calls.len();
        let left = threads.saturating_sub(calls + crew.blocked_callbacks.len());
        // One of those who wait has to go on first.
        let all_go_on =
            || Way::Worker(crew.blocked_calls.iter().chain(&crew.blocked_callbacks).copied().collect());
        let to_call = match calls >= self.max_calls {
            true => Some(Way::Worker(crew.blocked_calls.clone())),
            // One thread has to lead.
            false => (left <= 1).then(all_go_on),
        };
        // A request whose function nobody calls has a place as well.
        let places = calls + crew.holders.len() + if to_call.is_some() { crew.calls.len() } else { 0 };
        let place_is_free = || {
            let holders = crew.holders.iter().map(|who| Way::By(*who));
            match &to_call {
                Some(way) => Way::Any(holders.chain([way.clone()]).collect()),
                None => Way::Any(holders.chain(crew.blocked_calls.iter().map(|who| Way::By(*who))).collect()),
            }
        };
        let to_go_on = (left == 0).then(all_go_on);
        let to_begin = to_go_on.clone().or_else(|| (places >= self.max_requests).then(place_is_free));
        Shortage { to_begin, to_call, to_go_on }
    }

    fn held(&self, begins: bool, by: usize) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        let holders = &mut self.crew.lock().holders;
        if begins {
            holders.push(by);
        } else if let Some(at) = holders.iter().position(|holder| *holder == by) {
            holders.swap_remove(at);
        }
    }

    fn closing(&self, begins: bool) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut crew = self.crew.lock();
        if begins {
            crew.closing += 1;
            crew.notify_all();
        } else {
            crew.closing -= 1;
        }
    }
}
