//! JSON documents: where serde_json takes a text, so does the library, and both read the same in it. What only the library
//! takes is what its documentation says.

use requests_futures::message::json::{Document, Failure, Kind, Value};
use serde_json::Value as Other;

use super::memory;

/// Half of a surrogate pair, which Python takes, and a number that no double holds.
const BEYOND_SERDE: [&str; 5] = [
    "number out of range",
    "lone leading surrogate in hex escape",
    "unexpected end of hex escape",
    "invalid unicode code point",
    "recursion limit exceeded",
];

fn is_same(own: &Value, other: &Other) {
    match other {
        Other::Null => assert_eq!(own.kind(), Kind::Null),
        Other::Bool(value) => assert_eq!(own.bool(), *value),
        Other::Number(number) => {
            assert_eq!(own.kind(), Kind::Number);
            let text = own.number_text().expect("a number has a text");
            assert_eq!(text.parse().ok(), Some(own.number()), "{text}");
            if let Some(integer) = number.as_i64() {
                // -0 is a number, and none of i64's.
                assert_eq!(own.int(), Some(integer), "{text}");
            }
            let near = number.as_f64().expect("a double");
            // serde_json's last digit may be another.
            assert!((own.number() - near).abs() <= near.abs() * 1e-14, "{text}, {near:?}");
        }
        Other::String(text) => assert_eq!(own.string(), Some(text.as_str())),
        Other::Array(elements) => {
            assert_eq!((own.kind(), own.size()), (Kind::Array, elements.len()));
            for (at, element) in elements.iter().enumerate() {
                is_same(own.at(at).expect("an element"), element);
            }
        }
        Other::Object(members) => {
            assert_eq!((own.kind(), own.size()), (Kind::Object, members.len()));
            for (key, value) in members {
                is_same(own.get(key).expect("a member"), value);
            }
        }
    }
}

/// What holds of every document, whoever else takes it.
fn look(value: &Value) {
    for text in [value.string(), value.number_text()].into_iter().flatten() {
        // SAFETY: a NUL follows every text in memory, which is what is looked at here.
        assert_eq!(unsafe { *text.as_ptr().add(text.len()) }, 0, "behind {text:?}");
    }
    for at in 0..value.size() {
        let element = value.at(at).expect("there are so many");
        if let Some(key) = value.key_at(at) {
            let found = value.get(key).expect("the key is there");
            assert!(std::ptr::eq(found, element), "{key:?} is there twice");
        }
        look(element);
    }
    assert!(value.at(value.size()).is_none());
}

pub fn json(data: &[u8]) {
    let own = memory::within(64 * 1024 + 64 * data.len(), || Document::parse(data, None));
    assert!(!matches!(own, Err(Failure::OutOfMemory | Failure::Stopped)));
    if let Ok(own) = &own {
        look(own.root());
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Err(Failure::Syntax(error)) = &own {
        let characters = text.chars().count();
        assert!(error.position <= characters && error.line >= 1 && error.column >= 1, "{error}");
        assert!(error.column <= error.position + 1, "{error}");
    }
    // The same text, decoded already.
    let decoded = Document::parse_text(text);
    let marked = text.bytes().take(4).any(|byte| byte == 0);
    if !marked {
        assert_eq!(own.is_ok(), decoded.is_ok());
        assert_eq!(own.as_ref().err(), decoded.as_ref().err());
    }
    // And as UTF-16, with a mark.
    let unmarked = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let wide: Vec<u8> = unmarked.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let wide = Document::parse(&[b"\xFE\xFF", &wide[..]].concat(), None);
    assert_eq!(wide.is_ok(), decoded.is_ok());
    match (decoded, serde_json::from_str::<Other>(text)) {
        (Ok(own), Ok(other)) => is_same(own.root(), &other),
        (Ok(_), Err(why)) => {
            let why = why.to_string();
            assert!(
                text.starts_with('\u{FEFF}') || BEYOND_SERDE.iter().any(|one| why.starts_with(one)),
                "{why}"
            );
        }
        (Err(why), Ok(_)) => panic!("serde_json takes it: {why:?}"),
        (Err(_), Err(_)) => {}
    }
}
