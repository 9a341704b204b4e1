//! The C face: one file per handle, in the order of the header.
//!
//! A function here does four things: check, convert, call one function of the core, convert back. What turns
//! pointers into Rust and back is in `handle`, the rules on NULL, out-arguments and panics are in `boundary`,
//! functions with their user data are in `callback`.
#![allow(non_camel_case_types, clippy::missing_safety_doc)]

mod boundary;
mod callback;
mod handle;

pub mod types;

pub mod package;

pub mod executor;

pub mod session;

pub mod options;

pub mod retry;

pub mod prepared;

pub mod adapter;

pub mod hook;

pub mod future;

pub mod wait;

pub mod response;

pub mod event;

pub mod cookies;

pub mod json;

pub mod error;

pub mod url;
