//! What is lost when something is lost: a worker, the broker, the client. Each test counts at the server that was asked.
//!
//! It needs Debian's nats-server (or what `RF_NATS_SERVER` names) and a C compiler, and the shared library of
//! requests-futures, which `cargo test --workspace` builds.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use local_server::LocalServer;

const LEASE_MS: u64 = 2000;
const SLOTS: u64 = 8;

fn server() -> &'static LocalServer {
    static SERVER: OnceLock<LocalServer> = OnceLock::new();
    SERVER.get_or_init(|| LocalServer::start().expect("a local server"))
}

/// The program, its libraries, and the broker: None, and a word on it, where something is missing.
struct Tools {
    broker: PathBuf,
    libraries: PathBuf,
    client: PathBuf,
}

fn tools() -> Option<&'static Tools> {
    static TOOLS: OnceLock<Result<Tools, String>> = OnceLock::new();
    match TOOLS.get_or_init(find_tools) {
        Ok(tools) => Some(tools),
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

fn runs(program: &Path) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}

fn find_tools() -> Result<Tools, String> {
    let broker = env::var_os("RF_NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from);
    if !runs(&broker) {
        return Err("no nats-server (Debian's package nats-server)".into());
    }
    let compiler = env::var_os("CC").map_or_else(|| "cc".into(), PathBuf::from);
    if !runs(&compiler) {
        return Err("no C compiler".into());
    }
    let test = env::current_exe().map_err(|error| error.to_string())?;
    let deps = test.parent().ok_or("no folder")?;
    let profile = deps.parent().ok_or("no folder")?;
    let find = |name: &str| {
        let given = env::var_os("RF_LIBRARY").map(PathBuf::from).filter(|path| path.ends_with(name));
        given
            .into_iter()
            .chain([deps.join(name), profile.join(name)])
            .find(|path| path.exists())
            .ok_or(format!("no {name}: `cargo build --workspace` makes it"))
    };
    let libraries = scratch("lib");
    for name in ["librequests_futures.so", "librequests_futures_nats.so"] {
        let library = find(name)?;
        for link in [name.to_owned(), format!("{name}.0")] {
            let link = libraries.join(link);
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&library, &link).map_err(|error| error.to_string())?;
        }
    }
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let client = libraries.join("client");
    let output = Command::new(&compiler)
        .args(["-std=c99", "-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D_GNU_SOURCE"])
        .arg("-I")
        .arg(here.join("../../include"))
        .arg(here.join("tests/client.c"))
        .arg("-L")
        .arg(&libraries)
        .args(["-lrequests_futures_nats", "-lrequests_futures", "-o"])
        .arg(&client)
        .arg(format!("-Wl,-rpath,{}", libraries.display()))
        .output()
        .map_err(|error| error.to_string())?;
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Tools { broker, libraries, client })
}

fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nats-{}-{name}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A process that ends with the test.
struct Process(Child);

impl Process {
    fn signal(&self, signal: i32) {
        // SAFETY: the process is a child of ours that nobody has waited for.
        unsafe { libc::kill(self.0.id() as i32, signal) };
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Broker {
    tools: &'static Tools,
    port: u16,
    store: PathBuf,
    process: Option<Process>,
}

impl Broker {
    fn start(name: &str) -> Option<Broker> {
        let tools = tools()?;
        let port = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
        let mut broker = Broker { tools, port, store: scratch(name), process: None };
        broker.begin();
        Some(broker)
    }

    fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    fn begin(&mut self) {
        let mut command = Command::new(&self.tools.broker);
        command.args(["-a", "127.0.0.1", "-p", &self.port.to_string(), "-js", "-sd"]).arg(&self.store);
        let log = fs::File::create(self.store.join("log")).expect("a log");
        command.stderr(log).stdout(Stdio::null());
        self.process = Some(Process(command.spawn().expect("the broker")));
        let until = Instant::now() + Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            assert!(Instant::now() < until, "the broker does not listen");
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn kill(&mut self) {
        self.process = None;
    }

    fn worker(&self, more: &[&str]) -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requests-futures-nats-worker"));
        command.env("LD_LIBRARY_PATH", &self.tools.libraries);
        command.args(["--server", &self.url(), "--slots", &SLOTS.to_string()]);
        command.args(["--lease-ms", &LEASE_MS.to_string()]).args(more);
        let mut worker = command.stderr(Stdio::piped()).spawn().expect("a worker");
        let mut lines = BufReader::new(worker.stderr.take().expect("its output")).lines();
        let first = lines.next().expect("a line").expect("text");
        assert!(first.ends_with("ready"), "{first}");
        thread::spawn(move || lines.for_each(drop));
        Process(worker)
    }

    fn client(&self, method: &str, url: &str, count: u64) -> Run {
        let mut command = Command::new(&self.tools.client);
        command.args([&self.url(), "rf", method, url, &count.to_string(), &LEASE_MS.to_string()]);
        let mut client = command.stdout(Stdio::piped()).spawn().expect("the client");
        let output = BufReader::new(client.stdout.take().expect("its output"));
        Run { process: Process(client), output }
    }
}

struct Run {
    process: Process,
    output: BufReader<std::process::ChildStdout>,
}

#[derive(Debug)]
struct Ended {
    ok: u64,
    broken: u64,
    other: u64,
    bytes: u64,
}

impl Run {
    fn end(mut self) -> Ended {
        let mut output = String::new();
        self.output.read_to_string(&mut output).expect("text");
        assert!(self.process.0.wait().expect("its end").success(), "{output}");
        let last = output.lines().last().expect("a line");
        let numbers: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [ok, broken, other, bytes] = numbers[..] else { panic!("{output}") };
        Ended { ok, broken, other, bytes }
    }
}

/// How often each of these was asked for, as the server has counted.
fn counts(key: &str, count: u64) -> Vec<u64> {
    (0..count).map(|number| server().count(&format!("{key}-{number}"))).collect()
}

fn asked(key: &str, count: u64) -> u64 {
    counts(key, count).iter().sum()
}

fn url(key: &str) -> String {
    format!("{}/delay/0.05?key={key}-", server().http())
}

/// Waits until so many of these were asked for.
fn after(key: &str, count: u64, so_many: u64) {
    let until = Instant::now() + Duration::from_secs(60);
    while asked(key, count) < so_many {
        assert!(Instant::now() < until, "{} of {so_many} were asked for", asked(key, count));
        thread::sleep(Duration::from_millis(10));
    }
}

fn twice(counts: &[u64]) -> u64 {
    counts.iter().filter(|count| **count > 1).count() as u64
}

/// Runs so many requests, does something to the worker or the broker in the middle, and says what has come of it.
fn lose(key: &str, method: &str, count: u64, happens: impl FnOnce(&mut Broker, &Process)) -> Option<(Ended, Vec<u64>)> {
    let mut broker = Broker::start(key)?;
    let (first, _second) = (broker.worker(&[]), broker.worker(&[]));
    let client = broker.client(method, &url(key), count);
    after(key, count, count / 4);
    happens(&mut broker, &first);
    let ended = client.end();
    Some((ended, counts(key, count)))
}

#[test]
fn a_worker_is_killed_and_all_gets_are_answered() {
    let killed = |_: &mut Broker, worker: &Process| worker.signal(libc::SIGKILL);
    let Some((ended, counts)) = lose("killed-get", "GET", 400, killed) else { return };
    assert_eq!((ended.ok, ended.broken, ended.other), (400, 0, 0));
    assert!(counts.iter().all(|count| (1..=2).contains(count)));
    assert!(twice(&counts) <= SLOTS, "{} twice", twice(&counts));
}

#[test]
fn a_worker_is_killed_and_no_post_is_carried_out_twice() {
    let killed = |_: &mut Broker, worker: &Process| worker.signal(libc::SIGKILL);
    let Some((ended, counts)) = lose("killed-post", "POST", 400, killed) else { return };
    assert_eq!((ended.ok + ended.broken, ended.other), (400, 0));
    assert!(ended.broken <= SLOTS, "{ended:?}");
    assert_eq!(twice(&counts), 0);
    // What was not broken was carried out.
    assert!(counts.iter().sum::<u64>() >= ended.ok);
}

fn broker_killed(broker: &mut Broker, _: &Process) {
    broker.kill();
    thread::sleep(Duration::from_secs(1));
    broker.begin();
}

#[test]
fn the_broker_is_killed_and_comes_back_and_all_gets_are_answered() {
    let Some((ended, counts)) = lose("broker-get", "GET", 400, broker_killed) else { return };
    assert_eq!((ended.ok, ended.broken, ended.other), (400, 0, 0));
    assert!(counts.iter().all(|count| *count >= 1));
}

#[test]
fn the_broker_is_killed_and_comes_back_and_no_post_is_carried_out_twice() {
    let Some((ended, counts)) = lose("broker-post", "POST", 400, broker_killed) else { return };
    assert_eq!((ended.ok + ended.broken, ended.other), (400, 0));
    assert_eq!(twice(&counts), 0);
}

#[test]
fn a_worker_that_was_stopped_and_goes_on_changes_nothing() {
    let stopped = |_: &mut Broker, worker: &Process| {
        worker.signal(libc::SIGSTOP);
        thread::sleep(Duration::from_millis(2 * LEASE_MS));
        worker.signal(libc::SIGCONT);
    };
    let Some((ended, counts)) = lose("stopped-post", "POST", 400, stopped) else { return };
    assert_eq!((ended.ok + ended.broken, ended.other), (400, 0));
    assert!(ended.broken <= SLOTS, "{ended:?}");
    assert_eq!(twice(&counts), 0);
}

#[test]
fn nothing_new_starts_for_a_client_that_is_gone_and_its_tasks_leave_the_stream() {
    let (key, count) = ("client-gone", 1000);
    let Some(broker) = Broker::start(key) else { return };
    let worker = broker.worker(&[]);
    let client = broker.client("GET", &url(key), count);
    after(key, count, 50);
    client.process.signal(libc::SIGKILL);
    drop(client);
    // What was running ends.
    thread::sleep(Duration::from_secs(2));
    let then = asked(key, count);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(asked(key, count), then);
    assert!(then < count);
    // One that comes now is served at once, and behind it the stream is empty within a minute.
    let ended = broker.client("GET", &url("client-next"), 20).end();
    assert_eq!(ended.ok, 20);
    let until = Instant::now() + Duration::from_secs(60);
    while messages(&broker) > 0 {
        assert!(Instant::now() < until, "{} messages are left", messages(&broker));
        thread::sleep(Duration::from_millis(500));
    }
    drop(worker);
}

/// How many messages the stream has.
fn messages(broker: &Broker) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let client = async_nats::connect(broker.url()).await.expect("a connection");
        let context = async_nats::jetstream::new(client);
        let mut stream = context.get_stream("rf_1_tasks").await.expect("the stream");
        stream.info().await.expect("its state").state.messages
    })
}

#[test]
fn a_worker_that_is_to_end_finishes_what_it_runs() {
    let (key, count) = ("drained", 200);
    let Some(broker) = Broker::start(key) else { return };
    let (mut first, _second) = (broker.worker(&[]), broker.worker(&[]));
    let client = broker.client("POST", &url(key), count);
    after(key, count, 50);
    first.signal(libc::SIGTERM);
    assert!(first.0.wait().expect("its end").success());
    let ended = client.end();
    assert_eq!((ended.ok, ended.broken, ended.other), (200, 0, 0));
    assert!(counts(key, count).iter().all(|count| *count == 1));
}

#[test]
fn long_bodies_go_in_pieces() {
    let Some(broker) = Broker::start("long") else { return };
    let _worker = broker.worker(&["--no-hooks", "--no-files"]);
    let length = 3_000_000;
    let ended = broker.client("GET", &format!("{}/bytes/{length}?seed=", server().http()), 4).end();
    assert_eq!((ended.ok, ended.bytes), (4, 4 * length));
}

#[test]
fn where_nobody_listens_the_error_names_it() {
    let Some(tools) = tools() else { return };
    let free = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port();
    let url = format!("nats://127.0.0.1:{free}");
    let begun = Instant::now();
    let output = Command::new(&tools.client).args([&url, "rf", "GET", "http://h/", "1", "2000"]).output().expect("run");
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains(&url) && said.contains("cannot be reached"), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(30));
}

#[test]
fn there_is_one_copy_of_the_library() {
    let Some(tools) = tools() else { return };
    let library = tools.libraries.join("librequests_futures_nats.so");
    let Ok(output) = Command::new("nm").args(["-D", "--defined-only"]).arg(&library).output() else {
        println!("skipped: no nm");
        return;
    };
    let listed = String::from_utf8_lossy(&output.stdout);
    let names: Vec<&str> = listed.lines().filter_map(|line| line.split(' ').nth(2)).collect();
    let own: Vec<&&str> = names.iter().filter(|name| name.starts_with("rf_")).collect();
    assert!(own.len() > 10, "{listed}");
    assert!(own.iter().all(|name| name.starts_with("rf_nats_")), "{own:?}");
}

#[test]
fn the_header_is_the_generated_one() {
    let header = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/requests_futures_nats.h");
    let header = fs::read_to_string(header).expect("the header");
    let generated = fs::read_to_string(env!("RF_GENERATED_HEADER")).expect("the generated one");
    assert!(header == generated, "RF_UPDATE_HEADER=1 cargo build --workspace writes it anew");
}
