//! Statuses, redirects and cookies.

use std::time::{SystemTime, UNIX_EPOCH};

use hyper::StatusCode;
use hyper::header::{COOKIE, LOCATION, PROXY_AUTHENTICATE, SET_COOKIE, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};

use super::inspect::host;
use super::{Answer, Call, Reply, bad, empty, json_reply, reply, status_code, with_header, with_status};
use crate::body::Body;
use crate::text::{parse, text_of};

/// `/status/{codes}`
pub fn status(call: &Call, codes: &str) -> Answer {
    let codes = codes.split(',').map(status_code).collect::<Result<Vec<_>, _>>()?;
    let at = match call.number {
        Some(number) => (number.max(1) as usize - 1).min(codes.len() - 1),
        // Chance enough for a test server.
        None => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            now.subsec_nanos() as usize / 100 % codes.len()
        }
    };
    let answer = empty(codes[at]);
    match codes[at].as_u16() {
        301 | 302 | 303 | 307 | 308 => with_header(answer, LOCATION, b"/redirect/1"),
        401 => with_header(answer, WWW_AUTHENTICATE, br#"Basic realm="Fake Realm""#),
        407 => with_header(answer, PROXY_AUTHENTICATE, br#"Basic realm="Fake Realm""#),
        402 => Ok(with_status(codes[at], reply("text/plain", "Payment, please!\n"))),
        418 => Ok(with_status(codes[at], reply("text/plain", "I'm a teapot!\n"))),
        _ => Ok(answer),
    }
}

/// One hop of the counted redirects.
pub fn redirect(call: &Call, n: &str, next: &str, absolute: bool) -> Answer {
    let n: u32 = parse(n)?;
    let code = call.query.get("status_code");
    let mut location =
        if absolute { format!("{}://{}", call.peer.scheme(), host(call)) } else { String::new() };
    if n > 1 {
        location += &format!("/{next}/{}", n - 1);
        if let Some(code) = &code {
            location += &format!("?status_code={code}");
        }
    } else {
        location += "/get";
    }
    let page = format!("<title>Redirecting...</title>\n<a href=\"{location}\">{location}</a>\n");
    let status = status_code(code.as_deref().unwrap_or("302"))?;
    with_header(with_status(status, reply("text/html; charset=utf-8", page)), LOCATION, location.as_bytes())
}

/// `/redirect-to`
pub fn redirect_to(call: &Call) -> Answer {
    let location = call.query.bytes("url").ok_or_else(|| bad("no url"))?;
    let status = status_code(call.query.get("status_code").as_deref().unwrap_or("302"))?;
    let answer = match call.query.get("body") {
        Some(text) => reply("text/plain", text),
        None => reply("text/plain", Body::empty()),
    };
    with_header(with_status(status, answer), LOCATION, location)
}

/// `/cookies`
pub fn cookies(call: &Call) -> Reply {
    let mut cookies = Map::new();
    for line in call.head.headers.get_all(COOKIE) {
        for pair in text_of(line.as_bytes()).split(';') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            cookies.insert(name.trim().to_owned(), Value::from(value.trim()));
        }
    }
    json_reply(&json!({ "cookies": cookies }))
}

fn to_cookies() -> Answer {
    with_header(empty(StatusCode::FOUND), LOCATION, b"/cookies")
}

/// `/cookies/set`
pub fn set_cookies(mut pairs: impl Iterator<Item = (String, String)>) -> Answer {
    pairs.try_fold(to_cookies()?, |answer, (name, value)| {
        with_header(answer, SET_COOKIE, format!("{name}={value}; Path=/").as_bytes())
    })
}

/// `/cookies/delete`
pub fn delete_cookies(call: &Call) -> Answer {
    call.query.pairs().try_fold(to_cookies()?, |answer, (name, _)| {
        let line = format!("{name}=; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Max-Age=0; Path=/");
        with_header(answer, SET_COOKIE, line.as_bytes())
    })
}

/// `/set-cookie`
pub fn set_cookie_lines(call: &Call) -> Answer {
    let answer = match call.query.bytes("location") {
        Some(location) => with_header(empty(StatusCode::FOUND), LOCATION, location)?,
        None => json_reply(&json!({ "set": call.query.all("raw").count() })),
    };
    call.query.all("raw").try_fold(answer, |answer, line| with_header(answer, SET_COOKIE, line))
}
