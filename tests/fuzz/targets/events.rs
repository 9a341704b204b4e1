//! Server-sent events. The first byte says how the rest, the stream, is cut into pieces.
//!
//! In pieces it is the same as whole, and both are what a plain reading of the HTML standard makes of its text. Somebody who
//! reads lines between two events finds what the events have left.

use requests_futures::message::events::Event;
use requests_futures::message::options::Reader;
use requests_futures::message::response::{Refusal, Response};

use super::memory;

/// Type, data, id and time.
type Shown = (Vec<u8>, Vec<u8>, Vec<u8>, Option<i64>);

/// Gives a stream in pieces of up to 8 bytes.
struct Pieces {
    stream: Vec<u8>,
    at: usize,
    state: u32,
}

impl Pieces {
    fn of(stream: &[u8], seed: u8) -> Response {
        let pieces = Pieces { stream: stream.to_vec(), at: 0, state: u32::from(seed) + 1 };
        Response::made_of_reader(200, Box::new(pieces), None)
    }
}

impl Reader for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> i64 {
        self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let left = &self.stream[self.at..];
        let count = left.len().min(buffer.len()).min(1 + (self.state >> 29) as usize);
        buffer[..count].copy_from_slice(&left[..count]);
        self.at += count;
        count as i64
    }

    fn can_rewind(&self) -> bool {
        false
    }

    fn rewind(&mut self) -> bool {
        false
    }
}

fn next(response: &Response) -> Option<Shown> {
    let event = match response.read_event() {
        Ok(event) => event?,
        Err(Refusal::State) => panic!("nobody has closed it"),
        Err(Refusal::Failed(error)) => panic!("{error}"),
    };
    // SAFETY: it lives until the next one is read.
    let event: &Event = unsafe { &*event };
    Some((event.kind().to_vec(), event.data().to_vec(), event.id().to_vec(), event.retry_ms()))
}

fn all(response: &Response) -> Vec<Shown> {
    let events = std::iter::from_fn(|| next(response)).collect();
    assert!(next(response).is_none(), "it is over once and for all");
    events
}

/// The text between two ends of lines, and what has no end.
fn lines(text: &str) -> (Vec<&str>, &str) {
    let (mut lines, mut rest) = (Vec::new(), text);
    while let Some(end) = rest.find(['\r', '\n']) {
        lines.push(&rest[..end]);
        rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
    }
    (lines, rest)
}

/// As the standard words it.
fn plainly(stream: &[u8]) -> Vec<Shown> {
    let text = String::from_utf8_lossy(stream);
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(&text);
    let (mut data, mut kind, mut id, mut retry) = (String::new(), String::new(), String::new(), None);
    let mut events = Vec::new();
    for line in lines(text).0 {
        if line.is_empty() {
            if let Some(data) = data.strip_suffix('\n') {
                let kind = if kind.is_empty() { "message" } else { &kind };
                events.push((kind.into(), data.into(), id.clone().into(), retry));
            }
            data.clear();
            kind.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data = data + value + "\n",
            "event" => kind = value.into(),
            "id" if !value.contains('\0') => id = value.into(),
            "retry" if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) => {
                retry = Some(value.parse().unwrap_or(i64::MAX));
            }
            _ => {}
        }
    }
    events
}

pub fn events(data: &[u8]) {
    let [seed, stream @ ..] = data else { return };
    let expected = plainly(stream);
    // Each event has the id in it, which may be nearly all of the stream.
    let kept =
        expected.iter().map(|(kind, data, id, _)| 256 + kind.len() + data.len() + id.len()).sum::<usize>();
    memory::within(128 * 1024 + 64 * data.len() + 2 * kept, || {
        assert_eq!(all(&Response::made(200, None, stream)), expected, "whole");
        assert_eq!(all(&Pieces::of(stream, *seed)), expected, "in pieces");
    });

    // After the first event there are lines.
    let response = Pieces::of(stream, *seed);
    if next(&response).is_some() {
        let mut left = Vec::new();
        while let Ok(Some((line, length))) = response.read_line() {
            // SAFETY: it lives until the next one is read.
            left.push(unsafe { std::slice::from_raw_parts(line, length) }.to_vec());
        }
        let whole = Response::made(200, None, stream);
        let mut all = Vec::new();
        while let Ok(Some((line, length))) = whole.read_line() {
            // SAFETY: as above.
            all.push(unsafe { std::slice::from_raw_parts(line, length) }.to_vec());
        }
        let gone = all.len() - left.len();
        assert_eq!(all[gone..], left);
        assert!(gone > 0 && all[gone - 1].is_empty(), "it ended with an empty line");
    }
}
