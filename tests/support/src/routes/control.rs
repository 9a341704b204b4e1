//! Routes that tests steer by: waiting, gates, counters, facts about connections.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONNECTION, HOST, HeaderValue, RETRY_AFTER};
use serde_json::{Map, Value, json};
use tokio::time::{sleep, timeout};

use super::{Answer, Call, Fault, Reply, bad, inspect, json_reply, not_found, with_status};
use crate::state::{Inside, Shared};
use crate::text::{parse, text_of};

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

/// `/turns/{key}`
pub async fn turns(call: &Call, key: &str) -> Answer {
    let host = call.head.headers.get(HOST).map_or_else(String::new, |host| text_of(host.as_bytes()));
    let count = format!("turns {key} {host} {}", call.head.uri);
    let _at_host = call.peer.shared.arrive(key.to_owned(), host.clone());
    if let Some(name) = call.query.get("gate") {
        let (mut open, _waiting) = call.peer.shared.wait_at_gate(&name);
        if !matches!(timeout(GATE_PATIENCE, open.wait_for(|open| *open)).await, Ok(Ok(_))) {
            return Err(Fault(StatusCode::GATEWAY_TIMEOUT, "nobody opened the gate".to_owned()));
        }
    }
    sleep(Duration::from_millis(call.query.number("ms", 0)?)).await;
    let busy: u64 = call.query.number("busy", 0)?;
    let number = call.peer.shared.with_counters(|counters| {
        let number = counters.entry(count).or_default();
        *number += 1;
        *number
    });
    let answer = json_reply(&json!({ "host": host, "number": number }));
    if number > busy {
        return Ok(answer);
    }
    let mut answer = with_status(StatusCode::SERVICE_UNAVAILABLE, answer);
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(call.query.number("after", 0)?));
    Ok(answer)
}

/// `/turns-of/{key}`
pub fn turns_of(call: &Call, key: &str) -> Reply {
    let hosts: Map<_, _> = call
        .peer
        .shared
        .arrivals(key)
        .into_iter()
        .map(|(host, arrivals)| {
            let level = arrivals.level;
            (host, json!({ "now": level.now, "peak": level.peak, "arrivals_ns": arrivals.at_ns }))
        })
        .collect();
    json_reply(&Value::Object(hosts))
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
