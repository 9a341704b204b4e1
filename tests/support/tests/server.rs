//! The server as its users see it: over sockets.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use local_server::LocalServer;

fn address(base: &str) -> &str {
    base.split_once("://").map_or(base, |(_, address)| address)
}

/// The whole answer to a GET that asks for the connection to be closed.
fn get(base: &str, target: &str) -> String {
    let mut socket = TcpStream::connect(address(base)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n");
    // A relay may have given up the connection already.
    let _ = socket.write_all(request.as_bytes());
    let mut answer = vec![0; 1 << 20];
    let mut length = 0;
    while let Ok(got @ 1..) = socket.read(&mut answer[length..]) {
        length += got;
    }
    String::from_utf8_lossy(&answer[..length]).into_owned()
}

#[test]
fn it_serves_and_counts() {
    let server = LocalServer::start().unwrap();
    assert!(get(server.http(), "/hello").ends_with("\r\n\r\nHello, world!"));
    assert!(get(server.http(), "/get?a=1&key=k").contains(r#""args":{"a":"1","key":"k"}"#));
    assert!(get(server.raw(), "/ok?key=k").ends_with("ok"));
    assert_eq!(server.count("k"), 2);
    assert_eq!(server.listener("http").unwrap().total(), 2);
    assert!(get(server.http(), "/nowhere").starts_with("HTTP/1.1 404"));
}

#[test]
fn it_notes_arrivals_for_each_host() {
    let server = LocalServer::start().unwrap();
    assert!(get(server.http(), "/turns/k?busy=1&after=7").to_lowercase().contains("retry-after: 7\r\n"));
    assert!(get(server.http(), "/turns/k?busy=1&after=7").ends_with(r#""number":2}"#));
    assert!(get(server.http(), "/turns/k").ends_with(r#""number":1}"#));
    let seen = get(server.http(), "/turns-of/k");
    let times = seen.split_once('[').unwrap().1.split_once(']').unwrap().0;
    let times: Vec<u64> = times.split(',').map(|time| time.parse().unwrap()).collect();
    assert!(times.len() == 3 && times.is_sorted(), "{seen}");
    assert!(seen.contains(r#""now":0"#) && seen.contains(r#""peak":1"#), "{seen}");
    assert!(get(server.http(), "/turns-of/nothing").ends_with("{}"));
    assert!(get(server.http(), "/etag/e?n=3").to_lowercase().contains("content-length: 3\r\n"));
}

#[test]
fn it_misbehaves() {
    let server = LocalServer::start().unwrap();
    assert_eq!(get(server.raw(), "/close/status-line"), "HTTP/1.1 20");
    assert_eq!(get(server.raw(), "/close/empty"), "");
    assert!(get(server.raw(), "/close/body?declared=50&sent=3").ends_with("50\r\n\r\nxxx"));
    assert!(get(server.raw(), "/lengths?v=5&v=6").contains("Content-Length: 6\r\n"));
    assert_eq!(get(server.raw(), "/raw?bytes=%00+a&bytes=b"), "\0 ab");
    assert!(TcpStream::connect(address(server.closed())).is_err());
    let blackhole = address(server.blackhole()).parse().unwrap();
    assert!(TcpStream::connect_timeout(&blackhole, Duration::from_millis(200)).is_err());
}

#[test]
fn it_forwards() {
    let server = LocalServer::start().unwrap();
    let port = server.var("RF_TEST_HTTP_PORT");
    let answer = get(server.var("RF_TEST_PROXY"), &format!("http://some.test:{port}/ip"));
    assert!(answer.ends_with(r#"{"origin":"127.0.0.1"}"#), "{answer}");
    let answer = get(server.var("RF_TEST_PROXY_AUTH_BARE"), &format!("http://127.0.0.1:{port}/ip"));
    assert!(answer.starts_with("HTTP/1.1 407"), "{answer}");
    let stats = server.proxy("http").unwrap();
    assert_eq!((stats.requests(), stats.forwards(), stats.by_name_and_address()), (1, 1, (1, 0)));
    assert_eq!(stats.last_target(), format!("some.test:{port}"));
}

#[test]
fn its_relays_damage_some_of_what_they_carry_and_in_every_way() {
    let server = LocalServer::start_with(1).unwrap();
    let direct = get(server.http(), "/bytes/5000?seed=7");
    let body = |answer: &str| answer.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    let (mut whole, mut damaged) = (0, 0);
    // Each piece of about 4,000 meets with each fault once in 150 times.
    for _ in 0..2000 {
        let answer = get(server.var("RF_TEST_FAULTS_HTTP"), "/bytes/5000?seed=7");
        *if body(&answer) == body(&direct) { &mut whole } else { &mut damaged } += 1;
    }
    let faults: Vec<_> = server.faults().collect();
    assert!(faults.iter().all(|(_, count)| *count > 5), "{faults:?}");
    // A delay damages nothing, and of the others some do not reach the body.
    let sum: u64 = faults.iter().map(|(_, count)| count).sum();
    assert!(damaged > 20 && damaged < sum && whole > damaged, "{whole} whole, {damaged} damaged: {faults:?}");
    let stats = get(server.http(), "/fault-stats");
    assert!(stats.contains(r#""connections":2000,"#) && stats.contains(r#""reset":"#), "{stats}");
}

#[test]
fn several_run_at_once_and_each_stops_for_itself() {
    let (one, two) = (LocalServer::start().unwrap(), LocalServer::start().unwrap());
    let (base, raw, directory) = (one.http().to_owned(), one.raw().to_owned(), one.directory().to_owned());
    let mut waiting = TcpStream::connect(address(&raw)).unwrap();
    waiting.write_all(b"GET /silent HTTP/1.1\r\n\r\n").unwrap();
    assert!(get(&raw, "/ok").ends_with("ok"));
    assert!(one.ca().exists());
    drop(one);
    assert!(!directory.exists());
    assert!(TcpStream::connect(address(&base)).is_err());
    assert!(!matches!(waiting.read(&mut [0]), Ok(1..)));
    assert!(get(two.http(), "/hello").ends_with("Hello, world!"));
}
