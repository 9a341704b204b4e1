//! Cookies: a jar that takes lines from servers, and is asked afterwards.
//!
//! The first line is the server's URL. Of the others `> URL` is another server, `? URL` asks, `- DOMAIN` takes out, and
//! any other is a Set-Cookie of the server.
//!
//! What goes out is what a plain reading of RFC 6265 lets go out, and nothing that ends a line is among it.

use requests_futures::http::cookies::{Cookie, Jar};
use requests_futures::message::url::{Scheme, Url};

use super::{memory, take_line, text_of};

/// RFC 6265 section 5.1.3.
fn is_of_domain(host: &str, cookie: &Cookie) -> bool {
    host == cookie.domain || (!cookie.host_only && host.ends_with(&format!(".{}", cookie.domain)))
}

/// RFC 6265 section 5.1.4.
fn is_on_path(path: &str, cookie: &Cookie) -> bool {
    path == cookie.path
        || (path.starts_with(&cookie.path)
            && (cookie.path.ends_with('/') || path[cookie.path.len()..].starts_with('/')))
}

fn octets(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(c).expect("one character for each octet")).collect()
}

/// What the jar sends to this URL, against what it holds.
fn ask(jar: &Jar, url: &Url) {
    let before = jar.snapshot();
    let header = jar.header(url, &[]).unwrap_or_default();
    let own = [("own".to_owned(), "1".to_owned())];
    let with_own = jar.header(url, &own).expect("at least its own");
    // Somebody else who takes the cookies over sends the same.
    let of_copy = Jar::copy_of(before.clone()).header(url, &[]).unwrap_or_default();
    let of_host = Jar::copy_of(jar.of_host(url)).header(url, &[]).unwrap_or_default();
    if jar.snapshot() != before {
        // One of them has just expired.
        return;
    }
    let mut due: Vec<&Cookie> = before
        .iter()
        .filter(|cookie| is_of_domain(url.host(), cookie) && is_on_path(url.path(), cookie))
        .filter(|cookie| !cookie.secure || url.scheme() == Scheme::Https)
        .collect();
    due.sort_by_key(|cookie| usize::MAX - cookie.path.len());
    let mut expected = Vec::new();
    for cookie in due {
        let pair = [&octets(&cookie.name)[..], b"=", &octets(&cookie.value)].concat();
        let separator: &[u8] = if expected.is_empty() { b"" } else { b"; " };
        if "Cookie: ".len() + expected.len() + separator.len() + pair.len() >= 8190 {
            break;
        }
        expected.extend_from_slice(separator);
        expected.extend_from_slice(&pair);
    }
    assert_eq!(header.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{url}");
    assert!(!header.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t'));
    assert_eq!((&of_copy, &of_host), (&header, &header));
    assert!(with_own.ends_with(b"own=1"));
}

pub fn cookies(data: &[u8]) {
    let mut rest = data;
    memory::within(256 * 1024 + 64 * data.len(), || {
        let Ok(mut server) = Url::parse(&text_of(take_line(&mut rest))) else { return };
        let jar = Jar::new();
        while !rest.is_empty() {
            let line = take_line(&mut rest);
            match line {
                [b'>', url @ ..] => {
                    let Ok(url) = Url::parse(&text_of(url)) else { continue };
                    server = url;
                }
                [b'?', url @ ..] => {
                    let Ok(url) = Url::parse(&text_of(url)) else { continue };
                    ask(&jar, &url);
                }
                [b'-', domain @ ..] => {
                    let domain = text_of(domain);
                    jar.clear(None, Some(&domain));
                    assert!(jar.snapshot().iter().all(|cookie| cookie.domain != domain));
                }
                line => {
                    let secure_before = jar.snapshot().iter().filter(|cookie| cookie.secure).count();
                    let taken = jar.set(&server, line);
                    let all = jar.snapshot();
                    if !taken {
                        continue;
                    }
                    let secure = all.iter().filter(|cookie| cookie.secure).count();
                    // Over http nobody sets a Secure cookie.
                    assert!(server.scheme() == Scheme::Https || secure <= secure_before);
                    for cookie in &all {
                        assert!(cookie.host_only || cookie.domain.contains('.'), "{cookie:?}");
                        assert!(cookie.path.starts_with('/'), "{cookie:?}");
                        let of_domain = all.iter().filter(|other| other.domain == cookie.domain).count();
                        assert!(of_domain <= 180, "{of_domain} of one domain");
                        let same = |other: &&Cookie| {
                            (&other.name, &other.domain, &other.path)
                                == (&cookie.name, &cookie.domain, &cookie.path)
                        };
                        assert_eq!(all.iter().filter(same).count(), 1, "{cookie:?}");
                    }
                    ask(&jar, &server);
                }
            }
        }
        ask(&jar, &server);
        jar.clear(None, None);
        assert!(jar.snapshot().is_empty() && jar.header(&server, &[]).is_none());
    });
}
