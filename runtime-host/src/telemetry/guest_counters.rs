//! Counters that a component keeps through its answers: the header [`COUNT`] says what has happened.
//!
//! `x-bodega-count: checkouts_total, checkouts_failed_total` adds 1 to each, `lines_total=3` adds 3. A component runs in many
//! instances, which come and go, so that a scrape of one of them would see a part of what its memory counted. What comes with
//! an answer is counted with it, under the revision that gave it, and survives the instance. No client sees the header.
//!
//! What an instance did that trapped or ran out of time is not said, and so is not counted.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use http::{HeaderMap, HeaderName};

/// By which an answer says what is to be counted.
pub const COUNT: HeaderName = HeaderName::from_static("x-bodega-count");

/// Counters of one revision. Each is a time series.
const NAMES_MAX: usize = 64;
/// Bytes of a counter's name.
const NAME_BYTES_MAX: usize = 64;
/// Counters that one answer may add to.
const PER_ANSWER_MAX: usize = 16;
/// What one answer may add to a counter.
const AMOUNT_MAX: u64 = 1_000_000;

/// What an answer says that is not counted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CountError {
    /// It is no name.
    #[error(
        "{0:?} is not the name of a counter; expected up to {NAME_BYTES_MAX} letters, digits and `_`, not beginning with a digit"
    )]
    Name(String),
    /// It is no number, or too large a one.
    #[error("{0:?} is not what a counter grows by; expected a whole number up to {AMOUNT_MAX}")]
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
    has_complained: AtomicBool,
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
        let added: Vec<(&str, u64)> = text.split(',').map(parse).collect::<Result<_, _>>()?;
        if added.len() > PER_ANSWER_MAX {
            return Err(CountError::TooMany);
        }
        let mut counts = self.lock();
        let news = added.iter().filter(|(name, _)| !counts.contains_key(*name)).count();
        if counts.len() + news > NAMES_MAX {
            return Err(CountError::Full);
        }
        for (name, amount) in added {
            match counts.get_mut(name) {
                Some(count) => *count += amount,
                None => drop(counts.insert(name.to_owned(), amount)),
            }
        }
        Ok(())
    }

    /// What was counted under a name so far.
    pub fn get(&self, name: &str) -> u64 {
        self.lock().get(name).copied().unwrap_or_default()
    }

    /// All of them, by name.
    pub fn all(&self) -> Vec<(String, u64)> {
        self.lock().iter().map(|(name, count)| (name.clone(), *count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, u64>> {
        // Every counter is whole after every change.
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `name` or `name=amount`.
fn parse(part: &str) -> Result<(&str, u64), CountError> {
    let (name, amount) = part.split_once('=').unwrap_or((part, "1"));
    let (name, amount) = (name.trim(), amount.trim());
    if !is_name(name) {
        return Err(CountError::Name(name.chars().take(NAME_BYTES_MAX).collect()));
    }
    let is_number = amount.bytes().all(|byte| byte.is_ascii_digit());
    match amount.parse() {
        Ok(number) if is_number && number <= AMOUNT_MAX => Ok((name, number)),
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
            ("a,b=1000001", CountError::Amount("1000001".to_owned())),
            (&many, CountError::TooMany),
        ] {
            assert_eq!(counters.add(text), Err(expected), "{text}");
        }
        assert!(counters.all().is_empty());
    }

    #[test]
    fn a_component_that_makes_up_names_without_end_has_a_bounded_number() {
        let counters = GuestCounters::default();
        (0..NAMES_MAX).for_each(|number| counters.add(&format!("n{number}")).unwrap());
        assert_eq!(counters.add("one_more"), Err(CountError::Full));
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
