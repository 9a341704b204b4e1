//! Who takes which partition, and how many requests a host gets from this worker.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::message::hash;

/// The partitions that this worker takes, when these are there. All come to the same result, so nobody has to decide; and
/// most partitions stay where they are when somebody comes or goes.
pub fn assigned(own: &str, others: impl IntoIterator<Item = String>, partitions: u32) -> BTreeSet<u32> {
    let mut members: BTreeSet<String> = others.into_iter().collect();
    members.insert(own.to_owned());
    if partitions == 1 {
        // It is everybody's.
        return [0].into();
    }
    let most = (partitions as usize).div_ceil(members.len());
    let mut members: Vec<(String, usize)> = members.into_iter().map(|member| (member, 0)).collect();
    let mut found = BTreeSet::new();
    for partition in 0..partitions {
        let weight = |member: &str| hash(member.bytes().chain(partition.to_le_bytes()));
        let best = members
            .iter_mut()
            .filter(|(_, taken)| *taken < most)
            .max_by_key(|(member, _)| (weight(member), member.clone()));
        if let Some((member, taken)) = best {
            *taken += 1;
            if *member == own {
                found.insert(partition);
            }
        }
    }
    found
}

/// In any t seconds at most `burst + t * per_second` for one host.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

impl Rate {
    fn interval(self) -> Duration {
        Duration::from_secs_f64(1.0 / self.per_second)
    }
}

/// What hosts get from this worker.
pub struct Hosts {
    at_once: usize,
    rate: Option<Rate>,
    known: Mutex<HashMap<String, Arc<Host>>>,
}

struct Host {
    running: Arc<Semaphore>,
    /// When the next request would be due if all came evenly.
    due: Mutex<Instant>,
}

/// So many hosts are remembered that have nothing to be remembered for.
const IDLE: usize = 1024;

impl Hosts {
    pub fn new(at_once: Option<usize>, rate: Option<Rate>) -> Hosts {
        let at_once = at_once.unwrap_or(Semaphore::MAX_PERMITS).min(Semaphore::MAX_PERMITS);
        Hosts { at_once, rate, known: Mutex::default() }
    }

    fn host(&self, name: &str) -> Arc<Host> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= IDLE {
            let now = Instant::now();
            known.retain(|_, host| {
                Arc::strong_count(host) > 1 || *host.due.lock().unwrap_or_else(PoisonError::into_inner) > now
            });
        }
        let new =
            || Host { running: Arc::new(Semaphore::new(self.at_once)), due: Mutex::new(Instant::now()) };
        known.entry(name.to_owned()).or_insert_with(|| Arc::new(new())).clone()
    }

    /// Waits until the host has a turn for one more request. None: it has none in this time.
    pub async fn turn(&self, name: &str, within: Duration) -> Option<Turn> {
        let until = Instant::now() + within;
        let host = self.host(name);
        let running = tokio::time::timeout(within, host.running.clone().acquire_owned()).await;
        let running = running.ok()?.ok()?;
        if let Some(rate) = self.rate {
            let start = {
                let mut due = host.due.lock().unwrap_or_else(PoisonError::into_inner);
                let early = rate.interval() * rate.burst.saturating_sub(1);
                let now = Instant::now();
                let start = due.checked_sub(early).map_or(now, |start| start.max(now));
                if start > until {
                    return None;
                }
                *due = (*due).max(start) + rate.interval();
                start
            };
            tokio::time::sleep_until(start.into()).await;
        }
        Some(Turn { _running: running, host, rate: self.rate })
    }
}

/// A request to a host may run as long as this is there.
pub struct Turn {
    _running: OwnedSemaphorePermit,
    host: Arc<Host>,
    rate: Option<Rate>,
}

impl Turn {
    /// It was not needed, and the next request may have it.
    pub fn give_back(self) {
        if let Some(rate) = self.rate {
            let mut due = self.host.due.lock().unwrap_or_else(PoisonError::into_inner);
            *due = due.checked_sub(rate.interval()).unwrap_or(*due);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(members: &[String], partitions: u32) -> Vec<BTreeSet<u32>> {
        members.iter().map(|own| assigned(own, members.iter().cloned(), partitions)).collect()
    }

    #[test]
    fn each_partition_is_taken_by_one_and_each_worker_has_its_share() {
        for count in [1, 2, 3, 7, 16, 20] {
            let members: Vec<String> = (0..count).map(|number| format!("worker{number}")).collect();
            let found = all(&members, 16);
            let taken: Vec<u32> = found.iter().flatten().copied().collect();
            assert_eq!(taken.len(), 16, "{found:?}");
            assert_eq!(taken.into_iter().collect::<BTreeSet<u32>>(), (0..16).collect());
            assert!(found.iter().all(|own| own.len() <= 16_usize.div_ceil(count)), "{found:?}");
        }
    }

    #[test]
    fn most_partitions_stay_where_they_are_when_somebody_goes() {
        let mut members: Vec<String> = (0..5).map(|number| format!("worker{number}")).collect();
        let before = all(&members, 100);
        members.pop();
        let after = all(&members, 100);
        let stayed: usize =
            before.iter().zip(&after).map(|(before, after)| before.intersection(after).count()).sum();
        assert!(stayed >= 60, "{stayed} of 80");
    }

    #[test]
    fn one_partition_is_everybodys() {
        assert_eq!(all(&["a".into(), "b".into()], 1), [BTreeSet::from([0]), BTreeSet::from([0])]);
    }

    #[tokio::test]
    async fn a_host_gets_so_many_at_once() {
        let hosts = Hosts::new(Some(2), None);
        let soon = Duration::from_millis(20);
        let (first, second) = (hosts.turn("a", soon).await, hosts.turn("a", soon).await);
        assert!(first.is_some() && second.is_some());
        assert!(hosts.turn("a", soon).await.is_none());
        assert!(hosts.turn("b", soon).await.is_some());
        drop(first);
        assert!(hosts.turn("a", soon).await.is_some());
    }

    #[tokio::test]
    async fn a_host_gets_so_many_a_second_and_what_is_given_back_is_there() {
        let hosts = Hosts::new(None, Some(Rate { per_second: 0.001, burst: 2 }));
        let soon = Duration::from_millis(20);
        let first = hosts.turn("a", soon).await.expect("a turn");
        assert!(hosts.turn("a", soon).await.is_some());
        assert!(hosts.turn("a", soon).await.is_none());
        assert!(hosts.turn("b", soon).await.is_some());
        first.give_back();
        assert!(hosts.turn("a", soon).await.is_some());
        assert!(hosts.turn("a", soon).await.is_none());
        // And in time there are more.
        let hosts = Hosts::new(None, Some(Rate { per_second: 100.0, burst: 1 }));
        let begun = Instant::now();
        for _ in 0..6 {
            assert!(hosts.turn("a", Duration::from_secs(60)).await.is_some());
        }
        assert!(begun.elapsed() >= Duration::from_millis(49), "{:?}", begun.elapsed());
    }
}
