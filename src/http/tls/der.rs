//! Elements of DER (ITU-T X.690): certificates, keys and PKCS#12 files are made of them.

pub const BOOLEAN: u8 = 0x01;
pub const INTEGER: u8 = 0x02;
pub const BIT_STRING: u8 = 0x03;
pub const OCTET_STRING: u8 = 0x04;
pub const OBJECT_IDENTIFIER: u8 = 0x06;
pub const SEQUENCE: u8 = 0x30;
pub const SET: u8 = 0x31;
/// What a field with the tag `[0]` has around its value; and such a field in the place of an OCTET STRING.
pub const EXPLICIT_0: u8 = 0xA0;
pub const IMPLICIT_0: u8 = 0x80;

/// Elements, one after the other.
pub struct Der<'a>(pub &'a [u8]);

impl<'a> Der<'a> {
    /// The next element's tag and content. None at the end, and for what is no element.
    pub fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7F => (usize::from(first), rest),
            0x81..=0x84 => {
                let (octets, rest) = rest.split_at_checked(usize::from(first & 0x7F))?;
                (octets.iter().fold(0, |length, octet| length << 8 | usize::from(*octet)), rest)
            }
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    /// The content of the next element, if it has this tag. If not, the element stays.
    pub fn take(&mut self, tag: u8) -> Option<&'a [u8]> {
        if self.0.first() != Some(&tag) {
            return None;
        }
        self.next().map(|(_, content)| content)
    }

    /// The same, tag and length included.
    pub fn take_whole(&mut self, tag: u8) -> Option<&'a [u8]> {
        let before = self.0;
        self.take(tag)?;
        Some(&before[..before.len() - self.0.len()])
    }

    /// A whole number that is not below 0.
    pub fn take_number(&mut self) -> Option<u32> {
        let octets = self.take(INTEGER)?;
        let negative = octets.first().is_none_or(|first| first & 0x80 != 0);
        let digits = octets.strip_prefix(&[0]).unwrap_or(octets);
        (!negative && digits.len() <= 4)
            .then(|| digits.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)))
    }
}

/// The content of an element that is all there is.
pub fn only(der: &[u8], tag: u8) -> Option<&[u8]> {
    let mut elements = Der(der);
    elements.take(tag).filter(|_| elements.0.is_empty())
}

/// An object identifier as people write it: 1.2.840.113549. Of one that is longer than any in use, the beginning.
pub fn dotted(identifier: &[u8]) -> String {
    let identifier = &identifier[..identifier.len().min(32)];
    let mut arcs: Vec<u64> = Vec::new();
    let mut arc = 0_u64;
    for octet in identifier {
        arc = arc << 7 | u64::from(octet & 0x7F);
        if octet & 0x80 == 0 {
            if arcs.is_empty() {
                let first = (arc / 40).min(2);
                arcs.push(first);
                arc -= 40 * first;
            }
            arcs.push(std::mem::take(&mut arc));
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_numbers_and_identifiers_are_read() {
        let mut der = Der(&[0x02, 1, 5, 0x02, 2, 0, 200, 0x02, 1, 0x80, 0x30, 0, 0x04, 5]);
        assert_eq!((der.take_number(), der.take_number()), (Some(5), Some(200)));
        assert_eq!(der.take_number(), None);
        assert_eq!(der.take(OCTET_STRING), None);
        assert_eq!(der.take_whole(SEQUENCE), Some(&[0x30, 0][..]));
        assert_eq!(der.next(), None);
        assert_eq!(only(&[4, 1, 7], OCTET_STRING), Some(&[7][..]));
        assert_eq!(only(&[4, 1, 7, 0], OCTET_STRING), None);
        assert_eq!(dotted(&[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D]), "1.2.840.113549.1.5.13");
        assert_eq!(dotted(&[0x55, 0x1D, 0x25, 0x00]), "2.5.29.37.0");
    }
}
