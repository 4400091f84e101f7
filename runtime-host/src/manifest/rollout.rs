//! `[component.x.tool.bodega.rollout]`: how a new revision of a component takes over.
//!
//! Everything may be left out; these are the defaults, but for what is marked:
//!
//! ```toml
//! [component.catalog.tool.bodega.rollout]
//! strategy = "rolling"            # or "blue-green", "canary", "shadow"; `bodega deploy --strategy` overrides it
//! steps = [10, 25, 50, 100]       # of a canary: weights in percent, or tables as below
//! duration = "1m"                 # of a step that says nothing else, and of a shadow
//! samples_min = 200               # requests of either revision that a step or shadow needs
//! samples_wait_max = "1h"         # how much longer than `duration` it waits for them until it is stalled
//! sticky = "user"                 # of a canary (`app::shopper`); or "none", { cookie = "cart" }, { header = "x-session" }
//! bake = "5m"                     # of blue-green: how long all traffic is watched before the old one goes
//! gate = "automatic"              # or "manual": a person lets each step go on; a shadow's is "manual" by itself
//! on_restart = "resume"           # or "rollback": what becomes of it when the host stops in between
//! drain = "10m"                   # how long the former revision may finish what it has begun; what is left is cut
//! revisions_kept = 3              # earlier revisions that stay warm for the way back
//! preview_host = "preview.shop.example"       # none by default; where testers with the token meet the new revision
//! webhooks = ["https://hooks.example.com/{{ hook_token }}"]       # none by default; told of every transition
//! smoke = { path = "/api/products", status = 200, body_contains = "items" }     # none by default
//!
//! [component.catalog.tool.bodega.rollout.analysis]    # what each means: `rollout::analysis`
//! false_rollback_percent_max = 0.2
//! settle = "10s"
//! error_percent_increase_min = 0.5
//! latency_percentiles = [50, 95, 99]
//! latency_ratio_min = 1.25
//! trap_percent_max = 0.1
//! memory_growth_bytes_min = 1024
//! memory_peak_ratio_max = 2.0     # no bound by default
//! different_percent_max = 1.0     # no bound by default; of a shadow
//!
//! [component.catalog.tool.bodega.rollout.analysis.counters.declined]      # none by default; of `telemetry::guest_counters`
//! events = "payments_declined_total"
//! of = "payments_total"
//! worse = "higher"                # or "lower"
//! percent_increase_min = 1.0
//! ```
//!
//! A step as a table: `{ weight_percent = 25, duration = "10m", samples_min = 500, gate = "manual" }`.
//! A smoke request has the method GET unless `method` says otherwise, and is answered well by any 2xx unless `status` does.

mod analysis;
mod webhooks;

use std::time::Duration;

use http::uri::Authority;
use http::{Method, StatusCode, Uri};

use super::duration;
use crate::config_file::{ConfigError, FromToml, Located, Table, Value};
use crate::rollout::{Analysis, Gate, OnRestart, Plan, Step, Sticky, Strategy, StrategyName, check_steps};
use crate::template::Template;

pub(super) use webhooks::{NO_WEBHOOK, webhook_uri};

/// How many earlier revisions may be kept warm: each has its code in memory, and no instances.
const REVISIONS_KEPT_MAX: u64 = 32;
const REVISIONS_KEPT: usize = 3;
/// How long a former revision may finish what it has begun, as Envoy's `--drain-time-s`. An answer without end would keep its
/// instances for ever.
const DRAIN: Duration = Duration::from_secs(600);

/// How a new revision takes over. It has the settings of every strategy, since a deployment may choose another.
#[derive(Debug, Clone, PartialEq)]
pub struct RolloutSettings {
    /// What a deployment does that names no strategy.
    pub strategy: StrategyName,
    /// Of a canary.
    pub steps: Vec<Step>,
    /// Of a canary.
    pub sticky: Sticky,
    /// Of a shadow.
    pub duration_ms: u64,
    /// Of a shadow.
    pub samples_min: u64,
    /// Of blue-green.
    pub bake_ms: u64,
    /// Who lets a rollout go on; `None` is the strategy's default.
    pub gate: Option<Gate>,
    /// What becomes of a rollout when the host stops in the middle of it.
    pub on_restart: OnRestart,
    /// How much longer than its duration a step waits for its samples.
    pub samples_wait_max_ms: u64,
    /// What makes a revision worse.
    pub analysis: Analysis,
    /// What a revision has to answer before it gets traffic.
    pub smoke: Option<Smoke>,
    /// The host, in lower case, at which testers are answered by a revision that is rolled out.
    pub preview_host: Option<Located<String>>,
    /// URLs that are told of every transition, which may contain application variables.
    pub webhooks: Vec<Located<Template>>,
    /// How long the former revision may finish what it has begun.
    pub drain: Duration,
    /// Earlier revisions that stay warm for the way back.
    pub revisions_kept: usize,
}

/// A request that a new revision has to answer as expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Smoke {
    /// With its query, if it has one. It need not be on a route.
    pub path: String,
    /// GET unless something else is configured.
    pub method: Method,
    /// The status that is expected; `None` is any 2xx.
    pub status: Option<StatusCode>,
    /// Text that has to be in the body.
    pub body_contains: Option<String>,
}

impl RolloutSettings {
    /// What is in force for a deployment by `strategy`, or by the configured one.
    pub fn plan(&self, strategy: Option<StrategyName>) -> Plan {
        let strategy = match strategy.unwrap_or(self.strategy) {
            StrategyName::Rolling => Strategy::Rolling,
            StrategyName::BlueGreen => Strategy::BlueGreen { bake_ms: self.bake_ms },
            StrategyName::Canary => Strategy::Canary { steps: self.steps.clone(), sticky: self.sticky.clone() },
            StrategyName::Shadow => Strategy::Shadow { duration_ms: self.duration_ms, samples_min: self.samples_min },
        };
        let plan = Plan::new(strategy);
        Plan {
            analysis: self.analysis.clone(),
            gate: self.gate.unwrap_or(plan.gate),
            on_restart: self.on_restart,
            samples_wait_max_ms: self.samples_wait_max_ms,
            ..plan
        }
    }
}

impl Default for RolloutSettings {
    fn default() -> Self {
        Self {
            strategy: StrategyName::default(),
            steps: Step::WEIGHTS_PERCENT.map(Step::new).to_vec(),
            sticky: Sticky::default(),
            duration_ms: Step::DURATION_MS,
            samples_min: Step::SAMPLES_MIN,
            bake_ms: Strategy::BAKE_MS,
            gate: None,
            on_restart: OnRestart::default(),
            samples_wait_max_ms: Plan::SAMPLES_WAIT_MAX_MS,
            analysis: Analysis::default(),
            smoke: None,
            preview_host: None,
            webhooks: Vec::new(),
            drain: DRAIN,
            revisions_kept: REVISIONS_KEPT,
        }
    }
}

impl<'f> FromToml<'f> for RolloutSettings {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let default = Self::default();
        let duration_ms = duration_ms(&mut table, "duration")?.unwrap_or(default.duration_ms);
        let samples_min = within(&mut table, "samples_min", 1, u64::MAX)?.unwrap_or(default.samples_min);
        let settings = Self {
            strategy: word(&mut table, "strategy", str::parse)?.unwrap_or_default(),
            steps: read_steps(&mut table, duration_ms, samples_min)?,
            sticky: table.optional("sticky")?.map(read_sticky).transpose()?.unwrap_or_default(),
            duration_ms,
            samples_min,
            bake_ms: self::duration_ms(&mut table, "bake")?.unwrap_or(default.bake_ms),
            gate: word(&mut table, "gate", parse_gate)?,
            on_restart: word(&mut table, "on_restart", parse_on_restart)?.unwrap_or_default(),
            samples_wait_max_ms: self::duration_ms(&mut table, "samples_wait_max")?
                .unwrap_or(default.samples_wait_max_ms),
            analysis: table.optional("analysis")?.map(analysis::read).transpose()?.unwrap_or_default(),
            smoke: table.optional("smoke")?,
            preview_host: table.optional::<Value>("preview_host")?.map(|host| host.parse(parse_host)).transpose()?,
            webhooks: webhooks::read(&mut table)?,
            drain: self::duration_ms(&mut table, "drain")?.map_or(default.drain, Duration::from_millis),
            revisions_kept: within(&mut table, "revisions_kept", 1, REVISIONS_KEPT_MAX)?
                .map_or(default.revisions_kept, |kept| kept as usize),
        };
        table.finish()?;
        Ok(settings)
    }
}

impl<'f> FromToml<'f> for Smoke {
    fn from_toml(value: Value<'f>) -> Result<Self, ConfigError> {
        let mut table: Table = value.read()?;
        let path: Value = table.required("path", "a path of the component")?;
        let smoke = Self {
            path: path.parse(parse_path)?.value,
            method: word(&mut table, "method", parse_method)?.unwrap_or_default(),
            // A u16 fits what is within the bounds of a status.
            status: within(&mut table, "status", 200, 599)?.and_then(|status| StatusCode::from_u16(status as u16).ok()),
            body_contains: table.optional("body_contains")?,
        };
        table.finish()?;
        Ok(smoke)
    }
}

/// The weights of a canary, or its defaults with the table's duration and samples.
fn read_steps(table: &mut Table<'_>, duration_ms: u64, samples_min: u64) -> Result<Vec<Step>, ConfigError> {
    let default = |weight_percent| Step { weight_percent, duration_ms, samples_min, gate: None };
    let Some(list) = table.optional::<Located<Vec<Value>>>("steps")? else {
        return Ok(Step::WEIGHTS_PERCENT.map(default).to_vec());
    };
    let read = |value: Value<'_>| {
        if !value.is_table() {
            let weight: Located<u64> = value.read()?;
            return Ok(default(u8::try_from(weight.value).unwrap_or(u8::MAX)));
        }
        let mut table: Table = value.read()?;
        let weight: u64 = table.required("weight_percent", "a whole number from 1 to 100")?;
        let step = Step {
            weight_percent: u8::try_from(weight).unwrap_or(u8::MAX),
            duration_ms: self::duration_ms(&mut table, "duration")?.unwrap_or(duration_ms),
            samples_min: within(&mut table, "samples_min", 1, u64::MAX)?.unwrap_or(samples_min),
            gate: word(&mut table, "gate", parse_gate)?,
        };
        table.finish()?;
        Ok(step)
    };
    let steps: Vec<Step> = list.value.into_iter().map(read).collect::<Result<_, ConfigError>>()?;
    check_steps(&steps).map_err(|problem| table.error_at(list.position, problem))?;
    Ok(steps)
}

fn read_sticky(value: Value<'_>) -> Result<Sticky, ConfigError> {
    if !value.is_table() {
        let sticky = value.parse(|name| match name {
            "user" => Ok(Sticky::User),
            "none" => Ok(Sticky::None),
            _ => Err(format!(
                "unknown key of shoppers {name:?}; expected \"user\", \"none\", {{ cookie = \"name\" }} or {{ header = \"name\" }}"
            )),
        })?;
        return Ok(sticky.value);
    }
    let mut table: Table = value.read()?;
    let cookie = word(&mut table, "cookie", parse_token)?;
    let header = word(&mut table, "header", parse_token)?;
    let sticky = match (cookie, header) {
        (Some(name), None) => Sticky::Cookie(name),
        (None, Some(name)) => Sticky::Header(name.to_ascii_lowercase()),
        _ => return Err(table.error(format!("expected either `cookie` or `header` in {table}"))),
    };
    table.finish()?;
    Ok(sticky)
}

/// Without a port, which is the listener's.
fn parse_host(text: &str) -> Result<String, String> {
    match text.parse::<Authority>() {
        Ok(authority) if authority.host() == text => Ok(text.to_ascii_lowercase()),
        _ => Err(format!("{text:?} is not the name of a host; expected one such as \"preview.shop.example\"")),
    }
}

fn parse_gate(word: &str) -> Result<Gate, String> {
    match word {
        "automatic" => Ok(Gate::Automatic),
        "manual" => Ok(Gate::Manual),
        _ => Err(format!("unknown gate `{word}`; expected `automatic` or `manual`")),
    }
}

fn parse_on_restart(word: &str) -> Result<OnRestart, String> {
    match word {
        "resume" => Ok(OnRestart::Resume),
        "rollback" => Ok(OnRestart::Rollback),
        _ => Err(format!("unknown reaction to a restart `{word}`; expected `resume` or `rollback`")),
    }
}

fn parse_method(text: &str) -> Result<Method, String> {
    text.parse().map_err(|_| format!("{text:?} is no method; expected one such as \"GET\""))
}

fn parse_path(text: &str) -> Result<String, String> {
    match text.starts_with('/') && text.parse::<Uri>().is_ok() {
        true => Ok(text.to_owned()),
        false => Err(format!("{text:?} is not a path; expected one such as \"/api/products\"")),
    }
}

/// The names of cookies and of headers are made of the same characters.
fn parse_token(text: &str) -> Result<String, String> {
    match text.parse::<http::HeaderName>() {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("{text:?} is not the name of a cookie or a header")),
    }
}

fn word<T>(
    table: &mut Table<'_>,
    key: &'static str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Result<Option<T>, ConfigError> {
    let value = table.optional::<Value>(key)?;
    Ok(value.map(|value| value.parse(parse)).transpose()?.map(|word| word.value))
}

fn duration_ms(table: &mut Table<'_>, key: &'static str) -> Result<Option<u64>, ConfigError> {
    let duration = word(table, key, |text| duration::parse(text, Duration::ZERO..=duration::LONGEST))?;
    // What is within the bounds fits.
    Ok(duration.map(|duration| duration.as_millis() as u64))
}

fn within(table: &mut Table<'_>, key: &'static str, least: u64, most: u64) -> Result<Option<u64>, ConfigError> {
    let value: Option<Located<u64>> = table.optional(key)?;
    if let Some(value) = value.as_ref().filter(|value| !(least..=most).contains(&value.value)) {
        let expected = if most == u64::MAX { format!("at least {least}") } else { format!("{least} to {most}") };
        return Err(table.error_at(value.position, format!("`{key}` is {}; expected {expected}", value.value)));
    }
    Ok(value.map(|value| value.value))
}

#[cfg(test)]
mod tests;
