//! `[cache]` and the `cache` of a rule: what is stored, for how long, and in how much memory.

use std::time::Duration;

use super::fields::duration;
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::cache::{CacheRule, CacheSettings, ENTRIES_PER_SHARD_MIN};

/// The longest time for which an answer is fresh, or is given although it is not.
const TIME_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const TIME_MAX_TEXT: &str = "a year";
/// Units of sizes, the longest name first.
const UNITS: [(&str, u32); 4] = [("KiB", 10), ("MiB", 20), ("GiB", 30), ("B", 0)];

/// Reads `[cache]`.
pub(super) fn settings(table: Option<Table<'_>>) -> Result<CacheSettings, ConfigError> {
    let mut settings = CacheSettings::default();
    let Some(mut table) = table else { return Ok(settings) };
    if let Some(bytes_max) = table.optional::<Value>("bytes_max")? {
        settings.bytes_max = bytes_max.parse(bytes)?.value;
        settings.entry_bytes_max = settings.entry_bytes_max.min(settings.bytes_max / ENTRIES_PER_SHARD_MIN);
    }
    if let Some(entry_bytes_max) = table.optional::<Value>("entry_bytes_max")? {
        let Located { value, position } = entry_bytes_max.parse(bytes)?;
        if value > settings.bytes_max / ENTRIES_PER_SHARD_MIN {
            let problem = "`entry_bytes_max` is more than a quarter of `bytes_max`; expected less, or more room";
            return Err(table.error_at(position, problem));
        }
        settings.entry_bytes_max = value;
    }
    table.finish()?;
    Ok(settings)
}

/// Reads the `cache` of a rule; `false` is none, where `[all]` has it.
pub(super) fn rule(value: Value<'_>) -> Result<Option<CacheRule>, ConfigError> {
    if !value.is_table() {
        return Ok(value.read::<bool>()?.then(CacheRule::default));
    }
    let mut table: Table = value.read()?;
    let mut time =
        |key| table.optional::<Value>(key)?.map(|value| duration(value, TIME_MAX, TIME_MAX_TEXT)).transpose();
    let ttl = time("ttl")?;
    let (stale_while_revalidate, stale_if_error) = (time("stale_while_revalidate")?, time("stale_if_error")?);
    let (authenticated, set_cookie) = (table.or_default("authenticated")?, table.or_default("set_cookie")?);
    table.finish()?;
    Ok(Some(CacheRule { ttl, stale_while_revalidate, stale_if_error, authenticated, set_cookie }))
}

/// A size such as `64MiB`.
fn bytes(text: &str) -> Result<u64, String> {
    let parsed = UNITS.iter().find_map(|(unit, shift)| {
        let number: u64 = text.strip_suffix(unit)?.trim_end().parse().ok()?;
        number.checked_mul(1 << shift)
    });
    parsed.filter(|bytes| *bytes > 0).ok_or(format!("{text:?} is no size; expected one such as \"64MiB\""))
}
