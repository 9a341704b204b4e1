//! What a thread is to the system: its name for others, and the signals that it takes.

use std::io;
use std::mem;
use std::ptr;

pub use super::fiber::token;

/// What a fault in this very thread raises: POSIX leaves open what happens when one of these is blocked. And the
/// profiler's clock, which is meant for whichever thread uses the processor.
const OPEN: [libc::c_int; 7] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGFPE, libc::SIGILL, libc::SIGTRAP, libc::SIGSYS, libc::SIGPROF];

/// Runs this with signals blocked. A thread that it starts has them blocked from its first moment, as threads inherit
/// the mask of the thread that starts them: signals belong to the program, not to us.
pub fn with_signals_blocked<T>(run: impl FnOnce() -> T) -> T {
    // SAFETY: both sets are plain data that the calls fill in; the mask of this thread is put back.
    unsafe {
        let mut blocked: libc::sigset_t = mem::zeroed();
        let mut before: libc::sigset_t = mem::zeroed();
        libc::sigfillset(&mut blocked);
        for signal in OPEN {
            libc::sigdelset(&mut blocked, signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut before);
        let result = run();
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        result
    }
}

/// Runs a write(2) that may raise SIGPIPE, as one to a pipe without a reader does, or SIGXFSZ, as one beyond the limit
/// of a file's size does. Both end a program that is not prepared for them, and say nothing that the error does not
/// say. They are raised in this very thread, so they can be held back here and taken away.
pub fn without_signals_of_writing<T>(write: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    // SAFETY: the sets are plain data that the calls fill in; the mask of this thread is put back.
    unsafe {
        let mut raised: libc::sigset_t = mem::zeroed();
        let mut before: libc::sigset_t = mem::zeroed();
        let mut pending: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut raised);
        libc::sigaddset(&mut raised, libc::SIGPIPE);
        libc::sigaddset(&mut raised, libc::SIGXFSZ);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raised, &mut before);
        libc::sigpending(&mut pending);
        let result = write();
        let signal = match result.as_ref().err().and_then(io::Error::raw_os_error) {
            Some(libc::EPIPE) => Some(libc::SIGPIPE),
            Some(libc::EFBIG) => Some(libc::SIGXFSZ),
            _ => None,
        };
        // One that waited before is somebody else's.
        if let Some(signal) = signal.filter(|signal| libc::sigismember(&pending, *signal) == 0) {
            take(signal);
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
        result
    }
}

/// Takes a signal that is blocked and perhaps pending.
///
/// # Safety
///
/// It is the number of a signal.
unsafe fn take(signal: libc::c_int) {
    // SAFETY: the sets are plain data that the calls fill in.
    unsafe {
        let mut wanted: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut wanted);
        libc::sigaddset(&mut wanted, signal);
        #[cfg(target_os = "linux")]
        {
            let at_once = libc::timespec { tv_sec: 0, tv_nsec: 0 };
            while libc::sigtimedwait(&wanted, ptr::null_mut(), &at_once) < 0
                && io::Error::last_os_error().kind() == io::ErrorKind::Interrupted
            {}
        }
        #[cfg(not(target_os = "linux"))]
        {
            let mut pending: libc::sigset_t = mem::zeroed();
            libc::sigpending(&mut pending);
            if libc::sigismember(&pending, signal) == 1 {
                let mut taken = 0;
                libc::sigwait(&wanted, &mut taken);
            }
        }
    }
}
