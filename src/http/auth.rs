//! Credentials on the wire: Basic, Bearer, and Digest (RFC 7616, RFC 2617, RFC 2069).

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use md5::{Digest as _, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

use crate::form::random_hex;
use crate::lock::Mutex;
use crate::url::Url;

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

/// One challenge of a `WWW-Authenticate` header.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Challenge {
    scheme: String,
    params: Vec<(String, String)>,
}

impl Challenge {
    fn get(&self, name: &str) -> Option<&str> {
        self.params.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
    }
}

/// A comma parts challenges and parameters alike: a word that no `=` follows begins a challenge.
fn parse_challenges(header: &str) -> Vec<Challenge> {
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

// ---- digest ----

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha512,
}

impl Hash {
    fn hex(self, text: &str) -> String {
        fn hex(bytes: &[u8]) -> String {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        match self {
            Hash::Md5 => hex(&Md5::digest(text)),
            Hash::Sha1 => hex(&Sha1::digest(text)),
            Hash::Sha256 => hex(&Sha256::digest(text)),
            Hash::Sha512 => hex(&Sha512::digest(text)),
        }
    }
}

/// A Digest challenge that can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Digest {
    realm: String,
    nonce: String,
    opaque: Option<String>,
    /// As the server wrote it: it goes back like that.
    algorithm: Option<String>,
    hash: Hash,
    /// Whether the key belongs to the session (`-sess`).
    session: bool,
    /// Quality of protection `auth`; without it the answer is that of RFC 2069.
    qop: bool,
}

impl Digest {
    /// None for another scheme, an unknown algorithm, and for `auth-int` alone.
    fn from_challenge(challenge: &Challenge) -> Option<Digest> {
        if !challenge.scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let algorithm = challenge.get("algorithm").filter(|algorithm| !algorithm.is_empty());
        let name = algorithm.unwrap_or("MD5").to_ascii_uppercase();
        let (name, session) = match name.strip_suffix("-SESS") {
            Some(name) => (name, true),
            None => (name.as_str(), false),
        };
        let hash = match name {
            "MD5" => Hash::Md5,
            "SHA" => Hash::Sha1,
            "SHA-256" => Hash::Sha256,
            "SHA-512" => Hash::Sha512,
            _ => return None,
        };
        let qop = match challenge.get("qop").map(str::trim) {
            None | Some("") => false,
            Some(offers) if offers.split(',').any(|offer| offer.trim().eq_ignore_ascii_case("auth")) => true,
            Some(_) => return None,
        };
        Some(Digest {
            realm: challenge.get("realm")?.to_owned(),
            nonce: challenge.get("nonce")?.to_owned(),
            opaque: challenge.get("opaque").filter(|opaque| !opaque.is_empty()).map(str::to_owned),
            algorithm: algorithm.map(str::to_owned),
            hash,
            session,
            qop,
        })
    }

    fn answer(
        &self,
        user: &str,
        password: &str,
        method: &str,
        target: &str,
        count: u32,
        cnonce: &str,
    ) -> String {
        let nonce = &self.nonce;
        let mut key = self.hash.hex(&format!("{user}:{}:{password}", self.realm));
        if self.session {
            key = self.hash.hex(&format!("{key}:{nonce}:{cnonce}"));
        }
        let what = self.hash.hex(&format!("{method}:{target}"));
        let response = if self.qop {
            self.hash.hex(&format!("{key}:{nonce}:{count:08x}:{cnonce}:auth:{what}"))
        } else {
            self.hash.hex(&format!("{key}:{nonce}:{what}"))
        };
        let mut header = format!(
            "Digest username=\"{}\", realm=\"{}\", nonce=\"{}\", uri=\"{target}\", response=\"{response}\"",
            escape(user),
            escape(&self.realm),
            escape(nonce)
        );
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque=\"{}\"", escape(opaque)));
        }
        if let Some(algorithm) = &self.algorithm {
            header.push_str(&format!(", algorithm=\"{}\"", escape(algorithm)));
        }
        if self.qop {
            header.push_str(&format!(", qop=\"auth\", nc={count:08x}, cnonce=\"{cnonce}\""));
        } else if self.session {
            // Nobody could check the answer without it; requests leaves it out, and is refused.
            header.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        header
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

/// The nonces of a session, so that only the first request to a server pays for an extra round trip.
pub struct DigestCache {
    known: Mutex<HashMap<Key, Known>>,
    cnonce: fn() -> String,
}

/// Credentials are never answered for on the strength of another origin's challenge.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    origin: String,
    user: String,
}

impl Key {
    fn new(url: &Url, user: &str) -> Key {
        let origin = format!("{}://{}:{}", url.scheme().as_str(), url.host(), url.port());
        Key { origin, user: user.to_owned() }
    }
}

struct Known {
    digest: Digest,
    /// How often the nonce has been used.
    count: u32,
}

/// Redirects can lead to any number of servers that ask.
const MAX_KNOWN: usize = 256;

impl DigestCache {
    pub fn new() -> DigestCache {
        DigestCache { known: Mutex::new(HashMap::new()), cnonce: || random_hex(1) }
    }

    /// With client nonces that a test can foresee.
    #[cfg(test)]
    fn with_cnonce(cnonce: fn() -> String) -> DigestCache {
        DigestCache { cnonce, ..DigestCache::new() }
    }

    /// Takes a 4xx's `WWW-Authenticate` headers, each value on its own or joined by commas. True: the next
    /// `header` answers it. The first challenge that can be answered counts; a new nonce replaces the old.
    pub fn challenge(&self, url: &Url, user: &str, www_authenticate: &[&str]) -> bool {
        let digest = www_authenticate
            .iter()
            .flat_map(|header| parse_challenges(header))
            .find_map(|challenge| Digest::from_challenge(&challenge));
        let Some(digest) = digest else { return false };
        let mut known = self.known.lock();
        let key = Key::new(url, user);
        match known.get_mut(&key) {
            // A nonce that is offered again goes on being counted: the server would take a repeated count
            // for a replay.
            Some(known) if known.digest.nonce == digest.nonce => known.digest = digest,
            _ => {
                if known.len() >= MAX_KNOWN {
                    known.clear();
                }
                known.insert(key, Known { digest, count: 0 });
            }
        }
        true
    }

    /// The value of the `Authorization` header, once the origin has asked this user. `method` is as sent.
    pub fn header(&self, url: &Url, user: &str, password: &str, method: &str) -> Option<String> {
        let (digest, count) = {
            let mut known = self.known.lock();
            let known = known.get_mut(&Key::new(url, user))?;
            known.count = known.count.wrapping_add(1);
            (known.digest.clone(), known.count)
        };
        Some(digest.answer(user, password, method, url.target(), count, &(self.cnonce)()))
    }
}

impl Default for DigestCache {
    fn default() -> DigestCache {
        DigestCache::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(header: &str) -> Option<Digest> {
        parse_challenges(header).iter().find_map(Digest::from_challenge)
    }

    fn response(header: &str) -> String {
        take_value(header.split("response=").nth(1).unwrap()).0
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn basic_is_latin_1_and_else_utf_8() {
        assert_eq!(basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==");
        assert_eq!(basic("ü", "ß"), "Basic /Drf");
        assert_eq!(basic("ü", "€"), "Basic w7w64oKs");
        assert_eq!(basic("", ""), "Basic Og==");
        assert_eq!(bearer("abc.def"), "Bearer abc.def");
    }

    #[test]
    fn the_vector_of_rfc_2617_holds() {
        let digest = digest(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let answer =
            digest.unwrap().answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html", 1, "0a4f113b");
        assert_eq!(
            answer,
            "Digest username=\"Mufasa\", realm=\"testrealm@host.com\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", uri=\"/dir/index.html\", \
             response=\"6629fae49393a05397450978507c4ef1\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\", \
             qop=\"auth\", nc=00000001, cnonce=\"0a4f113b\""
        );
    }

    #[test]
    fn the_vectors_of_rfc_7616_hold_and_the_first_known_algorithm_counts() {
        let params = "realm=\"http-auth@example.org\", qop=\"auth, auth-int\", \
            nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\"";
        let cnonce = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ";
        for (algorithm, expected) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
        ] {
            let digest = digest(&format!("Digest {params}, algorithm={algorithm}")).unwrap();
            let answer = digest.answer("Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, cnonce);
            assert_eq!(response(&answer), expected);
            assert!(answer.contains(&format!("algorithm=\"{algorithm}\", qop=\"auth\"")));
        }
        let both = format!(
            "Digest {params}, algorithm=SHA-512-256, Digest {params}, algorithm=SHA-256, Digest {params}"
        );
        assert_eq!(digest(&both).unwrap().hash, Hash::Sha256);
    }

    #[test]
    fn without_qop_the_answer_is_that_of_rfc_2069() {
        // The example of RFC 2069 with the response of its erratum.
        let digest =
            digest("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"")
                .unwrap();
        let answer = digest.answer("Mufasa", "CircleOfLife", "GET", "/dir/index.html", 1, "x");
        assert_eq!(response(&answer), "1949323746fe6a43ef61f9606e7febea");
        assert!(!answer.contains("qop") && !answer.contains("nc=") && !answer.contains("cnonce"));
    }

    #[test]
    fn session_keys_include_both_nonces() {
        for algorithm in ["MD5-sess", "SHA-SESS", "SHA-256-sess", "SHA-512-sess"] {
            let digest =
                digest(&format!("Digest realm=r, nonce=n, qop=auth, algorithm={algorithm}")).unwrap();
            let hash = digest.hash;
            let key = hash.hex(&format!("{}:n:c", hash.hex("u:r:p")));
            let expected = hash.hex(&format!("{key}:n:00000002:c:auth:{}", hash.hex("PUT:/x")));
            assert_eq!(response(&digest.answer("u", "p", "PUT", "/x", 2, "c")), expected);
        }
        // With the two hashes that RFC 2617 prints for its example.
        let digest = digest(
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", qop=auth, algorithm=MD5-sess",
        );
        let answer =
            digest.unwrap().answer("Mufasa", "Circle Of Life", "GET", "/dir/index.html", 1, "0a4f113b");
        assert_eq!(response(&answer), Hash::Md5.hex(&format!(
            "{}:dcd98b7102dd2f0e8b11d0f600bfb0c093:00000001:0a4f113b:auth:39aff3a2bab6126f332b942af96d3366",
            Hash::Md5.hex("939e7578ed9e3c518a452acee763bce9:dcd98b7102dd2f0e8b11d0f600bfb0c093:0a4f113b")
        )));
    }

    #[test]
    fn what_cannot_be_answered_is_left_alone() {
        for header in [
            "",
            "Basic realm=\"x\"",
            "Digest",
            "Digest realm=\"x\"",
            "Digest nonce=\"x\"",
            "Digest realm=x, nonce=y, algorithm=FOO",
            "Digest realm=x, nonce=y, algorithm=SHA-512-256",
            "Digest realm=x, nonce=y, qop=\"auth-int\"",
            "Digest realm=x, nonce=y, qop=\"token\"",
            "realm=x, nonce=y",
        ] {
            assert_eq!(digest(header), None, "{header}");
        }
    }

    #[test]
    fn several_challenges_in_one_header_are_told_apart() {
        let header = "Negotiate, Basic realm=\"a, Digest b\" , NTLM TlRM==,digest REALM = \"q\\\"\\\\q\" ,, nonce=n==,\tqop=\"auth-int , auth\"";
        let challenges = parse_challenges(header);
        let schemes: Vec<&str> = challenges.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(schemes.first(), Some(&"Negotiate"));
        assert_eq!(schemes.last(), Some(&"digest"));
        assert_eq!(challenges[1].get("realm"), Some("a, Digest b"));
        let digest = digest(header).unwrap();
        assert_eq!((digest.realm.as_str(), digest.nonce.as_str(), digest.qop), ("q\"\\q", "n==", true));
        let answer = digest.answer("a\"b", "p", "GET", "/", 1, "c");
        assert!(
            answer.starts_with("Digest username=\"a\\\"b\", realm=\"q\\\"\\\\q\", nonce=\"n==\", uri=\"/\"")
        );
        assert!(parse_challenges("Digest realm=\"open").last().unwrap().get("realm") == Some("open"));
    }

    #[test]
    fn a_nonce_is_reused_and_counted_until_another_replaces_it() {
        let cache = DigestCache::with_cnonce(|| "c".to_owned());
        let page = url("http://h/a?b#c");
        assert_eq!(cache.header(&page, "u", "p", "GET"), None);
        assert!(!cache.challenge(&page, "u", &["Basic realm=x"]));
        assert!(cache.challenge(&page, "u", &["Basic realm=x", "Digest realm=r, nonce=one, qop=auth"]));
        let first = cache.header(&page, "u", "p", "GET").unwrap();
        assert!(first.contains("uri=\"/a?b\"") && first.ends_with("nc=00000001, cnonce=\"c\""), "{first}");
        assert!(cache.header(&page, "u", "p", "GET").unwrap().contains("nc=00000002"));
        assert!(cache.challenge(&page, "u", &["Digest realm=r, nonce=one, qop=auth"]));
        assert!(cache.header(&page, "u", "p", "GET").unwrap().contains("nc=00000003"));
        assert!(cache.challenge(&page, "u", &["Digest realm=r, nonce=two, qop=auth, stale=true"]));
        let fresh = cache.header(&page, "u", "p", "GET").unwrap();
        assert!(fresh.contains("nonce=\"two\"") && fresh.contains("nc=00000001"));
    }

    #[test]
    fn a_nonce_belongs_to_one_origin_and_user() {
        let cache = DigestCache::new();
        assert!(cache.challenge(&url("http://h/"), "u", &["Digest realm=r, nonce=n"]));
        assert!(cache.header(&url("http://h:80/other"), "u", "p", "GET").is_some());
        for other in ["https://h/", "http://h:81/", "http://g/"] {
            assert_eq!(cache.header(&url(other), "u", "p", "GET"), None);
        }
        assert_eq!(cache.header(&url("http://h/"), "v", "p", "GET"), None);
    }
}
