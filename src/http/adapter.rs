//! The adapter: where connections come from and where they rest between requests.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::{Bounded, Channel};
use super::connection::Connection;
use super::digest::{DigestCache, Message};
use super::dns;
use super::proxy::tunnel::{self, HandshakeError, Tunnel};
use super::proxy::{Proxy, ProxyScheme, socks};
use super::socket::{Limits, Socket, Step};
use super::tls::{TlsConfigs, TlsSettings};
use crate::future::control::Control;
use crate::future::monitor::{Monitor, MonitorGuard, Until};
use crate::message::error::{Error, ErrorKind};
use crate::message::host::Authority;
use crate::message::options::Login;
use crate::system::fork;
use crate::system::lock::Mutex;

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AdapterSettings {
    /// How many hosts are remembered.
    pub pool_connections: usize,
    /// How many idle connections are kept for each.
    pub pool_maxsize: usize,
    /// Whether a request waits when a host has that many in use.
    pub pool_block: bool,
    pub max_retries: u32,
}

/// How the server is reached.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Via {
    Direct,
    /// This address, whatever the name says.
    Address(IpAddr),
    Unix(String),
    Proxy(Proxy),
}

/// What two requests must have in common to use the same connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub secure: bool,
    pub host: String,
    pub port: u16,
    pub via: Via,
    /// None where no TLS is spoken.
    pub tls: Option<TlsSettings>,
    /// Whose connections they are, where one may have been logged in.
    pub login: Option<Login>,
}

impl Route {
    /// The proxy that is told the whole URL and forwards the request, where one does.
    pub fn forward(&self) -> Option<&Proxy> {
        match &self.via {
            Via::Proxy(proxy) if !self.secure && !proxy.scheme.is_socks() => Some(proxy),
            _ => None,
        }
    }
}

/// Whom a request speaks with, as messages name it.
impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(proxy) = self.forward() {
            return write!(f, "proxy {}", proxy.shown());
        }
        match &self.via {
            Via::Direct | Via::Address(_) => Authority(&self.host, self.port).fmt(f),
            Via::Unix(path) => write!(f, "the Unix socket {path}"),
            Via::Proxy(proxy) => {
                write!(f, "{} through proxy {}", Authority(&self.host, self.port), proxy.shown())
            }
        }
    }
}

// What tells routes apart is nearly always the host and the port. The table of routes is as small as the settings
// say, so it needs no hash that a stranger could not foresee.
impl Hash for Route {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mix = |hash: u64, byte: u64| (hash ^ byte).wrapping_mul(0x0100_0000_01B3);
        let seed = mix(0xCBF2_9CE4_8422_2325, u64::from(self.port));
        state.write_u64(self.host.bytes().fold(seed, |hash, byte| mix(hash, byte.into())));
    }
}

/// Returns the hash that [`Route`] computes of itself.
#[derive(Default)]
struct IdentityHasher(u64);

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        // The table looks at the uppermost bits as well as at the lowest.
        self.0 ^ self.0.rotate_left(32)
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

pub struct Adapter {
    pub settings: AdapterSettings,
    /// What proxies have asked for.
    pub proxy_digest: DigestCache,
    tls: TlsConfigs,
    pool: Arc<Pool>,
}

struct Pool {
    /// The generation of processes that has its connections: in a forked child nobody takes the lock, which a thread
    /// that is not there may hold.
    made_in: u32,
    settings: AdapterSettings,
    /// Notified when a connection came back or was closed, for those who wait under `pool_block`.
    hosts: Monitor<Hosts>,
}

#[derive(Default)]
struct Hosts {
    table: HashMap<Arc<Route>, Host, BuildHasherDefault<IdentityHasher>>,
    clock: u64,
    closed: bool,
}

#[derive(Default)]
struct Host {
    idle: Vec<Connection>,
    in_use: usize,
    used_at: u64,
}

impl Adapter {
    pub fn new(settings: AdapterSettings) -> Adapter {
        let pool = Pool { made_in: fork::generation(), settings, hosts: Monitor::default() };
        Adapter {
            settings,
            proxy_digest: DigestCache::new(),
            tls: TlsConfigs::default(),
            pool: Arc::new(pool),
        }
    }

    /// A connection for this route: one that rests, unless it must be `fresh`, or else a new one, for which `connect`
    /// is the time. That begins when its place in the pool is there.
    pub fn connection(
        &self,
        route: &Arc<Route>,
        control: &Control,
        connect: Option<Duration>,
        fresh: bool,
    ) -> Result<(Connection, Lease), Error> {
        let (idle, lease) = self.pool.take(route, control, fresh)?;
        if let Some(connection) = idle {
            connection.attach(control);
            return Ok((connection, lease));
        }
        let connect = connect.and_then(|asked| Some((Instant::now().checked_add(asked)?, asked)));
        let limits =
            Limits { control, silence: None, connect, step: Step::Connect, peer: &**route, progress: None };
        Ok((Connection::new(self.dial(route, &limits)?), lease))
    }

    /// Closes what rests and keeps nothing from now on.
    pub fn close_idle(&self) {
        let mut hosts = self.pool.hosts.lock();
        hosts.closed = true;
        let table = std::mem::take(&mut hosts.table);
        drop(hosts);
        drop(table);
    }

    /// How many connections rest.
    pub fn idle_count(&self) -> usize {
        self.pool.hosts.lock().table.values().map(|host| host.idle.len()).sum()
    }

    /// When each of those that rest was used last, in no order.
    pub fn idle_since(&self) -> Vec<Instant> {
        let hosts = self.pool.hosts.lock();
        hosts.table.values().flat_map(|host| &host.idle).map(|connection| connection.used_at).collect()
    }

    /// Closes those that rest and were used last before that time.
    pub fn close_idle_before(&self, at: Instant) {
        let is_old = |connection: &mut Connection| connection.used_at < at;
        let mut hosts = self.pool.hosts.lock();
        let old: Vec<_> =
            hosts.table.values_mut().flat_map(|host| host.idle.extract_if(.., is_old)).collect();
        drop(hosts);
        // To close is a system call: not under the lock.
        drop(old);
    }

    fn dial(&self, route: &Route, limits: &Limits) -> Result<Channel, Error> {
        let mut channel = self.reach(route, limits)?;
        if route.secure {
            let settings = route.tls.as_ref().expect("a secure route has TLS settings");
            let outcome = self.tls.get(settings, limits).and_then(|config| {
                let limits = limits.to(Step::Handshake, limits.peer);
                channel.add_tls(&config, &route.host, &limits)
            });
            if let Err(error) = outcome {
                channel.detach(limits.control);
                return Err(error);
            }
        }
        Ok(channel)
    }

    /// A channel to the server, on which TLS or HTTP is spoken next.
    fn reach(&self, route: &Route, limits: &Limits) -> Result<Channel, Error> {
        let open = |socket: Socket| {
            let channel = Channel::new(socket);
            channel.attach(limits.control);
            channel
        };
        match &route.via {
            Via::Direct => {
                let addresses = dns::resolve(&route.host, route.port, limits)?;
                Socket::connect(&addresses, limits).map(open)
            }
            Via::Address(address) => Socket::connect(&[(*address, route.port).into()], limits).map(open),
            Via::Unix(path) => Socket::connect_unix(path, limits).map(open),
            Via::Proxy(proxy) => self.reach_by_proxy(route, proxy, limits, open),
        }
    }

    fn reach_by_proxy(
        &self,
        route: &Route,
        proxy: &Proxy,
        limits: &Limits,
        open: impl Fn(Socket) -> Channel,
    ) -> Result<Channel, Error> {
        let blame = |error: Error| match error.kind() {
            // The limits name the proxy already.
            ErrorKind::Connection | ErrorKind::Ssl => error.of_kind(ErrorKind::Proxy),
            _ => error,
        };
        let refused = |error: HandshakeError| match error {
            HandshakeError::Io(error) => blame(limits.explain(error)),
            HandshakeError::Refused(text) => {
                let (host, proxy) = (Authority(&route.host, route.port), proxy.shown());
                Error::new(
                    ErrorKind::Proxy,
                    format!("Unable to connect to {host} through proxy {proxy}: {text}"),
                )
            }
        };
        let addresses =
            dns::resolve(&proxy.host, proxy.port, limits).map_err(|error| match error.kind() {
                ErrorKind::Connection => Error::new(
                    ErrorKind::Proxy,
                    format!("Unable to connect to proxy {}: {error}", proxy.shown()),
                ),
                _ => error,
            })?;
        let to_server = limits;
        let peer = format!("proxy {}", proxy.shown());
        let limits = &limits.to(Step::Connect, &peer);
        let connect = || -> Result<Channel, Error> {
            let mut channel = open(Socket::connect(&addresses, limits).map_err(blame)?);
            if proxy.scheme == ProxyScheme::Https {
                let settings = route.tls.as_ref().expect("a route by an https proxy has TLS settings");
                let config = self.tls.get(settings, limits);
                let added = config.and_then(|config| {
                    let limits = limits.to(Step::Handshake, limits.peer);
                    channel.add_tls(&config, &proxy.host, &limits).map_err(blame)
                });
                if let Err(error) = added {
                    channel.detach(limits.control);
                    return Err(error);
                }
            }
            Ok(channel)
        };
        let mut channel = connect()?;
        let peer = format!("{} through {peer}", Authority(&route.host, route.port));
        let limits = &limits.to(Step::Tunnel, &peer);
        let mut negotiate = || -> Result<(), Error> {
            let credentials = proxy.login();
            match proxy.scheme {
                ProxyScheme::Http | ProxyScheme::Https => {
                    if route.secure {
                        self.tunnel(&mut channel, route, proxy, limits, &connect, &refused)?;
                    }
                }
                scheme => {
                    let mut stream = Bounded { channel: &mut channel, limits };
                    let greeted = socks::greet(&mut stream, scheme, credentials).map_err(refused)?;
                    let by_name = matches!(scheme, ProxyScheme::Socks4a | ProxyScheme::Socks5h);
                    let address;
                    let target = if by_name {
                        socks::Target::Name(&route.host, route.port)
                    } else {
                        let found = dns::resolve(&route.host, route.port, to_server)?;
                        let fits =
                            |one: &&std::net::SocketAddr| scheme != ProxyScheme::Socks4 || one.is_ipv4();
                        address = *found.iter().find(fits).ok_or_else(|| {
                            Error::new(
                                ErrorKind::Proxy,
                                format!("'{}' has no IPv4 address for SOCKS 4", route.host),
                            )
                        })?;
                        socks::Target::Address(address)
                    };
                    greeted.request(&mut stream, target).map_err(refused)?;
                }
            }
            Ok(())
        };
        let outcome = negotiate();
        if outcome.is_err() {
            channel.detach(limits.control);
        }
        outcome.map(|()| channel)
    }

    /// Turns a channel to an HTTP proxy into one to the server. A challenge of the proxy is answered once: on the same
    /// connection where that stays open, else on one that `connect` makes.
    fn tunnel(
        &self,
        channel: &mut Channel,
        route: &Route,
        proxy: &Proxy,
        limits: &Limits,
        connect: &dyn Fn() -> Result<Channel, Error>,
        refused: &dyn Fn(HandshakeError) -> Error,
    ) -> Result<(), Error> {
        let target = Authority(&route.host, route.port).to_string();
        let message = Message { method: "CONNECT", target: &target, body: &(b"" as &[u8]) };
        let (mut answered, mut kept) = (false, false);
        loop {
            let authorization = proxy.authorization(&self.proxy_digest, &message)?;
            let mut stream = Bounded { channel, limits };
            match tunnel::connect_tunnel(&mut stream, &target, authorization.as_deref(), None) {
                Ok(Tunnel::Open) => return Ok(()),
                Ok(Tunnel::Unauthorized(answer)) => {
                    let challenges: Vec<&str> = answer.challenges.iter().map(String::as_str).collect();
                    if answered || !proxy.challenge(&self.proxy_digest, &challenges, true) {
                        return Err(refused(answer.into_error()));
                    }
                    answered = true;
                    kept = answer.skip_body(&mut stream).map_err(refused)?;
                }
                // It had promised to stay.
                Err(error) if kept && error.is_hang_up() => kept = false,
                Err(error) => return Err(refused(error)),
            }
            if !kept {
                channel.detach(limits.control);
                *channel = connect()?;
            }
        }
    }
}

impl Pool {
    /// The right to one connection of the route's host, and, unless a `fresh` one is wanted, an idle one that is
    /// still good, if there is one.
    fn take(
        self: &Arc<Self>,
        route: &Arc<Route>,
        control: &Control,
        fresh: bool,
    ) -> Result<(Option<Connection>, Lease), Error> {
        let mut hosts = self.hosts.lock();
        loop {
            let known = hosts.table.len();
            let host = hosts.touch(route);
            let idle = if fresh { None } else { host.idle.pop() };
            let full = self.settings.pool_block && host.in_use >= self.settings.pool_maxsize;
            if idle.is_none() && full {
                Error::check(
                    control,
                    format_args!(
                        " while waiting for a connection to {route}: all {} are in use",
                        self.settings.pool_maxsize
                    ),
                )?;
                let deadline = control.ends_at().map_or(Until::Forever, Until::At);
                hosts = hosts.wait(deadline.or_soon());
                continue;
            }
            host.in_use += 1;
            if hosts.table.len() > known {
                let surplus = hosts.make_room(self.settings.pool_connections);
                drop(hosts);
                drop(surplus);
            } else {
                drop(hosts);
            }
            let lease = Lease { pool: Arc::downgrade(self), route: route.clone(), returned: false };
            let Some(mut connection) = idle else { return Ok((None, lease)) };
            // The probe is a system call: not under the lock.
            if connection.is_idle() {
                return Ok((Some(connection), lease));
            }
            drop(connection);
            drop(lease);
            hosts = self.hosts.lock();
        }
    }
}

impl Pool {
    /// A place is free. Who waits may wait for another host's: all look.
    fn freed(&self, hosts: MonitorGuard<'_, Hosts>) {
        if self.settings.pool_block {
            hosts.notify_all();
        }
    }
}

impl Hosts {
    /// The host of a route, now the most recently used.
    fn touch(&mut self, route: &Arc<Route>) -> &mut Host {
        self.clock += 1;
        let host = self.table.entry(route.clone()).or_default();
        host.used_at = self.clock;
        host
    }

    /// After a new host came.
    #[must_use]
    fn make_room(&mut self, limit: usize) -> Vec<Connection> {
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
    fn trim(&mut self, limit: usize) -> Vec<Connection> {
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
    Here(Box<(Connection, Lease)>),
    /// Nobody waits any more.
    Left,
}

impl Place {
    pub fn put(&self, connection: Connection, lease: Lease) {
        let mut placed = self.0.lock();
        if matches!(*placed, Placed::Left) {
            drop(placed);
            lease.give_back(connection);
        } else {
            *placed = Placed::Here(Box::new((connection, lease)));
        }
    }

    /// The connection, if it is here and still good.
    pub fn take(&self) -> Option<(Connection, Lease)> {
        let placed = std::mem::replace(&mut *self.0.lock(), Placed::Left);
        let Placed::Here(taken) = placed else { return None };
        let (mut connection, lease) = *taken;
        connection.rest();
        connection.is_idle().then_some((connection, lease))
    }

    /// Nobody waits any more: the connection goes back to the pool, now or when it comes.
    pub fn give_back(&self) {
        let placed = std::mem::replace(&mut *self.0.lock(), Placed::Left);
        if let Placed::Here(taken) = placed {
            let (connection, lease) = *taken;
            lease.give_back(connection);
        }
    }
}

/// The right to one connection of a host. Dropping it says that the connection is gone.
pub struct Lease {
    pool: Weak<Pool>,
    route: Arc<Route>,
    returned: bool,
}

impl Lease {
    pub fn route(&self) -> &Route {
        &self.route
    }

    /// The connection can be used again.
    pub fn give_back(mut self, mut connection: Connection) {
        self.returned = true;
        let Some(pool) = self.pool.upgrade().filter(|pool| !fork::is_inherited(pool.made_in)) else { return };
        connection.rest();
        let mut hosts = pool.hosts.lock();
        let closed = hosts.closed;
        let Some(host) = hosts.table.get_mut(&self.route) else { return };
        host.in_use = host.in_use.saturating_sub(1);
        let keep = !closed && host.idle.len() < pool.settings.pool_maxsize;
        let refused = if keep {
            host.idle.push(connection);
            None
        } else {
            Some(connection)
        };
        let surplus = hosts.trim(pool.settings.pool_connections);
        pool.freed(hosts);
        drop((refused, surplus));
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.returned {
            return;
        }
        let Some(pool) = self.pool.upgrade().filter(|pool| !fork::is_inherited(pool.made_in)) else { return };
        let mut hosts = pool.hosts.lock();
        if let Some(host) = hosts.table.get_mut(&self.route) {
            host.in_use = host.in_use.saturating_sub(1);
        }
        let surplus = hosts.trim(pool.settings.pool_connections);
        pool.freed(hosts);
        drop(surplus);
    }
}
