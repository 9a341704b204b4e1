//! fork(): the child has a copy of everything but the threads, and of locks as the threads left them.
//!
//! So what was made before a fork is of no use after it, and must not even be locked. An object remembers the generation
//! that it was made in, and refuses in another. What the whole process shares is a [`PerProcess`], of which the child
//! makes one of its own. And the C library has locks of its own, which it does not release in a child: calls that take
//! them are made [`outside`] of forks.

use std::cell::Cell;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process;
use std::ptr;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

static GENERATION: AtomicU32 = AtomicU32::new(0);
/// See [`process_number`]; 0 before it is drawn, and again in a forked child.
static PROCESS_NUMBER: AtomicU64 = AtomicU64::new(0);
/// The process id of a worker process; 0 in every other process.
static WORKER: AtomicU32 = AtomicU32::new(0);

/// How many threads are inside of a call that is made [`outside`] of forks.
static INSIDE: AtomicU32 = AtomicU32::new(0);
/// How many forks wait for them, or are under way.
static FORKING: AtomicU32 = AtomicU32::new(0);

/// How often those look who wait for each other here, which is for less than a millisecond nearly always.
const LOOK: Duration = Duration::from_micros(50);
/// A fork waits for so many looks. What lasts longer waits for the network, and holds no lock meanwhile.
const LOOKS: u32 = 200;

/// How many forks lie between the first process and this one; no more than a name for this process.
pub fn generation() -> u32 {
    // Not a Once: a child that was forked while another thread was inside it would wait for that thread. To register
    // the handler twice does no harm.
    static REGISTERED: AtomicBool = AtomicBool::new(false);
    if !REGISTERED.load(Ordering::Acquire) {
        destructors_are_known();
        // SAFETY: the handlers only change atomics, and sleep in the parent, which is allowed before and after a fork
        // of a threaded process. The library is never unloaded, so they stay where they are.
        unsafe { libc::pthread_atfork(Some(before), Some(in_parent), Some(in_child)) };
        REGISTERED.store(true, Ordering::Release);
    }
    GENERATION.load(Ordering::Relaxed)
}

/// Where the C library does not run the destructors of thread-locals itself (musl), the first one creates a key of
/// pthreads, under a lock that musl 1.2.3 leaves locked in a child. So that happens here, before there are threads.
fn destructors_are_known() {
    thread_local! { static WITH_DESTRUCTOR: Cell<Vec<u8>> = const { Cell::new(Vec::new()) } }
    WITH_DESTRUCTOR.with(|value| value.set(Vec::new()));
}

extern "C" fn before() {
    FORKING.fetch_add(1, Ordering::SeqCst);
    for _ in 0..LOOKS {
        if INSIDE.load(Ordering::SeqCst) == 0 {
            break;
        }
        thread::sleep(LOOK);
    }
}

extern "C" fn in_parent() {
    FORKING.fetch_sub(1, Ordering::SeqCst);
}

extern "C" fn in_child() {
    // No other thread is here.
    INSIDE.store(0, Ordering::SeqCst);
    FORKING.store(0, Ordering::SeqCst);
    GENERATION.fetch_add(1, Ordering::Relaxed);
    PROCESS_NUMBER.store(0, Ordering::Relaxed);
}

/// A random number that this process has to itself, also among those that fork from it. Never 0.
pub fn process_number() -> u64 {
    // From here on a forked child draws another.
    generation();
    let known = PROCESS_NUMBER.load(Ordering::Relaxed);
    if known != 0 {
        return known;
    }
    let drawn = random().max(1);
    match PROCESS_NUMBER.compare_exchange(0, drawn, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => drawn,
        Err(earlier) => earlier,
    }
}

fn random() -> u64 {
    #[cfg(target_os = "linux")]
    {
        let mut bytes = [0; 8];
        // SAFETY: eight writable bytes.
        if unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), 0) } == 8 {
            return u64::from_ne_bytes(bytes);
        }
    }
    // The keys of a thread's hashers are copied by a fork: what differs is put in as well.
    RandomState::new().hash_one((process::id(), SystemTime::now(), generation()))
}

/// This process is a worker: a child that its user's functions fork off must not serve in its place.
pub fn is_worker_from_now_on() {
    WORKER.store(process::id(), Ordering::Relaxed);
}

/// The process in which a function of the user's is called. The function may fork and return in the child as well, where
/// nothing of what its caller holds is the process's own.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    generation: u32,
    /// In a worker process its process id, because there are ways to fork that no handler hears of; else 0.
    worker: u32,
}

impl Origin {
    pub fn here() -> Origin {
        let worker = WORKER.load(Ordering::Relaxed);
        let is_worker = worker != 0 && worker == process::id();
        Origin { generation: generation(), worker: if is_worker { worker } else { 0 } }
    }

    /// Whether this is a child of the process that it was. In the child of a worker process it does not return: only the
    /// worker may answer.
    pub fn has_left(&self) -> bool {
        if self.worker != 0 && self.worker != process::id() {
            // SAFETY: no pointers. What would be tidied up belongs to the worker.
            unsafe { libc::_exit(0) };
        }
        self.is_inherited()
    }

    /// The same without a system call, for what may be asked often: it knows of fork() only.
    pub fn is_inherited(&self) -> bool {
        is_inherited(self.generation)
    }
}

/// Makes a call that takes locks of the C library's which a forked child would find locked for ever (those of
/// getaddrinfo): not while another thread forks. A fork waits a moment for such a call to return.
pub fn outside<T>(call: impl FnOnce() -> T) -> T {
    generation();
    loop {
        INSIDE.fetch_add(1, Ordering::SeqCst);
        if FORKING.load(Ordering::SeqCst) == 0 {
            break;
        }
        INSIDE.fetch_sub(1, Ordering::SeqCst);
        thread::sleep(LOOK);
    }
    let result = call();
    INSIDE.fetch_sub(1, Ordering::SeqCst);
    result
}

/// Whether what was made in that generation was inherited by a fork.
pub fn is_inherited(made_in: u32) -> bool {
    made_in != GENERATION.load(Ordering::Relaxed)
}

/// A value that all threads of a process share. It is made at the first use, and anew in a forked child: no lock of the
/// parent's, which a thread that is not here may hold, is ever met there.
pub struct PerProcess<T: 'static> {
    current: AtomicPtr<Instance<T>>,
    make: fn(Option<&T>) -> T,
}

struct Instance<T> {
    made_in: u32,
    value: T,
    /// That of the parent. It is never dropped: a thread that is not here may have left it half changed.
    _inherited: *mut Instance<T>,
}

impl<T: Send + Sync> PerProcess<T> {
    /// `make` is given what a forked child has inherited; it must not wait for a lock of that. Two threads may make one
    /// at the same time, of which one is dropped.
    pub const fn new(make: fn(Option<&T>) -> T) -> PerProcess<T> {
        PerProcess { current: AtomicPtr::new(ptr::null_mut()), make }
    }

    pub fn get(&'static self) -> &'static T {
        let generation = generation();
        let current = self.current.load(Ordering::Acquire);
        // SAFETY: NULL, or an instance that was published whole and is never freed.
        match unsafe { current.as_ref() } {
            Some(instance) if instance.made_in == generation => &instance.value,
            inherited => self.renew(generation, current, inherited.map(|instance| &instance.value)),
        }
    }

    #[cold]
    fn renew(&'static self, generation: u32, current: *mut Instance<T>, inherited: Option<&T>) -> &'static T {
        let value = (self.make)(inherited);
        let made = Box::leak(Box::new(Instance { made_in: generation, value, _inherited: current }));
        let made: *mut Instance<T> = made;
        match self.current.compare_exchange(current, made, Ordering::AcqRel, Ordering::Acquire) {
            // SAFETY: it was just made, and from now on it is never freed.
            Ok(_) => unsafe { &(*made).value },
            Err(other) => {
                // SAFETY: nobody else has seen what was just made; the other one was published whole.
                unsafe {
                    free(made);
                    &(*other).value
                }
            }
        }
    }
}

/// Frees an instance that lost the race to be the one of its process.
#[allow(clippy::disallowed_methods)]
unsafe fn free<T>(instance: *mut Instance<T>) {
    // SAFETY: the caller vouches that it came from a box and that nobody else knows it.
    drop(unsafe { Box::from_raw(instance) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::thread;

    #[test]
    fn all_threads_of_a_process_share_one_value() {
        static SHARED: PerProcess<AtomicUsize> = PerProcess::new(|_| AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| SHARED.get().fetch_add(1, Ordering::SeqCst));
            }
        });
        assert_eq!(SHARED.get().load(Ordering::SeqCst), 8);
    }

    #[test]
    fn a_forked_child_makes_a_value_of_its_own_from_the_inherited_one() {
        static SHARED: PerProcess<u32> = PerProcess::new(|before| before.map_or(1, |before| before + 1));
        assert_eq!(*SHARED.get(), 1);
        // SAFETY: the child only looks at a number and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::_exit(i32::from(*SHARED.get() != 2));
            }
            let mut status = -1;
            assert_eq!(libc::waitpid(child, &mut status, 0), child);
            assert_eq!(status, 0);
        }
        assert_eq!(*SHARED.get(), 1);
    }
}
