//! How old an answer is, how long it stays fresh, and what may be done with it then (RFC 9111, 4.2; RFC 5861). Pure.

use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime};

use http::HeaderMap;
use http::header::{AGE, DATE, EXPIRES};

use super::CacheRule;
use super::directives::{Directives, TIME_MAX, seconds};

/// A time by two clocks: one that only goes forward, but may stand still while the machine sleeps, and the one on the wall, which
/// may be set. Whichever says that more time has passed is believed, so that no jump makes an answer younger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// Since any one moment.
    pub(super) steady: Duration,
    /// Since the Unix epoch.
    pub(super) wall: Duration,
}

impl Moment {
    /// This moment.
    pub fn now() -> Self {
        static START: OnceLock<Instant> = OnceLock::new();
        let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { steady: START.get_or_init(Instant::now).elapsed(), wall }
    }

    /// How much time has passed since then.
    pub(super) fn since(self, earlier: Self) -> Duration {
        self.steady.saturating_sub(earlier.steady).max(self.wall.saturating_sub(earlier.wall))
    }
}

/// What an answer says about its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Freshness {
    /// `None` if it says nothing.
    lifetime: Option<Duration>,
    age_then: Duration,
    received: Moment,
    /// It is not to be used without asking whether it still holds.
    needs_validation: bool,
    /// Nor once it is stale.
    forbids_stale: bool,
    stale_while_revalidate: Option<Duration>,
    stale_if_error: Option<Duration>,
}

/// What may be done with a stored answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Use {
    /// It is given.
    Fresh,
    /// It is given, as the client takes stale ones.
    Stale,
    /// It is given, and meanwhile it is asked whether it still holds.
    WhileRevalidating,
    /// It has to be asked whether it still holds.
    Revalidate,
}

impl Freshness {
    /// Of an answer with these fields, which was asked for and received then.
    pub(super) fn of(headers: &HeaderMap, requested: Moment, received: Moment) -> Self {
        let said = Directives::of(headers);
        let date = http_date(headers, DATE).flatten().unwrap_or(received.wall);
        let expires = http_date(headers, EXPIRES).map(|expires| {
            // What is no date, such as "0", is in the past (RFC 9111, 5.3).
            expires.map_or(Duration::ZERO, |expires| expires.saturating_sub(date)).min(TIME_MAX)
        });
        let age = headers.get(AGE).and_then(|age| seconds(age.to_str().ok()?.trim())).unwrap_or_default();
        let apparent = received.wall.saturating_sub(date);
        Self {
            lifetime: said.s_maxage.or(said.max_age).or(expires),
            age_then: apparent.max(age + received.since(requested)).min(TIME_MAX),
            received,
            needs_validation: said.no_cache,
            // `s-maxage` says so too (RFC 9111, 5.2.2.10).
            forbids_stale: said.must_revalidate || said.proxy_revalidate || said.s_maxage.is_some(),
            stale_while_revalidate: said.stale_while_revalidate,
            stale_if_error: said.stale_if_error,
        }
    }

    /// Whether it says how long it is fresh.
    pub(super) fn is_said(&self) -> bool {
        self.lifetime.is_some()
    }

    /// Whether it is ever used without asking whether it still holds.
    pub(super) fn is_reusable(&self, rule: &CacheRule) -> bool {
        !self.needs_validation && !self.lifetime(rule).is_zero()
    }

    pub(super) fn age(&self, now: Moment) -> Duration {
        (self.age_then + now.since(self.received)).min(TIME_MAX)
    }

    pub(super) fn lifetime(&self, rule: &CacheRule) -> Duration {
        self.lifetime.or(rule.ttl).unwrap_or_default()
    }

    /// What may be done with it for a request that `wanted` this.
    pub(super) fn reuse(&self, rule: &CacheRule, wanted: &Directives, now: Moment) -> Use {
        let (age, lifetime) = (self.age(now), self.lifetime(rule));
        let takes_stale = wanted.max_stale.filter(|_| !self.forbids_stale);
        if wanted.no_cache || self.needs_validation {
            return Use::Revalidate;
        }
        // An age is told in whole seconds: what is new this second is new for who takes nothing old.
        if wanted.max_age.is_some_and(|max_age| age.as_secs() > max_age.as_secs()) && takes_stale.is_none() {
            return Use::Revalidate;
        }
        if age < lifetime {
            let is_fresh_enough = wanted.min_fresh.is_none_or(|min_fresh| lifetime - age >= min_fresh);
            return if is_fresh_enough { Use::Fresh } else { Use::Revalidate };
        }
        let staleness = age - lifetime;
        let meanwhile = self.stale_while_revalidate.or(rule.stale_while_revalidate);
        match () {
            () if self.forbids_stale || wanted.min_fresh.is_some() => Use::Revalidate,
            () if meanwhile.is_some_and(|time| staleness < time) => Use::WhileRevalidating,
            () if takes_stale.is_some_and(|time| staleness <= time) => Use::Stale,
            () => Use::Revalidate,
        }
    }

    /// Whether it may be given where the service failed.
    pub(super) fn stands_in(&self, rule: &CacheRule, wanted: &Directives, now: Moment) -> bool {
        let time = self.stale_if_error.or(rule.stale_if_error).unwrap_or_default();
        let staleness = self.age(now).saturating_sub(self.lifetime(rule));
        let is_allowed = !self.needs_validation && !self.forbids_stale;
        let is_wanted = !wanted.no_cache && wanted.min_fresh.is_none() && wanted.max_age.is_none();
        is_allowed && is_wanted && staleness < time
    }
}

/// A date since the Unix epoch: `Some(None)` is a field that is no date.
fn http_date(headers: &HeaderMap, name: http::HeaderName) -> Option<Option<Duration>> {
    let date = headers.get(name)?.to_str().ok().and_then(|text| httpdate::parse_http_date(text).ok());
    Some(date.and_then(|date| date.duration_since(SystemTime::UNIX_EPOCH).ok()))
}

#[cfg(test)]
mod tests;
