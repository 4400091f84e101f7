//! What would be done with a request, in words: for `bodega route`.

use http::request::Parts;

use super::configuration::Configuration;
use super::policies::{Authentication, Policies};
use super::rate_limit::{By, RateLimit};

impl Configuration {
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
        lines.extend(policies.rate_limits.iter().map(|limit| rate_limit(limit)));
        if let Some(cors) = &policies.cors {
            let origins = cors.origins.as_ref().map(|origins| {
                let origins = origins.iter().map(|origin| String::from_utf8_lossy(origin.as_bytes()).into_owned());
                origins.collect::<Vec<_>>().join(", ")
            });
            lines.push(format!("cors: pages of {}", origins.as_deref().unwrap_or("everybody")));
        }
        let edits = [
            ("request headers are changed", policies.request_headers != Default::default()),
            ("response headers are changed", policies.response_headers != Default::default()),
            ("security headers", policies.security_headers),
        ];
        lines.extend(edits.into_iter().filter(|(_, is_on)| *is_on).map(|(line, _)| line.to_owned()));
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
