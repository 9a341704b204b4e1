//! The well-behaved routes; ROUTES.md is their description.

mod auth;
mod charset;
mod coding;
mod content;
mod control;
pub mod digest;
mod documents;
mod inspect;
mod navigation;
mod sigv4;

use std::sync::Arc;

use hyper::body::{Bytes, Incoming};
use hyper::header::{ALLOW, CONTENT_TYPE, HOST, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use serde_json::{Value, json};

use crate::body::{self, Body, ReadError};
use crate::http::Peer;
use crate::text::{BadParameter, Query, percent_decode, text_of};

/// A request that has been read, body and all.
pub struct Call {
    pub peer: Arc<Peer>,
    pub head: Parts,
    pub query: Query,
    pub body: Bytes,
    /// What number it has among those with its `key`.
    pub number: Option<u64>,
}

/// A request that cannot be answered as asked.
#[derive(Debug)]
pub struct Fault(pub StatusCode, pub String);

pub type Reply = Response<Body>;
pub type Answer = Result<Reply, Fault>;

impl From<BadParameter> for Fault {
    fn from(bad: BadParameter) -> Fault {
        Fault(StatusCode::BAD_REQUEST, bad.0)
    }
}

impl From<Fault> for Reply {
    fn from(Fault(status, why): Fault) -> Reply {
        with_status(status, json_reply(&json!({ "error": why })))
    }
}

pub fn bad(why: impl Into<String>) -> Fault {
    Fault(StatusCode::BAD_REQUEST, why.into())
}

pub fn not_found() -> Fault {
    Fault(StatusCode::NOT_FOUND, "not found".to_owned())
}

pub fn reply(content_type: &'static str, body: impl Into<Body>) -> Reply {
    let mut reply = Response::new(body.into());
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

pub fn empty(status: StatusCode) -> Reply {
    with_status(status, Response::new(Body::empty()))
}

pub fn json_reply(value: &Value) -> Reply {
    reply("application/json", value.to_string())
}

pub fn with_status(status: StatusCode, mut reply: Reply) -> Reply {
    *reply.status_mut() = status;
    reply
}

/// Adds a header whose value came from the client and may be anything.
pub fn with_header(mut reply: Reply, name: HeaderName, value: &[u8]) -> Answer {
    let value = HeaderValue::from_bytes(value).map_err(|_| bad(format!("no value for {name}")))?;
    reply.headers_mut().append(name, value);
    Ok(reply)
}

pub fn status_code(text: &str) -> Result<StatusCode, Fault> {
    text.parse().map_err(|_| bad(format!("{text:?} is no status")))
}

pub async fn answer(peer: &Arc<Peer>, mut request: Request<Incoming>) -> Reply {
    // Where HTTP/2 says it.
    if let Some(authority) = request.uri().authority().filter(|_| !request.headers().contains_key(HOST))
        && let Ok(host) = HeaderValue::from_str(authority.as_str())
    {
        request.headers_mut().insert(HOST, host);
    }
    // What benchmarks ask for goes past all the rest.
    if request.uri().path() == "/hello" && request.uri().query().is_none() {
        return reply("text/plain", Bytes::from_static(b"Hello, world!"));
    }
    let mut reply = read_and_dispatch(peer, request).await.unwrap_or_else(Reply::from);
    reply.headers_mut().insert("x-connection-id", HeaderValue::from(peer.connection.id));
    reply
}

async fn read_and_dispatch(peer: &Arc<Peer>, request: Request<Incoming>) -> Answer {
    let query = Query::parse(request.uri().query().unwrap_or_default().as_bytes());
    let number = peer.shared.count(&query);
    let (head, incoming) = request.into_parts();
    let path: Vec<String> = head
        .uri
        .path()
        .trim_start_matches('/')
        .split('/')
        .map(|segment| text_of(&percent_decode(segment.as_bytes(), false)))
        .collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    if path == ["upload"] {
        return content::upload(&query, &head.headers, incoming).await;
    }
    let body = body::read_all(incoming).await.map_err(|error| match error {
        ReadError::TooLarge => Fault(StatusCode::PAYLOAD_TOO_LARGE, "too large".to_owned()),
        ReadError::Broken(error) => bad(error.to_string()),
    })?;
    dispatch(&path, Call { peer: Arc::clone(peer), head, query, body, number }).await
}

async fn dispatch(path: &[&str], call: Call) -> Answer {
    let call = &call;
    match *path {
        ["get"] => only(call, Method::GET),
        ["post"] => only(call, Method::POST),
        ["put"] => only(call, Method::PUT),
        ["patch"] => only(call, Method::PATCH),
        ["delete"] => only(call, Method::DELETE),
        ["anything", ..] => Ok(json_reply(&inspect::request(call))),
        ["parts"] => inspect::parts(call),
        ["headers"] => Ok(json_reply(&json!({ "headers": inspect::headers(&call.head.headers) }))),
        ["ip"] => Ok(json_reply(&json!({ "origin": call.peer.origin }))),
        ["user-agent"] => Ok(json_reply(&inspect::user_agent(call))),

        ["hello"] => Ok(reply("text/plain", Bytes::from_static(b"Hello, world!"))),
        ["http1-only"] => Ok(reply("text/plain", "HTTP/1.1")),
        ["status", codes] => navigation::status(call, codes),
        ["no-body", code] => Ok(empty(status_code(code)?)),
        ["redirect", n] => navigation::redirect(call, n, "relative-redirect", false),
        ["relative-redirect", n] => navigation::redirect(call, n, "relative-redirect", false),
        ["absolute-redirect", n] => navigation::redirect(call, n, "absolute-redirect", true),
        ["redirect-to"] => navigation::redirect_to(call),
        ["cookies"] => Ok(navigation::cookies(call)),
        ["cookies", "set"] => navigation::set_cookies(call.query.pairs()),
        ["cookies", "set", name, value] => {
            navigation::set_cookies([(name.to_owned(), value.to_owned())].into_iter())
        }
        ["cookies", "delete"] => navigation::delete_cookies(call),
        ["set-cookie"] => navigation::set_cookie_lines(call),

        ["basic-auth", user, password] => auth::basic(call, user, password, false),
        ["hidden-basic-auth", user, password] => auth::basic(call, user, password, true),
        ["bearer"] => auth::bearer(call),
        ["sigv4", ..] => sigv4::answer(call),
        ["oauth", "token"] => auth::oauth_token(call),
        ["oauth", "resource"] => auth::oauth_resource(call),
        ["oauth", "stats"] => auth::oauth_stats(call),
        ["digest-auth", qop, user, password] => digest::answer(call, qop, user, password, "MD5", "never"),
        ["digest-auth", qop, user, password, algorithm] => {
            digest::answer(call, qop, user, password, algorithm, "never")
        }
        ["digest-auth", qop, user, password, algorithm, stale_after] => {
            digest::answer(call, qop, user, password, algorithm, stale_after)
        }
        ["digest-stats"] => Ok(json_reply(&call.peer.shared.digests.stats(call.query.get("user")))),

        ["delay", seconds] => control::delay(call, seconds).await,
        ["slow-headers"] => control::slow_headers(call).await,
        ["peak"] => control::peak(call),
        ["gate", name] => control::gate(call, name).await,
        ["turns", key] => control::turns(call, key).await,
        ["turns-of", key] => Ok(control::turns_of(call, key)),
        ["gate-open", name] => Ok(control::gate_state(call, name, true)),
        ["gate-waiting", name] => Ok(control::gate_state(call, name, false)),
        ["count"] => Ok(control::count(call)),
        ["connections"] => control::connections(call),
        ["connection-id"] => Ok(json_reply(&call.peer.connection.to_json())),
        ["tls"] => Ok(control::tls(call)),
        ["proxy-stats"] => control::proxy_stats(call),
        ["fault-stats"] => Ok(json_reply(&call.peer.shared.faults.to_json())),
        ["close"] => Ok(control::close()),

        ["stream", n] => content::stream(call, n),
        ["chunks"] => content::chunks(call),
        ["stream-bytes", n] => content::stream_bytes(call, n),
        ["bytes", n] => content::bytes(call, n),
        ["head-length", n] => content::bytes(call, n),
        ["range", n] => content::range(call, n),
        ["breaking", n] => content::breaking(call, n),
        ["breaking", n, "fnv1a"] => content::breaking_sum(call, n),
        ["drip"] => content::drip(call).await,
        ["slow-body"] => content::slow_body(call),
        ["echo"] => Ok(content::echo(call)),

        ["gzip"] => coding::named(call, "gzip", "gzipped"),
        ["deflate"] => coding::named(call, "deflate", "deflated"),
        ["deflate-raw"] => coding::named(call, "deflate-raw", "deflated"),
        ["brotli"] => coding::named(call, "br", "brotli"),
        ["zstd"] => coding::named(call, "zstd", "zstd"),
        ["encoded"] => coding::encoded(call),
        ["compressed-truncated"] => coding::truncated(call),
        ["compressed-corrupt"] => coding::corrupt(call),
        ["compressed-trailing"] => coding::trailing(call),
        ["compressed-empty"] => coding::nothing(call),

        ["encoding", "utf8"] => Ok(charset::demo()),
        ["encoding", name] => charset::sample(call, name),

        ["json"] => Ok(documents::json(call)),
        ["json-bad"] => Ok(documents::json_bad()),
        ["json-deep", n] => documents::json_deep(n),
        ["html"] => Ok(documents::html()),
        ["xml"] => Ok(documents::xml()),
        ["robots.txt"] => Ok(documents::robots()),
        ["image", "png"] => Ok(documents::png()),
        ["response-headers"] => documents::response_headers(call),
        ["cache"] => Ok(documents::cache(call)),
        ["cache", seconds] => documents::cache_for(call, seconds),
        ["etag", tag] => documents::etag(call, tag),
        ["links", n] => documents::links(n, None),
        ["links", n, at] => documents::links(n, Some(at)),
        ["link-header"] => documents::link_header(call),
        _ => Err(not_found()),
    }
}

/// httpbin's routes for one method.
fn only(call: &Call, method: Method) -> Answer {
    let allowed =
        if method == Method::GET { "GET, HEAD, OPTIONS".to_owned() } else { format!("{method}, OPTIONS") };
    if call.head.method == method || (method == Method::GET && call.head.method == Method::HEAD) {
        return Ok(json_reply(&inspect::request(call)));
    }
    let refusal = if call.head.method == Method::OPTIONS {
        empty(StatusCode::OK)
    } else {
        Fault(StatusCode::METHOD_NOT_ALLOWED, "method not allowed".to_owned()).into()
    };
    with_header(refusal, ALLOW, allowed.as_bytes())
}
