//! A configuration as it is written down: without its secrets. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What else the key may be used for one day has another one.
const PURPOSE: &str = "bodega 1 seals of secret variables";
/// How a change of the allowed hosts is called; no entry has a name.
pub(super) const HOSTS: &str = "allowed hosts";

/// What a revision was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) variables: BTreeMap<String, Sealed>,
    pub(super) hosts: Vec<Sealed>,
    /// The digest of the set.
    pub(super) files: Option<String>,
}

/// A value, or the seal of a secret one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sealed {
    Open(String),
    Seal(String),
}

impl Record {
    /// In words; the same for the same record, whose maps are in order.
    pub(super) fn text(&self) -> String {
        // Texts always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// What is different from `former`, in words that tell no value.
    pub(super) fn changes_since(&self, former: &Self) -> Vec<String> {
        let mut changes: Vec<String> = Vec::new();
        changes.extend(different(&former.environment, &self.environment).map(|name| format!("environment {name}")));
        changes.extend(different(&former.variables, &self.variables).map(|name| format!("variable {name}")));
        changes.extend((former.hosts != self.hosts).then(|| HOSTS.to_owned()));
        changes.extend((former.files != self.files).then(|| "files".to_owned()));
        changes
    }
}

/// The names that are in one alone, or not the same in both.
fn different<'a, T: PartialEq>(
    former: &'a BTreeMap<String, T>,
    current: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = &'a String> {
    let gone = former.keys().filter(|name| !current.contains_key(*name));
    current.iter().filter(|(name, value)| former.get(*name) != Some(*value)).map(|(name, _)| name).chain(gone)
}

/// A keyed digest of a secret. With the name, so that nobody sees that two secrets have the same value.
pub(super) fn seal(key: &str, name: &str, value: &str) -> String {
    let key = blake3::derive_key(PURPOSE, key.as_bytes());
    // No name has the character in between.
    let mac = blake3::Hasher::new_keyed(&key).update(name.as_bytes()).update(b"\0").update(value.as_bytes()).finalize();
    mac.to_hex().to_string()
}
