//! URLs, and where a Location leads: the first line is the URL, what follows is the Location.
//!
//! A URL that was parsed is plain ASCII, and parses to itself; what leads nowhere leads back to it; and no message shows
//! its password.

use requests_futures::message::url::{Url, without_userinfo};

use super::{memory, take_text};

fn read(text: &str) -> Option<Url> {
    Url::parse(text).ok()
}

/// As in requests, `%2e%2e` becomes a dot segment when those have been taken out already. What reads the URL next takes it
/// out.
fn has_dots(url: &Url) -> bool {
    url.path().split('/').any(|segment| matches!(segment, "." | ".."))
}

/// What was parsed says the same when it is parsed again.
#[track_caller]
fn is_settled(url: &Url) {
    let settled;
    let url = if has_dots(url) {
        settled = Url::parse(url.as_str()).unwrap_or_else(|error| panic!("{url}: {error}"));
        &settled
    } else {
        url
    };
    let text = url.as_str();
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text:?}");
    let again = Url::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    assert_eq!(again.as_str(), text);
    assert_eq!(again.host(), url.host(), "{text}");
    assert_eq!((again.scheme(), again.port()), (url.scheme(), url.port()), "{text}");
    assert_eq!((again.path(), again.query()), (url.path(), url.query()), "{text}");
    assert_eq!(again.fragment(), url.fragment(), "{text}");
    assert_eq!(again.host_header(), url.host_header(), "{text}");
    assert_eq!(again.userinfo(), None, "{text}");
    assert!(url.path().starts_with('/'), "{text}");
    assert!(!url.host().is_empty() && !url.host().contains(['/', '@', '?', '#', '\\']), "{text}");
    let query = url.query().map_or(String::new(), |query| format!("?{query}"));
    let fragment = url.fragment().map_or(String::new(), |fragment| format!("#{fragment}"));
    assert_eq!(url.target(), format!("{}{query}", url.path()));
    let scheme = url.scheme_name();
    assert_eq!(text, format!("{scheme}://{}{}{fragment}", url.authority(), url.target()));
    assert!(url.same_origin(&again) && url.keeps_credentials(&again), "{text}");
}

pub fn url(data: &[u8]) {
    let mut data = data;
    memory::within(64 * 1024 + 64 * data.len(), || {
        let given = take_text(&mut data);
        let shown = without_userinfo(&given);
        let Some(url) = read(&given) else { return };
        is_settled(&url);
        match url.userinfo() {
            None => {}
            Some(_) => {
                let bare = read(&shown).unwrap_or_else(|| panic!("{shown:?} of {given:?}"));
                assert_eq!((bare.as_str(), bare.userinfo()), (url.as_str(), None), "{given:?}");
            }
        }
        if has_dots(&url) {
            return;
        }
        let own = url.with_authority(url.authority()).expect("its own authority");
        assert_eq!(own.without_fragment(), url.without_fragment());
        let without = url.with_query(None);
        is_settled(&without);
        assert_eq!(without.query(), None);
        assert_eq!(url.join(b"", &|_| false).expect("the same").as_str(), url.as_str());

        let Ok(next) = url.join(data, &|_| false) else { return };
        is_settled(&next);
        if has_dots(&next) {
            return;
        }
        assert_eq!(
            url.join(next.as_str().as_bytes(), &|_| false).expect("as it was").as_str(),
            next.as_str()
        );
        assert_eq!(next.join(b"", &|_| false).expect("the same").as_str(), next.as_str());
        if let Ok(text) = std::str::from_utf8(data) {
            let more = url.append_query(text);
            is_settled(&more);
            assert_eq!((more.path(), more.fragment()), (url.path(), url.fragment()));
        }
    });
}
