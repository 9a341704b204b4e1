//! The pool: where connections rest between requests, and where requests stand in line for one.

use std::collections::{BTreeMap, HashMap};
use std::hash::BuildHasherDefault;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::adapter::AdapterSettings;
use super::connection::Connection;
use super::http2::Http2;
use super::line::{InLine, Rank};
use super::route::{IdentityHasher, Route};
use super::sharing::{Dialed, Entry, Guest, Sharing};
use super::turns::Permit;
use crate::future::control::Control;
use crate::future::deadlock::Way;
use crate::future::timer::{self, Expires};
use crate::future::waiting::{Reason, Waiting};
use crate::message::error::Error;
use crate::system::fork;
use crate::system::lock::Mutex;

pub struct Pool {
    /// The generation of processes that has its connections: in a forked child nobody takes the lock, which a thread
    /// that is not there may hold.
    made_in: u32,
    settings: AdapterSettings,
    hosts: Mutex<Hosts>,
}

#[derive(Default)]
struct Hosts {
    table: HashMap<Arc<Route>, Host, BuildHasherDefault<IdentityHasher>>,
    clock: u64,
    closed: bool,
    watch: Watch,
}

/// Whether the timer knows when the first connection will have rested for too long. It stays so while connections come
/// and go: when that time has come, the timer is told of the next one, and of none when nothing rests.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Watch {
    #[default]
    Unwatched,
    /// It is about to be told.
    Telling,
    /// The time has come before that was done.
    Passed,
    Watched,
}

/// Connections that are to be closed: by whoever has let go of the lock.
type Surplus = Vec<Idle>;

/// A connection that rests.
enum Idle {
    Http1(Box<Connection>),
    Http2(Arc<Http2>),
}

impl Idle {
    fn used_at(&self) -> Instant {
        match self {
            Idle::Http1(connection) => connection.used_at,
            Idle::Http2(http2) => http2.used_at(),
        }
    }
}

/// What a request goes over.
pub enum Carrier {
    /// It has it for itself.
    Http1(Box<Connection>),
    /// It has a part in it, until [`Lease::leave`].
    Http2(Arc<Http2>),
}

#[derive(Default)]
struct Host {
    idle: Vec<Idle>,
    sharing: Sharing,
    in_use: usize,
    used_at: u64,
    /// Those who have a connection, where others may wait for it.
    holders: Vec<(u64, Weak<Control>)>,
    /// Those who wait for one. There are none unless all places are taken.
    line: BTreeMap<Rank, Arc<InLine<Lease>>>,
}

/// How a request comes to a connection.
#[derive(Default)]
pub enum Turn {
    /// It need not wait for any.
    #[default]
    Free,
    /// It stands in line.
    Waits(Box<Ticket>),
    /// It has the right to one.
    Come(Lease),
    /// It has got one.
    Connected(Box<Connection>, Lease),
}

/// The place in line of one request, which it leaves with this.
pub struct Ticket {
    pool: Weak<Pool>,
    route: Arc<Route>,
    rank: Rank,
    in_line: Arc<InLine<Lease>>,
}

/// A request that wants a part in a connection. It leaves the line with this.
pub struct Stand<'a> {
    pool: &'a Arc<Pool>,
    route: &'a Arc<Route>,
    control: &'a Control,
    pub guest: Arc<Guest>,
    rank: Option<Rank>,
    waits: bool,
}

impl<'a> Stand<'a> {
    pub fn new(pool: &'a Arc<Pool>, route: &'a Arc<Route>, control: &'a Control, fresh: bool) -> Stand<'a> {
        Stand { pool, route, control, guest: Guest::new(fresh), rank: None, waits: false }
    }
}

impl Drop for Stand<'_> {
    fn drop(&mut self) {
        if let Some(rank) = self.rank.filter(|_| self.waits) {
            self.pool.stand_down(self.route, rank, &self.guest);
        }
    }
}

/// Why a request waits: others have all connections.
struct AllInUse {
    pool: Weak<Pool>,
    route: Arc<Route>,
}

impl Reason for AllInUse {
    fn ways(&self) -> Vec<Way> {
        let Some(pool) = self.pool.upgrade().filter(|pool| !fork::is_inherited(pool.made_in)) else {
            return Vec::new();
        };
        let hosts = pool.hosts.lock();
        let holders: Vec<_> = hosts.table.get(&self.route).map_or_else(Vec::new, |host| {
            host.holders.iter().map(|(_, control)| control.upgrade()).collect()
        });
        drop(hosts);
        let way = |control: &Option<Arc<Control>>| {
            control.as_ref().map_or(Way::Open, |control| control.way_by_thread())
        };
        holders.iter().map(way).collect()
    }
}

impl Pool {
    pub fn new(settings: AdapterSettings) -> Arc<Pool> {
        Arc::new(Pool { made_in: fork::generation(), settings, hosts: Mutex::default() })
    }

    /// Under `pool_block`: a place for a request that has none, or what it waits for.
    pub fn turn(
        self: &Arc<Self>,
        turn: &mut Turn,
        route: &Arc<Route>,
        control: &Arc<Control>,
    ) -> Result<Option<Arc<Waiting>>, Error> {
        let ended = || {
            let most = self.settings.pool_maxsize;
            Error::check(
                control,
                format_args!(" while waiting for a connection to {route}: all {most} are in use"),
            )
        };
        match turn {
            Turn::Come(_) | Turn::Connected(..) => return Ok(None),
            Turn::Free => {
                let mut hosts = self.hosts.lock();
                let known = hosts.table.len();
                let (number, host) = hosts.touch(route);
                if host.in_use < self.settings.pool_maxsize {
                    let lease = host.lend(number, Arc::downgrade(control), self, route);
                    let surplus = hosts.make_room(known, self.settings.pool_connections);
                    drop(hosts);
                    drop(surplus);
                    *turn = Turn::Come(lease);
                    return Ok(None);
                }
                let pool = Arc::downgrade(self);
                let in_line = InLine::new(control, AllInUse { pool: pool.clone(), route: route.clone() });
                let rank = Rank::new(control, number);
                host.line.insert(rank, in_line.clone());
                drop(hosts);
                control.attach_waiting(&in_line.waiting);
                *turn = Turn::Waits(Box::new(Ticket { pool, route: route.clone(), rank, in_line }));
            }
            Turn::Waits(_) => {}
        }
        let Turn::Waits(ticket) = turn else { return Ok(None) };
        let waiting = ticket.in_line.waiting.clone();
        let granted = ticket.in_line.take();
        let is_over = ended();
        if granted.is_none() && is_over.is_ok() {
            return Ok(Some(waiting));
        }
        control.detach_waiting();
        *turn = granted.map_or(Turn::Free, Turn::Come);
        is_over.map(|()| None)
    }

    /// The right to one connection of the route's host, and, unless a `fresh` one is wanted, an idle one that is
    /// still good, if there is one.
    #[inline(never)]
    pub fn take(self: &Arc<Self>, turn: Turn, route: &Arc<Route>, fresh: bool) -> (Option<Carrier>, Lease) {
        let mut lease = match turn {
            Turn::Connected(connection, lease) => return (Some(Carrier::Http1(connection)), lease),
            Turn::Come(lease) => Some(lease),
            Turn::Free | Turn::Waits(_) => None,
        };
        loop {
            let mut hosts = self.hosts.lock();
            let known = hosts.table.len();
            let (number, host) = hosts.touch(route);
            let shared = host.sharing.join(fresh);
            let idle = if fresh || shared.is_some() { None } else { host.idle.pop() };
            if let Some(Idle::Http2(http2)) = &idle {
                host.sharing.carry(http2);
            }
            let lent = lease.take().unwrap_or_else(|| host.lend(number, Weak::new(), self, route));
            // A fresh one takes the place of one that rests: under `pool_block` there are never more.
            let is_full =
                self.settings.pool_block && host.in_use + host.idle.len() > self.settings.pool_maxsize;
            let evicted = (fresh && is_full && !host.idle.is_empty()).then(|| host.idle.remove(0));
            let surplus = hosts.make_room(known, self.settings.pool_connections);
            drop(hosts);
            drop((evicted, surplus));
            if let Some(http2) = shared {
                return (Some(Carrier::Http2(http2)), lent);
            }
            // The probe is a system call: not under the lock.
            match idle {
                None => return (None, lent),
                Some(Idle::Http1(mut connection)) => {
                    if !self.is_too_old(connection.used_at) && connection.is_idle() {
                        return (Some(Carrier::Http1(connection)), lent);
                    }
                }
                Some(Idle::Http2(http2)) => {
                    if !self.is_too_old(http2.used_at()) && http2.is_alive() {
                        return (Some(Carrier::Http2(http2)), lent);
                    }
                    http2.close();
                    self.leave(route, &http2);
                }
            }
            lease = Some(lent);
        }
    }

    /// What a request does next that found no connection.
    pub fn enter(&self, route: &Arc<Route>, stand: &mut Stand<'_>, is_late: bool) -> Entry {
        let mut hosts = self.hosts.lock();
        let (number, host) = hosts.touch(route);
        let rank = *stand.rank.get_or_insert_with(|| Rank::new(stand.control, number));
        let entry = host.sharing.enter(rank, &stand.guest, is_late);
        stand.waits = matches!(entry, Entry::Wait { .. });
        entry
    }

    /// It does not wait any more.
    fn stand_down(self: &Arc<Self>, route: &Arc<Route>, rank: Rank, guest: &Guest) {
        let mut hosts = self.hosts.lock();
        let given = hosts.table.get_mut(route).and_then(|host| host.sharing.stand_down(rank, guest));
        drop(hosts);
        if let Some(http2) = given {
            self.leave(route, &http2);
        }
    }

    /// What has become of a connection that was to be made. The caller has a part in it.
    pub fn dialed(self: &Arc<Self>, route: &Arc<Route>, others: bool, dialed: Dialed<'_>) {
        if let Dialed::Http2(http2) = &dialed {
            http2.belongs_to(self, route);
        }
        if let Some(host) = self.hosts.lock().table.get_mut(route) {
            host.sharing.dialed(others, dialed);
        }
    }

    /// A shared connection has room for more, or takes no more.
    pub fn look_at(&self, route: &Arc<Route>, http2: &Arc<Http2>) {
        if fork::is_inherited(self.made_in) {
            return;
        }
        if let Some(host) = self.hosts.lock().table.get_mut(route) {
            host.sharing.look_at(http2);
        }
    }

    /// The server of the route has asked for HTTP/1.1: requests that begin from now on go by that.
    pub fn prefer_http1(&self, route: &Arc<Route>) {
        let mut hosts = self.hosts.lock();
        let (_, host) = hosts.touch(route);
        let carrying = host.sharing.prefer_http1();
        let idle: Vec<_> = host.idle.extract_if(.., |idle| matches!(idle, Idle::Http2(_))).collect();
        drop(hosts);
        drop((carrying, idle));
    }

    /// A part in a shared connection is over.
    fn leave(self: &Arc<Self>, route: &Arc<Route>, http2: &Arc<Http2>) {
        let mut hosts = self.hosts.lock();
        let closed = hosts.closed;
        let Some(host) = hosts.table.get_mut(route) else { return };
        if !host.sharing.leave(http2) {
            return;
        }
        let (most, time) = (self.settings.pool_maxsize, self.settings.idle_timeout);
        let rests = !closed && http2.is_open() && host.idle.len() < most;
        let mut rests_until = None;
        if rests {
            http2.rest();
            host.idle.push(Idle::Http2(http2.clone()));
            rests_until = time.and_then(|time| http2.used_at().checked_add(time));
        }
        let surplus = hosts.trim(self.settings.pool_connections);
        let rests_until = hosts.is_to_watch(rests_until);
        drop(hosts);
        drop(surplus);
        if let Some(at) = rests_until {
            self.watch(at);
        }
    }

    /// Closes what rests and keeps nothing from now on. Who has a connection goes on, and so does who waits for one.
    pub fn close(&self) {
        let mut hosts = self.hosts.lock();
        hosts.closed = true;
        let was_watched = hosts.unwatch();
        let idle: Vec<_> = hosts.table.values_mut().flat_map(|host| mem::take(&mut host.idle)).collect();
        hosts.table.retain(|_, host| host.in_use > 0);
        drop(hosts);
        drop(idle);
        if was_watched {
            timer::forget();
        }
    }

    fn is_too_old(&self, used_at: Instant) -> bool {
        self.settings.idle_timeout.is_some_and(|longest| used_at.elapsed() >= longest)
    }

    /// Tells the timer when the first connection will have rested for too long, where that is wanted.
    fn watch(self: &Arc<Self>, mut at: Instant) {
        loop {
            let this: Weak<Pool> = Arc::downgrade(self);
            timer::expire_at(at, this);
            let mut hosts = self.hosts.lock();
            let next = hosts.first_end(self.settings.idle_timeout);
            match (hosts.watch, next) {
                (Watch::Passed, Some(next)) if !hosts.closed => {
                    hosts.watch = Watch::Telling;
                    at = next;
                }
                (Watch::Passed, _) => {
                    hosts.watch = Watch::Unwatched;
                    return;
                }
                _ if hosts.closed => {
                    hosts.watch = Watch::Unwatched;
                    drop(hosts);
                    timer::forget();
                    return;
                }
                _ => {
                    hosts.watch = Watch::Watched;
                    return;
                }
            }
        }
    }

    pub fn idle_count(&self) -> usize {
        self.hosts.lock().table.values().map(|host| host.idle.len()).sum()
    }

    pub fn idle_since(&self) -> Vec<Instant> {
        let hosts = self.hosts.lock();
        hosts.table.values().flat_map(|host| &host.idle).map(Idle::used_at).collect()
    }

    pub fn close_idle_before(&self, at: Instant) {
        let old = self.hosts.lock().take_idle(|used_at| used_at < at);
        // To close is a system call: not under the lock.
        drop(old);
    }

    /// A connection of this route is used no more. What it was goes back, and who waits for it goes on.
    #[inline]
    fn give_back(self: &Arc<Self>, route: &Arc<Route>, number: u64, connection: Option<Box<Connection>>) {
        let mut hosts = self.hosts.lock();
        let closed = hosts.closed;
        let Some(host) = hosts.table.get_mut(route) else { return };
        host.in_use = host.in_use.saturating_sub(1);
        host.holders.retain(|(holder, _)| *holder != number);
        let keep = !closed && host.idle.len() < self.settings.pool_maxsize;
        let mut rests_until = None;
        let refused = match connection {
            Some(connection) if keep => {
                rests_until =
                    self.settings.idle_timeout.and_then(|time| connection.used_at.checked_add(time));
                host.idle.push(Idle::Http1(connection));
                None
            }
            refused => refused,
        };
        let next = host.line.pop_first();
        if let Some((rank, in_line)) = &next {
            in_line.grant(host.lend(rank.number(), in_line.control.clone(), self, route));
        }
        let surplus = hosts.trim(self.settings.pool_connections);
        let rests_until = hosts.is_to_watch(rests_until);
        drop(hosts);
        drop((refused, surplus));
        if let Some((_, in_line)) = next {
            in_line.waiting.resume();
        }
        if let Some(at) = rests_until {
            self.watch(at);
        }
    }
}

/// What has rested for too long is closed by the timer, without anybody who asks for it.
impl Expires for Pool {
    fn is_over(&self) -> bool {
        self.hosts.lock().watch == Watch::Unwatched
    }

    fn expire(self: Arc<Self>) {
        let mut hosts = self.hosts.lock();
        let old = hosts.take_idle(|used_at| self.is_too_old(used_at));
        let next = hosts.first_end(self.settings.idle_timeout);
        let before = hosts.watch;
        hosts.watch = match (before, next) {
            (Watch::Unwatched, _) => Watch::Unwatched,
            (Watch::Watched, None) => Watch::Unwatched,
            (Watch::Watched, Some(_)) => Watch::Telling,
            (Watch::Telling | Watch::Passed, _) => Watch::Passed,
        };
        drop(hosts);
        drop(old);
        if before == Watch::Unwatched {
            return;
        }
        timer::forget();
        if let (Watch::Watched, Some(at)) = (before, next) {
            self.watch(at);
        }
    }

    fn is_brief(&self) -> bool {
        true
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !fork::is_inherited(self.made_in) && self.hosts.lock().unwatch() {
            timer::forget();
        }
    }
}

impl Host {
    /// One more is in use.
    #[inline]
    fn lend(&mut self, number: u64, holder: Weak<Control>, pool: &Arc<Pool>, route: &Arc<Route>) -> Lease {
        self.in_use += 1;
        if pool.settings.pool_block {
            self.holders.push((number, holder));
        }
        Lease { pool: Arc::downgrade(pool), route: route.clone(), number, returned: false, permit: None }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Some(pool) = self.pool.upgrade().filter(|pool| !fork::is_inherited(pool.made_in)) else { return };
        let mut hosts = pool.hosts.lock();
        let left = hosts.table.get_mut(&self.route).and_then(|host| host.line.remove(&self.rank));
        drop(hosts);
        // What it was given all the same goes to the next in line.
        let granted = self.in_line.take();
        drop((left, granted));
    }
}

impl Hosts {
    /// Those that rest and are so.
    fn take_idle(&mut self, is_so: impl Fn(Instant) -> bool) -> Surplus {
        let is_so = |connection: &mut Idle| is_so(connection.used_at());
        self.table.values_mut().flat_map(|host| host.idle.extract_if(.., is_so)).collect()
    }

    /// When the first of those that rest has done so for too long.
    fn first_end(&self, longest: Option<Duration>) -> Option<Instant> {
        let idle = self.table.values().flat_map(|host| &host.idle);
        idle.map(Idle::used_at).min()?.checked_add(longest?)
    }

    /// One rests until that time: when the timer has to be told of it, which is the caller's to do then.
    fn is_to_watch(&mut self, rests_until: Option<Instant>) -> Option<Instant> {
        let rests_until = rests_until.filter(|_| self.watch == Watch::Unwatched);
        if rests_until.is_some() {
            self.watch = Watch::Telling;
        }
        rests_until
    }

    /// Nothing is to be closed by the timer any more. True: the timer is to be told.
    fn unwatch(&mut self) -> bool {
        let was_watched = self.watch == Watch::Watched;
        if was_watched {
            self.watch = Watch::Unwatched;
        }
        was_watched
    }

    /// The host of a route, now the most recently used, and a number that nothing else has.
    #[inline]
    fn touch(&mut self, route: &Arc<Route>) -> (u64, &mut Host) {
        self.clock += 1;
        let host = self.table.entry(route.clone()).or_default();
        host.used_at = self.clock;
        (self.clock, host)
    }

    /// After a host was used, of which there were so many before.
    #[must_use]
    fn make_room(&mut self, known: usize, limit: usize) -> Surplus {
        if self.table.len() <= known {
            return Vec::new();
        }
        let mut surplus = self.trim(limit);
        if self.table.len() > limit.max(1) {
            // All are in use: they keep their counts, but nothing rests.
            surplus.extend(self.table.values_mut().flat_map(|host| host.idle.drain(..)));
        }
        surplus
    }

    /// While there are more hosts than remembered, those out of use give way, the least recently used one first. Their
    /// connections are for the caller to close: not under the lock.
    #[must_use]
    fn trim(&mut self, limit: usize) -> Surplus {
        let mut surplus = Vec::new();
        while self.table.len() > limit.max(1) {
            let unused = self.table.iter().filter(|(_, host)| host.in_use == 0);
            let oldest = unused.min_by_key(|(_, host)| host.used_at).map(|(route, _)| route.clone());
            // The others are in use. Each leaves with its last request.
            let Some(gone) = oldest.and_then(|oldest| self.table.remove(&oldest)) else { break };
            surplus.extend(gone.idle);
        }
        surplus
    }
}

/// Where a connection goes when its answer is read: to whoever waits for it here, or back to the pool.
#[derive(Default)]
pub struct Place(Mutex<Placed>);

#[derive(Default)]
enum Placed {
    #[default]
    Awaited,
    /// Without the connection, where that cannot be used again.
    Here(Option<Box<Connection>>, Lease),
    /// Nobody waits any more.
    Left,
}

impl Place {
    pub fn put(&self, connection: Option<Box<Connection>>, lease: Lease) {
        let mut placed = self.0.lock();
        if matches!(*placed, Placed::Left) {
            drop(placed);
            lease.end(connection);
        } else {
            *placed = Placed::Here(connection, lease);
        }
    }

    /// The turn of the request that it is kept for, if it is here: with the connection, if that is still good.
    pub fn take(&self) -> Option<Turn> {
        let placed = mem::replace(&mut *self.0.lock(), Placed::Left);
        let Placed::Here(connection, lease) = placed else { return None };
        let good = connection.and_then(|mut connection| {
            connection.rest();
            connection.is_idle().then_some(connection)
        });
        Some(match good {
            Some(connection) => Turn::Connected(connection, lease),
            None => Turn::Come(lease),
        })
    }

    /// Nobody waits any more: the connection goes back to the pool, now or when it comes.
    pub fn give_back(&self) {
        let placed = mem::replace(&mut *self.0.lock(), Placed::Left);
        if let Placed::Here(connection, lease) = placed {
            lease.end(connection);
        }
    }
}

/// The right to one connection of a host. Dropping it says that the connection is gone.
pub struct Lease {
    pool: Weak<Pool>,
    route: Arc<Route>,
    number: u64,
    returned: bool,
    /// The turn of the request, which is over when the connection has gone back.
    pub permit: Option<Arc<Permit>>,
}

impl Turn {
    /// The turn of the request, where that has been taken along.
    pub fn permit(&mut self) -> Option<Arc<Permit>> {
        match self {
            Turn::Come(lease) | Turn::Connected(_, lease) => lease.permit.take(),
            Turn::Free | Turn::Waits(_) => None,
        }
    }

    /// After a while: a connection that has ended meanwhile is none.
    pub fn look_again(&mut self) {
        if let Turn::Connected(connection, _) = self
            && !connection.is_idle()
            && let Turn::Connected(_, lease) = mem::take(self)
        {
            *self = Turn::Come(lease);
        }
    }
}

impl Lease {
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// Over: with the connection, if that can be used again.
    pub fn end(mut self, connection: Option<Box<Connection>>) {
        let Some(mut connection) = connection else { return };
        self.returned = true;
        connection.rest();
        if let Some(pool) = self.pool() {
            pool.give_back(&self.route, self.number, Some(connection));
        }
        if let Some(permit) = self.permit.take() {
            permit.end();
        }
    }

    /// The request has no part any more in a shared connection.
    pub fn leave(&mut self, http2: &Arc<Http2>) {
        if let Some(pool) = self.pool() {
            pool.leave(&self.route, http2);
        }
    }

    fn pool(&self) -> Option<Arc<Pool>> {
        self.pool.upgrade().filter(|pool| !fork::is_inherited(pool.made_in))
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if !self.returned
            && let Some(pool) = self.pool()
        {
            pool.give_back(&self.route, self.number, None);
        }
        if let Some(permit) = self.permit.take() {
            permit.end();
        }
    }
}
