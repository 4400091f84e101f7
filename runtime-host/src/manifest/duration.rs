//! Durations, as they stand in a manifest.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What is longer outlives most processes.
pub(super) const LONGEST: Duration = Duration::from_secs(31 * 24 * 60 * 60);

/// Reads a duration such as `5s` that is within `range`, which goes to whole days; the error is a whole sentence.
pub(super) fn parse(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is not a duration ({error}); expected one such as \"5s\" or \"30m\""))?;
    match range.contains(&duration) {
        true => Ok(duration),
        false => {
            let (min_ms, max_days) = (range.start().as_millis(), range.end().as_secs() / 86_400);
            Err(format!("{text:?} is out of range; expected {min_ms}ms to {max_days}days"))
        }
    }
}
