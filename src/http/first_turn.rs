//! A request that is carried out elsewhere and waits here for its first turn.

use std::sync::Arc;
use std::time::Instant;

use super::adapter::Adapter;
use super::patience::Patience;
use super::request::{Outcome, Request};
use super::send::Reached;
use super::turns::Standing;
use crate::future::control::Control;
use crate::future::stopwatch::Phase;
use crate::future::waiting::Waiting;
use crate::message::error::Error;
use crate::message::url::Url;

/// A request that is sent from elsewhere: here it waits for its first turn, which it has until it is over.
pub struct FirstTurn {
    request: Option<Request>,
    control: Arc<Control>,
    standing: Standing,
    /// What gives it its turn, and for which URL; None where it need not wait.
    at: Option<(Arc<Adapter>, Url)>,
    patience: Patience,
}

impl FirstTurn {
    pub fn new(request: Request, control: Arc<Control>) -> FirstTurn {
        let patience = Patience::of(&request, Some(request.queue_timeout()));
        let at = request.turn_at();
        if let Some(deadline) = request.deadline() {
            control.set_deadline(deadline);
        }
        FirstTurn { request: Some(request), control, standing: Standing::default(), at, patience }
    }

    /// Goes on until `run` has carried it out, or it has to wait.
    pub fn go_on(
        &mut self,
        begin: &mut dyn FnMut() -> bool,
        run: impl FnOnce(Request) -> Outcome,
    ) -> Reached {
        match self.turn() {
            Ok(Some(waiting)) => return Reached::Waiting(waiting),
            Ok(None) => {}
            Err(error) => {
                let Some(request) = &self.request else { return Reached::End(Err(error)) };
                let error = error.at(&request.url).during(Some(Phase::Queue), 0, &request.method);
                return Reached::End(Err(error));
            }
        }
        let Some(mut request) = self.request.take().filter(|_| begin()) else {
            return Reached::End(Err(Error::cancelled()));
        };
        request.has_begun();
        if let Some(seldom) = request.seldom.as_mut().filter(|seldom| seldom.queue_ends_at.is_some()) {
            seldom.queue_ends_at = self.patience.ends_at();
        }
        if let Standing::Come(permit) = &mut self.standing {
            permit.sent();
        }
        Reached::End(run(request))
    }

    fn turn(&mut self) -> Result<Option<Arc<Waiting>>, Error> {
        if let Some((adapter, url)) = &self.at
            && let Some(waiting) = adapter.turn(&mut self.standing, url, &self.control)?
        {
            self.patience.begin(Instant::now(), &self.control);
            self.patience.check(&self.control, "its turn", url.authority())?;
            return Ok(Some(waiting));
        }
        self.patience.end()?;
        Ok(None)
    }
}
