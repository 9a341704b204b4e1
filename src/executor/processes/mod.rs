//! The process pool: the thread pool, whose threads have their requests run by worker processes.
//!
//! A thread that takes a request takes an idle process as well, one that has been to the same host where there is one,
//! sends the request over as bytes, and waits for the reply. So what is true of threads (the queue, cancelling, closing,
//! deadlocks) is true of processes, and a process is never asked for two things at once. One that dies, hangs or talks
//! nonsense fails the request it had, and the next request starts another.

mod channel;
mod memory;
mod process;
mod program;
pub mod worker;

use std::sync::Arc;

use self::process::{Process, Trouble};
use super::threads::ThreadPool;
use super::{Executor, Refusal, Runner, Task, elsewhere};
use crate::future::control::Control;
use crate::http::request::{Outcome, Request};
use crate::system::fork;
use crate::system::lock::Mutex;

pub struct ProcessPool {
    threads: ThreadPool,
    processes: Arc<Processes>,
}

impl ProcessPool {
    pub fn new(max_workers: usize) -> ProcessPool {
        let processes = Arc::new(Processes { made_in: fork::generation(), idle: Mutex::default() });
        ProcessPool { threads: ThreadPool::with_runner(max_workers, processes.clone()), processes }
    }
}

impl Executor for ProcessPool {
    fn id(&self) -> u64 {
        self.threads.id()
    }

    fn submit(&self, task: Task) -> Result<(), Refusal> {
        self.threads.submit(task)
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.threads.shutdown(wait, cancel_futures);
        if wait {
            // Nobody takes a request any more. From inside of the pool, one thread still has its process.
            self.processes.end();
        }
    }

    fn max_workers(&self) -> usize {
        self.threads.max_workers()
    }
}

/// The processes that nobody uses at this moment. There are never more processes than threads.
struct Processes {
    /// The generation of processes whose children these are.
    made_in: u32,
    /// The one used last at the end.
    idle: Mutex<Vec<Process>>,
}

impl Processes {
    fn take(&self, host: &str) -> Option<Process> {
        let mut idle = self.idle.lock();
        let at = idle.iter().rposition(|process| process.has_been_to(host));
        match at {
            Some(at) => Some(idle.remove(at)),
            None => idle.pop(),
        }
    }

    fn end(&self) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        let idle = std::mem::take(&mut *self.idle.lock());
        // All are told before any is waited for.
        let ending: Vec<_> = idle.into_iter().map(Process::end).collect();
        drop(ending);
    }
}

impl Drop for Processes {
    fn drop(&mut self) {
        self.end();
    }
}

impl Runner for Processes {
    fn run(&self, future: u64, request: Request, control: &Arc<Control>) -> Outcome {
        if let Some(deadline) = request.deadline() {
            control.set_deadline(deadline);
        }
        let task = elsewhere::encode(future, &request, true)?;
        let host = host_of(&request.url);
        loop {
            let idle = self.take(host);
            let is_new = idle.is_none();
            let started = idle.map_or_else(|| Process::start(control), Ok);
            let answer = started.and_then(|mut process| {
                let outcome = process.run(&task, &request, host, control)?;
                self.idle.lock().push(process);
                Ok(outcome)
            });
            match answer {
                Ok(outcome) => return outcome,
                // It died while it had nothing to do, and has not seen the request.
                Err(Trouble::Unsent(_)) if !is_new => {}
                Err(Trouble::Unsent(error) | Trouble::Broken(error)) => return Err(error.at(&request.url)),
            }
        }
    }
}

/// Scheme and authority: what tells one pool of connections from another, for most purposes.
fn host_of(url: &str) -> &str {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find(['/', '?', '#']).map_or(url.len(), |at| start + at);
    &url[..end]
}
