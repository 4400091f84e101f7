//! Secrets that the service makes: shown once, kept as a digest.
//!
//! A secret of 256 random bits cannot be guessed from its digest, however fast the hash is, so SHA-256 is enough;
//! the slow hash is for passwords, which people choose.

use sha2::{Digest as _, Sha256};

/// Bytes of randomness in a secret.
const SECRET_BYTES: usize = 32;

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("there are no random bytes")]
pub(crate) struct RandomError;

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], RandomError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|_| RandomError)?;
    Ok(bytes)
}

/// A new secret, as 64 hexadecimal digits.
pub(crate) fn secret() -> Result<String, RandomError> {
    Ok(hex::encode(random::<SECRET_BYTES>()?))
}

/// What is kept of a secret, and looked up by. Finding an equal digest in an index tells nothing of the secret.
pub(crate) fn digest(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}
