//! The cache: a shared one by RFC 9111 in memory, for what rules with `cache` are for.
//!
//! `directives`, `freshness`, `ask` (requests), `draft` (which answers may be stored) and `stored` (what they give) are pure; the
//! time is passed in. `store` has the bytes, `purges` says what no longer counts, `flight` has one of many ask.

mod ask;
mod directives;
mod draft;
mod flight;
mod freshness;
mod purges;
mod recording;
mod store;
mod stored;

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, StatusCode};
use quick_cache::sync::Cache as Small;

pub use ask::{Ask, Asked, Key};
pub use draft::{Draft, Fetched, PURGE, SURROGATE_KEY};
pub use flight::{Boarding, Landing, Lead};
pub use freshness::{Moment, Use};
pub use recording::{Ready, Recorded, Recording, Resumed};
pub use stored::{CACHE_STATUS, OF_BODY, Stored, Told, is_not_modified};

use flight::Flights;
use purges::{Purged, Purges};
use store::Store;

/// Bytes of memory for all stored answers, and for one, where nothing else is said.
pub(super) const BYTES_MAX: u64 = 64 << 20;
pub(super) const ENTRY_BYTES_MAX: u64 = 1 << 20;
/// The largest answers of which there is room for in each part of the memory.
pub(super) const ENTRIES_PER_SHARD_MIN: u64 = 4;
/// How long it is remembered that others cannot have the answers of a URL, and how many such URLs.
const UNSHARED_TIME: Duration = Duration::from_secs(30);
const UNSHARED_MAX: usize = 1 << 12;

/// `[cache]`: what the memory has room for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct CacheSettings {
    pub(super) bytes_max: u64,
    pub(super) entry_bytes_max: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { bytes_max: BYTES_MAX, entry_bytes_max: ENTRY_BYTES_MAX }
    }
}

/// What a rule says about answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CacheRule {
    /// How long those are fresh that do not say it themselves; `None` stores none of them.
    pub(super) ttl: Option<Duration>,
    /// For those that say nothing about it.
    pub(super) stale_while_revalidate: Option<Duration>,
    /// As that.
    pub(super) stale_if_error: Option<Duration>,
    /// Whether requests that say who asks may be answered, and their answers stored, if these say that all may have them.
    pub(super) authenticated: bool,
    /// Whether answers that set cookies are stored.
    pub(super) set_cookie: bool,
}

/// The cache.
pub struct Cache {
    settings: CacheSettings,
    store: Store,
    purges: Purges,
    flights: Arc<Flights>,
    /// Since when others cannot have the answers of the keys with these hashes.
    unshared: Small<u64, Moment>,
    hasher: RandomState,
}

impl Cache {
    pub(super) fn new(settings: CacheSettings) -> Self {
        let store = Store::new(settings.bytes_max, settings.entry_bytes_max);
        let (purges, flights) = (Purges::new(), Arc::default());
        Self { settings, store, purges, flights, unshared: Small::new(UNSHARED_MAX), hasher: RandomState::new() }
    }

    pub(super) fn settings(&self) -> &CacheSettings {
        &self.settings
    }

    /// The largest body that is stored.
    pub fn body_bytes_max(&self) -> usize {
        // A body that does not fit into the address space is not stored either.
        usize::try_from(self.settings.entry_bytes_max).unwrap_or(usize::MAX)
    }

    /// Bytes that are in use.
    pub fn bytes(&self) -> u64 {
        self.store.bytes()
    }

    /// The stored answer for a request with these fields, however old.
    pub fn find(&self, ask: &Ask, request: &HeaderMap) -> Option<Arc<Stored>> {
        self.store.find(&ask.key, request, &ask.rule, &self.purges)
    }

    /// Whether an answer that another request has brought is for this one too.
    pub fn fits(&self, stored: &Stored, ask: &Ask, request: &HeaderMap, now: Moment) -> bool {
        stored.is_for(request, &ask.rule) && stored.is_spared(&self.purges) && stored.reuse(ask, now) == Use::Fresh
    }

    /// Whether a stored answer may be given where the service failed: also while it was asked, things may have been purged.
    pub fn stands_in(&self, stored: &Stored, ask: &Ask, now: Moment) -> bool {
        stored.stands_in(ask, now) && stored.is_spared(&self.purges)
    }

    /// Has the request ask the service, or wait for another one that does.
    pub fn board(&self, ask: &Ask, request: &HeaderMap, now: Moment) -> Boarding {
        let asked_after = self.purges.last();
        let since = self.unshared.get(&self.hasher.hash_one(ask.boarding_key()));
        let is_unshared = since.is_some_and(|since| now.since(since) < UNSHARED_TIME);
        if is_unshared || ask.wanted.no_cache {
            return Boarding::Lead(self.alone(ask));
        }
        let Some(known) = self.store.any(&ask.key) else {
            // What its answer is made of is not known, so that any purge may concern it.
            return self.flights.board(&ask.boarding_key(), asked_after, |before| before >= asked_after);
        };
        // Those who differ in what answers differ by do not wait for each other.
        let key = ask.boarding_key().with(&known.vary().again(request));
        self.flights.board(&key, asked_after, |before| known.would_be_spared(before, &self.purges))
    }

    /// Has the request ask the service for itself alone.
    pub fn alone(&self, ask: &Ask) -> Lead {
        Lead::alone(&ask.key, self.purges.last())
    }

    /// What of an answer with this head may be stored.
    pub fn draft(
        &self,
        ask: &Ask,
        request: &HeaderMap,
        head: (StatusCode, &HeaderMap),
        fetched: Fetched,
    ) -> Option<Draft> {
        Draft::new(ask, request, head, fetched, &self.purges)
    }

    /// Makes a stored answer new that the service says still holds.
    pub fn freshen(&self, stored: &Stored, ask: &Ask, said: &HeaderMap, fetched: Fetched) -> Option<Arc<Stored>> {
        Some(Arc::new(stored.freshened(ask, said, fetched, &self.purges)?))
    }

    /// Stores an answer, and gives it to those who wait for it.
    pub fn keep(&self, ask: &Ask, request: &HeaderMap, stored: Arc<Stored>, lead: Lead, now: Moment) {
        let is_fit = stored.bytes() as u64 <= self.settings.entry_bytes_max;
        if is_fit {
            self.store.keep(&ask.key, request, stored.clone(), &self.purges);
        }
        match is_fit && stored.is_reusable(&ask.rule, now) {
            true => {
                self.unshared.remove(&self.hasher.hash_one(ask.boarding_key()));
                lead.ends(Landing::Stored(stored));
            }
            false => self.give_up(ask, lead, now),
        }
    }

    /// Nobody else can have the answer: those who wait go on, and others do not begin to.
    pub fn give_up(&self, ask: &Ask, lead: Lead, now: Moment) {
        self.unshared.insert(self.hasher.hash_one(ask.boarding_key()), now);
        lead.ends(Landing::Unshared);
    }

    /// The service has failed.
    pub fn fail(&self, lead: Lead) {
        lead.ends(Landing::Failed);
    }

    /// Forgets what is stored under a request's key.
    pub fn forget(&self, ask: &Ask) {
        self.store.forget(&ask.key);
    }

    /// Purges what has any of these surrogate keys, which blanks separate.
    pub fn purge_tags(&self, tags: &str) {
        tags.split_ascii_whitespace().for_each(|tag| self.purges.purge(Purged::Tag(tag)));
    }

    /// Purges what is at this path and query, at whatever host.
    pub fn purge_url(&self, path_and_query: &str) {
        self.purges.purge(Purged::Url(path_and_query));
    }

    /// Purges everything.
    pub fn purge_all(&self) {
        self.purges.purge_all();
        self.store.clear();
    }
}

#[cfg(test)]
mod tests;
