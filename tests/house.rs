//! The rooms of `src`, one above the other: a room uses only those below it.
//!
//! The order stands here, once, and `src/lib.rs` tells it. Read are the `crate::` and `super::` paths of every file, its
//! unit tests included.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// From top to bottom.
const ROOMS: [&str; 7] = ["ffi", "session", "executor", "http", "message", "future", "system"];

/// What is no part of the library's house: its root, the program of a worker process, which only loads the library, and what
/// stands on its C face from outside.
const OUTSIDE: [&str; 3] = ["lib.rs", "worker.rs", "nats/"];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every file below `folder`, by its path from `src`.
fn files(folder: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let name = path.strip_prefix(sources()).expect("below src").to_str().expect("UTF-8").to_owned();
            found.insert(name, fs::read_to_string(&path).expect("a source file"));
        }
    }
}

fn house() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    files(&sources(), &mut found);
    found.retain(|name, _| !OUTSIDE.iter().any(|outside| name.starts_with(outside)));
    assert!(found.len() > 60, "only {} files were found", found.len());
    found
}

/// Which module a file is, as a path from the crate's root.
fn module_of(file: &str) -> Vec<&str> {
    let path = file.strip_suffix(".rs").expect("a Rust file");
    path.strip_suffix("/mod").unwrap_or(path).split('/').collect()
}

/// Cuts comments and the contents of strings out of a line: what they name is not used.
fn code(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let line = line.replace("'\"'", "");
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' if in_string => drop(characters.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && characters.peek() == Some(&'/') => break,
            character if !in_string => code.push(character),
            _ => {}
        }
    }
    code
}

/// The rooms that a line of a file names, by `crate::ROOM` or by as many `super::` as lead to the root.
fn rooms_named(file: &str, line: &str) -> Vec<String> {
    let line = code(line);
    let first_name = |rest: &str| -> String {
        rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect()
    };
    let mut named: Vec<String> =
        line.match_indices("crate::").map(|(at, path)| first_name(&line[at + path.len()..])).collect();
    let up_to_root = module_of(file).len();
    let root = "super::".repeat(up_to_root);
    // Inside of a module of tests one more leads to the root: what fewer lead to is of the room itself, and no room.
    let from_root = line.match_indices(&root).map(|(at, path)| first_name(&line[at + path.len()..]));
    named.extend(from_root.filter(|name| ROOMS.contains(&name.as_str())));
    named.retain(|name| !name.is_empty());
    named
}

#[test]
fn a_room_uses_only_rooms_below_it() {
    let height = |room: &str| ROOMS.iter().position(|other| *other == room);
    let mut broken = Vec::new();
    for (file, text) in &house() {
        let room = module_of(file)[0];
        let Some(own) = height(room) else {
            broken.push(format!("src/{file}: {room} is no room: they are {}", ROOMS.join(", ")));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for named in rooms_named(file, line) {
                match height(&named) {
                    Some(other) if other < own => broken.push(format!(
                        "src/{file}:{}: {room} uses {named}, which is above it: the order is {}",
                        number + 1,
                        ROOMS.join(" > ")
                    )),
                    Some(_) => {}
                    None => broken.push(format!("src/{file}:{}: {named} is no room", number + 1)),
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn a_room_re_exports_nothing_of_another() {
    let mut broken = Vec::new();
    for (file, text) in &house() {
        for (number, line) in text.lines().enumerate() {
            let line = code(line);
            let is_public =
                line.trim_start().starts_with("pub use ") || line.trim_start().starts_with("pub(crate) use ");
            if is_public && rooms_named(file, &line).iter().any(|room| room != module_of(file)[0]) {
                broken.push(format!("src/{file}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_crates_root_tells_the_same_order() {
    let root = fs::read_to_string(sources().join("lib.rs")).expect("lib.rs");
    let told: Vec<&str> = root
        .lines()
        .filter_map(|line| line.strip_prefix("//! ")?.split_once(". [`")?.1.split_once('`'))
        .map(|(room, _)| room)
        .collect();
    assert_eq!(told, ROOMS);
    let mut declared: Vec<&str> =
        root.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    let mut rooms = ROOMS.to_vec();
    declared.sort_unstable();
    rooms.sort_unstable();
    assert_eq!(declared, rooms);
}

/// Outside of `ffi` and of what speaks to the system nobody knows C's strings; outside of `http` nobody knows TLS, and one
/// file alone the engine.
#[test]
fn what_one_room_knows_the_others_do_not() {
    let rules = [
        ("ureq::", &["http/engine.rs"][..]),
        ("rustls::", &["http/"]),
        ("crossbeam_channel", &["executor/threads.rs"]),
        ("c_char", &["ffi/", "system/"]),
    ];
    let mut broken = Vec::new();
    for (file, text) in &house() {
        for (number, line) in text.lines().enumerate() {
            for (what, places) in rules {
                if code(line).contains(what) && !places.iter().any(|place| file.starts_with(place)) {
                    let places = places.join(" and src/");
                    broken.push(format!("src/{file}:{}: {what} is known in src/{places} alone", number + 1));
                }
            }
        }
    }
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn the_check_sees_what_it_is_to_see() {
    assert_eq!(rooms_named("http/send.rs", "use crate::session::{Session};"), ["session"]);
    assert_eq!(rooms_named("http/tls/mod.rs", "    super::super::executor::Task;"), ["executor"]);
    assert_eq!(
        rooms_named("http/send.rs", "let x = crate::message::url::Url::parse; // crate::ffi::y"),
        ["message"]
    );
    assert_eq!(
        rooms_named("http/send.rs", "let x = \"crate::ffi\"; use super::adapter::Route;"),
        Vec::<String>::new()
    );
}
