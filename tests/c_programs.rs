//! The C programs of tests/c: each is compiled with the system's compiler against the header and the shared library
//! that cargo built for this test profile, and run against one local server. A program exits with
//! 0, and prints nothing but what it measured. `programs` says what variables choose compilers, flags and checkers.

mod programs;

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, OnceLock};

use programs::*;

/// One test for each program, named like it.
macro_rules! programs {
    ($($name:ident),* $(,)?) => {
        const PROGRAMS: &[&str] = &[$(stringify!($name)),*];
        $(#[test]
        fn $name() {
            run_on_threads(stringify!($name));
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

/// The same programs once more, over HTTP/2: what they take for the server's http address is its https one, and whoever
/// does not choose a version takes what the server offers. On threads and on an event loop.
macro_rules! programs_by_http2 {
    ($($name:ident),* $(,)?) => {
        mod by_http2 {
            $(#[test]
            fn $name() {
                super::run_by_http2(stringify!($name), &[]);
            })*
            mod on_events {
                $(#[test]
                fn $name() {
                    super::super::run_by_http2(stringify!($name), &[("RF_TEST_EVENTS", "1")]);
                })*
            }
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
    expect,
    faults,
    forked,
    forked_busy,
    forked_slowly,
    framing,
    futures,
    hooks,
    http2,
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
    phases,
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
    resolver,
    resolver_waits,
    responses,
    resuming,
    retries,
    session,
    speeds,
    streaming,
    stress,
    task_bytes,
    tasks_elsewhere,
    timeouts,
    tls,
    tls_options,
    traces,
    trailers,
    turns,
    turns_elsewhere,
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
    cookie_files,
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
    expect,
    forked,
    forked_busy,
    forked_slowly,
    framing,
    futures,
    hooks,
    http2,
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
    phases,
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
    resolver,
    responses,
    resuming,
    retries,
    session,
    speeds,
    streaming,
    stress,
    timeouts,
    tls,
    tls_options,
    traces,
    trailers,
    turns,
    unix_resolve,
    urls,
    wait,
    waiting,
}

programs_by_http2! {
    abort,
    adapters,
    closing,
    decoding,
    descriptor,
    edges,
    ends,
    errors,
    events,
    executor,
    forked,
    futures,
    hooks,
    idle_timeout,
    json,
    long_list,
    made,
    output_file,
    outputs,
    pool,
    priorities,
    queue,
    raising,
    responses,
    resuming,
    streaming,
    stress,
    trailers,
    wait,
}

/// The hour of `tests/long/run`, for a moment: worker processes that are killed, connections that are damaged.
#[test]
fn a_short_soak() {
    let program = compile_to("stress", "c", "c99", "soak");
    let requests = env::var("RF_REQUESTS").unwrap_or_else(|_| "2000".to_owned());
    run_with("a short soak", &program, &[("RF_SOAK_SECONDS", "1"), ("RF_REQUESTS", &requests)]);
}

/// What is compiled in several ways, by tests of its own, and what is no program.
const NO_PROGRAMS: &[&str] = &[
    "failing",
    "failing_calls",
    "failing_memory",
    "header_languages",
    "hook_library",
    "real_servers",
    "set_uid",
];

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
    build("c/set_uid.c", "c99", &["-Wno-unused-command-line-argument", &beside], &program);
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
    build("c/failing_calls.c", "c99", &["-shared", "-fPIC"], &library);
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
    let mut found: Vec<String> = fs::read_dir(tests().join("c"))
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
        .map(|name| fs::read_to_string(tests().join("c").join(name)).expect(name))
        .concat();
    let tested: Vec<&str> = words(&tested).chain(["rf_worker_main"]).collect();
    let missing: Vec<&str> = functions(&header).into_iter().filter(|name| !tested.contains(name)).collect();
    assert!(missing.is_empty(), "null_arguments*.c calls none of these: {missing:?}");
}

/// One that is added to the header has to stand in that program, with what shows that it survives the way elsewhere.
#[test]
fn every_option_knows_every_setter() {
    let header = fs::read_to_string(root().join("include/requests_futures.h")).expect("the header");
    let tested = fs::read_to_string(tests().join("c").join("every_option.c")).expect("every_option.c");
    let tested: Vec<&str> = words(&tested).collect();
    let is_setter = |name: &&str| name.starts_with("rf_options_set_") || name.starts_with("rf_options_add_");
    let setters: Vec<&str> = functions(&header).into_iter().filter(is_setter).collect();
    let missing: Vec<&&str> = setters.iter().filter(|name| !tested.contains(name)).collect();
    assert!(setters.len() > 40 && missing.is_empty(), "every_option.c does not set these: {missing:?}");
}

// ---- on an event loop ----

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

/// Those that run on threads and on events under valgrind and under sanitizers, where each takes long;
/// `RF_EVERY_PROGRAM=1`: all.
const CHECKED: &[&str] = &[
    "abort",
    "adapters",
    "auth",
    "calling_back",
    "closing",
    "decoding",
    "executor",
    "expect",
    "forked",
    "futures",
    "hooks",
    "http2",
    "options_bodies",
    "output_file",
    "part_readers",
    "pool",
    "proxies",
    "redirects",
    "resuming",
    "session",
    "streaming",
    "stress",
    "tls",
    "wait",
    "waiting",
];

/// Those that run there besides, on threads alone.
const CHECKED_ON_THREADS: &[&str] = &[
    "descriptor",
    "dns_cache",
    "event_loop",
    "event_loop_kinds",
    "faults",
    "framing",
    "processes",
    "processes_ending",
    "queue",
    "task_bytes",
    "tasks_elsewhere",
    "turns",
];

fn runs_all() -> bool {
    env::var_os("RF_EVERY_PROGRAM").is_some()
}

/// Whether something watches the program that takes long.
fn is_checked() -> bool {
    valgrind() || sanitizer().is_some()
}

fn run_on_threads(name: &'static str) {
    // ThreadSanitizer does not know of fibers.
    if name.starts_with("event_loop") && sanitizer().as_deref() == Some("thread") {
        return;
    }
    if !is_checked() || CHECKED.contains(&name) || CHECKED_ON_THREADS.contains(&name) || runs_all() {
        run(name, &compiled(name));
    }
}

fn run_on_events(name: &'static str) {
    let is_chosen = !is_checked() || CHECKED.contains(&name) || runs_all();
    if can_run_on_events() && is_chosen {
        run_with(name, &compiled(name), &[("RF_TEST_EVENTS", "1")]);
    }
}

// ---- over HTTP/2 ----

fn run_by_http2(name: &'static str, more: &[(&str, &str)]) {
    // Only a build for tests lets the environment choose the version.
    if is_checked() || runner().is_some() || env::var_os("RF_LIBRARY").is_some() {
        return;
    }
    let of_server = |name: &str| {
        let found = server().iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str()).expect("a variable of the server")
    };
    let mut variables = vec![
        ("RF_TEST_HTTP2", "1"),
        ("RF_TEST_HTTP", of_server("RF_TEST_HTTPS")),
        ("REQUESTS_CA_BUNDLE", of_server("RF_TEST_CA")),
    ];
    variables.extend(more);
    let on = if more.is_empty() { "threads" } else { "events" };
    run_with(&format!("{name} by HTTP/2 on {on}"), &compiled(name), &variables);
}
