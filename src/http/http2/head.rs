//! Heads: from what HTTP/1.1 would send to what HTTP/2 does, and back.

use http::uri::{Authority, PathAndQuery, Scheme, Uri};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Version};

use crate::message::error::{Error, ErrorKind};
use crate::message::head::{field, is_carried_by_http2};

/// The request whose head for HTTP/1.1 this is.
pub fn of_request(head: &[u8], secure: bool) -> Result<Request<()>, Error> {
    let mut lines = head.split(|byte| *byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let mut words = lines.next().unwrap_or_default().split(|byte| *byte == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut host: &[u8] = b"";
    let mut headers = HeaderMap::with_capacity(16);
    for (name, value) in lines.filter_map(field) {
        if name.eq_ignore_ascii_case(b"Host") {
            host = value;
        } else if is_carried_by_http2(name, value) {
            let name = HeaderName::from_bytes(name).map_err(|_| unfit("the name of a header", name))?;
            let value = HeaderValue::from_bytes(value).map_err(|_| unfit("a value of", name.as_ref()))?;
            headers.try_append(name, value).map_err(|_| unfit("so many headers as", b"these"))?;
        }
    }
    let mut uri = http::uri::Parts::default();
    uri.scheme = Some(if secure { Scheme::HTTPS } else { Scheme::HTTP });
    uri.authority = Some(Authority::try_from(host).map_err(|_| unfit("the host", host))?);
    uri.path_and_query = Some(PathAndQuery::try_from(target).map_err(|_| unfit("the target", target))?);
    let mut request = Request::new(());
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| unfit("the target", target))?;
    *request.method_mut() = Method::from_bytes(method).map_err(|_| unfit("the method", method))?;
    *request.version_mut() = Version::HTTP_2;
    *request.headers_mut() = headers;
    Ok(request)
}

#[cold]
fn unfit(what: &str, text: &[u8]) -> Error {
    let text = format!("HTTP/2 cannot carry {what} \"{}\"", text.escape_ascii());
    Error::new(ErrorKind::Request, text)
}

/// A response's head as HTTP/1.1 would have it, without a reason.
pub fn of_response(status: StatusCode, headers: &HeaderMap) -> Vec<u8> {
    let length: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
    let mut head = Vec::with_capacity(length + 16);
    head.extend_from_slice(b"HTTP/2 ");
    head.extend_from_slice(status.as_str().as_bytes());
    head.extend_from_slice(b" \r\n");
    fields(&mut head, headers);
    head.extend_from_slice(b"\r\n");
    head
}

/// The same of what comes behind a body.
pub fn of_trailers(trailers: &HeaderMap) -> Vec<u8> {
    let mut head = b"HTTP/2 200 \r\n".to_vec();
    fields(&mut head, trailers);
    head
}

fn fields(head: &mut Vec<u8>, headers: &HeaderMap) {
    for (name, value) in headers {
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            head.extend_from_slice(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_about_one_connection_is_left_out_and_names_are_lower_case() {
        let head = b"POST /a?b HTTP/1.1\r\nHost: h:8\r\nConnection: close\r\nX-A: 1\r\nx-a: \xe9\r\n\
            Transfer-Encoding: chunked\r\nTE: gzip\r\nUpgrade: x\r\nExpect: 100-continue\r\n\r\n";
        let request = of_request(head, true).expect("fit");
        assert_eq!(request.method(), "POST");
        assert_eq!(request.uri().to_string(), "https://h:8/a?b");
        let fields: Vec<_> =
            request.headers().iter().map(|(name, value)| (name.as_str(), value.as_bytes())).collect();
        assert_eq!(fields, [("x-a", &b"1"[..]), ("x-a", b"\xe9"), ("expect", b"100-continue")]);
        let request =
            of_request(b"OPTIONS * HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n", false).expect("fit");
        assert_eq!((request.uri().path(), request.headers().len()), ("*", 1));
    }

    #[test]
    fn what_http2_cannot_carry_is_named() {
        let error = of_request(b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n", true).expect_err("no host");
        assert_eq!(error.message().as_str(), "HTTP/2 cannot carry the host \"a b\"");
    }

    #[test]
    fn a_head_comes_back_without_a_reason() {
        let mut headers = HeaderMap::new();
        headers.append("a", HeaderValue::from_static("1"));
        headers.append("a", HeaderValue::from_static(""));
        let head = of_response(StatusCode::NOT_FOUND, &headers);
        assert_eq!(head, b"HTTP/2 404 \r\na: 1\r\na: \r\n\r\n");
    }
}
