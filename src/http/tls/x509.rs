//! As much of X.509 as it takes to look at certificates that the chain's verifier does not read: whose validity, names
//! and key matter though their version or an extension is none of those it knows.

use std::net::IpAddr;

use super::der::{BIT_STRING, BOOLEAN, Der, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE};

/// A certificate's parts, borrowed from its DER.
#[derive(Debug)]
pub struct X509<'a> {
    pub issuer: &'a [u8],
    pub subject: &'a [u8],
    validity: &'a [u8],
    /// The public key with its algorithm, whole: what a pin is of.
    pub key_info: &'a [u8],
    /// What `subjectAltName` holds, empty without one.
    names: &'a [u8],
}

/// The algorithm of a public key, with its parameters, and the key itself.
#[derive(Debug, PartialEq, Eq)]
pub struct PublicKey<'a> {
    pub algorithm: &'a [u8],
    pub bits: &'a [u8],
}

/// A name that a certificate is for.
#[derive(Debug, PartialEq, Eq)]
pub enum Name<'a> {
    Dns(&'a str),
    Address(IpAddr),
}

/// What OpenSSL's trusted form says of a certificate's use.
#[derive(Debug)]
pub struct Trusted<'a> {
    pub certificate: &'a [u8],
    /// Whether it may vouch for servers.
    pub for_servers: bool,
}

const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// The version before, and the extensions behind the fields that every certificate has.
const VERSION: u8 = 0xA0;
const EXTENSIONS: u8 = 0xA3;
/// In `subjectAltName`.
const DNS_NAME: u8 = 0x82;
const IP_ADDRESS: u8 = 0x87;
/// In the trusted form: what a certificate must not be used for.
const REJECT: u8 = 0xA0;

const SUBJECT_ALT_NAME: &[u8] = &[0x55, 0x1D, 0x11];
const RSA: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x01];
const RSA_PSS: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x01, 0x0A];
const SERVER_AUTH: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const ANY_EXTENDED_KEY_USAGE: &[u8] = &[0x55, 0x1D, 0x25, 0x00];

impl<'a> X509<'a> {
    /// None for what is no certificate.
    pub fn parse(der: &'a [u8]) -> Option<X509<'a>> {
        let mut fields = Der(Der(Der(der).take(SEQUENCE)?).take(SEQUENCE)?);
        fields.take(VERSION);
        fields.take(INTEGER)?;
        let _algorithm = fields.take(SEQUENCE)?;
        let issuer = fields.take(SEQUENCE)?;
        let validity = fields.take(SEQUENCE)?;
        let subject = fields.take(SEQUENCE)?;
        let key_info = fields.take_whole(SEQUENCE)?;
        let mut names: &[u8] = &[];
        while let Some((tag, content)) = fields.next() {
            if tag == EXTENSIONS {
                names = subject_alt_name(content).unwrap_or_default();
            }
        }
        Some(X509 { issuer, subject, validity, key_info, names })
    }

    pub fn public_key(&self) -> Option<PublicKey<'a>> {
        let mut fields = Der(Der(self.key_info).take(SEQUENCE)?);
        let algorithm = fields.take(SEQUENCE)?;
        // The first octet counts the bits that the last one does not use: no key leaves any.
        let bits = fields.take(BIT_STRING)?.strip_prefix(&[0])?;
        Some(PublicKey { algorithm, bits })
    }

    /// From when until when it is valid, in seconds since 1970.
    pub fn validity(&self) -> Option<(i64, i64)> {
        let mut times = Der(self.validity);
        Some((seconds(times.next()?)?, seconds(times.next()?)?))
    }

    /// The names of hosts and addresses that it is for. Others are left out.
    pub fn names(&self) -> impl Iterator<Item = Name<'a>> {
        let mut names = Der(self.names);
        std::iter::from_fn(move || names.next()).filter_map(|(tag, content)| match tag {
            DNS_NAME => Some(Name::Dns(std::str::from_utf8(content).ok().filter(|name| name.is_ascii())?)),
            IP_ADDRESS => match content.len() {
                4 => Some(Name::Address(<[u8; 4]>::try_from(content).ok()?.into())),
                16 => Some(Name::Address(<[u8; 16]>::try_from(content).ok()?.into())),
                _ => None,
            },
            _ => None,
        })
    }

    /// Whether it is for this host: an address, or a name without the dot at its end.
    pub fn is_for(&self, host: &str) -> bool {
        let address: Option<IpAddr> = host.parse().ok();
        self.names().any(|name| match (name, address) {
            (Name::Address(name), Some(address)) => name == address,
            (Name::Dns(name), None) => is_name_of(name, host),
            _ => false,
        })
    }
}

impl PublicKey<'_> {
    pub fn is_rsa(&self) -> bool {
        Der(self.algorithm).take(OBJECT_IDENTIFIER) == Some(RSA)
    }

    /// Whether it is an RSA key for PSS alone.
    pub fn is_rsa_pss(&self) -> bool {
        Der(self.algorithm).take(OBJECT_IDENTIFIER) == Some(RSA_PSS)
    }

    /// The length of an RSA key's modulus.
    pub fn rsa_bits(&self) -> Option<usize> {
        let modulus = Der(Der(self.bits).take(SEQUENCE)?).take(INTEGER)?;
        let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
        let first = modulus.get(zeros)?;
        Some((modulus.len() - zeros) * 8 - first.leading_zeros() as usize)
    }
}

impl<'a> Trusted<'a> {
    /// Takes the DER of a certificate apart, and what may follow it there.
    pub fn parse(der: &'a [u8]) -> Option<Trusted<'a>> {
        let mut rest = Der(der);
        let certificate = rest.take_whole(SEQUENCE)?;
        let Some(auxiliary) = rest.take(SEQUENCE) else {
            return Some(Trusted { certificate, for_servers: true });
        };
        let mut fields = Der(auxiliary);
        let allowed = fields.take(SEQUENCE);
        let rejected = fields.take(REJECT).unwrap_or_default();
        let for_servers = !names_servers(rejected)
            && allowed.is_none_or(|allowed| allowed.is_empty() || names_servers(allowed));
        Some(Trusted { certificate, for_servers })
    }
}

/// Whether a list of purposes has that of servers in it.
fn names_servers(purposes: &[u8]) -> bool {
    let mut purposes = Der(purposes);
    std::iter::from_fn(|| purposes.next())
        .any(|(_, purpose)| purpose == SERVER_AUTH || purpose == ANY_EXTENDED_KEY_USAGE)
}

fn subject_alt_name(extensions: &[u8]) -> Option<&[u8]> {
    let mut extensions = Der(Der(extensions).take(SEQUENCE)?);
    while let Some(extension) = extensions.take(SEQUENCE) {
        let mut fields = Der(extension);
        let identifier = fields.take(OBJECT_IDENTIFIER)?;
        fields.take(BOOLEAN);
        if identifier == SUBJECT_ALT_NAME {
            return Der(fields.take(OCTET_STRING)?).take(SEQUENCE);
        }
    }
    None
}

/// Whether a certificate's name, which may have `*` for its first label (RFC 6125), is that of the host.
fn is_name_of(name: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let name = name.strip_suffix('.').unwrap_or(name);
    match name.strip_prefix("*.") {
        // One label, and never all names of a top-level domain.
        Some(domain) => {
            domain.contains('.')
                && host
                    .split_once('.')
                    .is_some_and(|(label, below)| !label.is_empty() && below.eq_ignore_ascii_case(domain))
        }
        None => !host.is_empty() && name.eq_ignore_ascii_case(host),
    }
}

/// The seconds since 1970 of a time in UTC.
fn seconds((tag, text): (u8, &[u8])) -> Option<i64> {
    let digits = text.strip_suffix(b"Z")?;
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = |digits: &[u8]| digits.iter().fold(0, |number, digit| number * 10 + i64::from(digit - b'0'));
    let (year, rest) = match (tag, digits.len()) {
        // RFC 5280 4.1.2.5.1: two digits are a year from 1950 to 2049.
        (UTC_TIME, 12) => (1950 + (number(&digits[..2]) + 50) % 100, &digits[2..]),
        (GENERALIZED_TIME, 14) => (number(&digits[..4]), &digits[4..]),
        _ => return None,
    };
    let part = |at: usize| number(&rest[at..at + 2]);
    let (month, day) = (part(0), part(2));
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    Some(days(year, month, day) * 86_400 + part(4) * 3600 + part(6) * 60 + part(8))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar. Years are counted from March, so that a leap day is the
/// last of one.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

/// A time as people write it.
pub fn date(seconds: i64) -> String {
    let (days_left, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let mut year = 1970 + days_left.div_euclid(366);
    while days(year + 1, 1, 1) <= days_left {
        year += 1;
    }
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= days_left).unwrap_or(1);
    let day = days_left - days(year, month, 1) + 1;
    format!("{year:04}-{month:02}-{day:02} {:02}:{:02}:{:02} UTC", time / 3600, time / 60 % 60, time % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_and_dates() {
        for (tag, text, value, written) in [
            (UTC_TIME, "700101000000Z", 0, "1970-01-01 00:00:00 UTC"),
            (UTC_TIME, "500101000000Z", -631_152_000, "1950-01-01 00:00:00 UTC"),
            (UTC_TIME, "491231235959Z", 2_524_607_999, "2049-12-31 23:59:59 UTC"),
            (UTC_TIME, "240229120000Z", 1_709_208_000, "2024-02-29 12:00:00 UTC"),
            (GENERALIZED_TIME, "20000301000000Z", 951_868_800, "2000-03-01 00:00:00 UTC"),
            (GENERALIZED_TIME, "99991231235959Z", 253_402_300_799, "9999-12-31 23:59:59 UTC"),
        ] {
            assert_eq!(seconds((tag, text.as_bytes())), Some(value), "{text}");
            assert_eq!(date(value), written);
        }
        for text in ["7001010000Z", "700101000000", "701301000000Z", "70010100000xZ", "70010100000000Z"] {
            assert_eq!(seconds((UTC_TIME, text.as_bytes())), None, "{text}");
        }
    }

    #[test]
    fn a_star_stands_for_one_whole_label() {
        for (name, host, fits) in [
            ("foo-.example", "foo-.example", true),
            ("foo-.example", "FOO-.example.", true),
            ("*.example.test", "foo-.example.test", true),
            ("*.example.test", "example.test", false),
            ("*.example.test", "a.b.example.test", false),
            ("*.example.test", ".example.test", false),
            ("*.test", "foo-.test", false),
            ("*", "foo-", false),
            ("f*.example.test", "foo-.example.test", false),
            ("", "", false),
        ] {
            assert_eq!(is_name_of(name, host), fits, "{name} for {host}");
        }
    }

    #[test]
    fn what_is_cut_off_is_no_certificate() {
        let pem = include_str!("../../../tests/support/certificates/odd-extension.pem");
        let der = <rustls::pki_types::CertificateDer as rustls::pki_types::pem::PemObject>::from_pem_slice(
            pem.as_bytes(),
        );
        let der = der.unwrap();
        let whole = X509::parse(&der).unwrap();
        assert!(whole.is_for("127.0.0.1") && whole.is_for("localhost") && !whole.is_for("127.0.0.2"));
        assert!(whole.public_key().is_some() && whole.validity().is_some());
        for length in 0..der.len() {
            assert!(X509::parse(&der[..length]).is_none());
        }
    }
}
