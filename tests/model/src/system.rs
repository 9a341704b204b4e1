//! What the operating system gives, with the model checker's locks.

#[path = "../../../src/system/clock.rs"]
pub mod clock;
#[path = "../../../src/system/descriptor.rs"]
pub mod descriptor;
#[path = "fiber.rs"]
pub mod fiber;
#[path = "../../../src/system/fork.rs"]
pub mod fork;
#[path = "../../../src/system/lock.rs"]
pub mod lock;
#[path = "../../../src/system/signal.rs"]
pub mod signal;
#[path = "sync.rs"]
pub mod sync;
#[path = "../../../src/system/thread.rs"]
pub mod thread;
