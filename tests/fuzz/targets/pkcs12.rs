//! PKCS#12 files: the first line is the password, what follows is the file.
//!
//! What is cut off or goes on behind its end is refused; what is found was in the file.

use std::cell::Cell;

use requests_futures::http::tls::pkcs12::{Effort, Failure, open};

use super::{memory, take_line};

/// A password is tried as often as with real files, but not as often as a program waits for.
fn effort() -> Effort {
    Effort { rounds: 3_000, left: Cell::new(15_000), memory: 1024 * 1024 }
}

pub fn pkcs12(data: &[u8]) {
    let mut data = data;
    memory::within(2 * 1024 * 1024 + 64 * data.len(), || {
        let password = take_line(&mut data);
        match open(data, password, effort()) {
            Ok(found) => {
                let certificates = found.chain.iter().map(Vec::len).sum::<usize>();
                assert!(certificates + found.key.map_or(0, |key| key.len()) <= data.len());
                let cut = open(&data[..data.len() - 1], password, effort());
                assert_eq!(cut.unwrap_err(), Failure::Malformed, "cut off");
                let longer = open(&[data, b"\0"].concat(), password, effort());
                assert_eq!(longer.unwrap_err(), Failure::Malformed, "goes on");
            }
            Err(Failure::Unsupported(how)) => {
                assert!(how.len() < 600 && !how.contains(|c: char| c.is_ascii_control()), "{how:?}");
            }
            Err(_) => {}
        }
    });
}
