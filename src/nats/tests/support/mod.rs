//! What the tests of NATS share: the local server, brokers, workers, and programs in C.
//!
//! They need Debian's nats-server (or what `RF_NATS_SERVER` names) and a C compiler.

#![allow(dead_code, reason = "not each test uses all of it")]

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use local_server::LocalServer;

/// How long anything that must happen may take.
pub const LONG: Duration = Duration::from_secs(120);

pub fn server() -> &'static LocalServer {
    static SERVER: OnceLock<LocalServer> = OnceLock::new();
    SERVER.get_or_init(|| LocalServer::start().expect("a local server"))
}

/// How many requests a test of losses makes.
pub fn requests() -> u64 {
    env::var("RF_NATS_REQUESTS").map_or(400, |number| number.parse().expect("a number"))
}

pub struct Tools {
    pub broker: PathBuf,
    /// The libraries under all their names.
    pub libraries: PathBuf,
}

/// None, and a line that says what is missing.
pub fn tools() -> Option<&'static Tools> {
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

fn compiler() -> PathBuf {
    env::var_os("CC").map_or_else(|| "cc".into(), PathBuf::from)
}

fn find_tools() -> Result<Tools, String> {
    let broker = env::var_os("RF_NATS_SERVER").map_or_else(|| "nats-server".into(), PathBuf::from);
    if !runs(&broker) {
        return Err("no nats-server (Debian's package nats-server)".into());
    }
    if !runs(&compiler()) {
        return Err("no C compiler".into());
    }
    let test = env::current_exe().map_err(|error| error.to_string())?;
    let deps = test.parent().ok_or("no folder")?;
    let profile = deps.parent().ok_or("no folder")?;
    let libraries = scratch("lib");
    for name in ["librequests_futures.so", "librequests_futures_nats.so"] {
        let library = [deps.join(name), profile.join(name)].into_iter().find(|path| path.exists());
        let library = library.ok_or(format!("no {name}, which cargo makes with this test"))?;
        for link in [name.to_owned(), format!("{name}.0")] {
            symlink(&library, libraries.join(link)).map_err(|error| error.to_string())?;
        }
    }
    Ok(Tools { broker, libraries })
}

/// A folder of this process, empty.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("nats-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// A program of this folder in C, compiled.
pub fn compiled(name: &str) -> PathBuf {
    compiled_by(&compiler(), &format!("{name}.c"), &["-std=c99"])
}

/// The same by this compiler, which is told these things as well.
pub fn compiled_by(compiler: &Path, source: &str, more: &[&str]) -> PathBuf {
    let libraries = &tools().expect("it was asked for before").libraries;
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = root.join("tests").join(source);
    let program = libraries.join(source.file_stem().expect("a name"));
    let output = Command::new(compiler)
        .args(more)
        .args(["-O1", "-g", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D_GNU_SOURCE", "-pthread", "-I"])
        .arg(root.join("../../include"))
        .arg("-I")
        .arg(root.join("../../tests/c"))
        .arg(&source)
        .arg("-L")
        .arg(libraries)
        .args(["-lrequests_futures_nats", "-lrequests_futures", "-ldl", "-o"])
        .arg(&program)
        .arg(format!("-Wl,-rpath,{}", libraries.display()))
        .output()
        .expect("the compiler");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    program
}

pub fn client() -> &'static Path {
    static CLIENT: OnceLock<PathBuf> = OnceLock::new();
    CLIENT.get_or_init(|| compiled("client"))
}

/// A process that ends with the test.
pub struct Process(pub Child);

impl Process {
    pub fn signal(&self, signal: i32) {
        // SAFETY: the process is a child of ours that nobody has waited for.
        unsafe { libc::kill(self.0.id() as i32, signal) };
    }

    /// Waits until it has ended.
    pub fn ends(&mut self) -> std::process::ExitStatus {
        let until = Instant::now() + LONG;
        loop {
            if let Some(status) = self.0.try_wait().expect("its end") {
                return status;
            }
            assert!(Instant::now() < until, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr()).expect("a port").port()
}

/// Waits until it holds.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let until = Instant::now() + LONG;
    while !holds() {
        assert!(Instant::now() < until, "still not after {LONG:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

pub struct Broker {
    pub port: u16,
    pub folder: PathBuf,
    arguments: Vec<String>,
    process: Option<Process>,
}

impl Broker {
    /// With JetStream, and no more.
    pub fn start(name: &str) -> Option<Broker> {
        Broker::start_with(name, &["-js"])
    }

    pub fn start_with(name: &str, arguments: &[&str]) -> Option<Broker> {
        tools()?;
        let (port, folder) = (free_port(), scratch(name));
        let port_text = port.to_string();
        let store = folder.join("store");
        let common = ["-a", "127.0.0.1", "-p", &port_text, "-sd", store.to_str().expect("UTF-8")];
        let arguments = common.iter().chain(arguments).map(|argument| (*argument).to_owned()).collect();
        let mut broker = Broker { port, folder, arguments, process: None };
        broker.begin();
        Some(broker)
    }

    pub fn url(&self) -> String {
        format!("nats://127.0.0.1:{}", self.port)
    }

    pub fn begin(&mut self) {
        let log = fs::File::create(self.folder.join("log")).expect("a log");
        let mut command = Command::new(&tools().expect("they are there").broker);
        command.args(&self.arguments).stderr(log).stdout(Stdio::null());
        self.process = Some(Process(command.spawn().expect("the broker")));
        let port = self.port;
        eventually("the broker listens", || TcpStream::connect(("127.0.0.1", port)).is_ok());
    }

    pub fn kill(&mut self) {
        self.process = None;
    }

    pub fn signal(&self, signal: i32) {
        self.process.as_ref().expect("it runs").signal(signal);
    }

    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    pub fn worker(&self, more: &[&str]) -> Worker {
        Worker::start(&[&["--server", &self.url()][..], more].concat())
    }

    pub fn client(&self, method: &str, url: &str, count: u64, more: &[&str]) -> Run {
        Run::start(&self.url(), method, url, count, more)
    }

    /// Does something with a connection of its own.
    pub fn with<T>(&self, act: impl AsyncFnOnce(async_nats::jetstream::Context) -> T) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let url = self.url();
        runtime.block_on(async {
            let client = async_nats::connect(url).await.expect("a connection");
            act(async_nats::jetstream::new(client)).await
        })
    }

    /// How many messages the stream has.
    pub fn messages(&self) -> u64 {
        self.with(async |context| {
            let mut stream = context.get_stream("rf_tasks").await.expect("the stream");
            stream.info().await.expect("its state").state.messages
        })
    }
}

/// A worker, and what it says.
pub struct Worker {
    pub process: Process,
    said: Arc<Mutex<Vec<String>>>,
}

impl Worker {
    pub fn command(arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_requests-futures-nats-worker"));
        command.env("LD_LIBRARY_PATH", &tools().expect("they are there").libraries).args(arguments);
        command
    }

    pub fn start(arguments: &[&str]) -> Worker {
        let mut worker = Worker::command(arguments).stderr(Stdio::piped()).spawn().expect("a worker");
        let mut lines = BufReader::new(worker.stderr.take().expect("its output")).lines();
        let first = lines.next().expect("a line").expect("text");
        assert!(first.ends_with("ready"), "{first}");
        let said = Arc::new(Mutex::new(Vec::new()));
        let keep = said.clone();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                keep.lock().expect("no panic").push(line);
            }
        });
        Worker { process: Process(worker), said }
    }

    pub fn said(&self) -> Vec<String> {
        self.said.lock().expect("no panic").clone()
    }

    /// What it says of itself when it is asked.
    pub fn figures(&self) -> Figures {
        let before = self.said().len();
        self.process.signal(libc::SIGUSR1);
        eventually("a line of figures", || {
            self.said()[before..].iter().any(|line| line.starts_with("in flight"))
        });
        let said = self.said();
        let line = said[before..].iter().find(|line| line.starts_with("in flight")).expect("a line");
        let numbers: Vec<u64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
        let [in_flight, done, failed, granted, refused, bytes] = numbers[..] else { panic!("{line}") };
        Figures { in_flight, done, failed, granted, refused, bytes }
    }
}

#[derive(Debug)]
pub struct Figures {
    pub in_flight: u64,
    pub done: u64,
    pub failed: u64,
    pub granted: u64,
    pub refused: u64,
    pub bytes: u64,
}

/// A run of the client.
pub struct Run {
    pub process: Process,
    output: BufReader<ChildStdout>,
}

#[derive(Debug)]
pub struct Ended {
    pub ok: u64,
    pub broken: u64,
    pub other: u64,
    pub bytes: u64,
    pub took: Duration,
    pub said: String,
}

impl Run {
    pub fn start(servers: &str, method: &str, url: &str, count: u64, more: &[&str]) -> Run {
        let mut command = Command::new(client());
        command.args([servers, method, url, &count.to_string()]).args(more);
        let mut child = command.stdout(Stdio::piped()).spawn().expect("the client");
        let output = BufReader::new(child.stdout.take().expect("its output"));
        Run { process: Process(child), output }
    }

    /// Waits until it has submitted what it may.
    pub fn submitted(&mut self) {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("text");
        assert_eq!(line, "submitted\n");
    }

    /// Its exit status, and what it has said.
    pub fn result(mut self) -> (Option<i32>, String) {
        let mut said = String::new();
        self.output.read_to_string(&mut said).expect("text");
        (self.process.ends().code(), said)
    }

    /// Waits until so many of these were asked for.
    #[track_caller]
    pub fn after(&mut self, key: &str, count: u64, so_many: u64) {
        eventually(&format!("{so_many} of {key} were asked for"), || {
            if self.process.0.try_wait().expect("its state").is_some_and(|status| !status.success()) {
                let mut said = String::new();
                self.output.read_to_string(&mut said).expect("text");
                panic!("the client has ended: {said}");
            }
            asked(key, count) >= so_many
        });
    }

    pub fn end(self) -> Ended {
        let (status, said) = self.result();
        assert_eq!(status, Some(0), "{said}");
        let last = said.lines().last().expect("a line");
        let numbers: Vec<u64> = last.split(' ').filter_map(|word| word.parse().ok()).collect();
        let [ok, broken, other, bytes, us] = numbers[..] else { panic!("{said}") };
        Ended { ok, broken, other, bytes, took: Duration::from_micros(us), said }
    }
}

/// How often each of these was asked for, as the server has counted.
pub fn counts(key: &str, count: u64) -> Vec<u64> {
    (0..count).map(|number| server().count(&format!("{key}-{number}"))).collect()
}

pub fn asked(key: &str, count: u64) -> u64 {
    counts(key, count).iter().sum()
}

pub fn twice(counts: &[u64]) -> u64 {
    counts.iter().filter(|count| **count > 1).count() as u64
}

/// The URL of requests that take a moment, and are counted by their numbers.
pub fn counted(key: &str) -> String {
    format!("{}/delay/0.05?key={key}-{{n}}", server().http())
}
