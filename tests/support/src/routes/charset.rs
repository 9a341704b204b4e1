//! Texts in other character sets.

use encoding_rs::Encoding;
use hyper::header::CONTENT_TYPE;
use serde_json::json;

use super::{Answer, Call, Reply, bad, reply, with_header};

const ALL_SCRIPTS: &str = "Grüße, Привет, 日本語, 😀";

/// The sample for a charset (in lower case, with hyphens).
fn text(charset: &str) -> &'static str {
    match charset {
        "latin1" | "iso-8859-1" => "Grüße aus Köln, déjà vu, ¿qué tal mañana?",
        "windows-1252" => "“Grüße aus Köln” – das kostet 5 €",
        "iso-8859-2" | "windows-1250" => "Zażółć gęślą jaźń, proszę bardzo",
        "koi8-r" | "windows-1251" => "Съешь ещё этих мягких французских булок, да выпей чаю",
        "shift-jis" | "euc-jp" | "iso-2022-jp" => "こんにちは世界、これは日本語のテキストです。",
        "gbk" | "gb18030" => "你好,世界。这是一段中文文本。",
        "big5" => "你好,世界。這是一段中文文本。",
        "euc-kr" => "안녕하세요 세계, 이것은 한국어 텍스트입니다.",
        "ascii" => "plain old text",
        _ => ALL_SCRIPTS,
    }
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

fn utf32(text: &str, bytes: fn(u32) -> [u8; 4]) -> Vec<u8> {
    text.chars().flat_map(|c| bytes(u32::from(c))).collect()
}

/// The text in that charset, if it is known; `mark` puts a byte order mark where there is one.
fn encode(charset: &str, text: &str, mark: bool) -> Option<Vec<u8>> {
    let always = matches!(charset, "utf-8-sig" | "utf-16" | "utf-32");
    let marked = if always || mark { format!("\u{feff}{text}") } else { text.to_owned() };
    Some(match charset {
        "utf-8" | "utf-8-sig" => marked.into_bytes(),
        "utf-16" | "utf-16-le" | "utf-16le" => utf16(&marked, u16::to_le_bytes),
        "utf-16-be" | "utf-16be" => utf16(&marked, u16::to_be_bytes),
        "utf-32" | "utf-32-le" | "utf-32le" => utf32(&marked, u32::to_le_bytes),
        "utf-32-be" | "utf-32be" => utf32(&marked, u32::to_be_bytes),
        other => {
            let (bytes, _, lossy) = Encoding::for_label(other.as_bytes())?.encode(text);
            if lossy {
                return None;
            }
            bytes.into_owned()
        }
    })
}

/// `/encoding/{charset}`
pub fn sample(call: &Call, charset: &str) -> Answer {
    let name = charset.to_ascii_lowercase().replace('_', "-");
    let as_json = call.query.is_set("json");
    let mut document = text(&name).repeat(call.query.number("repeat", 1usize)?.min(100_000));
    if as_json {
        document = json!({ "text": document }).to_string();
    }
    let bytes = encode(&name, &document, call.query.is_set("bom"))
        .ok_or_else(|| bad(format!("{charset:?} is unknown, or cannot hold the text")))?;
    let default_type = if as_json { "application/json" } else { "text/plain" };
    let content_type = call.query.get("type").unwrap_or_else(|| default_type.to_owned());
    let stated = match call.query.get("header") {
        Some(stated) if stated == "none" => None,
        Some(stated) => Some(stated),
        None => (!as_json).then(|| charset.to_owned()),
    };
    let content_type = match stated {
        Some(stated) => format!("{content_type}; charset={stated}"),
        None => content_type,
    };
    let mut answer = reply("text/plain", bytes);
    answer.headers_mut().remove(CONTENT_TYPE);
    with_header(answer, CONTENT_TYPE, content_type.as_bytes())
}

/// `/encoding/utf8`
pub fn demo() -> Reply {
    let page = "<h1>Unicode Demo</h1>\n<pre>\n∮ E⋅da = Q,  n → ∞, ∑ f(i) = ∏ g(i), ∀x∈ℝ: ⌈x⌉ = −⌊−x⌋\n\
        ði ıntəˈnæʃənəl fəˈnɛtık əsoʊsiˈeıʃn\nСъешь ещё этих мягких французских булок\n\
        สิบสองกษัตริย์ก่อนหน้าแลถัดไป\n日本語 😀 ሰማይ አይታረስ\n</pre>\n";
    reply("text/html; charset=utf-8", page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_charset_holds_its_sample() {
        for charset in [
            "latin1",
            "iso-8859-1",
            "windows-1252",
            "iso-8859-2",
            "windows-1250",
            "koi8-r",
            "windows-1251",
            "shift-jis",
            "euc-jp",
            "iso-2022-jp",
            "gbk",
            "gb18030",
            "big5",
            "euc-kr",
            "ascii",
            "utf-8",
        ] {
            let bytes = encode(charset, text(charset), false).unwrap_or_else(|| panic!("{charset}"));
            let decoded = Encoding::for_label(charset.as_bytes()).unwrap().decode(&bytes).0;
            assert_eq!(decoded, text(charset), "{charset}");
        }
        assert_eq!(encode("utf-16", "a", false).unwrap(), b"\xff\xfea\0");
        assert_eq!(encode("utf-32-be", "a", false).unwrap(), b"\0\0\0a");
        assert!(encode("no-such", "a", false).is_none());
    }
}
