//! Credentials on the wire: Basic, Bearer, and how servers ask for some. For Digest see [`super::digest`].

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The value of an `Authorization` header for Basic. Latin-1 as in requests; what that cannot hold, and
/// requests fails on, goes as UTF-8.
pub fn basic(user: &str, password: &str) -> String {
    let text = format!("{user}:{password}");
    let latin1: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(c).ok()).collect();
    format!("Basic {}", STANDARD.encode(latin1.unwrap_or(text.into_bytes())))
}

/// The value of an `Authorization` header for a bearer token.
pub fn bearer(token: &str) -> String {
    format!("Bearer {token}")
}

// ---- challenges ----

/// One challenge of a `WWW-Authenticate` or `Proxy-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A comma parts challenges and parameters alike: a word that no `=` follows begins a challenge.
pub fn parse_challenges(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',', '=', '"']);
        let end = rest.find([' ', '\t', ',', '=', '"']).unwrap_or(rest.len());
        if end == 0 {
            return challenges;
        }
        let (word, after) = rest.split_at(end);
        match after.trim_start_matches([' ', '\t']).strip_prefix('=') {
            Some(value) => {
                let (value, after) = take_value(value.trim_start_matches([' ', '\t']));
                rest = after;
                if let Some(challenge) = challenges.last_mut() {
                    challenge.params.push((word.to_owned(), value));
                }
            }
            None => {
                rest = after;
                challenges.push(Challenge { scheme: word.to_owned(), params: Vec::new() });
            }
        }
    }
}

fn take_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([' ', '\t', ',']).unwrap_or(text.len());
        return (text[..end].to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(chars.next().map(|(_, c)| c)),
            c => value.push(c),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn basic_is_latin_1_and_else_utf_8() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("ü", "ß"), "Basic /Drf");
        assert_eq!(basic("ü", "€"), "Basic w7w64oKs");
        assert_eq!(basic("", ""), "Basic Og==");
        assert_eq!(bearer("abc.def"), "Bearer abc.def");
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let header = "Negotiate, Basic realm=\"a, Digest b\" , NTLM TlRM==,digest REALM = \"q\\\"\\\\q\" ,, nonce=n==,\tqop=\"auth-int , auth\"";
        let challenges = parse_challenges(header);
        let schemes: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes.first(), Some(&"Negotiate"));
        assert_eq!(schemes.last(), Some(&"digest"));
        assert_eq!(challenges[1].get("realm"), Some("a, Digest b"));
        assert!(parse_challenges("Digest realm=\"open").last().unwrap().get("realm") == Some("open"));
    }
}
