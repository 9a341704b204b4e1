//! A reply on its way: it comes in pieces of any length, and what has come of its body is stored at once.
//!
//! Nothing is allocated for what is only announced: what a hostile sender costs is what it has sent, and of a body no more
//! than the request allows.

use std::borrow::Cow;
use std::sync::Arc;

use super::reply::{Follows, Reply, trailers_of};
use super::{CHECK_SUM, ErrorMessage, HEADER, Kind, Malformed, TaskName, Unusable, owned, read_header};
use crate::future::control::Control;
use crate::http::cookies::Cookie;
use crate::http::request::Outcome;
use crate::message::error::Error;
use crate::message::response::SentBody;
use crate::message::url::Url;

/// What a reply may have beside its bodies, where these are bounded: heads, extras, cookies, certificates.
const BESIDE_BODIES: u64 = 16 << 20;
/// So many bodies may be in one message: a redirect's history and what its hops were asked for.
const BODIES: u64 = 64;
/// From this size on the memory of a message is not kept for the next.
const KEPT: usize = 1 << 20;

/// Whether more is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    More,
    Whole,
}

/// What has come of a message.
enum Stage {
    /// Nothing of it, or some.
    Message,
    /// All messages; nothing may follow.
    Whole,
    /// What came is no reply.
    Broken,
}

/// `'r` is how long bytes live that are not copied.
pub struct Incoming<'r> {
    name: TaskName,
    /// The most bytes that a body may have.
    max_body: Option<u64>,
    stage: Stage,
    /// The message that is under way.
    message: Vec<u8>,
    /// The first message, which says what follows, once it is there.
    reply: Option<(Cow<'r, [u8]>, Follows)>,
    body: Vec<u8>,
    trailers: Option<Vec<u8>>,
    failure: Option<Error>,
}

impl<'r> Incoming<'r> {
    pub fn new(name: TaskName, max_body: Option<u64>) -> Incoming<'r> {
        Incoming {
            name,
            max_body,
            stage: Stage::Message,
            message: Vec::new(),
            reply: None,
            body: Vec::new(),
            trailers: None,
            failure: None,
        }
    }

    pub fn name(&self) -> TaskName {
        self.name
    }

    pub fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole)
    }

    /// Takes all bytes of a reply of which nothing has come. Its first message, which may be as long as a body, is not
    /// copied. After an error it is of no use.
    pub fn add_borrowed(&mut self, bytes: &'r [u8]) -> Result<Added, Unusable> {
        let (kind, length) = read_header(bytes.get(..HEADER).ok_or(Malformed)?)?;
        self.check(kind, length)?;
        let end = HEADER + length + CHECK_SUM;
        self.begin(Cow::Borrowed(bytes.get(..end).ok_or(Malformed)?))?;
        self.add(&bytes[end..])
    }

    /// Takes the next bytes. After an error it takes no more.
    pub fn add(&mut self, mut bytes: &[u8]) -> Result<Added, Unusable> {
        let added = loop {
            match self.stage {
                Stage::Whole if bytes.is_empty() => break Ok(Added::Whole),
                Stage::Whole | Stage::Broken => break Err(Unusable::Malformed),
                Stage::Message if bytes.is_empty() => break Ok(Added::More),
                Stage::Message => {
                    if let Err(why) = self.take(&mut bytes) {
                        break Err(why);
                    }
                }
            }
        };
        if added.is_err() {
            *self = Incoming { stage: Stage::Broken, ..Incoming::new(self.name, self.max_body) };
        }
        added
    }

    /// Takes what belongs to the message that is under way.
    fn take(&mut self, bytes: &mut &[u8]) -> Result<(), Unusable> {
        let missing = HEADER.saturating_sub(self.message.len());
        if missing > 0 {
            self.move_over(bytes, missing)?;
            if self.message.len() < HEADER {
                return Ok(());
            }
        }
        let (kind, length) = read_header(&self.message[..HEADER])?;
        self.check(kind, length)?;
        self.move_over(bytes, HEADER + length + CHECK_SUM - self.message.len())?;
        if self.message.len() < HEADER + length + CHECK_SUM {
            return Ok(());
        }
        let message = std::mem::take(&mut self.message);
        if kind == Kind::Reply {
            return self.begin(Cow::Owned(message));
        }
        self.finish(kind, &message)?;
        if message.capacity() <= KEPT {
            self.message = message;
            self.message.clear();
        }
        Ok(())
    }

    fn move_over(&mut self, bytes: &mut &[u8], most: usize) -> Result<(), Unusable> {
        let (taken, left) = bytes.split_at(most.min(bytes.len()));
        self.message.try_reserve(taken.len())?;
        self.message.extend_from_slice(taken);
        *bytes = left;
        Ok(())
    }

    /// Whether a message of this kind and length may come now.
    fn check(&self, kind: Kind, length: usize) -> Result<(), Malformed> {
        let length = length as u64;
        let most = self.max_body.unwrap_or(u64::MAX);
        let fits = match (kind, &self.reply) {
            (Kind::Reply, None) => length <= most.saturating_mul(BODIES).saturating_add(BESIDE_BODIES),
            (Kind::Piece, Some(_)) => {
                self.trailers.is_none() && length <= most.saturating_sub(self.body.len() as u64)
            }
            (Kind::Trailers, Some(_)) => self.trailers.is_none() && length <= BESIDE_BODIES,
            (Kind::End, Some(_)) => length <= BESIDE_BODIES,
            _ => false,
        };
        if fits { Ok(()) } else { Err(Malformed) }
    }

    /// The first message is there, which says what follows.
    fn begin(&mut self, message: Cow<'r, [u8]>) -> Result<(), Unusable> {
        let reply = Reply::decode(&message)?;
        let most = self.max_body.unwrap_or(u64::MAX);
        if reply.name() != self.name || reply.longest_content() as u64 > most {
            return Err(Unusable::Malformed);
        }
        let follows = reply.follows();
        if follows == Follows::Nothing {
            self.stage = Stage::Whole;
        }
        self.reply = Some((message, follows));
        Ok(())
    }

    /// A further message is there.
    fn finish(&mut self, kind: Kind, message: &[u8]) -> Result<(), Unusable> {
        let (sealed, sum) = message.split_at(message.len() - CHECK_SUM);
        if *sum != crc32fast::hash(sealed).to_le_bytes() {
            return Err(Unusable::Malformed);
        }
        let content = &sealed[HEADER..];
        match kind {
            Kind::Piece => {
                // One more for the NUL behind it.
                self.body.try_reserve(content.len() + 1)?;
                self.body.extend_from_slice(content);
            }
            Kind::Trailers => self.trailers = Some(owned(content.into())?),
            _ => {
                self.failure = ErrorMessage::at_end(content)?;
                self.stage = Stage::Whole;
            }
        }
        Ok(())
    }

    /// What has come of the task, the cookies that came with it, and the URLs that it says they came from. Of one that is
    /// whole, once.
    pub fn outcome(
        &mut self,
        request_body: &SentBody,
        control: &Arc<Control>,
    ) -> Result<(Outcome, Vec<Cookie>, Vec<Url>), Unusable> {
        let (message, follows) = self.reply.as_ref().ok_or(Malformed)?;
        let mut reply = Reply::decode(message)?;
        let (cookies, urls) = (reply.take_cookies(), reply.urls());
        let failure = self.failure.take();
        let body = std::mem::take(&mut self.body);
        let outcome = match follows {
            Follows::Nothing => reply.outcome(request_body, None, None, control)?,
            Follows::Whole => match failure {
                Some(failure) => Err(failure),
                None => reply.outcome(request_body, Some(owned(body.into())?), None, control)?,
            },
            Follows::Rest => {
                let rest = super::reply::rest(body, failure);
                reply.outcome(request_body, None, Some(rest), control)?
            }
        };
        if let (Ok(response), Some(lines)) = (&outcome, self.trailers.take()) {
            response.expect_trailers(Arc::new(trailers_of(&lines).into()));
        }
        Ok((outcome, cookies, urls))
    }
}
