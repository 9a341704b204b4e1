//! The outcome of a request as bytes.

use std::borrow::Cow;
use std::collections::TryReserveError;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::task::trusted;
use super::{Kind, LARGE, Malformed, TaskName, Unsealed, Unusable, seal, unseal};
use crate::future::control::Control;
use crate::future::stopwatch::{Phase, Spent};
use crate::http::cookies::Cookie;
use crate::http::request::{Outcome, Request};
use crate::message::error::{Error, ErrorKind};
use crate::message::head::Head;
use crate::message::options::{BodySource, Borrowed, Owned};
use crate::message::peer::{HttpVersion, Peer};
use crate::message::response::{BodyState, Carried, Parts, Response, Seen, SentBody, Source};
use crate::message::url::Url;

#[derive(Serialize, Deserialize)]
struct ReplyMessage<'a> {
    /// That of the task.
    name: TaskName,
    /// Each after those of its history.
    #[serde(borrow)]
    responses: Vec<ResponseMessage<'a>>,
    /// The connections that they came over.
    peers: Vec<Cow<'a, Peer>>,
    outcome: Result<u32, ErrorMessage>,
    /// What the request put into the jar.
    cookies: Vec<Cookie>,
}

#[derive(Serialize, Deserialize)]
struct ResponseMessage<'a> {
    status: u16,
    #[serde(borrow, with = "serde_bytes")]
    head: Cow<'a, [u8]>,
    url: Cow<'a, str>,
    #[serde(borrow, with = "serde_bytes")]
    request_head: Cow<'a, [u8]>,
    request_body: SentMessage<'a>,
    elapsed: Duration,
    /// Microseconds in each phase of its hop, in order.
    spent: [Option<u64>; 9],
    attempts: u32,
    reused: bool,
    version: Option<HttpVersion>,
    /// A place in the list of peers.
    peer: Option<u32>,
    /// Places in the list of responses.
    history: Vec<u32>,
    state: BodyState,
    #[serde(borrow)]
    content: Content<'a>,
    delivered: u64,
    #[serde(borrow, with = "serde_bytes")]
    line: Cow<'a, [u8]>,
    after_return: bool,
    /// Of events: the last id, and the last time.
    #[serde(borrow, with = "serde_bytes")]
    event_id: Cow<'a, [u8]>,
    event_retry_ms: Option<i64>,
    failure: Option<ErrorMessage>,
    /// What came behind the body, if it has.
    #[serde(borrow, with = "serde_bytes")]
    trailers: Cow<'a, [u8]>,
    encoding: Option<Option<String>>,
    #[serde(borrow)]
    extras: Vec<(String, Extra<'a>)>,
}

#[derive(Serialize, Deserialize)]
struct Extra<'a>(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>);

#[derive(Serialize, Deserialize)]
enum SentMessage<'a> {
    Nothing,
    /// That of the request, which its sender has.
    TheRequests,
    Bytes(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
}

#[derive(Serialize, Deserialize)]
enum Content<'a> {
    /// There is none, or no more.
    Nothing,
    /// All of it.
    Whole(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>),
    /// All of it comes after this message.
    WholeFollows,
    /// What was left on the connection, and how that ended.
    Rest(#[serde(borrow, with = "serde_bytes")] Cow<'a, [u8]>, Option<ErrorMessage>),
    /// What is left on the connection comes by another way.
    RestFollows,
}

/// An error as bytes. Its response is a place in the list.
#[derive(Clone, Serialize, Deserialize)]
pub struct ErrorMessage {
    kind: i32,
    message: String,
    url: Option<String>,
    os_code: i32,
    phase: i32,
    attempts: u32,
    method: Option<String>,
    response: Option<u32>,
}

impl ErrorMessage {
    /// An error that is about no response.
    pub fn of(error: &Error) -> ErrorMessage {
        ErrorMessage {
            kind: error.kind() as i32,
            message: error.message().as_str().to_string(),
            url: error.url().map(|url| url.as_str().to_string()),
            os_code: error.os_code(),
            phase: error.phase().map_or(0, |phase| phase as i32),
            attempts: error.attempts(),
            method: error.method().map(|method| method.as_str().to_string()),
            response: None,
        }
    }

    /// What an end says of a body: nothing, or how it failed.
    pub fn at_end(bytes: &[u8]) -> Result<Option<Error>, Malformed> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let message: ErrorMessage = postcard::from_bytes(bytes).map_err(|_| Malformed)?;
        message.error().map(Some)
    }

    /// The same of one that failed, to be sent.
    pub fn to_end(error: &Error) -> Vec<u8> {
        // Plain text can be sent. If it could not, this end is no end: never that of a body that is whole.
        postcard::to_stdvec(&ErrorMessage::of(error)).unwrap_or_else(|_| vec![u8::MAX])
    }

    pub fn error(&self) -> Result<Error, Malformed> {
        let kind = ErrorKind::from_code(self.kind).ok_or(Malformed)?;
        let mut error = Error::new(kind, self.message.as_str()).with_os_code(self.os_code);
        if let Some(method) = &self.method {
            error = error.during(Phase::from_code(self.phase), self.attempts, method);
        }
        Ok(match &self.url {
            Some(url) => error.at(url),
            None => error,
        })
    }
}

/// How the body of the last response goes.
pub enum LastBody<'a> {
    /// In the message, as far as it is there or can be read.
    Inside,
    /// This is all of it.
    Whole(&'a [u8]),
    /// All of it follows the message.
    WholeFollows,
    /// What is left to be read comes by another way.
    RestFollows,
}

/// The outcome as bytes. `body` is that of the request, as it came.
pub fn encode_reply(
    name: TaskName,
    outcome: &Outcome,
    cookies: Vec<Cookie>,
    body: &SentBody,
    last: &LastBody<'_>,
) -> Vec<u8> {
    let mut list = List { known: Vec::new(), body };
    let mut error_message = None;
    match outcome {
        Ok(response) => {
            list.add(response);
        }
        Err(error) => {
            let mut message = ErrorMessage::of(error);
            if let Some(response) = error.about() {
                message.response = Some(list.add(&response));
            }
            error_message = Some(message);
        }
    }
    let count = list.known.len();
    let failed = error_message.is_some();
    let responses = list.known.iter().enumerate().map(|(at, response)| {
        let body = if at + 1 == count && !failed { last } else { &LastBody::Inside };
        list.message(response, body)
    });
    let message = ReplyMessage {
        name,
        responses: responses.collect::<Vec<_>>(),
        peers: list.peers().into_iter().map(|peer| Cow::Borrowed(&**peer)).collect(),
        outcome: match error_message {
            Some(message) => Err(message),
            None => Ok(count as u32 - 1),
        },
        cookies,
    };
    let large = message.responses.iter().map(ResponseMessage::length).sum();
    seal(Kind::Reply, &message, large).unwrap_or_else(|why| {
        let error = match why {
            Unsealed::Unfit => {
                Error::new(ErrorKind::Request, "The response cannot be sent to another process")
            }
            Unsealed::OutOfMemory => Error::out_of_memory("the response as a message to another process"),
        };
        let outcome = Err(ErrorMessage::of(&error));
        let message =
            ReplyMessage { name, responses: Vec::new(), peers: Vec::new(), outcome, cookies: Vec::new() };
        let sealed = seal(Kind::Reply, &message, 0);
        sealed.unwrap_or_else(|_| unreachable!("plain text can be sent"))
    })
}

impl ResponseMessage<'_> {
    /// Of what may be long.
    fn length(&self) -> usize {
        let content = match &self.content {
            Content::Whole(bytes) | Content::Rest(bytes, _) => bytes.len(),
            Content::Nothing | Content::WholeFollows | Content::RestFollows => 0,
        };
        let sent = match &self.request_body {
            SentMessage::Bytes(bytes) => bytes.len(),
            SentMessage::Nothing | SentMessage::TheRequests => 0,
        };
        let extras: usize = self.extras.iter().map(|(_, extra)| extra.0.len()).sum();
        content
            + sent
            + extras
            + self.line.len()
            + self.event_id.len()
            + self.trailers.len()
            + self.head.len()
    }
}

struct List<'a> {
    known: Vec<Arc<Response>>,
    body: &'a SentBody,
}

impl List<'_> {
    /// The place of a response, behind those of its history.
    fn add(&mut self, response: &Arc<Response>) -> u32 {
        // Of those that are not known yet: how many of its history are.
        let mut open = vec![(response, 0)];
        while let Some((response, known)) = open.last_mut() {
            let next = response.history().get(*known);
            *known += 1;
            match next {
                Some(hop) if self.place(hop).is_none() => open.push((hop, 0)),
                Some(_) => {}
                None => {
                    if self.place(response).is_none() {
                        self.known.push(Arc::clone(response));
                    }
                    open.pop();
                }
            }
        }
        self.place(response).unwrap_or_default()
    }

    /// The connections of all of them, each once.
    fn peers(&self) -> Vec<&Arc<Peer>> {
        let mut peers: Vec<&Arc<Peer>> = Vec::new();
        for peer in self.known.iter().filter_map(|response| response.seen().peer.as_ref()) {
            if !peers.iter().any(|known| Arc::ptr_eq(known, peer)) {
                peers.push(peer);
            }
        }
        peers
    }

    fn peer(&self, response: &Response) -> Option<u32> {
        let own = response.seen().peer.as_ref()?;
        self.peers().iter().position(|peer| Arc::ptr_eq(peer, own)).map(|at| at as u32)
    }

    fn place(&self, response: &Arc<Response>) -> Option<u32> {
        self.known.iter().position(|known| Arc::ptr_eq(known, response)).map(|at| at as u32)
    }

    fn message<'a>(&self, response: &'a Response, last: &LastBody<'a>) -> ResponseMessage<'a> {
        let carried = response.carry();
        let (mut state, mut content) = (carried.state, Content::Nothing);
        match (last, carried.content) {
            (LastBody::WholeFollows, _) => (state, content) = (BodyState::Kept, Content::WholeFollows),
            (LastBody::Whole(bytes), _) => {
                (state, content) = (BodyState::Kept, Content::Whole(Cow::Borrowed(bytes)));
            }
            (_, Some(bytes)) => content = Content::Whole(bytes),
            (LastBody::RestFollows, None) if carried.open => content = Content::RestFollows,
            (_, None) if carried.open => {
                let (rest, failure) = rest_of(response);
                content = Content::Rest(Cow::Owned(rest), failure.as_ref().map(ErrorMessage::of));
            }
            (_, None) => {}
        }
        let request_body = match response.shared_request_body() {
            None => SentMessage::Nothing,
            Some(sent) if self.body.as_ref().is_some_and(|body| is_same(body, sent)) => {
                SentMessage::TheRequests
            }
            Some(sent) => SentMessage::Bytes(Cow::Borrowed(sent.bytes())),
        };
        // Behind what may have been read just now.
        let trailers = response.received_trailers().map_or_else(Vec::new, trailer_lines);
        let start = format!("HTTP/1.1 {} {}", response.status(), response.head().word().as_str());
        let place = |hop: &Arc<Response>| self.place(hop);
        ResponseMessage {
            status: response.status(),
            head: Cow::Owned(response.head().lines(&start)),
            url: Cow::Borrowed(response.url().as_str()),
            request_head: Cow::Borrowed(response.request_raw()),
            request_body,
            elapsed: response.elapsed(),
            spent: response.spent_by_now().parts(),
            attempts: response.attempts(),
            reused: response.seen().reused,
            version: response.seen().version,
            peer: self.peer(response),
            history: response.history().iter().filter_map(place).collect(),
            state,
            content,
            delivered: carried.delivered as u64,
            line: Cow::Owned(carried.line),
            after_return: carried.after_return,
            event_id: Cow::Owned(carried.last_event.0),
            event_retry_ms: carried.last_event.1,
            failure: carried.failure.as_ref().map(ErrorMessage::of),
            trailers: Cow::Owned(trailers),
            encoding: carried.encoding,
            extras: carried.extras.into_iter().map(|(name, data)| (name, Extra(Cow::Owned(data)))).collect(),
        }
    }
}

fn is_same(one: &Arc<dyn Borrowed>, other: &Arc<dyn Borrowed>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(one), Arc::as_ptr(other))
}

/// What is left of a body, read to its end.
fn rest_of(response: &Response) -> (Vec<u8>, Option<Error>) {
    let mut rest = Vec::new();
    let mut piece = vec![0; LARGE];
    loop {
        match response.read(&mut piece) {
            Ok(0) => return (rest, None),
            Ok(count) => {
                if rest.try_reserve(count).is_err() {
                    response.close();
                    return (Vec::new(), Some(Error::out_of_memory("the rest of a body")));
                }
                rest.extend_from_slice(&piece[..count]);
            }
            Err(crate::message::response::Refusal::Failed(error)) => return (rest, Some(error)),
            // Somebody closed it meanwhile.
            Err(crate::message::response::Refusal::State) => return (rest, None),
        }
    }
}

/// An outcome from elsewhere. What it announces to follow is to be put in before [`Reply::outcome`].
pub struct Reply<'a> {
    message: ReplyMessage<'a>,
}

/// What follows a reply.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follows {
    Nothing,
    /// The whole body of the last response.
    Whole,
    /// A way on which the rest of its body comes.
    Rest,
}

impl<'a> Reply<'a> {
    pub fn decode(message: &'a [u8]) -> Result<Reply<'a>, Malformed> {
        let message: ReplyMessage<'_> = unseal(Kind::Reply, message)?;
        let count = message.responses.len();
        let exists = |at: u32| (at as usize) < count;
        let mut fits = match &message.outcome {
            Ok(last) => *last as usize + 1 == count,
            Err(error) => error.response.is_none_or(exists),
        };
        for (at, response) in message.responses.iter().enumerate() {
            let is_last = message.outcome.is_ok() && at + 1 == count;
            fits &= response.history.iter().all(|hop| (*hop as usize) < at);
            fits &= (100..1000).contains(&response.status);
            fits &= response.peer.is_none_or(|at| (at as usize) < message.peers.len());
            fits &= is_last || !matches!(response.content, Content::WholeFollows | Content::RestFollows);
            fits &= match response.content {
                Content::Nothing => true,
                Content::Whole(_) | Content::WholeFollows => response.state == BodyState::Kept,
                Content::Rest(..) | Content::RestFollows => {
                    matches!(response.state, BodyState::Untouched | BodyState::Partial)
                }
            };
        }
        if !fits {
            return Err(Malformed);
        }
        Ok(Reply { message: ReplyMessage { cookies: trusted(message.cookies)?, ..message } })
    }

    pub fn name(&self) -> TaskName {
        self.message.name
    }

    pub fn follows(&self) -> Follows {
        match self.message.responses.last().map(|response| &response.content) {
            Some(Content::WholeFollows) => Follows::Whole,
            Some(Content::RestFollows) => Follows::Rest,
            _ => Follows::Nothing,
        }
    }

    /// How long the body that follows was said to be.
    pub fn announced(&self) -> Option<usize> {
        let response = self.message.responses.last()?;
        let head = Head::of_response(&response.head);
        let coded = head.get("content-encoding").is_some();
        head.get("content-length").filter(|_| !coded)?.trim().parse().ok()
    }

    /// The longest body that is in it, of those that are not quoted.
    pub fn longest_content(&self) -> usize {
        let lengths = self.message.responses.iter().map(|response| match &response.content {
            Content::Whole(bytes) | Content::Rest(bytes, _) => bytes.len(),
            Content::Nothing | Content::WholeFollows | Content::RestFollows => 0,
        });
        lengths.max().unwrap_or(0)
    }

    /// Where its responses came from.
    pub fn urls(&self) -> Vec<Url> {
        self.message
            .responses
            .iter()
            .filter_map(|response| Url::parse_mounted(&response.url, &|_| true).ok())
            .collect()
    }

    pub fn take_cookies(&mut self) -> Vec<Cookie> {
        std::mem::take(&mut self.message.cookies)
    }

    /// The outcome of `request`, with what has followed: the whole body, or where the rest comes from.
    pub fn outcome(
        self,
        request_body: &SentBody,
        whole: Option<Vec<u8>>,
        rest: Option<Source>,
        control: &Arc<Control>,
    ) -> Result<Outcome, Unusable> {
        let mut made: Vec<Arc<Response>> = Vec::with_capacity(self.message.responses.len());
        let (mut whole, mut rest) = (whole, rest);
        let peers: Vec<_> = self.message.peers.into_iter().map(|peer| Arc::new(peer.into_owned())).collect();
        for response in self.message.responses {
            let (content, source): (_, Option<Source>) = match response.content {
                Content::Nothing => (None, None),
                Content::Whole(bytes) => (Some(Cow::Owned(owned(bytes)?)), None),
                Content::WholeFollows => (whole.take().map(Cow::Owned), None),
                Content::Rest(bytes, failure) => {
                    let failure = failure.map(|failure| failure.error()).transpose()?;
                    let rest = Rest { bytes: owned(bytes)?, read: 0, failure };
                    (None, Some(Box::new(rest)))
                }
                Content::RestFollows => (None, rest.take()),
            };
            let open = source.is_some();
            let parts = Parts {
                status: response.status,
                head: Head::of_response(&response.head),
                url: response.url.into_owned(),
                request_head: response.request_head.into_owned(),
                request_body: match response.request_body {
                    SentMessage::Nothing => None,
                    SentMessage::TheRequests => request_body.clone(),
                    SentMessage::Bytes(bytes) => Some(Arc::new(Owned::try_new(&bytes)?)),
                },
                elapsed: response.elapsed,
                seen: Seen {
                    peer: response.peer.map(|at| peers[at as usize].clone()),
                    version: response.version,
                    attempts: response.attempts,
                    reused: response.reused,
                },
                spent: Spent::default(),
                history: response.history.iter().map(|at| made[*at as usize].clone()).collect(),
                source,
                control: open.then(|| control.clone()),
            };
            let carried = Carried {
                state: response.state,
                content,
                delivered: usize::try_from(response.delivered).unwrap_or(usize::MAX),
                line: owned(response.line)?,
                after_return: response.after_return,
                last_event: (owned(response.event_id)?, response.event_retry_ms),
                failure: response.failure.map(|failure| failure.error()).transpose()?,
                open,
                encoding: response.encoding,
                extras: response
                    .extras
                    .into_iter()
                    .map(|(name, extra)| Ok((name, owned(extra.0)?)))
                    .collect::<Result<_, TryReserveError>>()?,
            };
            let whole = Response::carried(parts, carried);
            if !response.trailers.is_empty() {
                whole.expect_trailers(Arc::new(OnceLock::from(trailers_of(&response.trailers))));
            }
            whole.settle(Spent::of_parts(response.spent));
            made.push(Arc::new(whole));
        }
        // What nobody has counted was spent on the way there and back.
        if let Ok(last) = self.message.outcome {
            let last = &made[last as usize];
            let hops = last.history().iter().chain([last]);
            let counted = hops.fold(0_u64, |sum, hop| sum.saturating_add(hop.spent().total()));
            let first = last.history().first().unwrap_or(last);
            first.add_queued(control.stopwatch.elapsed().saturating_sub(counted));
        }
        Ok(match self.message.outcome {
            Ok(last) => Ok(made[last as usize].clone()),
            Err(message) => {
                let error = message.error()?;
                Err(match message.response {
                    Some(at) => error.with_response(made[at as usize].clone()),
                    None => error,
                })
            }
        })
    }
}

/// Trailers for another process.
pub fn trailer_lines(trailers: &Head) -> Vec<u8> {
    trailers.lines("HTTP/1.1 200")
}

/// Trailers that came from another process.
pub fn trailers_of(lines: &[u8]) -> Head {
    Head::of_response(lines)
}

/// A copy with room for a NUL behind it.
pub fn owned(bytes: Cow<'_, [u8]>) -> Result<Vec<u8>, TryReserveError> {
    let mut owned = match bytes {
        Cow::Owned(bytes) => bytes,
        Cow::Borrowed(bytes) => {
            let mut owned = Vec::new();
            owned.try_reserve_exact(bytes.len() + 1)?;
            owned.extend_from_slice(bytes);
            owned
        }
    };
    owned.try_reserve_exact(1)?;
    Ok(owned)
}

/// What was left of a body, and how it ended, as its source.
pub fn rest(bytes: Vec<u8>, failure: Option<Error>) -> Source {
    Box::new(Rest { bytes, read: 0, failure })
}

/// What was left of a body, and how it ended.
struct Rest {
    bytes: Vec<u8>,
    read: usize,
    failure: Option<Error>,
}

impl std::io::Read for Rest {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = &self.bytes[self.read..];
        if left.is_empty() {
            return self.failure.take().map_or(Ok(0), |failure| Err(failure.into_io()));
        }
        let count = left.len().min(buffer.len());
        buffer[..count].copy_from_slice(&left[..count]);
        self.read += count;
        Ok(count)
    }
}

/// The bytes of a request's body, as the request's sender keeps them for the responses that quote it.
pub fn body_of(request: &Request) -> SentBody {
    match &request.options.as_ref()?.body {
        Some(BodySource::Bytes(bytes)) => Some(bytes.clone()),
        Some(BodySource::Borrowed(bytes)) => Some(bytes.clone()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(state: BodyState, content: Content<'_>) -> Vec<u8> {
        let response = ResponseMessage {
            status: 200,
            head: Cow::Borrowed(b"HTTP/1.1 200 OK\r\n"),
            url: Cow::Borrowed("http://h/"),
            request_head: Cow::Borrowed(b""),
            request_body: SentMessage::Nothing,
            elapsed: Duration::ZERO,
            spent: [None; 9],
            attempts: 1,
            reused: false,
            version: None,
            peer: None,
            history: Vec::new(),
            state,
            content,
            delivered: 0,
            line: Cow::Borrowed(b""),
            after_return: false,
            event_id: Cow::Borrowed(b""),
            event_retry_ms: None,
            failure: None,
            trailers: Cow::Borrowed(b""),
            encoding: None,
            extras: Vec::new(),
        };
        let (name, responses) = (TaskName::of(1), vec![response]);
        let message =
            ReplyMessage { name, responses, peers: Vec::new(), outcome: Ok(0), cookies: Vec::new() };
        seal(Kind::Reply, &message, 0).unwrap_or_else(|_| panic!("plain text can be sent"))
    }

    #[test]
    fn the_content_of_a_response_is_what_its_state_says() {
        use BodyState::*;
        let fits = |state, content| Reply::decode(&reply(state, content)).is_ok();
        for state in [Untouched, Partial, Consumed, Kept, Closed] {
            assert!(fits(state, Content::Nothing), "{state:?}");
            let bytes = || Cow::Borrowed(&b"body"[..]);
            for content in [Content::Whole(bytes()), Content::WholeFollows] {
                assert_eq!(fits(state, content), state == Kept, "{state:?}");
            }
            for content in [Content::Rest(bytes(), None), Content::RestFollows] {
                assert_eq!(fits(state, content), matches!(state, Untouched | Partial), "{state:?}");
            }
        }
    }
}
