//! The C programs of tests/c: each is compiled with the system's compiler against the header and the shared library
//! that cargo built for this test profile, and run against one local server. A program exits with
//! 0, and prints nothing but what it measured.
//!
//! `CC`, `CXX`, `CFLAGS`, `CXXFLAGS` and `LDFLAGS` choose compilers and flags. With `RF_VALGRIND=1` every program runs
//! under valgrind, and a leak or an invalid access fails it. `RF_SANITIZER=thread` or `address` compiles the programs
//! for that sanitizer; `RF_LIBRARY` then names the library that was, and `LDFLAGS` links the one runtime of both.
//!
//! For another kind of machine `RF_CC` and `RF_CXX` name the compilers in the place of `CC` and `CXX`, which cargo obeys as
//! well, `RF_LIBRARY` the library, and `RF_RUNNER` what runs a program: an emulator, with its arguments.

use std::collections::BTreeMap;
use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use local_server::LocalServer;

/// One test for each program, named like it.
macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        const PROGRAMS: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            // ThreadSanitizer does not know of fibers.
            if stringify!($name).starts_with("event_loop") && sanitizer().as_deref() == Some("thread") {
                return;
            }
            run(stringify!($name), &compiled(stringify!($name)));
        })*
    };
}

/// The same programs once more, with an event loop in the place of each session's own pool of threads.
macro_rules! programs_on_events {
    ($($name:ident),* $(,)?) => {
        mod on_events {
            $(#[test]
            fn $name() {
                super::run_on_events(stringify!($name));
            })*
        }
    };
}

programs! {
    abort,
    adapters,
    adapters_ending,
    adapters_sending,
    auth,
    calling_back,
    closing,
    cookie_files,
    cookies,
    custom_executor,
    decoding,
    descriptor,
    dialing,
    dns_cache,
    edges,
    ends,
    endurance,
    errors,
    event_loop,
    event_loop_inside,
    event_loop_kinds,
    events,
    every_option,
    executor,
    faults,
    forked,
    forked_busy,
    forked_slowly,
    framing,
    futures,
    hooks,
    idle_timeout,
    json,
    long_list,
    made,
    memory,
    messages,
    mounts,
    null_arguments,
    null_arguments_tasks,
    options_bodies,
    output_file,
    outputs,
    part_readers,
    pool,
    prepared,
    priorities,
    processes,
    processes_ending,
    processes_failing,
    proxies,
    queue,
    raising,
    rates,
    raw_bodies,
    real_proxies,
    redirects,
    responses,
    retries,
    session,
    speeds,
    streaming,
    stress,
    task_bytes,
    timeouts,
    tls,
    tls_options,
    trailers,
    turns,
    unix_resolve,
    urls,
    wait,
    waiting,
}

programs_on_events! {
    abort,
    adapters,
    adapters_ending,
    adapters_sending,
    auth,
    calling_back,
    closing,
    cookies,
    decoding,
    descriptor,
    dialing,
    dns_cache,
    edges,
    ends,
    endurance,
    errors,
    events,
    every_option,
    executor,
    forked,
    forked_busy,
    forked_slowly,
    framing,
    futures,
    hooks,
    idle_timeout,
    long_list,
    made,
    memory,
    messages,
    mounts,
    options_bodies,
    output_file,
    outputs,
    part_readers,
    pool,
    prepared,
    priorities,
    proxies,
    queue,
    raising,
    rates,
    raw_bodies,
    real_proxies,
    redirects,
    responses,
    retries,
    session,
    speeds,
    streaming,
    stress,
    timeouts,
    tls,
    tls_options,
    trailers,
    turns,
    unix_resolve,
    wait,
    waiting,
}

/// The hour of `tests/long/run`, for a moment: worker processes that are killed, connections that are damaged.
#[test]
fn a_short_soak() {
    let program = compile_to("stress", "c", "c99", "soak");
    let requests = env::var("RF_REQUESTS").unwrap_or_else(|_| "2000".to_owned());
    run_with("a short soak", &program, &[("RF_SOAK_SECONDS", "1"), ("RF_REQUESTS", &requests)]);
}

/// What is compiled in several ways, by tests of its own, and what is no program.
const NO_PROGRAMS: &[&str] =
    &["failing", "failing_calls", "failing_memory", "header_languages", "hook_library", "set_uid"];

#[test]
fn header_is_c() {
    for standard in ["c99", "c11", "c17"] {
        let program = compile("header_languages", "c", standard);
        run(&format!("header_languages ({standard})"), &program);
    }
}

#[test]
fn header_is_cxx() {
    if Command::new(cxx()).arg("--version").output().is_err() {
        println!("skipped: no C++ compiler ({})", cxx().display());
        return;
    }
    for standard in ["c++11", "c++14", "c++17", "c++20"] {
        let program = compile("header_languages", "cpp", standard);
        run(&format!("header_languages ({standard})"), &program);
    }
}

#[test]
fn edges_cxx() {
    if Command::new(cxx()).arg("--version").output().is_err() {
        println!("skipped: no C++ compiler ({})", cxx().display());
        return;
    }
    let program = compile("edges_cxx", "cpp", "c++11");
    run("edges_cxx", &program);
}

/// The worker is the one beside the library: whoever starts such a program must not choose what runs with its rights.
#[test]
#[cfg(target_os = "linux")]
fn a_set_uid_program_does_not_obey_the_environment() {
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::process::CommandExt;
    // Users that need no name.
    const SOMEBODY: u32 = 61_001;
    const SOMEBODY_ELSE: u32 = 61_002;
    // SAFETY: no arguments.
    if unsafe { libc::geteuid() } != 0 {
        println!("skipped: only root can make a program that runs as somebody else");
        return;
    }
    if sanitizer().is_some() || valgrind() || runner().is_some() {
        // None of them works in such a program.
        return;
    }
    let folder = env::temp_dir().join(format!("rf-set-uid-{}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a directory");
    let open_to_all = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    };
    open_to_all(&folder, 0o755);
    let copied = [
        (library_directory().join("librequests_futures.so.0"), folder.join("librequests_futures.so.0")),
        (worker(), folder.join("requests-futures-worker")),
    ];
    for (from, to) in &copied {
        fs::copy(from, to).expect("a copy");
        open_to_all(to, 0o755);
    }
    let program = folder.join("set_uid");
    let beside = format!("-Wl,-rpath,{}", folder.display());
    build("set_uid.c", "c99", &["-Wno-unused-command-line-argument", &beside], &program);
    std::os::unix::fs::chown(&program, Some(SOMEBODY), Some(SOMEBODY)).expect("another owner");
    open_to_all(&program, 0o4755);
    let mut command = Command::new(&program);
    command.uid(SOMEBODY_ELSE).gid(SOMEBODY_ELSE).current_dir("/");
    command.envs(server().iter().map(|(name, value)| (name, value)));
    command.env("REQUESTS_FUTURES_WORKER", "/nonexistent");
    // Where the secrets of its connections would be told to whoever started it.
    let secrets = folder.join("secrets");
    File::create(&secrets).expect("a file");
    open_to_all(&secrets, 0o666);
    command.env("SSLKEYLOGFILE", &secrets);
    let output = command.output().expect("the program");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert_eq!(fs::read(&secrets).expect("the file"), b"", "secrets of a set-uid program");
    let _ = fs::remove_dir_all(&folder);
    assert!(output.status.success(), "{}: {said}", output.status);
    print!("{said}");
}

/// Calls of the system are caught by a library that is preloaded.
#[test]
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn every_call_fails_once() {
    if sanitizer().is_some() || valgrind() || runner().is_some() || env::var_os("RF_LIBRARY").is_some() {
        // They catch the same calls, or are of another C library.
        return;
    }
    let library = library_directory().join("libfailing_calls.so");
    build("failing_calls.c", "c99", &["-shared", "-fPIC"], &library);
    for program in ["failing", "failing_memory"] {
        run(program, &compile(program, "c", "c99"));
    }
}

/// Counted, not timed: what else the machine does makes no difference.
#[test]
fn a_future_costs_the_same_in_a_long_list() {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: no valgrind to count instructions with");
        return;
    }
    if env::var_os("RF_LIBRARY").is_some() {
        // Sanitizers and emulators want to see every instruction as well: the ordinary run counts.
        return;
    }
    let program = compile_to("long_list", "c", "c99", "counted");
    let each = |futures: u64| instructions(&program, futures) as f64 / futures as f64;
    let (few, many) = (each(2_000), each(20_000));
    println!("instructions for each future: {few:.0} of 2,000, {many:.0} of 20,000");
    assert!(many < 1.25 * few, "more for each of many");
}

/// How many instructions a program executes with this many futures.
fn instructions(program: &Path, futures: u64) -> u64 {
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(program);
    let output = command.env("RF_FUTURES", futures.to_string()).output().expect("valgrind");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let (_, count) = said.lines().find_map(|line| line.split_once("Collected : ")).expect("a count");
    count.trim().parse().expect("a number")
}

#[test]
fn every_program_is_a_test() {
    let mut found: Vec<String> = fs::read_dir(sources())
        .expect("tests/c")
        .map(|entry| entry.expect("an entry of tests/c").path())
        .filter(|path| path.extension() == Some(OsStr::new("c")))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    found.sort();
    let mut listed: Vec<&str> = PROGRAMS.iter().chain(NO_PROGRAMS).copied().collect();
    listed.sort_unstable();
    assert_eq!(found, listed, "the files of tests/c, and the list in tests/c_programs.rs");
}

/// null_arguments*.c must not forget a function that is added to the header. One is not called: it takes no arguments,
/// and is what a worker process does all its life with the standard input that it was given.
#[test]
fn null_arguments_knows_every_function() {
    let header = fs::read_to_string(root().join("include/requests_futures.h")).expect("the header");
    let tested = ["null_arguments.c", "null_arguments_tasks.c"]
        .map(|name| fs::read_to_string(sources().join(name)).expect(name))
        .concat();
    let tested: Vec<&str> = words(&tested).chain(["rf_worker_main"]).collect();
    let missing: Vec<&str> = functions(&header).into_iter().filter(|name| !tested.contains(name)).collect();
    assert!(missing.is_empty(), "null_arguments*.c calls none of these: {missing:?}");
}

/// One that is added to the header has to stand in that program, with what shows that it survives the way elsewhere.
#[test]
fn every_option_knows_every_setter() {
    let header = fs::read_to_string(root().join("include/requests_futures.h")).expect("the header");
    let tested = fs::read_to_string(sources().join("every_option.c")).expect("every_option.c");
    let tested: Vec<&str> = words(&tested).collect();
    let is_setter = |name: &&str| name.starts_with("rf_options_set_") || name.starts_with("rf_options_add_");
    let setters: Vec<&str> = functions(&header).into_iter().filter(is_setter).collect();
    let missing: Vec<&&str> = setters.iter().filter(|name| !tested.contains(name)).collect();
    assert!(setters.len() > 40 && missing.is_empty(), "every_option.c does not set these: {missing:?}");
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The functions that a header declares: names that begin with `rf_` before a parenthesis, outside comments.
fn functions(header: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for line in without_comments(header) {
        for (at, _) in line.match_indices('(') {
            let name = words(&line[..at]).last().unwrap_or_default();
            if line[..at].ends_with(name) && name.starts_with("rf_") && !names.contains(&name) {
                names.push(name);
            }
        }
    }
    assert!(names.len() > 100, "only {} functions found: {names:?}", names.len());
    names
}

/// The lines of a C file that are no comment, and what stands before one.
fn without_comments(text: &str) -> Vec<&str> {
    let mut inside = false;
    let mut lines = Vec::new();
    for mut line in text.lines() {
        loop {
            if inside {
                let Some(end) = line.find("*/") else { break };
                line = &line[end + 2..];
                inside = false;
            }
            let Some(start) = line.find("/*") else {
                lines.push(line.split("//").next().unwrap_or_default());
                break;
            };
            lines.push(&line[..start]);
            line = &line[start + 2..];
            inside = true;
        }
    }
    lines
}

// ---- building ----

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> PathBuf {
    root().join("tests/c")
}

/// Where programs, their output and the library's links go.
fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("c_programs")
}

fn cc() -> OsString {
    env::var_os("RF_CC").or_else(|| env::var_os("CC")).unwrap_or_else(|| "cc".into())
}

fn cxx() -> OsString {
    env::var_os("RF_CXX").or_else(|| env::var_os("CXX")).unwrap_or_else(|| "c++".into())
}

/// What runs the programs, where this machine cannot.
fn runner() -> Option<Command> {
    let runner = flags("RF_RUNNER");
    let (program, arguments) = runner.split_first()?;
    let mut command = Command::new(program);
    command.args(arguments);
    Some(command)
}

/// A directory with the shared library under the names that link-time and run-time look for.
///
/// The library that belongs to this very test lies in deps/, beside the test; the one a directory above may be
/// older, as only `cargo build` puts it there.
fn library_directory() -> &'static Path {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    DIRECTORY.get_or_init(|| {
        let name = format!("{}requests_futures{}", env::consts::DLL_PREFIX, env::consts::DLL_SUFFIX);
        let test = env::current_exe().expect("the path of this test");
        let deps = test.parent().expect("deps");
        let profile = deps.parent().expect("the profile's directory");
        let library = env::var_os("RF_LIBRARY")
            .map(|path| root().join(path))
            .into_iter()
            .chain([deps.join(&name), profile.join(&name)])
            .find(|path| path.exists())
            .unwrap_or_else(|| panic!("no {name} in {} or above", deps.display()));
        let directory = scratch().join("lib");
        fs::create_dir_all(&directory).expect("a directory for the library");
        for link in [name.clone(), format!("{name}.0")] {
            let link = directory.join(link);
            let _ = fs::remove_file(&link);
            std::os::unix::fs::symlink(&library, &link).expect("a link to the library");
        }
        directory
    })
}

fn flags(variable: &str) -> Vec<String> {
    env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Compiles tests/c/NAME.EXTENSION as that standard, and returns the program.
fn compile(name: &str, extension: &str, standard: &str) -> PathBuf {
    compile_to(name, extension, standard, standard)
}

/// The same, to a program with a suffix of its own: two tests must not write one file.
fn compile_to(name: &str, extension: &str, standard: &str, suffix: &str) -> PathBuf {
    library_directory();
    let program = scratch().join(format!("{name}-{suffix}"));
    build(&format!("{name}.{extension}"), standard, &[], &program);
    program
}

/// Compiles a file of tests/c as that standard.
fn build(source: &str, standard: &str, more: &[&str], to: &Path) {
    let library = library_directory();
    let is_c = source.ends_with(".c");
    let compiler = || Command::new(if is_c { cc() } else { cxx() });
    // In two steps: a sanitizer that the linker hears of would bring a runtime of its own.
    let object = to.with_extension("o");
    let mut command = compiler();
    command.arg(format!("-std={standard}"));
    command.args(["-g", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D_GNU_SOURCE", "-pthread"]);
    command.args(sanitizer().map(|sanitizer| format!("-fsanitize={sanitizer}")));
    command.args(flags(if is_c { "CFLAGS" } else { "CXXFLAGS" })).args(more);
    command.arg("-I").arg(root().join("include"));
    command.arg("-c").arg(sources().join(source)).arg("-o").arg(&object);
    succeeds(command);
    let mut command = compiler();
    command.arg("-pthread").args(more).arg(&object).arg("-o").arg(to);
    command.arg("-L").arg(library).arg("-lrequests_futures").arg("-ldl");
    command.arg(format!("-Wl,-rpath,{}", library.display()));
    // What is linked into the program must not be there a second time.
    if sanitizer().is_none() || !more.contains(&"-shared") {
        command.args(flags("LDFLAGS"));
    }
    succeeds(command);
}

fn succeeds(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}");
}

/// The hooks that worker processes find by their names: a shared object, which links the library as the programs do.
fn hook_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = library_directory().join(format!("libhook_library{}", env::consts::DLL_SUFFIX));
        build("hook_library.c", "c99", &["-shared", "-fPIC"], &library);
        library
    })
}

// ---- running ----

const LIMIT: Duration = Duration::from_secs(120);
const LIMIT_CHECKED: Duration = Duration::from_secs(900);

/// What a program must not inherit: it would change where requests go, or what is trusted.
const PRIVATE: &[&str] = &[
    "http_proxy",
    "https_proxy",
    "all_proxy",
    "no_proxy",
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "NETRC",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSLKEYLOGFILE",
];

/// The server's variables. It serves until this process ends.
fn server() -> &'static [(String, String)] {
    static SERVER: OnceLock<LocalServer> = OnceLock::new();
    static VARIABLES: OnceLock<Vec<(String, String)>> = OnceLock::new();
    VARIABLES.get_or_init(|| {
        let server = SERVER.get_or_init(|| LocalServer::start().expect("the local server"));
        remove_at_exit(server.directory());
        server.env()
    })
}

/// Nobody drops what is static: the server's directory has to be removed by hand.
fn remove_at_exit(directory: &Path) {
    static DIRECTORY: OnceLock<PathBuf> = OnceLock::new();
    extern "C" fn remove() {
        if let Some(directory) = DIRECTORY.get() {
            let _ = fs::remove_dir_all(directory);
        }
    }
    DIRECTORY.get_or_init(|| directory.to_owned());
    // SAFETY: `remove` is a function without arguments that does not unwind, and lives as long as the process.
    let registered = unsafe { libc::atexit(remove) };
    assert_eq!(registered, 0, "atexit");
}

fn valgrind() -> bool {
    env::var_os("RF_VALGRIND").is_some_and(|value| value == "1")
}

/// The worker program of the library that is tested.
fn worker() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_requests-futures-worker"));
    env::var_os("RF_LIBRARY")
        .map_or(own, |library| root().join(library).with_file_name("requests-futures-worker"))
}

fn sanitizer() -> Option<String> {
    env::var("RF_SANITIZER").ok()
}

/// A program of C, compiled once.
fn compiled(name: &'static str) -> PathBuf {
    static PROGRAMS: Mutex<BTreeMap<&str, Arc<OnceLock<PathBuf>>>> = Mutex::new(BTreeMap::new());
    let program = PROGRAMS.lock().expect("the programs").entry(name).or_default().clone();
    program.get_or_init(|| compile(name, "c", "c99")).clone()
}

/// Whether the library that is tested has its requests run on events where the tests ask for that, and whether what
/// watches it can follow.
fn can_run_on_events() -> bool {
    runner().is_none()
        && (env::var_os("RF_LIBRARY").is_none() || sanitizer().is_some())
        && sanitizer().is_none_or(|sanitizer| sanitizer != "thread")
}

/// Those that run on events under valgrind and sanitizers as well, where each takes long; `RF_EVERY_PROGRAM=1`: all.
const CHECKED_ON_EVENTS: &[&str] = &[
    "abort",
    "adapters",
    "auth",
    "calling_back",
    "closing",
    "decoding",
    "executor",
    "forked",
    "futures",
    "hooks",
    "options_bodies",
    "output_file",
    "part_readers",
    "pool",
    "proxies",
    "redirects",
    "session",
    "streaming",
    "stress",
    "tls",
    "wait",
    "waiting",
];

fn run_on_events(name: &'static str) {
    let is_chosen = !(valgrind() || sanitizer().is_some())
        || CHECKED_ON_EVENTS.contains(&name)
        || env::var_os("RF_EVERY_PROGRAM").is_some();
    if can_run_on_events() && is_chosen {
        run_with(name, &compiled(name), &[("RF_TEST_EVENTS", "1")]);
    }
}

/// Runs a program, and fails with what it said when it does not exit with 0 in time.
fn run(name: &str, program: &Path) {
    run_with(name, program, &[]);
}

/// The same, with variables of its own.
fn run_with(name: &str, program: &Path, variables: &[(&str, &str)]) {
    let home = scratch().join("home");
    fs::create_dir_all(&home).expect("an empty home");
    let said = program.with_extension(if variables.is_empty() { "txt" } else { "again.txt" });
    let file = File::create(&said).expect("a file for the output");

    let mut command = if valgrind() {
        let mut command = Command::new("valgrind");
        command.args(["--error-exitcode=99", "--leak-check=full", "-q"]);
        command.arg("--errors-for-leak-kinds=definite,indirect,possible");
        let suppressions = sources().join("valgrind.supp");
        if suppressions.exists() {
            command.arg(format!("--suppressions={}", suppressions.display()));
        }
        command.arg(program);
        command
    } else if let Some(mut runner) = runner() {
        runner.arg(program);
        runner
    } else {
        Command::new(program)
    };
    let checked = valgrind() || sanitizer().is_some() || runner().is_some();
    if checked {
        command.env("RF_TEST_SLOW", "1");
        // Of a process with threads the sanitizer would not let a child make threads.
        command.env("TSAN_OPTIONS", "die_after_fork=0");
    }
    if runner().is_some() {
        command.env("RF_TEST_EMULATED", "1");
    }
    for variable in PRIVATE {
        command.env_remove(variable);
    }
    command.envs(server().iter().map(|(name, value)| (name, value))).env("HOME", home);
    // Cargo's own list comes before what a program says of itself, and has the library that was not sanitized.
    command.env("LD_LIBRARY_PATH", library_directory());
    command.env("RF_TEST_HOOK_LIBRARY", hook_library());
    command.env_remove("RF_TEST_EVENTS");
    // A worker that lies beside the library is found by itself; this one is sure to be of the same build.
    command.env("REQUESTS_FUTURES_WORKER", worker());
    command.envs(variables.iter().copied());
    command.stdin(Stdio::null()).stdout(file.try_clone().expect("the file once more")).stderr(file);

    let limit = if checked { LIMIT_CHECKED } else { LIMIT };
    let until = Instant::now() + limit;
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) if valgrind() => panic!("RF_VALGRIND=1, but valgrind does not start: {error}"),
        Err(error) => panic!("{name} does not start: {error}"),
    };
    let status = loop {
        if let Some(status) = child.try_wait().expect("the program's status") {
            break Some(status);
        }
        if Instant::now() > until {
            let _ = child.kill();
            let _ = child.wait();
            break None;
        }
        thread::sleep(Duration::from_millis(10));
    };

    let said = String::from_utf8_lossy(&fs::read(&said).expect("the output")).into_owned();
    match status {
        None => panic!("{name} still ran after {} seconds. It said:\n{said}", limit.as_secs()),
        Some(status) if !status.success() => panic!("{name} failed ({status}):\n{said}"),
        Some(_) => print!("{said}"),
    }
}
