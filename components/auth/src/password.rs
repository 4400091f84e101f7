//! Passwords: which may be chosen (NIST SP 800-63B section 3.1.1: by length alone), and how they are kept (argon2id).

use argon2::password_hash::{PasswordHash, SaltString};
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Params, PasswordHasher, PasswordVerifier, Version};
use commerce::email::Email;
use unicode_normalization::UnicodeNormalization;

use crate::secret::{RandomError, random};

/// Shortest password, in characters.
pub(crate) const PASSWORD_CHARS_MIN: usize = 8;
/// Longest password, in characters.
pub(crate) const PASSWORD_CHARS_MAX: usize = 128;
/// Memory of one hash, in KiB: with the passes below, the recommendation of OWASP's password storage cheat sheet. In
/// WebAssembly a login takes about 38 ms with it, and 39 ms of processor time, on one core of a Xeon.
const MEMORY_KIB: u32 = 19 * 1024;
/// Passes over that memory.
const PASSES: u32 = 2;
/// Lanes that could be computed at once; a component has one thread.
const LANES: u32 = 1;
/// Bytes of salt (RFC 9106 section 3.1).
const SALT_BYTES: usize = 16;

/// A password that somebody chose or gave. It is never shown, so it has no `Debug`.
pub(crate) struct Password(String);

/// Why a password may not be chosen.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PasswordError {
    /// Too few or too many characters.
    #[error("is {PASSWORD_CHARS_MIN} to {PASSWORD_CHARS_MAX} characters")]
    Length,
    /// The first thing that anybody would try.
    #[error("must not be your email address")]
    Email,
}

/// A hash could not be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HashError {
    /// No salt.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The algorithm refused, or a kept hash is not one.
    #[error("a password cannot be hashed: {0}")]
    Algorithm(argon2::password_hash::Error),
}

/// How a given password compares with the kept one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is another one, or there is none to compare with.
    Wrong,
    /// It is the one.
    Right,
    /// It is the one, kept with parameters that are no longer in use.
    RightButStale,
}

impl Password {
    /// A new password for the account of `email`.
    pub(crate) fn choose(text: &str, email: &Email) -> Result<Self, PasswordError> {
        let password = Self::given(text);
        if !(PASSWORD_CHARS_MIN..=PASSWORD_CHARS_MAX).contains(&password.0.chars().count()) {
            return Err(PasswordError::Length);
        }
        let address = email.key();
        let local = address.rsplit_once('@').map_or("", |(local, _)| local);
        match password.0.to_lowercase() {
            same if same == address || same == local => Err(PasswordError::Email),
            _ => Ok(Self(password.0)),
        }
    }

    /// A password to compare. Keyboards write the same letter in different ways, which NFKC makes one.
    pub(crate) fn given(text: &str) -> Self {
        // What is cut off here is longer than any password that could be chosen, and stays so.
        Self(text.chars().take(2 * PASSWORD_CHARS_MAX).nfkc().collect())
    }

    /// The hash as a PHC string, with a salt of its own.
    pub(crate) fn hash(&self) -> Result<String, HashError> {
        let salt = SaltString::encode_b64(&random::<SALT_BYTES>()?).map_err(HashError::Algorithm)?;
        let hash = algorithm()?.hash_password(self.0.as_bytes(), &salt).map_err(HashError::Algorithm)?;
        Ok(hash.to_string())
    }

    /// Compares with a kept hash. Without one it computes as long, so that the time tells nothing.
    pub(crate) fn verify(&self, kept: Option<&str>) -> Result<Verdict, HashError> {
        let Some(kept) = kept else {
            self.hash()?;
            return Ok(Verdict::Wrong);
        };
        let kept = PasswordHash::new(kept).map_err(HashError::Algorithm)?;
        match algorithm()?.verify_password(self.0.as_bytes(), &kept) {
            Ok(()) if is_current(&kept) => Ok(Verdict::Right),
            Ok(()) => Ok(Verdict::RightButStale),
            Err(argon2::password_hash::Error::Password) => Ok(Verdict::Wrong),
            Err(error) => Err(HashError::Algorithm(error)),
        }
    }
}

fn params() -> Result<Params, HashError> {
    Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| HashError::Algorithm(error.into()))
}

fn algorithm() -> Result<Argon2<'static>, HashError> {
    Ok(Argon2::new(Algorithm::Argon2id, Version::V0x13, params()?))
}

fn is_current(kept: &PasswordHash<'_>) -> bool {
    let of = |params: &Params| (params.m_cost(), params.t_cost(), params.p_cost());
    let same = |kept: Params| params().is_ok_and(|current| of(&current) == of(&kept));
    kept.algorithm == ARGON2ID_IDENT && Params::try_from(kept).is_ok_and(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ann() -> Email {
        Email::parse("Ann@example.com").unwrap()
    }

    #[test]
    fn length_alone_decides_but_for_the_own_address() {
        let refused = |text: &str| Password::choose(text, &ann()).err();
        for fine in ["12345678", "aaaaaaaa", "correct horse battery staple", "пароль12", &"x".repeat(128)] {
            assert_eq!(refused(fine), None, "{fine}");
        }
        assert_eq!(refused("1234567"), Some(PasswordError::Length));
        assert_eq!(refused(&"x".repeat(129)), Some(PasswordError::Length));
        assert_eq!(refused(&"x".repeat(10_000)), Some(PasswordError::Length));
        assert_eq!(refused("ANN@example.com"), Some(PasswordError::Email));
        let email = Email::parse("annabelle@example.com").unwrap();
        assert_eq!(Password::choose("Annabelle", &email).err(), Some(PasswordError::Email));
    }

    #[test]
    fn a_password_is_known_again_and_no_other_one_is() {
        // `é` as one character and as two, which look the same.
        let hash = Password::choose("caf\u{e9} au lait", &ann()).unwrap().hash().unwrap();
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert_eq!(Password::given("cafe\u{301} au lait").verify(Some(&hash)).unwrap(), Verdict::Right);
        assert_eq!(Password::given("cafe au lait").verify(Some(&hash)).unwrap(), Verdict::Wrong);
        assert_eq!(Password::given("caf\u{e9} au lait").verify(None).unwrap(), Verdict::Wrong);
        assert_ne!(Password::given("caf\u{e9} au lait").hash().unwrap(), hash, "every hash has its own salt");
    }

    #[test]
    fn a_hash_of_former_parameters_is_stale() {
        let former = Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(8 * 1024, 1, 1, None).unwrap());
        let salt = SaltString::encode_b64(&[7; SALT_BYTES]).unwrap();
        let hash = former.hash_password(b"a long password", &salt).unwrap().to_string();
        assert_eq!(Password::given("a long password").verify(Some(&hash)).unwrap(), Verdict::RightButStale);
        assert_eq!(Password::given("another password").verify(Some(&hash)).unwrap(), Verdict::Wrong);
        assert!(Password::given("a long password").verify(Some("no hash")).is_err());
    }
}
