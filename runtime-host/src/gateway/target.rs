//! Who answers the requests of a rule, where that is not what the route says; and under which path it is asked.

use std::sync::Arc;

use http::Uri;
use http::uri::PathAndQuery;

use super::rule::path_for;
use super::upstream::Upstream;
use crate::router::RoutePattern;

/// Who answers.
#[derive(Clone)]
pub enum Target {
    /// The component with this id.
    Component(String),
    /// Services outside of the host.
    Upstream(Arc<Upstream>),
}

/// Some that share the requests by weight; whoever asks stays with one of them.
#[derive(Clone, Debug)]
pub(super) struct Targets(pub(super) Vec<(Target, u32)>);

impl Targets {
    /// The one for who has this key.
    pub(super) fn choose(&self, key: u64) -> Option<&Target> {
        let total: u64 = self.0.iter().map(|(_, weight)| u64::from(*weight)).sum();
        let point = (u128::from(key) * u128::from(total)) >> 64;
        let mut end = 0;
        let found = self.0.iter().find(|(_, weight)| {
            end += u128::from(*weight);
            point < end
        });
        found.map(|(target, _)| target)
    }
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Component(id) => write!(f, "component {id}"),
            Self::Upstream(upstream) => write!(f, "upstream {}", upstream.name()),
        }
    }
}

/// Another path for the requests of a rule.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Rewrite {
    /// The rule's own, whose parts `to` names.
    pub(super) from: RoutePattern,
    pub(super) to: RoutePattern,
}

impl Rewrite {
    /// The URI with the other path; its query stays.
    pub(super) fn apply(&self, uri: &Uri) -> Option<Uri> {
        let path = self.from.rewrite(&path_for(&self.from, uri.path())?, &self.to)?;
        let path_and_query = match uri.query() {
            Some(query) => format!("{path}?{query}"),
            None => path,
        };
        let mut parts = uri.clone().into_parts();
        parts.path_and_query = Some(PathAndQuery::try_from(path_and_query).ok()?);
        Uri::from_parts(parts).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_share_the_keys_by_weight() {
        let component = |id: &str| Target::Component(id.to_owned());
        let targets = Targets(vec![(component("new"), 10), (component("old"), 90)]);
        let chosen = |key: u64| targets.choose(key).unwrap().to_string();
        assert_eq!(chosen(0), "component new");
        assert_eq!(chosen(u64::MAX / 10 - 1), "component new");
        assert_eq!(chosen(u64::MAX / 10 + 10), "component old");
        assert_eq!(chosen(u64::MAX), "component old");
    }

    #[test]
    fn a_path_is_rewritten_by_its_parts_and_keeps_its_query() {
        let rewritten = |from: &str, to: &str, uri: &str| {
            let rewrite = Rewrite { from: from.parse().unwrap(), to: to.parse().unwrap() };
            rewrite.apply(&uri.parse().unwrap()).map(|uri| uri.to_string())
        };
        assert_eq!(rewritten("/api/:id", "/v2/items/:id", "/api/7?a=%20b").as_deref(), Some("/v2/items/7?a=%20b"));
        assert_eq!(rewritten("/old/...", "/...", "/old/a/b/").as_deref(), Some("/a/b/"));
        assert_eq!(rewritten("/old/...", "/...", "/old").as_deref(), Some("/"));
        assert_eq!(
            rewritten("/old/...", "/new/...", "http://shop.example/old").as_deref(),
            Some("http://shop.example/new")
        );
        assert_eq!(rewritten("/:a/:b", "/:b/:a/x", "/%C3%A9/2").as_deref(), Some("/2/%C3%A9/x"));
        assert_eq!(rewritten("/api/:id", "/v2/:id", "/%61pi/a%20b").as_deref(), Some("/v2/a%20b"));
    }
}
