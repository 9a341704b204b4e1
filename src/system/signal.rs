//! A flag that several threads may set, for one that waits in poll.

use std::io;
use std::os::fd::RawFd;

use crate::system::descriptor::Flag;
use crate::system::lock::Mutex;

/// The lock is held for the length of a system call, so nobody waits long.
#[derive(Debug)]
pub struct Signal {
    flag: Mutex<Flag>,
    descriptor: RawFd,
}

impl Signal {
    pub fn new() -> io::Result<Signal> {
        let flag = Flag::new()?;
        Ok(Signal { descriptor: flag.descriptor(), flag: Mutex::new(flag) })
    }

    pub fn descriptor(&self) -> RawFd {
        self.descriptor
    }

    pub fn set(&self) {
        self.flag.lock().set(true);
    }

    pub fn clear(&self) {
        self.flag.lock().set(false);
    }
}
