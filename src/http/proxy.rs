//! Proxies: what a proxy URL says, which proxy a request goes to, and the CONNECT handshake.
//!
//! The handshakes (this one, and those of [`super::socks`]) work on any stream that is already connected to
//! the proxy. Time-outs and aborts are the stream's affair: its errors come out exactly as they went in.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr};

use super::auth::basic;
use super::digest::{DigestCache, Message};
use crate::message::error::{Error, ErrorKind};
use crate::message::url::{
    Authority, canonical_host, is_within_domain, percent_decode, same_host, without_brackets,
    without_userinfo,
};
use crate::system::environment::Environment;

/// How one speaks to a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ProxyScheme {
    Http,
    /// HTTP inside TLS.
    Https,
    /// The target is looked up here; IPv4 only.
    Socks4,
    /// The proxy looks the target up.
    Socks4a,
    /// The target is looked up here.
    Socks5,
    /// The proxy looks the target up.
    Socks5h,
}

impl ProxyScheme {
    const ALL: [ProxyScheme; 6] = [
        ProxyScheme::Http,
        ProxyScheme::Https,
        ProxyScheme::Socks4,
        ProxyScheme::Socks4a,
        ProxyScheme::Socks5,
        ProxyScheme::Socks5h,
    ];

    fn from_name(name: &str) -> Option<ProxyScheme> {
        ProxyScheme::ALL.into_iter().find(|scheme| scheme.name().eq_ignore_ascii_case(name))
    }

    /// As it stands in a URL.
    pub fn name(self) -> &'static str {
        match self {
            ProxyScheme::Http => "http",
            ProxyScheme::Https => "https",
            ProxyScheme::Socks4 => "socks4",
            ProxyScheme::Socks4a => "socks4a",
            ProxyScheme::Socks5 => "socks5",
            ProxyScheme::Socks5h => "socks5h",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            ProxyScheme::Http => 80,
            ProxyScheme::Https => 443,
            _ => 1080,
        }
    }

    pub fn is_socks(self) -> bool {
        !matches!(self, ProxyScheme::Http | ProxyScheme::Https)
    }
}

/// A proxy, as its URL describes it. Connections are pooled by all of it, credentials included: what one user
/// was let through to is not another's.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy {
    pub scheme: ProxyScheme,
    /// Lower case, IDNA-encoded, and without brackets when it is an IPv6 address.
    pub host: String,
    pub port: u16,
    /// User and password, percent-decoded.
    pub credentials: Option<(String, String)>,
}

impl Proxy {
    /// Reads a proxy's URL. Path, query and fragment mean nothing and are ignored, as in requests.
    pub fn parse(value: &str) -> Result<Proxy, Error> {
        let invalid = |why: &str| {
            // Debug formatting, so that no control character of the value reaches a log.
            let message = format!("Invalid proxy URL {:?}: {why}", without_userinfo(value));
            Error::new(ErrorKind::InvalidProxyUrl, message)
        };
        let text = value.trim();
        let (scheme, rest) = match split_scheme(text) {
            Some((name, rest)) => {
                let scheme = ProxyScheme::from_name(name).ok_or_else(|| {
                    invalid("its scheme is none of http, https, socks4, socks4a, socks5 and socks5h")
                })?;
                (scheme, rest)
            }
            None => (ProxyScheme::Http, text.strip_prefix("//").unwrap_or(text)),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        // "http:/proxy" and "http:proxy" are slips of the pen, not a host called "http".
        let slipped = split_scheme(text).is_none()
            && (authority.ends_with(':') && path.starts_with('/')
                || authority.split_once(':').is_some_and(|(name, _)| ProxyScheme::from_name(name).is_some()));
        if slipped {
            return Err(invalid("it has no host"));
        }

        let (userinfo, place) = match authority.rsplit_once('@') {
            Some((userinfo, place)) => (Some(userinfo), place),
            None => (None, authority),
        };
        let (host, port) = split_port(place).ok_or_else(|| invalid("its host or port is malformed"))?;
        if host.is_empty() {
            return Err(invalid("it has no host"));
        }
        let host = read_host(host).ok_or_else(|| invalid("its host is malformed"))?;
        let port = match port {
            "" => scheme.default_port(),
            // The digits are looked at because parse() would accept a sign.
            digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
                digits.parse().map_err(|_| invalid("its port is above 65535"))?
            }
            _ => return Err(invalid("its port is not a number")),
        };
        let credentials = userinfo.filter(|text| !text.is_empty() && *text != ":").map(|text| {
            let (user, password) = text.split_once(':').unwrap_or((text, ""));
            (percent_decode(user), percent_decode(password))
        });
        Ok(Proxy { scheme, host, port, credentials })
    }

    /// User and password, borrowed: what the handshakes take.
    pub fn login(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    /// The proxy as a message may name it: without credentials.
    pub fn shown(&self) -> String {
        format!("{}://{}", self.scheme.name(), Authority(&self.host, self.port))
    }

    /// The value of `Proxy-Authorization` for this message: Digest, once the proxy has asked for it, until then Basic,
    /// unasked. `None` without credentials, and for SOCKS, which has its own way.
    pub fn authorization(&self, known: &DigestCache, message: &Message<'_>) -> Result<Option<String>, Error> {
        let Some((user, password)) = self.login().filter(|_| !self.scheme.is_socks()) else {
            return Ok(None);
        };
        let digest = known.header(&self.shown(), user, password, message)?;
        Ok(Some(digest.unwrap_or_else(|| basic(user, password))))
    }

    /// Takes the `Proxy-Authenticate` headers of a 407. True: the next `authorization` answers them.
    pub fn challenge(&self, known: &DigestCache, challenges: &[&str], hashable: bool) -> bool {
        self.login().is_some_and(|(user, _)| known.challenge(&self.shown(), user, challenges, hashable))
    }
}

/// Never with the password: this ends up in logs and panics.
impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let login = if self.credentials.is_some() { "***@" } else { "" };
        write!(f, "{}://{login}{}", self.scheme.name(), Authority(&self.host, self.port))
    }
}

/// The scheme before `://`, when what stands there can be one: in `user:a://b@host` it cannot.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once("://").filter(|(name, _)| {
        name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    })
}

/// Host (brackets kept) and port (perhaps empty); `None` when the colons or brackets do not add up.
fn split_port(place: &str) -> Option<(&str, &str)> {
    if place.starts_with('[') {
        let (host, rest) = place.split_at(place.find(']')? + 1);
        return if rest.is_empty() { Some((host, "")) } else { Some((host, rest.strip_prefix(':')?)) };
    }
    let (host, port) = place.rsplit_once(':').unwrap_or((place, ""));
    (!host.contains([':', '[', ']'])).then_some((host, port))
}

/// The host as it is connected to; `None` when nothing can be called so.
fn read_host(host: &str) -> Option<String> {
    if let Some(inside) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        let (address, zone) = match inside.split_once('%') {
            // RFC 6874 writes "%25" before a zone, everybody else "%".
            Some((address, zone)) => (address, Some(zone.strip_prefix("25").unwrap_or(zone))),
            None => (inside, None),
        };
        let address: Ipv6Addr = address.parse().ok()?;
        return match zone {
            None => Some(address.to_string()),
            Some(zone)
                if !zone.is_empty()
                    && zone.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)) =>
            {
                Some(format!("{address}%{zone}"))
            }
            Some(_) => None,
        };
    }
    let forbidden = |c: char| c.is_control() || c.is_whitespace() || r##""#%/:<>?@[\]^`{|}"##.contains(c);
    if host.contains(forbidden) {
        return None;
    }
    if host.is_ascii() {
        return Some(host.to_ascii_lowercase());
    }
    // The deny list again, because mapping can bring forth what was looked for above: "／" becomes "/".
    let host = idna::domain_to_ascii_cow(host.as_bytes(), idna::AsciiDenyList::URL).ok()?;
    (!host.is_empty()).then(|| host.into_owned())
}

/// The proxy for one hop to `scheme://host:port`, or `None`: direct.
///
/// The request's proxies come first, then the environment's (`None` when trust_env is off), then the
/// session's. Within one of them the most precise key counts: `scheme://host`, `scheme`, `all://host`, `all`.
/// A key without a value (or with an empty one) says "direct" and ends the search. `no_proxy` speaks about
/// the environment's proxies only; a request may replace it with a `no_proxy` key of its own.
pub fn select(
    scheme: &str,
    host: &str,
    port: u16,
    request: &[(String, Option<String>)],
    environment: Option<&Environment>,
    session: &[(String, Option<String>)],
) -> Result<Option<Proxy>, Error> {
    if request.is_empty() && environment.is_none() && session.is_empty() {
        return Ok(None);
    }
    let host = without_brackets(host);
    let chosen = lookup(request, scheme, host)
        .or_else(|| from_environment(environment?, request, scheme, host, port).map(Some))
        .or_else(|| lookup(session, scheme, host))
        .flatten();
    chosen.filter(|value| !value.is_empty()).map(Proxy::parse).transpose()
}

/// What one source says: nothing, direct (`Some(None)`), or a proxy.
fn lookup<'a>(source: &'a [(String, Option<String>)], scheme: &str, host: &str) -> Option<Option<&'a str>> {
    // From the back, so that of two values given for one key the later one counts.
    let find = |wanted: &dyn Fn(&str) -> bool| {
        source.iter().rev().find(|(key, _)| wanted(key)).map(|(_, value)| value.as_deref())
    };
    let general = |name: &str| find(&|key| key.eq_ignore_ascii_case(name));
    let precise = |name: &str| {
        find(&|key| {
            key.split_once("://")
                .is_some_and(|(before, behind)| before.eq_ignore_ascii_case(name) && same_host(behind, host))
        })
    };
    precise(scheme).or_else(|| general(scheme)).or_else(|| precise("all")).or_else(|| general("all"))
}

fn from_environment<'a>(
    environment: &'a Environment,
    request: &[(String, Option<String>)],
    scheme: &str,
    host: &str,
    port: u16,
) -> Option<&'a str> {
    let proxy = environment.proxy(scheme)?;
    let own = request.iter().rev().find(|(key, _)| key.eq_ignore_ascii_case("no_proxy"));
    let no_proxy = own.and_then(|(_, value)| value.as_deref()).or(environment.no_proxy.as_deref());
    let direct = no_proxy.is_some_and(|list| is_excepted(list, host, port));
    (!direct).then_some(proxy)
}

/// Whether a `no_proxy` list names this host: `*` alone names all, otherwise entries are separated by commas.
fn is_excepted(list: &str, host: &str, port: u16) -> bool {
    if list.trim() == "*" {
        return true;
    }
    // A zone says where an address is valid, not which address it is.
    let address: Option<IpAddr> = host.split('%').next().and_then(|host| host.parse().ok());
    list.split(',').any(|entry| {
        let entry = entry.trim().trim_start_matches('.');
        !entry.is_empty()
            && (address.is_some_and(|address| names_address(entry, address, port))
                || names_host(entry, host, port))
    })
}

/// `address`, `address:port`, `[address]:port` or `network/bits`.
fn names_address(entry: &str, address: IpAddr, port: u16) -> bool {
    if let Some((network, bits)) = entry.split_once('/') {
        return match (without_brackets(network).parse(), bits.parse()) {
            (Ok(network), Ok(bits)) => is_within(address, network, bits),
            _ => false,
        };
    }
    if let Ok(named) = without_brackets(entry).parse::<IpAddr>() {
        return named == address;
    }
    let named = split_port(entry).and_then(|(host, port)| {
        Some((without_brackets(host).parse::<IpAddr>().ok()?, port.parse::<u16>().ok()?))
    });
    named == Some((address, port))
}

/// Bits of the network's own host part do not matter. A length of 0 names nothing, as in requests.
fn is_within(address: IpAddr, network: IpAddr, bits: u32) -> bool {
    match (address, network) {
        (IpAddr::V4(address), IpAddr::V4(network)) if (1..=32).contains(&bits) => {
            (address.to_bits() ^ network.to_bits()) >> (32 - bits) == 0
        }
        (IpAddr::V6(address), IpAddr::V6(network)) if (1..=128).contains(&bits) => {
            (address.to_bits() ^ network.to_bits()) >> (128 - bits) == 0
        }
        _ => false,
    }
}

/// `name` or `name:port`, for the host itself and all that ends with `.name`.
fn names_host(entry: &str, host: &str, port: u16) -> bool {
    let name = match entry.rsplit_once(':') {
        Some((name, named)) if named.parse() == Ok(port) => name,
        Some(_) => return false,
        None => entry,
    };
    canonical_host(name).is_some_and(|name| is_within_domain(host, &name))
}

/// Why a handshake did not get through.
#[derive(Debug)]
pub enum HandshakeError {
    /// The stream failed; this is its own error, so that a time-out stays a time-out and an abort an abort.
    Io(io::Error),
    /// The proxy said no, said nonsense, or hung up; or it could not be asked at all.
    Refused(String),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        HandshakeError::Io(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Io(error) => error.fmt(f),
            HandshakeError::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HandshakeError::Io(error) => Some(error),
            HandshakeError::Refused(_) => None,
        }
    }
}

pub(super) fn refused<T>(why: impl Into<String>) -> Result<T, HandshakeError> {
    Err(HandshakeError::Refused(why.into()))
}

const NO_HTTP: &str = "it did not answer CONNECT with HTTP";
const HUNG_UP: &str = "it closed the connection before its answer was complete";

impl HandshakeError {
    /// Whether the connection was over, rather than the conversation.
    pub fn is_hang_up(&self) -> bool {
        match self {
            HandshakeError::Refused(why) => why == HUNG_UP,
            HandshakeError::Io(error) => {
                match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                    Some(error) => error.kind() == ErrorKind::Connection,
                    None => true,
                }
            }
        }
    }
}

/// Reads what has arrived, at least one byte.
fn read_some<S: Read>(stream: &mut S, buffer: &mut [u8]) -> Result<usize, HandshakeError> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return refused(HUNG_UP),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Fills the buffer.
pub(super) fn read_all<S: Read>(stream: &mut S, mut buffer: &mut [u8]) -> Result<(), HandshakeError> {
    while !buffer.is_empty() {
        let count = read_some(stream, buffer)?;
        buffer = &mut buffer[count..];
    }
    Ok(())
}

/// All that a proxy may say before the tunnel stands, interim answers included.
const HEAD_LIMIT: usize = 64 * 1024;
/// No answer is shorter than this, so as much can be asked for at once.
const SHORTEST_HEAD: usize = b"HTTP/1.1 200\n\n".len();

/// What an HTTP proxy says to CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// The stream is the target's, from its first byte.
    Open,
    /// 407.
    Unauthorized(Unauthorized),
}

/// A proxy asks for other credentials than it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Unauthorized {
    /// The values of its `Proxy-Authenticate` headers.
    pub challenges: Vec<String>,
    /// How much of a body stands before the next answer; `None` where the connection ends with this one, or may.
    body: Option<usize>,
    reason: String,
}

impl Unauthorized {
    fn read(head: &[u8], reason: &str) -> Unauthorized {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let fields = || text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let values = |wanted: &'static str| {
            fields().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        let is_length = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let mut lengths = values("Content-Length");
        let length = lengths.next().filter(|value| is_length(value)).and_then(|value| value.parse().ok());
        let says_close = ["Connection", "Proxy-Connection"]
            .iter()
            .any(|name| values(name).any(|value| value.to_ascii_lowercase().contains("close")));
        let stays = head.starts_with(b"HTTP/1.1")
            && !says_close
            && lengths.next().is_none()
            && values("Transfer-Encoding").next().is_none();
        // What comes back in a header of ours must not end its line.
        let printable = |value: &str| value.replace(|c: char| c.is_control() && c != '\t', " ");
        Unauthorized {
            challenges: values("Proxy-Authenticate").map(printable).collect(),
            body: length.filter(|length| stays && *length <= HEAD_LIMIT),
            reason: reason.to_owned(),
        }
    }

    /// Reads up to where the next answer begins. False: there will be none on this stream.
    pub fn skip_body<S: Read>(&self, stream: &mut S) -> Result<bool, HandshakeError> {
        let Some(length) = self.body else { return Ok(false) };
        match read_all(stream, &mut vec![0; length]) {
            Ok(()) => Ok(true),
            Err(error) if error.is_hang_up() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// As the failure that it is when there is nothing to answer it with.
    pub fn into_error(self) -> HandshakeError {
        HandshakeError::Refused(self.reason)
    }
}

/// Asks an HTTP proxy for a tunnel to the target, which is `host:port` with brackets where it needs them: see [`authority`].
pub fn connect_tunnel<S: Read + Write>(
    stream: &mut S,
    target: &str,
    authorization: Option<&str>,
    user_agent: Option<&str>,
) -> Result<Tunnel, HandshakeError> {
    // Whoever parsed the URL has seen to this. It is repeated here because the price of a slip would be a
    // request of somebody else's making.
    if target.starts_with(':') || target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return refused("the target's host cannot be written into a CONNECT request");
    }
    if user_agent.is_some_and(|value| value.contains(['\r', '\n', '\0'])) {
        return refused("the User-Agent cannot be written into a CONNECT request");
    }
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = authorization {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    if let Some(user_agent) = user_agent {
        request += &format!("User-Agent: {user_agent}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes())?;
    stream.flush()?;

    let mut allowed = HEAD_LIMIT;
    loop {
        let head = read_head(stream, allowed)?;
        allowed -= head.len();
        match read_status(&head) {
            None => return refused(NO_HTTP),
            // 101 is final: it would switch to a protocol that nobody asked for.
            Some((100 | 102..=199, _)) => {}
            // A tunnel has no body, whatever Content-Length says (RFC 9110, 9.3.6).
            Some((200..=299, _)) => return Ok(Tunnel::Open),
            Some((code, reason)) => {
                let reason = format!("Tunnel connection failed: {code} {reason}");
                if code == 407 {
                    return Ok(Tunnel::Unauthorized(Unauthorized::read(&head, reason.trim_end())));
                }
                return refused(reason.trim_end());
            }
        }
    }
}

/// Reads up to the empty line that ends a head, and not one byte of what the target sends behind it.
///
/// There is no way to give bytes back to the stream, so only as many are asked for as the head must still
/// have: two, or one behind a line's end. (A head that ends with bare line feeds, which some proxies write,
/// leaves no room for more.)
fn read_head<S: Read>(stream: &mut S, allowed: usize) -> Result<Vec<u8>, HandshakeError> {
    let mut head = Vec::with_capacity(128);
    let mut chunk = [0; SHORTEST_HEAD];
    loop {
        let wanted = match head.len() {
            short if short < SHORTEST_HEAD => SHORTEST_HEAD - short,
            _ if head.ends_with(b"\n") || head.ends_with(b"\n\r") => 1,
            _ => 2,
        };
        if head.len() + wanted > allowed {
            return refused(format!("its answer to CONNECT is longer than {HEAD_LIMIT} bytes"));
        }
        let count = read_some(stream, &mut chunk[..wanted])?;
        head.extend_from_slice(&chunk[..count]);
        // Told at once, lest the rest of something that is not HTTP be waited for.
        let known = head.len().min(PROTOCOL.len());
        if head[..known] != PROTOCOL[..known] {
            return refused(NO_HTTP);
        }
        if head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n") {
            return Ok(head);
        }
    }
}

const PROTOCOL: &[u8] = b"HTTP/1.";

/// Code and reason of the status line.
fn read_status(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    let [minor, b' ', rest @ ..] = line.strip_prefix(PROTOCOL)? else { return None };
    let (code, reason) = rest.split_at_checked(3)?;
    let separated = reason.is_empty() || reason.starts_with(b" ");
    if !minor.is_ascii_digit() || !separated || !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' {
        return None;
    }
    let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    // A stranger's text on its way into an error message: one line, and not too much of it.
    let printable = |byte: &u8| if byte.is_ascii_control() { ' ' } else { *byte as char };
    Some((code, reason.trim_ascii().iter().take(200).map(printable).collect()))
}

/// Proxies of the tests' own making: real sockets, and a thread that plays the other side.
#[cfg(test)]
pub(super) mod playing {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    /// A stream to a proxy that does as told. Join the handle to see its panics and what it returns.
    pub fn proxy<T: Send + 'static>(
        play: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (TcpStream, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            play(stream)
        });
        (stream, thread)
    }

    /// Fails unless the client sends exactly these bytes next.
    pub fn expect(stream: &mut TcpStream, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    /// Sends each byte in a packet of its own.
    pub fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
        for byte in bytes {
            stream.write_all(&[*byte]).unwrap();
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Reads the request's head of a CONNECT.
    pub fn request_head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn reason(result: Result<(), HandshakeError>) -> String {
        match result {
            Err(HandshakeError::Refused(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn parsed(value: &str) -> Proxy {
        Proxy::parse(value).unwrap_or_else(|error| panic!("{value}: {error}"))
    }

    fn complaint(value: &str) -> String {
        let error = Proxy::parse(value).expect_err(value);
        assert_eq!(error.kind(), ErrorKind::InvalidProxyUrl, "{value}");
        error.to_string()
    }

    #[test]
    fn without_a_scheme_it_is_http() {
        for value in [
            "proxy",
            "//proxy",
            "http://proxy",
            "HTTP://Proxy/",
            " http://proxy ",
            "http://proxy:",
            "proxy:80",
        ] {
            assert_eq!(parsed(value).shown(), "http://proxy:80", "{value}");
        }
        // requests takes this "localhost" for a scheme, and refuses.
        assert_eq!(parsed("localhost:3128").shown(), "http://localhost:3128");
        assert_eq!(parsed("u:p@1.2.3.4:80/path?q#f").shown(), "http://1.2.3.4:80");
        assert_eq!(parsed("[::1]:3128").shown(), "http://[::1]:3128");
    }

    #[test]
    fn every_scheme_has_its_default_port() {
        for (value, scheme, port) in [
            ("http://p", ProxyScheme::Http, 80),
            ("https://p", ProxyScheme::Https, 443),
            ("socks4://p", ProxyScheme::Socks4, 1080),
            ("socks4a://p", ProxyScheme::Socks4a, 1080),
            ("Socks5://p", ProxyScheme::Socks5, 1080),
            ("socks5h://p", ProxyScheme::Socks5h, 1080),
        ] {
            let proxy = parsed(value);
            assert_eq!((proxy.scheme, proxy.port), (scheme, port));
            assert_eq!(scheme.is_socks(), value.to_lowercase().starts_with("socks"));
        }
    }

    #[test]
    fn hosts_are_read_as_a_connection_needs_them() {
        assert_eq!(parsed("socks5://[0:0::1]:9").host, "::1");
        assert_eq!(parsed("http://[fe80::1%25eth0]:3").host, "fe80::1%eth0");
        assert_eq!(parsed("http://[fe80::1%eth0]").host, "fe80::1%eth0");
        assert_eq!(parsed("http://bücher.de").host, "xn--bcher-kva.de");
        assert_eq!(parsed("http://P_x.Example:1").host, "p_x.example");
    }

    #[test]
    fn a_url_without_a_host_is_an_invalid_proxy_url() {
        for value in [
            "",
            " ",
            "http://",
            "https://",
            "http:///proxy",
            "http://:80",
            "http://u:p@",
            "http://u:p@:80",
            "//",
            "/proxy",
            "http:/proxy:3128",
            "http:proxy",
            "http:8080",
            "socks5:p",
            "htp:/proxy",
            ":80",
            "?",
            "http://?x",
            "@",
            "http://#",
        ] {
            let message = complaint(value);
            assert!(value.contains('@') || message.contains(&format!("{value:?}")), "{message}");
            assert!(!message.contains('@'), "{message}");
        }
    }

    #[test]
    fn malformed_proxy_urls_are_refused_by_name() {
        for value in [
            "ftp://p",
            "socks://p",
            "socks6://p",
            "://p",
            "http://p:99999",
            "http://p:abc",
            "http://p:+80",
            "http://p:-1",
            "http://p q",
            "http://::1:80",
            "http://[::1",
            "http://[::1]x",
            "http://[p]",
            "http://[::1%25]",
            "http://[::1%a b]",
            "http://a]b",
            "http://a%20b",
            "http://p\u{0}",
            "http://☃\u{200b}<",
            "http://a／b",
            "http://\u{ad}",
            "http://[]",
            "http://]",
            "http://[",
        ] {
            assert!(complaint(value).contains(&format!("{value:?}")), "{value}");
        }
        assert!(complaint("ftp://p").contains("scheme"));
        assert!(complaint("http://p:99999").contains("65535"));
    }

    #[test]
    fn passwords_never_reach_a_message() {
        for value in [
            "ftp://user:secret@p",
            "http://user:secret@p:x",
            "http://user:secret@",
            "http:/user:secret@p",
            "user:secret@p:x",
            "http://user:sec/secret@p",
            "http://user:secret@secret@p:x",
            "user:secret://secret@p",
            " ftp://user:secret@p",
            "http://user:secret\u{e9}@p:x",
            "ftp://:secret@p",
            "http:user:secret@p",
        ] {
            let message = complaint(value);
            assert!(!message.contains("secret") && !message.contains("user"), "{message}");
        }
        let proxy = parsed("http://user:secret@p");
        assert_eq!((format!("{proxy:?}"), proxy.shown()), ("http://***@p:80".into(), "http://p:80".into()));
    }

    #[test]
    fn credentials_in_the_url_are_percent_decoded() {
        let login = |value: &str| parsed(value).credentials;
        let both = |user: &str, password: &str| Some((user.to_owned(), password.to_owned()));
        assert_eq!(login("http://u%40:p%3A@p"), both("u@", "p:"));
        assert_eq!(login("http://u:p@ss:x@p"), both("u", "p@ss:x"));
        assert_eq!(login("http://u:100%@p"), both("u", "100%"));
        assert_eq!(login("http://u:%zz%4@p"), both("u", "%zz%4"));
        assert_eq!(login("http://%C3%BC:%FC@p"), both("ü", "ü"));
        assert_eq!(login("http://user:@p"), both("user", ""));
        // requests drops a user without a password; curl and we send it.
        assert_eq!(login("http://user@p"), both("user", ""));
        assert_eq!(login("http://:pw@p"), both("", "pw"));
        for none in ["http://p", "http://@p", "http://:@p"] {
            assert_eq!(login(none), None);
        }
    }

    #[test]
    fn a_forward_proxy_gets_basic_authorization() {
        let authorization = |url| parsed(url).authorization(&DigestCache::new(), &CONNECT).unwrap();
        assert_eq!(authorization("http://user:pass@p").as_deref(), Some("Basic dXNlcjpwYXNz"));
        assert_eq!(authorization("https://user:@p").as_deref(), Some("Basic dXNlcjo="));
        assert_eq!(authorization("http://p"), None);
        assert_eq!(authorization("socks5://user:pass@p"), None);
        // ISO-8859-1 as in requests, UTF-8 for what does not fit (where requests fails).
        assert_eq!(basic("é", ""), "Basic 6To=");
        assert_eq!(basic("€", ""), "Basic 4oKsOg==");
    }

    type Source = Vec<(String, Option<String>)>;

    /// "http=a, all=-": a dash is direct.
    fn source(text: &str) -> Source {
        let pair = |text: &str| {
            let (key, value) = text.trim().split_once('=').unwrap();
            (key.to_owned(), (value != "-").then(|| value.to_owned()))
        };
        text.split(';').filter(|text| !text.trim().is_empty()).map(pair).collect()
    }

    fn environment(text: &str) -> Environment {
        let mut environment = Environment::default();
        for (key, value) in source(text) {
            match key.as_str() {
                "http" => environment.http_proxy = value,
                "https" => environment.https_proxy = value,
                "all" => environment.all_proxy = value,
                "no" => environment.no_proxy = value,
                _ => panic!("{key}"),
            }
        }
        environment
    }

    /// The chosen proxy's host for http://h.example.com/, or "-".
    fn chosen(request: &str, env: &str, session: &str) -> String {
        let (request, env, session) = (source(request), environment(env), source(session));
        let proxy = select("http", "h.example.com", 80, &request, Some(&env), &session).unwrap();
        proxy.map_or("-".into(), |proxy| proxy.host)
    }

    #[test]
    fn the_request_comes_before_the_environment_and_that_before_the_session() {
        assert_eq!(chosen("http=r", "http=e", "http=s"), "r");
        assert_eq!(chosen("", "http=e", "http=s"), "e");
        assert_eq!(chosen("", "", "http=s"), "s");
        assert_eq!(chosen("", "", ""), "-");
        assert_eq!(chosen("https=r", "https=e", "http=s"), "s");
        assert_eq!(chosen("", "all=e", "https=s"), "e");
        // Here requests, which merges all keys before it looks, would say "e", "s" and "s".
        assert_eq!(chosen("all=r", "http=e", ""), "r");
        assert_eq!(chosen("http=r", "", "http://h.example.com=s"), "r");
        assert_eq!(chosen("", "all=e", "http=s"), "e");
    }

    #[test]
    fn the_most_precise_key_counts() {
        let all = "all=4; all://h.example.com=3; http=2; http://h.example.com=1";
        assert_eq!(chosen(all, "", ""), "1");
        assert_eq!(chosen("", "", all), "1");
        assert_eq!(chosen("all=4; all://h.example.com=3; http=2; http://example.com=1", "", ""), "2");
        assert_eq!(chosen("all=4; all://h.example.com=3; https=2", "", ""), "3");
        assert_eq!(chosen("all=4; all://other=3", "", ""), "4");
        assert_eq!(chosen("ALL://H.Example.com=3; all=4", "", ""), "3");
        assert_eq!(chosen("http=old; http=new", "", ""), "new");
        for key in ["http://::1", "http://[::1]"] {
            let request = source(&format!("{key}=1"));
            assert!(select("http", "[::1]", 80, &request, None, &[]).unwrap().is_some());
            assert!(select("http", "::1", 80, &request, None, &[]).unwrap().is_some());
        }
    }

    #[test]
    fn the_host_of_a_key_is_the_same_host_as_in_urls() {
        for (key, host) in [
            ("http://b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("all://B\u{dc}CHER.example", "xn--bcher-kva.example"),
            ("http://[0:0::1]", "::1"),
            ("http://::1", "::1"),
        ] {
            let request = [(key.to_owned(), Some("http://p".to_owned()))];
            let proxy = select("http", host, 80, &request, None, &[]).unwrap();
            assert_eq!(proxy.map(|proxy| proxy.host).as_deref(), Some("p"), "{key}");
            assert_eq!(select("http", "other.example", 80, &request, None, &[]).unwrap(), None, "{key}");
        }
    }

    #[test]
    fn a_key_without_a_value_means_direct() {
        assert_eq!(chosen("http=-", "http=e", "http=s"), "-");
        assert_eq!(chosen("http=", "http=e", "http=s"), "-");
        // requests would go on to "all" here; the header says: NULL is direct.
        assert_eq!(chosen("http=-", "all=e", "all=s"), "-");
        assert_eq!(chosen("http=-; all=r", "", ""), "-");
        assert_eq!(chosen("all=-", "http=e", "http=s"), "-");
        assert_eq!(chosen("https=-", "http=e", ""), "e");
        assert_eq!(chosen("", "", "http=-; all=s"), "-");
    }

    #[test]
    fn the_environment_is_not_asked_when_it_is_not_trusted() {
        assert_eq!(select("http", "h", 80, &[], None, &[]).unwrap(), None);
        let session = source("http=s");
        assert_eq!(select("http", "h", 80, &[], None, &session).unwrap().unwrap().host, "s");
    }

    #[test]
    fn a_bad_proxy_fails_only_the_requests_that_would_use_it() {
        let bad = source("http=http://");
        assert_eq!(select("http", "h", 80, &bad, None, &[]).unwrap_err().kind(), ErrorKind::InvalidProxyUrl);
        assert_eq!(select("https", "h", 443, &bad, None, &[]).unwrap(), None);
    }

    #[test]
    fn no_proxy_speaks_about_the_environments_proxies_only() {
        assert_eq!(chosen("", "http=e; no=example.com", ""), "-");
        assert_eq!(chosen("", "http=e; no=example.com", "http=s"), "s");
        assert_eq!(chosen("http=r", "http=e; no=example.com", ""), "r");
        // A request's own list stands in the place of the environment's; an empty one lifts it.
        assert_eq!(chosen("no_proxy=example.com", "http=e", ""), "-");
        assert_eq!(chosen("no_proxy=other", "http=e; no=example.com", ""), "e");
        assert_eq!(chosen("no_proxy=", "http=e; no=example.com", ""), "e");
        assert_eq!(chosen("no_proxy=-", "http=e; no=example.com", ""), "-");
        assert_eq!(chosen("", "http=e", "no_proxy=example.com"), "e");
        assert_eq!(chosen("no_proxy=example.com; http=r", "", ""), "r");
    }

    #[test]
    fn no_proxy_names_domains_ports_addresses_and_networks() {
        let excepted = |place: &str, list: &str| {
            let (host, port) = split_port(place).unwrap();
            is_excepted(
                list,
                without_brackets(host),
                if port.is_empty() { 80 } else { port.parse().unwrap() },
            )
        };
        for (place, list) in [
            ("example.com", "example.com"),
            ("example.com", ".example.com"),
            ("example.com", "..example.com"),
            ("h.example.com", "example.com"),
            ("h.example.com", "com"),
            ("h.example.com:8080", "example.com:8080"),
            ("h.example.com:8080", ".EXAMPLE.com:8080"),
            ("example.com", " a , example.com ,b,"),
            ("example.com", "EXAMPLE.com"),
            ("localhost", "localhost,"),
            ("example.com", "*"),
            ("10.1.2.3", "*"),
            ("10.1.2.3", "10.1.2.3"),
            ("10.1.2.3", "10.0.0.0/8"),
            ("10.1.2.3", "10.9.9.9/8"),
            ("10.1.2.3", "10.1.2.3/32"),
            ("10.1.2.3", "2.3"),
            ("::1", "::1"),
            // The rest is more than requests does: it knows ports of names only when they stand in the URL,
            // no port of an address, IPv6 only letter by letter, and no white space around "*".
            ("example.com", "example.com:80"),
            ("10.1.2.3:80", "10.1.2.3:80"),
            ("[::1]", "[::1]"),
            ("[::1]:80", "[::1]:80"),
            ("[fd00::5]", "fd00:0::5"),
            ("[fd00::5]", "fd00::/8"),
            ("[fd00::5]", "[fd00::]/8"),
            ("[fe80::1%eth0]", "fe80::/10"),
            ("example.com", " * "),
            ("xn--bcher-kva.example", "b\u{fc}cher.example"),
            ("www.xn--bcher-kva.example:81", ".B\u{dc}cher.Example:81"),
        ] {
            let place = if place == "::1" { "[::1]" } else { place };
            assert!(excepted(place, list), "{place} {list:?}");
        }
        for (place, list) in [
            ("example.com", ""),
            ("example.com", " , ,."),
            ("notexample.com", "example.com"),
            ("com", "example.com"),
            ("example.com", "h.example.com"),
            ("h.example.com:8081", "example.com:8080"),
            ("example.com", "a,*"),
            ("a.example.com", "*.example.com"),
            ("example.com", "a example.com"),
            ("example.com", "http://example.com"),
            ("example.com", "example.com."),
            ("example.com", "example.com:"),
            ("10.1.2.3", "10.1.2.3:81"),
            ("10.1.2.3", "11.0.0.0/8"),
            ("10.1.2.3", "0.0.0.0/0"),
            ("10.1.2.3", "10.1.2.3/33"),
            ("10.1.2.3", "10.1.2.3/"),
            ("10.1.2.3", "10.1.2.3/x"),
            ("10.1.2.3", "/8"),
            ("10.1.2.3", "::/1"),
            ("[::1]", "0.0.0.0/1"),
            ("[::1]", "::1/129"),
            ("[::1]", "[::1]:81"),
            ("[::1]", "[::1"),
            ("[::1]", "]"),
            ("example.com", "10.0.0.0/8"),
            ("exämple", "\u{a4}mple"),
            ("xn--bcher-kva.example", "cher.example"),
        ] {
            assert!(!excepted(place, list), "{place} {list:?}");
        }
    }

    const EMPTY: &[u8] = b"";
    const CONNECT: Message<'static> = Message { method: "CONNECT", target: "example.com:443", body: &EMPTY };

    #[test]
    fn a_proxy_that_has_asked_for_digest_gets_digest() {
        let known = DigestCache::new();
        let asked = ["Basic realm=r, Digest realm=r, nonce=n, qop=auth"];
        let proxy = parsed("http://user:pass@p");
        assert!(!proxy.challenge(&known, &["Basic realm=r"], true));
        assert!(!parsed("http://p").challenge(&known, &asked, true));
        assert!(proxy.challenge(&known, &asked, true));
        let header = proxy.authorization(&known, &CONNECT).unwrap().unwrap();
        assert!(header.starts_with("Digest username=\"user\", "), "{header}");
        assert!(header.contains(", uri=\"example.com:443\", "), "{header}");
        let other = parsed("http://user:pass@p:81").authorization(&known, &CONNECT).unwrap();
        assert_eq!(other.as_deref(), Some("Basic dXNlcjpwYXNz"));
        assert!(!parsed("http://a%0d%0ab:pass@p").challenge(&known, &asked, true));
    }

    #[test]
    fn behind_a_challenge_a_connection_goes_on_where_it_stays() {
        const ASKED: &str = "HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm=r\r\nProxy-Authenticate: Digest nonce=\"\x01\"\r\n";
        for (fields, body, goes_on) in [
            ("Content-Length: 4\r\n", "body", true),
            ("Content-Length: 0\r\n", "", true),
            ("Content-Length: 4\r\n", "cut", false),
            ("Content-Length: 4\r\nConnection: foo, Close\r\n", "body", false),
            ("Content-Length: 4\r\nProxy-Connection: close\r\n", "body", false),
            ("Content-Length: 4\r\nContent-Length: 5\r\n", "body", false),
            ("Content-Length: +4\r\n", "body", false),
            ("Content-Length: 99999999999\r\n", "body", false),
            ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", false),
            ("", "body", false),
        ] {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                stream.write_all(format!("{ASKED}{fields}\r\n{body}").as_bytes()).unwrap();
                if goes_on {
                    playing::request_head(&mut stream);
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                }
            });
            let Tunnel::Unauthorized(answer) = connect_tunnel(&mut stream, "h:1", None, None).unwrap() else {
                panic!("{fields}");
            };
            assert_eq!(answer.challenges, ["Basic realm=r", "Digest nonce=\" \""]);
            assert_eq!(answer.skip_body(&mut stream).unwrap(), goes_on, "{fields}");
            if goes_on {
                assert_eq!(connect_tunnel(&mut stream, "h:1", None, None).unwrap(), Tunnel::Open);
            }
            drop(stream);
            proxy.join().unwrap();
        }
    }

    fn opened(tunnel: Tunnel) -> Result<(), HandshakeError> {
        match tunnel {
            Tunnel::Open => Ok(()),
            Tunnel::Unauthorized(answer) => Err(answer.into_error()),
        }
    }

    fn tunnel(stream: &mut (impl Read + Write)) -> Result<(), HandshakeError> {
        connect_tunnel(stream, "example.com:443", None, None).and_then(opened)
    }

    #[test]
    fn connect_names_the_target_and_carries_credentials() {
        let (mut stream, proxy) = playing::proxy(|mut stream| {
            let head = playing::request_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            head
        });
        let authorization =
            parsed("http://user:pass@p").authorization(&DigestCache::new(), &CONNECT).unwrap();
        connect_tunnel(&mut stream, "example.com:443", authorization.as_deref(), Some("agent/1")).unwrap();
        assert_eq!(
            proxy.join().unwrap(),
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
             Proxy-Authorization: Basic dXNlcjpwYXNz\r\nUser-Agent: agent/1\r\n\r\n"
        );
        for host in ["::1", "[::1]"] {
            let (mut stream, proxy) = playing::proxy(|mut stream| {
                let head = playing::request_head(&mut stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                head
            });
            connect_tunnel(&mut stream, &Authority(host, 8443).to_string(), None, None).unwrap();
            assert_eq!(proxy.join().unwrap(), "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n");
        }
    }

    const ACCEPTING: [&[u8]; 9] = [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 200\n\n",
        b"HTTP/1.1 299 Fine\r\nVia: me\r\nX: y\n\r\n",
        b"HTTP/1.1 200 OK\nVia: me\r\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102\nA: b\n\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n\
          HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 \xff\xfe\r\nName: \r\r\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n",
    ];

    #[test]
    fn not_a_byte_behind_the_proxys_head_is_read() {
        for answer in ACCEPTING {
            for behind in [&b"\x16\x03\x03 from the target"[..], b"\r\n\r\n", b"\n"] {
                let (mut stream, proxy) = playing::proxy(move |mut stream| {
                    playing::request_head(&mut stream);
                    stream.write_all(&[answer, behind].concat()).unwrap();
                });
                tunnel(&mut stream).unwrap();
                proxy.join().unwrap();
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, behind, "{}", answer.escape_ascii());
            }
        }
    }

    #[test]
    fn a_head_of_any_length_and_with_any_ends_of_lines_is_read_exactly() {
        for length in 0..8 {
            for end in ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"] {
                let head = format!("HTTP/1.1 200 {}{end}", "x".repeat(length));
                let (mut stream, proxy) = playing::proxy(move |mut stream| {
                    playing::request_head(&mut stream);
                    stream.write_all(format!("{head}behind").as_bytes()).unwrap();
                });
                tunnel(&mut stream).unwrap();
                proxy.join().unwrap();
                let mut rest = String::new();
                stream.read_to_string(&mut rest).unwrap();
                assert_eq!(rest, "behind", "{length} {end:?}");
            }
        }
    }

    #[test]
    fn an_answer_may_arrive_byte_by_byte() {
        for answer in ACCEPTING {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                playing::trickle(&mut stream, &[answer, b"!"].concat());
            });
            tunnel(&mut stream).unwrap();
            proxy.join().unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "!");
        }
    }

    #[test]
    fn a_truncated_answer_is_no_tunnel() {
        let answer = b"HTTP/1.1 200 OK\r\nVia: me\r\n\r\n";
        for length in 0..answer.len() {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                stream.write_all(&answer[..length]).unwrap();
            });
            assert!(playing::reason(tunnel(&mut stream)).contains("closed the connection"), "{length}");
            proxy.join().unwrap();
        }
    }

    fn told(answer: &'static [u8]) -> String {
        let (mut stream, proxy) = playing::proxy(move |mut stream| {
            playing::request_head(&mut stream);
            stream.write_all(answer).unwrap();
            // Left open: whoever waits for more than there is runs into the time-out.
            stream
        });
        let why = playing::reason(tunnel(&mut stream));
        proxy.join().unwrap();
        why
    }

    #[test]
    fn a_refusal_names_status_and_reason() {
        assert_eq!(
            told(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"),
            "Tunnel connection failed: 407 Proxy Authentication Required"
        );
        assert_eq!(told(b"HTTP/1.0 503\r\n\r\n"), "Tunnel connection failed: 503");
        assert_eq!(told(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "Tunnel connection failed: 302 Found");
        assert_eq!(
            told(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            "Tunnel connection failed: 101 Switching Protocols"
        );
        assert_eq!(told(b"HTTP/1.1 500 a\x1b[31m\tb\r\n\r\n"), "Tunnel connection failed: 500 a [31m b");
    }

    #[test]
    fn what_is_not_http_is_told_at_once() {
        for answer in [
            &b"\x15\x03\x03\x00\x02\x02\x28"[..],
            b"SSH-2.0-x\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"<html>",
            b"\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 +20 OK\r\n\r\n",
            b"HTTP/1.x 200 OK\r\n\r\n",
            b"HTTP/1.10 200 OK\r\n\r\n",
            b"HTTP/1.\r\n\r\n\r\n\r\n\r\n",
        ] {
            assert_eq!(told(answer), NO_HTTP, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn an_endless_head_ends_at_its_limit() {
        let endless: [&'static [u8]; 3] =
            [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"];
        for piece in endless {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                let mut sent = 0;
                while stream.write_all(piece).is_ok() && sent < 4 * HEAD_LIMIT {
                    sent += piece.len();
                }
            });
            let why = playing::reason(tunnel(&mut stream));
            assert!(why.contains("longer than 65536"), "{why}");
            drop(stream);
            proxy.join().unwrap();
        }
    }

    #[test]
    fn errors_of_the_stream_pass_through_untouched() {
        let (mut stream, proxy) = playing::proxy(|mut stream| {
            playing::request_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
            stream
        });
        stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        match tunnel(&mut stream) {
            Err(HandshakeError::Io(error)) => {
                assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
            }
            other => panic!("{other:?}"),
        }
        proxy.join().unwrap();

        /// What no real socket does: fails with an error of the library's own.
        struct Aborted;
        impl Read for Aborted {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other(Error::new(ErrorKind::Aborted, "aborted")))
            }
        }
        impl Write for Aborted {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let Err(HandshakeError::Io(error)) = tunnel(&mut Aborted) else { panic!("not the stream's error") };
        assert_eq!(error.downcast::<Error>().unwrap().kind(), ErrorKind::Aborted);
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_request() {
        for (host, agent) in [("a b", None), ("a\r\nX: y", None), ("", None), ("a", Some("x\r\nY: z"))] {
            // This proxy only tells what it was sent.
            let (mut stream, proxy) = playing::proxy(|mut stream| {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                got
            });
            playing::reason(
                connect_tunnel(&mut stream, &Authority(host, 1).to_string(), None, agent).and_then(opened),
            );
            drop(stream);
            assert!(proxy.join().unwrap().is_empty());
        }
    }
}
