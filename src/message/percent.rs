//! Percent-encoding: which bytes may stand where, and what is encoded.

use std::borrow::Cow;

pub(super) const UNRESERVED: u8 = 1;
pub(super) const USERINFO: u8 = 2;
pub(super) const PATH: u8 = 4;
pub(super) const QUERY: u8 = 8;
/// What a host may hold for the quick way: no capitals, nothing that would be encoded.
pub(super) const PLAIN_HOST: u8 = 16;

/// Which components a byte may stand in unencoded (RFC 3986, as urllib3 reads it).
const CLASSES: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0;
    while byte < 128 {
        let c = byte as u8;
        classes[byte] = match c {
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' => UNRESERVED | USERINFO | PATH | QUERY | PLAIN_HOST,
            b'A'..=b'Z' | b'.' | b'~' => UNRESERVED | USERINFO | PATH | QUERY,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' => {
                USERINFO | PATH | QUERY
            }
            b'@' | b'/' => PATH | QUERY,
            b'?' => QUERY,
            _ => 0,
        };
        byte += 1;
    }
    classes
};

pub(super) fn is(byte: u8, class: u8) -> bool {
    CLASSES[usize::from(byte)] & class != 0
}

/// The value of `%XX` when one begins at `at`.
pub(super) fn escape_at(bytes: &[u8], at: usize) -> Option<u8> {
    let [b'%', high, low] = bytes.get(at..at + 3)? else { return None };
    let high = char::from(*high).to_digit(16)?;
    let low = char::from(*low).to_digit(16)?;
    Some((high * 16 + low) as u8)
}

pub(super) fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(HEX[usize::from(byte >> 4)]));
    out.push(char::from(HEX[usize::from(byte & 15)]));
}

/// Whether every `%` begins an escape. If one does not, the component is raw text and each `%` stands for
/// itself: that is how urllib3 tells the two apart.
pub(super) fn is_escaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    let mut at = 0;
    while let Some(next) = bytes[at..].iter().position(|&byte| byte == b'%') {
        at += next;
        if escape_at(bytes, at).is_none() {
            return false;
        }
        at += 3;
    }
    true
}

/// Encodes one component: what is escaped stays so (with capitals, and unreserved characters bare), the rest
/// is escaped when the class does not allow it.
pub(super) fn encode_component(out: &mut String, text: &str, class: u8) {
    let bytes = text.as_bytes();
    let escaped = is_escaped(text);
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        match escape_at(bytes, at) {
            Some(value) if escaped => {
                if is(value, UNRESERVED) {
                    out.push(char::from(value));
                } else {
                    push_escape(out, value);
                }
                at += 3;
            }
            Some(_) => {
                // urllib3 has made its digits capital before it finds that this is raw text.
                out.push_str("%25");
                out.push(char::from(bytes[at + 1].to_ascii_uppercase()));
                out.push(char::from(bytes[at + 2].to_ascii_uppercase()));
                at += 3;
            }
            None => {
                if is(byte, class) {
                    out.push(char::from(byte));
                } else {
                    push_escape(out, byte);
                }
                at += 1;
            }
        }
    }
}

/// A query as it may stand in a URL: what is encoded stays, everything else is encoded.
pub fn encode_query(raw: &str) -> String {
    let mut out = String::with_capacity(raw.len());
    encode_component(&mut out, raw, QUERY);
    out
}

/// urllib's `quote`: each byte that is neither unreserved nor among the ASCII characters of `safe` is encoded, a `%` too.
pub fn quote(text: &str, safe: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if is(byte, UNRESERVED) || (byte.is_ascii() && safe.as_bytes().contains(&byte)) {
            out.push(char::from(byte));
        } else {
            push_escape(&mut out, byte);
        }
    }
    out
}

/// Percent-decodes; a lone `%` stays as it is. What is no UTF-8 is taken for ISO-8859-1, so that it is sent as it was
/// given.
pub fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match escape_at(bytes, at) {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8(out)
        .unwrap_or_else(|error| error.as_bytes().iter().map(|byte| char::from(*byte)).collect())
}

pub(super) fn unquote_unreserved(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        match escape_at(rest.as_bytes(), at) {
            Some(value) if is(value, UNRESERVED) => {
                out.push(char::from(value));
                rest = &rest[at + 3..];
            }
            _ => {
                out.push('%');
                rest = &rest[at + 1..];
            }
        }
    }
    out.push_str(rest);
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_but_unreserved_and_safe_characters_are_quoted() {
        for (text, safe, quoted) in [
            ("", "/", ""),
            ("azAZ09-._~", "", "azAZ09-._~"),
            ("a b/c", "/", "a%20b/c"),
            ("a b/c", "", "a%20b%2Fc"),
            ("100%25", "/", "100%2525"),
            ("100%25", "%", "100%25"),
            ("\u{fc}\u{1F600}", "/", "%C3%BC%F0%9F%98%80"),
            ("\u{fc}", "\u{fc}\u{c3}", "%C3%BC"),
            ("\n\x7f\"<>", "/", "%0A%7F%22%3C%3E"),
        ] {
            assert_eq!(quote(text, safe), quoted, "{text:?} {safe:?}");
        }
    }
}
