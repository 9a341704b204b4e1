//! A request about to be sent, as the user's functions see and change it: requests' `PreparedRequest`.

use std::any::Any;
use std::sync::Arc;

use super::error::{Error, ErrorKind};
use super::form;
use super::options::{Borrowed, Refused};
use super::response::Response;
use super::terminated::Terminated;
use super::url::Url;
use crate::future::control::Control;

/// Changes a request before it is sent.
pub trait Prepare: Send + Sync {
    fn prepare(&self, prepared: &mut Prepared<'_>) -> Result<(), Refused>;

    /// How another process finds the same function; or why it could not.
    fn named(&self) -> Result<super::options::NamedHook, String>;
}

/// What a challenge function makes of an answer.
pub enum Verdict {
    /// It is the response.
    Taken,
    Again,
}

/// Looks at an answer, and may have the request sent once more.
pub trait Challenge: Send + Sync {
    fn judge(&self, prepared: &mut Prepared<'_>, response: &Arc<Response>) -> Result<Verdict, Refused>;

    fn named(&self) -> Result<super::options::NamedHook, String>;
}

/// Sends requests in a way of its own: an adapter of the user's.
pub trait BaseAdapter: Send + Sync {
    /// Gives an answer with [`Prepared::respond`], or says why there is none.
    fn send(&self, prepared: &mut Prepared<'_>) -> Result<(), Refused>;

    /// How another process finds the same adapter; or why it could not.
    fn named(&self) -> Result<super::options::NamedHook, String>;
}

/// Sends a request through another adapter than the one that has it in hand.
pub trait SendThrough {
    /// `adapter` is one of those that the C face hands out. None: it has this request in hand already.
    fn send_through(
        &self,
        prepared: &mut Prepared<'_>,
        adapter: &dyn Any,
    ) -> Option<Result<Arc<Response>, Error>>;
}

/// While adapters of the user's have a request in hand.
pub struct InHand<'a> {
    through: &'a dyn SendThrough,
    answer: Option<Arc<Response>>,
    /// Why sending through other adapters has failed: lent until the request is sent.
    #[allow(clippy::vec_box)] // What was lent stays where it is.
    errors: Vec<Box<Error>>,
}

/// The body of a request, as often as it is read.
pub trait Body {
    /// Where it lies in memory as a whole.
    fn in_memory(&self) -> Option<Arc<dyn Borrowed>>;
    /// None: unknown.
    fn length(&self) -> Option<u64>;
    /// Whether it can be read, and then sent.
    fn is_readable(&self) -> bool;
    /// Reads from the start; 0 at the end. [`Body::rewind`] follows.
    fn open(&self) -> Result<ReadBody<'_>, Error>;
    fn rewind(&self) -> Result<(), Error>;
}

pub type ReadBody<'a> = Box<dyn FnMut(&mut [u8]) -> Result<usize, Error> + 'a>;

/// A header field. What it holds goes out as it is, also where that is not UTF-8: only a Cookie can be such a one.
struct Field {
    name: Terminated,
    value: Terminated,
    octets: Option<Vec<u8>>,
}

/// The how manieth sending it is.
#[derive(Clone, Copy)]
pub struct Numbers {
    /// So many redirects led to it.
    pub hop: u32,
    /// So often this hop was sent before.
    pub attempt: u32,
    /// So often the challenge function had it sent again.
    pub challenges: u32,
}

pub struct Prepared<'a> {
    method: Terminated,
    url: Url,
    shown_url: Terminated,
    fields: Vec<Field>,
    body: &'a dyn Body,
    in_memory: Option<Option<Arc<dyn Borrowed>>>,
    reading: Option<ReadBody<'a>>,
    /// How much of the announced length has been read.
    read: u64,
    control: &'a Control,
    /// Whose request it is, as the C face has it.
    pub owner: Arc<dyn Any + Send + Sync>,
    pub numbers: Numbers,
    is_sent: bool,
    in_hand: Option<InHand<'a>>,
    /// What was lent before it was replaced, and what was joined to be lent.
    lent: Vec<Terminated>,
    pub failure: Option<(ErrorKind, String)>,
    /// The body could not be read, or rewound.
    body_failure: Option<Error>,
}

/// Why a body is not read.
pub enum Unread {
    /// It cannot be rewound.
    State,
    Failed,
}

impl<'a> Prepared<'a> {
    pub fn new(
        method: &str,
        url: &Url,
        body: &'a dyn Body,
        control: &'a Control,
        owner: Arc<dyn Any + Send + Sync>,
        numbers: Numbers,
    ) -> Prepared<'a> {
        Prepared {
            method: Terminated::copy_of(method),
            shown_url: Terminated::copy_of(url.without_fragment()),
            url: url.clone(),
            fields: Vec::new(),
            body,
            in_memory: None,
            reading: None,
            read: 0,
            control,
            owner,
            numbers,
            is_sent: false,
            in_hand: None,
            lent: Vec::new(),
            failure: None,
            body_failure: None,
        }
    }

    /// One more field, as the library composes it.
    pub fn push(&mut self, name: &str, value: &[u8]) {
        let (value, octets) = match std::str::from_utf8(value) {
            Ok(text) => (Terminated::copy_of(text), None),
            Err(_) => {
                let text: String = value.iter().map(|byte| char::from(*byte)).collect();
                (Terminated::new(text), Some(value.to_vec()))
            }
        };
        self.fields.push(Field { name: Terminated::copy_of(name), value, octets });
    }

    pub fn method(&self) -> &Terminated {
        &self.method
    }

    pub fn url(&self) -> &Url {
        &self.url
    }

    pub fn shown_url(&self) -> &Terminated {
        &self.shown_url
    }

    pub fn fields(&self) -> impl ExactSizeIterator<Item = (&Terminated, &Terminated)> {
        self.fields.iter().map(|field| (&field.name, &field.value))
    }

    /// Names, and values as they go out.
    pub fn octets(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.fields.iter().map(|field| {
            let value = field.octets.as_deref().unwrap_or(field.value.as_str().as_bytes());
            (field.name.as_str(), value)
        })
    }

    /// The value of a name in any case, repeats joined. It lives until this does.
    pub fn header(&mut self, name: &str) -> Option<&Terminated> {
        let is_it = |at: &usize| self.fields[*at].name.as_str().eq_ignore_ascii_case(name);
        let all: Vec<usize> = (0..self.fields.len()).filter(is_it).collect();
        match all[..] {
            [] => None,
            [one] => Some(&self.fields[one].value),
            _ => {
                let values: Vec<&str> = all.iter().map(|at| self.fields[*at].value.as_str()).collect();
                self.lent.push(Terminated::new(values.join(", ")));
                self.lent.last()
            }
        }
    }

    pub fn is_sent(&self) -> bool {
        self.is_sent
    }

    /// Nothing of it changes any more.
    pub fn sent(&mut self) {
        self.is_sent = true;
        self.failure = None;
    }

    /// Adapters have it in hand from now on.
    pub fn hand_over(&mut self, through: &'a dyn SendThrough) {
        self.failure = None;
        self.in_hand = Some(InHand { through, answer: None, errors: Vec::new() });
    }

    /// They have it no more. What they answered.
    pub fn take_back(&mut self) -> Option<Arc<Response>> {
        self.in_hand.take()?.answer
    }

    /// The answer, in the place of one that was given before. False: no adapter has it in hand, or the response cannot
    /// be one.
    pub fn respond(&mut self, response: Arc<Response>) -> bool {
        let Some(in_hand) = &mut self.in_hand else { return false };
        response.read_if_of_another(self.control);
        let again = in_hand.answer.as_ref().is_some_and(|before| Arc::ptr_eq(before, &response));
        if !again && (!response.may_answer() || response.give_away().is_err()) {
            return false;
        }
        in_hand.answer = Some(response);
        true
    }

    /// What was answered so far, in exchange.
    pub fn exchange_answer(&mut self, answer: Option<Arc<Response>>) -> Option<Arc<Response>> {
        std::mem::replace(&mut self.in_hand.as_mut()?.answer, answer)
    }

    /// Sends it through another adapter. None: no adapter has it in hand, or this one has it already. An error lives
    /// until the request is sent.
    pub fn send_through(&mut self, adapter: &dyn Any) -> Option<Result<Arc<Response>, *const Error>> {
        let through = self.in_hand.as_ref()?.through;
        let outcome = through.send_through(self, adapter)?;
        Some(outcome.map_err(|error| {
            let lent = Box::new(error);
            let address = std::ptr::from_ref(&*lent);
            if let Some(in_hand) = &mut self.in_hand {
                in_hand.errors.push(lent);
            }
            address
        }))
    }

    /// In the place of the first of that name, without the others; None takes all of them out.
    pub fn set_header(&mut self, name: &str, value: Option<&str>) {
        let is_it = |field: &Field| field.name.as_str().eq_ignore_ascii_case(name);
        let at = self.fields.iter().position(is_it).unwrap_or(self.fields.len());
        for Field { name, value, .. } in self.fields.extract_if(.., |field| is_it(field)) {
            self.lent.extend([name, value]);
        }
        if let Some(value) = value {
            let field =
                Field { name: Terminated::copy_of(name), value: Terminated::copy_of(value), octets: None };
            self.fields.insert(at, field);
        }
    }

    /// In the place of the URL's; None: none.
    pub fn set_query(&mut self, raw: Option<&str>) {
        self.url = self.url.with_query(raw.map(form::requote_query).as_deref());
        let shown = Terminated::copy_of(self.url.without_fragment());
        self.lent.push(std::mem::replace(&mut self.shown_url, shown));
    }

    pub fn body_length(&self) -> Option<u64> {
        self.body.length()
    }

    pub fn body(&mut self) -> Option<&[u8]> {
        let body = self.body;
        self.in_memory.get_or_insert_with(|| body.in_memory()).as_deref().map(Borrowed::bytes)
    }

    /// Bytes of the body as it goes out; 0 at the end.
    pub fn read_body(&mut self, buffer: &mut [u8]) -> Result<usize, Unread> {
        if self.body_failure.is_some() {
            return Err(Unread::Failed);
        }
        if !self.body.is_readable() {
            return Err(Unread::State);
        }
        let left = self.body.length().map_or(u64::MAX, |length| length.saturating_sub(self.read));
        let most = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let body = self.body;
        let result = match &mut self.reading {
            Some(reading) => reading(&mut buffer[..most]),
            None => body.open().and_then(|open| self.reading.insert(open)(&mut buffer[..most])),
        };
        match result.and_then(|count| Ok(self.control.check().map(|()| count)?)) {
            Ok(count) => {
                self.read += count as u64;
                Ok(count)
            }
            Err(error) => {
                self.body_failure = Some(error);
                Err(Unread::Failed)
            }
        }
    }

    /// After a function: what it has read of the body is as it was.
    pub fn put_back(&mut self) -> Result<(), Error> {
        let was_read = self.reading.take().is_some();
        self.read = 0;
        match self.body_failure.take() {
            Some(error) => Err(error),
            None if was_read => self.body.rewind(),
            None => Ok(()),
        }
    }

    /// Whether nobody waits for what the function does any more.
    pub fn is_stopped(&self) -> bool {
        self.control.check().is_err()
    }
}
