//! Basic and bearer credentials.

use std::collections::HashMap;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use hyper::StatusCode;
use hyper::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use serde_json::json;

use super::{Answer, Call, empty, json_reply, not_found, with_header};
use crate::text::text_of;

/// The credentials given for a scheme, if any.
pub fn credentials(call: &Call, scheme: &str) -> Option<String> {
    let value = text_of(call.head.headers.get(AUTHORIZATION)?.as_bytes());
    let (given, rest) = value.split_once(' ')?;
    given.eq_ignore_ascii_case(scheme).then(|| rest.trim().to_owned())
}

pub fn basic(call: &Call, user: &str, password: &str, hidden: bool) -> Answer {
    let wanted = BASE64_STANDARD.encode(format!("{user}:{password}"));
    if credentials(call, "basic").is_some_and(|given| given == wanted) {
        Ok(json_reply(&json!({ "authenticated": true, "user": user })))
    } else if hidden {
        Err(not_found())
    } else {
        with_header(empty(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, br#"Basic realm="Fake Realm""#)
    }
}

pub fn bearer(call: &Call) -> Answer {
    match credentials(call, "bearer") {
        Some(token) => Ok(json_reply(&json!({ "authenticated": true, "token": token }))),
        None => with_header(empty(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, b"Bearer"),
    }
}

/// A new token of a client, in the place of the one before.
pub fn oauth_token(call: &Call) -> Answer {
    let (client, uses) = (client(call), call.query.number("uses", 1000u64)?);
    let issued = call.peer.shared.with_counters(|counters| {
        counters.insert(format!("oauth left {client}"), uses);
        let issued = counters.entry(format!("oauth issued {client}")).or_default();
        *issued += 1;
        *issued
    });
    let token = format!("{client}-{issued}");
    Ok(json_reply(&json!({ "access_token": token, "token_type": "Bearer", "uses": uses })))
}

/// What the newest token of a client opens, as often as it may be used.
pub fn oauth_resource(call: &Call) -> Answer {
    let client = client(call);
    let given = credentials(call, "bearer");
    let accepted = call.peer.shared.with_counters(|counters| {
        let key = |name: &str| format!("oauth {name} {client}");
        let of = |counters: &HashMap<String, u64>, name| counters.get(&key(name)).copied().unwrap_or(0);
        let newest = format!("{client}-{}", of(counters, "issued"));
        let left = of(counters, "left");
        let is_good = given.as_ref() == Some(&newest) && left > 0;
        if is_good {
            counters.insert(key("left"), left - 1);
        }
        *counters.entry(key(if is_good { "accepted" } else { "refused" })).or_default() += 1;
        is_good
    });
    if accepted {
        return Ok(json_reply(&json!({ "authenticated": true, "token": given })));
    }
    let challenge = br#"Bearer error="invalid_token""#;
    with_header(empty(StatusCode::UNAUTHORIZED), WWW_AUTHENTICATE, challenge)
}

pub fn oauth_stats(call: &Call) -> Answer {
    let client = client(call);
    let count = |name: &str| call.peer.shared.counter(&format!("oauth {name} {client}"));
    let stats =
        json!({ "issued": count("issued"), "accepted": count("accepted"), "refused": count("refused") });
    Ok(json_reply(&stats))
}

fn client(call: &Call) -> String {
    call.query.get("client").unwrap_or_else(|| "client".into())
}
