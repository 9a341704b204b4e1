//! Requests that are signed by AWS Signature Version 4.

use hmac::{Hmac, KeyInit, Mac};
use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::{Method, StatusCode, Uri};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Answer, Call, json_reply, with_status};
use crate::text::{hex, percent_decode, text_of};

/// Those of Amazon's published examples.
const KEY: &str = "AKIDEXAMPLE";
const SECRET: &str = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";

/// Whether the signature is that of the request as it arrived.
pub fn answer(call: &Call) -> Answer {
    match check(&call.head.method, &call.head.uri, &call.head.headers, &call.body) {
        Ok(()) => {
            let length = call.body.len();
            Ok(json_reply(
                &json!({ "verified": true, "method": call.head.method.as_str(), "length": length }),
            ))
        }
        Err(why) => {
            Ok(with_status(StatusCode::FORBIDDEN, json_reply(&json!({ "verified": false, "why": why }))))
        }
    }
}

fn check(method: &Method, uri: &Uri, headers: &HeaderMap, body: &[u8]) -> Result<(), String> {
    let given = headers.get(AUTHORIZATION).ok_or("there is no Authorization")?;
    let given = text_of(given.as_bytes());
    let fields = given.strip_prefix("AWS4-HMAC-SHA256 ").ok_or("it is no AWS4-HMAC-SHA256")?;
    let field = |name: &str| {
        let mut all = fields.split(',').filter_map(|field| field.trim().split_once('='));
        all.find(|(other, _)| *other == name).map(|(_, value)| value).ok_or(format!("it has no {name}"))
    };
    let (credential, signed, signature) =
        (field("Credential")?, field("SignedHeaders")?, field("Signature")?);
    let scope = credential.strip_prefix(KEY).and_then(|rest| rest.strip_prefix('/')).ok_or("another key")?;
    let date =
        headers.get("x-amz-date").map(|date| text_of(date.as_bytes())).ok_or("there is no X-Amz-Date")?;
    if !signed.split(';').any(|name| name == "host") {
        return Err("Host is not signed".into());
    }
    let hash = hex(&Sha256::digest(body));
    if let Some(said) = headers.get("x-amz-content-sha256")
        && said.as_bytes() != hash.as_bytes()
    {
        return Err("X-Amz-Content-Sha256 is not that of the body".into());
    }
    let request = canonical(method, uri, headers, signed, &hash);
    let text = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{}", hex(&Sha256::digest(request.as_bytes())));
    let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part));
    match hex(&hmac(&key, &text)) == signature {
        true => Ok(()),
        false => Err(format!("the signature is not that of\n{request}\nand\n{text}")),
    }
}

fn hmac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).expect("a key of any length");
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

/// The request in the form that is signed.
fn canonical(method: &Method, uri: &Uri, headers: &HeaderMap, signed: &str, hash: &str) -> String {
    let path: Vec<String> =
        uri.path().split('/').map(|part| encode(&percent_decode(part.as_bytes(), false))).collect();
    let mut pairs: Vec<(String, String)> = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let plain = |text: &str| encode(&percent_decode(text.as_bytes(), true));
            (plain(name), plain(value))
        })
        .collect();
    pairs.sort();
    let query: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mut lines = String::new();
    for name in signed.split(';') {
        let values = headers.get_all(name).iter().map(|value| {
            let value = text_of(value.as_bytes());
            value.split_whitespace().collect::<Vec<_>>().join(" ")
        });
        lines.push_str(&format!("{name}:{}\n", values.collect::<Vec<_>>().join(",")));
    }
    format!("{method}\n{}\n{}\n{lines}\n{signed}\n{hash}", path.join("/"), query.join("&"))
}

/// All but letters, digits and `-._~` as %XX.
fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for byte in bytes {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(*byte))
            }
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verified(uri: &str, signature: &str) -> Result<(), String> {
        let mut headers = HeaderMap::new();
        headers.insert("host", "example.amazonaws.com".parse().expect("a value"));
        headers.insert("x-amz-date", "20150830T123600Z".parse().expect("a value"));
        let authorization = format!(
            "AWS4-HMAC-SHA256 Credential={KEY}/20150830/us-east-1/service/aws4_request, \
             SignedHeaders=host;x-amz-date, Signature={signature}"
        );
        headers.insert(AUTHORIZATION, authorization.parse().expect("a value"));
        check(&Method::GET, &uri.parse().expect("a URI"), &headers, b"")
    }

    #[test]
    fn amazons_published_examples_are_verified() {
        let vanilla = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31";
        assert_eq!(verified("/", vanilla), Ok(()));
        let sorted = "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500";
        assert_eq!(verified("/?Param2=value2&Param1=value1", sorted), Ok(()));
        assert!(verified("/?Param2=value2", sorted).is_err() && verified("/", sorted).is_err());
    }
}
