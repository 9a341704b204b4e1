//! What is answered, refused and limited, and what is wrong with the other side.

mod support;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, RetentionPolicy};
use support::*;

// ---- programs in C ----

fn program() -> &'static Path {
    static PROGRAM: std::sync::OnceLock<std::path::PathBuf> = std::sync::OnceLock::new();
    PROGRAM.get_or_init(|| compiled("program"))
}

/// The program with what it is told by its environment.
fn scenario(broker: &Broker, name: &str) -> Command {
    let mut command = Command::new(program());
    command.arg(name).envs(server().env()).env("NATS_URL", broker.url());
    for (variable, _) in std::env::vars().filter(|(name, _)| name.to_ascii_lowercase().ends_with("_proxy")) {
        command.env_remove(variable);
    }
    command
}

#[track_caller]
fn passes(mut command: Command) {
    let output = command.output().expect("the program");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.is_empty(), "{:?}\n{said}", output.status);
}

#[test]
fn outcomes_are_those_of_a_request_that_is_carried_out_here() {
    let Some(broker) = Broker::start("answers") else { return };
    let _worker = broker.worker(&["--slots", "2"]);
    passes(scenario(&broker, "answers"));
}

#[test]
fn a_session_of_cpp_takes_the_executor() {
    let Some(broker) = Broker::start("cpp") else { return };
    let compiler = std::env::var_os("CXX").unwrap_or_else(|| "c++".into());
    if Command::new(&compiler).arg("--version").output().is_err() {
        println!("skipped: no C++ compiler");
        return;
    }
    let program = compiled_by(compiler.as_ref(), "adopted.cpp", &["-std=c++17"]);
    let _worker = broker.worker(&["--slots", "2"]);
    let mut command = Command::new(program);
    command.args([broker.url(), format!("{}/hello", server().http())]);
    passes(command);
}

#[test]
fn arguments_that_are_none_are_refused() {
    let Some(broker) = Broker::start("arguments") else { return };
    passes(scenario(&broker, "arguments"));
}

#[test]
fn an_abort_frees_the_slot_of_the_worker() {
    let Some(broker) = Broker::start("aborts") else { return };
    let _worker = broker.worker(&["--slots", "1"]);
    passes(scenario(&broker, "aborts"));
}

#[test]
fn an_abort_frees_the_slot_though_everything_is_freed_at_once() {
    let Some(broker) = Broker::start("freed") else { return };
    let _worker = broker.worker(&["--slots", "1"]);
    passes(scenario(&broker, "freed"));
}

#[test]
fn a_child_lets_go_of_what_its_parent_has() {
    let Some(broker) = Broker::start("forked") else { return };
    let _worker = broker.worker(&["--slots", "1"]);
    passes(scenario(&broker, "forked"));
}

#[test]
fn a_server_that_takes_no_piece_of_a_body_is_named() {
    if tools().is_none() {
        return;
    }
    let config = scratch("small-payload").join("nats.conf");
    fs::write(&config, "max_payload: 65536\njetstream: enabled\n").expect("a file");
    let config = config.to_str().expect("UTF-8");
    let Some(broker) = Broker::start_with("small", &["-c", config]) else { return };
    refused(&broker.url(), &[], &["its max_payload is 65536 bytes"]);
    worker_refused(&["--server", &broker.url()], &["its max_payload is 65536 bytes"]);
}

#[test]
fn hooks_run_on_the_worker_unless_it_forbids_them() {
    let Some(broker) = Broker::start("hooks") else { return };
    let library = broker.folder.join("libhooks.so");
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let output = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=c99", "-D_GNU_SOURCE", "-shared", "-fPIC", "-I"])
        .arg(root.join("../../include"))
        .arg(root.join("../../tests/c/hook_library.c"))
        .arg("-o")
        .arg(&library)
        .output()
        .expect("the compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = |name: &str| {
        let mut command = scenario(&broker, name);
        command.env("RF_TEST_HOOK_LIBRARY", &library);
        passes(command);
    };
    let worker = broker.worker(&["--no-hooks", "--no-files"]);
    run("forbidden");
    drop(worker);
    let _worker = broker.worker(&[]);
    run("hooks");
    // It has the library under another name, and the worker has not.
    run("hook_missing");
}

#[test]
fn what_is_over_before_a_worker_comes_costs_it_nothing() {
    let Some(broker) = Broker::start("nobody") else { return };
    let mut command = scenario(&broker, "nobody");
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the program");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("its output")).read_line(&mut line).expect("text");
    assert_eq!(line, "over\n");
    let left = broker.messages();
    assert!(left > 0);
    let worker = broker.worker(&["--slots", "1"]);
    eventually("the stream is empty", || broker.messages() == 0);
    let figures = worker.figures();
    assert_eq!((figures.granted, figures.refused, figures.in_flight), (0, left, 0), "{figures:?}");
    assert_eq!(server().count("nobody"), 0);
    drop(child.stdin.take());
    assert!(child.wait().expect("its end").success());
}

// ---- politeness ----

/// What the server has seen of a host: the most at once, and when each request came, in seconds.
fn seen(key: &str, host: &str) -> (u64, Vec<f64>) {
    let url = format!("{}/turns-of/{key}", server().http());
    let address = url.strip_prefix("http://").and_then(|rest| rest.split('/').next()).expect("an address");
    let mut stream = std::net::TcpStream::connect(address).expect("the server");
    use std::io::{Read, Write};
    write!(stream, "GET /turns-of/{key} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    let (_, of_host) = answer.split_once(&format!("\"{host}\":")).expect("the host");
    let of_host = of_host.split_once('}').expect("its end").0;
    let after = |name: &str| of_host.split_once(&format!("\"{name}\":")).expect("a member").1;
    let peak = after("peak").split([',', '}']).next().expect("a number").parse().expect("a number");
    let arrivals = after("arrivals_ns").trim_start_matches('[').split(']').next().expect("a list");
    let arrivals = arrivals.split(',').map(|ns| ns.trim().parse::<f64>().expect("a number") / 1e9).collect();
    (peak, arrivals)
}

fn of_hosts(key: &str, ms: u64) -> (String, String) {
    let port = server().var("RF_TEST_HTTP_PORT");
    (format!("http://h{{h}}.test:{port}/turns/{key}?ms={ms}"), format!("port={port}"))
}

fn host(number: u64) -> String {
    format!("h{number}.test:{}", server().var("RF_TEST_HTTP_PORT"))
}

#[test]
fn a_worker_asks_so_much_of_a_host_at_once() {
    let Some(broker) = Broker::start("max-per-host") else { return };
    let _worker = broker.worker(&["--slots", "16", "--max-per-host", "2"]);
    let (url, port) = of_hosts("max-per-host", 50);
    let ended = broker.client("GET", &url, 60, &["hosts=3", &port]).end();
    assert_eq!(ended.ok, 60, "{}", ended.said);
    for number in 0..3 {
        let (peak, arrivals) = seen("max-per-host", &host(number));
        assert!(peak <= 2 && arrivals.len() == 20, "{peak} {arrivals:?}");
    }
}

#[test]
fn a_session_has_the_limits_that_it_has_elsewhere() {
    let Some(broker) = Broker::start("limits") else { return };
    let _worker = broker.worker(&["--slots", "16"]);
    let mut command = scenario(&broker, "limits");
    command.env("RF_TEST_KEY", "limits");
    passes(command);
    let (peak, arrivals) = seen("limits", &format!("127.0.0.1:{}", server().var("RF_TEST_HTTP_PORT")));
    assert!(peak <= 2 && arrivals.len() == 20, "{peak} {arrivals:?}");
    // The burst, and then one each 25 ms, as far as the way to the worker takes the same time.
    let took =
        arrivals.iter().copied().fold(0.0, f64::max) - arrivals.iter().copied().fold(f64::MAX, f64::min);
    assert!(took > 0.25, "{took} {arrivals:?}");
}

#[test]
fn a_worker_asks_so_much_of_a_host_in_a_second() {
    let Some(broker) = Broker::start("rate") else { return };
    let _worker = broker.worker(&["--slots", "16", "--rate", "20", "--burst", "3"]);
    let (url, port) = of_hosts("rate", 0);
    let ended = broker.client("GET", &url, 40, &["hosts=2", &port]).end();
    assert_eq!(ended.ok, 40, "{}", ended.said);
    for number in 0..2 {
        let (_, arrivals) = seen("rate", &host(number));
        assert_eq!(arrivals.len(), 20);
        // 17 have to wait, each a 20th of a second, however slow the machine is; a little less where one was late at the start.
        let took = arrivals[19] - arrivals[0];
        assert!(took >= 0.5, "{took} s: {arrivals:?}");
    }
}

#[test]
fn a_host_has_one_worker() {
    let Some(broker) = Broker::start("one-worker") else { return };
    let workers = [broker.worker(&["--slots", "8"]), broker.worker(&[]), broker.worker(&[])];
    let url = format!("{}/delay/0.01?key=one-worker-{{n}}", server().http());
    // They are acquainted when something was done.
    assert_eq!(broker.client("GET", &url, 10, &[]).end().ok, 10);
    // A worker counts a request when it has sent its answer, which the client may have before.
    let done_of_all = |sum: u64| {
        let mut done = [0; 3];
        eventually("all is told", || {
            done = workers.each_ref().map(|worker| worker.figures().done);
            done.iter().sum::<u64>() == sum
        });
        done
    };
    let before = done_of_all(10);
    assert_eq!(broker.client("GET", &url, 100, &[]).end().ok, 100);
    let mut all = done_of_all(110);
    all.iter_mut().zip(before).for_each(|(all, before)| *all -= before);
    all.sort_unstable();
    assert_eq!(all, [0, 0, 100]);
    // Many hosts have all.
    let (url, port) = of_hosts("one-worker", 0);
    assert_eq!(broker.client("GET", &url, 200, &["hosts=50", &port]).end().ok, 200);
    let after = done_of_all(310);
    assert!(after.iter().zip(before).all(|(after, before)| *after > before), "{after:?}");
}

#[test]
fn figures_are_said_when_they_are_asked_for() {
    let Some(broker) = Broker::start("figures") else { return };
    let worker = broker.worker(&["--slots", "3"]);
    let ended = broker.client("GET", &format!("{}/bytes/1000?seed={{n}}", server().http()), 7, &[]).end();
    assert_eq!(ended.ok, 7);
    eventually("all is told", || worker.figures().done == 7);
    let figures = worker.figures();
    assert_eq!((figures.in_flight, figures.failed, figures.granted, figures.refused), (0, 0, 7, 0));
    assert!(figures.bytes >= 7 * 1000, "{figures:?}");
}

// ---- what is wrong ----

/// What a client says that cannot begin, within the time-out to connect.
#[track_caller]
fn refused(servers: &str, more: &[&str], named: &[&str]) {
    let begun = Instant::now();
    let (status, said) =
        Run::start(servers, "GET", "http://h/", 1, &[&["timeout=5000"], more].concat()).result();
    assert_eq!(status, Some(3), "{said}");
    assert!(named.iter().all(|part| said.contains(part)), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

/// The same of a worker.
#[track_caller]
fn worker_refused(arguments: &[&str], named: &[&str]) {
    let output = Worker::command(arguments).output().expect("the worker");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(named.iter().all(|part| said.contains(part)), "{said}");
}

#[test]
fn where_nobody_listens_the_error_names_it() {
    if tools().is_none() {
        return;
    }
    let url = format!("nats://user:secret@127.0.0.1:{}", free_port());
    let shown = url.replace("user:secret@", "");
    let named = ["The NATS server", &shown, "cannot be used"];
    refused(&url, &[], &named);
    worker_refused(&["--server", &url], &named);
}

#[test]
fn a_server_without_jetstream_is_named() {
    let Some(broker) = Broker::start_with("no-jetstream", &[]) else { return };
    refused(&broker.url(), &[], &["The stream rf_tasks cannot be used"]);
    worker_refused(&["--server", &broker.url()], &["The stream rf_tasks cannot be used"]);
}

#[test]
fn wrong_credentials_are_named() {
    let Some(broker) = Broker::start_with("credentials", &["-js", "--user", "u", "--pass", "p"]) else {
        return;
    };
    let wrong = format!("nats://u:wrong@127.0.0.1:{}", broker.port);
    for url in [&broker.url(), &wrong] {
        refused(url, &[], &["authorization violation"]);
        worker_refused(&["--server", url], &["authorization violation"]);
    }
    refused(
        &broker.url(),
        &["credentials=/nowhere/at/all"],
        &["The credentials file /nowhere/at/all cannot be read"],
    );
    worker_refused(
        &["--credentials", "/nowhere/at/all"],
        &["The credentials file /nowhere/at/all cannot be read"],
    );
    refused(&broker.url(), &["ca=/nowhere/at/all"], &["The file /nowhere/at/all cannot be read"]);
    refused(&broker.url(), &["ca=/dev/null"], &["The file /dev/null has no certificate (PEM)"]);
    let right = format!("nats://u:p@127.0.0.1:{}", broker.port);
    let _worker = Worker::start(&["--server", &right]);
    let url = format!("{}/hello", server().http());
    assert_eq!(Run::start(&right, "GET", &url, 3, &[]).end().ok, 3);
}

fn with_stream(broker: &Broker, description: &str, retention: RetentionPolicy) {
    let config = Config {
        name: "rf_tasks".into(),
        description: Some(description.into()),
        subjects: vec!["rf.1.task.>".into()],
        retention,
        ..Config::default()
    };
    broker.with(async |context| {
        let _ = context.delete_stream("rf_tasks").await;
        context.create_stream(config).await.expect("a stream");
    });
}

#[test]
fn a_stream_with_other_settings_is_named() {
    let Some(broker) = Broker::start("settings") else { return };
    let usual = "requests-futures: protocol 1, partitions 16, lease 5000 ms";
    let other = usual.replace("protocol 1", "protocol 2");
    with_stream(&broker, &other, RetentionPolicy::WorkQueue);
    let named = ["rf_tasks", "version 2 of the protocol", "version 1"];
    refused(&broker.url(), &[], &named);
    worker_refused(&["--server", &broker.url()], &named);
    with_stream(&broker, "mine", RetentionPolicy::WorkQueue);
    refused(&broker.url(), &[], &["rf_tasks", "other settings", "mine"]);
    with_stream(&broker, usual, RetentionPolicy::Limits);
    refused(&broker.url(), &[], &["rf_tasks", "other settings", "retention"]);
    worker_refused(&["--server", &broker.url()], &["rf_tasks", "other settings", "retention"]);
    with_stream(&broker, usual, RetentionPolicy::WorkQueue);
    refused(&broker.url(), &["lease=1000"], &["rf_tasks", "its lease is 5000 ms, not 1000 ms"]);
    refused(&broker.url(), &["partitions=4"], &["rf_tasks", "it has 16 partitions"]);
    worker_refused(&["--server", &broker.url(), "--partitions", "4"], &["rf_tasks", "it has 16 partitions"]);
    // What it says is what counts where nothing else was asked for.
    with_stream(&broker, &usual.replace("16", "3"), RetentionPolicy::WorkQueue);
    let _worker = broker.worker(&[]);
    assert_eq!(broker.client("GET", &format!("{}/hello", server().http()), 3, &[]).end().ok, 3);
}

#[test]
fn options_that_are_none_are_named() {
    if tools().is_none() {
        return;
    }
    worker_refused(&["--nonsense"], &["--nonsense", "--help"]);
    let help = Worker::command(&["--help"]).output().expect("the worker");
    assert!(help.status.success());
    let said = String::from_utf8_lossy(&help.stdout);
    for option in ["--slots", "--queue", "--max-per-host", "--rate", "--no-hooks", "--no-files"] {
        assert!(said.contains(option), "{said}");
    }
}

/// A message that is no task is taken out, and those behind it are carried out.
#[test]
fn what_is_no_task_is_taken_out_of_the_stream() {
    let Some(broker) = Broker::start("no-task") else { return };
    let worker = broker.worker(&["--partitions", "1"]);
    broker.with(async |context| {
        for payload in ["nonsense", ""] {
            let stored = context.publish("rf.1.task.0.somebody.1", payload.into()).await.expect("sent");
            stored.await.expect("stored");
        }
    });
    assert_eq!(broker.client("GET", &format!("{}/hello", server().http()), 3, &[]).end().ok, 3);
    eventually("the stream is empty", || broker.messages() == 0);
    let said = || worker.said().iter().filter(|line| line.contains("is no task")).count();
    eventually("it has said so", || said() >= 2);
}

// ---- the crate ----

#[test]
fn there_is_one_copy_of_the_library() {
    let Some(tools) = tools() else { return };
    let library = tools.libraries.join("librequests_futures_nats.so");
    let worker = env!("CARGO_BIN_EXE_requests-futures-nats-worker");
    let list = |path: &Path, which: &str| {
        let output = Command::new("nm").args(["-D", which]).arg(path).output();
        output.map(|output| {
            let listed = String::from_utf8_lossy(&output.stdout).into_owned();
            let names = listed.lines().filter_map(|line| line.split_whitespace().last());
            names.filter(|name| name.starts_with("rf_")).map(str::to_owned).collect::<Vec<_>>()
        })
    };
    let Ok(defined) = list(&library, "--defined-only") else {
        println!("skipped: no nm");
        return;
    };
    assert!(defined.len() > 10, "{defined:?}");
    assert!(defined.iter().all(|name| name.starts_with("rf_nats_")), "{defined:?}");
    let needed = list(&library, "--undefined-only").expect("nm");
    assert!(
        needed.contains(&"rf_task_start".to_owned()) && needed.contains(&"rf_executor_new_custom".to_owned())
    );
    assert_eq!(list(Path::new(worker), "--defined-only").expect("nm"), [""; 0]);
    assert!(
        list(Path::new(worker), "--undefined-only").expect("nm").contains(&"rf_task_execute_to".to_owned())
    );
}

#[test]
fn the_header_is_the_generated_one() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/requests_futures_nats.h");
    let header = fs::read_to_string(header).expect("the header");
    let generated = fs::read_to_string(env!("RF_GENERATED_HEADER")).expect("the generated one");
    assert!(header == generated, "RF_UPDATE_HEADER=1 cargo build --workspace writes it anew");
}
