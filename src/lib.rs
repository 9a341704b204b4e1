//! Asynchronous HTTP requests that return futures, for C and every language that can call C.
//!
//! Data flows one way: [`ffi`] checks and converts, [`session`] turns a call into a request, an [`executor`]
//! runs it, [`http`] makes a [`response`] of it, the [`future`] publishes that, and [`wait`] and callbacks
//! deliver it. Nothing but [`ffi`] knows C; nothing but `http::engine` knows the HTTP engine.

pub mod control;
pub mod deadlock;
pub mod descriptor;
pub mod environment;
pub mod error;
pub mod executor;
pub mod ffi;
pub mod fork;
pub mod form;
pub mod future;
pub mod head;
pub mod http;
pub mod json;
pub mod lock;
pub mod log;
pub mod monitor;
pub mod options;
pub mod response;
pub mod session;
pub mod signal;
pub mod symbol;
pub mod sync;
pub mod terminated;
pub mod text;
pub mod thread;
pub mod timer;
pub mod url;
pub mod wait;
