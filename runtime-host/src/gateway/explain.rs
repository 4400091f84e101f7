//! What would be done with a request, in words: for `bodega route`.

use http::Method;
use http::header::AUTHORIZATION;
use http::request::Parts;

use super::cache::CacheRule;
use super::configuration::Configuration;
use super::policies::{Authentication, Policies, Timeouts};
use super::rate_limit::{By, RateLimit};
use super::target::Target;

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onward {
    /// The path that is asked for instead.
    pub path: Option<String>,
    /// Whether the rule says who answers, and not the route.
    pub is_elsewhere: bool,
}

impl Configuration {
    /// Where such a request goes, as far as its rule says.
    pub fn onward(&self, request: &Parts) -> Onward {
        let policies = self.policies(self.rule_for(request));
        let path = policies.rewrite.as_ref().and_then(|rewrite| rewrite.apply(&request.uri));
        let is_answered = policies.deny || policies.redirect.is_some();
        Onward { path: path.map(|uri| uri.path().to_owned()), is_elsewhere: is_answered || policies.targets.is_some() }
    }

    /// One line for each thing that is done with such a request, and why.
    pub fn explain(&self, request: &Parts) -> Vec<String> {
        let rule = self.rule_for(request);
        let mut lines = vec![match rule {
            Some(place) => format!("rule {} (line {})", place + 1, self.line_of(place)),
            None if self.rules() == 0 => "no rule: there are none".to_owned(),
            None => format!("no rule: none of {} fits", self.rules()),
        }];
        let policies = self.policies(rule);
        if policies.deny {
            lines.push("deny: the answer is 403".to_owned());
        }
        if let Some(redirect) = &policies.redirect {
            lines.push(format!("redirect: {} to {}", redirect.status.as_u16(), redirect.to));
        }
        lines.extend(policies.body_bytes_max.map(|bytes| format!("body: at most {bytes} bytes")));
        lines.extend(authentication(policies));
        lines.extend(policies.cache.as_ref().map(|rule| cached(rule, request)));
        lines.extend(policies.rate_limits.iter().map(|limit| rate_limit(limit)));
        if let Some(cors) = &policies.cors {
            let origins = cors.origins.as_ref().map(|origins| {
                let origins = origins.iter().map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
                origins.collect::<Vec<_>>().join(", ")
            });
            lines.push(format!("cors: pages of {}", origins.as_deref().unwrap_or("everybody")));
        }
        lines.extend(self.forwarding(policies));
        let edits = [
            ("request headers are changed", policies.request_headers != Default::default()),
            ("response headers are changed", policies.response_headers != Default::default()),
            ("security headers", policies.security_headers),
        ];
        lines.extend(edits.into_iter().filter(|(_, is_on)| *is_on).map(|(line, _)| line.to_owned()));
        lines.extend(policies.response_json.iter().flat_map(|edits| edits.explain()));
        lines.extend(policies.compression.as_ref().map(|compression| {
            let names = compression.encodings.iter().map(|encoding| encoding.name()).collect::<Vec<_>>().join(", ");
            let accepted = compression.wish(&request.method, &request.headers).encoding();
            let accepted = accepted
                .map_or("none of which it accepts".to_owned(), |encoding| format!("{} for it", encoding.name()));
            format!("compression: {names} from {} bytes; {accepted}", compression.bytes_min)
        }));
        lines
    }
}

impl Configuration {
    /// How the request is answered, where that is not left to the route.
    fn forwarding(&self, policies: &Policies) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(targets) = &policies.targets {
            let total: u32 = targets.0.iter().map(|(_, weight)| weight).sum();
            let target = |(target, weight): &(Target, u32)| match targets.0.len() {
                1 => target.to_string(),
                _ => format!("{target} ({weight} of {total})"),
            };
            lines.push(format!("to: {}", targets.0.iter().map(target).collect::<Vec<_>>().join(", ")));
        }
        lines.extend(policies.rewrite.as_ref().map(|rewrite| format!("rewrite: {} to {}", rewrite.from, rewrite.to)));
        let text = |duration| humantime::format_duration(duration).to_string();
        let Timeouts { first_byte, total } = policies.timeouts;
        lines.extend(first_byte.map(|limit| format!("timeout: {} until the answer begins", text(limit))));
        lines.extend(total.map(|limit| format!("timeout: {} until the answer has ended", text(limit))));
        lines.extend(policies.retry.as_ref().map(|retry| {
            let statuses = retry.statuses.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", ");
            format!("retry: {} times, after {statuses}", retry.retries)
        }));
        lines.extend(policies.concurrency.as_ref().map(|own| format!("concurrency: {}", own.settings())));
        if let Some(all) = &self.shedding {
            let part = policies.priority.part() * 100.0;
            lines.push(
                format!("priority: {:?}, {part} % of {} in all", policies.priority, all.settings()).to_lowercase(),
            );
        }
        lines.extend(policies.fallback.as_ref().map(|fallback| format!("fallback: {}", fallback.status.as_u16())));
        lines
    }
}

fn authentication(policies: &Policies) -> Option<String> {
    let mut line = match policies.authentication {
        Authentication::Off => return None,
        Authentication::Optional => "authentication: optional".to_owned(),
        Authentication::Required => "authentication: required".to_owned(),
    };
    if !policies.roles.is_empty() {
        line.push_str(&format!(", one of the roles {}", policies.roles.join(", ")));
    }
    if !policies.scopes.is_empty() {
        line.push_str(&format!(", the scopes {}", policies.scopes.join(", ")));
    }
    Some(line)
}

fn cached(rule: &CacheRule, request: &Parts) -> String {
    if !matches!(request.method, Method::GET | Method::HEAD) {
        return "cache: passed by; what is stored of this URL is dropped, unless the method is safe".to_owned();
    }
    if request.headers.contains_key(AUTHORIZATION) && !rule.authenticated {
        return "cache: passed by, as the request says who asks".to_owned();
    }
    let time = |duration| humantime::format_duration(duration);
    let mut line = "cache: answers that say how long they are fresh".to_owned();
    let times = [
        (", others for ", rule.ttl),
        ("; stale while it is asked again for ", rule.stale_while_revalidate),
        ("; stale where the service fails for ", rule.stale_if_error),
    ];
    for (what, duration) in times {
        line.extend(duration.map(|duration| format!("{what}{}", time(duration))));
    }
    let flags = [
        (rule.authenticated, "; also with a token, if the answer says that all may have it"),
        (rule.set_cookie, "; also if it sets cookies"),
    ];
    line.extend(flags.into_iter().filter(|(is_on, _)| *is_on).map(|(_, what)| what));
    line
}

fn rate_limit(limit: &RateLimit) -> String {
    let settings = limit.settings();
    let by = match settings.by {
        By::Address => "address",
        By::User => "user",
        By::Everybody => "everybody together",
    };
    let (rate, window) = (settings.rate, settings.rate.window.as_secs());
    format!("rate limit {}: {} in {window} s, {} at once, by {by}", settings.name, rate.requests, rate.burst)
}
