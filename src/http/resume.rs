//! A download that goes on where it broke off: what has arrived lies in NAME.part, and what it is the beginning of stands
//! in NAME.part.meta.
//!
//! At any moment the process may be killed. So the part is empty whenever what describes it is about to change, and what
//! it holds is the beginning of what is described there; a description of which only a part was written describes nothing.

use std::ffi::OsString;
use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::output::{CHANGES, Goal, PIECE, close, followed, is_same, keep_owner_and_mode};
use super::set_cookie::parse_date;
use crate::future::control::{Control, SLICE};
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::url::without_userinfo;
use crate::system::{fiber, file_lock, thread};

/// The beginning of a file. It is locked as long as this lives.
pub struct Part {
    name: PathBuf,
    target: PathBuf,
    path: PathBuf,
    meta: PathBuf,
    file: File,
    control: Arc<Control>,
    /// Content codings are undone.
    decodes: bool,
    /// What was asked for.
    url: String,
    /// What the part is the beginning of. None: nobody knows, or it is of no use.
    known: Option<Known>,
    /// So many bytes are there.
    length: u64,
    /// The response that is being written began here.
    from: u64,
    /// And has nothing behind this.
    end: Option<u64>,
    /// It has its name.
    is_done: bool,
}

/// What a server said of a body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Known {
    validator: Option<Validator>,
    total: Option<u64>,
    /// The content codings that the bytes still have; empty: none.
    coding: String,
    /// Which URL has answered, behind redirects: validators of two resources say nothing of each other.
    at: String,
}

/// What two bodies have in common if they are the same, byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Validator {
    Etag(String),
    LastModified(String),
}

/// What a response means for the part.
#[derive(Debug, PartialEq, Eq)]
pub enum Fit {
    /// Its body is the whole file.
    Whole,
    /// Its body goes behind the part, up to `end` of `total` bytes.
    GoesOn { end: u64, total: u64 },
    /// The part is the whole file.
    Complete,
    /// It is not about the file.
    Other,
    /// It does not fit the part, for this reason.
    Unfit(String),
}

const MAGIC: &str = "requests-futures part 1";
/// Nothing that describes a part is longer.
const LONGEST: u64 = 1 << 20;

impl Validator {
    /// None: there is none that is strong (RFC 9110, 8.8 and 13.1.5).
    fn of(head: &Head) -> Option<Validator> {
        let is_plain = |value: &str| value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
        let plain = |name| head.get(name).map(str::trim).filter(|value| !value.is_empty());
        match plain("etag") {
            // Who has an ETag that is weak must not go by the date instead.
            Some(etag) => {
                let is_weak = etag.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("W/"));
                (!is_weak && is_plain(etag)).then(|| Validator::Etag(etag.into()))
            }
            None => {
                let modified = plain("last-modified").filter(|value| is_plain(value))?;
                let at = parse_date(modified)?;
                // Within the second of a change there may have been another one.
                let is_strong = at < parse_date(plain("date")?)?;
                is_strong.then(|| Validator::LastModified(modified.into()))
            }
        }
    }

    fn name(&self) -> &'static str {
        match self {
            Validator::Etag(_) => "etag",
            Validator::LastModified(_) => "last-modified",
        }
    }

    fn value(&self) -> &str {
        match self {
            Validator::Etag(value) | Validator::LastModified(value) => value,
        }
    }

    /// What a head has of the same kind.
    fn counterpart<'a>(&self, head: &'a Head) -> Option<&'a str> {
        head.get(self.name()).map(str::trim)
    }
}

impl Known {
    /// What a response with the whole body says of it.
    fn of(head: &Head, url: &str, decodes: bool) -> Known {
        let coding = coding_of(head);
        if decodes && !coding.is_empty() {
            // What is written is not what a range would be a part of.
            return Known::default();
        }
        Known { validator: Validator::of(head), total: announced(head), coding, at: resource(url) }
    }

    fn written(&self, url: &str) -> String {
        let mut text = format!("{MAGIC}\nurl: {url}\n");
        let mut line = |name: &str, value: &str| text.extend([name, ": ", value, "\n"]);
        if let Some(validator) = &self.validator {
            line(validator.name(), validator.value());
        }
        if !self.coding.is_empty() {
            line("coding", &self.coding);
        }
        line("at", &self.at);
        if let Some(total) = self.total {
            line("length", &total.to_string());
        }
        line("end", "");
        text
    }

    /// None: it describes nothing, or what another URL leads to. A line without its end was not written to its end.
    fn read(text: &str, url: &str) -> Option<Known> {
        let mut lines = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
        if lines.next() != Some(MAGIC) {
            return None;
        }
        let (mut known, mut is_of_url, mut is_whole) = (Known::default(), false, false);
        for line in lines {
            let (name, value) = line.split_once(": ")?;
            match name {
                "url" => is_of_url = value == url,
                "etag" => known.validator = Some(Validator::Etag(value.into())),
                "last-modified" => known.validator = Some(Validator::LastModified(value.into())),
                "coding" => known.coding = value.into(),
                "at" => known.at = value.into(),
                "length" => known.total = Some(value.parse().ok()?),
                "end" => is_whole = true,
                _ => return None,
            }
        }
        (is_of_url && is_whole).then_some(known)
    }
}

/// What a URL names, without what differs each time where links are signed: its query.
fn resource(url: &str) -> String {
    let url = without_userinfo(url);
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// The content codings of a body, in lower case.
fn coding_of(head: &Head) -> String {
    let coding = head.joined("content-encoding").unwrap_or_default().trim().to_ascii_lowercase();
    if coding == "identity" { String::new() } else { coding }
}

/// Whether the body has ranges each with a head of its own, which nobody has asked for.
fn is_multipart(content_type: &str) -> bool {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("multipart/byteranges")
}

/// How long the body is, as far as the head says so.
fn announced(head: &Head) -> Option<u64> {
    if head.get("transfer-encoding").is_some() {
        return None;
    }
    number(head.get("content-length")?.trim())
}

fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// `bytes 0-9/100`: first, end and total; `bytes */100`: the total alone.
fn content_range(head: &Head) -> Option<(Option<(u64, u64)>, u64)> {
    let mut values = head.all("content-range");
    let value = values.next()?;
    if values.next().is_some() {
        return None;
    }
    let (unit, rest) = value.as_str().trim().split_once(' ')?;
    let (range, total) = rest.trim().split_once('/')?;
    let total = number(total)?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    if range == "*" {
        return Some((None, total));
    }
    let (first, last) = range.split_once('-')?;
    let (first, last) = (number(first)?, number(last)?);
    (first <= last && last < total).then_some((Some((first, last + 1)), total))
}

impl Part {
    /// Opens the part of a file, and locks it. None: there is something else than a file under its name.
    pub fn open(
        name: &Path,
        url: &str,
        decodes: bool,
        control: &Arc<Control>,
    ) -> Result<Option<Part>, Error> {
        let goal = Goal::output(name);
        let mut changes = 0;
        loop {
            Error::check(control, format_args!(" while opening the {}", goal.what))?;
            let there = match fs::metadata(name) {
                Ok(there) => Some(there),
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                Err(error) => return Err(goal.failed(&error)),
            };
            match &there {
                Some(there) if there.is_dir() => return Err(goal.is_folder()),
                Some(there) if !there.is_file() => return Ok(None),
                _ => {}
            }
            let target = followed(name).map_err(|error| goal.failed(&error))?;
            if goal.leads_to_folder(&target) {
                return Err(goal.is_folder());
            }
            let path = with_suffix(&target, ".part");
            match lock(&goal, &target, &path, there.is_some()) {
                Ok(Locked::Yes(file, about)) => {
                    let meta = with_suffix(&path, ".meta");
                    let known = read_meta(&meta, url);
                    return Ok(Some(Part {
                        name: name.into(),
                        target,
                        path,
                        meta,
                        file,
                        control: control.clone(),
                        decodes,
                        url: url.into(),
                        known,
                        length: about.len(),
                        from: 0,
                        end: None,
                        is_done: false,
                    }));
                }
                Ok(Locked::Leased) => {}
                Ok(Locked::Changed) if changes < CHANGES => changes += 1,
                Ok(Locked::Changed) => {
                    return Err(goal.refused(&format!("{} is replaced again and again", path.display()), 0));
                }
                Err(error) => return Err(error),
            }
            fiber::sleep(SLICE);
        }
    }

    fn goal(&self) -> Goal<'_> {
        Goal::output(&self.name)
    }

    /// What the part is the beginning of, where the rest of it can be asked for.
    fn asked(&self) -> Option<(&Known, &Validator)> {
        let known = self.known.as_ref().filter(|_| self.length > 0)?;
        let is_written_as_sent = known.coding.is_empty() || !self.decodes;
        known.validator.as_ref().filter(|_| is_written_as_sent).map(|validator| (known, validator))
    }

    /// The headers that ask for the rest.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        let ask = |(_, validator): (&Known, &Validator)| {
            [("Range", format!("bytes={}-", self.length)), ("If-Range", validator.value().to_owned())]
        };
        self.asked().map(ask).into_iter().flatten()
    }

    /// How many bytes are there already, of what is asked for.
    pub fn asks_from(&self) -> u64 {
        self.asked().map_or(0, |_| self.length)
    }

    /// All of it is asked for from now on.
    pub fn begin_anew(&mut self) {
        self.known = None;
    }

    /// What the response from this URL means.
    pub fn fit(&self, status: u16, head: &Head, url: &str) -> Fit {
        match (status, self.asked()) {
            (200, _) => Fit::Whole,
            (206 | 416, Some((known, _))) if resource(url) != known.at => {
                Fit::Unfit(format!("what is there came from {}", known.at))
            }
            (206, Some((known, validator))) => self
                .rest(known, validator, head)
                .map_or_else(Fit::Unfit, |(end, total)| Fit::GoesOn { end, total }),
            (206, None) => Fit::Unfit("it is a part of the file, and all of it was asked for".into()),
            (416, Some((known, validator))) => {
                let is_other = validator.counterpart(head).is_some_and(|value| value != validator.value());
                let total = match content_range(head) {
                    Some((None, total)) => Some(total),
                    _ => None,
                };
                let is_all =
                    total == Some(self.length) && known.total.is_none_or(|total| total == self.length);
                match is_all && !is_other {
                    true => Fit::Complete,
                    false => Fit::Unfit(format!("there is nothing behind byte {}", self.length)),
                }
            }
            _ => Fit::Other,
        }
    }

    /// Where the body of a 206 ends, and how long the whole is. The error says what is wrong with it.
    fn rest(&self, known: &Known, validator: &Validator, head: &Head) -> Result<(u64, u64), String> {
        if head.get("content-type").is_some_and(is_multipart) {
            return Err("its body is in several ranges".into());
        }
        let Some((Some((first, end)), total)) = content_range(head) else {
            let range = head.joined("content-range").unwrap_or_default();
            return Err(format!("its Content-Range is \"{}\"", range.escape_debug()));
        };
        if first != self.length {
            return Err(format!("its Content-Range begins at byte {first}, not {}", self.length));
        }
        if let Some(stored) = known.total.filter(|stored| *stored != total) {
            return Err(format!("the file has {total} bytes, and had {stored}"));
        }
        if announced(head).is_some_and(|length| length != end - first) {
            return Err("its Content-Range and its Content-Length contradict each other".into());
        }
        if validator.counterpart(head) != Some(validator.value()) {
            return Err("its ETag or Last-Modified is another one".into());
        }
        if coding_of(head) != known.coding {
            return Err("its Content-Encoding is another one".into());
        }
        Ok((end, total))
    }

    /// The body of a response with this head, from this URL, comes next, from the start of the file. None: nobody knows
    /// what it is.
    pub fn restart(&mut self, head: Option<&Head>, url: &str) -> Result<(), Error> {
        Error::check(&self.control, " while writing the output")?;
        // First, so that nothing lies there that the new description does not fit.
        self.cut(0)?;
        let known = head.map(|head| Known::of(head, url, self.decodes)).unwrap_or_default();
        let written = self.write_meta(&known);
        written.map_err(|error| self.meta_failed(&error))?;
        self.end = known.total;
        self.known = Some(known);
        Ok(())
    }

    /// The same, from where the part ends.
    pub fn go_on(&mut self, end: u64, total: u64) -> Result<(), Error> {
        (self.from, self.end) = (self.length, Some(end));
        let Some(known) = self.known.as_mut().filter(|known| known.total.is_none()) else { return Ok(()) };
        known.total = Some(total);
        let add = || {
            let mut file = OpenOptions::new().append(true).custom_flags(FLAGS).open(&self.meta)?;
            thread::without_signals_of_writing(|| file.write_all(format!("length: {total}\n").as_bytes()))
        };
        let added = match (add(), &self.known) {
            // Whoever completed the part before us removes its description last, and may have done so only now.
            (Err(error), Some(known)) if error.kind() == io::ErrorKind::NotFound => self.write_meta(known),
            (added, _) => added,
        };
        added.map_err(|error| self.meta_failed(&error))
    }

    fn cut(&mut self, length: u64) -> Result<(), Error> {
        self.file.set_len(length).map_err(|error| self.goal().failed(&error))?;
        (self.length, self.from) = (length, length);
        Ok(())
    }

    fn write_meta(&self, known: &Known) -> io::Result<()> {
        match fs::remove_file(&self.meta) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut options = OpenOptions::new();
        // A URL may hold secrets.
        options.write(true).create_new(true).mode(0o600).custom_flags(FLAGS);
        let mut file = options.open(&self.meta)?;
        let text = known.written(&self.url);
        thread::without_signals_of_writing(|| file.write_all(text.as_bytes()))
    }

    fn meta_failed(&self, error: &io::Error) -> Error {
        Error::os(ErrorKind::Request, format!("Cannot write {}", self.meta.display()), error)
    }

    /// Writes behind what is there. Of a server that sends more than it has announced nothing is believed: what is there
    /// goes, and the next request asks for all of it.
    pub fn write(&mut self, data: &[u8]) -> Result<(), Error> {
        if let Some(end) = self.end.filter(|end| end - self.length < data.len() as u64) {
            let total = end - self.from;
            self.cut(0)?;
            let text = format!("The body has more than the {total} bytes that were announced");
            return Err(Error::new(ErrorKind::Request, text));
        }
        let mut left = data;
        while !left.is_empty() {
            Error::check(&self.control, " while writing the output")?;
            let piece = &left[..left.len().min(PIECE)];
            let (file, at) = (&self.file, self.length);
            match thread::without_signals_of_writing(|| file.write_at(piece, at)) {
                Ok(0) => return Err(self.goal().failed(&io::ErrorKind::WriteZero.into())),
                Ok(count) => {
                    left = &left[count..];
                    self.length += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.goal().failed(&error)),
            }
        }
        Ok(())
    }

    /// After the end of a response: None, the part is the whole file; or how many bytes it should have, and whether the
    /// server has given all that it had promised.
    pub fn missing(&self) -> Option<(u64, bool)> {
        let total =
            self.known.as_ref().and_then(|known| known.total).filter(|total| *total != self.length)?;
        Some((total, self.end == Some(self.length)))
    }

    pub fn length(&self) -> u64 {
        self.length
    }

    /// Gives the part the name of the file.
    pub fn complete(mut self) -> Result<(), Error> {
        Error::check(&self.control, " while writing the output")?;
        let finish = || {
            // Some file systems say only when it is closed that there was no room for all of it. The lock goes with the
            // last descriptor.
            close(self.file.try_clone()?)?;
            let about = self.file.metadata()?;
            if !is_at(&self.path, &about) {
                return Ok(Some("is not there any more"));
            }
            if about.len() != self.length {
                return Ok(Some("was changed by somebody else"));
            }
            if let Ok(there) = fs::metadata(&self.target) {
                keep_owner_and_mode(&self.file, &there);
            }
            fs::rename(&self.path, &self.target)?;
            Ok(None)
        };
        match finish() {
            Ok(None) => {}
            Ok(Some(why)) => {
                return Err(self.goal().refused(&format!("{} {why}", self.path.display()), 0));
            }
            Err(error) => return Err(self.goal().failed(&error)),
        }
        self.is_done = true;
        // What it describes is nothing any more, so that it does no harm where it stays.
        let _ = fs::remove_file(&self.meta);
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if self.control.origin().is_inherited() {
            // It is the parent's, its lock as well.
            return;
        }
        let is_empty =
            || self.file.metadata().is_ok_and(|about| about.len() == 0 && is_at(&self.path, &about));
        if !self.is_done && is_empty() {
            // There is nothing to go on with. What cannot be removed does no harm.
            let _ = fs::remove_file(&self.meta);
            let _ = fs::remove_file(&self.path);
        }
        file_lock::unlock(&self.file);
    }
}

/// What is opened is a file of our own, or nothing.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY;

enum Locked {
    Yes(File, Metadata),
    /// Another process has a lease on it, and has just been told that it is wanted.
    Leased,
    /// Somebody has renamed or removed it meanwhile.
    Changed,
}

fn lock(goal: &Goal<'_>, target: &Path, path: &Path, is_there: bool) -> Result<Locked, Error> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).custom_flags(FLAGS);
    if is_there {
        // Until it has the rights of the file that is there.
        options.mode(0o600);
    }
    let file = match options.open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(Locked::Leased),
        Err(error) => return Err(goal.cannot_create(target, &error)),
    };
    let refused = |why: &str, code| goal.refused(&format!("{} {why}", path.display()), code);
    let about = file.metadata().map_err(|error| goal.failed(&error))?;
    if !about.is_file() || about.nlink() > 1 {
        return Err(refused("is no file, or has another name as well", 0));
    }
    if !file_lock::is_own(&about) {
        return Err(refused("belongs to another user", libc::EACCES));
    }
    match file_lock::try_lock(&file) {
        Ok(true) => {}
        Ok(false) => {
            return Err(refused("is being written by another request or process", libc::EWOULDBLOCK));
        }
        Err(error) => return Err(goal.failed(&error)),
    }
    // Who had it before may have given it the file's name since it was opened here, or removed it.
    let about = file.metadata().map_err(|error| goal.failed(&error))?;
    if is_at(path, &about) {
        return Ok(Locked::Yes(file, about));
    }
    file_lock::unlock(&file);
    Ok(Locked::Changed)
}

/// Whether the file that this is about is still the one of that name.
fn is_at(path: &Path, about: &Metadata) -> bool {
    fs::symlink_metadata(path).is_ok_and(|other| is_same(about, &other))
}

/// What describes a part, where it is ours.
fn read_meta(path: &Path, url: &str) -> Option<Known> {
    let file = OpenOptions::new().read(true).custom_flags(FLAGS).open(path).ok()?;
    let about = file.metadata().ok()?;
    let mut text = String::new();
    if !about.is_file() || !file_lock::is_own(&about) || about.len() > LONGEST {
        return None;
    }
    file.take(LONGEST).read_to_string(&mut text).ok()?;
    Known::read(&text, url)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &str) -> Head {
        Head::of_response(format!("HTTP/1.1 200 OK\r\n{fields}\r\n"))
    }

    #[test]
    fn a_content_range_has_a_range_or_none_and_always_a_total() {
        let range = |value: &str| content_range(&head(&format!("Content-Range: {value}\r\n")));
        assert_eq!(range("bytes 0-9/100"), Some((Some((0, 10)), 100)));
        assert_eq!(range("Bytes  5-5/6"), Some((Some((5, 6)), 6)));
        assert_eq!(range("bytes */0"), Some((None, 0)));
        for odd in [
            "",
            "bytes",
            "bytes 0-9",
            "bytes 0-9/*",
            "bytes 9-0/100",
            "bytes 0-100/100",
            "bytes -9/100",
            "0-9/100",
            "bytes +0-9/100",
            "lines 0-9/100",
            "bytes 0-18446744073709551615/18446744073709551616",
        ] {
            assert_eq!(range(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn what_was_written_is_read_again_and_nothing_else() {
        let known = Known {
            validator: Some(Validator::Etag("\"a: b\"".into())),
            total: Some(5),
            coding: "gzip".into(),
            at: "http://h/".into(),
        };
        for known in [known.clone(), Known { total: None, ..known }, Known::default()] {
            let text = known.written("http://h/?a: b");
            assert_eq!(Known::read(&text, "http://h/?a: b"), Some(known.clone()));
            assert_eq!(Known::read(&text, "http://h/"), None);
            for length in 0..text.len() {
                assert_eq!(Known::read(&text[..length], "http://h/?a: b"), None);
            }
            // What was added later counts, once all of it is there.
            let longer = format!("{text}length: 77\n");
            assert_eq!(Known::read(&longer, "http://h/?a: b").unwrap().total, Some(77));
            assert_eq!(Known::read(&longer[..longer.len() - 2], "http://h/?a: b"), Some(known));
        }
    }
}
