//! `gateway.toml`: what the edge does with requests.
//!
//! ```toml
//! trusted_proxies = ["10.0.0.0/8"]    # none by default: whose word on where a request comes from is believed
//! forwarded_header = "x-forwarded-for"    # or "forwarded": in which header they say it
//!
//! [access_log]                        # for `--log info,access=info`
//! sample = 1.0                        # the part of the requests that have a line; those answered 5xx always have
//! hide = ["/api/auth/reset/:token"]   # paths with secrets, which are shown as written here
//!
//! [tokens]                            # none by default: whose bearer tokens count
//! issuer = "{{ token_issuer }}"
//! audience = "{{ token_audience }}"
//! jwks = "{{ jwks }}"                 # keys that are known from the start, and
//! jwks_url = "{{ jwks_url }}"         # where more are: of a component or anywhere
//! claims = { typ = "access" }         # what a token has to say besides
//!
//! [clients.erp]                       # a machine that shows who it is
//! key_sha256 = "{{ erp_key_sha256 }}" # of what it has in `x-api-key`; or a list, while one replaces another
//! certificate = "CN=erp, O=Shop"      # the subject of its certificate, for which --tls-client-ca vouches
//! roles = ["staff"]
//! scopes = ["orders"]
//!
//! [rate_limits.browsing]
//! by = "address"                      # or "user" (also a client above), "everybody"
//! rate = "50/s"                       # or /m, /h, /d
//! burst = 100                         # by default as many as the rate names
//! tiers = { staff = "500/s" }         # of callers with a role
//! when_out_of_reach = "admit"         # or "refuse": what holds while nothing can be counted; in memory that never happens
//!
//! [upstreams.legacy]                  # services outside of the host that rules may name
//! servers = ["http://10.0.0.5:8080", { url = "http://10.0.0.6:8080", weight = 2 }]
//! dns = "https://shop.internal"       # each address of this name is a server too
//! dns_refresh = "30s"
//! balance = "round-robin"             # or "least-requests", "hash"
//! hash_by = "user"                    # or "address", "path", "header:NAME"
//! sticky_cookie = "legacy"            # brings a client back to its server
//! http2 = false                       # whether servers without TLS speak HTTP/2
//! host = "shop.internal"              # what servers are asked for instead of the client's host
//! connect_timeout = "2s"
//! health_check = { path = "/healthz", every = "5s", timeout = "2s", healthy_after = 2, unhealthy_after = 3 }
//! eject = { failures = 5, for = "10s" }   # in a row; longer each time
//! breaker = { failure_ratio = 0.5, slow = "1s", slow_ratio = 0.5, window = "10s", requests_min = 20, open = "5s", probes = 3 }
//!
//! [components.catalog]
//! breaker = { failure_ratio = 0.5 }
//!
//! [shedding]                          # low priority is turned away first, high priority last
//! concurrency = 200                   # requests under way in all, or { adaptive = true, min = 4, max = 1000 }
//!
//! [cache]                             # what rules with `cache` have room for
//! bytes_max = "64MiB"                 # with all that belongs to the answers; `entry_bytes_max` is at most a quarter of it
//! entry_bytes_max = "1MiB"            # of one answer; larger ones are not stored
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
//! to = { upstream = "legacy" }        # or { component = "catalog" }, or a list of them with `weight`
//! rewrite = "/v2/login/..."           # of the parts of `path`
//! timeout = "10s"                     # until the answer has ended
//! first_byte_timeout = "2s"           # until it begins
//! retry = { retries = 1, statuses = [502, 503, 504], safe = false }   # what may come twice, or with `safe` everything
//! concurrency = 50                    # requests of this rule under way, as in [shedding]
//! priority = "normal"                 # or "high", "low"
//! fallback = { status = 200, headers = {}, body = "[]" }   # of GET and HEAD, for a failure
//! body_bytes_max = 65536              # less than the listener allows
//! authentication = "required"         # or "optional", "off"
//! identity_headers = false            # whether whoever answers is told who asks: `x-user-id` and `x-user-roles`
//! roles = ["staff", "admin"]          # one of them
//! scopes = ["orders"]                 # all of them
//! rate_limits = ["browsing", "login"]
//! security_headers = true
//! cache = true                        # stores what says how long it is fresh; or `false`, or
//! # cache = { ttl = "60s",            # how long answers are fresh that say nothing about it
//! #           stale_while_revalidate = "30s", stale_if_error = "10m",   # also for those that say nothing
//! #           authenticated = true,   # also for requests with a token, as far as answers say that all may have them
//! #           set_cookie = true }     # also answers that set cookies
//! cors = { origins = ["https://shop.example"], methods = ["GET"], headers = [], exposed_headers = [], credentials = false, max_age = "10m" }
//! request_headers = { remove = [], rename = {}, set = {}, add = {} }
//! response_headers = { remove = ["server"] }
//! response_json = { remove = ["/items/*/cost"], rename = { "/items/*/qty" = "quantity" }, bytes_max = 1048576 }   # or false
//! compression = true                  # or { encodings = ["zstd", "br", "gzip"], bytes_min = 1024 }, the most liked first
//! ```
//!
//! What a rule leaves out is as `[all]` has it.

mod read;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use http::Method;
use http::request::Parts;

use super::access_log::AccessLog;
use super::cache::Cache;
use super::client::Proxies;
use super::cors::Cors;
use super::machines::Machines;
use super::policies::Policies;
use super::rate_limit::RateLimit;
use super::resilience::{Concurrency, Guards};
use super::rule::{Asked, Rule};
use super::tokens::Tokens;
use super::upstream::Upstream;
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
    pub(super) access_log: AccessLog,
    pub(super) tokens: Option<Arc<Tokens>>,
    pub(super) machines: Machines,
    /// There if any rule has answers stored.
    pub(super) cache: Option<Arc<Cache>>,
    rate_limits: BTreeMap<String, Arc<RateLimit>>,
    pub(super) upstreams: BTreeMap<String, Arc<Upstream>>,
    /// Of components and upstreams.
    pub(super) guards: Guards,
    /// What all requests share.
    pub(super) shedding: Option<Arc<Concurrency>>,
    all: Policies,
    rules: Vec<Rule>,
    has_guarded_paths: bool,
}

impl Configuration {
    /// Reads the file for the application of `manifest`. Without the values of its variables only what needs none is checked.
    ///
    /// What is as it was in the `former` configuration goes on: limits with their counts, tokens with the keys, the cache with the answers.
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
            // What the gateway itself answers, or has answered elsewhere, needs no route.
            let Policies { deny, redirect, targets, .. } = &rule.policies;
            let needs_route = !deny && redirect.is_none() && targets.is_none();
            let path = rule.policies.rewrite.as_ref().map(|rewrite| &rewrite.to).or(rule.matcher.path.as_ref());
            if let Some(pattern) = path.filter(|_| needs_route)
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
        let asked = Asked::new(request);
        let answers = about.and_then(|about| {
            let rule = self.rules.iter().position(|rule| rule.matcher.matches_preflight(&asked, &about));
            rule.filter(|rule| self.rules[*rule].policies.cors.is_some())
        });
        answers.or_else(|| self.rules.iter().position(|rule| rule.matcher.matches(&asked)))
    }

    /// What a rule says, or what holds without one.
    pub(super) fn policies(&self, rule: Option<usize>) -> &Policies {
        rule.map_or(&self.all, |rule| &self.rules[rule].policies)
    }

    /// Whether nothing but the route decides who answers a request of this rule, and how.
    pub(super) fn is_plain(&self, rule: Option<usize>) -> bool {
        self.policies(rule).is_plain() && self.shedding.is_none() && !self.guards.have_breakers
    }

    /// Where a rule begins in the file.
    pub(super) fn line_of(&self, rule: usize) -> usize {
        self.rules[rule].position.line
    }

    /// Whether rules that keep something from somebody go by the path of a request.
    pub(super) fn has_guarded_paths(&self) -> bool {
        self.has_guarded_paths
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
