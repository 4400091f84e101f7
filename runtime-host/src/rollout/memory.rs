//! How instances grow, so that a leak is told from a cache that fills.
//!
//! An instance's life is divided into ages, each as many requests as all before it, and old and new are compared at
//! the same age. An age counts when an instance has come to its end: in the middle of it, young instances
//! would stand for the whole of it.

use serde::{Deserialize, Serialize};

/// Ages that are told apart.
pub const MEMORY_AGES: usize = 10;
/// What grows before this many requests is start-up.
const FIRST_AGE_BEGINS_LOG2: u32 = 4;

/// The memory of one revision's instances.
///
/// This alone counts from when the revision was first run, not from when a step began: an old revision's instances may
/// all be older than any of the new one's are yet.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Memory {
    /// The most linear memory that an instance had.
    pub peak_bytes: u64,
    /// By age: from 16 to 32 requests, from 32 to 64, and so on.
    pub growth: [Growth; MEMORY_AGES],
}

/// The growth of instances over one age.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Growth {
    /// Requests of that age.
    pub requests: u64,
    /// Those of them at whose end the instance was larger than ever before.
    pub grown: u64,
    /// By how much it was.
    pub grown_bytes: u64,
}

/// What has to be kept of each instance.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InstanceMemory {
    requests: u64,
    peak_bytes: u64,
    /// Since the age began.
    growth: Growth,
}

impl InstanceMemory {
    /// A request has ended, with the instance's memory this large. At the end of an age, it and what to add to
    /// [`Memory::growth`] there.
    pub fn request_ended(&mut self, bytes: u64) -> Option<(usize, Growth)> {
        let grown_bytes = bytes.saturating_sub(self.peak_bytes);
        self.peak_bytes = self.peak_bytes.max(bytes);
        self.requests += 1;
        self.growth.requests += 1;
        self.growth.grown += u64::from(grown_bytes > 0);
        self.growth.grown_bytes += grown_bytes;
        if !self.requests.is_power_of_two() {
            return None;
        }
        let growth = std::mem::take(&mut self.growth);
        let age = self.requests.ilog2().checked_sub(FIRST_AGE_BEGINS_LOG2 + 1)? as usize;
        (age < MEMORY_AGES).then_some((age, growth))
    }

    /// The most memory that it had.
    pub fn peak_bytes(self) -> u64 {
        self.peak_bytes
    }
}

impl Memory {
    /// Counts the growth of an instance that has come to the end of an age.
    pub fn add(&mut self, age: usize, growth: Growth) {
        if let Some(sum) = self.growth.get_mut(age) {
            sum.requests += growth.requests;
            sum.grown += growth.grown;
            sum.grown_bytes += growth.grown_bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_counts_when_it_is_over() {
        let mut instance = InstanceMemory::default();
        let mut memory = Memory::default();
        // Larger by ten bytes with every fourth request.
        for request in 1..=64 {
            if let Some((age, growth)) = instance.request_ended(1_000 + request / 4 * 10) {
                memory.add(age, growth);
            }
        }
        let growth = |requests, grown| Growth { requests, grown, grown_bytes: grown * 10 };
        assert_eq!(memory.growth[..3], [growth(16, 4), growth(32, 8), Growth::default()]);
        assert_eq!(instance.peak_bytes(), 1_160);
    }

    #[test]
    fn start_up_and_what_is_older_than_all_ages_do_not_count() {
        let mut instance = InstanceMemory::default();
        let ages: Vec<_> = (1..=100_000).filter_map(|bytes| instance.request_ended(bytes)).collect();
        assert_eq!(ages.len(), MEMORY_AGES);
        assert_eq!(ages[0], (0, Growth { requests: 16, grown: 16, grown_bytes: 16 }));
        let last = Growth { requests: 8_192, grown: 8_192, grown_bytes: 8_192 };
        assert_eq!(ages[MEMORY_AGES - 1], (MEMORY_AGES - 1, last));
    }
}
