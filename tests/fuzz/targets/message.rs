//! Tasks and replies, as bytes that come from another process: the content of a message, behind a first byte that says
//! which (T or R). The mark, the version and the check sum are put around it, so that they stop nothing.
//!
//! No memory is taken beyond what has come; nothing may be missing, and nothing may follow; what was decoded says the
//! same when it is encoded and decoded again.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use requests_futures::executor::wire::{
    Finders, Follows, ForeignTask, LastBody, Permitted, Reply, TaskName, decode_task, encode_reply,
    encode_task,
};
use requests_futures::future::control::Control;
use requests_futures::future::stopwatch::Spent;
use requests_futures::http::adapter::{Adapter, AdapterSettings};
use requests_futures::http::cookies::{Cookie, Jar};
use requests_futures::http::mount::{AnyAdapter, Mounts, Prefix};
use requests_futures::http::request::{Outcome, Owner, Request, Seldom, Shared};
use requests_futures::message::error::{Error, ErrorKind};
use requests_futures::message::head::Head;
use requests_futures::message::options::{
    Auth, BodySource, Borrowed, Hook, HookCall, NamedHook, Options, OutputMode, Owned, Part, Query, Refused,
    Resolve, SharedText, Sink, Timeouts,
};
use requests_futures::message::peer::{HttpVersion, Peer, TlsFacts};
use requests_futures::message::prepared::{BaseAdapter, Challenge, Prepare, Prepared, Verdict};
use requests_futures::message::reach::{
    Certificate, HttpChoice, IpVersion, KeepAlive, Reach, TlsVersion, TlsVersions,
};
use requests_futures::message::resolve;
use requests_futures::message::response::{Parts, Refusal, Response, Seen};
use requests_futures::message::retry::Retry;
use requests_futures::message::terminated::Terminated;
use requests_futures::system::environment::Environment;
use requests_futures::system::symbol::Symbol;

use super::memory;

/// What a vector is given before its elements are there is bounded, but for each one.
pub(super) const FIXED: usize = 8 * 1024 * 1024;
pub(super) const FOR_EACH_BYTE: usize = 512;

/// How a message begins: the mark and the version, as the library writes them.
pub(super) fn start() -> [u8; 4] {
    let reply = encode_reply(TaskName::of(1), &Err(Error::cancelled()), Vec::new(), &None, &LastBody::Inside);
    reply[..4].try_into().expect("longer than that")
}

/// The kinds of a message.
const TASK: u8 = 1;
const REPLY: u8 = 2;

pub(super) fn sealed(kind: u8, content: &[u8]) -> Vec<u8> {
    let mut message = start().to_vec();
    message.push(kind);
    message.extend_from_slice(&(content.len() as u32).to_le_bytes());
    message.extend_from_slice(content);
    let sum = crc32fast::hash(&message);
    message.extend_from_slice(&sum.to_le_bytes());
    message
}

/// The input that stands for a message.
fn input_of(message: &[u8]) -> Vec<u8> {
    let mut input = vec![if message[4] == TASK { b'T' } else { b'R' }];
    input.extend_from_slice(&message[9..message.len() - 4]);
    input
}

pub fn message(data: &[u8]) {
    let [first, content @ ..] = data else { return };
    let kind = if *first == b'T' { TASK } else { REPLY };
    let whole = sealed(kind, content);
    let most = FIXED + FOR_EACH_BYTE * data.len();
    let accepted = memory::within(most, || if kind == TASK { task(&whole) } else { reply(&whole) });
    if accepted {
        assert!(!decodes(kind, &sealed(kind, &[content, b"\0"].concat())), "something follows");
        assert!(!decodes(kind, &sealed(kind, &content[..content.len() - 1])), "something is missing");
    }
}

/// Whether an input is a message at all.
pub fn is_message(data: &[u8]) -> bool {
    let [first, content @ ..] = data else { return false };
    let kind = if *first == b'T' { TASK } else { REPLY };
    decodes(kind, &sealed(kind, content))
}

fn decodes(kind: u8, message: &[u8]) -> bool {
    match kind {
        TASK => decode_task(message, None, &FINDERS, Permitted::ALL).is_ok(),
        _ => Reply::decode(message).is_ok(),
    }
}

// ---- tasks ----

/// A function that is found under any name, and never called.
struct Found(NamedHook);

impl Hook for Found {
    fn call(&self, _: &mut HookCall, _: &Arc<Response>) -> Result<(), Refused> {
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Ok(self.0.clone())
    }
}

impl Prepare for Found {
    fn prepare(&self, _: &mut Prepared<'_>) -> Result<(), Refused> {
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Ok(self.0.clone())
    }
}

impl Challenge for Found {
    fn judge(&self, _: &mut Prepared<'_>, _: &Arc<Response>) -> Result<Verdict, Refused> {
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Ok(self.0.clone())
    }
}

impl resolve::Resolve for Found {
    fn resolve(&self, _: &mut resolve::Found, _: &str, _: u16) -> Result<(), Refused> {
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Ok(self.0.clone())
    }
}

impl BaseAdapter for Found {
    fn send(&self, _: &mut Prepared<'_>) -> Result<(), Refused> {
        Err(Refused)
    }

    fn named(&self) -> Result<NamedHook, String> {
        Ok(self.0.clone())
    }
}

const FINDERS: Finders = Finders {
    hook: |name| Ok(Arc::new(Found(name.clone()))),
    background: |name| Ok(Arc::new(Found(name.clone()))),
    prepare: |name| Ok(Arc::new(Found(name.clone()))),
    challenge: |name| Ok(Arc::new(Found(name.clone()))),
    adapter: |name| Ok(Arc::new(Found(name.clone()))),
    resolver: |name| Ok(Arc::new(Found(name.clone()))),
};

fn found() -> Found {
    let function = Symbol { object: "/lib/x.so".into(), build_id: vec![1, 2], name: "f".into() };
    Found(NamedHook { function, data: None })
}

/// An adapter of each kind.
fn mounts() -> Arc<Mounts> {
    let mut mounts = Mounts::default();
    let adapters = [
        ("http://h:80/a", AnyAdapter::Http(Arc::new(Adapter::new(AdapterSettings::default())))),
        ("mock://", AnyAdapter::Custom(Arc::new(found()))),
    ];
    for (prefix, adapter) in adapters {
        let before = mounts.set(Prefix::parse(prefix).expect("a prefix"), Some(adapter));
        assert!(before.is_none());
    }
    Arc::new(mounts)
}

struct Submitter(Arc<Shared>);

impl Owner for Submitter {
    fn shared(&self) -> &Arc<Shared> {
        &self.0
    }

    fn remember_stream(&self, _: &Arc<Control>) {}
}

fn decoded(message: &[u8]) -> Option<ForeignTask> {
    let decoded = decode_task(message, None, &FINDERS, Permitted::ALL).ok()?;
    Some(decoded.task.unwrap_or_else(|error| panic!("all functions are found: {error}")))
}

/// The task as it would be sent on. What cannot be the same a second time is left out: when it has to be over, whose
/// it is, and what that has mounted.
fn encoded(task: ForeignTask) -> Vec<u8> {
    let adapter = Arc::new(Adapter::new(task.session.settings));
    let shared = Arc::new(Shared::new(Jar::copy_of(task.cookies), Arc::default(), adapter));
    let request = Request {
        owner: Arc::new(Submitter(shared)),
        method: task.method.into(),
        url: task.url.into(),
        defaults: Arc::new(task.defaults),
        options: Some(Arc::new(task.options)),
        environment: task.environment.map(Arc::new),
        ends_at: None,
        seldom: None,
    };
    let encoded = encode_task(TaskName::of(1), &request, false);
    encoded.unwrap_or_else(|error| panic!("what came as bytes goes as bytes: {error}")).message
}

fn task(message: &[u8]) -> bool {
    let Some(first) = decoded(message) else { return false };
    let said =
        (first.method.clone(), first.url.clone(), first.body.as_ref().map(|body| body.bytes().to_vec()));
    let again = decoded(&encoded(first)).expect("a task");
    let says =
        (again.method.clone(), again.url.clone(), again.body.as_ref().map(|body| body.bytes().to_vec()));
    assert_eq!(said, says);
    // Relative paths have become absolute, and cookies of other hosts are gone: from now on nothing changes.
    let session = again.session.identity.to_le_bytes();
    let settled = encoded(again);
    let last = decoded(&settled).expect("a task");
    let other_session = last.session.identity.to_le_bytes();
    assert_ne!(session, other_session);
    let differs = describe(&decoded(&settled).expect("a task"));
    assert_eq!(describe(&last), differs);
    assert_eq!(describe(&decoded(&encoded(last)).expect("a task")), differs);
    true
}

/// What a task says, as text.
fn describe(task: &ForeignTask) -> String {
    let mut text = format!("{} {}\n{:?}\n{:?}\n", task.method, task.url, task.session.settings, task.cookies);
    for options in [&task.defaults, &task.options] {
        let Options { headers, query, cookies, auth, timeouts, deadline, proxies, certificate, .. } = options;
        let _ = writeln!(text, "{headers:?} {query:?} {cookies:?} {timeouts:?} {deadline:?} {proxies:?}");
        let _ = writeln!(text, "{certificate:?} {:?} {:?}", options.ca_bundle, options.unix_socket);
        let _ = writeln!(text, "{:?} {:?}", options.reach, options.max_body);
        let _ = writeln!(text, "{:?} {:?}", options.resolve, options.stream);
        let _ = writeln!(text, "{:?} {:?} {:?}", options.repeatable, options.verify, options.trust_env);
        let _ = writeln!(text, "{:?} {:?}", options.allow_redirects, options.max_redirects);
        let Options { decode, raise_for_status, output_mode, expect_continue, .. } = options;
        let _ = writeln!(text, "{decode:?} {raise_for_status:?} {output_mode:?} {expect_continue:?}");
        let _ = match auth {
            None => writeln!(text, "no auth"),
            Some(Auth::Nothing) => writeln!(text, "nothing"),
            Some(Auth::Basic(user, password)) => writeln!(text, "basic {user:?} {password:?}"),
            Some(Auth::Digest(user, password)) => writeln!(text, "digest {user:?} {password:?}"),
            Some(Auth::Bearer(token)) => writeln!(text, "bearer {token:?}"),
        };
        let body = options.body.as_ref().map(|body| match body {
            BodySource::Bytes(bytes) => format!("{:?}", bytes.bytes()),
            BodySource::Borrowed(bytes) => format!("{:?}", bytes.bytes()),
            BodySource::File(path) => format!("file {path:?}"),
            BodySource::Json(json) => format!("json {:?}", json.as_str()),
            BodySource::Form(parts) => format!("form {parts:?}"),
            BodySource::Reader { .. } => panic!("a reader is a function"),
        });
        let sink = options.sink.as_ref().map(|sink| match sink {
            Sink::File(path) => path.as_str(),
            Sink::Function(_) => panic!("it is a function"),
            Sink::Descriptor(_) => panic!("it is of another process"),
        });
        let _ = writeln!(text, "{body:?} {sink:?}");
        let names = |hooks: &[Arc<dyn Hook>]| hooks.iter().map(|hook| hook.named()).collect::<Vec<_>>();
        let _ = writeln!(text, "{:?}", names(&options.hooks));
        let _ = writeln!(text, "{:?}", options.background.as_ref().map(|hook| hook.named()));
        for hook in options.request_hooks.iter().flatten() {
            let _ = writeln!(text, "{:?}", hook.named());
        }
        if let Some(custom) = &options.auth_custom {
            let prepare = custom.prepare.as_ref().map(|function| function.named());
            let challenge = custom.challenge.as_ref().map(|function| function.named());
            let _ = writeln!(text, "{prepare:?} {challenge:?} {}", custom.everywhere);
        }
    }
    if let Some(Environment { http_proxy, https_proxy, all_proxy, no_proxy, netrc, .. }) = &task.environment {
        let _ = writeln!(text, "{http_proxy:?} {https_proxy:?} {all_proxy:?} {no_proxy:?} {netrc:?}");
    }
    text
}

// ---- replies ----

/// What follows a reply, where one says that something does.
const FOLLOWING: &[u8] = b"what follows";

fn outcome(message: &[u8]) -> Option<(Outcome, Vec<Cookie>)> {
    let mut reply = Reply::decode(message).ok()?;
    let (mut whole, mut rest): (_, Option<Box<dyn std::io::Read + Send>>) = (None, None);
    match reply.follows() {
        Follows::Nothing => {}
        Follows::Whole => {
            let _ = reply.announced();
            whole = Some(FOLLOWING.to_vec());
        }
        Follows::Rest => rest = Some(Box::new(FOLLOWING)),
    }
    let cookies = reply.take_cookies();
    for cookie in &cookies {
        let texts = [&cookie.name, &cookie.value, &cookie.domain, &cookie.path];
        assert!(!texts.iter().any(|text| text.contains(['\r', '\n', '\0'])), "{cookie:?}");
    }
    Some((reply.outcome(&None, whole, rest, &Arc::new(Control::new())).ok()?, cookies))
}

fn reply(message: &[u8]) -> bool {
    let Some((first, cookies)) = outcome(message) else { return Reply::decode(message).is_ok() };
    let again = encode_reply(TaskName::of(1), &first, cookies.clone(), &None, &LastBody::Inside);
    let (again, carried) = outcome(&again).expect("a reply");
    assert_eq!(cookies, carried);
    // The first one's bodies are read to their end by now.
    let (first, _) = outcome(message).expect("it was one before");
    assert_eq!(show(&first), show(&again));
    true
}

pub(super) fn show(outcome: &Outcome) -> String {
    let mut known = HashMap::new();
    let mut text = String::new();
    match outcome {
        Ok(response) => {
            show_response(response, &mut known, &mut text);
        }
        Err(error) => {
            show_error(error, &mut text);
            if let Some(response) = error.about() {
                show_response(&response, &mut known, &mut text);
            }
        }
    }
    text
}

fn show_error(error: &Error, text: &mut String) {
    let (kind, message) = (error.kind(), error.message().as_str());
    let _ = writeln!(text, "{kind:?} {message:?} {:?} {}", error.url(), error.os_code());
}

/// Each response once, whoever's history mentions it.
fn show_response(response: &Arc<Response>, known: &mut HashMap<*const Response, usize>, text: &mut String) {
    if known.contains_key(&Arc::as_ptr(response)) {
        return;
    }
    known.insert(Arc::as_ptr(response), usize::MAX);
    let history: Vec<usize> = response
        .history()
        .iter()
        .map(|hop| {
            show_response(hop, known, text);
            known[&Arc::as_ptr(hop)]
        })
        .collect();
    let number = known.len();
    known.insert(Arc::as_ptr(response), number);
    let _ = writeln!(text, "{} {:?} {:?}", response.status(), response.head().word(), response.url());
    for (name, value) in response.head().iter() {
        let _ = writeln!(text, "{name:?} {value:?}");
    }
    let _ = writeln!(text, "{:?} {history:?} {:?}", response.elapsed(), response.request_body());
    let _ = writeln!(text, "{:?} {:?}", response.request_raw(), response.encoding());
    let mut body = Vec::new();
    let mut piece = [0; 100];
    let end = loop {
        match response.read(&mut piece) {
            Ok(0) => break None,
            Ok(count) => body.extend_from_slice(&piece[..count]),
            Err(Refusal::State) => break Some("closed".to_owned()),
            Err(Refusal::Failed(error)) => break Some(format!("{:?} {}", error.kind(), error.message())),
        }
    };
    let trailers: Vec<_> = response.trailers().iter().flat_map(|trailers| trailers.iter()).collect();
    let _ = writeln!(text, "{body:?} {end:?} {trailers:?}");
    let _ = (response.content(), response.text(), response.is_redirect());
}

// ---- seeds ----

/// Inputs with all there is in a task and in a reply, for the corpus: `RF_UPDATE_CORPUS=1` writes them there.
pub fn message_seeds() -> Vec<(&'static str, Vec<u8>)> {
    let parts = vec![
        Part::Field { name: "n".into(), value: "v".into() },
        Part::Data {
            name: "d".into(),
            filename: Some("f".into()),
            content_type: None,
            data: [1, 2][..].into(),
        },
        Part::File {
            name: "p".into(),
            path: "rel".into(),
            filename: Some("f".into()),
            content_type: Some("a/b".into()),
        },
    ];
    let reach = Reach {
        tls_versions: Some(TlsVersions { lowest: None, highest: Some(TlsVersion::Tls12) }),
        ca_pem: Some(Some("p".into())),
        key_password: Some(None),
        pinned_keys: Some(Some([[1; 32], [2; 32]].into())),
        server_name: Some(Some("n".into())),
        ip_version: Some(IpVersion::V6),
        local_address: Some(Some("lo".into())),
        keepalive: Some(Some(KeepAlive { idle: 1, interval: None, count: Some(3) })),
        no_proxy: Some(Some("h".into())),
        http: Some(HttpChoice::Http2),
    };
    let rich = Options {
        query: Some(Query::Pairs(vec![("q".into(), Some("v".into())), ("gone".into(), None)])),
        body: Some(BodySource::Form(parts)),
        cookies: vec![("c".into(), "d".into())],
        auth: Some(Auth::Digest("u".into(), "p".into())),
        timeouts: Some(Timeouts { connect: Some(Duration::from_secs(1)), read: None }),
        deadline: Some(Some(Duration::from_secs(60))),
        allow_redirects: Some(true),
        max_redirects: Some(3),
        proxies: vec![("all://h".into(), Some("socks5h://p".into())), ("http".into(), None)],
        ca_bundle: Some(Some("ca.pem".into())),
        certificate: Some(Some(Certificate::Files { cert: "c.pem".into(), key: Some("k.pem".into()) })),
        reach: Some(Arc::new(reach)),
        max_body: Some(1 << 40),
        sink: Some(Sink::File("out".into())),
        output_mode: Some(OutputMode::Append),
        expect_continue: Some(Duration::from_secs(1)),
        decode: Some(false),
        raise_for_status: Some(true),
        hooks: vec![Arc::new(found())],
        request_hooks: Some(vec![Arc::new(found())]),
        background: Some(Arc::new(found())),
        resolve: vec![Resolve { host: "h".into(), port: 80, address: "::1".parse().expect("an address") }],
        retry: Some(Some(Arc::new(Retry::new(2)))),
        ..Options::default()
    };
    let bytes = Options {
        body: Some(BodySource::Bytes(Arc::new(Owned::new(b"sent")))),
        certificate: Some(Some(Certificate::Pem { cert: "c".into(), key: None })),
        ..Options::default()
    };
    let json = Options {
        certificate: Some(Some(Certificate::Pkcs12 { path: "p".into(), password: Some("s".into()) })),
        body: Some(BodySource::Json(SharedText::try_new("{}").expect("memory"))),
        stream: Some(true),
        ..Options::default()
    };
    let file = Options { body: Some(BodySource::File("f".into())), ..Options::default() };
    let settings = AdapterSettings { pool_block: true, max_retries: 1, ..AdapterSettings::default() };
    let cookie = Cookie {
        name: "name".into(),
        value: "value".into(),
        domain: "h".into(),
        path: "/".into(),
        expires_s: -1,
        secure: false,
        http_only: true,
        host_only: true,
    };
    let environment = Environment {
        http_proxy: Some("p:1".into()),
        no_proxy: Some("h".into()),
        netrc: Some("~/n".into()),
        ..Environment::default()
    };
    let task = |options: Option<Options>, environment: Option<Environment>| {
        let jar = Jar::copy_of(vec![cookie.clone()]);
        let shared = Arc::new(Shared::new(jar, Arc::default(), Arc::new(Adapter::new(settings))));
        let defaults = Options { timeouts: None, ..Options::session_defaults() };
        let request = Request {
            owner: Arc::new(Submitter(shared)),
            method: "POST".into(),
            url: "http://h/path?query".into(),
            defaults: Arc::new(if options.is_some() { Options::default() } else { defaults }),
            options: options.map(Arc::new),
            environment: environment.map(Arc::new),
            ends_at: Some(Instant::now() + Duration::from_secs(60)),
            seldom: Seldom { mounts: Some(mounts()), ..Seldom::default() }.boxed(),
        };
        let encoded = encode_task(TaskName::of(1), &request, false);
        input_of(&encoded.unwrap_or_else(|error| panic!("{error}")).message)
    };
    let tls = TlsFacts {
        version: Terminated::new("TLSv1.3"),
        cipher: Terminated::new("TLS_AES_256_GCM_SHA384"),
        certificates: vec![b"certificate".to_vec().into()],
    };
    let address = |port| Some(([127, 0, 0, 1], port).into());
    let seen = Seen {
        peer: Some(Arc::new(Peer::new(address(443), address(1), Some(tls)))),
        version: Some(HttpVersion::Http11),
        attempts: 2,
        reused: true,
    };
    let response = |status: u16, history: Vec<Arc<Response>>, body: Option<&'static [u8]>| {
        let head = format!("HTTP/1.1 {status} Fine\r\nContent-Length: 4\r\nX: \u{fc}\r\n\r\n");
        let response = Response::new(Parts {
            status,
            head: Head::of_response(head.into_bytes()),
            url: "http://h/".into(),
            request_head: b"GET / HTTP/1.1\r\nHost: h\r\n\r\n".to_vec(),
            request_body: Some(Arc::new(Owned::new(b"sent"))),
            elapsed: Duration::from_millis(3),
            seen: seen.clone(),
            spent: Spent::of_parts([Some(1), None, Some(2), None, Some(3), Some(4), Some(5), None, None]),
            history,
            source: body.map(|body| Box::new(body) as _),
            control: None,
        });
        response.set_extra("extra", b"bytes");
        let trailers = Head::of_response("HTTP/1.1 200\r\nX-Trailer: t\r\n");
        response.expect_trailers(Arc::new(OnceLock::from(trailers)));
        response.set_encoding(Some("utf-8"));
        Arc::new(response)
    };
    let reply = |outcome: Outcome, last: &LastBody<'_>| {
        input_of(&encode_reply(TaskName::of(1), &outcome, vec![cookie.clone()], &None, last))
    };
    let first = response(302, Vec::new(), None);
    let second = response(302, vec![first.clone()], None);
    let read = response(200, Vec::new(), Some(b"body"));
    let _ = read.content();
    let partly = response(200, Vec::new(), Some(b"id: 1\r\nretry: 2\r\ndata: one\r\n\r\ntwo"));
    let _ = partly.read_event();
    let error = Error::new(ErrorKind::TooManyRedirects, "too many").at("http://h/").with_os_code(5);
    let error = error.with_response(second.clone());
    vec![
        ("task_plain", task(None, None)),
        ("task_rich", task(Some(rich), Some(environment))),
        ("task_bytes", task(Some(bytes), None)),
        ("task_json", task(Some(json), None)),
        ("task_file", task(Some(file), None)),
        ("reply_history", reply(Ok(response(200, vec![first, second], Some(b"body"))), &LastBody::Inside)),
        ("reply_read", reply(Ok(read), &LastBody::Inside)),
        ("reply_partly", reply(Ok(partly), &LastBody::Inside)),
        ("reply_whole", reply(Ok(response(200, Vec::new(), Some(b"x"))), &LastBody::Whole(b"body"))),
        ("reply_whole_follows", reply(Ok(response(200, Vec::new(), Some(b"x"))), &LastBody::WholeFollows)),
        ("reply_rest_follows", reply(Ok(response(200, Vec::new(), Some(b"x"))), &LastBody::RestFollows)),
        ("reply_error", reply(Err(error), &LastBody::Inside)),
    ]
}
