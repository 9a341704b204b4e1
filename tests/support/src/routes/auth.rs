//! Basic and bearer credentials.

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
