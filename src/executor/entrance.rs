//! The way into an executor of the user's own: a task whose host has no turn for it waits here, where it holds no thread.
//!
//! Such an executor may carry its tasks out anywhere, so that nobody else could count them. It is given a task when the
//! turn of that has come, and the turn lasts as long as the task.

use std::any::Any;
use std::collections::{HashMap, VecDeque};
use std::mem;
use std::sync::{Arc, Weak};
use std::thread;

use super::{Refusal, Task};
use crate::future::control::Control;
use crate::future::deadlock;
use crate::future::monitor::{Monitor, Until};
use crate::future::waiting::{Aside, Home, Waiting};
use crate::http::adapter::Adapter;
use crate::http::request::RequestFuture;
use crate::http::turns::Standing;
use crate::message::error::Error;
use crate::message::url::Url;
use crate::system::fork;
use crate::system::thread::with_signals_blocked;

type Give = Box<dyn Fn(Task) + Send + Sync>;

pub struct Entrance {
    this: Weak<Entrance>,
    /// The generation of processes whose thread this has.
    made_in: u32,
    /// Gives the executor a task that has waited.
    give: Give,
    state: Monitor<State>,
}

#[derive(Default)]
struct State {
    /// Those whose turn has not come, by their numbers.
    waiting: HashMap<u64, Arc<RequestFuture>>,
    /// Those of them whose turn may have come.
    may_go: VecDeque<Arc<Waiting>>,
    /// Tasks that are being given to the executor.
    giving: usize,
    has_thread: bool,
    /// To be done when nobody waits any more.
    then: Vec<Box<dyn FnOnce() + Send>>,
}

impl State {
    fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.giving == 0
    }
}

/// A task that waits, and where.
struct Early {
    task: Task,
    control: Arc<Control>,
    standing: Standing,
    adapter: Arc<Adapter>,
    url: Url,
    entrance: Arc<Entrance>,
}

impl Early {
    /// What it waits for; None: its turn has come.
    fn ask(&mut self) -> Result<Option<Arc<Waiting>>, Error> {
        self.adapter.turn(&mut self.standing, &self.url, &self.control)
    }

    /// The task, and its turn with it.
    fn into_task(self) -> Task {
        let Early { mut task, control, standing, .. } = self;
        let permit = if let Standing::Come(permit) = standing { Some(permit) } else { None };
        task.has_turn(control, permit);
        task
    }
}

impl Aside for Early {
    /// Whoever ends the future calls this.
    fn go_on(self: Box<Self>) {
        self.entrance.left(self.task.id(), false);
        self.task.leave();
    }
}

impl Home for Entrance {
    fn resume(&self, waiting: Arc<Waiting>) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut state = self.state.lock();
        state.may_go.push_back(waiting);
        state.notify_all();
    }
}

impl Entrance {
    pub fn new(give: impl Fn(Task) + Send + Sync + 'static) -> Arc<Entrance> {
        Arc::new_cyclic(|this| Entrance {
            this: this.clone(),
            made_in: fork::generation(),
            give: Box::new(give),
            state: Monitor::default(),
        })
    }

    /// A task that the executor may be given comes back; any other one is given to it later.
    #[cold]
    #[inline(never)]
    pub fn enter(&self, task: Task) -> Result<Option<Task>, Refusal> {
        let at = if fork::is_inherited(self.made_in) { None } else { task.turn_at() };
        let (Some((adapter, url)), Some(future), Some(entrance)) =
            (at, task.future.clone(), self.this.upgrade())
        else {
            return Ok(Some(task));
        };
        let control = Arc::new(Control::of_request(task.priority, future.id(), future.made_at()));
        let standing = Standing::default();
        let mut early = Box::new(Early { task, control: control.clone(), standing, adapter, url, entrance });
        let waiting = match early.ask() {
            Ok(Some(waiting)) => waiting,
            Ok(None) => return Ok(Some(early.into_task())),
            // Its future is over, as it may be in any executor.
            Err(_) => return Ok(Some(early.task)),
        };
        let mut state = self.state.lock();
        if !state.has_thread && !self.start() {
            drop(state);
            return Err(Refusal::Resource(early.task));
        }
        state.has_thread = true;
        state.waiting.insert(future.id(), future.clone());
        drop(state);
        future.waits_by(Some(&control));
        let this = self.this.clone();
        future.add_done_callback(move |future| {
            let is_waiting =
                |entrance: Arc<Entrance>| entrance.state.lock().waiting.contains_key(&future.id());
            if !future.is_inherited() && this.upgrade().is_some_and(is_waiting) {
                control.abort();
            }
        });
        self.put_aside(early, waiting);
        Ok(None)
    }

    fn start(&self) -> bool {
        let Some(this) = self.this.upgrade() else { return false };
        let thread = thread::Builder::new().name("rf-turns".into());
        with_signals_blocked(|| thread.spawn(move || this.serve())).is_ok()
    }

    fn put_aside(&self, mut early: Box<Early>, mut waiting: Arc<Waiting>) {
        let home = early.entrance.clone();
        while let Some(back) = waiting.put_aside(early, home.clone()) {
            early = back;
            match early.ask() {
                Ok(Some(next)) => waiting = next,
                Ok(None) => return self.admit(early),
                Err(_) => return early.go_on(),
            }
        }
    }

    /// Gives the executor a task whose turn has come, unless its future is over: whoever ended that may not have come to
    /// take it out of the line yet.
    fn admit(&self, early: Box<Early>) {
        if early.task.future.as_ref().is_some_and(|future| future.is_done()) {
            return early.go_on();
        }
        let id = early.task.id();
        self.left(id, true);
        if let Some(future) = &early.task.future {
            future.waits_by(None);
        }
        (self.give)(early.into_task());
        if !fork::is_inherited(self.made_in) {
            let mut state = self.state.lock();
            state.giving -= 1;
            state.notify_all();
        }
    }

    /// One waits no more: it is being given to the executor, or it is over.
    fn left(&self, id: u64, is_given: bool) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        let mut state = self.state.lock();
        let gone = state.waiting.remove(&id);
        state.giving += usize::from(is_given);
        state.notify_all();
        drop(gone);
    }

    /// What its thread does, for as long as there are tasks that wait.
    fn serve(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(waiting) = state.may_go.pop_front() {
                drop(state);
                let aside = waiting.take().map(|aside| -> Box<dyn Any> { aside });
                if let Some(mut early) = aside.and_then(|aside| aside.downcast::<Early>().ok()) {
                    match early.ask() {
                        Ok(Some(next)) => self.put_aside(early, next),
                        Ok(None) => self.admit(early),
                        Err(_) => early.go_on(),
                    }
                }
                if fork::is_inherited(self.made_in) {
                    return;
                }
                state = self.state.lock();
            } else if !state.is_empty() {
                state = state.wait(Until::Forever);
            } else if state.then.is_empty() {
                state.has_thread = false;
                return;
            } else {
                let then = mem::take(&mut state.then);
                drop(state);
                then.into_iter().for_each(|act| act());
                if fork::is_inherited(self.made_in) {
                    return;
                }
                state = self.state.lock();
            }
        }
    }

    /// Cancels those that wait.
    pub fn cancel(&self) {
        let futures: Vec<_> = self.state.lock().waiting.values().cloned().collect();
        for future in futures {
            future.cancel();
        }
    }

    /// Does something when nobody waits any more: now, or later, on the thread that gives out tasks. With `wait` now, unless
    /// those that wait may wait for this very thread.
    pub fn when_empty(&self, wait: bool, act: impl FnOnce(bool) + Send + 'static) {
        let may_wait = wait && deadlock::Inside::here().is_none();
        let mut state = self.state.lock();
        while may_wait && !state.is_empty() {
            state = state.wait(Until::Forever);
        }
        if state.is_empty() {
            drop(state);
            return act(wait);
        }
        state.then.push(Box::new(move || act(false)));
    }
}
