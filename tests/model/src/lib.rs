//! The library's own futures and waits, made of a model checker's locks and atomics.
//!
//! loom runs a small program in every order that its threads can take, and lets every load see whatever the orderings
//! of the atomics allow. That fits: the state machine is short, its threads meet in a few locks, and what could go wrong
//! is rare. A checker that tries orders at random would need luck for it, and takes every atomic to be sequentially
//! consistent.
//!
//! The files are the library's, not copies. What they are made of comes from [`sync`]; what they only touch is
//! reduced to what they need.

#[path = "../../../src/future/mod.rs"]
pub mod future;

pub mod system;
