//! What the operating system gives.

pub mod descriptor;
pub mod environment;
pub mod fork;
pub mod lock;
pub mod log;
pub mod signal;
pub mod symbol;
pub mod sync;
pub mod thread;
