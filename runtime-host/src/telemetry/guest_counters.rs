//! What a component counts through its answers: the header [`COUNT`] says what has happened, and at what something stands.
//!
//! `x-bodega-count: checkouts_total, checkouts_failed_total` adds 1 to each, `lines_total=3` adds 3, and `tasks_open:7` says that
//! there are 7 now. A component runs in many instances, which come and go, so that a scrape of one of them would see a part of
//! what its memory counted. What comes with an answer is counted with it, under the revision that gave it, and survives the
//! instance. No client sees the header.
//!
//! What stands at something is said again and again, by the answer to a schedule as a rule. What nobody has said for
//! [`LEVEL_AGE_MAX`] is told no more: another host may know better by then.
//!
//! What an instance did that trapped or ran out of time is not said, and so is not counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderName};

/// By which an answer says what is to be counted.
pub const COUNT: HeaderName = HeaderName::from_static("x-bodega-count");

/// For how long what something stands at is told.
pub const LEVEL_AGE_MAX: Duration = Duration::from_secs(300);

/// Counters of one revision, and as many levels. Each is a time series.
const NAMES_MAX: usize = 64;
/// Bytes of a counter's name.
const NAME_BYTES_MAX: usize = 64;
/// Counters and levels that one answer may name.
const PER_ANSWER_MAX: usize = 32;
/// What one answer may add to a counter: ten thousand million of most currencies in minor units, in which sales are counted.
const AMOUNT_MAX: u64 = 1_000_000_000_000;

/// What an answer says that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// It is no name.
    #[error(
        "{0:?} is not the name of a counter; expected up to {NAME_BYTES_MAX} letters, digits and `_`, not beginning with a digit"
    )]
    Name(String),
    /// It is no number, or too large a one.
    #[error("{0:?} is not what a counter grows by or a level stands at; expected a whole number up to {AMOUNT_MAX}")]
    Amount(String),
    /// The answer says too much.
    #[error("it names more than {PER_ANSWER_MAX} counters")]
    TooMany,
    /// The component says too much.
    #[error("the component has more than {NAMES_MAX} counters")]
    Full,
}

/// The counters of one revision of a component.
#[derive(Debug, Default)]
pub struct GuestCounters {
    counts: Mutex<BTreeMap<String, u64>>,
    levels: Mutex<BTreeMap<String, Level>>,
    has_complained: AtomicBool,
}

/// What something stood at, and when that was said.
#[derive(Debug, Clone, Copy)]
struct Level {
    value: u64,
    said: Instant,
}

/// One part of what a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said<'t> {
    /// A counter grows by this.
    Grows(&'t str, u64),
    /// Something stands at this.
    Stands(&'t str, u64),
}

impl GuestCounters {
    /// Takes out of an answer's headers what is to be counted, and counts it. Takes no lock where there is nothing.
    pub fn take(&self, component: &str, headers: &mut HeaderMap) {
        if !headers.contains_key(COUNT) {
            return;
        }
        let added = headers.get_all(COUNT).iter().try_for_each(|value| {
            let text = String::from_utf8_lossy(value.as_bytes());
            self.add(&text)
        });
        headers.remove(COUNT);
        if let Err(error) = added
            && !self.has_complained.swap(true, Ordering::Relaxed)
        {
            tracing::warn!(component, "an answer's `{COUNT}` is not counted, nor will be others like it: {error}");
        }
    }

    /// Adds what one header says: all of it or nothing.
    fn add(&self, text: &str) -> Result<(), CountError> {
        let said: Vec<Said<'_>> = text.split(',').map(parse).collect::<Result<_, _>>()?;
        if said.len() > PER_ANSWER_MAX {
            return Err(CountError::TooMany);
        }
        let mut counts = lock(&self.counts);
        let has_levels = said.iter().any(|said| matches!(said, Said::Stands(..)));
        let mut levels = has_levels.then(|| lock(&self.levels));
        let (mut new_counts, mut new_levels) = (0, 0);
        for said in &said {
            match said {
                Said::Grows(name, _) => new_counts += usize::from(!counts.contains_key(*name)),
                Said::Stands(name, _) => {
                    new_levels += usize::from(levels.as_ref().is_some_and(|levels| !levels.contains_key(*name)));
                }
            }
        }
        if counts.len() + new_counts > NAMES_MAX
            || levels.as_ref().is_some_and(|levels| levels.len() + new_levels > NAMES_MAX)
        {
            return Err(CountError::Full);
        }
        for said in said {
            match (said, &mut levels) {
                (Said::Grows(name, amount), _) => match counts.get_mut(name) {
                    // After centuries it begins anew, as counters may.
                    Some(count) => *count = count.wrapping_add(amount),
                    None => drop(counts.insert(name.to_owned(), amount)),
                },
                (Said::Stands(name, value), Some(levels)) => {
                    levels.insert(name.to_owned(), Level { value, said: Instant::now() });
                }
                // They are locked if there is one.
                (Said::Stands(..), None) => {}
            }
        }
        Ok(())
    }

    /// What was counted under a name so far.
    pub fn get(&self, name: &str) -> u64 {
        lock(&self.counts).get(name).copied().unwrap_or_default()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(String, u64)> {
        lock(&self.counts).iter().map(|(name, count)| (name.clone(), *count)).collect()
    }

    /// What stands at something, by name, as far as that was said lately.
    pub fn levels(&self, now: Instant) -> Vec<(String, u64)> {
        let levels = lock(&self.levels);
        let fresh = levels.iter().filter(|(_, level)| now.saturating_duration_since(level.said) < LEVEL_AGE_MAX);
        fresh.map(|(name, level)| (name.clone(), level.value)).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every counter is whole after every change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `name`, `name=amount` or `name:level`.
fn parse(part: &str) -> Result<Said<'_>, CountError> {
    let (name, amount, is_level) = match part.split_once(['=', ':']) {
        Some((name, amount)) => (name, amount, part.as_bytes().get(name.len()) == Some(&b':')),
        None => (part, "1", false),
    };
    let (name, amount) = (name.trim(), amount.trim());
    if !is_name(name) {
        return Err(CountError::Name(name.chars().take(NAME_BYTES_MAX).collect()));
    }
    let is_number = amount.bytes().all(|byte| byte.is_ascii_digit());
    match amount.parse() {
        Ok(number) if is_number && number <= AMOUNT_MAX => {
            Ok(if is_level { Said::Stands(name, number) } else { Said::Grows(name, number) })
        }
        _ => Err(CountError::Amount(amount.chars().take(NAME_BYTES_MAX).collect())),
    }
}

/// Whether a counter can have this name: Prometheus's rule, with a bound.
pub fn is_name(name: &str) -> bool {
    let is_first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    name.len() <= NAME_BYTES_MAX
        && name.bytes().next().is_some_and(is_first)
        && name.bytes().all(|byte| is_first(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_adds_one_or_as_many_as_it_says() {
        let counters = GuestCounters::default();
        counters.add("checkouts_total, failed_total=0,lines_total = 3").unwrap();
        counters.add("checkouts_total").unwrap();
        let all = counters.all();
        let all: Vec<(&str, u64)> = all.iter().map(|(name, count)| (name.as_str(), *count)).collect();
        assert_eq!(all, [("checkouts_total", 2), ("failed_total", 0), ("lines_total", 3)]);
        assert_eq!((counters.get("checkouts_total"), counters.get("other_total")), (2, 0));
    }

    #[test]
    fn what_is_not_understood_counts_nothing() {
        let counters = GuestCounters::default();
        let long = "a".repeat(NAME_BYTES_MAX + 1);
        let many = vec!["a"; PER_ANSWER_MAX + 1].join(",");
        for (text, expected) in [
            ("", CountError::Name(String::new())),
            ("a,", CountError::Name(String::new())),
            ("1a", CountError::Name("1a".to_owned())),
            ("a b", CountError::Name("a b".to_owned())),
            ("a{b=\"c\"}", CountError::Name("a{b".to_owned())),
            (&long, CountError::Name(long[..NAME_BYTES_MAX].to_owned())),
            ("a,b=", CountError::Amount(String::new())),
            ("a,b=-1", CountError::Amount("-1".to_owned())),
            ("a,b=+1", CountError::Amount("+1".to_owned())),
            ("a,b=1000000000001", CountError::Amount("1000000000001".to_owned())),
            ("a,b:", CountError::Amount(String::new())),
            ("a,b:1:2", CountError::Amount("1:2".to_owned())),
            (&many, CountError::TooMany),
        ] {
            assert_eq!(counters.add(text), Err(expected), "{text}");
        }
        assert!(counters.all().is_empty() && counters.levels(Instant::now()).is_empty());
    }

    #[test]
    fn a_level_is_what_was_said_last_and_lately() {
        let counters = GuestCounters::default();
        counters.add("tasks_open:7, orders_total").unwrap();
        counters.add("tasks_open:3").unwrap();
        let levels = |after| counters.levels(Instant::now() + after);
        assert_eq!(levels(Duration::ZERO), [("tasks_open".to_owned(), 3)]);
        assert_eq!(counters.all(), [("orders_total".to_owned(), 1)]);
        assert!(levels(LEVEL_AGE_MAX).is_empty());
    }

    #[test]
    fn a_component_that_makes_up_names_without_end_has_a_bounded_number() {
        let counters = GuestCounters::default();
        (0..NAMES_MAX).for_each(|number| counters.add(&format!("n{number}, n{number}:1")).unwrap());
        for one_more in ["one_more", "one_more:1"] {
            assert_eq!(counters.add(one_more), Err(CountError::Full));
        }
        counters.add("n0").unwrap();
        assert_eq!((counters.get("n0"), counters.all().len()), (2, NAMES_MAX));
    }

    #[test]
    fn the_header_goes_no_further_also_where_it_is_not_understood() {
        let counters = GuestCounters::default();
        for value in ["a", "?"] {
            let mut headers = HeaderMap::from_iter([(COUNT, value.parse().unwrap()), (COUNT, "b".parse().unwrap())]);
            counters.take("cart", &mut headers);
            assert!(headers.is_empty());
        }
        assert_eq!((counters.get("a"), counters.get("b")), (1, 1));
    }
}
