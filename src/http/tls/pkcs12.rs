//! PKCS#12 files (RFC 7292): a private key and its certificates, under a password.

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha1::digest::common::OutputSizeUser;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use super::der::{Der, EXPLICIT_0, IMPLICIT_0, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, SET, dotted, only};
pub use super::encrypted::{Effort, Failure};
use super::encrypted::{Password, Purpose, decrypt, private_key};
use super::x509::X509;

/// What is in a file.
#[derive(Debug)]
pub struct Pkcs12 {
    /// That of the key first, then as each is signed by the next.
    pub chain: Vec<Vec<u8>>,
    /// In PKCS#8. None: there is none.
    pub key: Option<Vec<u8>>,
}

const DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x01];
const ENCRYPTED_DATA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x07, 0x06];
/// The kinds of bags, but for the last number.
const BAGS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x0A, 0x01];
const X509_CERTIFICATE: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x16, 0x01];
const LOCAL_KEY_ID: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x09, 0x15];
const SHA1: &[u8] = &[0x2B, 0x0E, 0x03, 0x02, 0x1A];
/// SHA-2, but for the last number.
const SHA2: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02];

/// So deep bags may lie in bags.
const DEEPEST: u32 = 4;

/// Reads a file. No password is the empty one.
pub fn open(file: &[u8], password: &[u8], effort: Effort) -> Result<Pkcs12, Failure> {
    let mut fields = Der(only(file, SEQUENCE).ok_or(Failure::Malformed)?);
    fields.take_number().ok_or(Failure::Malformed)?;
    let mut safe = Der(fields.take(SEQUENCE).ok_or(Failure::Malformed)?);
    if safe.take(OBJECT_IDENTIFIER) != Some(DATA) {
        return Err(Failure::Malformed);
    }
    let safe = safe.take(EXPLICIT_0).and_then(|content| only(content, OCTET_STRING));
    let safe = safe.ok_or(Failure::Malformed)?;
    let mut password = Password { text: password, wide: None, effort };
    password.wide = Some(checked(&mut fields, safe, &password)?);
    let mut found = Found::default();
    let mut parts = Der(only(safe, SEQUENCE).ok_or(Failure::Malformed)?);
    while let Some(part) = parts.take(SEQUENCE) {
        let mut fields = Der(part);
        let kind = fields.take(OBJECT_IDENTIFIER).ok_or(Failure::Malformed)?;
        let content = fields.take(EXPLICIT_0).ok_or(Failure::Malformed)?;
        if kind == DATA {
            found.take_bags(only(content, OCTET_STRING).ok_or(Failure::Malformed)?, &password, 0)?;
        } else if kind == ENCRYPTED_DATA {
            let plain = decrypt_part(content, &password)?;
            if only(&plain, SEQUENCE).is_none() {
                // A wrong password may leave a padding that looks right.
                return Err(Failure::WrongPassword);
            }
            found.take_bags(&plain, &password, 0)?;
        } else {
            return Err(Failure::Unsupported(dotted(kind)));
        }
    }
    Ok(found.in_order())
}

/// The password as it is to be written, if the file's MAC says that it is right. A file without one takes any.
fn checked(behind: &mut Der, safe: &[u8], password: &Password) -> Result<Vec<u8>, Failure> {
    let wide = Password::widened(password.text);
    let Some(mac) = behind.take(SEQUENCE) else { return Ok(wide) };
    let mut fields = Der(mac);
    let mut digest = Der(fields.take(SEQUENCE).ok_or(Failure::Malformed)?);
    let mut algorithm = Der(digest.take(SEQUENCE).ok_or(Failure::Malformed)?);
    let algorithm = algorithm.take(OBJECT_IDENTIFIER).ok_or(Failure::Malformed)?;
    let expected = digest.take(OCTET_STRING).ok_or(Failure::Malformed)?;
    let salt = fields.take(OCTET_STRING).ok_or(Failure::Malformed)?;
    let rounds = if fields.0.is_empty() { Some(1) } else { fields.take_number() };
    let rounds = rounds.ok_or(Failure::Malformed)?;
    let mac = Authenticator { password, safe, salt, rounds, expected };
    let is_right = |wide: &[u8]| match (algorithm, algorithm.strip_prefix(SHA2)) {
        (SHA1, _) => mac.is_of::<Sha1>(wide),
        (_, Some([1])) => mac.is_of::<Sha256>(wide),
        (_, Some([2])) => mac.is_of::<Sha384>(wide),
        (_, Some([3])) => mac.is_of::<Sha512>(wide),
        (_, Some([4])) => mac.is_of::<Sha224>(wide),
        _ => Err(Failure::Unsupported(dotted(algorithm))),
    };
    if is_right(&wide)? {
        return Ok(wide);
    }
    // Some write an empty password without its NUL.
    if password.text.is_empty() && is_right(&[])? {
        return Ok(Vec::new());
    }
    Err(Failure::WrongPassword)
}

struct Authenticator<'a> {
    password: &'a Password<'a>,
    safe: &'a [u8],
    salt: &'a [u8],
    rounds: u32,
    expected: &'a [u8],
}

impl Authenticator<'_> {
    fn is_of<D: EagerHash + sha1::Digest + sha1::digest::common::BlockSizeUser>(
        &self,
        wide: &[u8],
    ) -> Result<bool, Failure>
    where
        Hmac<D>: Mac + KeyInit,
    {
        let length = <D as OutputSizeUser>::output_size();
        let key = self.password.derive::<D>(Purpose::Mac, wide, self.salt, self.rounds, length)?;
        let Ok(mac) = <Hmac<D> as KeyInit>::new_from_slice(&key) else { return Ok(false) };
        Ok(mac.chain_update(self.safe).verify_slice(self.expected).is_ok())
    }
}

/// The bags in a part that is encrypted as a whole.
fn decrypt_part(content: &[u8], password: &Password) -> Result<Vec<u8>, Failure> {
    let read = || {
        let mut fields = Der(only(content, SEQUENCE)?);
        fields.take_number()?;
        let mut fields = Der(fields.take(SEQUENCE)?);
        fields.take(OBJECT_IDENTIFIER)?;
        let algorithm = fields.take_whole(SEQUENCE)?;
        Some((algorithm, fields.take(IMPLICIT_0)?))
    };
    let (algorithm, data) = read().ok_or(Failure::Malformed)?;
    decrypt(algorithm, data, password)
}

/// What was found so far.
#[derive(Default)]
struct Found {
    /// Each with what says which key it belongs to.
    certificates: Vec<(Vec<u8>, Option<Vec<u8>>)>,
    key: Option<(Vec<u8>, Option<Vec<u8>>)>,
}

impl Found {
    fn take_bags(&mut self, bags: &[u8], password: &Password, depth: u32) -> Result<(), Failure> {
        let mut bags = Der(only(bags, SEQUENCE).ok_or(Failure::Malformed)?);
        while let Some(bag) = bags.take(SEQUENCE) {
            let mut fields = Der(bag);
            let kind = fields.take(OBJECT_IDENTIFIER).ok_or(Failure::Malformed)?;
            let value = fields.take(EXPLICIT_0).ok_or(Failure::Malformed)?;
            let owner = fields.take(SET).and_then(local_key_id);
            match kind.strip_prefix(BAGS) {
                Some([1]) if self.key.is_none() => self.key = Some((value.to_vec(), owner)),
                Some([2]) if self.key.is_none() => self.key = Some((private_key(value, password)?, owner)),
                Some([3]) => {
                    if let Some(certificate) = certificate(value) {
                        self.certificates.push((certificate.to_vec(), owner));
                    }
                }
                Some([6]) if depth < DEEPEST => self.take_bags(value, password, depth + 1)?,
                // Lists of what is revoked, secrets, and further keys are not what is looked for.
                _ => {}
            }
        }
        Ok(())
    }

    fn in_order(self) -> Pkcs12 {
        let owner = self.key.as_ref().and_then(|(_, owner)| owner.clone());
        let mut rest = self.certificates;
        let mut chain: Vec<Vec<u8>> = Vec::new();
        let first = rest.iter().position(|(_, of)| of.is_some() && *of == owner).unwrap_or(0);
        let mut next = (!rest.is_empty()).then_some(first);
        while let Some(at) = next {
            let (certificate, _) = rest.remove(at);
            let issuer = X509::parse(&certificate).map(|parsed| parsed.issuer.to_vec());
            chain.push(certificate);
            let has_signed = |one: &Vec<u8>| {
                let subject = X509::parse(one).map(|parsed| parsed.subject);
                issuer.is_some() && subject == issuer.as_deref()
            };
            next = rest.iter().position(|(one, _)| has_signed(one));
        }
        // The names of some issuers are written in two ways.
        chain.extend(rest.into_iter().map(|(certificate, _)| certificate));
        Pkcs12 { chain, key: self.key.map(|(key, _)| key) }
    }
}

fn certificate(value: &[u8]) -> Option<&[u8]> {
    let mut fields = Der(only(value, SEQUENCE)?);
    if fields.take(OBJECT_IDENTIFIER)? != X509_CERTIFICATE {
        return None;
    }
    only(fields.take(EXPLICIT_0)?, OCTET_STRING)
}

fn local_key_id(attributes: &[u8]) -> Option<Vec<u8>> {
    let mut attributes = Der(attributes);
    while let Some(attribute) = attributes.take(SEQUENCE) {
        let mut fields = Der(attribute);
        if fields.take(OBJECT_IDENTIFIER)? == LOCAL_KEY_ID {
            return Der(fields.take(SET)?).take(OCTET_STRING).map(<[u8]>::to_vec);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const AES: &[u8] = include_bytes!("../../../tests/support/certificates/client/aes.p12");
    const LEGACY: &[u8] = include_bytes!("../../../tests/support/certificates/client/legacy.p12");
    const PLAIN: &[u8] = include_bytes!("../../../tests/support/certificates/client/plain.p12");

    fn open(file: &[u8], password: &[u8]) -> Result<Pkcs12, Failure> {
        super::open(file, password, Effort::default())
    }

    #[test]
    fn the_effort_is_limited_for_a_key_and_for_a_file() {
        let effort = |rounds, left| Effort { rounds, left: Cell::new(left), memory: 0 };
        assert!(super::open(AES, b"secret", effort(2048, 100_000)).is_ok());
        for few in [effort(2047, 100_000), effort(2048, 6143)] {
            assert_eq!(super::open(AES, b"secret", few).unwrap_err(), Failure::TooHard);
        }
    }

    #[test]
    fn the_chain_begins_with_the_certificate_of_the_key() {
        for file in [AES, LEGACY, PLAIN] {
            let opened = open(file, b"secret").unwrap();
            assert!(opened.key.is_some());
            let names: Vec<_> = opened.chain.iter().map(|one| X509::parse(one).unwrap()).collect();
            assert_eq!(names.len(), 3);
            assert!(names.windows(2).all(|two| two[0].issuer == two[1].subject));
            assert_eq!(names[2].issuer, names[2].subject);
        }
    }

    #[test]
    fn what_is_cut_off_or_changed_is_refused() {
        // Without the many rounds of a MAC that is looked at.
        for length in 0..PLAIN.len() {
            assert!(open(&PLAIN[..length], b"secret").is_err());
        }
        for at in (0..AES.len()).step_by(97) {
            let mut changed = AES.to_vec();
            changed[at] ^= 1;
            // The friendly name and other things beside it do not matter, but the MAC is of all of them.
            assert!(open(&changed, b"secret").is_err(), "{at}");
        }
        assert_eq!(open(AES, b"wrong").unwrap_err(), Failure::WrongPassword);
        assert_eq!(open(b"", b"").unwrap_err(), Failure::Malformed);
    }
}
