//! What becomes of an attempt that went wrong: the hop is sent again, now or after a pause, or that is the end.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LONGEST_CHALLENGE, MOST_RESENT, Plan, Round, Transfer, leave};
use crate::future::stopwatch::Phase;
use crate::future::waiting::Waiting;
use crate::http::hop::Hop;
use crate::http::http2::Unprocessed;
use crate::http::pool::Place;
use crate::http::proxy::Proxy;
use crate::http::retry::{self, Cause, Last, Pause, Tries, retry_after};
use crate::http::trace;
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::reach::HttpChoice;
use crate::message::response::Response;
use crate::message::retry::Retry;
use crate::system::clock::Moment;

pub(super) enum Pausing {
    Wait(Arc<Waiting>, Instant),
    /// With the response to the last attempt, where there is not going to be another one.
    Over(Option<Arc<Response>>),
}

/// How an attempt went wrong.
pub(super) struct Failure {
    pub(super) error: Error,
    /// The connection had carried a request before.
    pub(super) reused: bool,
    /// Something of the request was sent.
    pub(super) sent: bool,
    /// Nothing came back.
    pub(super) silent: bool,
    /// The server has not processed it, as it says.
    pub(super) unprocessed: Option<Unprocessed>,
}

impl Transfer {
    /// Whether the hop may be sent once more, after it was `sent` or before.
    pub(super) fn may_repeat(&self, hop: &Hop, is_keyed: bool, sent: bool, retry: Option<&Retry>) -> bool {
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
    #[inline(never)]
    pub(super) fn failed(
        &self,
        failure: Failure,
        hop: &Hop,
        is_keyed: bool,
        place: Option<Arc<Place>>,
        plan: &Plan,
        round: &mut Round,
    ) -> Result<Option<Arc<Response>>, Error> {
        // What failed because of the end tells in which step that came.
        if failure.error.kind() != ErrorKind::Timeout {
            self.control.check()?;
        }
        let may_resend = round.resent < MOST_RESENT
            && hop.payload.can_rewind()
            && match (failure.unprocessed, plan.course.http(self)) {
                (Some(Unprocessed::Again), _) => true,
                (Some(Unprocessed::ByHttp1), Some((adapter, route))) => {
                    // Who wants HTTP/2 or nothing gets nothing.
                    let may = self.http_choice() == HttpChoice::Auto;
                    if may {
                        adapter.prefer_http1(route);
                    }
                    may
                }
                _ => false,
            };
        let again = if may_resend {
            round.resent += 1;
            round.kept = place;
            Some(None)
        } else if failure.is_stale() && !round.fresh && self.may_repeat(hop, is_keyed, failure.sent, None) {
            // The server closed the connection while it lay idle. That is nobody's failure, and costs no turn.
            round.kept = place;
            Some(None)
        } else {
            let cause = if failure.sent { Cause::Read } else { Cause::Connect };
            let retry = plan.retry.as_deref().filter(|retry| {
                failure.may_pass()
                    && round.tries.has(cause)
                    && self.may_repeat(hop, is_keyed, failure.sent, Some(retry))
            });
            retry.and_then(|retry| self.pay(retry, cause, None, &mut round.tries)).map(Some)
        };
        let reused = failure.reused;
        let error = match (failure.error.kind(), plan.course.forward()) {
            (ErrorKind::Connection, Some(proxy)) if failure.silent => proxy_failure(&failure.error, proxy),
            _ => failure.error,
        };
        let error = hop.blamed(error.at(hop.url.as_str()), self.control.stopwatch.phase());
        let Some(pause) = again else { return Err(error) };
        trace::info(&self.control, || match pause {
            Some(pause) => format!("Failed: {error}; once more in {} ms", pause.as_millis()),
            None if may_resend => format!("Not processed: {error}; once more"),
            None => format!("A kept connection had ended: {error}; once more"),
        })?;
        // The other connections that rest have rested as long.
        round.fresh |= reused && !may_resend;
        match pause {
            Some(pause) => self.pause(round, pause, Last::Failed(error)),
            None => Ok(None),
        }
    }

    /// The response, unless its status is to be tried again: None.
    #[inline(never)]
    pub(super) fn judge_status(
        &self,
        response: Arc<Response>,
        hop: &Hop,
        is_keyed: bool,
        plan: &Plan,
        round: &mut Round,
    ) -> Result<Option<Arc<Response>>, Error> {
        let Some(retry) = &plan.retry else { return Ok(Some(response)) };
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
            let (attempts, peer) = (round.tries.made + 1, plan.course.peer(&hop.url));
            let s = if attempts == 1 { "" } else { "s" };
            let text = format!("Gave up after {attempts} attempt{s}: {peer} answered {status}");
            self.settle(&response);
            let error = Error::new(ErrorKind::Retry, text).at(hop.url.as_str());
            return Err(hop.blamed(error, Phase::Receive).with_response(response));
        }
        let Some(length) = self.pay(retry, Cause::Status, Some(response.head()), &mut round.tries) else {
            return Ok(Some(response));
        };
        self.set_aside(&response, round.length)?;
        trace::info(&self.control, || {
            format!("Answered with {status}; once more in {} ms", length.as_millis())
        })?;
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
    pub(super) fn pay(
        &self,
        retry: &Retry,
        cause: Cause,
        head: Option<&Head>,
        tries: &mut Tries,
    ) -> Option<Duration> {
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
    #[inline(never)]
    pub(super) fn pause(
        &self,
        round: &mut Round,
        length: Duration,
        last: Last,
    ) -> Result<Option<Arc<Response>>, Error> {
        round.end_turn();
        if length.is_zero() {
            last.give_up();
            return Ok(None);
        }
        let now = Moment::now();
        match Pause::begin(&self.control, length) {
            Some(pause) => {
                self.control.stopwatch.enter_at(Phase::Pause, now);
                round.pause = Some((pause, last));
            }
            None => return last.into_outcome().map(Some),
        }
        Ok(None)
    }

    /// None: it is over. Where it was cut short, this is what became of the last attempt.
    pub(super) fn go_on_pausing(&self, round: &mut Round) -> Result<Pausing, Error> {
        let Some((pause, _)) = &round.pause else { return Ok(Pausing::Over(None)) };
        let left = pause.left(&self.control);
        self.control.check()?;
        if let Some(waiting) = left {
            let until = pause.until();
            return Ok(Pausing::Wait(waiting, until));
        }
        self.control.detach_waiting();
        self.control.stopwatch.enter(Phase::Queue);
        let Some((pause, last)) = round.pause.take() else { return Ok(Pausing::Over(None)) };
        if pause.is_cut() {
            return last.into_outcome().map(|response| Pausing::Over(Some(response)));
        }
        last.give_up();
        Ok(Pausing::Over(None))
    }
}

impl Failure {
    /// Nothing of the request was sent.
    pub(super) fn before_sending(error: Error) -> Failure {
        Failure { error, reused: false, sent: false, silent: false, unprocessed: None }
    }

    pub(super) fn copy(&self, url: &str) -> Failure {
        Failure { error: self.error.clone().at(url), ..*self }
    }

    /// Whether a connection that had served before has ended without a byte of answer.
    pub(super) fn is_stale(&self) -> bool {
        let has_ended = self.silent && self.error.kind() == ErrorKind::Connection;
        self.reused && has_ended && self.unprocessed.is_none()
    }

    /// Whether it may be other the next time.
    fn may_pass(&self) -> bool {
        let kind = self.error.kind();
        let passes = kind.is(ErrorKind::Connection) && kind != ErrorKind::Ssl;
        (passes && self.unprocessed != Some(Unprocessed::Never)) || kind == ErrorKind::ReadTimeout
    }
}

/// A proxy that forwards and hangs up without a word is to blame itself.
fn proxy_failure(error: &Error, proxy: &Proxy) -> Error {
    Error::new(ErrorKind::Proxy, format!("Unable to talk to proxy {}: {error}", proxy.shown()))
        .with_os_code(error.os_code())
}
