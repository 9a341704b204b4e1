//! Whose credentials a request is sent with.

use super::headers::breaks_lines;
use super::netrc;
use crate::http::request::Request;
use crate::message::error::{Error, ErrorKind};
use crate::message::options::{Auth, Header, Options};
use crate::message::url::Url;

pub fn is_authorization(name: &str) -> bool {
    name.eq_ignore_ascii_case("Authorization")
}

/// The first of these counts: the request's credentials, its Authorization header, the session's credentials, the
/// session's Authorization header, netrc's entry for the host, the URL's userinfo. Here there is no such header.
pub fn choose(request: &Request, settings: &Options, url: &Url) -> Option<Auth> {
    if let Some(chosen) = &settings.auth {
        return Some(chosen.clone()).filter(|auth| *auth != Auth::Nothing);
    }
    let from_url = || url.userinfo().map(|(user, password)| Auth::Basic(user.into(), password.into()));
    from_netrc(request, settings, url.host()).or_else(from_url)
}

/// The same where `headers`, the request's over the session's, have an Authorization. It leaves them unless it counts.
pub fn choose_over_header(
    request: &Request,
    settings: &Options,
    url: &Url,
    headers: &mut Vec<(&str, &str)>,
) -> Option<Auth> {
    let own = request.options.as_deref();
    let is_own = own.is_some_and(gives_authorization);
    let counts = match own.and_then(|own| own.auth.as_ref()) {
        // That nothing is to be sent was not meant for the header beside it.
        Some(Auth::Nothing) => is_own,
        Some(_) => false,
        None => is_own || settings.auth.is_none(),
    };
    if counts {
        return None;
    }
    headers.retain(|(name, _)| !is_authorization(name));
    choose(request, settings, url)
}

fn gives_authorization(options: &Options) -> bool {
    options.headers.iter().any(|Header { name, value }| value.is_some() && is_authorization(name))
}

/// What netrc says about a host, unless the environment or all credentials are ruled out.
pub fn from_netrc(request: &Request, settings: &Options, host: &str) -> Option<Auth> {
    if !settings.trust_env.unwrap_or(true) || settings.auth == Some(Auth::Nothing) {
        return None;
    }
    let (user, password) = netrc::credentials(request.environment.as_deref(), host)?;
    Some(Auth::Basic(user, password))
}

/// What is wrong is said without the values: they are secrets.
pub fn check(credentials: Option<&Auth>) -> Result<(), Error> {
    let whose = match credentials {
        Some(Auth::Basic(user, _) | Auth::Digest(user, _)) if breaks_lines(user) => "the user name",
        Some(Auth::Basic(_, password) | Auth::Digest(_, password)) if breaks_lines(password) => {
            "the password"
        }
        Some(Auth::Bearer(token)) if breaks_lines(token) => "the token",
        _ => return Ok(()),
    };
    let text = format!("Invalid credentials: {whose} holds a line break or a NUL");
    Err(Error::new(ErrorKind::InvalidHeader, text))
}
