//! The Link header (RFC 8288).

/// The URL whose relation is `rel`, in any case, or, for a link without one, whose URL is.
pub fn find(header: &str, rel: &str) -> Option<String> {
    let is = |link: &&Link| match &link.relations {
        Some(names) => names.split_whitespace().any(|name| name.eq_ignore_ascii_case(rel)),
        None => link.url == rel,
    };
    // Of several the last one wins, as in a Python dict.
    links(header).iter().rev().find(is).map(|link| link.url.to_string())
}

struct Link<'h> {
    url: &'h str,
    /// One link may stand for several, separated by spaces. None: no relation is named.
    relations: Option<String>,
}

/// The links in order.
fn links(header: &str) -> Vec<Link<'_>> {
    let mut found = Vec::new();
    let mut rest = header;
    while let Some(start) = rest.find('<') {
        let Some(length) = rest[start + 1..].find('>') else { break };
        let url = &rest[start + 1..start + 1 + length];
        rest = &rest[start + length + 2..];
        // Parameters go on to the next link; a comma may stand in quotes.
        let mut relations = None;
        loop {
            rest = rest.trim_start();
            let Some(parameter) = rest.strip_prefix(';') else { break };
            let (name, value, after) = parameter_of(parameter);
            // RFC 8288, 3.3: only the first one counts.
            if relations.is_none() && name.eq_ignore_ascii_case("rel") {
                relations = Some(value);
            }
            rest = after;
        }
        found.push(Link { url, relations: relations.filter(|names| !names.trim().is_empty()) });
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
    if let Some(quoted) = value.strip_prefix('"') {
        let (value, after) = quoted_string(quoted);
        return (name, value, after);
    }
    // Single quotes are none of RFC 8288, but servers write them, and requests reads them.
    if let Some(quoted) = value.strip_prefix('\'') {
        let (value, after) = quoted.split_once('\'').unwrap_or((quoted, ""));
        return (name, value.to_string(), after);
    }
    let end = value.find([';', ',']).unwrap_or(value.len());
    (name, value[..end].trim().to_string(), &value[end..])
}

/// What a quoted string (RFC 9110, 5.6.4) says, given without its first quote, and what follows it. In it a
/// backslash takes the special meaning from the character behind it.
fn quoted_string(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => value.extend(characters.next()),
            _ => value.push(character),
        }
    }
    (value, characters.as_str())
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

    #[test]
    fn a_quote_behind_a_backslash_does_not_end_a_quoted_string() {
        let header = r#"<u>; title="x\", <v>; y"; rel=next"#;
        assert_eq!(find(header, "next").as_deref(), Some("u"));
        assert_eq!(find(header, "v"), None);
        assert_eq!(find(r#"<u>; title="x\\"; rel=next, <v>; rel=last"#, "next").as_deref(), Some("u"));
        assert_eq!(find(r#"<u>; rel="ne\xt""#, "next").as_deref(), Some("u"));
        assert_eq!(find(r#"<u>; rel=next; title="never ends\"#, "next").as_deref(), Some("u"));
    }

    #[test]
    fn relations_compare_in_any_case_and_urls_do_not() {
        assert_eq!(find("<u>; REL=Next", "nEXT").as_deref(), Some("u"));
        assert_eq!(find(r#"<u>; rel="prev HTTP://a/B""#, "http://A/b").as_deref(), Some("u"));
        assert_eq!(find("<http://h/A>", "http://h/A").as_deref(), Some("http://h/A"));
        assert_eq!(find("<http://h/A>", "http://h/a"), None);
    }

    #[test]
    fn several_relations_are_separated_by_spaces() {
        let header = r#"<u>; rel="first  Up prev", <v>; rel=up-to"#;
        for rel in ["first", "up", "prev"] {
            assert_eq!(find(header, rel).as_deref(), Some("u"), "{rel}");
        }
        assert_eq!(find(header, "first  Up"), None);
        assert_eq!(find(header, "u"), None);
    }
}
