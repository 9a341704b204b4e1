//! Connections that requests share, and those who wait for a part in one.
//!
//! While the first connection to a server is made, the others wait for it. When all carry as many requests as the server
//! wants, who comes waits for one of those to end, or, when that takes long, makes a further connection.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use super::http2::Http2;
use super::line::Rank;
use crate::future::control::Control;
use crate::future::monitor::{Monitor, Until};
use crate::system::fiber::Wake;

/// What requests to one host share.
#[derive(Default)]
pub struct Sharing {
    /// Connections that carry requests.
    carrying: Vec<Arc<Http2>>,
    /// Somebody makes one that others wait for.
    is_dialing: bool,
    /// There is one of which nobody knows yet how many requests it carries.
    is_new: bool,
    /// The last one that was made cannot be shared.
    is_http1: bool,
    /// The server has asked for HTTP/1.1.
    wants_http1: bool,
    guests: BTreeMap<Rank, Arc<Guest>>,
}

/// A request that waits for a part in a connection.
pub struct Guest {
    /// It takes none that has rested.
    fresh: bool,
    state: Monitor<Called>,
}

#[derive(Default)]
struct Called {
    is_woken: bool,
    given: Option<Arc<Http2>>,
    /// It makes a connection whatever the others do.
    is_alone: bool,
}

/// What a request does that has no connection.
pub enum Entry {
    /// It has a part in this one.
    Part(Arc<Http2>),
    /// It makes one, which `others` wait for.
    Dial { others: bool },
    /// It makes one for itself: the server wants HTTP/1.1.
    Http1,
    /// It waits: for one that is made, or for another request to end.
    Wait { for_dialing: bool },
}

/// What has become of a connection that was to be made.
pub enum Dialed<'a> {
    Failed,
    /// The request that was to make it is over, which says nothing of the server.
    GivenUp,
    Http1,
    Http2(&'a Arc<Http2>),
}

impl Guest {
    pub fn new(fresh: bool) -> Arc<Guest> {
        Arc::new(Guest { fresh, state: Monitor::default() })
    }

    /// Until it is woken, or until that time.
    pub fn wait(&self, until: Option<Instant>, control: &Control) {
        let until = until.map_or(Until::Forever, Until::At);
        let mut state = self.state.lock();
        while !state.is_woken && !until.has_passed() && !control.is_aborted() {
            state = state.wait(until);
        }
        state.is_woken = false;
    }

    fn call(&self, call: impl FnOnce(&mut Called)) {
        let mut state = self.state.lock();
        call(&mut state);
        state.is_woken = true;
        state.notify_all();
    }

    fn takes(&self, http2: &Http2) -> bool {
        http2.is_open() && !(self.fresh && http2.has_rested())
    }
}

/// An abort wakes it.
impl Wake for Guest {
    fn wake(&self) {
        self.call(|_| {});
    }
}

impl Sharing {
    /// A part in a connection that carries requests already.
    pub fn join(&mut self, fresh: bool) -> Option<Arc<Http2>> {
        if self.carrying.is_empty() {
            return None;
        }
        self.carrying.retain(|http2| http2.is_open());
        let http2 = self.carrying.iter().find(|http2| http2.has_room() && !(fresh && http2.has_rested()))?;
        http2.streams.fetch_add(1, Ordering::Relaxed);
        Some(http2.clone())
    }

    /// One that rested carries a request again.
    pub fn carry(&mut self, http2: &Arc<Http2>) {
        http2.streams.store(1, Ordering::Relaxed);
        self.carrying.push(http2.clone());
    }

    /// `is_late`: it has waited for long.
    pub fn enter(&mut self, rank: Rank, guest: &Arc<Guest>, is_late: bool) -> Entry {
        let called = mem::take(&mut *guest.state.lock());
        if let Some(http2) = called.given {
            return Entry::Part(http2);
        }
        let entry = if called.is_alone {
            Entry::Dial { others: false }
        } else if let Some(http2) = self.join(guest.fresh) {
            Entry::Part(http2)
        } else if self.wants_http1 {
            Entry::Http1
        } else if self.is_http1 {
            Entry::Dial { others: false }
        } else if !self.is_dialing
            && ((is_late && !self.is_new) || !self.carrying.iter().any(|http2| guest.takes(http2)))
        {
            self.is_dialing = true;
            Entry::Dial { others: true }
        } else {
            let for_dialing = !self.carrying.iter().any(|http2| guest.takes(http2));
            self.guests.insert(rank, guest.clone());
            return Entry::Wait { for_dialing };
        };
        self.guests.remove(&rank);
        entry
    }

    /// It waits no more, and has not entered. What it was given is for somebody else.
    #[must_use]
    pub fn stand_down(&mut self, rank: Rank, guest: &Guest) -> Option<Arc<Http2>> {
        self.guests.remove(&rank);
        let given = guest.state.lock().given.take();
        self.call_next();
        given
    }

    pub fn dialed(&mut self, others: bool, dialed: Dialed<'_>) {
        self.is_dialing &= !others;
        match dialed {
            Dialed::Http2(http2) => {
                self.is_http1 = false;
                self.is_new = true;
                self.carry(http2);
                return;
            }
            Dialed::GivenUp => {
                self.call_next();
                return;
            }
            Dialed::Http1 => self.is_http1 = true,
            Dialed::Failed => {}
        }
        if self.is_http1 || self.carrying.is_empty() {
            for guest in mem::take(&mut self.guests).into_values() {
                guest.call(|called| called.is_alone = true);
            }
        }
    }

    /// A part in one is over. True: it was the last one of those in it.
    pub fn leave(&mut self, http2: &Arc<Http2>) -> bool {
        let is_last = http2.streams.fetch_sub(1, Ordering::Relaxed) <= 1;
        self.look_at(http2);
        let is_last = is_last && http2.streams.load(Ordering::Relaxed) == 0;
        if is_last {
            self.carrying.retain(|other| !Arc::ptr_eq(other, http2));
            self.call_next();
        }
        is_last
    }

    /// A connection may have room, or be of no use any more: those go on who can.
    pub fn look_at(&mut self, http2: &Arc<Http2>) {
        let is_new = mem::take(&mut self.is_new);
        if self.guests.is_empty() {
            return;
        }
        while http2.has_room() {
            let first = self.guests.iter().find(|(_, guest)| guest.takes(http2)).map(|(rank, _)| *rank);
            let Some(guest) = first.and_then(|rank| self.guests.remove(&rank)) else { break };
            http2.streams.fetch_add(1, Ordering::Relaxed);
            guest.call(|called| called.given = Some(http2.clone()));
        }
        if is_new {
            // They waited for a connection, and from now on for room on it.
            self.guests.values().for_each(|guest| guest.call(|_| {}));
        }
        self.call_next();
    }

    /// Who waits and has nobody to wait for makes a connection.
    fn call_next(&self) {
        if let Some(guest) = self.guests.values().next()
            && !self.is_dialing
            && !self.carrying.iter().any(|http2| guest.takes(http2))
        {
            guest.call(|_| {});
        }
    }

    /// The server has asked for HTTP/1.1. The connections are for the caller to let go of: not under the lock.
    #[must_use]
    pub fn prefer_http1(&mut self) -> Vec<Arc<Http2>> {
        self.wants_http1 = true;
        for http2 in &self.carrying {
            http2.close();
        }
        for guest in self.guests.values() {
            guest.call(|_| {});
        }
        mem::take(&mut self.carrying)
    }
}
