//! From the text of `gateway.toml` to a configuration.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Authority;
use http::{HeaderName, HeaderValue, Method, StatusCode, Uri};
use ipnet::IpNet;

use super::Configuration;
use crate::allowed_hosts::is_service_chaining_host;
use crate::config_file::{ConfigError, ConfigFile, Located, Table, Value, suggestion};
use crate::gateway::client::{ForwardedHeader, Proxies};
use crate::gateway::cors::Cors;
use crate::gateway::header_edits::{self, HeaderEdits};
use crate::gateway::policies::{Authentication, Policies, Redirect};
use crate::gateway::rate_limit::{By, Rate, RateLimit, RateLimitSettings};
use crate::gateway::rule::{Matcher, Rule};
use crate::gateway::tokens::{TokenSettings, Tokens, check_jwks};
use crate::manifest::Manifest;
use crate::variables::{Template, Variables};

/// What browsers are told for a day at most, which none of them exceeds.
const MAX_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);
const MAX_AGE: Duration = Duration::from_secs(600);
/// Methods of pages of other origins where nothing else is said.
const CORS_METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE");
/// Claims that have a meaning of their own.
const OWN_CLAIMS: [&str; 7] = ["iss", "aud", "sub", "exp", "nbf", "roles", "scope"];
/// How long a burst may take to be there again.
const BURST_TIME_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const REDIRECTS: [StatusCode; 4] =
    [StatusCode::FOUND, StatusCode::SEE_OTHER, StatusCode::TEMPORARY_REDIRECT, StatusCode::PERMANENT_REDIRECT];
const WINDOWS: [(&str, u64); 4] = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];

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
    let tokens: Option<Table> = root.optional("tokens")?;
    let has_tokens = tokens.is_some();
    let tokens = tokens.map(|table| context.tokens(table)).transpose()?.flatten();
    let tokens = tokens.map(|settings| match former.and_then(|former| former.tokens.as_ref()) {
        Some(former) if *former.settings() == settings => former.clone(),
        _ => Arc::new(Tokens::new(settings)),
    });

    let mut rate_limits = BTreeMap::new();
    for (name, value) in root.optional::<Table>("rate_limits")?.map(Table::into_entries).unwrap_or_default() {
        let settings = rate_limit(&name, value.read()?)?;
        let former = former.and_then(|former| former.rate_limits.get(&name.value));
        let limit = match former {
            Some(former) if *former.settings() == settings => former.clone(),
            _ => Arc::new(RateLimit::new(settings)),
        };
        rate_limits.insert(name.value, limit);
    }

    let mut all = Policies::default();
    if let Some(mut table) = root.optional::<Table>("all")? {
        policies(&mut table, &mut all, &rate_limits, has_tokens)?;
        table.finish()?;
    }
    let mut rules = Vec::new();
    for mut table in root.or_default::<Vec<Table>>("rules")? {
        let matcher = matcher(&mut table)?;
        let mut own = all.clone();
        policies(&mut table, &mut own, &rate_limits, has_tokens)?;
        rules.push(Rule { matcher, policies: own, position: table.position() });
        table.finish()?;
    }
    root.finish()?;
    let has_paths = rules.iter().any(|rule| rule.matcher.path.is_some());
    Ok(Configuration { proxies: Some(proxies), tokens, rate_limits, all, rules, has_paths })
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

    fn tokens(&self, mut table: Table<'_>) -> Result<Option<TokenSettings>, ConfigError> {
        let issuer = self.text(Some(table.required("issuer", "the `iss` of every token")?))?;
        let audience = self.text(Some(table.required("audience", "what the `aud` of every token holds")?))?;
        let (jwks, url): (Option<Value>, Option<Value>) = (table.optional("jwks")?, table.optional("jwks_url")?);
        if jwks.is_none() && url.is_none() {
            return Err(table.error(format!("{table} has no keys; expected `jwks`, `jwks_url` or both")));
        }
        let (jwks, url) = (self.text(jwks)?, self.text(url)?);
        let claims: BTreeMap<String, String> = table.or_default("claims")?;
        if let Some(name) = claims.keys().find(|name| OWN_CLAIMS.contains(&name.as_str())) {
            return Err(table.error(format!("{table} asks for a claim `{name}`, which is looked at in any case")));
        }
        if let Some(jwks) = &jwks {
            check_jwks(jwks).map_err(|problem| table.error_at(jwks.position, problem))?;
        }
        let jwks_url = match url.filter(|url| !url.trim().is_empty()) {
            None => None,
            Some(url) => Some(key_url(&url).map_err(|problem| table.error_at(url.position, problem))?),
        };
        table.finish()?;
        let (Some(issuer), Some(audience)) = (issuer, audience) else { return Ok(None) };
        let jwks = jwks.map(|jwks| jwks.value).unwrap_or_default();
        Ok(Some(TokenSettings { issuer: issuer.value, audience: audience.value, jwks, jwks_url, claims }))
    }
}

fn key_url(text: &str) -> Result<Uri, String> {
    let url: Option<Uri> = text.trim().parse().ok();
    let url = url.filter(|url| matches!(url.scheme_str(), Some("http" | "https")));
    let Some((url, host)) = url.and_then(|url| Some((url.clone(), url.host()?.to_ascii_lowercase()))) else {
        return Err(format!("{text:?} is no URL of http or https"));
    };
    let host = host.trim_matches(['[', ']']);
    let is_here = is_service_chaining_host(host)
        || host == "localhost"
        || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
    match url.scheme_str() == Some("https") || is_here {
        true => Ok(url),
        false => Err(format!("{text:?} has no TLS, and who is on the way could give other keys; expected https")),
    }
}

fn rate_limit(name: &Located<String>, mut table: Table<'_>) -> Result<RateLimitSettings, ConfigError> {
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) {
        let problem = format!(
            "the rate limit {:?} has a name that is no name; expected letters, digits, `_` and `-`",
            name.value
        );
        return Err(table.error_at(name.position, problem));
    }
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
    table.finish()?;
    Ok(RateLimitSettings { name: name.value.clone(), by, rate, tiers })
}

fn parse_rate(text: &str) -> Result<Rate, String> {
    let rate = text.split_once('/').and_then(|(requests, unit)| {
        let requests: NonZeroU32 = requests.trim().parse().ok()?;
        let (_, seconds) = WINDOWS.into_iter().find(|(name, _)| *name == unit.trim())?;
        Some(Rate { requests, window: Duration::from_secs(seconds), burst: requests })
    });
    rate.ok_or(format!("{text:?} is no rate; expected one such as \"50/s\", \"30/m\", \"1000/h\" or \"5000/d\""))
}

/// Reads the keys of a rule by which it finds its requests.
fn matcher(table: &mut Table<'_>) -> Result<Matcher, ConfigError> {
    let path = table.optional::<Value>("path")?;
    let path = path
        .map(|path| path.parse(|text| text.parse().map_err(|error: crate::router::InvalidPattern| error.to_string())));
    let methods = table.optional::<Vec<Value>>("methods")?;
    let methods = methods.map(|methods| methods.into_iter().map(method).collect::<Result<Vec<_>, _>>());
    let host = table.optional::<Value>("host")?.map(|host| {
        host.parse(|text| match text.parse::<Authority>() {
            Ok(authority) if authority.as_str() == authority.host() && !text.ends_with('.') => {
                Ok(text.to_ascii_lowercase())
            }
            _ => Err(format!("{text:?} is no host; expected one such as \"shop.example\", without port")),
        })
    });
    let host = host.transpose()?.map(|host| host.value);
    let mut headers = Vec::new();
    for (name, value) in table.optional::<Table>("headers")?.map(Table::into_entries).unwrap_or_default() {
        let header = header_name(table, &name)?;
        headers.push((header, wanted(value)?.map(|text| header_value(table, &text)).transpose()?));
    }
    let mut query = Vec::new();
    for (name, value) in table.optional::<Table>("query")?.map(Table::into_entries).unwrap_or_default() {
        query.push((name.value, wanted(value)?.map(|text| text.value)));
    }
    let path = path.transpose()?.map(|path| path.value);
    Ok(Matcher { path, methods: methods.transpose()?, host, headers, query })
}

/// `true` for any value, else the value.
fn wanted(value: Value<'_>) -> Result<Option<Located<String>>, ConfigError> {
    if value.is_string() {
        return value.read().map(Some);
    }
    match value.error("expected a text, or `true` for any value") {
        error if !value.read::<bool>()? => Err(error),
        _ => Ok(None),
    }
}

fn method(value: Value<'_>) -> Result<Method, ConfigError> {
    let method = value.parse(|text| {
        let method: Option<Method> = text.parse().ok();
        let is_written = |method: &Method| method.as_str().bytes().all(|b| b.is_ascii_uppercase());
        method.filter(is_written).ok_or(format!("{text:?} is no method; expected one such as \"GET\""))
    })?;
    Ok(method.value)
}

/// Reads the policies that a table names over those that hold already.
fn policies(
    table: &mut Table<'_>,
    policies: &mut Policies,
    limits: &BTreeMap<String, Arc<RateLimit>>,
    has_tokens: bool,
) -> Result<(), ConfigError> {
    let kinds =
        [("off", Authentication::Off), ("optional", Authentication::Optional), ("required", Authentication::Required)];
    if let Some(deny) = table.optional("deny")? {
        policies.deny = deny;
    }
    if let Some(redirect) = table.optional("redirect")? {
        policies.redirect = Some(self::redirect(redirect)?);
    }
    if let Some(bytes) = table.optional("body_bytes_max")? {
        policies.body_bytes_max = Some(bytes);
    }
    if let Some(authentication) = one_of(table, "authentication", &kinds)? {
        policies.authentication = authentication;
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
    if policies.authentication != Authentication::Off && !has_tokens {
        return Err(table.error(format!("{table} asks for tokens, and [tokens] does not say whose count")));
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
    if let Some(value) = table.optional::<Value>("cors")? {
        // `false` where `[all]` has it.
        policies.cors = if value.is_table() { Some(cors(value.read()?)?) } else { no_cors(value)? };
    }
    if let Some(security_headers) = table.optional("security_headers")? {
        policies.security_headers = security_headers;
    }
    if let Some(edits) = table.optional("request_headers")? {
        policies.request_headers = header_edits(edits)?;
    }
    if let Some(edits) = table.optional("response_headers")? {
        policies.response_headers = header_edits(edits)?;
    }
    Ok(())
}

fn redirect(mut table: Table<'_>) -> Result<Redirect, ConfigError> {
    let to: Value = table.required("to", "a URL or path, such as \"https://shop.example{uri}\"")?;
    let to = to.parse(|text| {
        // Whatever is asked for must not be able to choose the host.
        let is_path = |path: &str| path.starts_with('/') && !path.starts_with("//") && !path.starts_with("/\\");
        let host_of = |path: &str| Some(url::Url::parse(&text.replace(Redirect::URI, path)).ok()?.origin());
        let is_web = text.starts_with("http://") || text.starts_with("https://");
        let is_place = match is_web {
            true => host_of("/a").is_some_and(|host| host_of("/b/c").as_ref() == Some(&host) && host.is_tuple()),
            false => is_path(&text.replace(Redirect::URI, "/a")),
        };
        match is_place && HeaderValue::from_str(text).is_ok() {
            true => Ok(text.to_owned()),
            false => Err(format!("{text:?} is neither a path nor a URL of http or https")),
        }
    })?;
    let status: Option<Located<u64>> = table.optional("status")?;
    let status = match status.map(|status| (status.value, status.position)) {
        None => StatusCode::PERMANENT_REDIRECT,
        Some((status, position)) => {
            let known = REDIRECTS.into_iter().find(|known| u64::from(known.as_u16()) == status);
            known.ok_or_else(|| table.error_at(position, "`status` is no redirect; expected 302, 303, 307 or 308"))?
        }
    };
    table.finish()?;
    Ok(Redirect { to: to.value, status })
}

fn no_cors(value: Value<'_>) -> Result<Option<Cors>, ConfigError> {
    match value.error("expected a table, or `false` for none") {
        error if value.read::<bool>()? => Err(error),
        _ => Ok(None),
    }
}

fn cors(mut table: Table<'_>) -> Result<Cors, ConfigError> {
    let origins: Vec<Located<String>> = table.required("origins", "a list such as [\"https://shop.example\"]")?;
    let is_everybody = origins.iter().any(|origin| origin.value == "*");
    let origins = match is_everybody {
        true if origins.len() > 1 => {
            return Err(table.error(format!("{table} names \"*\" and others; expected either")));
        }
        true => None,
        false => Some(origins.iter().map(|origin| self::origin(&table, origin)).collect::<Result<Vec<_>, _>>()?),
    };
    let credentials: Located<bool> =
        table.optional("credentials")?.unwrap_or(Located { value: false, position: table.position() });
    if credentials.value && is_everybody {
        let problem = "everybody's pages would act with the credentials of whoever visits them; name the origins";
        return Err(table.error_at(credentials.position, problem));
    }
    let methods = table.optional::<Vec<Value>>("methods")?;
    let methods = methods.map(|methods| methods.into_iter().map(method).collect::<Result<Vec<_>, _>>()).transpose()?;
    let headers: Vec<Located<String>> = table.or_default("headers")?;
    let exposed: Vec<Located<String>> = table.or_default("exposed_headers")?;
    let names = |table: &Table<'_>, names: Vec<Located<String>>| {
        let names = names.iter().map(|name| header_name(table, name)).collect::<Result<Vec<_>, _>>()?;
        Ok(listed(&names))
    };
    let max_age = table.optional::<Value>("max_age")?;
    let max_age = max_age.map(|value| {
        value.parse(|text| match humantime::parse_duration(text) {
            Ok(duration) if duration <= MAX_AGE_MAX => Ok(duration),
            _ => Err(format!("{text:?} is no duration up to a day; expected one such as \"10m\"")),
        })
    });
    let cors = Cors {
        origins,
        methods: methods.map_or(Some(CORS_METHODS), |methods| listed(&methods)),
        headers: names(&table, headers)?,
        exposed_headers: names(&table, exposed)?,
        credentials: credentials.value,
        max_age: max_age.transpose()?.map_or(MAX_AGE, |age| age.value),
    };
    table.finish()?;
    Ok(cors)
}

/// An origin as browsers write it: scheme, host and port, no more.
fn origin(table: &Table<'_>, text: &Located<String>) -> Result<HeaderValue, ConfigError> {
    let url = url::Url::parse(text).ok();
    let written = url.map(|url| url.origin()).filter(url::Origin::is_tuple).map(|origin| origin.ascii_serialization());
    match written.filter(|written| *written == text.value).and_then(|written| HeaderValue::try_from(written).ok()) {
        Some(origin) => Ok(origin),
        None => {
            let problem = format!(
                "{:?} is no origin; expected scheme, host and port only, such as \"https://shop.example\"",
                text.value
            );
            Err(table.error_at(text.position, problem))
        }
    }
}

/// A list as headers have it; none of nothing.
fn listed<T: ToString>(items: &[T]) -> Option<HeaderValue> {
    let text = items.iter().map(T::to_string).collect::<Vec<_>>().join(", ");
    // Methods and names of headers are valid in headers.
    HeaderValue::try_from(text).ok().filter(|text| !text.is_empty())
}

fn header_edits(mut table: Table<'_>) -> Result<HeaderEdits, ConfigError> {
    let name = |table: &Table<'_>, name: &Located<String>| {
        let header = header_name(table, name)?;
        header_edits::check_name(&header).map_err(|problem| table.error_at(name.position, problem))?;
        Ok(header)
    };
    let remove: Vec<Located<String>> = table.or_default("remove")?;
    let rename = table.optional::<Table>("rename")?.map(Table::into_entries).unwrap_or_default();
    let mut edits = HeaderEdits {
        remove: remove.iter().map(|removed| name(&table, removed)).collect::<Result<_, ConfigError>>()?,
        ..HeaderEdits::default()
    };
    for (from, to) in rename {
        let to: Located<String> = to.read()?;
        edits.rename.push((name(&table, &from)?, name(&table, &to)?));
    }
    for (key, pairs) in [("set", &mut edits.set), ("add", &mut edits.add)] {
        for (header, value) in table.optional::<Table>(key)?.map(Table::into_entries).unwrap_or_default() {
            let value: Located<String> = value.read()?;
            pairs.push((name(&table, &header)?, header_value(&table, &value)?));
        }
    }
    table.finish()?;
    Ok(edits)
}

fn header_name(table: &Table<'_>, name: &Located<String>) -> Result<HeaderName, ConfigError> {
    let problem = |_| table.error_at(name.position, format!("{:?} is no name of a header", name.value));
    name.value.parse().map_err(problem)
}

fn header_value(table: &Table<'_>, value: &Located<String>) -> Result<HeaderValue, ConfigError> {
    let problem = |_| table.error_at(value.position, format!("{:?} is no value of a header", value.value));
    HeaderValue::from_str(value).map_err(problem)
}

/// One of some names, if the key is there.
fn one_of<T: Copy>(table: &mut Table<'_>, key: &'static str, names: &[(&str, T)]) -> Result<Option<T>, ConfigError> {
    let Some(value) = table.optional::<Value>(key)? else { return Ok(None) };
    let found = value.parse(|text| match names.iter().find(|(name, _)| *name == text) {
        Some((_, found)) => Ok(*found),
        None => Err(format!("`{key}` is {text:?}{}", suggestion(text, names.iter().map(|(name, _)| *name)))),
    })?;
    Ok(Some(found.value))
}
