//! One request from its settings to its response: the loop around the engine that follows redirects, answers
//! challenges, calls hooks and tries again.

use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::adapter::Adapter;
use super::auth;
use super::credentials::{self, Credentials};
use super::decode;
use super::digest::Message;
use super::hop::{Authorizations, Hop, Outgoing, changed_head};
use super::output::OutputFile;
use super::pace::Pace;
use super::pool::{Place, Turn};
use super::progress::{Limited, Meter, Metered};
use super::proxy::{Proxy, ProxyScheme, choice};
use super::receive::{self, Answer, Exchange, Unanswered};
use super::recent;
use super::retry::{self, Cause, Last, Pause, Tries, retry_after};
use super::route::{Route, Via};
use super::socket::{self, Limits};
use super::tls::TlsSettings;
use crate::future::control::Control;
use crate::future::waiting::Waiting;
use crate::http::request::{Outcome, Request};
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::host::same_host;
use crate::message::options::{Auth, CustomAuth, HookCall, MAX_REDIRECTS, Options, Refused, Sink, Timeouts};
use crate::message::prepared::{Prepared, Verdict};
use crate::message::response::{Parts, Refusal, Response, Source};
use crate::message::retry::Retry;
use crate::message::url::{Scheme, Url};
use crate::system::environment::Environment;

/// A request on its way to its response. What it does is done in steps (its turn, composing, sending, the head), and
/// between two of them it may be put aside: all that it needs to go on is here.
pub struct Sending {
    transfer: Transfer,
    meter: Meter,
    /// None until all of the request was looked at.
    hop: Option<Hop>,
    /// None until it is planned where the hop goes.
    round: Option<Round>,
}

/// How far a request has come.
pub enum Reached {
    End(Outcome),
    /// It goes on when this is woken.
    Waiting(Arc<Waiting>),
}

impl Sending {
    #[inline]
    pub fn new(request: Request, control: Arc<Control>) -> Sending {
        let settings = match &request.options {
            Some(options) => Settings::Merged(Box::new(options.over(&request.defaults))),
            None => Settings::Defaults(request.defaults.clone()),
        };
        let meter = Meter::new(settings.progress.as_ref());
        Sending { transfer: Transfer { request, settings, control }, meter, hop: None, round: None }
    }

    /// Goes on until it is over or has to wait. `begin` is called before anything is composed, and says whether that is
    /// still wanted.
    pub fn go_on(&mut self, begin: &mut dyn FnMut() -> bool) -> Reached {
        match self.steps(begin) {
            Ok(Step::Wait(waiting)) => Reached::Waiting(waiting),
            Ok(Step::Over(response)) => Reached::End(Ok(response)),
            Err(error) => Reached::End(Err(error.at(&self.transfer.request.url))),
        }
    }

    /// Goes on to the end, on this thread.
    pub fn finish(mut self) -> Outcome {
        loop {
            match self.go_on(&mut || true) {
                Reached::End(outcome) => return outcome,
                Reached::Waiting(waiting) => _ = self.transfer.control.wait(&waiting),
            }
        }
    }

    fn steps(&mut self, begin: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        let Sending { transfer, meter, hop, round } = self;
        let hop = match hop {
            Some(hop) => hop,
            None => hop.insert(transfer.first()?),
        };
        loop {
            let planned = match round {
                Some(planned) => planned,
                None => round.insert(transfer.plan(hop)?),
            };
            let response = match transfer.go_on_pausing(planned)? {
                Pausing::Wait(waiting) => return Ok(Step::Wait(waiting)),
                Pausing::Over(Some(response)) => response,
                Pausing::Over(None) => {
                    if let Some(waiting) = transfer.turn(planned)? {
                        return Ok(Step::Wait(waiting));
                    }
                    if !begin() {
                        return Err(Error::cancelled());
                    }
                    transfer.request.queued = None;
                    let Some(response) = transfer.send(hop, meter, planned)? else { continue };
                    response
                }
            };
            *round = None;
            let response = transfer.call_hooks(response)?;
            if !transfer.redirect(hop, &response)? {
                return transfer.finish(response, &hop.method).map(Step::Over);
            }
        }
    }
}

/// What comes after a step.
enum Step {
    Wait(Arc<Waiting>),
    Over(Arc<Response>),
}

enum Pausing {
    Wait(Arc<Waiting>),
    /// With the response to the last attempt, where there is not going to be another one.
    Over(Option<Arc<Response>>),
}

/// The options of the request over those of its session.
enum Settings {
    Defaults(Arc<Options>),
    Merged(Box<Options>),
}

impl Deref for Settings {
    type Target = Options;

    fn deref(&self) -> &Options {
        match self {
            Settings::Defaults(options) => options,
            Settings::Merged(options) => options,
        }
    }
}

/// What stays the same over all hops.
struct Transfer {
    request: Request,
    settings: Settings,
    control: Arc<Control>,
}

/// One hop between its first sending and its response.
struct Round {
    route: Arc<Route>,
    asked: Asked,
    turn: Turn,
    /// Where the connection is that an answer came by which asked for more.
    kept: Option<Arc<Place>>,
    tries: Tries,
    /// Before it is tried again, with what came of the last attempt.
    pause: Option<(Pause, Last)>,
    /// How long its last answer is, as far as that was announced.
    length: Option<u64>,
    /// A connection that rested is not to be trusted.
    fresh: bool,
    /// When it was sent first, or first since it was asked for more.
    started: Option<Instant>,
}

/// What is sent.
struct Composed<'a> {
    head: Vec<u8>,
    /// The connection is not used again.
    close: bool,
    /// By its Idempotency-Key.
    is_keyed: bool,
    /// As the user's functions saw it, where there are any.
    prepared: Option<Box<Prepared<'a>>>,
}

/// How often who has asked for credentials at one hop. Each is answered once in each attempt, a function of the user's
/// more often.
#[derive(Default)]
struct Asked {
    by_server: u32,
    by_proxy: u32,
    again: u32,
}

/// What says that carrying a request out twice does no harm, whatever its method.
const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// So often a challenge function may have a hop sent again.
const MOST_AGAIN: u32 = 10;
/// So much is read of an answer that it does not take.
const LONGEST_CHALLENGE: u64 = 64 * 1024;

/// Whether one of these headers says that the connection is not used again.
fn closes<'a>(mut headers: impl Iterator<Item = (&'a str, &'a [u8])>) -> bool {
    headers.any(|(name, value)| {
        name.eq_ignore_ascii_case("Connection")
            && value.windows(5).any(|part| part.eq_ignore_ascii_case(b"close"))
    })
}

/// One sending.
struct Attempt<'a> {
    hop: &'a Hop,
    meter: &'a mut Meter,
    route: &'a Arc<Route>,
    composed: &'a Composed<'a>,
    fresh: bool,
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

impl Transfer {
    /// Checks all of the request. Nothing is sent yet.
    fn first(&self) -> Result<Hop, Error> {
        if let Some(deadline) = self.request.deadline() {
            self.control.set_deadline(deadline);
            self.control.check()?;
        }
        Hop::first(&self.request, &self.settings, &self.control)
    }

    /// Where the hop goes.
    fn plan(&self, hop: &Hop) -> Result<Round, Error> {
        let retry = self.retry();
        if let Some(share) = retry.and_then(|retry| retry.share) {
            self.request.owner.shared().bucket.add(share);
        }
        Ok(Round {
            route: self.route(hop)?,
            asked: Asked::default(),
            turn: Turn::Free,
            kept: None,
            tries: Tries::new(retry),
            pause: None,
            length: None,
            fresh: false,
            started: None,
        })
    }

    /// None: it is the hop's turn.
    fn turn(&self, round: &mut Round) -> Result<Option<Arc<Waiting>>, Error> {
        if let Some(turn) = round.kept.take().and_then(|place| place.take()) {
            round.turn = turn;
        }
        self.adapter().turn(&mut round.turn, &round.route, &self.control)
    }

    /// One request and the head of its response. None: it is to be sent again.
    fn send(
        &self,
        hop: &mut Hop,
        meter: &mut Meter,
        round: &mut Round,
    ) -> Result<Option<Arc<Response>>, Error> {
        hop.payload.rewind(&self.control)?;
        let forward = round.route.forward();
        // What a redirect leads to is asked anew; at first a nonce from an earlier request will do.
        let knows_nonce = hop.redirects == 0 || round.asked.by_server > 0;
        let outgoing = Outgoing { payload: &hop.payload, control: &self.control };
        let composed = self.compose(hop, &outgoing, forward, knows_nonce)?;
        let started = *round.started.get_or_insert_with(Instant::now);
        let place = self.may_go_on(hop, forward).then(Arc::default);
        hop.attempts.set(hop.attempts.get() + 1);
        let turn = mem::take(&mut round.turn);
        let attempt = Attempt { hop, meter, route: &round.route, composed: &composed, fresh: round.fresh };
        let answer = match self.attempt(attempt, turn, place.clone()) {
            Ok(answer) => answer,
            Err(failure) => return self.failed(failure, hop, composed.is_keyed, place, round),
        };
        meter.answered(answer.length);
        round.length = answer.length;
        let Composed { head, prepared, is_keyed, .. } = composed;
        let url = prepared.as_ref().map_or(&hop.url, |prepared| prepared.url());
        let response = Arc::new(self.response(hop, meter, url, head, answer, started.elapsed()));
        for value in response.head().all_octets("Set-Cookie") {
            self.request.owner.shared().jar.set(&hop.cookie_url(), value);
        }
        if !self.is_asked(hop, forward, (&mut round.asked, round.tries.made + 1), prepared, &response)? {
            if let Some(place) = place {
                place.give_back();
            }
            return match self.retry() {
                Some(retry) => self.judge_status(retry, response, hop, is_keyed, round),
                None => Ok(Some(response)),
            };
        }
        match leave(&response) {
            // What is broken of it is given up like what is too much.
            Err(_) if hop.credentials.custom().is_some() && self.control.check().is_ok() => response.close(),
            left => left?,
        }
        round.kept = place;
        (round.fresh, round.started) = (false, None);
        if hop.redirects == 0 {
            hop.history.push(response);
        }
        Ok(None)
    }

    /// Whether the hop may have to be sent again within its turn, so that the connection is kept for it.
    fn may_go_on(&self, hop: &Hop, forward: Option<&Proxy>) -> bool {
        let may_be_asked = match &hop.credentials {
            Credentials::Custom(custom) => custom.challenge.is_some(),
            Credentials::Known(Auth::Digest(..)) => true,
            _ => false,
        };
        may_be_asked || self.adapter().is_crowded() || forward.is_some_and(|proxy| proxy.login().is_some())
    }

    /// What says when to try again.
    fn retry(&self) -> Option<&Retry> {
        self.settings.retry.as_ref().and_then(Option::as_deref).or(self.adapter().retry.as_deref())
    }

    /// Whether the hop may be sent once more, after it was `sent` or before.
    fn may_repeat(&self, hop: &Hop, is_keyed: bool, sent: bool, retry: Option<&Retry>) -> bool {
        let is_harmless = || match self.settings.repeatable {
            Some(said) => said,
            None => {
                is_keyed
                    || match retry {
                        Some(retry) => retry.repeats(&hop.method),
                        None => hop.is_repeatable(),
                    }
            }
        };
        hop.payload.can_rewind() && (!sent || is_harmless())
    }

    /// An attempt went wrong: that is the end, unless the hop is sent again.
    fn failed(
        &self,
        failure: Failure,
        hop: &Hop,
        is_keyed: bool,
        place: Option<Arc<Place>>,
        round: &mut Round,
    ) -> Result<Option<Arc<Response>>, Error> {
        // What failed because of the end tells in which step that came.
        if failure.error.kind() != ErrorKind::Timeout {
            self.control.check()?;
        }
        let again =
            if failure.is_stale() && !round.fresh && self.may_repeat(hop, is_keyed, failure.sent, None) {
                // The server closed the connection while it lay idle. That is nobody's failure, and costs no turn.
                round.kept = place;
                Some(None)
            } else {
                let cause = if failure.sent { Cause::Read } else { Cause::Connect };
                let retry = self.retry().filter(|retry| {
                    failure.may_pass()
                        && round.tries.has(cause)
                        && self.may_repeat(hop, is_keyed, failure.sent, Some(retry))
                });
                retry.and_then(|retry| self.pay(retry, cause, None, &mut round.tries)).map(Some)
            };
        let reused = failure.reused;
        let error = match (failure.error.kind(), round.route.forward()) {
            (ErrorKind::Connection, Some(proxy)) if failure.silent => proxy_failure(&failure.error, proxy),
            _ => failure.error,
        };
        let error = error.at(hop.url.as_str());
        let Some(pause) = again else { return Err(error) };
        // The other connections that rest have rested as long.
        round.fresh |= reused;
        match pause {
            Some(pause) => self.pause(round, pause, Last::Failed(error)),
            None => Ok(None),
        }
    }

    /// The response, unless its status is to be tried again: None.
    fn judge_status(
        &self,
        retry: &Retry,
        response: Arc<Response>,
        hop: &Hop,
        is_keyed: bool,
        round: &mut Round,
    ) -> Result<Option<Arc<Response>>, Error> {
        let status = response.status();
        // Who only says when is not at fault when nobody comes any more.
        let says_when =
            || !round.tries.is_used_up() && retry.waits_for(status) && retry_after(response.head()).is_some();
        let is_wanted = retry.has_status(status) || says_when();
        if !is_wanted || !self.may_repeat(hop, is_keyed, true, Some(retry)) {
            return Ok(Some(response));
        }
        if !round.tries.has(Cause::Status) {
            if !retry.raise_on_status {
                return Ok(Some(response));
            }
            self.set_aside(&response, round.length)?;
            let (attempts, peer) = (round.tries.made + 1, &round.route);
            let s = if attempts == 1 { "" } else { "s" };
            let text = format!("Gave up after {attempts} attempt{s}: {peer} answered {status}");
            return Err(Error::new(ErrorKind::Retry, text).at(hop.url.as_str()).with_response(response));
        }
        let Some(length) = self.pay(retry, Cause::Status, Some(response.head()), &mut round.tries) else {
            return Ok(Some(response));
        };
        self.set_aside(&response, round.length)?;
        self.pause(round, length, Last::Answered(response))
    }

    /// Reads the body of a response that may be the last, where it goes into memory anyway or is short; another one stays
    /// where it is. What is broken of it is told to who reads it.
    fn set_aside(&self, response: &Response, length: Option<u64>) -> Result<(), Error> {
        let in_memory = self.settings.stream != Some(true) && self.settings.sink.is_none();
        if in_memory || length.is_some_and(|length| length <= LONGEST_CHALLENGE) {
            let _ = leave(response);
        }
        Ok(self.control.check()?)
    }

    /// How long to pause before one more attempt, which is paid for. None: there is none.
    fn pay(&self, retry: &Retry, cause: Cause, head: Option<&Head>, tries: &mut Tries) -> Option<Duration> {
        let length = retry::pause(retry, tries, head)?;
        // What would not be in time, or is not wanted any more, is not paid for.
        Pause::end(&self.control, length)?;
        if retry.share.is_some() && !self.request.owner.shared().bucket.take() {
            return None;
        }
        tries.take(cause);
        Some(length)
    }

    /// Pauses before the next attempt. Where that cannot be, this is what becomes of the last one.
    fn pause(&self, round: &mut Round, length: Duration, last: Last) -> Result<Option<Arc<Response>>, Error> {
        round.started = None;
        if length.is_zero() {
            last.give_up();
            return Ok(None);
        }
        match Pause::begin(&self.control, length) {
            Some(pause) => round.pause = Some((pause, last)),
            None => return last.into_outcome().map(Some),
        }
        Ok(None)
    }

    /// None: it is over. Where it was cut short, this is what became of the last attempt.
    fn go_on_pausing(&self, round: &mut Round) -> Result<Pausing, Error> {
        let Some((pause, _)) = &round.pause else { return Ok(Pausing::Over(None)) };
        let left = pause.left(&self.control);
        self.control.check()?;
        if let Some(waiting) = left {
            return Ok(Pausing::Wait(waiting));
        }
        self.control.detach_waiting();
        let Some((pause, last)) = round.pause.take() else { return Ok(Pausing::Over(None)) };
        if pause.is_cut() {
            return last.into_outcome().map(|response| Pausing::Over(Some(response)));
        }
        last.give_up();
        Ok(Pausing::Over(None))
    }

    fn call_hooks(&self, mut response: Arc<Response>) -> Outcome {
        for hook in &self.settings.hooks {
            response = self.call(&**hook, "hook", response)?;
        }
        Ok(response)
    }

    /// Turns the hop into the one that the response leads to. False: it is the last.
    fn redirect(&self, hop: &mut Hop, response: &Arc<Response>) -> Result<bool, Error> {
        let follows = self.settings.allow_redirects.unwrap_or(*hop.method != *"HEAD");
        // An empty Location leads nowhere.
        let leads = response.is_redirect() && response.head().get("location") != Some("");
        if !follows || !leads {
            return Ok(false);
        }
        leave(response)?;
        let most = self.settings.max_redirects.unwrap_or(MAX_REDIRECTS) as usize;
        if hop.redirects == most {
            return Err(Error::new(ErrorKind::TooManyRedirects, format!("Exceeded {most} redirects."))
                .at(response.url().as_str())
                .with_response(response.clone()));
        }
        if hop.redirects == 0 {
            hop.history.clear();
        }
        hop.redirects += 1;
        hop.history.push(response.clone());
        hop.redirect(response, |host| credentials::from_netrc(&self.request, &self.settings, host))?;
        Ok(true)
    }

    fn adapter(&self) -> &Adapter {
        &self.request.owner.shared().adapter
    }

    /// Whether the answer asks for credentials that there are, so that the hop is to be sent once more.
    fn is_asked(
        &self,
        hop: &Hop,
        forward: Option<&Proxy>,
        round: (&mut Asked, u32),
        prepared: Option<Box<Prepared<'_>>>,
        response: &Arc<Response>,
    ) -> Result<bool, Error> {
        let (asked, attempts) = round;
        let session = self.request.owner.shared();
        let hashable = || hop.payload.is_hashable();
        let challenges = |header| response.head().all(header).map(|one| one.as_str()).collect::<Vec<_>>();
        if response.status() == 407
            && asked.by_proxy < attempts
            && let Some(proxy) = forward
            && proxy.challenge(&session.adapter.proxy_digest, &challenges("proxy-authenticate"), hashable())
        {
            asked.by_proxy += 1;
            return Ok(true);
        }
        match &hop.credentials {
            Credentials::Known(Auth::Digest(user, _)) => {
                let may_ask = asked.by_server < attempts && (400..500).contains(&response.status());
                let is_again = may_ask
                    && session.digest.challenge(
                        &hop.url.origin(),
                        user,
                        &challenges("www-authenticate"),
                        hashable(),
                    );
                asked.by_server += u32::from(is_again);
                Ok(is_again)
            }
            Credentials::Custom(custom) if asked.again < MOST_AGAIN => {
                asked.again += 1;
                let is_again = self.is_challenged(custom, prepared, response)?;
                if is_again {
                    response.shorten(LONGEST_CHALLENGE);
                }
                Ok(is_again)
            }
            _ => Ok(false),
        }
    }

    /// What authentication of the user's own makes of an answer.
    fn is_challenged(
        &self,
        custom: &CustomAuth,
        prepared: Option<Box<Prepared<'_>>>,
        response: &Arc<Response>,
    ) -> Result<bool, Error> {
        let (Some(challenge), Some(mut prepared)) = (&custom.challenge, prepared) else { return Ok(false) };
        let verdict = challenge.judge(&mut prepared, response);
        self.after(prepared, "challenge function", verdict.map(|verdict| matches!(verdict, Verdict::Again)))
            .map(|(is_again, _)| is_again)
    }

    /// After a function of the user's that got the request: what it has read is put back, and what it says is heard.
    fn after<'b, T>(
        &self,
        mut prepared: Box<Prepared<'b>>,
        what: &str,
        result: Result<T, Refused>,
    ) -> Result<(T, Box<Prepared<'b>>), Error> {
        if self.control.origin().has_left() {
            mem::forget(prepared);
            return Err(Error::forked());
        }
        prepared.put_back()?;
        Error::check(&self.control, format_args!(" in a {what}"))?;
        match result {
            Ok(result) => Ok((result, prepared)),
            Err(Refused) => {
                let (kind, text) = prepared.failure.take().unwrap_or_else(|| {
                    let text = format!(
                        "A {what} returned other than RF_OK, and set no message with rf_prepared_fail"
                    );
                    (ErrorKind::Hook, text)
                });
                Err(Error::new(kind, text).at(prepared.shown_url().as_str()))
            }
        }
    }

    /// The answer to what the server has asked before, if it has.
    fn digest(
        &self,
        hop: &Hop,
        body: &Outgoing<'_>,
        user: &str,
        password: &str,
    ) -> Result<Option<String>, Error> {
        let message = Message { method: &hop.method, target: hop.target(false), body };
        self.request.owner.shared().digest.header(&hop.url.origin(), user, password, &message)
    }

    fn proxy_authorization(
        &self,
        hop: &Hop,
        body: &Outgoing<'_>,
        proxy: Option<&Proxy>,
        target: &str,
    ) -> Result<Option<String>, Error> {
        let Some(proxy) = proxy else { return Ok(None) };
        let message = Message { method: &hop.method, target, body };
        proxy.authorization(&self.request.owner.shared().adapter.proxy_digest, &message)
    }

    /// What is sent: composed, and changed by the user's functions.
    fn compose<'b>(
        &self,
        hop: &Hop,
        outgoing: &'b Outgoing<'b>,
        forward: Option<&Proxy>,
        knows_nonce: bool,
    ) -> Result<Composed<'b>, Error> {
        let own: &[_] = if hop.has_own_cookies { &self.settings.cookies } else { &[] };
        let cookie = match hop.headers.has("Cookie") {
            true => None,
            false => self.request.owner.shared().jar.header(&hop.cookie_url(), own),
        };
        let authorization = match &hop.credentials {
            Credentials::Known(Auth::Basic(user, password)) => Some(auth::basic(user, password)),
            Credentials::Known(Auth::Bearer(token)) => Some(auth::bearer(token)),
            Credentials::Known(Auth::Digest(user, password)) if knows_nonce => {
                self.digest(hop, outgoing, user, password)?
            }
            _ => None,
        };
        let mut authorizations = Authorizations { authorization, proxy_authorization: None };
        let (cookie, forwarded) = (cookie.as_deref(), forward.is_some());
        let hooks = self.settings.request_hooks.as_deref().unwrap_or_default();
        let custom = hop.credentials.custom();
        if hooks.is_empty() && custom.is_none() {
            authorizations.proxy_authorization =
                self.proxy_authorization(hop, outgoing, forward, hop.target(true))?;
            let close = closes(hop.headers.iter().map(|(name, value)| (name, value.as_bytes())));
            return Ok(Composed {
                head: hop.head(cookie, &authorizations, forwarded),
                close,
                is_keyed: hop.headers.has(IDEMPOTENCY_KEY),
                prepared: None,
            });
        }
        let owner = self.request.owner.clone();
        let mut prepared = Box::new(hop.prepared(outgoing, owner, cookie, &authorizations, forwarded));
        for hook in hooks {
            let result = hook.prepare(&mut prepared);
            (_, prepared) = self.after(prepared, "request hook", result)?;
        }
        if let Some(prepare) = custom.and_then(|custom| custom.prepare.as_ref()) {
            let result = prepare.prepare(&mut prepared);
            (_, prepared) = self.after(prepared, "prepare function", result)?;
        }
        prepared.sent();
        // The user's functions do not see it, but it is about what they have left.
        authorizations.proxy_authorization =
            self.proxy_authorization(hop, outgoing, forward, prepared.url().without_fragment())?;
        Ok(Composed {
            head: changed_head(&prepared, &hop.payload, &authorizations, forwarded)?,
            close: closes(prepared.octets()),
            is_keyed: prepared.header(IDEMPOTENCY_KEY).is_some(),
            prepared: Some(prepared),
        })
    }

    fn attempt(
        &self,
        attempt: Attempt<'_>,
        turn: Turn,
        place: Option<Arc<Place>>,
    ) -> Result<Answer, Failure> {
        let Attempt { hop, meter, route, composed, fresh } = attempt;
        let Timeouts { connect, read } = self.settings.timeouts.unwrap_or_default();
        let (mut connection, lease) =
            self.adapter()
                .connection(turn, route, &self.control, connect, fresh)
                .map_err(|error| Failure { error, reused: false, sent: false, silent: false })?;
        let reused = connection.served > 0;
        connection.begin();
        let pace = Pace::of_sending(&self.settings);
        let limits = Limits {
            control: &self.control,
            silence: read,
            connect: None,
            step: socket::Step::Send,
            peer: &**route,
            progress: None,
            pace: pace.as_deref(),
        };
        let mut unsent = None;
        let sent = meter
            .begin(hop.payload.length())
            .and_then(|()| hop.payload.send(&composed.head, &mut connection, &limits, meter));
        let whole = match sent {
            Ok(whole) => whole,
            // It hung up while it was written to. What it said before that is worth reading.
            Err(error) if error.kind() == ErrorKind::Connection => {
                connection.fail_sending(error.clone());
                unsent = Some(error);
                false
            }
            Err(error) => {
                connection.detach(&self.control);
                // Before its place is free.
                drop(connection);
                return Err(Failure { error, reused: false, sent: true, silent: true });
            }
        };
        let sent = connection.has_written();
        let exchange = Exchange {
            connection,
            lease,
            place,
            control: self.control.clone(),
            silence: read,
            pace: Pace::of_receiving(&self.settings),
            close: composed.close || !whole,
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
        hop: &Hop,
        meter: &Meter,
        url: &Url,
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
        let untouched = !meter.is_on()
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
            let metered = Metered { source: body, meter: meter.clone() };
            let transferred = decode::decoder(&transfer_codings, metered, &self.control);
            let decoded = decode::decoder(coding.as_deref().unwrap_or(""), transferred, &self.control);
            let (control, limit) = (self.control.clone(), self.settings.max_body.unwrap_or(u64::MAX));
            Some(Box::new(Limited { source: decoded, control, limit, seen: 0 }))
        };
        // With room for the NUL that a string for C ends with.
        let mut shown_url = String::with_capacity(url.as_str().len() + 1);
        shown_url.push_str(url.as_str());
        let response = Response::new(Parts {
            status: answer.status,
            head,
            url: shown_url,
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
        let settings = &self.settings;
        settings.stream != Some(true) && settings.hooks.is_empty() && settings.sink.is_none()
    }

    /// Where the hop goes.
    fn route(&self, hop: &Hop) -> Result<Arc<Route>, Error> {
        let url = &hop.url;
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
        // A server that was answered may remember who that was by the connection.
        let custom = hop.credentials.custom().filter(|custom| custom.challenge.is_some());
        let login = custom.map(|custom| &custom.login);
        let is_same = |last: &Route| {
            (last.secure, last.port) == (secure, port)
                && (&*last.host, &last.via, &last.tls, last.login.as_ref()) == (host, &via, &tls, login)
        };
        if let Some(route) = recent::route(is_same) {
            return Ok(route);
        }
        let host = host.to_owned();
        let route = Arc::new(Route { secure, host, port, via, tls, login: login.cloned() });
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
        Error::check(&self.control, format_args!(" in a {what}"))?;
        if result.is_err() {
            let text = call.failure.unwrap_or_else(|| {
                format!("A {what} returned other than RF_OK, and set no message with rf_hook_fail")
            });
            return Err(Error::new(ErrorKind::Hook, text).at(response.url().as_str()));
        }
        let Some(replacement) = call.replacement else { return Ok(response) };
        replacement.answer(&self.control, |source| {
            let (control, limit) = (self.control.clone(), self.settings.max_body.unwrap_or(u64::MAX));
            Box::new(Limited { source, control, limit, seen: 0 })
        });
        Ok(replacement)
    }

    /// The last response, as the user gets it.
    fn finish(&self, response: Arc<Response>, method: &str) -> Outcome {
        self.take_body(&response, method)?;
        let response = match &self.settings.background {
            Some(background) => self.call(&**background, "background callback", response)?,
            None => response,
        };
        self.control.check()?;
        Ok(response)
    }

    /// Reads the body, or leaves it to be read.
    fn take_body(&self, response: &Arc<Response>, method: &str) -> Result<(), Error> {
        match &self.settings.sink {
            // There is nothing to write, and what the file has may be what was asked about.
            Some(Sink::File(_)) if method == "HEAD" || response.status() == 304 => read_whole(response),
            Some(Sink::File(path)) => {
                let mut file = OutputFile::create(path.as_ref(), &self.control)?;
                response.drain(&mut |piece| file.write(piece))?;
                file.complete()
            }
            Some(Sink::Function(output)) => response.drain(&mut |piece| {
                let refused = |_| Error::new(ErrorKind::Hook, "The output function refused to go on");
                let written = output.write(piece).map_err(refused);
                if self.control.origin().has_left() { Err(Error::forked()) } else { written }
            }),
            None if self.settings.stream == Some(true) => {
                self.request.owner.remember_stream(&self.control);
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
