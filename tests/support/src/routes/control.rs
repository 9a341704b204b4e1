//! Routes that tests steer by: waiting, gates, counters, facts about connections.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONNECTION, HeaderValue};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::{Answer, Call, Fault, Reply, bad, inspect, json_reply, not_found};
use crate::state::{Inside, Shared};
use crate::text::parse;

const GATE_PATIENCE: Duration = Duration::from_secs(60);

/// A number of seconds with fractions.
pub fn seconds(text: &str, most: f64) -> Result<Duration, Fault> {
    let seconds: f64 = parse(text)?;
    if (0.0..=most).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(bad(format!("{text} s is out of range")))
    }
}

fn enter(call: &Call) -> Option<Inside> {
    call.query.get("key").map(|key| call.peer.shared.enter(key))
}

/// `/delay/{seconds}`
pub async fn delay(call: &Call, time: &str) -> Answer {
    let time = seconds(time, 3600.0)?;
    let _inside = enter(call);
    sleep(time).await;
    Ok(json_reply(&inspect::request(call)))
}

/// `/slow-headers`
pub async fn slow_headers(call: &Call) -> Answer {
    sleep(Duration::from_millis(call.query.number("ms", 500)?)).await;
    Ok(json_reply(&json!({ "slow": true })))
}

/// `/peak`
pub fn peak(call: &Call) -> Answer {
    let key = call.query.get("of").ok_or_else(|| bad("of: which key?"))?;
    let level = call.peer.shared.level(&key);
    Ok(json_reply(&json!({ "now": level.now, "peak": level.peak })))
}

/// `/gate/{name}`
pub async fn gate(call: &Call, name: &str) -> Answer {
    let _inside = enter(call);
    let (mut open, _waiting) = call.peer.shared.wait_at_gate(name);
    match timeout(GATE_PATIENCE, open.wait_for(|open| *open)).await {
        Ok(Ok(_)) => Ok(json_reply(&json!({ "gate": name }))),
        _ => Err(Fault(StatusCode::GATEWAY_TIMEOUT, "nobody opened the gate".to_owned())),
    }
}

pub fn gate_state(call: &Call, name: &str, open: bool) -> Reply {
    json_reply(&json!({ "gate": name, "waiting": call.peer.shared.gate(name, open) }))
}

/// `/count`
pub fn count(call: &Call) -> Reply {
    json_reply(&Shared::count_json(&call.query, call.number))
}

/// `/connections`
pub fn connections(call: &Call) -> Answer {
    let own = &call.peer.connection.listener;
    let counted = call.peer.shared.connections(own, &call.query).ok_or_else(not_found)?;
    Ok(json_reply(&counted))
}

/// `/tls`
pub fn tls(call: &Call) -> Reply {
    json_reply(&match &call.peer.tls {
        None => json!({ "tls": false }),
        Some(facts) => json!({
            "tls": true,
            "version": facts.version,
            "sni": facts.sni,
            "alpn": facts.alpn,
            "client_cert": facts.client_cert,
            "resumed": facts.resumed,
        }),
    })
}

/// `/proxy-stats`
pub fn proxy_stats(call: &Call) -> Answer {
    let shared = &call.peer.shared;
    Ok(json_reply(&match call.query.get("name") {
        Some(name) => shared.proxy(&name).ok_or_else(not_found)?.to_json(),
        None => {
            let all: Map<_, _> =
                shared.proxies.iter().map(|proxy| (proxy.name.to_owned(), proxy.to_json())).collect();
            Value::Object(all)
        }
    }))
}

/// `/close`
pub fn close() -> Reply {
    let mut answer = json_reply(&json!({ "closed": true }));
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}
