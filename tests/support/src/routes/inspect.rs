//! Telling the client what it sent, in httpbin's shapes.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::HeaderMap;
use hyper::header::{CONTENT_TYPE, HOST, USER_AGENT};
use serde_json::{Map, Value, json};

use super::{Answer, Call, bad, json_reply};
use crate::text::{Query, find, text_of, title_case};

/// Puts a value under a name; a second one makes it an array.
fn add(map: &mut Map<String, Value>, name: String, value: String) {
    match map.get_mut(&name) {
        None => drop(map.insert(name, Value::String(value))),
        Some(Value::Array(values)) => values.push(Value::String(value)),
        Some(first) => *first = json!([first.take(), value]),
    }
}

pub fn headers(headers: &HeaderMap) -> Map<String, Value> {
    headers
        .keys()
        .map(|name| {
            let values: Vec<String> =
                headers.get_all(name).iter().map(|value| text_of(value.as_bytes())).collect();
            (title_case(name.as_str()), Value::String(values.join(",")))
        })
        .collect()
}

pub fn args(query: &Query) -> Map<String, Value> {
    let mut args = Map::new();
    query.pairs().for_each(|(name, value)| add(&mut args, name, value));
    args
}

pub fn host(call: &Call) -> String {
    call.head.headers.get(HOST).map(|host| text_of(host.as_bytes())).unwrap_or_default()
}

pub fn url(call: &Call) -> String {
    let target = call.head.uri.path_and_query().map_or("/", |target| target.as_str());
    format!("{}://{}{target}", call.peer.scheme(), host(call))
}

pub fn user_agent(call: &Call) -> Value {
    let agent = call.head.headers.get(USER_AGENT).map(|agent| text_of(agent.as_bytes()));
    json!({ "user-agent": agent })
}

fn data(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => format!("data:application/octet-stream;base64,{}", BASE64_STANDARD.encode(bytes)),
    }
}

/// The request object.
pub fn request(call: &Call) -> Value {
    let content_type = call.head.headers.get(CONTENT_TYPE).map(|value| text_of(value.as_bytes()));
    let content_type = content_type.unwrap_or_default();
    let mut form = Map::new();
    let mut files = Map::new();
    let mut text = String::new();
    if content_type.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        Query::parse(&call.body).pairs().for_each(|(name, value)| add(&mut form, name, value));
    } else if let Some(parts) = boundary(&content_type).and_then(|boundary| multipart(&call.body, &boundary))
    {
        for part in parts {
            let target = if part.filename.is_some() { &mut files } else { &mut form };
            add(target, part.name.unwrap_or_default(), data(part.content));
        }
    } else {
        text = data(&call.body);
    }
    json!({
        "args": args(&call.query),
        "headers": headers(&call.head.headers),
        "origin": call.peer.origin,
        "url": url(call),
        "method": call.head.method.as_str(),
        "data": text,
        "form": form,
        "files": files,
        "json": serde_json::from_slice::<Value>(&call.body).unwrap_or(Value::Null),
    })
}

/// `/parts`
pub fn parts(call: &Call) -> Answer {
    let content_type = call.head.headers.get(CONTENT_TYPE).map(|value| text_of(value.as_bytes()));
    let parts = boundary(&content_type.unwrap_or_default())
        .and_then(|boundary| multipart(&call.body, &boundary))
        .ok_or_else(|| bad("no well-formed multipart body"))?;
    let parts: Vec<Value> = parts
        .iter()
        .map(|part| {
            json!({
                "name": part.name,
                "filename": part.filename,
                "content_type": part.content_type,
                "disposition": part.disposition,
                "length": part.content.len(),
                "text": data(part.content),
            })
        })
        .collect();
    Ok(json_reply(&json!({ "parts": parts })))
}

struct Part<'a> {
    name: Option<String>,
    filename: Option<String>,
    content_type: Option<String>,
    disposition: String,
    content: &'a [u8],
}

fn boundary(content_type: &str) -> Option<String> {
    if !content_type.to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    parameter(content_type, "boundary")
}

/// A parameter of a header such as `form-data; name="a"; filename="b"`. Quotes within are escaped as `%22` by
/// browsers, so the next quote ends a value; the escapes are kept to be looked at, but for `%22` itself.
fn parameter(header: &str, wanted: &str) -> Option<String> {
    let mut rest = header.split_once(';')?.1;
    loop {
        let (name, after) = rest.split_once('=')?;
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => after.split_at(after.find(';').unwrap_or(after.len())),
        };
        if name.trim().eq_ignore_ascii_case(wanted) {
            return Some(value.trim_end().replace("%22", "\""));
        }
        rest = next.split_once(';')?.1;
    }
}

/// The parts of a multipart body, or nothing when it is not well-formed.
fn multipart<'a>(body: &'a [u8], boundary: &str) -> Option<Vec<Part<'a>>> {
    let delimiter = format!("\r\n--{boundary}");
    let mut rest = body.strip_prefix(&delimiter.as_bytes()[2..])?;
    let mut parts = Vec::new();
    loop {
        if rest.starts_with(b"--") {
            return Some(parts);
        }
        rest = rest.strip_prefix(b"\r\n")?;
        let end = find(rest, delimiter.as_bytes())?;
        let (part, after) = rest.split_at(end);
        let split = find(part, b"\r\n\r\n")?;
        let (head, content) = (text_of(&part[..split]), &part[split + 4..]);
        let header = |wanted: &str| {
            head.split("\r\n").find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then(|| value.trim().to_owned())
            })
        };
        let disposition = header("content-disposition").unwrap_or_default();
        parts.push(Part {
            name: parameter(&disposition, "name"),
            filename: parameter(&disposition, "filename"),
            content_type: header("content-type"),
            disposition,
            content,
        });
        rest = &after[delimiter.len()..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn multipart_bodies() {
        let body = b"--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
            --B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"x%22y.txt\"\r\n\
            Content-Type: text/plain\r\n\r\nline\r\n\r\n--B--\r\n";
        let parts = multipart(body, &boundary("multipart/form-data; boundary=B").unwrap()).unwrap();
        assert_eq!(parts.len(), 2);
        assert_eq!(parts[0].name.as_deref(), Some("a"));
        assert_eq!(parts[0].content, b"1");
        assert_eq!(parts[1].filename.as_deref(), Some("x\"y.txt"));
        assert_eq!(parts[1].content, b"line\r\n");
        assert!(multipart(b"--B\r\n", "B").is_none());
    }

    #[test]
    fn repeated_names() {
        let args = args(&Query::parse(b"a=1&a=2&a=3&b=4"));
        assert_eq!(Value::Object(args).to_string(), r#"{"a":["1","2","3"],"b":"4"}"#);
    }
}
