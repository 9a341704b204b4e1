//! Which proxy a request goes through: its own, the environment's or the session's, and what `no_proxy` takes out.

use std::net::IpAddr;

use super::{Proxy, split_port};
use crate::message::error::Error;
use crate::message::host::{canonical_host, is_within_domain, same_host, without_brackets};
use crate::system::environment::Environment;

/// The proxy for one hop to `scheme://host:port`, or `None`: direct.
///
/// The request's proxies come first, then the environment's (`None` when trust_env is off), then the
/// session's. Within one of them the most precise key counts: `scheme://host`, `scheme`, `all://host`, `all`.
/// A key without a value (or with an empty one) says "direct" and ends the search. `no_proxy` speaks about
/// the environment's proxies only; a request may replace it with a `no_proxy` key of its own. The argument `no_proxy`,
/// where it is given, replaces both of these lists, and speaks about all proxies.
pub fn select(
    scheme: &str,
    host: &str,
    port: u16,
    request: &[(String, Option<String>)],
    environment: Option<&Environment>,
    session: &[(String, Option<String>)],
    no_proxy: Option<&str>,
) -> Result<Option<Proxy>, Error> {
    if request.is_empty() && environment.is_none() && session.is_empty() {
        return Ok(None);
    }
    let host = without_brackets(host);
    if no_proxy.is_some_and(|list| is_excepted(list, host, port)) {
        return Ok(None);
    }
    let of_environment = || match no_proxy {
        Some(_) => environment?.proxy(scheme),
        None => from_environment(environment?, request, scheme, host, port),
    };
    let chosen = lookup(request, scheme, host)
        .or_else(|| of_environment().map(Some))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::error::ErrorKind;

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
        let proxy = select("http", "h.example.com", 80, &request, Some(&env), &session, None).unwrap();
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
            assert!(select("http", "[::1]", 80, &request, None, &[], None).unwrap().is_some());
            assert!(select("http", "::1", 80, &request, None, &[], None).unwrap().is_some());
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
            let proxy = select("http", host, 80, &request, None, &[], None).unwrap();
            assert_eq!(proxy.map(|proxy| proxy.host).as_deref(), Some("p"), "{key}");
            assert_eq!(
                select("http", "other.example", 80, &request, None, &[], None).unwrap(),
                None,
                "{key}"
            );
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
        assert_eq!(select("http", "h", 80, &[], None, &[], None).unwrap(), None);
        let session = source("http=s");
        assert_eq!(select("http", "h", 80, &[], None, &session, None).unwrap().unwrap().host, "s");
    }

    #[test]
    fn a_bad_proxy_fails_only_the_requests_that_would_use_it() {
        let bad = source("http=http://");
        assert_eq!(
            select("http", "h", 80, &bad, None, &[], None).unwrap_err().kind(),
            ErrorKind::InvalidProxyUrl
        );
        assert_eq!(select("https", "h", 443, &bad, None, &[], None).unwrap(), None);
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
    fn a_list_of_its_own_speaks_about_all_proxies() {
        let chosen = |request: &str, env: &str, session: &str, list: &str| {
            let (request, env, session) = (source(request), environment(env), source(session));
            let proxy =
                select("http", "h.example.com", 80, &request, Some(&env), &session, Some(list)).unwrap();
            proxy.map_or("-".into(), |proxy| proxy.host)
        };
        for (request, env, session) in [("http=r", "", ""), ("", "http=e", ""), ("", "", "http=s")] {
            assert_eq!(chosen(request, env, session, "example.com"), "-");
            assert_ne!(chosen(request, env, session, "other"), "-");
            assert_ne!(chosen(request, env, session, ""), "-");
        }
        // In the place of the environment's and of a key's.
        assert_eq!(chosen("", "http=e; no=example.com", "", "other"), "e");
        assert_eq!(chosen("no_proxy=example.com", "http=e", "", ""), "e");
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
}
