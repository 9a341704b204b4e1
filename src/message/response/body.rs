//! Reading the body of a response: all at once, in pieces, line by line, or into an output.

use std::cell::RefCell;
use std::io::Read;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{
    Body, BodyState, Content, LARGE_PIECE, PIECE, Pending, Progress, Refusal, Response, Source, server_of,
};
use crate::future::control::Control;
use crate::future::monitor::{MonitorGuard, Until};
use crate::future::stopwatch::Phase;
use crate::message::error::{DecodeError, Error, ErrorKind};
use crate::message::events::{self, Event, Unreadable};
use crate::system::{fiber, thread};

impl Response {
    // ---- the body ----
    //
    // Reading may call functions of the user's, and those may ask for this very body. So a reader takes the source out
    // and leaves the token of its thread; the lock is not held meanwhile. Other threads wait, this one is refused.

    /// The body, once nobody reads it.
    pub(super) fn free_body(&self) -> Result<MonitorGuard<'_, Body>, Refusal> {
        let mut body = self.body.lock();
        while let Some(reader) = body.reader {
            if reader == thread::token() {
                return Err(Refusal::State);
            }
            body = body.wait(Until::Forever);
        }
        Ok(body)
    }

    /// Reads with the source in hand, and puts it back unless it has ended, failed, or was closed meanwhile. At the
    /// end, `ended` changes the state before anyone else can see the body.
    fn with_source(
        &self,
        mut body: MonitorGuard<'_, Body>,
        read: impl FnOnce(&mut Source) -> std::io::Result<Progress>,
        ended: impl FnOnce(&mut Body),
    ) -> Result<(), Refusal> {
        let is_inherited = |control: &Arc<Control>| control.origin().is_inherited();
        if body.source.is_some() && self.control.lock().as_ref().is_some_and(is_inherited) {
            // The connection is that of the process which forked this one.
            return Err(Refusal::Failed(Error::forked()));
        }
        let Some(mut source) = body.source.take() else {
            ended(&mut body);
            return Ok(());
        };
        body.reader = Some(thread::token());
        drop(body);
        let result = read(&mut source);
        let mut body = self.body.lock();
        body.reader = None;
        let outcome = match result {
            _ if body.state == BodyState::Closed => Err(Refusal::State),
            Ok(Progress::More) => {
                body.source = Some(source);
                body.notify_all();
                return Ok(());
            }
            Ok(Progress::End) => {
                self.end_timing();
                ended(&mut body);
                Ok(())
            }
            Err(error) => {
                self.end_timing();
                let error = self.body_error(error);
                body.failure = Some(error.clone());
                Err(Refusal::Failed(error))
            }
        };
        // The connection goes back, or is closed, with the source: not under the lock.
        body.notify_all();
        drop(source);
        self.let_go();
        outcome
    }

    /// Nothing is left that could be ended. Not under the lock: with the control may go what is the user's.
    pub(super) fn let_go(&self) {
        let control = self.control.lock().take();
        drop(control);
    }

    /// Of what is left of the body no more than that is read. The rest is given up.
    pub fn shorten(&self, most: u64) {
        let mut body = self.body.lock();
        if let Some(source) = body.source.take() {
            body.source = Some(Box::new(Read::take(source, most)));
        }
    }

    /// Whether nothing of the body is left on its connection.
    pub fn is_read(&self) -> bool {
        let body = self.body.lock();
        body.source.is_none() && body.reader.is_none()
    }

    /// The whole body; it is read now, if nobody did before.
    pub fn content(&self) -> Result<&[u8], Refusal> {
        if let Some(content) = self.kept() {
            return Ok(content);
        }
        self.read_all()?;
        self.kept().ok_or(Refusal::State)
    }

    /// The content, once all of it was read. A NUL follows.
    pub(super) fn kept(&self) -> Option<&[u8]> {
        let content = self.content.get()?.bytes();
        let start = if self.given_away.load(Ordering::Acquire) { content.len() } else { 0 };
        Some(&content[start..])
    }

    fn read_all(&self) -> Result<(), Refusal> {
        let body = self.free_body()?;
        match body.state {
            BodyState::Kept => return Ok(()),
            BodyState::Partial | BodyState::Closed => return Err(Refusal::State),
            BodyState::Consumed => return Err(Refusal::Failed(consumed())),
            BodyState::Untouched => {}
        }
        if let Some(failure) = &body.failure {
            return Err(Refusal::Failed(failure.clone()));
        }
        let content = RefCell::new(Vec::new());
        let read = |source: &mut Source| {
            let content = &mut *content.borrow_mut();
            source.read_to_end(content).map_err(|error| match error.kind() {
                std::io::ErrorKind::OutOfMemory => no_room_after(content.len()).into_io(),
                _ => {
                    if let Some(control) = &*self.control.lock() {
                        control.free_later(mem::take(content));
                    }
                    error
                }
            })?;
            // For the NUL.
            content.try_reserve_exact(1).map_err(|_| no_room_after(content.len()).into_io())?;
            Ok(Progress::End)
        };
        self.with_source(body, read, |body| {
            let mut content = content.take();
            content.push(0);
            let _ = self.content.set(Content::Own(content));
            body.state = BodyState::Kept;
        })
    }

    /// Gives the body to `write`, piece by piece, and keeps nothing of it.
    pub fn drain(&self, write: &mut dyn FnMut(&[u8]) -> Result<(), Error>) -> Result<(), Error> {
        if let Some(content) = self.kept() {
            // A hook has read it.
            if !content.is_empty() {
                write(content)?;
            }
            let mut body = self.body.lock();
            self.given_away.store(true, Ordering::Release);
            body.delivered = 0;
            body.line = Pending::default();
            return Ok(());
        }
        // Somebody has read a part of it: what is left is not the body.
        if matches!(self.body.lock().state, BodyState::Partial | BodyState::Consumed) {
            return Err(consumed().at(self.url.as_str()));
        }
        let mut piece = vec![0; PIECE];
        loop {
            match self.read(&mut piece) {
                Ok(0) => break,
                Ok(count) => {
                    if let Err(error) = write(&piece[..count]) {
                        self.close();
                        return Err(error);
                    }
                    // In a fiber a piece may go to another thread and back: while each is full, the next is larger.
                    if count == piece.len() && count < LARGE_PIECE && fiber::here().is_some() {
                        piece = vec![0; 2 * count];
                    }
                }
                // Somebody has closed it.
                Err(Refusal::State) => return Err(consumed().at(self.url.as_str())),
                Err(Refusal::Failed(error)) => return Err(error),
            }
        }
        let mut body = self.body.lock();
        if body.state == BodyState::Consumed {
            body.state = BodyState::Kept;
            let _ = self.content.set(Content::Own(vec![0]));
        }
        Ok(())
    }

    /// Reads a piece into `buffer`; 0 at the end.
    pub fn read(&self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        loop {
            let count = self.read_piece(buffer)?;
            let mut body = self.body.lock();
            if count == 0 || !mem::take(&mut body.after_return) || buffer[0] != b'\n' {
                return Ok(count);
            }
            // It is the end of the line that was read before.
            buffer.copy_within(1..count, 0);
            if count > 1 {
                return Ok(count - 1);
            }
        }
    }

    fn read_piece(&self, buffer: &mut [u8]) -> Result<usize, Refusal> {
        let mut body = self.free_body()?;
        // What a line did not need comes first.
        if !body.line.is_empty() && body.state != BodyState::Closed {
            let count = body.line.left().len().min(buffer.len());
            buffer[..count].copy_from_slice(&body.line.left()[..count]);
            body.line.skip(count);
            return Ok(count);
        }
        match body.state {
            BodyState::Closed => return Err(Refusal::State),
            BodyState::Consumed => return Ok(0),
            BodyState::Kept => {
                let left = &self.kept().unwrap_or_default()[body.delivered..];
                let count = left.len().min(buffer.len());
                buffer[..count].copy_from_slice(&left[..count]);
                body.delivered += count;
                return Ok(count);
            }
            BodyState::Untouched | BodyState::Partial => {}
        }
        if let Some(failure) = &body.failure {
            return Err(Refusal::Failed(failure.clone()));
        }
        if buffer.is_empty() {
            return Ok(0);
        }
        body.state = BodyState::Partial;
        let mut count = 0;
        let read = |source: &mut Source| {
            count = read_some(source, buffer)?;
            Ok(if count == 0 { Progress::End } else { Progress::More })
        };
        self.with_source(body, read, |body| body.state = BodyState::Consumed)?;
        Ok(count)
    }

    /// The next line without its end; None after the last. It lives until the next line is read.
    pub fn read_line(&self) -> Result<Option<(*const u8, usize)>, Refusal> {
        Ok(self.next_line(usize::MAX)?.map(|line| self.lend_line(line)))
    }

    /// The next event; None after the last. It lives until the next event is read.
    pub fn read_event(&self) -> Result<Option<*const Event>, Refusal> {
        loop {
            let is_first = {
                let body = self.free_body()?;
                let is_kept = body.state == BodyState::Kept && body.delivered == 0 && body.line.is_empty();
                body.state == BodyState::Untouched || is_kept
            };
            let line = match self.next_line(events::LONGEST) {
                Ok(Some(line)) => line,
                ended => {
                    if let Some(events) = &mut *self.events.lock() {
                        events.forget();
                    }
                    return ended.map(|_| None);
                }
            };
            let mut events = self.events.lock();
            let why = match events.get_or_insert_default().line(&line, is_first) {
                Ok(Some(event)) => return Ok(Some(std::ptr::from_ref(event))),
                Ok(None) => continue,
                Err(why) => why,
            };
            drop(events);
            let error = match why {
                Unreadable::TooLong => self.too_long("An event"),
                Unreadable::OutOfMemory(bytes) => {
                    Error::out_of_memory(format_args!("an event of more than {bytes} bytes"))
                }
            };
            return Err(self.break_off(Pending::default(), error));
        }
    }

    /// The next line of at most so many bytes, with room for a NUL behind it.
    fn next_line(&self, most: usize) -> Result<Option<Vec<u8>>, Refusal> {
        let mut pending = {
            let mut body = self.free_body()?;
            if body.state == BodyState::Closed {
                return Err(Refusal::State);
            }
            if !body.line.is_empty() && mem::take(&mut body.after_return) && body.line.left()[0] == b'\n' {
                body.line.skip(1);
            }
            mem::take(&mut body.line)
        };
        let mut searched = 0;
        loop {
            let left = pending.left();
            let end = left[searched..].iter().position(|byte| matches!(byte, b'\n' | b'\r'));
            if let Some(end) = end.map(|end| searched + end).filter(|end| *end <= most) {
                let after_return = left[end] == b'\r';
                let line = if end < PIECE {
                    let mut line = Vec::with_capacity(end + 1);
                    line.extend_from_slice(&left[..end]);
                    pending.skip(end + 1);
                    line
                } else {
                    let line = pending.grow();
                    let rest = line.split_off(end + 1);
                    line.truncate(end);
                    mem::replace(&mut pending, Pending::of(rest)).bytes
                };
                let mut body = self.body.lock();
                body.after_return = after_return;
                body.line = pending;
                return Ok(Some(line));
            }
            if end.is_some() || left.len() > most {
                let error = self.too_long("A line of the events");
                return Err(self.break_off(pending, error));
            }
            searched = left.len();
            let mut piece = [0; 8 * 1024];
            // Before they are read: what has been read must not be lost.
            let bytes = pending.grow();
            if bytes.try_reserve(piece.len()).is_err() {
                let what = format!("a line of more than {} bytes", bytes.len());
                return Err(self.break_off(pending, Error::out_of_memory(what)));
            }
            match self.read(&mut piece) {
                Ok(0) if bytes.is_empty() => return Ok(None),
                Ok(0) => return Ok(Some(pending.bytes)),
                Ok(count) => bytes.extend_from_slice(&piece[..count]),
                // A line that a failure cut is not delivered.
                Err(refusal) => return Err(refusal),
            }
        }
    }

    fn too_long(&self, what: &str) -> Error {
        let most = events::LONGEST / (1024 * 1024);
        let text = format!("{what} from {} is longer than {most} MB", server_of(self.url.as_str()));
        Error::new(ErrorKind::BodyTooLarge, text)
    }

    /// A line cannot be read to its end. What is left of a body that comes from a connection begins in the middle of it, so
    /// it fails from now on; a body that lies in memory can still be read in pieces.
    fn break_off(&self, pending: Pending, error: Error) -> Refusal {
        let error = error.at(self.url.as_str());
        let mut body = self.body.lock();
        if matches!(body.state, BodyState::Kept | BodyState::Consumed) {
            if !pending.is_empty() {
                body.line = pending;
            }
            return Refusal::Failed(error);
        }
        body.failure = Some(error.clone());
        body.line = Pending::default();
        let source = body.source.take();
        drop(body);
        // The connection is closed with the source: not under the lock.
        drop(source);
        self.end_timing();
        self.let_go();
        Refusal::Failed(error)
    }

    fn lend_line(&self, mut line: Vec<u8>) -> (*const u8, usize) {
        let length = line.len();
        line.push(0);
        let address = line.as_ptr();
        let mut lines = self.lines.lock();
        // A stream can go on for ever: of its lines only the last is kept.
        lines.clear();
        lines.push(line);
        (address, length)
    }

    /// Ends the reading; the connection is closed unless the body was read to its end. A thread that reads at this
    /// moment is let go.
    pub fn close(&self) {
        let mut body = self.body.lock();
        if body.state != BodyState::Kept {
            body.state = BodyState::Closed;
        }
        let source = body.source.take();
        let reading = body.reader.is_some();
        drop(body);
        drop(source);
        self.end_timing();
        let control = self.control.lock().take();
        if let Some(control) = control.filter(|_| reading) {
            control.abort();
        }
    }

    fn body_error(&self, error: std::io::Error) -> Error {
        if let Some(broken) = DecodeError::of(&error) {
            let text = format!(
                "Cannot decode the {} body from {}: {}",
                broken.coding,
                server_of(self.url.as_str()),
                broken.detail
            );
            return self.blamed(Error::new(ErrorKind::ContentDecoding, text).at(self.url.as_str()));
        }
        let error = Error::from_io(error)
            .unwrap_or_else(|error| Error::os(ErrorKind::ChunkedEncoding, "Connection broken", &error));
        let error = match error.kind() {
            // The reader of the body knows the limit alone.
            ErrorKind::BodyTooLarge => {
                let text = format!("The body from {} is {error}", server_of(self.url.as_str()));
                Error::new(ErrorKind::BodyTooLarge, text)
            }
            _ => error,
        };
        self.blamed(error.at(self.url.as_str()))
    }

    /// An error of its body says where that was.
    fn blamed(&self, error: Error) -> Error {
        let phase = if error.kind() == ErrorKind::Hook { Phase::Hook } else { Phase::Receive };
        match self.attempts() {
            0 => error,
            attempts => error.during(Some(phase), attempts, self.request_head().word().as_str()),
        }
    }
}

/// The memory for a body ended after so many bytes of it.
fn no_room_after(bytes: usize) -> Error {
    Error::out_of_memory(format_args!("the body, of which {bytes} bytes have arrived"))
}

fn read_some(source: &mut Source, buffer: &mut [u8]) -> std::io::Result<usize> {
    loop {
        match source.read(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn consumed() -> Error {
    Error::new(ErrorKind::StreamConsumed, "The content for this response was already consumed")
}
