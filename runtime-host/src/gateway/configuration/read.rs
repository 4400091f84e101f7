//! From the text of `gateway.toml` to a configuration.

mod cache;
mod compression;
mod cors;
mod fields;
mod header_edits;
mod json_edits;
mod machines;
mod matcher;
mod rate_limit;
mod redirect;
mod resilience;
mod target;
mod tokens;
mod upstream;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use fields::one_of;

use super::Configuration;
use crate::config_file::{ConfigError, ConfigFile, Located, Table, Value, suggestion};
use crate::gateway::access_log::AccessLog;
use crate::gateway::cache::Cache;
use crate::gateway::client::{ForwardedHeader, Proxies};
use crate::gateway::policies::{Authentication, Policies, Priority};
use crate::gateway::rate_limit::{By, RateLimit};
use crate::gateway::resilience::{Concurrency, ConcurrencySettings, Guard, Guards};
use crate::gateway::rule::{Matcher, Rule};
use crate::gateway::tokens::Tokens;
use crate::gateway::upstream::Upstream;
use crate::manifest::Manifest;
use crate::router::InvalidPattern;
use crate::template::Template;
use crate::variables::Variables;

/// What texts of the file may contain.
struct Context<'c> {
    manifest: &'c Manifest,
    variables: Option<&'c Variables>,
}

/// Reads the whole file.
pub(super) fn configuration(
    file: &ConfigFile,
    manifest: &Manifest,
    variables: Option<&Variables>,
    former: Option<&Configuration>,
) -> Result<Configuration, ConfigError> {
    let context = Context { manifest, variables };
    let mut root = file.root()?;
    let proxies = proxies(&mut root)?;
    let access_log = root.optional::<Table>("access_log")?.map(access_log).transpose()?.unwrap_or_default();
    let tokens: Option<Table> = root.optional("tokens")?;
    let has_tokens = tokens.is_some();
    let tokens = tokens.map(|table| context.tokens(table)).transpose()?.flatten();
    let tokens = tokens.map(|settings| match former.and_then(|former| former.tokens.as_ref()) {
        Some(former) if *former.settings() == settings => former.clone(),
        _ => Arc::new(Tokens::new(settings)),
    });

    let machines =
        root.optional::<Table>("clients")?.map(|table| context.machines(table)).transpose()?.unwrap_or_default();
    let knows_somebody = has_tokens || !machines.is_empty();

    let mut rate_limits = BTreeMap::new();
    for (name, value) in root.optional::<Table>("rate_limits")?.map(Table::into_entries).unwrap_or_default() {
        let settings = rate_limit::rate_limit(&name, value.read()?)?;
        let former = former.and_then(|former| former.rate_limits.get(&name.value));
        let limit = match former {
            Some(former) if *former.settings() == settings => former.clone(),
            _ => Arc::new(RateLimit::new(settings)),
        };
        rate_limits.insert(name.value, limit);
    }

    let (mut upstreams, mut guards) = (BTreeMap::new(), Guards::default());
    for (name, value) in root.optional::<Table>("upstreams")?.map(Table::into_entries).unwrap_or_default() {
        let (settings, breaker) = upstream::upstream(&name, value.read()?)?;
        let guard = former.and_then(|former| former.guards.upstreams.get(&name.value));
        guards.upstreams.insert(name.value.clone(), Guard::new(breaker, guard));
        let upstream = match former.and_then(|former| former.upstreams.get(&name.value)) {
            Some(former) if *former.settings() == settings => former.clone(),
            former => Arc::new(Upstream::new(settings, former.map(|former| &**former))),
        };
        upstreams.insert(name.value, upstream);
    }
    let guard_of = |id: &str| former.and_then(|former| former.guards.components.get(id));
    for component in &manifest.components {
        let id = component.id.clone();
        guards.components.insert(id.clone(), Guard::new(None, guard_of(&id)));
    }
    for (id, value) in root.optional::<Table>("components")?.map(Table::into_entries).unwrap_or_default() {
        let mut table: Table<'_> = value.read()?;
        let id = target::component_id(&table, id, manifest)?;
        let breaker = table.optional::<Table>("breaker")?.map(resilience::breaker).transpose()?;
        table.finish()?;
        guards.have_breakers |= breaker.is_some();
        guards.components.insert(id.clone(), Guard::new(breaker, guard_of(&id)));
    }
    let shedding = root.optional::<Table>("shedding")?.map(|mut table| {
        let value: Value = table.required("concurrency", "how many requests may be under way at once")?;
        let settings = resilience::concurrency(value)?;
        table.finish()?;
        Ok(kept(settings, former.and_then(|former| former.shedding.as_ref())))
    });
    let shedding = shedding.transpose()?;

    let sources = Sources { rate_limits: &rate_limits, knows_somebody, upstreams: &upstreams, manifest };
    let room = cache::settings(root.optional("cache")?)?;
    let mut all = Policies::default();
    if let Some(mut table) = root.optional::<Table>("all")? {
        policies(&mut table, &mut all, &sources, None, former.map(|former| &former.all))?;
        table.finish()?;
    }
    let mut rules = Vec::new();
    for mut table in root.or_default::<Vec<Table>>("rules")? {
        let matcher = matcher::matcher(&mut table)?;
        let mut own = all.clone();
        let same = former.and_then(|former| former.rules.iter().find(|rule| rule.matcher == matcher));
        policies(&mut table, &mut own, &sources, Some(&matcher), same.map(|rule| &rule.policies))?;
        rules.push(Rule { matcher, policies: own, position: table.position() });
        table.finish()?;
    }
    root.finish()?;
    let has_guarded_paths = rules.iter().any(|rule| rule.matcher.path.is_some() && rule.policies.guard());
    let is_cached = all.cache.is_some() || rules.iter().any(|rule| rule.policies.cache.is_some());
    let cache = is_cached.then(|| match former.and_then(|former| former.cache.as_ref()) {
        Some(former) if *former.settings() == room => former.clone(),
        _ => Arc::new(Cache::new(room)),
    });
    Ok(Configuration {
        proxies: Some(proxies),
        access_log,
        tokens,
        machines,
        cache,
        rate_limits,
        upstreams,
        guards,
        shedding,
        all,
        rules,
        has_guarded_paths,
    })
}

/// The limit of before, with what is under way, if it is still the same.
fn kept(settings: ConcurrencySettings, former: Option<&Arc<Concurrency>>) -> Arc<Concurrency> {
    match former {
        Some(former) if *former.settings() == settings => former.clone(),
        _ => Arc::new(Concurrency::new(settings)),
    }
}

/// What the policies of a rule refer to by name.
struct Sources<'s> {
    rate_limits: &'s BTreeMap<String, Arc<RateLimit>>,
    /// Whether there is anybody who could be asked for.
    knows_somebody: bool,
    upstreams: &'s BTreeMap<String, Arc<Upstream>>,
    manifest: &'s Manifest,
}

fn proxies(root: &mut Table<'_>) -> Result<Proxies, ConfigError> {
    let network = |value: Value<'_>| {
        value.parse(|text| {
            let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
            network.map_err(|_| format!("{text:?} is no network; expected one such as \"10.0.0.0/8\" or \"::1\""))
        })
    };
    let trusted = root.or_default::<Vec<Value>>("trusted_proxies")?.into_iter().map(network);
    let trusted = trusted.map(|network| Ok(network?.value)).collect::<Result<_, ConfigError>>()?;
    let names = [("x-forwarded-for", ForwardedHeader::XForwarded), ("forwarded", ForwardedHeader::Forwarded)];
    let header = one_of(root, "forwarded_header", &names)?.unwrap_or_default();
    Ok(Proxies { trusted, header })
}

fn access_log(mut table: Table<'_>) -> Result<AccessLog, ConfigError> {
    let sample: Option<Located<f64>> = table.optional("sample")?;
    if let Some(sample) = sample.as_ref().filter(|sample| !(0.0..=1.0).contains(&sample.value)) {
        return Err(table.error_at(sample.position, "`sample` is out of range; expected 0 to 1"));
    }
    let pattern = |value: Value<'_>| {
        Ok(value.parse(|text| text.parse().map_err(|error: InvalidPattern| error.to_string()))?.value)
    };
    let hidden =
        table.or_default::<Vec<Value>>("hide")?.into_iter().map(pattern).collect::<Result<_, ConfigError>>()?;
    table.finish()?;
    Ok(AccessLog { sample: sample.map_or(1.0, |sample| sample.value), hidden })
}

impl Context<'_> {
    /// The text with the values of the variables in it; `None` as long as there are none.
    fn text(&self, value: Option<Value<'_>>) -> Result<Option<Located<String>>, ConfigError> {
        let Some(value) = value else { return Ok(None) };
        let text = value.parse(|text| {
            let template = Template::parse(text).map_err(|error| error.to_string())?;
            let known = &self.manifest.variables;
            if let Some(unknown) = template.variables().find(|name| !known.contains_key(*name)) {
                let hint = suggestion(unknown, known.keys().map(String::as_str));
                return Err(format!("the application has no variable `{unknown}`{hint}"));
            }
            Ok(self.variables.map(|variables| variables.render(&template)))
        })?;
        Ok(text.value.clone().map(|rendered| text.with(rendered)))
    }
}

/// Reads the policies that a table names over those that hold already. `former` are those of the same rule before.
fn policies(
    table: &mut Table<'_>,
    policies: &mut Policies,
    sources: &Sources<'_>,
    matcher: Option<&Matcher>,
    former: Option<&Policies>,
) -> Result<(), ConfigError> {
    let limits = sources.rate_limits;
    let kinds =
        [("off", Authentication::Off), ("optional", Authentication::Optional), ("required", Authentication::Required)];
    if let Some(deny) = table.optional("deny")? {
        policies.deny = deny;
    }
    if let Some(redirect) = table.optional("redirect")? {
        policies.redirect = Some(redirect::redirect(redirect)?);
    }
    if let Some(bytes) = table.optional("body_bytes_max")? {
        policies.body_bytes_max = Some(bytes);
    }
    if let Some(authentication) = one_of(table, "authentication", &kinds)? {
        policies.authentication = authentication;
    }
    if let Some(identity_headers) = table.optional("identity_headers")? {
        policies.identity_headers = identity_headers;
    }
    if let Some(roles) = table.optional("roles")? {
        policies.roles = roles;
    }
    if let Some(scopes) = table.optional("scopes")? {
        policies.scopes = scopes;
    }
    let asks = !policies.roles.is_empty() || !policies.scopes.is_empty();
    if asks && policies.authentication == Authentication::Off {
        return Err(table.error(format!("{table} asks for roles or scopes of nobody; expected `authentication` too")));
    }
    if policies.authentication != Authentication::Off && !sources.knows_somebody {
        let problem = format!("{table} asks who it is, and neither [tokens] nor [clients] says who counts");
        return Err(table.error(problem));
    }
    if let Some(names) = table.optional::<Vec<Located<String>>>("rate_limits")? {
        let limit = |name: Located<String>| {
            let hint = || suggestion(&name, limits.keys().map(String::as_str));
            let found = limits.get(&name.value).cloned();
            found.ok_or_else(|| {
                table.error_at(name.position, format!("there is no rate limit `{}`{}", name.value, hint()))
            })
        };
        let mut named = names.into_iter().map(limit).collect::<Result<Vec<_>, _>>()?;
        // What all share comes last: a request that is refused anyway is not to use it up.
        named.sort_by_key(|limit| limit.settings().by == By::Everybody);
        policies.rate_limits = named;
    }
    if let Some(value) = table.optional::<Value>("cache")? {
        policies.cache = cache::rule(value)?;
    }
    if let Some(value) = table.optional::<Value>("cors")? {
        policies.cors = cors::cors(value)?;
    }
    if let Some(security_headers) = table.optional("security_headers")? {
        policies.security_headers = security_headers;
    }
    if let Some(edits) = table.optional("request_headers")? {
        policies.request_headers = header_edits::header_edits(edits)?;
    }
    if let Some(edits) = table.optional("response_headers")? {
        policies.response_headers = header_edits::header_edits(edits)?;
    }
    if let Some(value) = table.optional::<Value>("response_json")? {
        policies.response_json = json_edits::json_edits(value)?.map(Arc::new);
    }
    if let Some(value) = table.optional::<Value>("compression")? {
        policies.compression = compression::compression(value)?;
    }
    if let Some(value) = table.optional::<Value>("to")? {
        policies.targets = Some(target::targets(value, sources.manifest, sources.upstreams)?);
    }
    if let Some(value) = table.optional::<Value>("rewrite")? {
        policies.rewrite = Some(target::rewrite(value, matcher)?);
    }
    resilience::timeouts(table, &mut policies.timeouts)?;
    if let Some(value) = table.optional::<Value>("retry")? {
        policies.retry = resilience::retry(value)?;
    }
    let concurrency = table.optional::<Value>("concurrency")?.map(resilience::concurrency).transpose()?;
    // Each rule counts for itself, also one that is limited as all are.
    if let Some(settings) = concurrency.or(policies.concurrency.as_ref().map(|all| *all.settings())) {
        policies.concurrency = Some(kept(settings, former.and_then(|former| former.concurrency.as_ref())));
    }
    let priorities = [("high", Priority::High), ("normal", Priority::Normal), ("low", Priority::Low)];
    if let Some(priority) = one_of(table, "priority", &priorities)? {
        policies.priority = priority;
    }
    if let Some(value) = table.optional::<Value>("fallback")? {
        policies.fallback = resilience::fallback(value)?.map(Arc::new);
    }
    Ok(())
}
