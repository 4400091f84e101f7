//! Buckets and differences.

use super::*;

#[test]
fn a_bucket_begins_where_the_one_before_ends_and_is_an_eighth_wide_at_most() {
    for bucket in 0..LATENCY_BUCKETS {
        let (begin, end) = (bucket_begins_us(bucket), bucket_begins_us(bucket + 1));
        assert!(begin < end && (bucket < 16 || (end - begin) * 8 <= begin), "{bucket}: {begin} to {end}");
        assert_eq!(latency_bucket(Duration::from_micros(begin)), bucket);
        assert_eq!(latency_bucket(Duration::from_micros(end) - Duration::from_nanos(1)), bucket);
    }
    assert_eq!(latency_bucket(Duration::MAX), LATENCY_BUCKETS - 1);
}

#[test]
fn a_threshold_has_no_more_above_it_than_is_allowed() {
    let mut latency = Latency::default();
    assert_eq!(latency.threshold(0.5), (0, 0));
    for us in 1..=1_000 {
        latency.observe(Duration::from_micros(us));
    }
    let (bucket, over) = latency.threshold(0.05);
    assert_eq!((bucket_begins_us(bucket + 1), over), (960, 41));
    assert_eq!(latency.at_least(960.0), 41);
    // The bucket from 896 on has shorter ones than 900 in it.
    assert_eq!(latency.at_least(900.0), 41);
    assert_eq!(latency.count(), 1_000);
}

#[test]
fn counts_of_buckets_make_the_same_histogram() {
    let mut counts = [0; LATENCY_BUCKETS];
    let mut latency = Latency::default();
    for ms in [1, 5, 5, 80] {
        counts[latency_bucket(Duration::from_millis(ms))] += 1;
        latency.observe(Duration::from_millis(ms));
    }
    assert_eq!(Latency::from_counts(counts), latency);
    assert_eq!(Latency::from_counts([0; LATENCY_BUCKETS]), Latency::default());
}

#[test]
fn a_difference_never_goes_below_zero() {
    let window = Window { requests: 5, traps: 1, ..Window::default() };
    let later = Window { requests: 8, ..Window::default() };
    let since = Samples { new: later, ..Samples::default() }.since(&Samples { new: window, ..Samples::default() });
    assert_eq!((since.new.requests, since.new.traps), (3, 0));
}
