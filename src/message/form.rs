//! Bodies and queries made of names and values: urlencoded, and multipart/form-data.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::{Path, PathBuf};

use crate::message::error::{Error, ErrorKind};

/// The media type of `encode_pairs`.
pub const URLENCODED: &str = "application/x-www-form-urlencoded";

/// `application/x-www-form-urlencoded`, byte for byte as Python's `urlencode` writes it.
pub fn encode_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = String::new();
    for (name, value) in pairs {
        if !out.is_empty() {
            out.push('&');
        }
        quote_plus(&mut out, name);
        out.push('=');
        quote_plus(&mut out, value);
    }
    out
}

fn quote_plus(out: &mut String, text: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    out.reserve(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b'-' | b'~' => out.push(char::from(byte)),
            b' ' => out.push('+'),
            byte => {
                out.push('%');
                out.push(char::from(HEX[usize::from(byte >> 4)]));
                out.push(char::from(HEX[usize::from(byte & 15)]));
            }
        }
    }
}

/// A query that the caller wrote: what is encoded stays so, what may not stand in a query is encoded.
pub fn requote_query(raw: &str) -> String {
    crate::message::percent::encode_query(raw)
}

/// A piece of a body. The length of the whole is known once the sizes of the files are, and reading can begin
/// again at the first segment as often as it has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Segment {
    Bytes(Vec<u8>),
    File {
        path: PathBuf,
    },
    /// What somebody else has, who counts them.
    Other,
}

/// A multipart/form-data body, its fields and parts in the order in which they were added.
#[derive(Clone, Debug)]
pub struct Multipart {
    boundary: String,
    segments: Vec<Segment>,
}

impl Multipart {
    pub fn new() -> Multipart {
        Multipart::with_boundary(random_hex(2))
    }

    /// The boundary must occur in no part; it is given by tests only, and where a body is built a second time.
    pub fn with_boundary(boundary: impl Into<String>) -> Multipart {
        Multipart { boundary: boundary.into(), segments: Vec::new() }
    }

    pub fn boundary(&self) -> &str {
        &self.boundary
    }

    pub fn content_type(&self) -> String {
        format!("multipart/form-data; boundary={}", self.boundary)
    }

    /// A plain form field.
    pub fn field(&mut self, name: &str, value: &str) {
        let head = self.head(name, None, None);
        self.bytes(head.as_bytes());
        self.bytes(value.as_bytes());
        self.bytes(b"\r\n");
    }

    /// A part from bytes. Without a content type the part has none, as in requests. A content type that would
    /// begin a line of its own is refused.
    pub fn part(
        &mut self,
        name: &str,
        filename: Option<&str>,
        content_type: Option<&str>,
        data: &[u8],
    ) -> Result<(), Error> {
        check_content_type(content_type)?;
        let head = self.head(name, filename, content_type);
        self.bytes(head.as_bytes());
        self.bytes(data);
        self.bytes(b"\r\n");
        Ok(())
    }

    /// A part from a file, under the last component of its path or a name of its own. The file is opened when the body is read, by the
    /// reader of the segments.
    pub fn file(
        &mut self,
        name: &str,
        path: &Path,
        filename: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<(), Error> {
        let last = || path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
        let filename = filename.map_or_else(last, Into::into);
        self.segment(name, Some(&filename), content_type, Segment::File { path: path.to_owned() })
    }

    /// A part whose content is read from elsewhere, when the body is.
    pub fn other(
        &mut self,
        name: &str,
        filename: Option<&str>,
        content_type: Option<&str>,
    ) -> Result<(), Error> {
        self.segment(name, filename, content_type, Segment::Other)
    }

    fn segment(
        &mut self,
        name: &str,
        filename: Option<&str>,
        content_type: Option<&str>,
        segment: Segment,
    ) -> Result<(), Error> {
        check_content_type(content_type)?;
        let head = self.head(name, filename, content_type);
        self.bytes(head.as_bytes());
        self.segments.push(segment);
        self.bytes(b"\r\n");
        Ok(())
    }

    /// The whole body: pieces of bytes, with a file between two of them where one was added.
    pub fn finish(mut self) -> Vec<Segment> {
        let end = format!("--{}--\r\n", self.boundary);
        self.bytes(end.as_bytes());
        self.segments
    }

    fn bytes(&mut self, data: &[u8]) {
        match self.segments.last_mut() {
            Some(Segment::Bytes(bytes)) => bytes.extend_from_slice(data),
            _ => self.segments.push(Segment::Bytes(data.to_vec())),
        }
    }

    fn head(&self, name: &str, filename: Option<&str>, content_type: Option<&str>) -> String {
        let mut head = format!("--{}\r\nContent-Disposition: form-data; name=\"", self.boundary);
        escape_name(&mut head, name);
        head.push('"');
        if let Some(filename) = filename {
            head.push_str("; filename=\"");
            escape_name(&mut head, filename);
            head.push('"');
        }
        if let Some(content_type) = content_type.filter(|content_type| !content_type.is_empty()) {
            head.push_str("\r\nContent-Type: ");
            head.push_str(content_type);
        }
        head.push_str("\r\n\r\n");
        head
    }
}

impl Default for Multipart {
    fn default() -> Multipart {
        Multipart::new()
    }
}

/// As the WHATWG has it: only what would end the name or its line is escaped, and as if in a URL.
fn escape_name(out: &mut String, name: &str) {
    for c in name.chars() {
        match c {
            '"' => out.push_str("%22"),
            '\r' => out.push_str("%0D"),
            '\n' => out.push_str("%0A"),
            c => out.push(c),
        }
    }
}

fn check_content_type(content_type: Option<&str>) -> Result<(), Error> {
    match content_type.and_then(|content_type| content_type.find(['\r', '\n', '\0'])) {
        Some(at) => Err(Error::new(
            ErrorKind::InvalidHeader,
            format!("Invalid content type of a part: byte {at} is a line break or a NUL"),
        )),
        None => Ok(()),
    }
}

/// 16 hex digits for each word. The standard library keys its hashers from the system's randomness, which is
/// as much as a boundary or a client nonce asks for.
pub fn random_hex(words: usize) -> String {
    (0..words).map(|_| format!("{:016x}", RandomState::new().build_hasher().finish())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(segments: &[Segment]) -> String {
        segments
            .iter()
            .map(|segment| match segment {
                Segment::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
                Segment::File { path } => format!("<{}>", path.display()),
                Segment::Other => "<>".into(),
            })
            .collect()
    }

    #[test]
    fn pairs_are_encoded_as_pythons_urlencode_does() {
        let pairs = [("a b", "c+d&e=f"), ("ü", "~_.-*'()"), ("", ""), ("x\r\n", "\0/?#%")];
        let expected = "a+b=c%2Bd%26e%3Df&%C3%BC=~_.-%2A%27%28%29&=&x%0D%0A=%00%2F%3F%23%25";
        assert_eq!(encode_pairs(pairs.into_iter()), expected);
        assert_eq!(encode_pairs(std::iter::empty()), "");
    }

    #[test]
    fn a_raw_query_keeps_what_is_encoded() {
        assert_eq!(requote_query("a=%20b c&d=ü#[x]"), "a=%20b%20c&d=%C3%BC%23%5Bx%5D");
        assert_eq!(requote_query("100%"), "100%25");
    }

    #[test]
    fn fields_and_parts_are_one_body_in_the_order_added() {
        let mut body = Multipart::with_boundary("B");
        body.field("a", "1");
        body.part("p", Some("f.txt"), Some("text/plain"), b"data").unwrap();
        body.field("a", "2");
        body.part("q", None, None, b"").unwrap();
        assert_eq!(body.content_type(), "multipart/form-data; boundary=B");
        let segments = body.finish();
        assert_eq!(segments.len(), 1);
        assert_eq!(
            text(&segments),
            "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n1\r\n\
             --B\r\nContent-Disposition: form-data; name=\"p\"; filename=\"f.txt\"\r\nContent-Type: text/plain\r\n\r\ndata\r\n\
             --B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n2\r\n\
             --B\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n\r\n\
             --B--\r\n"
        );
    }

    #[test]
    fn a_file_is_a_segment_of_its_own() {
        let mut body = Multipart::with_boundary("B");
        body.file("f", Path::new("/tmp/a \"b\".txt"), None, Some("text/x")).unwrap();
        body.file("g", Path::new("h"), Some("x"), None).unwrap();
        let segments = body.finish();
        assert_eq!(segments.len(), 5);
        assert_eq!(segments[1], Segment::File { path: PathBuf::from("/tmp/a \"b\".txt") });
        assert_eq!(
            text(&segments),
            "--B\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a %22b%22.txt\"\r\nContent-Type: text/x\r\n\r\n\
             </tmp/a \"b\".txt>\r\n\
             --B\r\nContent-Disposition: form-data; name=\"g\"; filename=\"x\"\r\n\r\n<h>\r\n--B--\r\n"
        );
    }

    #[test]
    fn names_and_file_names_are_escaped_as_browsers_do() {
        let mut body = Multipart::with_boundary("B");
        body.part("ü\"\r\n%22\\", Some("ß\"\n"), None, b"x").unwrap();
        let expected = "--B\r\nContent-Disposition: form-data; name=\"ü%22%0D%0A%22\\\"; filename=\"ß%22%0A\"\r\n\r\nx\r\n--B--\r\n";
        assert_eq!(text(&body.finish()), expected);
    }

    #[test]
    fn a_content_type_cannot_bring_a_header_along() {
        let mut body = Multipart::new();
        let error = body.part("p", None, Some("a/b\r\nX: y"), b"").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidHeader);
        assert!(body.file("p", Path::new("x"), None, Some("a\n")).is_err());
    }

    #[test]
    fn boundaries_differ() {
        let (one, other) = (Multipart::new(), Multipart::new());
        assert_eq!(one.boundary().len(), 32);
        assert!(one.boundary().bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert_ne!(one.boundary(), other.boundary());
    }
}
