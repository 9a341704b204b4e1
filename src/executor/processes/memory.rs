//! Memory that two processes share: a body that is too large to be copied more than once.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;

use crate::future::control::Control;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::Borrowed;

/// So much is copied between two looks at the control.
const AT_ONCE: usize = 4 * 1024 * 1024;

/// A copy of these bytes that has no name and goes with its last descriptor. Making it ends with the request's deadline.
pub fn share(bytes: &[u8], control: &Control) -> Result<OwnedFd, Error> {
    let failed =
        |error| Error::os(ErrorKind::Request, "The body cannot be shared with a worker process", &error);
    let mut file = nameless().map_err(failed)?;
    for piece in bytes.chunks(AT_ONCE) {
        control.check()?;
        file.write_all(piece).map_err(failed)?;
    }
    Ok(file.into())
}

#[cfg(target_os = "linux")]
fn nameless() -> io::Result<File> {
    use std::os::fd::FromRawFd;
    // SAFETY: a NUL-terminated name, which only shows up in /proc.
    let descriptor = unsafe { libc::memfd_create(c"rf-body".as_ptr(), libc::MFD_CLOEXEC) };
    if descriptor < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has just opened it, and nobody else knows it.
    Ok(unsafe { File::from_raw_fd(descriptor) })
}

#[cfg(not(target_os = "linux"))]
fn nameless() -> io::Result<File> {
    let path = std::env::temp_dir().join(format!("rf-body-{}", crate::message::form::random_hex(2)));
    let file = File::options().read(true).write(true).create_new(true).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

/// Shared memory as bytes to be read.
pub struct Mapping {
    address: *mut libc::c_void,
    length: usize,
}

// SAFETY: the memory is only read, and nobody writes to it any more once it was sent.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    pub fn of(descriptor: OwnedFd) -> io::Result<Mapping> {
        let length = File::from(descriptor.try_clone()?).metadata()?.len();
        let length = usize::try_from(length).map_err(|_| io::ErrorKind::InvalidData)?;
        if length == 0 {
            return Err(io::ErrorKind::InvalidData.into());
        }
        // SAFETY: a new place, which the system chooses; the descriptor is open.
        let address = unsafe {
            libc::mmap(ptr::null_mut(), length, libc::PROT_READ, libc::MAP_SHARED, descriptor.as_raw_fd(), 0)
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Mapping { address, length })
    }
}

impl Borrowed for Mapping {
    fn bytes(&self) -> &[u8] {
        // SAFETY: so many bytes are mapped, as long as this lives.
        unsafe { std::slice::from_raw_parts(self.address.cast(), self.length) }
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: mapped once, unmapped once.
        unsafe { libc::munmap(self.address, self.length) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shared_is_read() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|number| number as u8).collect();
        let control = Control::new();
        let mapping = Mapping::of(share(&bytes, &control).unwrap()).unwrap();
        assert!(mapping.bytes() == bytes);
        assert!(Mapping::of(share(b"", &control).unwrap()).is_err());
        control.abort();
        assert!(share(&bytes, &control).is_err_and(|error| error.kind() == ErrorKind::Aborted));
    }
}
