//! What a manifest declares for a component against what the component makes use of, or a person wants to give it. Pure.

use std::collections::BTreeMap;

use crate::app::configuration::Configuration;
use crate::manifest::{self, Capability, Manifest};

/// What a component makes use of, by what it imports, and is not granted at all: its calls will fail, if it makes any. It is no reason
/// to refuse it, since many a component imports what it never calls.
pub(super) fn undeclared(
    uses: &BTreeMap<Capability, String>,
    component: &manifest::Component,
    configuration: &Configuration,
) -> Vec<String> {
    let missing = |(capability, import): (&Capability, &String)| {
        let (is_declared, key, consequence) = match capability {
            Capability::SqliteDatabases => {
                (!component.sqlite_databases.is_empty(), "sqlite_databases", "it can open no database")
            }
            Capability::KeyValueStores => {
                (!component.key_value_stores.is_empty(), "key_value_stores", "it can open no store")
            }
            Capability::AllowedOutboundHosts => {
                (configuration.allows_hosts(), "allowed_outbound_hosts", "every request that it sends is refused")
            }
            _ => return None,
        };
        (!is_declared).then(|| {
            format!(
                "it imports `{import}`, but [component.{}] declares no `{key}`: {consequence}; declare it, or never mind if \
                 it never calls it",
                component.id
            )
        })
    };
    uses.iter().filter_map(missing).collect()
}

/// Whether a person may give the variable `name` another value for a revision of the component.
pub(super) fn check_override(manifest: &Manifest, component: &manifest::Component, name: &str) -> anyhow::Result<()> {
    let templates = component.variables.values().chain(&component.allowed_outbound_hosts);
    let is_used = templates.into_iter().any(|template| template.variables().any(|used| used == name));
    anyhow::ensure!(is_used, "component `{}` uses no application variable `{name}`", component.id);
    anyhow::ensure!(
        !manifest.variables.get(name).is_some_and(|declared| declared.secret),
        "the variable `{name}` is secret, and no secret is kept with a revision; change it where the application has it from, \
         and deploy again"
    );
    Ok(())
}
