//! netrc files: the first line is the host that is looked for, what follows is the file.
//!
//! The end of its lines, a mark before it and the entries of others change nothing.

use requests_futures::http::netrc::lookup;

use super::{memory, take_text};

pub fn netrc(data: &[u8]) {
    let mut data = data;
    memory::within(64 * 1024 + 64 * data.len(), || {
        let host = take_text(&mut data);
        let Ok(contents) = std::str::from_utf8(data) else { return };
        let found = lookup(contents, &host);
        if let Some((login, password)) = &found {
            // Escapes and quotes go, and nothing comes.
            assert!(login.len() + password.len() <= contents.len());
            assert!(!login.is_empty() || !password.is_empty());
        }
        if !contents.contains('\r') {
            for end in ["\r\n", "\r"] {
                assert_eq!(lookup(&contents.replace('\n', end), &host), found, "with another end of line");
            }
        }
        if !contents.starts_with('\u{feff}') {
            assert_eq!(lookup(&format!("\u{feff}{contents}"), &host), found, "with a mark");
            let other = format!("machine other.invalid login x password y\n{contents}");
            if host != "other.invalid" {
                // Unless what follows belongs to that entry.
                let begins = contents.trim_start_matches([' ', '\t', '\n', '\r']);
                if ["machine ", "default ", "macdef "].iter().any(|word| begins.starts_with(word)) {
                    assert_eq!(lookup(&other, &host), found, "behind another entry");
                }
            }
        }
    });
}
