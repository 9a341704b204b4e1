//! Telling who watches a request what it does. Where nobody does, that costs a look.

use std::io::{self, Read, Write};
use std::sync::Arc;

use crate::future::control::Control;
use crate::future::trace::{Kind, Trace};
use crate::message::error::Error;

/// What nobody is to see of a head who was not promised it.
const SECRETS: [&[u8]; 4] = [b"authorization", b"proxy-authorization", b"cookie", b"set-cookie"];

/// What stands in the place of a secret.
const HIDDEN: &[u8] = b"***";

/// One line.
#[inline]
pub fn info(control: &Control, line: impl FnOnce() -> String) -> Result<(), Error> {
    match control.trace() {
        None => Ok(()),
        Some(trace) => tell_line(trace, control, line),
    }
}

// What makes the line takes no room on the stack of who has nobody to tell.
#[cold]
#[inline(never)]
fn tell_line(trace: &Arc<dyn Trace>, control: &Control, line: impl FnOnce() -> String) -> Result<(), Error> {
    tell(trace, control, Kind::Info, line().as_bytes())
}

/// A head, to its empty line.
#[inline]
pub fn head(control: &Control, kind: Kind, head: &[u8]) -> Result<(), Error> {
    match control.trace() {
        None => Ok(()),
        Some(trace) => tell_head(trace, control, kind, head),
    }
}

#[cold]
#[inline(never)]
fn tell_head(trace: &Arc<dyn Trace>, control: &Control, kind: Kind, head: &[u8]) -> Result<(), Error> {
    match trace.is_told_secrets() {
        true => tell(trace, control, kind, head),
        false => tell(trace, control, kind, &without_secrets(head)),
    }
}

/// A piece of a body, as it goes over the wire, without what frames it.
#[inline]
pub fn body(control: &Control, kind: Kind, piece: &[u8]) -> Result<(), Error> {
    match control.trace() {
        Some(trace) if !piece.is_empty() => tell(trace, control, kind, piece),
        _ => Ok(()),
    }
}

#[cold]
#[inline(never)]
fn tell(trace: &Arc<dyn Trace>, control: &Control, kind: Kind, data: &[u8]) -> Result<(), Error> {
    control.stopwatch.in_hook(|| {
        trace.tell(control.order(), kind, data);
        if control.origin().has_left() { Err(Error::forked()) } else { Ok(()) }
    })
}

fn without_secrets(head: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(head.len());
    let mut is_hidden = false;
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        // What a server has folded goes on with the line before.
        let goes_on = matches!(line.first(), Some(b' ' | b'\t'));
        if goes_on && is_hidden {
            continue;
        }
        let colon = line.iter().position(|byte| *byte == b':').filter(|_| !goes_on);
        let name = colon.map(|colon| line[..colon].trim_ascii());
        is_hidden = name.is_some_and(|name| SECRETS.iter().any(|one| name.eq_ignore_ascii_case(one)));
        match colon.filter(|_| is_hidden) {
            None => shown.extend_from_slice(line),
            Some(colon) => {
                shown.extend_from_slice(&line[..=colon]);
                shown.push(b' ');
                shown.extend_from_slice(HIDDEN);
                shown.extend_from_slice(if line.ends_with(b"\r\n") { b"\r\n" } else { b"\n" });
            }
        }
    }
    shown
}

/// The body of an answer, for who watches.
pub struct Watched<R> {
    pub source: R,
    pub control: Arc<Control>,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        body(&self.control, Kind::BodyIn, &buffer[..count]).map_err(Error::into_io)?;
        Ok(count)
    }
}

/// A stream that remembers what was said on it, as far as somebody watches.
pub struct Overheard<S> {
    pub stream: S,
    is_on: bool,
    sent: Vec<u8>,
    received: Vec<u8>,
}

impl<S> Overheard<S> {
    pub fn new(stream: S, control: &Control) -> Overheard<S> {
        Overheard { stream, is_on: control.trace().is_some(), sent: Vec::new(), received: Vec::new() }
    }

    /// Tells of the heads that went and came.
    pub fn tell(&self, control: &Control) -> Result<(), Error> {
        if !self.is_on {
            return Ok(());
        }
        head(control, Kind::HeadOut, &self.sent)?;
        if self.received.is_empty() { Ok(()) } else { head(control, Kind::HeadIn, &self.received) }
    }
}

impl<S: Read> Read for Overheard<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        if self.is_on {
            self.received.extend_from_slice(&buffer[..count]);
        }
        Ok(count)
    }
}

impl<S: Write> Write for Overheard<S> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let count = self.stream.write(data)?;
        if self.is_on {
            self.sent.extend_from_slice(&data[..count]);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stream.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(head: &str) -> String {
        String::from_utf8(without_secrets(head.as_bytes())).expect("text")
    }

    #[test]
    fn secrets_of_a_head_are_starred_out_however_they_are_written() {
        assert_eq!(
            shown("GET /Cookie: HTTP/1.1\r\nHost: h\r\nauthorization:Basic eA==\r\nX-Cookie: a\r\n\r\n"),
            "GET /Cookie: HTTP/1.1\r\nHost: h\r\nauthorization: ***\r\nX-Cookie: a\r\n\r\n"
        );
        assert_eq!(
            shown(
                "HTTP/1.1 200 OK\nSET-COOKIE : a=b;\n Path=/secret\nA: 1\n\tb\nProxy-Authorization: \t\n\n"
            ),
            "HTTP/1.1 200 OK\nSET-COOKIE : ***\nA: 1\n\tb\nProxy-Authorization: ***\n\n"
        );
        assert_eq!(shown("cOOkie: a"), "cOOkie: ***\n");
        assert_eq!(shown("A: Cookie: b\r\nCookies: c\r\n"), "A: Cookie: b\r\nCookies: c\r\n");
    }
}
