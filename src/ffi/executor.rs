//! ## Executors
//!
//! An executor runs requests. A session makes a pool of threads of its own unless it is given one to share
//! (rf_config_set_executor).

use std::ffi::{c_char, c_int, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use super::boundary::{Out, bytes, member, nothing, optional_text, status, value};
use super::callback::{Data, FINDERS};
use super::handle::{self, ExecutorBox};
use super::types::{
    rf_callback_status, rf_drop_fn, rf_executor, rf_reply, rf_response, rf_status, rf_stop, rf_task,
    rf_write_fn,
};
use crate::executor::elsewhere::{self, Host, Stop};
use crate::executor::entrance::Entrance;
use crate::executor::events::Events;
use crate::executor::processes::{ProcessPool, worker};
use crate::executor::threads::ThreadPool;
use crate::executor::wire::{self, Added, Permitted};
use crate::executor::{About, Executor, Refusal, Task, TaskError, next_id};
use crate::future::ticket::announce_closing;
use crate::http::dns;
use crate::message::error::ErrorKind;
use crate::session::Session;

/// The functions of an executor of your own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct rf_executor_ops {
    /// sizeof(rf_executor_ops), so that later versions can add functions: a function counts when `size` reaches behind
    /// it, and nothing behind `size` is read.
    pub size: usize,
    /// Takes one task. RF_OK: the task is yours; run, complete or free it exactly once, now or later, on any thread.
    /// RF_E_BUSY: it is still the library's, and the call that submits returns RF_E_BUSY, without a future. Anything else:
    /// it is still the library's, and its future fails with RF_ERROR_SHUTDOWN (RF_ERROR_NOT_TRANSFERABLE if rf_task_encode
    /// had refused it). It is called by the call that submits; or later, on a thread of the library's, where the request has
    /// to wait for its turn (rf_config_set_max_per_host, rf_config_set_rate): then RF_E_BUSY is an answer like any other.
    pub submit:
        Option<unsafe extern "C" fn(task: *mut rf_task, user_data: *mut c_void) -> rf_callback_status>,
    /// Called by rf_executor_shutdown, once those that wait for their turn have been submitted (on a thread of the
    /// library's, and without `wait`, where it did not wait for that): take no more tasks; with `cancel_futures`, free what is queued; with `wait`,
    /// return when what was taken is over, unless called on one of your own threads. It may be NULL.
    pub shutdown: Option<unsafe extern "C" fn(wait: bool, cancel_futures: bool, user_data: *mut c_void)>,
    /// The future of a task that you hold is over, because it was cancelled or its deadline has passed, or one that you
    /// started (rf_task_start) was aborted. Called once at most for each task, on any thread, also before submit has
    /// returned or while you end the task yourself; not for tasks that you run, complete, fail or free. The task is still
    /// yours to free. It may be NULL.
    pub ended: Option<unsafe extern "C" fn(task_id: u64, user_data: *mut c_void)>,
}

/// For which place a task is made bytes: bits of rf_task_encode_for.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_encode_flags {
    /// This machine: files travel as paths.
    RF_ENCODE_HERE = 0,
    /// Another machine, which has other files.
    RF_ENCODE_OTHER_MACHINE = 1,
}

/// What a task must not have done where it is executed: bits of rf_task_execute_with.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum rf_execute_flags {
    /// It may have all done.
    RF_EXECUTE_ALL = 0,
    /// No functions: hooks, request hooks, authentication, adapters, resolvers and background callbacks that it names.
    RF_EXECUTE_NO_HOOKS = 1,
    /// No files: bodies, parts, outputs, certificates, Unix sockets and netrc.
    RF_EXECUTE_NO_FILES = 2,
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
        let (submit, shutdown, ended) = unsafe {
            (
                member!(ops, size, rf_executor_ops.submit).ok_or(rf_status::RF_E_INVALID)?,
                member!(ops, size, rf_executor_ops.shutdown).flatten(),
                member!(ops, size, rf_executor_ops.ended).flatten(),
            )
        };
        if submit.is_none() {
            return Err(rf_status::RF_E_NULL);
        }
        let ops = rf_executor_ops { size, submit, shutdown, ended };
        let functions = Arc::new(Functions { ops, data: Data::new(user_data, drop) });
        let given = functions.clone();
        let entrance = Entrance::new(move |task| match give(&given, task) {
            Ok(()) => {}
            Err(
                Refusal::Busy(task)
                | Refusal::Declined(task)
                | Refusal::Shutdown(task)
                | Refusal::Resource(task),
            ) => {
                task.decline();
            }
        });
        let custom = Custom { id: next_id(), functions, entrance, closed: AtomicBool::new(false) };
        out.set(handle::give(ExecutorBox(Arc::new(custom))));
        Ok(())
    })
}

struct Functions {
    ops: rf_executor_ops,
    data: Data,
}

struct Custom {
    id: u64,
    /// Futures that are not over have them, too.
    functions: Arc<Functions>,
    entrance: Arc<Entrance>,
    closed: AtomicBool,
}

/// Gives a task to an executor of the user's own.
fn give(functions: &Arc<Functions>, task: Task) -> Result<(), Refusal> {
    let Functions { ops, data } = &**functions;
    let Some(submit) = ops.submit else { return Err(Refusal::Declined(task)) };
    if let Some(ended) = ops.ended {
        let functions = functions.clone();
        // SAFETY: the function was given for this data.
        task.tell_of_end(move |id| unsafe { ended(id, functions.data.pointer) });
    }
    let task = handle::give::<rf_task>(task);
    // SAFETY: the function was given for this data, and the task is alive.
    let taken = unsafe { submit(task, data.pointer) };
    if taken.0 == rf_status::RF_OK as i32 {
        return Ok(());
    }
    // SAFETY: by its answer it left the task to us.
    match unsafe { handle::take(task) } {
        Some(task) if taken.0 == rf_status::RF_E_BUSY as i32 => Err(Refusal::Busy(*task)),
        Some(task) => Err(Refusal::Declined(*task)),
        None => Ok(()),
    }
}

impl Executor for Custom {
    fn id(&self) -> u64 {
        self.id
    }

    fn submit(&self, task: Task) -> Result<(), Refusal> {
        if self.closed.load(Ordering::Acquire) {
            return Err(Refusal::Shutdown(task));
        }
        if !task.may_have_turn() {
            return give(&self.functions, task);
        }
        match self.entrance.enter(task)? {
            Some(task) => give(&self.functions, task),
            None => Ok(()),
        }
    }

    fn shutdown(&self, wait: bool, cancel_futures: bool) {
        self.closed.store(true, Ordering::Release);
        if cancel_futures {
            self.entrance.cancel();
        }
        let Some(shutdown) = self.functions.ops.shutdown else { return };
        let functions = self.functions.clone();
        self.entrance.when_empty(wait, move |wait| {
            // SAFETY: the function was given for this data.
            unsafe { shutdown(wait, cancel_futures, functions.data.pointer) };
        });
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

/// Frees a task that was not run: its future is cancelled. So is that of a task whose bytes were lost on the way. That of
/// one that was started (rf_task_start) fails with RF_ERROR_BROKEN_POOL: it may have been carried out.
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
    // SAFETY: the caller vouches for its handle and for the places of the results.
    unsafe { rf_task_encode_for(task, rf_encode_flags::RF_ENCODE_HERE as c_int, bytes, length) }
}

/// rf_task_encode for the place that `flags` say (rf_encode_flags). With RF_ENCODE_OTHER_MACHINE files do not travel: a task
/// that has a body, a part, an output, a certificate, a bundle or a Unix socket by its path is refused, as one is that has a
/// reader. Of the environment, proxies travel, and paths do not (REQUESTS_CA_BUNDLE, NETRC, SSLKEYLOGFILE): the
/// certificates that the executing machine trusts count, no netrc does there, and what netrc has here for the host of the
/// URL travels as the request's credentials. A task that was started can be encoded as well, as often as you like.
/// RF_E_INVALID: `flags` has a bit that is none of these. All else is as with rf_task_encode.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_encode_for(
    task: *const rf_task,
    flags: c_int,
    bytes: *mut *mut u8,
    length: *mut usize,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let length = unsafe { Out::optional(length, 0) };
        // SAFETY: see rf_task_encode.
        let out = unsafe { Out::required(bytes, std::ptr::null_mut()) }?;
        // SAFETY: see rf_task_encode.
        let task = unsafe { handle::peek(task) }?;
        let flags = bits(flags, rf_encode_flags::RF_ENCODE_OTHER_MACHINE as c_int)?;
        let message = task.encode(flags != 0)?;
        give_bytes(&message, &out, &length)
    })
}

/// Flags that have no other bits than these.
fn bits(flags: c_int, known: c_int) -> Result<c_int, rf_status> {
    if flags & !known == 0 { Ok(flags) } else { Err(rf_status::RF_E_INVALID) }
}

/// What flags of rf_task_execute_with permit.
fn permitted(flags: c_int) -> Result<Permitted, rf_status> {
    let (no_hooks, no_files) =
        (rf_execute_flags::RF_EXECUTE_NO_HOOKS as c_int, rf_execute_flags::RF_EXECUTE_NO_FILES as c_int);
    let flags = bits(flags, no_hooks | no_files)?;
    Ok(Permitted { hooks: flags & no_hooks == 0, files: flags & no_files == 0 })
}

/// The rf_future_id of the task's future; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_id(task: *const rf_task) -> u64 {
    // SAFETY: the caller vouches for its handle.
    value(0, || Some(unsafe { handle::peek(task) }.ok()?.id()))
}

/// The method, in capital letters. It lives as long as the task. NULL: `task` is NULL, or its future was over before the
/// method, URL, deadline or repeatability was first asked for; once one of them was, all are known to the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_method(task: *const rf_task) -> *const c_char {
    // SAFETY: see rf_task_id.
    unsafe { about(task, std::ptr::null(), |about| about.method.as_ptr().cast()) }
}

/// The URL as it was submitted, without userinfo: no query of rf_options_set_param is in it. It lives as long as the task.
/// NULL: as for rf_task_method.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_url(task: *const rf_task) -> *const c_char {
    // SAFETY: see rf_task_id.
    unsafe { about(task, std::ptr::null(), |about| about.url.as_ptr().cast()) }
}

/// What rf_options_set_priority said; 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_priority(task: *const rf_task) -> c_int {
    // SAFETY: see rf_task_id.
    value(0, || Some(unsafe { handle::peek(task) }.ok()?.priority()))
}

/// What is left of the deadline at this moment, in milliseconds; 0: nothing, and for NULL; RF_FOREVER: there is none.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_deadline_ms(task: *const rf_task) -> i64 {
    // SAFETY: see rf_task_id.
    unsafe {
        about(task, 0, |about| match about.ends_at {
            None => -1, // RF_FOREVER
            Some(at) => {
                let left = at.saturating_duration_since(Instant::now());
                i64::try_from(left.as_micros().div_ceil(1000)).unwrap_or(i64::MAX)
            }
        })
    }
}

/// Whether carrying it out twice does no harm: as rf_options_set_repeatable said; else by an Idempotency-Key header or its
/// method (GET, HEAD, PUT, DELETE, OPTIONS or TRACE). False for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_is_repeatable(task: *const rf_task) -> bool {
    // SAFETY: see rf_task_id.
    unsafe { about(task, false, |about| about.is_repeatable) }
}

unsafe fn about<T>(task: *const rf_task, otherwise: T, read: impl FnOnce(&About) -> T) -> T {
    // SAFETY: the caller vouches for its handle.
    value(otherwise, || unsafe { handle::peek(task) }.ok()?.about().map(read))
}

/// Has the task's future run from now on, while you have the request carried out: it can no longer be cancelled, but
/// aborted, and then it is over at once, as it is at its deadline; rf_executor_ops.ended tells of either. RF_OK once: then
/// run, complete, fail or free the task (freed: RF_ERROR_BROKEN_POOL). rf_task_run and rf_task_complete start one that is
/// not. RF_E_STATE: the future is over, or the task was started before; do not carry it out. RF_E_NULL: `task` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_start(task: *mut rf_task) -> rf_status {
    // SAFETY: see rf_task_encode.
    status(|| Ok(unsafe { handle::peek_mut(task) }?.start()?))
}

/// Ends the task's future with an error of this kind (rf_error_kind), and frees the task. `message` may be NULL. A future
/// that is over already stays as it is. RF_E_INVALID: there is no such kind, or `message` is not UTF-8; the task is
/// still yours. RF_E_NULL: `task` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_fail(
    task: *mut rf_task,
    error_kind: c_int,
    message: *const c_char,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let message = unsafe {
            handle::peek(task)?;
            optional_text(message)?
        };
        let kind = ErrorKind::from_code(error_kind).ok_or(rf_status::RF_E_INVALID)?;
        // SAFETY: from here on it is no longer the caller's.
        if let Some(task) = unsafe { handle::take(task) } {
            task.fail_with(kind, message.unwrap_or("The executor failed the request, and gave no message"));
        }
        Ok(())
    })
}

/// Ends the task's future with a response made by hand (rf_response_new), and frees the task: for executors that need no
/// network. The future's response has the URL and method of the request. The response that you give stays yours, and may
/// answer many requests. One whose body comes from a reader answers one; it is read now, unless the request streams.
/// Hooks are not called. A future that is over already stays as it is. RF_E_STATE: the body of the response was read in
/// part, closed, or went to another request; the task is still yours. RF_E_NULL: an argument is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_respond(task: *mut rf_task, response: *const rf_response) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let (held, response) = unsafe { (handle::peek_mut(task)?, handle::retain(response)?) };
        if !held.respond(&response) {
            return Err(rf_status::RF_E_STATE);
        }
        // SAFETY: from here on it is no longer the caller's.
        drop(unsafe { handle::take(task) });
        Ok(())
    })
}

/// The version of the bytes of tasks and replies that this library writes, and the only one that it reads.
#[unsafe(no_mangle)]
pub extern "C" fn rf_task_format() -> u32 {
    u32::from(wire::FORMAT)
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
    let all = rf_execute_flags::RF_EXECUTE_ALL as c_int;
    // SAFETY: see rf_task_encode.
    unsafe { rf_task_execute_with(bytes, length, all, std::ptr::null_mut(), reply, reply_length) }
}

/// rf_task_execute for a task of somebody else. A task that has what `flags` forbid (rf_execute_flags) is not carried out
/// without it: nothing of it is looked for, and its reply is RF_ERROR_NOT_TRANSFERABLE. `stop`, which may be NULL, ends the
/// execution (rf_stop_set). RF_E_INVALID: the bytes are not a whole task of this version, or `flags` has an unknown bit. All
/// else is as with rf_task_execute.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_execute_with(
    bytes: *const u8,
    length: usize,
    flags: c_int,
    stop: *mut rf_stop,
    reply: *mut *mut u8,
    reply_length: *mut usize,
) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let reply_length = unsafe { Out::optional(reply_length, 0) };
        // SAFETY: see rf_task_encode.
        let out = unsafe { Out::required(reply, std::ptr::null_mut()) }?;
        // SAFETY: see rf_task_encode. The stop may be freed meanwhile.
        let (message, stop) = unsafe { (self::bytes(bytes, length)?, handle::retain(stop).ok()) };
        let made = elsewhere::execute(message, HOST, permitted(flags)?, stop.as_deref())?;
        give_bytes(&made, &out, &reply_length)
    })
}

/// rf_task_execute_with whose reply is given to `write`, on this thread, in pieces while the body arrives. The first piece
/// has all but the body of the response; each other one is a little more than 64 KB at most. One after the other they
/// are what rf_reply_add and rf_task_complete take. RF_FAILED: `write` returned other than RF_OK; the request was stopped.
/// RF_E_NULL: `bytes` or `write` is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_execute_to(
    bytes: *const u8,
    length: usize,
    flags: c_int,
    stop: *mut rf_stop,
    write: rf_write_fn,
    user_data: *mut c_void,
) -> rf_status {
    status(|| {
        let write = write.ok_or(rf_status::RF_E_NULL)?;
        // SAFETY: see rf_task_execute_with.
        let (message, stop) = unsafe { (self::bytes(bytes, length)?, handle::retain(stop).ok()) };
        // SAFETY: the function was given for this data, and the piece lives as long as the call.
        let mut write = |piece: &[u8]| unsafe { write(piece.as_ptr(), piece.len(), user_data).0 == 0 };
        Ok(elsewhere::execute_to(message, HOST, permitted(flags)?, stop.as_deref(), &mut write)?)
    })
}

/// Makes what ends executions of tasks, one or many. Free it with rf_stop_free.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_stop_new(out: *mut *mut rf_stop) -> rf_status {
    status(|| {
        // SAFETY: see new_pool.
        let out = unsafe { Out::required(out, std::ptr::null_mut()) }?;
        out.set(handle::share(Arc::new(Stop::default())));
        Ok(())
    })
}

/// Ends all executions that have it, as rf_future_abort ends requests, and those that begin with it later. It cannot be
/// taken back. Their replies are RF_ERROR_ABORTED. From any thread. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_stop_set(stop: *mut rf_stop) {
    nothing(|| {
        // SAFETY: the caller vouches for its handle.
        if let Ok(stop) = unsafe { handle::peek(stop) } {
            stop.set();
        }
    });
}

/// Frees it, also while an execution has it. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_stop_free(stop: *mut rf_stop) {
    // SAFETY: the caller gives its handle back.
    nothing(|| unsafe { handle::release(stop) });
}

/// Makes what takes a reply to this task that comes in pieces. Another attempt is another reply: pieces of two must not be
/// mixed. It does not need the task to live. Free it with rf_reply_free, or give it to rf_task_complete_with.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reply_new(task: *const rf_task, out: *mut *mut rf_reply) -> rf_status {
    status(|| {
        // SAFETY: see new_pool.
        let out = unsafe { Out::required(out, std::ptr::null_mut()) }?;
        // SAFETY: see rf_task_encode.
        out.set(handle::give(unsafe { handle::peek(task) }?.reply()));
        Ok(())
    })
}

/// Adds the next bytes, of any length. What comes of the body is stored as it comes. RF_OK: more is to come. RF_END: the
/// reply is whole. RF_E_INVALID: these are not the bytes of a reply to this task in this version, there is more of a body
/// than rf_options_set_max_body of the request allows, or an earlier call had failed. RF_E_RESOURCE: no memory. After
/// either of these two nothing can be added any more. RF_E_NULL: an argument is NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reply_add(reply: *mut rf_reply, piece: *const u8, length: usize) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let (reply, piece) = unsafe { (handle::peek_mut(reply)?, bytes(piece, length)?) };
        match reply.add(piece).map_err(TaskError::from)? {
            Added::More => Ok(()),
            Added::Whole => Err(rf_status::RF_END),
        }
    })
}

/// rf_task_complete with a reply that has come in pieces: frees both. RF_E_STATE: it is not whole; both are still yours.
/// RF_E_INVALID: it is that of another task; both are still yours.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_task_complete_with(task: *mut rf_task, reply: *mut rf_reply) -> rf_status {
    status(|| {
        // SAFETY: see rf_task_encode.
        let (held, incoming) = unsafe { (handle::peek_mut(task)?, handle::peek_mut(reply)?) };
        held.complete_with(incoming)?;
        // SAFETY: from here on they are no longer the caller's.
        drop(unsafe { (handle::take(task), handle::take(reply)) });
        Ok(())
    })
}

/// Frees it, whole or not. NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn rf_reply_free(reply: *mut rf_reply) {
    // SAFETY: the caller gives its handle back.
    nothing(|| drop(unsafe { handle::take(reply) }));
}

/// Ends the task's future with the outcome in these bytes, and frees the task. Of the cookies that came with it those are
/// stored that the hosts of the request and of its responses may set. A future that is over already stays as it is.
/// RF_E_INVALID: the bytes are not a whole reply of this version, or that of another task; the task is still yours: complete,
/// run or free it. RF_E_RESOURCE: no memory; it is still yours as well.
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
            TaskError::Refused => rf_status::RF_FAILED,
        }
    }
}
