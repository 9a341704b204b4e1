//! The text of a response: which charset it is in, and what its bytes say.
//!
//! Charset names come from servers and from people who write Python, so both the labels of the WHATWG and
//! the names of Python's codecs are understood. Where the two disagree Python is right, as requests hands
//! the name to Python: `ISO-8859-1` is Latin-1 and not windows-1252, `ascii` knows no byte above 127, and
//! `utf-8` keeps a byte order mark as U+FEFF while `utf-8-sig` drops it.

use std::borrow::Cow;
use std::collections::TryReserveError;

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};
use encoding_rs::mem::convert_latin1_to_str_partial;
use encoding_rs::{CoderResult, Encoding, ISO_2022_JP, UTF_8, UTF_16BE, UTF_16LE, WINDOWS_874, WINDOWS_1254};

/// How much of a body the guess looks at, from its first byte above 127: more does not make it better, and
/// a guess must not cost more than the decoding it is for.
const GUESSED: usize = 256 * 1024;

/// The marks that name an encoding, by chardet's names, which decode with the mark left out. UTF-32 comes
/// first as its little-endian mark begins with that of UTF-16.
const MARKS: [(&[u8], &str); 5] = [
    (b"\xFF\xFE\0\0", "UTF-32"),
    (b"\0\0\xFE\xFF", "UTF-32"),
    (b"\xEF\xBB\xBF", "UTF-8-SIG"),
    (b"\xFF\xFE", "UTF-16"),
    (b"\xFE\xFF", "UTF-16"),
];

/// The charset that a Content-Type gives, else the one its type implies, else none: as
/// `requests.utils.get_encoding_from_headers`, except that the type is compared without regard to case.
pub fn charset_of(content_type: &str) -> Option<String> {
    let (kind, parameters) = content_type.split_once(';').unwrap_or((content_type, ""));
    let quotes = |c: char| matches!(c, '"' | '\'' | ' ');
    // The last one wins, as in a Python dict.
    let charset = parameters
        .split(';')
        .filter_map(|parameter| parameter.trim().split_once('='))
        .filter(|(name, _)| name.trim_matches(quotes).eq_ignore_ascii_case("charset"))
        .map(|(_, value)| value.trim_matches(quotes))
        .next_back();
    if let Some(charset) = charset {
        return Some(charset.to_owned());
    }
    let kind = kind.to_ascii_lowercase();
    if kind.contains("text") {
        Some("ISO-8859-1".to_owned())
    } else if kind.contains("application/json") {
        Some("utf-8".to_owned())
    } else {
        None
    }
}

/// The text that `bytes` spell in `encoding`, or in the detected one without. What cannot be decoded becomes
/// U+FFFD; a name that nobody knows means UTF-8. There is room for a NUL behind it, so that the one that the C
/// side needs takes no second copy. The sender decides how long it is, so it is an error when it
/// does not fit in memory.
pub fn decode(bytes: &[u8], encoding: Option<&str>) -> Result<String, TryReserveError> {
    let label = match encoding {
        Some(label) => label,
        None => match look(bytes) {
            Look::Utf8(text) => return owned(text),
            Look::Named(name) => name,
        },
    };
    let mut text = Charset::named(label).unwrap_or(Charset::Utf8).decode(bytes)?;
    text.try_reserve_exact(1)?;
    Ok(text)
}

/// The name of the encoding that `bytes` are most likely in: by byte order mark, by the zeros of ASCII in two
/// or four bytes, else `ascii` or `utf-8` when they are valid, else by their statistics. [`decode`] knows every
/// name this gives, and goes by the same look.
pub fn detect(bytes: &[u8]) -> &'static str {
    match look(bytes) {
        // Nothing says nothing: it will do as the web's default.
        Look::Utf8("") => "utf-8",
        Look::Utf8(text) if text.is_ascii() => "ascii",
        Look::Utf8(_) => "utf-8",
        Look::Named(name) => name,
    }
}

/// What bytes look like of which nobody said what they are.
enum Look<'b> {
    /// The text itself, as it is UTF-8.
    Utf8(&'b str),
    /// The name of another encoding.
    Named(&'static str),
}

fn look(bytes: &[u8]) -> Look<'_> {
    match marked(bytes).or_else(|| wide(bytes)) {
        Some(name) => Look::Named(name),
        None => plain(bytes).map_or_else(|| Look::Named(guess(bytes)), Look::Utf8),
    }
}

/// The name of the encoding whose byte order mark `bytes` begin with.
pub fn marked(bytes: &[u8]) -> Option<&'static str> {
    MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, name)| *name)
}

/// The encoding of an unmarked text whose first characters are ASCII in two or four bytes each, by its zeros.
fn wide(bytes: &[u8]) -> Option<&'static str> {
    match bytes {
        [0, 0, 0, 1..=255, ..] => Some("utf-32-be"),
        [1..=255, 0, 0, 0, ..] => Some("utf-32-le"),
        [0, 1..=255, 0, 1..=255, ..] => Some("utf-16-be"),
        [1..=255, 0, 1..=255, 0, ..] => Some("utf-16-le"),
        _ => None,
    }
}

/// `bytes` as they are when they are UTF-8, and not ASCII that switches to Japanese by escapes.
fn plain(bytes: &[u8]) -> Option<&str> {
    // Faster than the standard library's, and lends the bytes out or gives up at the first fault.
    let Cow::Borrowed(text) = UTF_8.decode_without_bom_handling_and_without_replacement(bytes)? else {
        return None;
    };
    if memchr::memchr(0x1B, bytes).is_some() && text.is_ascii() && guess(bytes) == ISO_2022_JP.name() {
        return None;
    }
    Some(text)
}

fn guess(bytes: &[u8]) -> &'static str {
    // Some ASCII before the first strange byte tells the languages apart that surround it with markup.
    let start = Encoding::ascii_valid_up_to(bytes).min(Encoding::iso_2022_jp_ascii_valid_up_to(bytes));
    let rest = &bytes[start.saturating_sub(1024)..];
    let sample = &rest[..rest.len().min(GUESSED)];
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Allow);
    detector.feed(sample, sample.len() == rest.len());
    match detector.guess(None, Utf8Detection::Allow) {
        // Cut in the middle or broken further on: still UTF-8.
        encoding if encoding == UTF_8 => "utf-8",
        encoding => encoding.name(),
    }
}

/// A copy with room for the NUL that the C side puts behind it, so that this does not copy once more.
fn owned(text: &str) -> Result<String, TryReserveError> {
    let mut copy = String::new();
    copy.try_reserve_exact(text.len() + 1)?;
    copy.push_str(text);
    Ok(copy)
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Little,
    Big,
    /// By byte order mark, which is then no part of the text; little-endian without one.
    Marked,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Charset {
    Utf8,
    Utf8Sig,
    Utf16(Order),
    Utf32(Order),
    Ascii,
    Latin1,
    /// A charset of ISO 8859 that the web knows only by its Windows extension: 0x80 to 0x9F are controls.
    Iso(&'static Encoding),
    Web(&'static Encoding),
}

impl Charset {
    fn named(label: &str) -> Option<Charset> {
        // Python ignores case and takes any punctuation for any other.
        let name: String =
            label.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_lowercase()).collect();
        Some(match name.as_str() {
            "utf8" | "u8" | "utf" | "cp65001" => Charset::Utf8,
            "utf8sig" => Charset::Utf8Sig,
            "utf16" | "u16" => Charset::Utf16(Order::Marked),
            "utf16le" | "unicodelittleunmarked" => Charset::Utf16(Order::Little),
            "utf16be" | "unicodebigunmarked" => Charset::Utf16(Order::Big),
            "utf32" | "u32" | "ucs4" | "iso10646ucs4" => Charset::Utf32(Order::Marked),
            "utf32le" => Charset::Utf32(Order::Little),
            "utf32be" => Charset::Utf32(Order::Big),
            "ascii" | "usascii" | "us" | "646" | "iso646us" | "iso646irv1991" | "isoir6" | "ansix341968"
            | "ansix341986" | "cp367" | "ibm367" | "csascii" => Charset::Ascii,
            "iso88591" | "iso885911987" | "iso8859" | "8859" | "88591" | "latin1" | "latin" | "l1"
            | "cp819" | "ibm819" | "isoir100" | "csisolatin1" => Charset::Latin1,
            _ => Charset::on_the_web(label, &name)?,
        })
    }

    fn on_the_web(label: &str, name: &str) -> Option<Charset> {
        let known = |label: &str| Encoding::for_label_no_replacement(label.as_bytes());
        let encoding = known(label)
            .or_else(|| known(&label.trim().replace(['_', ' '], "-")))
            .or_else(|| known(&web_label(name)?))?;
        Some(match encoding {
            _ if encoding == UTF_8 => Charset::Utf8,
            _ if encoding == UTF_16LE => Charset::Utf16(Order::Marked),
            _ if encoding == UTF_16BE => Charset::Utf16(Order::Big),
            _ if encoding == WINDOWS_1254 && !name.ends_with("1254") => Charset::Iso(encoding),
            _ if encoding == WINDOWS_874 && !name.ends_with("874") => Charset::Iso(encoding),
            _ => Charset::Web(encoding),
        })
    }

    fn decode(self, bytes: &[u8]) -> Result<String, TryReserveError> {
        match self {
            Charset::Utf8 => utf8(bytes),
            Charset::Utf8Sig => utf8(bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes)),
            Charset::Utf16(Order::Little) => web(UTF_16LE, bytes),
            Charset::Utf16(Order::Big) => web(UTF_16BE, bytes),
            Charset::Utf16(Order::Marked) => match bytes {
                [0xFE, 0xFF, rest @ ..] => web(UTF_16BE, rest),
                [0xFF, 0xFE, rest @ ..] => web(UTF_16LE, rest),
                _ => web(UTF_16LE, bytes),
            },
            Charset::Utf32(Order::Little) => utf32(bytes, u32::from_le_bytes),
            Charset::Utf32(Order::Big) => utf32(bytes, u32::from_be_bytes),
            Charset::Utf32(Order::Marked) => match bytes {
                [0, 0, 0xFE, 0xFF, rest @ ..] => utf32(rest, u32::from_be_bytes),
                [0xFF, 0xFE, 0, 0, rest @ ..] => utf32(rest, u32::from_le_bytes),
                _ => utf32(bytes, u32::from_le_bytes),
            },
            Charset::Ascii if bytes.is_ascii() => utf8(bytes),
            Charset::Ascii => {
                let replaced =
                    |byte: &u8| if byte.is_ascii() { *byte as char } else { char::REPLACEMENT_CHARACTER };
                collect(bytes, replaced)
            }
            Charset::Latin1 => latin1(bytes),
            Charset::Iso(encoding) => iso(encoding, bytes),
            Charset::Web(encoding) => web(encoding, bytes),
        }
    }
}

/// The WHATWG's label for a name of Python's, given in lower case and without punctuation.
fn web_label(name: &str) -> Option<String> {
    let part = |prefixes: &[&str]| prefixes.iter().find_map(|prefix| name.strip_prefix(prefix));
    if let Some(number) = part(&["iso8859", "8859"]) {
        return Some(format!("iso-8859-{number}"));
    }
    if let Some(number) = part(&["latin", "l"]) {
        let number = match number {
            "7" => "13",
            "8" => "14",
            "9" => "15",
            "10" => "16",
            _ => return Some(format!("latin{number}")),
        };
        return Some(format!("iso-8859-{number}"));
    }
    let number = part(&["windows", "cp", "ms"]).unwrap_or(name);
    let label = match number {
        "1250" | "1251" | "1252" | "1253" | "1254" | "1255" | "1256" | "1257" | "1258" | "874" => {
            return Some(format!("windows-{number}"));
        }
        "932" | "kanji" | "31j" | "shiftjis" | "sjis" => "shift_jis",
        "936" => "gbk",
        "949" | "uhc" => "euc-kr",
        "950" => "big5",
        "866" => "ibm866",
        "big5hkscs" | "big5tw" | "hkscs" => "big5",
        "eucjp" | "ujis" | "ujis8" => "euc-jp",
        "euckr" => "euc-kr",
        "euccn" | "eucgb2312cn" => "gb2312",
        "iso2022jp" => "iso-2022-jp",
        "koi8r" => "koi8-r",
        "koi8u" => "koi8-u",
        "macroman" => "macintosh",
        "maccyrillic" => "x-mac-cyrillic",
        "tis620" => "tis-620",
        _ => return None,
    };
    Some(label.to_owned())
}

/// How many units are decoded between two looks at the memory.
const UNITS: usize = 4096;

/// One character for each unit.
fn collect<T>(units: &[T], character: impl Fn(&T) -> char) -> Result<String, TryReserveError> {
    let mut text = String::new();
    // What is ASCII needs no more than this.
    text.try_reserve_exact(units.len() + 3 * units.len().min(UNITS) + 1)?;
    for units in units.chunks(UNITS) {
        text.try_reserve(4 * units.len())?;
        text.extend(units.iter().map(&character));
    }
    Ok(text)
}

fn latin1(bytes: &[u8]) -> Result<String, TryReserveError> {
    // In bytes, of which a vector register adds many at once.
    let high = |bytes: &[u8]| usize::from(bytes.iter().map(|byte| byte >> 7).sum::<u8>());
    let more = bytes.chunks(255).map(high).sum::<usize>();
    if more == 0 {
        return utf8(bytes);
    }
    let mut text = String::new();
    text.try_reserve_exact(bytes.len() + more + 1)?;
    // Zeros are valid UTF-8, and there is room for every byte.
    let mut zeros = [0; 2 * UNITS];
    let buffer = str::from_utf8_mut(&mut zeros).unwrap_or_default();
    for bytes in bytes.chunks(UNITS) {
        let (_, length) = convert_latin1_to_str_partial(bytes, buffer);
        text.push_str(&buffer[..length]);
    }
    Ok(text)
}

/// One validation and one copy when the bytes are valid: encoding_rs lends them out unchanged.
fn utf8(bytes: &[u8]) -> Result<String, TryReserveError> {
    match UTF_8.decode_without_bom_handling_and_without_replacement(bytes) {
        Some(Cow::Borrowed(text)) => owned(text),
        _ => web(UTF_8, bytes),
    }
}

fn web(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, TryReserveError> {
    let mut text = String::new();
    text.try_reserve_exact(bytes.len() + 1)?;
    append(&mut text, encoding, bytes)?;
    Ok(text)
}

/// Appends what `bytes` spell.
fn append(text: &mut String, encoding: &'static Encoding, bytes: &[u8]) -> Result<(), TryReserveError> {
    let mut decoder = encoding.new_decoder_without_bom_handling();
    let mut rest = bytes;
    loop {
        // What is left takes at least as many bytes in most encodings, and the decoder wants some to begin with.
        text.try_reserve(rest.len().max(16))?;
        let (result, read, _) = decoder.decode_to_string(rest, text, true);
        rest = &rest[read..];
        if result == CoderResult::InputEmpty {
            return Ok(());
        }
    }
}

fn iso(encoding: &'static Encoding, bytes: &[u8]) -> Result<String, TryReserveError> {
    let control = |byte: &u8| (0x80..=0x9F).contains(byte);
    let mut text = String::new();
    text.try_reserve_exact(bytes.len() + 1)?;
    for run in bytes.chunk_by(|a, b| control(a) == control(b)) {
        if control(&run[0]) {
            text.try_reserve(2 * run.len())?;
            text.extend(run.iter().map(|byte| *byte as char));
        } else {
            append(&mut text, encoding, run)?;
        }
    }
    Ok(text)
}

fn utf32(bytes: &[u8], unit: fn([u8; 4]) -> u32) -> Result<String, TryReserveError> {
    let (units, rest) = bytes.as_chunks::<4>();
    let mut text =
        collect(units, |bytes| char::from_u32(unit(*bytes)).unwrap_or(char::REPLACEMENT_CHARACTER))?;
    if !rest.is_empty() {
        text.try_reserve(char::REPLACEMENT_CHARACTER.len_utf8())?;
        text.push(char::REPLACEMENT_CHARACTER);
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], encoding: Option<&str>) -> String {
        super::decode(bytes, encoding).unwrap()
    }

    fn charset(content_type: &str) -> Option<String> {
        charset_of(content_type)
    }

    #[test]
    fn the_charset_of_a_content_type_is_its_parameter_without_quotes() {
        assert_eq!(charset("text/html; charset=utf-8").as_deref(), Some("utf-8"));
        assert_eq!(charset("text/html;CHARSET=\"Shift_JIS\"").as_deref(), Some("Shift_JIS"));
        assert_eq!(charset("application/xml; a=b; charset = 'koi8-r' ; c").as_deref(), Some("koi8-r"));
        assert_eq!(charset("text/html; charset=a; charset=b").as_deref(), Some("b"));
    }

    #[test]
    fn without_a_charset_text_is_latin_1_and_json_is_utf_8() {
        assert_eq!(charset("text/html").as_deref(), Some("ISO-8859-1"));
        assert_eq!(charset("Text/Plain; format=flowed").as_deref(), Some("ISO-8859-1"));
        assert_eq!(charset("text/html; charset").as_deref(), Some("ISO-8859-1"));
        assert_eq!(charset("text/html; charset=").as_deref(), Some(""));
        assert_eq!(charset("application/json").as_deref(), Some("utf-8"));
        assert_eq!(charset("image/png"), None);
        assert_eq!(charset(""), None);
    }

    #[test]
    fn names_of_python_and_labels_of_the_web_are_both_known() {
        for name in ["utf8", "utf_8", "UTF-8", " u8 ", "unicode-1-1-utf-8"] {
            assert_eq!(Charset::named(name), Some(Charset::Utf8), "{name}");
        }
        for name in ["latin1", "latin_1", "L1", "iso-8859-1", "ISO8859_1", "iso_8859-1:1987", "cp819"] {
            assert_eq!(Charset::named(name), Some(Charset::Latin1), "{name}");
        }
        for name in ["ascii", "US-ASCII", "646", "ANSI_X3.4-1968"] {
            assert_eq!(Charset::named(name), Some(Charset::Ascii), "{name}");
        }
        for (name, web) in [
            ("cp1252", "windows-1252"),
            ("windows_1251", "windows-1251"),
            ("1250", "windows-1250"),
            ("latin2", "iso-8859-2"),
            ("latin_2", "iso-8859-2"),
            ("latin9", "iso-8859-15"),
            ("iso8859_15", "iso-8859-15"),
            ("iso8859-16", "iso-8859-16"),
            ("x-sjis", "shift_jis"),
            ("cp932", "shift_jis"),
            ("ms_kanji", "shift_jis"),
            ("euc_jp", "euc-jp"),
            ("eucjp", "euc-jp"),
            ("iso2022_jp", "iso-2022-jp"),
            ("cp949", "euc-kr"),
            ("gb2312", "gbk"),
            ("gb18030", "gb18030"),
            ("big5_hkscs", "big5"),
            ("koi8_r", "koi8-r"),
            ("koi8r", "koi8-r"),
            ("mac_roman", "macintosh"),
            ("cp866", "ibm866"),
        ] {
            let encoding = Encoding::for_label(web.as_bytes()).unwrap();
            assert_eq!(Charset::named(name), Some(Charset::Web(encoding)), "{name}");
        }
        assert_eq!(Charset::named("iso-8859-9"), Some(Charset::Iso(WINDOWS_1254)));
        assert_eq!(Charset::named("cp1254"), Some(Charset::Web(WINDOWS_1254)));
        assert_eq!(Charset::named("unicode"), Some(Charset::Utf16(Order::Marked)));
        for name in ["", "   ", "klingon", "iso-8859-99", "utf-7", "hz-gb-2312", "é"] {
            assert_eq!(Charset::named(name), None, "{name}");
        }
    }

    #[test]
    fn iso_8859_1_is_the_byte_as_code_point_and_windows_1252_is_not() {
        assert_eq!(decode(b"\x80\xE9\xFF", Some("ISO-8859-1")), "\u{80}éÿ");
        assert_eq!(decode(b"\x80\xE9\xFF", Some("cp1252")), "€éÿ");
        assert_eq!(decode(b"a\x80\xFDb\xFE", Some("latin5")), "a\u{80}ıbş");
        assert_eq!(decode(b"\x80\xFD", Some("windows-1254")), "€ı");
    }

    #[test]
    fn an_unknown_charset_is_utf_8_with_replacement() {
        assert_eq!(decode("é".as_bytes(), Some("klingon")), "é");
        assert_eq!(decode(b"a\xFFb\xE2\x82", Some("klingon")), "a\u{FFFD}b\u{FFFD}");
        assert_eq!(decode(b"a\xFFb", Some("utf-8")), "a\u{FFFD}b");
    }

    #[test]
    fn ascii_replaces_every_byte_above_127() {
        assert_eq!(decode("é!".as_bytes(), Some("ascii")), "\u{FFFD}\u{FFFD}!");
        assert_eq!(decode(b"plain", Some("us-ascii")), "plain");
    }

    #[test]
    fn a_byte_order_mark_is_dropped_by_utf_8_sig_and_kept_by_utf_8() {
        assert_eq!(decode(b"\xEF\xBB\xBFx", Some("utf-8-sig")), "x");
        assert_eq!(decode(b"x", Some("utf-8-sig")), "x");
        assert_eq!(decode(b"\xEF\xBB\xBFx", Some("utf-8")), "\u{FEFF}x");
        assert_eq!(decode(b"\xEF\xBB\xBFx", None), "x");
    }

    #[test]
    fn utf_16_and_utf_32_follow_their_mark_and_are_little_endian_without() {
        let big16: Vec<u8> = "é😀".encode_utf16().flat_map(u16::to_be_bytes).collect();
        let little16: Vec<u8> = "é😀".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let big32: Vec<u8> = "é😀".chars().flat_map(|c| u32::from(c).to_be_bytes()).collect();
        let little32: Vec<u8> = "é😀".chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
        let with = |mark: &[u8], bytes: &[u8]| [mark, bytes].concat();
        for (bytes, name) in [
            (little16.clone(), "utf-16"),
            (little16.clone(), "utf_16_le"),
            (big16.clone(), "UTF-16BE"),
            (with(b"\xFF\xFE", &little16), "utf-16"),
            (with(b"\xFE\xFF", &big16), "utf16"),
            (little32.clone(), "utf-32"),
            (little32.clone(), "utf-32-le"),
            (big32.clone(), "utf_32_be"),
            (with(b"\xFF\xFE\0\0", &little32), "utf-32"),
            (with(b"\0\0\xFE\xFF", &big32), "u32"),
        ] {
            assert_eq!(decode(&bytes, Some(name)), "é😀", "{name}");
        }
        for bytes in [
            with(b"\xFF\xFE", &little16),
            with(b"\xFE\xFF", &big16),
            with(b"\xFF\xFE\0\0", &little32),
            with(b"\0\0\xFE\xFF", &big32),
        ] {
            assert_eq!(decode(&bytes, None), "é😀");
        }
        assert_eq!(decode(b"\x00\xD8a\0b", Some("utf-16-le")), "\u{FFFD}a\u{FFFD}");
        assert_eq!(decode(b"\x00\xD8\0\0a\0\0\0b", Some("utf-32-le")), "\u{FFFD}a\u{FFFD}");
    }

    #[test]
    fn detection_goes_by_mark_then_validity_then_statistics() {
        assert_eq!(detect(b""), "utf-8");
        assert_eq!(detect(b"hello"), "ascii");
        assert_eq!(detect("déjà".as_bytes()), "utf-8");
        assert_eq!(detect(b"\xEF\xBB\xBFhello"), "UTF-8-SIG");
        assert_eq!(detect(b"\xFF\xFEh\0"), "UTF-16");
        assert_eq!(detect(b"\xFE\xFF\0h"), "UTF-16");
        assert_eq!(detect(b"\xFF\xFE\0\0h\0\0\0"), "UTF-32");
        assert_eq!(detect(b"\0\0\xFE\xFF\0\0\0h"), "UTF-32");
        let russian = "Съешь же ещё этих мягких французских булок, да выпей чаю.";
        // KOI8-U extends KOI8-R: either name is right.
        for (encoding, name) in [(encoding_rs::WINDOWS_1251, "windows-1251"), (encoding_rs::KOI8_R, "KOI8-U")]
        {
            let bytes = encoding.encode(russian).0;
            assert_eq!(detect(&bytes), name);
            assert_eq!(decode(&bytes, None), russian);
        }
        let japanese = "いろはにほへと ちりぬるを わかよたれそ つねならむ";
        for encoding in [encoding_rs::SHIFT_JIS, encoding_rs::EUC_JP, ISO_2022_JP] {
            let bytes = encoding.encode(japanese).0;
            assert_eq!(detect(&bytes), encoding.name());
            assert_eq!(decode(&bytes, None), japanese);
        }
        assert_eq!(detect(b"\x1B[31mred\x1B[0m"), "ascii");
        assert_eq!(detect(b"\x1B(0lqk\x1B(B"), "ascii");
    }

    #[test]
    fn detection_finds_what_comes_late_and_does_not_read_it_all() {
        let mut bytes = vec![b' '; 3 << 20];
        bytes.extend_from_slice(&encoding_rs::WINDOWS_1251.encode("Съешь же ещё этих мягких булок").0);
        assert_eq!(detect(&bytes), "windows-1251");
        bytes.extend_from_slice(&vec![0xE0; 64 << 20]);
        assert_ne!(detect(&bytes), "utf-8");
    }

    #[test]
    fn ascii_in_two_or_four_bytes_is_detected_and_decoded_alike() {
        let text = "plain ASCII";
        for (name, zeros) in [("utf-16-le", 1), ("utf-16-be", 1), ("utf-32-le", 3), ("utf-32-be", 3)] {
            let unit = |byte: u8| {
                let mut unit = vec![0; zeros + 1];
                unit[if name.ends_with("be") { zeros } else { 0 }] = byte;
                unit
            };
            let bytes: Vec<u8> = text.bytes().flat_map(unit).collect();
            assert_eq!(detect(&bytes), name);
            assert_eq!(decode(&bytes, None), text, "{name}");
        }
        // Zeros elsewhere are zeros.
        assert_eq!((detect(b"ab\0c"), decode(b"ab\0c", None).as_str()), ("ascii", "ab\0c"));
    }

    #[test]
    fn what_grows_while_it_is_decoded_is_whole() {
        for length in [0, 1, 15, 16, 17, UNITS - 1, UNITS, UNITS + 1, 3 * UNITS + 5] {
            let bytes: Vec<u8> = (0..length).map(|n| 0xC0 | (n % 64) as u8).collect();
            let latin: String = bytes.iter().map(|byte| *byte as char).collect();
            assert_eq!(decode(&bytes, Some("latin1")), latin);
            assert_eq!(decode(&bytes, Some("cp1252")), latin);
            assert_eq!(decode(&bytes, Some("ascii")), "\u{FFFD}".repeat(length));
            assert_eq!(decode(&vec![0xFF; length], Some("utf-8")), "\u{FFFD}".repeat(length));
            let wide: Vec<u8> = "\u{20AC}".repeat(length).encode_utf16().flat_map(u16::to_le_bytes).collect();
            assert_eq!(decode(&wide, Some("utf-16-le")), "\u{20AC}".repeat(length));
            let wide: Vec<u8> =
                "\u{1F600}".repeat(length).chars().flat_map(|c| u32::from(c).to_le_bytes()).collect();
            assert_eq!(decode(&wide, Some("utf-32-le")), "\u{1F600}".repeat(length));
        }
    }

    #[test]
    fn every_detected_name_decodes() {
        for (_, name) in MARKS {
            assert!(Charset::named(name).is_some(), "{name}");
        }
        for name in [
            "ascii",
            "utf-8",
            "windows-1252",
            "Shift_JIS",
            "ISO-8859-8-I",
            "ISO-2022-JP",
            "KOI8-U",
            "x-user-defined",
        ] {
            assert!(Charset::named(name).is_some(), "{name}");
        }
    }

    #[test]
    fn a_valid_body_is_copied_once_with_room_for_a_nul() {
        let body = "é".repeat(1000);
        for encoding in [Some("utf-8"), Some("klingon"), None] {
            let text = decode(body.as_bytes(), encoding);
            assert_eq!(text, body);
            assert!(text.capacity() > text.len() && text.capacity() < text.len() + 16);
        }
    }
}
