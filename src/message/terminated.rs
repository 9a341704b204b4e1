//! Text with a NUL behind its last byte.
//!
//! Whatever a getter lends out as a C string is stored like this from the start, so that lending it costs
//! nothing and the pointer lives as long as its owner.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Owned UTF-8 text, followed by one NUL that is not part of it and free of NULs inside.
#[derive(Clone, PartialEq, Eq)]
pub struct Terminated(Box<str>);

impl Terminated {
    /// Takes the text over; a NUL inside, which C could not see past, becomes U+FFFD.
    pub fn new(text: impl Into<String>) -> Terminated {
        let mut text = text.into();
        if text.as_bytes().contains(&0) {
            text = text.replace('\0', "\u{FFFD}");
        }
        text.push('\0');
        Terminated(text.into_boxed_str())
    }

    /// A copy of the text, with room for the terminator from the start.
    pub fn copy_of(text: &str) -> Terminated {
        let mut copy = String::with_capacity(text.len() + 1);
        copy.push_str(text);
        Terminated::new(copy)
    }

    /// The text without its terminator.
    pub fn as_str(&self) -> &str {
        &self.0[..self.0.len() - 1]
    }

    /// The address of the first byte; the text and its NUL live as long as `self`.
    pub fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

impl Serialize for Terminated {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Terminated {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Terminated, D::Error> {
        String::deserialize(deserializer).map(Terminated::new)
    }
}

impl fmt::Debug for Terminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Terminated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nul_follows_the_text_and_none_is_inside() {
        let text = Terminated::new("a\0b");
        assert_eq!(text.as_str(), "a\u{FFFD}b");
        assert_eq!(text.0.as_bytes().last(), Some(&0));
        assert_eq!(text.0.bytes().filter(|byte| *byte == 0).count(), 1);
    }
}
