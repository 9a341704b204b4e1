//! Bodies of many sizes and paces, and what becomes of uploads.

use std::fmt::Write;
use std::time::Duration;

use http_body_util::BodyExt;
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, IF_RANGE, RANGE, TRANSFER_ENCODING,
};
use hyper::{HeaderMap, StatusCode};
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::time::sleep;

use super::control::seconds;
use super::{Answer, Call, Reply, bad, inspect, json_reply, reply, status_code, with_header, with_status};
use crate::body::{Body, Generated};
use crate::text::{Query, hex, parse, text_of};

const MAX_BYTES: u64 = 1 << 30;
const MAX_LINES: u64 = 1_000_000;
const OCTETS: &str = "application/octet-stream";

fn size(text: &str) -> Result<u64, super::Fault> {
    match parse(text)? {
        n if n <= MAX_BYTES => Ok(n),
        n => Err(bad(format!("{n} bytes are more than {MAX_BYTES}"))),
    }
}

/// Sends the pieces with a pause between each two, or before each.
fn paced(
    length: Option<u64>,
    pause: Duration,
    first_pause: Duration,
    pieces: impl Iterator<Item = Bytes> + Send + 'static,
) -> Body {
    let (sender, body) = Body::paced(length);
    tokio::spawn(async move {
        sleep(first_pause).await;
        for (number, piece) in pieces.enumerate() {
            if number > 0 {
                sleep(pause).await;
            }
            // The client has gone.
            if sender.send(piece).await.is_err() {
                return;
            }
        }
    });
    body
}

/// `/stream/{n}`
pub fn stream(call: &Call, n: &str) -> Answer {
    let n: u64 = parse(n)?;
    if n > MAX_LINES {
        return Err(bad(format!("{n} lines are more than {MAX_LINES}")));
    }
    let end = match call.query.get("end").as_deref() {
        None | Some("lf") => "\n",
        Some("crlf") => "\r\n",
        Some("cr") => "\r",
        Some(other) => return Err(bad(format!("end: {other:?}"))),
    };
    let rest = json!({
        "url": inspect::url(call),
        "args": inspect::args(&call.query),
        "headers": inspect::headers(&call.head.headers),
        "origin": call.peer.origin,
    });
    // An object without its opening brace, for the number to go before it.
    let rest = rest.to_string().split_off(1);
    let lines = (0..n).map(move |id| Bytes::from(format!("{{\"id\":{id},{rest}{end}")));
    let body = match call.query.number("ms", 0)? {
        0 => Body::pieces(None, lines),
        ms => paced(None, Duration::from_millis(ms), Duration::ZERO, lines),
    };
    Ok(reply("application/json", body))
}

/// `/chunks`
pub fn chunks(call: &Call) -> Answer {
    let pause = Duration::from_millis(call.query.number("ms", 20)?);
    // An empty chunk would end the body.
    let chunks: Vec<Bytes> =
        call.query.all("c").filter(|chunk| !chunk.is_empty()).map(Bytes::copy_from_slice).collect();
    let mut answer = reply("text/plain", paced(None, pause, Duration::ZERO, chunks.into_iter()));
    if let Some(content_type) = call.query.bytes("type") {
        answer.headers_mut().remove(CONTENT_TYPE);
        answer = with_header(answer, CONTENT_TYPE, content_type)?;
    }
    Ok(answer)
}

/// `/stream-bytes/{n}`
pub fn stream_bytes(call: &Call, n: &str) -> Answer {
    let piece = call.query.number("chunk_size", 10240)?;
    let bytes = Generated::new(call.query.number("seed", 0)?, size(n)?, piece);
    Ok(reply(OCTETS, Body::pieces(None, bytes)))
}

/// `/bytes/{n}`
pub fn bytes(call: &Call, n: &str) -> Answer {
    let n = size(n)?;
    let seed = call.query.number("seed", 0)?;
    let body = match call.query.number("ms", 0)? {
        0 => Body::pieces(Some(n), Generated::new(seed, n, 64 << 10)),
        ms => paced(Some(n), Duration::from_millis(ms), Duration::ZERO, Generated::new(seed, n, 16 << 10)),
    };
    let answer = reply(OCTETS, body);
    if !call.query.is_set("sha256") {
        return Ok(answer);
    }
    let mut hash = Sha256::new();
    Generated::new(seed, n, 64 << 10).for_each(|piece| hash.update(piece));
    with_header(
        answer,
        "x-content-sha256".parse().map_err(|_| bad("name"))?,
        hex(&hash.finalize()).as_bytes(),
    )
}

/// `/range/{n}`
pub fn range(call: &Call, n: &str) -> Answer {
    let n = size(n)?;
    let wanted = call.head.headers.get(RANGE).map(|range| text_of(range.as_bytes()));
    let (status, first, end) = match wanted.as_deref().and_then(|range| range.strip_prefix("bytes=")) {
        None => (StatusCode::OK, 0, n),
        Some(range) => match one_range(range, n) {
            Some((first, end)) => (StatusCode::PARTIAL_CONTENT, first, end),
            None => {
                let answer = with_status(StatusCode::RANGE_NOT_SATISFIABLE, reply(OCTETS, Body::empty()));
                return with_header(answer, CONTENT_RANGE, format!("bytes */{n}").as_bytes());
            }
        },
    };
    let letters = (first..end).step_by(26 << 10).map(move |at| {
        (at..end.min(at + (26 << 10))).map(|position| b'a' + (position % 26) as u8).collect::<Bytes>()
    });
    let mut answer = with_status(status, reply(OCTETS, Body::pieces(Some(end - first), letters)));
    answer.headers_mut().insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    answer = with_header(answer, ETAG, format!("range{n}").as_bytes())?;
    if status == StatusCode::PARTIAL_CONTENT {
        let range = format!("bytes {first}-{}/{n}", end - 1);
        answer = with_header(answer, CONTENT_RANGE, range.as_bytes())?;
    }
    Ok(answer)
}

/// `/breaking/{n}`
pub fn breaking(call: &Call, n: &str) -> Answer {
    let (n, seed, times) = (size(n)?, call.query.number("seed", 0)?, call.query.number("times", 0)?);
    let each = call.query.number("each", 0)?;
    let etag = format!("\"{seed}-{n}\"");
    let same = call.head.headers.get(IF_RANGE).is_none_or(|tag| tag.as_bytes() == etag.as_bytes());
    let wanted = call.head.headers.get(RANGE).filter(|_| same).map(|range| text_of(range.as_bytes()));
    let range = wanted.as_deref().and_then(|range| range.strip_prefix("bytes="));
    let (first, end) = match range.map(|range| one_range(range, n)) {
        None => (0, n),
        Some(Some(range)) => range,
        Some(None) => {
            let answer = with_status(StatusCode::RANGE_NOT_SATISFIABLE, reply(OCTETS, Body::empty()));
            return with_header(answer, CONTENT_RANGE, format!("bytes */{n}").as_bytes());
        }
    };
    let breaks = call.number.is_some_and(|number| number <= times);
    let sent = match each {
        0 if breaks => end.min(first + n / (times + 1)),
        0 => end,
        each => end.min(first.saturating_add(each)),
    };
    let body = Body::pieces(Some(end - first), Generated::part(seed, first, sent, 64 << 10));
    let mut answer = with_header(reply(OCTETS, body), ETAG, etag.as_bytes())?;
    if range.is_some() {
        answer = with_status(StatusCode::PARTIAL_CONTENT, answer);
        answer = with_header(answer, CONTENT_RANGE, format!("bytes {first}-{}/{n}", end - 1).as_bytes())?;
    }
    Ok(answer)
}

/// `/breaking/{n}/fnv1a`
pub fn breaking_sum(call: &Call, n: &str) -> Answer {
    let mut sum: u64 = 0xcbf2_9ce4_8422_2325;
    for piece in Generated::new(call.query.number("seed", 0)?, size(n)?, 64 << 10) {
        for byte in piece {
            sum = (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        }
    }
    Ok(reply("text/plain", format!("{sum:016x}")))
}

/// First byte and the one after the last.
fn one_range(range: &str, n: u64) -> Option<(u64, u64)> {
    let (first, last) = range.split_once('-')?;
    let (first, end) = match (first.trim(), last.trim()) {
        ("", suffix) => (n.saturating_sub(suffix.parse().ok()?), n),
        (first, "") => (first.parse().ok()?, n),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(n)),
    };
    (first < end).then_some((first, end))
}

/// `/drip`
pub async fn drip(call: &Call) -> Answer {
    let time =
        |name: &str, default: &str| seconds(call.query.get(name).as_deref().unwrap_or(default), 3600.0);
    let (delay, duration) = (time("delay", "0")?, time("duration", "2")?);
    let n: u64 = call.query.number("numbytes", 10)?;
    let status = status_code(call.query.get("code").as_deref().unwrap_or("200"))?;
    sleep(delay).await;
    let pause = duration.div_f64(n.clamp(1, MAX_BYTES) as f64);
    let stars = (0..size(&n.to_string())?).map(|_| Bytes::from_static(b"*"));
    Ok(with_status(status, reply(OCTETS, paced(Some(n), pause, Duration::ZERO, stars))))
}

/// `/slow-body`
pub fn slow_body(call: &Call) -> Answer {
    let pause = Duration::from_millis(call.query.number("ms", 100)?);
    let n: u64 = call.query.number("n", 5)?;
    let pieces = (0..n).map(|number| {
        let mut piece = String::new();
        let _ = writeln!(piece, "piece {number}");
        Bytes::from(piece)
    });
    Ok(reply("text/plain", paced(None, pause, pause, pieces)))
}

/// `/echo`
pub fn echo(call: &Call) -> Reply {
    let mut answer = reply(OCTETS, call.body.clone());
    if let Some(content_type) = call.head.headers.get(CONTENT_TYPE) {
        answer.headers_mut().insert(CONTENT_TYPE, content_type.clone());
    }
    answer
}

/// `/upload`, the one route that does not keep the body
pub async fn upload(query: &Query, headers: &HeaderMap, mut body: Incoming) -> Answer {
    let pause = Duration::from_millis(query.number("ms", 0)?);
    let mut hash = Sha256::new();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| bad(error.to_string()))?;
        if let Some(data) = frame.data_ref() {
            hash.update(data);
            length += data.len() as u64;
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    let chunked = headers.contains_key(TRANSFER_ENCODING);
    Ok(json_reply(&json!({ "length": length, "sha256": hex(&hash.finalize()), "chunked": chunked })))
}

#[cfg(test)]
mod tests {
    use super::one_range;

    #[test]
    fn ranges() {
        assert_eq!(one_range("0-9", 100), Some((0, 10)));
        assert_eq!(one_range("90-", 100), Some((90, 100)));
        assert_eq!(one_range("-5", 100), Some((95, 100)));
        assert_eq!(one_range("50-1000", 100), Some((50, 100)));
        assert_eq!(one_range("100-", 100), None);
        assert_eq!(one_range("x-", 100), None);
    }
}
