//! The Link header: the first line is the relation that is looked for, what follows is the header.
//!
//! A link is found where it stands in the header, and one that stands before the others changes nothing for them.

use requests_futures::message::link::find;

use super::{memory, take_text, text_of};

pub fn link(data: &[u8]) {
    let mut data = data;
    memory::within(64 * 1024 + 64 * data.len(), || {
        let rel = take_text(&mut data);
        let header = text_of(data);
        let found = find(&header, &rel);
        if let Some(url) = &found {
            assert!(header.contains(&format!("<{url}>")), "{url}");
        }
        if rel == "fuzz:first" || rel.eq_ignore_ascii_case("fuzz-rel") {
            return;
        }
        let longer = format!("<fuzz:first>; rel=\"fuzz-rel\", {header}");
        assert_eq!(find(&longer, &rel), found);
        assert!(find(&longer, "fuzz-rel").is_some());
    });
}
