//! A response as the answer to a request that an adapter of the user's has sent.

use std::sync::{Arc, OnceLock};

use super::{BodyState, Content, Parts, Response, Source};
use crate::future::control::Control;

impl Response {
    /// Whether all of its body is there, or can be read from its beginning.
    pub fn may_answer(&self) -> bool {
        self.free_body().is_ok_and(|body| matches!(body.state, BodyState::Untouched | BodyState::Kept))
    }

    /// What is left of another request's body on its connection is read now, as nobody else looks after that.
    pub fn read_if_of_another(&self, control: &Control) {
        let own = self.control.lock().clone();
        if let Some(own) = own.filter(|own| !std::ptr::eq(&raw const **own, control)) {
            // What is broken of it is told to who reads the answer.
            let _ = control.with(&own, || self.content().map(|_| ()));
        }
    }

    /// The body, where all of it is there.
    pub fn at_hand(&self) -> Option<&[u8]> {
        self.kept()
    }

    /// A response of these parts with the body of another one, which may answer others as well, unless its body comes from
    /// a reader or a connection: that goes on to this one, and `bound` bounds it. None: its body cannot be read from its
    /// beginning.
    pub fn answering(
        parts: Parts,
        given: &Arc<Response>,
        control: &Arc<Control>,
        bound: impl FnOnce(Source) -> Source,
    ) -> Option<Response> {
        let mut response = Response::new(parts);
        if let Some(trailers) = given.trailers.get() {
            response.expect_trailers(trailers.clone());
        }
        let mut body = given.free_body().ok()?;
        let taken = match body.state {
            BodyState::Kept => {
                drop(body);
                response.content = OnceLock::from(Content::Of(given.clone()));
                response.body.lock().state = BodyState::Kept;
                return Some(response);
            }
            BodyState::Untouched => body.source.take(),
            BodyState::Partial | BodyState::Consumed | BodyState::Closed => return None,
        };
        let failure = body.failure.clone();
        body.state = BodyState::Closed;
        drop(body);
        given.let_go();
        let mut own = response.body.lock();
        own.failure = failure;
        if let Some(source) = taken {
            own.source = Some(bound(source));
            *response.control.lock() = Some(control.clone());
        }
        drop(own);
        Some(response)
    }
}
