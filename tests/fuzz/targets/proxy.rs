//! Proxy variables: the lines are a URL, `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy`.
//!
//! A proxy that was chosen is what its shown form says, and that holds no password. The order, the case and the white
//! space of `no_proxy`, and hosts of no concern in it, change nothing; the host itself in it means direct.

use requests_futures::http::proxy::Proxy;
use requests_futures::http::proxy::choice::select;
use requests_futures::message::error::Error;
use requests_futures::message::host::{Authority, without_brackets};
use requests_futures::message::url::Url;
use requests_futures::system::environment::Environment;

use super::{memory, take_text};

fn chosen(url: &Url, environment: &Environment) -> Result<Option<Proxy>, String> {
    let (scheme, host) = (url.scheme_name(), url.host());
    select(scheme, host, url.port(), &[], Some(environment), &[], None)
        .map_err(|error: Error| error.message().as_str().to_owned())
}

pub fn proxy(data: &[u8]) {
    let mut data = data;
    memory::within(256 * 1024 + 128 * data.len(), || {
        let url = take_text(&mut data);
        let mut variable = || Some(take_text(&mut data)).filter(|value| !value.is_empty());
        let environment = Environment {
            http_proxy: variable(),
            https_proxy: variable(),
            all_proxy: variable(),
            no_proxy: variable(),
            ..Environment::default()
        };
        for value in [&environment.http_proxy, &environment.https_proxy, &environment.all_proxy] {
            let Some(Ok(proxy)) = value.as_deref().map(Proxy::parse) else { continue };
            let shown = proxy.shown();
            let again = Proxy::parse(&shown).unwrap_or_else(|error| panic!("{shown:?}: {error}"));
            assert_eq!(again, Proxy { credentials: None, ..proxy.clone() }, "{shown}");
            assert!(!shown.contains('@') && !shown.contains(|c: char| c.is_control() || c.is_whitespace()));
            assert!(!proxy.host.is_empty());
            assert!(proxy.login().is_none_or(|(user, password)| !user.is_empty() || !password.is_empty()));
        }
        let Ok(url) = Url::parse(&url) else { return };
        let outcome = chosen(&url, &environment);
        let Some(list) = environment.no_proxy.clone() else { return };
        let with = |list: String| chosen(&url, &Environment { no_proxy: Some(list), ..environment.clone() });
        if list.trim() == "*" {
            assert_eq!(outcome, Ok(None));
            return;
        }
        let entries: Vec<&str> = list.split(',').collect();
        let reversed: Vec<&str> = entries.iter().rev().copied().collect();
        if reversed.join(",").trim() != "*" {
            assert_eq!(with(reversed.join(",")), outcome, "in another order");
            assert_eq!(with(entries.join(" ,\t")), outcome, "with spaces");
            assert_eq!(with(format!("{list},other.invalid:1,,")), outcome, "with others");
            assert_eq!(with(list.to_ascii_uppercase()), outcome, "in capitals");
        }
        // A zone is no part of an address there, and a comma parts entries.
        if !url.host().contains(['%', ',']) {
            let place = Authority(without_brackets(url.host()), url.port()).to_string();
            assert_eq!(with(format!("{list},{place}")), Ok(None), "{place}");
            assert_eq!(with(format!("{},{list}", url.host())), Ok(None), "{}", url.host());
        }
    });
}
