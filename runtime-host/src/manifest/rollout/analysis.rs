//! `[component.x.tool.bodega.rollout.analysis]`: what makes a revision worse, in the units that people write.

use std::ops::RangeInclusive;

use super::{duration_ms, within, word};
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::rollout::{Analysis, CounterRatio, Worse};
use crate::telemetry::guest_counters;

/// Each is another test, and takes from what the others may find.
const PERCENTILES_MAX: usize = 8;
const COUNTERS_MAX: usize = 16;
const PERCENT: f64 = 100.0;

pub(super) fn read(value: Value<'_>) -> Result<Analysis, ConfigError> {
    let mut table: Table = value.read()?;
    let default = Analysis::default();
    let analysis = Analysis {
        false_rollback_ratio_max: ratio(&mut table, "false_rollback_percent_max", 0.000_1..=10.0)?
            .unwrap_or(default.false_rollback_ratio_max),
        settle_ms: duration_ms(&mut table, "settle")?.unwrap_or(default.settle_ms),
        error_increase_min: ratio(&mut table, "error_percent_increase_min", 0.0..=100.0)?
            .unwrap_or(default.error_increase_min),
        latency_quantiles: quantiles(&mut table)?.unwrap_or(default.latency_quantiles),
        latency_ratio_min: number(&mut table, "latency_ratio_min", 1.0..=1_000.0)?.unwrap_or(default.latency_ratio_min),
        trap_ratio_max: ratio(&mut table, "trap_percent_max", 0.000_1..=99.0)?.unwrap_or(default.trap_ratio_max),
        memory_growth_bytes_min: within(&mut table, "memory_growth_bytes_min", 0, u64::MAX)?
            .unwrap_or(default.memory_growth_bytes_min),
        memory_peak_ratio_max: number(&mut table, "memory_peak_ratio_max", 1.0..=1_000.0)?,
        different_ratio_max: ratio(&mut table, "different_percent_max", 0.0..=99.0)?,
        counters: counters(&mut table)?,
    };
    table.finish()?;
    Ok(analysis)
}

fn quantiles(table: &mut Table<'_>) -> Result<Option<Vec<f64>>, ConfigError> {
    let Some(percentiles) = table.optional::<Located<Vec<Located<f64>>>>("latency_percentiles")? else {
        return Ok(None);
    };
    if percentiles.value.len() > PERCENTILES_MAX {
        let problem = format!("there are {} percentiles; expected at most {PERCENTILES_MAX}", percentiles.value.len());
        return Err(table.error_at(percentiles.position, problem));
    }
    let quantile = |percentile: &Located<f64>| match percentile.value {
        number if number > 0.0 && number < PERCENT => Ok(number / PERCENT),
        number => {
            let problem = format!("a percentile is {number}; expected more than 0 and less than 100");
            Err(table.error_at(percentile.position, problem))
        }
    };
    percentiles.value.iter().map(quantile).collect::<Result<_, _>>().map(Some)
}

fn counters(table: &mut Table<'_>) -> Result<Vec<CounterRatio>, ConfigError> {
    let Some(counters) = table.optional::<Table>("counters")? else {
        return Ok(Vec::new());
    };
    let position = counters.position();
    let counters: Vec<CounterRatio> =
        counters.into_entries().into_iter().map(read_counter).collect::<Result<_, _>>()?;
    if counters.len() > COUNTERS_MAX {
        let problem = format!("there are {} ratios of counters; expected at most {COUNTERS_MAX}", counters.len());
        return Err(table.error_at(position, problem));
    }
    Ok(counters)
}

fn read_counter((name, value): (Located<String>, Value<'_>)) -> Result<CounterRatio, ConfigError> {
    /// What is smaller is hardly what a shop would go back for.
    const INCREASE_MIN: f64 = 0.01;
    const OCCASIONS: &str = "the name of a counter that every event is counted in as well";
    let mut table: Table = value.read()?;
    let counter = CounterRatio {
        name: name.value,
        events: table.required::<Value>("events", "the name of a counter")?.parse(counter)?.value,
        of: table.required::<Value>("of", OCCASIONS)?.parse(counter)?.value,
        worse: word(&mut table, "worse", parse_worse)?.unwrap_or_default(),
        increase_min: ratio(&mut table, "percent_increase_min", 0.0..=100.0)?.unwrap_or(INCREASE_MIN),
    };
    table.finish()?;
    Ok(counter)
}

fn counter(name: &str) -> Result<String, String> {
    match guest_counters::is_name(name) {
        true => Ok(name.to_owned()),
        false => Err(format!("{name:?} is not the name of a counter; expected one such as \"payments_total\"")),
    }
}

fn parse_worse(word: &str) -> Result<Worse, String> {
    match word {
        "higher" => Ok(Worse::Higher),
        "lower" => Ok(Worse::Lower),
        _ => Err(format!("unknown direction `{word}`; expected `higher` or `lower`")),
    }
}

/// A percentage within these bounds, as a ratio.
fn ratio(table: &mut Table<'_>, key: &'static str, percent: RangeInclusive<f64>) -> Result<Option<f64>, ConfigError> {
    Ok(number(table, key, percent)?.map(|percent| percent / PERCENT))
}

fn number(table: &mut Table<'_>, key: &'static str, range: RangeInclusive<f64>) -> Result<Option<f64>, ConfigError> {
    let value: Option<Located<f64>> = table.optional(key)?;
    if let Some(value) = value.as_ref().filter(|value| !range.contains(&value.value)) {
        let problem = format!("`{key}` is {}; expected {} to {}", value.value, range.start(), range.end());
        return Err(table.error_at(value.position, problem));
    }
    Ok(value.map(|value| value.value))
}
