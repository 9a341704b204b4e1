//! ## Executors
//!
//! An executor runs requests. A session makes a pool of threads of its own unless it is given one to share
//! (rf_config_set_executor).

use std::ffi::{c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::boundary::{Out, bytes, member, nothing, status, value};
use super::callback::{Data, FINDERS};
use super::handle::{self, ExecutorBox};
use super::types::{rf_callback_status, rf_drop_fn, rf_executor, rf_status, rf_task};
use crate::executor::elsewhere::{self, Host};
use crate::executor::events::Events;
use crate::executor::processes::{ProcessPool, worker};
use crate::executor::threads::ThreadPool;
use crate::executor::{Executor, Refusal, Task, TaskError, next_id};
use crate::future::ticket::announce_closing;
use crate::http::dns;
use crate::session::Session;

/// The functions of an executor of your own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rf_executor_ops {
    /// sizeof(rf_executor_ops), so that later versions can add functions: a function counts when `size` reaches behind
    /// it, and nothing behind `size` is read.
    pub size: usize,
    /// Takes one task. RF_OK: the task is yours; run, complete or free it exactly once, now or later, on any thread.
    /// Anything else: it is still the library's, and its future fails with RF_ERROR_SHUTDOWN (RF_ERROR_NOT_TRANSFERABLE
    /// if rf_task_encode had refused it).
    pub submit:
        Option<unsafe extern "C" fn(task: *mut rf_task, user_data: *mut c_void) -> rf_callback_status>,
    /// Called by rf_executor_shutdown: take no more tasks; with `cancel_futures`, free what is queued; with `wait`,
    /// return when what was taken is over, unless called on one of your own threads. It may be NULL.
    pub shutdown: Option<unsafe extern "C" fn(wait: bool, cancel_futures: bool, user_data: *mut c_void)>,
}

unsafe fn new_pool(
    max_workers: usize,
    out: *mut *mut rf_executor,
    make: impl FnOnce(usize) -> Result<Arc<dyn Executor>, rf_status>,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers.
        let out = unsafe { Out::required(out, std::ptr::null_mut()) }?;
        if max_workers == 0 {
            return Err(rf_status::RF_E_INVALID);
        }
        out.set(handle::give(ExecutorBox(make(max_workers)?)));
        Ok(())
    })
}

/// Makes a pool of up to `max_workers` threads, which start as they are needed.
/// RF_E_INVALID: `max_workers` is 0. Free it with rf_executor_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_new_threads(
    max_workers: usize,
    out: *mut *mut rf_executor,
) -> rf_status {
    // SAFETY: the caller vouches for its pointers.
    unsafe { new_pool(max_workers, out, |count| Ok(Arc::new(ThreadPool::new(count)))) }
}

/// Makes an event loop that carries out up to `max_requests` requests at once on one thread. What you give a request
/// (hooks, prepare, challenge, adapter, reader, output, progress and background functions) is called on up to
/// `max_workers` threads, which start as they are needed; a request without any never leaves the loop. Done callbacks
/// run on the thread that has the loop. One that waits in a function of this library, or takes longer than 10 ms, has
/// lost the loop to another thread by then, so that it stops nobody else; as long as more of them do so at a time than
/// there are threads left (`max_workers` + 2 in all), the loop stands still. Trace functions run on that thread too,
/// and should be short. rf_executor_max_workers is `max_requests`. RF_E_INVALID: one of the numbers is 0.
/// RF_E_RESOURCE: no descriptor is left. Free it with rf_executor_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_new_events(
    max_requests: usize,
    max_workers: usize,
    out: *mut *mut rf_executor,
) -> rf_status {
    let make = |count| match (max_workers, Events::new(count, max_workers)) {
        (0, _) => Err(rf_status::RF_E_INVALID),
        (_, Ok(events)) => Ok(Arc::new(events) as Arc<dyn Executor>),
        (_, Err(_)) => Err(rf_status::RF_E_RESOURCE),
    };
    // SAFETY: the caller vouches for its pointers.
    unsafe { new_pool(max_requests, out, make) }
}

/// Makes a pool of up to `max_workers` worker processes, which start as they are needed: each request and its hooks run
/// in one of them, so that a hook that crashes, leaks or never ends takes nobody else down. What a request says has to
/// be data: a request with a reader, an output or a progress function, or with a hook that another process cannot find
/// (see rf_task_encode), fails with RF_ERROR_NOT_TRANSFERABLE. A worker that dies fails the request it ran with
/// RF_ERROR_BROKEN_POOL and is replaced. Workers run the program requests-futures-worker, which is looked for beside
/// this library, in libexec/requests-futures next to its lib, or where the environment variable REQUESTS_FUTURES_WORKER
/// says (which a set-uid program ignores, as it does LD_LIBRARY_PATH); they inherit the environment, the working
/// folder, the standard output and the standard error of this process as these are when they start, and no other
/// descriptor, and end with it. A hook may fork: a child in which it returns ends there. They are children of this
/// process, so their end raises SIGCHLD in it. Each has connections of its own: the numbers of
/// rf_config_set_pool_maxsize and its like hold for each. That no worker can be started is the outcome of the future,
/// not of this call. RF_E_INVALID: `max_workers` is 0. Free it with rf_executor_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_new_processes(
    max_workers: usize,
    out: *mut *mut rf_executor,
) -> rf_status {
    // SAFETY: the caller vouches for its pointers.
    unsafe { new_pool(max_workers, out, |count| Ok(Arc::new(ProcessPool::new(count)))) }
}

/// The worker program's main function, which nothing else calls: it serves the process at the other end of the standard
/// input, and returns the program's exit status.
#[unsafe(no_mangle)]
pub extern "C" fn rf_worker_main() -> c_int {
    value(1, || Some(worker::serve(HOST)))
}

/// Takes no more requests: submitting returns RF_E_SHUTDOWN from now on. What is queued still runs, unless
/// `cancel_futures`. With `wait` it returns when all is over and the threads have ended; called from one of the
/// pool's own threads, it waits neither for that one nor for others that are closing or shutting down as well; from a
/// resolver (rf_config_set_resolver) it does not wait. It may be called again.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_shutdown(
    executor: *mut rf_executor,
    wait: bool,
    cancel_futures: bool,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its handle.
        let executor = unsafe { handle::peek(executor) }?.0.clone();
        // A resolver is what requests wait for.
        let wait = wait && !dns::is_resolving();
        if wait {
            announce_closing();
        }
        executor.shutdown(wait, cancel_futures);
        Ok(())
    })
}

/// The most requests that it runs at once; 0 for NULL, and for an executor of your own.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_max_workers(executor: *const rf_executor) -> usize {
    // SAFETY: the caller vouches for its handle.
    value(0, || Some(unsafe { handle::peek(executor) }.ok()?.0.max_workers()))
}

/// Frees the handle. Sessions that share the executor keep it alive; what was submitted still runs. It neither
/// waits nor shuts down.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_free(executor: *mut rf_executor) {
    // SAFETY: the caller gives its handle back.
    nothing(|| drop(unsafe { handle::take(executor) }));
}

/// Makes an executor of your own from its functions, which any thread may call at any time. The functions are copied.
/// `drop`, which may be NULL, gets `user_data` when neither the handle nor a session needs the executor any more.
/// RF_E_NULL: `ops` or its submit is NULL. RF_E_INVALID: its size does not reach behind submit.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_executor_new_custom(
    ops: *const rf_executor_ops,
    user_data: *mut c_void,
    drop: rf_drop_fn,
    out: *mut *mut rf_executor,
) -> rf_status {
    status(|| {
        // SAFETY: see new_pool.
        let out = unsafe { Out::required(out, std::ptr::null_mut()) }?;
        if ops.is_null() {
            return Err(rf_status::RF_E_NULL);
        }
        // SAFETY: every version of the structure begins with its size.
        let size = unsafe { (&raw const (*ops).size).read() };
        // SAFETY: the caller vouches for as many bytes as the size says.
        let (submit, shutdown) = unsafe {
            (
                member!(ops, size, rf_executor_ops.submit).ok_or(rf_status::RF_E_INVALID)?,
                member!(ops, size, rf_executor_ops.shutdown).flatten(),
            )
        };
        if submit.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        let ops = rf_executor_ops { size, submit, shutdown };
        let custom =
            Custom { id: next_id(), ops, data: Data::new(user_data, drop), closed: AtomicBool::new(false) };
        out.set(handle::give(ExecutorBox(Arc::new(custom))));
        Ok(())
    })
}

struct Custom {
    id: u64,
    ops: rf_executor_ops,
    data: Data,
    closed: AtomicBool,
}

impl Executor for Custom {
    fn id(&self) -> u64 {
        self.id
    }

    fn submit(&self, task: Task) -> Result<(), Refusal> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Refusal::Shutdown(task));
        }
        let Some(submit) = self.ops.submit else { return Err(Refusal::Declined(task)) };
        let task = handle::give::<rf_task>(task);
        // SAFETY: the function was given for this data, and the task is alive.
        let taken = unsafe { submit(task, self.data.pointer) };
        if taken.0 == 0 {
            return Ok(());
        }
        // SAFETY: by its answer it left the task to us.
        match unsafe { handle::take(task) } {
            Some(task) => Err(Refusal::Declined(*task)),
            None => Ok(()),
        }
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.closed.store(true, Ordering::Release);
        if let Some(shutdown) = self.ops.shutdown {
            // SAFETY: the function was given for this data.
            unsafe { shutdown(wait, cancel_futures, self.data.pointer) };
        }
    }

    /// Only its owner knows.
    fn max_workers(&self) -> usize {
        0
    }
}

/// Runs a task on this thread, ends its future, and frees the task. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_run(task: *mut rf_task) {
    nothing(|| {
        // SAFETY: the caller gives its task back.
        if let Some(task) = unsafe { handle::take(task) } {
            task.run();
        }
    });
}

/// Frees a task that was not run: its future is cancelled. So is that of a task whose bytes were lost on the way.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_free(task: *mut rf_task) {
    // SAFETY: the caller gives its task back.
    nothing(|| drop(unsafe { handle::take(task) }));
}

/// The task as bytes, for rf_task_execute on another thread, in another process or on another machine. The task stays
/// yours: complete, run or free it. The bytes are self-contained (a body is copied into them; files travel as absolute
/// paths; of the session's cookies come those that the URL's host may get) and carry the version of their format; free
/// them with rf_bytes_free. They may hold passwords, and who executes them runs the hooks that they name: take them
/// only from whom you trust. The future stays pending until rf_task_complete: it can be cancelled meanwhile, though the
/// request may be carried out elsewhere, where nobody hears of that. What is left of a deadline counts on from
/// rf_task_execute.
///
/// RF_FAILED: the request cannot be sent elsewhere: it has a reader, an output or a progress function, a descriptor to write to, or a hook that
/// no exported symbol of a shared object names, or whose user_data is neither NULL nor bytes
/// (rf_options_add_hook_bytes). It can still be run here; if it is freed or refused instead, its future fails with
/// RF_ERROR_NOT_TRANSFERABLE, which says what stood in the way. RF_E_STATE: the future is over, as when it was
/// cancelled or its deadline has passed: free the task. RF_E_NULL: an argument is NULL (`length` may be).
/// RF_E_RESOURCE: no memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_encode(
    task: *const rf_task,
    bytes: *mut *mut u8,
    length: *mut usize,
) -> rf_status {
    status(|| {
        // SAFETY: the caller vouches for its pointers, here and below.
        let length = unsafe { Out::optional(length, 0) };
        // SAFETY: as above.
        let out = unsafe { Out::required(bytes, std::ptr::null_mut()) }?;
        // SAFETY: as above.
        let message = unsafe { handle::peek(task) }?.encode()?;
        give_bytes(&message, &out, &length)
    })
}

/// Runs the request in these bytes on this thread, hooks included, and gives its outcome as bytes for
/// rf_task_complete. What goes wrong with the request is in the outcome. A body that is to be streamed is read first.
/// Requests of one session that are executed in one process share connections; of those that rest, the process keeps
/// 256 in all, each for as long as rf_config_set_idle_timeout says. Free the reply with rf_bytes_free. RF_E_INVALID:
/// the bytes are not a whole task of this version. RF_E_SHUTDOWN: a hook has forked and returned in the child as well,
/// and this is the child; the reply is its parent's. RF_E_NULL: an argument is NULL (`reply_length` may be).
/// RF_E_RESOURCE: no memory.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_execute(
    bytes: *const u8,
    length: usize,
    reply: *mut *mut u8,
    reply_length: *mut usize,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let reply_length = unsafe { Out::optional(reply_length, 0) };
        // SAFETY: see rf_task_encode.
        let out = unsafe { Out::required(reply, std::ptr::null_mut()) }?;
        // SAFETY: see rf_task_encode.
        let message = unsafe { self::bytes(bytes, length) }?;
        let made = elsewhere::execute(message, HOST)?;
        give_bytes(&made, &out, &reply_length)
    })
}

/// Ends the task's future with the outcome in these bytes, stores the cookies that came with it, and frees the task. A
/// future that is over already stays as it is. RF_E_INVALID: the bytes are not a whole reply of this version, or that of
/// another task; the task is still yours: complete, run or free it. RF_E_RESOURCE: no memory; it is still yours as well.
/// RF_E_NULL: an argument is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_complete(task: *mut rf_task, reply: *const u8, length: usize) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let (held, reply) = unsafe { (handle::peek_mut(task)?, bytes(reply, length)?) };
        held.complete(reply)?;
        // SAFETY: from here on it is no longer the caller's.
        drop(unsafe { handle::take(task) });
        Ok(())
    })
}

/// Frees bytes that rf_task_encode or rf_task_execute gave. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_bytes_free(bytes: *mut u8, length: usize) {
    let _ = length;
    // SAFETY: the caller gives them back.
    nothing(|| unsafe { handle::take_bytes(bytes) });
}

/// What this process has for the requests of others.
const HOST: Host =
    Host { finders: FINDERS, stand_in: |defaults, shared| Session::stand_in(defaults, shared) };

fn give_bytes(made: &[u8], out: &Out<*mut u8>, length: &Out<usize>) -> Result<(), rf_status> {
    out.set(handle::give_bytes(made).ok_or(rf_status::RF_E_RESOURCE)?);
    length.set(made.len());
    Ok(())
}

impl From<TaskError> for rf_status {
    fn from(error: TaskError) -> rf_status {
        match error {
            TaskError::Over => rf_status::RF_E_STATE,
            TaskError::Malformed => rf_status::RF_E_INVALID,
            TaskError::NotTransferable => rf_status::RF_FAILED,
            TaskError::OutOfMemory => rf_status::RF_E_RESOURCE,
            TaskError::Forked => rf_status::RF_E_SHUTDOWN,
        }
    }
}
