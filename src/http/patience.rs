//! How long a request waits for a worker, its turns and places in the pool, all together.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::request::Request;
use crate::future::control::Control;
use crate::future::timer::{Alarm, Expires};
use crate::message::error::{Error, ErrorKind};

/// What is left of the queue time-out of a request.
#[derive(Default)]
pub struct Patience {
    /// None: without limit.
    limit: Option<Limit>,
}

struct Limit {
    /// As it was given, for messages.
    all: Duration,
    left: Duration,
    /// Since when it waits.
    since: Option<Instant>,
    alarm: Option<(Alarm, Arc<Bell>)>,
}

/// Tells a request that waits between two steps that its time is over.
struct Bell(Weak<Control>);

impl Expires for Bell {
    fn is_over(&self) -> bool {
        self.0.strong_count() == 0
    }

    fn expire(self: Arc<Bell>) {
        if let Some(control) = self.0.upgrade() {
            control.end_waiting();
        }
    }
}

/// The failure of a request that has waited for so long, and what for.
pub fn exhausted(all: Duration, what: impl fmt::Display) -> Error {
    let seconds = all.as_secs_f64();
    Error::new(ErrorKind::Timeout, format!("Waited for {what}: Queue timed out. (queue timeout={seconds:?})"))
}

/// What those wait for who have not begun.
pub const WORKER: &str = "a worker";

impl Patience {
    /// Of a request that has waited for a worker so far.
    pub fn of(request: &Request, timeout: Option<Option<Duration>>) -> Patience {
        let (Some(ends_at), Some(Some(all))) = (request.queue_ends_at(), timeout) else {
            return Patience::default();
        };
        let since = ends_at.checked_sub(all).unwrap_or(ends_at);
        let limit = Limit { all, left: all, since: Some(since), alarm: None };
        Patience { limit: Some(limit) }
    }

    /// It waits from this time on, if it does not already.
    pub fn begin(&mut self, since: Instant, control: &Arc<Control>) {
        let Some(limit) = &mut self.limit else { return };
        let since = *limit.since.get_or_insert(since);
        if limit.alarm.is_none()
            && let Some(at) = since.checked_add(limit.left)
        {
            let bell = Arc::new(Bell(Arc::downgrade(control)));
            let weak: Weak<Bell> = Arc::downgrade(&bell);
            limit.alarm = Some((Alarm::at(at, weak), bell));
        }
    }

    /// While it waits: an error when it has waited for too long.
    pub fn check(&self, control: &Control, what: &str, peer: impl fmt::Display) -> Result<(), Error> {
        let Some(limit) = &self.limit else { return Ok(()) };
        if limit.since.is_some_and(|since| since.elapsed() >= limit.left) {
            control.detach_waiting();
            return Err(exhausted(limit.all, format_args!("{what} at {peer}")));
        }
        Ok(())
    }

    /// It does not wait any more.
    pub fn end(&mut self) -> Result<(), Error> {
        let Some(limit) = &mut self.limit else { return Ok(()) };
        limit.alarm = None;
        let Some(since) = limit.since.take() else { return Ok(()) };
        match limit.left.checked_sub(since.elapsed()) {
            Some(left) if !left.is_zero() => limit.left = left,
            _ => return Err(exhausted(limit.all, WORKER)),
        }
        Ok(())
    }

    /// When what is left would be over.
    pub fn ends_at(&self) -> Option<Instant> {
        Instant::now().checked_add(self.limit.as_ref()?.left)
    }
}
