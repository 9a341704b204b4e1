//! SOCKS 4, 4a and 5.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::atomic::Ordering::Relaxed;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, copy_bidirectional};

use super::{Kind, PASSWORD, ProxyStats, USER, reach, silence};
use crate::text::text_of;

fn invalid() -> io::Error {
    io::ErrorKind::InvalidData.into()
}

async fn until_zero(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        match stream.read_u8().await? {
            0 => return Ok(text_of(&text)),
            _ if text.len() > 1024 => return Err(invalid()),
            byte => text.push(byte),
        }
    }
}

pub async fn version4<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    stats: &ProxyStats,
) -> io::Result<()> {
    const GRANTED: u8 = 90;
    const REJECTED: u8 = 91;
    let reply = |code: u8| [0, code, 0, 0, 0, 0, 0, 0];

    if (stream.read_u8().await?, stream.read_u8().await?) != (4, 1) {
        return Err(invalid());
    }
    let port = stream.read_u16().await?;
    let address = Ipv4Addr::from(stream.read_u32().await?);
    let _user = until_zero(&mut stream).await?;
    // An address of 0.0.0.x says that a name follows: that is 4a.
    let host = match address.octets() {
        [0, 0, 0, last] if last != 0 => until_zero(&mut stream).await?,
        _ => address.to_string(),
    };
    stats.requests.fetch_add(1, Relaxed);
    stats.saw(&host, port, String::new());
    let refused = stats.kind == Kind::Socks4Refuse;
    let Some(mut target) = (if refused { None } else { reach(&host, port).await.ok() }) else {
        stream.write_all(&reply(REJECTED)).await?;
        return stream.shutdown().await;
    };
    stats.connect.fetch_add(1, Relaxed);
    stream.write_all(&reply(GRANTED)).await?;
    copy_bidirectional(&mut stream, &mut target).await?;
    Ok(())
}

/// A string with its length before it.
async fn counted(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let mut text = vec![0; usize::from(stream.read_u8().await?)];
    stream.read_exact(&mut text).await?;
    Ok(text)
}

/// Agrees on how to authenticate, and does; false when the client may not go on.
async fn greet<S: AsyncRead + AsyncWrite + Unpin>(stream: &mut S, stats: &ProxyStats) -> io::Result<bool> {
    const NO_AUTHENTICATION: u8 = 0;
    const USER_PASSWORD: u8 = 2;
    const NONE_ACCEPTABLE: u8 = 0xff;

    if stream.read_u8().await? != 5 {
        return Err(invalid());
    }
    let offered = counted(stream).await?;
    let wanted = if stats.kind == Kind::Socks5Auth { USER_PASSWORD } else { NO_AUTHENTICATION };
    if !offered.contains(&wanted) {
        stats.auth_refused.fetch_add(1, Relaxed);
        stream.write_all(&[5, NONE_ACCEPTABLE]).await?;
        return Ok(false);
    }
    stream.write_all(&[5, wanted]).await?;
    if wanted == NO_AUTHENTICATION {
        return Ok(true);
    }
    if stream.read_u8().await? != 1 {
        return Err(invalid());
    }
    let (user, password) = (counted(stream).await?, counted(stream).await?);
    let good = user == USER.as_bytes() && password == PASSWORD.as_bytes();
    if !good {
        stats.auth_refused.fetch_add(1, Relaxed);
    }
    stream.write_all(&[1, u8::from(!good)]).await?;
    Ok(good)
}

pub async fn version5<S: AsyncRead + AsyncWrite + Unpin>(
    mut stream: S,
    stats: &ProxyStats,
) -> io::Result<()> {
    const HOST_UNREACHABLE: u8 = 4;
    const CONNECTION_REFUSED: u8 = 5;
    let reply = |code: u8| [5, code, 0, 1, 0, 0, 0, 0, 0, 0];

    if !greet(&mut stream, stats).await? {
        return stream.shutdown().await;
    }
    let request = (stream.read_u8().await?, stream.read_u8().await?, stream.read_u8().await?);
    if (request.0, request.1) != (5, 1) {
        return Err(invalid());
    }
    let host = match stream.read_u8().await? {
        1 => Ipv4Addr::from(stream.read_u32().await?).to_string(),
        3 => text_of(&counted(&mut stream).await?),
        4 => format!("[{}]", Ipv6Addr::from(stream.read_u128().await?)),
        _ => return Err(invalid()),
    };
    let port = stream.read_u16().await?;
    stats.requests.fetch_add(1, Relaxed);
    stats.saw(&host, port, String::new());
    match stats.kind {
        Kind::Socks5Stall => {
            stream.write_all(&reply(0)[..4]).await?;
            return silence(&mut stream).await;
        }
        Kind::Socks5Refuse => {
            stream.write_all(&reply(CONNECTION_REFUSED)).await?;
            return stream.shutdown().await;
        }
        _ => {}
    }
    let mut target = match reach(&host, port).await {
        Ok(target) => target,
        Err(error) => {
            let refused = error.kind() == io::ErrorKind::ConnectionRefused;
            let code = if refused { CONNECTION_REFUSED } else { HOST_UNREACHABLE };
            stream.write_all(&reply(code)).await?;
            return stream.shutdown().await;
        }
    };
    stats.connect.fetch_add(1, Relaxed);
    stream.write_all(&reply(0)).await?;
    copy_bidirectional(&mut stream, &mut target).await?;
    Ok(())
}
