//! The cookie jar: RFC 6265, with public suffixes refused.
//!
//! `cookie_store::Cookie` reads a `Set-Cookie` line and decides about its domain and path. The container is
//! ours: the crate's own keeps no order of creation, keeps what has expired, has no limits, and compares every
//! domain it knows with every request; and its suffix list would have to be parsed at run time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use cookie_store::{CookieDomain, CookieExpiration};
use serde::{Deserialize, Serialize};

use crate::lock::Mutex;
use crate::url::{Scheme, Url};

/// A cookie as the jar holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cookie {
    pub name: String,
    pub value: String,
    /// Lower-cased, without a leading dot.
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
    fn is_expired(&self, now: i64) -> bool {
        self.expires_s != SESSION && self.expires_s <= now
    }

    fn goes_to(&self, url: &Url, now: i64) -> bool {
        // A Secure cookie goes over https only: browsers make an exception for http://localhost, requests and
        // RFC 6265 do not.
        (!self.host_only || self.domain == url.host())
            && (!self.secure || url.scheme() == Scheme::Https)
            && !self.is_expired(now)
            && path_matches(&self.path, url.path())
    }
}

const SESSION: i64 = -1;

/// Limits of RFC 6265 section 6.1 and of browsers, so that no server can fill the memory of its clients.
const MAX_COOKIE: usize = 4096;
const MAX_ATTRIBUTE: usize = 1024;
const MAX_PER_DOMAIN: usize = 180;
const MAX_COOKIES: usize = 3000;

/// The cookies of a session; shared freely.
pub struct Jar {
    /// Whether there might be a cookie. Most sessions never see one, and pay one load per request.
    used: AtomicBool,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    domains: HashMap<String, Vec<Stored>>,
    count: usize,
    next: u64,
    /// What was put in and taken out, for a jar that is to be told of elsewhere.
    journal: Option<Vec<Cookie>>,
}

struct Stored {
    cookie: Cookie,
    /// When it was created, in terms of other cookies.
    created: u64,
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

    /// Takes the value of one `Set-Cookie` header that `url` sent. What is invalid is ignored. Bytes are UTF-8
    /// or else ISO-8859-1.
    pub fn store(&self, url: &Url, set_cookie: &[u8]) {
        match std::str::from_utf8(set_cookie) {
            Ok(line) => self.set(url, line),
            Err(_) => self.set(url, &set_cookie.iter().map(|&byte| char::from(byte)).collect::<String>()),
        };
    }

    /// The same for a line of the caller's own. False: it is malformed, or not `url`'s to set. A line that
    /// takes a cookie away is as good as one that sets it.
    pub fn set(&self, url: &Url, line: &str) -> bool {
        let Some(cookie) = parse(url, line) else { return false };
        self.put(cookie, now());
        true
    }

    /// Takes cookies over as they are, as a worker process hands them back.
    pub fn merge(&self, cookies: impl IntoIterator<Item = Cookie>) {
        let now = now();
        for cookie in cookies {
            self.put(cookie, now);
        }
    }

    /// The value of the `Cookie` header: what the jar has for `url`, longest path first and then oldest first,
    /// and the request's own, which replace the jar's of their name.
    pub fn header(&self, url: &Url, request_cookies: &[(String, String)]) -> Option<String> {
        let mut header = String::new();
        let mut push = |name: &str, value: &str| {
            if !header.is_empty() {
                header.push_str("; ");
            }
            header.push_str(name);
            header.push('=');
            header.push_str(value);
        };
        if self.used.load(Ordering::Acquire) {
            let now = now();
            let store = self.store.lock();
            let mut found: Vec<&Stored> = domains_of(url.host())
                .filter_map(|domain| store.domains.get(domain))
                .flatten()
                .filter(|stored| stored.cookie.goes_to(url, now))
                .filter(|stored| request_cookies.iter().all(|(name, _)| *name != stored.cookie.name))
                .collect();
            found.sort_by_key(|stored| (usize::MAX - stored.cookie.path.len(), stored.created));
            for Stored { cookie, .. } in found {
                push(&cookie.name, &cookie.value);
            }
        }
        for (name, value) in request_cookies {
            push(name, value);
        }
        (!header.is_empty()).then_some(header)
    }

    /// All that have not expired, oldest first.
    pub fn snapshot(&self) -> Vec<Cookie> {
        if !self.used.load(Ordering::Acquire) {
            return Vec::new();
        }
        let now = now();
        let store = self.store.lock();
        let mut found: Vec<&Stored> =
            store.domains.values().flatten().filter(|stored| !stored.cookie.is_expired(now)).collect();
        found.sort_by_key(|stored| stored.created);
        found.into_iter().map(|stored| stored.cookie.clone()).collect()
    }

    /// Takes out the cookies of a name, of a domain (exactly that one), of both, or all of them.
    pub fn clear(&self, name: Option<&str>, domain: Option<&str>) {
        let domain = domain.map(|domain| domain.trim_start_matches('.').to_ascii_lowercase());
        let mut store = self.store.lock();
        let mut gone = Vec::new();
        let keeps_journal = store.journal.is_some();
        store.retain(|cookie| {
            let keep = name.is_some_and(|name| name != cookie.name)
                || domain.as_ref().is_some_and(|domain| *domain != cookie.domain);
            if !keep && keeps_journal {
                gone.push(Cookie { expires_s: 0, ..cookie.clone() });
            }
            keep
        });
        store.journal.iter_mut().for_each(|journal| journal.append(&mut gone));
        self.used.store(store.count > 0, Ordering::Release);
    }

    fn put(&self, cookie: Cookie, now: i64) {
        let mut store = self.store.lock();
        store.put(cookie, now);
        self.used.store(store.count > 0, Ordering::Release);
    }
}

impl Default for Jar {
    fn default() -> Jar {
        Jar::new()
    }
}

impl Store {
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
            created = cookies.remove(at).created;
            self.count -= 1;
            if cookies.is_empty() {
                self.domains.remove(&cookie.domain);
            }
        }
        if cookie.is_expired(now) {
            return;
        }
        if self.domains.get(&cookie.domain).is_some_and(|cookies| cookies.len() >= MAX_PER_DOMAIN) {
            self.make_room(Some(&cookie.domain), now);
        }
        if self.count >= MAX_COOKIES {
            self.make_room(None, now);
        }
        self.next += 1;
        self.count += 1;
        self.domains.entry(cookie.domain.clone()).or_default().push(Stored { cookie, created });
    }

    /// Drops what has expired, or else the oldest, of a domain that is full or of a jar that is.
    fn make_room(&mut self, domain: Option<&str>, now: i64) {
        self.retain(|cookie| !cookie.is_expired(now));
        let full = match domain {
            Some(domain) => self.domains.get(domain).is_some_and(|cookies| cookies.len() >= MAX_PER_DOMAIN),
            None => self.count >= MAX_COOKIES,
        };
        if !full {
            return;
        }
        let in_domain = |cookie: &Cookie| domain.is_none_or(|domain| domain == cookie.domain);
        let oldest = self
            .domains
            .values()
            .flatten()
            .filter(|stored| in_domain(&stored.cookie))
            .min_by_key(|stored| stored.created)
            .map(|stored| (stored.cookie.domain.clone(), stored.created));
        if let Some((domain, created)) = oldest
            && let Some(cookies) = self.domains.get_mut(&domain)
        {
            cookies.retain(|stored| stored.created != created);
            self.count -= 1;
            if cookies.is_empty() {
                self.domains.remove(&domain);
            }
        }
    }

    fn retain(&mut self, mut keep: impl FnMut(&Cookie) -> bool) {
        self.domains.retain(|_, cookies| {
            cookies.retain(|stored| keep(&stored.cookie));
            !cookies.is_empty()
        });
        self.count = self.domains.values().map(Vec::len).sum();
    }
}

/// The host and, unless it is an address, every domain above it.
fn domains_of(host: &str) -> impl Iterator<Item = &str> {
    let address = is_address(host);
    std::iter::successors(Some(host), move |domain| {
        let (_, above) = domain.split_once('.').filter(|_| !address)?;
        Some(above)
    })
}

fn is_address(host: &str) -> bool {
    host.contains(':') || host.parse::<IpAddr>().is_ok()
}

/// RFC 6265 section 5.1.4.
fn path_matches(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

fn parse(url: &Url, line: &str) -> Option<Cookie> {
    // Nothing that could end a header line, or hide in one, is kept to be sent later.
    if line.chars().any(|c| c.is_ascii_control() && c != '\t') {
        return None;
    }
    let line = without_long_attributes(line);
    let parsed = cookie_store::Cookie::parse(line.as_str(), &to_url_crate(url)?).ok()?;
    if parsed.name().len() + parsed.value().len() > MAX_COOKIE {
        return None;
    }
    let host = url.host();
    let (domain, host_only) = match &parsed.domain {
        CookieDomain::Suffix(domain) if domain == host => {
            (host, is_address(host) || is_public_suffix(domain))
        }
        CookieDomain::Suffix(domain) if is_public_suffix(domain) || is_address(host) => return None,
        CookieDomain::Suffix(domain) => (domain.as_str(), false),
        _ => (host, true),
    };
    let expires_s = match parsed.expires {
        _ if parsed.max_age().is_none() => expires(&line).unwrap_or(SESSION),
        CookieExpiration::AtUtc(time) => time.unix_timestamp(),
        CookieExpiration::SessionEnd => SESSION,
    };
    Some(Cookie {
        name: parsed.name().to_owned(),
        value: parsed.value().to_owned(),
        domain: domain.to_owned(),
        path: String::from(&parsed.path),
        expires_s,
        secure: parsed.secure().unwrap_or(false),
        http_only: parsed.http_only().unwrap_or(false),
        host_only,
    })
}

/// Browsers ignore an attribute over the limit rather than the cookie.
fn without_long_attributes(line: &str) -> String {
    let mut parts = line.split(';');
    let mut kept = parts.next().unwrap_or("").to_owned();
    for attribute in parts.filter(|attribute| attribute.len() <= MAX_ATTRIBUTE) {
        kept.push(';');
        kept.push_str(attribute);
    }
    kept
}

/// Whether no cookie may be set for all of this domain. A name without a dot is taken for a suffix even when
/// the list does not have it, as requests does; so is one with a dot at its end, which only tries to get past
/// the list.
fn is_public_suffix(domain: &str) -> bool {
    !domain.contains('.')
        || domain.ends_with('.')
        || psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == domain)
}

/// What `cookie_store` wants to know a request by. The zone of an IPv6 host, which the crate refuses, matters
/// to nothing that it decides.
fn to_url_crate(url: &Url) -> Option<url::Url> {
    if url.host().contains('%') {
        let text = format!("{}://{}{}", url.scheme().as_str(), url.host_header(), url.target());
        return url::Url::parse(&text).ok();
    }
    url::Url::parse(url.without_fragment()).ok()
}

/// The last `Expires` that is a date. The crate reads four forms of date and takes a cookie with any other for
/// one of the session, which would keep alive what a server wants to be gone.
fn expires(line: &str) -> Option<i64> {
    line.split(';')
        .skip(1)
        .filter_map(|attribute| attribute.split_once('='))
        .filter(|(name, _)| name.trim().eq_ignore_ascii_case("expires"))
        .filter_map(|(_, value)| parse_date(value))
        .last()
        // -1 means something else here; a second more or less in 1969 does not matter.
        .map(|seconds| if seconds == SESSION { SESSION - 1 } else { seconds })
}

/// RFC 6265 section 5.1.1: the first words that look like a time, a day, a month and a year.
fn parse_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] =
        ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
    let (mut time, mut day, mut month, mut year) = (None, None, None, None);
    let is_delimiter = |c: char| !(c.is_ascii_alphanumeric() || c == ':' || !c.is_ascii());
    for word in text.split(is_delimiter).filter(|word| !word.is_empty()) {
        let number = leading_number(word);
        if time.is_none()
            && let Some(found) = parse_time(word)
        {
            time = Some(found);
        } else if day.is_none()
            && let Some((found, 1 | 2)) = number
        {
            day = Some(found);
        } else if month.is_none()
            && let Some(found) =
                MONTHS.iter().position(|month| word.get(..3).is_some_and(|w| w.eq_ignore_ascii_case(month)))
        {
            month = Some(found as i64 + 1);
        } else if year.is_none()
            && let Some((found, 2 | 4)) = number
        {
            year = Some(found);
        }
    }
    let (time, day, month) = (time?, day?, month?);
    let year = match year? {
        year @ 70..=99 => year + 1900,
        year @ 0..=69 => year + 2000,
        year => year,
    };
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let last = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if year < 1601 || day < 1 || day > last {
        return None;
    }
    Some(days_since_1970(year, month, day) * 86_400 + time)
}

fn parse_time(word: &str) -> Option<i64> {
    let mut parts = word.split(':');
    let hour = leading_number(parts.next()?).filter(|&(_, digits)| digits <= 2)?.0;
    let minute = leading_number(parts.next()?).filter(|&(_, digits)| digits <= 2)?.0;
    let second = leading_number(parts.next()?).filter(|&(_, digits)| digits <= 2)?.0;
    (hour < 24 && minute < 60 && second < 60).then_some(hour * 3600 + minute * 60 + second)
}

/// The number a word begins with, and how many digits it has.
fn leading_number(word: &str) -> Option<(i64, usize)> {
    let digits = word.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 || digits > 4 {
        return None;
    }
    word[..digits].parse().ok().map(|number| (number, digits))
}

/// Of the Gregorian calendar, counted in eras of 400 years that begin in March, so that the leap day is last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
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
            jar.store(&url(url_text), line.as_bytes());
        }
        jar
    }

    fn header(jar: &Jar, text: &str) -> Option<String> {
        jar.header(&url(text), &[])
    }

    #[test]
    fn an_empty_jar_is_never_locked() {
        let jar = Jar::new();
        let _held = jar.store.lock();
        assert_eq!(header(&jar, "http://h/"), None);
        assert!(jar.snapshot().is_empty());
        let own = [("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())];
        assert_eq!(jar.header(&url("http://h/"), &own).as_deref(), Some("a=1; b=2"));
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
            assert!(!Jar::new().set(&url(from), &format!("a=1; Domain={domain}")), "{from} {domain}");
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
            assert!(!Jar::new().set(&url(from), &format!("a=1; Domain={domain}")), "{from} {domain}");
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
    fn dates_are_read_as_leniently_as_rfc_6265_asks() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Sun, 6 November 1994 8:49:37", 784_111_777),
            ("1994 Nov 06 08:49:37 +0000", 784_111_777),
            ("Tue, 29 Feb 2000 23:59:59 GMT", 951_868_799),
            ("Thu, 01 Jan 2069 00:00:00 GMT", 3_124_224_000),
            ("Fri, 31 Dec 9999 23:59:59 GMT", 253_402_300_799),
            ("Mon, 01 Jan 1601 00:00:00 GMT", -11_644_473_600),
        ] {
            assert_eq!(parse_date(text), Some(seconds), "{text}");
        }
        for text in [
            "",
            "0",
            "-1",
            "Thu, 32 Jan 1970 00:00:00",
            "29 Feb 2001 00:00:00",
            "1 Jan 1970",
            "1 Jan 1500 00:00:00",
            "1 Jan 1970 24:00:00",
        ] {
            assert_eq!(parse_date(text), None, "{text}");
        }
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
        assert_eq!(jar.header(&url("http://h/"), &own).as_deref(), Some("b=2; a=own; c=3"));
        assert_eq!(header(&jar, "http://h/").as_deref(), Some("a=1; b=2"));
    }

    #[test]
    fn invalid_cookies_are_ignored() {
        let jar = Jar::new();
        for line in ["", "a", "=1", ";a=1", "a=\x001", "a=1\r\nX: y", "a=\u{1b}[1m", "Path=/; Secure; ="] {
            jar.store(&url("http://h/"), line.as_bytes());
        }
        assert_eq!(jar.snapshot().iter().map(|cookie| cookie.name.as_str()).collect::<Vec<_>>(), ["Path"]);
        jar.clear(None, None);
        jar.store(&url("http://h/"), b"a=\xfc; b");
        assert_eq!(jar.snapshot()[0].value, "ü");
        jar.store(&url("http://h/"), " q = \"x y\" ; Path=/ ".as_bytes());
        assert_eq!(header(&jar, "http://h/").as_deref(), Some("a=ü; q=\"x y\""));
    }

    #[test]
    fn a_hostile_server_cannot_fill_the_jar() {
        let jar = Jar::new();
        assert!(!jar.set(&url("http://h/"), &format!("a={}", "x".repeat(MAX_COOKIE))));
        assert!(jar.set(&url("http://h/a/"), &format!("a={}; Path=/{}", "x".repeat(4000), "p".repeat(2000))));
        assert_eq!(jar.snapshot()[0].path, "/a", "a long attribute is ignored");
        for number in 0..MAX_PER_DOMAIN + 20 {
            jar.set(&url("http://h/"), &format!("c{number}=1"));
        }
        assert_eq!(jar.snapshot().len(), MAX_PER_DOMAIN);
        assert_eq!(jar.snapshot()[0].name, "c20", "the oldest went");
        for number in 0..MAX_COOKIES {
            jar.set(&url(&format!("http://h{number}/")), "a=1");
        }
        assert_eq!(jar.snapshot().len(), MAX_COOKIES);
        assert_eq!(jar.store.lock().count, MAX_COOKIES);
    }

    #[test]
    fn clearing_goes_by_name_and_domain() {
        let make = || {
            let jar = jar("http://www.example.com/", &["a=1", "b=2; Domain=example.com"]);
            jar.store(&url("http://h/"), b"a=3");
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
