//! Who runs the requests: the trait that the session submits to, and the task that it submits.

pub mod threads;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::control::Control;
use crate::error::{Error, ErrorKind};
use crate::session::RequestFuture;

/// One submitted request on its way to a worker. Run it, or drop it: then its future is cancelled.
pub struct Task(Option<Arc<RequestFuture>>);

impl Task {
    pub fn new(future: Arc<RequestFuture>) -> Task {
        Task(Some(future))
    }

    /// Runs the request on this thread and ends its future. A future that was cancelled while it stood in
    /// the queue costs nothing here.
    pub fn run(mut self) {
        let Some(future) = self.0.take() else { return };
        let control = Arc::new(Control::new());
        let Some(request) = future.start(&control) else { return };
        let _held = future.hold();
        let outcome = catch_unwind(AssertUnwindSafe(|| request.run(&control))).unwrap_or_else(|panic| {
            Err(Error::new(ErrorKind::Request, format!("a defect in this library: {}", panic_text(&*panic))))
        });
        future.finish(outcome);
    }

    /// Ends the future, which no executor took, with this error.
    pub fn fail(mut self, error: Error) {
        if let Some(future) = self.0.take() {
            future.reject(Err(error));
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if let Some(future) = self.0.take() {
            future.cancel();
        }
    }
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
