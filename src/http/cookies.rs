//! The cookie jar: RFC 6265 with public suffixes refused, and of RFC 6265bis what curl does as well.
//!
//! How a `Set-Cookie` line is read is the subject of [`super::set_cookie`].

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::set_cookie;
use crate::message::host;
use crate::message::url::{Scheme, Url};
use crate::system::lock::Mutex;

/// A cookie as the jar holds it.
///
/// Name, value and path are octets that need not be text, and go back as they came. They are kept as strings with one
/// character (U+0000 to U+00FF) for each octet; [`shown`] is what people see of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    /// As [`Url::host`] has it, without a leading dot.
    pub domain: String,
    pub path: String,
    /// Seconds since 1970; -1 when it ends with the session.
    pub expires_s: i64,
    pub secure: bool,
    pub http_only: bool,
    /// It goes to `domain` alone, not to the names below it.
    pub host_only: bool,
}

impl Cookie {
    pub(super) fn is_expired(&self, now: i64) -> bool {
        self.expires_s != SESSION && self.expires_s <= now
    }

    /// Of a cookie whose domain is the URL's host or one above it.
    fn goes_to_host(&self, url: &Url) -> bool {
        !self.host_only || self.domain == url.host()
    }

    fn goes_to(&self, url: &Url, now: i64) -> bool {
        // A Secure cookie goes over https only: browsers make an exception for http://localhost, requests and
        // RFC 6265 do not.
        self.goes_to_host(url)
            && (!self.secure || url.scheme() == Scheme::Https)
            && !self.is_expired(now)
            && path_matches(&self.path, url.path())
    }
}

pub(super) const SESSION: i64 = -1;

/// Limits of RFC 6265 section 6.1 and of browsers, so that no server can fill the memory of its clients.
const MAX_PER_DOMAIN: usize = 180;
const MAX_COOKIES: usize = 3000;
/// The line `Cookie: ...` is shorter than this, as curl's is: servers refuse a head with lines that are much longer.
const MAX_HEADER: usize = 8190;

/// One character for each octet.
pub(super) fn octets_as_text(octets: &[u8]) -> String {
    octets.iter().map(|octet| char::from(*octet)).collect()
}

/// The octets of such a text.
pub(super) fn octets_of(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() {
        return Cow::Borrowed(text.as_bytes());
    }
    // There is nothing beyond U+00FF in a cookie of our own; one from another process may hold anything.
    Cow::Owned(text.chars().map(|c| u8::try_from(c).unwrap_or(b'?')).collect())
}

/// The octets of a cookie as text: UTF-8, or else ISO-8859-1, as with headers.
pub fn shown(text: &str) -> Cow<'_, str> {
    match octets_of(text) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(octets) => String::from_utf8(octets).map_or(Cow::Borrowed(text), Cow::Owned),
    }
}

/// The URL by which cookies are chosen and stored: a `Host` that was sent with the request names the host in the place
/// of the one that was connected to.
pub fn cookie_url<'a>(url: &'a Url, host: Option<&str>) -> Cow<'a, Url> {
    match host {
        Some(host) if host != url.host_header() && host != url.authority() => {
            url.with_authority(host).map_or(Cow::Borrowed(url), Cow::Owned)
        }
        _ => Cow::Borrowed(url),
    }
}

/// The cookies of a session; shared freely.
pub struct Jar {
    /// Whether there might be a cookie. Most sessions never see one, and pay one load per request.
    used: AtomicBool,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    domains: HashMap<String, Vec<Stored>>,
    /// The domain of each, in the order in which they go when there are too many.
    order: BTreeMap<Place, String>,
    next: u64,
    /// None of them ends before this.
    first_end: i64,
    /// What was put in and taken out, for a jar that is to be told of elsewhere.
    journal: Option<Vec<Cookie>>,
}

struct Stored {
    cookie: Cookie,
    /// When it was created, in terms of other cookies.
    created: u64,
}

/// Whether it is Secure, and when it was created: those that are not Secure go first, so that nobody who speaks http can
/// push a Secure one out, and of these the oldest.
type Place = (bool, u64);

impl Stored {
    fn place(&self) -> Place {
        (self.cookie.secure, self.created)
    }
}

impl Jar {
    pub fn new() -> Jar {
        Jar { used: AtomicBool::new(false), store: Mutex::new(Store::default()) }
    }

    /// A copy of another jar that remembers what happens to it, for [`Jar::journal`].
    pub fn copy_of(cookies: Vec<Cookie>) -> Jar {
        let jar = Jar::new();
        jar.merge(cookies);
        jar.store.lock().journal = Some(Vec::new());
        jar
    }

    /// What was put in and taken out since it was copied, in order: what was taken out has expired.
    pub fn journal(&self) -> Vec<Cookie> {
        self.store.lock().journal.clone().unwrap_or_default()
    }

    /// Takes the value of a `Set-Cookie` header that `url` sent. False: it is malformed, or not `url`'s to set. One
    /// that takes a cookie away is as good as one that sets it.
    pub fn set(&self, url: &Url, set_cookie: impl AsRef<[u8]>) -> bool {
        let now = now();
        let Some(cookie) = set_cookie::parse(url, set_cookie.as_ref(), now) else { return false };
        let mut store = self.store.lock();
        if url.scheme() != Scheme::Https && store.protects(&cookie, now) {
            return false;
        }
        store.put(cookie, now);
        self.used.store(!store.order.is_empty(), Ordering::Release);
        true
    }

    /// Takes those of these cookies over that one of these URLs may set, as they come from another machine.
    pub fn merge_from(&self, urls: &[Url], cookies: impl IntoIterator<Item = Cookie>) {
        self.merge_if(cookies, |store, cookie, now| {
            let may_set = |url: &Url| {
                set_cookie::may_set(url, cookie)
                    && (url.scheme() == Scheme::Https || !store.protects(cookie, now))
            };
            set_cookie::is_sound(cookie) && urls.iter().any(may_set)
        });
    }

    /// Takes cookies over as they are, as a worker process hands them back.
    pub fn merge(&self, cookies: impl IntoIterator<Item = Cookie>) {
        self.merge_if(cookies, |_, _, _| true);
    }

    fn merge_if(
        &self,
        cookies: impl IntoIterator<Item = Cookie>,
        is_kept: impl Fn(&Store, &Cookie, i64) -> bool,
    ) {
        let now = now();
        let mut store = self.store.lock();
        for cookie in cookies {
            if is_kept(&store, &cookie, now) {
                store.put(cookie, now);
            }
        }
        self.used.store(!store.order.is_empty(), Ordering::Release);
    }

    /// The value of the `Cookie` header: what the jar has for `url`, longest path first and then oldest first, and the
    /// request's own, which replace the jar's of their name. What of the jar's would make it too long is left out.
    pub fn header(&self, url: &Url, request_cookies: &[(String, String)]) -> Option<Vec<u8>> {
        let mut header = Vec::new();
        let mut push = |name: &[u8], value: &[u8]| {
            if !header.is_empty() {
                header.extend_from_slice(b"; ");
            }
            for piece in [name, b"=", value] {
                header.extend_from_slice(piece);
            }
        };
        if self.used.load(Ordering::Acquire) {
            let now = now();
            let own: usize = request_cookies.iter().map(|(name, value)| name.len() + value.len() + 3).sum();
            // A pair costs its `=` and, but for the first, the "; " in front of it.
            let mut room = (MAX_HEADER + 1).saturating_sub("Cookie: ".len() + own);
            let store = self.store.lock();
            let mut found: Vec<&Stored> = domains_of(url.host())
                .filter_map(|domain| store.domains.get(domain))
                .flatten()
                .filter(|stored| stored.cookie.goes_to(url, now))
                .filter(|stored| {
                    let name = octets_of(&stored.cookie.name);
                    request_cookies.iter().all(|(own, _)| *own.as_bytes() != *name)
                })
                .collect();
            found.sort_by_key(|stored| (usize::MAX - stored.cookie.path.len(), stored.created));
            for Stored { cookie, .. } in found {
                let (name, value) = (octets_of(&cookie.name), octets_of(&cookie.value));
                let Some(left) = room.checked_sub(name.len() + value.len() + 3) else { break };
                room = left;
                push(&name, &value);
            }
        }
        for (name, value) in request_cookies {
            push(name.as_bytes(), value.as_bytes());
        }
        (!header.is_empty()).then_some(header)
    }

    /// All that requests to this URL's host may get, whatever their path and scheme, oldest first: what a request that
    /// runs elsewhere needs, its redirects on the host included.
    pub fn of_host(&self, url: &Url) -> Vec<Cookie> {
        if !self.used.load(Ordering::Acquire) {
            return Vec::new();
        }
        let now = now();
        let store = self.store.lock();
        let found = domains_of(url.host())
            .filter_map(|domain| store.domains.get(domain))
            .flatten()
            .filter(|stored| stored.cookie.goes_to_host(url) && !stored.cookie.is_expired(now))
            .collect();
        oldest_first(found)
    }

    /// All that have not expired, oldest first.
    pub fn snapshot(&self) -> Vec<Cookie> {
        if !self.used.load(Ordering::Acquire) {
            return Vec::new();
        }
        let now = now();
        let store = self.store.lock();
        oldest_first(
            store.domains.values().flatten().filter(|stored| !stored.cookie.is_expired(now)).collect(),
        )
    }

    /// Takes out the cookies of a name, of a domain (exactly that one), of both, or all of them.
    pub fn clear(&self, name: Option<&str>, domain: Option<&str>) {
        let mut store = self.store.lock();
        let mut gone = Vec::new();
        let keeps_journal = store.journal.is_some();
        store.retain(|cookie| {
            let keep = name.is_some_and(|name| name != shown(&cookie.name))
                || domain.is_some_and(|domain| !is_of_domain(&cookie.domain, domain));
            if !keep && keeps_journal {
                gone.push(Cookie { expires_s: 0, ..cookie.clone() });
            }
            keep
        });
        store.journal.iter_mut().for_each(|journal| journal.append(&mut gone));
        self.used.store(!store.order.is_empty(), Ordering::Release);
    }
}

impl Default for Jar {
    fn default() -> Jar {
        Jar::new()
    }
}

fn oldest_first(mut found: Vec<&Stored>) -> Vec<Cookie> {
    found.sort_by_key(|stored| stored.created);
    found.into_iter().map(|stored| stored.cookie.clone()).collect()
}

impl Store {
    /// Whether a cookie that came over http would replace a Secure one, or be sent where the server looks for that
    /// (RFC 6265bis section 5.7): an attacker on the network path could then choose what https requests carry.
    fn protects(&self, cookie: &Cookie, now: i64) -> bool {
        let overlaps = |domain: &String| {
            host::is_within_domain(domain, &cookie.domain) || host::is_within_domain(&cookie.domain, domain)
        };
        self.order
            .range((true, 0)..)
            .filter(|(_, domain)| overlaps(domain))
            .filter_map(|((_, created), domain)| {
                self.domains.get(domain)?.iter().find(|stored| stored.created == *created)
            })
            .map(|stored| &stored.cookie)
            .any(|kept| {
                kept.name == cookie.name && path_matches(&kept.path, &cookie.path) && !kept.is_expired(now)
            })
    }

    fn put(&mut self, cookie: Cookie, now: i64) {
        if let Some(journal) = &mut self.journal {
            journal.push(cookie.clone());
        }
        let same = |stored: &Stored| stored.cookie.name == cookie.name && stored.cookie.path == cookie.path;
        let mut created = self.next;
        if let Some(cookies) = self.domains.get_mut(&cookie.domain)
            && let Some(at) = cookies.iter().position(same)
        {
            // It keeps its place, and the server's order with it.
            created = cookies[at].created;
            let place = cookies[at].place();
            self.remove(place);
        }
        if cookie.is_expired(now) {
            return;
        }
        self.next += 1;
        if cookie.expires_s != SESSION {
            self.first_end = self.first_end.min(cookie.expires_s);
        }
        let domain = cookie.domain.clone();
        let stored = Stored { cookie, created };
        self.order.insert(stored.place(), domain.clone());
        self.domains.entry(domain.clone()).or_default().push(stored);
        for limit in [Some(&*domain), None] {
            if self.first_beyond(limit).is_some() {
                self.drop_expired(now);
            }
            if let Some(place) = self.first_beyond(limit) {
                self.remove(place);
            }
        }
    }

    /// The first to go of a domain that is too full, or of a jar that is.
    fn first_beyond(&self, domain: Option<&str>) -> Option<Place> {
        match domain {
            Some(domain) => {
                let cookies = self.domains.get(domain).filter(|cookies| cookies.len() > MAX_PER_DOMAIN)?;
                cookies.iter().map(Stored::place).min()
            }
            None => self.order.keys().next().copied().filter(|_| self.order.len() > MAX_COOKIES),
        }
    }

    fn remove(&mut self, place: Place) {
        let Some(domain) = self.order.remove(&place) else { return };
        let Some(cookies) = self.domains.get_mut(&domain) else { return };
        cookies.retain(|stored| stored.place() != place);
        if cookies.is_empty() {
            self.domains.remove(&domain);
        }
    }

    /// Looks at all of them, but not twice within the same second.
    fn drop_expired(&mut self, now: i64) {
        if self.first_end > now {
            return;
        }
        self.retain(|cookie| !cookie.is_expired(now));
        let ends = self.domains.values().flatten().map(|stored| stored.cookie.expires_s);
        self.first_end = ends.filter(|end| *end != SESSION).min().unwrap_or(i64::MAX);
    }

    fn retain(&mut self, mut keep: impl FnMut(&Cookie) -> bool) {
        let order = &mut self.order;
        self.domains.retain(|_, cookies| {
            cookies.retain(|stored| {
                let is_kept = keep(&stored.cookie);
                if !is_kept {
                    order.remove(&stored.place());
                }
                is_kept
            });
            !cookies.is_empty()
        });
    }
}

/// Whether a caller's name for a domain, perhaps with the dot of old `Domain` attributes, is this one.
pub fn is_of_domain(domain: &str, named: &str) -> bool {
    host::same_host(domain, named.trim_start_matches('.'))
}

/// The host and, unless it is an address, every domain above it.
fn domains_of(host: &str) -> impl Iterator<Item = &str> {
    let address = is_address(host);
    std::iter::successors(Some(host), move |domain| {
        let (_, above) = domain.split_once('.').filter(|_| !address)?;
        Some(above)
    })
}

/// An address, or what a resolver may take for one (`0x7f.1`): nothing is above or below it.
pub(super) fn is_address(host: &str) -> bool {
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or(host);
    host.contains(':') || last.starts_with("0x") || last.bytes().all(|byte| byte.is_ascii_digit())
}

/// RFC 6265 section 5.1.4.
fn path_matches(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

pub(super) fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    fn jar(url_text: &str, lines: &[&str]) -> Jar {
        let jar = Jar::new();
        for line in lines {
            jar.set(&url(url_text), line.as_bytes());
        }
        jar
    }

    fn header(jar: &Jar, text: &str) -> Option<String> {
        header_with(jar, text, &[])
    }

    fn header_with(jar: &Jar, text: &str, own: &[(String, String)]) -> Option<String> {
        jar.header(&url(text), own).map(|header| String::from_utf8(header).unwrap())
    }

    #[test]
    fn an_empty_jar_is_never_locked() {
        let jar = Jar::new();
        let _held = jar.store.lock();
        assert_eq!(header(&jar, "http://h/"), None);
        assert!(jar.snapshot().is_empty());
        let own = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        assert_eq!(header_with(&jar, "http://h/", &own).as_deref(), Some("a=1; b=2"));
    }

    #[test]
    fn host_only_cookies_stay_on_their_host_and_domain_cookies_reach_below_it() {
        let jar =
            jar("http://www.example.com/", &["a=1", "b=2; Domain=example.com", "c=3; Domain=.EXAMPLE.com"]);
        assert_eq!(header(&jar, "http://www.example.com/").as_deref(), Some("a=1; b=2; c=3"));
        assert_eq!(header(&jar, "http://example.com/").as_deref(), Some("b=2; c=3"));
        assert_eq!(header(&jar, "http://x.www.example.com:81/").as_deref(), Some("b=2; c=3"));
        assert_eq!(header(&jar, "http://notexample.com/"), None);
        assert_eq!(header(&jar, "http://com/"), None);
    }

    #[test]
    fn a_domain_that_is_not_the_hosts_is_refused() {
        for (from, domain) in [
            ("http://example.com/", "other.com"),
            ("http://example.com/", "www.example.com"),
            ("http://example.com/", "ample.com"),
            ("http://1.2.3.4/", "3.4"),
            ("http://1.2.3.4/", ".2.3.4"),
            ("http://[::1]/", "1"),
        ] {
            assert!(!Jar::new().set(&url(from), format!("a=1; Domain={domain}")), "{from} {domain}");
        }
    }

    #[test]
    fn public_suffixes_are_refused_unless_they_are_the_host_itself() {
        for (from, domain) in [
            ("http://example.com/", "com"),
            ("http://example.com/", ".com"),
            ("http://www.example.co.uk/", "co.uk"),
            ("http://user.github.io/", "github.io"),
            ("http://a.b.kawasaki.jp/", "b.kawasaki.jp"),
            ("http://x.xn--55qx5d.cn/", "xn--55qx5d.cn"),
            ("http://x.xn--55qx5d.cn/", "公司.cn"),
            ("http://example.com./", "com."),
            ("http://host.intranet/", "intranet"),
            ("http://a.localhost/", "localhost"),
        ] {
            assert!(!Jar::new().set(&url(from), format!("a=1; Domain={domain}")), "{from} {domain}");
        }
        let jar = jar("http://github.io/", &["a=1; Domain=github.io"]);
        assert!(jar.snapshot()[0].host_only);
        assert_eq!(header(&jar, "http://github.io/").as_deref(), Some("a=1"));
        assert_eq!(header(&jar, "http://user.github.io/"), None);
        assert!(Jar::new().set(&url("http://a.b.example.co.uk/"), "a=1; Domain=example.co.uk"));
        assert!(Jar::new().set(&url("http://a.host.intranet/"), "a=1; Domain=host.intranet"));
    }

    #[test]
    fn localhost_and_addresses_work() {
        for host in ["localhost", "127.0.0.1", "[::1]", "[fe80::1%25eth0]", "0x7f.1", "intranet"] {
            let from = format!("http://{host}:81/");
            let jar = jar(&from, &["a=1"]);
            assert_eq!(header(&jar, &from).as_deref(), Some("a=1"), "{host}");
            assert_eq!(
                header(&jar, &format!("http://{host}/")).as_deref(),
                Some("a=1"),
                "ports do not matter"
            );
            assert!(jar.snapshot()[0].host_only);
        }
        assert!(jar("http://localhost/", &["a=1; Domain=localhost"]).snapshot()[0].host_only);
        assert!(jar("http://127.0.0.1/", &["a=1; Domain=127.0.0.1"]).snapshot()[0].host_only);
    }

    #[test]
    fn paths_match_by_whole_segments_and_the_longest_goes_first() {
        let jar = jar(
            "http://h/a/b/c",
            &["d=default", "r=1; Path=/", "s=2; Path=/a/", "t=3; Path=/a/b/c", "x=4; Path=no"],
        );
        assert_eq!(header(&jar, "http://h/a/b/c").as_deref(), Some("t=3; d=default; x=4; s=2; r=1"));
        assert_eq!(header(&jar, "http://h/a/b").as_deref(), Some("d=default; x=4; s=2; r=1"));
        assert_eq!(header(&jar, "http://h/a/bc?/a/b").as_deref(), Some("s=2; r=1"));
        assert_eq!(header(&jar, "http://h/a").as_deref(), Some("r=1"));
        assert_eq!(header(&jar, "http://h/a/b/cd").as_deref(), Some("d=default; x=4; s=2; r=1"));
    }

    #[test]
    fn secure_cookies_go_over_https_only_localhost_included() {
        let jar = jar("https://localhost/", &["a=1; Secure; HttpOnly", "b=2"]);
        assert_eq!(header(&jar, "http://localhost/").as_deref(), Some("b=2"));
        assert_eq!(header(&jar, "https://localhost/").as_deref(), Some("a=1; b=2"));
        let cookie = &jar.snapshot()[0];
        assert!(cookie.secure && cookie.http_only);
    }

    #[test]
    fn max_age_and_expires_end_a_cookie_and_take_one_back() {
        let future = now() + 100;
        let jar = jar(
            "http://h/",
            &[
                "s=1",
                "m=1; Max-Age=100",
                "e=1; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
                "b=1; Max-Age=99999999999999999999",
            ],
        );
        let expiries: Vec<i64> = jar.snapshot().iter().map(|cookie| cookie.expires_s).collect();
        assert_eq!(expiries[0], -1);
        assert!((future - 2..=future + 2).contains(&expiries[1]));
        assert_eq!(expiries[2], 4_039_372_800);
        assert!(expiries[3] > 200_000_000_000);
        for line in [
            "s=; Max-Age=0",
            "m=; Max-Age=-5; Expires=Wed, 01 Jan 2098 00:00:00 GMT",
            "e=; Expires=Thu, 1 Jan 1970 00:00:00 UTC",
            "b=; expires=Thu, 01-Jan-70 00:00:01 GMT",
        ] {
            assert!(jar.set(&url("http://h/"), line));
        }
        assert!(jar.snapshot().is_empty());
        assert!(!jar.used.load(Ordering::Relaxed));
        assert!(jar.set(&url("http://h/"), "gone=1; Max-Age=0"));
        assert!(jar.snapshot().is_empty());
    }

    #[test]
    fn a_cookie_that_expires_while_stored_is_not_sent() {
        let jar = jar("http://h/", &["a=1; Max-Age=100"]);
        jar.store.lock().domains.get_mut("h").unwrap()[0].cookie.expires_s = now() - 1;
        assert_eq!(header(&jar, "http://h/"), None);
        assert!(jar.snapshot().is_empty());
    }

    #[test]
    fn a_cookie_set_again_keeps_its_place() {
        let jar = jar("http://h/", &["a=1", "b=2", "a=3"]);
        assert_eq!(header(&jar, "http://h/").as_deref(), Some("a=3; b=2"));
        assert_eq!(jar.snapshot().len(), 2);
    }

    #[test]
    fn a_requests_own_cookies_win_over_the_jars_of_that_name_and_are_not_stored() {
        let jar = jar("http://h/", &["a=1", "b=2"]);
        let own = [("a".to_owned(), "own".to_owned()), ("c".to_owned(), "3".to_owned())];
        assert_eq!(header_with(&jar, "http://h/", &own).as_deref(), Some("b=2; a=own; c=3"));
        assert_eq!(header(&jar, "http://h/").as_deref(), Some("a=1; b=2"));
    }

    #[test]
    fn octets_go_back_as_they_came() {
        let h = url("http://h/");
        let jar = Jar::new();
        jar.set(&h, b"a=\xfc");
        jar.set(&h, b"b=\xc3\xbc");
        jar.set(&h, b"\xfc=\xa0x");
        jar.set(&h, b"c=\"x \\\"y\\\"\"");
        let expected = &b"a=\xfc; b=\xc3\xbc; \xfc=\xa0x; c=\"x \\\"y\\\"\""[..];
        assert_eq!(jar.header(&h, &[]).as_deref(), Some(expected));
        let shown: Vec<String> =
            jar.snapshot().iter().map(|cookie| shown(&cookie.value).into_owned()).collect();
        assert_eq!(shown, ["ü", "ü", "\u{a0}x", "\"x \\\"y\\\"\""]);
        // They do so from another process as well.
        let bytes = postcard::to_stdvec(&jar.snapshot()).unwrap();
        let copy = Jar::copy_of(postcard::from_bytes(&bytes).unwrap());
        assert_eq!(copy.header(&h, &[]).as_deref(), Some(expected));
        // A name is known by what is shown of it; a request's own cookie is sent as UTF-8, and is another.
        let own = [("ü".to_owned(), "own".to_owned())];
        let header = copy.header(&h, &own).unwrap();
        assert!(
            header.ends_with("; ü=own".as_bytes()) && header.windows(3).any(|three| three == b"\xfc=\xa0")
        );
        copy.set(&h, "ü=utf-8");
        copy.clear(Some("ü"), None);
        assert_eq!(copy.snapshot().len(), 3);
    }

    #[test]
    fn a_host_of_any_name_keeps_its_cookies() {
        for host in
            ["node.9", "foo.09", "a%7cb.example", "a_b", "-x-.example", "xn--n3h.net", "bücher.example"]
        {
            let from = format!("http://{host}/");
            let jar = jar(&from, &["a=1"]);
            assert_eq!(header(&jar, &from).as_deref(), Some("a=1"), "{host}");
            assert_eq!(
                header(&jar, &from.to_uppercase().replace("HTTP", "http")).as_deref(),
                Some("a=1"),
                "{host}"
            );
        }
        let jar = jar("http://[0:0::1]/", &["a=1"]);
        assert_eq!(header(&jar, "http://[::1]/").as_deref(), Some("a=1"));
    }

    #[test]
    fn an_http_answer_neither_replaces_nor_shadows_a_secure_cookie() {
        let make = || {
            jar("https://www.example.com/", &["a=1; Secure; Domain=example.com; Path=/login", "b=2; Path=/"])
        };
        for (from, line, taken) in [
            ("http://www.example.com/", "a=2; Path=/login; Domain=example.com", false),
            ("http://www.example.com/", "a=; Max-Age=0; Path=/login; Domain=example.com", false),
            ("http://www.example.com/", "a=2; Path=/login/en", false),
            ("http://example.com/", "a=2; Path=/login/", false),
            ("http://x.www.example.com/", "a=2; Path=/login; Domain=www.example.com", false),
            ("http://www.example.com/", "a=2; Path=/loginhelper", true),
            ("http://www.example.com/", "a=2; Path=/", true),
            ("http://www.example.com/", "A=2; Path=/login", true),
            ("http://www.example.com/", "b=3; Path=/", true),
            ("http://other.com/", "a=2; Path=/login", true),
            ("https://www.example.com/", "a=2; Path=/login; Domain=example.com", true),
        ] {
            let jar = make();
            assert_eq!(jar.set(&url(from), line), taken, "{from} {line}");
            let kept = header(&jar, "https://www.example.com/login").unwrap();
            assert!(taken || kept == "a=1; b=2", "{from} {line}: {kept}");
        }
        let old = make();
        old.store.lock().domains.get_mut("example.com").unwrap()[0].cookie.expires_s = now() - 1;
        assert!(
            old.set(&url("http://example.com/"), "a=2; Path=/login"),
            "what has expired is not protected"
        );
        // The cookie of a name below it, which the new one would reach as well.
        let jar = jar("https://www.example.com/", &["c=1; Secure; Path=/"]);
        assert!(!jar.set(&url("http://example.com/"), "c=2; Domain=example.com; Path=/"));
        assert!(jar.set(&url("http://other.example.com/"), "c=2; Path=/"));
    }

    #[test]
    fn a_header_stays_below_8_kb_and_the_longest_paths_and_oldest_cookies_go_first() {
        let jar = Jar::new();
        let h = url("http://h/deep/x");
        // Each takes 1,000 bytes of the header, its "; " included.
        for number in 0..12 {
            jar.set(&h, format!("c{number:02}={}; Path=/", "x".repeat(994)));
        }
        jar.set(&h, "deep=1; Path=/deep");
        let line = |jar: &Jar, own: &[(String, String)]| {
            [b"Cookie: ".to_vec(), jar.header(&h, own).unwrap()].concat()
        };
        let names = |line: &[u8]| {
            let text = String::from_utf8(line["Cookie: ".len()..].to_vec()).unwrap();
            text.split("; ").map(|pair| pair.split('=').next().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let sent = line(&jar, &[]);
        assert_eq!(names(&sent), ["deep", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "c07"]);
        assert_eq!(sent.len(), "Cookie: deep=1".len() + 8 * 1000);
        // The request's own always go, and take the room of the jar's.
        let own = [("own".to_owned(), "y".repeat(500))];
        let sent = line(&jar, &own);
        assert_eq!(names(&sent), ["deep", "c00", "c01", "c02", "c03", "c04", "c05", "c06", "own"]);
        let own = [("own".to_owned(), "y".repeat(9000))];
        assert_eq!(names(&line(&jar, &own)), ["own"]);

        // To the byte: the line has at most 8,189.
        for (length, fits) in [(176, true), (177, false)] {
            let jar = Jar::new();
            for number in 0..8 {
                jar.set(&h, format!("c{number:02}={}; Path=/", "x".repeat(994)));
            }
            jar.set(&h, format!("last={}; Path=/", "z".repeat(length)));
            let sent = line(&jar, &[]);
            assert_eq!(names(&sent).len(), if fits { 9 } else { 8 }, "{length}");
            assert!(!fits || sent.len() == 8189, "{}", sent.len());
        }
    }

    #[test]
    fn a_host_given_by_hand_is_the_cookies_host() {
        let connected = url("https://127.0.0.1:8443/a/b?c");
        let jar = Jar::new();
        assert!(jar.set(&cookie_url(&connected, Some("www.a.example:81")), "a=1; Domain=a.example; Secure"));
        assert!(jar.set(&cookie_url(&connected, Some("[::1]:8443")), "b=1"));
        let sent = |host: Option<&str>| {
            jar.header(&cookie_url(&connected, host), &[]).map(|header| String::from_utf8(header).unwrap())
        };
        assert_eq!(sent(Some("a.example")).as_deref(), Some("a=1"));
        assert_eq!(sent(Some("[::1]")).as_deref(), Some("b=1"));
        assert_eq!((sent(Some("b.example")), sent(None)), (None, None));
        // What names no host, or the same, changes nothing.
        for host in ["", "a b", "a@b", "127.0.0.1:8443"] {
            assert_eq!(cookie_url(&connected, Some(host)).as_str(), connected.as_str(), "{host:?}");
        }
        let scoped = url("http://[fe80::1%25eth0]/");
        assert_eq!(
            cookie_url(&scoped, Some("[fe80::1]")).host(),
            "fe80::1%eth0",
            "the header that is sent for it"
        );
    }

    #[test]
    fn what_a_request_to_a_host_may_get_whatever_its_path_and_scheme() {
        let jar = Jar::new();
        for (from, line) in [
            ("https://www.example.com/", "a=1; Secure; Path=/deep"),
            ("http://other.org/", "b=1"),
            ("http://www.example.com/", "c=1; Domain=example.com"),
            ("http://example.com/", "d=1"),
            ("http://x.www.example.com/", "e=1"),
            ("http://www.example.com/", "f=1; Max-Age=100"),
        ] {
            assert!(jar.set(&url(from), line), "{line}");
        }
        let names =
            |text: &str| jar.of_host(&url(text)).into_iter().map(|cookie| cookie.name).collect::<Vec<_>>();
        assert_eq!(names("http://www.example.com:81/x"), ["a", "c", "f"]);
        assert_eq!(names("https://example.com/"), ["c", "d"]);
        assert_eq!(names("http://x.www.example.com/"), ["c", "e"]);
        assert!(names("http://com/").is_empty() && names("http://127.0.0.1/").is_empty());
        for cookies in jar.store.lock().domains.values_mut() {
            cookies
                .iter_mut()
                .filter(|stored| stored.cookie.name == "f")
                .for_each(|stored| stored.cookie.expires_s = 1);
        }
        assert_eq!(names("http://www.example.com/"), ["a", "c"], "not what has expired");
        let empty = Jar::new();
        let _held = empty.store.lock();
        assert!(empty.of_host(&url("http://h/")).is_empty(), "an empty jar is never locked");
    }

    #[test]
    fn invalid_cookies_are_ignored() {
        let jar = Jar::new();
        for line in ["", "a", "=1", ";a=1", "a=\x001", "a=1\r\nX: y", "a=\u{1b}[1m", "Path=/; HttpOnly; ="] {
            jar.set(&url("http://h/"), line.as_bytes());
        }
        assert_eq!(jar.snapshot().iter().map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), ["Path"]);
        jar.clear(None, None);
        jar.set(&url("http://h/"), " q = \"x y\" ; Path=/ ");
        assert_eq!(header(&jar, "http://h/").as_deref(), Some("q=\"x y\""));
    }

    #[test]
    fn a_hostile_server_cannot_fill_the_jar() {
        let jar = Jar::new();
        assert!(!jar.set(&url("http://h/"), format!("a={}", "x".repeat(4096))));
        assert!(jar.set(&url("http://h/a/"), format!("a={}; Path=/{}", "x".repeat(4000), "p".repeat(2000))));
        assert_eq!(jar.snapshot()[0].path, "/a", "a long attribute is ignored");
        for number in 0..MAX_PER_DOMAIN + 20 {
            jar.set(&url("http://h/"), format!("c{number}=1"));
        }
        assert_eq!(jar.snapshot().len(), MAX_PER_DOMAIN);
        assert_eq!(jar.snapshot()[0].name, "c20", "the oldest went");
        for number in 0..MAX_COOKIES {
            jar.set(&url(&format!("http://h{number}/")), "a=1");
        }
        assert_eq!(jar.snapshot().len(), MAX_COOKIES);
        assert_eq!(jar.store.lock().order.len(), MAX_COOKIES);
    }

    #[test]
    fn a_domain_to_clear_is_the_same_host_as_in_urls() {
        for domain in ["Bücher.example", ".bücher.EXAMPLE", "xn--bcher-kva.example"] {
            let jar = jar("http://xn--bcher-kva.example/", &["a=1"]);
            jar.clear(None, Some("bücher"));
            assert_eq!(jar.snapshot().len(), 1);
            jar.clear(None, Some(domain));
            assert!(jar.snapshot().is_empty(), "{domain}");
        }
        let jar = jar("http://[::1]/", &["a=1"]);
        jar.clear(None, Some("[0:0::1]"));
        assert!(jar.snapshot().is_empty());
    }

    #[test]
    fn no_flood_over_http_pushes_a_secure_cookie_out() {
        let jar = jar("https://h/", &["sid=1; Secure; Path=/", "old=1; Path=/"]);
        for number in 0..MAX_PER_DOMAIN {
            assert!(jar.set(&url("http://h/"), format!("c{number}=1")));
        }
        for number in 0..MAX_COOKIES {
            assert!(jar.set(&url(&format!("http://h{number}/")), "a=1"));
        }
        assert_eq!(header(&jar, "https://h/").as_deref(), Some("sid=1"));
        assert_eq!(jar.snapshot().len(), MAX_COOKIES);
        // Where all are Secure, what came over http is what is too much.
        let jar = self::jar("https://h/", &[]);
        for number in 0..MAX_PER_DOMAIN {
            assert!(jar.set(&url("https://h/"), format!("c{number}=1; Secure")));
        }
        jar.set(&url("http://h/"), "late=1");
        assert_eq!(jar.snapshot()[0].name, "c0");
        jar.set(&url("https://h/"), "late=1; Secure");
        assert_eq!((jar.snapshot().len(), jar.snapshot()[0].name.as_str()), (MAX_PER_DOMAIN, "c1"));
    }

    #[test]
    fn clearing_goes_by_name_and_domain() {
        let make = || {
            let jar = jar("http://www.example.com/", &["a=1", "b=2; Domain=example.com"]);
            jar.set(&url("http://h/"), b"a=3");
            jar
        };
        let names = |jar: &Jar| jar.snapshot().into_iter().map(|cookie| cookie.value).collect::<Vec<_>>();
        let jar = make();
        jar.clear(Some("a"), Some("h"));
        assert_eq!(names(&jar), ["1", "2"]);
        let jar = make();
        jar.clear(Some("a"), None);
        assert_eq!(names(&jar), ["2"]);
        let jar = make();
        jar.clear(None, Some(".Example.com"));
        assert_eq!(names(&jar), ["1", "3"]);
        let copy = Jar::new();
        copy.merge(jar.snapshot());
        assert_eq!(copy.snapshot(), jar.snapshot());
        jar.clear(None, None);
        assert!(names(&jar).is_empty() && !jar.used.load(Ordering::Relaxed));
    }

    #[test]
    fn the_jar_is_shared_between_threads() {
        fn shared<T: Send + Sync>() {}
        shared::<Jar>();
    }
}
