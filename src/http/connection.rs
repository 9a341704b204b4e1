//! A connection that carries one request at a time: its channel and its input buffer.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::channel::{Channel, Sent};
use super::socket::{Limits, Step};
use crate::future::control::Control;
use crate::message::error::{Error, ErrorKind};
use crate::message::peer::Peer;

/// The input buffer of a connection that has nothing to do.
const SMALL: usize = 4 * 1024;
/// It grows to this while a body arrives faster than it is read.
pub const LARGE: usize = 64 * 1024;
/// A head is no longer than this.
pub const HEAD_LIMIT: usize = 256 * 1024;

#[derive(Debug)]
pub struct Connection {
    channel: Channel,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// How far the input was looked through for the end of a head.
    scan: HeadScan,
    /// Sending has failed for this reason: what the server had said before may have arrived, but more will not come.
    unsent: Option<Box<Error>>,
    /// The last receive left no room: more is on its way than the buffer holds.
    flooded: bool,
    /// Whom it leads to.
    pub peer: Arc<Peer>,
    /// How many requests it has carried before.
    pub served: u32,
    /// When it was last used, or made.
    pub used_at: Instant,
}

/// The line of a head that comes next, and whether a line before it was folded.
#[derive(Clone, Copy, Debug, Default)]
struct HeadScan {
    line: usize,
    folded: bool,
}

impl Connection {
    /// Over a channel, which has TLS with the server itself where it is `secure`.
    #[inline(never)]
    pub fn over(channel: Channel, secure: bool) -> Box<Connection> {
        Box::new(Connection {
            peer: Arc::new(channel.peer(secure)),
            channel,
            input: Vec::new(),
            start: 0,
            end: 0,
            scan: HeadScan::default(),
            unsent: None,
            flooded: false,
            served: 0,
            used_at: Instant::now(),
        })
    }

    /// A request begins: nothing of it was written.
    pub fn begin(&self) {
        self.channel.begin();
    }

    /// Whether anything of the request was written.
    pub fn has_written(&self) -> bool {
        self.channel.has_written()
    }

    /// From now on only what has arrived is received. After that there is this error.
    pub fn fail_sending(&mut self, error: Error) {
        self.unsent = Some(Box::new(error));
    }

    pub fn channel(&mut self) -> &mut Channel {
        &mut self.channel
    }

    pub fn attach(&self, control: &Control) {
        self.channel.attach(control);
    }

    pub fn detach(&self, control: &Control) {
        self.channel.detach(control);
    }

    /// What came in and was not taken yet.
    pub fn input(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Takes away empty lines before a head, as the standard asks; how many bytes that were.
    pub fn skip_empty_lines(&mut self) -> usize {
        let mut skipped = 0;
        loop {
            let count = match self.input() {
                [b'\n', ..] => 1,
                [b'\r', b'\n', ..] => 2,
                _ => return skipped,
            };
            self.consume(count);
            skipped += count;
        }
    }

    /// The length of the head, once all of it is here. On the way, a field that a server has folded becomes one
    /// line, with spaces for the line's end, as RFC 9112 asks of clients.
    pub fn head_length(&mut self) -> Option<usize> {
        let HeadScan { mut line, mut folded } = self.scan;
        let input = &self.input[self.start..self.end];
        let (mut length, mut last) = (None, line);
        let first = line;
        for end in memchr::memchr_iter(b'\n', &input[first..]).map(|found| first + found) {
            // An empty line ends the head. The first line is none of its fields.
            if line > 0 {
                if matches!(input[line..end], [] | [b'\r']) {
                    length = Some(end + 1);
                    break;
                }
                folded |= matches!(input.get(end + 1), Some(b' ' | b'\t'));
            }
            (last, line) = (line, end + 1);
        }
        // A line is looked at again while nobody knows how the next one begins.
        self.scan = match length {
            Some(_) => HeadScan::default(),
            None if line == input.len() => HeadScan { line: last, folded },
            None => HeadScan { line, folded },
        };
        if folded && length.is_some() {
            self.unfold();
        }
        length
    }

    fn unfold(&mut self) {
        let input = &mut self.input[self.start..self.end];
        let mut at = 0;
        while let Some(end) = memchr::memchr(b'\n', &input[at..]).map(|found| at + found) {
            if at > 0 && matches!(input[at..end], [] | [b'\r']) {
                return;
            }
            if at > 0 && matches!(input.get(end + 1), Some(b' ' | b'\t')) {
                input[end] = b' ';
                if input[end - 1] == b'\r' {
                    input[end - 1] = b' ';
                }
            }
            at = end + 1;
        }
    }

    pub fn consume(&mut self, amount: usize) {
        self.start += amount;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Receives once; 0 at the end.
    pub fn fill(&mut self, limits: &Limits) -> Result<usize, Error> {
        if self.input.is_empty() && self.unsent.is_none() {
            self.channel.await_input(limits)?;
        }
        self.make_room();
        let input = &mut self.input[self.end..];
        let received = match &self.unsent {
            None => self.channel.receive(input, limits)?,
            Some(error) => there(self.channel.receive_now(input), error, limits)?,
        };
        self.end += received;
        self.flooded = self.end == self.input.len();
        Ok(received)
    }

    /// Receives once, not into the input, which is empty; 0 at the end.
    pub fn receive(&mut self, buffer: &mut [u8], limits: &Limits) -> Result<usize, Error> {
        match &self.unsent {
            None => self.channel.receive(buffer, limits),
            Some(error) => there(self.channel.receive_now(buffer), error, limits),
        }
    }

    /// The same, behind what `content` holds, into memory that it has reserved: at most `most` bytes.
    pub fn receive_into(
        &mut self,
        content: &mut Vec<u8>,
        most: usize,
        limits: &Limits,
    ) -> Result<usize, Error> {
        match &self.unsent {
            None => self.channel.receive_into(content, most, limits),
            Some(error) => there(self.channel.receive_into_now(content, most), error, limits),
        }
    }

    /// Sends all of it; false when the server answered before that and wants no more, or hung up. A caller that reads
    /// the answer finds out which.
    pub fn send(&mut self, pieces: &[&[u8]], limits: &Limits) -> Result<bool, Error> {
        let mut listening = true;
        let mut sent = match self.channel.send(pieces, listening, limits)? {
            Sent::All => return Ok(true),
            Sent::Some(sent) => sent,
        };
        let mut left = pieces.to_vec();
        loop {
            advance(&mut left, sent);
            match self.fill_now() {
                // Only TLS had something to say to itself.
                Ok(None) => {}
                Ok(Some(received)) if received > 0 => match self.is_refused() {
                    None => {}
                    Some(true) => return Ok(false),
                    // It talks while it listens. Waiting for more of that here would never end.
                    Some(false) => listening = false,
                },
                _ => return Ok(false),
            }
            sent = match self.channel.send(&left, listening, limits)? {
                Sent::All => return Ok(true),
                Sent::Some(sent) => sent,
            };
        }
    }

    /// After a head that asks for it: waits until the server wants the body, or so long. False: it has said something else
    /// than that, or hung up, and the body is not to be sent.
    pub fn is_wanted(&mut self, wait: Duration, limits: &Limits) -> Result<bool, Error> {
        // Whatever comes meanwhile, byte by byte, does not make it longer.
        let end = Instant::now().checked_add(wait).map(|until| (until, wait));
        let limits = Limits { connect: end, silence: None, step: Step::Head, pace: None, ..*limits };
        loop {
            if let Some(wanted) = wants_body(self.input()) {
                return Ok(wanted);
            }
            match self.fill(&limits) {
                Ok(0) => return Ok(false),
                Ok(_) if self.input().len() >= HEAD_LIMIT => return Ok(false),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ReadTimeout => return Ok(true),
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether the server has answered meanwhile and wants no more, or has hung up. Without waiting.
    pub fn is_turned_away(&mut self) -> bool {
        if self.is_refused() == Some(false) || !self.channel.has_news() {
            return false;
        }
        match self.fill_now() {
            Ok(None) => false,
            Ok(Some(1..)) => self.is_refused() == Some(true),
            _ => true,
        }
    }

    /// Whether the input begins with an answer that ends the matter: an error or a redirect. None while that cannot be
    /// told: too little of it is here, or only what servers say in between.
    fn is_refused(&self) -> Option<bool> {
        let mut input = self.input();
        loop {
            // As empty lines are passed over before a head.
            while let [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] = input {
                input = rest;
            }
            if input == b"\r" {
                return None;
            }
            const VERSION: &[u8] = b"HTTP/1.";
            let known = VERSION.len().min(input.len());
            if input[..known] != VERSION[..known] {
                return Some(false);
            }
            match input.get(9)? {
                b'1' => input = behind_head(input)?,
                status => return Some(matches!(status, b'3'..=b'5')),
            }
        }
    }

    /// Receives what is there, without waiting; None for nothing.
    fn fill_now(&mut self) -> io::Result<Option<usize>> {
        self.make_room();
        let received = self.channel.receive_now(&mut self.input[self.end..])?;
        self.end += received.unwrap_or(0);
        Ok(received)
    }

    fn make_room(&mut self) {
        if self.input.is_empty() {
            self.input = vec![0; SMALL];
        } else if self.end == 0 && self.flooded && self.input.len() < LARGE {
            self.input = vec![0; LARGE];
        } else if self.end == self.input.len() {
            if self.start > 0 {
                self.input.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else if self.input.len() < HEAD_LIMIT {
                // A head longer than the buffer: the engine wants to see all of it.
                self.input.resize(self.input.len() * 4, 0);
            }
        }
    }

    /// Whether it can carry another request after lying idle.
    pub fn is_idle(&mut self) -> bool {
        self.input().is_empty() && self.channel.is_idle()
    }

    /// Gives back the memory that an idle connection has no use for.
    pub fn rest(&mut self) {
        if self.input.len() > SMALL {
            self.input = Vec::new();
        }
        self.served += 1;
        self.used_at = Instant::now();
    }
}

/// Whether the answer to a head that expects 100-continue is just that; None: it is not whole yet. Other interim responses
/// say nothing about it.
fn wants_body(mut input: &[u8]) -> Option<bool> {
    loop {
        while let [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] = input {
            input = rest;
        }
        const VERSION: &[u8] = b"HTTP/1.";
        let known = VERSION.len().min(input.len());
        if input[..known] != VERSION[..known] && *input != *b"\r" {
            return Some(false);
        }
        match input.get(9..12)? {
            b"101" => return Some(false),
            status if status[0] != b'1' => return Some(false),
            b"100" => return behind_head(input).map(|_| true),
            _ => input = behind_head(input)?,
        }
    }
}

/// What stands behind the empty line that ends a head; None: it is not here yet.
fn behind_head(input: &[u8]) -> Option<&[u8]> {
    let mut line = 0;
    for end in memchr::memchr_iter(b'\n', input) {
        if line > 0 && matches!(input[line..end], [] | [b'\r']) {
            return Some(&input[end + 1..]);
        }
        line = end + 1;
    }
    None
}

/// What was there; where nothing was, more will not come, because sending has failed for the reason `unsent`.
fn there(received: io::Result<Option<usize>>, unsent: &Error, limits: &Limits) -> Result<usize, Error> {
    received.map_err(|error| limits.explain(error))?.ok_or_else(|| unsent.clone())
}

fn advance(pieces: &mut Vec<&[u8]>, mut amount: usize) {
    while let Some(first) = pieces.first_mut() {
        if amount < first.len() {
            *first = &first[amount..];
            return;
        }
        amount -= first.len();
        pieces.remove(0);
    }
}

#[cfg(test)]
mod tests {
    use super::wants_body;

    #[test]
    fn a_body_is_wanted_after_a_whole_100_and_not_after_anything_else() {
        let early = "HTTP/1.1 103 Early\r\nLink: <a>\r\n\r\n";
        let go_on = "HTTP/1.1 100 Continue\r\n\r\n";
        for before in ["", "\r\n", early, &early.repeat(2)] {
            let whole = format!("{before}{go_on}");
            for length in 0..whole.len() {
                assert_eq!(wants_body(&whole.as_bytes()[..length]), None, "{:?}", &whole[..length]);
            }
            assert_eq!(wants_body(whole.as_bytes()), Some(true));
            assert_eq!(wants_body(format!("{whole}HTTP/1.1 200 OK\r\n").as_bytes()), Some(true));
            for other in ["HTTP/1.1 200 ", "HTTP/1.1 417 No", "HTTP/1.1 101 Up", "SMTP", "HTTP/2.0"] {
                assert_eq!(wants_body(format!("{before}{other}").as_bytes()), Some(false), "{other}");
            }
        }
    }
}
