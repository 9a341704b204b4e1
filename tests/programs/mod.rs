//! What the tests of programs share, in C, C++ and other languages: building against the header and the library of this
//! profile, and running against one local server.
//!
//! `CC`, `CXX`, `CFLAGS`, `CXXFLAGS` and `LDFLAGS` choose compilers and flags. With `RF_VALGRIND=1` every program runs
//! under valgrind, and a leak or an invalid access fails it. `RF_SANITIZER=thread` or `address` compiles the programs
//! for that sanitizer; `RF_LIBRARY` then names the library that was, and `LDFLAGS` links the one runtime of both.
//!
//! For another kind of machine `RF_CC` and `RF_CXX` name the compilers in the place of `CC` and `CXX`, which cargo obeys as
//! well, `RF_LIBRARY` the library, and `RF_RUNNER` what runs a program: an emulator, with its arguments.
// Not every test needs all of it.
#![allow(dead_code)]

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use local_server::LocalServer;

// ---- headers ----

pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').filter(|word| !word.is_empty())
}

/// The functions that a header declares: names that begin with `rf_` before a parenthesis, outside comments.
pub fn functions(header: &str) -> Vec<&str> {
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
pub fn without_comments(text: &str) -> Vec<&str> {
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

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Where the sources of programs are, a folder for each language.
pub fn tests() -> PathBuf {
    root().join("tests")
}

/// Where programs, their output and the library's links go.
pub fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(env!("CARGO_CRATE_NAME"))
}

pub fn cc() -> OsString {
    env::var_os("RF_CC").or_else(|| env::var_os("CC")).unwrap_or_else(|| "cc".into())
}

pub fn cxx() -> OsString {
    env::var_os("RF_CXX").or_else(|| env::var_os("CXX")).unwrap_or_else(|| "c++".into())
}

/// What runs the programs, where this machine cannot.
pub fn runner() -> Option<Command> {
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
pub fn library_directory() -> &'static Path {
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

pub fn flags(variable: &str) -> Vec<String> {
    env::var(variable).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Compiles tests/c/NAME.EXTENSION as that standard, and returns the program.
pub fn compile(name: &str, extension: &str, standard: &str) -> PathBuf {
    compile_to(name, extension, standard, standard)
}

/// The same, to a program with a suffix of its own: two tests must not write one file.
pub fn compile_to(name: &str, extension: &str, standard: &str, suffix: &str) -> PathBuf {
    library_directory();
    let program = scratch().join(format!("{name}-{suffix}"));
    build(&format!("c/{name}.{extension}"), standard, &[], &program);
    program
}

/// Compiles a file of tests as that standard.
pub fn build(source: &str, standard: &str, more: &[&str], to: &Path) {
    build_with(&if source.ends_with(".c") { cc() } else { cxx() }, source, standard, more, to);
}

/// The same with another compiler.
pub fn build_with(compiler: &OsStr, source: &str, standard: &str, more: &[&str], to: &Path) {
    let library = library_directory();
    let is_c = source.ends_with(".c");
    let compiler = || Command::new(compiler);
    // In two steps: a sanitizer that the linker hears of would bring a runtime of its own.
    let object = to.with_extension("o");
    let mut command = compiler();
    command.arg(format!("-std={standard}"));
    command.args(["-g", "-O1", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-D_GNU_SOURCE", "-pthread"]);
    command.args(sanitizer().map(|sanitizer| format!("-fsanitize={sanitizer}")));
    command.args((!is_c).then_some("-DREQUESTS_FUTURES_WARNINGS"));
    command.args(flags(if is_c { "CFLAGS" } else { "CXXFLAGS" })).args(more);
    command.arg("-I").arg(root().join("include"));
    command.arg("-c").arg(tests().join(source)).arg("-o").arg(&object);
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

pub fn succeeds(mut command: Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}:\n{said}");
}

/// The hooks that worker processes find by their names: a shared object, which links the library as the programs do.
pub fn hook_library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let library = library_directory().join(format!("libhook_library{}", env::consts::DLL_SUFFIX));
        build("c/hook_library.c", "c99", &["-shared", "-fPIC"], &library);
        library
    })
}

// ---- running ----

pub const LIMIT: Duration = Duration::from_secs(120);
pub const LIMIT_CHECKED: Duration = Duration::from_secs(900);

/// What a program must not inherit: it would change where requests go, or what is trusted.
pub const PRIVATE: &[&str] = &[
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
pub fn server() -> &'static [(String, String)] {
    static SERVER: OnceLock<LocalServer> = OnceLock::new();
    static VARIABLES: OnceLock<Vec<(String, String)>> = OnceLock::new();
    VARIABLES.get_or_init(|| {
        let server = SERVER.get_or_init(|| LocalServer::start().expect("the local server"));
        remove_at_exit(server.directory());
        server.env()
    })
}

/// Nobody drops what is static: the server's directory has to be removed by hand.
pub fn remove_at_exit(directory: &Path) {
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

pub fn valgrind() -> bool {
    env::var_os("RF_VALGRIND").is_some_and(|value| value == "1")
}

/// The worker program of the library that is tested.
pub fn worker() -> PathBuf {
    let own = PathBuf::from(env!("CARGO_BIN_EXE_requests-futures-worker"));
    env::var_os("RF_LIBRARY")
        .map_or(own, |library| root().join(library).with_file_name("requests-futures-worker"))
}

pub fn sanitizer() -> Option<String> {
    env::var("RF_SANITIZER").ok()
}

/// Runs a program, and fails with what it said when it does not exit with 0 in time.
pub fn run(name: &str, program: &Path) {
    run_with(name, program, &[]);
}

/// The same, with variables of its own.
pub fn run_with(name: &str, program: &Path, variables: &[(&str, &str)]) {
    print!("{}", run_command(name, program, &[], variables));
}

/// Runs a program with arguments, and returns what it said.
pub fn run_command(name: &str, program: &Path, arguments: &[OsString], variables: &[(&str, &str)]) -> String {
    let home = scratch().join("home");
    fs::create_dir_all(&home).expect("an empty home");
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    let said = scratch().join(plain).with_extension(if variables.is_empty() { "txt" } else { "again.txt" });
    let file = File::create(&said).expect("a file for the output");

    let mut command = if valgrind() {
        let mut command = Command::new("valgrind");
        command.args(["--error-exitcode=99", "--leak-check=full", "-q"]);
        command.arg("--errors-for-leak-kinds=definite,indirect,possible");
        let suppressions = tests().join("c/valgrind.supp");
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
    command.args(arguments);
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
        Some(_) => said,
    }
}
