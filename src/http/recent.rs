//! What a thread remembers of the request that it ran last: the next one nearly always has the same headers, and takes
//! the same route.
//!
//! A worker remembers for itself. Threads of the user's, whose end nobody hears of, remember together.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::sync::Arc;

use parking_lot::Mutex;

use super::route::Route;
use crate::message::options::Header;
use crate::system::fork::PerProcess;

#[derive(Default)]
struct Recent {
    route: Option<Arc<Route>>,
    /// A set of headers in which nothing was wrong, and none of which is special.
    headers: Option<Arc<Vec<Header>>>,
}

/// Only ever tried: who finds it locked has nothing to remember.
static SHARED: PerProcess<Mutex<Recent>> = PerProcess::new(|_| Mutex::default());

thread_local! {
    /// None on a thread that is no worker. Without a destructor, which would be lost on a thread that sends its first
    /// request in a destructor.
    static RECENT: ManuallyDrop<RefCell<Option<Recent>>> = const { ManuallyDrop::new(RefCell::new(None)) };
}

/// While it lives, this thread remembers for itself.
pub struct Remembering(());

impl Remembering {
    pub fn begin() -> Remembering {
        RECENT.with(|recent| recent.replace(Some(Recent::default())));
        Remembering(())
    }
}

impl Drop for Remembering {
    fn drop(&mut self) {
        RECENT.with(|recent| recent.take());
    }
}

/// Not inlined: a fiber may go on on another thread, and must not know where this one's lies.
#[inline(never)]
fn with_recent<T>(use_it: impl FnOnce(&mut Recent) -> Option<T>) -> Option<T> {
    RECENT.with(|recent| match &mut *recent.borrow_mut() {
        Some(recent) => use_it(recent),
        None => use_it(&mut *SHARED.get().try_lock()?),
    })
}

/// The route taken last, if it is this one.
pub fn route(is_same: impl FnOnce(&Route) -> bool) -> Option<Arc<Route>> {
    with_recent(|recent| recent.route.as_ref().filter(|route| is_same(route)).cloned())
}

pub fn remember_route(route: &Arc<Route>) {
    with_recent(|recent| recent.route.replace(route.clone()));
}

/// Whether these very headers were found to be plain.
pub fn are_plain(headers: &Arc<Vec<Header>>) -> bool {
    with_recent(|recent| recent.headers.as_ref().filter(|known| Arc::ptr_eq(known, headers)).map(|_| ()))
        .is_some()
}

pub fn remember_plain(headers: &Arc<Vec<Header>>) {
    with_recent(|recent| recent.headers.replace(headers.clone()));
}
