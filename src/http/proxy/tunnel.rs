//! The CONNECT handshake with an HTTP proxy, and what all handshakes with proxies have in common.
//!
//! The handshakes (this one, and those of [`super::socks`]) work on any stream that is already connected to
//! the proxy. Time-outs and aborts are the stream's affair: its errors come out exactly as they went in.

use std::fmt;
use std::io::{self, Read, Write};

use crate::message::error::{Error, ErrorKind};

/// Why a handshake did not get through.
#[derive(Debug)]
pub enum HandshakeError {
    /// The stream failed; this is its own error, so that a time-out stays a time-out and an abort an abort.
    Io(io::Error),
    /// The proxy said no, said nonsense, or hung up; or it could not be asked at all.
    Refused(String),
}

impl From<io::Error> for HandshakeError {
    fn from(error: io::Error) -> HandshakeError {
        HandshakeError::Io(error)
    }
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            HandshakeError::Io(error) => error.fmt(f),
            HandshakeError::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            HandshakeError::Io(error) => Some(error),
            HandshakeError::Refused(_) => None,
        }
    }
}

pub(super) fn refused<T>(why: impl Into<String>) -> Result<T, HandshakeError> {
    Err(HandshakeError::Refused(why.into()))
}

const NO_HTTP: &str = "it did not answer CONNECT with HTTP";
const HUNG_UP: &str = "it closed the connection before its answer was complete";

impl HandshakeError {
    /// Whether the connection was over, rather than the conversation.
    pub fn is_hang_up(&self) -> bool {
        match self {
            HandshakeError::Refused(why) => why == HUNG_UP,
            HandshakeError::Io(error) => {
                match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
                    Some(error) => error.kind() == ErrorKind::Connection,
                    None => true,
                }
            }
        }
    }
}

/// Reads what has arrived, at least one byte.
fn read_some<S: Read>(stream: &mut S, buffer: &mut [u8]) -> Result<usize, HandshakeError> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return refused(HUNG_UP),
            Ok(count) => return Ok(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Fills the buffer.
pub(super) fn read_all<S: Read>(stream: &mut S, mut buffer: &mut [u8]) -> Result<(), HandshakeError> {
    while !buffer.is_empty() {
        let count = read_some(stream, buffer)?;
        buffer = &mut buffer[count..];
    }
    Ok(())
}

/// All that a proxy may say before the tunnel stands, interim answers included.
const HEAD_LIMIT: usize = 64 * 1024;
/// No answer is shorter than this, so as much can be asked for at once.
const SHORTEST_HEAD: usize = b"HTTP/1.1 200\n\n".len();

/// What an HTTP proxy says to CONNECT.
#[derive(Debug, PartialEq, Eq)]
pub enum Tunnel {
    /// The stream is the target's, from its first byte.
    Open,
    /// 407.
    Unauthorized(Unauthorized),
}

/// A proxy asks for other credentials than it was given.
#[derive(Debug, PartialEq, Eq)]
pub struct Unauthorized {
    /// The values of its `Proxy-Authenticate` headers.
    pub challenges: Vec<String>,
    /// How much of a body stands before the next answer; `None` where the connection ends with this one, or may.
    body: Option<usize>,
    reason: String,
}

impl Unauthorized {
    fn read(head: &[u8], reason: &str) -> Unauthorized {
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let fields = || text.lines().skip(1).filter_map(|line| line.split_once(':'));
        let values = |wanted: &'static str| {
            fields().filter(move |(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
        };
        let is_length = |value: &str| !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
        let mut lengths = values("Content-Length");
        let length = lengths.next().filter(|value| is_length(value)).and_then(|value| value.parse().ok());
        let says_close = ["Connection", "Proxy-Connection"]
            .iter()
            .any(|name| values(name).any(|value| value.to_ascii_lowercase().contains("close")));
        let stays = head.starts_with(b"HTTP/1.1")
            && !says_close
            && lengths.next().is_none()
            && values("Transfer-Encoding").next().is_none();
        // What comes back in a header of ours must not end its line.
        let printable = |value: &str| value.replace(|c: char| c.is_control() && c != '\t', " ");
        Unauthorized {
            challenges: values("Proxy-Authenticate").map(printable).collect(),
            body: length.filter(|length| stays && *length <= HEAD_LIMIT),
            reason: reason.to_owned(),
        }
    }

    /// Reads up to where the next answer begins. False: there will be none on this stream.
    pub fn skip_body<S: Read>(&self, stream: &mut S) -> Result<bool, HandshakeError> {
        let Some(length) = self.body else { return Ok(false) };
        match read_all(stream, &mut vec![0; length]) {
            Ok(()) => Ok(true),
            Err(error) if error.is_hang_up() => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// As the failure that it is when there is nothing to answer it with.
    pub fn into_error(self) -> HandshakeError {
        HandshakeError::Refused(self.reason)
    }
}

/// Asks an HTTP proxy for a tunnel to the target, which is `host:port` with brackets where it needs them: see
/// [`authority`].
pub fn connect_tunnel<S: Read + Write>(
    stream: &mut S,
    target: &str,
    authorization: Option<&str>,
    user_agent: Option<&str>,
) -> Result<Tunnel, HandshakeError> {
    // The URL parser rules this out. It is checked again here because the price of a slip would be a
    // request of somebody else's making.
    if target.starts_with(':') || target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
        return refused("the target's host cannot be written into a CONNECT request");
    }
    if user_agent.is_some_and(|value| value.contains(['\r', '\n', '\0'])) {
        return refused("the User-Agent cannot be written into a CONNECT request");
    }
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n");
    if let Some(authorization) = authorization {
        request += &format!("Proxy-Authorization: {authorization}\r\n");
    }
    if let Some(user_agent) = user_agent {
        request += &format!("User-Agent: {user_agent}\r\n");
    }
    request += "\r\n";
    stream.write_all(request.as_bytes())?;
    stream.flush()?;

    let mut allowed = HEAD_LIMIT;
    loop {
        let head = read_head(stream, allowed)?;
        allowed -= head.len();
        match read_status(&head) {
            None => return refused(NO_HTTP),
            // 101 is final: it would switch to a protocol that nobody asked for.
            Some((100 | 102..=199, _)) => {}
            // A tunnel has no body, whatever Content-Length says (RFC 9110, 9.3.6).
            Some((200..=299, _)) => return Ok(Tunnel::Open),
            Some((code, reason)) => {
                let reason = format!("Tunnel connection failed: {code} {reason}");
                if code == 407 {
                    return Ok(Tunnel::Unauthorized(Unauthorized::read(&head, reason.trim_end())));
                }
                return refused(reason.trim_end());
            }
        }
    }
}

/// Reads up to the empty line that ends a head, and not one byte of what the target sends behind it.
///
/// There is no way to give bytes back to the stream, so only as many are asked for as the head must still
/// have: two, or one behind a line's end. (A head that ends with bare line feeds, which some proxies write,
/// leaves no room for more.)
fn read_head<S: Read>(stream: &mut S, allowed: usize) -> Result<Vec<u8>, HandshakeError> {
    let mut head = Vec::with_capacity(128);
    let mut chunk = [0; SHORTEST_HEAD];
    loop {
        let wanted = match head.len() {
            short if short < SHORTEST_HEAD => SHORTEST_HEAD - short,
            _ if head.ends_with(b"\n") || head.ends_with(b"\n\r") => 1,
            _ => 2,
        };
        if head.len() + wanted > allowed {
            return refused(format!("its answer to CONNECT is longer than {HEAD_LIMIT} bytes"));
        }
        let count = read_some(stream, &mut chunk[..wanted])?;
        head.extend_from_slice(&chunk[..count]);
        // Told at once, lest the rest of something that is not HTTP be waited for.
        let known = head.len().min(PROTOCOL.len());
        if head[..known] != PROTOCOL[..known] {
            return refused(NO_HTTP);
        }
        if head.ends_with(b"\n\n") || head.ends_with(b"\n\r\n") {
            return Ok(head);
        }
        // A head that ends before it can be an answer: waiting for more of it would be in vain.
        let is_over = |end: &[u8]| head.windows(end.len()).any(|bytes| bytes == end);
        if head.len() <= SHORTEST_HEAD && (is_over(b"\n\n") || is_over(b"\n\r\n")) {
            return refused(NO_HTTP);
        }
    }
}

const PROTOCOL: &[u8] = b"HTTP/1.";

/// Code and reason of the status line.
fn read_status(head: &[u8]) -> Option<(u16, String)> {
    let line = head.split(|byte| *byte == b'\n').next()?.trim_ascii_end();
    let [minor, b' ', rest @ ..] = line.strip_prefix(PROTOCOL)? else { return None };
    let (code, reason) = rest.split_at_checked(3)?;
    let separated = reason.is_empty() || reason.starts_with(b" ");
    if !minor.is_ascii_digit() || !separated || !code.iter().all(u8::is_ascii_digit) || code[0] == b'0' {
        return None;
    }
    let code = code.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    // A stranger's text on its way into an error message: one line, and not too much of it.
    let printable = |byte: &u8| if byte.is_ascii_control() { ' ' } else { *byte as char };
    Some((code, reason.trim_ascii().iter().take(200).map(printable).collect()))
}

/// Proxies of the tests' own making: real sockets, and a thread that plays the other side.
#[cfg(test)]
pub(super) mod playing {
    use super::*;
    use std::net::{TcpListener, TcpStream};
    use std::thread::{self, JoinHandle};
    use std::time::Duration;

    /// A stream to a proxy that does as told. Join the handle to see its panics and what it returns.
    pub fn proxy<T: Send + 'static>(
        play: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (TcpStream, JoinHandle<T>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let thread = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            stream.set_nodelay(true).unwrap();
            stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            play(stream)
        });
        (stream, thread)
    }

    /// Fails unless the client sends exactly these bytes next.
    pub fn expect(stream: &mut TcpStream, bytes: &[u8]) {
        let mut got = vec![0; bytes.len()];
        stream.read_exact(&mut got).unwrap();
        assert_eq!(got.escape_ascii().to_string(), bytes.escape_ascii().to_string());
    }

    /// Sends each byte in a packet of its own.
    pub fn trickle(stream: &mut TcpStream, bytes: &[u8]) {
        for byte in bytes {
            stream.write_all(&[*byte]).unwrap();
            thread::sleep(Duration::from_micros(200));
        }
    }

    /// Reads the request's head of a CONNECT.
    pub fn request_head(stream: &mut TcpStream) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        String::from_utf8(head).unwrap()
    }

    pub fn reason(result: Result<(), HandshakeError>) -> String {
        match result {
            Err(HandshakeError::Refused(why)) => why,
            other => panic!("not refused: {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::auth::basic;
    use crate::message::host::Authority;
    use std::time::Duration;

    #[test]
    fn behind_a_challenge_a_connection_goes_on_where_it_stays() {
        const ASKED: &str = "HTTP/1.1 407 No\r\nproxy-authenticate: Basic realm=r\r\nProxy-Authenticate: Digest nonce=\"\x01\"\r\n";
        for (fields, body, goes_on) in [
            ("Content-Length: 4\r\n", "body", true),
            ("Content-Length: 0\r\n", "", true),
            ("Content-Length: 4\r\n", "cut", false),
            ("Content-Length: 4\r\nConnection: foo, Close\r\n", "body", false),
            ("Content-Length: 4\r\nProxy-Connection: close\r\n", "body", false),
            ("Content-Length: 4\r\nContent-Length: 5\r\n", "body", false),
            ("Content-Length: +4\r\n", "body", false),
            ("Content-Length: 99999999999\r\n", "body", false),
            ("Transfer-Encoding: chunked\r\n", "0\r\n\r\n", false),
            ("", "body", false),
        ] {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                stream.write_all(format!("{ASKED}{fields}\r\n{body}").as_bytes()).unwrap();
                if goes_on {
                    playing::request_head(&mut stream);
                    stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                }
            });
            let Tunnel::Unauthorized(answer) = connect_tunnel(&mut stream, "h:1", None, None).unwrap() else {
                panic!("{fields}");
            };
            assert_eq!(answer.challenges, ["Basic realm=r", "Digest nonce=\" \""]);
            assert_eq!(answer.skip_body(&mut stream).unwrap(), goes_on, "{fields}");
            if goes_on {
                assert_eq!(connect_tunnel(&mut stream, "h:1", None, None).unwrap(), Tunnel::Open);
            }
            drop(stream);
            proxy.join().unwrap();
        }
    }

    fn opened(tunnel: Tunnel) -> Result<(), HandshakeError> {
        match tunnel {
            Tunnel::Open => Ok(()),
            Tunnel::Unauthorized(answer) => Err(answer.into_error()),
        }
    }

    fn tunnel(stream: &mut (impl Read + Write)) -> Result<(), HandshakeError> {
        connect_tunnel(stream, "example.com:443", None, None).and_then(opened)
    }

    #[test]
    fn connect_names_the_target_and_carries_credentials() {
        let (mut stream, proxy) = playing::proxy(|mut stream| {
            let head = playing::request_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
            head
        });
        let authorization = basic("user", "pass");
        connect_tunnel(&mut stream, "example.com:443", Some(&authorization), Some("agent/1")).unwrap();
        assert_eq!(
            proxy.join().unwrap(),
            "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\
             Proxy-Authorization: Basic dXNlcjpwYXNz\r\nUser-Agent: agent/1\r\n\r\n"
        );
        for host in ["::1", "[::1]"] {
            let (mut stream, proxy) = playing::proxy(|mut stream| {
                let head = playing::request_head(&mut stream);
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
                head
            });
            connect_tunnel(&mut stream, &Authority(host, 8443).to_string(), None, None).unwrap();
            assert_eq!(proxy.join().unwrap(), "CONNECT [::1]:8443 HTTP/1.1\r\nHost: [::1]:8443\r\n\r\n");
        }
    }

    const ACCEPTING: [&[u8]; 9] = [
        b"HTTP/1.1 200 Connection established\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n",
        b"HTTP/1.1 200\n\n",
        b"HTTP/1.1 299 Fine\r\nVia: me\r\nX: y\n\r\n",
        b"HTTP/1.1 200 OK\nVia: me\r\n\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102\nA: b\n\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n\
          HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 \xff\xfe\r\nName: \r\r\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nA: 1\r\n\r\n",
    ];

    #[test]
    fn not_a_byte_behind_the_proxys_head_is_read() {
        for answer in ACCEPTING {
            for behind in [&b"\x16\x03\x03 from the target"[..], b"\r\n\r\n", b"\n"] {
                let (mut stream, proxy) = playing::proxy(move |mut stream| {
                    playing::request_head(&mut stream);
                    stream.write_all(&[answer, behind].concat()).unwrap();
                });
                tunnel(&mut stream).unwrap();
                proxy.join().unwrap();
                let mut rest = Vec::new();
                stream.read_to_end(&mut rest).unwrap();
                assert_eq!(rest, behind, "{}", answer.escape_ascii());
            }
        }
    }

    #[test]
    fn a_head_of_any_length_and_with_any_ends_of_lines_is_read_exactly() {
        for length in 0..8 {
            for end in ["\r\n\r\n", "\n\n", "\r\n\n", "\n\r\n"] {
                let head = format!("HTTP/1.1 200 {}{end}", "x".repeat(length));
                let (mut stream, proxy) = playing::proxy(move |mut stream| {
                    playing::request_head(&mut stream);
                    stream.write_all(format!("{head}behind").as_bytes()).unwrap();
                });
                tunnel(&mut stream).unwrap();
                proxy.join().unwrap();
                let mut rest = String::new();
                stream.read_to_string(&mut rest).unwrap();
                assert_eq!(rest, "behind", "{length} {end:?}");
            }
        }
    }

    #[test]
    fn an_answer_may_arrive_byte_by_byte() {
        for answer in ACCEPTING {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                playing::trickle(&mut stream, &[answer, b"!"].concat());
            });
            tunnel(&mut stream).unwrap();
            proxy.join().unwrap();
            let mut rest = String::new();
            stream.read_to_string(&mut rest).unwrap();
            assert_eq!(rest, "!");
        }
    }

    #[test]
    fn a_truncated_answer_is_no_tunnel() {
        let answer = b"HTTP/1.1 200 OK\r\nVia: me\r\n\r\n";
        for length in 0..answer.len() {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                stream.write_all(&answer[..length]).unwrap();
            });
            assert!(playing::reason(tunnel(&mut stream)).contains("closed the connection"), "{length}");
            proxy.join().unwrap();
        }
    }

    fn told(answer: &'static [u8]) -> String {
        let (mut stream, proxy) = playing::proxy(move |mut stream| {
            playing::request_head(&mut stream);
            stream.write_all(answer).unwrap();
            // Left open: a client that waits for more than there is runs into the time-out.
            stream
        });
        let why = playing::reason(tunnel(&mut stream));
        proxy.join().unwrap();
        why
    }

    #[test]
    fn a_refusal_names_status_and_reason() {
        assert_eq!(
            told(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n"),
            "Tunnel connection failed: 407 Proxy Authentication Required"
        );
        assert_eq!(told(b"HTTP/1.0 503\r\n\r\n"), "Tunnel connection failed: 503");
        assert_eq!(told(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n"), "Tunnel connection failed: 302 Found");
        assert_eq!(
            told(b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            "Tunnel connection failed: 101 Switching Protocols"
        );
        assert_eq!(told(b"HTTP/1.1 500 a\x1b[31m\tb\r\n\r\n"), "Tunnel connection failed: 500 a [31m b");
    }

    #[test]
    fn what_is_not_http_is_told_at_once() {
        for answer in [
            &b"\x15\x03\x03\x00\x02\x02\x28"[..],
            b"SSH-2.0-x\r\n",
            b"HTTP/2 200\r\n\r\n",
            b"<html>",
            b"\n",
            b"HTTP/1.1 2000 OK\r\n\r\n",
            b"HTTP/1.1 20\r\n\r\n",
            b"HTTP/1.1  200 OK\r\n\r\n",
            b"HTTP/1.1 099 OK\r\n\r\n",
            b"HTTP/1.1 +20 OK\r\n\r\n",
            b"HTTP/1.x 200 OK\r\n\r\n",
            b"HTTP/1.10 200 OK\r\n\r\n",
            b"HTTP/1.\r\n\r\n\r\n\r\n\r\n",
            // Over before it can be an answer, and then silence.
            b"HTTP/1.0\n\ntext",
            b"HTTP/1.1 2\r\n\r\n",
        ] {
            assert_eq!(told(answer), NO_HTTP, "{}", answer.escape_ascii());
        }
    }

    #[test]
    fn an_endless_head_ends_at_its_limit() {
        let endless: [&'static [u8]; 3] =
            [b"HTTP/1.1 200 OK", b"HTTP/1.1 200 OK\r\nX: y\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"];
        for piece in endless {
            let (mut stream, proxy) = playing::proxy(move |mut stream| {
                playing::request_head(&mut stream);
                let mut sent = 0;
                while stream.write_all(piece).is_ok() && sent < 4 * HEAD_LIMIT {
                    sent += piece.len();
                }
            });
            let why = playing::reason(tunnel(&mut stream));
            assert!(why.contains("longer than 65536"), "{why}");
            drop(stream);
            proxy.join().unwrap();
        }
    }

    #[test]
    fn errors_of_the_stream_pass_through_untouched() {
        let (mut stream, proxy) = playing::proxy(|mut stream| {
            playing::request_head(&mut stream);
            stream.write_all(b"HTTP/1.1 200 OK\r\n").unwrap();
            stream
        });
        stream.set_read_timeout(Some(Duration::from_millis(30))).unwrap();
        match tunnel(&mut stream) {
            Err(HandshakeError::Io(error)) => {
                assert!(matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut));
            }
            other => panic!("{other:?}"),
        }
        proxy.join().unwrap();

        /// What no real socket does: fails with an error of the library's own.
        struct Aborted;
        impl Read for Aborted {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other(Error::new(ErrorKind::Aborted, "aborted")))
            }
        }
        impl Write for Aborted {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let Err(HandshakeError::Io(error)) = tunnel(&mut Aborted) else { panic!("not the stream's error") };
        assert_eq!(error.downcast::<Error>().unwrap().kind(), ErrorKind::Aborted);
    }

    #[test]
    fn nothing_can_be_smuggled_into_the_request() {
        for (host, agent) in [("a b", None), ("a\r\nX: y", None), ("", None), ("a", Some("x\r\nY: z"))] {
            // This proxy only tells what it was sent.
            let (mut stream, proxy) = playing::proxy(|mut stream| {
                let mut got = Vec::new();
                stream.read_to_end(&mut got).unwrap();
                got
            });
            playing::reason(
                connect_tunnel(&mut stream, &Authority(host, 1).to_string(), None, agent).and_then(opened),
            );
            drop(stream);
            assert!(proxy.join().unwrap().is_empty());
        }
    }
}
