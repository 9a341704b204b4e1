//! Which of many descriptors are ready: epoll(7), or kqueue(2) where that is what there is.
//!
//! A descriptor is told of once for each change, and is forgotten when it is closed.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

pub struct Poller {
    queue: OwnedFd,
    /// Wakes who waits.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    bell: OwnedFd,
}

/// What has changed with a descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub key: u64,
    pub readable: bool,
    pub writable: bool,
    /// Nothing more comes from the other side.
    pub is_at_end: bool,
    /// Nothing more goes or comes.
    pub is_over: bool,
}

/// The key of nothing: a wait was ended by [`Poller::wake`].
const BELL: u64 = u64::MAX;
/// So many changes are taken at a time.
const MOST: usize = 256;

#[cfg(any(target_os = "linux", target_os = "android"))]
mod system {
    use super::*;

    pub type Event = libc::epoll_event;

    impl Poller {
        pub fn new() -> io::Result<Poller> {
            // SAFETY: no pointers; the call has just opened it, and nobody else knows it.
            let queue = unsafe { opened(libc::epoll_create1(libc::EPOLL_CLOEXEC)) }?;
            // SAFETY: as above.
            let bell = unsafe { opened(libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK)) }?;
            let poller = Poller { queue, bell };
            poller.control(poller.bell.as_raw_fd(), libc::EPOLLIN, BELL)?;
            Ok(poller)
        }

        pub fn add(&self, descriptor: RawFd, key: u64) -> io::Result<()> {
            self.control(descriptor, libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP, key)
        }

        fn control(&self, descriptor: RawFd, events: libc::c_int, key: u64) -> io::Result<()> {
            // Every write rings the bell anew, so nobody has to read it.
            let mut event = libc::epoll_event { events: (events | libc::EPOLLET) as u32, u64: key };
            let queue = self.queue.as_raw_fd();
            // One that is known has belonged to another poller in between, under another key.
            for operation in [libc::EPOLL_CTL_ADD, libc::EPOLL_CTL_MOD] {
                // SAFETY: the event is readable during the call.
                if unsafe { libc::epoll_ctl(queue, operation, descriptor, &mut event) } == 0 {
                    return Ok(());
                }
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EEXIST) {
                    return Err(error);
                }
            }
            Err(io::Error::from_raw_os_error(libc::EEXIST))
        }

        /// One that is not closed is to be told of no more.
        pub fn remove(&self, descriptor: RawFd) {
            let queue = self.queue.as_raw_fd();
            // SAFETY: no event is needed to delete one.
            unsafe { libc::epoll_ctl(queue, libc::EPOLL_CTL_DEL, descriptor, std::ptr::null_mut()) };
        }

        pub fn wake(&self) {
            let one = 1_u64.to_ne_bytes();
            // SAFETY: eight readable bytes.
            unsafe { libc::write(self.bell.as_raw_fd(), one.as_ptr().cast(), one.len()) };
        }

        pub fn wait(&self, changes: &mut Changes, longest: Option<Duration>) {
            // Rounded up: who waits for a time is not to look before it.
            let millis =
                longest.map_or(-1, |time| i32::try_from(time.as_micros().div_ceil(1000)).unwrap_or(i32::MAX));
            let room = changes.events.as_mut_ptr();
            // SAFETY: the room is as large as is said.
            let count = unsafe { libc::epoll_wait(self.queue.as_raw_fd(), room, MOST as i32, millis) };
            // Interrupted by a signal, there is none.
            changes.count = usize::try_from(count).unwrap_or(0);
        }
    }

    pub fn change(event: &Event) -> Change {
        let has = |flag: libc::c_int| event.events & flag as u32 != 0;
        Change {
            key: event.u64,
            readable: has(libc::EPOLLIN),
            writable: has(libc::EPOLLOUT),
            is_at_end: has(libc::EPOLLRDHUP),
            is_over: has(libc::EPOLLHUP | libc::EPOLLERR),
        }
    }

    pub const NOTHING: Event = libc::epoll_event { events: 0, u64: 0 };
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
mod system {
    use super::*;
    use std::ptr;

    pub type Event = libc::kevent;

    impl Poller {
        pub fn new() -> io::Result<Poller> {
            // SAFETY: no pointers; the call has just opened it, and nobody else knows it.
            let queue = unsafe { opened(libc::kqueue()) }?;
            // SAFETY: no pointers; the descriptor is open.
            unsafe { libc::fcntl(queue.as_raw_fd(), libc::F_SETFD, libc::FD_CLOEXEC) };
            let poller = Poller { queue };
            poller.change(&[event(0, libc::EVFILT_USER, libc::EV_ADD | libc::EV_CLEAR, 0, BELL)])?;
            Ok(poller)
        }

        pub fn add(&self, descriptor: RawFd, key: u64) -> io::Result<()> {
            let both = [libc::EVFILT_READ, libc::EVFILT_WRITE];
            let flags = libc::EV_ADD | libc::EV_CLEAR;
            self.change(&both.map(|filter| event(descriptor as usize, filter, flags, 0, key)))
        }

        fn change(&self, changes: &[Event]) -> io::Result<()> {
            // SAFETY: the changes are readable during the call, which writes nothing.
            let result = unsafe {
                let count = changes.len() as i32;
                libc::kevent(self.queue.as_raw_fd(), changes.as_ptr(), count, ptr::null_mut(), 0, ptr::null())
            };
            if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
        }

        /// One that is not closed is to be told of no more.
        pub fn remove(&self, descriptor: RawFd) {
            for filter in [libc::EVFILT_READ, libc::EVFILT_WRITE] {
                let _ = self.change(&[event(descriptor as usize, filter, libc::EV_DELETE, 0, 0)]);
            }
        }

        pub fn wake(&self) {
            let _ = self.change(&[event(0, libc::EVFILT_USER, 0, libc::NOTE_TRIGGER, BELL)]);
        }

        pub fn wait(&self, changes: &mut Changes, longest: Option<Duration>) {
            let time = longest.map(|time| libc::timespec {
                tv_sec: time.as_secs().min(i32::MAX as u64) as _,
                tv_nsec: time.subsec_nanos() as _,
            });
            let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
            let room = changes.events.as_mut_ptr();
            // SAFETY: the room is as large as is said, and the time is readable during the call.
            let count =
                unsafe { libc::kevent(self.queue.as_raw_fd(), ptr::null(), 0, room, MOST as i32, time) };
            changes.count = usize::try_from(count).unwrap_or(0);
        }
    }

    fn event(ident: usize, filter: i16, flags: u16, fflags: u32, key: u64) -> Event {
        libc::kevent {
            ident,
            filter,
            flags,
            fflags,
            data: 0,
            udata: ptr::without_provenance_mut(key as usize),
        }
    }

    pub fn change(event: &Event) -> Change {
        let ended = event.flags & (libc::EV_EOF | libc::EV_ERROR) != 0;
        let key = if event.filter == libc::EVFILT_USER { BELL } else { event.udata.addr() as u64 };
        Change {
            key,
            readable: event.filter == libc::EVFILT_READ,
            writable: event.filter == libc::EVFILT_WRITE,
            is_at_end: ended && event.filter == libc::EVFILT_READ,
            is_over: ended && event.filter != libc::EVFILT_READ,
        }
    }

    pub const NOTHING: Event =
        libc::kevent { ident: 0, filter: 0, flags: 0, fflags: 0, data: 0, udata: ptr::null_mut() };
}

/// What a call that opens a descriptor has returned.
///
/// # Safety
///
/// Nobody else knows the descriptor.
unsafe fn opened(descriptor: libc::c_int) -> io::Result<OwnedFd> {
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the caller vouches for it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Room for what [`Poller::wait`] finds.
pub struct Changes {
    events: Box<[system::Event; MOST]>,
    count: usize,
}

// SAFETY: of a kevent, the pointer is a number.
unsafe impl Send for Changes {}

impl Default for Changes {
    fn default() -> Changes {
        Changes { events: Box::new([system::NOTHING; MOST]), count: 0 }
    }
}

impl Changes {
    pub fn iter(&self) -> impl Iterator<Item = Change> {
        self.events[..self.count].iter().map(system::change).filter(|change| change.key != BELL)
    }
}
