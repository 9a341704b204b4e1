//! What futures and those who wait for them are made of: the standard library's.
//!
//! The models of tests/model compile the same files with a model checker's instead. Nothing here keeps a table of
//! those who wait, as parking_lot does: a thread that waits while another one forks would stand in the child's copy
//! of that table, where it is not.

pub use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
pub use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
