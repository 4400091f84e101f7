//! Days in UTC, of which Monday to Friday are business days. Holidays are the merchant's to add to `days_max`.

use commerce::rfc3339;
use serde::{Deserialize, Serialize};

const DAY_MS: i64 = 24 * HOUR_MS;
const HOUR_MS: i64 = 60 * 60 * 1000;

/// A day, by its number since the Unix epoch, which was a Thursday.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Day(i64);

impl Day {
    pub(crate) fn of(unix_ms: i64) -> Self {
        Self(unix_ms.div_euclid(DAY_MS))
    }

    /// 0 is Monday.
    fn weekday(self) -> i64 {
        (self.0 + 3).rem_euclid(7)
    }

    fn is_business_day(self) -> bool {
        self.weekday() < 5
    }

    /// The day itself if it is a business day, else the next one that is.
    fn or_next_business_day(self) -> Self {
        match self.weekday() {
            weekday @ 5.. => Self(self.0 + 7 - weekday),
            _ => self,
        }
    }

    /// The business day that comes `days` business days later.
    fn plus_business_days(self, days: u32) -> Self {
        let start = self.or_next_business_day();
        let days = i64::from(days);
        // Whole weeks first; what is left may cross one more weekend.
        let day = Self(start.0 + days / 5 * 7 + days % 5);
        if day.is_business_day() && day.weekday() >= start.weekday() { day } else { Self(day.0 + 2) }
    }
}

/// When a parcel arrives, as dates such as `2026-03-02`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Delivery {
    pub(crate) earliest: String,
    pub(crate) latest: String,
}

impl Delivery {
    /// Of what is ordered now: it leaves today if today is a business day and the cut-off hour is not reached.
    pub(crate) fn estimate(now_ms: i64, cutoff_hour: u32, days_min: u32, days_max: u32) -> Self {
        let today = Day::of(now_ms);
        let missed = now_ms.rem_euclid(DAY_MS) >= i64::from(cutoff_hour) * HOUR_MS;
        let leaves = if missed { Day(today.0 + 1) } else { today }.or_next_business_day();
        let date = |days| date(leaves.plus_business_days(days));
        Self { earliest: date(days_min), latest: date(days_max) }
    }
}

fn date(day: Day) -> String {
    let mut text = rfc3339(day.0 * DAY_MS);
    text.truncate("2026-03-02".len());
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use commerce::parse_rfc3339;
    use proptest::prelude::*;

    #[test]
    fn a_weekend_and_a_missed_cutoff_put_a_parcel_off() {
        let estimate = |now: &str, min, max| {
            let delivery = Delivery::estimate(parse_rfc3339(now).unwrap(), 14, min, max);
            [delivery.earliest, delivery.latest]
        };
        // 2026-02-26 was a Thursday.
        assert_eq!(estimate("2026-02-26T13:59:59Z", 0, 1), ["2026-02-26", "2026-02-27"]);
        assert_eq!(estimate("2026-02-26T14:00:00Z", 0, 1), ["2026-02-27", "2026-03-02"]);
        assert_eq!(estimate("2026-02-27T14:00:00Z", 1, 5), ["2026-03-03", "2026-03-09"]);
        assert_eq!(estimate("2026-02-28T01:00:00Z", 0, 10), ["2026-03-02", "2026-03-16"]);
    }

    proptest! {
        /// Counting day by day gives the same day.
        #[test]
        fn business_days_are_counted_as_on_a_calendar(start in 0..40_000_i64, days in 0..200_u32) {
            let mut day = Day(start).or_next_business_day();
            prop_assert!(day.is_business_day() && day.0 - start <= 2);
            for _ in 0..days {
                day = Day(day.0 + 1);
                while !day.is_business_day() {
                    day = Day(day.0 + 1);
                }
            }
            prop_assert_eq!(Day(start).plus_business_days(days), day);
        }

        #[test]
        fn later_orders_and_longer_ways_never_arrive_earlier(
            now_ms in 0..4_000_000_000_000_i64, later_ms in 0..1_000_000_000_i64,
            cutoff_hour in 0..=24_u32, days in 0..90_u32, more in 0..10_u32,
        ) {
            let delivery = Delivery::estimate(now_ms, cutoff_hour, days, days + more);
            prop_assert!(delivery.earliest <= delivery.latest);
            prop_assert!(delivery <= Delivery::estimate(now_ms + later_ms, cutoff_hour, days, days + more));
        }
    }
}
