//! Texts in a charset: the first line is a Content-Type or the name of a charset, what follows are the bytes.
//!
//! What is detected decodes as what was detected, UTF-8 is left as it is, every byte is worth at least something, and none
//! costs more than a replacement character.

use requests_futures::message::text::{charset_of, decode, detect};

use super::{memory, take_text};

pub fn text(data: &[u8]) {
    let mut data = data;
    memory::within(512 * 1024 + 32 * data.len(), || {
        let label = take_text(&mut data);
        let detected = detect(data);
        let (by_look, by_name) = (read(data, None), read(data, Some(detected)));
        assert_eq!(by_look, by_name, "{detected}");
        if let Some(charset) = charset_of(&label) {
            assert!(label.contains(&charset) || ["ISO-8859-1", "utf-8"].contains(&charset.as_str()));
            read(data, Some(&charset));
        }
        let named = read(data, Some(&label));
        let spelled: String = label.chars().filter(char::is_ascii_alphanumeric).collect();
        assert_eq!(read(data, Some(&label.to_ascii_uppercase())), named, "in capitals, {spelled}");
        let as_utf8 = read(data, Some("utf-8"));
        assert_eq!(as_utf8, String::from_utf8_lossy(data));
        let latin1 = read(data, Some("latin-1"));
        assert!(latin1.chars().map(u32::from).eq(data.iter().map(|byte| u32::from(*byte))));
    });
}

fn read(bytes: &[u8], charset: Option<&str>) -> String {
    let text = decode(bytes, charset).expect("there is memory");
    assert!(text.capacity() > text.len(), "no room for a NUL");
    // The replacement character and the longest of what two bytes stand for have three bytes each, and an escape at the
    // end of its text is one.
    assert!(text.len() <= 3 * bytes.len() + 3, "{} bytes from {}", text.len(), bytes.len());
    text
}
