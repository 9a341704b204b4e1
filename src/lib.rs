//! Asynchronous HTTP requests that return futures, for C and every language that can call C.
//!
//! A house of seven rooms, one above the other; a room uses only those below it (`tests/house.rs` checks that):
//!
//! 1. [`ffi`]: the C face, a file for each handle: checks, converts, calls one function of the core.
//! 2. [`session`]: what is submitted and not over, and closing it; defaults.
//! 3. [`executor`]: who runs a request: threads, worker processes, executors of the user's own; tasks as bytes.
//! 4. [`http`]: one request from its settings to its response: hops, connections, TLS, proxies, cookies, codings.
//! 5. [`message`]: what is said: options, responses, errors, heads, URLs, forms, JSON, text.
//! 6. [`future`]: the state machine, waiting, callbacks, deadlines, aborts; knows nothing of HTTP.
//! 7. [`system`]: what the operating system gives: threads, forks, descriptors, symbols, the environment.

pub mod executor;
pub mod ffi;
pub mod future;
pub mod http;
pub mod message;
pub mod session;
pub mod system;
