//! Sending by an adapter of the user's: a function that answers a request as it likes, and may send it through other
//! adapters for that.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::io::Cursor;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use super::again::Failure;
use super::{Attempt, Composed, Heard, IDEMPOTENCY_KEY, Transfer, closes, said};
use crate::future::control::{Left, LeftTo};
use crate::future::stopwatch::Phase;
use crate::http::adapter::{Adapter, Admission};
use crate::http::hop::{Authorizations, Hop, Outgoing, changed_head};
use crate::http::mount::AnyAdapter;
use crate::http::progress::{Limited, Meter};
use crate::message::error::{Error, ErrorKind};
use crate::message::options::Refused;
use crate::message::prepared::{BaseAdapter, Prepared, SendThrough};
use crate::message::response::{Parts, Response, Seen, Source};
use crate::system::clock::Moment;

/// What an adapter of the user's needs to send a request through others.
pub(super) struct Through<'t> {
    transfer: &'t Transfer,
    hop: &'t Hop,
    outgoing: &'t Outgoing<'t>,
    meter: Meter,
    /// The adapters that have the request in hand.
    inside: RefCell<Vec<*const ()>>,
    /// How the last of them failed.
    failure: RefCell<Option<Failure>>,
    started: Cell<Option<Moment>>,
}

/// As messages name it.
const SEND_FUNCTION: &str = "send function of an adapter";

/// Tells adapters apart.
fn address(adapter: &AnyAdapter) -> *const () {
    match adapter {
        AnyAdapter::Http(adapter) => Arc::as_ptr(adapter).cast(),
        AnyAdapter::Custom(adapter) => Arc::as_ptr(adapter).cast(),
    }
}

impl From<Error> for Failure {
    /// Of a function: what it has done is not known, but for what says that itself.
    fn from(error: Error) -> Failure {
        let sent = !matches!(error.kind(), ErrorKind::ConnectTimeout | ErrorKind::Proxy);
        Failure { sent, ..Failure::before_sending(error) }
    }
}

impl Transfer {
    pub(super) fn send_by<'b>(
        &self,
        adapter: &Arc<dyn BaseAdapter>,
        composed: Composed<'b>,
        through: &'b Through<'b>,
        started: Moment,
    ) -> Result<Heard<'b>, Failure> {
        let Some(mut prepared) = composed.prepared else {
            let text = "A defect in this library: nothing was prepared for an adapter";
            return Err(Error::new(ErrorKind::Request, text).into());
        };
        through.inside.borrow_mut().push(address(&AnyAdapter::Custom(adapter.clone())));
        through.started.set(Some(started));
        prepared.hand_over(through);
        let hop = through.hop;
        self.control.leave_to(Left {
            to: LeftTo::Function,
            url: hop.url.as_str().into(),
            method: (*hop.method).into(),
            attempts: hop.attempts.get(),
        });
        self.control.stopwatch.enter(Phase::Hook);
        // Who ends the request from now on ends its future; one that was ended before nobody sends.
        let result = match self.control.check() {
            Ok(()) => adapter.send(&mut prepared),
            Err(_) => Err(Refused),
        };
        self.control.take_back();
        if self.control.origin().has_left() {
            // What it was given belongs to the process that forked this one.
            mem::forget(prepared);
            return Err(Error::forked().into());
        }
        let answer = prepared.take_back();
        // Who has said why has failed, whatever was returned.
        let result = if answer.is_none() && prepared.failure.is_some() { Err(Refused) } else { result };
        if result.is_err()
            && prepared.failure.is_none()
            && let Some(failure) = through.failure.take()
        {
            prepared.put_back()?;
            Error::check(&self.control, " in an adapter")?;
            return Err(failure);
        }
        let result = result.map(|()| answer);
        let (answer, mut prepared) = self.after(prepared, SEND_FUNCTION, result)?;
        self.control.stopwatch.enter(Phase::Receive);
        prepared.sent();
        let response = through.shape(&prepared, answer.as_ref(), started.elapsed())?;
        let length = response.head().get("content-length").and_then(|length| length.trim().parse().ok());
        Ok(Heard { response, prepared: Some(prepared), length })
    }
}

impl<'t> Through<'t> {
    pub(super) fn new(
        transfer: &'t Transfer,
        hop: &'t Hop,
        outgoing: &'t Outgoing<'t>,
        meter: &Meter,
    ) -> Through<'t> {
        Through {
            transfer,
            hop,
            outgoing,
            meter: meter.clone(),
            inside: RefCell::default(),
            failure: RefCell::default(),
            started: Cell::default(),
        }
    }

    /// The response to this hop that says what `answer` says.
    fn shape(
        &self,
        prepared: &Prepared<'_>,
        answer: Option<&Arc<Response>>,
        elapsed: Duration,
    ) -> Result<Arc<Response>, Error> {
        let at = |error: Error| error.at(prepared.shown_url().as_str());
        let hook = |text: &str| at(Error::new(ErrorKind::Hook, text));
        let Some(answer) = answer else {
            let text =
                "An adapter's send function returned RF_OK, and gave no response with rf_prepared_respond";
            return Err(hook(text));
        };
        let hop = self.hop;
        let nobody = Authorizations { authorization: None, proxy_authorization: None };
        let parts = Parts {
            status: answer.status(),
            head: answer.head().clone(),
            url: prepared.url().as_str().into(),
            request_head: changed_head(prepared, &hop.payload, &nobody, false).map_err(at)?,
            request_body: hop.payload.sent_body(),
            elapsed,
            seen: Seen { attempts: hop.attempts.get(), ..answer.seen().clone() },
            spent: self.transfer.control.stopwatch.spent(),
            history: hop.history.clone(),
            source: None,
            control: None,
        };
        if *hop.method == *"HEAD" || matches!(answer.status(), 204 | 304) {
            return Ok(Arc::new(Response::new(parts).with_content(Vec::new())));
        }
        let control = &self.transfer.control;
        let limit = self.transfer.settings.max_body.unwrap_or(u64::MAX);
        let seen = hop.goes_behind(answer.status());
        let bound = |source: Source| -> Source {
            Box::new(Limited { source, control: control.clone(), limit, seen })
        };
        // What is there already, but is too long, fails as it would if it came over the wire.
        let too_long = answer.at_hand().filter(|content| content.len() as u64 > limit.saturating_sub(seen));
        let response = match too_long {
            Some(content) => {
                let source = Some(bound(Box::new(Cursor::new(content.to_vec()))));
                Some(Response::new(Parts { source, control: Some(control.clone()), ..parts }))
            }
            None => Response::answering(parts, answer, control, bound),
        };
        let partly = "An adapter has closed, or read in part, the response that it gave";
        response.map(Arc::new).ok_or_else(|| hook(partly))
    }

    /// Over the connections of another adapter, once.
    #[cold]
    fn over(&self, prepared: &mut Prepared<'_>, adapter: &Adapter) -> Result<Arc<Response>, Failure> {
        let Through { transfer, hop, outgoing, .. } = *self;
        let control = &transfer.control;
        control.check().map_err(Error::from)?;
        prepared.put_back()?;
        let url = prepared.url().clone();
        let route = transfer.route(&url, &hop.credentials)?;
        let (mut fresh, mut meter) = (false, self.meter.clone());
        loop {
            let mut admission = Admission::default();
            while let Some(waiting) = adapter.admit(&mut admission, &url, &route, control)? {
                if !control.wait(&waiting) {
                    return Err(Error::deadlock().into());
                }
            }
            let by = Some((adapter, &route));
            let proxy_authorization =
                transfer.proxy_authorization(hop, outgoing, by, url.without_fragment())?;
            let authorizations = Authorizations { authorization: None, proxy_authorization };
            let composed = Composed {
                head: changed_head(prepared, &hop.payload, &authorizations, route.forward().is_some())?,
                close: closes(prepared.octets()),
                is_keyed: prepared.header(IDEMPOTENCY_KEY).is_some(),
                prepared: None,
            };
            let is_keyed = composed.is_keyed;
            hop.payload.rewind(control)?;
            let attempt = Attempt { hop, meter: &mut meter, adapter, route: &route, fresh };
            let now = Moment::now();
            control.stopwatch.enter_at(Phase::Send, now);
            match transfer.send_over(attempt, composed, admission, None, now) {
                Ok(heard) => return Ok(heard.response),
                Err(failure)
                    if failure.is_stale()
                        && !fresh
                        && transfer.may_repeat(hop, is_keyed, failure.sent, None)
                        && control.check().is_ok() =>
                {
                    // The server closed the connection while it lay idle.
                    fresh = true;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// By another adapter of the user's.
    fn by(&self, prepared: &mut Prepared<'_>, adapter: &dyn BaseAdapter) -> Result<Arc<Response>, Failure> {
        let before = prepared.exchange_answer(None);
        let said_before = prepared.failure.take();
        let result = adapter.send(prepared);
        let answer = prepared.exchange_answer(before);
        let failure = mem::replace(&mut prepared.failure, said_before);
        if self.transfer.control.origin().has_left() {
            mem::forget(answer);
            return Err(Error::forked().into());
        }
        let result = if answer.is_none() && failure.is_some() { Err(Refused) } else { result };
        match (result, failure, self.failure.take()) {
            (Ok(()), ..) => {
                let elapsed = self.started.get().map_or(Duration::ZERO, |started| started.elapsed());
                Ok(self.shape(prepared, answer.as_ref(), elapsed)?)
            }
            (Err(Refused), None, Some(failure)) => Err(failure),
            (Err(Refused), failure, _) => Err(said(SEND_FUNCTION, failure).into()),
        }
    }
}

impl SendThrough for Through<'_> {
    fn send_through(
        &self,
        prepared: &mut Prepared<'_>,
        adapter: &dyn Any,
    ) -> Option<Result<Arc<Response>, Error>> {
        let adapter = adapter.downcast_ref::<AnyAdapter>()?;
        if self.inside.borrow().contains(&address(adapter)) {
            return None;
        }
        self.inside.borrow_mut().push(address(adapter));
        let outcome = match adapter {
            AnyAdapter::Http(adapter) => self.over(prepared, adapter),
            AnyAdapter::Custom(adapter) => self.by(prepared, &**adapter),
        };
        self.inside.borrow_mut().pop();
        self.transfer.control.stopwatch.enter(Phase::Hook);
        let url = prepared.shown_url().as_str();
        self.failure.replace(outcome.as_ref().err().map(|failure| failure.copy(url)));
        Some(outcome.map_err(|failure| failure.error.at(url)))
    }
}
