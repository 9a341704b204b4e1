//! What a server or a proxy asks for: the first two lines are user and password, the others are its headers.
//!
//! An answer to a digest parses back to what was asked, names the user, is one line, and counts on. Headers
//! may come one by one or joined.

use requests_futures::http::auth::{Challenge, basic, parse_challenges};
use requests_futures::http::digest::{DigestCache, Message};

use super::{memory, take_line, take_text};

const ORIGIN: &str = "http://h.example:80";

/// As a header's value comes: one line, ISO-8859-1 where it is not UTF-8.
fn is_line(text: &str) -> bool {
    !text.contains(['\r', '\n', '\0'])
}

/// Whether the header stands for itself: nothing at its front belongs to the challenge before it, and what is joined to it
/// does not belong to a quoted string in it.
fn is_whole(header: &str) -> bool {
    let (alone, behind) = (parse_challenges("Z"), parse_challenges(&format!("Z, {header}")));
    alone.first() == behind.first() && !header.contains('"') && !header.ends_with(['=', ' ', '\t'])
}

pub fn challenge(data: &[u8]) {
    let mut data = data;
    memory::within(256 * 1024 + 128 * data.len(), || {
        let (user, password) = (take_text(&mut data), take_text(&mut data));
        let mut headers = Vec::new();
        while !data.is_empty() {
            headers.push(super::text_of(take_line(&mut data)));
        }
        if !headers.iter().all(|header| is_line(header)) {
            return;
        }
        assert!(is_line(&basic(&user, &password)));
        let all: Vec<&str> = headers.iter().map(String::as_str).collect();
        let cache = DigestCache::new();
        let asked = cache.challenge(ORIGIN, &user, &all, true);
        if all.iter().all(|header| is_whole(header)) {
            let joined = DigestCache::new();
            assert_eq!(joined.challenge(ORIGIN, &user, &[&all.join(", ")], true), asked, "joined");
        }
        let message = Message { method: "GET", target: "/path", body: &(&b"body"[..]) };
        let answer = cache.header(ORIGIN, &user, &password, &message).expect("the body can be read");
        assert_eq!(answer.is_some(), asked);
        assert!(
            cache.header("http://other.example:80", &user, &password, &message).expect("as above").is_none()
        );
        let Some(answer) = answer else { return };
        assert!(is_line(&answer), "{answer:?}");
        let parsed = parse_challenges(&answer);
        let [parsed] = &parsed[..] else { panic!("{answer:?} is {} challenges", parsed.len()) };
        assert_eq!(parsed.scheme, "Digest");
        assert_eq!(parsed.get("uri"), Some("/path"));
        let algorithm = parsed.get("algorithm").unwrap_or("MD5").to_ascii_uppercase();
        let length = match algorithm.trim_end_matches("-SESS") {
            "MD5" => 32,
            "SHA" => 40,
            "SHA-256" | "SHA-512-256" => 64,
            _ => 128,
        };
        let response = parsed.get("response").expect("a response");
        assert!(
            response.len() == length && response.bytes().all(|byte| byte.is_ascii_hexdigit()),
            "{answer}"
        );
        if parsed.get("userhash").is_none() {
            assert_eq!(parsed.get("username"), Some(user.as_str()), "{answer}");
        }
        // It is the answer to one of those that were asked.
        let answers = |challenge: &Challenge| {
            challenge.scheme.eq_ignore_ascii_case("Digest")
                && ["realm", "nonce"].iter().all(|name| challenge.get(name) == parsed.get(name))
                && challenge.get("opaque").filter(|opaque| !opaque.is_empty()) == parsed.get("opaque")
        };
        assert!(all.iter().flat_map(|header| parse_challenges(header)).any(|one| answers(&one)), "{answer}");
        if let Some(count) = parsed.get("nc") {
            assert_eq!(count, "00000001");
            let next = cache.header(ORIGIN, &user, &password, &message).expect("as above").expect("asked");
            assert!(next.contains("nc=00000002"), "{next}");
        }
    });
}
