//! fork(): the child has a copy of everything but the threads, and of locks as the threads left them.
//!
//! So what was made before a fork is of no use after it, and must not even be locked. Whatever waits for threads
//! remembers the generation it was made in, and refuses in another.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

static GENERATION: AtomicU32 = AtomicU32::new(0);

/// How many forks lie between the first process and this one.
pub fn generation() -> u32 {
    static REGISTERED: Once = Once::new();
    REGISTERED.call_once(|| {
        // SAFETY: the handler only changes an atomic, which is allowed in the child of a threaded process. The
        // library is never unloaded, so the handler stays where it is.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
    GENERATION.load(Ordering::Relaxed)
}

extern "C" fn in_child() {
    GENERATION.fetch_add(1, Ordering::Relaxed);
}

/// Whether what was made in that generation was inherited by a fork.
pub fn is_inherited(made_in: u32) -> bool {
    made_in != GENERATION.load(Ordering::Relaxed)
}
