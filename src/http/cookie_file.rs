//! Cookies in a file, in the format of Netscape that curl and Python's MozillaCookieJar share: a line for each, of seven
//! fields with tabs between them.
//!
//! `domain  goes-below-it  path  secure  expires  name  value`, where the second and the fourth are TRUE or FALSE, and
//! `#HttpOnly_` before the domain marks what scripts do not see.

use std::fmt::Write;
use std::path::Path;

use super::cookies::{Cookie, Jar, SESSION, now, octets_as_text, octets_of};
use super::files::{self, ReadError};
use super::output::{Goal, OutputFile};
use super::set_cookie::{self, LATEST};
use super::socket::{Limits, Step};
use crate::future::control::Control;
use crate::message::error::{Error, ErrorKind};
use crate::message::host::canonical_host;

/// MozillaCookieJar reads no file that begins otherwise.
const HEADING: &[u8] = b"# Netscape HTTP Cookie File\n\n";
const HTTP_ONLY: &[u8] = b"#HttpOnly_";
const MARK: &[u8] = b"\xEF\xBB\xBF";

/// A line that is no cookie.
#[derive(Debug, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: usize,
    why: String,
}

/// What a jar holds, as a file.
pub fn write(cookies: &[Cookie]) -> Vec<u8> {
    let mut file = HEADING.to_vec();
    for cookie in cookies {
        // A tab in one of these would begin another field. Neither curl nor Python reads such a line.
        if [&cookie.name, &cookie.value, &cookie.path].iter().any(|text| text.contains('\t')) {
            continue;
        }
        let flag = |is_set: bool| if is_set { "TRUE" } else { "FALSE" };
        let mut start = String::new();
        // MozillaCookieJar insists on the dot where the cookie goes to names below its domain.
        let dot = if cookie.host_only { "" } else { "." };
        let expires = if cookie.expires_s == SESSION { 0 } else { cookie.expires_s };
        let below = flag(!cookie.host_only);
        let _ = write!(start, "{dot}{}\t{below}\t", cookie.domain);
        file.extend_from_slice(if cookie.http_only { HTTP_ONLY } else { b"" });
        file.extend_from_slice(start.as_bytes());
        file.extend_from_slice(&octets_of(&cookie.path));
        file.extend_from_slice(format!("\t{}\t{expires}\t", flag(cookie.secure)).as_bytes());
        file.extend_from_slice(&octets_of(&cookie.name));
        file.push(b'\t');
        file.extend_from_slice(&octets_of(&cookie.value));
        file.push(b'\n');
    }
    file
}

/// The cookies of a file: those that have not expired, and that a jar would take from a server.
pub fn read(file: &[u8]) -> Result<Vec<Cookie>, BadLine> {
    let file = file.strip_prefix(MARK).unwrap_or(file);
    let now = now();
    let mut cookies = Vec::new();
    for (at, line) in file.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        match cookie_of(line, now) {
            Ok(cookie) => cookies.extend(cookie),
            Err(why) => return Err(BadLine { number: at + 1, why }),
        }
    }
    Ok(cookies)
}

/// None: there is none in the line, or none that would be taken.
fn cookie_of(line: &[u8], now: i64) -> Result<Option<Cookie>, String> {
    let (line, http_only) = match line.strip_prefix(HTTP_ONLY) {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    if line.starts_with(b"#") || line.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Without its last tab, as curl reads it, a cookie has no value.
    let fields: Vec<&[u8]> = line.splitn(7, |byte| *byte == b'\t').collect();
    let (domain, below, path, secure, expires, name, value) = match fields[..] {
        [domain, below, path, secure, expires, name] => {
            (domain, below, path, secure, expires, name, &b""[..])
        }
        [domain, below, path, secure, expires, name, value] => {
            (domain, below, path, secure, expires, name, value)
        }
        _ => return Err(format!("it has {} of 7 fields with tabs between them", fields.len())),
    };
    let domain = domain.strip_prefix(b".").unwrap_or(domain);
    let domain = std::str::from_utf8(domain).map_or_else(|_| octets_as_text(domain), str::to_owned);
    let domain = canonical_host(&domain).ok_or("its domain is none")?.into_owned();
    let host_only = !flag(below).ok_or("its second field is neither TRUE nor FALSE")?;
    let secure = flag(secure).ok_or("its fourth field is neither TRUE nor FALSE")?;
    let expires_s = time(expires).ok_or("its fifth field is no time in seconds")?;
    let cookie = Cookie {
        name: octets_as_text(name),
        value: octets_as_text(value),
        host_only: host_only || set_cookie::stays_on_host(&domain),
        domain,
        path: if path.starts_with(b"/") { octets_as_text(path) } else { "/".into() },
        expires_s,
        secure,
        http_only,
    };
    Ok((!cookie.is_expired(now) && set_cookie::is_sound(&cookie)).then_some(cookie))
}

fn flag(field: &[u8]) -> Option<bool> {
    match field.to_ascii_uppercase().as_slice() {
        b"TRUE" => Some(true),
        b"FALSE" => Some(false),
        _ => None,
    }
}

/// When a cookie ends. Other programs write fractions of a second as well.
fn time(field: &[u8]) -> Option<i64> {
    let is_number = |digits: &[u8]| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    if field.is_empty() {
        return Some(SESSION);
    }
    let (past, digits) = field.strip_prefix(b"-").map_or((false, field), |digits| (true, digits));
    let mut parts = digits.splitn(2, |byte| *byte == b'.');
    let seconds = parts.next().filter(|seconds| is_number(seconds))?;
    if !parts.next().is_none_or(is_number) {
        return None;
    }
    if past {
        // Any moment that is over for certain.
        return Some(SESSION - 1);
    }
    // Too many digits are a long time.
    let seconds: i64 = std::str::from_utf8(seconds).ok()?.parse().unwrap_or(LATEST);
    Some(if seconds == 0 { SESSION } else { seconds.min(LATEST) })
}

/// Writes what has not expired into a file that nobody but its owner may read.
pub fn save(jar: &Jar, path: &str) -> Result<(), Error> {
    let (control, name) = (Control::new(), Path::new(path));
    let mut file =
        OutputFile::create_for(Goal { name, what: "cookies", is_private: true, appends: false }, &control)?;
    file.write(&write(&jar.snapshot()))?;
    file.complete()
}

/// Adds the cookies of a file to a jar; all of them, or none.
pub fn load(jar: &Jar, path: &str) -> Result<(), Error> {
    let limits = Limits {
        control: &Control::new(),
        silence: None,
        connect: None,
        step: Step::Body,
        peer: &path,
        progress: None,
        pace: None,
    };
    let failed = || format!("Cannot read the cookies from {path}");
    let file = files::read(Path::new(path), &limits).map_err(|error| match error {
        ReadError::Io(error) => Error::os(ErrorKind::Request, failed(), &error),
        ReadError::Ended(error) => error,
    })?;
    let cookies = read(&file).map_err(|BadLine { number, why }| {
        Error::new(ErrorKind::Request, format!("{}: line {number} is no cookie: {why}", failed()))
    })?;
    // A file may have any number of them: those that a jar keeps are found without its lock, which requests wait for.
    let kept = Jar::new();
    kept.merge(cookies);
    jar.merge(kept.snapshot());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cookie(name: &str) -> Cookie {
        Cookie {
            name: name.into(),
            value: "v".into(),
            domain: "h.example".into(),
            path: "/".into(),
            expires_s: SESSION,
            secure: false,
            http_only: false,
            host_only: true,
        }
    }

    fn line(line: &str) -> Result<Option<Cookie>, BadLine> {
        read(line.as_bytes()).map(|mut cookies| cookies.pop())
    }

    #[test]
    fn what_is_written_is_read() {
        let all = vec![
            cookie("plain"),
            Cookie { host_only: false, secure: true, ..cookie("below") },
            Cookie { http_only: true, expires_s: LATEST, path: "/a/\u{fc}".into(), ..cookie("hidden") },
            Cookie { value: String::new(), ..cookie("empty") },
            Cookie { value: " \"a=b\" \u{c3}\u{bc}# ".into(), ..cookie("#odd") },
            Cookie { domain: "::1".into(), ..cookie("six") },
            Cookie { domain: "127.0.0.1".into(), ..cookie("four") },
        ];
        let file = write(&all);
        assert_eq!(read(&file).unwrap(), all);
        let shown = String::from_utf8_lossy(&file);
        assert!(shown.contains("\n.h.example\tTRUE\t/\tTRUE\t0\tbelow\tv\n"), "{shown}");
        assert!(shown.contains("\n#HttpOnly_h.example\tFALSE\t/a/"), "{shown}");
        let windows = String::from_utf8_lossy(&file).replace('\n', "\r\n");
        assert_eq!(read(windows.as_bytes()).unwrap().len(), all.len());
        assert_eq!(read(&[MARK, &file].concat()).unwrap(), all);
    }

    #[test]
    fn a_tab_cannot_be_written() {
        let with_tab = |change: fn(&mut Cookie)| {
            let mut changed = cookie("a");
            change(&mut changed);
            write(&[changed])
        };
        assert_eq!(with_tab(|cookie| cookie.value = "a\tb".into()), HEADING);
        assert_eq!(with_tab(|cookie| cookie.path = "/a\tb".into()), HEADING);
        assert_eq!(with_tab(|cookie| cookie.name = "a\tb".into()), HEADING);
    }

    #[test]
    fn times_are_whole_seconds_or_none() {
        for (field, expires_s) in [
            ("", Some(SESSION)),
            ("0", Some(SESSION)),
            ("000", Some(SESSION)),
            ("4102444800", Some(4_102_444_800)),
            ("4102444800.75", Some(4_102_444_800)),
            ("99999999999999999999", Some(LATEST)),
            ("-1", Some(-2)),
            ("-", None),
            ("1.", None),
            (".5", None),
            ("+1", None),
            ("1e9", None),
            ("soon", None),
        ] {
            assert_eq!(time(field.as_bytes()), expires_s, "{field:?}");
        }
    }

    #[test]
    fn a_line_that_is_no_cookie_is_named() {
        for (file, number) in [
            ("no cookie", 1),
            ("\n\nh.example\tFALSE\t/\tFALSE\t0", 3),
            ("h.example\tMAYBE\t/\tFALSE\t0\ta\tb", 1),
            ("h.example\tFALSE\t/\tno\t0\ta\tb", 1),
            ("# comment\r\nh.example\tFALSE\t/\tFALSE\tsoon\ta\tb", 2),
            ("a b\tFALSE\t/\tFALSE\t0\ta\tb", 1),
            ("\tFALSE\t/\tFALSE\t0\ta\tb", 1),
            ("#HttpOnly_", 0),
            ("#HttpOnly_h.example", 1),
            ("h.example\tFALSE\t/\tFALSE\t0\ta\tb\nh.example TRUE", 2),
        ] {
            assert_eq!(read(file.as_bytes()).map_or_else(|bad| bad.number, |_| 0), number, "{file:?}");
        }
    }

    #[test]
    fn what_no_server_could_have_set_is_left_out_or_stays_on_its_host() {
        let long = "v".repeat(4096);
        for left_out in [
            "h.example\tFALSE\t/\tFALSE\t0\t\tnameless".to_owned(),
            "h.example\tFALSE\t/\tFALSE\t0\ta\tb;c".to_owned(),
            "h.example\tFALSE\t/\tFALSE\t0\ta=b\tc".to_owned(),
            "h.example\tFALSE\t/\tFALSE\t0\ta\tb\x01".to_owned(),
            "h.example\tFALSE\t/\tFALSE\t0\ta\tb\rc".to_owned(),
            format!("h.example\tFALSE\t/\tFALSE\t0\ta\t{long}"),
            format!("h.example\tFALSE\t/{long}\tFALSE\t0\ta\tb"),
            "h.example\tFALSE\t/\tFALSE\t0\t__Secure-a\tb".to_owned(),
            ".h.example\tTRUE\t/\tTRUE\t0\t__Host-a\tb".to_owned(),
            "h.example\tFALSE\t/\tFALSE\t1000\tover\tb".to_owned(),
            "h.example\tFALSE\t/\tFALSE\t-1\tover\tb".to_owned(),
        ] {
            assert_eq!(line(&left_out), Ok(None), "{left_out:?}");
        }
        for domain in [".com", ".co.uk", ".127.0.0.1", ".localhost"] {
            let kept = line(&format!("{domain}\tTRUE\t/\tFALSE\t0\ta\tb")).unwrap().unwrap();
            assert!(kept.host_only, "{domain}");
        }
        assert!(!line(".h.example\ttrue\tx\tfalse\t\ta").unwrap().unwrap().host_only);
        let kept = line("B\u{dc}cher.example\tFALSE\tx\tFALSE\t\ta\tb\tc").unwrap().unwrap();
        assert_eq!((&*kept.domain, &*kept.path, &*kept.value), ("xn--bcher-kva.example", "/", "b\tc"));
    }
}
