//! `[upstreams]`: services outside of the host.

use std::time::Duration;

use super::fields::{self, duration, header_name, header_value, one_of};
use super::resilience;
use crate::config_file::{ConfigError, Located, Table, Value};
use crate::gateway::resilience::BreakerSettings;
use crate::gateway::upstream::{
    Balance, ClientKey, Dns, Ejection, HealthCheck, Origin, ServerSettings, UpstreamSettings,
};

const WEIGHT_MAX: u32 = 1000;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const REFRESH: Duration = Duration::from_secs(30);
/// Look-ups and checks come no more often.
const PERIOD_MIN: Duration = Duration::from_millis(100);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
const EJECTION: Ejection = Ejection { failures: 5, time: Duration::from_secs(10) };
const CHECK_EVERY: Duration = Duration::from_secs(5);
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
const HEALTHY_AFTER: u32 = 2;
const UNHEALTHY_AFTER: u32 = 3;

pub(super) fn upstream(
    name: &Located<String>,
    mut table: Table<'_>,
) -> Result<(UpstreamSettings, Option<BreakerSettings>), ConfigError> {
    fields::name(&table, "upstream", name)?;
    let servers = table.or_default::<Vec<Value>>("servers")?.into_iter().map(server);
    let servers = servers.collect::<Result<Vec<_>, _>>()?;
    let dns = table.optional::<Value>("dns")?.map(|value| value.parse(origin)).transpose()?;
    let refresh = period(&mut table, "dns_refresh")?.unwrap_or(REFRESH);
    let dns = dns.map(|origin| Dns { origin: origin.value, refresh });
    if servers.is_empty() && dns.is_none() {
        return Err(table.error(format!("{table} has no servers; expected `servers`, `dns` or both")));
    }
    let balances =
        [("round-robin", Balance::RoundRobin), ("least-requests", Balance::LeastRequests), ("hash", Balance::Hash)];
    let balance = one_of(&mut table, "balance", &balances)?.unwrap_or_default();
    let key = match table.optional::<Located<String>>("hash_by")? {
        None => ClientKey::default(),
        Some(by) if balance != Balance::Hash => {
            return Err(table.error_at(by.position, "`hash_by` has no meaning without `balance = \"hash\"`"));
        }
        Some(by) => client_key(&table, &by)?,
    };
    let sticky_cookie: Option<Located<String>> = table.optional("sticky_cookie")?;
    if let Some(cookie) = &sticky_cookie {
        fields::name(&table, "cookie", cookie)?;
    }
    let host = table.optional::<Located<String>>("host")?;
    let host = host.map(|host| header_value(&table, &host)).transpose()?;
    let connect_timeout = table.optional::<Value>("connect_timeout")?;
    let connect_timeout = connect_timeout.map(|value| duration(value, DAY, "a day")).transpose()?;
    let health_check = table.optional::<Table>("health_check")?.map(health_check).transpose()?;
    let ejection = table.optional::<Table>("eject")?.map(ejection).transpose()?.unwrap_or(EJECTION);
    let breaker = table.optional::<Table>("breaker")?.map(resilience::breaker).transpose()?;
    let settings = UpstreamSettings {
        name: name.value.clone(),
        servers,
        dns,
        balance,
        key,
        sticky_cookie: sticky_cookie.map(|cookie| cookie.value),
        http2: table.or_default("http2")?,
        host,
        connect_timeout: connect_timeout.unwrap_or(CONNECT_TIMEOUT),
        health_check,
        ejection,
    };
    table.finish()?;
    Ok((settings, breaker))
}

/// A URL, or one with a weight.
fn server(value: Value<'_>) -> Result<ServerSettings, ConfigError> {
    if value.is_string() {
        return Ok(ServerSettings { origin: value.parse(origin)?.value, weight: 1 });
    }
    let mut table: Table<'_> = value.read()?;
    let url: Value = table.required("url", "where the server is, such as \"http://10.0.0.5:8080\"")?;
    let weight = fields::count(&mut table, "weight", WEIGHT_MAX)?.unwrap_or(1);
    let server = ServerSettings { origin: url.parse(origin)?.value, weight };
    table.finish()?;
    Ok(server)
}

fn origin(text: &str) -> Result<Origin, String> {
    let origin = url::Url::parse(text).ok().and_then(|url| {
        let is_origin = matches!(url.scheme(), "http" | "https")
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
            && url.username().is_empty()
            && url.password().is_none();
        let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
        Some(Origin { is_tls: url.scheme() == "https", host, port: url.port_or_known_default()? }).filter(|_| is_origin)
    });
    origin.ok_or_else(|| {
        format!("{text:?} is no server; expected scheme, host and port only, such as \"http://10.0.0.5:8080\"")
    })
}

fn client_key(table: &Table<'_>, by: &Located<String>) -> Result<ClientKey, ConfigError> {
    if let Some(header) = by.value.strip_prefix("header:") {
        return header_name(table, &by.with(header.to_owned())).map(ClientKey::Header);
    }
    match by.value.as_str() {
        "user" => Ok(ClientKey::User),
        "address" => Ok(ClientKey::Address),
        "path" => Ok(ClientKey::Path),
        other => {
            let problem =
                format!("`hash_by` is {other:?}; expected \"user\", \"address\", \"path\" or \"header:NAME\"");
            Err(table.error_at(by.position, problem))
        }
    }
}

/// A duration that something is repeated after.
fn period(table: &mut Table<'_>, key: &'static str) -> Result<Option<Duration>, ConfigError> {
    let Some(value) = table.optional::<Value>(key)? else { return Ok(None) };
    let too_short = value.error(format!("`{key}` is too short; expected 100ms or more"));
    match duration(value, DAY, "a day")? {
        period if period < PERIOD_MIN => Err(too_short),
        period => Ok(Some(period)),
    }
}

fn health_check(mut table: Table<'_>) -> Result<HealthCheck, ConfigError> {
    let path: Value = table.required("path", "what the servers are asked for, such as \"/healthz\"")?;
    let path = path.parse(|text| match text.parse::<http::uri::PathAndQuery>() {
        Ok(path) if text.starts_with('/') => Ok(path.to_string()),
        _ => Err(format!("{text:?} is no path; expected one such as \"/healthz\"")),
    })?;
    let timeout = table.optional::<Value>("timeout")?.map(|value| duration(value, DAY, "a day")).transpose()?;
    let check = HealthCheck {
        path: path.value,
        every: period(&mut table, "every")?.unwrap_or(CHECK_EVERY),
        timeout: timeout.unwrap_or(CHECK_TIMEOUT),
        healthy_after: fields::count(&mut table, "healthy_after", u32::MAX)?.unwrap_or(HEALTHY_AFTER),
        unhealthy_after: fields::count(&mut table, "unhealthy_after", u32::MAX)?.unwrap_or(UNHEALTHY_AFTER),
    };
    table.finish()?;
    Ok(check)
}

fn ejection(mut table: Table<'_>) -> Result<Ejection, ConfigError> {
    let ejection = Ejection {
        failures: fields::count(&mut table, "failures", u32::MAX)?.unwrap_or(EJECTION.failures),
        time: period(&mut table, "for")?.unwrap_or(EJECTION.time),
    };
    table.finish()?;
    Ok(ejection)
}
