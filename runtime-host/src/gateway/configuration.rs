//! `gateway.toml`: what the edge does with requests.
//!
//! ```toml
//! trusted_proxies = ["10.0.0.0/8"]    # none by default: whose word on where a request comes from is believed
//! forwarded_header = "x-forwarded-for"    # or "forwarded": in which header they say it
//!
//! [tokens]                            # none by default: whose bearer tokens count
//! issuer = "{{ token_issuer }}"
//! audience = "{{ token_audience }}"
//! jwks = "{{ jwks }}"                 # keys that are known from the start, and
//! jwks_url = "{{ jwks_url }}"         # where more are: of a component or anywhere
//! claims = { typ = "access" }         # what a token has to say besides
//!
//! [rate_limits.browsing]
//! by = "address"                      # or "user", "everybody"
//! rate = "50/s"                       # or /m, /h, /d
//! burst = 100                         # by default as many as the rate names
//! tiers = { staff = "500/s" }         # of callers with a role
//!
//! [all]                               # for every request, unless a rule says otherwise
//! security_headers = true
//! rate_limits = ["browsing"]
//!
//! [[rules]]                           # the first that a request fits
//! path = "/api/auth/login"            # as routes are written in `spin.toml`; may be left out, like the others
//! methods = ["POST"]
//! host = "shop.example"
//! headers = { x-kind = "a" }          # `true` for any value
//! query = { preview = true }
//! deny = true                         # answered 403
//! redirect = { to = "https://shop.example{uri}", status = 308 }   # `{uri}`: the path and query; 302, 303, 307 or 308
//! body_bytes_max = 65536              # less than the listener allows
//! authentication = "required"         # or "optional", "off"
//! roles = ["staff", "admin"]          # one of them
//! scopes = ["orders"]                 # all of them
//! rate_limits = ["browsing", "login"]
//! security_headers = true
//! cors = { origins = ["https://shop.example"], methods = ["GET"], headers = [], exposed_headers = [], credentials = false, max_age = "10m" }
//! request_headers = { remove = [], rename = {}, set = {}, add = {} }
//! response_headers = { remove = ["server"] }
//! ```
//!
//! What a rule leaves out is as `[all]` has it.

mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::client::Proxies;
use super::cors::Cors;
use super::policies::Policies;
use super::rate_limit::RateLimit;
use super::rule::Rule;
use super::tokens::Tokens;
use crate::config_file::{ConfigError, ConfigFile, Position};
use crate::manifest::Manifest;
use crate::variables::Variables;

/// The file's name, beside the manifest.
pub const FILE_NAME: &str = "gateway.toml";

/// What the edge does; by default nothing.
#[derive(Default)]
pub struct Configuration {
    /// Whose word is taken; `None` leaves the headers of proxies alone.
    pub(super) proxies: Option<Proxies>,
    pub(super) tokens: Option<Arc<Tokens>>,
    rate_limits: BTreeMap<String, Arc<RateLimit>>,
    all: Policies,
    rules: Vec<Rule>,
    has_paths: bool,
}

impl Configuration {
    /// Reads the file for the application of `manifest`. Without the values of its variables only what needs none is checked.
    ///
    /// What is as it was in the `former` configuration goes on: limits with their counts, tokens with the keys.
    pub fn load(
        path: &Path,
        manifest: &Manifest,
        variables: Option<&Variables>,
        former: Option<&Self>,
    ) -> Result<Self, ConfigError> {
        let file = ConfigFile::read(path)?;
        read::configuration(&file, manifest, variables, former)
    }

    /// What is not wrong but can have no effect: rules that no request reaches.
    pub fn doubts(&self, path: &Path, manifest: &Manifest) -> Vec<ConfigError> {
        let doubt = |position: Position, problem: String| ConfigError::new(path, position, problem);
        let routes: Vec<_> = manifest.triggers.iter().filter_map(|trigger| trigger.route.as_ref()).collect();
        let mut doubts = Vec::new();
        for (place, rule) in self.rules.iter().enumerate() {
            if let Some(earlier) = self.rules[..place].iter().find(|earlier| earlier.matcher.covers(&rule.matcher)) {
                let line = earlier.position.line;
                let problem =
                    format!("no request reaches this rule: the one in line {line} fits all that this one does");
                doubts.push(doubt(rule.position, problem));
            }
            // What the gateway itself answers needs no route.
            let needs_route = !rule.policies.deny && rule.policies.redirect.is_none();
            if let Some(pattern) = rule.matcher.path.as_ref().filter(|_| needs_route)
                && !routes.iter().any(|route| route.value.meets(pattern))
            {
                let problem = format!("no request reaches this rule: `{pattern}` is on no route of the application");
                doubts.push(doubt(rule.position, problem));
            }
        }
        doubts
    }

    /// The first rule that is for this request. A preflight is for the rule of what it asks about, if that one answers
    /// preflights; to all others it is a request like any other, or its client could choose its rule.
    pub(super) fn rule_for(&self, request: &Parts) -> Option<usize> {
        let about = Cors::preflight(&request.method, &request.headers);
        let about: Option<Method> = about.and_then(|method| method.to_str().ok()?.parse().ok());
        let asked = about.and_then(|about| {
            let rule = self.rules.iter().position(|rule| rule.matcher.matches_preflight(request, &about));
            rule.filter(|rule| self.rules[*rule].policies.cors.is_some())
        });
        asked.or_else(|| self.rules.iter().position(|rule| rule.matcher.matches(request)))
    }

    /// What a rule says, or what holds without one.
    pub(super) fn policies(&self, rule: Option<usize>) -> &Policies {
        rule.map_or(&self.all, |rule| &self.rules[rule].policies)
    }

    /// Where a rule begins in the file.
    pub(super) fn line_of(&self, rule: usize) -> usize {
        self.rules[rule].position.line
    }

    /// Whether some rules go by the path of a request.
    pub(super) fn has_paths(&self) -> bool {
        self.has_paths
    }

    /// Rules that there are.
    pub fn rules(&self) -> usize {
        self.rules.len()
    }
}

impl std::fmt::Debug for Configuration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Configuration").field("rules", &self.rules).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
