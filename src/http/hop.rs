//! One request on its way to a server: what a request sends after so many redirects.

use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

use super::body::Payload;
use super::cookies;
use super::credentials::{self, Credentials};
use super::digest::Entity;
use super::headers::{self, Given};
use super::recent;
use super::request::Request;
use super::resume::Part;
use crate::future::control::Control;
use crate::future::stopwatch::Phase;
use crate::message::error::{Error, ErrorKind};
use crate::message::form;
use crate::message::head::is_token;
use crate::message::host::Authority;
use crate::message::options::{Borrowed, Options, Query};
use crate::message::prepared::{Body, Numbers, Prepared, ReadBody};
use crate::message::response::Response;
use crate::message::retry::REPEATABLE;
use crate::message::url::{IsMounted, Url};

/// What one hop sends.
pub struct Hop {
    pub method: Cow<'static, str>,
    pub url: Url,
    pub headers: Given,
    pub payload: Payload,
    pub credentials: Credentials,
    /// Whether the request's own cookies go along: they stay on their host.
    pub has_own_cookies: bool,
    /// How many redirects led here.
    pub redirects: usize,
    /// How often this hop was sent.
    pub attempts: Cell<u32>,
    /// How often a challenge function had it sent again.
    pub challenges: Cell<u32>,
    /// The history of the next response, oldest first: these redirects; or, where there are none, the answers to this
    /// hop that asked for credentials.
    pub history: Vec<Arc<Response>>,
    /// Whether the server is asked before the body is sent.
    pub asks_first: Cell<bool>,
    /// What is there of the file that the body goes to, where the hop may ask for the rest.
    pub part: Option<Box<Part>>,
}

/// What one sending says about who asks.
pub struct Authorizations {
    pub authorization: Option<String>,
    pub proxy_authorization: Option<String>,
}

/// The body of a hop, as it is going to be sent.
pub struct Outgoing<'a> {
    pub payload: &'a Payload,
    pub control: &'a Control,
}

impl Entity for Outgoing<'_> {
    fn is_hashable(&self) -> bool {
        self.payload.is_hashable()
    }

    fn feed(&self, sink: &mut dyn FnMut(&[u8])) -> Result<(), Error> {
        self.payload.feed(self.control, sink)
    }
}

impl Body for Outgoing<'_> {
    fn in_memory(&self) -> Option<Arc<dyn Borrowed>> {
        self.payload.sent_body()
    }

    fn length(&self) -> Option<u64> {
        self.payload.length()
    }

    fn is_readable(&self) -> bool {
        self.payload.is_hashable()
    }

    fn open(&self) -> Result<ReadBody<'_>, Error> {
        self.payload.open(self.control)
    }

    fn rewind(&self) -> Result<(), Error> {
        self.payload.rewind(self.control)
    }
}

impl Hop {
    /// An error says that it happened to this hop, in that phase.
    pub fn blamed(&self, error: Error, phase: Phase) -> Error {
        error.during(Some(phase), self.attempts.get(), &self.method)
    }

    /// Checks all of the request, before anything is sent.
    pub fn first(request: &Request, settings: &Options, control: &Control) -> Result<Hop, Error> {
        if !is_token(request.method.as_bytes()) {
            return Err(Error::new(
                ErrorKind::Request,
                format!(
                    "Invalid method \"{}\": a method is made of letters, digits and !#$%&'*+-.^_`|~",
                    request.method
                ),
            ));
        }
        let mut url = request.parse_url()?;
        match &settings.query {
            None => {}
            Some(Query::Raw(raw)) if raw.is_empty() => {}
            Some(Query::Raw(raw)) => url = url.append_query(&form::requote_query(raw)),
            Some(Query::Pairs(pairs)) => {
                let set = pairs.iter().filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)));
                let encoded = form::encode_pairs(set);
                if !encoded.is_empty() {
                    url = url.append_query(&encoded);
                }
            }
        }
        let mut headers = Given::new(&settings.headers);
        let mut special = false;
        if !recent::are_plain(&settings.headers) {
            for (name, value) in headers.iter() {
                headers::check(name, value)?;
                special |= headers::is_special(name);
            }
            if !special {
                recent::remember_plain(&settings.headers);
            }
        }
        if !special {
            headers.has_no_special();
        }
        for (name, value) in &settings.cookies {
            headers::check("Cookie", &format!("{name}={value}"))?;
        }
        let payload = Payload::prepare(settings.body.as_ref(), control)?;
        let credentials = match special {
            true => special_headers(request, settings, &url, &payload, &mut headers)?,
            false => credentials::choose(request, settings, &url),
        };
        credentials::check(&credentials)?;
        Ok(Hop {
            method: request.method.clone(),
            url,
            headers,
            payload,
            credentials,
            has_own_cookies: true,
            redirects: 0,
            attempts: Cell::new(0),
            challenges: Cell::new(0),
            history: Vec::new(),
            asks_first: Cell::new(settings.expect_continue.is_some_and(|wait| !wait.is_zero())),
            part: None,
        })
    }

    /// Whether that is so of what it is now: it has a body, and no Expect by hand.
    fn expects_continue(&self) -> bool {
        self.asks_first.get() && self.payload.length() != Some(0) && !self.headers.has("Expect")
    }

    /// The body of a response with this status goes behind so many bytes, which are there already.
    pub fn goes_behind(&self, status: u16) -> u64 {
        self.part.as_ref().filter(|_| status == 206).map_or(0, |part| part.asks_from())
    }

    /// Turns into the hop that a redirect asks for.
    pub fn redirect(
        &mut self,
        response: &Response,
        is_mounted: IsMounted<'_>,
        netrc: impl FnOnce(&str) -> Credentials,
    ) -> Result<(), Error> {
        let location = response.head().get("location").unwrap_or_default();
        let url = self.url.join(location.as_bytes(), is_mounted).map_err(|error| {
            error.and(format_args!(", in a redirect from {}", Authority(self.url.host(), self.url.port())))
        })?;
        let method = match (response.status(), &*self.method) {
            (303, method) | (302, method) if method != "HEAD" => Cow::Borrowed("GET"),
            (301, "POST") => Cow::Borrowed("GET"),
            _ => self.method.clone(),
        };
        self.method = method;
        self.headers.drop(&["Cookie", "Proxy-Authorization"]);
        if !matches!(response.status(), 307 | 308) {
            self.headers.drop(&["Content-Length", "Content-Type", "Transfer-Encoding"]);
            self.payload = Payload::nothing();
        }
        if !self.url.keeps_credentials(&url) {
            self.headers.drop(&[credentials::AUTHORIZATION]);
            // The same host by another scheme or port is no other host to netrc: its password stays here as well.
            let stays = self.credentials.custom().is_some_and(|custom| custom.everywhere);
            if !stays {
                self.credentials =
                    if self.url.same_host(&url) { Credentials::Nothing } else { netrc(url.host()) };
            }
        }
        if !self.url.same_host(&url) {
            // A Host given by hand named the server of the hop it was given for.
            self.headers.drop(&["Host"]);
            self.has_own_cookies = false;
        }
        self.url = url;
        self.attempts.set(0);
        self.challenges.set(0);
        Ok(())
    }

    /// Whether carrying it out twice does no harm, as its method says.
    pub fn is_repeatable(&self) -> bool {
        REPEATABLE.contains(&&*self.method)
    }

    /// What cookies are chosen and stored by.
    pub fn cookie_url(&self) -> Cow<'_, Url> {
        cookies::cookie_url(&self.url, self.headers.get("Host"))
    }

    /// What the request line carries: a forward proxy is told the whole URL.
    pub fn target(&self, forwarded: bool) -> &str {
        if forwarded { self.url.without_fragment() } else { self.url.target() }
    }

    /// The request's head as it goes over the wire.
    pub fn head(&self, cookie: Option<&[u8]>, authorizations: &Authorizations, forwarded: bool) -> Vec<u8> {
        let target = self.target(forwarded);
        let given: usize = self.headers.iter().map(|(name, value)| name.len() + value.len() + 4).sum();
        let added = [cookie, authorizations.authorization.as_deref().map(str::as_bytes)];
        let added = added.iter().flatten().map(|value| value.len() + 20).sum::<usize>();
        let mut head = Vec::with_capacity(self.method.len() + target.len() + given + added + 128);
        begin(&mut head, &self.method, target);
        self.fields(cookie, authorizations, forwarded, |name, value| line(&mut head, name, value));
        end(&mut head, authorizations);
        head
    }

    /// The fields of the head, but for what a proxy is told of who asks.
    fn fields(
        &self,
        cookie: Option<&[u8]>,
        authorizations: &Authorizations,
        forwarded: bool,
        mut line: impl FnMut(&str, &[u8]),
    ) {
        let Authorizations { authorization, proxy_authorization } = authorizations;
        if !self.headers.has("Host") {
            // In the absolute form the target's authority stands as it was given, and Host says the same.
            if forwarded {
                line("Host", self.url.authority().as_bytes());
            } else {
                line("Host", self.url.host_header().as_bytes());
            }
        }
        for (name, value) in self.headers.iter() {
            let is_replaced = (authorization.is_some() && name.eq_ignore_ascii_case("Authorization"))
                || (proxy_authorization.is_some() && name.eq_ignore_ascii_case("Proxy-Authorization"));
            if !is_replaced {
                line(name, value.as_bytes());
            }
        }
        if let Some(part) = &self.part {
            part.headers().for_each(|(name, value)| line(name, value.as_bytes()));
            if !self.headers.has("Accept-Encoding") {
                line("Accept-Encoding", b"identity");
            }
        }
        if let Some(cookie) = cookie {
            line("Cookie", cookie);
        }
        match self.payload.length() {
            Some(0) if self.payload.is_nothing() && matches!(&*self.method, "GET" | "HEAD") => {}
            _ if self.headers.has("Content-Length") || self.headers.has("Transfer-Encoding") => {}
            Some(length) => line("Content-Length", length.to_string().as_bytes()),
            None => line("Transfer-Encoding", b"chunked"),
        }
        if self.expects_continue() {
            line("Expect", b"100-continue");
        }
        if let Some(content_type) =
            self.payload.content_type.as_ref().filter(|_| !self.headers.has("Content-Type"))
        {
            line("Content-Type", content_type.as_bytes());
        }
        if let Some(authorization) = authorization {
            line("Authorization", authorization.as_bytes());
        }
    }

    /// The request as the user's functions get it.
    pub fn prepared<'b>(
        &self,
        outgoing: &'b Outgoing<'b>,
        owner: Arc<dyn std::any::Any + Send + Sync>,
        cookie: Option<&[u8]>,
        authorizations: &Authorizations,
        forwarded: bool,
    ) -> Prepared<'b> {
        let numbers = Numbers {
            hop: u32::try_from(self.redirects).unwrap_or(u32::MAX),
            attempt: self.attempts.get(),
            challenges: self.challenges.get(),
        };
        let mut prepared = Prepared::new(&self.method, &self.url, outgoing, outgoing.control, owner, numbers);
        self.fields(cookie, authorizations, forwarded, |name, value| prepared.push(name, value));
        prepared
    }
}

/// The head of what the user's functions have left.
pub fn changed_head(
    prepared: &Prepared<'_>,
    payload: &Payload,
    authorizations: &Authorizations,
    forwarded: bool,
) -> Result<Vec<u8>, Error> {
    let fields: Vec<_> = prepared.fields().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    headers::check_changed(&fields, payload)?;
    let url = prepared.url();
    let target = if forwarded { url.without_fragment() } else { url.target() };
    let mut head = Vec::with_capacity(target.len() + 1024);
    begin(&mut head, prepared.method().as_str(), target);
    for (name, value) in prepared.octets() {
        if authorizations.proxy_authorization.is_none() || !name.eq_ignore_ascii_case("Proxy-Authorization") {
            line(&mut head, name, value);
        }
    }
    end(&mut head, authorizations);
    Ok(head)
}

fn begin(head: &mut Vec<u8>, method: &str, target: &str) {
    for piece in [method, " ", target, " HTTP/1.1\r\n"] {
        head.extend_from_slice(piece.as_bytes());
    }
}

fn line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
        head.extend_from_slice(piece);
    }
}

fn end(head: &mut Vec<u8>, authorizations: &Authorizations) {
    if let Some(authorization) = &authorizations.proxy_authorization {
        line(head, "Proxy-Authorization", authorization.as_bytes());
    }
    head.extend_from_slice(b"\r\n");
}

/// Checks headers that few requests give, and chooses the credentials beside them.
#[cold]
fn special_headers(
    request: &Request,
    settings: &Options,
    url: &Url,
    payload: &Payload,
    headers: &mut Given,
) -> Result<Credentials, Error> {
    headers::check_framing_and_routing(headers, payload)?;
    // A piece of what is coded cannot be decoded.
    if headers.has("Range") && Options::accepts_by_default(request.options.as_deref(), &request.defaults) {
        headers.replace("Accept-Encoding", "identity");
    }
    Ok(if headers.has(credentials::AUTHORIZATION) {
        credentials::choose_over_header(request, settings, url, headers)
    } else {
        credentials::choose(request, settings, url)
    })
}
