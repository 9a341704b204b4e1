//! Downloads that go on: what describes a part, and what a server answers to who asks for the rest.
//!
//! The first line of the input is the URL, the second one how long the part is, the third the status of the answer. Up to
//! an empty line follows the description, and then the fields of the answer's head.
//!
//! Nothing is gone on with but what the description and the answer agree about, word for word; and what is written down
//! of an answer is read again as it was.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use requests_futures::future::control::Control;
use requests_futures::http::resume::{Fit, Part};
use requests_futures::message::head::Head;

use super::{take_line, take_text};

struct Folder(PathBuf);

impl Folder {
    fn new() -> Folder {
        let folder = std::env::temp_dir().join(format!("rf-fuzz-resume-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        Folder(folder)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// What the next request would ask for.
fn asks(part: &Part) -> Option<(String, String)> {
    let headers: Vec<_> = part.headers().collect();
    match &headers[..] {
        [] => None,
        [("Range", range), ("If-Range", validator)] => Some((range.clone(), validator.clone())),
        other => panic!("{other:?}"),
    }
}

fn range_of(head: &Head) -> String {
    head.get("content-range").unwrap_or_default().split_whitespace().collect::<String>().to_ascii_lowercase()
}

pub fn resume(data: &[u8]) {
    let mut data = data;
    let url = take_text(&mut data);
    let length = take_text(&mut data).parse().unwrap_or(0) % 100;
    let status = take_text(&mut data).parse().unwrap_or(206);
    let mut description = Vec::new();
    while !data.is_empty() {
        let line = take_line(&mut data);
        if line.is_empty() {
            break;
        }
        description.extend_from_slice(line);
        description.push(b'\n');
    }
    let head = Head::of_response([b"HTTP/1.1 200 OK\r\n", data, b"\r\n\r\n"].concat());
    let (folder, control) = (Folder::new(), Arc::new(Control::new()));
    let [name, path, meta] = ["file", "file.part", "file.part.meta"].map(|name| folder.0.join(name));
    let open = |url: &str| Part::open(&name, url, true, &control).expect("it is ours").expect("a file");
    fs::write(&path, vec![b'o'; length]).expect("a part");
    fs::write(&meta, &description).expect("its description");

    let mut part = open(&url);
    let asked = asks(&part);
    assert_eq!(part.asks_from(), if asked.is_some() { length as u64 } else { 0 });
    if let Some((range, validator)) = &asked {
        assert_eq!(*range, format!("bytes={length}-"));
        let text = std::str::from_utf8(&description).expect("text");
        let has = |line: String| text.split('\n').any(|other| other == line);
        assert!(has(format!("url: {url}")), "it is of another URL");
        assert!(has(format!("etag: {validator}")) || has(format!("last-modified: {validator}")));
    }
    let fit = part.fit(status, &head, &url);
    let from = url.split(['?', '#']).next().unwrap_or_default();
    let is_from = |description: &[u8]| {
        description.split(|byte| *byte == b'\n').any(|line| line == format!("at: {from}").as_bytes())
    };
    match &fit {
        Fit::GoesOn { end, total } => {
            let (_, validator) = asked.expect("the rest was asked for");
            assert_eq!(status, 206);
            assert_eq!(range_of(&head), format!("bytes{length}-{}/{total}", end - 1));
            let is_same = |name| head.get(name).map(str::trim) == Some(&*validator);
            assert!(is_same("etag") || is_same("last-modified"), "of another file");
            assert!(url.contains('@') || is_from(&description), "from another place");
        }
        Fit::Complete => {
            assert_eq!((status, range_of(&head)), (416, format!("bytes*/{length}")));
            assert!(asked.is_some());
        }
        Fit::Whole => assert_eq!(status, 200),
        Fit::Unfit(why) => assert!(matches!(status, 206 | 416) && !why.is_empty()),
        Fit::Other => assert!(!matches!(status, 200 | 206)),
    }

    // As if it were all of the file, and broke off.
    part.restart(Some(&head), &url).expect("it is written");
    let is_written = part.write(b"new").is_ok();
    drop(part);
    let part = open(&url);
    if let Some((range, validator)) = asks(&part) {
        assert!(is_written && range == "bytes=3-");
        let etag = head.get("etag").map(str::trim).filter(|etag| !etag.is_empty());
        assert_eq!(etag.or(head.get("last-modified").map(str::trim)), Some(&*validator));
        assert!(!validator.starts_with("W/"));
        let other = format!("{url}x");
        drop(part);
        assert_eq!(asks(&open(&other)), None);
    }
}
