//! The Link header (RFC 8288).

/// The URL whose relation is `rel`, or, for a link without one, whose URL is.
pub fn find(header: &str, rel: &str) -> Option<String> {
    links(header).into_iter().rev().find(|(_, name)| name == rel).map(|(url, _)| url)
}

/// URL and key of each link, in order.
fn links(header: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let Some(length) = rest[start + 1..].find('>') else { break };
        let url = rest[start + 1..start + 1 + length].to_string();
        rest = &rest[start + length + 2..];
        // Parameters go on to the next link; a comma may stand in quotes.
        let mut relation = None;
        loop {
            rest = rest.trim_start();
            let Some(parameter) = rest.strip_prefix(';') else { break };
            let (name, value, after) = parameter_of(parameter);
            if relation.is_none() && name.eq_ignore_ascii_case("rel") {
                relation = Some(value);
            }
            rest = after;
        }
        match relation {
            // One link may stand for several relations.
            Some(names) if !names.trim().is_empty() => {
                found.extend(names.split_whitespace().map(|name| (url.clone(), name.to_string())));
            }
            _ => found.push((url.clone(), url)),
        }
    }
    found
}

/// Name, value and what follows.
fn parameter_of(text: &str) -> (&str, String, &str) {
    let end = text.find(['=', ';', ',']).unwrap_or(text.len());
    let name = text[..end].trim();
    if !text[end..].starts_with('=') {
        return (name, String::new(), &text[end..]);
    }
    let value = text[end + 1..].trim_start();
    // Single quotes are none of RFC 8288, but servers write them, and requests reads them.
    match value.chars().next().filter(|first| matches!(first, '"' | '\'')) {
        Some(quote) => {
            let quoted = &value[1..];
            let end = quoted.find(quote).unwrap_or(quoted.len());
            (name, quoted[..end].to_string(), quoted.get(end + 1..).unwrap_or(""))
        }
        None => {
            let end = value.find([';', ',']).unwrap_or(value.len());
            (name, value[..end].trim().to_string(), &value[end..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_found_by_relation() {
        let header =
            r#"<https://a/?page=2>; rel="next", <https://a/?page=9>; title="a, b"; rel=last, <https://b>"#;
        assert_eq!(find(header, "next").as_deref(), Some("https://a/?page=2"));
        assert_eq!(find(header, "last").as_deref(), Some("https://a/?page=9"));
        assert_eq!(find(header, "https://b").as_deref(), Some("https://b"));
        assert_eq!(find(header, "prev"), None);
        assert_eq!(find("<broken", "x"), None);
        assert_eq!(find(r#"<u>; rel="a b"#, "b").as_deref(), Some("u"));
        assert_eq!(find("<u>; rel='next'; x=1, <v>; rel=last", "next").as_deref(), Some("u"));
    }
}
