//! Fixed documents, and headers that are asked for.

use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_MATCH, IF_MODIFIED_SINCE,
    IF_NONE_MATCH, LAST_MODIFIED, LINK, LOCATION, TRANSFER_ENCODING,
};
use serde_json::{Value, json};

use super::{Answer, Call, Reply, bad, content, empty, inspect, json_reply, reply, with_header};
use crate::text::{parse, text_of};

/// `/json`
pub fn json(call: &Call) -> Reply {
    match call.query.bytes("raw") {
        Some(raw) => reply("application/json", raw.to_vec()),
        None => json_reply(&json!({
            "slideshow": {
                "author": "Yours Truly",
                "date": "date of publication",
                "slides": [
                    { "title": "Wake up to WonderWidgets!", "type": "all" },
                    {
                        "items": ["Why <em>WonderWidgets</em> are great", "Who <em>buys</em> WonderWidgets"],
                        "title": "Overview",
                        "type": "all",
                    },
                ],
                "title": "Sample Slide Show",
            }
        })),
    }
}

/// `/json-bad`
pub fn json_bad() -> Reply {
    reply("application/json", "{\"a\": 1,\n \"b\": nope}")
}

/// `/json-deep/{n}`
pub fn json_deep(n: &str) -> Answer {
    let n: usize = parse(n)?;
    if n > 1_000_000 {
        return Err(bad("too deep"));
    }
    Ok(reply("application/json", "[".repeat(n) + &"]".repeat(n)))
}

/// `/html`
pub fn html() -> Reply {
    let page = "<!DOCTYPE html>\n<html>\n<head></head>\n<body>\n<h1>Herman Melville - Moby-Dick</h1>\n\
        <p>Call me Ishmael.</p>\n</body>\n</html>\n";
    reply("text/html; charset=utf-8", page)
}

/// `/xml`
pub fn xml() -> Reply {
    let document = "<?xml version='1.0' encoding='us-ascii'?>\n<slideshow title=\"Sample Slide Show\">\n\
        <slide type=\"all\"><title>Overview</title></slide>\n</slideshow>\n";
    reply("application/xml", document)
}

/// `/robots.txt`
pub fn robots() -> Reply {
    reply("text/plain", "User-agent: *\nDisallow: /deny\n")
}

/// `/image/png`: one red pixel
pub fn png() -> Reply {
    const PIXEL: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x01\0\0\0\x01\x08\x02\0\0\0\x90wS\xde\
        \0\0\0\x0cIDATx\x9cc\xf8\xcf\xc0\0\0\x03\x01\x01\0\xc9\xfe\x92\xef\0\0\0\0IEND\xaeB`\x82";
    reply("image/png", Bytes::from_static(PIXEL))
}

/// `/response-headers`
pub fn response_headers(call: &Call) -> Answer {
    let shown = Value::Object(inspect::args(&call.query));
    call.query.pairs().try_fold(json_reply(&shown), |mut answer, (name, value)| {
        let name: HeaderName = name.parse().map_err(|_| bad(format!("{name:?} is no header name")))?;
        if [CONTENT_LENGTH, TRANSFER_ENCODING].contains(&name) {
            return Err(bad(format!("{name} is for the raw routes to lie about")));
        }
        // Of this there can be only one.
        if name == CONTENT_TYPE {
            answer.headers_mut().remove(&name);
        }
        with_header(answer, name, value.as_bytes())
    })
}

/// `/cache`
pub fn cache(call: &Call) -> Reply {
    let headers = &call.head.headers;
    if headers.contains_key(IF_MODIFIED_SINCE) || headers.contains_key(IF_NONE_MATCH) {
        return empty(StatusCode::NOT_MODIFIED);
    }
    let mut answer = json_reply(&inspect::request(call));
    let headers = answer.headers_mut();
    headers.insert(LAST_MODIFIED, HeaderValue::from_static("Wed, 01 Jan 2025 00:00:00 GMT"));
    headers.insert(ETAG, HeaderValue::from_static("\"local-server\""));
    answer
}

/// `/cache/{seconds}`
pub fn cache_for(call: &Call, seconds: &str) -> Answer {
    let seconds: u64 = parse(seconds)?;
    let answer = json_reply(&inspect::request(call));
    with_header(answer, CACHE_CONTROL, format!("public, max-age={seconds}").as_bytes())
}

/// `/etag/{tag}`
pub fn etag(call: &Call, tag: &str) -> Answer {
    let matches = |list: &HeaderValue| {
        text_of(list.as_bytes())
            .split(',')
            .map(|one| one.trim().trim_start_matches("W/").trim_matches('"'))
            .any(|one| one == "*" || one == tag)
    };
    let headers = &call.head.headers;
    let answer = if headers.get(IF_NONE_MATCH).is_some_and(matches) {
        empty(StatusCode::NOT_MODIFIED)
    } else if headers.get(IF_MATCH).is_some_and(|list| !matches(list)) {
        return Ok(empty(StatusCode::PRECONDITION_FAILED));
    } else {
        match call.query.get("n") {
            Some(n) => content::bytes(call, &n)?,
            None => json_reply(&inspect::request(call)),
        }
    };
    with_header(answer, ETAG, format!("\"{tag}\"").as_bytes())
}

/// `/links/{n}[/{at}]`
pub fn links(n: &str, at: Option<&str>) -> Answer {
    let n = parse::<u32>(n)?.clamp(1, 200);
    let Some(at) = at else {
        return with_header(empty(StatusCode::FOUND), LOCATION, format!("/links/{n}/0").as_bytes());
    };
    let at: u32 = parse(at)?;
    let links: String = (0..n)
        .map(|i| if i == at { format!("{i} ") } else { format!("<a href='/links/{n}/{i}'>{i}</a> ") })
        .collect();
    Ok(reply(
        "text/html; charset=utf-8",
        format!("<html><head><title>Links</title></head><body>{links}</body></html>"),
    ))
}

/// `/link-header`
pub fn link_header(call: &Call) -> Answer {
    const LAST: u32 = 3;
    let page: u32 = call.query.number("page", 1)?;
    let base = format!("{}://{}/link-header", call.peer.scheme(), inspect::host(call));
    let mut links = format!("<{base}?page={LAST}>; rel=\"last\"");
    if page < LAST {
        links = format!("<{base}?page={}>; rel=\"next\", {links}", page + 1);
    }
    with_header(json_reply(&json!({ "page": page })), LINK, links.as_bytes())
}
