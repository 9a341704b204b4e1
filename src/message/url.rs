//! URLs as requests understands them.
//!
//! `Url::parse` gives what `PreparedRequest.prepare_url` gives, which is urllib3's `parse_url` followed by
//! requests' `requote_uri`; `Url::join` gives what `resolve_redirects` gives. Where the two Python libraries
//! get in each other's way (a zone id that makes every `%` of the path doubly encoded, say) the meaning they
//! both aim at is taken. The WHATWG parser of the `url` crate answers differently in too many places to be
//! bent into this: it refuses other hosts, leaves other characters alone and drops default ports.

use std::borrow::Cow;
use std::fmt;

use super::host::{BadHost, MAX_LABEL, normalize_host, same_host};
use super::percent::{
    PATH, PLAIN_HOST, QUERY, encode_component, is, is_escaped, percent_decode, unquote_unreserved,
};
use crate::message::error::{Error, ErrorKind};

/// How the server of a URL is spoken with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    Http,
    Https,
    /// One that an adapter was mounted for, with a name of so many bytes. All else is as with http.
    Mounted(u8),
}

impl Scheme {
    fn len(self) -> usize {
        match self {
            Scheme::Http => 4,
            Scheme::Https => 5,
            Scheme::Mounted(length) => length.into(),
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Scheme::Http | Scheme::Mounted(_) => 80,
            Scheme::Https => 443,
        }
    }
}

/// Says whether an adapter was mounted for a scheme other than http and https.
pub type IsMounted<'a> = &'a dyn Fn(&str) -> bool;

/// A URL, http or https unless its scheme was mounted, normalised and percent-encoded: it holds printable ASCII only.
///
/// The text is `scheme://host[:port]/path[?query][#fragment]`; everything else is an offset into it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Url {
    text: String,
    scheme: Scheme,
    /// Where the host ends, its brackets included.
    host_end: usize,
    /// Where the host and the port end and the path begins.
    authority_end: usize,
    /// Where the path ends.
    path_end: usize,
    /// Where the query ends; a `#` and the fragment may follow.
    target_end: usize,
    port: u16,
    userinfo: Option<Box<(String, String)>>,
    /// An IPv6 host that the text writes in another way: its zone is as the system wants it (`fe80::1%eth0`, where
    /// the text has `%25`), and of the forms of one address (`0:0::1`) there is one.
    ipv6_host: Option<Box<str>>,
}

impl Url {
    /// Parses what a caller gave. The messages are requests', with the value where those leave it out, and
    /// without the userinfo.
    pub fn parse(input: &str) -> Result<Url, Error> {
        Url::parse_mounted(input, &|_| false)
    }

    /// The same with other schemes.
    pub fn parse_mounted(input: &str, is_mounted: IsMounted<'_>) -> Result<Url, Error> {
        let input = input.trim_start_matches(is_python_space);
        match parse_plain(input) {
            Some(url) => Ok(url),
            None => parse_general(input, is_mounted),
        }
    }

    /// The whole URL with its fragment and without its userinfo, as `response.url` shows it.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// In lower case.
    pub fn scheme_name(&self) -> &str {
        &self.text[..self.scheme.len()]
    }

    /// Whether its scheme is http or https, which always have an adapter.
    pub fn is_http(&self) -> bool {
        !matches!(self.scheme, Scheme::Mounted(_))
    }

    /// What fails a URL whose scheme has adapters mounted, but none for this host and path.
    pub fn no_adapter(&self) -> Error {
        invalid(ErrorKind::InvalidSchema, &self.text, "no adapter is mounted for it")
    }

    /// The host to connect to: lower-cased, IDNA-encoded, without brackets, an IPv6 address in its shortest form and
    /// its zone after a plain `%`. One host has one such form, see [`canonical_host`].
    #[inline]
    pub fn host(&self) -> &str {
        if let Some(host) = &self.ipv6_host {
            return host;
        }
        let host = &self.text[self.host_start()..self.host_end];
        host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host)
    }

    /// The value of the `Host` header. As urllib3 and http.client send it: no default port even when it was
    /// written out, no zone, and no dot at the end.
    pub fn host_header(&self) -> Cow<'_, str> {
        let host = &self.text[self.host_start()..self.host_end];
        let port = if self.port == self.scheme.default_port() {
            ""
        } else {
            &self.text[self.host_end..self.authority_end]
        };
        if host.starts_with('[')
            && let Some((address, _)) = host.split_once('%')
        {
            return Cow::Owned(format!("{address}]{port}"));
        }
        if host.ends_with('.') {
            return Cow::Owned(format!("{}{port}", host.trim_end_matches('.')));
        }
        Cow::Borrowed(&self.text[self.host_start()..self.host_end + port.len()])
    }

    /// The port to connect to.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `host[:port]` as it stands in the URL.
    pub fn authority(&self) -> &str {
        &self.text[self.host_start()..self.authority_end]
    }

    /// The path, which begins with `/`.
    pub fn path(&self) -> &str {
        &self.text[self.authority_end..self.path_end]
    }

    /// The query without its `?`. An empty one counts as none, as in requests.
    pub fn query(&self) -> Option<&str> {
        (self.target_end > self.path_end).then(|| &self.text[self.path_end + 1..self.target_end])
    }

    /// Path and query: what the request line carries.
    pub fn target(&self) -> &str {
        &self.text[self.authority_end..self.target_end]
    }

    /// The absolute form, as a forward proxy wants it.
    pub fn without_fragment(&self) -> &str {
        &self.text[..self.target_end]
    }

    /// The fragment without its `#`. An empty one counts as none.
    pub fn fragment(&self) -> Option<&str> {
        (self.text.len() > self.target_end).then(|| &self.text[self.target_end + 1..])
    }

    /// User and password, percent-decoded. As in requests a user without a colon after it gives none, and
    /// neither does a lone colon. Requests reads these for the first URL only, never for a redirect's.
    pub fn userinfo(&self) -> Option<(&str, &str)> {
        self.userinfo.as_deref().map(|(user, password)| (user.as_str(), password.as_str()))
    }

    pub fn same_host(&self, other: &Url) -> bool {
        same_host(self.host(), other.host())
    }

    pub fn same_origin(&self, other: &Url) -> bool {
        self.scheme == other.scheme && self.port == other.port && self.same_host(other)
    }

    /// What two URLs have in common that are of one origin.
    pub fn origin(&self) -> String {
        format!("{}://{}:{}", self.scheme_name(), self.host(), self.port)
    }

    /// Whether credentials meant for this URL may go to `next`: the same origin, or the step from http to
    /// https on the default ports (`should_strip_auth`, turned round).
    pub fn keeps_credentials(&self, next: &Url) -> bool {
        let upgraded = self.scheme == Scheme::Http
            && self.port == 80
            && next.scheme == Scheme::Https
            && next.port == 443;
        self.same_origin(next) || (upgraded && self.same_host(next))
    }

    /// This URL with the host and port that a `Host` header names in the place of its own. None: it names none.
    pub fn with_authority(&self, authority: &str) -> Option<Url> {
        let authority = authority.trim_matches([' ', '\t']);
        // Nothing in it may end the authority before it is over, or stand before the host.
        if authority.contains('@') || authority.contains(AUTHORITY_END) {
            return None;
        }
        let text = format!("{}://{authority}{}", self.scheme_name(), self.target());
        Url::parse_mounted(&text, &|scheme| scheme == self.scheme_name()).ok()
    }

    /// With this query, which may be encoded already, in the place of its own; None: without one.
    pub fn with_query(&self, query: Option<&str>) -> Url {
        let mut url = self.clone();
        url.text.replace_range(self.path_end..self.target_end, "");
        url.target_end = self.path_end;
        query.map_or_else(|| url.clone(), |query| url.append_query(query))
    }

    /// This URL with more query. What is encoded already stays as it is; nothing else can slip through,
    /// not even a `#` (requests lets that one cut the query short).
    pub fn append_query(&self, encoded: &str) -> Url {
        if encoded.is_empty() {
            return self.clone();
        }
        let mut url = self.clone();
        let fragment = url.text.split_off(url.target_end);
        url.text.reserve(1 + encoded.len() + fragment.len());
        url.text.push(if self.query().is_some() { '&' } else { '?' });
        encode_component(&mut url.text, encoded, QUERY);
        url.target_end = url.text.len();
        url.text.push_str(&fragment);
        url
    }

    /// Where a `Location` leads. Its bytes are UTF-8 or else ISO-8859-1; without a fragment of its own it
    /// keeps this URL's; userinfo is not inherited, since the caller carries credentials by its own rules.
    ///
    /// Relative references follow Python's `urljoin`, which drops empty segments where it merges two paths.
    /// Of http and https it leads to these only.
    pub fn join(&self, location: &[u8], is_mounted: IsMounted<'_>) -> Result<Url, Error> {
        let text: Cow<'_, str> = match std::str::from_utf8(location) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => Cow::Owned(location.iter().map(|&byte| char::from(byte)).collect()),
        };
        // urlsplit does this for safety's sake, and so do browsers.
        let mut text = Cow::Borrowed(text.trim_start_matches(|c: char| c <= ' '));
        if text.contains(['\t', '\r', '\n']) {
            text = Cow::Owned(text.replace(['\t', '\r', '\n'], ""));
        }
        let (reference, fragment) = text.split_once('#').unwrap_or((&text, ""));
        let fragment = if fragment.is_empty() { self.fragment().unwrap_or("") } else { fragment };
        let (scheme, rest) = match split_scheme(reference, true) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, reference),
        };
        let own_scheme = self.scheme_name();
        let foreign = scheme.is_some_and(|scheme| !scheme.eq_ignore_ascii_case(own_scheme));
        let has_authority = rest
            .strip_prefix("//")
            .is_some_and(|after| !after.is_empty() && !after.starts_with(AUTHORITY_END));

        let mut whole = String::with_capacity(self.text.len() + text.len() + 1);
        whole.push_str(scheme.unwrap_or(own_scheme));
        whole.push(':');
        if has_authority || foreign {
            whole.push_str(rest);
        } else {
            // An empty authority (`///path`) is this URL's own.
            let rest = rest.strip_prefix("//").unwrap_or(rest);
            let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
            whole.push_str("//");
            whole.push_str(self.authority());
            if path.is_empty() {
                whole.push_str(self.path());
                if query.is_empty() {
                    whole.push_str(&self.text[self.path_end..self.target_end]);
                }
            } else {
                // Requests requotes before it resolves, so that `%2e%2e` is a dot segment here.
                merge_paths(&mut whole, self.path(), &unquote_unreserved(path));
            }
            if !query.is_empty() {
                whole.push('?');
                whole.push_str(query);
            }
        }
        if !fragment.is_empty() {
            whole.push('#');
            whole.push_str(fragment);
        }
        match self.scheme {
            Scheme::Http | Scheme::Https => Url::parse(&whole),
            Scheme::Mounted(_) => Url::parse_mounted(&whole, is_mounted),
        }
    }

    /// Where a reference leads from a base, both in text, as [`Url::join`] has it. Schemes other than http and https are
    /// those that adapters might be mounted for.
    pub fn join_text(base: &str, reference: &str) -> Result<Url, Error> {
        Url::parse_mounted(base, &|_| true)?.join(reference.as_bytes(), &|_| true)
    }

    fn host_start(&self) -> usize {
        self.scheme.len() + "://".len()
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Shows the URL only: the userinfo is a secret.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Url").field(&self.text).finish()
    }
}

/// What ends an authority. The backslash is urllib3's: what follows it must never be taken for the host.
const AUTHORITY_END: [char; 4] = ['\\', '/', '?', '#'];

// ---- parsing ----

/// The quick way: a URL that is normal already is copied once and only looked at. None sends it the long way,
/// which also words the errors.
fn parse_plain(input: &str) -> Option<Url> {
    let bytes = input.as_bytes();
    let scheme = if bytes.starts_with(b"http://") {
        Scheme::Http
    } else if bytes.starts_with(b"https://") {
        Scheme::Https
    } else {
        return None;
    };
    let mut at = scheme.len() + 3;

    let mut label = 0;
    while let Some(&byte) = bytes.get(at) {
        if byte == b'.' {
            if label == 0 {
                return None;
            }
            label = 0;
        } else if is(byte, PLAIN_HOST) {
            label += 1;
            if label > MAX_LABEL {
                return None;
            }
        } else {
            break;
        }
        at += 1;
    }
    let host_end = at;
    if label == 0 {
        return None;
    }

    let mut port = scheme.default_port();
    if bytes.get(at) == Some(&b':') {
        let digits = bytes[at + 1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 || digits > 5 || bytes[at + 1] == b'0' {
            return None;
        }
        port = input[at + 1..at + 1 + digits].parse().ok()?;
        at += 1 + digits;
    }
    let authority_end = at;
    let bare = at == bytes.len();
    if !bare && bytes[at] != b'/' {
        return None;
    }

    while let Some(&byte) = bytes.get(at) {
        if !is(byte, PATH) {
            break;
        }
        // Perhaps a dot segment.
        if byte == b'.' && bytes[at - 1] == b'/' {
            return None;
        }
        at += 1;
    }
    let path_end = at;
    let mut target_end = at;
    if bytes.get(at) == Some(&b'?') {
        at += 1;
        at += bytes[at..].iter().take_while(|&&byte| is(byte, QUERY)).count();
        target_end = at;
        if target_end == path_end + 1 {
            return None;
        }
    }
    if bytes.get(at) == Some(&b'#') {
        at += 1;
        at += bytes[at..].iter().take_while(|&&byte| is(byte, QUERY)).count();
        if at == target_end + 1 {
            return None;
        }
    }
    if at != bytes.len() {
        return None;
    }
    let mut text = String::with_capacity(input.len() + usize::from(bare));
    text.push_str(input);
    if bare {
        text.push('/');
    }
    Some(Url {
        text,
        scheme,
        host_end,
        authority_end,
        path_end: path_end + usize::from(bare),
        target_end: target_end + usize::from(bare),
        port,
        userinfo: None,
        ipv6_host: None,
    })
}

fn parse_general(input: &str, is_mounted: IsMounted<'_>) -> Result<Url, Error> {
    let like_http = input.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("http"));
    let mounted =
        split_scheme(input, true).filter(|(_, rest)| rest.starts_with("//")).and_then(|(name, rest)| {
            let name = name.to_ascii_lowercase();
            let length = u8::try_from(name.len()).ok().filter(|_| !matches!(&*name, "http" | "https"))?;
            is_mounted(&name).then_some((name, Scheme::Mounted(length), rest))
        });
    if input.contains(':') && !like_http && mounted.is_none() {
        return Err(no_adapter(input));
    }
    let split = || Some(split_scheme(input, false)?.1);
    let Some(rest) = mounted.as_ref().map(|(_, _, rest)| *rest).or_else(split) else {
        let hint = format!("it has no scheme; perhaps you meant https://{}", without_userinfo(input));
        return Err(invalid(ErrorKind::MissingSchema, input, &hint));
    };
    let Some(rest) =
        rest.strip_prefix("//").filter(|rest| !rest.is_empty() && !rest.starts_with(AUTHORITY_END))
    else {
        return Err(no_host(input));
    };
    let given = input.split_once(':').map_or("", |(name, _)| name);
    let (scheme_name, scheme) = if let Some((name, scheme, _)) = &mounted {
        (name.as_str(), *scheme)
    } else if given.eq_ignore_ascii_case("http") {
        ("http", Scheme::Http)
    } else if given.eq_ignore_ascii_case("https") {
        ("https", Scheme::Https)
    } else {
        return Err(no_adapter(input));
    };
    let (authority, rest) = rest.split_at(rest.find(AUTHORITY_END).unwrap_or(rest.len()));
    let (userinfo, host_port) = match authority.rsplit_once('@') {
        Some((userinfo, host_port)) => (decode_userinfo(userinfo), host_port),
        None => (None, authority),
    };
    let (host, port) = split_port(host_port, input)?;

    let mut text = String::with_capacity(input.len() + 8);
    text.push_str(scheme_name);
    text.push_str("://");
    let host_start = text.len();
    let ipv6_host = normalize_host(&mut text, host).map_err(|why| bad_host_of(why, host, input))?;
    let host_end = text.len();
    if let Some(port) = port {
        text.push(':');
        text.push_str(&port.to_string());
    }
    let authority_end = text.len();
    debug_assert!(host_end > host_start);

    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = remove_dot_segments(path);
    if !path.starts_with('/') {
        text.push('/');
    }
    encode_component(&mut text, &path, PATH);
    let path_end = text.len();
    if !query.is_empty() {
        text.push('?');
        encode_component(&mut text, query, QUERY);
    }
    let target_end = text.len();
    if !fragment.is_empty() {
        text.push('#');
        encode_component(&mut text, fragment, QUERY);
    }
    Ok(Url {
        text,
        scheme,
        host_end,
        authority_end,
        path_end,
        target_end,
        port: port.unwrap_or(scheme.default_port()),
        userinfo,
        ipv6_host,
    })
}

/// The scheme in front of the first colon, and what follows the colon. urllib3 takes no dot into it, so that
/// `httpbin.org:80` is a host; a `Location` is read by urlsplit, which does.
pub fn split_scheme(input: &str, dots: bool) -> Option<(&str, &str)> {
    let (scheme, rest) = input.split_once(':')?;
    let valid = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.bytes().all(|byte| {
            byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-') || (dots && byte == b'.')
        });
    valid.then_some((scheme, rest))
}

fn decode_userinfo(raw: &str) -> Option<Box<(String, String)>> {
    let (user, password) = raw.split_once(':')?;
    if user.is_empty() && password.is_empty() {
        return None;
    }
    Some(Box::new(if is_escaped(raw) {
        (percent_decode(user), percent_decode(password))
    } else {
        (user.to_owned(), password.to_owned())
    }))
}

/// Port 0 is none, as in requests.
fn split_port<'a>(host_port: &'a str, input: &str) -> Result<(&'a str, Option<u16>), Error> {
    let host_end = match host_port.strip_prefix('[') {
        Some(literal) => literal.find(']').map(|end| end + 2),
        None => Some(host_port.find(':').unwrap_or(host_port.len())),
    };
    let split = host_end.map(|end| host_port.split_at(end));
    let Some((host, after)) = split.filter(|(_, after)| after.is_empty() || after.starts_with(':')) else {
        return Err(bad_host(host_port, input));
    };
    let given = after.strip_prefix(':').unwrap_or("");
    let bad_port = || bad_part(given, "is no port (1 to 65535)", input);
    if given.contains(':') {
        // An IPv6 address without its brackets.
        return Err(bad_host(host_port, input));
    }
    if !given.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(bad_port());
    }
    let digits = given.trim_start_matches('0');
    if digits.is_empty() {
        return Ok((host, None));
    }
    match digits.parse() {
        Ok(port) => Ok((host, Some(port))),
        Err(_) => Err(bad_port()),
    }
}

// ---- paths ----

/// urllib3's way with dot segments, which is RFC 3986's but that a `..` too many may take an empty segment
/// along.
fn remove_dot_segments(path: &str) -> Cow<'_, str> {
    if !path.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Cow::Borrowed(path);
    }
    let mut kept: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    if path.starts_with('/') && kept.first().is_none_or(|first| !first.is_empty()) {
        kept.insert(0, "");
    }
    if path.ends_with("/.") || path.ends_with("/..") {
        kept.push("");
    }
    Cow::Owned(kept.join("/"))
}

fn merge_paths(out: &mut String, base: &str, reference: &str) {
    if reference.starts_with('/') {
        out.push_str(reference);
        return;
    }
    let folder = &base[..base.rfind('/').map_or(0, |slash| slash + 1)];
    let segments: Vec<&str> = folder.split('/').filter(|segment| !segment.is_empty()).collect();
    for segment in segments {
        out.push('/');
        out.push_str(segment);
    }
    // Only the last segment may be empty: it is what ends the path with a slash.
    let (folders, last) =
        reference.rsplit_once('/').map_or(("", reference), |(folders, last)| (folders, last));
    for segment in folders.split('/').filter(|segment| !segment.is_empty()) {
        out.push('/');
        out.push_str(segment);
    }
    out.push('/');
    out.push_str(last);
}

// ---- words ----

fn invalid(kind: ErrorKind, input: &str, why: &str) -> Error {
    Error::new(kind, format!("Invalid URL {}: {why}", python_repr(&without_userinfo(input))))
}

fn no_adapter(input: &str) -> Error {
    let port = input.split_once(':').map_or("", |(_, behind)| behind);
    if port.starts_with(|c: char| c.is_ascii_digit()) && !input.contains('@') {
        let hint = format!("its scheme is neither http nor https; perhaps you meant http://{input}");
        return invalid(ErrorKind::InvalidSchema, input, &hint);
    }
    invalid(ErrorKind::InvalidSchema, input, "its scheme is neither http nor https")
}

fn no_host(input: &str) -> Error {
    invalid(ErrorKind::InvalidUrl, input, "it has no host")
}

fn bad_host_of(why: BadHost, host: &str, input: &str) -> Error {
    match why {
        BadHost::Missing => no_host(input),
        BadHost::Malformed => bad_host(host, input),
        BadHost::LongLabel => bad_part(host, "has a label that is empty or longer than 63 bytes", input),
        BadHost::Label(label) => bad_part(&label, "is no valid label of a name (IDNA)", input),
    }
}

fn bad_host(host: &str, input: &str) -> Error {
    bad_part(host, "is no valid host", input)
}

fn bad_part(part: &str, why: &str, input: &str) -> Error {
    // What seems to be host and port may be the beginning of user and password.
    if input.contains('@') && !without_userinfo(input).contains(part) {
        let why = "it has no valid host and port; in a password, each of /?# must be percent-encoded";
        return invalid(ErrorKind::InvalidUrl, input, why);
    }
    invalid(ErrorKind::InvalidUrl, input, &format!("{} {why}", python_repr(part)))
}

/// A URL, or what was given for one, as messages and [`Error::url`] show it: without user and password, which may be
/// secrets, the user alone too. Where it is too broken to tell what they are, all goes that stands before the last `@`.
///
/// [`Error::url`]: crate::message::error::Error::url
pub fn without_userinfo(text: &str) -> Cow<'_, str> {
    let Some(last) = text.rfind('@') else { return Cow::Borrowed(text) };
    let trimmed = text.trim_start_matches(is_python_space);
    let is_scheme = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.'))
    };
    let (has_scheme, rest) = match trimmed.split_once("://").filter(|(name, _)| is_scheme(name)) {
        Some((_, rest)) => (true, rest),
        None => (false, trimmed.strip_prefix("//").unwrap_or(trimmed)),
    };
    let start = text.len() - rest.len();
    let authority = &rest[..rest.find(AUTHORITY_END).unwrap_or(rest.len())];
    let (userinfo, place) = match authority.rsplit_once('@') {
        Some((userinfo, place)) => (Some(userinfo), place),
        None => (None, authority),
    };
    // Whether an authority ends where this one seems to, rather than a password that holds a slash.
    let (host, port) = match place.find(']') {
        Some(end) if place.starts_with('[') => place.split_at(end + 1),
        _ => place.split_at(place.find(':').unwrap_or(place.len())),
    };
    let is_port = |digits: &str| {
        digits.len() <= 5
            && digits.bytes().all(|byte| byte.is_ascii_digit())
            && (has_scheme || !digits.is_empty())
    };
    let whole = !host.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port));
    let end = match userinfo {
        _ if last < start => return Cow::Borrowed(text),
        _ if !whole => last + 1,
        Some(userinfo) => start + userinfo.len() + 1,
        None => return Cow::Borrowed(text),
    };
    Cow::Owned(format!("{}{}", &text[..start], &text[end..]))
}

/// A string as Python's `repr` shows it, since requests' messages quote values so.
fn python_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if c != ' ' && (c.is_control() || c.is_whitespace()) => {
                let code = u32::from(c);
                out.push_str(&if code < 0x100 { format!("\\x{code:02x}") } else { format!("\\u{code:04x}") });
            }
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

/// What Python's `str.lstrip` strips: white space, and four separators that Rust does not count.
fn is_python_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\x1c'..='\x1f')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(input: &str) -> String {
        Url::parse(input).unwrap_or_else(|error| panic!("{input:?}: {error}")).as_str().to_owned()
    }

    fn refused(input: &str) -> (ErrorKind, String) {
        let error = Url::parse(input).expect_err(input);
        (error.kind(), error.to_string())
    }

    fn joined(base: &str, location: &str) -> String {
        Url::parse(base).unwrap().join(location.as_bytes(), &|_| false).unwrap().as_str().to_owned()
    }

    #[test]
    fn a_normal_url_takes_one_allocation_and_says_the_same_as_the_long_way() {
        for input in [
            "http://h",
            "http://h/",
            "https://a.b-c_d.e:8443/x/y.z?q=1&r=2#top",
            "http://127.0.0.1:80/",
            "http://h/?a",
            "http://h/#f",
            "http://h./...x",
            "http://xn--n3h.net/~a;b=c",
        ] {
            let plain = parse_plain(input);
            let long = parse_general(input, &|_| false).unwrap();
            match plain {
                Some(plain) => {
                    assert_eq!(plain.text.capacity(), plain.text.len(), "{input}");
                    assert_eq!(plain, long);
                }
                None => assert_eq!(input, "http://h./...x"),
            }
        }
    }

    #[test]
    fn the_quick_way_leaves_everything_unusual_to_the_long_way() {
        for input in [
            "HTTP://h/",
            "http://H/",
            "http://u@h/",
            "http://h:0/",
            "http://h:080/",
            "http://h:65536/",
            "http://h/a b",
            "http://h/./",
            "http://h/%41",
            "http://h/?",
            "http://h/#",
            "http://h/?#",
            "http://h/?a#",
            "http://h?a",
            "http://.h/",
            "http://a..b/",
            "http://*.h/",
            "http://[::1]/",
            "http://\u{fc}/",
            "http://h/\\",
            "http://h/a\n",
            "http://:80/",
            "http:///",
        ] {
            assert!(parse_plain(input).is_none(), "{input}");
        }
    }

    #[test]
    fn missing_schemes_invalid_schemes_and_invalid_urls_are_told_apart() {
        use ErrorKind::{InvalidSchema, InvalidUrl, MissingSchema};
        let long_label = format!("http://{}/", "a".repeat(64));
        for (input, kind, message) in [
            ("x", MissingSchema, "Invalid URL 'x': it has no scheme; perhaps you meant https://x"),
            ("", MissingSchema, "Invalid URL '': it has no scheme; perhaps you meant https://"),
            (
                "//h/x",
                MissingSchema,
                "Invalid URL '//h/x': it has no scheme; perhaps you meant https:////h/x",
            ),
            (
                "httpbin.org:80/get",
                MissingSchema,
                "Invalid URL 'httpbin.org:80/get': it has no scheme; perhaps you meant https://httpbin.org:80/get",
            ),
            ("ftp://h/", InvalidSchema, "Invalid URL 'ftp://h/': its scheme is neither http nor https"),
            (
                "localhost:80/x",
                InvalidSchema,
                "Invalid URL 'localhost:80/x': its scheme is neither http nor https; perhaps you meant http://localhost:80/x",
            ),
            ("httpx://h/", InvalidSchema, "Invalid URL 'httpx://h/': its scheme is neither http nor https"),
            (
                "http+unix://x/y",
                InvalidSchema,
                "Invalid URL 'http+unix://x/y': its scheme is neither http nor https",
            ),
            ("http://", InvalidUrl, "Invalid URL 'http://': it has no host"),
            ("http:x", InvalidUrl, "Invalid URL 'http:x': it has no host"),
            ("http:///x", InvalidUrl, "Invalid URL 'http:///x': it has no host"),
            ("http://:80/", InvalidUrl, "Invalid URL 'http://:80/': it has no host"),
            ("http://u@/", InvalidUrl, "Invalid URL 'http:///': it has no host"),
            ("http://h:99999/", InvalidUrl, "Invalid URL 'http://h:99999/': '99999' is no port (1 to 65535)"),
            (
                "http://h:123456/",
                InvalidUrl,
                "Invalid URL 'http://h:123456/': '123456' is no port (1 to 65535)",
            ),
            ("http://h:abc/", InvalidUrl, "Invalid URL 'http://h:abc/': 'abc' is no port (1 to 65535)"),
            ("http://h:-1/", InvalidUrl, "Invalid URL 'http://h:-1/': '-1' is no port (1 to 65535)"),
            ("http://h h/", InvalidUrl, "Invalid URL 'http://h h/': 'h h' is no valid host"),
            ("http://h\n/", InvalidUrl, "Invalid URL 'http://h\\n/': 'h\\n' is no valid host"),
            ("http://*.x/", InvalidUrl, "Invalid URL 'http://*.x/': '*.x' is no valid host"),
            ("http://.x/", InvalidUrl, "Invalid URL 'http://.x/': '.x' is no valid host"),
            (
                "http://a..b/",
                InvalidUrl,
                "Invalid URL 'http://a..b/': 'a..b' has a label that is empty or longer than 63 bytes",
            ),
            ("http://[::1/", InvalidUrl, "Invalid URL 'http://[::1/': '[::1' is no valid host"),
            (
                "http://[1.2.3.4]/",
                InvalidUrl,
                "Invalid URL 'http://[1.2.3.4]/': '[1.2.3.4]' is no valid host",
            ),
            ("http://::1/", InvalidUrl, "Invalid URL 'http://::1/': '::1' is no valid host"),
            ("http://%zz/", InvalidUrl, "Invalid URL 'http://%zz/': '%zz' is no valid host"),
        ] {
            assert_eq!(refused(input), (kind, message.to_owned()), "{input:?}");
        }
        assert_eq!(refused(&long_label).0, InvalidUrl);
    }

    #[test]
    fn no_message_holds_a_password() {
        for input in
            ["http://u:secret@h:99999/", "ftp://u:secret@h/", "http://u:secret@/", "http://u:secret@*/"]
        {
            let (_, message) = refused(input);
            assert!(!message.contains("secret") && !message.contains('@'), "{message}");
        }
        for input in [
            "user:secret@host",
            "secret@host",
            " user:secret@host/path",
            "user:secret@host:80/p@th",
            "ftp://user:secret@host/x",
            "ftp://secret@host/x",
            "user://secret@host",
            "//user:secret@host/",
            "http:/user:secret@host/",
            "http:user:secret@host/",
            "http:\\\\user:secret@host/",
            "http:///user:secret@host/",
            "http://user:pw/secret@host/",
            "http://user:secret/pw@host/",
            "http://user:secret?pw@host/",
            "http://user:secret#pw@host/",
            "http://user:secret@host:secret/x@y",
            "http://[user:secret/x@host/",
        ] {
            let (_, message) = refused(input);
            assert!(!message.contains("secret"), "{input}: {message}");
            let shown = without_userinfo(input);
            assert!(!shown.contains("secret"), "{input}: {shown}");
        }
    }

    #[test]
    fn only_the_userinfo_of_a_url_is_left_out() {
        for (url, shown) in [
            ("http://h/@user/x", "http://h/@user/x"),
            ("http://h:80?a=b@c", "http://h:80?a=b@c"),
            ("https://u:p@h:80/p@th?q@r#s@t", "https://h:80/p@th?q@r#s@t"),
            ("http://u:p@[::1]:80/", "http://[::1]:80/"),
            ("http://h:/@x", "http://h:/@x"),
            ("u:p@h/x", "h/x"),
            ("h/@x", "h/@x"),
            ("h:81/@x", "h:81/@x"),
            ("//u:p@h/x", "//h/x"),
            ("http://u:p@h", "http://h"),
            ("http://a@b:c@h/", "http://h/"),
        ] {
            assert_eq!(without_userinfo(url), shown);
            assert_eq!(without_userinfo(shown), shown);
        }
    }

    #[test]
    fn white_space_before_the_url_is_dropped() {
        for space in [" ", "\t\r\n ", "\u{a0}", "\u{3000}", "\x1c"] {
            assert_eq!(parsed(&format!("{space}http://h/")), "http://h/");
        }
        assert_eq!(parsed("http://h/ "), "http://h/%20");
    }

    #[test]
    fn hosts_are_idna_2008_with_the_mapping_of_uts_46() {
        for (input, host) in [
            ("http://B\u{fc}cher.DE/", "xn--bcher-kva.de"),
            ("http://fa\u{df}.de/", "xn--fa-hia.de"),
            ("http://\u{65e5}\u{672c}\u{8a9e}.jp/", "xn--wgv71a119e.jp"),
            ("http://\u{ff45}xample.com/", "example.com"),
            ("http://a\u{3002}b/", "a.b"),
            ("http://l\u{b7}l.cat/", "xn--ll-0ea.cat"),
            ("http://XN--N3H.net/", "xn--n3h.net"),
            ("http://_a-.\u{fc}/", "_a-.xn--tda"),
        ] {
            assert_eq!(Url::parse(input).unwrap().host(), host, "{input}");
        }
        for input in [
            "http://\u{2603}.net/",
            "http://a_\u{fc}.de/",
            "http://-\u{fc}.de/",
            "http://\u{fc}-.de/",
            "http://a\u{b7}b.cat/",
            "http://\u{30fb}.jp/",
            "http://\u{301}a.de/",
            "http://\u{fc}..de/",
            "http://a\u{2100}b/",
            "http://a\u{ff0f}b/",
            "http://a\u{200d}b/",
            "http://\u{661}\u{6f1}.x/",
        ] {
            assert_eq!(refused(input).0, ErrorKind::InvalidUrl, "{input}");
        }
    }

    #[test]
    fn other_hosts_are_only_lower_cased() {
        assert_eq!(parsed("http://EX%61mple.COM/"), "http://example.com/");
        assert_eq!(parsed("http://a%2fb<c/"), "http://a%2Fb%3Cc/");
        assert_eq!(refused("http://a%0db/").0, ErrorKind::InvalidUrl);
    }

    #[test]
    fn ipv6_hosts_lose_their_brackets_for_connecting_and_keep_them_in_the_host_header() {
        let url = Url::parse("http://[2001:DB8::1]:8080/x").unwrap();
        assert_eq!(
            (url.host(), url.host_header().as_ref(), url.port()),
            ("2001:db8::1", "[2001:db8::1]:8080", 8080)
        );
        for zone in ["%25eth0", "%eth0"] {
            let url = Url::parse(&format!("http://[FE80::1{zone}]:81/a%20b")).unwrap();
            assert_eq!(url.as_str(), "http://[fe80::1%25eth0]:81/a%20b");
            assert_eq!((url.host(), url.host_header().as_ref()), ("fe80::1%eth0", "[fe80::1]:81"));
            assert_eq!(url.join(b"/y", &|_| false).unwrap().as_str(), "http://[fe80::1%25eth0]:81/y");
        }
    }

    #[test]
    fn the_host_header_has_the_port_unless_it_is_the_schemes() {
        for (input, header, port, shown) in [
            ("http://h/", "h", 80, "http://h/"),
            ("http://h:80/", "h", 80, "http://h:80/"),
            ("https://h:443/", "h", 443, "https://h:443/"),
            ("http://h:443/", "h:443", 443, "http://h:443/"),
            ("http://h:/", "h", 80, "http://h/"),
            ("http://h:0/", "h", 80, "http://h/"),
            ("http://h:0081/", "h:81", 81, "http://h:81/"),
            ("http://h./", "h", 80, "http://h./"),
            ("http://h.:81/", "h:81", 81, "http://h.:81/"),
        ] {
            let url = Url::parse(input).unwrap();
            assert_eq!(
                (url.host_header().as_ref(), url.port(), url.as_str()),
                (header, port, shown),
                "{input}"
            );
        }
    }

    #[test]
    fn an_ipv6_host_stands_in_the_url_as_it_was_given() {
        let url = Url::parse("http://[0:0::1]:81/").unwrap();
        assert_eq!(
            (url.as_str(), url.host(), &*url.host_header()),
            ("http://[0:0::1]:81/", "::1", "[0:0::1]:81")
        );
        let url = Url::parse("http://[FE80:0::1%25eth0]/").unwrap();
        assert_eq!((url.as_str(), &*url.host_header()), ("http://[fe80:0::1%25eth0]/", "[fe80:0::1]"));
        assert!(
            Url::parse("http://[::1]/").unwrap().keeps_credentials(&Url::parse("https://[0::1]/").unwrap())
        );
        assert_eq!(Url::parse("http://a%7cb.example/").unwrap().host_header(), "a%7Cb.example");
    }

    #[test]
    fn a_host_header_takes_the_place_of_the_authority() {
        let url = Url::parse("https://127.0.0.1:8443/a?b").unwrap();
        for (header, expected) in [
            ("a.example", Some("https://a.example/a?b")),
            ("A.Example:81", Some("https://a.example:81/a?b")),
            ("[::1]:81", Some("https://[::1]:81/a?b")),
            (" a.example\t", Some("https://a.example/a?b")),
            ("", None),
            ("a@b", None),
            ("a/b", None),
            ("a?b", None),
            ("a#b", None),
            ("a\\b", None),
            ("a b", None),
            ("a:b", None),
        ] {
            assert_eq!(url.with_authority(header).as_ref().map(Url::as_str), expected, "{header:?}");
        }
    }

    #[test]
    fn encoded_parts_are_left_alone_and_the_rest_is_encoded() {
        for (input, target) in [
            ("http://h/a b", "/a%20b"),
            ("http://h/a%20b c", "/a%20b%20c"),
            ("http://h/\u{fc}?\u{fc}", "/%C3%BC?%C3%BC"),
            ("http://h/%c3%41%7e%2f", "/%C3A~%2F"),
            ("http://h/100%", "/100%25"),
            ("http://h/%zz%41%2f", "/%25zz%2541%252F"),
            ("http://h/%2525", "/%2525"),
            ("http://h/\"<>^`{|}[]", "/%22%3C%3E%5E%60%7B%7C%7D%5B%5D"),
            ("http://h/?a?b/c@:[]", "/?a?b/c@:%5B%5D"),
            ("http://h/a\r\nb\tc\0d\x7f", "/a%0D%0Ab%09c%00d%7F"),
            ("http://h\\@evil/", "/%5C@evil/"),
            ("http://h?", "/"),
        ] {
            let url = Url::parse(input).unwrap();
            assert_eq!(url.target(), target, "{input:?}");
            assert_eq!(url.host(), "h");
            assert_eq!(parsed(url.as_str()), url.as_str(), "a second time changes nothing");
        }
    }

    #[test]
    fn dot_segments_go_as_in_urllib3() {
        for (path, target) in [
            ("/.", "/"),
            ("/..", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/a/..", "/"),
            ("/../../a", "/a"),
            ("//a", "//a"),
            ("/..//a", "/a"),
            ("//..//a", "//a"),
            ("/a//../b", "/a/b"),
            ("/...", "/..."),
            ("/.a/b.", "/.a/b."),
            ("/%2e%2e/a", "/../a"),
            ("?x/../y", "/?x/../y"),
        ] {
            assert_eq!(Url::parse(&format!("http://h{path}")).unwrap().target(), target, "{path}");
        }
    }

    #[test]
    fn userinfo_leaves_the_url() {
        for (userinfo, expected) in [
            ("u:p", Some(("u", "p"))),
            ("u:", Some(("u", ""))),
            (":p", Some(("", "p"))),
            (":", None),
            ("u", None),
            ("", None),
            ("u%3Ax:p%40:q", Some(("u:x", "p@:q"))),
            ("a@b:c", Some(("a@b", "c"))),
            ("a%zz:%41", Some(("a%zz", "%41"))),
            ("%C3%BC:\u{df}", Some(("\u{fc}", "\u{df}"))),
            ("%ff:x", Some(("\u{ff}", "x"))),
        ] {
            let url = Url::parse(&format!("http://{userinfo}@h:81/x")).unwrap();
            assert_eq!(url.userinfo(), expected, "{userinfo}");
            assert_eq!(url.as_str(), "http://h:81/x");
            assert!(!format!("{url:?}").contains('@'));
        }
    }

    #[test]
    fn the_parts_of_a_url() {
        let url = Url::parse("HTTPS://H:81/p/q?r=s#t").unwrap();
        assert_eq!(url.as_str(), "https://h:81/p/q?r=s#t");
        assert_eq!((url.scheme(), url.authority(), url.path()), (Scheme::Https, "h:81", "/p/q"));
        assert_eq!((url.query(), url.target(), url.fragment()), (Some("r=s"), "/p/q?r=s", Some("t")));
        assert_eq!(url.without_fragment(), "https://h:81/p/q?r=s");
        let url = Url::parse("http://h?#").unwrap();
        assert_eq!((url.as_str(), url.query(), url.fragment()), ("http://h/", None, None));
    }

    #[test]
    fn params_are_appended_to_what_the_url_has() {
        for (url, query, expected) in [
            ("http://h", "a=b", "http://h/?a=b"),
            ("http://h/p?x#f", "a=b", "http://h/p?x&a=b#f"),
            ("http://h/#f", "a+b%20c", "http://h/?a+b%20c#f"),
            ("http://h/", "", "http://h/"),
            ("http://h/", "a b#c%\n", "http://h/?a%20b%23c%25%0A"),
        ] {
            let url = Url::parse(url).unwrap().append_query(query);
            assert_eq!(url.as_str(), expected);
            assert_eq!(url, Url::parse(expected).unwrap());
        }
    }

    #[test]
    fn relative_scheme_relative_and_non_ascii_locations_work() {
        let base = "http://h/a/b/c?q#f";
        for (location, expected) in [
            ("x", "http://h/a/b/x#f"),
            ("/x", "http://h/x#f"),
            ("//g/x?y#z", "http://g/x?y#z"),
            ("../x", "http://h/a/x#f"),
            ("../../../../x", "http://h/x#f"),
            ("./", "http://h/a/b/#f"),
            ("..", "http://h/a/#f"),
            ("?y", "http://h/a/b/c?y#f"),
            ("?", "http://h/a/b/c?q#f"),
            ("#s", "http://h/a/b/c?q#s"),
            ("", "http://h/a/b/c?q#f"),
            ("a//b", "http://h/a/b/a/b#f"),
            ("///x", "http://h/x#f"),
            ("a%2e%2e/%2e%2e/x", "http://h/a/b/x#f"),
            ("g;x=1/../y", "http://h/a/b/y#f"),
            ("https://g", "https://g/#f"),
            ("HTTP://G/X", "http://g/X#f"),
            ("\u{fc} \u{df}?\u{fc}", "http://h/a/b/%C3%BC%20%C3%9F?%C3%BC#f"),
            ("//b\u{fc}cher.de/", "http://xn--bcher-kva.de/#f"),
            (" /x", "http://h/x#f"),
            ("/a\tb\r\n", "http://h/ab#f"),
        ] {
            assert_eq!(joined(base, location), expected, "{location:?}");
        }
        assert_eq!(joined("http://h/a/", "x"), "http://h/a/x");
        assert_eq!(joined("http://h/a//b/c", "x"), "http://h/a/b/x");
        assert_eq!(joined("http://u:p@h:81/", "/x"), "http://h:81/x");
        let url = Url::parse(base).unwrap();
        assert_eq!(url.join(b"/\xfc", &|_| false).unwrap().target(), "/%C3%BC", "not UTF-8 is ISO-8859-1");
    }

    #[test]
    fn a_location_that_leads_nowhere_is_refused() {
        let url = Url::parse("http://h/").unwrap();
        for (location, kind) in [
            ("mailto:x", ErrorKind::InvalidSchema),
            ("ftp://h/", ErrorKind::InvalidSchema),
            ("localhost:80/x", ErrorKind::InvalidSchema),
            ("https:g", ErrorKind::InvalidUrl),
            ("http://g:99999/", ErrorKind::InvalidUrl),
            ("//\u{2603}.net/", ErrorKind::InvalidUrl),
        ] {
            assert_eq!(url.join(location.as_bytes(), &|_| false).unwrap_err().kind(), kind, "{location}");
        }
    }

    #[test]
    fn credentials_never_cross_a_change_of_host_port_or_scheme_but_http_80_to_https_443() {
        for (from, to, keeps) in [
            ("http://h/", "http://h:80/x", true),
            ("http://h/", "https://h/", true),
            ("http://h:80/", "https://h:443/", true),
            ("https://h/", "http://h/", false),
            ("http://h:81/", "https://h:81/", false),
            ("http://h:81/", "https://h/", false),
            ("http://h/", "http://h:81/", false),
            ("http://h/", "http://g/", false),
            ("http://h/", "https://g/", false),
            ("http://H/", "http://h/", true),
        ] {
            let (from, to) = (Url::parse(from).unwrap(), Url::parse(to).unwrap());
            assert_eq!(from.keeps_credentials(&to), keeps, "{from} {to}");
        }
    }

    #[test]
    fn other_schemes_are_read_as_http_where_they_are_mounted() {
        let mounted = |name: &str| matches!(name, "mock" | "my.app+x");
        let parse = |text: &str| Url::parse_mounted(text, &mounted);
        let url = parse("MOCK://User:pw@H\u{f6}st/a b?q#f").unwrap();
        assert_eq!(url.as_str(), "mock://xn--hst-sna/a%20b?q#f");
        assert_eq!((url.scheme_name(), url.port(), url.target()), ("mock", 80, "/a%20b?q"));
        assert_eq!(url.userinfo(), Some(("User", "pw")));
        assert_eq!(parse("my.app+x://h:1").unwrap().origin(), "my.app+x://h:1");
        for odd in ["mock:h", "mock:///x", "other://h/", "mock2://h/", "http2://h/"] {
            assert!(parse(odd).is_err(), "{odd}");
        }
        let join = |base: &str, to: &str| parse(base).unwrap().join(to.as_bytes(), &mounted);
        assert_eq!(join("mock://h/a", "b?c").unwrap().as_str(), "mock://h/b?c");
        assert_eq!(join("mock://h/a", "//i/b").unwrap().as_str(), "mock://i/b");
        assert_eq!(join("mock://h/a", "https://i/").unwrap().as_str(), "https://i/");
        assert_eq!(join("mock://h/", "my.app+x://h/").unwrap().scheme_name(), "my.app+x");
        assert_eq!(join("http://h/", "mock://h/").unwrap_err().kind(), ErrorKind::InvalidSchema);
        assert_eq!(join("mock://h/", "other://h/").unwrap_err().kind(), ErrorKind::InvalidSchema);
    }
}
