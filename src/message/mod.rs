//! What is said: what a request is asked for with, what comes back, and the texts in which that is written.

pub mod error;
pub mod events;
pub mod form;
pub mod head;
pub mod host;
pub mod json;
pub mod link;
pub mod options;
pub mod peer;
pub mod percent;
pub mod prepared;
pub mod reach;
pub mod resolve;
pub mod response;
pub mod retry;
pub mod terminated;
pub mod text;
pub mod url;
