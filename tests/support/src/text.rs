//! Small text matters: percent-encoding, queries, and bytes that may or may not be UTF-8.

use std::fmt;
use std::str::FromStr;

/// Decodes `%XX`; what is no valid escape stays as it is.
pub fn percent_decode(text: &[u8], plus_is_space: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        match first {
            b'+' if plus_is_space => out.push(b' '),
            b'%' => match tail {
                [high, low, after @ ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                    out.push(nibble(*high) << 4 | nibble(*low));
                    rest = after;
                }
                _ => out.push(b'%'),
            },
            other => out.push(other),
        }
    }
    out
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// UTF-8 if it is that, otherwise Latin-1: every byte sequence has a text.
pub fn text_of(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().map(|&byte| char::from(byte)).collect(),
    }
}

pub fn hex(bytes: &[u8]) -> String {
    use fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}

/// `user-agent` as `User-Agent`, the way httpbin shows names.
pub fn title_case(name: &str) -> String {
    let mut start = true;
    name.chars()
        .map(|c| {
            let shown = if start { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() };
            start = c == '-';
            shown
        })
        .collect()
}

pub fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A parameter that does not parse; its text goes to the client.
#[derive(Debug)]
pub struct BadParameter(pub String);

/// The decoded pairs of a query or of an urlencoded form, in order.
#[derive(Debug, Default)]
pub struct Query(Vec<(Vec<u8>, Vec<u8>)>);

impl Query {
    pub fn parse(query: &[u8]) -> Query {
        Query(
            query
                .split(|&byte| byte == b'&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| {
                    let mut halves = pair.splitn(2, |&byte| byte == b'=');
                    let mut half = || percent_decode(halves.next().unwrap_or_default(), true);
                    (half(), half())
                })
                .collect(),
        )
    }

    pub fn pairs(&self) -> impl Iterator<Item = (String, String)> + '_ {
        self.0.iter().map(|(name, value)| (text_of(name), text_of(value)))
    }

    pub fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> + 'a {
        self.0.iter().filter(move |(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.0.iter().find(|(key, _)| key == name.as_bytes()).map(|(_, value)| value.as_slice())
    }

    pub fn get(&self, name: &str) -> Option<String> {
        self.bytes(name).map(text_of)
    }

    pub fn is_set(&self, name: &str) -> bool {
        self.bytes(name).is_some_and(|value| value != b"0")
    }

    /// The parameter as a number, or `default` where it is not given.
    pub fn number<N: FromStr>(&self, name: &str, default: N) -> Result<N, BadParameter> {
        match self.get(name) {
            None => Ok(default),
            Some(text) => parse(&text).map_err(|BadParameter(why)| BadParameter(format!("{name}: {why}"))),
        }
    }
}

pub fn parse<N: FromStr>(text: &str) -> Result<N, BadParameter> {
    text.parse().map_err(|_| BadParameter(format!("{text:?} is no valid number")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_escapes() {
        assert_eq!(percent_decode(b"a%20b+c%ff%zz%", true), b"a b c\xff%zz%");
        assert_eq!(percent_decode(b"a+b", false), b"a+b");
    }

    #[test]
    fn queries() {
        let query = Query::parse(b"a=1&b&a=2&=x&c=d%3De&&n=7");
        assert_eq!(query.all("a").collect::<Vec<_>>(), [b"1", b"2"]);
        assert_eq!(query.get("b").as_deref(), Some(""));
        assert_eq!(query.get("c").as_deref(), Some("d=e"));
        assert_eq!(query.number("n", 0).unwrap(), 7);
        assert_eq!(query.number("m", 5).unwrap(), 5);
        assert!(query.number::<u32>("c", 0).is_err());
    }

    #[test]
    fn names() {
        assert_eq!(title_case("x-CASE-te"), "X-Case-Te");
        assert_eq!(text_of(b"Gr\xfc\xdfe"), "Grüße");
    }
}
