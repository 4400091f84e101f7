//! Stored answers in memory, up to a number of bytes: which of them stay is `quick_cache`'s business.

use std::sync::{Arc, Mutex, PoisonError};

use http::HeaderMap;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};

use super::ask::Key;
use super::purges::Purges;
use super::stored::Stored;
use super::{CacheRule, ENTRIES_PER_SHARD_MIN};

/// Answers that are stored under one key, for requests that differ in what `Vary` names.
const VARIANTS_MAX: usize = 32;
/// Parts of the memory, so that threads seldom wait for each other.
const SHARDS_MAX: u64 = 16;
/// What answers are guessed to have on average, which has no effect but on how many that were dropped are remembered by name.
const ENTRY_BYTES_GUESS: u64 = 4 << 10;
/// What a key takes besides its bytes.
const KEY_OVERHEAD_BYTES: usize = 128;

/// The answers of one key, the newest first.
type Variants = Arc<[Arc<Stored>]>;

pub(super) struct Store {
    variants: Cache<Key, Variants, Bytes>,
    /// Held by who changes what is stored under a key.
    writing: Mutex<()>,
    key_bytes_max: u64,
}

#[derive(Clone)]
struct Bytes;

impl Weighter<Key, Variants> for Bytes {
    fn weight(&self, key: &Key, variants: &Variants) -> u64 {
        variants.iter().map(|stored| stored.bytes() as u64).sum::<u64>() + (key.len() + KEY_OVERHEAD_BYTES) as u64
    }
}

impl Store {
    /// Has room for so many bytes, and for answers of so many.
    pub(super) fn new(bytes_max: u64, entry_bytes_max: u64) -> Self {
        let shards = (bytes_max / (ENTRIES_PER_SHARD_MIN * entry_bytes_max.max(1))).clamp(1, SHARDS_MAX);
        let shards = 1 << shards.ilog2();
        let mut options = OptionsBuilder::new();
        options.shards(shards as usize).weight_capacity(bytes_max);
        options.estimated_items_capacity((bytes_max / ENTRY_BYTES_GUESS).max(1) as usize);
        let options = options.build().unwrap_or_else(|error| unreachable!("all that is needed was given: {error}"));
        let (hasher, lifecycle) = (DefaultHashBuilder::default(), DefaultLifecycle::default());
        let variants = Cache::with_options(options, Bytes, hasher, lifecycle);
        let key_bytes_max = variants.shard_capacity() / 2;
        Self { variants, writing: Mutex::default(), key_bytes_max }
    }

    /// The newest answer for a request with these fields.
    pub(super) fn find(
        &self,
        key: &Key,
        request: &HeaderMap,
        rule: &CacheRule,
        purges: &Purges,
    ) -> Option<Arc<Stored>> {
        let variants = self.variants.get(key)?;
        variants.iter().find(|stored| stored.is_for(request, rule) && stored.is_spared(purges)).cloned()
    }

    /// Any answer of this key, which tells by what its answers differ.
    pub(super) fn any(&self, key: &Key) -> Option<Arc<Stored>> {
        self.variants.get(key)?.first().cloned()
    }

    /// Stores an answer to a request with these fields, in place of others to such requests.
    pub(super) fn keep(&self, key: &Key, request: &HeaderMap, stored: Arc<Stored>, purges: &Purges) {
        // Nothing is left half done.
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.variants.get(key);
        let others = former.iter().flat_map(|variants| variants.iter());
        // A slow answer does not take the place of one that was asked for after a purge.
        let is_late = |other: &Arc<Stored>| other.vary().matches(request) && stored.is_older(other);
        if !stored.is_spared(purges) || others.clone().any(is_late) {
            return;
        }
        let others = others.filter(|other| !other.vary().matches(request) && other.is_spared(purges)).cloned();
        let mut bytes = 0;
        let kept = std::iter::once(stored).chain(others).take(VARIANTS_MAX).take_while(|stored| {
            bytes += stored.bytes() as u64;
            bytes <= self.key_bytes_max
        });
        let kept: Variants = kept.collect();
        match kept.is_empty() {
            true => drop(self.variants.remove(key)),
            false => self.variants.insert(key.clone(), kept),
        }
    }

    pub(super) fn forget(&self, key: &Key) {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.variants.remove(key);
    }

    pub(super) fn clear(&self) {
        self.variants.clear();
    }

    /// Bytes that are in use.
    pub(super) fn bytes(&self) -> u64 {
        self.variants.weight()
    }
}
