//! A response into a file that is complete after several requests: what is asked for, what fits what is there, and
//! what comes after a body that breaks off.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::{IDEMPOTENCY_KEY, Plan, Round, Transfer, read_whole};
use crate::http::hop::Hop;
use crate::http::resume::{Fit, Part};
use crate::http::retry::{Cause, Last};
use crate::http::trace;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::{Options, OutputMode, Sink};
use crate::message::response::Response;

/// What came of the body.
pub(super) enum Taken {
    /// The file is complete, or the response is not about it.
    Over,
    /// There is more of it. The error: it broke off; None: the server has given less than it was asked for.
    Some(Box<Part>, Option<Error>),
}

impl Transfer {
    pub(super) fn resumes(&self) -> bool {
        let is_file = matches!(self.settings.sink, Some(Sink::File(_)));
        is_file && self.settings.output_mode == Some(OutputMode::Resume)
    }

    /// Checks the request, and has it ask for what can be gone on with.
    #[cold]
    pub(super) fn prepare_resuming(&self, hop: &mut Hop) -> Result<(), Error> {
        if *hop.method != *"GET" {
            let text = format!("RF_OUTPUT_RESUME is for GET, and not for {}", hop.method);
            return Err(Error::new(ErrorKind::Request, text));
        }
        if let Some(name) = ["Range", "If-Range"].into_iter().find(|name| hop.headers.has(name)) {
            let text = format!("Invalid header \"{name}\": RF_OUTPUT_RESUME sets it");
            return Err(Error::new(ErrorKind::InvalidHeader, text));
        }
        if Options::accepts_by_default(self.request.options.as_deref(), &self.request.defaults) {
            hop.headers.replace("Accept-Encoding", "identity");
        }
        Ok(())
    }

    /// Before the first sending, whose URL is that of the file.
    #[inline(never)]
    pub(super) fn open_part(&self, hop: &mut Hop) -> Result<(), Error> {
        if hop.part.is_some() || !self.resumes() {
            return Ok(());
        }
        let Some(Sink::File(name)) = &self.settings.sink else { return Ok(()) };
        let decodes = self.settings.decode != Some(false);
        let part = Part::open(Path::new(name), hop.url.without_fragment(), decodes, &self.control)?;
        hop.part = part.map(Box::new);
        Ok(())
    }

    pub(super) fn fit(&self, hop: &Hop, response: &Response) -> Option<Fit> {
        hop.part.as_ref().map(|part| part.fit(response.status(), response.head(), response.url().as_str()))
    }

    /// After an answer that does not fit what is there: all of it is asked for, once.
    #[inline(never)]
    pub(super) fn begin_anew(
        &self,
        hop: &mut Hop,
        response: Arc<Response>,
        why: &str,
        plan: &Plan,
        round: &mut Round,
    ) -> Result<(), Error> {
        let unfit = || {
            let peer = plan.course.peer(&hop.url);
            let text = format!("Invalid response from {peer}, with status {}: {why}", response.status());
            Error::new(ErrorKind::InvalidHeader, text).at(hop.url.as_str())
        };
        let may_repeat = self.settings.repeatable != Some(false);
        match &mut hop.part {
            Some(part) if may_repeat && part.asks_from() > 0 => part.begin_anew(),
            _ => return Err(unfit()),
        }
        trace::info(&self.control, || {
            format!(
                "Answered with {}, and not to what was asked: {why}; asking for the whole file",
                response.status()
            )
        })?;
        self.pause(round, Duration::ZERO, Last::Answered(response)).map(|_| ())
    }

    /// The body, or as much of it as comes, into the file. The part is open no more when that is over.
    pub(super) fn take_part(
        &self,
        response: &Response,
        is_servers: bool,
        mut part: Box<Part>,
    ) -> Result<Taken, Error> {
        match part.fit(response.status(), response.head(), response.url().as_str()) {
            // What a hook has made is no beginning of what the server has, whatever its head says.
            Fit::Whole => {
                part.restart(Some(response.head()).filter(|_| is_servers), response.url().as_str())?;
            }
            Fit::GoesOn { end, total } => part.go_on(end, total)?,
            Fit::Complete => {
                read_whole(response)?;
                return part.complete().map(|()| Taken::Over);
            }
            Fit::Other => return read_whole(response).map(|()| Taken::Over),
            // A hook has put it in the place of one that fits.
            Fit::Unfit(why) => return Err(Error::new(ErrorKind::Request, why)),
        }
        if let Err(error) = response.drain(&mut |piece| part.write(piece)) {
            let breaks = matches!(error.kind(), ErrorKind::ChunkedEncoding | ErrorKind::ReadTimeout);
            return if breaks { Ok(Taken::Some(part, Some(error))) } else { Err(error) };
        }
        match part.missing() {
            None => part.complete().map(|()| Taken::Over),
            Some((_, true)) => Ok(Taken::Some(part, None)),
            Some((total, false)) => {
                let text = format!(
                    "Connection broken: the body ended after {} of {total} bytes of the file",
                    part.length()
                );
                let error = Error::new(ErrorKind::ChunkedEncoding, text).at(response.url().as_str());
                Ok(Taken::Some(part, Some(error)))
            }
        }
    }

    /// The hop is sent again, for what is missing; what has broken off has to be paid for as any attempt.
    pub(super) fn go_on_after(
        &self,
        broken: Option<Error>,
        hop: &Hop,
        plan: Plan,
        mut round: Round,
    ) -> Result<(Plan, Round), Error> {
        self.control.check()?;
        let is_keyed = hop.headers.has(IDEMPOTENCY_KEY);
        let there = || hop.part.as_ref().map_or(0, |part| part.asks_from());
        let Some(error) = broken else {
            if !self.may_repeat(hop, is_keyed, true, None) {
                let text = "The server has given a part of the file only, and may not be asked for more";
                return Err(Error::new(ErrorKind::Request, text));
            }
            trace::info(&self.control, || {
                format!("There is more of the file; asking for it from byte {}", there())
            })?;
            round.end_turn();
            return Ok((plan, round));
        };
        let error = hop.blamed(error, self.control.stopwatch.phase());
        let retry = plan.retry.as_deref().filter(|retry| {
            round.tries.has(Cause::Read) && self.may_repeat(hop, is_keyed, true, Some(retry))
        });
        let Some(length) = retry.and_then(|retry| self.pay(retry, Cause::Read, None, &mut round.tries))
        else {
            return Err(error);
        };
        trace::info(&self.control, || {
            let millis = length.as_millis();
            format!("Broken off: {error}; once more in {millis} ms, from byte {}", there())
        })?;
        self.pause(&mut round, length, Last::Failed(error))?;
        Ok((plan, round))
    }
}
