//! The values of application variables, and what each component sees of them.
//!
//! A value comes from `--variable`, else from the providers of the runtime configuration in their order, else
//! from the environment (`SPIN_VARIABLE_<NAME>`) and a `.env` file, else from the manifest's default. That is
//! the order in which Spin asks. Values are read at the start and again for each deployment; a revision keeps those that it was given.

mod sources;

use std::collections::BTreeMap;

pub use sources::{DEFAULT_PREFIX, SourceError, Values, VariableProvider, read_overrides};

use crate::config_file::suggestion;
use crate::manifest::Manifest;
use crate::template::Template;
use sources::Source;

/// All values, resolved.
#[derive(Debug, Clone, Default)]
pub struct Variables {
    application: Values,
    components: BTreeMap<String, Values>,
}

/// Why the variables could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// A source could not be read.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// Variables without a default have no value.
    #[error("no value for {}", advice(missing))]
    Missing {
        /// Their names.
        missing: Vec<String>,
    },
    /// `--variable` names none.
    #[error("--variable {name}: the application has no such variable{}", suggestion(name, known.iter().map(String::as_str)))]
    Unknown {
        /// The name that was given.
        name: String,
        /// The names that the manifest declares.
        known: Vec<String>,
    },
}

fn advice(missing: &[String]) -> String {
    let advise = |name: &String| {
        let key = name.to_ascii_uppercase();
        format!("the required variable `{name}` (set {DEFAULT_PREFIX}_{key} or pass --variable {name}=VALUE)")
    };
    missing.iter().map(advise).collect::<Vec<_>>().join(", ")
}

impl Variables {
    /// Resolves everything, or names all that is missing. What no source gives is `generated`, else the default.
    pub fn resolve(
        manifest: &Manifest,
        overrides: Values,
        providers: &[VariableProvider],
        generated: Values,
        environment: &dyn Fn(&str) -> Option<String>,
    ) -> Result<Self, ResolveError> {
        if let Some(name) = overrides.names().find(|name| !manifest.variables.contains_key(*name)) {
            let known = manifest.variables.keys().cloned().collect();
            return Err(ResolveError::Unknown { name: name.into(), known });
        }
        let mut sources = vec![Source::Values(overrides)];
        for provider in providers {
            sources.push(Source::of_provider(provider, environment)?);
        }
        sources.push(Source::of_process(environment)?);
        sources.push(Source::Values(generated));

        let mut application = Values::default();
        let mut missing = Vec::new();
        for (name, declared) in &manifest.variables {
            let value = sources.iter().find_map(|source| source.get(name));
            match value.or_else(|| declared.default().map(String::from)) {
                Some(value) => _ = application.0.insert(name.clone(), value),
                None => missing.push(name.clone()),
            }
        }
        if !missing.is_empty() {
            return Err(ResolveError::Missing { missing });
        }
        let mut resolved = Self { application, components: BTreeMap::new() };
        for component in &manifest.components {
            let values = component.variables.iter();
            let values = values.map(|(name, template)| (name.clone(), resolved.render(template))).collect();
            resolved.components.insert(component.id.clone(), values);
        }
        Ok(resolved)
    }

    /// The text of a template of the same manifest.
    pub fn render(&self, template: &Template) -> String {
        // The manifest accepts only templates of declared variables, and each of these has a value here.
        template.render(|name| self.application.get(name)).unwrap_or_default()
    }

    /// All that `component` sees; `None` for a component that the manifest does not have.
    pub fn of_component(&self, component: &str) -> Option<&Values> {
        self.components.get(component)
    }
}

#[cfg(test)]
mod tests;
