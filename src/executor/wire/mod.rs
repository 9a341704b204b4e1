//! A request and its outcome as bytes: what an executor sends elsewhere, and what comes back.
//!
//! A sealed message is a mark, the version of the format, what the message is, the length of its content, its content,
//! and a check sum over all of that. Whatever is not exactly this is [`Malformed`], and so is content that contradicts
//! itself: bytes from elsewhere are believed in nothing. What a request holds that has no meaning elsewhere (a function
//! without a name, an address) is refused before anything is sent.
//!
//! A reply is one message, or one that announces a body, behind which that comes: pieces, perhaps trailers, and an end.

mod incoming;
mod reply;
mod task;

use std::collections::TryReserveError;
use std::io;

use postcard::ser_flavors::Size;
use serde::{Deserialize, Serialize};

use crate::system::fork;

pub use incoming::{Added, Incoming};
pub use reply::{
    ErrorMessage, Follows, LastBody, Reply, body_of, encode_reply, owned, trailer_lines, trailers_of,
};
pub use task::{
    EncodedTask, Finders, ForeignAdapter, ForeignHttp, ForeignTask, Permitted, decode_task, encode_task,
    for_other_machine, name_of_task,
};

/// Bytes that are no message of ours, or not a whole one.
#[derive(Debug, PartialEq, Eq)]
pub struct Malformed;

/// Why a reply has no outcome.
#[derive(Debug)]
pub enum Unusable {
    Malformed,
    /// There is no memory for what is in it.
    OutOfMemory(TryReserveError),
}

impl From<Malformed> for Unusable {
    fn from(_: Malformed) -> Unusable {
        Unusable::Malformed
    }
}

impl From<TryReserveError> for Unusable {
    fn from(error: TryReserveError) -> Unusable {
        Unusable::OutOfMemory(error)
    }
}

impl From<Unusable> for io::Error {
    fn from(why: Unusable) -> io::Error {
        match why {
            Unusable::Malformed => io::ErrorKind::InvalidData.into(),
            Unusable::OutOfMemory(error) => error.into(),
        }
    }
}

const MARK: [u8; 3] = *b"\x93rf";
pub const FORMAT: u8 = 6;
/// The mark, the version, what it is, and the length of the content.
const HEADER: usize = MARK.len() + 2 + 4;
const CHECK_SUM: usize = 4;
/// What a message says in 32 bits must have room there.
const LONGEST: usize = 1 << 31;

/// What a message is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Kind {
    Task = 1,
    Reply = 2,
    /// Some of a body.
    Piece = 3,
    /// What came behind a body.
    Trailers = 4,
    /// The end of a body, and how it ended.
    End = 5,
}

impl Kind {
    fn of(number: u8) -> Option<Kind> {
        [Kind::Task, Kind::Reply, Kind::Piece, Kind::Trailers, Kind::End]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// How a message begins whose content is that long.
fn header(kind: Kind, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[..MARK.len()].copy_from_slice(&MARK);
    header[MARK.len()] = FORMAT;
    header[MARK.len() + 1] = kind as u8;
    header[MARK.len() + 2..].copy_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
    header
}

/// What a message is that begins like this, and how long its content is.
fn read_header(header: &[u8]) -> Result<(Kind, usize), Malformed> {
    let [marked @ .., version, kind, a, b, c, d] = header else { return Err(Malformed) };
    let length = u32::from_le_bytes([*a, *b, *c, *d]) as usize;
    if *marked != MARK || *version != FORMAT || length > LONGEST - HEADER - CHECK_SUM {
        return Err(Malformed);
    }
    Ok((Kind::of(*kind).ok_or(Malformed)?, length))
}

/// A message of plain bytes, in the place of what `into` holds.
pub fn seal_bytes(kind: Kind, content: &[u8], into: &mut Vec<u8>) {
    into.clear();
    into.extend_from_slice(&header(kind, content.len()));
    into.extend_from_slice(content);
    let sum = crc32fast::hash(into);
    into.extend_from_slice(&sum.to_le_bytes());
}

/// Why there is no message.
enum Unsealed {
    Unfit,
    OutOfMemory,
}

impl From<postcard::Error> for Unsealed {
    fn from(_: postcard::Error) -> Unsealed {
        Unsealed::Unfit
    }
}

/// `large` is how much of the content may be more than there is memory for.
fn seal(kind: Kind, content: &impl Serialize, large: usize) -> Result<Vec<u8>, Unsealed> {
    let mut message = Vec::new();
    let room = match large {
        0..LARGE => 1024 + large,
        // The exact length, because it is not to grow any more.
        _ => HEADER + CHECK_SUM + postcard::serialize_with_flavor(content, Size::default())?,
    };
    message.try_reserve_exact(room).map_err(|_| Unsealed::OutOfMemory)?;
    message.extend_from_slice(&header(kind, 0));
    let mut message = postcard::to_extend(content, message)?;
    let length = message.len() - HEADER;
    message[..HEADER].copy_from_slice(&header(kind, length));
    let sum = crc32fast::hash(&message);
    message.extend_from_slice(&sum.to_le_bytes());
    Ok(message)
}

fn unseal<'a, T: Deserialize<'a>>(kind: Kind, message: &'a [u8]) -> Result<T, Malformed> {
    if message.len() < HEADER + CHECK_SUM || message.len() > LONGEST {
        return Err(Malformed);
    }
    let (sealed, sum) = message.split_at(message.len() - CHECK_SUM);
    let (header, content) = sealed.split_at(HEADER);
    if read_header(header)? != (kind, content.len()) || *sum != crc32fast::hash(sealed).to_le_bytes() {
        return Err(Malformed);
    }
    match postcard::take_from_bytes(content) {
        Ok((content, [])) => Ok(content),
        _ => Err(Malformed),
    }
}

/// Names a task among those of all processes. Its reply repeats it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TaskName {
    /// A random number of the process that submitted it.
    process: u64,
    /// The id of its future there.
    future: u64,
}

impl TaskName {
    /// Of a future of this process.
    pub fn of(future: u64) -> TaskName {
        TaskName { process: fork::process_number(), future }
    }
}

/// From this size on a body is worth an attachment.
const LARGE: usize = 64 * 1024;

#[cfg(test)]
mod tests {
    use super::reply::*;
    use super::task::*;
    use super::*;
    use crate::future::control::Control;
    use crate::future::stopwatch::Spent;
    use crate::http::cookies::Cookie;
    use crate::http::request::Nobody;
    use crate::http::request::Request;
    use crate::message::error::{Error, ErrorKind};
    use crate::message::head::Head;
    use crate::message::options::{BodySource, Options, Owned, Part, Sink};
    use crate::message::response::{Parts, Response, Seen, Source};
    use crate::system::environment::Environment;
    use std::collections::hash_map::RandomState;
    use std::env;
    use std::hash::{BuildHasher, Hasher};
    use std::path::Path;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    const NAME: TaskName = TaskName { process: u64::MAX, future: 1 << 40 };

    /// Numbers by chance, the same for the same start: a failure can be repeated.
    struct Chance(u64);

    impl Chance {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn below(&mut self, end: usize) -> usize {
            (self.next() % end as u64) as usize
        }
    }

    fn a_task() -> Vec<u8> {
        let part = Part::Data {
            name: "part".into(),
            filename: Some("f".into()),
            content_type: None,
            data: [1, 2, 3][..].into(),
        };
        let options = Options {
            body: Some(BodySource::Form(vec![
                Part::Field { name: "name".into(), value: "value".into() },
                part,
                Part::File {
                    name: "file".into(),
                    path: "relative".into(),
                    filename: None,
                    content_type: None,
                },
            ])),
            deadline: Some(Some(Duration::from_secs(60))),
            sink: Some(Sink::File("out".into())),
            ca_bundle: Some(Some("ca.pem".into())),
            ..Options::default()
        };
        let request = Request {
            owner: Nobody::owner(),
            method: "POST".into(),
            url: "http://127.0.0.1:1/path?query".into(),
            defaults: Arc::default(),
            options: Some(Arc::new(options)),
            environment: Environment::snapshot(),
            ends_at: Some(Instant::now() + Duration::from_secs(60)),
            seldom: None,
        };
        encode_task(NAME, &request, false).unwrap_or_else(|error| panic!("{error}")).message
    }

    fn response(status: u16, history: Vec<Arc<Response>>, source: Option<Source>) -> Arc<Response> {
        let head = format!("HTTP/1.1 {status} Fine\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\n");
        let parts = Parts {
            status,
            head: Head::of_response(head.into_bytes()),
            url: "http://127.0.0.1/".into(),
            request_head: b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".to_vec(),
            request_body: Some(Arc::new(Owned::new(b"sent"))),
            elapsed: Duration::from_millis(3),
            seen: Seen::default(),
            spent: Spent::default(),
            history,
            source,
            control: None,
        };
        let response = Response::new(parts);
        response.set_extra("extra", b"bytes");
        response.set_encoding(Some("utf-8"));
        Arc::new(response)
    }

    fn a_reply() -> Vec<u8> {
        let first = response(302, Vec::new(), None);
        let second = response(302, vec![first.clone()], None);
        let body: Source = Box::new(&b"body"[..]);
        let last = response(200, vec![first, second], Some(body));
        let cookie = Cookie {
            name: "name".into(),
            value: "value".into(),
            domain: "127.0.0.1".into(),
            path: "/".into(),
            expires_s: -1,
            secure: false,
            http_only: true,
            host_only: true,
        };
        encode_reply(NAME, &Ok(last), vec![cookie], &None, &LastBody::Inside)
    }

    fn an_error() -> Vec<u8> {
        let error = Error::new(ErrorKind::TooManyRedirects, "too many").at("http://127.0.0.1/");
        let error =
            error.with_os_code(5).with_response(response(302, vec![response(301, Vec::new(), None)], None));
        encode_reply(NAME, &Err(error), Vec::new(), &None, &LastBody::Inside)
    }

    /// Decodes it as what it may be, and looks at what comes out, as a program would.
    fn look(message: &[u8]) -> bool {
        let task = decode_task(message, None, &Finders::NONE, Permitted::ALL).is_ok();
        let Ok(mut reply) = Reply::decode(message) else { return task };
        let _ = (reply.follows(), reply.announced(), reply.take_cookies());
        match reply.outcome(&None, None, None, &Arc::new(Control::new())) {
            Ok(Ok(response)) => look_at(&response),
            Ok(Err(error)) => {
                assert!(!error.kind().name().is_empty());
                error.about().iter().for_each(|response| look_at(response));
            }
            Err(_) => {}
        }
        true
    }

    fn look_at(response: &Response) {
        let _ = (response.status(), response.url().as_str().len(), response.head().word().as_str().len());
        for (name, value) in response.head().iter() {
            let _ = (name.as_str().len(), value.as_str().len());
        }
        let _ = response.carry();
        let mut piece = [0; 100];
        while matches!(response.read(&mut piece), Ok(1..)) {}
        response.history().iter().for_each(|hop| look_at(hop));
    }

    /// With the check sum that belongs to it.
    fn resealed(mut message: Vec<u8>) -> Vec<u8> {
        if let Some(end) = message.len().checked_sub(CHECK_SUM) {
            if let Some(length) = end.checked_sub(HEADER) {
                message[HEADER - 4..HEADER].copy_from_slice(&(length as u32).to_le_bytes());
            }
            let sum = crc32fast::hash(&message[..end]);
            message[end..].copy_from_slice(&sum.to_le_bytes());
        }
        message
    }

    #[test]
    fn what_was_encoded_is_decoded() {
        let task = a_task();
        let decoded = decode_task(&task, None, &Finders::NONE, Permitted::ALL)
            .expect("a task")
            .task
            .unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((&*decoded.method, &*decoded.url), ("POST", "http://127.0.0.1:1/path?query"));
        let here = env::current_dir().expect("a folder");
        assert!(
            matches!(&decoded.options.sink, Some(Sink::File(path)) if Path::new(path) == here.join("out"))
        );
        let message = a_reply();
        let reply = Reply::decode(&message).expect("a reply");
        assert_eq!(reply.follows(), Follows::Nothing);
        assert_eq!(reply.name(), NAME);
        let outcome = reply.outcome(&None, None, None, &Arc::new(Control::new())).expect("an outcome");
        let response = outcome.unwrap_or_else(|error| panic!("{error}"));
        assert_eq!((response.status(), response.history().len()), (200, 2));
        // One hop is one response, wherever it is mentioned.
        assert!(Arc::ptr_eq(&response.history()[0], &response.history()[1].history()[0]));
        assert!(look(&an_error()));
    }

    #[test]
    fn less_more_or_other_bytes_are_no_message() {
        for message in [a_task(), a_reply(), an_error()] {
            assert!(look(&message));
            for end in 0..message.len() {
                assert!(!look(&message[..end]), "the first {end} bytes");
            }
            assert!(!look(&[&message[..], b"\0"].concat()));
            for at in 0..message.len() {
                for bit in 0..8 {
                    let mut changed = message.clone();
                    changed[at] ^= 1 << bit;
                    assert!(!look(&changed), "byte {at}, bit {bit}");
                }
            }
        }
        // A task is no reply, and a reply no task.
        assert!(Reply::decode(&a_task()).is_err());
        assert!(decode_task(&a_reply(), None, &Finders::NONE, Permitted::ALL).is_err());
    }

    /// A message of another version of the format is refused by what stands before its content: there is no telling what
    /// that means.
    #[test]
    fn another_version_is_no_message() {
        for message in [a_task(), a_reply(), an_error()] {
            assert_eq!(message[..MARK.len() + 1], [0x93, b'r', b'f', FORMAT]);
            for version in [0, FORMAT - 1, FORMAT + 1, 255] {
                let mut changed = message.clone();
                changed[MARK.len()] = version;
                assert!(!look(&resealed(changed)), "version {version}");
            }
        }
    }

    /// A check sum keeps mistakes away, not somebody who makes it right again: nothing that comes of such bytes may stop
    /// this process, or cost much more memory than they have themselves.
    #[test]
    fn bytes_with_a_right_check_sum_do_no_harm() {
        let start = RandomState::new().build_hasher().finish() | 1;
        let mut chance = Chance(start);
        println!("chance begins with {start}");
        let originals = [a_task(), a_reply(), an_error()];
        let mut accepted = 0;
        for round in 0..40_000 {
            let mut message = originals[round % originals.len()].clone();
            match chance.below(8) {
                // Nothing but the header is right.
                0 => {
                    message.resize(HEADER + chance.below(200), 0);
                    message.iter_mut().skip(HEADER).for_each(|byte| *byte = chance.next() as u8);
                    message.extend([0; CHECK_SUM]);
                }
                // A piece is missing, or there twice.
                1 => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    let end = at + chance.below(message.len() - at);
                    message.drain(at..end);
                }
                2 => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    let end = at + chance.below((message.len() - at).min(64));
                    let piece = message[at..end].to_vec();
                    message.splice(at..at, piece);
                }
                // Single bytes are others: large numbers, mostly.
                3..=5 => {
                    for _ in 0..=chance.below(4) {
                        let at = HEADER + chance.below(message.len() - HEADER);
                        message[at] = [0xff, 0x80, 0x7f, 0, 1, chance.next() as u8][chance.below(6)];
                    }
                }
                // A length that is as large as can be.
                6 => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    message.splice(at..at, [0xff, 0xff, 0xff, 0xff, 0x0f]);
                }
                _ => {
                    let at = HEADER + chance.below(message.len() - HEADER);
                    message[at] ^= 1 << chance.below(8);
                }
            }
            accepted += usize::from(look(&resealed(message)));
        }
        // Some changes make another message: a letter of a URL, for one.
        assert!(accepted > 0);
    }
}
