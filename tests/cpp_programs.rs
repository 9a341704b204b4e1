//! `requests_futures.hpp`: the programs of tests/cpp are compiled against it and the shared library of this profile, and run
//! against one local server; every compiler that is there reads it as every standard; and it leaves out no function of C
//! without a reason.

mod programs;

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::process::Command;

use programs::*;

/// One test for each program, named like it, which is compiled as that standard and with these flags.
macro_rules! programs {
    ($($name:ident: $standard:literal $(, $flag:literal)*;)*) => {
        const PROGRAMS: &[(&str, &str, &[&str])] = &[$((stringify!($name), $standard, &[$($flag),*])),*];
        $(#[test]
        fn $name() {
            run_cxx(stringify!($name), $standard, &[$($flag),*]);
        })*
    };
}

programs! {
    coroutines: "c++20";
    functions: "c++17";
    handles: "c++17";
    requests: "c++17";
    settings: "c++17";
    streams: "c++17";
    unnamed: "c++17";
    waiting: "c++17";
    without_exceptions: "c++20", "-fno-exceptions";
}

fn run_cxx(name: &str, standard: &str, more: &[&str]) {
    if !works(&cxx()) {
        println!("skipped: no C++ compiler ({})", cxx().display());
        return;
    }
    let program = scratch().join(name);
    library_directory();
    build(&format!("cpp/{name}.cpp"), standard, more, &program);
    run(name, &program);
}

fn works(compiler: &OsStr) -> bool {
    Command::new(compiler).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The newest clang that is there: Debian has several beside each other.
fn clang() -> Option<OsString> {
    let numbered = (15..30).rev().map(|version| format!("clang++-{version}"));
    numbered.chain(["clang++".to_owned()]).map(OsString::from).find(|name| works(name))
}

/// The header by itself, and all that the tests make of its templates.
fn is_read_without_a_warning(compiler: &OsStr) {
    let everything =
        PROGRAMS.iter().map(|(name, _, flags)| (tests().join(format!("cpp/{name}.cpp")), *flags));
    let header = [(root().join("include/requests_futures.hpp"), &[][..])];
    let sources: Vec<_> = header.into_iter().chain(everything).collect();
    if sanitizer().is_some() || valgrind() || runner().is_some() {
        return; // it says the same as without them
    }
    for standard in ["c++17", "c++20", "c++23"] {
        for (source, flags) in &sources {
            let mut command = Command::new(compiler);
            command.arg(format!("-std={standard}")).args(["-x", "c++", "-fsyntax-only", "-D_GNU_SOURCE"]);
            command
                .args(["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-DREQUESTS_FUTURES_WARNINGS"])
                .args(*flags);
            // Of the header itself: that it is one.
            command.args(["-Wno-pragma-once-outside-header", "-Wno-unknown-warning-option"]);
            command.arg("-I").arg(root().join("include")).arg(source);
            succeeds(command);
        }
    }
}

#[test]
fn gcc_reads_it_as_every_standard_without_a_warning() {
    if !works(&cxx()) {
        println!("skipped: no C++ compiler ({})", cxx().display());
        return;
    }
    is_read_without_a_warning(&cxx());
}

#[test]
fn clang_reads_it_as_every_standard_without_a_warning() {
    let Some(clang) = clang() else {
        println!("skipped: no clang++");
        return;
    };
    is_read_without_a_warning(&clang);
}

#[test]
fn what_clang_has_compiled_runs() {
    let Some(clang) = clang() else {
        println!("skipped: no clang++");
        return;
    };
    if sanitizer().is_some() || valgrind() || runner().is_some() {
        // The other compiler's was looked at.
        return;
    }
    for (name, standard, flags) in PROGRAMS {
        let program = scratch().join(format!("{name}-clang"));
        build_with(&clang, &format!("cpp/{name}.cpp"), standard, flags, &program);
        run(&format!("{name} (clang)"), &program);
    }
}

#[test]
fn parts_with_and_without_exceptions_may_be_linked_together() {
    if !works(&cxx()) || sanitizer().is_some() {
        return; // others say that there is none
    }
    let folder = scratch().join("mixed");
    fs::create_dir_all(&folder).expect("a folder");
    let with = "#include <requests_futures.hpp>\nint without();\n\
                int main() { requests_futures::options o; o.set_stream(); return without(); }";
    let without = "#include <requests_futures.hpp>\n\
                   int without() { requests_futures::options o; o.set_stream(); return static_cast<int>(o.status()); }";
    let mut objects = Vec::new();
    for (name, text, flags) in [("with", with, &[][..]), ("without", without, &["-fno-exceptions"][..])] {
        let source = folder.join(format!("{name}.cpp"));
        fs::write(&source, text).expect("a source");
        let mut command = Command::new(cxx());
        command
            .args(["-std=c++17", "-O0", "-c"])
            .args(flags)
            .arg("-I")
            .arg(root().join("include"))
            .arg(&source);
        command.arg("-o").arg(source.with_extension("o"));
        succeeds(command);
        objects.push(source.with_extension("o"));
    }
    let mut command = Command::new(cxx());
    command.args(&objects).arg("-L").arg(library_directory()).arg("-lrequests_futures");
    command.arg(format!("-Wl,-rpath,{}", library_directory().display())).arg("-o").arg(folder.join("mixed"));
    succeeds(command);
    run("mixed", &folder.join("mixed"));
}

// ---- nothing is left out ----

/// The functions of C that C++ has no use for, and why.
const LEFT_OUT: &[(&str, &str)] = &[
    ("rf_task_encode", "task::encode is rf_task_encode_for, here unless it is told another place"),
    ("rf_task_execute", "task::execute is rf_task_execute_with, all unless it is told what not"),
    ("rf_worker_main", "the main function of one program, which is not written in C++"),
];

fn header(name: &str) -> String {
    fs::read_to_string(root().join("include").join(name)).expect(name)
}

#[test]
fn every_function_of_c_has_its_place() {
    let (c, cxx) = (header("requests_futures.h"), header("requests_futures.hpp"));
    let code = without_comments(&cxx).join("\n");
    let used: BTreeSet<&str> = words(&code).collect();
    let declared = programs::functions(&c);
    let missing: Vec<&&str> = declared
        .iter()
        .filter(|name| !used.contains(**name) && !LEFT_OUT.iter().any(|(left_out, _)| left_out == *name))
        .collect();
    assert!(missing.is_empty(), "requests_futures.hpp has no place for these: {missing:?}");
    for (name, why) in LEFT_OUT {
        assert!(declared.contains(name) && !used.contains(name) && !why.is_empty(), "{name} is not left out");
    }
}

#[test]
fn every_enumerator_of_c_has_its_place() {
    let (c, cxx) = (header("requests_futures.h"), header("requests_futures.hpp"));
    let code = without_comments(&cxx).join("\n");
    let used: BTreeSet<&str> = words(&code).collect();
    let mut count = 0;
    for line in without_comments(&c) {
        let Some((name, value)) = line.trim().trim_end_matches(',').split_once(" = ") else { continue };
        if name.starts_with("RF_") && value.parse::<i32>().is_ok() {
            count += 1;
            assert!(used.contains(name), "requests_futures.hpp has no enumerator for {name}");
        }
    }
    assert!(count > 60, "only {count} enumerators found");
}

/// A template is read when it is used, so each member that a user can call is called by a program.
#[test]
fn every_function_of_cxx_is_called_by_a_program() {
    let cxx = header("requests_futures.hpp");
    let sources: String = PROGRAMS
        .iter()
        .map(|(name, _, _)| fs::read_to_string(tests().join(format!("cpp/{name}.cpp"))).expect(name))
        .collect();
    let called: BTreeSet<&str> = words(&sources).collect();
    let mut names = BTreeSet::new();
    let (mut in_detail, mut hidden) = (false, false);
    for line in cxx.lines().filter(|line| !line.trim_start().starts_with("//")) {
        match line {
            "namespace detail {" => in_detail = true,
            "}  // namespace detail" => in_detail = false,
            " private:" | " protected:" => hidden = true,
            " public:" | "};" => hidden = false,
            _ if !in_detail && !hidden => names.extend(declared_in(line)),
            _ => {}
        }
    }
    // Those that the header calls itself.
    let inside = ["made", "iterator", "reset", "forever_t", "options_ref", "task_bytes", "handle"];
    let missing: Vec<&&str> =
        names.iter().filter(|name| !called.contains(**name) && !inside.contains(*name)).collect();
    assert!(names.len() > 200, "only {} functions found: {names:?}", names.len());
    assert!(missing.is_empty(), "no program of tests/cpp calls these: {missing:?}");
}

/// The function that a line of a class or namespace declares, if it does.
fn declared_in(line: &str) -> Option<&str> {
    let indent = line.len() - line.trim_start().len();
    let (before, _) = line.split_once('(')?;
    let name = words(before).last()?;
    let is_declaration =
        indent <= 2 && before.ends_with(name) && before.trim() != name && !before.contains("operator");
    let is_type =
        line.trim_start().starts_with(['#', '}', ':']) || before.contains("return") || before.contains(" = ");
    (is_declaration && !is_type && !name.contains("assert")).then_some(name)
}

#[test]
fn every_program_is_a_test() {
    let mut found: Vec<String> = fs::read_dir(tests().join("cpp"))
        .expect("tests/cpp")
        .map(|entry| entry.expect("an entry of tests/cpp").path())
        .filter(|path| path.extension() == Some(OsStr::new("cpp")))
        .map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned())
        .collect();
    found.sort();
    let listed: Vec<&str> = PROGRAMS.iter().map(|(name, _, _)| *name).collect();
    assert_eq!(found, listed, "the files of tests/cpp, and the list in tests/cpp_programs.rs");
}
