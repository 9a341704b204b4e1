//! The addresses of hosts that were looked up a short while ago.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::dns::is_address;
use crate::system::lock::Mutex;

/// So many hosts are remembered.
const MOST: usize = 1024;

/// What an adapter remembers of look-ups. Failed ones are not among it.
pub struct NameCache {
    /// How long; None: for ever.
    longest: Option<Duration>,
    /// None: nothing is remembered.
    known: Option<Mutex<HashMap<String, Known>>>,
}

struct Known {
    addresses: Vec<IpAddr>,
    since: Instant,
}

impl NameCache {
    /// For so long; None: for ever; 0: not at all.
    pub fn new(longest: Option<Duration>) -> NameCache {
        let known = (longest != Some(Duration::ZERO)).then(Mutex::default);
        NameCache { longest, known }
    }

    pub fn get(&self, host: &str, port: u16) -> Option<Vec<SocketAddr>> {
        let known = self.known.as_ref()?.lock();
        let found = known.get(host).filter(|found| self.is_fresh(found))?;
        Some(found.addresses.iter().map(|address| SocketAddr::new(*address, port)).collect())
    }

    /// What was looked up. An address that is written in the place of a name is none of it.
    pub fn put(&self, host: &str, addresses: &[SocketAddr]) {
        let Some(known) = self.known.as_ref().filter(|_| !is_address(host)) else { return };
        let addresses = addresses.iter().map(SocketAddr::ip).collect();
        let mut known = known.lock();
        if known.len() >= MOST && !known.contains_key(host) {
            known.retain(|_, one| self.is_fresh(one));
            if known.len() >= MOST {
                let oldest = known.iter().min_by_key(|(_, one)| one.since).map(|(host, _)| host.clone());
                oldest.and_then(|oldest| known.remove(&oldest));
            }
        }
        known.insert(host.into(), Known { addresses, since: Instant::now() });
    }

    /// None of its addresses has taken a connection: the next one who wants it looks it up.
    pub fn forget(&self, host: &str) {
        if let Some(known) = &self.known {
            known.lock().remove(host);
        }
    }

    fn is_fresh(&self, one: &Known) -> bool {
        self.longest.is_none_or(|longest| one.since.elapsed() < longest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(last: u8) -> Vec<SocketAddr> {
        vec![([127, 0, 0, last], 1).into(), ([127, 0, 0, 9], 1).into()]
    }

    #[test]
    fn names_are_known_until_they_are_forgotten() {
        let cache = NameCache::new(None);
        cache.put("a", &addresses(1));
        assert_eq!(cache.get("a", 80).unwrap()[0], ([127, 0, 0, 1], 80).into());
        cache.put("a", &addresses(2));
        assert_eq!(cache.get("a", 81).unwrap()[0], ([127, 0, 0, 2], 81).into());
        cache.forget("a");
        assert_eq!(cache.get("a", 80), None);
        for literal in ["127.0.0.1", "::1", "fe80::1%eth0"] {
            cache.put(literal, &addresses(1));
            assert_eq!(cache.get(literal, 80), None);
        }
    }

    #[test]
    fn nothing_is_known_for_no_time() {
        let cache = NameCache::new(Some(Duration::ZERO));
        cache.put("a", &addresses(1));
        assert_eq!(cache.get("a", 80), None);
        let cache = NameCache::new(Some(Duration::from_nanos(1)));
        cache.put("a", &addresses(1));
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(cache.get("a", 80), None);
    }

    #[test]
    fn the_oldest_gives_way() {
        let cache = NameCache::new(None);
        for number in 0..MOST + 10 {
            cache.put(&format!("h{number}"), &addresses(1));
        }
        assert_eq!(cache.known.as_ref().unwrap().lock().len(), MOST);
        assert_eq!(cache.get("h0", 80), None);
        assert!(cache.get(&format!("h{}", MOST + 9), 80).is_some());
    }
}
