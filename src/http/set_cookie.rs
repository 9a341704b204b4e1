//! The `Set-Cookie` header: RFC 6265 sections 5.2 and 5.3, and of RFC 6265bis what curl does as well.

use super::cookies::{Cookie, SESSION, is_address, octets_as_text};
use crate::message::host;
use crate::message::url::{Scheme, Url};

/// How many octets a name and its value may have together, and an attribute's value: those of RFC 6265bis and browsers.
const MAX_COOKIE: usize = 4096;
const MAX_ATTRIBUTE: usize = 1024;

/// The last second of the year 9999.
pub(super) const LATEST: i64 = 253_402_300_799;

/// The cookie that this line sets when it comes from `url`. None: it is malformed, or not `url`'s to set.
pub(super) fn parse(url: &Url, line: &[u8], now: i64) -> Option<Cookie> {
    if line.iter().any(|byte| hides(*byte)) {
        return None;
    }
    let mut parts = line.split(|byte| *byte == b';');
    let (name, value) = split(parts.next()?)?;
    if name.is_empty() || name.len() + value.len() > MAX_COOKIE {
        return None;
    }
    let mut cookie = Cookie {
        name: octets_as_text(name),
        value: octets_as_text(value),
        domain: url.host().to_owned(),
        path: default_path(url).to_owned(),
        expires_s: SESSION,
        secure: false,
        http_only: false,
        host_only: true,
    };
    let (mut domain, mut expires, mut max_age) = (None, None, None);
    for part in parts {
        // The last of a name counts, and what makes no sense is not there.
        let (name, value) = split(part).unwrap_or((trim(part), b""));
        if value.len() > MAX_ATTRIBUTE {
            continue;
        }
        match name.to_ascii_lowercase().as_slice() {
            b"expires" => expires = parse_date(&octets_as_text(value)).or(expires),
            b"max-age" => max_age = parse_max_age(value, now).or(max_age),
            b"domain" => {
                let value = value.strip_prefix(b".").unwrap_or(value);
                domain = Some(value).filter(|value| !value.is_empty()).or(domain);
            }
            b"path" if value.starts_with(b"/") => cookie.path = octets_as_text(value),
            b"path" => cookie.path = default_path(url).to_owned(),
            b"secure" => cookie.secure = true,
            b"httponly" => cookie.http_only = true,
            _ => {}
        }
    }
    if let Some(expires_s) = max_age.or(expires) {
        // -1 means something else here; a second more or less in 1969 does not matter.
        cookie.expires_s = if expires_s == SESSION { SESSION - 1 } else { expires_s };
    }
    if let Some(domain) = domain {
        (cookie.domain, cookie.host_only) = domain_of(url.host(), domain)?;
    }
    let allowed = (!cookie.secure || url.scheme() == Scheme::Https) && keeps_its_promise(&cookie);
    allowed.then_some(cookie)
}

/// Nothing that could end a header line, or hide in one, is kept to be sent later.
fn hides(byte: u8) -> bool {
    byte.is_ascii_control() && byte != b'\t'
}

/// Whether a cookie that came by another way could have come by this one.
pub(super) fn is_sound(cookie: &Cookie) -> bool {
    let octets = |text: &str| text.chars().count();
    let hides = |text: &str| text.chars().any(|c| u8::try_from(c).is_ok_and(hides));
    !cookie.name.is_empty()
        && !cookie.name.contains(['=', ';'])
        && !cookie.value.contains(';')
        && !cookie.path.contains(';')
        && octets(&cookie.name) + octets(&cookie.value) <= MAX_COOKIE
        && octets(&cookie.path) <= MAX_ATTRIBUTE
        && ![&cookie.name, &cookie.value, &cookie.path].iter().any(|text| hides(text))
        && keeps_its_promise(cookie)
}

/// Whether a cookie with these attributes is this URL's to set.
pub(super) fn may_set(url: &Url, cookie: &Cookie) -> bool {
    if cookie.secure && url.scheme() != Scheme::Https {
        return false;
    }
    match domain_of(url.host(), cookie.domain.as_bytes()) {
        Some((domain, host_only)) => {
            domain == cookie.domain && if cookie.host_only { domain == url.host() } else { !host_only }
        }
        // A host of any name has cookies of its own.
        None => cookie.host_only && cookie.domain == url.host(),
    }
}

/// Whether nobody but the host of this name gets its cookies.
pub(super) fn stays_on_host(host: &str) -> bool {
    is_address(host) || is_public_suffix(host)
}

/// Name and value, without the white space around them.
fn split(pair: &[u8]) -> Option<(&[u8], &[u8])> {
    let equals = pair.iter().position(|byte| *byte == b'=')?;
    Some((trim(&pair[..equals]), trim(&pair[equals + 1..])))
}

/// Spaces and tabs go, and no other white space: octets beyond ASCII are the server's own.
fn trim(mut text: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = text {
        text = rest;
    }
    text
}

/// RFC 6265 section 5.1.4: the folder of the request's path.
fn default_path(url: &Url) -> &str {
    match url.path().rfind('/') {
        None | Some(0) => "/",
        Some(slash) => &url.path()[..slash],
    }
}

/// When a cookie of this age ends. None: the value is no number.
fn parse_max_age(value: &[u8], now: i64) -> Option<i64> {
    let digits = value.strip_prefix(b"-").unwrap_or(value);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    if digits.len() < value.len() {
        return Some(0);
    }
    // Too many digits are a long time.
    let seconds: i64 = std::str::from_utf8(digits).ok()?.parse().unwrap_or(LATEST);
    Some(if seconds == 0 { 0 } else { now.saturating_add(seconds).min(LATEST) })
}

/// The domain that a `Domain` attribute asks for, and whether it is the host alone after all. None: it is not `host`'s.
fn domain_of(host: &str, attribute: &[u8]) -> Option<(String, bool)> {
    let text = match std::str::from_utf8(attribute) {
        Ok(text) => text.to_owned(),
        Err(_) => octets_as_text(attribute),
    };
    let domain = host::canonical_host(&text)?;
    let host_only = is_address(host) || is_public_suffix(&domain);
    if domain == host {
        return Some((domain.into_owned(), host_only));
    }
    (!host_only && host::is_within_domain(host, &domain)).then(|| (domain.into_owned(), false))
}

/// Whether no cookie may be set for all of this domain. A name without a dot is taken for a suffix even when
/// the list does not have it, as requests does; so is one with a dot at its end, which only tries to get past
/// the list.
fn is_public_suffix(domain: &str) -> bool {
    !domain.contains('.')
        || domain.ends_with('.')
        || psl::suffix(domain.as_bytes()).is_some_and(|suffix| suffix.is_known() && suffix == domain)
}

/// What the prefix of a name promises to the server has to be so (RFC 6265bis section 4.1.3). Its case does not matter,
/// since there are servers to which it does not.
fn keeps_its_promise(cookie: &Cookie) -> bool {
    let begins_with = |prefix: &str| {
        cookie.name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix))
    };
    if begins_with("__Host-") {
        return cookie.secure && cookie.host_only && cookie.path == "/";
    }
    cookie.secure || !begins_with("__Secure-")
}

/// RFC 6265 section 5.1.1: the first words that look like a time, a day, a month and a year.
pub fn parse_date(text: &str) -> Option<i64> {
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

    const NOW: i64 = 1_000_000;

    fn at(url: &str, line: impl AsRef<[u8]>) -> Option<Cookie> {
        parse(&Url::parse(url).unwrap(), line.as_ref(), NOW)
    }

    fn http(line: impl AsRef<[u8]>) -> Option<Cookie> {
        at("http://www.example.com/a/b", line)
    }

    fn https(line: impl AsRef<[u8]>) -> Option<Cookie> {
        at("https://www.example.com/a/b", line)
    }

    #[test]
    fn a_max_age_that_is_no_number_is_not_there() {
        const PAST: &str = "Expires=Thu, 01 Jan 1970 00:00:00 GMT";
        for value in ["", "-", "--1", "+1", "1.5", "1s", "soon", "\"5\"", "0x10", "\u{664}"] {
            let expires_s = |line: String| http(line).unwrap().expires_s;
            assert_eq!(expires_s(format!("a=1; Max-Age={value}")), SESSION, "{value:?}");
            assert_eq!(expires_s(format!("a=1; Max-Age={value}; {PAST}")), 0, "Expires counts: {value:?}");
            assert_eq!(expires_s(format!("a=1; Max-Age=7; Max-Age={value}; {PAST}")), NOW + 7, "{value:?}");
        }
        for (value, expires_s) in [
            ("7", NOW + 7),
            (" \t7 ", NOW + 7),
            ("007", NOW + 7),
            ("0", 0),
            ("-0", 0),
            ("-7", 0),
            ("-99999999999999999999", 0),
            ("99999999999999999999", LATEST),
            ("9223372036854775807", LATEST),
        ] {
            assert_eq!(
                http(format!("a=1; max-AGE={value}; {PAST}")).unwrap().expires_s,
                expires_s,
                "{value}"
            );
        }
    }

    #[test]
    fn an_expires_that_is_no_date_is_not_there() {
        assert_eq!(http("a=1; Expires=").unwrap().expires_s, SESSION);
        assert_eq!(http("a=1; Expires=never").unwrap().expires_s, SESSION);
        let line = "a=1; Expires=Thu, 01 Jan 1970 00:00:09 GMT; Expires=\u{fc}; expires=tomorrow";
        assert_eq!(http(line).unwrap().expires_s, 9);
        let last = "a=1; Expires=Thu, 01 Jan 1970 00:00:09 GMT; Expires=Wed, 31 Dec 1969 23:59:59 GMT";
        assert_eq!(http(last).unwrap().expires_s, -2, "not for ever");
    }

    #[test]
    fn names_and_values_are_octets_of_which_only_spaces_and_tabs_are_trimmed() {
        for (line, name, value) in [
            (&b" \t a \t=\t b c \t ; Path=/"[..], &b"a"[..], &b"b c"[..]),
            (b"a=\xfc", b"a", b"\xfc"),
            (b"a=\xc3\xbc", b"a", b"\xc3\xbc"),
            (b"a=\xc2\xa0b\xc2\x85", b"a", b"\xc2\xa0b\xc2\x85"),
            (b"\xa0a\x85=\xa0", b"\xa0a\x85", b"\xa0"),
            (b"a=\"x \\\"y\\\" z\"", b"a", b"\"x \\\"y\\\" z\""),
            (b"a=\"x;y\"", b"a", b"\"x"),
            (b"a=b=c==", b"a", b"b=c=="),
            (b"a=", b"a", b""),
            (b"a=b\tc", b"a", b"b\tc"),
        ] {
            let cookie = http(line).unwrap();
            let octets = |text: &str| text.chars().map(|c| u8::try_from(c).unwrap()).collect::<Vec<_>>();
            assert_eq!((octets(&cookie.name), octets(&cookie.value)), (name.into(), value.into()));
        }
        for line in ["", "a", "=", "=1", " =1", ";a=1", "a; b=1", "a=\0", "a=1\r\nX: y", "a=1; Path=/\x7f"] {
            assert_eq!(http(line), None, "{line:?}");
        }
    }

    #[test]
    fn a_cookie_has_at_most_4096_octets_and_an_attribute_1024() {
        assert!(http(format!("ab={}", "x".repeat(4094))).is_some());
        assert!(http(format!("ab={}", "x".repeat(4095))).is_none());
        assert!(http([b"ab=".as_slice(), &[0xFC; 4094]].concat()).is_some(), "octets, not characters");
        let path = |length: usize| http(format!("a=1; Path=/{}", "p".repeat(length - 1))).unwrap().path;
        assert_eq!(path(1024).len(), 1024);
        assert_eq!(path(1025), "/a", "as if it were not there");
    }

    #[test]
    fn paths_and_flags() {
        for (url, line, path) in [
            ("http://h/a/b/c", "a=1", "/a/b"),
            ("http://h/a/b/", "a=1", "/a/b"),
            ("http://h/a", "a=1", "/"),
            ("http://h/?/x/y", "a=1", "/"),
            ("http://h/a/b", "a=1; PATH= /x/ ", "/x/"),
            ("http://h/a/b", "a=1; Path=x", "/a"),
            ("http://h/a/b", "a=1; Path=", "/a"),
            ("http://h/a/b", "a=1; Path", "/a"),
            ("http://h/a/b", "a=1; Path=/x; Path=/y", "/y"),
            ("http://h/a/b", "a=1; Path=/x; Path=y", "/a"),
        ] {
            assert_eq!(at(url, line).unwrap().path, path, "{url} {line}");
        }
        let cookie = https("a=1;SECURE ; httpOnly=x;Color=blue; SameSite").unwrap();
        assert!(cookie.secure && cookie.http_only && cookie.host_only);
        let cookie = https("a=1; Insecure; HttpOnly2").unwrap();
        assert!(!cookie.secure && !cookie.http_only);
    }

    #[test]
    fn a_domain_is_the_same_host_as_in_urls() {
        let shop = "http://shop.xn--bcher-kva.example/";
        for domain in ["b\u{fc}cher.example", ".B\u{dc}cher.EXAMPLE", "XN--BCHER-KVA.example"] {
            let cookie = at(shop, format!("a=1; Domain={domain}")).unwrap();
            assert_eq!(
                (cookie.domain.as_str(), cookie.host_only),
                ("xn--bcher-kva.example", false),
                "{domain}"
            );
        }
        assert!(at(shop, b"a=1; Domain=b\xfccher.example").is_some(), "ISO-8859-1 is read as well");
        for domain in ["", ".", "  "] {
            assert!(
                http(format!("a=1; Domain=example.com; Domain={domain}"))
                    .is_some_and(|cookie| !cookie.host_only)
            );
            assert!(
                http(format!("a=1; Domain={domain}")).is_some_and(|cookie| cookie.host_only),
                "{domain:?}"
            );
        }
        for domain in
            ["..example.com", "*.example.com", "b\u{fc}cher.example", "example.com:80", "http://example.com"]
        {
            assert_eq!(http(format!("a=1; Domain={domain}")), None, "{domain}");
        }
    }

    #[test]
    fn what_may_be_an_address_has_no_domains() {
        for host in ["node.9", "foo.09", "1.2.3.4", "1.2.3.4.", "0x7f.0.0x1", "[::ffff:1.2.3.4]"] {
            let url = format!("http://{host}/");
            assert!(at(&url, "a=1").is_some_and(|cookie| cookie.host_only), "{host}");
            for domain in ["9", "09", "2.3.4", "3.4.", "0.0x1", "3.4"] {
                assert_eq!(at(&url, format!("a=1; Domain={domain}")), None, "{host} {domain}");
            }
        }
        assert!(at("http://a.node.9/", "a=1; Domain=a.node.9").is_some_and(|cookie| cookie.host_only));
    }

    #[test]
    fn a_secure_cookie_comes_over_https_only() {
        for url in ["http://www.example.com/", "http://localhost/", "http://127.0.0.1/"] {
            assert_eq!(at(url, "a=1; Secure"), None, "{url}");
            assert!(at(&url.replace("http:", "https:"), "a=1; Secure").is_some_and(|cookie| cookie.secure));
        }
    }

    #[test]
    fn what_the_prefix_of_a_name_promises_is_so() {
        for line in [
            "__Secure-a=1; Secure",
            "__SECURE-a=1; Secure; Domain=example.com",
            "__Host-a=1; Secure; Path=/",
            "__host-a=1; Secure; Path=/; Domain=",
            "__Hosta=1",
            "a__Host-=1",
        ] {
            assert!(https(line).is_some(), "{line}");
        }
        for line in [
            "__Secure-a=1",
            "__secure-a=1; Path=/",
            "__Host-a=1; Path=/",
            "__Host-a=1; Secure",
            "__Host-a=1; Secure; Path=/a",
            "__HOST-a=1; Secure; Path=/; Domain=example.com",
            "__Host-a=1; Secure; Path=/; Domain=www.example.com",
        ] {
            assert_eq!(https(line), None, "{line}");
        }
        assert!(at("https://h/a", "__Host-a=1; Secure").is_some(), "the default path counts, as in curl");
        assert_eq!(http("__Secure-a=1; Secure"), None);
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
}
