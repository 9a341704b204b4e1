//! One request from its settings to its response: the loop around the engine that follows redirects, answers
//! challenges, calls hooks and tries again.

mod again;
mod custom;
mod resuming;

use std::mem;
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memmem;

use self::again::{Failure, Pausing};
use self::custom::Through;
use self::resuming::Taken;
use crate::future::control::Control;
use crate::future::stopwatch::Phase;
use crate::future::trace::Kind;
use crate::future::waiting::Waiting;
use crate::http::adapter::{Adapter, Admission};
use crate::http::auth;
use crate::http::connection::Connection;
use crate::http::credentials::{self, Credentials};
use crate::http::decode;
use crate::http::digest::Message;
use crate::http::hop::{Authorizations, Hop, Outgoing, changed_head};
use crate::http::http2::{self, Http2, Opened, Stream, Unprocessed};
use crate::http::mount::AnyAdapter;
use crate::http::output::{Goal, OutputFile};
use crate::http::pace::Pace;
use crate::http::patience::Patience;
use crate::http::pool::{Carrier, Lease, Place};
use crate::http::progress::{Limited, Meter, Metered};
use crate::http::proxy::{Proxy, ProxyScheme, choice};
use crate::http::receive::{self, Answer, AnyBody, Exchange, Unanswered};
use crate::http::recent;
use crate::http::request::{Outcome, Request};
use crate::http::resume::Fit;
use crate::http::retry::{Last, Pause, Tries};
use crate::http::route::{Protocol, Route, Via};
use crate::http::socket::{self, Limits};
use crate::http::tls::TlsSettings;
use crate::http::trace::{self, Watched};
use crate::http::turns::{Permit, Standing};
use crate::message::error::{Error, ErrorKind};
use crate::message::head::over_http2;
use crate::message::host::{canonical_host, same_host};
use crate::message::options::{
    Auth, CustomAuth, HookCall, MAX_REDIRECTS, Options, OutputMode, Refused, Sink, Timeouts,
};
use crate::message::peer::{HttpVersion, Peer};
use crate::message::prepared::{BaseAdapter, Prepared, Verdict};
use crate::message::reach::{Dialing, HttpChoice, Reach};
use crate::message::response::{Parts, Refusal, Response, Seen, Source};
use crate::message::retry::Retry;
use crate::message::url::{Scheme, Url, without_userinfo};
use crate::system::clock::Moment;
use crate::system::environment::Environment;

/// A request on its way to its response. What it does is done in steps (its turn, composing, sending, the head), and
/// between two of them it may be put aside: all that it needs to go on is here.
pub struct Sending {
    transfer: Transfer,
    meter: Meter,
    /// None until all of the request was looked at.
    hop: Option<Hop>,
    /// None until it is planned where the hop goes.
    round: Option<(Plan, Round)>,
    patience: Patience,
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
        if let Some(Some(trace)) = &settings.trace {
            control.set_trace(trace);
        }
        let meter = Meter::new(settings.progress.as_ref(), &control);
        let patience = Patience::of(&request, settings.queue_timeout);
        let transfer = Transfer { request, settings, control };
        Sending { transfer, meter, hop: None, round: None, patience }
    }

    /// Goes on until it is over or has to wait. `begin` is called before anything is composed, and says whether that is
    /// still wanted.
    pub fn go_on(&mut self, begin: &mut dyn FnMut() -> bool) -> Reached {
        let reached = self.steps(begin);
        if !matches!(reached, Ok(Step::Wait(_)))
            && let Some(hop) = &mut self.hop
        {
            // The next request may want it as soon as this one is over.
            hop.part = None;
        }
        match reached {
            Ok(Step::Wait(waiting)) => Reached::Waiting(waiting),
            Ok(Step::Over(response)) => Reached::End(Ok(response)),
            Err(error) => {
                let error = self.explain(error);
                let told = trace::info(&self.transfer.control, || format!("Failed: {error}"));
                Reached::End(Err(told.err().unwrap_or(error)))
            }
        }
    }

    /// An error says where the request was.
    #[cold]
    fn explain(&self, error: Error) -> Error {
        let Transfer { request, control, .. } = &self.transfer;
        // A function that was to be called when the request was over already has not refused.
        let stopped = match error.kind() {
            ErrorKind::Hook => Error::check(control, " in a function").err(),
            _ => None,
        };
        let error = stopped.unwrap_or(error).at(&request.url);
        match &self.hop {
            Some(hop) => hop.blamed(error, control.stopwatch.phase()),
            // Nothing was wrong but the time, or all that is the request's.
            None => {
                let is_late = error.kind() == ErrorKind::Timeout;
                error.during(is_late.then_some(Phase::Queue), 0, &request.method)
            }
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

    // Its frame lies below all that waits for an answer. What is done before and after is done in functions of its own, whose
    // frames are gone by then: with two pages a fiber's stack costs a third less than with three.
    fn steps(&mut self, begin: &mut dyn FnMut() -> bool) -> Result<Step, Error> {
        loop {
            self.prepare()?;
            let Sending { transfer, meter, hop: Some(hop), round: Some((plan, planned)), patience } = self
            else {
                unreachable!("both were made just now")
            };
            let response = match transfer.go_on_pausing(planned)? {
                Pausing::Wait(waiting, until) => {
                    // What it waits for after that is a worker.
                    patience.begin(until, &transfer.control);
                    return Ok(Step::Wait(waiting));
                }
                Pausing::Over(Some(response)) => response,
                Pausing::Over(None) => {
                    if let Some(waiting) = transfer.turn(hop, plan, planned)? {
                        transfer.control.stopwatch.enter(Phase::Queue);
                        patience.begin(Instant::now(), &transfer.control);
                        patience.check(
                            &transfer.control,
                            planned.admission.awaited(),
                            hop.url.authority(),
                        )?;
                        planned.has_waited = true;
                        return Ok(Step::Wait(waiting));
                    }
                    patience.end()?;
                    if mem::take(&mut planned.has_waited) {
                        planned.admission.place.look_again();
                        planned.started = None;
                    }
                    if !begin() {
                        return Err(Error::cancelled());
                    }
                    transfer.request.has_begun();
                    let Some(response) = transfer.send(hop, meter, plan, planned)? else { continue };
                    response
                }
            };
            if let Some(response) = self.take_response(response)? {
                return Ok(Step::Over(response));
            }
        }
    }

    /// Makes what a hop is sent by, where that is not there yet.
    #[inline(never)]
    fn prepare(&mut self) -> Result<(), Error> {
        let Sending { transfer, hop, round, .. } = self;
        let hop = match hop {
            Some(hop) => hop,
            None => hop.insert(transfer.first()?),
        };
        if round.is_none() {
            let (plan, mut first) = transfer.plan(hop)?;
            if let Some(permit) = transfer.request.take_turn() {
                first.admission.standing = Standing::Come(permit);
            }
            *round = Some((plan, first));
        }
        Ok(())
    }

    /// What becomes of the response to a hop: it is what the user gets, or None, there is another hop or the same once more.
    #[inline(never)]
    fn take_response(&mut self, response: Arc<Response>) -> Result<Option<Arc<Response>>, Error> {
        let Sending { transfer, hop, round, .. } = self;
        let Some(hop) = hop else { unreachable!("the response is one to a hop") };
        let round_of_part = round.take().filter(|_| hop.part.is_some());
        let of_server = round_of_part.as_ref().map(|_| response.clone());
        let response = transfer.call_hooks(response)?;
        transfer.raise_for_status(hop, &response)?;
        if transfer.redirect(hop, &response)? {
            return Ok(None);
        }
        if let Some((plan, planned)) = round_of_part
            && let Some(part) = hop.part.take()
        {
            let is_servers = of_server.is_some_and(|answer| Arc::ptr_eq(&answer, &response));
            match transfer.take_part(&response, is_servers, part)? {
                Taken::Over => return transfer.finish(response).map(Some),
                Taken::Some(part, broken) => {
                    hop.part = Some(part);
                    *round = Some(transfer.go_on_after(broken, hop, plan, planned)?);
                    return Ok(None);
                }
            }
        }
        transfer.take_body(&response, &hop.method)?;
        transfer.finish(response).map(Some)
    }
}

/// What comes after a step.
enum Step {
    Wait(Arc<Waiting>),
    Over(Arc<Response>),
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

/// What a hop goes by.
enum Course {
    /// Connections, of this adapter or, None, of the session's own.
    Http(Option<Arc<Adapter>>, Arc<Route>),
    Custom(Arc<dyn BaseAdapter>),
}

impl Course {
    fn http<'a>(&'a self, transfer: &'a Transfer) -> Option<(&'a Adapter, &'a Arc<Route>)> {
        match self {
            Course::Http(mounted, route) => {
                Some((mounted.as_ref().unwrap_or(&transfer.request.owner.shared().adapter), route))
            }
            Course::Custom(_) => None,
        }
    }

    /// The proxy that forwards it, where one does.
    fn forward(&self) -> Option<&Proxy> {
        match self {
            Course::Http(_, route) => route.forward(),
            Course::Custom(_) => None,
        }
    }

    /// Whom it leads to, for messages.
    fn peer(&self, url: &Url) -> String {
        match self {
            Course::Http(_, route) => route.to_string(),
            Course::Custom(_) => url.authority().into(),
        }
    }
}

/// What one sending goes by.
enum Means<'a> {
    Http(&'a Adapter, &'a Arc<Route>),
    Custom(&'a Arc<dyn BaseAdapter>, Box<Through<'a>>),
}

/// What holds for a hop, as it was when the request was submitted.
struct Plan {
    course: Course,
    /// What says when to try again.
    retry: Option<Arc<Retry>>,
}

/// One hop between its first sending and its response.
struct Round {
    asked: Asked,
    admission: Admission,
    /// Whether it has waited for that since the hop was sent last.
    has_waited: bool,
    /// The turn of what was sent last.
    permit: Option<Arc<Permit>>,
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
    started: Option<Moment>,
    /// How often the hop was sent again because the server had not processed it.
    resent: u32,
}

impl Round {
    /// The turn of what was sent is over, also where its answer is still to be read.
    fn end_turn(&mut self) {
        self.started = None;
        if let Some(permit) = self.permit.take() {
            permit.end();
        }
    }
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

/// How often who has asked for credentials at one hop. Each is answered once in each attempt.
#[derive(Default)]
struct Asked {
    by_server: u32,
    by_proxy: u32,
}

/// What says that carrying a request out twice does no harm, whatever its method.
pub(super) const IDEMPOTENCY_KEY: &str = "Idempotency-Key";
/// So often a challenge function may have a hop sent again.
const MOST_AGAIN: u32 = 10;
/// So often a hop is sent again that the server says it has not processed.
const MOST_RESENT: u32 = 10;
/// So much is read of an answer that it does not take.
const LONGEST_CHALLENGE: u64 = 64 * 1024;
/// As it stands in a head.
const EXPECTS: &[u8] = b"\r\nExpect: 100-continue\r\n";
/// A body that is longer may take a while to be sent.
const LONG_BODY: u64 = 64 * 1024;

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
    adapter: &'a Adapter,
    route: &'a Arc<Route>,
    fresh: bool,
}

/// A request that the server has, or as much of it as it took.
enum Sent {
    Http1 {
        exchange: Exchange,
        anything: bool,
        /// Why not all of it.
        unsent: Option<Error>,
    },
    Http2(Box<OnStream>),
}

/// The same over HTTP/2.
struct OnStream {
    stream: Stream,
    peer: Arc<Peer>,
    /// The connection had served before.
    reused: bool,
}

impl OnStream {
    fn failure(failed: http2::Unanswered, reused: bool, sent: bool) -> Failure {
        let http2::Unanswered { error, silent, unprocessed } = failed;
        Failure { error, reused, sent: sent && unprocessed.is_none(), silent, unprocessed }
    }
}

/// What becomes of an answer.
enum Exchanged {
    /// It is the response; None: the hop is sent again, or the request pauses before that.
    Settled(Option<Arc<Response>>),
    /// It asks for credentials that there are: the hop is sent again, over the connection that is kept there.
    Asked(Arc<Response>, Option<Arc<Place>>),
    /// It does not fit what is there of a file, for this reason.
    Unfit(Arc<Response>, String),
}

/// What came of it.
struct Heard<'a> {
    response: Arc<Response>,
    prepared: Option<Box<Prepared<'a>>>,
    /// Of its body, as far as that was announced.
    length: Option<u64>,
}

impl Transfer {
    /// Checks all of the request. Nothing is sent yet.
    #[inline(never)]
    fn first(&self) -> Result<Hop, Error> {
        if let Some(deadline) = self.request.deadline() {
            self.control.set_deadline(deadline);
            self.control.check()?;
        }
        let mut hop = Hop::first(&self.request, &self.settings, &self.control)?;
        if self.resumes() {
            self.prepare_resuming(&mut hop)?;
        }
        Ok(hop)
    }

    /// Where the hop goes.
    #[inline(never)]
    fn plan(&self, hop: &Hop) -> Result<(Plan, Round), Error> {
        let mounted = match self.request.adapter_for(&hop.url) {
            None if !hop.url.is_http() => return Err(hop.url.no_adapter()),
            None => Ok(None),
            Some(AnyAdapter::Http(adapter)) => Ok(Some(adapter.clone())),
            Some(AnyAdapter::Custom(adapter)) => Err(adapter.clone()),
        };
        let course = match mounted {
            Ok(mounted) => Course::Http(mounted, self.route(&hop.url, &hop.credentials)?),
            Err(custom) => Course::Custom(custom),
        };
        let of_adapter = || course.http(self).and_then(|(adapter, _)| adapter.retry.clone());
        let retry = self.settings.retry.clone().flatten().or_else(of_adapter);
        if let Some(share) = retry.as_ref().and_then(|retry| retry.share) {
            self.request.owner.shared().bucket.add(share);
        }
        let round = Round {
            tries: Tries::new(retry.as_deref()),
            asked: Asked::default(),
            admission: Admission::default(),
            has_waited: false,
            permit: None,
            kept: None,
            pause: None,
            length: None,
            fresh: false,
            started: None,
            resent: 0,
        };
        Ok((Plan { course, retry }, round))
    }

    /// None: it is the hop's turn.
    fn turn(&self, hop: &Hop, plan: &Plan, round: &mut Round) -> Result<Option<Arc<Waiting>>, Error> {
        if let Some(place) = round.kept.take().and_then(|place| place.take()) {
            round.admission.place = place;
        }
        match plan.course.http(self) {
            Some((adapter, route)) => adapter.admit(&mut round.admission, &hop.url, route, &self.control),
            None => Ok(None),
        }
    }

    /// One request and the head of its response. None: it is to be sent again.
    fn send(
        &self,
        hop: &mut Hop,
        meter: &mut Meter,
        plan: &Plan,
        round: &mut Round,
    ) -> Result<Option<Arc<Response>>, Error> {
        self.open_part(hop)?;
        let (response, place) = match self.exchange(hop, meter, plan, round)? {
            Exchanged::Settled(response) => return Ok(response),
            Exchanged::Unfit(response, why) => {
                return self.begin_anew(hop, response, &why, plan, round).map(|()| None);
            }
            Exchanged::Asked(response, place) => (response, place),
        };
        match leave(&response) {
            // What is broken of it is given up like what is too much.
            Err(_) if hop.credentials.custom().is_some() && self.control.check().is_ok() => response.close(),
            left => left?,
        }
        round.kept = place;
        (round.fresh, round.started) = (false, None);
        if hop.redirects == 0 {
            self.settle(&response);
            hop.history.push(response);
        }
        Ok(None)
    }

    /// What was spent since the last time is this response's.
    fn settle(&self, response: &Response) {
        let spent = self.control.stopwatch.take();
        if !response.settle(spent) {
            self.control.stopwatch.give_back(&spent);
        }
    }

    /// One request and its answer, of which it is said what becomes of it.
    fn exchange(
        &self,
        hop: &Hop,
        meter: &mut Meter,
        plan: &Plan,
        round: &mut Round,
    ) -> Result<Exchanged, Error> {
        hop.payload.rewind(&self.control)?;
        // What a redirect leads to is asked anew; at first a nonce from an earlier request will do.
        let knows_nonce = hop.redirects == 0 || round.asked.by_server > 0;
        let outgoing = Outgoing { payload: &hop.payload, control: &self.control };
        let means = match &plan.course {
            Course::Custom(adapter) => {
                Means::Custom(adapter, Box::new(Through::new(self, hop, &outgoing, meter)))
            }
            Course::Http(mounted, route) => {
                Means::Http(mounted.as_ref().unwrap_or(&self.request.owner.shared().adapter), route)
            }
        };
        let composed = self.compose(hop, &outgoing, &plan.course, knows_nonce)?;
        let first = match &means {
            Means::Http(..) => Phase::Send,
            Means::Custom(..) => Phase::Hook,
        };
        let started = *round.started.get_or_insert_with(|| {
            let now = Moment::now();
            self.control.stopwatch.enter_at(first, now);
            now
        });
        let place = self.may_go_on(hop, &plan.course).then(Arc::default);
        hop.attempts.set(hop.attempts.get() + 1);
        let admission = mem::take(&mut round.admission);
        if let Standing::Come(permit) = &admission.standing {
            round.permit = Some(permit.clone());
        }
        let is_keyed = composed.is_keyed;
        let heard = match &means {
            Means::Custom(adapter, through) => self.send_by(adapter, composed, through, started),
            Means::Http(adapter, route) => {
                let attempt = Attempt { hop, meter, adapter, route, fresh: round.fresh };
                self.send_over(attempt, composed, admission, place.clone(), started)
            }
        };
        let Heard { response, prepared, length } = match heard {
            Ok(heard) => heard,
            Err(failure) => {
                return self.failed(failure, hop, is_keyed, place, plan, round).map(Exchanged::Settled);
            }
        };
        round.length = length;
        for value in response.head().all_octets("Set-Cookie") {
            self.request.owner.shared().jar.set(&hop.cookie_url(), value);
        }
        if self.is_asked(hop, &plan.course, round, prepared, &response)? {
            trace::info(&self.control, || format!("Asked for credentials by a {}", response.status()))?;
            return Ok(Exchanged::Asked(response, place));
        }
        if let Some(place) = place {
            place.give_back();
        }
        if response.status() == 417 && hop.asks_first.get() && hop.payload.can_rewind() {
            // It does not know what it was asked, which is nobody's failure.
            hop.asks_first.set(false);
            return self.pause(round, Duration::ZERO, Last::Answered(response)).map(Exchanged::Settled);
        }
        match self.fit(hop, &response) {
            Some(Fit::Complete) => return Ok(Exchanged::Settled(Some(response))),
            Some(Fit::Unfit(why)) => return Ok(Exchanged::Unfit(response, why)),
            _ => {}
        }
        self.judge_status(response, hop, is_keyed, plan, round).map(Exchanged::Settled)
    }

    /// Whether the hop may have to be sent again within its turn, so that the connection is kept for it.
    fn may_go_on(&self, hop: &Hop, course: &Course) -> bool {
        let Some((adapter, route)) = course.http(self) else { return false };
        let may_be_asked = match &hop.credentials {
            Credentials::Custom(custom) => custom.challenge.is_some(),
            Credentials::Known(Auth::Digest(..)) => true,
            _ => false,
        };
        may_be_asked || adapter.is_crowded() || route.forward().is_some_and(|proxy| proxy.login().is_some())
    }

    #[inline(never)]
    fn call_hooks(&self, mut response: Arc<Response>) -> Outcome {
        for hook in &self.settings.hooks {
            response = self.call(&**hook, "hook", response)?;
        }
        Ok(response)
    }

    /// Where the user wants that, what hooks have left of a 4xx or 5xx is no outcome but an error.
    fn raise_for_status(&self, hop: &Hop, response: &Arc<Response>) -> Result<(), Error> {
        let is_complete = || self.fit(hop, response) == Some(Fit::Complete);
        if self.settings.raise_for_status != Some(true) || is_complete() {
            return Ok(());
        }
        let Some(error) = response.bad_status() else { return Ok(()) };
        read_whole(response)?;
        self.settle(response);
        Err(error.clone().with_response(response.clone()))
    }

    /// Turns the hop into the one that the response leads to. False: it is the last.
    #[inline(never)]
    fn redirect(&self, hop: &mut Hop, response: &Arc<Response>) -> Result<bool, Error> {
        let follows = self.settings.allow_redirects.unwrap_or(*hop.method != *"HEAD");
        // An empty Location leads nowhere.
        let leads = response.is_redirect() && response.head().get("location") != Some("");
        if !follows || !leads {
            return Ok(false);
        }
        leave(response)?;
        self.settle(response);
        let most = self.settings.max_redirects.unwrap_or(MAX_REDIRECTS) as usize;
        if hop.redirects == most {
            let error = Error::new(ErrorKind::TooManyRedirects, format!("Exceeded {most} redirects."))
                .at(response.url().as_str());
            return Err(hop.blamed(error, Phase::Receive).with_response(response.clone()));
        }
        if hop.redirects == 0 {
            // No history shows them any more, so their time goes on with the next response.
            for asked in hop.history.drain(..) {
                self.control.stopwatch.give_back(&asked.spent());
            }
        }
        hop.redirects += 1;
        hop.history.push(response.clone());
        let is_mounted = |scheme: &str| self.request.has_mounted(scheme);
        let netrc = |host: &str| credentials::from_netrc(&self.request, &self.settings, host);
        hop.redirect(response, &is_mounted, netrc)?;
        trace::info(&self.control, || {
            format!("Following the redirect by {} {}", hop.method, without_userinfo(hop.url.as_str()))
        })?;
        Ok(true)
    }

    /// Whether the answer asks for credentials that there are, so that the hop is to be sent once more.
    #[inline(never)]
    fn is_asked(
        &self,
        hop: &Hop,
        course: &Course,
        round: &mut Round,
        prepared: Option<Box<Prepared<'_>>>,
        response: &Arc<Response>,
    ) -> Result<bool, Error> {
        let Round { asked, tries, .. } = round;
        let attempts = tries.made + 1;
        let session = self.request.owner.shared();
        let hashable = || hop.payload.is_hashable();
        let challenges = |header| response.head().all(header).map(|one| one.as_str()).collect::<Vec<_>>();
        if response.status() == 407
            && asked.by_proxy < attempts
            && let Some((adapter, route)) = course.http(self)
            && let Some(proxy) = route.forward()
            && proxy.challenge(&adapter.proxy_digest, &challenges("proxy-authenticate"), hashable())
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
            Credentials::Custom(custom) if hop.challenges.get() < MOST_AGAIN => {
                let is_again = self.is_challenged(custom, prepared, response)?;
                if is_again {
                    hop.challenges.set(hop.challenges.get() + 1);
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
        self.control.stopwatch.in_hook(|| {
            let verdict = challenge.judge(&mut prepared, response);
            let is_again = verdict.map(|verdict| matches!(verdict, Verdict::Again));
            self.after(prepared, "challenge function", is_again).map(|(is_again, _)| is_again)
        })
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
                let error = said(what, prepared.failure.take());
                Err(error.at(prepared.shown_url().as_str()))
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
        by: Option<(&Adapter, &Arc<Route>)>,
        target: &str,
    ) -> Result<Option<String>, Error> {
        let Some((adapter, proxy)) = by.and_then(|(adapter, route)| Some((adapter, route.forward()?))) else {
            return Ok(None);
        };
        let message = Message { method: &hop.method, target, body };
        proxy.authorization(&adapter.proxy_digest, &message)
    }

    /// What is sent: composed, and changed by the user's functions.
    #[inline(never)]
    fn compose<'b>(
        &self,
        hop: &Hop,
        outgoing: &'b Outgoing<'b>,
        course: &Course,
        knows_nonce: bool,
    ) -> Result<Composed<'b>, Error> {
        let by = course.http(self);
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
        let (cookie, forwarded) = (cookie.as_deref(), course.forward().is_some());
        let hooks = self.settings.request_hooks.as_deref().unwrap_or_default();
        let custom = hop.credentials.custom();
        if hooks.is_empty() && custom.is_none() && by.is_some() {
            authorizations.proxy_authorization =
                self.proxy_authorization(hop, outgoing, by, hop.target(true))?;
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
            prepared = self.control.stopwatch.in_hook(|| {
                let result = hook.prepare(&mut prepared);
                self.after(prepared, "request hook", result).map(|(_, prepared)| prepared)
            })?;
        }
        if let Some(prepare) = custom.and_then(|custom| custom.prepare.as_ref()) {
            prepared = self.control.stopwatch.in_hook(|| {
                let result = prepare.prepare(&mut prepared);
                self.after(prepared, "prepare function", result).map(|(_, prepared)| prepared)
            })?;
        }
        if by.is_some() {
            prepared.sent();
        }
        // The user's functions do not see it, but it is about what they have left.
        authorizations.proxy_authorization =
            self.proxy_authorization(hop, outgoing, by, prepared.url().without_fragment())?;
        Ok(Composed {
            head: changed_head(&prepared, &hop.payload, &authorizations, forwarded)?,
            close: closes(prepared.octets()),
            is_keyed: prepared.header(IDEMPOTENCY_KEY).is_some(),
            prepared: Some(prepared),
        })
    }

    // Its frame lies below all that waits for a connection and for the answer: what is done with them stays out of it.
    /// Over a connection.
    #[inline(never)]
    fn send_over<'b>(
        &self,
        attempt: Attempt<'_>,
        composed: Composed<'b>,
        admission: Admission,
        place: Option<Arc<Place>>,
        started: Moment,
    ) -> Result<Heard<'b>, Failure> {
        let Attempt { hop, meter, adapter, route, fresh } = attempt;
        let attempt = Attempt { hop, meter, adapter, route, fresh };
        let (exchange, anything, unsent) = match self.deliver(attempt, &composed, admission, place)? {
            Sent::Http1 { exchange, anything, unsent } => (exchange, anything, unsent),
            Sent::Http2(sent) => return self.hear_stream(hop, meter, composed, route, (sent, started)),
        };
        let reused = exchange.reused;
        match receive::receive(exchange) {
            Ok(answer) => {
                let elapsed = answer.at.since(started);
                Ok(self.heard(hop, meter, composed, answer, elapsed))
            }
            Err(Unanswered { error, silent }) => {
                let is_why = error.kind() == ErrorKind::Connection;
                let error = if is_why { unsent.unwrap_or(error) } else { error };
                Err(Failure { error, reused, sent: anything, silent, unprocessed: None })
            }
        }
    }

    #[inline(never)]
    fn deliver(
        &self,
        attempt: Attempt<'_>,
        composed: &Composed<'_>,
        admission: Admission,
        place: Option<Arc<Place>>,
    ) -> Result<Sent, Failure> {
        let Timeouts { connect, .. } = self.settings.timeouts.unwrap_or_default();
        let (carrier, lease) = attempt
            .adapter
            .connection(admission, attempt.route, &self.control, connect, attempt.fresh)
            .map_err(Failure::before_sending)?;
        match carrier {
            Carrier::Http1(connection) => {
                if attempt.route.protocol == Protocol::Demanded {
                    return Err(self.no_http2(connection, attempt.route));
                }
                self.send_by_connection(attempt, composed, connection, lease, place)
            }
            Carrier::Http2(http2) => self.send_by_stream(attempt, composed, http2, lease, place),
        }
    }

    /// Sends a request, as far as the server takes it.
    #[inline(never)]
    fn send_by_connection(
        &self,
        attempt: Attempt<'_>,
        composed: &Composed<'_>,
        mut connection: Box<Connection>,
        mut lease: Lease,
        place: Option<Arc<Place>>,
    ) -> Result<Sent, Failure> {
        let Attempt { hop, meter, route, .. } = attempt;
        let Timeouts { read, .. } = self.settings.timeouts.unwrap_or_default();
        let reused = connection.served > 0;
        connection.begin();
        let told = match reused {
            true => trace::info(&self.control, || format!("Using a kept connection to {route}")),
            false => Ok(()),
        };
        told.and_then(|()| trace::head(&self.control, Kind::HeadOut, &composed.head))?;
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
        // What is short is sent at once: that is the better time.
        let is_long = hop.payload.length().is_none_or(|length| length > LONG_BODY);
        let has_sent = |lease: &mut Lease| lease.permit.as_ref().map_or((), |permit| permit.sent());
        if is_long {
            has_sent(&mut lease);
        }
        let sent = meter
            .begin(hop.payload.length(), hop.part.as_ref().map_or(0, |part| part.asks_from()))
            .and_then(|()| self.send_head_and_body(hop, &composed.head, &mut connection, &limits, meter));
        has_sent(&mut lease);
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
                return Err(Failure { sent: true, silent: true, ..Failure::before_sending(error) });
            }
        };
        self.control.stopwatch.enter(Phase::Wait);
        let anything = connection.has_written();
        let exchange = Exchange {
            connection,
            lease,
            place,
            reused,
            control: self.control.clone(),
            silence: read,
            pace: Pace::of_receiving(&self.settings),
            close: composed.close || !whole,
            head_only: *hop.method == *"HEAD",
        };
        Ok(Sent::Http1 { exchange, anything, unsent })
    }

    /// A connection that is not what was asked for.
    #[cold]
    fn no_http2(&self, mut connection: Box<Connection>, route: &Route) -> Failure {
        connection.detach(&self.control);
        self.control.stopwatch.enter(Phase::Tls);
        let answer = match connection.channel().protocol() {
            Some(name) => format!("chose \"{}\"", name.escape_ascii()),
            None => "chose nothing".into(),
        };
        let text =
            format!("{route} does not speak HTTP/2: offered it in the TLS handshake (ALPN), it {answer}");
        let error = Error::new(ErrorKind::Connection, text);
        Failure { unprocessed: Some(Unprocessed::Never), ..Failure::before_sending(error) }
    }

    /// The same over HTTP/2.
    #[inline(never)]
    fn send_by_stream(
        &self,
        attempt: Attempt<'_>,
        composed: &Composed<'_>,
        http2: Arc<Http2>,
        mut lease: Lease,
        place: Option<Arc<Place>>,
    ) -> Result<Sent, Failure> {
        let Attempt { hop, meter, route, .. } = attempt;
        let reused = http2.begin();
        let request = http2::of_request(&composed.head, route.secure).and_then(|request| {
            if reused {
                trace::info(&self.control, || format!("Using a kept connection to {route}"))?;
            }
            if self.control.trace().is_some() {
                trace::head(&self.control, Kind::HeadOut, &over_http2(&composed.head))?;
            }
            Ok(request)
        });
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                lease.leave(&http2);
                return Err(Failure::before_sending(error));
            }
        };
        let peer = http2.peer.clone();
        let pace = Pace::of_sending(&self.settings);
        let limits = self.limits_of_stream(route, pace.as_deref());
        let permit = lease.permit.clone();
        let has_sent = || permit.as_ref().map_or((), |permit| permit.sent());
        let length = hop.payload.length();
        if length.is_none_or(|length| length > LONG_BODY) {
            has_sent();
        }
        if let Err(error) = meter.begin(length, hop.part.as_ref().map_or(0, |part| part.asks_from())) {
            lease.leave(&http2);
            return Err(Failure::before_sending(error));
        }
        let opened = Stream::open(http2, lease, place, self.control.clone(), request, length, &limits);
        let mut stream = opened.map_err(|failed| OnStream::failure(failed, reused, false))?;
        let sent = self.send_body(hop, &composed.head, &mut stream, &limits, meter);
        has_sent();
        sent.map_err(|error| Failure { sent: true, silent: true, ..Failure::before_sending(error) })?;
        self.control.stopwatch.enter(Phase::Wait);
        Ok(Sent::Http2(Box::new(OnStream { stream, peer, reused })))
    }

    fn limits_of_stream<'a>(&'a self, route: &'a Arc<Route>, pace: Option<&'a Pace>) -> Limits<'a> {
        Limits {
            control: &self.control,
            silence: self.settings.timeouts.unwrap_or_default().read,
            connect: None,
            step: socket::Step::Send,
            peer: &**route,
            progress: None,
            pace,
        }
    }

    /// The answer that comes on a stream.
    #[inline(never)]
    fn hear_stream<'b>(
        &self,
        hop: &Hop,
        meter: &mut Meter,
        composed: Composed<'b>,
        route: &Arc<Route>,
        (sent, started): (Box<OnStream>, Moment),
    ) -> Result<Heard<'b>, Failure> {
        let OnStream { stream, peer, reused } = *sent;
        let limits = self.limits_of_stream(route, None);
        let opened = stream.receive(&limits, Pace::of_receiving(&self.settings), *hop.method == *"HEAD");
        let opened = opened.map_err(|failed| OnStream::failure(failed, reused, true))?;
        let Opened { status, head, at, body, length } = opened;
        let answer = Answer {
            status,
            version: HttpVersion::Http2,
            head,
            at,
            peer,
            reused,
            body: AnyBody::Http2(Box::new(body)),
            length,
            transfer_codings: Vec::new(),
        };
        Ok(self.heard(hop, meter, composed, answer, at.since(started)))
    }

    /// The body of a request whose head was sent.
    fn send_body(
        &self,
        hop: &Hop,
        head: &[u8],
        stream: &mut Stream,
        limits: &Limits,
        meter: &mut Meter,
    ) -> Result<(), Error> {
        if hop.payload.length() == Some(0) {
            return Ok(());
        }
        let wait = self.settings.expect_continue.unwrap_or_default();
        let asks = !wait.is_zero() && hop.asks_first.get() && memmem::find(head, EXPECTS).is_some();
        if asks && !stream.is_wanted(wait, limits)? {
            return Ok(());
        }
        if hop.payload.send(&[], stream, limits, meter)? {
            stream.finish();
        }
        Ok(())
    }

    /// False when the server has answered before it had all, or wants no body.
    fn send_head_and_body(
        &self,
        hop: &Hop,
        head: &[u8],
        connection: &mut Connection,
        limits: &Limits,
        meter: &mut Meter,
    ) -> Result<bool, Error> {
        let wait = self.settings.expect_continue.unwrap_or_default();
        // A function of the user's may have taken the header out.
        if wait.is_zero() || !hop.asks_first.get() || memmem::find(head, EXPECTS).is_none() {
            return hop.payload.send(head, connection, limits, meter);
        }
        if !connection.send(&[head], limits)? || !connection.is_wanted(wait, limits)? {
            return Ok(false);
        }
        hop.payload.send(&[], connection, limits, meter)
    }

    /// An answer as the response that it is the head of.
    #[inline(never)]
    fn heard<'b>(
        &self,
        hop: &Hop,
        meter: &mut Meter,
        composed: Composed<'b>,
        answer: Answer,
        elapsed: Duration,
    ) -> Heard<'b> {
        let Composed { head: request_head, prepared, .. } = composed;
        let length = answer.length;
        meter.answered(length, hop.goes_behind(answer.status));
        let url = prepared.as_ref().map_or(&hop.url, |prepared| prepared.url());
        let head = answer.head;
        let coding = match (&*hop.method, answer.status) {
            ("HEAD", _) | (_, 204 | 304) => None,
            _ if self.settings.decode == Some(false) => None,
            _ => head.joined("content-encoding"),
        };
        let mut body = answer.body;
        let trailers = body.trailers();
        let transfer_codings = answer.transfer_codings.join(",");
        let is_traced = self.control.trace().is_some();
        let untouched = !meter.is_on()
            && !is_traced
            && self.settings.max_body.is_none()
            && coding.is_none()
            && transfer_codings.is_empty();
        // A body that is here already needs no source, unless somebody may want to read it in pieces.
        let whole = if untouched && self.takes_whole() { body.at_once() } else { None };
        let source: Option<Source> = if whole.is_some() {
            None
        } else if untouched {
            Some(body.into_source())
        } else {
            let watched = Watched { source: body, control: self.control.clone() };
            let metered = Metered { source: watched, meter: meter.clone() };
            let transferred = decode::decoder(&transfer_codings, metered, &self.control);
            let decoded = decode::decoder(coding.as_deref().unwrap_or(""), transferred, &self.control);
            let (control, limit) = (self.control.clone(), self.settings.max_body.unwrap_or(u64::MAX));
            Some(Box::new(Limited { source: decoded, control, limit, seen: hop.goes_behind(answer.status) }))
        };
        // With room for the NUL that a string for C ends with.
        let mut shown_url = String::with_capacity(url.as_str().len() + 1);
        shown_url.push_str(url.as_str());
        let mut response = Response::new(Parts {
            status: answer.status,
            head,
            url: shown_url,
            request_head,
            request_body: hop.payload.sent_body(),
            elapsed,
            seen: Seen {
                peer: Some(answer.peer),
                version: Some(answer.version),
                attempts: hop.attempts.get(),
                reused: answer.reused,
            },
            spent: self.control.stopwatch.spent(),
            history: hop.history.clone(),
            control: source.is_some().then(|| self.control.clone()),
            source,
        });
        if let Some(trailers) = trailers {
            response.expect_trailers(trailers);
        }
        if let Some(content) = whole {
            response.set_content(content);
        }
        Heard { response: Arc::new(response), prepared, length }
    }

    /// Whether nobody but us reads a body before all of it is here.
    fn takes_whole(&self) -> bool {
        let settings = &self.settings;
        settings.stream != Some(true) && settings.hooks.is_empty() && settings.sink.is_none()
    }

    /// Where the hop goes.
    #[inline(always)]
    fn route(&self, url: &Url, credentials: &Credentials) -> Result<Arc<Route>, Error> {
        let secure = url.scheme() == Scheme::Https;
        let trusted = self.environment();
        let empty = Vec::new();
        let own = self.request.options.as_ref().map_or(&empty, |options| &options.proxies);
        let session = &self.request.defaults.proxies;
        let reach = self.settings.reach.as_deref();
        let via = if let Some(path) = &self.settings.unix_socket {
            Via::Unix(path.clone())
        } else {
            let no_proxy = reach.and_then(|reach| reach.no_proxy.as_ref()?.as_deref());
            match choice::select(url.scheme_name(), url.host(), url.port(), own, trusted, session, no_proxy)?
            {
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
        let mut tls = (secure || tls_to_proxy).then(|| TlsSettings::of(&self.settings, trusted));
        let server_name = if secure { self.server_name(url)? } else { None };
        let dialing = match &via {
            Via::Unix(_) => Dialing::default(),
            _ => reach.map(Reach::dialing).unwrap_or_default(),
        };
        let (host, port) = match &via {
            // What a proxy forwards shares its connections, whatever the target.
            Via::Proxy(proxy) if !secure && !proxy.scheme.is_socks() => (proxy.host.as_str(), proxy.port),
            // So does plain http over a Unix socket.
            Via::Unix(_) if !secure => ("", 0),
            _ => (url.host(), url.port()),
        };
        let protocol = self.protocol(secure, &via)?;
        if let Some(tls) = &mut tls {
            tls.offers_http2 = protocol != Protocol::Http1;
        }
        // A server that was answered may remember who that was by the connection.
        let custom = credentials.custom().filter(|custom| custom.challenge.is_some());
        let login = custom.map(|custom| &custom.login);
        let is_same = |last: &Route| {
            (last.secure, last.port) == (secure, port)
                && (&*last.host, &last.via, &last.tls, last.login.as_ref()) == (host, &via, &tls, login)
                && (&last.server_name, &last.dialing, last.protocol) == (&server_name, &dialing, protocol)
        };
        if let Some(route) = recent::route(is_same) {
            return Ok(route);
        }
        let host = host.to_owned();
        let route = Arc::new(Route {
            secure,
            host,
            port,
            via,
            tls,
            server_name,
            dialing,
            login: login.cloned(),
            protocol,
        });
        recent::remember_route(&route);
        Ok(route)
    }

    fn http_choice(&self) -> HttpChoice {
        let chosen = self.settings.reach.as_ref().and_then(|reach| reach.http);
        // So that the tests run with both.
        let by_tests = cfg!(debug_assertions) && std::env::var_os("RF_TEST_HTTP2").is_some();
        chosen.unwrap_or(if by_tests { HttpChoice::Auto } else { HttpChoice::Http11 })
    }

    /// What is spoken with the server.
    fn protocol(&self, secure: bool, via: &Via) -> Result<Protocol, Error> {
        let choice = self.http_choice();
        let forwards = !secure && matches!(via, Via::Proxy(proxy) if !proxy.scheme.is_socks());
        let refused = |text: &str| Err(Error::new(ErrorKind::Connection, text));
        match choice {
            HttpChoice::Http11 => Ok(Protocol::Http1),
            HttpChoice::Auto if !secure => Ok(Protocol::Http1),
            HttpChoice::Http2 if !secure => refused("HTTP/2 without TLS needs prior knowledge"),
            HttpChoice::Auto => Ok(Protocol::Negotiated),
            HttpChoice::Http2 => Ok(Protocol::Demanded),
            HttpChoice::PriorKnowledge if forwards => {
                refused("A proxy that forwards a request without TLS speaks HTTP/1.1")
            }
            HttpChoice::PriorKnowledge => Ok(Protocol::Http2),
        }
    }

    fn environment(&self) -> Option<&Environment> {
        self.request.environment.as_deref().filter(|_| self.settings.trust_env.unwrap_or(true))
    }

    /// What the server's certificate has to be for, in the place of its host: that was said of the first one.
    fn server_name(&self, url: &Url) -> Result<Option<Arc<str>>, Error> {
        let reach = self.settings.reach.as_ref();
        let Some(name) = reach.and_then(|reach| reach.server_name.clone().flatten()) else { return Ok(None) };
        if !same_host(self.request.parse_url()?.host(), url.host()) {
            return Ok(None);
        }
        // What a host may be written as, but no name may have in it, stands there escaped.
        let is_name = |host: &str| host.split_once('%').is_none_or(|(address, _)| address.contains(':'));
        let canonical = canonical_host(&name).filter(|host| is_name(host)).ok_or_else(|| {
            let text = format!("\"{}\" is not the name of a server", name.escape_default());
            Error::new(ErrorKind::Ssl, text)
        })?;
        Ok(Some(if *canonical == *name { name } else { canonical.into() }))
    }

    /// Calls a hook, and takes what it puts in the response's place.
    fn call(&self, hook: &dyn crate::message::options::Hook, what: &str, response: Arc<Response>) -> Outcome {
        let mut call = HookCall { owner: self.request.owner.clone(), failure: None, replacement: None };
        let (replacement, response) = self.control.stopwatch.in_hook(|| {
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
            Ok((call.replacement, response))
        })?;
        let Some(replacement) = replacement else { return Ok(response) };
        replacement.answer(&self.control, |source| {
            let (control, limit) = (self.control.clone(), self.settings.max_body.unwrap_or(u64::MAX));
            Box::new(Limited { source, control, limit, seen: 0 })
        });
        Ok(replacement)
    }

    /// The last response, as the user gets it.
    #[inline(never)]
    fn finish(&self, response: Arc<Response>) -> Outcome {
        self.settle(&response);
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
                let appends = self.settings.output_mode == Some(OutputMode::Append);
                let goal = Goal { appends, ..Goal::output(path.as_ref()) };
                let mut file = OutputFile::create_for(goal, &self.control)?;
                response.drain(&mut |piece| file.write(piece))?;
                file.complete()
            }
            Some(Sink::Descriptor(descriptor)) => {
                let name = format!("descriptor {descriptor}");
                let goal = Goal::output(name.as_ref());
                let mut file = OutputFile::of_descriptor(*descriptor, goal, &self.control)?;
                response.drain(&mut |piece| file.write(piece))?;
                file.complete()
            }
            Some(Sink::Function(output)) => response.drain(&mut |piece| {
                let refused = |_| Error::new(ErrorKind::Hook, "The output function refused to go on");
                self.control.stopwatch.in_hook(|| {
                    let written = output.write(piece).map_err(refused);
                    if self.control.origin().has_left() { Err(Error::forked()) } else { written }
                })
            }),
            None if self.settings.stream == Some(true) => {
                self.request.owner.remember_stream(&self.control);
                Ok(())
            }
            None => read_whole(response),
        }
    }
}

/// Why a function of the user's that got the request has refused, as it said itself if it did.
fn said(what: &str, failure: Option<(ErrorKind, String)>) -> Error {
    let (kind, text) = failure.unwrap_or_else(|| {
        let text = format!("A {what} returned other than RF_OK, and set no message with rf_prepared_fail");
        (ErrorKind::Hook, text)
    });
    Error::new(kind, text)
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
