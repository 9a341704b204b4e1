//! What the body of a response says: its charset, text and JSON; and what its status means.

use std::sync::Arc;

use super::{MadeOf, Refusal, Response, server_of};
use crate::message::error::{Error, ErrorKind};
use crate::message::json::{Document, Failure};
use crate::message::text;

pub enum JsonRefusal {
    State,
    Failed(*const Error),
}

impl Response {
    /// The charset that the header gives or implies.
    fn header_encoding(&self) -> Option<String> {
        self.head().get("content-type").and_then(text::charset_of)
    }

    pub fn encoding(&self) -> Option<String> {
        match &*self.encoding.lock() {
            Some(set) => set.clone(),
            None => self.header_encoding(),
        }
    }

    pub fn lend_encoding(&self) -> Option<*const u8> {
        self.encoding().map(|encoding| self.lend(&encoding))
    }

    pub fn set_encoding(&self, encoding: Option<&str>) {
        *self.encoding.lock() = Some(encoding.map(str::to_string));
    }

    pub fn lend_apparent_encoding(&self) -> Option<*const u8> {
        self.content().ok().map(|content| self.lend(text::detect(content)))
    }

    /// The body as UTF-8: address and length. A NUL follows. None: there is no content, or no memory for the text.
    pub fn text(&self) -> Option<(*const u8, usize)> {
        let content = self.content().ok()?;
        let key = MadeOf { encoding: self.encoding(), length: content.len() };
        let mut texts = self.texts.lock();
        if let Some((_, text)) = texts.iter().find(|(other, _)| *other == key) {
            return Some((text.as_ptr(), text.len() - 1));
        }
        // The name comes from the server or from the user; a text in it is a copy, in any case.
        let mut made = text::decode(content, key.encoding.as_deref()).ok()?;
        made.push('\0');
        let lent = (made.as_ptr(), made.len() - 1);
        texts.push((key, made));
        Some(lent)
    }

    /// The body as JSON. Document and error live as long as the response.
    pub fn json(&self) -> Result<*const crate::message::json::Value, JsonRefusal> {
        let content = self.content().map_err(|refusal| match refusal {
            Refusal::State => JsonRefusal::State,
            Refusal::Failed(error) => JsonRefusal::Failed(self.lend_error(error)),
        })?;
        let charset = match &*self.encoding.lock() {
            Some(set) => set.clone(),
            None => {
                let given = self
                    .head()
                    .get("content-type")
                    .filter(|value| value.to_ascii_lowercase().contains("charset"));
                given.and_then(text::charset_of)
            }
        };
        let key = MadeOf { encoding: charset, length: content.len() };
        let mut documents = self.documents.lock();
        let at = match documents.iter().position(|(other, _)| *other == key) {
            Some(at) => at,
            None => {
                let parsed = match Document::parse(content, key.encoding.as_deref()) {
                    Ok(document) => Ok(document),
                    Err(Failure::Syntax(error)) => {
                        let server = server_of(self.url.as_str());
                        let text = match content.is_empty() {
                            true => format!("The body from {server} is no JSON: it is empty"),
                            false => format!("The body from {server} is no JSON: {error}"),
                        };
                        Err(Error::new(ErrorKind::JsonDecode, text).at(self.url.as_str()))
                    }
                    // Not kept: there may be memory the next time.
                    Err(Failure::OutOfMemory | Failure::Stopped) => {
                        let what = format_args!("the JSON document of {} bytes", content.len());
                        let error = Error::out_of_memory(what).at(self.url.as_str());
                        return Err(JsonRefusal::Failed(self.lend_error(error)));
                    }
                };
                documents.push((key, Box::new(parsed)));
                documents.len() - 1
            }
        };
        match &*documents[at].1 {
            Ok(document) => Ok(std::ptr::from_ref(document.root())),
            Err(error) => Err(JsonRefusal::Failed(std::ptr::from_ref(error))),
        }
    }

    /// An error that lives as long as the response. The same one is not kept twice.
    pub fn lend_error(&self, error: Error) -> *const Error {
        let mut errors = self.errors.lock();
        let same = |one: &Error| one.kind() == error.kind() && one.message() == error.message();
        if let Some(one) = errors.iter().find(|one| same(one)) {
            return std::ptr::from_ref(&**one);
        }
        let made = Box::new(error);
        let address = std::ptr::from_ref(&*made);
        errors.push(made);
        address
    }

    /// The error of a 4xx or 5xx, as `raise_for_status` would raise it.
    pub fn bad_status(self: &Arc<Self>) -> Option<&Error> {
        self.bad_status
            .get_or_init(|| {
                let who = match self.status {
                    400..=499 => "Client",
                    500..=599 => "Server",
                    _ => return None,
                };
                let (status, reason, url) = (self.status, self.head().word().as_str(), self.url.as_str());
                let text = format!("{status} {who} Error: {reason} for url: {url}");
                let method = self.request_head().word().as_str();
                let error = Error::new(ErrorKind::Http, text).at(url).during(None, self.attempts(), method);
                Some(Box::new(error.owned_by(Arc::downgrade(self))))
            })
            .as_deref()
    }
}
