//! The header that users get is the one that the sources generate, and what it declares is what the library exports.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

fn committed() -> String {
    std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/requests_futures.h")).unwrap()
}

/// The functions that the header declares: a name of ours right before a parenthesis, outside of comments.
fn declared() -> BTreeSet<String> {
    let header = committed();
    let code = header.lines().filter(|line| !line.trim_start().starts_with(['/', '*']));
    let mut names = BTreeSet::new();
    for line in code {
        for (at, _) in line.match_indices("rf_") {
            let whole = at == 0 || !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
            let name: String = line[at..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if whole && line[at + name.len()..].starts_with('(') {
                names.insert(name);
            }
        }
    }
    names
}

/// Where cargo put the shared library of this profile.
fn library() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let name = format!("{}requests_futures{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    // The first is what cargo makes for the tests; the second is there after a whole build.
    [profile.join("deps").join(&name), profile.join(&name)]
        .into_iter()
        .find(|path| path.exists())
        .expect("cargo builds the shared library before the tests")
}

#[test]
fn the_committed_header_is_what_the_sources_generate() {
    let generated = include_str!(env!("RF_GENERATED_HEADER"));
    assert!(
        committed() == generated,
        "include/requests_futures.h is out of date: run RF_UPDATE_HEADER=1 cargo build"
    );
}

#[test]
fn every_item_of_the_header_is_documented() {
    let header = committed();
    let mut before = "";
    for line in header.lines() {
        let item = ["typedef ", "rf_", "const ", "void ", "size_t ", "bool ", "int", "double "]
            .iter()
            .any(|start| line.starts_with(start));
        if item {
            let documented =
                before.starts_with("//") || before.starts_with("RF_DEPRECATED") || before.is_empty();
            assert!(documented && !before.is_empty(), "no comment before: {line}");
        }
        before = line;
    }
}

#[test]
fn the_library_exports_the_functions_of_the_header_and_nothing_else() {
    let Ok(nm) = Command::new("nm").args(["-D", "--defined-only"]).arg(library()).output() else {
        println!("skipped: no nm on this machine");
        return;
    };
    assert!(nm.status.success());
    let text = String::from_utf8(nm.stdout).unwrap();
    let exported: BTreeSet<String> =
        text.lines().filter_map(|line| line.split_whitespace().last()).map(str::to_string).collect();
    assert_eq!(exported, declared());
    assert!(declared().len() > 150, "the header was not understood");
}

#[test]
fn the_library_has_a_soname_with_its_major_version() {
    let Ok(readelf) = Command::new("readelf").arg("-d").arg(library()).output() else {
        println!("skipped: no readelf on this machine");
        return;
    };
    if !cfg!(target_os = "linux") {
        println!("skipped: a soname is Linux's");
        return;
    }
    let text = String::from_utf8(readelf.stdout).unwrap();
    let soname = format!("[librequests_futures.so.{}]", env!("CARGO_PKG_VERSION_MAJOR"));
    assert!(text.lines().any(|line| line.contains("SONAME") && line.contains(&soname)), "{text}");
    assert!(text.lines().any(|line| line.contains("NODELETE")), "{text}");
}
