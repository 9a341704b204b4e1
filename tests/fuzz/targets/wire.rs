//! Connections whose other end is played from memory: a socket that is none, and recv(2) and its like for it.
//!
//! The library is linked into this program, so its calls of recv come here. That is faster than any socket, one byte at a
//! time as well, and what arrives in which pieces is the same in every run. What is not played goes on to the system.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

use libc::{c_int, c_void, size_t, ssize_t};

/// What comes behind the last byte.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Ending {
    Closed,
    Reset,
    /// Nothing more, as long as anybody waits.
    Silence,
}

struct Played {
    descriptor: RawFd,
    sent: Vec<u8>,
    received: usize,
    /// Where the pieces end that have not been received as a whole.
    ends: VecDeque<usize>,
    ending: Ending,
}

thread_local! {
    /// Each thread plays the connections that it reads.
    static PLAYED: RefCell<Vec<Played>> = const { RefCell::new(Vec::new()) };
    static NOTHING: File = File::open("/dev/null").expect("/dev/null can be opened");
}

/// The other end of a played connection. Dropped, it plays no more: due when the connection is gone.
pub struct Peer(RawFd);

/// A connection to be read, and its other end.
pub fn play() -> (OwnedFd, Peer) {
    let descriptor = NOTHING.with(|file| file.try_clone()).map(OwnedFd::from).expect("a descriptor");
    let peer = play_on(&descriptor);
    (descriptor, peer)
}

/// The other end of this connection, as far as it is read.
pub fn play_on(descriptor: &OwnedFd) -> Peer {
    let number = descriptor.as_raw_fd();
    let played = Played {
        descriptor: number,
        sent: Vec::new(),
        received: 0,
        ends: VecDeque::new(),
        ending: Ending::Silence,
    };
    PLAYED.with_borrow_mut(|all| all.push(played));
    Peer(number)
}

fn with<T>(descriptor: RawFd, act: impl FnOnce(&mut Played) -> T) -> Option<T> {
    let find = |all: &mut Vec<Played>| all.iter_mut().find(|one| one.descriptor == descriptor).map(act);
    PLAYED.try_with(|all| find(&mut all.borrow_mut())).ok()?
}

impl Peer {
    /// Lets these bytes arrive, each piece by itself.
    pub fn send<'a>(&self, pieces: impl Iterator<Item = &'a [u8]>, ending: Ending) {
        with(self.0, |played| {
            for piece in pieces.filter(|piece| !piece.is_empty()) {
                played.sent.extend_from_slice(piece);
                played.ends.push_back(played.sent.len());
            }
            played.ending = ending;
        });
    }

    /// How many bytes nobody has received yet.
    pub fn unread(&self) -> usize {
        with(self.0, |played| played.sent.len() - played.received).unwrap_or(0)
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        PLAYED.with_borrow_mut(|all| all.retain(|one| one.descriptor != self.0));
    }
}

impl Played {
    /// As recv(2) would have it: at most one piece. The error is the system's number for it.
    fn receive(&mut self, buffer: &mut [MaybeUninit<u8>], flags: c_int) -> Result<usize, c_int> {
        let Some(end) = self.ends.front().copied() else {
            return match self.ending {
                Ending::Closed => Ok(0),
                Ending::Reset => Err(libc::ECONNRESET),
                Ending::Silence => Err(libc::EAGAIN),
            };
        };
        let piece = &self.sent[self.received..end];
        let count = piece.len().min(buffer.len());
        for (place, byte) in buffer.iter_mut().zip(&piece[..count]) {
            place.write(*byte);
        }
        if flags & libc::MSG_PEEK == 0 {
            self.received += count;
            if self.received == end {
                self.ends.pop_front();
            }
        }
        Ok(count)
    }
}

fn set_errno(number: c_int) {
    #[cfg(any(target_os = "linux", target_os = "emscripten"))]
    // SAFETY: it is the address of this thread's own.
    unsafe {
        *libc::__errno_location() = number;
    }
    #[cfg(target_vendor = "apple")]
    // SAFETY: as above.
    unsafe {
        *libc::__error() = number;
    }
}

/// # Safety
/// As of recv(2).
#[unsafe(no_mangle)]
unsafe extern "C" fn recv(descriptor: c_int, buffer: *mut c_void, length: size_t, flags: c_int) -> ssize_t {
    let received = with(descriptor, |played| {
        // SAFETY: recv is given so much memory to write to, of which it believes nothing.
        let buffer = unsafe { std::slice::from_raw_parts_mut(buffer.cast::<MaybeUninit<u8>>(), length) };
        played.receive(buffer, flags)
    });
    match received {
        Some(Ok(count)) => count as ssize_t,
        Some(Err(number)) => {
            set_errno(number);
            -1
        }
        // SAFETY: without an address recvfrom is recv.
        None => unsafe {
            libc::recvfrom(descriptor, buffer, length, flags, std::ptr::null_mut(), std::ptr::null_mut())
        },
    }
}
