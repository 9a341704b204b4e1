//! What is distributed with the library says under which licences the crates inside are: src/install/THIRD-PARTY.txt; and
//! src/nats/THIRD-PARTY.txt of what stands beside it.
//!
//! `RF_UPDATE_LICENCES=1 cargo test --test licences` writes it anew.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The platforms whose crates count.
const PLATFORMS: [&str; 4] = [
    "x86_64-unknown-linux-gnu",
    "aarch64-unknown-linux-gnu",
    "x86_64-unknown-linux-musl",
    "aarch64-unknown-linux-musl",
];

const INTRODUCTION: &str = "\
requests-futures for C is under the Apache License 2.0, in the file LICENSE. @WHAT@ have
the following inside. Where a licence says OR, either may be chosen.

The standard library of Rust, by the Rust Project's developers: MIT OR Apache-2.0
";

const LINE: &str = "========================================================================================================";

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn the_licences_of_all_crates_inside_are_listed() {
    is_listed("requests-futures", "src/install/THIRD-PARTY.txt", "Its libraries and its worker program");
    is_listed(
        "requests-futures-nats",
        "src/nats/THIRD-PARTY.txt",
        "Its library and its worker program for NATS",
    );
}

fn is_listed(package: &str, path: &str, what: &str) {
    let made = list(package, what);
    let file = root().join(path);
    if env::var_os("RF_UPDATE_LICENCES").is_some() {
        fs::write(&file, &made).expect("a file to be written");
    }
    let committed = fs::read_to_string(&file).expect(path);
    assert!(committed == made, "{path} is out of date: run RF_UPDATE_LICENCES=1 cargo test --test licences");
}

fn list(package: &str, what: &str) -> String {
    let packages = inside(package);
    let mut list = INTRODUCTION.replace("@WHAT@", what);
    // A text, in the words of the first who has it, and whose it is.
    let mut texts: Vec<(String, String, Vec<String>)> = Vec::new();
    for package in &packages {
        let text = |field: &str| package[field].as_str().unwrap_or_default().to_string();
        let name = format!("{} {}", text("name"), text("version"));
        let licence = text("license");
        assert!(!licence.is_empty(), "{name} does not say under which licence it is");
        writeln!(list, "{name}: {licence}").expect("a string");
        let manifest = PathBuf::from(text("manifest_path"));
        let files = licence_files(manifest.parent().expect("a folder"));
        for file in &files {
            let text = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            let text = String::from_utf8_lossy(&text).replace("\r\n", "\n");
            // Of a choice that the crate has made already.
            if text.contains("GNU GENERAL PUBLIC LICENSE") && !licence.contains("GPL") {
                continue;
            }
            let essence = essence(&text);
            match texts.iter_mut().find(|(known, _, _)| *known == essence) {
                Some((_, _, names)) if names.last() == Some(&name) => {}
                Some((_, _, names)) => names.push(name.clone()),
                None => texts.push((essence, text, vec![name.clone()])),
            }
        }
    }
    for (_, text, names) in texts {
        write!(list, "\n{LINE}\n{}\n{LINE}\n\n", wrapped(&names)).expect("a string");
        for line in text.trim_matches('\n').lines() {
            list.push_str(line.trim_end());
            list.push('\n');
        }
    }
    list
}

/// The crates whose code is inside the library of a package, by cargo's own account: without those that only build or test
/// it, and without macros.
fn inside(package: &str) -> Vec<Value> {
    let mut command = Command::new(env::var_os("CARGO").expect("set by cargo"));
    command.args(["metadata", "--format-version", "1", "--locked"]).current_dir(root());
    for platform in PLATFORMS {
        command.args(["--filter-platform", platform]);
    }
    let output = command.output().expect("cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo's JSON");
    let array = |value: &Value| value.as_array().expect("a list").clone();
    let by_id = |list: &Value| -> BTreeMap<String, Value> {
        array(list).into_iter().map(|one| (one["id"].as_str().expect("an id").to_string(), one)).collect()
    };
    let packages = by_id(&metadata["packages"]);
    let nodes = by_id(&metadata["resolve"]["nodes"]);
    let is_macro = |package: &Value| {
        array(&package["targets"])
            .iter()
            .any(|target| array(&target["kind"]).iter().any(|kind| kind == "proc-macro"))
    };
    let own = packages.values().find(|one| one["name"] == package).expect("the package");
    let own = own["id"].as_str().expect("an id").to_string();
    let (mut found, mut open) = (BTreeSet::new(), vec![own.clone()]);
    while let Some(id) = open.pop() {
        for dependency in array(&nodes[&id]["deps"]) {
            let other = dependency["pkg"].as_str().expect("an id").to_string();
            let linked = array(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            if linked && !is_macro(&packages[&other]) && found.insert(other.clone()) {
                open.push(other);
            }
        }
    }
    assert!(found.len() > 50, "only {} crates found", found.len());
    let mut inside: Vec<Value> = found.iter().map(|id| packages[id].clone()).collect();
    inside.sort_by_key(|package| (package["name"].to_string(), package["version"].to_string()));
    inside
}

/// The files that say it, of the crate and of what it brings along from elsewhere, one folder below.
fn licence_files(folder: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let read = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        read.map(|entry| entry.expect("an entry").path()).collect()
    };
    let mut files = entries(folder);
    files.extend(files.clone().iter().filter(|path| path.is_dir()).flat_map(|below| entries(below)));
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        let says = ["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];
        path.is_file() && !name.ends_with(".RS") && says.iter().any(|start| name.starts_with(start))
    });
    files.sort();
    files
}

/// What makes two texts the same: their words, and of the Apache License only its terms.
fn essence(text: &str) -> String {
    let text = text.split("END OF TERMS AND CONDITIONS").next().unwrap_or_default();
    let start = text.find("Apache License").filter(|_| text.contains("Version 2.0, January 2004"));
    text[start.unwrap_or(0)..].split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Names in lines of a hundred columns.
fn wrapped(names: &[String]) -> String {
    let mut lines = String::new();
    let mut width = 0;
    for (index, name) in names.iter().enumerate() {
        let name = if index + 1 < names.len() { format!("{name},") } else { name.clone() };
        if width > 0 && width + 1 + name.len() > 100 {
            lines.push('\n');
            width = 0;
        } else if width > 0 {
            lines.push(' ');
            width += 1;
        }
        lines.push_str(&name);
        width += name.len();
    }
    lines
}
