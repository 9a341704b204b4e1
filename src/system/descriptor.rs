//! A descriptor that says «there is something» to any event loop.

use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Readable while it is set. An eventfd where there is one, else a pipe with a byte in it.
#[derive(Debug)]
pub struct Flag {
    read: OwnedFd,
    #[cfg(not(target_os = "linux"))]
    write: OwnedFd,
    is_set: bool,
}

impl Flag {
    #[cfg(target_os = "linux")]
    pub fn new() -> io::Result<Flag> {
        // SAFETY: no pointers.
        let descriptor = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call above has just opened it, and nobody else knows it.
        Ok(Flag { read: unsafe { OwnedFd::from_raw_fd(descriptor) }, is_set: false })
    }

    #[cfg(not(target_os = "linux"))]
    pub fn new() -> io::Result<Flag> {
        let mut both = [0; 2];
        // SAFETY: pipe fills in two descriptors.
        if unsafe { libc::pipe(both.as_mut_ptr()) } < 0 {
            return Err(io::Error::last_os_error());
        }
        for descriptor in both {
            // SAFETY: no pointers; the descriptor is open.
            unsafe {
                libc::fcntl(descriptor, libc::F_SETFD, libc::FD_CLOEXEC);
                libc::fcntl(descriptor, libc::F_SETFL, libc::O_NONBLOCK);
            }
        }
        // SAFETY: pipe has just opened both, and nobody else knows them.
        let (read, write) = unsafe { (OwnedFd::from_raw_fd(both[0]), OwnedFd::from_raw_fd(both[1])) };
        Ok(Flag { read, write, is_set: false })
    }

    pub fn descriptor(&self) -> RawFd {
        self.read.as_raw_fd()
    }

    pub fn set(&mut self, set: bool) {
        if set == self.is_set {
            return;
        }
        self.is_set = set;
        if set {
            self.write();
        } else {
            self.read();
        }
    }

    fn write(&self) {
        #[cfg(target_os = "linux")]
        let to = self.read.as_raw_fd();
        #[cfg(not(target_os = "linux"))]
        let to = self.write.as_raw_fd();
        let one = 1_u64.to_ne_bytes();
        // SAFETY: eight readable bytes. It cannot fail: the counter is 0, the pipe empty.
        unsafe { libc::write(to, one.as_ptr().cast(), one.len()) };
    }

    fn read(&self) {
        let mut count = [0_u8; 8];
        // SAFETY: eight writable bytes. It does not block: they have been written.
        unsafe { libc::read(self.read.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}
