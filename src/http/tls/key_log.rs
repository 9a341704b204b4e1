//! The secrets of connections, for programs that show what goes over the wire (SSLKEYLOGFILE).

use std::fmt::{self, Write as _};
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::system::environment::is_privileged;
use crate::system::thread::without_signals_of_writing;

/// A file that every handshake adds lines to, in the format that NSS began (RFC 9850).
pub struct KeyLog(File);

impl KeyLog {
    /// None where it cannot be opened: that is no reason to fail a request. Who may do more than those who started the
    /// program tells them nothing.
    pub fn open(path: &Path) -> Option<KeyLog> {
        if is_privileged() {
            return None;
        }
        let mut how = OpenOptions::new();
        // Without waiting for a reader, where it is a pipe.
        how.append(true).create(true).mode(0o600).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY);
        how.open(path).ok().map(KeyLog)
    }
}

impl rustls::KeyLog for KeyLog {
    fn log(&self, label: &str, client_random: &[u8], secret: &[u8]) {
        let mut line = format!("{label} ");
        let mut write = |octets: &[u8], end| {
            octets.iter().for_each(|octet| _ = write!(line, "{octet:02x}"));
            line.push(end);
        };
        write(client_random, ' ');
        write(secret, '\n');
        // In one call, so that the lines of many threads and processes stay whole.
        let _ = without_signals_of_writing(|| (&self.0).write_all(line.as_bytes()));
    }
}

impl fmt::Debug for KeyLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyLog")
    }
}
