//! When a request that went wrong is tried again: urllib3's Retry.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// How often, after what, and how long after it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Retry {
    /// So many attempts after the first, whatever went wrong.
    pub total: u32,
    /// Of these, at most so many after failures before anything was sent.
    pub connect: Option<u32>,
    /// After failures once something was sent.
    pub read: Option<u32>,
    /// After a status.
    pub status: Option<u32>,
    /// Ranges of statuses that are tried again.
    pub statuses: Vec<(u16, u16)>,
    pub methods: Methods,
    pub first_pause: Duration,
    pub most_pause: Duration,
    /// The part of a pause that is left to chance, from 0 to 1.
    pub jitter: f64,
    /// Whether Retry-After counts, and up to what; an inner None is without limit.
    pub retry_after: Option<Option<Duration>>,
    pub raise_on_status: bool,
    /// What each first attempt adds to the session's bucket, from which each retry takes 1.
    pub share: Option<f64>,
}

/// The methods that are tried again after something was sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Methods {
    All,
    These(Vec<String>),
}

/// Carrying these out twice does no harm (RFC 9110, 9.2.2).
pub const REPEATABLE: [&str; 6] = ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE"];
/// These are tried again when they say when.
const WITH_RETRY_AFTER: [u16; 3] = [413, 429, 503];

impl Retry {
    pub fn new(total: u32) -> Retry {
        Retry {
            total,
            connect: None,
            read: None,
            status: None,
            statuses: Vec::new(),
            methods: Methods::These(REPEATABLE.map(String::from).to_vec()),
            first_pause: Duration::ZERO,
            most_pause: Duration::from_secs(120),
            jitter: 0.0,
            retry_after: Some(Some(Duration::from_secs(3600))),
            raise_on_status: true,
            share: None,
        }
    }

    /// Whether a request with this method is tried again once something of it was sent.
    pub fn repeats(&self, method: &str) -> bool {
        match &self.methods {
            Methods::All => true,
            Methods::These(methods) => methods.iter().any(|one| one.eq_ignore_ascii_case(method)),
        }
    }

    /// Whether a range has this status.
    pub fn has_status(&self, status: u16) -> bool {
        self.statuses.iter().any(|(first, last)| (*first..=*last).contains(&status))
    }

    /// Whether the status is tried again because its response says when.
    pub fn waits_for(&self, status: u16) -> bool {
        self.retry_after.is_some() && WITH_RETRY_AFTER.contains(&status)
    }

    /// The pause before the `number`-th retry, counted from 1. `chance` is from 0 to 1.
    pub fn pause(&self, number: u32, chance: f64) -> Duration {
        let doubled = 2f64.powi(number.saturating_sub(1).min(1000) as i32);
        let most = self.most_pause.as_secs_f64();
        let pause = (self.first_pause.as_secs_f64() * doubled).min(most);
        let less = 1.0 - self.jitter * chance;
        Duration::try_from_secs_f64(pause * less).unwrap_or(self.most_pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_less_a_random_part() {
        let mut retry = Retry::new(9);
        assert_eq!(retry.pause(1, 0.5), Duration::ZERO);
        (retry.first_pause, retry.most_pause) = (Duration::from_millis(100), Duration::from_millis(450));
        let pauses =
            |retry: &Retry, chance| [1, 2, 3, 4, 2_000_000_000].map(|n| retry.pause(n, chance).as_millis());
        assert_eq!(pauses(&retry, 1.0), [100, 200, 400, 450, 450]);
        retry.jitter = 0.5;
        assert_eq!(pauses(&retry, 1.0), [50, 100, 200, 225, 225]);
        assert_eq!(pauses(&retry, 0.0), [100, 200, 400, 450, 450]);
        retry.jitter = 1.0;
        assert_eq!(pauses(&retry, 1.0), [0; 5]);
        (retry.first_pause, retry.most_pause) = (Duration::MAX, Duration::MAX);
        assert_eq!(retry.pause(7, 0.0), Duration::MAX);
    }

    #[test]
    fn statuses_and_methods_are_tried_again_as_they_were_given() {
        let mut retry = Retry::new(1);
        assert!(!retry.has_status(503) && retry.waits_for(503) && !retry.waits_for(500));
        retry.statuses = vec![(500, 504), (429, 429)];
        assert!([500, 504, 429].iter().all(|status| retry.has_status(*status)) && !retry.has_status(505));
        assert!(retry.repeats("get") && retry.repeats("DELETE") && !retry.repeats("POST"));
        retry.methods = Methods::All;
        assert!(retry.repeats("POST"));
        retry.retry_after = None;
        assert!(!retry.waits_for(503));
    }
}
