//! The http proxy: CONNECT, and requests in absolute form.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Kind, PASSWORD, ProxyStats, USER, basic_credentials, reach, silence};
use crate::routes::digest;
use crate::text::{find, text_of};

const MAX_HEAD: usize = 1 << 20;

/// A stream with what was read of it and not yet used.
struct Buffered<S> {
    stream: S,
    unread: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Buffered<S> {
    fn new(stream: S) -> Buffered<S> {
        Buffered { stream, unread: Vec::new() }
    }

    async fn fill(&mut self) -> io::Result<usize> {
        self.stream.read_buf(&mut self.unread).await
    }

    /// Up to and with the end mark; none at the stream's end.
    async fn until(&mut self, mark: &[u8]) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(at) = find(&self.unread, mark) {
                return Ok(Some(self.unread.drain(..at + mark.len()).collect()));
            }
            if self.unread.len() > MAX_HEAD || self.fill().await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Hands so many bytes on.
    async fn pass(&mut self, mut length: u64, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        while length > 0 {
            if self.unread.is_empty() && self.fill().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let now = self.unread.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            to.write_all(&self.unread[..now]).await?;
            self.unread.drain(..now);
            length -= now as u64;
        }
        Ok(())
    }

    /// Hands a chunked body on, framing and trailers too.
    async fn pass_chunks(&mut self, to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        loop {
            let line = self.until(b"\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            let text = text_of(&line);
            let size = u64::from_str_radix(text.split(';').next().unwrap_or_default().trim(), 16)
                .map_err(|_| io::ErrorKind::InvalidData)?;
            to.write_all(&line).await?;
            if size == 0 {
                break;
            }
            self.pass(size + 2, to).await?;
        }
        loop {
            let line = self.until(b"\r\n").await?.ok_or(io::ErrorKind::UnexpectedEof)?;
            to.write_all(&line).await?;
            if line == b"\r\n" {
                return Ok(());
            }
        }
    }
}

/// The lines of a head, without the empty one at its end.
struct Head {
    first: String,
    lines: Vec<String>,
}

impl Head {
    fn parse(bytes: &[u8]) -> Head {
        let text = text_of(bytes);
        let mut lines = text.trim_end_matches("\r\n").split("\r\n").map(str::to_owned);
        Head { first: lines.next().unwrap_or_default(), lines: lines.collect() }
    }

    fn header(&self, wanted: &str) -> Option<&str> {
        self.lines.iter().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case(wanted).then(|| value.trim())
        })
    }

    fn is(&self, header: &str, value: &str) -> bool {
        self.header(header).is_some_and(|given| given.eq_ignore_ascii_case(value))
    }

    fn remove(&mut self, unwanted: &[&str]) {
        self.lines.retain(|line| {
            let name = line.split(':').next().unwrap_or_default();
            !unwanted.iter().any(|unwanted| name.eq_ignore_ascii_case(unwanted))
        });
    }

    fn to_bytes(&self) -> Vec<u8> {
        // Bytes above 127 became characters when they were no UTF-8; back they go.
        let text = format!("{}\r\n{}\r\n\r\n", self.first, self.lines.join("\r\n"));
        if text.is_ascii() || text.chars().any(|c| u32::from(c) > 255) {
            return text.into_bytes();
        }
        text.chars().map(|c| c as u8).collect()
    }
}

fn split_host(authority: &str, default_port: u16) -> Option<(String, u16)> {
    let authority = authority.rsplit('@').next()?;
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => Some((host.to_owned(), port.parse().ok()?)),
        _ => Some((authority.to_owned(), default_port)),
    }
}

async fn say(
    client: &mut (impl AsyncWrite + Unpin),
    status: &str,
    headers: &str,
    text: &str,
) -> io::Result<()> {
    let length = text.len();
    let answer = format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n{text}");
    client.write_all(answer.as_bytes()).await
}

pub async fn converse<S: AsyncRead + AsyncWrite + Unpin>(stream: S, stats: &ProxyStats) -> io::Result<()> {
    let mut client = Buffered::new(stream);
    while let Some(bytes) = client.until(b"\r\n\r\n").await? {
        stats.requests.fetch_add(1, Relaxed);
        let head = Head::parse(&bytes);
        let mut words = head.first.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let is_connect = method == "CONNECT";
        let authority = if is_connect {
            split_host(target, 443)
        } else {
            target
                .strip_prefix("http://")
                .and_then(|rest| split_host(rest.split(['/', '?']).next().unwrap_or_default(), 80))
        };
        let Some((host, port)) = authority else {
            return refuse(client, "400 Bad Request", "this is a proxy").await;
        };
        stats.saw(&host, port, text_of(&bytes));
        match stats.kind {
            Kind::HttpClose => return Ok(()),
            Kind::Http502 => return refuse(client, "502 Bad Gateway", "no such upstream").await,
            Kind::HttpGarbage => {
                client.stream.write_all(b"garbage, not http\r\n\r\n").await?;
                return finish(client).await;
            }
            Kind::HttpStall => {
                client.stream.write_all(b"HTTP/1.1 200 Conn").await?;
                return silence(&mut client.stream).await;
            }
            Kind::HttpAuth if !authorized(&head) => {
                stats.auth_refused.fetch_add(1, Relaxed);
                swallow_body(&mut client, &head).await?;
                let challenge = "Proxy-Authenticate: Basic realm=\"proxy\"\r\n";
                say(&mut client.stream, "407 Proxy Authentication Required", challenge, "who are you?")
                    .await?;
                if head.is("connection", "close") || head.is("proxy-connection", "close") {
                    return finish(client).await;
                }
                // The client may come again with credentials over the same connection.
                continue;
            }
            Kind::HttpDigest | Kind::HttpDigestClose if !digest_authorized(&head, method, target) => {
                stats.auth_refused.fetch_add(1, Relaxed);
                swallow_body(&mut client, &head).await?;
                let challenge = "Proxy-Authenticate: Basic realm=\"proxy\"\r\n\
                    Proxy-Authenticate: Digest realm=\"proxy\", nonce=\"of-the-proxy\", qop=\"auth\", algorithm=MD5\r\n";
                say(&mut client.stream, "407 Proxy Authentication Required", challenge, "who are you?")
                    .await?;
                if stats.kind == Kind::HttpDigestClose {
                    return finish(client).await;
                }
                continue;
            }
            _ => {}
        }
        let Ok(target) = reach(&host, port).await else {
            return refuse(client, "502 Bad Gateway", "no such upstream").await;
        };
        if is_connect {
            stats.connect.fetch_add(1, Relaxed);
            return tunnel(client, target).await;
        }
        stats.forward.fetch_add(1, Relaxed);
        if !forward(&mut client, head, target).await? {
            return client.stream.shutdown().await;
        }
    }
    Ok(())
}

fn authorized(head: &Head) -> bool {
    head.header("proxy-authorization")
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, token)| scheme.eq_ignore_ascii_case("basic") && token == basic_credentials())
}

fn digest_authorized(head: &Head, method: &str, target: &str) -> bool {
    head.header("proxy-authorization")
        .and_then(|value| value.strip_prefix("Digest "))
        .and_then(|given| digest::proxy_response(&digest::fields(given), (USER, PASSWORD), method, target))
        == Some(true)
}

async fn refuse<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: Buffered<S>,
    status: &str,
    text: &str,
) -> io::Result<()> {
    say(&mut client.stream, status, "Content-Type: text/plain\r\nConnection: close\r\n", text).await?;
    finish(client).await
}

/// Closes without the RST that unread input would cause.
async fn finish<S: AsyncRead + AsyncWrite + Unpin>(mut client: Buffered<S>) -> io::Result<()> {
    client.stream.shutdown().await?;
    let _ = timeout(Duration::from_secs(1), silence(&mut client.stream)).await;
    Ok(())
}

async fn swallow_body<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    head: &Head,
) -> io::Result<()> {
    pass_body(client, head, &mut tokio::io::sink()).await
}

async fn pass_body<S: AsyncRead + AsyncWrite + Unpin>(
    from: &mut Buffered<S>,
    head: &Head,
    to: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    if head.is("transfer-encoding", "chunked") {
        return from.pass_chunks(to).await;
    }
    let length = head.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    from.pass(length, to).await
}

async fn tunnel<S: AsyncRead + AsyncWrite + Unpin>(
    mut client: Buffered<S>,
    mut target: TcpStream,
) -> io::Result<()> {
    client.stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    target.write_all(&client.unread).await?;
    copy_bidirectional(&mut client.stream, &mut target).await?;
    Ok(())
}

/// Hands a request on and its answer back; false when the connection cannot be kept.
async fn forward<S: AsyncRead + AsyncWrite + Unpin>(
    client: &mut Buffered<S>,
    mut head: Head,
    target: TcpStream,
) -> io::Result<bool> {
    let mut words = head.first.splitn(3, ' ');
    let method = words.next().unwrap_or_default().to_owned();
    let url = words.next().unwrap_or_default();
    let after_host = url.find("://").and_then(|at| url[at + 3..].find(['/', '?']).map(|more| at + 3 + more));
    let path = after_host.map_or("/", |at| &url[at..]);
    let slash = if path.starts_with('/') { "" } else { "/" };
    head.first = format!("{method} {slash}{path} {}", words.next().unwrap_or_default());
    let keep = !head.is("connection", "close");
    head.remove(&["proxy-authorization", "proxy-connection", "connection"]);
    // One upstream connection for each request: simple, and the end of the answer is its end.
    head.lines.push("Connection: close".to_owned());

    let mut target = Buffered::new(target);
    target.stream.write_all(&head.to_bytes()).await?;
    pass_body(client, &head, &mut target.stream).await?;

    let mut answer = loop {
        let Some(bytes) = target.until(b"\r\n\r\n").await? else {
            client.stream.write_all(&target.unread).await?;
            return Ok(false);
        };
        let answer = Head::parse(&bytes);
        // 100 and 103 are not the answer yet.
        if answer.first.split(' ').nth(1).is_some_and(|status| status.starts_with('1') && status != "101") {
            client.stream.write_all(&bytes).await?;
            continue;
        }
        break answer;
    };
    answer.remove(&["connection", "keep-alive"]);
    let status = answer.first.split(' ').nth(1).unwrap_or_default().to_owned();
    let bodiless = method == "HEAD" || status == "204" || status == "304";
    let framed = answer.header("transfer-encoding").is_some() || answer.header("content-length").is_some();
    if !bodiless && !framed {
        answer.lines.push("Connection: close".to_owned());
    }
    client.stream.write_all(&answer.to_bytes()).await?;
    if bodiless {
        return Ok(keep);
    }
    if framed {
        pass_body(&mut target, &answer, &mut client.stream).await?;
        return Ok(keep);
    }
    client.stream.write_all(&target.unread).await?;
    tokio::io::copy(&mut target.stream, &mut client.stream).await?;
    Ok(false)
}
