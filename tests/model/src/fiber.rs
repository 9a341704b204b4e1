//! There are no fibers in a model.

use std::cell::Cell;
use std::convert::Infallible;
use std::ptr;
use std::sync::Arc;
use std::time::Instant;

pub trait Wake: Send + Sync {
    fn wake(&self);
}

#[derive(Clone)]
pub struct Waker(Infallible);

impl Waker {
    pub fn wake(&self) {
        match self.0 {}
    }

    pub fn is_of(&self, _: u64) -> bool {
        match self.0 {}
    }
}

#[derive(Clone, Copy)]
pub struct Here<'a>(&'a Infallible);

impl Here<'_> {
    pub fn waker(&self) -> Waker {
        match *self.0 {}
    }

    pub fn fiber(&self) -> u64 {
        match *self.0 {}
    }

    pub fn park(&self, _: Option<Instant>) {
        match *self.0 {}
    }
}

pub fn here<'a>() -> Option<Here<'a>> {
    None
}

pub fn leads() -> bool {
    false
}

pub fn blocks() {}

pub fn calls_out() {}

pub fn wake_later(who: Arc<dyn Wake>) {
    who.wake();
}

pub fn token() -> usize {
    thread_local! {
        static HERE: Cell<u8> = const { Cell::new(0) };
    }
    HERE.with(|here| ptr::from_ref(here).addr())
}
