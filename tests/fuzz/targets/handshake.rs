//! What a proxy says while a tunnel is made: the first byte chooses (c: CONNECT; 4, a, 5 and h: SOCKS), the second one
//! whether there are credentials, and into which pieces all is cut; what follows comes from the proxy.
//!
//! Whatever the pieces, the outcome is the same, and not one byte is read of what the target says.

use std::io::{self, Read, Write};

use requests_futures::http::proxy::ProxyScheme;
use requests_futures::http::proxy::socks::{Target, greet};
use requests_futures::http::proxy::tunnel::{HandshakeError, Tunnel, connect_tunnel};

use super::memory;

struct Proxy<'a> {
    answer: &'a [u8],
    piece: usize,
    told: Vec<u8>,
}

impl Read for Proxy<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = buffer.len().min(self.piece).min(self.answer.len());
        buffer[..count].copy_from_slice(&self.answer[..count]);
        self.answer = &self.answer[count..];
        Ok(count)
    }
}

impl Write for Proxy<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.told.extend_from_slice(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What came of it, what the proxy was told, and how much of its answer is left.
fn run(how: u8, login: Option<(&str, &str)>, answer: &[u8], piece: usize) -> (String, Vec<u8>, usize) {
    let mut proxy = Proxy { answer, piece, told: Vec::new() };
    let outcome = match how {
        b'4' | b'a' | b'5' | b'h' => {
            let scheme = match how {
                b'4' => ProxyScheme::Socks4,
                b'a' => ProxyScheme::Socks4a,
                b'5' => ProxyScheme::Socks5,
                _ => ProxyScheme::Socks5h,
            };
            let target = match how {
                b'4' | b'5' => Target::Address(([192, 0, 2, 1], 443).into()),
                _ => Target::Name("h.example", 443),
            };
            greet(&mut proxy, scheme, login)
                .and_then(|greeted| greeted.request(&mut proxy, target))
                .map(|()| "open".to_owned())
        }
        _ => connect_tunnel(&mut proxy, "h.example:443", login.map(|_| "Basic dTpw"), Some("agent"))
            .and_then(|tunnel| match tunnel {
                Tunnel::Open => Ok("open".to_owned()),
                Tunnel::Unauthorized(asked) => {
                    assert!(asked.challenges.iter().all(|value| !value.contains(['\r', '\n', '\0'])));
                    let goes_on = asked.skip_body(&mut proxy)?;
                    let challenges = format!("{:?}", asked.challenges);
                    Ok(format!("{challenges} {goes_on} {}", asked.into_error()))
                }
            }),
    };
    let outcome = outcome.unwrap_or_else(|error| {
        let HandshakeError::Refused(why) = error else { panic!("the stream does not fail: {error}") };
        assert!(why.len() < 600 && !why.contains(|c: char| c.is_ascii_control()), "{why:?}");
        format!("refused: {why}")
    });
    (outcome, proxy.told, proxy.answer.len())
}

pub fn handshake(data: &[u8]) {
    let [how, second, answer @ ..] = data else { return };
    let login = (second & 1 != 0).then_some(("user", "password"));
    memory::within(512 * 1024 + 16 * data.len(), || {
        let at_once = run(*how, login, answer, usize::MAX);
        for piece in [1, 2 + usize::from(*second)] {
            let by_piece = run(*how, login, answer, piece);
            assert_eq!((&by_piece.0, &by_piece.1), (&at_once.0, &at_once.1), "by {piece}");
            // Of what is no answer it does not matter how much was read.
            assert!(by_piece.2 == at_once.2 || at_once.0.starts_with("refused"), "by {piece}");
        }
        if at_once.0 != "open" {
            return;
        }
        // What the target says behind it makes no difference, and stays.
        let used = &answer[..answer.len() - at_once.2];
        let alone = run(*how, login, used, usize::MAX);
        assert_eq!((&alone.0, &alone.1, alone.2), (&at_once.0, &at_once.1, 0));
        if !matches!(how, b'4' | b'a' | b'5' | b'h') {
            assert!(used.ends_with(b"\n\n") || used.ends_with(b"\n\r\n"));
        }
    });
}
