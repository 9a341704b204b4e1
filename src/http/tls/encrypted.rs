//! What is encrypted with a password: private keys (PKCS#8, RFC 5958), and the parts of PKCS#12 files.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockCipherDecrypt, BlockModeDecrypt, InnerIvInit, KeyInit};
use pkcs5::EncryptionScheme;
use pkcs5::pbes2::Kdf;
use sha1::Sha1;
use sha1::digest::Digest;
use sha1::digest::common::BlockSizeUser;

use super::der::{Der, INTEGER, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, dotted, only};
use crate::future::control::SLICE;
use crate::future::monitor::Monitor;
use crate::http::socket::Limits;
use crate::message::error::{Error, ErrorKind};
use crate::system::fiber;
use crate::system::fork::PerProcess;
use crate::system::thread::with_signals_blocked;

/// Why it cannot be read.
#[derive(Debug, PartialEq, Eq)]
pub enum Failure {
    WrongPassword,
    Malformed,
    /// In a way that is named by this object identifier.
    Unsupported(String),
    /// Trying a password is made so hard that it would take seconds, or much memory.
    TooHard,
}

/// A password, in the forms that it takes.
pub struct Password<'a> {
    pub text: &'a [u8],
    /// In two octets a character, as PKCS#12 wants it. None where that is not in use.
    pub wide: Option<Vec<u8>>,
    pub effort: Effort,
}

impl Password<'_> {
    /// As PKCS#12 writes it: with a NUL behind it.
    pub fn widened(text: &[u8]) -> Vec<u8> {
        let text = String::from_utf8_lossy(text);
        text.encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect()
    }
}

/// What it may take to try a password.
#[derive(Clone)]
pub struct Effort {
    /// So often it may be hashed for one key.
    pub rounds: u32,
    /// The same for all keys of a file, as far as it is not used up.
    pub left: Cell<u64>,
    /// So much memory scrypt may take.
    pub memory: u64,
}

impl Default for Effort {
    /// What takes some seconds at most.
    fn default() -> Effort {
        Effort { rounds: 10_000_000, left: Cell::new(40_000_000), memory: 64 * 1024 * 1024 }
    }
}

impl Effort {
    fn spend(&self, rounds: u64) -> Result<(), Failure> {
        let left = self.left.get().checked_sub(rounds);
        let left = left.filter(|_| rounds <= u64::from(self.rounds)).ok_or(Failure::TooHard)?;
        self.left.set(left);
        Ok(())
    }
}

const PBES2: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x05, 0x0D];
/// Those of PKCS#12 (RFC 7292 C), but for the last number.
const PKCS12: &[u8] = &[0x2A, 0x86, 0x48, 0x86, 0xF7, 0x0D, 0x01, 0x0C, 0x01];

/// The private key (PKCS#8) in an encrypted one.
pub fn private_key(encrypted: &[u8], password: &Password) -> Result<Vec<u8>, Failure> {
    let mut fields = Der(only(encrypted, SEQUENCE).ok_or(Failure::Malformed)?);
    let algorithm = fields.take_whole(SEQUENCE).ok_or(Failure::Malformed)?;
    let data = fields.take(OCTET_STRING).ok_or(Failure::Malformed)?;
    let key = decrypt(algorithm, data, password)?;
    // A wrong password may leave a padding that looks right.
    let begins = only(&key, SEQUENCE).is_some_and(|fields| Der(fields).take(INTEGER).is_some());
    if begins { Ok(key) } else { Err(Failure::WrongPassword) }
}

/// Decrypts what was encrypted by this algorithm, which is a whole element.
pub fn decrypt(algorithm: &[u8], data: &[u8], password: &Password) -> Result<Vec<u8>, Failure> {
    let mut fields = Der(only(algorithm, SEQUENCE).ok_or(Failure::Malformed)?);
    let identifier = fields.take(OBJECT_IDENTIFIER).ok_or(Failure::Malformed)?;
    if identifier == PBES2 {
        return decrypt_pbes2(algorithm, data, password);
    }
    let unsupported = || Failure::Unsupported(dotted(identifier));
    let (Some([kind]), Some(wide)) = (identifier.strip_prefix(PKCS12), &password.wide) else {
        return Err(unsupported());
    };
    let mut parameters = Der(fields.take(SEQUENCE).ok_or(Failure::Malformed)?);
    let salt = parameters.take(OCTET_STRING).ok_or(Failure::Malformed)?;
    let rounds = parameters.take_number().ok_or(Failure::Malformed)?;
    let derived = |purpose, length| password.derive::<Sha1>(purpose, wide, salt, rounds, length);
    let key = |length| derived(Purpose::Key, length);
    let iv = || derived(Purpose::Iv, 8);
    match kind {
        3 => decrypt_by(des::TdesEde3::new_from_slice(&key(24)?).ok(), &iv()?, data),
        4 => decrypt_by(des::TdesEde2::new_from_slice(&key(16)?).ok(), &iv()?, data),
        5 => decrypt_by(Some(rc2::Rc2::new_with_eff_key_len(&key(16)?, 128)), &iv()?, data),
        6 => decrypt_by(Some(rc2::Rc2::new_with_eff_key_len(&key(5)?, 40)), &iv()?, data),
        _ => Err(unsupported()),
    }
}

fn decrypt_by<C: BlockCipherDecrypt>(cipher: Option<C>, iv: &[u8], data: &[u8]) -> Result<Vec<u8>, Failure> {
    let mode = cipher.and_then(|cipher| cbc::Decryptor::inner_iv_slice_init(cipher, iv).ok());
    let mode = mode.ok_or(Failure::Malformed)?;
    if data.is_empty() || !data.len().is_multiple_of(C::block_size()) {
        return Err(Failure::Malformed);
    }
    let mut plain = data.to_vec();
    let length = mode.decrypt_padded::<Pkcs7>(&mut plain).map_err(|_| Failure::WrongPassword)?.len();
    plain.truncate(length);
    Ok(plain)
}

fn decrypt_pbes2(algorithm: &[u8], data: &[u8], password: &Password) -> Result<Vec<u8>, Failure> {
    // What is not understood of it is nearly always an algorithm.
    let scheme = EncryptionScheme::try_from(algorithm).map_err(|_| unknown_part(algorithm))?;
    let Some(parameters) = scheme.pbes2() else { return Err(Failure::Malformed) };
    let rounds = match &parameters.kdf {
        Kdf::Pbkdf2(pbkdf2) => u64::from(pbkdf2.iteration_count),
        Kdf::Scrypt(scrypt) => {
            let block = 128 * u64::from(scrypt.block_size);
            let memory = scrypt.cost_parameter.saturating_mul(block);
            if memory > password.effort.memory || scrypt.parallelization > 16 {
                return Err(Failure::TooHard);
            }
            // A block of 64 octets takes about as long as a hash.
            memory / 64 * u64::from(scrypt.parallelization)
        }
        _ => 0,
    };
    password.effort.spend(rounds)?;
    parameters.decrypt(password.text, data).map_err(|error| match error {
        pkcs5::Error::UnsupportedAlgorithm { oid } => Failure::Unsupported(oid.to_string()),
        pkcs5::Error::DecryptFailed => Failure::WrongPassword,
        _ => Failure::Malformed,
    })
}

/// Which of PBES2's algorithms is to blame: the cipher, or how its key comes of the password.
fn unknown_part(algorithm: &[u8]) -> Failure {
    let name = |whole: &[u8]| Der(only(whole, SEQUENCE)?).take(OBJECT_IDENTIFIER).map(dotted);
    let parts = || {
        let mut fields = Der(only(algorithm, SEQUENCE)?);
        fields.take(OBJECT_IDENTIFIER)?;
        let mut fields = Der(fields.take(SEQUENCE)?);
        let (derivation, cipher) = (fields.take_whole(SEQUENCE)?, fields.take_whole(SEQUENCE)?);
        Some(format!("{} with {}", name(cipher)?, name(derivation)?))
    };
    parts().map_or(Failure::Malformed, Failure::Unsupported)
}

/// What octets are derived for (RFC 7292 B.3).
#[derive(Clone, Copy)]
pub enum Purpose {
    Key = 1,
    Iv = 2,
    Mac = 3,
}

impl Password<'_> {
    /// See [`derive`].
    pub fn derive<D: Digest + BlockSizeUser>(
        &self,
        purpose: Purpose,
        wide: &[u8],
        salt: &[u8],
        rounds: u32,
        length: usize,
    ) -> Result<Vec<u8>, Failure> {
        self.effort.spend(u64::from(rounds))?;
        Ok(derive::<D>(purpose, wide, salt, rounds, length))
    }
}

/// Octets out of a password, as PKCS#12 does it (RFC 7292 B.2).
fn derive<D: Digest + BlockSizeUser>(
    purpose: Purpose,
    password: &[u8],
    salt: &[u8],
    rounds: u32,
    length: usize,
) -> Vec<u8> {
    let block = D::block_size();
    let filled = |text: &[u8]| -> Vec<u8> {
        text.iter().copied().cycle().take(text.len().div_ceil(block) * block).collect()
    };
    let mut input = [filled(salt), filled(password)].concat();
    let mut derived = Vec::with_capacity(length + 64);
    while derived.len() < length {
        let first = D::new().chain_update(vec![purpose as u8; block]).chain_update(&input).finalize();
        let hash = (1..rounds).fold(first, |hash, _| D::digest(&hash));
        derived.extend_from_slice(&hash);
        // Every block of the input is a large number, to which the hash, repeated, and 1 are added.
        let added: Vec<u8> = hash.iter().copied().cycle().take(block).collect();
        for number in input.chunks_mut(block) {
            let mut carry = 1_u16;
            for (digit, add) in number.iter_mut().zip(&added).rev() {
                carry += u16::from(*digit) + u16::from(*add);
                *digit = carry as u8;
                carry >>= 8;
            }
        }
    }
    derived.truncate(length);
    derived
}

/// How many threads do something [`aside`]: those whose request has gone on go on as well.
static ASIDE: PerProcess<Arc<AtomicUsize>> = PerProcess::new(|_| Arc::default());
/// No more do so at once. More wait for their turn.
const MOST_ASIDE: usize = 16;

/// One of those threads, or one that is about to be.
struct OneAside(Arc<AtomicUsize>);

impl OneAside {
    fn begin(limits: &Limits) -> Result<OneAside, Error> {
        let running = ASIDE.get().clone();
        let more = |count| (count < MOST_ASIDE).then_some(count + 1);
        while running.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).is_err() {
            limits.next_look()?;
            fiber::sleep(SLICE);
        }
        Ok(OneAside(running))
    }
}

impl Drop for OneAside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Does this on a thread of its own: passwords are made to take their time, a file system may take any, and nothing can
/// interrupt either. The request waits for no longer than it likes.
pub fn aside<T: Send + 'static>(
    limits: &Limits,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Error> {
    let one = OneAside::begin(limits)?;
    let place = Arc::new(Monitor::new(None));
    let answer = place.clone();
    let run = move || {
        let done = catch_unwind(AssertUnwindSafe(work)).ok();
        drop(one);
        let mut answer = answer.lock();
        *answer = Some(done);
        answer.notify_all();
    };
    with_signals_blocked(|| thread::Builder::new().name("rf-keys".into()).spawn(run))
        .map_err(|error| Error::os(ErrorKind::Ssl, "No thread to read certificates or keys", &error))?;
    let mut answer = place.lock();
    loop {
        match answer.take() {
            Some(Some(done)) => return Ok(done),
            Some(None) => return Err(Error::new(ErrorKind::Ssl, "Reading certificates or keys has failed")),
            None => answer = answer.wait(limits.next_look()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_are_derived_as_pkcs_12_does_it() {
        // The example of RFC 7292's authors that all implementations are tested with: "smeg".
        let password = Password::widened(b"smeg");
        let salt = [0x0A, 0x58, 0xCF, 0x64, 0x53, 0x0D, 0x82, 0x3F];
        let key = derive::<Sha1>(Purpose::Key, &password, &salt, 1, 24);
        let expected = [
            0x8A, 0xAA, 0xE6, 0x29, 0x7B, 0x6C, 0xB0, 0x46, 0x42, 0xAB, 0x5B, 0x07, 0x78, 0x51, 0x28, 0x4E,
            0xB7, 0x12, 0x8F, 0x1A, 0x2A, 0x7F, 0xBC, 0xA3,
        ];
        assert_eq!(key, expected);
    }
}
