//! A resolver of the user's own.

use std::net::IpAddr;

use crate::message::options::{NamedHook, Refused};

/// What a resolver finds.
#[derive(Debug, Default)]
pub struct Found {
    /// In order of preference.
    pub addresses: Vec<IpAddr>,
    /// Why it finds nothing, where something of ours knows that.
    pub failure: Option<String>,
}

/// Says which addresses a name has. Many threads may ask at once.
pub trait Resolve: Send + Sync {
    fn resolve(&self, found: &mut Found, host: &str, port: u16) -> Result<(), Refused>;

    /// How another process finds the same function; or why it could not.
    fn named(&self) -> Result<NamedHook, String>;
}
