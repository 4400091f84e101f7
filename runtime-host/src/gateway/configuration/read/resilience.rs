//! `timeout`, `retry`, `breaker`, `concurrency`, `priority` and `fallback`.

use std::time::Duration;

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::fields::{self, duration, header_name, header_value};
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::policies::{Fallback, Timeouts};
use crate::gateway::resilience::{BreakerSettings, ConcurrencySettings, RetrySettings};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
/// How often a request is sent once more at most.
const RETRIES_MAX: u32 = 5;
const RETRY_STATUSES: [StatusCode; 3] =
    [StatusCode::BAD_GATEWAY, StatusCode::SERVICE_UNAVAILABLE, StatusCode::GATEWAY_TIMEOUT];
/// The least that an adaptive limit comes down to.
const CONCURRENCY_MIN: u32 = 4;
/// The most that an adaptive limit goes up to where nothing is said.
const ADAPTIVE_MAX: u32 = 1000;
const FALLBACK_BYTES_MAX: usize = 1 << 20;

/// Reads `timeout` and `first_byte_timeout` over those that hold already.
pub(super) fn timeouts(table: &mut Table<'_>, timeouts: &mut Timeouts) -> Result<(), ConfigError> {
    for (key, timeout) in [("timeout", &mut timeouts.total), ("first_byte_timeout", &mut timeouts.first_byte)] {
        let Some(value) = table.optional::<Value>(key)? else { continue };
        let none = value.error(format!("`{key}` leaves no time; expected one such as \"5s\""));
        match duration(value, DAY, "a day")? {
            Duration::ZERO => return Err(none),
            given => *timeout = Some(given),
        }
    }
    Ok(())
}

/// Reads `retry`; `false` is none.
pub(super) fn retry(value: Value<'_>) -> Result<Option<RetrySettings>, ConfigError> {
    if !value.is_table() {
        return fields::none(value);
    }
    let mut table: Table<'_> = value.read()?;
    let statuses = table.optional::<Vec<Located<u64>>>("statuses")?.map(|statuses| {
        let status = |status: Located<u64>| {
            let found = u16::try_from(status.value).ok().and_then(|status| StatusCode::from_u16(status).ok());
            found.filter(|status| status.as_u16() >= 400).ok_or_else(|| {
                table.error_at(
                    status.position,
                    format!("{} is no status of a failure; expected 400 to 599", status.value),
                )
            })
        };
        statuses.into_iter().map(status).collect::<Result<Vec<_>, _>>()
    });
    let retry = RetrySettings {
        retries: fields::count(&mut table, "retries", RETRIES_MAX)?.unwrap_or(1),
        statuses: statuses.transpose()?.unwrap_or(RETRY_STATUSES.to_vec()),
        is_safe: table.or_default("safe")?,
    };
    table.finish()?;
    Ok(Some(retry))
}

pub(super) fn breaker(mut table: Table<'_>) -> Result<BreakerSettings, ConfigError> {
    let usual = BreakerSettings::default();
    let mut time = |key: &'static str| {
        let Some(value) = table.optional::<Value>(key)? else { return Ok(None) };
        let none = value.error(format!("`{key}` is too short; expected 10ms or more"));
        let time = duration(value, DAY, "a day")?;
        if time < Duration::from_millis(10) { Err(none) } else { Ok(Some(time)) }
    };
    let (window, slow, open) = (time("window")?, time("slow")?, time("open")?);
    let failure_ratio = ratio(&mut table, "failure_ratio")?.unwrap_or(usual.failure_ratio);
    let slow_ratio = ratio(&mut table, "slow_ratio")?.unwrap_or(usual.slow_ratio);
    let breaker = BreakerSettings {
        window: window.unwrap_or(usual.window),
        requests_min: fields::count(&mut table, "requests_min", u32::MAX)?.unwrap_or(usual.requests_min),
        failure_ratio,
        slow,
        slow_ratio,
        open: open.unwrap_or(usual.open),
        probes: fields::count(&mut table, "probes", u32::MAX)?.unwrap_or(usual.probes),
    };
    table.finish()?;
    Ok(breaker)
}

fn ratio(table: &mut Table<'_>, key: &'static str) -> Result<Option<f64>, ConfigError> {
    let Some(ratio) = table.optional::<Located<f64>>(key)? else { return Ok(None) };
    match ratio.value > 0.0 && ratio.value <= 1.0 {
        true => Ok(Some(ratio.value)),
        false => Err(table.error_at(ratio.position, format!("`{key}` is out of range; expected more than 0, up to 1"))),
    }
}

/// Reads `concurrency`: a number, or a table for one that adapts.
pub(super) fn concurrency(value: Value<'_>) -> Result<ConcurrencySettings, ConfigError> {
    if !value.is_table() {
        let none = value.error("`concurrency` lets nobody in; expected 1 or more");
        let max = u32::try_from(value.read::<u64>()?).ok().filter(|max| *max > 0).ok_or(none)?;
        return Ok(ConcurrencySettings { max, is_adaptive: false, min: max });
    }
    let mut table: Table<'_> = value.read()?;
    let is_adaptive = table.or_default("adaptive")?;
    let max = fields::count(&mut table, "max", u32::MAX)?;
    let ((true, max) | (false, max @ Some(_))) = (is_adaptive, max) else {
        return Err(table.error(format!("{table} has no limit; expected `max`, or `adaptive = true`")));
    };
    let max = max.unwrap_or(ADAPTIVE_MAX);
    let min =
        fields::count(&mut table, "min", max)?.unwrap_or(if is_adaptive { CONCURRENCY_MIN.min(max) } else { max });
    table.finish()?;
    Ok(ConcurrencySettings { max, is_adaptive, min })
}

/// Reads `fallback`; `false` is none.
pub(super) fn fallback(value: Value<'_>) -> Result<Option<Fallback>, ConfigError> {
    if !value.is_table() {
        return fields::none(value);
    }
    let mut table: Table<'_> = value.read()?;
    let body: Located<String> = table.required("body", "what is answered")?;
    if body.value.len() > FALLBACK_BYTES_MAX {
        return Err(table.error_at(body.position, format!("`body` is longer than {FALLBACK_BYTES_MAX} bytes")));
    }
    let status: Option<Located<u64>> = table.optional("status")?;
    let status = match status {
        None => StatusCode::OK,
        Some(status) => {
            let found = u16::try_from(status.value).ok().and_then(|status| StatusCode::from_u16(status).ok());
            let found = found.filter(|status| status.as_u16() >= 200);
            found.ok_or_else(|| table.error_at(status.position, "`status` is no status; expected 200 to 599"))?
        }
    };
    let mut headers = HeaderMap::new();
    for (name, value) in table.optional::<Table>("headers")?.map(Table::into_entries).unwrap_or_default() {
        let value: Located<String> = value.read()?;
        headers.insert(header_name(&table, &name)?, header_value(&table, &value)?);
    }
    headers.entry(CONTENT_TYPE).or_insert(HeaderValue::from_static("application/json"));
    table.finish()?;
    Ok(Some(Fallback { status, headers, body: body.value.into() }))
}
