//! `Cache-Control` of requests and answers (RFC 9111, 5.2; RFC 5861).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The longest time that is told apart: what a field may say has no bound (RFC 9111, 1.2.2).
pub(super) const TIME_MAX: Duration = Duration::from_secs(1 << 31);

/// What the field says. A directive that is there more than once counts with its smallest value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Directives {
    pub no_store: bool,
    /// Also of single fields, which is more than is asked for.
    pub no_cache: bool,
    /// As `no_cache`.
    pub private: bool,
    pub public: bool,
    pub must_revalidate: bool,
    pub proxy_revalidate: bool,
    pub only_if_cached: bool,
    pub max_age: Option<Duration>,
    pub s_maxage: Option<Duration>,
    pub min_fresh: Option<Duration>,
    /// Without a value it is [`TIME_MAX`].
    pub max_stale: Option<Duration>,
    pub stale_while_revalidate: Option<Duration>,
    pub stale_if_error: Option<Duration>,
}

impl Directives {
    /// Reads all fields of that name. One that is no text forbids to store.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut directives = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            match value.to_str() {
                Ok(text) => split_list(text).for_each(|directive| directives.add(directive)),
                Err(_) => directives.no_store = true,
            }
        }
        directives
    }

    /// Whether an answer to a request that says who asks is for others too (RFC 9111, 3.5).
    pub(super) fn is_for_all(&self) -> bool {
        self.public || self.must_revalidate || self.s_maxage.is_some()
    }

    fn add(&mut self, directive: &str) {
        let (name, value) = match directive.split_once('=') {
            Some((name, value)) => (name.trim_end(), Some(value.trim().trim_matches('"'))),
            None => (directive, None),
        };
        let times = [
            ("max-age", &mut self.max_age),
            ("s-maxage", &mut self.s_maxage),
            ("min-fresh", &mut self.min_fresh),
            ("max-stale", &mut self.max_stale),
            ("stale-while-revalidate", &mut self.stale_while_revalidate),
            ("stale-if-error", &mut self.stale_if_error),
        ];
        if let Some((name, time)) = times.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
            let said = match value {
                None if *name == *"max-stale" => TIME_MAX,
                // What is not understood is no time at all (RFC 9111, 4.2.1).
                value => value.and_then(seconds).unwrap_or_default(),
            };
            *time = Some(time.map_or(said, |earlier| earlier.min(said)));
            return;
        }
        let flags = [
            ("no-store", &mut self.no_store),
            ("no-cache", &mut self.no_cache),
            ("private", &mut self.private),
            ("public", &mut self.public),
            ("must-revalidate", &mut self.must_revalidate),
            ("proxy-revalidate", &mut self.proxy_revalidate),
            ("only-if-cached", &mut self.only_if_cached),
        ];
        if let Some((_, flag)) = flags.into_iter().find(|(known, _)| name.eq_ignore_ascii_case(known)) {
            *flag = true;
        }
    }
}

/// `delta-seconds`; more than fits is the longest time.
pub(super) fn seconds(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().map_or(TIME_MAX, Duration::from_secs).min(TIME_MAX))
}

/// The members of a list, whose quoted strings may contain commas.
fn split_list(text: &str) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    let members = text.split(move |character| {
        match character {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            ',' => return !is_quoted,
            _ => {}
        }
        false
    });
    members.map(str::trim).filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[&str]) -> Directives {
        Directives::of(&values.iter().map(|value| (CACHE_CONTROL, value.parse().unwrap())).collect())
    }

    #[test]
    fn directives_are_read_as_they_may_be_written() {
        let s = |seconds| Some(Duration::from_secs(seconds));
        let none = Directives::default();
        for (values, expected) in [
            (&[][..], none),
            (&["Max-Age=60, PUBLIC"], Directives { max_age: s(60), public: true, ..none }),
            (&["max-age=\"60\" ,, s-maxage = 5"], Directives { max_age: s(60), s_maxage: s(5), ..none }),
            (&["max-age=60", "max-age=30"], Directives { max_age: s(30), ..none }),
            (&["max-age=-1"], Directives { max_age: s(0), ..none }),
            (&["max-age=1.5, s-maxage"], Directives { max_age: s(0), s_maxage: s(0), ..none }),
            (&["max-age=99999999999999999999999"], Directives { max_age: Some(TIME_MAX), ..none }),
            (&["private=\"set-cookie, max-age=1\", no-cache=\"a\\\", no-store\""], {
                Directives { private: true, no_cache: true, ..none }
            }),
            (&["max-stale"], Directives { max_stale: Some(TIME_MAX), ..none }),
            (&["max-stale=10, min-fresh=3"], Directives { max_stale: s(10), min_fresh: s(3), ..none }),
            (&["stale-while-revalidate=4, stale-if-error=5, must-revalidate, proxy-revalidate, only-if-cached"], {
                Directives {
                    stale_while_revalidate: s(4),
                    stale_if_error: s(5),
                    must_revalidate: true,
                    proxy_revalidate: true,
                    only_if_cached: true,
                    ..none
                }
            }),
            (&["x-no-store, no-store-please, community=\"UCI\""], none),
        ] {
            assert_eq!(of(values), expected, "{values:?}");
        }
    }

    #[test]
    fn what_is_no_text_is_not_stored() {
        let value = http::HeaderValue::from_bytes(b"max-age=60, \xff").unwrap();
        assert!(Directives::of(&HeaderMap::from_iter([(CACHE_CONTROL, value)])).no_store);
    }
}
