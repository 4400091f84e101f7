//! `[rate_limits]`: how often who may ask.

use std::num::NonZeroU32;
use std::time::Duration;

use super::fields::{self, one_of};
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::rate_limit::{By, Rate, RateLimitSettings, WhenOutOfReach};

/// How long a burst may take to be there again.
const BURST_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const WINDOWS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

pub(super) fn rate_limit(name: &Located<String>, mut table: Table<'_>) -> Result<RateLimitSettings, ConfigError> {
    fields::name(&table, "rate limit", name)?;
    let by = [("address", By::Address), ("user", By::User), ("everybody", By::Everybody)];
    let by = one_of(&mut table, "by", &by)?.unwrap_or(By::Address);
    let rate: Value = table.required("rate", "how many in which time, such as \"50/s\"")?;
    let mut rate = rate.parse(parse_rate)?.value;
    if let Some(burst) = table.optional::<Located<u64>>("burst")? {
        let number = u32::try_from(burst.value).ok().and_then(NonZeroU32::new);
        rate.burst =
            number.ok_or_else(|| table.error_at(burst.position, "`burst` is out of range; expected 1 or more"))?;
    }
    if rate.full_after() > BURST_TIME_MAX {
        let problem =
            format!("the rate limit `{}` has a burst that takes more than a year to be there again", name.value);
        return Err(table.error_at(name.position, problem));
    }
    let mut tiers = Vec::new();
    for (role, value) in table.optional::<Table>("tiers")?.map(Table::into_entries).unwrap_or_default() {
        tiers.push((role.value, value.parse(parse_rate)?.value));
    }
    let kinds = [("admit", WhenOutOfReach::Admit), ("refuse", WhenOutOfReach::Refuse)];
    let when_out_of_reach = one_of(&mut table, "when_out_of_reach", &kinds)?.unwrap_or_default();
    table.finish()?;
    Ok(RateLimitSettings { name: name.value.clone(), by, rate, tiers, when_out_of_reach })
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let rate = text.split_once('/').and_then(|(requests, unit)| {
        let requests: NonZeroU32 = requests.trim().parse().ok()?;
        let (_, seconds) = WINDOWS.into_iter().find(|(name, _)| *name == unit.trim())?;
        Some(Rate { requests, window: Duration::from_secs(seconds), burst: requests })
    });
    rate.ok_or(format!("{text:?} is no rate; expected one such as \"50/s\", \"30/m\", \"1000/h\" or \"5000/d\""))
}
