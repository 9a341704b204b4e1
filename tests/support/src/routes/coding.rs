//! Compressed answers, good and bad.

use std::io::{self, Write};

use brotli::CompressorWriter;
use flate2::Compression;
use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};
use hyper::StatusCode;
use hyper::body::Bytes;
use hyper::header::CONTENT_ENCODING;
use serde_json::{Map, Value, json};

use super::{Answer, Call, Fault, bad, inspect, reply, with_header};
use crate::body::{Body, Generated, cut};

const MAX_ENCODED: usize = 64 << 20;
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW: u32 = 22;

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
    }
}

/// The name that goes into the header: both kinds of deflate share one.
fn announced(coding: &str) -> &str {
    if coding == "deflate-raw" { "deflate" } else { coding }
}

/// Compresses; with `whole` false only as far as a flush, so that all of the data comes out but no end.
fn encode(coding: &str, data: &[u8], whole: bool) -> io::Result<Option<Vec<u8>>> {
    // Every encoder has a method of its own for the end, so this is no function.
    macro_rules! through {
        ($encoder:expr, $finish:expr) => {{
            let mut encoder = $encoder;
            encoder.write_all(data)?;
            if whole {
                $finish(encoder)
            } else {
                encoder.flush()?;
                Ok(encoder.get_ref().clone())
            }
        }};
    }
    let level = Compression::default();
    let out: io::Result<Vec<u8>> = match coding {
        "gzip" | "x-gzip" => through!(GzEncoder::new(Vec::new(), level), GzEncoder::finish),
        "deflate" => through!(ZlibEncoder::new(Vec::new(), level), ZlibEncoder::finish),
        "deflate-raw" => through!(DeflateEncoder::new(Vec::new(), level), DeflateEncoder::finish),
        "br" => through!(
            CompressorWriter::new(Vec::new(), 4096, BROTLI_QUALITY, BROTLI_WINDOW),
            |encoder: CompressorWriter<Vec<u8>>| Ok(encoder.into_inner())
        ),
        "zstd" => {
            let mut encoder = zstd::Encoder::new(Vec::new(), 3)?;
            encoder.include_checksum(true)?;
            through!(encoder, zstd::Encoder::finish)
        }
        _ => return Ok(None),
    };
    out.map(Some)
}

/// The coding asked for by `with`, which must be a known one.
fn known(call: &Call) -> Result<String, Fault> {
    let coding = call.query.get("with").unwrap_or_else(|| "gzip".to_owned());
    if encode(&coding, b"", true)?.is_none() {
        return Err(bad(format!("with: unknown coding {coding:?}")));
    }
    Ok(coding)
}

fn compressed(coding: &str, data: &[u8], whole: bool) -> Result<Vec<u8>, Fault> {
    encode(coding, data, whole)?.ok_or_else(|| bad(format!("unknown coding {coding:?}")))
}

fn answer(content_type: &'static str, coding: &str, body: impl Into<Body>) -> Answer {
    with_header(reply(content_type, body), CONTENT_ENCODING, announced(coding).as_bytes())
}

/// httpbin's `/gzip` and its like.
pub fn named(call: &Call, coding: &str, flag: &str) -> Answer {
    let mut object = Map::new();
    object.insert(flag.to_owned(), Value::Bool(true));
    object.insert("headers".to_owned(), Value::Object(inspect::headers(&call.head.headers)));
    object.insert("method".to_owned(), Value::from(call.head.method.as_str()));
    object.insert("origin".to_owned(), Value::from(call.peer.origin.as_str()));
    let data = Value::Object(object).to_string();
    answer("application/json", coding, compressed(coding, data.as_bytes(), true)?)
}

/// `/encoded`
pub fn encoded(call: &Call) -> Answer {
    let with = call.query.get("with").unwrap_or_else(|| "gzip".to_owned());
    let codings: Vec<&str> = with.split(',').map(str::trim).filter(|coding| !coding.is_empty()).collect();
    let (content_type, mut data) = if let Some(text) = call.query.bytes("text") {
        ("text/plain", text.to_vec())
    } else if call.query.get("n").is_some() {
        let n: usize = call.query.number("n", 0)?;
        if n > MAX_ENCODED {
            return Err(bad(format!("n: more than {MAX_ENCODED}")));
        }
        ("application/octet-stream", Generated::all(call.query.number("seed", 0)?, n).to_vec())
    } else {
        ("application/json", json!({ "encoded": codings }).to_string().into_bytes())
    };
    for coding in &codings {
        if let Some(encoded) = encode(coding, &data, true)? {
            data = encoded;
        }
    }
    let body = if call.query.is_set("chunked") {
        Body::pieces(None, cut(Bytes::from(data), 4096))
    } else {
        Body::from(data)
    };
    let announced: Vec<&str> = codings.iter().map(|coding| announced(coding)).collect();
    with_header(reply(content_type, body), CONTENT_ENCODING, announced.join(", ").as_bytes())
}

/// Text that compresses, but not to nothing.
fn sample() -> Vec<u8> {
    let mut text: Vec<u8> =
        (0u64..).flat_map(|n| format!("line {n}: {}\n", n * n * 7919).into_bytes()).take(20_000).collect();
    text[19_999] = b'\n';
    text
}

/// `/compressed-truncated`
pub fn truncated(call: &Call) -> Answer {
    let coding = known(call)?;
    let mut data = compressed(&coding, &sample(), true)?;
    let missing = call.query.number("cut", data.len() / 2)?;
    data.truncate(data.len().saturating_sub(missing));
    answer("text/plain", &coding, data)
}

/// No format begins so; 0x11 is a window size that brotli reserves.
const NOT_COMPRESSED: &[u8] = b"\x11\x06This is not compressed at all, whatever the header says.";

fn corrupt_middle(coding: &str, text: &[u8]) -> Result<Vec<u8>, Fault> {
    let mut data = compressed(coding, &text[..10_000], false)?;
    // A block of a reserved type is wrong in every format, whatever came before.
    data.push(if coding == "br" { 0x0e } else { 0x06 });
    data.extend_from_slice(&[0; 64]);
    Ok(data)
}

/// `/compressed-corrupt`
pub fn corrupt(call: &Call) -> Answer {
    let coding = known(call)?;
    let text = sample();
    let data = match call.query.get("where").as_deref() {
        None | Some("middle") => corrupt_middle(&coding, &text)?,
        Some("start") => NOT_COMPRESSED.to_vec(),
        Some("checksum") if coding != "br" && coding != "deflate-raw" => {
            let mut data = compressed(&coding, &text, true)?;
            // The length follows the checksum in gzip; elsewhere it is the last thing.
            let from_end = if coding.ends_with("gzip") { 8 } else { 1 };
            let at = data.len() - from_end;
            data[at] ^= 0xff;
            data
        }
        Some(other) => return Err(bad(format!("where: {other:?}"))),
    };
    answer("text/plain", &coding, data)
}

/// `/compressed-trailing`
pub fn trailing(call: &Call) -> Answer {
    let coding = known(call)?;
    let mut data = compressed(&coding, br#"{"trailing":true}"#, true)?;
    data.extend_from_slice(b"garbage");
    answer("application/json", &coding, data)
}

/// `/compressed-empty`
pub fn nothing(call: &Call) -> Answer {
    let coding = known(call)?;
    answer("text/plain", &coding, Body::empty())
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decode(coding: &str, data: &[u8]) -> (Vec<u8>, bool) {
        let mut reader: Box<dyn Read + '_> = match coding {
            "gzip" => Box::new(flate2::read::GzDecoder::new(data)),
            "deflate" => Box::new(flate2::read::ZlibDecoder::new(data)),
            "deflate-raw" => Box::new(flate2::read::DeflateDecoder::new(data)),
            "br" => Box::new(brotli::Decompressor::new(data, 4096)),
            _ => Box::new(zstd::Decoder::new(data).unwrap()),
        };
        let (mut out, mut buffer) = (Vec::new(), [0; 1000]);
        loop {
            match reader.read(&mut buffer) {
                Ok(0) => return (out, true),
                Ok(got) => out.extend_from_slice(&buffer[..got]),
                Err(_) => return (out, false),
            }
        }
    }

    #[test]
    fn good_ones_decode_and_bad_ones_do_not() {
        let text = sample();
        for coding in ["gzip", "deflate", "deflate-raw", "br", "zstd"] {
            let whole = encode(coding, &text, true).unwrap().unwrap();
            assert_eq!(decode(coding, &whole), (text.clone(), true), "{coding}");
            assert!(!decode(coding, &whole[..whole.len() / 2]).1, "{coding} cut");
            let flushed = encode(coding, &text, false).unwrap().unwrap();
            assert_eq!(decode(coding, &flushed), (text.clone(), false), "{coding} flushed");
            let (good, ended) = decode(coding, &corrupt_middle(coding, &text).unwrap());
            assert!(!ended && text.starts_with(&good), "{coding}");
            // Brotli's decoder keeps back what it has when it meets an error.
            assert!(good.len() > 5_000 || coding == "br", "{coding} {}", good.len());
            assert!(!decode(coding, NOT_COMPRESSED).1, "{coding} start");
        }
    }
}
