//! A request that waits between two of its steps: for a place, for its turn, for a time.
//!
//! It holds nothing but itself. On an executor that can take it up again it is put aside and holds no thread either; on
//! any other the thread waits. Who has what it waits for wakes it, and so does whoever ends it. Only the first finds it
//! there: however many come, it goes on once.

use std::sync::Arc;
use std::time::Instant;

use crate::future::deadlock::Way;
use crate::future::monitor::{Monitor, Until};
use crate::future::timer::Expires;

/// A request put aside: all that it needs to go on.
pub trait Aside: Send {
    /// It may go on, wherever its executor has a thread for it. This thread is not kept.
    fn resume(self: Box<Self>);
    /// It has to end, which takes no time: on this thread, callbacks included.
    fn end(self: Box<Self>);
}

/// What has to happen before a wait is over.
pub trait Reason: Send + Sync {
    fn ways(&self) -> Vec<Way>;
}

pub struct Waiting {
    reason: Box<dyn Reason>,
    /// When it is over whatever happens.
    until: Option<Instant>,
    state: Monitor<State>,
}

#[derive(Default)]
struct State {
    woken: bool,
    aside: Option<Box<dyn Aside>>,
}

impl Waiting {
    pub fn new(reason: impl Reason + 'static) -> Arc<Waiting> {
        Arc::new(Waiting { reason: Box::new(reason), until: None, state: Monitor::default() })
    }

    /// A wait that is over at that time. Somebody has to wake it then.
    pub fn until(until: Instant, reason: impl Reason + 'static) -> Arc<Waiting> {
        Arc::new(Waiting { reason: Box::new(reason), until: Some(until), state: Monitor::default() })
    }

    /// Until somebody wakes it. It comes back where that has happened before: then it goes on at once.
    pub fn put_aside<A: Aside + 'static>(&self, aside: Box<A>) -> Option<Box<A>> {
        let mut state = self.state.lock();
        if std::mem::take(&mut state.woken) {
            return Some(aside);
        }
        state.aside = Some(aside);
        None
    }

    /// Waits on this thread until somebody wakes it, or until `until`.
    pub fn block(&self, until: Until) {
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
        state.woken = false;
    }

    /// What it waits for is there.
    pub fn resume(&self) {
        if let Some(aside) = self.wake() {
            aside.resume();
        }
    }

    /// The request is aborted, or its time is over: it has to see to that itself.
    pub fn end(&self) {
        if let Some(aside) = self.wake() {
            aside.end();
        }
    }

    fn wake(&self) -> Option<Box<dyn Aside>> {
        let mut state = self.state.lock();
        let aside = state.aside.take();
        state.woken = aside.is_none();
        state.notify_all();
        aside
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
