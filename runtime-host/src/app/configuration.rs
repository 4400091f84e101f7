//! What a revision is given besides its stores: environment, variables, allowed hosts and files, by the manifest and its sources.
//!
//! A revision keeps what it was given when it was deployed. The registry has it as a text, the record, in which a secret is only its
//! seal: a keyed digest, by which a change is seen and nothing is revealed. So a return to a former revision has its secrets as long as
//! this process still knows them, else the values that they have by now.

mod record;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;

use self::record::{HOSTS, Record, Sealed};
use super::files::{Files, Folder};
use crate::allowed_hosts::AllowedHosts;
use crate::manifest::{self, Manifest};
use crate::registry::Digest;
use crate::state_dir::StateDir;
use crate::template::Template;
use crate::variables::{Values, Variables};

/// What components are given, by their ids.
pub(super) type Configurations = BTreeMap<String, Arc<Configuration>>;

/// Reads the manifest and what its variables' values come from as they are now; these values take the place of those of the same names.
pub type Sources = dyn Fn(&Values) -> anyhow::Result<(Manifest, Variables)> + Send + Sync;

/// What one revision of a component is given.
#[derive(Debug, Clone, Default)]
pub(super) struct Configuration {
    pub(super) environment: BTreeMap<String, String>,
    variables: BTreeMap<String, Given>,
    /// Entries of `allowed_outbound_hosts`.
    hosts: Vec<Given>,
    files: Option<Arc<Folder>>,
    record: Record,
}

/// A value. It may be secret, so that `Debug` shows none.
#[derive(Clone, PartialEq, Eq)]
struct Given {
    value: String,
    is_secret: bool,
}

impl std::fmt::Debug for Given {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("..")
    }
}

/// What a revision was given, as far as it is known.
pub(super) struct Restored {
    pub(super) configuration: Configuration,
    /// The secret variables, and `allowed hosts`, that have the values of now, as those of then are not known any more.
    pub(super) renewed: Vec<String>,
}

impl Restored {
    /// What is not as it was, for people.
    pub(super) fn warning(&self) -> Vec<String> {
        let renewed = self.renewed.join(", ");
        let warning = || format!("secrets are not kept, and these have changed since: {renewed}; it has those of now");
        (!self.renewed.is_empty()).then(warning).into_iter().collect()
    }

    /// Says in the log what is not as it was.
    pub(super) fn warn(&self, component: &str, revision: u32) {
        for warning in self.warning() {
            tracing::warn!(component, revision, "a former revision: {warning}");
        }
    }
}

/// Makes configurations.
pub(super) struct Configurer {
    pub(super) files: Files,
    seal_key: String,
}

impl Configurer {
    /// With the folders of files in the state folder, and the key for seals.
    pub(super) fn new(state: &StateDir, seal_key: String) -> Self {
        Self { files: Files::new(state.path(), state.guest_files()), seal_key }
    }

    /// What the manifest and its variables give a component now.
    pub(super) fn read(
        &self,
        manifest: &Manifest,
        component: &manifest::Component,
        variables: &Variables,
    ) -> anyhow::Result<Configuration> {
        let is_secret = |template: &Template| {
            template.variables().any(|name| manifest.variables.get(name).is_some_and(|declared| declared.secret))
        };
        let given =
            |template: &Template, value: &str| Given { value: value.to_owned(), is_secret: is_secret(template) };
        let values = variables.of_component(&component.id);
        let hosts = manifest.allowed_hosts(component, |template| variables.render(template))?;
        let files = match component.files.is_empty() {
            true => None,
            false => Some(self.files.lay_out(&manifest.files_of(component)?, manifest.folder())?),
        };
        let values = component.variables.iter().map(|(name, template)| {
            let value = values.and_then(|values| values.get(name)).unwrap_or_default();
            (name.clone(), given(template, value))
        });
        let hosts = component.allowed_outbound_hosts.iter().zip(&hosts);
        Ok(self.sealed(Configuration {
            environment: component.environment.clone(),
            variables: values.collect(),
            hosts: hosts.map(|(template, entry)| given(template, entry)).collect(),
            files,
            record: Record::default(),
        }))
    }

    /// What a revision was given, by its record. Its secrets are looked for among those of `known`; those that are not there have the
    /// values that they have in `now`.
    pub(super) fn restore<'a>(
        &self,
        record: &str,
        known: impl IntoIterator<Item = &'a Configuration>,
        now: &'a Configuration,
    ) -> anyhow::Result<Restored> {
        if record.is_empty() {
            // An earlier version of the host has not recorded it.
            return Ok(Restored { configuration: now.clone(), renewed: Vec::new() });
        }
        let record: Record = serde_json::from_str(record).context("the record of a revision is not understood")?;
        let known = known.into_iter().chain([now]);
        let secrets: BTreeMap<String, &Given> = known.flat_map(|known| self.secrets(known)).collect();
        let mut renewed = Vec::new();
        let mut variables = BTreeMap::new();
        for (name, sealed) in &record.variables {
            let given = match sealed {
                Sealed::Open(value) => Given { value: value.clone(), is_secret: false },
                Sealed::Seal(seal) => match (secrets.get(seal), now.variables.get(name)) {
                    (Some(given), _) => (*given).clone(),
                    (None, Some(given)) => {
                        // What is sealed stays so, whatever the manifest says by now.
                        let given = Given { is_secret: true, ..given.clone() };
                        if self.seal(name, &given.value) != *seal {
                            renewed.push(name.clone());
                        }
                        given
                    }
                    (None, None) => anyhow::bail!(
                        "it needs the secret variable `{name}`, whose value is not kept and which the manifest does not have any more"
                    ),
                },
            };
            variables.insert(name.clone(), given);
        }
        let mut hosts = Vec::new();
        for sealed in &record.hosts {
            let given = match sealed {
                Sealed::Open(entry) => Some(Given { value: entry.clone(), is_secret: false }),
                Sealed::Seal(seal) => secrets.get(seal).map(|given| (*given).clone()),
            };
            hosts.push(given);
        }
        if hosts.contains(&None) {
            renewed.push(HOSTS.to_owned());
            // Nothing tells which one of now stands for which one of then.
            let of_now = now.hosts.iter().filter(|given| given.is_secret).cloned().map(Some);
            let others: Vec<_> = of_now.filter(|given| !hosts.contains(given)).collect();
            hosts.extend(others);
        }
        let hosts: Vec<Given> = hosts.into_iter().flatten().collect();
        let files = record.files.map(|digest| self.files.find(&digest.parse()?).map_err(anyhow::Error::from));
        let configuration = Configuration {
            environment: record.environment,
            variables,
            hosts,
            files: files.transpose()?,
            record: Record::default(),
        };
        Ok(Restored { configuration: self.sealed(configuration), renewed })
    }

    /// The same with its record.
    fn sealed(&self, configuration: Configuration) -> Configuration {
        let sealed = |name: &str, given: &Given| match given.is_secret {
            true => Sealed::Seal(self.seal(name, &given.value)),
            false => Sealed::Open(given.value.clone()),
        };
        let variables = configuration.variables.iter().map(|(name, given)| (name.clone(), sealed(name, given)));
        let record = Record {
            environment: configuration.environment.clone(),
            variables: variables.collect(),
            hosts: configuration.hosts.iter().map(|given| sealed("", given)).collect(),
            files: configuration.files.as_ref().map(|folder| folder.digest.as_str().to_owned()),
        };
        Configuration { record, ..configuration }
    }

    /// The secrets of a configuration, by their seals.
    fn secrets<'a>(&self, configuration: &'a Configuration) -> impl Iterator<Item = (String, &'a Given)> {
        let variables = configuration.variables.iter().map(|(name, given)| (name.as_str(), given));
        let all = variables.chain(configuration.hosts.iter().map(|given| ("", given)));
        all.filter(|(_, given)| given.is_secret).map(|(name, given)| (self.seal(name, &given.value), given))
    }

    fn seal(&self, name: &str, value: &str) -> String {
        record::seal(&self.seal_key, name, value)
    }
}

impl Configuration {
    /// As the registry has it.
    pub(super) fn record(&self) -> String {
        self.record.text()
    }

    /// Of its record: the same for the same configuration.
    pub(super) fn digest(&self) -> Digest {
        Digest::of(self.record().as_bytes())
    }

    /// The variables that the component sees.
    pub(super) fn values(&self) -> Values {
        self.variables.iter().map(|(name, given)| (name.clone(), given.value.clone())).collect()
    }

    /// Whether there is any host that it may send requests to.
    pub(super) fn allows_hosts(&self) -> bool {
        !self.hosts.is_empty()
    }

    /// Where it may send requests.
    pub(super) fn allowed_hosts(&self) -> anyhow::Result<AllowedHosts> {
        let entries: Vec<&str> = self.hosts.iter().map(|given| given.value.as_str()).collect();
        // The entry may be a secret, so it is not shown.
        AllowedHosts::parse(&entries).map_err(|problem| anyhow::anyhow!("an allowed host {problem}"))
    }

    /// The folder that its guests see as `/`, if they have any.
    pub(super) fn files(&self) -> Option<Arc<dyn AsRef<Path> + Send + Sync>> {
        Some(self.files.clone()?)
    }

    /// What is different from `former`, in words that tell no value.
    pub(super) fn changes_since(&self, former: &Self) -> Vec<String> {
        self.record.changes_since(&former.record)
    }

    /// The same as far as its record tells, which may be an earlier version's.
    pub(super) fn changes_since_record(&self, former: &str) -> Vec<String> {
        serde_json::from_str(former).map(|former| self.record.changes_since(&former)).unwrap_or_default()
    }
}

/// The sets of files that these records name.
pub(super) fn files_of_records(records: &[String]) -> Vec<Digest> {
    let files = |record: &String| serde_json::from_str::<Record>(record).ok()?.files?.parse().ok();
    records.iter().filter_map(files).collect()
}

#[cfg(test)]
mod tests;
