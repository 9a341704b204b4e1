//! Which adapter a URL goes by: requests' `Session.mount`.

use std::fmt;
use std::sync::Arc;

use super::adapter::Adapter;
use crate::message::host::{Authority, canonical_host};
use crate::message::prepared::BaseAdapter;
use crate::message::url::{Scheme, Url, split_scheme};

/// What sends requests.
#[derive(Clone)]
pub enum AnyAdapter {
    /// Over connections.
    Http(Arc<Adapter>),
    /// A function of the user's.
    Custom(Arc<dyn BaseAdapter>),
}

impl AnyAdapter {
    /// Whether they are the same.
    pub fn is(&self, other: &AnyAdapter) -> bool {
        match (self, other) {
            (AnyAdapter::Http(one), AnyAdapter::Http(other)) => Arc::ptr_eq(one, other),
            (AnyAdapter::Custom(one), AnyAdapter::Custom(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }

    fn is_crowded(&self) -> bool {
        matches!(self, AnyAdapter::Http(adapter) if adapter.is_crowded())
    }
}

/// The beginning of URLs: a scheme, or a scheme, a host and a port, and then the beginning of what follows. It shows
/// itself as it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prefix {
    scheme: String,
    authority: Option<(String, u16)>,
    target: String,
}

/// The port of these digits; None: it is none.
fn port(digits: &str) -> Option<u16> {
    let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| is_plain && *port > 0)
}

impl Prefix {
    /// None: it is none.
    pub fn parse(text: &str) -> Option<Prefix> {
        let (scheme, rest) = split_scheme(text, true)?;
        let rest = rest.strip_prefix("//")?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, target) = rest.split_at(rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len()));
        if authority.is_empty() {
            let nothing = Prefix { scheme, authority: None, target: String::new() };
            return target.is_empty().then_some(nothing);
        }
        if authority.contains('@') {
            return None;
        }
        let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
        let (host, given) = port_at.map_or((authority, ""), |at| (&authority[..at], &authority[at + 1..]));
        let port = match given {
            // As URLs of this scheme have it.
            "" => if scheme == "https" { Scheme::Https } else { Scheme::Http }.default_port(),
            given => port(given)?,
        };
        let host = canonical_host(host)?.into_owned();
        Some(Prefix { scheme, authority: Some((host, port)), target: target.into() })
    }

    fn is_of(&self, url: &Url) -> bool {
        self.scheme == url.scheme_name()
            && self.authority.as_ref().is_none_or(|(host, port)| host == url.host() && *port == url.port())
            && url.target().starts_with(&self.target)
    }

    fn len(&self) -> usize {
        self.to_string().len()
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some((host, port)) = &self.authority {
            Authority(host, *port).fmt(f)?;
        }
        f.write_str(&self.target)
    }
}

/// What a session has mounted, the longest prefix first.
#[derive(Clone, Default)]
pub struct Mounts(Vec<(Prefix, AnyAdapter)>);

impl Mounts {
    /// Mounts, in the place of what this prefix had, or takes that away. What it had comes back.
    #[must_use]
    pub fn set(&mut self, prefix: Prefix, adapter: Option<AnyAdapter>) -> Option<AnyAdapter> {
        let at = self.0.iter().position(|(other, _)| *other == prefix);
        match (at, adapter) {
            (Some(at), Some(adapter)) => Some(std::mem::replace(&mut self.0[at].1, adapter)),
            (Some(at), None) => Some(self.0.remove(at).1),
            (None, Some(adapter)) => {
                let at = self.0.partition_point(|(other, _)| other.len() >= prefix.len());
                self.0.insert(at, (prefix, adapter));
                None
            }
            (None, None) => None,
        }
    }

    /// What URLs below a prefix go by.
    pub fn find(&self, url: &Url) -> Option<&AnyAdapter> {
        self.0.iter().find(|(prefix, _)| prefix.is_of(url)).map(|(_, adapter)| adapter)
    }

    pub fn has_scheme(&self, scheme: &str) -> bool {
        self.0.iter().any(|(prefix, _)| prefix.scheme == scheme)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = (&Prefix, &AnyAdapter)> {
        self.0.iter().map(|(prefix, adapter)| (prefix, adapter))
    }

    /// Whether a request may have to wait for its turn at one of them.
    pub fn are_crowded(&self) -> bool {
        self.0.iter().any(|(_, adapter)| adapter.is_crowded())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::adapter::AdapterSettings;

    fn mounted(prefixes: &[&str]) -> (Mounts, Vec<AnyAdapter>) {
        let mut mounts = Mounts::default();
        let adapters: Vec<_> = prefixes
            .iter()
            .map(|prefix| {
                let adapter = AnyAdapter::Http(Arc::new(Adapter::new(AdapterSettings::default())));
                assert!(mounts.set(Prefix::parse(prefix).unwrap(), Some(adapter.clone())).is_none());
                adapter
            })
            .collect();
        (mounts, adapters)
    }

    #[test]
    fn the_longest_prefix_wins_and_a_host_ends_where_it_ends() {
        let prefixes = [
            "https://",
            "https://A.example",
            "https://a.example:8443",
            "https://a.example/api",
            "https://a.example/api/v2?x=",
            "mock://",
            "http://[::1]:80/",
            "https://b\u{fc}cher.example",
        ];
        let (mounts, adapters) = mounted(&prefixes);
        let found = |url: &str| {
            let url = Url::parse_mounted(url, &|scheme| mounts.has_scheme(scheme)).unwrap();
            let found = mounts.find(&url)?;
            adapters.iter().position(|adapter| adapter.is(found)).map(|at| prefixes[at])
        };
        assert_eq!(found("https://a.example.net/"), Some("https://"));
        assert_eq!(found("https://a.example/"), Some("https://A.example"));
        assert_eq!(found("https://A.EXAMPLE:443/x"), Some("https://A.example"));
        assert_eq!(found("https://a.example:9/x"), Some("https://"));
        assert_eq!(found("https://a.example:8443/x"), Some("https://a.example:8443"));
        assert_eq!(found("https://a.example/apis"), Some("https://a.example/api"));
        assert_eq!(found("https://a.example/API"), Some("https://A.example"));
        assert_eq!(found("https://a.example/api/v2?x=1"), Some("https://a.example/api/v2?x="));
        assert_eq!(found("mock://anything/at?all"), Some("mock://"));
        assert_eq!(found("http://[0:0::1]/x"), Some("http://[::1]:80/"));
        assert_eq!(found("https://xn--bcher-kva.example/"), Some("https://b\u{fc}cher.example"));
        assert_eq!(found("http://a.example/"), None);
    }

    #[test]
    fn a_prefix_is_mounted_once_and_taken_away() {
        let (mut mounts, _) = mounted(&["http://h"]);
        let adapter = AnyAdapter::Http(Arc::new(Adapter::new(AdapterSettings::default())));
        let prefix = || Prefix::parse("HTTP://H").unwrap();
        assert!(mounts.set(prefix(), Some(adapter.clone())).is_some());
        assert!(mounts.set(prefix(), None).is_some_and(|before| before.is(&adapter)));
        assert!(mounts.set(prefix(), None).is_none() && mounts.is_empty());
    }

    #[test]
    fn what_has_no_scheme_or_no_host_is_no_prefix() {
        for odd in [
            "",
            "http",
            "http:",
            "http:/",
            "://h",
            "1a://h",
            "h/",
            "http:///x",
            "http://h:x",
            "http://h:+80",
            "http://h:0",
            "http://user@h",
            "http://h:99999",
            "a b://h",
        ] {
            assert_eq!(Prefix::parse(odd), None, "{odd:?}");
        }
    }
}
