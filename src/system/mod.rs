//! What the operating system gives.

pub mod clock;
pub mod descriptor;
pub mod environment;
pub mod fiber;
pub mod file_lock;
pub mod fork;
pub mod lock;
pub mod log;
pub mod poller;
pub mod signal;
pub mod stack;
pub mod symbol;
pub mod sync;
pub mod thread;
