//! The adapter: where connections come from.

use std::borrow::Cow;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::{Bounded, Channel};
use super::connection::Connection;
use super::dialing::{self, Origin};
use super::digest::{DigestCache, Message};
use super::dns::{self, Lookups};
use super::http2::Http2;
use super::name_cache::NameCache;
use super::pool::{Carrier, Lease, Pool, Stand, Turn};
use super::proxy::tunnel::{self, HandshakeError, Tunnel};
use super::proxy::{Proxy, ProxyScheme, socks};
use super::route::{Protocol, Route, Via};
use super::sharing::{Dialed, Entry};
use super::socket::{Limits, Socket, Step};
use super::tls::{TlsConfig, TlsConfigs, TlsSettings};
use super::trace::{self, Overheard};
use super::turns::{Standing, TurnLimits, Turns};
use crate::future::control::Control;
use crate::future::stopwatch::Phase;
use crate::future::waiting::Waiting;
use crate::message::error::{Error, ErrorKind};
use crate::message::host::Authority;
use crate::message::resolve::Resolve;
use crate::message::retry::Retry;
use crate::message::url::Url;
use crate::system::fork;

/// So long a request waits for a part in a connection before it makes a further one.
const PATIENCE: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AdapterSettings {
    /// How many hosts are remembered.
    pub pool_connections: usize,
    /// How many idle connections are kept for each.
    pub pool_maxsize: usize,
    /// Whether a request waits when a host has that many in use.
    pub pool_block: bool,
    pub max_retries: u32,
    /// How long a connection rests before it is closed; None: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long a name that was looked up is known; None: for ever.
    pub dns_cache: Option<Duration>,
    /// They are kept where a request was submitted, wherever it is carried out.
    #[serde(skip)]
    pub turns: TurnLimits,
}

impl Default for AdapterSettings {
    fn default() -> AdapterSettings {
        AdapterSettings {
            pool_connections: POOL_SIZE,
            pool_maxsize: POOL_SIZE,
            pool_block: false,
            max_retries: 0,
            idle_timeout: Some(IDLE_TIMEOUT),
            dns_cache: Some(DNS_CACHE),
            turns: TurnLimits::default(),
        }
    }
}

/// The size of a pool of which nobody said anything.
pub const POOL_SIZE: usize = 10;

/// How long a connection rests of which nobody said anything: about the time after which servers, and what stands before
/// them, close.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(118);

/// How long a name is known of which nobody said anything.
pub const DNS_CACHE: Duration = Duration::from_secs(60);

/// "es 192.0.2.1, 2001:db8::1", or " 192.0.2.1" where there is only one.
fn listed(addresses: &[SocketAddr]) -> String {
    let all: Vec<String> = addresses.iter().map(|address| address.ip().to_string()).collect();
    format!("{} {}", if all.len() == 1 { "" } else { "es" }, all.join(", "))
}

/// Names a session, or an adapter, among those of all processes.
pub type Identity = u128;

pub fn new_identity() -> Identity {
    // What a thread draws by itself, its copy in a forked child draws as well.
    let process = u128::from(fork::process_number());
    process << 64 | u128::from(RandomState::new().build_hasher().finish())
}

pub struct Adapter {
    pub settings: AdapterSettings,
    /// What `max_retries` says.
    pub retry: Option<Arc<Retry>>,
    /// What proxies have asked for.
    pub proxy_digest: DigestCache,
    tls: TlsConfigs,
    names: NameCache,
    /// Where names are looked up; None: with the system.
    lookups: Option<Arc<Lookups>>,
    turns: Option<Turns>,
    pool: Arc<Pool>,
    /// Tells it from every other one, for those who run requests elsewhere.
    identity: OnceLock<Identity>,
}

/// What one sending has of its adapter: its turn at the host, and its place in the pool.
#[derive(Default)]
pub struct Admission {
    pub standing: Standing,
    pub place: Turn,
}

impl Admission {
    /// What it waits for, for messages.
    pub fn awaited(&self) -> &'static str {
        match self.standing {
            Standing::InLine(_) => "its turn",
            _ => "a connection",
        }
    }
}

/// The turn to make a connection that others may wait for.
struct Dialing<'a> {
    control: &'a Control,
    pool: &'a Arc<Pool>,
    route: &'a Arc<Route>,
    others: bool,
    is_over: bool,
}

impl Dialing<'_> {
    fn end(mut self, dialed: Dialed<'_>) {
        self.is_over = true;
        self.pool.dialed(self.route, self.others, dialed);
    }
}

impl Drop for Dialing<'_> {
    fn drop(&mut self) {
        if !self.is_over {
            let is_given_up = self.control.check().is_err();
            let dialed = if is_given_up { Dialed::GivenUp } else { Dialed::Failed };
            self.pool.dialed(self.route, self.others, dialed);
        }
    }
}

impl Adapter {
    pub fn new(settings: AdapterSettings) -> Adapter {
        Adapter::with_resolver(settings, None)
    }

    pub fn with_resolver(settings: AdapterSettings, resolver: Option<Arc<dyn Resolve>>) -> Adapter {
        Adapter {
            settings,
            retry: (settings.max_retries > 0).then(|| Arc::new(Retry::new(settings.max_retries))),
            proxy_digest: DigestCache::new(),
            tls: TlsConfigs::default(),
            names: NameCache::new(settings.dns_cache),
            lookups: resolver.map(|resolver| Arc::new(Lookups::new(Some(resolver)))),
            turns: Turns::new(settings.turns),
            pool: Pool::new(settings),
            identity: OnceLock::new(),
        }
    }

    pub fn identity(&self) -> Identity {
        *self.identity.get_or_init(new_identity)
    }

    /// The user's own, where there is one.
    pub fn resolver(&self) -> Option<&Arc<dyn Resolve>> {
        self.lookups.as_ref()?.resolver()
    }

    /// Returns when all calls of that have returned that run now.
    pub fn wait_for_resolver(&self) {
        if let Some(lookups) = &self.lookups {
            lookups.wait_for_functions();
        }
    }

    /// What is remembered of a look-up is remembered by this.
    fn name_of<'h>(&self, host: &'h str, port: u16) -> Cow<'h, str> {
        self.lookups.as_ref().map_or(Cow::Borrowed(host), |lookups| lookups.key(host, port))
    }

    /// Whether a request waits for its turn before it begins, as far as that is known.
    pub fn is_crowded(&self) -> bool {
        self.settings.pool_block || self.turns.is_some()
    }

    /// Sees to it that the request may be sent now, or stands in line for that: then this says what it waits for. Its
    /// connection is taken later.
    pub fn admit(
        &self,
        admission: &mut Admission,
        url: &Url,
        route: &Arc<Route>,
        control: &Arc<Control>,
    ) -> Result<Option<Arc<Waiting>>, Error> {
        if let Some(turns) = &self.turns {
            if let Some(permit) = admission.place.permit() {
                admission.standing = Standing::Come(permit);
            }
            if let Some(waiting) = turns.ask(&mut admission.standing, url, control)? {
                return Ok(Some(waiting));
            }
        }
        if !self.settings.pool_block {
            return Ok(None);
        }
        self.pool.turn(&mut admission.place, route, control)
    }

    /// The turn alone, for a request that is sent from elsewhere.
    pub fn turn(
        &self,
        standing: &mut Standing,
        url: &Url,
        control: &Arc<Control>,
    ) -> Result<Option<Arc<Waiting>>, Error> {
        self.turns.as_ref().map_or(Ok(None), |turns| turns.ask(standing, url, control))
    }

    pub fn has_turns(&self) -> bool {
        self.turns.is_some()
    }

    /// A connection for this route: one that rests, unless it must be `fresh`, or else a new one, for which `connect`
    /// is the time. That begins here, whatever the request has waited for before.
    #[inline]
    pub fn connection(
        &self,
        admission: Admission,
        route: &Arc<Route>,
        control: &Control,
        connect: Option<Duration>,
        fresh: bool,
    ) -> Result<(Carrier, Lease), Error> {
        let (kept, mut lease) = self.pool.take(admission.place, route, fresh);
        if let Standing::Come(permit) = admission.standing {
            lease.permit = Some(permit);
        }
        if let Some(carrier) = kept {
            if let Carrier::Http1(connection) = &carrier {
                connection.attach(control);
            }
            return Ok((carrier, lease));
        }
        self.new_connection(route, control, connect, fresh).map(|carrier| (carrier, lease))
    }

    #[inline(never)]
    fn new_connection(
        &self,
        route: &Arc<Route>,
        control: &Control,
        connect: Option<Duration>,
        fresh: bool,
    ) -> Result<Carrier, Error> {
        let asked = connect;
        let connect = connect.and_then(|asked| Some((Instant::now().checked_add(asked)?, asked)));
        let limits = Limits {
            control,
            silence: None,
            connect,
            step: Step::Connect,
            peer: &**route,
            progress: None,
            pace: None,
        };
        if route.protocol != Protocol::Http1 {
            return self.shared_connection(route, &limits, asked, fresh);
        }
        let channel = self.dial(route, &limits, false)?;
        control.stopwatch.enter(Phase::Send);
        Ok(Carrier::Http1(Connection::over(channel, route.secure)))
    }

    /// A part in a connection that others have a part in as well, or a new one.
    #[inline(never)]
    fn shared_connection(
        &self,
        route: &Arc<Route>,
        limits: &Limits,
        connect: Option<Duration>,
        fresh: bool,
    ) -> Result<Carrier, Error> {
        let control = limits.control;
        let mut stand = Stand::new(&self.pool, route, control, fresh);
        let mut late_at = None;
        let (others, offers_http2) = loop {
            let is_late = late_at.is_some_and(|at| at <= Instant::now());
            let for_dialing = match self.pool.enter(route, &mut stand, is_late) {
                Entry::Part(http2) => {
                    control.stopwatch.enter(Phase::Send);
                    return Ok(Carrier::Http2(http2));
                }
                Entry::Dial { others } => break (others, true),
                Entry::Http1 => break (false, false),
                Entry::Wait { for_dialing } => for_dialing,
            };
            control.stopwatch.enter(if for_dialing { Phase::Connect } else { Phase::Queue });
            let until = if for_dialing {
                limits.wait()?.until
            } else {
                if late_at.is_none() {
                    trace::info(control, || format!("Waiting for room on a connection to {route}"))?;
                }
                if late_at.is_none() || is_late {
                    // One of those that are late makes a connection, and the others wait on.
                    late_at = Instant::now().checked_add(PATIENCE);
                }
                [late_at, control.ends_at()].into_iter().flatten().min()
            };
            Error::check(control, format_args!(" while waiting for a connection to {route}"))?;
            control.attach_sleeper(stand.guest.clone());
            stand.guest.wait(until, control);
            control.detach_sleeper();
        };
        drop(stand);
        let turn = Dialing { control, pool: &self.pool, route, others, is_over: false };
        // That begins when there is nothing else to wait for.
        let connect = match late_at {
            None => limits.connect,
            Some(_) => connect.and_then(|asked| Some((Instant::now().checked_add(asked)?, asked))),
        };
        let limits = &Limits { connect, ..*limits };
        let channel = self.dial(route, limits, offers_http2)?;
        control.stopwatch.enter(Phase::Send);
        let is_http2 = route.protocol == Protocol::Http2 || channel.protocol() == Some(b"h2");
        if !is_http2 {
            turn.end(Dialed::Http1);
            return Ok(Carrier::Http1(Connection::over(channel, route.secure)));
        }
        channel.detach(control);
        let peer = channel.peer(route.secure);
        let http2 = Http2::new(channel, peer, limits)?;
        turn.end(Dialed::Http2(&http2));
        Ok(Carrier::Http2(http2))
    }

    /// The server of this route has asked for HTTP/1.1.
    pub fn prefer_http1(&self, route: &Arc<Route>) {
        self.pool.prefer_http1(route);
    }

    /// Closes what rests and keeps nothing from now on.
    pub fn close_idle(&self) {
        self.pool.close();
    }

    /// How many connections rest.
    pub fn idle_count(&self) -> usize {
        self.pool.idle_count()
    }

    /// When each of those that rest was used last, in no order.
    pub fn idle_since(&self) -> Vec<Instant> {
        self.pool.idle_since()
    }

    /// Closes those that rest and were used last before that time.
    pub fn close_idle_before(&self, at: Instant) {
        self.pool.close_idle_before(at);
    }

    #[inline(never)]
    fn dial(&self, route: &Route, limits: &Limits, offers_http2: bool) -> Result<Channel, Error> {
        let mut channel = self.reach(route, limits)?;
        if route.secure
            && let Err(error) = self.secure(&mut channel, route, limits, offers_http2)
        {
            channel.detach(limits.control);
            return Err(error);
        }
        Ok(channel)
    }

    /// Speaks TLS with the server from now on.
    #[inline(never)]
    fn secure(
        &self,
        channel: &mut Channel,
        route: &Route,
        limits: &Limits,
        offers_http2: bool,
    ) -> Result<(), Error> {
        let settings = route.tls.as_ref().expect("a secure route has TLS settings");
        limits.control.stopwatch.enter(Phase::Tls);
        let config = match settings.offers_http2 && !offers_http2 {
            false => self.tls.get(settings, limits)?,
            true => self.tls_of_http1(settings, limits)?,
        };
        channel.add_tls(&config, route.name_for_tls(), &limits.to(Step::Handshake, limits.peer))
    }

    #[cold]
    #[inline(never)]
    fn tls_of_http1(&self, settings: &TlsSettings, limits: &Limits) -> Result<Arc<TlsConfig>, Error> {
        self.tls.get(&settings.of_http1(), limits)
    }

    /// The addresses of a host on the way that may be used.
    fn resolve(
        &self,
        host: &str,
        port: u16,
        route: &Route,
        limits: &Limits,
    ) -> Result<Vec<SocketAddr>, Error> {
        if dns::is_address(host) {
            let address = dns::resolve(host, port, self.lookups.as_ref(), limits)?;
            return dialing::of_version(address, route.dialing.ip_version, host);
        }
        let name = self.name_of(host, port);
        let addresses = match self.names.get(&name, port) {
            Some(known) => known,
            None => {
                limits.control.stopwatch.enter(Phase::Resolve);
                let found = dns::resolve(host, port, self.lookups.as_ref(), limits)?;
                self.names.put(&name, &found);
                found
            }
        };
        trace::info(limits.control, || format!("{host} has the address{}", listed(&addresses)))?;
        dialing::of_version(addresses, route.dialing.ip_version, host)
    }

    /// A connection to one of a host's addresses.
    fn connect(
        &self,
        addresses: &[SocketAddr],
        origin: &Origin,
        route: &Route,
        host: &str,
        limits: &Limits,
    ) -> Result<Socket, Error> {
        limits.control.stopwatch.enter(Phase::Connect);
        let made = Socket::connect(addresses, origin, route.dialing.keepalive, limits);
        match &made {
            Ok(socket) => trace::info(limits.control, || {
                let shown =
                    |address: Option<SocketAddr>| address.map_or_else(String::new, |one| one.to_string());
                let (remote, local) = (shown(socket.remote), shown(socket.local()));
                format!("Connected to {} ({remote}) from {local}", limits.peer)
            })?,
            Err(_) => {
                let port = addresses.first().map_or(0, SocketAddr::port);
                self.names.forget(&self.name_of(host, port));
            }
        }
        made
    }

    /// A channel to the server, on which TLS or HTTP is spoken next.
    fn reach(&self, route: &Route, limits: &Limits) -> Result<Channel, Error> {
        let open = |socket: Socket| {
            let channel = Channel::new(socket);
            channel.attach(limits.control);
            channel
        };
        let connect = |addresses: Vec<SocketAddr>| {
            let origin = Origin::of(&route.dialing)?;
            let addresses = dialing::from(addresses, &origin, &route.host)?;
            self.connect(&addresses, &origin, route, &route.host, limits).map(open)
        };
        match &route.via {
            Via::Direct => connect(self.resolve(&route.host, route.port, route, limits)?),
            Via::Address(address) => {
                let address = vec![(*address, route.port).into()];
                connect(dialing::of_version(address, route.dialing.ip_version, &route.host)?)
            }
            Via::Unix(path) => {
                limits.control.stopwatch.enter(Phase::Connect);
                let socket = Socket::connect_unix(path, limits)?;
                trace::info(limits.control, || format!("Connected to {}", limits.peer))?;
                Ok(open(socket))
            }
            Via::Proxy(proxy) => self.reach_by_proxy(route, proxy, limits, open),
        }
    }

    // Few go by a proxy: the others need no room for it on their stacks.
    #[inline(never)]
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
        let unreachable = |error: Error| match error.kind() {
            ErrorKind::Connection => {
                let text = format!("Unable to connect to proxy {}: {error}", proxy.shown());
                let code = error.os_code();
                Error::new(ErrorKind::Proxy, text).with_os_code(code)
            }
            _ => error,
        };
        let addresses = self.resolve(&proxy.host, proxy.port, route, limits).map_err(unreachable)?;
        let origin = Origin::of(&route.dialing).map_err(unreachable)?;
        let addresses = dialing::from(addresses, &origin, &proxy.host).map_err(unreachable)?;
        let to_server = limits;
        let peer = format!("proxy {}", proxy.shown());
        let limits = &limits.to(Step::Connect, &peer);
        let connect = || -> Result<Channel, Error> {
            let socket = self.connect(&addresses, &origin, route, &proxy.host, limits);
            let mut channel = open(socket.map_err(blame)?);
            if proxy.scheme == ProxyScheme::Https {
                let settings = route.tls.as_ref().expect("a route by an https proxy has TLS settings");
                limits.control.stopwatch.enter(Phase::Tls);
                let config = self.tls.get(&settings.of_proxy(), limits);
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
        limits.control.stopwatch.enter(Phase::Connect);
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
                        let found = self.resolve(&route.host, route.port, route, to_server)?;
                        limits.control.stopwatch.enter(Phase::Connect);
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
            let mut stream = Overheard::new(Bounded { channel, limits }, limits.control);
            let answer = tunnel::connect_tunnel(&mut stream, &target, authorization.as_deref(), None);
            stream.tell(limits.control)?;
            let Overheard { mut stream, .. } = stream;
            match answer {
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
