//! `to` and `rewrite`: who answers a rule's requests, and under which path.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::fields;
use crate::config_file::{ConfigError, Located, Table, Value, suggestion};
use crate::gateway::rule::Matcher;
use crate::gateway::target::{Rewrite, Target, Targets};
use crate::gateway::upstream::Upstream;
use crate::manifest::Manifest;
use crate::router::{InvalidPattern, RoutePattern};

const WEIGHT_MAX: u32 = 1000;

/// Reads `to`: one target, or several with weights.
pub(super) fn targets(
    value: Value<'_>,
    manifest: &Manifest,
    upstreams: &BTreeMap<String, Arc<Upstream>>,
) -> Result<Targets, ConfigError> {
    let tables: Vec<Table<'_>> = if value.is_table() { vec![value.read()?] } else { value.read()? };
    let target = |mut table: Table<'_>| {
        let component: Option<Located<String>> = table.optional("component")?;
        let upstream: Option<Located<String>> = table.optional("upstream")?;
        let target = match (component, upstream) {
            (Some(id), None) => Target::Component(component_id(&table, id, manifest)?),
            (None, Some(name)) => match upstreams.get(&name.value) {
                Some(upstream) => Target::Upstream(upstream.clone()),
                None => {
                    let hint = suggestion(&name, upstreams.keys().map(String::as_str));
                    return Err(table.error_at(name.position, format!("there is no upstream `{}`{hint}", name.value)));
                }
            },
            _ => return Err(table.error(format!("{table} names no target; expected `component` or `upstream`"))),
        };
        let weight = fields::count(&mut table, "weight", WEIGHT_MAX)?.unwrap_or(1);
        table.finish()?;
        Ok((target, weight))
    };
    tables.into_iter().map(target).collect::<Result<_, _>>().map(Targets)
}

/// The id of a component that there is.
pub(super) fn component_id(table: &Table<'_>, id: Located<String>, manifest: &Manifest) -> Result<String, ConfigError> {
    // What only others import answers no requests.
    let served = |id: &str| manifest.triggers.iter().any(|trigger| trigger.runs(id));
    if served(&id) {
        return Ok(id.value);
    }
    let known = manifest.components.iter().map(|component| component.id.as_str()).filter(|id| served(id));
    let hint = suggestion(&id, known);
    Err(table.error_at(id.position, format!("no component `{}` answers requests{hint}", id.value)))
}

/// Reads `rewrite`, which is made of the parts of the rule's path.
pub(super) fn rewrite(value: Value<'_>, matcher: Option<&Matcher>) -> Result<Rewrite, ConfigError> {
    let no_path = value.error("`rewrite` needs a rule with a `path`, whose parts it is made of");
    let from = matcher.and_then(|matcher| matcher.path.clone()).ok_or(no_path)?;
    let to = value.parse(|text| {
        let to: RoutePattern = text.parse().map_err(|error: InvalidPattern| error.to_string())?;
        match to.lacks_in(&from) {
            Some(part) => Err(format!("{text:?} has a part `{part}` that is not in the rule's path `{from}`")),
            None => Ok(to),
        }
    })?;
    Ok(Rewrite { to: to.value, from })
}
