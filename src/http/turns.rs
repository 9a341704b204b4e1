//! Turns: how many requests a host has to serve at once, and how many a second are sent to it.
//!
//! A request waits for both in one line for each host. What it gets is a [`Permit`]: it counts among those in flight
//! until its response is read, and it has paid for one sending. A sending that was paid for and has not taken place holds
//! back what comes in: so, however long it takes to connect or to compose, never more than the burst and what the rate
//! allows are sent in any time.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::line::{InLine, Rank};
use crate::future::control::Control;
use crate::future::deadlock::Way;
use crate::future::monitor::Until;
use crate::future::timer::{Alarm, Expires};
use crate::future::waiting::{Reason, Waiting};
use crate::message::error::Error;
use crate::message::url::Url;
use crate::system::fork;
use crate::system::lock::Mutex;

/// In any `t` seconds at most `burst + t * per_second`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub per_second: f64,
    pub burst: u32,
}

/// What holds for each host.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TurnLimits {
    /// So many in flight.
    pub most: Option<usize>,
    pub rate: Option<Rate>,
}

impl TurnLimits {
    fn are_any(&self) -> bool {
        self.most.is_some() || self.rate.is_some()
    }
}

/// The hosts of an adapter.
pub struct Turns {
    /// The generation of processes that has its requests: a forked child does not take the locks.
    made_in: u32,
    limits: TurnLimits,
    hosts: Mutex<HashMap<String, Arc<Host>>>,
}

/// One scheme, host and port.
struct Host {
    this: Weak<Host>,
    made_in: u32,
    limits: TurnLimits,
    origin: String,
    state: Mutex<State>,
}

struct State {
    in_flight: usize,
    tokens: Option<Tokens>,
    /// Those in flight, where others may wait for them.
    holders: Vec<(u64, Weak<Control>)>,
    line: BTreeMap<Rank, Stander>,
    numbers: u64,
    /// Goes off when the first in line can pay.
    alarm: Option<(Instant, Alarm)>,
}

/// One in line, and the permit that it has already, where it pays for one more sending.
type Stander = (Option<Arc<Permit>>, Arc<InLine<Arc<Permit>>>);

/// What sendings are paid with.
#[derive(Debug)]
struct Tokens {
    rate: Rate,
    left: f64,
    counted_at: Instant,
    /// Taken for sendings that have not taken place.
    unsent: u32,
}

/// Where a hop stands.
#[derive(Default)]
pub enum Standing {
    /// It has not asked, or need not.
    #[default]
    Outside,
    InLine(Box<Ticket>),
    Come(Arc<Permit>),
}

/// A place in line, which it leaves with this.
pub struct Ticket {
    host: Arc<Host>,
    rank: Rank,
    in_line: Arc<InLine<Arc<Permit>>>,
}

/// One of those in flight, until this is dropped.
pub struct Permit {
    host: Arc<Host>,
    number: u64,
    /// It has paid for a sending that has not taken place.
    is_paid: AtomicBool,
    is_over: AtomicBool,
}

/// When there will be a token.
#[derive(Debug, PartialEq)]
enum When {
    Now,
    At(Instant),
    /// When one of those that were taken has been used.
    Later,
}

impl Tokens {
    fn new(rate: Rate, now: Instant) -> Tokens {
        Tokens { rate, left: f64::from(rate.burst), counted_at: now, unsent: 0 }
    }

    fn count(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        // What is taken and not used still belongs to the burst: else it could all be used at once in the end.
        let most = f64::from(self.rate.burst) - f64::from(self.unsent);
        self.left = (self.left + passed * self.rate.per_second).min(most);
        self.counted_at = now;
    }

    fn take(&mut self, now: Instant) -> When {
        self.count(now);
        // What was added in parts is never quite whole.
        if self.left > 1.0 - 1e-9 {
            self.left = (self.left - 1.0).max(0.0);
            self.unsent += 1;
            return When::Now;
        }
        if self.unsent >= self.rate.burst {
            return When::Later;
        }
        let wait = (1.0 - self.left) / self.rate.per_second;
        // What is not in sight is looked at again in an hour.
        const FAR: Duration = Duration::from_secs(3600);
        let wait = Duration::try_from_secs_f64(wait).map_or(FAR, |wait| wait.min(FAR));
        When::At(now + wait.max(Duration::from_micros(1)))
    }

    fn used(&mut self, now: Instant) {
        self.count(now);
        self.unsent = self.unsent.saturating_sub(1);
    }

    fn give_back(&mut self, now: Instant) {
        self.used(now);
        self.left += 1.0;
    }

    fn is_full(&self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.counted_at).as_secs_f64();
        self.unsent == 0 && self.left + passed * self.rate.per_second >= f64::from(self.rate.burst)
    }
}

impl Turns {
    /// None: a request need not wait for anything.
    pub fn new(limits: TurnLimits) -> Option<Turns> {
        limits.are_any().then(|| Turns { made_in: fork::generation(), limits, hosts: Mutex::default() })
    }

    fn host(&self, origin: String) -> Arc<Host> {
        let mut hosts = self.hosts.lock();
        if let Some(host) = hosts.get(&origin) {
            return host.clone();
        }
        let mut gone = Vec::new();
        if hosts.len() >= 256 && hosts.len().is_power_of_two() {
            let now = Instant::now();
            gone.extend(hosts.extract_if(|_, host| Arc::strong_count(host) == 1 && host.is_at_rest(now)));
        }
        let tokens = self.limits.rate.map(|rate| Tokens::new(rate, Instant::now()));
        let host = Arc::new_cyclic(|this| Host {
            this: this.clone(),
            made_in: self.made_in,
            limits: self.limits,
            origin: origin.clone(),
            state: Mutex::new(State {
                in_flight: 0,
                tokens,
                holders: Vec::new(),
                line: BTreeMap::new(),
                numbers: 0,
                alarm: None,
            }),
        });
        hosts.insert(origin, host.clone());
        drop(hosts);
        drop(gone);
        host
    }

    /// Sees to it that the hop may be sent now, or stands in line for that: then this is what it waits for.
    pub fn ask(
        &self,
        standing: &mut Standing,
        url: &Url,
        control: &Arc<Control>,
    ) -> Result<Option<Arc<Waiting>>, Error> {
        let ticket = match std::mem::take(standing) {
            Standing::Come(permit) if permit.may_be_sent() => {
                *standing = Standing::Come(permit);
                return Ok(None);
            }
            Standing::Come(permit) => permit.host.clone().enter(Some(permit), control),
            Standing::Outside => self.host(url.origin()).enter(None, control),
            Standing::InLine(ticket) => Ok(ticket),
        };
        let ticket = match ticket {
            Ok(ticket) => ticket,
            Err(permit) => {
                *standing = Standing::Come(permit);
                return Ok(None);
            }
        };
        let mut granted = ticket.in_line.take();
        if granted.is_none()
            && let Some(until) = ticket.host.has_no_alarm()
        {
            // There is no thread that could wake it: this one waits, and asks again.
            ticket.in_line.waiting.block(until.or_soon());
            ticket.host.go_on();
            granted = ticket.in_line.take();
            if granted.is_none() {
                ticket.in_line.waiting.resume();
            }
        }
        let is_over =
            Error::check(control, format_args!(" while waiting for a turn at {}", ticket.host.origin));
        match granted {
            Some(permit) => {
                control.detach_waiting();
                *standing = Standing::Come(permit);
                is_over.map(|()| None)
            }
            None if is_over.is_ok() => {
                let waiting = ticket.in_line.waiting.clone();
                *standing = Standing::InLine(ticket);
                Ok(Some(waiting))
            }
            None => {
                control.detach_waiting();
                is_over.map(|()| None)
            }
        }
    }
}

impl Host {
    /// A permit at once, or a place in line. `own` has a permit already, and pays for one more sending.
    fn enter(
        self: Arc<Self>,
        own: Option<Arc<Permit>>,
        control: &Arc<Control>,
    ) -> Result<Box<Ticket>, Arc<Permit>> {
        let mut state = self.state.lock();
        state.numbers += 1;
        let number = state.numbers;
        let may_go = own.is_some() || (state.line.is_empty() && self.has_room(&state));
        if may_go && state.pay(Instant::now()) == When::Now {
            return Err(self.permit(&mut state, own, number, Arc::downgrade(control)));
        }
        let rank = if own.is_some() { Rank::again(number) } else { Rank::new(control, number) };
        let in_line = InLine::new(
            control,
            NotItsTurn {
                host: Arc::downgrade(&self),
                number: own.as_ref().map_or(number, |permit| permit.number),
            },
        );
        state.line.insert(rank, (own, in_line.clone()));
        drop(state);
        control.attach_waiting(&in_line.waiting);
        self.go_on();
        Ok(Box::new(Ticket { host: self, rank, in_line }))
    }

    fn has_room(&self, state: &State) -> bool {
        self.limits.most.is_none_or(|most| state.in_flight < most)
    }

    /// The right to one sending, which is paid for: with the permit that there is, or as one more in flight.
    fn permit(
        self: &Arc<Self>,
        state: &mut State,
        own: Option<Arc<Permit>>,
        number: u64,
        holder: Weak<Control>,
    ) -> Arc<Permit> {
        let is_paid = self.limits.rate.is_some();
        if let Some(permit) = own {
            permit.is_paid.store(is_paid, Ordering::Release);
            return permit;
        }
        state.in_flight += 1;
        if self.limits.most.is_some() {
            state.holders.push((number, holder));
        }
        Arc::new(Permit { host: self.clone(), number, is_paid: is_paid.into(), is_over: false.into() })
    }

    /// Grants what there is to those who are first in line.
    fn go_on(self: &Arc<Self>) {
        let mut woken = Vec::new();
        let mut over = None;
        let mut state = self.state.lock();
        let now = Instant::now();
        let alarm = loop {
            let Some(first) = state.line.first_entry() else { break None };
            let (rank, has_permit) = (*first.key(), first.get().0.is_some());
            if !has_permit && !self.has_room(&state) {
                break None;
            }
            match state.pay(now) {
                When::Now => {}
                When::Later => break None,
                When::At(at) => break Some(at),
            }
            let Some((own, in_line)) = state.line.remove(&rank) else { break None };
            let permit = self.permit(&mut state, own, rank.number(), in_line.control.clone());
            in_line.grant(permit);
            woken.push(in_line);
        };
        let is_known = |at: &Instant, set: &Instant| set > &now && set <= at;
        if let Some(at) = alarm.filter(|at| !state.alarm.as_ref().is_some_and(|(set, _)| is_known(at, set))) {
            // Not under the lock: the timer has its own.
            drop(state);
            let this: Weak<Host> = self.this.clone();
            let alarm = Alarm::at(at, this);
            let is_set = alarm.is_set();
            state = self.state.lock();
            over = state.alarm.replace((at, alarm));
            if !is_set && let Some(first) = state.line.first_entry() {
                // It finds out that it has to wait by itself.
                woken.push(first.get().1.clone());
            }
        } else if state.line.is_empty() {
            over = state.alarm.take();
        }
        drop(state);
        drop(over);
        for in_line in woken {
            in_line.waiting.resume();
        }
    }

    /// When there would be an alarm, but for the want of a thread.
    fn has_no_alarm(&self) -> Option<Until> {
        let state = self.state.lock();
        let (at, alarm) = state.alarm.as_ref()?;
        (!alarm.is_set()).then_some(Until::At(*at))
    }

    /// Whether it would be the same if it were made anew.
    fn is_at_rest(&self, now: Instant) -> bool {
        let state = self.state.lock();
        state.in_flight == 0
            && state.line.is_empty()
            && state.tokens.as_ref().is_none_or(|tokens| tokens.is_full(now))
    }
}

impl Expires for Host {
    fn is_over(&self) -> bool {
        false
    }

    fn expire(self: Arc<Host>) {
        self.go_on();
    }

    fn is_brief(&self) -> bool {
        true
    }
}

impl State {
    fn pay(&mut self, now: Instant) -> When {
        self.tokens.as_mut().map_or(When::Now, |tokens| tokens.take(now))
    }
}

/// Why a request waits: others have all turns, or it is too soon.
struct NotItsTurn {
    host: Weak<Host>,
    /// Of its permit, once it has that.
    number: u64,
}

impl Reason for NotItsTurn {
    fn ways(&self) -> Vec<Way> {
        let Some(host) = self.host.upgrade().filter(|host| !fork::is_inherited(host.made_in)) else {
            return Vec::new();
        };
        let state = host.state.lock();
        // One that has its permit waits for a time, or for nothing any more.
        let is_in = state.holders.iter().any(|(holder, _)| *holder == self.number);
        let holders: Vec<_> = match is_in || host.has_room(&state) {
            true => Vec::new(),
            false => state.holders.iter().map(|(_, control)| control.upgrade()).collect(),
        };
        drop(state);
        holders.iter().map(|control| control.as_ref().map_or(Way::Open, |control| control.way())).collect()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if fork::is_inherited(self.host.made_in) {
            return;
        }
        let left = self.host.state.lock().line.remove(&self.rank);
        // What it was given all the same goes to the next in line.
        let granted = self.in_line.take();
        let was_in_line = left.is_some();
        drop((left, granted));
        if was_in_line {
            self.host.go_on();
        }
    }
}

impl Permit {
    fn may_be_sent(&self) -> bool {
        self.is_paid.load(Ordering::Acquire) || self.host.limits.rate.is_none()
    }

    /// The sending that it has paid for takes place.
    pub fn sent(&self) {
        if !self.is_paid.swap(false, Ordering::AcqRel) || fork::is_inherited(self.host.made_in) {
            return;
        }
        if let Some(tokens) = &mut self.host.state.lock().tokens {
            tokens.used(Instant::now());
        }
        self.host.go_on();
    }

    /// It counts no more, whoever still has it.
    pub fn end(&self) {
        if fork::is_inherited(self.host.made_in) || self.is_over.swap(true, Ordering::AcqRel) {
            return;
        }
        let mut state = self.host.state.lock();
        if self.is_paid.swap(false, Ordering::AcqRel)
            && let Some(tokens) = &mut state.tokens
        {
            tokens.give_back(Instant::now());
        }
        state.in_flight -= 1;
        state.holders.retain(|(holder, _)| *holder != self.number);
        drop(state);
        self.host.go_on();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, ms: u64) -> Instant {
        start + Duration::from_millis(ms)
    }

    #[test]
    fn tokens_come_back_with_time_up_to_the_burst() {
        let start = Instant::now();
        let mut tokens = Tokens::new(Rate { per_second: 10.0, burst: 3 }, start);
        for _ in 0..3 {
            assert_eq!(tokens.take(start), When::Now);
            tokens.used(start);
        }
        let When::At(next) = tokens.take(start) else { panic!() };
        assert!(next <= at(start, 101) && next >= at(start, 99));
        assert_eq!(tokens.take(at(start, 100)), When::Now);
        tokens.used(at(start, 100));
        assert!(!tokens.is_full(at(start, 390)) && tokens.is_full(at(start, 401)));
        let later = at(start, 60_000);
        assert_eq!((0..9).filter(|_| tokens.take(later) == When::Now).count(), 3);
    }

    /// However late sendings take place that were paid for: in no time more than the burst and what the rate adds.
    #[test]
    fn what_was_paid_for_and_comes_late_holds_back_what_comes_next() {
        let start = Instant::now();
        let mut tokens = Tokens::new(Rate { per_second: 10.0, burst: 2 }, start);
        assert_eq!((tokens.take(start), tokens.take(start)), (When::Now, When::Now));
        assert_eq!(tokens.take(at(start, 5000)), When::Later);
        tokens.used(at(start, 5000));
        tokens.used(at(start, 5000));
        assert!(matches!(tokens.take(at(start, 5000)), When::At(_)));
        assert_eq!(tokens.take(at(start, 5101)), When::Now);
        tokens.give_back(at(start, 5101));
        assert_eq!(tokens.take(at(start, 5101)), When::Now);
    }

    fn ask(turns: &Turns, url: &str, control: &Arc<Control>, standing: &mut Standing) -> bool {
        let url = Url::parse(url).unwrap();
        turns.ask(standing, &url, control).unwrap_or_else(|error| panic!("{error}")).is_none()
    }

    #[test]
    fn turns_go_by_priority_and_each_host_has_its_own() {
        let turns = Turns::new(TurnLimits { most: Some(1), rate: None }).unwrap();
        let hop = |priority| (Arc::new(Control::with_priority(priority, 0)), Standing::default());
        let (one, mut first) = hop(0);
        assert!(ask(&turns, "http://a/", &one, &mut first));
        let (other, mut elsewhere) = hop(0);
        assert!(ask(&turns, "https://a/", &other, &mut elsewhere));
        let (low, mut low_standing) = hop(-1);
        let (high, mut high_standing) = hop(1);
        assert!(!ask(&turns, "http://a:80/x", &low, &mut low_standing));
        assert!(!ask(&turns, "http://a/y", &high, &mut high_standing));
        drop(first);
        assert!(!ask(&turns, "http://a/", &low, &mut low_standing));
        assert!(ask(&turns, "http://a/", &high, &mut high_standing));
        drop(high_standing);
        assert!(ask(&turns, "http://a/", &low, &mut low_standing));
        // One that leaves the line lets the next one go on, and so does one that never looks at what it got.
        let (third, mut third_standing) = hop(0);
        let (fourth, mut fourth_standing) = hop(0);
        assert!(!ask(&turns, "http://a/", &third, &mut third_standing));
        assert!(!ask(&turns, "http://a/", &fourth, &mut fourth_standing));
        drop(low_standing);
        drop(third_standing);
        assert!(ask(&turns, "http://a/", &fourth, &mut fourth_standing));
    }

    #[test]
    fn a_turn_is_waited_for_no_longer_than_the_request_lives() {
        let turns = Turns::new(TurnLimits { most: Some(1), rate: None }).unwrap();
        let (one, two) = (Arc::new(Control::new()), Arc::new(Control::new()));
        let (mut first, mut second) = (Standing::default(), Standing::default());
        assert!(ask(&turns, "http://a/", &one, &mut first));
        assert!(!ask(&turns, "http://a/", &two, &mut second));
        two.abort();
        assert!(turns.ask(&mut second, &Url::parse("http://a/").unwrap(), &two).is_err());
        assert!(matches!(second, Standing::Outside));
    }
}
