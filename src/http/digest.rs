//! Digest authentication (RFC 7616, RFC 2617, RFC 2069), to servers and to proxies.

use std::collections::HashMap;
use std::convert::Infallible;

use md5::Md5;
use sha1::Sha1;
use sha2::{Sha256, Sha512, Sha512_256};

use super::auth::{Challenge, parse_challenges};
use crate::message::error::Error;
use crate::message::form::random_hex;
use crate::message::head::breaks_lines;
use crate::system::lock::Mutex;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hash {
    Md5,
    Sha1,
    Sha256,
    Sha512,
    Sha512_256,
}

/// Takes pieces of what is hashed.
type Sink<'a> = dyn FnMut(&[u8]) + 'a;

impl Hash {
    fn hex(self, text: &str) -> String {
        let Ok(hash) = self.hex_of::<Infallible>(|sink| {
            sink(text.as_bytes());
            Ok(())
        });
        hash
    }

    fn hex_of<E>(self, feed: impl FnOnce(&mut Sink<'_>) -> Result<(), E>) -> Result<String, E> {
        fn run<D: md5::Digest, E>(feed: impl FnOnce(&mut Sink<'_>) -> Result<(), E>) -> Result<String, E> {
            let mut hasher = D::new();
            feed(&mut |bytes| hasher.update(bytes))?;
            Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
        }
        match self {
            Hash::Md5 => run::<Md5, E>(feed),
            Hash::Sha1 => run::<Sha1, E>(feed),
            Hash::Sha256 => run::<Sha256, E>(feed),
            Hash::Sha512 => run::<Sha512, E>(feed),
            Hash::Sha512_256 => run::<Sha512_256, E>(feed),
        }
    }
}

/// The body of a request, for `auth-int`.
pub trait Entity {
    /// Whether it can be read before it is sent.
    fn is_hashable(&self) -> bool;

    fn feed(&self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error>;
}

impl Entity for &[u8] {
    fn is_hashable(&self) -> bool {
        true
    }

    fn feed(&self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        sink(self);
        Ok(())
    }
}

/// What an answer vouches for.
pub struct Message<'a> {
    pub method: &'a str,
    /// As it stands in the request line.
    pub target: &'a str,
    pub body: &'a dyn Entity,
}

/// Quality of protection. `Legacy` is that of RFC 2069, which has no word for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Qop {
    Legacy,
    Auth,
    AuthInt,
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
    qop: Qop,
    /// Whether the user's name is sent as a hash.
    userhash: bool,
}

impl Digest {
    /// None for another scheme and an unknown algorithm or quality of protection; for `auth-int` alone as well, where
    /// the body cannot be hashed. Of `auth` and `auth-int` the first is taken, as all clients do: the body is read
    /// once.
    fn from_challenge(challenge: &Challenge, hashable: bool) -> Option<Digest> {
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
            "SHA-512-256" => Hash::Sha512_256,
            _ => return None,
        };
        let offers = challenge.get("qop").map(str::trim).filter(|offers| !offers.is_empty());
        let is_offered = |wanted: &str| {
            offers.is_some_and(|all| all.split(',').any(|one| one.trim().eq_ignore_ascii_case(wanted)))
        };
        let qop = match offers {
            None => Qop::Legacy,
            Some(_) if is_offered("auth") => Qop::Auth,
            Some(_) if is_offered("auth-int") && hashable => Qop::AuthInt,
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
            userhash: challenge.get("userhash").is_some_and(|value| value.eq_ignore_ascii_case("true")),
        })
    }

    /// The fields stand in requests' order. Text is UTF-8, whether the server says `charset=UTF-8` or nothing.
    fn answer(
        &self,
        user: &str,
        password: &str,
        message: &Message<'_>,
        count: u32,
        cnonce: &str,
    ) -> Result<String, Error> {
        let (realm, nonce, Message { method, target, body }) = (&self.realm, &self.nonce, message);
        let mut key = self.hash.hex(&format!("{user}:{realm}:{password}"));
        if self.session {
            key = self.hash.hex(&format!("{key}:{nonce}:{cnonce}"));
        }
        let (qop, what) = match self.qop {
            Qop::Legacy => (None, format!("{method}:{target}")),
            Qop::Auth => (Some("auth"), format!("{method}:{target}")),
            Qop::AuthInt => {
                let body = self.hash.hex_of(|sink| body.feed(sink))?;
                (Some("auth-int"), format!("{method}:{target}:{body}"))
            }
        };
        let what = self.hash.hex(&what);
        let response = match qop {
            Some(qop) => self.hash.hex(&format!("{key}:{nonce}:{count:08x}:{cnonce}:{qop}:{what}")),
            None => self.hash.hex(&format!("{key}:{nonce}:{what}")),
        };
        let user = if self.userhash { self.hash.hex(&format!("{user}:{realm}")) } else { escape(user) };
        let mut header = format!(
            "Digest username=\"{user}\", realm=\"{}\", nonce=\"{}\", uri=\"{target}\", response=\"{response}\"",
            escape(realm),
            escape(nonce)
        );
        if let Some(opaque) = &self.opaque {
            header.push_str(&format!(", opaque=\"{}\"", escape(opaque)));
        }
        if let Some(algorithm) = &self.algorithm {
            // RFC 7616, 3.4: never in quotes. It is one of the names above, so it needs none.
            header.push_str(&format!(", algorithm={algorithm}"));
        }
        if let Some(qop) = qop {
            header.push_str(&format!(", qop=\"{qop}\", nc={count:08x}, cnonce=\"{cnonce}\""));
        } else if self.session {
            // Nobody could check the answer without it; requests leaves it out, and is refused.
            header.push_str(&format!(", cnonce=\"{cnonce}\""));
        }
        if self.userhash {
            header.push_str(", userhash=true");
        }
        Ok(header)
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
    fn new(origin: &str, user: &str) -> Key {
        Key { origin: origin.to_owned(), user: user.to_owned() }
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

    /// Takes the challenges of a server or proxy, each header's value on its own or joined by commas. True: the next
    /// `header` answers them. The first that can be answered counts, as RFC 7616 has it; a new nonce replaces the old.
    pub fn challenge(&self, origin: &str, user: &str, challenges: &[&str], hashable: bool) -> bool {
        // A proxy's user name comes from its URL, where anything can be encoded.
        if breaks_lines(user) {
            return false;
        }
        let digest = challenges
            .iter()
            .flat_map(|header| parse_challenges(header))
            .find_map(|challenge| Digest::from_challenge(&challenge, hashable));
        let Some(digest) = digest else { return false };
        let mut known = self.known.lock();
        let key = Key::new(origin, user);
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

    /// The credentials for this message, once the origin has asked this user. None as well where the origin wants the
    /// body hashed and that cannot be done: then it may ask anew.
    pub fn header(
        &self,
        origin: &str,
        user: &str,
        password: &str,
        message: &Message<'_>,
    ) -> Result<Option<String>, Error> {
        let (digest, count) = {
            let mut known = self.known.lock();
            let Some(known) = known.get_mut(&Key::new(origin, user)) else { return Ok(None) };
            if known.digest.qop == Qop::AuthInt && !message.body.is_hashable() {
                return Ok(None);
            }
            known.count = known.count.wrapping_add(1);
            (known.digest.clone(), known.count)
        };
        digest.answer(user, password, message, count, &(self.cnonce)()).map(Some)
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
    use crate::message::url::Url;

    fn digest(header: &str) -> Option<Digest> {
        parse_challenges(header).iter().find_map(|challenge| Digest::from_challenge(challenge, true))
    }

    fn response(header: &str) -> &str {
        header.split("response=\"").nth(1).unwrap().split('"').next().unwrap()
    }

    fn message<'a>(method: &'a str, target: &'a str) -> Message<'a> {
        Message { method, target, body: &(b"" as &[u8]) }
    }

    fn answer(
        digest: &Digest,
        user: &str,
        password: &str,
        method: &str,
        target: &str,
        count: u32,
        cnonce: &str,
    ) -> String {
        digest.answer(user, password, &message(method, target), count, cnonce).unwrap()
    }

    struct Unhashable;

    impl Entity for Unhashable {
        fn is_hashable(&self) -> bool {
            false
        }

        fn feed(&self, _: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
            panic!("it was said that this cannot be done");
        }
    }

    #[test]
    fn the_vector_of_rfc_2617_holds() {
        let digest = digest(
            "Digest realm=\"testrealm@host.com\", qop=\"auth,auth-int\", \
             nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", opaque=\"5ccc069c403ebaf9f0171e9517f40e41\"",
        );
        let answer =
            answer(&digest.unwrap(), "Mufasa", "Circle Of Life", "GET", "/dir/index.html", 1, "0a4f113b");
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
            let answer = answer(&digest, "Mufasa", "Circle of Life", "GET", "/dir/index.html", 1, cnonce);
            assert_eq!(response(&answer), expected);
            assert!(answer.contains(&format!("algorithm={algorithm}, qop=\"auth\"")));
        }
        let both = format!(
            "Digest {params}, algorithm=SHA-512-256, Digest {params}, algorithm=SHA-256, Digest {params}"
        );
        assert_eq!(digest(&both).unwrap().hash, Hash::Sha512_256);
        let unknown =
            format!("Digest {params}, algorithm=SHA3, Digest {params}, algorithm=SHA, Digest {params}");
        assert_eq!(digest(&unknown).unwrap().hash, Hash::Sha1);
    }

    #[test]
    fn the_vector_of_rfc_7616_for_sha_512_256_charset_and_userhash_holds() {
        // With the hashes of erratum 4897: those that RFC 7616, 3.9.2, prints are of SHA-512 cut short, which is
        // another.
        let digest = digest(
            "Digest realm=\"api@example.org\", qop=\"auth\", algorithm=SHA-512-256, \
             nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", charset=UTF-8, userhash=true",
        );
        let cnonce = "NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v";
        assert_eq!(
            answer(&digest.unwrap(), "J\u{e4}s\u{f8}n Doe", "Secret, or not?", "GET", "/doe.json", 1, cnonce),
            "Digest username=\"793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b\", \
             realm=\"api@example.org\", nonce=\"5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK\", \
             uri=\"/doe.json\", response=\"3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5\", \
             opaque=\"HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS\", algorithm=SHA-512-256, qop=\"auth\", \
             nc=00000001, cnonce=\"NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v\", userhash=true"
        );
    }

    #[test]
    fn auth_int_covers_the_body_and_auth_is_taken_where_both_are_offered() {
        let only = digest("Digest realm=r, nonce=n, qop=auth-int, algorithm=SHA-256").unwrap();
        let hash = only.hash;
        let body: &[u8] = b"payload";
        let message = Message { method: "POST", target: "/x", body: &body };
        let answer = only.answer("u", "p", &message, 1, "c").unwrap();
        let what = hash.hex(&format!("POST:/x:{}", hash.hex("payload")));
        assert_eq!(
            response(&answer),
            hash.hex(&format!("{}:n:00000001:c:auth-int:{what}", hash.hex("u:r:p")))
        );
        assert!(answer.contains(", qop=\"auth-int\", nc=00000001"), "{answer}");
        assert_eq!(digest("Digest realm=r, nonce=n, qop=\"auth-int,auth\"").unwrap().qop, Qop::Auth);
    }

    #[test]
    fn a_body_that_cannot_be_hashed_takes_auth_or_the_next_challenge_or_nothing() {
        let cache = DigestCache::new();
        let message = Message { method: "POST", target: "/", body: &Unhashable };
        let takes = |challenges: &[&str]| cache.challenge("o", "u", challenges, false);
        assert!(!takes(&["Digest realm=r, nonce=n, qop=auth-int"]));
        assert!(takes(&["Digest realm=r, nonce=n, qop=\"auth-int, auth\""]));
        assert!(takes(&[
            "Digest realm=r, nonce=m, qop=auth-int, algorithm=SHA-256",
            "Digest realm=r, nonce=m"
        ]));
        assert!(cache.header("o", "u", "p", &message).unwrap().unwrap().contains("nonce=\"m\""));
        // Another request could be answered for with auth-int: this one is asked anew, and no count is used up.
        assert!(cache.challenge("o", "u", &["Digest realm=r, nonce=i, qop=auth-int"], true));
        assert_eq!(cache.header("o", "u", "p", &message).unwrap(), None);
        let known = cache.header("o", "u", "p", &super::tests::message("GET", "/")).unwrap().unwrap();
        assert!(known.contains("nc=00000001"), "{known}");
    }

    #[test]
    fn a_user_with_a_line_break_is_never_written_into_a_header() {
        let cache = DigestCache::new();
        assert!(!cache.challenge("o", "u\r\nX: y", &["Digest realm=r, nonce=n"], true));
        assert_eq!(cache.header("o", "u\r\nX: y", "p", &message("GET", "/")).unwrap(), None);
    }

    #[test]
    fn without_qop_the_answer_is_that_of_rfc_2069() {
        // The example of RFC 2069 with the response of its erratum.
        let digest =
            digest("Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\"")
                .unwrap();
        let answer = answer(&digest, "Mufasa", "CircleOfLife", "GET", "/dir/index.html", 1, "x");
        assert_eq!(response(&answer), "1949323746fe6a43ef61f9606e7febea");
        assert!(!answer.contains("qop") && !answer.contains("nc=") && !answer.contains("cnonce"));
    }

    #[test]
    fn session_keys_include_both_nonces() {
        for algorithm in ["MD5-sess", "SHA-SESS", "SHA-256-sess", "SHA-512-sess", "SHA-512-256-sess"] {
            let digest =
                digest(&format!("Digest realm=r, nonce=n, qop=auth, algorithm={algorithm}")).unwrap();
            let hash = digest.hash;
            let key = hash.hex(&format!("{}:n:c", hash.hex("u:r:p")));
            let expected = hash.hex(&format!("{key}:n:00000002:c:auth:{}", hash.hex("PUT:/x")));
            assert_eq!(response(&answer(&digest, "u", "p", "PUT", "/x", 2, "c")), expected);
        }
        // With the two hashes that RFC 2617 prints for its example.
        let digest = digest(
            "Digest realm=\"testrealm@host.com\", nonce=\"dcd98b7102dd2f0e8b11d0f600bfb0c093\", qop=auth, algorithm=MD5-sess",
        );
        let answer =
            answer(&digest.unwrap(), "Mufasa", "Circle Of Life", "GET", "/dir/index.html", 1, "0a4f113b");
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
            "Digest realm=x, nonce=y, algorithm=SHA-512-256-256",
            "Digest realm=x, nonce=y, qop=\"auth-integrity\"",
            "Digest realm=x, nonce=y, qop=\"token\"",
            "realm=x, nonce=y",
        ] {
            assert_eq!(digest(header), None, "{header}");
        }
    }

    #[test]
    fn the_answer_is_to_the_digest_challenge_among_others() {
        let header = "Negotiate, Basic realm=\"a, Digest b\" , NTLM TlRM==,digest REALM = \"q\\\"\\\\q\" ,, nonce=n==,\tqop=\"auth-int , auth\"";
        let digest = digest(header).unwrap();
        assert_eq!((digest.realm.as_str(), digest.nonce.as_str(), digest.qop), ("q\"\\q", "n==", Qop::Auth));
        let answer = answer(&digest, "a\"b", "p", "GET", "/", 1, "c");
        assert!(
            answer.starts_with("Digest username=\"a\\\"b\", realm=\"q\\\"\\\\q\", nonce=\"n==\", uri=\"/\"")
        );
    }

    #[test]
    fn a_nonce_is_reused_and_counted_until_another_replaces_it() {
        let cache = DigestCache::with_cnonce(|| "c".to_owned());
        let header = || cache.header("http://h:80", "u", "p", &message("GET", "/a?b")).unwrap();
        let takes = |challenges: &[&str]| cache.challenge("http://h:80", "u", challenges, true);
        assert_eq!(header(), None);
        assert!(!takes(&["Basic realm=x"]));
        assert!(takes(&["Basic realm=x", "Digest realm=r, nonce=one, qop=auth"]));
        let first = header().unwrap();
        assert!(first.contains("uri=\"/a?b\"") && first.ends_with("nc=00000001, cnonce=\"c\""), "{first}");
        assert!(header().unwrap().contains("nc=00000002"));
        assert!(takes(&["Digest realm=r, nonce=one, qop=auth"]));
        assert!(header().unwrap().contains("nc=00000003"));
        assert!(takes(&["Digest realm=r, nonce=two, qop=auth, stale=true"]));
        let fresh = header().unwrap();
        assert!(fresh.contains("nonce=\"two\"") && fresh.contains("nc=00000001"));
    }

    #[test]
    fn a_nonce_belongs_to_one_origin_and_user() {
        let origin = |url: &str| Url::parse(url).unwrap().origin();
        let cache = DigestCache::new();
        let header =
            |url: &str, user: &str| cache.header(&origin(url), user, "p", &message("GET", "/")).unwrap();
        assert!(cache.challenge(&origin("http://h/"), "u", &["Digest realm=r, nonce=n"], true));
        assert!(header("http://h:80/other", "u").is_some());
        for other in ["https://h/", "http://h:81/", "http://g/"] {
            assert_eq!(header(other, "u"), None);
        }
        assert_eq!(header("http://h/", "v"), None);
    }
}
