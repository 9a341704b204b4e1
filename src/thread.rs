//! What a thread is to the system: its name for others, and the signals that it takes.

use std::cell::Cell;
use std::mem;

/// Tells this thread from every other one that lives. Unlike the standard library's, it can be had in destructors of
/// thread-locals and in atexit handlers as well.
pub fn token() -> usize {
    thread_local! {
        static HERE: Cell<u8> = const { Cell::new(0) };
    }
    HERE.with(|here| std::ptr::from_ref(here).addr())
}

/// What a fault in this very thread raises: POSIX leaves open what happens when one of these is blocked. And the
/// profiler's clock, which is meant for whichever thread uses the processor.
const OPEN: [libc::c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGPROF];

/// Starts a thread in which signals are blocked: they belong to the program, not to us. Threads inherit the mask of the
/// thread that starts them, so there is no moment without it.
pub fn with_signals_blocked<T>(start: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are plain data that the calls fill in; the mask of this thread is put back.
    unsafe {
        let mut blocked: libc::sigset_t = mem::zeroed();
        let mut before: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut blocked);
        for signal in OPEN {
            libc::sigdelset(&mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut before);
        let result = start();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, std::ptr::null_mut());
        result
    }
}
