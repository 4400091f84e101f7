//! The tables of RFC 9111, 4.2 and RFC 5861.

use http::HeaderName;

use super::*;

const EPOCH_S: u64 = 1_700_000_000;

fn at(seconds: u64) -> Moment {
    let time = Duration::from_secs(seconds);
    Moment { steady: time, wall: Duration::from_secs(EPOCH_S) + time }
}

fn date(seconds: i64) -> String {
    let unix_s = EPOCH_S.saturating_add_signed(seconds);
    httpdate::fmt_http_date(SystemTime::UNIX_EPOCH + Duration::from_secs(unix_s))
}

fn headers(pairs: &[(&str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse::<HeaderName>().unwrap(), value.parse().unwrap())).collect()
}

fn freshness(pairs: &[(&str, &str)]) -> Freshness {
    Freshness::of(&headers(pairs), at(0), at(0))
}

fn wanted(text: &str) -> Directives {
    Directives::of(&headers(&[("cache-control", text)]))
}

#[test]
fn a_lifetime_is_what_comes_first_of_three() {
    let s = Duration::from_secs;
    let (now, later, past) = (date(0), date(90), date(-5));
    let (now, later, past) = (now.as_str(), later.as_str(), past.as_str());
    for (pairs, expected) in [
        (&[][..], None),
        (&[("expires", later)], Some(s(90))),
        (&[("date", past), ("expires", later)], Some(s(95))),
        (&[("date", now), ("expires", past)], Some(s(0))),
        (&[("expires", "0")], Some(s(0))),
        (&[("expires", later), ("cache-control", "max-age=10")], Some(s(10))),
        (&[("cache-control", "max-age=10, s-maxage=20")], Some(s(20))),
        (&[("expires", later), ("cache-control", "s-maxage=0")], Some(s(0))),
    ] {
        assert_eq!(freshness(pairs).lifetime, expected, "{pairs:?}");
    }
    let rule = CacheRule { ttl: Some(s(7)), ..CacheRule::default() };
    assert_eq!(freshness(&[]).lifetime(&rule), s(7), "what says nothing is fresh as the rule says");
    assert_eq!(freshness(&[("expires", "0")]).lifetime(&rule), s(0));
}

#[test]
fn an_age_is_the_largest_that_anything_says() {
    let past = date(-30);
    let past = past.as_str();
    let of = |pairs: &[(&str, &str)]| Freshness::of(&headers(pairs), at(0), at(2));
    for (pairs, expected_s) in [
        (&[][..], 2),
        (&[("age", "10")], 12),
        (&[("age", "nonsense")], 2),
        (&[("date", past)], 32),
        (&[("date", past), ("age", "50")], 52),
    ] {
        assert_eq!(of(pairs).age(at(2)).as_secs(), expected_s, "{pairs:?}");
        assert_eq!(of(pairs).age(at(7)).as_secs(), expected_s + 5, "{pairs:?}");
    }
}

#[test]
fn no_jump_of_a_clock_makes_an_answer_younger() {
    let stored = freshness(&[("cache-control", "max-age=60")]);
    let now = at(100);
    let back = Moment { wall: Duration::from_secs(5), ..now };
    let asleep = Moment { steady: Duration::from_secs(1), ..now };
    for moment in [back, asleep] {
        assert_eq!(stored.age(moment).as_secs(), 100);
    }
    let before = Moment { steady: Duration::ZERO, wall: Duration::ZERO };
    assert_eq!(stored.age(before).as_secs(), 0);
}

#[test]
fn what_may_be_done_with_it_depends_on_both_sides() {
    use Use::{Fresh, Revalidate, Stale, WhileRevalidating};
    let none = CacheRule::default();
    for (answer, request, age_s, expected) in [
        ("max-age=60", "", 59, Fresh),
        ("max-age=60", "", 60, Revalidate),
        ("max-age=60", "no-cache", 1, Revalidate),
        ("max-age=60", "max-age=10", 10, Fresh),
        ("max-age=60", "max-age=10", 11, Revalidate),
        ("max-age=60", "max-age=10, max-stale=5", 11, Fresh),
        ("max-age=60", "min-fresh=20", 40, Fresh),
        ("max-age=60", "min-fresh=20", 41, Revalidate),
        ("max-age=60", "max-stale=5", 65, Stale),
        ("max-age=60", "max-stale=5", 66, Revalidate),
        ("max-age=60", "max-stale", 100_000, Stale),
        ("max-age=60, must-revalidate", "max-stale", 61, Revalidate),
        ("max-age=60, proxy-revalidate", "max-stale", 61, Revalidate),
        ("s-maxage=60", "max-stale", 61, Revalidate),
        ("s-maxage=60, stale-while-revalidate=9", "", 61, Revalidate),
        ("no-cache, max-age=60", "", 0, Revalidate),
        ("max-age=60, stale-while-revalidate=10", "", 69, WhileRevalidating),
        ("max-age=60, stale-while-revalidate=10", "", 70, Revalidate),
        ("max-age=60, stale-while-revalidate=10", "max-stale=20", 75, Stale),
        ("max-age=60, stale-while-revalidate=10", "min-fresh=0", 65, Revalidate),
        ("max-age=60, stale-while-revalidate=10", "max-age=60", 65, Revalidate),
        ("", "", 0, Revalidate),
    ] {
        let found = freshness(&[("cache-control", answer)]).reuse(&none, &wanted(request), at(age_s));
        assert_eq!(found, expected, "{answer:?} after {age_s} s for {request:?}");
    }
    let rule = CacheRule { stale_while_revalidate: Some(Duration::from_secs(5)), ..none };
    let stored = freshness(&[("cache-control", "max-age=1")]);
    assert_eq!(stored.reuse(&rule, &wanted(""), at(3)), WhileRevalidating);
    let own = freshness(&[("cache-control", "max-age=1, stale-while-revalidate=0")]);
    assert_eq!(own.reuse(&rule, &wanted(""), at(3)), Revalidate, "what the answer says counts for more");
}

#[test]
fn it_stands_in_for_a_failed_service_where_nobody_forbids_it() {
    let none = CacheRule::default();
    for (answer, request, age_s, expected) in [
        ("max-age=60, stale-if-error=30", "", 89, true),
        ("max-age=60, stale-if-error=30", "", 90, false),
        ("max-age=60, stale-if-error=30", "no-cache", 61, false),
        ("max-age=60, stale-if-error=30", "max-age=5", 61, false),
        ("max-age=60, stale-if-error=30, must-revalidate", "", 61, false),
        ("no-cache, stale-if-error=30", "", 1, false),
        ("max-age=60", "", 61, false),
    ] {
        let found = freshness(&[("cache-control", answer)]).stands_in(&none, &wanted(request), at(age_s));
        assert_eq!(found, expected, "{answer:?} after {age_s} s for {request:?}");
    }
    let rule = CacheRule { stale_if_error: Some(Duration::from_secs(30)), ..none };
    assert!(freshness(&[("cache-control", "max-age=1")]).stands_in(&rule, &wanted(""), at(30)));
}
