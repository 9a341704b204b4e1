//! The adapter: where connections come from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::channel::{Bounded, Channel};
use super::connection::Connection;
use super::digest::{DigestCache, Message};
use super::dns;
use super::pool::{Lease, Pool, Turn};
use super::proxy::tunnel::{self, HandshakeError, Tunnel};
use super::proxy::{Proxy, ProxyScheme, socks};
use super::route::{Route, Via};
use super::socket::{Limits, Socket, Step};
use super::tls::TlsConfigs;
use crate::future::control::Control;
use crate::future::waiting::Waiting;
use crate::message::error::{Error, ErrorKind};
use crate::message::host::Authority;
use crate::message::retry::Retry;

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

pub struct Adapter {
    pub settings: AdapterSettings,
    /// What `max_retries` says.
    pub retry: Option<Arc<Retry>>,
    /// What proxies have asked for.
    pub proxy_digest: DigestCache,
    tls: TlsConfigs,
    pool: Arc<Pool>,
}

impl Adapter {
    pub fn new(settings: AdapterSettings) -> Adapter {
        Adapter {
            settings,
            retry: (settings.max_retries > 0).then(|| Arc::new(Retry::new(settings.max_retries))),
            proxy_digest: DigestCache::new(),
            tls: TlsConfigs::default(),
            pool: Pool::new(settings),
        }
    }

    /// Whether a request waits for its turn before it begins, as far as that is known.
    pub fn is_crowded(&self) -> bool {
        self.settings.pool_block
    }

    /// Sees to it that the request has its turn, or stands in line for it: then this says what it waits for. Its
    /// connection is taken later.
    pub fn turn(
        &self,
        turn: &mut Turn,
        route: &Arc<Route>,
        control: &Arc<Control>,
    ) -> Result<Option<Arc<Waiting>>, Error> {
        if !self.settings.pool_block {
            return Ok(None);
        }
        self.pool.turn(turn, route, control)
    }

    /// A connection for this route: one that rests, unless it must be `fresh`, or else a new one, for which `connect`
    /// is the time. That begins here, whatever the request has waited for before.
    pub fn connection(
        &self,
        turn: Turn,
        route: &Arc<Route>,
        control: &Control,
        connect: Option<Duration>,
        fresh: bool,
    ) -> Result<(Box<Connection>, Lease), Error> {
        let (idle, lease) = self.pool.take(turn, route, fresh);
        if let Some(connection) = idle {
            connection.attach(control);
            return Ok((connection, lease));
        }
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
        Ok((Box::new(Connection::new(self.dial(route, &limits)?)), lease))
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
