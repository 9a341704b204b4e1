//! The reference that `make doc` makes of the header has every function, and no link in it leads nowhere; and what its tables
//! of idioms say is code that a compiler takes.
//!
//! `RF_PYTHON` names a Python that has sphinx, furo and myst-parser.

mod programs;

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use programs::*;

fn python() -> OsString {
    env::var_os("RF_PYTHON").unwrap_or_else(|| "python3".into())
}

/// Where the reference is; None: nothing can make it here.
fn reference() -> Option<&'static Path> {
    static REFERENCE: OnceLock<Option<PathBuf>> = OnceLock::new();
    let made = REFERENCE.get_or_init(|| {
        let can = Command::new(python()).args(["-c", "import sphinx, furo, myst_parser"]).output();
        if !can.is_ok_and(|output| output.status.success()) {
            return None;
        }
        let out = scratch().join("reference");
        let mut command = Command::new(python());
        command.arg("-B").arg(root().join("src/doc/build.py")).arg(&out);
        succeeds(command);
        Some(out)
    });
    if made.is_none() {
        println!("skipped: the reference (no Python with sphinx, furo and myst-parser)");
    }
    made.as_deref()
}

/// The files below a folder, by their names there.
fn files(folder: &Path) -> BTreeMap<String, PathBuf> {
    let mut found = BTreeMap::new();
    let mut left = vec![folder.to_owned()];
    while let Some(next) = left.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                left.push(path);
            } else {
                let name =
                    path.strip_prefix(folder).expect("a file of the folder").to_string_lossy().into_owned();
                found.insert(name, path);
            }
        }
    }
    found
}

fn header() -> String {
    fs::read_to_string(root().join("include/requests_futures.h")).expect("the header")
}

/// What stands in quotes behind this, wherever it does.
fn quoted<'a>(text: &'a str, before: &str) -> Vec<&'a str> {
    text.split(before).skip(1).filter_map(|rest| rest.split('"').next()).collect()
}

#[test]
fn every_function_is_in_the_reference_once_and_has_a_man_page() {
    let Some(reference) = reference() else { return };
    let pages = files(&reference.join("html"));
    let html: Vec<String> = pages
        .iter()
        .filter(|(name, _)| name.ends_with(".html"))
        .map(|(_, path)| fs::read_to_string(path).expect("a page"))
        .collect();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for page in &html {
        for id in quoted(page, " id=\"c.") {
            *places.entry(id).or_default() += 1;
        }
    }
    let header = header();
    let functions = functions(&header);
    let wrong: Vec<&&str> = functions.iter().filter(|name| places.get(**name) != Some(&1)).collect();
    assert!(wrong.is_empty(), "these do not stand in the reference once: {wrong:?}");

    let man = files(&reference.join("man"));
    for name in &functions {
        let path = man.get(&format!("{name}.3")).unwrap_or_else(|| panic!("there is no man page of {name}"));
        let page = fs::read_to_string(path).expect("a man page");
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "SEE ALSO"] {
            assert!(
                page.contains(&format!(".SH {section}")) || page.contains(&format!(".SH \"{section}\"")),
                "{name}: {section}"
            );
        }
        assert!(page.contains(name), "{name}");
    }
    assert!(man.contains_key("requests_futures.3") && functions.len() > 200);
}

/// The types that the header of C++ declares for its users: those with a comment, outside of what is behind them.
fn types_of_cxx(header: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut behind, mut last) = (false, "");
    for line in header.lines() {
        if ["namespace detail {", "namespace ownership {"].contains(&line) {
            behind = true;
        } else if line.starts_with("}  // namespace") {
            behind = false;
        } else if !behind && line.ends_with('{') && (last.starts_with("///") || last.starts_with("template"))
        {
            let rest = ["class ", "struct ", "enum class "].iter().find_map(|start| line.strip_prefix(start));
            let name =
                rest.and_then(|rest| rest.trim_start_matches("[[nodiscard]] ").split([' ', '<']).next());
            found.extend(name);
        }
        last = line;
    }
    found
}

#[test]
fn every_type_of_cxx_is_in_the_reference_and_no_declaration_is_cut_off() {
    let Some(reference) = reference() else { return };
    let pages = files(&reference.join("html/cxx"));
    let all: String = pages.values().map(|path| fs::read_to_string(path).expect("a page")).collect();
    let header = fs::read_to_string(root().join("include/requests_futures.hpp")).expect("the header");
    let types = types_of_cxx(&header);
    assert!(types.len() > 40, "{types:?}");
    let anchor = |name: &str| format!("16requests_futures{}{name}E\"", name.len());
    let missing: Vec<&&str> = types.iter().filter(|name| !all.contains(&anchor(name))).collect();
    assert!(missing.is_empty(), "these do not stand in the reference: {missing:?}");
    let text = without_tags(&all);
    for whole in [
        "response make(int status_code, const optional_zstring &amp;content_type = nullptr, std::string_view body = {})",
        "future get(const zstring &amp;url, options_ref options = {}) const",
        "options &amp;set_cert_pem(std::string_view cert, std::string_view key = {})",
    ] {
        assert_eq!(text.matches(whole).count(), 1, "{whole}");
    }
    // And what it stands for in C is a link.
    assert!(all.contains("href=\"../sessions.html#c.rf_session_get\""));
}

fn without_tags(html: &str) -> String {
    html.split('<').map(|part| part.split_once('>').map_or(part, |(_, text)| text)).collect()
}

#[test]
fn no_link_of_the_reference_leads_nowhere() {
    let Some(reference) = reference() else { return };
    let pages = files(&reference.join("html"));
    let mut anchors: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    let mut links = Vec::new();
    for (name, path) in pages.iter().filter(|(name, _)| name.ends_with(".html")) {
        let page = fs::read_to_string(path).expect("a page");
        anchors.insert(name, quoted(&page, " id=\"").into_iter().map(str::to_owned).collect());
        for before in [" href=\"", " src=\""] {
            links.extend(quoted(&page, before).into_iter().map(|link| (name.as_str(), link.to_owned())));
        }
    }
    let mut broken = Vec::new();
    let mut count = 0;
    for (page, link) in &links {
        if link.starts_with("https://") {
            continue;
        }
        count += 1;
        let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
        let path = path.split('?').next().unwrap_or_default();
        let target = if path.is_empty() { (*page).to_owned() } else { joined(page, path) };
        let is_there = pages.contains_key(&target);
        let has = anchor.is_empty() || anchors.get(target.as_str()).is_some_and(|ids| ids.contains(anchor));
        if !is_there || !has {
            broken.push(format!("{page}: {link}"));
        }
    }
    assert!(broken.is_empty() && count > 1000, "of {count} links: {broken:#?}");

    // What a man page refers to has one.
    let man = files(&reference.join("man"));
    for (name, path) in &man {
        let page = fs::read_to_string(path).expect("a man page").replace("\\fP", "").replace("\\fB", "");
        for (at, _) in page.match_indices("(3)") {
            let other = words(&page[..at]).last().unwrap_or_default();
            assert!(man.contains_key(&format!("{other}.3")), "{name} refers to {other}(3)");
        }
    }
}

/// What GitHub makes of a heading, so that links lead to it.
fn anchor_of(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars().filter_map(|letter| match letter {
        ' ' => Some('-'),
        '-' | '_' => Some(letter),
        _ if letter.is_alphanumeric() => Some(letter.to_ascii_lowercase()),
        _ => None,
    });
    kept.collect()
}

#[test]
fn no_link_of_the_pages_written_by_hand_leads_nowhere() {
    let guides = fs::read_dir(root().join("src/doc/guide")).expect("the guides");
    let guides = guides.map(|entry| entry.expect("an entry").path());
    let pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| root().join(name));
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    let mut count = 0;
    for page in guides.chain(pages) {
        for rest in read(&page).split("](").skip(1) {
            let link = rest.split(')').next().unwrap_or_default();
            if link.starts_with("https://") {
                continue;
            }
            count += 1;
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target =
                if path.is_empty() { page.clone() } else { page.parent().expect("a folder").join(path) };
            assert!(target.exists(), "{page:?} links {link}");
            let is_there = anchor.is_empty()
                || read(&target).lines().any(|line| line.starts_with('#') && anchor_of(line) == anchor);
            assert!(is_there, "{page:?} links {link}");
        }
    }
    assert!(count > 60, "{count} links");
}

#[test]
fn the_figures_of_the_readme_are_those_of_the_guide() {
    let rows = |name: &str| -> Vec<String> {
        let text = fs::read_to_string(root().join(name)).expect("a page");
        text.lines()
            .filter(|line| line.starts_with("| GET") || line.starts_with("| P"))
            .map(str::to_owned)
            .collect()
    };
    let (short, whole) = (rows("README.md"), rows("src/doc/guide/performance.md"));
    assert!(short.iter().filter(|row| row.contains("| threads |")).count() > 4, "{short:#?}");
    for row in &short {
        assert!(whole.contains(row), "{row}");
    }
}

/// Where a relative link of a page leads.
fn joined(page: &str, link: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => {
                parts.pop();
            }
            "." => {}
            other => parts.push(other),
        }
    }
    parts.join("/")
}

#[test]
fn mandoc_takes_the_man_pages() {
    let Some(reference) = reference() else { return };
    if Command::new("mandoc").arg("-T").arg("ascii").arg("/dev/null").output().is_err() {
        println!("skipped: man pages (no mandoc)");
        return;
    }
    let mut command = Command::new("mandoc");
    command.args(["-T", "lint", "-W", "error"]).args(files(&reference.join("man")).values());
    succeeds(command);
}

// ---- idioms ----

/// The lines of a table: what it is about, theirs, ours.
fn idioms(name: &str) -> Vec<(String, String, String)> {
    let text = fs::read_to_string(root().join("src/doc").join(name)).expect(name);
    let lines: Vec<&str> =
        text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with("# ")).collect();
    let rows = lines.chunks(3).map(|row| {
        assert!(
            row.len() == 3
                && !row[0].starts_with(' ')
                && row[1..].iter().all(|code| code.starts_with("    ")),
            "{row:?}"
        );
        (row[0].to_owned(), row[1].trim().to_owned(), row[2].trim().to_owned())
    });
    rows.collect()
}

/// What the code of the tables needs to be a program.
const OURS: &str = r#"
#include <requests_futures.h>
#include <stdlib.h>
extern rf_status take(const uint8_t *data, size_t length, void *user_data);
extern int64_t give(uint8_t *buffer, size_t capacity, void *user_data);
extern rf_status progress(int64_t, int64_t, int64_t, int64_t, void *);
extern rf_status prepare(rf_prepared *prepared, void *user_data);
extern rf_status hook(rf_hook_call *call, const rf_response *response, void *user_data);
extern void finished(rf_future *future, void *user_data);
extern rf_executor *executor;
extern rf_config *config;
extern rf_session *session;
extern rf_options *options;
extern rf_retry *retry;
extern rf_adapter *adapter;
extern rf_future *future, *second, *futures[2];
extern rf_completed *completed;
extern const rf_response *response, *first;
extern const rf_error *error;
extern rf_cookies *cookies;
extern const rf_json *json;
extern rf_status status;
extern const char *url, *text;
extern char *string;
extern const uint8_t *bytes;
extern uint8_t buffer[8192];
extern size_t length, index;
extern int64_t value;
extern double seconds;
extern long number;
extern int descriptor;
extern bool again, done[2];
extern void *user_data;
"#;

const LIBCURL: &str = r#"
#include <curl/curl.h>
#include <stdbool.h>
#include <stdio.h>
extern size_t append(char *data, size_t size, size_t count, void *memory);
extern size_t supply(char *data, size_t size, size_t count, void *user_data);
extern int transferred(void *, curl_off_t, curl_off_t, curl_off_t, curl_off_t);
extern int watch(CURL *, curl_socket_t, int, void *, void *);
extern CURL *curl, *another;
extern CURLM *multi;
extern CURLcode code;
extern CURLMsg *message;
extern struct curl_slist *list;
extern struct curl_header *header;
extern curl_mime *mime;
extern curl_mimepart *part;
extern FILE *file;
extern const char *url, *text;
extern char *string, buffer[CURL_ERROR_SIZE];
extern void *memory, *user_data;
extern long number;
extern int running;
extern bool again;
"#;

/// Has the compiler read one function for each line.
fn compiles(name: &str, before: &str, lines: &[String]) {
    let mut text = before.to_owned();
    for (number, line) in lines.iter().enumerate() {
        text.push_str(&format!("void line_{number}(void);\nvoid line_{number}(void) {{ {line} }}\n"));
    }
    let source = scratch().join(format!("{name}.c"));
    fs::create_dir_all(scratch()).expect("a folder");
    fs::write(&source, text).expect("a source");
    let mut command = Command::new(cc());
    command.args([
        "-std=c99",
        "-Wall",
        "-Wextra",
        "-Wpedantic",
        "-Werror",
        "-Wno-unused-result",
        "-fsyntax-only",
    ]);
    // Names of this file that the C library has as well.
    command.args(["-fno-builtin", "-Wno-deprecated-declarations"]);
    command.arg("-I").arg(root().join("include")).arg(&source);
    succeeds(command);
}

#[test]
fn our_side_of_each_idiom_compiles() {
    for name in ["from_libcurl.txt", "from_requests.txt"] {
        let lines: Vec<String> = idioms(name).into_iter().map(|(_, _, ours)| ours).collect();
        assert!(lines.len() > 40, "{name} has {} lines", lines.len());
        compiles(&format!("ours_{}", name.trim_end_matches(".txt")), OURS, &lines);
    }
}

#[test]
fn libcurls_side_of_each_idiom_compiles() {
    let mut command = Command::new(cc());
    command.args(["-E", "-x", "c", "-include", "curl/header.h", "/dev/null"]);
    if !command.output().is_ok_and(|output| output.status.success()) {
        println!("skipped: libcurl's side of the idioms (no curl/header.h)");
        return;
    }
    let lines: Vec<String> = idioms("from_libcurl.txt").into_iter().map(|(_, theirs, _)| theirs).collect();
    compiles("theirs", LIBCURL, &lines);
}

#[test]
fn requests_side_of_each_idiom_is_python() {
    if Command::new(python()).arg("--version").output().is_err() {
        println!("skipped: the side of requests of the idioms (no Python)");
        return;
    }
    let lines = idioms("from_requests.txt").into_iter().map(|(_, theirs, _)| theirs);
    let mut command = Command::new(python());
    command
        .arg("-c")
        .arg("import ast, sys\nfor line in sys.argv[1:]: ast.parse(line)")
        .args(lines.map(OsString::from));
    succeeds(command);
}
