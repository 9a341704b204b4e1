//! The body of a request: from what the options say to bytes on the wire, as often as they are needed.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::connection::Connection;
use super::progress::Meter;
use super::socket::Limits;
use super::trace;
use crate::future::control::{Control, SLICE};
use crate::future::trace::Kind;
use crate::message::error::{Error, ErrorKind};
use crate::message::form::{self, Multipart, Segment};
use crate::message::json::{Document, Failure};
use crate::message::options::{BodySource, Borrowed, Owned, Part, Reader, ReaderGuard, SharedReader};
use crate::message::prepared::ReadBody;
use crate::system::fiber;

/// A body that is ready to be sent.
pub struct Payload {
    source: Source,
    /// None: unknown, so it goes in chunks.
    length: Option<u64>,
    pub content_type: Option<String>,
}

enum Source {
    Nothing,
    Memory(Arc<dyn Borrowed>),
    Pieces(Vec<Piece>),
    Reader(Arc<SharedReader>),
}

enum Piece {
    Bytes(Vec<u8>),
    /// And its length when it was looked at.
    File(PathBuf, u64),
    /// And its length, if that is known.
    Reader(Arc<SharedReader>, Option<u64>),
}

/// What a body goes over.
pub trait Outlet {
    /// Bodies of unknown length need no chunks.
    const FRAMES_ITSELF: bool;

    /// Sends all of it; false when the server answered before that and wants no more, or hung up.
    fn send(&mut self, pieces: &[&[u8]], limits: &Limits) -> Result<bool, Error>;

    /// Whether the server has answered meanwhile and wants no more, or has hung up. Without waiting.
    fn is_turned_away(&mut self) -> bool;
}

impl Outlet for Connection {
    const FRAMES_ITSELF: bool = false;

    fn send(&mut self, pieces: &[&[u8]], limits: &Limits) -> Result<bool, Error> {
        Connection::send(self, pieces, limits)
    }

    fn is_turned_away(&mut self) -> bool {
        Connection::is_turned_away(self)
    }
}

/// How much of a body that does not lie in memory is read at a time.
const BUFFER: usize = 64 * 1024;
/// How much of a body in memory goes out between two looks at the clock, when somebody watches.
const WATCHED: usize = 256 * 1024;

impl Payload {
    pub fn nothing() -> Payload {
        Payload { source: Source::Nothing, length: Some(0), content_type: None }
    }

    fn memory(bytes: Arc<dyn Borrowed>, content_type: Option<String>) -> Payload {
        Payload { length: Some(bytes.bytes().len() as u64), source: Source::Memory(bytes), content_type }
    }

    /// Checks everything that can be checked before anything is sent.
    pub fn prepare(source: Option<&BodySource>, control: &Control) -> Result<Payload, Error> {
        let Some(source) = source else { return Ok(Payload::nothing()) };
        match source {
            BodySource::Bytes(bytes) => Ok(Payload::memory(bytes.clone(), None)),
            BodySource::Borrowed(bytes) => Ok(Payload::memory(bytes.clone(), None)),
            BodySource::Json(text) => {
                let go_on = || control.check().is_ok();
                Document::parse_text_while(text.as_str(), &go_on).map_err(|failure| match failure {
                    Failure::Syntax(error) => Error::new(
                        ErrorKind::InvalidJson,
                        format!("The JSON of the request body does not parse: {error}"),
                    ),
                    Failure::OutOfMemory => {
                        Error::out_of_memory(format_args!("the JSON body of {} bytes", text.as_str().len()))
                    }
                    Failure::Stopped => control.check().map_or_else(Error::from, |()| Error::aborted()),
                })?;
                Ok(Payload::memory(text.shared(), Some("application/json".into())))
            }
            BodySource::File(path) => {
                let path = PathBuf::from(path);
                let length = file_length(&path, control)?;
                Ok(Payload {
                    source: Source::Pieces(vec![Piece::File(path, length)]),
                    length: Some(length),
                    content_type: None,
                })
            }
            BodySource::Reader { reader, length } => {
                Ok(Payload { source: Source::Reader(reader.clone()), length: *length, content_type: None })
            }
            BodySource::Form(parts) => Payload::form(parts, control),
        }
    }

    fn form(parts: &[Part], control: &Control) -> Result<Payload, Error> {
        let fields = parts.iter().filter_map(|part| match part {
            Part::Field { name, value } => Some((name.as_str(), value.as_str())),
            _ => None,
        });
        if fields.clone().count() == parts.len() {
            let text = form::encode_pairs(fields);
            return Ok(Payload::memory(Arc::new(Owned::new(text.as_bytes())), Some(form::URLENCODED.into())));
        }
        let mut multipart = Multipart::new();
        let mut readers = Vec::new();
        for part in parts {
            match part {
                Part::Field { name, value } => multipart.field(name, value),
                Part::Data { name, filename, content_type, data } => {
                    multipart.part(name, filename.as_deref(), content_type.as_deref(), data)?;
                }
                Part::File { name, path, filename, content_type } => {
                    multipart.file(name, path.as_ref(), filename.as_deref(), content_type.as_deref())?;
                }
                Part::Reader { name, filename, content_type, reader, length } => {
                    multipart.other(name, filename.as_deref(), content_type.as_deref())?;
                    readers.push(Piece::Reader(reader.clone(), *length));
                }
            }
        }
        let content_type = Some(multipart.content_type());
        let mut pieces = Vec::new();
        let mut readers = readers.into_iter();
        for segment in multipart.finish() {
            pieces.push(match segment {
                Segment::Bytes(bytes) => Piece::Bytes(bytes),
                Segment::File { path } => {
                    let length = file_length(&path, control)?;
                    Piece::File(path, length)
                }
                Segment::Other => readers.next().expect("there is a reader for each"),
            });
        }
        // One piece of unknown length is enough for the whole to be.
        let length = pieces.iter().try_fold(0_u64, |sum, piece| sum.checked_add(piece.length()?));
        Ok(Payload { source: Source::Pieces(pieces), length, content_type })
    }

    /// What functions of the user's have of the body.
    fn readers(&self) -> impl Iterator<Item = &SharedReader> {
        let (whole, pieces) = match &self.source {
            Source::Reader(reader) => (Some(&**reader), &[][..]),
            Source::Pieces(pieces) => (None, &pieces[..]),
            Source::Nothing | Source::Memory(_) => (None, &[][..]),
        };
        whole.into_iter().chain(pieces.iter().filter_map(|piece| match piece {
            Piece::Reader(reader, _) => Some(&**reader),
            Piece::Bytes(_) | Piece::File(..) => None,
        }))
    }

    pub fn is_nothing(&self) -> bool {
        matches!(self.source, Source::Nothing)
    }

    pub fn length(&self) -> Option<u64> {
        self.length
    }

    /// The bytes, where they lie in memory as a whole.
    pub fn sent_body(&self) -> Option<Arc<dyn Borrowed>> {
        match &self.source {
            Source::Memory(bytes) => Some(bytes.clone()),
            // Multipart without files is small enough to show.
            Source::Pieces(pieces) => {
                let mut all = Vec::new();
                for piece in pieces {
                    match piece {
                        Piece::Bytes(bytes) => all.extend_from_slice(bytes),
                        Piece::File(..) | Piece::Reader(..) => return None,
                    }
                }
                Some(Arc::new(Owned::new(&all)))
            }
            Source::Nothing | Source::Reader(_) => None,
        }
    }

    /// Whether it could be sent once more.
    pub fn can_rewind(&self) -> bool {
        self.readers().all(|reader| !reader.is_touched() || reader.can_rewind())
    }

    /// Whether [`Payload::feed`] can read it and leave it as it was.
    pub fn is_hashable(&self) -> bool {
        self.readers().all(SharedReader::can_rewind)
    }

    /// Hands out all of the body, before it is sent: for a hash of it.
    pub fn feed(&self, control: &Control, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        match &self.source {
            Source::Nothing => {}
            Source::Memory(bytes) => {
                for piece in bytes.bytes().chunks(WATCHED) {
                    control.check()?;
                    sink(piece);
                }
            }
            Source::Pieces(_) | Source::Reader(_) => {
                let read = self.open(control)?;
                self.drain(control, sink, read)?;
                self.rewind(control)?;
            }
        }
        Ok(())
    }

    /// Reads the body from its start; 0 at the end. [`Payload::rewind`] follows, once it is dropped.
    pub fn open<'a>(&'a self, control: &'a Control) -> Result<ReadBody<'a>, Error> {
        Ok(match &self.source {
            Source::Nothing => Box::new(|_| Ok(0)),
            Source::Memory(bytes) => {
                let mut left = bytes.bytes();
                Box::new(move |buffer| Ok(left.read(buffer).unwrap_or(0)))
            }
            Source::Pieces(pieces) => {
                self.rewind(control)?;
                Box::new(read_pieces(pieces, control))
            }
            Source::Reader(shared) => {
                self.rewind(control)?;
                let mut reader = shared.lock(|| control.check())?;
                shared.set_touched(true);
                Box::new(move |buffer| read_reader(&mut **reader, buffer, control))
            }
        })
    }

    fn drain(
        &self,
        control: &Control,
        sink: &mut dyn FnMut(&[u8]),
        mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<(), Error> {
        let mut buffer = vec![0; BUFFER];
        let mut left = self.length;
        loop {
            let most = left.map_or(BUFFER, |left| BUFFER.min(usize::try_from(left).unwrap_or(BUFFER)));
            let count = if most == 0 { 0 } else { read(&mut buffer[..most])? };
            control.check()?;
            if count == 0 {
                // One that is too short fails when it is sent.
                return Ok(());
            }
            sink(&buffer[..count]);
            left = left.map(|left| left - count as u64);
        }
    }

    /// Back to the first byte, if anything was taken.
    pub fn rewind(&self, control: &Control) -> Result<(), Error> {
        self.readers().filter(|reader| reader.is_touched()).try_for_each(|reader| rewind(reader, control))
    }

    /// Sends head and body. False when the server answered before it had all.
    pub fn send(
        &self,
        head: &[u8],
        connection: &mut impl Outlet,
        limits: &Limits,
        meter: &mut Meter,
    ) -> Result<bool, Error> {
        match &self.source {
            Source::Nothing => connection.send(&[head], limits),
            Source::Memory(bytes) => {
                let bytes = bytes.bytes();
                let piece = limits.piece(if meter.is_on() { WATCHED } else { usize::MAX });
                let (mut first, rest) = bytes.split_at(piece.min(bytes.len()));
                let mut head = head;
                let mut rest = rest.chunks(piece);
                loop {
                    if !send(connection, &[head, first], limits)? {
                        return Ok(false);
                    }
                    meter.sent(first.len())?;
                    trace::body(limits.control, Kind::BodyOut, first)?;
                    let Some(next) = rest.next() else { return Ok(true) };
                    (head, first) = (&[], next);
                }
            }
            Source::Pieces(pieces) => {
                self.pump(head, connection, limits, meter, read_pieces(pieces, limits.control))
            }
            Source::Reader(shared) => {
                let mut reader = shared.lock(|| limits.control.check())?;
                shared.set_touched(true);
                self.pump(head, connection, limits, meter, |buffer| {
                    read_reader(&mut **reader, buffer, limits.control)
                })
            }
        }
    }

    fn pump<O: Outlet>(
        &self,
        head: &[u8],
        connection: &mut O,
        limits: &Limits,
        meter: &mut Meter,
        mut read: impl FnMut(&mut [u8]) -> Result<usize, Error>,
    ) -> Result<bool, Error> {
        let piece = limits.piece(BUFFER);
        let mut buffer = vec![0; piece];
        let mut head = head;
        let mut left = self.length;
        loop {
            let most = left.map_or(piece, |left| piece.min(usize::try_from(left).unwrap_or(piece)));
            let count = if most == 0 { 0 } else { read(&mut buffer[..most])? };
            limits.control.check()?;
            let piece = &buffer[..count];
            match &mut left {
                Some(0) => return if head.is_empty() { Ok(true) } else { connection.send(&[head], limits) },
                Some(left) if count == 0 => {
                    let (total, sent) = (self.length.unwrap_or(0), self.length.unwrap_or(0) - *left);
                    return Err(Error::new(
                        ErrorKind::Request,
                        format!(
                            "The request body ended after {sent} of the {total} bytes that were announced"
                        ),
                    ));
                }
                Some(left) => {
                    *left -= count as u64;
                    if !send(connection, &[head, piece], limits)? {
                        return Ok(false);
                    }
                }
                None if O::FRAMES_ITSELF && count == 0 => return Ok(true),
                None if O::FRAMES_ITSELF => {
                    if !send(connection, &[head, piece], limits)? {
                        return Ok(false);
                    }
                }
                None if count == 0 => return send(connection, &[head, b"0\r\n\r\n"], limits),
                None => {
                    let size = format!("{count:x}\r\n");
                    if !send(connection, &[head, size.as_bytes(), piece, b"\r\n"], limits)? {
                        return Ok(false);
                    }
                }
            }
            meter.sent(count)?;
            trace::body(limits.control, Kind::BodyOut, &buffer[..count])?;
            head = &[];
        }
    }
}

/// Has a reader go back to its first byte.
fn rewind(shared: &SharedReader, control: &Control) -> Result<(), Error> {
    if !shared.can_rewind() {
        return Err(Error::new(
            ErrorKind::UnrewindableBody,
            "Unable to rewind the request body to send it again: its reader cannot be rewound",
        ));
    }
    let mut reader = shared.lock(|| control.check())?;
    control.stopwatch.in_hook(|| match reader.rewind() {
        true => Ok(()),
        false => Err(Error::new(
            ErrorKind::Hook,
            "The reader of the request body failed to rewind: its rewind function returned other than RF_OK",
        )),
    })?;
    drop(reader);
    shared.set_touched(false);
    // It may have forked, and returned in the child as well.
    Ok(control.check()?)
}

/// Sends the head, or nothing in its place, and what comes next of the body, when its limit allows that. False when the
/// server has answered before.
fn send(connection: &mut impl Outlet, pieces: &[&[u8]], limits: &Limits) -> Result<bool, Error> {
    let Some((head, body)) = pieces.split_first().filter(|_| limits.bucket().is_some()) else {
        return connection.send(pieces, limits);
    };
    if !head.is_empty() && !connection.send(&[head], limits)? {
        return Ok(false);
    }
    limits.hold_back(body.iter().map(|piece| piece.len()).sum())?;
    // A connection that takes whatever comes would not tell before the end.
    Ok(!connection.is_turned_away() && connection.send(body, limits)?)
}

impl Piece {
    fn length(&self) -> Option<u64> {
        match self {
            Piece::Bytes(bytes) => Some(bytes.len() as u64),
            Piece::File(_, length) => Some(*length),
            Piece::Reader(_, length) => *length,
        }
    }
}

/// The piece that is read.
enum Open<'a> {
    Plain(Box<dyn Read + 'a>),
    Reader(PartReader<'a>),
}

/// A part that a function of the user's has.
struct PartReader<'a> {
    reader: ReaderGuard<'a>,
    length: Option<u64>,
    given: u64,
}

impl PartReader<'_> {
    fn read(&mut self, buffer: &mut [u8], control: &Control) -> Result<usize, Error> {
        let left = self.length.map_or(u64::MAX, |length| length - self.given);
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let count = read_reader(&mut **self.reader, &mut buffer[..most], control)?;
        if let Some(length) = self.length.filter(|_| count == 0) {
            let text = format!(
                "The reader of a part of the request body ended after {} of the {length} bytes that were announced",
                self.given
            );
            return Err(Error::new(ErrorKind::Request, text));
        }
        self.given += count as u64;
        Ok(count)
    }
}

/// Reads one piece after the other; 0 at the end of the last.
fn read_pieces(pieces: &[Piece], control: &Control) -> impl FnMut(&mut [u8]) -> Result<usize, Error> {
    let mut pieces = pieces.iter();
    let mut open: Option<Open<'_>> = None;
    move |buffer| {
        loop {
            let count = match &mut open {
                None => 0,
                Some(Open::Reader(part)) => part.read(buffer, control)?,
                Some(Open::Plain(piece)) => piece.read(buffer).map_err(|error| {
                    Error::os(ErrorKind::Request, "Cannot read a file of the request body", &error)
                })?,
            };
            if count > 0 {
                return Ok(count);
            }
            // The reader before is free for others.
            open = None;
            open = match pieces.next() {
                None => return Ok(0),
                Some(Piece::Bytes(bytes)) => Some(Open::Plain(Box::new(&bytes[..]))),
                // One that has grown since would push the rest out of the length announced.
                Some(Piece::File(path, length)) => {
                    Some(Open::Plain(Box::new(open_file(path, control)?.0.take(*length))))
                }
                Some(Piece::Reader(shared, length)) => {
                    let reader = shared.lock(|| control.check())?;
                    shared.set_touched(true);
                    Some(Open::Reader(PartReader { reader, length: *length, given: 0 }))
                }
            };
        }
    }
}

fn read_reader(reader: &mut dyn Reader, buffer: &mut [u8], control: &Control) -> Result<usize, Error> {
    control.stopwatch.in_hook(|| {
        let count = reader.read(buffer);
        let most = buffer.len();
        let text = match usize::try_from(count) {
            Ok(read) if read <= most => return Ok(read),
            Ok(_) => {
                format!("The reader of the request body returned {count}, and its buffer has {most} bytes")
            }
            Err(_) => format!("The reader of the request body failed: it returned {count}"),
        };
        Err(Error::new(ErrorKind::Hook, text))
    })
}

/// Opens a regular file, and says how long it is. Opening a pipe would wait for its other end, and nothing could end
/// that wait: so what is there is checked when it is open.
fn open_file(path: &Path, control: &Control) -> Result<(File, u64), Error> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY;
    loop {
        match OpenOptions::new().read(true).custom_flags(flags).open(path) {
            Ok(file) => {
                let metadata = file.metadata().map_err(|error| cannot_open(path, &error))?;
                return Ok((file, length_of(path, &metadata)?));
            }
            // Another process has a lease on the file, and has just been told that it is wanted.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                control.check()?;
                fiber::sleep(SLICE);
            }
            Err(error) => return Err(cannot_open(path, &error)),
        }
    }
}

/// The length of a file that can be opened.
fn file_length(path: &Path, control: &Control) -> Result<u64, Error> {
    // Opening a pipe to read would release a writer that waits for a reader, and then nobody would read.
    length_of(path, &fs::metadata(path).map_err(|error| cannot_open(path, &error))?)?;
    Ok(open_file(path, control)?.1)
}

fn length_of(path: &Path, metadata: &Metadata) -> Result<u64, Error> {
    if metadata.is_dir() {
        return Err(cannot_open(path, &io::Error::from_raw_os_error(libc::EISDIR)));
    }
    if !metadata.is_file() {
        let text = format!("Cannot send {}: it is no regular file", path.display());
        return Err(Error::new(ErrorKind::Request, text));
    }
    Ok(metadata.len())
}

fn cannot_open(path: &Path, error: &io::Error) -> Error {
    Error::os(ErrorKind::Request, format!("Cannot open {}", path.display()), error)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for() {
        let path = std::env::temp_dir().join(format!("rf-body-{}", form::random_hex(2)));
        let name = std::ffi::CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: a NUL-terminated name.
        assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
        let (sender, receiver) = std::sync::mpsc::channel();
        let pipe = path.clone();
        std::thread::spawn(move || {
            let _ = sender.send(open_file(&pipe, &Control::new()).err());
        });
        let outcome = receiver.recv_timeout(std::time::Duration::from_secs(10));
        fs::remove_file(&path).unwrap();
        let error = outcome.expect("it does not wait").expect("a refusal");
        assert!(error.message().as_str().ends_with("it is no regular file"), "{error}");
    }
}
