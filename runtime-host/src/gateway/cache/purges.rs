//! What was purged, and when: an answer counts no more if it was asked for before the last purge of any of its tags.
//!
//! Nothing is looked for and taken out. Tags share a fixed number of slots, each with the number of its last purge; where two
//! tags have the same one, answers are forgotten that could have stayed. So a purge costs the same however much is stored, and
//! an answer that was asked for before a purge counts for nothing also if it is stored after it.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// Slots of tags: 512 KiB. Of 1,000 purges within a lifetime, one answer in 66 is forgotten for another one's sake.
const SLOTS: usize = 1 << 16;

/// A slot, which stands for a tag or a URL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u16);

/// The last purges.
pub(super) struct Purges {
    /// The number of the last purge.
    last: AtomicU64,
    of_all: AtomicU64,
    of_slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// What is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purged<'a> {
    /// What has this surrogate key.
    Tag(&'a str),
    /// What is at this path and query, at whatever host.
    Url(&'a str),
}

impl Purges {
    pub(super) fn new() -> Self {
        let of_slots = std::iter::repeat_with(AtomicU64::default).take(SLOTS).collect();
        Self { last: AtomicU64::default(), of_all: AtomicU64::default(), of_slots, hasher: RandomState::new() }
    }

    pub(super) fn slot(&self, purged: Purged<'_>) -> Slot {
        Slot((self.hasher.hash_one(purged) % SLOTS as u64) as u16)
    }

    /// Purges whatever has this. What is asked for from now on is not concerned.
    pub(super) fn purge(&self, purged: Purged<'_>) {
        let Slot(slot) = self.slot(purged);
        self.mark(&self.of_slots[usize::from(slot)]);
    }

    pub(super) fn purge_all(&self) {
        self.mark(&self.of_all);
    }

    fn mark(&self, slot: &AtomicU64) {
        let number = self.last.fetch_add(1, SeqCst) + 1;
        slot.fetch_max(number, SeqCst);
    }

    /// The number of the last purge, to be read before an answer is asked for.
    pub(super) fn last(&self) -> u64 {
        self.last.load(SeqCst)
    }

    /// Whether what was asked for after the purge with this number, and has these tags, still counts.
    pub(super) fn spare(&self, asked_after: u64, tags: &[Slot]) -> bool {
        let is_before = |slot: &AtomicU64| slot.load(SeqCst) <= asked_after;
        is_before(&self.of_all) && tags.iter().all(|Slot(slot)| is_before(&self.of_slots[usize::from(*slot)]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_purge_concerns_what_was_asked_for_before_it() {
        let purges = Purges::new();
        let tags = [purges.slot(Purged::Tag("a")), purges.slot(Purged::Url("/a"))];
        let before = purges.last();
        assert!(purges.spare(before, &tags));
        for purged in [Purged::Tag("a"), Purged::Url("/a")] {
            let before = purges.last();
            purges.purge(purged);
            assert!(!purges.spare(before, &tags));
            assert!(purges.spare(before, &[]), "nothing else is purged");
            assert!(purges.spare(purges.last(), &tags), "nor what is asked for later");
        }
        let before = purges.last();
        purges.purge_all();
        assert!(!purges.spare(before, &[]));
    }
}
