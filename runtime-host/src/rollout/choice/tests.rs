//! Shares are kept, and nobody flips.

use super::*;

/// The 99 % bounds of a binomial distribution are this many standard deviations from its mean.
const Z_99: f64 = 2.576;
const KEYS: u64 = 100_000;

#[track_caller]
fn assert_within_bounds(new: u64, of: u64, share: f64) {
    let deviation = (of as f64 * share * (1.0 - share)).sqrt() * Z_99;
    let off = (new as f64 - of as f64 * share).abs();
    assert!(off <= deviation, "{new} of {of} at {share}: {off:.0} off, {deviation:.0} allowed");
}

#[test]
fn shares_of_keys_and_of_chance_are_within_the_binomial_bounds() {
    let mut random = fastrand::Rng::with_seed(7);
    for percent in [1, 10, 25, 50, 99] {
        let share = Share::new(percent, 42);
        let ratio = f64::from(percent) / 100.0;
        for prefix in ["", "user-", "0192f8a1-7c3e-7d1a-9b55-2f6c"] {
            let chosen = |key: &u64| share.of_key(format!("{prefix}{key:08x}").as_bytes()) == Side::New;
            assert_within_bounds((0..KEYS).filter(chosen).count() as u64, KEYS, ratio);
        }
        let by_chance = (0..KEYS).filter(|_| share.of_random(random.u64(..)) == Side::New).count() as u64;
        assert_within_bounds(by_chance, KEYS, ratio);
    }
}

#[test]
fn a_key_never_goes_back_while_the_share_grows() {
    for key in 0..10_000_u64 {
        let sides = (0..=100).map(|percent| Share::new(percent, 1).of_key(&key.to_le_bytes()));
        let flips = sides.clone().zip(sides.skip(1)).filter(|(before, after)| before != after).count();
        assert_eq!(flips, 1, "key {key}");
    }
}

#[test]
fn all_is_all_and_none_is_none() {
    for random in [0, 1, u64::MAX / 2, u64::MAX] {
        assert_eq!(Share::new(0, 9).of_random(random), Side::Old);
        assert_eq!(Share::new(100, 9).of_random(random), Side::New);
    }
}

#[test]
fn each_rollout_begins_with_other_keys() {
    let first = |salt: u64| move |key: &u64| Share::new(10, salt).of_key(&key.to_le_bytes()) == Side::New;
    let both = (0..KEYS).filter(|key| first(1)(key) && first(2)(key)).count() as u64;
    assert_within_bounds(both, KEYS, 0.01);
}

#[test]
fn the_hash_is_the_same_in_every_version() {
    // A host that is upgraded in the middle of a rollout must not move anybody.
    let hashes = ["", "a", "user-1", "0192f8a1-7c3e-7d1a-9b55-2f6c1e8d4a90"].map(|key| hash(key.as_bytes(), 42));
    let expected: [u64; 4] =
        [3_604_528_063_475_445_710, 1_402_095_658_256_467_833, 732_261_065_735_198_067, 1_025_241_761_545_789_084];
    assert_eq!(hashes, expected);
}

#[test]
fn keys_of_every_length_differ_by_every_byte() {
    let mut seen = std::collections::HashSet::new();
    for length in 0..70 {
        let key = vec![0; length];
        assert!(seen.insert(hash(&key, 42)), "{length}");
        for index in 0..length {
            let mut other = key.clone();
            other[index] = 1;
            assert!(seen.insert(hash(&other, 42)), "{index} of {length}");
        }
    }
}
