//! SOCKS 4, 4a and 5, over a stream that is already connected to the proxy.
//!
//! In two steps, because the target may be looked up only after the proxy has let us in: [`greet`], and then
//! [`Greeted::request`]. SOCKS 4 has no greeting, so that there the first step only checks and waits for
//! nothing.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::ProxyScheme;
use super::tunnel::{HandshakeError, read_all, refused};
use crate::message::host::without_brackets;

/// Where the proxy is to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// For the proxy to look up (`socks4a`, `socks5h`). A name that is an address is sent as one.
    Name(&'a str, u16),
    /// Looked up here (`socks4`, which knows IPv4 only, and `socks5`).
    Address(SocketAddr),
}

/// A name, a user and a password have one byte for their length.
const LONGEST: usize = 255;

/// A proxy that has let us in, and waits for a target. There is no other way to come to `request`.
#[derive(Debug)]
#[must_use = "the proxy waits for its request"]
pub struct Greeted<'a> {
    scheme: ProxyScheme,
    user: &'a str,
}

/// Agrees with the proxy on how we prove who we are, and does so.
pub fn greet<'a, S: Read + Write>(
    stream: &mut S,
    scheme: ProxyScheme,
    credentials: Option<(&'a str, &'a str)>,
) -> Result<Greeted<'a>, HandshakeError> {
    let user = credentials.map_or("", |(user, _)| user);
    match scheme {
        ProxyScheme::Http | ProxyScheme::Https => refused(format!("{} is no SOCKS proxy", scheme.name())),
        // Its only credential travels with the request, and ends with a NUL there.
        ProxyScheme::Socks4 | ProxyScheme::Socks4a => {
            if user.len() > LONGEST || user.contains('\0') {
                return refused("SOCKS4 takes no user name with a NUL or of more than 255 bytes");
            }
            Ok(Greeted { scheme, user })
        }
        ProxyScheme::Socks5 | ProxyScheme::Socks5h => {
            authenticate(stream, credentials)?;
            Ok(Greeted { scheme, user })
        }
    }
}

/// RFC 1928, section 3, and RFC 1929.
fn authenticate<S: Read + Write>(
    stream: &mut S,
    credentials: Option<(&str, &str)>,
) -> Result<(), HandshakeError> {
    const NONE: u8 = 0;
    const PASSWORD: u8 = 2;
    if credentials.is_some_and(|(user, password)| user.len().max(password.len()) > LONGEST) {
        return refused("SOCKS5 takes no user name or password of more than 255 bytes");
    }
    let offer: &[u8] = if credentials.is_some() { &[5, 2, NONE, PASSWORD] } else { &[5, 1, NONE] };
    send(stream, offer)?;
    let [version, method] = read(stream)?;
    if version != 5 {
        return refused("the proxy did not answer with SOCKS5");
    }
    match (method, credentials) {
        (NONE, _) => Ok(()),
        (PASSWORD, Some((user, password))) => {
            let mut message = Vec::with_capacity(3 + user.len() + password.len());
            message.push(1);
            push_counted(&mut message, user);
            push_counted(&mut message, password);
            send(stream, &message)?;
            // The version of this answer is not looked at: there are servers that repeat the 5 here.
            match read(stream)? {
                [_, 0] => Ok(()),
                _ => refused("SOCKS5 authentication failed"),
            }
        }
        (PASSWORD, None) => refused("the SOCKS5 proxy asks for a user name and password, and none is given"),
        (0xff, None) => refused("the SOCKS5 proxy does not let anybody in without authentication"),
        (0xff, Some(_)) => refused("all offered SOCKS5 authentication methods were rejected"),
        _ => refused(format!(
            "the SOCKS5 proxy chose authentication method {method:#04x}, which was not offered"
        )),
    }
}

impl Greeted<'_> {
    /// Has the proxy connect to the target. Afterwards the stream is the target's, from its first byte.
    pub fn request<S: Read + Write>(self, stream: &mut S, target: Target<'_>) -> Result<(), HandshakeError> {
        let target = match target {
            Target::Name(name, port) => match without_brackets(name).parse::<IpAddr>() {
                Ok(address) => Target::Address(SocketAddr::new(address, port)),
                Err(_) => Target::Name(name, port),
            },
            address => address,
        };
        if matches!(target, Target::Name(name, _) if name.is_empty() || name.len() > LONGEST) {
            return refused("SOCKS takes no host name that is empty or longer than 255 bytes");
        }
        match self.scheme {
            ProxyScheme::Socks4 | ProxyScheme::Socks4a => self.request_4(stream, target),
            _ => request_5(stream, target),
        }
    }

    /// The SOCKS4 memo, and for names the one on SOCKS4A.
    fn request_4<S: Read + Write>(self, stream: &mut S, target: Target<'_>) -> Result<(), HandshakeError> {
        let (address, port, name) = match target {
            Target::Address(address) => match address.ip().to_canonical() {
                IpAddr::V4(four) => (four, address.port(), None),
                // To SOCKS4a an address is a name like any other, and the proxy may know what to do with it.
                IpAddr::V6(six) if self.scheme == ProxyScheme::Socks4a => {
                    (UNKNOWN, address.port(), Some(six.to_string()))
                }
                IpAddr::V6(_) => return refused("SOCKS4 knows no IPv6 addresses"),
            },
            Target::Name(_, _) if self.scheme == ProxyScheme::Socks4 => {
                return refused("SOCKS4 takes addresses only: the host must be looked up first");
            }
            Target::Name(name, _) if name.contains('\0') => return refused("a host name holds no NUL"),
            Target::Name(name, port) => (UNKNOWN, port, Some(name.to_owned())),
        };
        let mut message = vec![4, 1];
        message.extend(port.to_be_bytes());
        message.extend(address.octets());
        message.extend(self.user.bytes());
        message.push(0);
        if let Some(name) = name {
            message.extend(name.into_bytes());
            message.push(0);
        }
        send(stream, &message)?;
        // First the two that decide: a proxy that says no may say nothing more.
        let [version, code] = read(stream)?;
        if version != 0 {
            return refused("the proxy did not answer with SOCKS4");
        }
        if code != 0x5a {
            return refused(format!("SOCKS4 proxy: {} ({code:#04x})", reason_4(code)));
        }
        let _bound_to: [u8; 6] = read(stream)?;
        Ok(())
    }
}

/// 0.0.0.x stands for "see the name behind".
const UNKNOWN: Ipv4Addr = Ipv4Addr::new(0, 0, 0, 1);

/// RFC 1928, sections 4 to 6.
fn request_5<S: Read + Write>(stream: &mut S, target: Target<'_>) -> Result<(), HandshakeError> {
    const V4: u8 = 1;
    const NAME: u8 = 3;
    const V6: u8 = 4;
    let mut message = vec![5, 1, 0];
    let port = match target {
        Target::Name(name, port) => {
            message.push(NAME);
            push_counted(&mut message, name);
            port
        }
        Target::Address(address) => {
            match address.ip().to_canonical() {
                IpAddr::V4(four) => {
                    message.push(V4);
                    message.extend(four.octets());
                }
                IpAddr::V6(six) => {
                    message.push(V6);
                    message.extend(six.octets());
                }
            }
            address.port()
        }
    };
    message.extend(port.to_be_bytes());
    send(stream, &message)?;
    // First the two that decide: a proxy that says no may say nothing more.
    let [version, code] = read(stream)?;
    if version != 5 {
        return refused("the proxy did not answer with SOCKS5");
    }
    if code != 0 {
        return refused(format!("SOCKS5 proxy: {} ({code:#04x})", reason_5(code)));
    }
    // The address it connects from is of no use to us, but what follows it is the target's: it must be read
    // to its last byte and not beyond.
    let [_reserved, kind] = read(stream)?;
    let length = match kind {
        V4 => 4,
        V6 => 16,
        NAME => {
            let [length] = read(stream)?;
            usize::from(length)
        }
        _ => return refused(format!("the SOCKS5 proxy answered with the unknown address type {kind:#04x}")),
    };
    read_all(stream, &mut [0; LONGEST + 2][..length + 2])
}

fn reason_4(code: u8) -> &'static str {
    match code {
        0x5b => "request rejected or failed",
        0x5c => "request rejected, because the proxy cannot reach identd on this machine",
        0x5d => "request rejected, because the proxy was given another user name than identd says",
        _ => "unknown error",
    }
}

fn reason_5(code: u8) -> &'static str {
    match code {
        1 => "general SOCKS server failure",
        2 => "connection not allowed by ruleset",
        3 => "network unreachable",
        4 => "host unreachable",
        5 => "connection refused",
        6 => "TTL expired",
        7 => "command not supported",
        8 => "address type not supported",
        _ => "unknown error",
    }
}

/// The text behind its length, which has been checked.
fn push_counted(message: &mut Vec<u8>, text: &str) {
    message.push(text.len() as u8);
    message.extend(text.bytes());
}

fn send<S: Write>(stream: &mut S, message: &[u8]) -> Result<(), HandshakeError> {
    stream.write_all(message)?;
    Ok(stream.flush()?)
}

fn read<S: Read, const N: usize>(stream: &mut S) -> Result<[u8; N], HandshakeError> {
    let mut bytes = [0; N];
    read_all(stream, &mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::super::tunnel::playing::{self, expect, reason, trickle};
    use super::*;
    use ProxyScheme::{Http, Socks4, Socks4a, Socks5, Socks5h};
    use std::io;
    use std::net::TcpStream;
    use std::time::Duration;

    type Login = Option<(&'static str, &'static str)>;
    /// What the client has to send, and what it is answered.
    type Script = Vec<(Vec<u8>, Vec<u8>)>;

    /// Both steps against a proxy that follows the script, then what the "target" says behind it.
    fn run(
        script: Script,
        each: fn(&mut TcpStream, &[u8]),
        scheme: ProxyScheme,
        login: Login,
        target: Target<'_>,
    ) -> Result<Vec<u8>, HandshakeError> {
        let (mut stream, proxy) = playing::proxy(move |mut stream| {
            for (sent, answer) in script {
                expect(&mut stream, &sent);
                each(&mut stream, &answer);
            }
            stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut rest = Vec::new();
            let _ = stream.read_to_end(&mut rest);
            rest
        });
        let result = greet(&mut stream, scheme, login).and_then(|proxy| proxy.request(&mut stream, target));
        let result = result.map(|()| {
            stream.shutdown(std::net::Shutdown::Write).unwrap();
            let mut behind = Vec::new();
            stream.read_to_end(&mut behind).unwrap();
            behind
        });
        drop(stream);
        assert_eq!(proxy.join().unwrap(), b"", "nothing was sent but what the script has");
        result
    }

    fn whole(stream: &mut TcpStream, bytes: &[u8]) {
        stream.write_all(bytes).unwrap();
    }

    fn script(steps: &[(&[u8], &[u8])]) -> Script {
        steps.iter().map(|(sent, answer)| (sent.to_vec(), answer.to_vec())).collect()
    }

    fn four() -> Target<'static> {
        Target::Address("1.2.3.4:443".parse().unwrap())
    }

    const FOUR: &[u8] = b"\x05\x01\x00\x01\x01\x02\x03\x04\x01\xbb";
    const GRANTED: &[u8] = b"\x05\x00\x00\x01\x09\x09\x09\x09\x00\x50";
    const NOBODY: (&[u8], &[u8]) = (b"\x05\x01\x00", b"\x05\x00");

    #[test]
    fn socks5_sends_addresses_and_names_as_they_are() {
        let six = Target::Address("[2001:db8::1]:80".parse().unwrap());
        let mapped = Target::Address("[::ffff:1.2.3.4]:443".parse().unwrap());
        let six_sent = b"\x05\x01\x00\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50";
        for (target, sent) in [
            (four(), FOUR),
            (mapped, FOUR),
            (Target::Name("1.2.3.4", 443), FOUR),
            (six, six_sent),
            (Target::Name("2001:db8::1", 80), six_sent),
            (Target::Name("[2001:db8::1]", 80), six_sent),
            (Target::Name("example.com", 443), b"\x05\x01\x00\x03\x0bexample.com\x01\xbb"),
        ] {
            for each in [whole, trickle] {
                let steps = script(&[NOBODY, (sent, GRANTED)]);
                assert_eq!(run(steps, each, Socks5h, None, target).unwrap(), b"", "{target:?}");
            }
        }
    }

    #[test]
    fn every_address_type_in_the_reply_is_read_to_its_last_byte() {
        let long = [&b"\x05\x00\x00\x03\xff"[..], &[b'x'; 255], b"\x00\x50"].concat();
        let replies: [&[u8]; 5] = [
            GRANTED,
            b"\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50",
            b"\x05\x00\x00\x03\x05proxy\x00\x50",
            b"\x05\x00\xff\x03\x00\x00\x50",
            &long,
        ];
        for reply in replies {
            for each in [whole, trickle] {
                let steps = script(&[NOBODY, (FOUR, &[reply, b"\x16\x03 from the target"].concat())]);
                assert_eq!(run(steps, each, Socks5, None, four()).unwrap(), b"\x16\x03 from the target");
            }
        }
    }

    #[test]
    fn socks5_is_greeted_before_the_target_is_named() {
        // The proxy reads the greeting, answers, and sees that nothing has been asked for yet.
        let (mut stream, proxy) = playing::proxy(|mut stream| {
            expect(&mut stream, b"\x05\x01\x00");
            stream.write_all(b"\x05\x00").unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            assert!(stream.read(&mut [0]).is_err(), "a request before its time");
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            expect(&mut stream, FOUR);
            stream.write_all(GRANTED).unwrap();
        });
        let greeted = greet(&mut stream, Socks5, None).unwrap();
        std::thread::sleep(Duration::from_millis(100));
        greeted.request(&mut stream, four()).unwrap();
        proxy.join().unwrap();
    }

    #[test]
    fn socks5_proves_who_it_is_when_asked() {
        let login = Some(("usér", "pass"));
        let offer = b"\x05\x02\x00\x02";
        let proof = b"\x01\x05us\xc3\xa9r\x04pass";
        for answer in [b"\x01\x00", b"\x05\x00"] {
            let steps = script(&[(offer, b"\x05\x02"), (proof, answer), (FOUR, GRANTED)]);
            run(steps, trickle, Socks5, login, four()).unwrap();
        }
        // The proxy may let us in without.
        run(script(&[(offer, b"\x05\x00"), (FOUR, GRANTED)]), whole, Socks5, login, four()).unwrap();
        run(
            script(&[(offer, b"\x05\x02"), (b"\x01\x00\x00", b"\x01\x00"), (FOUR, GRANTED)]),
            whole,
            Socks5,
            Some(("", "")),
            four(),
        )
        .unwrap();

        let fails = |steps: &[(&[u8], &[u8])], login| {
            reason(run(script(steps), whole, Socks5, login, four()).map(drop))
        };
        assert!(
            fails(&[(offer, b"\x05\x02"), (proof, b"\x01\x01")], login).contains("authentication failed")
        );
        assert!(fails(&[(offer, b"\x05\xff")], login).contains("rejected"));
        assert!(fails(&[(b"\x05\x01\x00", b"\x05\xff")], None).contains("without authentication"));
        assert!(fails(&[(b"\x05\x01\x00", b"\x05\x02")], None).contains("none is given"));
        assert!(fails(&[(offer, b"\x05\x01")], login).contains("0x01"));
        assert!(fails(&[(offer, b"\x04\x00")], login).contains("did not answer with SOCKS5"));
        assert!(fails(&[(offer, b"HT")], login).contains("did not answer with SOCKS5"));
    }

    #[test]
    fn every_refusal_of_socks5_is_told_in_words() {
        for (code, words) in [
            (1, "general SOCKS server failure (0x01)"),
            (2, "connection not allowed by ruleset (0x02)"),
            (3, "network unreachable (0x03)"),
            (4, "host unreachable (0x04)"),
            (5, "connection refused (0x05)"),
            (6, "TTL expired (0x06)"),
            (7, "command not supported (0x07)"),
            (8, "address type not supported (0x08)"),
            (9, "unknown error (0x09)"),
            (0xff, "unknown error (0xff)"),
        ] {
            // Some proxies send a whole reply, some hang up after the code.
            for reply in [vec![5, code], vec![5, code, 0, 1, 0, 0, 0, 0, 0, 0]] {
                let steps = script(&[NOBODY, (FOUR, &reply)]);
                let why = reason(run(steps, whole, Socks5, None, four()).map(drop));
                assert_eq!(why, format!("SOCKS5 proxy: {words}"));
            }
        }
        let nonsense = |reply: &[u8]| {
            reason(run(script(&[NOBODY, (FOUR, reply)]), whole, Socks5, None, four()).map(drop))
        };
        assert!(nonsense(b"\x05\x00\x00\x02").contains("address type 0x02"));
        assert!(nonsense(b"\x00\x5a").contains("did not answer with SOCKS5"));
    }

    #[test]
    fn socks4_sends_address_and_user() {
        let sent = b"\x04\x01\x01\xbb\x01\x02\x03\x04";
        let reply = b"\x00\x5a\x00\x00\x00\x00\x00\x00";
        for each in [whole, trickle] {
            for scheme in [Socks4, Socks4a] {
                let steps = script(&[(&[sent, &b"\0"[..]].concat(), &[&reply[..], b"behind"].concat())]);
                assert_eq!(run(steps, each, scheme, None, four()).unwrap(), b"behind");
                let steps = script(&[(&[sent, &b"user\0"[..]].concat(), reply)]);
                run(steps, each, scheme, Some(("user", "unused")), four()).unwrap();
            }
        }
        // An address written as a name needs no looking up, so plain SOCKS4 takes it as well.
        let steps = script(&[(&[sent, &b"\0"[..]].concat(), reply)]);
        run(steps, whole, Socks4, None, Target::Name("1.2.3.4", 443)).unwrap();
    }

    #[test]
    fn socks4a_leaves_the_name_to_the_proxy() {
        let reply = b"\x00\x5a\x12\x34\x01\x02\x03\x04";
        for each in [whole, trickle] {
            let steps = script(&[(b"\x04\x01\x00\x50\x00\x00\x00\x01user\0example.com\0", reply)]);
            run(steps, each, Socks4a, Some(("user", "")), Target::Name("example.com", 80)).unwrap();
            let steps = script(&[(b"\x04\x01\x00\x50\x00\x00\x00\x01\0::1\0", reply)]);
            run(steps, each, Socks4a, None, Target::Name("[::1]", 80)).unwrap();
        }
    }

    #[test]
    fn every_refusal_of_socks4_is_told_in_words() {
        for (reply, words) in [
            (&b"\x00\x5b\x00\x00\x00\x00\x00\x00"[..], "request rejected or failed (0x5b)"),
            (b"\x00\x5c", "identd on this machine"),
            (b"\x00\x5d", "another user name"),
            (b"\x00\x00", "unknown error (0x00)"),
            (b"\x05\x5a", "did not answer with SOCKS4"),
            (b"HTTP/1.1 400", "did not answer with SOCKS4"),
        ] {
            let steps = script(&[(b"\x04\x01\x01\xbb\x01\x02\x03\x04\0", reply)]);
            let why = reason(run(steps, whole, Socks4, None, four()).map(drop));
            assert!(why.contains(words), "{why}");
        }
    }

    #[test]
    fn what_cannot_be_said_is_not_sent() {
        let long: &'static str = "x".repeat(256).leak();
        let fits: &'static str = &long[..255];
        let six = Target::Address("[::2]:1".parse().unwrap());
        let name = Target::Name("example.com", 1);
        let fails = |steps: &[(&[u8], &[u8])], scheme, login, target| {
            reason(run(script(steps), whole, scheme, login, target).map(drop))
        };
        assert!(fails(&[], Socks5, Some((long, "p")), four()).contains("255"));
        assert!(fails(&[], Socks5, Some(("u", long)), four()).contains("255"));
        assert!(fails(&[NOBODY], Socks5h, None, Target::Name(long, 1)).contains("255"));
        assert!(fails(&[NOBODY], Socks5h, None, Target::Name("", 1)).contains("empty"));
        assert!(fails(&[], Socks4a, None, Target::Name(long, 1)).contains("255"));
        assert!(fails(&[], Socks4a, None, Target::Name("a\0b", 1)).contains("NUL"));
        assert!(fails(&[], Socks4, Some(("a\0b", "")), four()).contains("NUL"));
        assert!(fails(&[], Socks4a, Some((long, "")), four()).contains("255"));
        assert!(fails(&[], Socks4, None, six).contains("IPv6"));
        assert!(fails(&[], Socks4, None, name).contains("looked up first"));
        assert!(fails(&[], Http, None, name).contains("no SOCKS"));

        // 255 bytes still go.
        let proof = [&b"\x01\xff"[..], fits.as_bytes(), b"\xff", fits.as_bytes()].concat();
        let asked = [&b"\x05\x01\x00\x03\xff"[..], fits.as_bytes(), b"\x00\x01"].concat();
        let steps = script(&[(b"\x05\x02\x00\x02", b"\x05\x02"), (&proof, b"\x01\x00"), (&asked, GRANTED)]);
        run(steps, whole, Socks5h, Some((fits, fits)), Target::Name(fits, 1)).unwrap();
    }

    #[test]
    fn a_truncated_reply_is_no_tunnel() {
        let hang_up = |scheme, login: Login, answers: Vec<u8>| {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                stream.write_all(&answers).unwrap();
                stream.shutdown(std::net::Shutdown::Write).unwrap();
                let _ = stream.read_to_end(&mut Vec::new());
            });
            let result =
                greet(&mut stream, scheme, login).and_then(|proxy| proxy.request(&mut stream, four()));
            drop(stream);
            proxy.join().unwrap();
            reason(result)
        };
        let named = b"\x05\x02\x01\x00\x05\x00\x00\x03\x05proxy\x00\x50";
        let six = b"\x05\x02\x01\x00\x05\x00\x00\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x50";
        for answers in [&named[..], six] {
            for length in 0..answers.len() {
                let why = hang_up(Socks5, Some(("u", "p")), answers[..length].to_vec());
                assert!(why.contains("closed the connection"), "{length}: {why}");
            }
        }
        for length in 0..8 {
            let why = hang_up(Socks4, None, b"\x00\x5a\x00\x00\x00\x00\x00\x00"[..length].to_vec());
            assert!(why.contains("closed the connection"), "{length}: {why}");
        }
    }

    #[test]
    fn errors_of_the_stream_pass_through_untouched() {
        for scheme in [Socks4, Socks5] {
            let (mut stream, proxy) = playing::proxy(|stream| stream);
            stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
            let result =
                greet(&mut stream, scheme, None).and_then(|proxy| proxy.request(&mut stream, four()));
            match result {
                Err(HandshakeError::Io(error)) => {
                    assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
                }
                other => panic!("{other:?}"),
            }
            proxy.join().unwrap();
        }
    }

    #[test]
    fn no_reply_makes_it_panic_or_read_without_end() {
        // A cheap generator: all that matters is that every branch meets bytes of every kind.
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..20_000 {
            let mut bytes = [0u8; 400];
            for byte in &mut bytes {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                *byte = (state >> 56) as u8 & if round % 2 == 0 { 0x07 } else { 0xff };
            }
            struct Hostile<'a>(&'a [u8]);
            impl Read for Hostile<'_> {
                fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                    self.0.read(buffer)
                }
            }
            impl Write for Hostile<'_> {
                fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                    Ok(bytes.len())
                }
                fn flush(&mut self) -> io::Result<()> {
                    Ok(())
                }
            }
            if round % 4 < 2 {
                bytes[..4].copy_from_slice(&[5, 0, 5, 0]);
            }
            for scheme in [Socks4, Socks4a, Socks5, Socks5h] {
                let mut stream = Hostile(&bytes);
                let _ = greet(&mut stream, scheme, Some(("u", "p")))
                    .and_then(|proxy| proxy.request(&mut stream, four()));
                assert!(stream.0.len() >= 400 - (4 + 4 + 1 + 255 + 2));
            }
        }
    }
}
