//! Who runs the requests: the trait that the session submits to, and the task that it submits.

pub mod elsewhere;
pub mod entrance;
pub mod events;
pub mod processes;
pub mod threads;
pub mod wire;

use std::mem;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use crate::future::control::{Control, Left, LeftTo};
use crate::future::waiting::Waiting;
use crate::http::adapter::Adapter;
use crate::http::first_turn::FirstTurn;
use crate::http::request::{Outcome, Request, RequestFuture};
use crate::http::send::{Reached, Sending};
use crate::http::turns::Permit;
use crate::message::error::{Error, ErrorKind};
use crate::message::response::Response;
use crate::message::terminated::Terminated;
use crate::message::url::{Url, without_userinfo};

/// Carries out, somewhere else, a request that a worker has taken.
pub trait Runner: Send + Sync {
    /// `future` is the id of the request's future.
    fn run(&self, future: u64, request: Request, control: &Arc<Control>) -> Outcome;
}

/// One submitted request on its way to a worker. Run it, or drop it: then its future is cancelled.
pub struct Task {
    future: Option<Arc<RequestFuture>>,
    priority: i32,
    /// It may have to wait for its turn.
    has_turns: bool,
    /// Why it could not be sent elsewhere. It can still be run here; if it is not, this is what becomes of it.
    refused: OnceLock<Error>,
    /// For an executor of the user's own, once that wants to know something.
    held: OnceLock<Box<Held>>,
}

/// A task in the hands of an executor of the user's own.
struct Held {
    about: About,
    /// Whether the executor need not be told any more that the future is over.
    quiet: Arc<AtomicBool>,
    /// The request, once its future runs without being run here.
    started: Option<Started>,
    /// Its turn, which it was given before the executor got it, and what waited for that.
    turn: Option<(Arc<Control>, Option<Arc<Permit>>)>,
}

struct Started {
    request: Request,
    control: Arc<Control>,
}

/// What an executor of the user's own can ask of a task.
pub struct About {
    pub method: Terminated,
    /// Without userinfo.
    pub url: Terminated,
    pub ends_at: Option<Instant>,
    pub is_repeatable: bool,
}

/// Why a task is not, or not yet, what was asked for.
pub enum TaskError {
    /// Its future is over.
    Over,
    Malformed,
    /// The request cannot be sent elsewhere; the reason is the future's if nobody runs the task.
    NotTransferable,
    OutOfMemory,
    /// A function of the user's has forked, and this is the child.
    Forked,
    /// Nobody takes the reply.
    Refused,
}

impl From<wire::Unusable> for TaskError {
    fn from(why: wire::Unusable) -> TaskError {
        match why {
            wire::Unusable::Malformed => TaskError::Malformed,
            wire::Unusable::OutOfMemory(_) => TaskError::OutOfMemory,
        }
    }
}

impl Task {
    pub fn new(future: Arc<RequestFuture>, priority: i32, has_turns: bool) -> Task {
        let (refused, held) = (OnceLock::new(), OnceLock::new());
        Task { future: Some(future), priority, has_turns, refused, held }
    }

    /// Has `ended` called when the future is over though the executor has not ended it.
    pub fn tell_of_end(&self, ended: impl FnOnce(u64) + Send + 'static) {
        let (Some(future), Some(held)) = (&self.future, self.held()) else { return };
        let quiet = held.quiet.clone();
        future.add_done_callback(move |future| {
            if !quiet.swap(true, Ordering::SeqCst) {
                ended(future.id());
            }
        });
    }

    /// None: the future was over before anybody asked.
    fn held(&self) -> Option<&Held> {
        if self.held.get().is_none() {
            let request = self.future.as_ref()?.work()?;
            let about = About {
                method: Terminated::new(request.method.to_ascii_uppercase()),
                url: Terminated::copy_of(&without_userinfo(&request.url)),
                ends_at: request.ends_at,
                is_repeatable: request.is_repeatable(),
            };
            let _ = self.held.set(Box::new(Held { about, quiet: Arc::default(), started: None, turn: None }));
        }
        self.held.get().map(|held| &**held)
    }

    /// The higher, the sooner it is to be run.
    pub fn priority(&self) -> i32 {
        self.priority
    }

    /// None: the future was over before anybody asked.
    pub fn about(&self) -> Option<&About> {
        self.held().map(|held| &held.about)
    }

    /// The id of its future.
    pub fn id(&self) -> u64 {
        self.future.as_ref().map_or(0, |future| future.id())
    }

    /// Whether it may have to wait for its turn.
    pub fn may_have_turn(&self) -> bool {
        self.has_turns
    }

    /// What gives it its turn, and for which URL; None: it need not wait for one.
    fn turn_at(&self) -> Option<(Arc<Adapter>, Url)> {
        self.future.as_ref()?.with_work(|request| request.turn_at())?
    }

    /// It was waited for with this control, and its turn, if there is one, lasts from now on until it is gone.
    fn has_turn(&mut self, control: Arc<Control>, permit: Option<Arc<Permit>>) {
        self.held();
        if let Some(held) = self.held.get_mut() {
            held.turn = Some((control, permit));
        }
    }

    /// Its turn is over.
    fn end_turn(&mut self) {
        let turn = self.held.get_mut().and_then(|held| held.turn.take());
        drop(turn);
    }

    /// Somebody else ends its future.
    fn leave(mut self) {
        self.hush();
        self.future = None;
    }

    /// The executor ends it, and need not be told of that.
    fn hush(&self) {
        if let Some(held) = self.held.get() {
            held.quiet.store(true, Ordering::SeqCst);
        }
    }

    /// Its future runs from now on, while somebody carries the request out elsewhere.
    pub fn start(&mut self) -> Result<(), TaskError> {
        self.held();
        let (Some(future), Some(held)) = (&self.future, self.held.get_mut()) else {
            return Err(TaskError::Over);
        };
        let control = match &held.turn {
            Some((control, _)) => control.clone(),
            None => Arc::new(Control::of_request(self.priority, future.id(), future.made_at())),
        };
        control.leave_to(Left {
            to: LeftTo::Elsewhere,
            url: held.about.url.as_str().into(),
            method: held.about.method.as_str().into(),
            attempts: 0,
        });
        if let Some(deadline) = future.work().and_then(|request| request.deadline()) {
            control.set_deadline(deadline);
        }
        if control.check().is_err() {
            // The timer is about to end it.
            return Err(TaskError::Over);
        }
        let mut request = future.start(&control).ok_or(TaskError::Over)?;
        request.has_begun();
        if let Some((_, Some(permit))) = &held.turn {
            permit.sent();
        }
        held.started = Some(Started { request, control });
        Ok(())
    }

    fn started(&self) -> Option<&Started> {
        self.held.get()?.started.as_ref()
    }

    /// What controls the request while it is not run here.
    fn control(&self, future: &RequestFuture) -> Arc<Control> {
        match self.started() {
            Some(started) => started.control.clone(),
            None => Arc::new(Control::of_request(0, 0, future.made_at())),
        }
    }

    /// The request, unless its future is over.
    fn request(&self) -> Option<Request> {
        let future = self.future.as_ref()?;
        match self.started() {
            Some(started) => (!future.is_done()).then(|| started.request.clone()),
            None => future.work(),
        }
    }

    /// Runs the request on this thread and ends its future. A future that was cancelled while it stood in
    /// the queue costs nothing here.
    pub fn run(self) {
        if let Some((mut begun, waiting)) = self.begin(None) {
            begun.finish(waiting);
        }
    }

    /// Runs the request, on this thread or wherever the runner does it, until it is over, or has to wait for something:
    /// then it comes back.
    pub fn begin(self, runner: Option<&Arc<dyn Runner>>) -> Option<(Begun, Arc<Waiting>)> {
        let mut begun = self.take(runner)?;
        let waiting = begun.go_on()?;
        Some((begun, waiting))
    }

    /// The request, which is to be carried out. None where nobody wants that any more.
    #[inline(always)]
    pub fn take(mut self, runner: Option<&Arc<dyn Runner>>) -> Option<Begun> {
        self.hush();
        let future = self.future.take()?;
        let held = self.held.get_mut();
        let (started, turn) = held.map_or((None, None), |held| (held.started.take(), held.turn.take()));
        let (known, permit) = turn.map_or((None, None), |(control, permit)| (Some(control), permit));
        if let Some(Started { mut request, control }) = started {
            control.take_back();
            request.set_turn(permit);
            let course = Some(Course::Here(Sending::new(request, control.clone())));
            return Some(Begun { future, control, is_pending: false, course });
        }
        let control = known
            .unwrap_or_else(|| Arc::new(Control::of_request(self.priority, future.id(), future.made_at())));
        let mut is_pending = false;
        let mut request = future.take(&control, |request| {
            is_pending = !request.begins();
            !is_pending
        })?;
        if !is_pending {
            request.has_begun();
        }
        request.set_turn(permit);
        let for_request = control.clone();
        let course = match runner {
            None => Course::Here(Sending::new(request, for_request)),
            Some(runner) => {
                let runner = runner.clone();
                Course::There(Box::new((FirstTurn::new(request, for_request), runner)))
            }
        };
        Some(Begun { future, control, is_pending, course: Some(course) })
    }

    /// Ends the future, which nobody carries out or has carried out, with this error.
    pub fn fail(mut self, error: Error) {
        self.hush();
        self.end_turn();
        let Some(future) = self.future.take() else { return };
        let refused = self.refused.take();
        match self.held.get_mut().and_then(|held| held.started.take()) {
            Some(_) => future.finish(Err(error)),
            None => _ = future.reject(Err(refused.unwrap_or(error))),
        }
    }

    /// Ends the future, whose task the executor has not taken.
    pub fn decline(self) {
        let text = "The executor refused the request: its submit function returned other than RF_OK";
        let error = Error::new(ErrorKind::Shutdown, text);
        let error = match self.about() {
            Some(about) => error.at(about.url.as_str()),
            None => error,
        };
        self.fail(error);
    }

    /// Ends the future, which somebody has carried out elsewhere and says so, with this error.
    pub fn fail_with(mut self, kind: ErrorKind, message: &str) {
        self.refused = OnceLock::new();
        let error = Error::new(kind, message);
        let error = match self.about() {
            Some(about) => error.at(about.url.as_str()).during(None, 0, about.method.as_str()),
            None => error,
        };
        self.fail(error);
    }

    /// The request as bytes, for [`elsewhere::execute`]; `away`: on another machine.
    pub fn encode(&self, away: bool) -> Result<Vec<u8>, TaskError> {
        let future = self.future.as_ref().ok_or(TaskError::Over)?;
        let request = self.request().ok_or(TaskError::Over)?;
        elsewhere::remember(request.owner.shared(), request.mounts());
        let request = if away { wire::for_other_machine(&request) } else { Ok(request) };
        let encoded = request.and_then(|request| elsewhere::encode(future.id(), &request, false));
        encoded.map(|task| task.message).map_err(|error| {
            let _ = self.refused.set(error);
            TaskError::NotTransferable
        })
    }

    /// Where a reply to it can come in pieces.
    pub fn reply(&self) -> wire::Incoming<'static> {
        let max_body = self.request().and_then(|request| request.max_body());
        wire::Incoming::new(wire::TaskName::of(self.id()), max_body)
    }

    /// Ends the future with an outcome in bytes, unless it is that of another task. A future that is over already stays
    /// as it is.
    pub fn complete(&mut self, reply: &[u8]) -> Result<(), TaskError> {
        let mut incoming = wire::Incoming::new(wire::TaskName::of(self.id()), None);
        match incoming.add_borrowed(reply)? {
            wire::Added::Whole => self.complete_with(&mut incoming),
            wire::Added::More => Err(TaskError::Malformed),
        }
    }

    /// The same with one that has come in pieces.
    pub fn complete_with(&mut self, reply: &mut wire::Incoming<'_>) -> Result<(), TaskError> {
        if !reply.is_whole() {
            return Err(TaskError::Over);
        }
        let Some(future) = self.future.clone() else { return Ok(()) };
        if reply.name() != wire::TaskName::of(future.id()) {
            return Err(TaskError::Malformed);
        }
        let request = self.request();
        let body = request.as_ref().and_then(wire::body_of);
        let control = self.control(&future);
        let (outcome, cookies, mut urls) = reply.outcome(&body, &control)?;
        self.end_with(&future, &control, outcome, |request| {
            urls.extend(request.cookie_url());
            request.owner.shared().jar.merge_from(&urls, cookies);
        });
        Ok(())
    }

    /// Ends the future with a response that was made here. False: its body cannot be read from its beginning.
    pub fn respond(&mut self, response: &Arc<Response>) -> bool {
        let Some(future) = self.future.clone() else { return true };
        let Some(request) = self.request() else {
            self.hush();
            self.future = None;
            return true;
        };
        let control = self.control(&future);
        let Some(answer) = request.answered_by(response, &control) else { return false };
        self.end_with(&future, &control, answer, |_| {});
        true
    }

    /// Ends the future, which is not run here, with an outcome, unless it is over.
    fn end_with(
        &mut self,
        future: &Arc<RequestFuture>,
        control: &Arc<Control>,
        outcome: Outcome,
        before: impl FnOnce(&Request),
    ) {
        self.hush();
        self.future = None;
        let request = match self.held.get_mut().and_then(|held| held.started.take()) {
            Some(started) => (!future.is_done()).then_some(started.request),
            None => future.start(control),
        };
        if let Some(request) = request {
            control.take_back();
            self.end_turn();
            let _held = future.hold(control);
            before(&request);
            drop(request);
            future.finish(outcome);
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.hush();
        self.end_turn();
        if let Some(future) = self.future.take() {
            let started = self.held.get_mut().and_then(|held| held.started.take());
            match (started, self.refused.take()) {
                (Some(started), _) => {
                    let text = "The executor has given up a request that it had started: it may have been carried out";
                    let error = Error::new(ErrorKind::BrokenPool, text).at(&started.request.url);
                    future.finish(Err(error.during(None, 0, &started.request.method)));
                }
                (None, Some(error)) => drop(future.reject(Err(error))),
                (None, None) => drop(future.cancel()),
            }
        }
    }
}

/// A request that somebody runs, and its future.
pub struct Begun {
    future: Arc<RequestFuture>,
    control: Arc<Control>,
    /// Its first turn has not come.
    is_pending: bool,
    /// None once it is over.
    course: Option<Course>,
}

/// How far a request has come.
pub enum Stepped {
    Waiting(Arc<Waiting>),
    Over(Over),
}

/// What has become of a request, before its future says so.
pub struct Over {
    is_wanted: bool,
    outcome: Outcome,
}

/// Where a request is carried out. It is moved once, and is mostly the larger one.
#[allow(clippy::large_enum_variant)]
enum Course {
    Here(Sending),
    /// By the runner, when it is its turn.
    There(Box<(FirstTurn, Arc<dyn Runner>)>),
}

impl Course {
    fn go_on(&mut self, future: u64, control: &Arc<Control>, begin: &mut dyn FnMut() -> bool) -> Reached {
        match self {
            Course::Here(sending) => sending.go_on(begin),
            Course::There(there) => {
                let (turn, runner) = &mut **there;
                turn.go_on(begin, |request| runner.run(future, request, control))
            }
        }
    }
}

impl Begun {
    pub fn future(&self) -> &Arc<RequestFuture> {
        &self.future
    }

    pub fn control(&self) -> &Arc<Control> {
        &self.control
    }

    /// Goes on, on this thread, until it is over or has to wait.
    pub fn go_on(&mut self) -> Option<Arc<Waiting>> {
        let (future, control) = (self.future.clone(), self.control.clone());
        let _held = future.hold(&control);
        match self.step() {
            Stepped::Waiting(waiting) => return Some(waiting),
            Stepped::Over(over) => {
                // What the request had is not held any longer than its future is open.
                self.course = None;
                // A stream that is not read yet is in its reader's hands from now on.
                control.run_by(0);
                self.end(over);
            }
        }
        None
    }

    /// Ends the future: whoever waits for it is told, and its callbacks run here.
    pub fn settle(&mut self, over: Over) {
        let (future, control) = (self.future.clone(), self.control.clone());
        let _held = future.hold(&control);
        self.course = None;
        control.run_by(0);
        self.end(over);
    }

    /// Ends the future with this error.
    pub fn fail(&mut self, error: Error) {
        self.course = None;
        end(&self.future, self.is_pending, Err(error));
    }

    fn end(&self, over: Over) {
        // One that nobody wants any more has been cancelled, or is about to be.
        if over.is_wanted {
            end(&self.future, self.is_pending, over.outcome);
        }
    }

    /// Goes on until it is over, which its future is not before that is settled, or has to wait.
    #[inline]
    pub fn step(&mut self) -> Stepped {
        let Begun { future, control, is_pending, course } = self;
        let mut is_wanted = true;
        let mut begin = || {
            if mem::take(is_pending) {
                is_wanted = future.begin();
            }
            is_wanted
        };
        let reached = guarded(|| match course {
            Some(course) => Ok(course.go_on(future.id(), control, &mut begin)),
            None => Err(Error::cancelled()),
        });
        let outcome = match reached {
            Ok(Reached::Waiting(waiting)) => return Stepped::Waiting(waiting),
            Ok(Reached::End(outcome)) => outcome,
            Err(error) => Err(error),
        };
        Stepped::Over(Over { is_wanted, outcome })
    }

    /// Goes on to the end, on this thread, which waits when the request does.
    pub fn finish(&mut self, waiting: Arc<Waiting>) {
        let mut next = Some(waiting);
        while let Some(waiting) = next {
            if !self.control.wait(&waiting) {
                self.course = None;
                end(&self.future, self.is_pending, Err(Error::deadlock()));
                return;
            }
            next = self.go_on();
        }
    }
}

/// Ends a future with what has become of its request.
fn end(future: &Arc<RequestFuture>, is_pending: bool, outcome: Outcome) {
    if future.is_inherited() {
        // One of the user's functions has forked and returned in the child. Who waits for the future, and what its
        // outcome would be dropped with, is in the parent.
        mem::forget((future.clone(), outcome));
    } else if is_pending {
        future.reject(outcome);
    } else {
        future.finish(outcome);
    }
}

/// A panic is an error like any other.
fn guarded<T>(run: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        Err(Error::new(ErrorKind::Request, format!("A defect in this library: {}", panic_text(&*panic))))
    })
}

pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}

/// Why an executor did not take a task. The task comes back.
pub enum Refusal {
    /// It was shut down.
    Shutdown(Task),
    /// It has no worker and cannot get one.
    Resource(Task),
    /// An executor of the user's own said no.
    Declined(Task),
    /// An executor of the user's own has no room for it.
    Busy(Task),
}

pub trait Executor: Send + Sync {
    /// Tells this executor's futures from others'; never 0.
    fn id(&self) -> u64;
    fn submit(&self, task: Task) -> Result<(), Refusal>;
    /// Takes no more tasks. Those that are queued still run, unless `cancel_futures`; with `wait`, returns when
    /// all are over, but never waits for the thread that calls it.
    fn shutdown(&self, wait: bool, cancel_futures: bool);
    fn max_workers(&self) -> usize;
}

pub fn next_id() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}
