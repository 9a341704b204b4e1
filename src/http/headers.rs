//! What the headers of a request may hold. Messages name a header and the place in it, never its value: that may be a
//! secret.

use std::sync::Arc;

use super::body::Payload;
use crate::message::error::{Error, ErrorKind};
use crate::message::head::{breaks_lines, is_line_break, is_token};
use crate::message::options::Header;

fn invalid(name: &str, why: &str) -> Error {
    Error::new(ErrorKind::InvalidHeader, format!("Invalid header \"{name}\": {why}"))
}

/// Checks one header by itself.
pub fn check(name: &str, value: &str) -> Result<(), Error> {
    let has_leading_space = value.chars().next().is_some_and(char::is_whitespace);
    if !is_token(name.as_bytes()) || has_leading_space || breaks_lines(value) {
        return Err(complaint(name, value));
    }
    Ok(())
}

#[cold]
fn complaint(name: &str, value: &str) -> Error {
    if name.is_empty() {
        return invalid(name, "its name is empty");
    }
    if let Some(at) = name.bytes().position(|byte| !is_token(&[byte])) {
        // Somebody may have given a whole line for the name.
        return invalid(
            &name[..at],
            &format!("its name goes on with byte {:#04x}, which no name may hold", name.as_bytes()[at]),
        );
    }
    match value.bytes().position(is_line_break) {
        Some(at) if !value.starts_with(char::is_whitespace) => {
            invalid(name, &format!("byte {at} of its value is a line break or a NUL"))
        }
        _ => invalid(name, "its value has leading white space"),
    }
}

/// The headers that a request was given, as far as they count where it has come to.
pub struct Given {
    all: Arc<Vec<Header>>,
    /// Where those stand that count no more.
    dropped: Vec<usize>,
    /// Whether one of them may be special.
    has_special: bool,
}

impl Given {
    pub fn new(all: &Arc<Vec<Header>>) -> Given {
        Given { all: all.clone(), dropped: Vec::new(), has_special: true }
    }

    /// None of them is special, as was found out.
    pub fn has_no_special(&mut self) {
        self.has_special = false;
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.all.iter().enumerate().filter_map(|(at, header)| {
            let value = header.value.as_deref()?;
            let counts = self.dropped.is_empty() || !self.dropped.contains(&at);
            counts.then_some((header.name.as_str(), value))
        })
    }

    /// The value of the first of that name.
    #[inline]
    pub fn get(&self, wanted: &str) -> Option<&str> {
        if !self.has_special && is_special(wanted) { None } else { self.find(wanted) }
    }

    fn find(&self, wanted: &str) -> Option<&str> {
        self.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    }

    #[inline]
    pub fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Another value in the place of that of the first of this name.
    pub fn replace(&mut self, name: &str, value: &str) {
        let is_one = |header: &&mut Header| header.name.eq_ignore_ascii_case(name);
        if let Some(header) = Arc::make_mut(&mut self.all).iter_mut().find(is_one) {
            header.value = Some(value.into());
        }
    }

    /// Those of these names count no more.
    pub fn drop(&mut self, names: &[&str]) {
        let is_one = |header: &Header| names.iter().any(|name| header.name.eq_ignore_ascii_case(name));
        let gone = self.all.iter().enumerate().filter(|(_, header)| is_one(header));
        self.dropped.extend(gone.map(|(at, _)| at));
    }
}

/// Whether more may have to be known about a header than that it can be sent. Nearly all requests have none such, so
/// their headers are looked at once only.
#[inline]
pub fn is_special(name: &str) -> bool {
    // By their lengths alone: Host, Range, Authorization, Content-Length, Transfer-Encoding.
    matches!(name.len(), 4 | 5 | 13 | 14 | 17)
}

/// Checks what decides where the request ends and whom it is for: a length or coding given by hand is that of the body,
/// and there is one Host at most. Two would be read in two ways by two servers.
pub fn check_framing_and_routing(headers: &Given, payload: &Payload) -> Result<(), Error> {
    check_all(headers.iter(), payload).map(|_| ())
}

/// The same for what the user's functions have left of a head, where nothing may be missing.
pub fn check_changed(headers: &[(&str, &str)], payload: &Payload) -> Result<(), Error> {
    for (name, value) in headers {
        check(name, value)?;
    }
    let (framing, hosts) = check_all(headers.iter().copied(), payload)?;
    if hosts == 0 {
        return Err(invalid("Host", "it was taken out, and no request goes without it"));
    }
    if framing == 0 && payload.length() != Some(0) {
        let name = if payload.length().is_some() { "Content-Length" } else { "Transfer-Encoding" };
        return Err(invalid(name, "it was taken out, and there is a body"));
    }
    Ok(())
}

/// How many of them tell where the body ends, and how many are a Host.
fn check_all<'a>(
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    payload: &Payload,
) -> Result<(usize, usize), Error> {
    let (mut framing, mut hosts) = (0, 0);
    for (name, value) in headers {
        let agrees = if name.eq_ignore_ascii_case("Content-Length") {
            let digits = value.bytes().all(|byte| byte.is_ascii_digit());
            digits && value.parse().is_ok_and(|length: u64| payload.length() == Some(length))
        } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
            value.eq_ignore_ascii_case("chunked") && payload.length().is_none()
        } else {
            hosts += usize::from(name.eq_ignore_ascii_case("Host"));
            if hosts > 1 {
                return Err(invalid(name, "there can be only one"));
            }
            continue;
        };
        framing += 1;
        if !agrees || framing > 1 {
            return Err(invalid(name, "it contradicts the body"));
        }
    }
    Ok((framing, hosts))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complaint(result: Result<(), Error>) -> String {
        let error = result.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidHeader);
        error.message().as_str().to_owned()
    }

    fn given(headers: &[(&str, &str)]) -> Given {
        let header = |&(name, value): &(&str, &str)| Header { name: name.into(), value: Some(value.into()) };
        Given::new(&Arc::new(headers.iter().map(header).collect()))
    }

    #[test]
    fn what_was_dropped_counts_no_more() {
        let mut headers = given(&[("A", "1"), ("b", "2"), ("B", "3"), ("C", "4")]);
        assert_eq!((headers.get("B"), headers.has("c"), headers.has("D")), (Some("2"), true, false));
        headers.drop(&["B", "a", "X"]);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("C", "4")]);
    }

    #[test]
    fn no_message_about_a_header_holds_its_value() {
        for (name, value, message) in [
            ("X", " secret", r#"Invalid header "X": its value has leading white space"#),
            (
                "Authorization",
                "secret\nsecret",
                r#"Invalid header "Authorization": byte 6 of its value is a line break or a NUL"#,
            ),
            (
                "Cookie",
                "a=\0secret",
                r#"Invalid header "Cookie": byte 2 of its value is a line break or a NUL"#,
            ),
            (
                "Authorization: secret",
                "",
                r#"Invalid header "Authorization": its name goes on with byte 0x3a, which no name may hold"#,
            ),
            (
                "X-\u{e4}",
                "",
                r#"Invalid header "X-": its name goes on with byte 0xc3, which no name may hold"#,
            ),
            ("", "secret", r#"Invalid header "": its name is empty"#),
        ] {
            assert_eq!(complaint(check(name, value)), message);
        }
        assert!(check("X", "").is_ok() && check("X", "a \u{e4}\t").is_ok());
    }

    #[test]
    fn what_is_looked_at_closely_is_special() {
        for name in ["host", "range", "Authorization", "Content-Length", "Transfer-Encoding"] {
            assert!(is_special(name));
        }
    }

    #[test]
    fn two_hosts_lengths_or_codings_are_refused() {
        let nothing = Payload::nothing();
        assert!(
            check_framing_and_routing(&given(&[("Host", "a"), ("Content-Length", "0")]), &nothing).is_ok()
        );
        for (headers, message) in [
            ([("Host", "a"), ("hOST", "a")], r#"Invalid header "hOST": there can be only one"#),
            (
                [("Content-Length", "0"), ("Content-Length", "0")],
                r#"Invalid header "Content-Length": it contradicts the body"#,
            ),
        ] {
            assert_eq!(complaint(check_framing_and_routing(&given(&headers), &nothing)), message);
        }
    }
}
