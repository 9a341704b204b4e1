//! One request from its settings to its response: the loop around the engine that follows redirects, answers
//! challenges, calls hooks and tries again.

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::adapter::{Route, Via};
use super::auth;
use super::credentials;
use super::decode;
use super::digest::Message;
use super::hop::{Credentials, Hop, Outgoing};
use super::output::OutputFile;
use super::progress::{Limited, Metered};
use super::proxy::{Proxy, ProxyScheme, choice};
use super::receive::{self, Answer, Exchange, Unanswered};
use super::recent;
use super::socket::{Limits, Step};
use super::tls::TlsSettings;
use crate::future::control::Control;
use crate::http::request::{Outcome, Request};
use crate::message::error::{Error, ErrorKind};
use crate::message::host::same_host;
use crate::message::options::{Auth, HookCall, MAX_REDIRECTS, Options, Sink, Timeouts};
use crate::message::response::{Parts, Refusal, Response, Source};
use crate::message::url::{Scheme, Url};
use crate::system::environment::Environment;

/// Sends the request and everything that follows from its answers.
pub fn run(request: &Request, control: &Arc<Control>) -> Outcome {
    let merged;
    let settings = match &request.options {
        Some(options) => {
            merged = options.over(&request.defaults);
            &merged
        }
        None => &*request.defaults,
    };
    if let Some(deadline) = request.deadline() {
        control.set_deadline(deadline);
        control.check()?;
    }
    let mut hop = Hop::first(request, settings, control)?;
    hop.payload.rewind(control)?;
    let transfer = Transfer { request, settings, control };
    let response = transfer.follow(&mut hop)?;
    let response = match &settings.background {
        Some(background) => transfer.call(&**background, "background callback", response)?,
        None => response,
    };
    control.check()?;
    Ok(response)
}

/// What stays the same over all hops.
struct Transfer<'a> {
    request: &'a Request,
    settings: &'a Options,
    control: &'a Arc<Control>,
}

/// How an attempt went wrong.
struct Failure {
    error: Error,
    /// The connection had carried a request before.
    reused: bool,
    /// Something of the request was sent.
    sent: bool,
    /// Nothing came back.
    silent: bool,
}

impl Transfer<'_> {
    /// Hop after hop, until one is the last.
    fn follow(&self, hop: &mut Hop<'_>) -> Outcome {
        let follows = self.settings.allow_redirects.unwrap_or(*hop.method != *"HEAD");
        let most = self.settings.max_redirects.unwrap_or(MAX_REDIRECTS) as usize;
        loop {
            let mut response = self.answer(hop)?;
            for hook in &self.settings.hooks {
                response = self.call(&**hook, "hook", response)?;
            }
            // An empty Location leads nowhere.
            let leads = response.is_redirect() && response.head().get("location") != Some("");
            if !follows || !leads {
                self.finish(&response, &hop.method)?;
                return Ok(response);
            }
            leave(&response)?;
            if hop.redirects == most {
                return Err(Error::new(ErrorKind::TooManyRedirects, format!("Exceeded {most} redirects."))
                    .at(response.url().as_str())
                    .with_response(response));
            }
            if hop.redirects == 0 {
                hop.history.clear();
            }
            hop.redirects += 1;
            hop.history.push(response.clone());
            hop.redirect(&response, |host| credentials::from_netrc(self.request, self.settings, host))?;
            hop.payload.rewind(self.control)?;
        }
    }

    /// The response to one hop: the last one, when the server or a proxy asked for credentials first.
    fn answer(&self, hop: &mut Hop<'_>) -> Outcome {
        let session = self.request.owner.shared();
        let route = self.route(&hop.url)?;
        let forward = route.forward();
        let mut credentials = Credentials { authorization: None, proxy_authorization: None };
        credentials.authorization = match &hop.credentials {
            Some(Auth::Basic(user, password)) => Some(auth::basic(user, password)),
            Some(Auth::Bearer(token)) => Some(auth::bearer(token)),
            // A nonce from an earlier request; what a redirect leads to is asked anew.
            Some(Auth::Digest(user, password)) if hop.redirects == 0 => self.digest(hop, user, password)?,
            _ => None,
        };
        let (mut answered, mut answered_proxy) = (false, false);
        loop {
            if let Some(proxy) = forward {
                credentials.proxy_authorization = self.proxy_authorization(hop, proxy)?;
            }
            let response = self.exchange(hop, &route, &credentials)?;
            for value in response.head().all_octets("Set-Cookie") {
                session.jar.set(&hop.cookie_url(), value);
            }
            let hashable = || hop.payload.is_hashable();
            let challenges = |header| response.head().all(header).map(|one| one.as_str()).collect::<Vec<_>>();
            if response.status() == 407
                && !answered_proxy
                && let Some(proxy) = forward
                && proxy.challenge(
                    &session.adapter.proxy_digest,
                    &challenges("proxy-authenticate"),
                    hashable(),
                )
            {
                answered_proxy = true;
            } else {
                let Some(Auth::Digest(user, password)) = &hop.credentials else { return Ok(response) };
                if answered || !(400..500).contains(&response.status()) {
                    return Ok(response);
                }
                let asked = challenges("www-authenticate");
                if !session.digest.challenge(&hop.url.origin(), user, &asked, hashable()) {
                    return Ok(response);
                }
                credentials.authorization = self.digest(hop, user, password)?;
                answered = true;
            }
            leave(&response)?;
            hop.payload.rewind(self.control)?;
            if hop.redirects == 0 {
                hop.history.push(response);
            }
        }
    }

    /// The answer to what the server has asked before, if it has.
    fn digest(&self, hop: &Hop<'_>, user: &str, password: &str) -> Result<Option<String>, Error> {
        let body = Outgoing { payload: &hop.payload, control: self.control };
        let message = Message { method: &hop.method, target: hop.target(false), body: &body };
        self.request.owner.shared().digest.header(&hop.url.origin(), user, password, &message)
    }

    fn proxy_authorization(&self, hop: &Hop<'_>, proxy: &Proxy) -> Result<Option<String>, Error> {
        let body = Outgoing { payload: &hop.payload, control: self.control };
        let message = Message { method: &hop.method, target: hop.target(true), body: &body };
        proxy.authorization(&self.request.owner.shared().adapter.proxy_digest, &message)
    }

    /// One request and one response, tried as often as the settings allow.
    fn exchange(&self, hop: &mut Hop<'_>, route: &Arc<Route>, credentials: &Credentials) -> Outcome {
        let forward = route.forward();
        let shared = self.request.owner.shared();
        let cookie = match hop.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Cookie")) {
            true => None,
            false => shared.jar.header(&hop.cookie_url(), hop.own_cookies),
        };
        let head = hop.head(cookie.as_deref(), credentials, forward.is_some());
        let close = hop.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case("Connection")
                && value.as_bytes().windows(5).any(|part| part.eq_ignore_ascii_case(b"close"))
        });
        let started = Instant::now();
        let mut retries = shared.adapter.settings.max_retries;
        let mut fresh = false;
        let answer = loop {
            let failure = match self.attempt(hop, route, &head, close, fresh) {
                Ok(answer) => break answer,
                Err(failure) => failure,
            };
            // What failed because of the end tells in which step that came.
            if failure.error.kind() != ErrorKind::Timeout {
                self.control.check()?;
            }
            let may_repeat = hop.payload.can_rewind() && (!failure.sent || hop.is_repeatable());
            if failure.is_stale() && !fresh && may_repeat {
                // The server closed the connection while it lay idle. That is nobody's failure.
            } else if retries > 0 && failure.may_pass() && may_repeat {
                retries -= 1;
            } else {
                let error = match (failure.error.kind(), forward) {
                    (ErrorKind::Connection, Some(proxy)) if failure.silent => {
                        proxy_failure(&failure.error, proxy)
                    }
                    _ => failure.error,
                };
                return Err(error.at(hop.url.as_str()));
            }
            // The other connections that rest have rested as long.
            fresh |= failure.reused;
            hop.payload.rewind(self.control)?;
        };
        let elapsed = started.elapsed();
        hop.meter.answered(answer.length);
        Ok(Arc::new(self.response(hop, head, answer, elapsed)))
    }

    fn attempt(
        &self,
        hop: &mut Hop<'_>,
        route: &Arc<Route>,
        head: &[u8],
        close: bool,
        fresh: bool,
    ) -> Result<Answer, Failure> {
        let Timeouts { connect, read } = self.settings.timeouts.unwrap_or_default();
        let adapter = &self.request.owner.shared().adapter;
        let (mut connection, lease) = adapter
            .connection(route, self.control, connect, fresh)
            .map_err(|error| Failure { error, reused: false, sent: false, silent: false })?;
        let reused = connection.served > 0;
        connection.begin();
        let limits = Limits {
            control: self.control,
            silence: read,
            connect: None,
            step: Step::Send,
            peer: &**route,
            progress: None,
        };
        let mut unsent = None;
        let sent = hop
            .meter
            .begin(hop.payload.length())
            .and_then(|()| hop.payload.send(head, &mut connection, &limits, &mut hop.meter));
        let whole = match sent {
            Ok(whole) => whole,
            // It hung up while it was written to. What it said before that is worth reading.
            Err(error) if error.kind() == ErrorKind::Connection => {
                connection.fail_sending(error.clone());
                unsent = Some(error);
                false
            }
            Err(error) => {
                connection.detach(self.control);
                return Err(Failure { error, reused: false, sent: true, silent: true });
            }
        };
        let sent = connection.has_written();
        let exchange = Exchange {
            connection,
            lease,
            control: self.control.clone(),
            silence: read,
            close: close || !whole,
            head_only: *hop.method == *"HEAD",
        };
        receive::receive(exchange).map_err(|Unanswered { error, silent }| Failure {
            error: if error.kind() == ErrorKind::Connection { unsent.unwrap_or(error) } else { error },
            reused,
            sent,
            silent,
        })
    }

    fn response(
        &self,
        hop: &mut Hop<'_>,
        request_head: Vec<u8>,
        answer: Answer,
        elapsed: Duration,
    ) -> Response {
        let head = answer.head;
        let coding = match (&*hop.method, answer.status) {
            ("HEAD", _) | (_, 204 | 304) => None,
            _ => head.joined("content-encoding"),
        };
        let mut body = answer.body;
        let transfer_codings = answer.transfer_codings.join(",");
        let untouched = !hop.meter.is_on()
            && self.settings.max_body.is_none()
            && coding.is_none()
            && transfer_codings.is_empty();
        // A body that is here already needs no source, unless somebody may want to read it in pieces.
        let whole = if untouched && self.takes_whole() { body.at_once() } else { None };
        let source: Option<Source> = if whole.is_some() {
            None
        } else if untouched {
            Some(Box::new(body))
        } else {
            let metered = Metered { source: body, meter: hop.meter.clone() };
            let transferred = decode::decoder(&transfer_codings, metered, self.control);
            let decoded = decode::decoder(coding.as_deref().unwrap_or(""), transferred, self.control);
            let (control, limit) = (self.control.clone(), self.settings.max_body.unwrap_or(u64::MAX));
            Some(Box::new(Limited { source: decoded, control, limit, seen: 0 }))
        };
        // With room for the NUL that a string for C ends with.
        let mut url = String::with_capacity(hop.url.as_str().len() + 1);
        url.push_str(hop.url.as_str());
        let response = Response::new(Parts {
            status: answer.status,
            head,
            url,
            request_head,
            request_body: hop.payload.sent_body(),
            elapsed,
            history: hop.history.clone(),
            control: source.is_some().then(|| self.control.clone()),
            source,
        });
        match whole {
            Some(content) => response.with_content(content),
            None => response,
        }
    }

    /// Whether nobody but us reads a body before all of it is here.
    fn takes_whole(&self) -> bool {
        let settings = self.settings;
        settings.stream != Some(true) && settings.hooks.is_empty() && settings.sink.is_none()
    }

    /// Where the hop goes.
    fn route(&self, url: &Url) -> Result<Arc<Route>, Error> {
        let secure = url.scheme() == Scheme::Https;
        let trusted = self.environment();
        let empty = Vec::new();
        let own = self.request.options.as_ref().map_or(&empty, |options| &options.proxies);
        let session = &self.request.defaults.proxies;
        let via = if let Some(path) = &self.settings.unix_socket {
            Via::Unix(path.clone())
        } else {
            match choice::select(url.scheme().as_str(), url.host(), url.port(), own, trusted, session)? {
                Some(proxy) => Via::Proxy(proxy),
                None => match self
                    .settings
                    .resolve
                    .iter()
                    .find(|one| one.port == url.port() && same_host(&one.host, url.host()))
                {
                    Some(resolve) => Via::Address(resolve.address),
                    None => Via::Direct,
                },
            }
        };
        let tls_to_proxy = matches!(&via, Via::Proxy(proxy) if proxy.scheme == ProxyScheme::Https);
        let tls = (secure || tls_to_proxy).then(|| self.tls_settings(trusted));
        let (host, port) = match &via {
            // What a proxy forwards shares its connections, whatever the target.
            Via::Proxy(proxy) if !secure && !proxy.scheme.is_socks() => (proxy.host.as_str(), proxy.port),
            // So does plain http over a Unix socket.
            Via::Unix(_) if !secure => ("", 0),
            _ => (url.host(), url.port()),
        };
        let is_same = |last: &Route| {
            (last.secure, last.port) == (secure, port)
                && (&*last.host, &last.via, &last.tls) == (host, &via, &tls)
        };
        if let Some(route) = recent::route(is_same) {
            return Ok(route);
        }
        let host = host.to_owned();
        let route = Arc::new(Route { secure, host, port, via, tls });
        recent::remember_route(&route);
        Ok(route)
    }

    fn environment(&self) -> Option<&Environment> {
        self.request.environment.as_deref().filter(|_| self.settings.trust_env.unwrap_or(true))
    }

    fn tls_settings(&self, environment: Option<&Environment>) -> TlsSettings {
        let verify = self.settings.verify.unwrap_or(true);
        let ca_bundle = match &self.settings.ca_bundle {
            Some(chosen) => chosen.clone(),
            None if !verify => None,
            None => {
                environment.and_then(Environment::ca_bundle).map(|path| path.to_string_lossy().into_owned())
            }
        };
        let certificate = self.settings.certificate.as_ref().and_then(Option::as_ref);
        TlsSettings { verify, ca_bundle, certificate: TlsSettings::certificate_of(certificate) }
    }

    /// Calls a hook, and takes what it puts in the response's place.
    fn call(&self, hook: &dyn crate::message::options::Hook, what: &str, response: Arc<Response>) -> Outcome {
        let mut call = HookCall { owner: self.request.owner.clone(), failure: None, replacement: None };
        let result = hook.call(&mut call, &response);
        if self.control.origin().has_left() {
            // The body's connection is the parent's.
            mem::forget((call, response));
            return Err(Error::forked());
        }
        Error::check(self.control, format_args!(" in a {what}"))?;
        if result.is_err() {
            let text = call.failure.unwrap_or_else(|| {
                format!("A {what} returned other than RF_OK, and set no message with rf_hook_fail")
            });
            return Err(Error::new(ErrorKind::Hook, text).at(response.url().as_str()));
        }
        let Some(replacement) = call.replacement else { return Ok(response) };
        replacement.answer(self.control);
        Ok(replacement)
    }

    /// Brings the last response into the state in which the user gets it.
    fn finish(&self, response: &Arc<Response>, method: &str) -> Result<(), Error> {
        match &self.settings.sink {
            // There is nothing to write, and what the file has may be what was asked about.
            Some(Sink::File(_)) if method == "HEAD" || response.status() == 304 => read_whole(response),
            Some(Sink::File(path)) => {
                let mut file = OutputFile::create(path.as_ref(), self.control)?;
                response.drain(&mut |piece| file.write(piece))?;
                file.complete()
            }
            Some(Sink::Function(output)) => response.drain(&mut |piece| {
                let refused = |_| Error::new(ErrorKind::Hook, "The output function refused to go on");
                let written = output.write(piece).map_err(refused);
                if self.control.origin().has_left() { Err(Error::forked()) } else { written }
            }),
            None if self.settings.stream == Some(true) => {
                self.request.owner.remember_stream(self.control);
                Ok(())
            }
            None => read_whole(response),
        }
    }
}

/// Reads the body of a hop that is not the last. What a hook has left of it is given up, and its connection with it:
/// the next hop may need that.
fn leave(response: &Response) -> Result<(), Error> {
    read_whole(response)?;
    if !response.is_read() {
        response.close();
    }
    Ok(())
}

/// Reads the body where a hook has not; one that a hook closed or read in pieces stays as the hook left it.
fn read_whole(response: &Response) -> Result<(), Error> {
    match response.content() {
        Ok(_) | Err(Refusal::State) => Ok(()),
        Err(Refusal::Failed(error)) if error.kind() == ErrorKind::StreamConsumed => Ok(()),
        Err(Refusal::Failed(error)) => Err(error),
    }
}

/// A proxy that forwards and hangs up without a word is to blame itself.
fn proxy_failure(error: &Error, proxy: &Proxy) -> Error {
    Error::new(ErrorKind::Proxy, format!("Unable to talk to proxy {}: {error}", proxy.shown()))
        .with_os_code(error.os_code())
}

impl Failure {
    /// Whether a connection that had served before has ended without a byte of answer.
    fn is_stale(&self) -> bool {
        self.reused && self.silent && self.error.kind() == ErrorKind::Connection
    }

    /// Whether it may be other the next time.
    fn may_pass(&self) -> bool {
        let kind = self.error.kind();
        (kind.is(ErrorKind::Connection) && kind != ErrorKind::Ssl) || kind == ErrorKind::ReadTimeout
    }
}
