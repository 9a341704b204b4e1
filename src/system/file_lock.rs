//! A file that one writer has to itself, in this process and among all others.
//!
//! The lock belongs to what was opened, and not to the process as those of fcntl do: there, any other part of the program
//! that opens and closes the file would take the lock with it.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// Locks the file without waiting; false when somebody else has it.
pub fn try_lock(file: &File) -> io::Result<bool> {
    match flock(file, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(false),
        Err(error) => Err(error),
    }
}

/// A child that was forked meanwhile has a copy of the descriptor, so that to close it is not enough.
pub fn unlock(file: &File) {
    // If it cannot be done, closing it will do.
    let _ = flock(file, libc::LOCK_UN);
}

fn flock(file: &File, operation: libc::c_int) -> io::Result<()> {
    loop {
        // SAFETY: an open descriptor.
        if unsafe { libc::flock(file.as_raw_fd(), operation) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Whether it belongs to who this process acts for.
pub fn is_own(about: &Metadata) -> bool {
    // SAFETY: no arguments, and it cannot fail.
    about.uid() == unsafe { libc::geteuid() }
}
