//! Name look-ups that can be given up.
//!
//! getaddrinfo(3) blocks and cannot be interrupted, so names are looked up on threads of their own, and a request waits
//! for the answer for as long as it likes. There are few such threads, however many names nobody answers for: a look-up
//! for which none is free waits for its turn, and is forgotten when no request waits for it any more. Requests that ask
//! for the same name at the same time share one look-up.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;

use super::socket::{Limits, Step};
use crate::future::monitor::Monitor;
use crate::message::error::{Error, ErrorKind, os_text};
use crate::system::fork::{self, PerProcess};
use crate::system::thread::with_signals_blocked;

/// The most threads that look names up.
const MOST_THREADS: usize = 16;

type Answer = Result<Vec<IpAddr>, String>;

struct Lookup {
    host: String,
    /// Notified with the answer.
    answer: Monitor<Option<Answer>>,
}

#[derive(Default)]
struct Lookups {
    by_name: HashMap<String, Entry>,
    /// Those that no thread has taken yet.
    queue: VecDeque<Arc<Lookup>>,
    threads: usize,
}

struct Entry {
    lookup: Arc<Lookup>,
    /// How many requests wait for it.
    waiting: usize,
}

static LOOKUPS: PerProcess<Monitor<Lookups>> = PerProcess::new(|_| Monitor::default());

/// Whether it is an address, so that there is nothing to be looked up.
pub fn is_address(host: &str) -> bool {
    host.parse::<IpAddr>().is_ok() || host.contains('%')
}

/// The addresses of a host, in the system's order of preference.
pub fn resolve(host: &str, port: u16, limits: &Limits) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if let Some(address) = scoped(host, port)? {
        return Ok(vec![address]);
    }
    let lookup = Waiting::begin(host)?;
    let mut answer = lookup.0.answer.lock();
    while answer.is_none() {
        answer = answer.wait(limits.to(Step::Resolve, &host).next_look()?);
    }
    match answer.as_ref() {
        Some(Ok(addresses)) if !addresses.is_empty() => {
            Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
        }
        Some(Err(text)) => Err(unknown(host, text)),
        _ => Err(unknown(host, "no address")),
    }
}

/// What the resolver says, without what the standard library puts before it.
fn words_of(error: &io::Error) -> String {
    let text = os_text(error);
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).into()
}

fn unknown(host: &str, text: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("Failed to resolve '{host}' ({text})"))
}

/// An IPv6 address with a zone (fe80::1%eth0): the zone is the system's to understand, and costs no look-up.
fn scoped(host: &str, port: u16) -> Result<Option<SocketAddr>, Error> {
    match host.split_once('%') {
        Some((address, _)) if address.parse::<Ipv6Addr>().is_ok() => {
            let found = fork::outside(|| (host, port).to_socket_addrs());
            Ok(found.map_err(|error| unknown(host, &words_of(&error)))?.next())
        }
        _ => Ok(None),
    }
}

/// A request that waits for a look-up.
struct Waiting(Arc<Lookup>);

impl Waiting {
    /// Joins the look-up of this name that is under way, or begins one.
    fn begin(host: &str) -> Result<Waiting, Error> {
        let mut lookups = LOOKUPS.get().lock();
        if let Some(entry) = lookups.by_name.get_mut(host) {
            entry.waiting += 1;
            return Ok(Waiting(entry.lookup.clone()));
        }
        let lookup = Arc::new(Lookup { host: host.into(), answer: Monitor::default() });
        lookups.by_name.insert(host.into(), Entry { lookup: lookup.clone(), waiting: 1 });
        lookups.queue.push_back(lookup.clone());
        let starts = lookups.threads < MOST_THREADS;
        lookups.threads += usize::from(starts);
        // To start a thread may take long, so it is done without the lock.
        drop(lookups);
        let waiting = Waiting(lookup);
        if starts && let Err(error) = start() {
            let mut lookups = LOOKUPS.get().lock();
            lookups.threads -= 1;
            // Others will come to it, if there are any.
            if lookups.threads == 0 {
                return Err(Error::os(
                    ErrorKind::Connection,
                    format!("No thread to resolve '{host}'"),
                    &error,
                ));
            }
        }
        Ok(waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut lookups = LOOKUPS.get().lock();
        let lookups = &mut *lookups;
        // One that is over is not there any more, or another one of that name is.
        let Some(entry) = lookups.by_name.get_mut(&self.0.host) else { return };
        if !Arc::ptr_eq(&entry.lookup, &self.0) {
            return;
        }
        entry.waiting -= 1;
        if entry.waiting == 0
            && let Some(at) = lookups.queue.iter().position(|lookup| Arc::ptr_eq(lookup, &self.0))
        {
            lookups.queue.remove(at);
            lookups.by_name.remove(&self.0.host);
        }
    }
}

fn start() -> io::Result<()> {
    with_signals_blocked(|| thread::Builder::new().name("rf-resolver".into()).spawn(work)).map(drop)
}

/// Takes look-ups until none is left.
fn work() {
    loop {
        let mut lookups = LOOKUPS.get().lock();
        let Some(lookup) = lookups.queue.pop_front() else {
            lookups.threads -= 1;
            if lookups.by_name.is_empty() {
                // Nothing is kept of look-ups, not even the room for them.
                (lookups.by_name, lookups.queue) = (HashMap::new(), VecDeque::new());
            }
            drop(lookups);
            fork::outside(leave_resolver);
            return;
        };
        drop(lookups);
        let answer: Answer = match fork::outside(|| (lookup.host.as_str(), 0).to_socket_addrs()) {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => Err(words_of(&error)),
        };
        LOOKUPS.get().lock().by_name.remove(&lookup.host);
        let mut waiting = lookup.answer.lock();
        *waiting = Some(answer);
        waiting.notify_all();
    }
}

/// Gives back what the C library's resolver keeps for this thread, which looks nothing up any more. Otherwise the
/// thread's very end would do so, and take the resolver's lock outside of any call that a fork waits for.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn leave_resolver() {
    /// The beginning of struct __res_state (resolv.h).
    #[repr(C)]
    struct State {
        retrans: libc::c_int,
        retry: libc::c_int,
        options: libc::c_ulong,
        nscount: libc::c_int,
    }
    unsafe extern "C" {
        fn __res_state() -> *mut State;
        fn __res_nclose(state: *mut State);
    }
    // SAFETY: the state is this thread's own, and lives as long as the thread. Without name servers and options it is as
    // new: nothing is left to be given back.
    unsafe {
        let state = __res_state();
        if (*state).nscount > 0 {
            __res_nclose(state);
            (*state).options = 0;
            (*state).nscount = 0;
        }
    }
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn leave_resolver() {}
