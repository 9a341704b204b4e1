//! The library from other languages: each folder of tests/languages has a binding and a program, which sends 2,000 requests, has
//! one fail, one aborted and one seen by a hook, and ends while requests run. It exits with 0 and prints `done`.
//!
//! `RF_PYTHON` names a Python that has cffi, `NODE_PATH` a folder with koffi, `RF_JNA` JNA's jar. What is not there is skipped.

mod programs;

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use programs::*;

fn folder(language: &str) -> PathBuf {
    tests().join("languages").join(language)
}

/// Whether a command is there and says yes.
fn is_there(program: &OsString, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

/// None of these looks into a library that was made for another checker or another machine.
fn is_watched() -> bool {
    sanitizer().is_some() || valgrind() || runner().is_some()
}

/// Runs a program of a language, which has to end as it should.
fn finishes(language: &str, command: &Path, arguments: &[OsString]) {
    let said = run_command(
        language,
        command,
        arguments,
        &[("REQUESTS_FUTURES_INCLUDE", &include().to_string_lossy())],
    );
    assert_eq!(said.trim(), "done", "{language} says something else");
}

fn include() -> PathBuf {
    root().join("include")
}

#[test]
fn python() {
    let python = env::var_os("RF_PYTHON").unwrap_or_else(|| "python3".into());
    if is_watched() {
        return;
    }
    if !is_there(&python, &["-c", "import cffi"]) {
        println!("skipped: Python (no cffi)");
        return;
    }
    finishes("Python", Path::new(&python), &["-B".into(), folder("python").join("program.py").into()]);
}

/// A parser that knows plain C reads what the compiler makes of the header, without any help.
#[test]
fn cffi_reads_the_header_as_it_is() {
    let python = env::var_os("RF_PYTHON").unwrap_or_else(|| "python3".into());
    if is_watched() {
        return;
    }
    if !is_there(&python, &["-c", "import cffi"]) {
        println!("skipped: the header in Python (no cffi)");
        return;
    }
    let header = include().join("requests_futures.h");
    let program = "import cffi, subprocess, sys\n\
                   text = subprocess.run(sys.argv[2:] + [sys.argv[1]], check=True, capture_output=True, text=True).stdout\n\
                   ffi = cffi.FFI()\n\
                   ffi.cdef(text)\n\
                   print(len(ffi.list_types()[0]))\n";
    for flags in [&["-E", "-P"][..], &["-std=c99", "-E", "-P"], &["-std=c17", "-E", "-P"]] {
        let mut command = Command::new(&python);
        command.arg("-c").arg(program).arg(&header).arg(cc()).args(flags);
        succeeds(command);
    }
}

#[test]
fn node() {
    if is_watched() {
        return;
    }
    let node: OsString = "node".into();
    if !is_there(&node, &["-e", "require('koffi')"]) {
        println!("skipped: Node.js (no koffi)");
        return;
    }
    finishes("Node.js", Path::new(&node), &[folder("node").join("program.js").into()]);
}

#[test]
fn go() {
    if is_watched() {
        return;
    }
    let go: OsString = "go".into();
    if !is_there(&go, &["version"]) {
        println!("skipped: Go (no go)");
        return;
    }
    let program = scratch().join("go-program");
    let cache = scratch().join("go-cache");
    fs::create_dir_all(&cache).expect("a folder");
    for arguments in [&["vet", "."][..], &["build", "-o"]] {
        let mut command = Command::new(&go);
        command.current_dir(folder("go")).args(arguments);
        if arguments[0] == "build" {
            command.arg(&program).arg(".");
        }
        command.env("CGO_CFLAGS", format!("-I{}", include().display()));
        command.env("CGO_LDFLAGS", format!("-L{}", library_directory().display()));
        command.env("GOCACHE", &cache).env("GOFLAGS", "-mod=mod").env("GOTOOLCHAIN", "local");
        succeeds(command);
    }
    finishes("Go", &program, &[]);
}

#[test]
fn java() {
    if is_watched() {
        return;
    }
    let jna = env::var_os("RF_JNA").map_or_else(|| PathBuf::from("/usr/share/java/jna.jar"), PathBuf::from);
    if !is_there(&"javac".into(), &["--version"]) || !jna.exists() {
        println!("skipped: Java (no javac, or no JNA)");
        return;
    }
    let classes = scratch().join("java");
    let mut command = Command::new("javac");
    command.args(["-Xlint:all", "-Werror", "-cp"]).arg(&jna).arg("-d").arg(&classes);
    command.args(["Session.java", "Program.java"].map(|name| folder("java").join(name)));
    succeeds(command);
    let mut path = jna.into_os_string();
    path.push(":");
    path.push(&classes);
    finishes("Java", Path::new("java"), &["-cp".into(), path, "Program".into()]);
}

#[test]
fn an_example_is_short() {
    for language in ["python", "node", "go", "java"] {
        for entry in fs::read_dir(folder(language)).expect(language) {
            let path = entry.expect("an entry").path();
            let text = fs::read_to_string(&path).unwrap_or_default();
            assert!(text.lines().count() < 200, "{} is long", path.display());
        }
    }
}
