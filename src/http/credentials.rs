//! Whose credentials a request is sent with.

use std::sync::Arc;

use super::headers::Given;
use super::netrc;
use crate::http::request::Request;
use crate::message::error::{Error, ErrorKind};
use crate::message::head::breaks_lines;
use crate::message::options::{Auth, CustomAuth, Header, Options};
use crate::message::url::Url;

pub const AUTHORIZATION: &str = "Authorization";

/// What a request says of who sends it.
#[derive(Clone)]
pub enum Credentials {
    Nothing,
    Known(Auth),
    Custom(Arc<CustomAuth>),
}

impl Credentials {
    fn of(auth: Option<Auth>) -> Credentials {
        match auth {
            None | Some(Auth::Nothing) => Credentials::Nothing,
            Some(auth) => Credentials::Known(auth),
        }
    }

    pub fn custom(&self) -> Option<&Arc<CustomAuth>> {
        match self {
            Credentials::Custom(custom) => Some(custom),
            _ => None,
        }
    }
}

/// The first of these counts: the request's credentials, its Authorization header, the session's credentials, the
/// session's Authorization header, netrc's entry for the host, the URL's userinfo. Here there is no such header.
pub fn choose(request: &Request, settings: &Options, url: &Url) -> Credentials {
    if let Some(custom) = &settings.auth_custom {
        return Credentials::Custom(custom.clone());
    }
    if let Some(chosen) = &settings.auth {
        return Credentials::of(Some(chosen.clone()));
    }
    let from_url = || url.userinfo().map(|(user, password)| Auth::Basic(user.into(), password.into()));
    Credentials::of(netrc_entry(request, settings, url.host()).or_else(from_url))
}

/// The same where `headers`, the request's over the session's, have an Authorization. It leaves them unless it counts.
pub fn choose_over_header(
    request: &Request,
    settings: &Options,
    url: &Url,
    headers: &mut Given,
) -> Credentials {
    let own = request.options.as_deref();
    let is_own = own.is_some_and(gives_authorization);
    let counts = match own.and_then(|own| own.auth.as_ref()) {
        // That nothing is to be sent was not meant for the header beside it.
        Some(Auth::Nothing) => is_own,
        Some(_) => false,
        None if own.is_some_and(|own| own.auth_custom.is_some()) => false,
        None => is_own || !settings.has_auth(),
    };
    if counts {
        return Credentials::Nothing;
    }
    headers.drop(&[AUTHORIZATION]);
    choose(request, settings, url)
}

fn gives_authorization(options: &Options) -> bool {
    options
        .headers
        .iter()
        .any(|Header { name, value }| value.is_some() && name.eq_ignore_ascii_case(AUTHORIZATION))
}

/// What netrc says about the host of the request's URL, where nothing else counts before that.
pub fn of_netrc(request: &Request, settings: &Options) -> Option<Auth> {
    if settings.has_auth() || gives_authorization(settings) {
        return None;
    }
    netrc_entry(request, settings, request.parse_url().ok()?.host())
}

/// What netrc says about a host that a redirect leads to.
pub fn from_netrc(request: &Request, settings: &Options, host: &str) -> Credentials {
    Credentials::of(netrc_entry(request, settings, host))
}

/// What netrc says about a host, unless the environment or all credentials are ruled out.
fn netrc_entry(request: &Request, settings: &Options, host: &str) -> Option<Auth> {
    if !settings.trust_env.unwrap_or(true) || settings.auth == Some(Auth::Nothing) {
        return None;
    }
    let (user, password) = netrc::credentials(request.environment.as_deref(), host)?;
    Some(Auth::Basic(user, password))
}

/// What is wrong is said without the values: they are secrets.
pub fn check(credentials: &Credentials) -> Result<(), Error> {
    let Credentials::Known(auth) = credentials else { return Ok(()) };
    let whose = match auth {
        Auth::Basic(user, _) | Auth::Digest(user, _) if breaks_lines(user) => "the user name",
        Auth::Basic(_, password) | Auth::Digest(_, password) if breaks_lines(password) => "the password",
        Auth::Bearer(token) if breaks_lines(token) => "the token",
        _ => return Ok(()),
    };
    let text = format!("Invalid credentials: {whose} holds a line break or a NUL");
    Err(Error::new(ErrorKind::InvalidHeader, text))
}
