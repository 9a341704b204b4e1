//! Whole files, read within the bounds of a request.
//!
//! A path may lead to a FIFO or to the pipe of a shell's `<(...)`, for which one could wait for ever. So files are
//! opened and read without blocking, and a wait ends with the request's time or its abort.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::iter;
use std::os::fd::AsRawFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use super::socket::Limits;
use crate::future::control::SLICE;
use crate::future::monitor::Until;
use crate::message::error::Error;
use crate::system::fiber::{self, READABLE, Watched};

/// No file of settings is longer.
const MOST: u64 = 64 * 1024 * 1024;

/// Why a file could not be read.
#[derive(Debug)]
pub enum ReadError {
    /// The file's own fault.
    Io(io::Error),
    /// The request's time is over, or it was aborted.
    Ended(Error),
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> ReadError {
        ReadError::Io(error)
    }
}

/// All that a file holds; of a pipe, all that comes until its last writer closes it.
pub fn read(path: &Path, limits: &Limits) -> Result<Vec<u8>, ReadError> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let about = file.metadata()?;
    let mut content = Vec::new();
    if about.is_file() {
        if about.len() > MOST {
            return Err(too_long().into());
        }
        content.try_reserve(usize::try_from(about.len()).unwrap_or(0) + 1).map_err(io::Error::other)?;
    }
    let mut buffer = [0; 16 * 1024];
    let watched = match fiber::here().filter(|_| !about.is_file()) {
        // What cannot be watched is always ready.
        Some(here) => here.watch_lent(file.as_raw_fd()).ok(),
        None => None,
    };
    loop {
        // A FIFO that nobody has opened for writing yet reads like one at its end, but poll(2) can tell them apart.
        if !about.is_file() {
            match &watched {
                Some(watched) => await_in_fiber(watched, limits)?,
                None => await_input(&file, limits)?,
            }
        }
        match (&file).read(&mut buffer) {
            Ok(0) => return Ok(content),
            Ok(count) if content.len() as u64 + count as u64 > MOST => return Err(too_long().into()),
            Ok(count) => {
                content.try_reserve(count).map_err(io::Error::other)?;
                content.extend_from_slice(&buffer[..count]);
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                if let Some(watched) = &watched {
                    watched.readiness.clear(READABLE);
                }
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, format!("longer than {} MB", MOST / (1024 * 1024)))
}

/// Returns when there is something to read, or the end.
fn await_in_fiber(watched: &Watched, limits: &Limits) -> Result<(), ReadError> {
    while !watched.readiness.has(READABLE) {
        let until = match limits.next_look().map_err(ReadError::Ended)? {
            Until::At(at) => Some(at),
            Until::Now | Until::Forever => None,
        };
        if let Some(here) = fiber::here() {
            here.wait_for(iter::once(watched), READABLE, until);
        }
    }
    Ok(())
}

/// The same on a thread.
fn await_input(file: &File, limits: &Limits) -> Result<(), ReadError> {
    loop {
        // No abort wakes this up: it looks for one.
        let left = limits.next_look().map_err(ReadError::Ended)?.left().unwrap_or(SLICE);
        let millis = left.as_micros().div_ceil(1000).try_into().unwrap_or(0);
        let mut entry = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry, alive during the call.
        let ready = unsafe { libc::poll(&mut entry, 1, millis) };
        if ready > 0 {
            return Ok(());
        }
        if ready < 0 {
            let error = io::Error::last_os_error();
            if error.kind() != io::ErrorKind::Interrupted {
                return Err(error.into());
            }
        }
    }
}
