//! How this process and a worker process talk: messages over a pair of Unix sockets, some with a descriptor.
//!
//! A message is a mark, its kind, its length, a check sum, and its content. A worker runs code that is not ours, which
//! may write where it should not: what is no message ends the conversation.

use std::collections::VecDeque;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::time::{Duration, Instant};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// To a worker, the first: which version speaks, and the descriptor that aborts come by.
    Hello = 1,
    /// From a worker that can work.
    Ready,
    /// A request; a large body comes as shared memory.
    Task,
    /// Its outcome; the descriptor is where the rest of a body comes from.
    Reply,
    /// Some of a body.
    Piece,
    /// The end of a body, and how it ended.
    End,
    /// Before that: what came behind the body.
    Trailers,
}

impl Kind {
    fn of(number: u32) -> Option<Kind> {
        [Kind::Hello, Kind::Ready, Kind::Task, Kind::Reply, Kind::Piece, Kind::End, Kind::Trailers]
            .into_iter()
            .find(|kind| *kind as u32 == number)
    }
}

/// So much is heard of a process that could not begin.
const LAST_WORDS: usize = 4096;
const MARK: u32 = u32::from_le_bytes(*b"\x93rfw");
const HEADER: usize = 16;
const LONGEST: usize = 1 << 31;
/// What is received at once. The buffer only grows with what has arrived.
const ROOM: usize = 64 * 1024;
/// A message has one descriptor at most.
const DESCRIPTORS: usize = 4;

/// What to do until a socket is ready.
pub trait Patience {
    /// Returns when one of the events is there; an error gives up.
    fn wait(&mut self, socket: RawFd, events: i16) -> io::Result<()>;
}

/// Waits in the calls themselves, without end.
pub struct Endless;

impl Patience for Endless {
    fn wait(&mut self, _: RawFd, _: i16) -> io::Result<()> {
        Ok(())
    }
}

/// One end of a conversation.
pub struct Channel {
    socket: OwnedFd,
    /// The calls do not block: the caller waits.
    is_patient: bool,
    input: Vec<u8>,
    /// Of `input`, what belongs to messages that were taken.
    taken: usize,
    descriptors: VecDeque<OwnedFd>,
}

#[cfg(target_os = "linux")]
pub const QUIET: libc::c_int = libc::MSG_NOSIGNAL;
#[cfg(not(target_os = "linux"))]
pub const QUIET: libc::c_int = 0;

#[cfg(target_os = "linux")]
const PRIVATE: libc::c_int = libc::MSG_CMSG_CLOEXEC;
#[cfg(not(target_os = "linux"))]
const PRIVATE: libc::c_int = 0;

/// Two sockets that are connected, which no program that is started inherits.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    let mut both = [0; 2];
    #[cfg(target_os = "linux")]
    let kind = libc::SOCK_STREAM | libc::SOCK_CLOEXEC;
    #[cfg(not(target_os = "linux"))]
    let kind = libc::SOCK_STREAM;
    // SAFETY: socketpair fills in two descriptors.
    if unsafe { libc::socketpair(libc::AF_UNIX, kind, 0, both.as_mut_ptr()) } < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just opened both, and nobody else knows them.
    let pair = both.map(|descriptor| unsafe { OwnedFd::from_raw_fd(descriptor) });
    #[cfg(not(target_os = "linux"))]
    for one in &pair {
        make_private(one.as_raw_fd());
    }
    Ok(pair.into())
}

#[cfg(not(target_os = "linux"))]
fn make_private(descriptor: RawFd) {
    let on: libc::c_int = 1;
    // SAFETY: no pointers in the first; the second reads one number.
    unsafe {
        libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
        #[cfg(target_vendor = "apple")]
        libc::setsockopt(
            descriptor,
            libc::SOL_SOCKET,
            libc::SO_NOSIGPIPE,
            (&raw const on).cast(),
            mem::size_of_val(&on) as libc::socklen_t,
        );
    }
    let _ = on;
}

/// Room for control messages, aligned as they must be.
#[repr(C, align(16))]
struct Control([u8; 96]);

impl Channel {
    /// For one who waits in the calls.
    pub fn endless(socket: OwnedFd) -> Channel {
        Channel { socket, is_patient: false, input: Vec::new(), taken: 0, descriptors: VecDeque::new() }
    }

    /// For one with a [`Patience`] of its own.
    pub fn patient(socket: OwnedFd) -> Channel {
        Channel { is_patient: true, ..Channel::endless(socket) }
    }

    pub fn descriptor(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// Ends the conversation. Closing alone would not, while a child that was forked meanwhile has the socket as well.
    pub fn hang_up(&self) {
        // SAFETY: no pointers; the descriptor is open.
        unsafe { libc::shutdown(self.descriptor(), libc::SHUT_RDWR) };
    }

    fn flags(&self) -> libc::c_int {
        if self.is_patient { libc::MSG_DONTWAIT } else { 0 }
    }

    /// Sends a message. An error may leave half of it behind: then the conversation is over.
    pub fn send(
        &self,
        kind: Kind,
        content: &[u8],
        descriptor: Option<BorrowedFd<'_>>,
        patience: &mut impl Patience,
    ) -> io::Result<()> {
        if content.len() > LONGEST {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut header = [0; HEADER];
        let fields = [MARK, kind as u32, content.len() as u32, crc32fast::hash(content)];
        for (place, field) in header.chunks_exact_mut(4).zip(fields) {
            place.copy_from_slice(&field.to_le_bytes());
        }
        let mut descriptor = descriptor;
        let mut sent = 0;
        while sent < HEADER + content.len() {
            let pieces = [&header[sent.min(HEADER)..], &content[sent.saturating_sub(HEADER)..]];
            match self.send_some(&pieces, descriptor) {
                Ok(count) => {
                    sent += count;
                    descriptor = None;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    patience.wait(self.descriptor(), libc::POLLOUT)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn send_some(&self, pieces: &[&[u8]; 2], descriptor: Option<BorrowedFd<'_>>) -> io::Result<usize> {
        let mut vectors = pieces
            .map(|piece| libc::iovec { iov_base: piece.as_ptr().cast_mut().cast(), iov_len: piece.len() });
        let mut control = Control([0; 96]);
        // SAFETY: a plain structure, which the lines below fill in.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = vectors.as_mut_ptr();
        message.msg_iovlen = vectors.len() as _;
        if let Some(descriptor) = descriptor {
            let size = mem::size_of::<RawFd>() as u32;
            message.msg_control = control.0.as_mut_ptr().cast();
            // SAFETY: the room is larger than what the macros say for one descriptor, and aligned.
            unsafe {
                message.msg_controllen = libc::CMSG_SPACE(size) as _;
                let first = libc::CMSG_FIRSTHDR(&message);
                (*first).cmsg_level = libc::SOL_SOCKET;
                (*first).cmsg_type = libc::SCM_RIGHTS;
                (*first).cmsg_len = libc::CMSG_LEN(size) as _;
                libc::CMSG_DATA(first).cast::<RawFd>().write_unaligned(descriptor.as_raw_fd());
            }
        }
        // SAFETY: everything that the message points to lives during the call.
        let count = unsafe { libc::sendmsg(self.descriptor(), &message, QUIET | self.flags()) };
        usize::try_from(count).map_err(|_| io::Error::last_os_error())
    }

    /// The next message; None when the other end is closed between two. Its content lives until the next call.
    pub fn receive(&mut self, patience: &mut impl Patience) -> io::Result<Option<(Kind, &[u8])>> {
        self.input.drain(..self.taken);
        self.taken = 0;
        let wanted = loop {
            let mut wanted = HEADER;
            if self.input.len() >= HEADER {
                let length = self.field(2) as usize;
                if self.field(0) != MARK || length > LONGEST {
                    return Err(io::ErrorKind::InvalidData.into());
                }
                wanted += length;
                if self.input.len() >= wanted {
                    break wanted;
                }
            }
            if self.is_patient {
                patience.wait(self.descriptor(), libc::POLLIN)?;
            }
            match self.receive_some(wanted) {
                Ok(0) if self.input.is_empty() => return Ok(None),
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) => {}
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error),
            }
        };
        let kind = Kind::of(self.field(1)).ok_or(io::ErrorKind::InvalidData)?;
        let content = &self.input[HEADER..wanted];
        if crc32fast::hash(content) != self.field(3) {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.taken = wanted;
        Ok(Some((kind, content)))
    }

    fn field(&self, at: usize) -> u32 {
        let bytes = &self.input[4 * at..4 * at + 4];
        u32::from_le_bytes(bytes.try_into().expect("four bytes"))
    }

    fn receive_some(&mut self, wanted: usize) -> io::Result<usize> {
        let missing = wanted - self.input.len();
        self.input.try_reserve(missing.clamp(ROOM, 16 * ROOM))?;
        let spare = self.input.spare_capacity_mut();
        let mut vector = libc::iovec { iov_base: spare.as_mut_ptr().cast(), iov_len: spare.len() };
        let mut control = Control([0; 96]);
        // SAFETY: a plain structure, which the lines below fill in.
        let mut message: libc::msghdr = unsafe { mem::zeroed() };
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.0.as_mut_ptr().cast();
        // SAFETY: a calculation. There is room for more descriptors than a message has.
        message.msg_controllen =
            unsafe { libc::CMSG_SPACE((DESCRIPTORS * mem::size_of::<RawFd>()) as u32) } as _;
        // SAFETY: everything that the message points to lives during the call.
        let count = unsafe { libc::recvmsg(self.descriptor(), &mut message, PRIVATE | self.flags()) };
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        // SAFETY: the call has filled in so many bytes of the spare room.
        unsafe { self.input.set_len(self.input.len() + count) };
        // SAFETY: the call has filled in the control messages, which the macros walk through.
        unsafe {
            let mut header = libc::CMSG_FIRSTHDR(&message);
            while !header.is_null() {
                if (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS {
                    let length = (*header).cmsg_len as usize - libc::CMSG_LEN(0) as usize;
                    for at in 0..length / mem::size_of::<RawFd>() {
                        let descriptor = ptr::read_unaligned(libc::CMSG_DATA(header).cast::<RawFd>().add(at));
                        self.descriptors.push_back(OwnedFd::from_raw_fd(descriptor));
                    }
                }
                header = libc::CMSG_NXTHDR(&message, header);
            }
        }
        #[cfg(not(target_os = "linux"))]
        self.descriptors.iter().for_each(|descriptor| make_private(descriptor.as_raw_fd()));
        Ok(count)
    }

    /// What the other side, which has ended, has sent that is no message.
    pub fn last_words(&mut self) -> &[u8] {
        let mut was_reset = false;
        while self.input.len() - self.taken < LAST_WORDS {
            match self.receive_some(self.input.len() + 1) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The end may be reported before what was said.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset && !was_reset => {
                    was_reset = true
                }
                Err(_) => break,
            }
        }
        &self.input[self.taken..]
    }

    /// The descriptor that came with the last message.
    pub fn take_descriptor(&mut self) -> Option<OwnedFd> {
        self.descriptors.pop_front()
    }
}

/// Waits until one of the descriptors has something to tell: its events, or its end. None when the time is over, or
/// a signal came.
pub fn poll<const N: usize>(of: [(RawFd, i16); N], until: Option<Instant>) -> Option<[i16; N]> {
    let mut entries = of.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 });
    let millis = until.map_or(-1, |until| {
        let left = until.saturating_duration_since(Instant::now());
        // Rounded up: otherwise the last millisecond would be spent in turning round.
        i32::try_from((left + Duration::from_micros(999)).as_millis()).unwrap_or(i32::MAX)
    });
    // SAFETY: the entries live during the call.
    let count = unsafe { libc::poll(entries.as_mut_ptr(), entries.len() as _, millis) };
    (count > 0).then(|| entries.map(|entry| entry.revents))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;
    use std::thread;

    fn channels() -> (Channel, Channel) {
        let (one, other) = pair().unwrap();
        (Channel::endless(one), Channel::endless(other))
    }

    #[test]
    fn messages_arrive_in_order_and_whole() {
        let (one, mut other) = channels();
        let large: Vec<u8> = (0..3_000_000_u32).map(|number| number as u8).collect();
        let expected = large.clone();
        let sender = thread::spawn(move || {
            one.send(Kind::Task, b"first", None, &mut Endless).unwrap();
            one.send(Kind::Piece, &large, None, &mut Endless).unwrap();
            one.send(Kind::End, b"", None, &mut Endless).unwrap();
        });
        assert!(matches!(other.receive(&mut Endless), Ok(Some((Kind::Task, b"first")))));
        let (kind, content) = other.receive(&mut Endless).unwrap().unwrap();
        assert!(kind == Kind::Piece && content == expected);
        assert!(matches!(other.receive(&mut Endless), Ok(Some((Kind::End, b"")))));
        sender.join().unwrap();
        assert!(matches!(other.receive(&mut Endless), Ok(None)));
    }

    #[test]
    fn a_descriptor_comes_with_its_message() {
        let (one, mut other) = channels();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        one.send(Kind::Reply, b"x", Some(theirs.as_fd()), &mut Endless).unwrap();
        drop(theirs);
        assert!(other.receive(&mut Endless).unwrap().is_some());
        let mut theirs = UnixStream::from(other.take_descriptor().unwrap());
        assert!(other.take_descriptor().is_none());
        theirs.write_all(b"!").unwrap();
        let mut byte = [0];
        io::Read::read_exact(&mut ours, &mut byte).unwrap();
        assert_eq!(byte, *b"!");
    }

    #[test]
    fn rubbish_is_no_message() {
        for rubbish in [&[0; 64][..], b"a line of text that a hook has printed\n", &[0xff; 16]] {
            let (mut ours, theirs) = UnixStream::pair().unwrap();
            ours.write_all(rubbish).unwrap();
            assert!(Channel::endless(theirs.into()).receive(&mut Endless).is_err());
        }
        // Nor is half a message, or one whose content was changed.
        let (one, other) = channels();
        one.send(Kind::Task, b"content", None, &mut Endless).unwrap();
        let mut whole = [0; HEADER + 7];
        io::Read::read_exact(&mut UnixStream::from(other.socket), &mut whole).unwrap();
        for at in 0..whole.len() {
            let mut changed = whole;
            changed[at] ^= 1;
            for sent in [&whole[..at], &changed[..]] {
                let (mut ours, theirs) = UnixStream::pair().unwrap();
                ours.write_all(sent).unwrap();
                drop(ours);
                let mut channel = Channel::endless(theirs.into());
                let received = channel.receive(&mut Endless);
                assert!(!matches!(received, Ok(Some((Kind::Task, _)))), "{at}");
            }
        }
    }
}
