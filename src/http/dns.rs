//! Name look-ups that can be given up.
//!
//! getaddrinfo(3) blocks and cannot be interrupted, so a name is looked up on a thread of its own, and the
//! request waits for the answer for as long as it likes. Requests that ask for the same name at the same time
//! share one look-up.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, LazyLock};

use parking_lot::{Condvar, Mutex};

use super::socket::Limits;
use crate::control::SLICE;
use crate::error::{Error, ErrorKind};
use crate::executor::threads::with_signals_blocked;
use crate::fork;

type Answer = Result<Vec<IpAddr>, String>;

#[derive(Default)]
struct Lookup {
    answer: Mutex<Option<Answer>>,
    done: Condvar,
}

/// By generation of processes and name: a look-up that was under way when this process was forked never ends here.
type Names = HashMap<(u32, String), Arc<Lookup>>;

static UNDER_WAY: LazyLock<Mutex<Names>> = LazyLock::new(Mutex::default);

/// The addresses of a host, in the system's order of preference.
pub fn resolve(host: &str, port: u16, limits: &Limits) -> Result<Vec<SocketAddr>, Error> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    // A zone (fe80::1%eth0) is the system's to understand, and costs no look-up.
    if host.contains('%') {
        return scoped(host, port);
    }
    let lookup = join(host)?;
    let mut answer = lookup.answer.lock();
    while answer.is_none() {
        limits.control.check()?;
        if limits.connect.is_some_and(|(until, _)| std::time::Instant::now() >= until) {
            return Err(limits.timed_out());
        }
        lookup.done.wait_for(&mut answer, SLICE);
    }
    match answer.as_ref() {
        Some(Ok(addresses)) if !addresses.is_empty() => {
            Ok(addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
        }
        Some(Err(text)) => Err(unknown(host, text)),
        _ => Err(unknown(host, "no address")),
    }
}

fn unknown(host: &str, text: &str) -> Error {
    Error::new(ErrorKind::Connection, format!("Failed to resolve '{host}' ({text})"))
}

fn scoped(host: &str, port: u16) -> Result<Vec<SocketAddr>, Error> {
    match (host, port).to_socket_addrs() {
        Ok(addresses) => Ok(addresses.collect()),
        Err(error) => Err(unknown(host, &error.to_string())),
    }
}

/// The look-up of this name that is under way, or a new one.
fn join(host: &str) -> Result<Arc<Lookup>, Error> {
    let key = (fork::generation(), host.to_string());
    let mut under_way = UNDER_WAY.lock();
    if let Some(lookup) = under_way.get(&key) {
        return Ok(lookup.clone());
    }
    let lookup = Arc::new(Lookup::default());
    let (name, mine) = (key.clone(), lookup.clone());
    let ask = move || {
        let answer: Answer = match (name.1.as_str(), 0).to_socket_addrs() {
            Ok(found) => Ok(found.map(|address| address.ip()).collect()),
            Err(error) => Err(error.to_string()),
        };
        let mut under_way = UNDER_WAY.lock();
        under_way.remove(&name);
        if under_way.is_empty() {
            // Nothing is kept of a look-up, not even the room for it.
            *under_way = HashMap::new();
        }
        drop(under_way);
        *mine.answer.lock() = Some(answer);
        mine.done.notify_all();
    };
    with_signals_blocked(|| std::thread::Builder::new().name("rf-resolver".into()).spawn(ask)).map_err(
        |error| Error::os(ErrorKind::Connection, format!("No thread to resolve '{host}'"), &error),
    )?;
    under_way.insert(key, lookup.clone());
    Ok(lookup)
}
