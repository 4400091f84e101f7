//! Which revision answers a request.
//!
//! A key falls into one of [`BUCKETS`] by a hash that never changes, and the new revision has the buckets below its
//! share. So a key that sees the new revision at 10 % sees it at 25 % as well. The salt of a rollout makes other keys
//! the first ones each time.

use std::sync::Arc;

/// Shares are counted in these: hundredths of a percent.
pub const BUCKETS: u16 = 10_000;

/// Odd constants with half of their bits set, as the multipliers of wyhash (github.com/wangyi-fudan/wyhash).
const MIX: u64 = 0xa076_1d64_78bd_642f;
const FINISH: u64 = 0xe703_7ed1_a0b4_28db;

/// Which of the two revisions of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is the revision of its name")]
pub enum Side {
    Old,
    New,
}

/// The sides of a request and of all that it leads to, by the places of the components that have two revisions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sides(Arc<[(usize, Side)]>);

impl Sides {
    /// The side at this place, if it was decided.
    pub fn at(&self, place: usize) -> Option<Side> {
        self.0.iter().find(|(decided, _)| *decided == place).map(|(_, side)| *side)
    }
}

impl Sides {
    /// The places with their sides, as bytes that differ wherever these do.
    pub fn to_bytes(&self) -> Vec<u8> {
        let bytes = self.0.iter().flat_map(|(place, side)| {
            let side = u8::from(*side == Side::New);
            place.to_le_bytes().into_iter().chain([side])
        });
        bytes.collect()
    }
}

impl FromIterator<(usize, Side)> for Sides {
    fn from_iter<I: IntoIterator<Item = (usize, Side)>>(sides: I) -> Self {
        Self(sides.into_iter().collect())
    }
}

/// The new revision's share of requests. It is small, and copied to where requests are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many of [`BUCKETS`] the new revision has.
    buckets: u16,
    salt: u64,
}

impl Share {
    /// A share of `percent`, at most 100, in a rollout with this `salt`.
    pub fn new(percent: u8, salt: u64) -> Self {
        Self { buckets: u16::from(percent.min(100)) * (BUCKETS / 100), salt }
    }

    /// Whether both revisions have requests.
    pub fn is_divided(self) -> bool {
        (1..BUCKETS).contains(&self.buckets)
    }

    /// Which revision answers the shopper with this sticky key.
    pub fn of_key(self, key: &[u8]) -> Side {
        self.side(hash(key, self.salt))
    }

    /// Which revision answers a request without a key, where `random` is evenly distributed.
    pub fn of_random(self, random: u64) -> Side {
        self.side(random)
    }

    fn side(self, evenly: u64) -> Side {
        // The high half of the product is evenly distributed below BUCKETS (Lemire, "Fast random integer generation in
        // an interval").
        let bucket = (u128::from(evenly) * u128::from(BUCKETS)) >> 64;
        if bucket < u128::from(self.buckets) { Side::New } else { Side::Old }
    }
}

/// A hash that is the same on every machine and in every version, after wyhash: 16 bytes at a time, mixed by a
/// multiplication to 128 bits whose halves are folded.
fn hash(key: &[u8], salt: u64) -> u64 {
    let mix = |state: u64, left: u64, right: u64| fold(left ^ MIX, right ^ state);
    let (pairs, rest) = key.as_chunks::<16>();
    let state = pairs.iter().fold(salt, |state, pair| mix(state, word(pair), word(&pair[8..])));
    // What is left of a long key is read together with some bytes before it, which costs no copy.
    let (left, right) = match (key.last_chunk::<16>(), rest.len()) {
        (_, 0) => (0, 0),
        (Some(last), _) => (word(last), word(&last[8..])),
        (None, 8..) => (word(key), word(&key[key.len() - 8..])),
        (None, _) => (word(key), 0),
    };
    // The length tells a key from one that ends in zero bytes.
    fold(mix(state, left, right) ^ key.len() as u64, FINISH)
}

/// The first eight bytes as a number, or as many as there are.
fn word(bytes: &[u8]) -> u64 {
    match bytes.first_chunk::<8>() {
        Some(word) => u64::from_le_bytes(*word),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product >> 64) as u64 ^ product as u64
}

#[cfg(test)]
mod tests;
