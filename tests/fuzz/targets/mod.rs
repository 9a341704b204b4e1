//! What is fuzzed, a function for each target. Each takes any bytes, and panics where the library breaks a promise: the
//! oracles stand beside the calls.
//!
//! Two run them: the fuzz targets of this folder, and `tests/fuzz_corpora.rs`, which goes through the corpora with every
//! `cargo test`. So they know the library from outside only, and need nothing but a stable compiler.

mod challenge;
mod cookies;
mod events;
mod frames;
mod handshake;
mod json;
mod link;
mod memory;
mod message;
mod netrc;
mod pkcs12;
mod proxy;
mod reply;
mod response;
mod resume;
mod text;
mod url;
mod wire;

pub use challenge::challenge;
pub use cookies::cookies;
pub use events::events;
pub use frames::frames;
pub use handshake::handshake;
pub use json::json;
pub use link::link;
pub use message::{is_message, message, message_seeds};
pub use netrc::netrc;
pub use pkcs12::pkcs12;
pub use proxy::proxy;
pub use reply::{is_reply, reply, reply_seeds};
pub use response::response;
pub use resume::resume;
pub use text::text;
pub use url::url;

type Target = fn(&[u8]);

/// All of them by their names, which are those of their corpora.
pub const ALL: [(&str, Target); 16] = [
    ("challenge", challenge),
    ("cookies", cookies),
    ("events", events),
    ("frames", frames),
    ("handshake", handshake),
    ("json", json),
    ("link", link),
    ("message", message),
    ("netrc", netrc),
    ("pkcs12", pkcs12),
    ("proxy", proxy),
    ("reply", reply),
    ("response", response),
    ("resume", resume),
    ("text", text),
    ("url", url),
];

/// Takes a line off the front of the input, without its LF.
fn take_line<'a>(data: &mut &'a [u8]) -> &'a [u8] {
    let end = data.iter().position(|byte| *byte == b'\n');
    let line = &data[..end.unwrap_or(data.len())];
    *data = &data[end.map_or(data.len(), |end| end + 1)..];
    line
}

/// The same for what a caller gives, which is UTF-8. Bytes that are not stand for characters of their own.
fn take_text(data: &mut &[u8]) -> String {
    text_of(take_line(data))
}

fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| bytes.iter().map(|byte| char::from(*byte)).collect())
}
