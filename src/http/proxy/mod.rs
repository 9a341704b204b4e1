//! Proxies: what a proxy's URL says, which proxy a request goes through, and how one is spoken to.

pub mod choice;
pub mod socks;
pub mod tunnel;

use std::fmt;
use std::net::Ipv6Addr;

use super::auth::basic;
use super::digest::{DigestCache, Message};
use crate::message::error::{Error, ErrorKind};
use crate::message::host::Authority;
use crate::message::percent::percent_decode;
use crate::message::url::without_userinfo;

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
            let message = format!("Invalid proxy URL \"{}\": {why}", without_userinfo(value));
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

#[cfg(test)]
mod tests {
    use super::*;

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
            let shown = format!("\"{}\"", value.replace('\0', "\\x00"));
            assert!(complaint(value).contains(&shown), "{value:?}");
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
}
