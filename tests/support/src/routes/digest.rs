//! Digest authentication (RFC 7616, and RFC 2069 without qop), really verified.

use std::collections::{HashMap, HashSet};
use std::sync::Mutex;

use hyper::header::WWW_AUTHENTICATE;
use md5::Md5;
use serde_json::{Value, json};
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha512, Sha512_256};

use super::auth::credentials;
use super::{Answer, Call, empty, json_reply, status_code, with_header};
use crate::state::lock;
use crate::text::{hex, parse};

/// More nonces than any test uses at once; beyond it the old ones are forgotten.
const MAX_NONCES: usize = 100_000;

#[derive(Debug, Default)]
struct Nonce {
    opaque: String,
    last: u64,
    seen: HashSet<u64>,
    uses: u64,
}

#[derive(Debug, Default, Clone, Copy)]
struct Stats {
    challenges: u64,
    ok: u64,
    refused: u64,
}

/// Nonces given out, and what came back.
#[derive(Debug, Default)]
pub struct Digests {
    nonces: Mutex<HashMap<String, Nonce>>,
    stats: Mutex<HashMap<String, Stats>>,
}

impl Digests {
    pub fn stats(&self, user: Option<String>) -> Value {
        let stats = lock(&self.stats);
        let sum = stats.iter().filter(|(name, _)| user.as_ref().is_none_or(|user| user == *name)).fold(
            Stats::default(),
            |sum, (_, one)| Stats {
                challenges: sum.challenges + one.challenges,
                ok: sum.ok + one.ok,
                refused: sum.refused + one.refused,
            },
        );
        json!({ "challenges": sum.challenges, "ok": sum.ok, "refused": sum.refused })
    }

    fn count(&self, user: &str, counted: impl FnOnce(&mut Stats)) {
        counted(lock(&self.stats).entry(user.to_owned()).or_default());
    }

    fn new_nonce(&self) -> (String, String) {
        let mut nonces = lock(&self.nonces);
        if nonces.len() >= MAX_NONCES {
            nonces.clear();
        }
        // Nobody attacks this server: a nonce must be new, not unpredictable.
        let nonce = unique("nonce");
        let opaque = unique("opaque");
        nonces.insert(nonce.clone(), Nonce { opaque: opaque.clone(), ..Nonce::default() });
        (nonce, opaque)
    }
}

fn unique(what: &str) -> String {
    use std::sync::atomic::{AtomicU64, Ordering};
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    hex(&Md5::digest(format!("{what} {} {number}", std::process::id())))
}

/// An algorithm without its `-sess`.
fn hasher(algorithm: &str) -> Option<fn(&[u8]) -> String> {
    let name = algorithm.to_ascii_uppercase();
    Some(match name.strip_suffix("-SESS").unwrap_or(&name) {
        "MD5" => |data| hex(&Md5::digest(data)),
        "SHA" => |data| hex(&Sha1::digest(data)),
        "SHA-256" => |data| hex(&Sha256::digest(data)),
        "SHA-512" => |data| hex(&Sha512::digest(data)),
        "SHA-512-256" => |data| hex(&Sha512_256::digest(data)),
        _ => return None,
    })
}

/// The answer that a proxy wants to its challenge: MD5, qop auth.
pub fn proxy_response(
    fields: &HashMap<String, String>,
    (user, password): (&str, &str),
    method: &str,
    target: &str,
) -> Option<bool> {
    let hash = |text: String| hex(&Md5::digest(text));
    let field = |name: &str| fields.get(name).map(String::as_str);
    let (realm, nonce, count, cnonce) = (field("realm")?, field("nonce")?, field("nc")?, field("cnonce")?);
    let (secret, request) = (hash(format!("{user}:{realm}:{password}")), hash(format!("{method}:{target}")));
    let expected = hash(format!("{secret}:{nonce}:{count}:{cnonce}:auth:{request}"));
    Some(field("uri")? == target && field("username")? == user && field("response")? == expected)
}

/// `name=value, name="quoted value"` as pairs.
pub fn fields(text: &str) -> HashMap<String, String> {
    let mut fields = HashMap::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let mut value = String::new();
        let end = if let Some(quoted) = after.strip_prefix('"') {
            let mut escaped = false;
            let closing = quoted.char_indices().find(|&(_, c)| {
                let ends = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                if !ends && !escaped {
                    value.push(c);
                }
                ends
            });
            closing.map_or(after.len(), |(at, _)| at + 2)
        } else {
            let end = after.find(',').unwrap_or(after.len());
            value.push_str(after[..end].trim());
            end
        };
        fields.insert(name.trim().to_ascii_lowercase(), value);
        rest = after[end..].trim_start().trim_start_matches(',');
    }
    fields
}

struct Protected<'a> {
    qop: &'a str,
    user: &'a str,
    password: &'a str,
    algorithm: &'a str,
    realm: &'a str,
    stale_after: Option<u64>,
}

enum Verdict {
    Good,
    Wrong,
    Stale,
}

pub fn answer(
    call: &Call,
    qop: &str,
    user: &str,
    password: &str,
    algorithm: &str,
    stale_after: &str,
) -> Answer {
    let realm = call.query.get("realm").unwrap_or_else(|| "local-server".to_owned());
    let stale_after = if stale_after == "never" { None } else { Some(parse(stale_after)?) };
    let protected = Protected { qop, user, password, algorithm, realm: &realm, stale_after };
    let digests = &call.peer.shared.digests;
    let mut stale = false;
    if let Some(given) = credentials(call, "digest") {
        // RFC 7616, 3.4: this one never stands in quotes.
        let fields = if given.contains("algorithm=\"") { HashMap::new() } else { fields(&given) };
        match verify(call, &protected, &fields) {
            Verdict::Good => {
                digests.count(user, |stats| stats.ok += 1);
                return Ok(json_reply(&json!({ "authenticated": true, "user": user })));
            }
            Verdict::Wrong => digests.count(user, |stats| stats.refused += 1),
            Verdict::Stale => stale = true,
        }
    }
    digests.count(user, |stats| stats.challenges += 1);
    challenge(call, &protected, stale)
}

fn challenge(call: &Call, protected: &Protected, stale: bool) -> Answer {
    let (nonce, opaque) = call.peer.shared.digests.new_nonce();
    let mut value = format!(r#"Digest realm="{}", nonce="{nonce}""#, protected.realm);
    if protected.qop != "none" {
        value += &format!(r#", qop="{}""#, protected.qop);
    }
    value += &format!(r#", opaque="{opaque}", algorithm={}"#, protected.algorithm);
    if call.query.is_set("userhash") {
        value += ", charset=UTF-8, userhash=true";
    }
    value += if stale { ", stale=TRUE" } else { ", stale=FALSE" };
    let status = status_code(call.query.get("status").as_deref().unwrap_or("401"))?;
    let reply = with_header(empty(status), WWW_AUTHENTICATE, value.as_bytes())?;
    match call.query.get("also").as_deref() {
        Some("basic") => with_header(reply, WWW_AUTHENTICATE, br#"Basic realm="Fake Realm""#),
        _ => Ok(reply),
    }
}

fn verify(call: &Call, protected: &Protected, given: &HashMap<String, String>) -> Verdict {
    let field = |name: &str| given.get(name).map(String::as_str).unwrap_or_default();
    let Some(hash) = hasher(protected.algorithm) else { return Verdict::Wrong };
    let hash = |text: String| hash(text.as_bytes());
    let target = call.head.uri.path_and_query().map_or("/", |target| target.as_str());
    let algorithm_agrees = match given.get("algorithm") {
        Some(name) => name.eq_ignore_ascii_case(protected.algorithm),
        None => protected.algorithm.eq_ignore_ascii_case("MD5"),
    };
    let user = match call.query.is_set("userhash") {
        true => hash(format!("{}:{}", protected.user, protected.realm)),
        false => protected.user.to_owned(),
    };
    if field("username") != user
        || (given.get("userhash").map(String::as_str) == Some("true")) != call.query.is_set("userhash")
        || field("realm") != protected.realm
        || field("uri") != target
        || !algorithm_agrees
    {
        return Verdict::Wrong;
    }

    let (nonce, cnonce, qop) = (field("nonce"), field("cnonce"), field("qop"));
    let mut secret = hash(format!("{}:{}:{}", protected.user, protected.realm, protected.password));
    if protected.algorithm.to_ascii_uppercase().ends_with("-SESS") {
        secret = hash(format!("{secret}:{nonce}:{cnonce}"));
    }
    let method = call.head.method.as_str();
    let request = match qop {
        "auth-int" => {
            let body = hasher(protected.algorithm).map(|hash| hash(&call.body)).unwrap_or_default();
            hash(format!("{method}:{target}:{body}"))
        }
        _ => hash(format!("{method}:{target}")),
    };
    let (expected, uses) = if protected.qop == "none" {
        (hash(format!("{secret}:{nonce}:{request}")), None)
    } else {
        let count = field("nc");
        let Ok(uses) = u64::from_str_radix(count, 16) else { return Verdict::Wrong };
        if !protected.qop.split(',').any(|offered| offered.trim() == qop)
            || count.len() != 8
            || cnonce.is_empty()
        {
            return Verdict::Wrong;
        }
        (hash(format!("{secret}:{nonce}:{count}:{cnonce}:{qop}:{request}")), Some(uses))
    };
    if field("response") != expected {
        return Verdict::Wrong;
    }

    let mut nonces = lock(&call.peer.shared.digests.nonces);
    let Some(known) = nonces.get_mut(nonce) else { return Verdict::Wrong };
    if field("opaque") != known.opaque {
        return Verdict::Wrong;
    }
    if let Some(uses) = uses {
        let unordered = call.query.is_set("unordered");
        let fresh = if unordered { !known.seen.contains(&uses) } else { uses > known.last };
        if !fresh || uses == 0 {
            return Verdict::Wrong;
        }
        if unordered {
            known.seen.insert(uses);
        }
        known.last = known.last.max(uses);
    }
    known.uses += 1;
    if protected.stale_after.is_some_and(|most| known.uses > most) { Verdict::Stale } else { Verdict::Good }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn field_lists() {
        let fields = fields(r#"username="a \"b\", c", qop=auth, nc=00000001,uri="/x?y=1,2""#);
        assert_eq!(fields["username"], r#"a "b", c"#);
        assert_eq!(fields["qop"], "auth");
        assert_eq!(fields["nc"], "00000001");
        assert_eq!(fields["uri"], "/x?y=1,2");
    }
}
