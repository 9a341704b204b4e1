//! Hosts: the one form of a name however it is written, and whether two are the same.

use std::borrow::Cow;
use std::fmt;
use std::net::Ipv6Addr;

use idna::uts46::{AsciiDenyList, DnsLength, Hyphens, Uts46};

use super::percent::{PLAIN_HOST, UNRESERVED, USERINFO, escape_at, is, push_escape};

/// Why a text is no host.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum BadHost {
    Missing,
    Malformed,
    /// A label is empty, or too long.
    LongLabel,
    /// This one is none by IDNA.
    Label(String),
}

/// A label's limit in the DNS.
pub(super) const MAX_LABEL: usize = 63;

/// A host as [`Url::host`] has it, however it was written: in capitals, in Unicode, with or without the brackets of an
/// IPv6 address. None: no URL can name such a host.
///
/// A dot at the end stays: `example.com.` is another name than `example.com`, which a resolver may complete. Requests
/// and browsers tell the two apart as well.
pub fn canonical_host(host: &str) -> Option<Cow<'_, str>> {
    let is_plain = |label: &str| {
        (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(|byte| is(byte, PLAIN_HOST))
    };
    if host.split('.').all(is_plain) {
        return Some(Cow::Borrowed(host));
    }
    let mut written = String::with_capacity(host.len() + 8);
    let ipv6_host = if host.contains(':') && !host.starts_with('[') {
        normalize_host(&mut written, &format!("[{host}]"))
    } else {
        normalize_host(&mut written, host)
    };
    Some(Cow::Owned(match ipv6_host.ok()? {
        Some(host) => host.into(),
        None => written.trim_start_matches('[').trim_end_matches(']').to_owned(),
    }))
}

/// Whether two names, written in whatever way, are one host. What no URL can name is no host but itself.
pub fn same_host(one: &str, other: &str) -> bool {
    one == other
        || matches!((canonical_host(one), canonical_host(other)), (Some(one), Some(other)) if one == other)
}

/// Whether a canonical host is this canonical domain, or a name below it.
pub fn is_within_domain(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// Writes the host as it stands in the URL; gives the form to connect to where it differs.
pub(super) fn normalize_host(out: &mut String, host: &str) -> Result<Option<Box<str>>, BadHost> {
    if host.is_empty() {
        return Err(BadHost::Missing);
    }
    if host.contains(|c: char| c <= ' ' || c == '\x7f') {
        return Err(BadHost::Malformed);
    }
    if let Some(literal) = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        return normalize_ipv6(out, literal).ok_or(BadHost::Malformed);
    }
    let start = out.len();
    push_reg_name(out, host)?;
    let name = &out[start..];
    if name.starts_with(['*', '.']) {
        return Err(BadHost::Malformed);
    }
    // Requests finds these only when it looks the name up, and refuses the URL just the same.
    if name
        .strip_suffix('.')
        .unwrap_or(name)
        .split('.')
        .any(|label| label.is_empty() || label.len() > MAX_LABEL)
    {
        return Err(BadHost::LongLabel);
    }
    Ok(None)
}

fn normalize_ipv6(out: &mut String, literal: &str) -> Option<Option<Box<str>>> {
    let (address, zone) = match literal.split_once('%') {
        Some((address, zone)) => (address, Some(zone)),
        None => (literal, None),
    };
    let shortest = address.parse::<Ipv6Addr>().ok()?.to_string();
    let written = address.to_ascii_lowercase();
    out.push('[');
    out.push_str(&written);
    let mut host = (shortest != written).then(|| shortest.clone());
    if let Some(zone) = zone {
        // RFC 6874 has `%25`; a bare `%` is taken too.
        let zone = zone.strip_prefix("25").filter(|zone| !zone.is_empty()).unwrap_or(zone);
        // An escape has no business in an interface's name; urllib3 hands it on, escaped, to no avail.
        if zone.is_empty() || !zone.bytes().all(|byte| is(byte, UNRESERVED)) {
            return None;
        }
        out.push_str("%25");
        out.push_str(zone);
        host = Some(format!("{shortest}%{zone}"));
    }
    out.push(']');
    Some(host.map(String::into_boxed_str))
}

fn push_reg_name(out: &mut String, host: &str) -> Result<(), BadHost> {
    let mut decoded = String::new();
    let mut rest = host;
    while let Some(at) = rest.find(['%', '[', ']']) {
        decoded.push_str(&rest[..at]);
        let Some(value) = escape_at(rest.as_bytes(), at) else { return Err(BadHost::Malformed) };
        if value < b' ' || value == 0x7f {
            return Err(BadHost::Malformed);
        }
        if is(value, UNRESERVED) {
            decoded.push(char::from(value));
        } else {
            push_escape(&mut decoded, value);
        }
        rest = &rest[at + 3..];
    }
    decoded.push_str(rest);

    for (index, label) in decoded.split('.').enumerate() {
        if index > 0 {
            out.push('.');
        }
        if label.is_ascii() {
            // Only lower-cased: a name that the DNS knows is none of our business. What may not stand in a
            // URL is escaped, which no look-up will find.
            let mut escape = 0;
            for byte in label.bytes() {
                if byte == b'%' {
                    escape = 3;
                }
                if escape > 0 {
                    escape -= 1;
                    out.push(char::from(byte));
                } else if is(byte, USERINFO) {
                    out.push(char::from(byte.to_ascii_lowercase()));
                } else {
                    push_escape(out, byte);
                }
            }
        } else {
            match label_to_ascii(label) {
                Some(label) => out.push_str(&label),
                None => return Err(BadHost::Label(label.into())),
            }
        }
    }
    Ok(())
}

/// IDNA 2008 with the mapping of UTS 46. The crate knows UTS 46, which still lets symbols such as a snowman
/// pass; IDNA 2008 does not, and wants some characters only in their context.
fn label_to_ascii(label: &str) -> Option<String> {
    let uts46 = Uts46::new();
    let ascii = uts46
        .to_ascii(label.as_bytes(), AsciiDenyList::STD3, Hyphens::Check, DnsLength::Verify)
        .ok()?
        .into_owned();
    let (unicode, valid) = uts46.to_unicode(ascii.as_bytes(), AsciiDenyList::STD3, Hyphens::Check);
    valid.ok()?;
    unicode.split('.').all(is_idna2008).then_some(ascii)
}

/// The rules of RFC 5892 beyond those of UTS 46, for a label that has passed the latter.
fn is_idna2008(label: &str) -> bool {
    let chars: Vec<char> = label.chars().collect();
    let arabic_indic = |c: &char| matches!(c, '\u{660}'..='\u{669}');
    let extended_arabic_indic = |c: &char| matches!(c, '\u{6f0}'..='\u{6f9}');
    if chars.iter().any(arabic_indic) && chars.iter().any(extended_arabic_indic) {
        return false;
    }
    chars.iter().enumerate().all(|(index, &c)| {
        let before = index.checked_sub(1).map(|before| chars[before]);
        let after = chars.get(index + 1).copied();
        match c {
            // MIDDLE DOT: between two l, as in Catalan.
            '\u{b7}' => before == Some('l') && after == Some('l'),
            // GREEK LOWER NUMERAL SIGN: before a Greek letter.
            '\u{375}' => after.is_some_and(is_greek),
            // HEBREW GERESH, GERSHAYIM: after a Hebrew letter.
            '\u{5f3}' | '\u{5f4}' => before.is_some_and(is_hebrew),
            // KATAKANA MIDDLE DOT: with kana or Han beside it somewhere.
            '\u{30fb}' => chars.iter().any(|&c| c != '\u{30fb}' && is_japanese(c)),
            c => !is_disallowed_in_idna2008(c),
        }
    })
}

fn is_greek(c: char) -> bool {
    matches!(c, '\u{370}'..='\u{373}' | '\u{375}'..='\u{377}' | '\u{37b}'..='\u{37d}' | '\u{37f}' | '\u{384}'
        | '\u{386}' | '\u{388}'..='\u{3e1}' | '\u{3f0}'..='\u{3ff}' | '\u{1f00}'..='\u{1fff}')
}

fn is_hebrew(c: char) -> bool {
    matches!(c, '\u{591}'..='\u{5f4}' | '\u{fb1d}'..='\u{fb4f}')
}

fn is_japanese(c: char) -> bool {
    matches!(c, '\u{3005}' | '\u{3007}' | '\u{3021}'..='\u{3029}' | '\u{3038}'..='\u{303b}'
        | '\u{3041}'..='\u{3096}' | '\u{309d}'..='\u{309f}' | '\u{30a1}'..='\u{30fa}' | '\u{30fd}'..='\u{30ff}'
        | '\u{31f0}'..='\u{31ff}' | '\u{2e80}'..='\u{2fd5}' | '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}'
        | '\u{f900}'..='\u{faff}' | '\u{1b000}'..='\u{1b16f}' | '\u{20000}'..='\u{3ffff}')
}

fn is_disallowed_in_idna2008(c: char) -> bool {
    let c = u32::from(c);
    let after = DISALLOWED_IN_IDNA2008.partition_point(|&(first, _)| first <= c);
    after > 0 && c <= DISALLOWED_IN_IDNA2008[after - 1].1
}

/// `host:port`, with brackets around an IPv6 address.
pub struct Authority<'a>(pub &'a str, pub u16);

impl fmt::Display for Authority<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = without_brackets(self.0);
        if host.contains(':') { write!(f, "[{host}]:{}", self.1) } else { write!(f, "{host}:{}", self.1) }
    }
}

pub fn without_brackets(host: &str) -> &str {
    host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
}

/// Code points that UTS 46 lets pass as they are and IDNA 2008 does not (its NV8 and XV8 marks), computed from
/// the Unicode 18 tables. Ranges run over code points that neither knows or that UTS 46 maps to others, which
/// keeps the list short: such code points never get here.
#[rustfmt::skip]
const DISALLOWED_IN_IDNA2008: &[(u32, u32)] = &[
    (0xA1, 0xB6), (0xBB, 0xD7), (0xF7, 0xF7), (0x2C2, 0x2C5), (0x2D2, 0x2EB), (0x2ED, 0x2ED),
    (0x2EF, 0x2FF), (0x3F6, 0x3F6), (0x482, 0x482), (0x488, 0x489), (0x55A, 0x55F), (0x589, 0x58F),
    (0x5BE, 0x5BE), (0x5C0, 0x5C0), (0x5C3, 0x5C3), (0x5C6, 0x5C6), (0x606, 0x60F), (0x61B, 0x61F),
    (0x640, 0x640), (0x66A, 0x66D), (0x6D4, 0x6D4), (0x6DE, 0x6DE), (0x6E9, 0x6E9), (0x700, 0x70D),
    (0x7F6, 0x7FA), (0x7FE, 0x7FF), (0x830, 0x83E), (0x85E, 0x85E), (0x888, 0x888), (0x964, 0x965),
    (0x970, 0x970), (0x9F2, 0x9FB), (0x9FD, 0x9FD), (0xA76, 0xA76), (0xAF0, 0xAF1), (0xB70, 0xB70),
    (0xB72, 0xB77), (0xBF0, 0xBFA), (0xC77, 0xC7F), (0xC84, 0xC84), (0xD4F, 0xD4F), (0xD58, 0xD5E),
    (0xD70, 0xD79), (0xDF4, 0xDF4), (0xE3F, 0xE3F), (0xE4F, 0xE4F), (0xE5A, 0xE5B), (0xF01, 0xF0A),
    (0xF0D, 0xF17), (0xF1A, 0xF1F), (0xF2A, 0xF34), (0xF36, 0xF36), (0xF38, 0xF38), (0xF3A, 0xF3D),
    (0xF85, 0xF85), (0xFBE, 0xFC5), (0xFC7, 0xFDA), (0x104A, 0x104F), (0x109E, 0x109F), (0x10FB, 0x10FB),
    (0x1100, 0x11FF), (0x1360, 0x137C), (0x1390, 0x1399), (0x1400, 0x1400), (0x166D, 0x166E),
    (0x169B, 0x169C), (0x16EB, 0x16F0), (0x1735, 0x1736), (0x17D4, 0x17D6), (0x17D8, 0x17DB),
    (0x17F0, 0x180A), (0x1940, 0x1945), (0x19DA, 0x19FF), (0x1A1E, 0x1A1F), (0x1AA0, 0x1AA6),
    (0x1AA8, 0x1AAD), (0x1ABE, 0x1ABE), (0x1B4E, 0x1B4F), (0x1B5A, 0x1B6A), (0x1B74, 0x1B7F),
    (0x1BFC, 0x1BFF), (0x1C3B, 0x1C3F), (0x1C7E, 0x1C7F), (0x1CC0, 0x1CC7), (0x1CD3, 0x1CD3),
    (0x2010, 0x205E), (0x20A0, 0x214D), (0x214F, 0x2182), (0x2185, 0x2BFF), (0x2CE5, 0x2CEA),
    (0x2CF9, 0x2CFF), (0x2D70, 0x2D70), (0x2E00, 0x2E2E), (0x2E30, 0x3004), (0x3008, 0x3029),
    (0x302E, 0x303B), (0x303D, 0x303F), (0x30A0, 0x30A0), (0x3190, 0x3191), (0x31C0, 0x31E5),
    (0x3248, 0x327F), (0x4DC0, 0x4DFF), (0xA490, 0xA4C6), (0xA4FE, 0xA4FF), (0xA60D, 0xA60F),
    (0xA670, 0xA673), (0xA67E, 0xA67E), (0xA6E6, 0xA6EF), (0xA6F2, 0xA716), (0xA720, 0xA721),
    (0xA789, 0xA78A), (0xA828, 0xA82B), (0xA830, 0xA839), (0xA874, 0xA877), (0xA8CE, 0xA8CF),
    (0xA8F8, 0xA8FA), (0xA8FC, 0xA8FC), (0xA92E, 0xA92F), (0xA95F, 0xA97C), (0xA9C1, 0xA9CD),
    (0xA9DE, 0xA9DF), (0xAA5C, 0xAA5F), (0xAA77, 0xAA79), (0xAADE, 0xAADF), (0xAAF0, 0xAAF1),
    (0xAB5B, 0xAB5B), (0xAB6A, 0xAB6B), (0xABEB, 0xABEB), (0xD7B0, 0xD7FB), (0xFBB2, 0xFDFF),
    (0xFE45, 0xFE46), (0x10100, 0x101FC), (0x102E1, 0x102FB), (0x10320, 0x10323), (0x10341, 0x10341),
    (0x1034A, 0x1034A), (0x1039F, 0x1039F), (0x103D0, 0x103D5), (0x1056F, 0x1056F), (0x10857, 0x1085F),
    (0x10877, 0x1087F), (0x108A7, 0x108AF), (0x108FB, 0x108FF), (0x10916, 0x1091F), (0x1093F, 0x1093F),
    (0x109BC, 0x109BD), (0x109C0, 0x109FF), (0x10A40, 0x10A58), (0x10A7D, 0x10A7F), (0x10A9D, 0x10A9F),
    (0x10AC8, 0x10AC8), (0x10AEB, 0x10AF6), (0x10B39, 0x10B3F), (0x10B58, 0x10B5F), (0x10B78, 0x10B7F),
    (0x10B99, 0x10BAF), (0x10CFA, 0x10CFF), (0x10D6E, 0x10D6E), (0x10D8E, 0x10E7E), (0x10EAD, 0x10EAD),
    (0x10EC9, 0x10ECA), (0x10ED0, 0x10ED8), (0x10F1D, 0x10F26), (0x10F51, 0x10F59), (0x10F86, 0x10F89),
    (0x10FC5, 0x10FCB), (0x11047, 0x11065), (0x110BB, 0x110C1), (0x11140, 0x11143), (0x11174, 0x11175),
    (0x111C5, 0x111C8), (0x111CD, 0x111CD), (0x111DB, 0x111DB), (0x111DD, 0x111F4), (0x11238, 0x1123D),
    (0x112A9, 0x112A9), (0x113D4, 0x113D8), (0x1144B, 0x1144F), (0x1145A, 0x1145D), (0x114C6, 0x114C6),
    (0x115C1, 0x115D7), (0x11641, 0x11643), (0x11660, 0x1166C), (0x116B9, 0x116B9), (0x1173A, 0x1173F),
    (0x1183B, 0x1183B), (0x118EA, 0x118F2), (0x11944, 0x11946), (0x119E2, 0x119E2), (0x11A3F, 0x11A46),
    (0x11A9A, 0x11A9C), (0x11A9E, 0x11AA2), (0x11B00, 0x11B09), (0x11BE1, 0x11BE1), (0x11C41, 0x11C45),
    (0x11C5A, 0x11C71), (0x11EF7, 0x11EF8), (0x11F43, 0x11F4F), (0x11FC0, 0x11FFF), (0x12400, 0x1247F),
    (0x12550, 0x12686), (0x12FF1, 0x12FF2), (0x16A6E, 0x16A6F), (0x16AF5, 0x16AF5), (0x16B37, 0x16B3F),
    (0x16B44, 0x16B45), (0x16B5B, 0x16B61), (0x16D6D, 0x16D6F), (0x16E80, 0x16E9A), (0x16FE2, 0x16FE2),
    (0x16FF4, 0x16FF6), (0x1BC9C, 0x1BC9C), (0x1BC9F, 0x1CEFD), (0x1CF50, 0x1D245), (0x1D253, 0x1D25A),
    (0x1D25D, 0x1D25E), (0x1D260, 0x1D27F), (0x1D2C0, 0x1D9FF), (0x1DA37, 0x1DA3A), (0x1DA6D, 0x1DA74),
    (0x1DA76, 0x1DA83), (0x1DA85, 0x1DA8B), (0x1DB00, 0x1DB1C), (0x1E14F, 0x1E14F), (0x1E2FF, 0x1E2FF),
    (0x1E5FF, 0x1E5FF), (0x1E8C7, 0x1E8CF), (0x1E95E, 0x1FBFA),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::url::Url;

    #[test]
    fn one_host_has_one_form_however_it_is_written() {
        for (written, canonical) in [
            ("example.com", "example.com"),
            ("EXAMPLE.Com", "example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}cher.EXAMPLE", "xn--bcher-kva.example"),
            ("\u{ff41}.example", "a.example"),
            ("a%7cb.example", "a%7Cb.example"),
            ("example.com.", "example.com."),
            ("::1", "::1"),
            ("[::1]", "::1"),
            ("[0:0::0001]", "::1"),
            ("FD00::A", "fd00::a"),
            ("[FE80:0::1%25eth0]", "fe80::1%eth0"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("127.0.0.1", "127.0.0.1"),
        ] {
            assert_eq!(canonical_host(written).as_deref(), Some(canonical), "{written}");
            assert_eq!(
                canonical_host(canonical).as_deref(),
                Some(canonical),
                "a second time changes nothing"
            );
            assert!(same_host(written, canonical) && same_host(canonical, written), "{written}");
            let bare_ipv6 = written.contains(':') && !written.starts_with('[');
            let url = if bare_ipv6 { format!("http://[{written}]/") } else { format!("http://{written}/") };
            assert_eq!(Url::parse(&url).unwrap().host(), canonical, "URLs have the same");
        }
        for none in
            ["", ".", ".example.com", "a..b", "a b", "*.example.com", "\u{2603}.net", "[", "]", "a:80", "a/b"]
        {
            assert_eq!(
                canonical_host(none).as_deref(),
                if none == "a/b" { Some("a%2Fb") } else { None },
                "{none:?}"
            );
        }
        for (one, other) in
            [("example.com", "example.com."), ("a.example", "example"), ("::1", "::2"), ("a b", "a")]
        {
            assert!(!same_host(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_domain_holds_itself_and_the_names_below_it() {
        for (host, domain, within) in [
            ("example.com", "example.com", true),
            ("www.example.com", "example.com", true),
            ("notexample.com", "example.com", false),
            ("com", "example.com", false),
        ] {
            assert_eq!(is_within_domain(host, domain), within, "{host} {domain}");
        }
    }
}
