//! One request on one thread: from settings to a response.

pub mod adapter;
pub mod auth;
pub mod body;
pub mod channel;
pub mod connection;
pub mod cookies;
pub mod credentials;
pub mod decode;
pub mod digest;
pub mod dns;
pub mod engine;
pub mod files;
pub mod framing;
pub mod headers;
pub mod hop;
pub mod netrc;
pub mod output;
pub mod progress;
pub mod proxy;
pub mod receive;
pub mod recent;
pub mod request;
pub mod send;
mod set_cookie;
pub mod socket;
pub mod tls;
