//! Trying a request again: how often it still may be, and the pause before it is.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::set_cookie::parse_date;
use crate::future::control::Control;
use crate::future::deadlock::Way;
use crate::future::timer::Alarm;
use crate::future::waiting::{Reason, Waiting};
use crate::message::error::Error;
use crate::message::head::Head;
use crate::message::response::Response;
use crate::message::retry::Retry;
use crate::system::lock::Mutex;

/// Why something is to be tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Nothing was sent.
    Connect,
    /// Something was sent.
    Read,
    Status,
}

/// How often one hop was tried again, and how often it still may be.
#[derive(Debug)]
pub struct Tries {
    total: u32,
    connect: u32,
    read: u32,
    status: u32,
    pub made: u32,
}

impl Tries {
    pub fn new(retry: Option<&Retry>) -> Tries {
        let Some(retry) = retry else { return Tries { total: 0, connect: 0, read: 0, status: 0, made: 0 } };
        let limit = |own: Option<u32>| own.unwrap_or(retry.total);
        Tries {
            total: retry.total,
            connect: limit(retry.connect),
            read: limit(retry.read),
            status: limit(retry.status),
            made: 0,
        }
    }

    fn of(&mut self, cause: Cause) -> &mut u32 {
        match cause {
            Cause::Connect => &mut self.connect,
            Cause::Read => &mut self.read,
            Cause::Status => &mut self.status,
        }
    }

    /// Whether any is left, whatever for.
    pub fn is_used_up(&self) -> bool {
        self.total == 0
    }

    /// Whether there is one left.
    pub fn has(&mut self, cause: Cause) -> bool {
        self.total > 0 && *self.of(cause) > 0
    }

    /// One more is made.
    pub fn take(&mut self, cause: Cause) {
        self.total -= 1;
        *self.of(cause) -= 1;
        self.made += 1;
    }
}

/// What a session's retries are paid from: when little of what is sent first succeeds, not much is added to it.
#[derive(Debug)]
pub struct Bucket(Mutex<f64>);

const FIRST: f64 = 10.0;
const FULL: f64 = 100.0;

impl Default for Bucket {
    fn default() -> Bucket {
        Bucket(Mutex::new(FIRST))
    }
}

impl Bucket {
    pub fn add(&self, share: f64) {
        let mut left = self.0.lock();
        *left = (*left + share).min(FULL);
    }

    pub fn take(&self) -> bool {
        let mut left = self.0.lock();
        // What was added in parts is never quite whole.
        let pays = *left > 1.0 - 1e-9;
        if pays {
            *left = (*left - 1.0).max(0.0);
        }
        pays
    }
}

/// What the server says about when to come back: seconds, or a date.
pub fn retry_after(head: &Head) -> Option<Duration> {
    let value = head.get("retry-after")?.trim();
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More than can be counted is as good as for ever.
        return Some(value.parse().map_or(Duration::MAX, Duration::from_secs));
    }
    let at = u64::try_from(parse_date(value)?).unwrap_or(0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Some(Duration::from_secs(at).saturating_sub(now))
}

/// How long to wait before the retry that `tries` is at; None: it is not to be made.
pub fn pause(retry: &Retry, tries: &Tries, head: Option<&Head>) -> Option<Duration> {
    if let Some(most) = retry.retry_after
        && let Some(asked) = head.and_then(retry_after)
    {
        return (asked <= most.unwrap_or(Duration::MAX)).then_some(asked);
    }
    let chance = if retry.jitter > 0.0 { chance() } else { 0.0 };
    Some(retry.pause(tries.made + 1, chance))
}

/// From 0 to 1.
fn chance() -> f64 {
    RandomState::new().hash_one(0) as f64 / u64::MAX as f64
}

/// What came of an attempt: the outcome of the request, unless another attempt is made.
pub enum Last {
    Failed(Error),
    Answered(Arc<Response>),
}

impl Last {
    /// Another attempt takes its place: its connection goes with what nobody has read of it.
    pub fn give_up(self) {
        if let Last::Answered(response) = self
            && !response.is_read()
        {
            response.close();
        }
    }

    pub fn into_outcome(self) -> Result<Arc<Response>, Error> {
        match self {
            Last::Failed(error) => Err(error),
            Last::Answered(response) => Ok(response),
        }
    }
}

/// The time between two attempts.
pub struct Pause {
    waiting: Arc<Waiting>,
    until: Instant,
    /// Wakes who waits.
    alarm: Alarm,
}

/// A pause ends by itself.
struct Time;

impl Reason for Time {
    fn ways(&self) -> Vec<Way> {
        Vec::new()
    }
}

impl Pause {
    /// When it would be over; None: not in time, or nobody is to pause any more.
    pub fn end(control: &Control, length: Duration) -> Option<Instant> {
        let until = Instant::now().checked_add(length)?;
        let is_late = control.ends_at().is_some_and(|end| until >= end);
        (!is_late && !control.is_hurried()).then_some(until)
    }

    pub fn begin(control: &Control, length: Duration) -> Option<Pause> {
        let until = Pause::end(control, length)?;
        let waiting = Waiting::until(until, Time, control.priority());
        control.attach_waiting(&waiting);
        let weak: Weak<Waiting> = Arc::downgrade(&waiting);
        Some(Pause { waiting, until, alarm: Alarm::at(until, weak) })
    }

    pub fn until(&self) -> Instant {
        self.until
    }

    /// What to wait for; None when it is over.
    pub fn left(&self, control: &Control) -> Option<Arc<Waiting>> {
        if Instant::now() >= self.until || control.is_hurried() {
            return None;
        }
        if !self.alarm.is_set() {
            // There is no thread that could wake it: this one waits.
            let _ = control.wait(&self.waiting);
            return None;
        }
        Some(self.waiting.clone())
    }

    /// Whether it was cut short.
    pub fn is_cut(&self) -> bool {
        Instant::now() < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_has_its_own_limit_within_the_total() {
        let retry = Retry { connect: Some(1), status: Some(5), ..Retry::new(3) };
        let mut tries = Tries::new(Some(&retry));
        assert!(tries.has(Cause::Connect) && tries.has(Cause::Read) && tries.has(Cause::Status));
        tries.take(Cause::Connect);
        assert!(!tries.has(Cause::Connect) && tries.has(Cause::Status));
        tries.take(Cause::Status);
        tries.take(Cause::Read);
        assert!(!tries.has(Cause::Status) && !tries.has(Cause::Read));
        assert_eq!(tries.made, 3);
        assert!(!Tries::new(None).has(Cause::Connect));
    }

    #[test]
    fn a_bucket_begins_with_ten_and_takes_shares() {
        let bucket = Bucket::default();
        assert_eq!((0..20).filter(|_| bucket.take()).count(), 10);
        (0..10).for_each(|_| bucket.add(0.1));
        assert!(bucket.take() && !bucket.take());
        (0..1000).for_each(|_| bucket.add(1.0));
        assert_eq!((0..1000).filter(|_| bucket.take()).count(), 100);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let after = |value: &str| {
            retry_after(&Head::of_response(format!("HTTP/1.1 503 No\r\nRetry-After: {value}\r\n\r\n")))
        };
        assert_eq!(after("120"), Some(Duration::from_secs(120)));
        assert_eq!(after(" 0 "), Some(Duration::ZERO));
        assert_eq!(after("99999999999999999999999"), Some(Duration::MAX));
        assert_eq!(after("Wed, 21 Oct 2015 07:28:00 GMT"), Some(Duration::ZERO));
        let far = after("Sat, 01 Jan 2050 00:00:00 GMT").unwrap();
        assert!(far > Duration::from_secs(20 * 365 * 86_400), "{far:?}");
        for odd in ["", "soon", "-1", "1.5", "+1"] {
            assert_eq!(after(odd), None, "{odd:?}");
        }
        assert_eq!(retry_after(&Head::of_response("HTTP/1.1 503 No\r\n\r\n")), None);
    }
}
