//! The library's own futures and waits, made of a model checker's locks and atomics.
//!
//! loom runs a small program in every order that its threads can take, and lets every load see whatever the orderings
//! of the atomics allow. That fits: the state machine is short, its threads meet in a few locks, and what could go wrong
//! is rare. A checker that tries orders at random would need luck for it, and takes every atomic to be sequentially
//! consistent.
//!
//! The files are the library's, not copies. What they are made of comes from [`sync`]; what they only touch is
//! reduced to what they need.

#[path = "../../../src/deadlock.rs"]
pub mod deadlock;
#[path = "../../../src/descriptor.rs"]
pub mod descriptor;
#[path = "../../../src/fork.rs"]
pub mod fork;
#[path = "../../../src/future.rs"]
pub mod future;
#[path = "../../../src/lock.rs"]
pub mod lock;
#[path = "../../../src/monitor.rs"]
pub mod monitor;
pub mod sync;
#[path = "../../../src/thread.rs"]
pub mod thread;
#[path = "../../../src/wait.rs"]
pub mod wait;

/// What stops a request.
pub mod control {
    use loom::sync::atomic::{AtomicBool, Ordering};

    pub const SLICE: std::time::Duration = std::time::Duration::from_millis(10);

    #[derive(Default)]
    pub struct Control {
        aborted: AtomicBool,
    }

    impl Control {
        pub fn new() -> Control {
            Control::default()
        }

        pub fn abort(&self) {
            self.aborted.store(true, Ordering::SeqCst);
        }

        pub fn is_aborted(&self) -> bool {
            self.aborted.load(Ordering::SeqCst)
        }
    }
}

/// No thread of a model is a worker.
pub mod executor {
    pub mod threads {
        pub struct Blocked;

        impl Blocked {
            pub fn on(_home: u64) -> Option<Blocked> {
                None
            }

            pub fn here() -> Option<Blocked> {
                None
            }

            pub fn home(&self) -> u64 {
                0
            }

            pub fn all(&self) -> bool {
                false
            }
        }
    }
}
