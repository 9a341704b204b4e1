//! ECDSA signatures on the curve P-521, which the provider of all other algorithms does not check.

use p521::ecdsa::signature::hazmat::PrehashVerifier;
use p521::ecdsa::{Signature, VerifyingKey};
use rustls::SignatureScheme;
use rustls::crypto::WebPkiSupportedAlgorithms;
use rustls::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use sha2::{Digest, Sha384, Sha512};

/// With which hash: SHA-256 is too short for this curve.
#[derive(Clone, Copy, Debug)]
enum Hash {
    Sha384,
    Sha512,
}

#[derive(Debug)]
struct EcdsaP521(Hash);

static WITH_SHA384: EcdsaP521 = EcdsaP521(Hash::Sha384);
static WITH_SHA512: EcdsaP521 = EcdsaP521(Hash::Sha512);

/// Those for handshakes, whose scheme names the hash.
static CANDIDATES: &[&dyn SignatureVerificationAlgorithm] = &[&WITH_SHA512];

impl SignatureVerificationAlgorithm for EcdsaP521 {
    fn verify_signature(
        &self,
        public_key: &[u8],
        message: &[u8],
        signature: &[u8],
    ) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let signature = Signature::from_der(signature).map_err(|_| InvalidSignature)?;
        let verified = match self.0 {
            Hash::Sha384 => key.verify_prehash(&Sha384::digest(message), &signature),
            Hash::Sha512 => key.verify_prehash(&Sha512::digest(message), &signature),
        };
        verified.map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P521
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        match self.0 {
            Hash::Sha384 => alg_id::ECDSA_SHA384,
            Hash::Sha512 => alg_id::ECDSA_SHA512,
        }
    }
}

/// These algorithms and those of this curve. What they are listed in lives as long as the process.
pub fn added_to(algorithms: WebPkiSupportedAlgorithms) -> WebPkiSupportedAlgorithms {
    let mut all = algorithms.all.to_vec();
    all.extend([&WITH_SHA512 as &dyn SignatureVerificationAlgorithm, &WITH_SHA384]);
    let mut mapping = algorithms.mapping.to_vec();
    mapping.push((SignatureScheme::ECDSA_NISTP521_SHA512, CANDIDATES));
    WebPkiSupportedAlgorithms { all: Box::leak(all.into()), mapping: Box::leak(mapping.into()) }
}
