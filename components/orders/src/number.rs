//! The number by which people name an order: short, hard to misread, and not the next one of the last.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Digits and capitals that are not taken for one another.
const ALPHABET: &[u8; 30] = b"23456789ABCDEFGHJKMNPQRSTVWXYZ";
/// Characters after the prefix: 729 million numbers.
const LENGTH: usize = 6;
const PREFIX: &str = "B-";

/// An order's number, such as `B-7K3Q9Z`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Number(String);

/// The operating system gave no randomness.
#[derive(Debug, thiserror::Error)]
#[error("there are no random bytes")]
pub(crate) struct RandomError;

impl Number {
    /// One by chance. Whether an order has it already, the store tells.
    pub(crate) fn draw() -> Result<Self, RandomError> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).map_err(|_| RandomError)?;
        Ok(Self::of(u64::from_le_bytes(bytes)))
    }

    fn of(mut random: u64) -> Self {
        let mut number = PREFIX.to_owned();
        for _ in 0..LENGTH {
            let (index, radix) = (random % ALPHABET.len() as u64, ALPHABET.len() as u64);
            number.push(char::from(ALPHABET[usize::try_from(index).unwrap_or_default()]));
            random /= radix;
        }
        Self(number)
    }

    /// The number that somebody typed in, in whatever case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let text = text.trim().to_ascii_uppercase();
        let rest = text.strip_prefix(PREFIX)?;
        let fits = rest.len() == LENGTH && rest.bytes().all(|byte| ALPHABET.contains(&byte));
        fits.then_some(Self(text))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_number_is_read_as_it_is_written() {
        let number = Number::draw().unwrap();
        assert_eq!(Number::parse(&number.to_string().to_lowercase()), Some(number));
        for wrong in ["", "B-", "7K3Q9Z", "B-7K3Q9", "B-7K3Q9ZZ", "B-7K3Q90", "B-7K3Q9I", "C-7K3Q9Z"] {
            assert_eq!(Number::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn numbers_do_not_follow_each_other() {
        let drawn: BTreeSet<String> = (0..1000).map(|_| Number::draw().unwrap().to_string()).collect();
        assert!(drawn.len() > 990);
        assert_eq!(Number::of(0).as_str(), "B-222222");
        assert_eq!(Number::of(u64::MAX).as_str().len(), PREFIX.len() + LENGTH);
    }
}
