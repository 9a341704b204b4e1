//! A request that waits between two of its steps: for a place, for its turn, for a time.
//!
//! It holds nothing but itself. On an executor that can take it up again it is put aside and holds no thread either; on
//! any other the thread waits. Who has what it waits for wakes it, and so does whoever ends it. Only the first finds it
//! there: however many come, it goes on once.

use std::any::Any;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use crate::future::deadlock::Way;
use crate::future::monitor::{Monitor, Until};
use crate::future::timer::Expires;

/// A request put aside: all that it needs to go on.
pub trait Aside: Any + Send {
    /// Goes on, on this thread, until it is over or put aside again.
    fn go_on(self: Box<Self>);
}

/// Where requests that were put aside go on.
pub trait Home: Send + Sync {
    /// What is put aside there may go on: a thread is to [`Waiting::take`] it. It may be gone by then.
    fn resume(&self, waiting: Arc<Waiting>);
}

/// What has to happen before a wait is over.
pub trait Reason: Send + Sync {
    fn ways(&self) -> Vec<Way>;
}

pub struct Waiting {
    reason: Box<dyn Reason>,
    /// When it is over whatever happens.
    until: Option<Instant>,
    /// Among those that wait for a thread to go on.
    priority: i32,
    state: Monitor<State>,
}

#[derive(Default)]
struct State {
    woken: bool,
    aside: Option<(Box<dyn Aside>, Arc<dyn Home>)>,
}

impl Waiting {
    pub fn new(reason: impl Reason + 'static, priority: i32) -> Arc<Waiting> {
        Arc::new(Waiting { reason: Box::new(reason), until: None, priority, state: Monitor::default() })
    }

    /// A wait that is over at that time. Somebody has to wake it then.
    pub fn until(until: Instant, reason: impl Reason + 'static, priority: i32) -> Arc<Waiting> {
        Arc::new(Waiting {
            reason: Box::new(reason),
            until: Some(until),
            priority,
            state: Monitor::default(),
        })
    }

    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// Until somebody wakes it. It comes back where that has happened before: then it goes on at once.
    pub fn put_aside<A: Aside + 'static>(&self, aside: Box<A>, home: Arc<dyn Home>) -> Option<Box<A>> {
        let mut state = self.state.lock();
        if mem::take(&mut state.woken) {
            return Some(aside);
        }
        state.aside = Some((aside, home));
        None
    }

    /// What was put aside, if nobody has taken it.
    pub fn take(&self) -> Option<Box<dyn Aside>> {
        let mut state = self.state.lock();
        state.woken = false;
        state.aside.take().map(|(aside, _)| aside)
    }

    /// Waits on this thread until somebody wakes it, or until `until`; false: that was first.
    pub fn block(&self, until: Until) -> bool {
        let until = match (self.until, until) {
            (None, until) => until,
            (Some(own), Until::At(at)) => Until::At(at.min(own)),
            (Some(own), Until::Forever) => Until::At(own),
            (Some(_), Until::Now) => Until::Now,
        };
        let mut state = self.state.lock();
        while !state.woken && !until.has_passed() {
            state = state.wait(until);
        }
        mem::take(&mut state.woken)
    }

    /// What it waits for is there: it goes on where it belongs. Until a thread has taken it there, it can be ended.
    pub fn resume(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let is_first = !mem::replace(&mut state.woken, true);
        let home = state.aside.as_ref().filter(|_| is_first).map(|(_, home)| home.clone());
        state.notify_all();
        if let Some(home) = home {
            home.resume(self.clone());
        }
    }

    /// The request is aborted, or its time is over: it goes on here, and sees to that itself, which takes no time.
    pub fn end(&self) {
        let mut state = self.state.lock();
        let aside = state.aside.take();
        state.woken = aside.is_none();
        state.notify_all();
        if let Some((aside, _)) = aside {
            aside.go_on();
        }
    }

    /// Whether the time that it waits for has come.
    pub fn is_due(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// One of these has to go on before it does.
    pub fn way(&self) -> Way {
        Way::Any(self.reason.ways())
    }
}

/// A wait for a time is over with that.
impl Expires for Waiting {
    fn is_over(&self) -> bool {
        false
    }

    fn expire(self: Arc<Waiting>) {
        self.resume();
    }

    fn is_brief(&self) -> bool {
        true
    }
}
