//! Each metric, worse and not.

use std::time::Duration;

use super::*;
use crate::rollout::{Count, Growth};

/// What one early look of a default rollout may spend.
const SPEND: f64 = 1e-4;

fn window(requests: u64, failures: u64) -> Window {
    Window { requests, failures, ..Window::default() }
}

fn look(analysis: &Analysis, old: Window, new: Window) -> Vec<Finding> {
    let samples = Samples { old, new, ..Samples::default() };
    let settled = Some((&samples.old.latency, &samples.new.latency));
    analysis.look(&Look { samples: &samples, settled, past: None, spend: SPEND })
}

fn verdict(findings: &[Finding], metric: &str) -> Verdict {
    let finding = findings.iter().find(|finding| finding.metric == metric);
    finding.unwrap_or_else(|| panic!("no {metric} in {findings:?}")).verdict
}

#[test]
fn errors_have_to_be_more_than_chance_and_more_than_a_trifle() {
    let table = [
        // Few samples prove nothing, unless all fail.
        ((1, 10), (0, 1_000), Verdict::Suspect),
        ((0, 10), (0, 1_000), Verdict::Alike),
        ((10, 10), (0, 1_000), Verdict::Worse),
        ((10, 200), (2, 1_800), Verdict::Worse),
        ((4, 200), (9, 1_800), Verdict::Suspect),
        // Certainly more, but by 0.2 percentage points.
        ((300_000, 100_000_000), (100_000, 100_000_000), Verdict::Alike),
        ((700_000, 100_000_000), (100_000, 100_000_000), Verdict::Worse),
        // Better, and both as bad.
        ((0, 1_000), (50, 1_000), Verdict::Alike),
        ((90, 100), (900, 1_000), Verdict::Alike),
    ];
    for ((new_failures, new), (old_failures, old), expected) in table {
        let findings = look(&Analysis::default(), window(old, old_failures), window(new, new_failures));
        assert_eq!(verdict(&findings, "errors"), expected, "{}", findings[0].text);
    }
}

/// Latencies that are spread evenly up to `ms`.
fn latencies(count: u64, ms: u64) -> Latency {
    let mut latency = Latency::default();
    (1..=count).for_each(|n| latency.observe(Duration::from_micros(n * ms * 1_000 / count)));
    latency
}

#[test]
fn latency_is_worse_when_a_quantile_is_longer_by_the_ratio() {
    let with = |latency: Latency| Window { requests: latency.count(), latency, ..Window::default() };
    let verdicts = |new| {
        let findings = look(&Analysis::default(), with(latencies(2_000, 100)), with(new));
        ["latency p50", "latency p95", "latency p99"].map(|metric| verdict(&findings, metric))
    };
    assert_eq!(verdicts(latencies(300, 100)), [Verdict::Alike; 3]);
    assert_eq!(verdicts(latencies(300, 110)), [Verdict::Alike; 3]);
    assert_eq!(verdicts(latencies(300, 50)), [Verdict::Alike; 3]);
    assert_eq!(verdicts(latencies(300, 200)), [Verdict::Worse; 3]);
    // Only the slowest become slower.
    let mut tail = latencies(270, 90);
    (0..30).for_each(|_| tail.observe(Duration::from_secs(1)));
    assert_eq!(verdicts(tail), [Verdict::Alike, Verdict::Worse, Verdict::Worse]);
}

#[test]
fn traps_are_worse_relatively_and_absolutely_but_one_is_chance() {
    let with = |requests, traps| Window { requests, traps, ..Window::default() };
    let table = [
        ((1, 100), (0, 10_000), Verdict::Alike),
        ((6, 200), (0, 1_800), Verdict::Worse),
        // Absolutely: there is nearly nothing to compare with.
        ((5, 50), (0, 50), Verdict::Worse),
        // The old one traps as well.
        ((50, 1_000), (50, 1_000), Verdict::Alike),
        ((10, 1_000), (50, 1_000), Verdict::Alike),
    ];
    for ((new_traps, new), (old_traps, old), expected) in table {
        let findings = look(&Analysis::default(), with(old, old_traps), with(new, new_traps));
        assert_eq!(verdict(&findings, "traps"), expected, "{}", findings[1].text);
    }
}

#[test]
fn a_leak_is_told_from_a_cache_by_the_age_of_instances() {
    let with = |age: usize, growth: Growth| {
        let mut window = window(1_000, 0);
        window.memory.growth[age] = growth;
        window
    };
    let growth = |requests, grown| Growth { requests, grown, grown_bytes: grown * 65_536 };
    let old = |age| with(age, growth(5_000, 25));
    let findings = look(&Analysis::default(), old(1), with(1, growth(400, 60)));
    assert_eq!(verdict(&findings, "memory"), Verdict::Worse);
    let findings = look(&Analysis::default(), old(1), with(1, growth(400, 2)));
    assert_eq!(verdict(&findings, "memory"), Verdict::Alike);
    // The old one has no instances that are as young.
    let findings = look(&Analysis::default(), old(5), with(1, growth(400, 60)));
    assert!(findings.iter().all(|finding| finding.metric != "memory"));
}

#[test]
fn a_peak_is_bounded_where_it_is_asked_for() {
    let with = |peak_bytes| {
        let mut window = window(1_000, 0);
        window.memory.peak_bytes = peak_bytes;
        window
    };
    let analysis = Analysis { memory_peak_ratio_max: Some(2.0), ..Analysis::default() };
    assert_eq!(verdict(&look(&analysis, with(10 << 20), with(20 << 20)), "memory peak"), Verdict::Alike);
    let findings = look(&analysis, with(10 << 20), with(21 << 20));
    let peak = findings.iter().find(|finding| finding.metric == "memory peak").unwrap();
    assert_eq!(peak.text, "an instance had 21.0 MiB against 10.0 MiB: more than 2 times as much");
    assert!(look(&Analysis::default(), with(1), with(100)).iter().all(|finding| finding.metric != "memory peak"));
}

#[test]
fn counters_of_a_component_are_compared_in_the_direction_that_is_worse() {
    let with = |events, of| {
        let mut window = window(1_000, 0);
        window.counters.insert("paid".into(), Count { events, of });
        window
    };
    let verdict = |worse, new: (u64, u64), old: (u64, u64)| {
        let name = || "paid".to_owned();
        let ratio = CounterRatio { name: name(), events: name(), of: name(), worse, increase_min: 0.01 };
        let analysis = Analysis { counters: vec![ratio], ..Analysis::default() };
        verdict(&look(&analysis, with(old.0, old.1), with(new.0, new.1)), "paid")
    };
    let (few, many) = ((100, 200), (900, 1_000));
    assert_eq!(verdict(Worse::Lower, few, many), Verdict::Worse);
    assert_eq!(verdict(Worse::Higher, few, many), Verdict::Alike);
    assert_eq!(verdict(Worse::Higher, many, few), Verdict::Worse);
    // Whoever counts nothing any more may have forgotten to; where nothing was to be expected that says nothing.
    assert_eq!(verdict(Worse::Higher, (0, 0), (9, 900)), Verdict::Suspect);
    assert_eq!(verdict(Worse::Higher, (0, 0), (0, 1)), Verdict::Alike);
    assert_eq!(verdict(Worse::Higher, (0, 0), (0, 0)), Verdict::Alike);
    // Counters that were read one after the other.
    assert_eq!(verdict(Worse::Lower, (201, 200), many), Verdict::Alike);
}

#[test]
fn answers_of_a_shadow_may_differ_as_often_as_is_allowed() {
    let look = |ratio_max, events| {
        let analysis = Analysis { different_ratio_max: ratio_max, ..Analysis::default() };
        let samples = Samples { answers: Count { events, of: 1_000 }, ..Samples::default() };
        analysis.look(&Look { samples: &samples, settled: None, past: None, spend: SPEND })
    };
    assert!(look(None, 1_000).iter().all(|finding| finding.metric != "answers"));
    assert_eq!(verdict(&look(Some(0.01), 12), "answers"), Verdict::Alike);
    assert_eq!(verdict(&look(Some(0.01), 50), "answers"), Verdict::Worse);
    assert_eq!(verdict(&look(Some(0.0), 0), "answers"), Verdict::Alike);
    assert_eq!(verdict(&look(Some(0.0), 1), "answers"), Verdict::Worse);
}

#[test]
fn against_the_past_more_is_needed() {
    let past = window(10_000, 100);
    let samples = |failures| Samples { new: window(2_000, failures), ..Samples::default() };
    let verdict = |samples: &Samples, past: &Window| {
        let look = Look { samples, settled: None, past: Some(past), spend: SPEND };
        verdict(&Analysis::default().look(&look), "errors")
    };
    assert_eq!(verdict(&samples(50), &past), Verdict::Alike);
    assert_eq!(verdict(&samples(80), &past), Verdict::Worse);
    // Nothing to compare with: not much more than one of a hundred may fail.
    assert_eq!(verdict(&samples(20), &Window::default()), Verdict::Alike);
    assert_eq!(verdict(&samples(80), &Window::default()), Verdict::Worse);
}
