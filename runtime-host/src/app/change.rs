//! What a deployment, a return or a rollout changes of a component.

use std::sync::Arc;

use super::configuration::Configuration;
use super::loader::{AtHand, InForce};
use crate::registry::Digest;

/// How a change of the artifact is called.
pub(super) const ARTIFACT: &str = "artifact";

/// An artifact, and what it is given, that take the place of others.
#[derive(Clone)]
pub(super) struct Change {
    pub(super) component: String,
    pub(super) digest: Digest,
    pub(super) source: String,
    pub(super) at_hand: AtHand,
    pub(super) configuration: Arc<Configuration>,
}

impl Change {
    /// What is different from what is in force, in words that tell no value.
    pub(super) fn changes_since(&self, in_force: &InForce) -> Vec<String> {
        let is_other_artifact = in_force.artifacts.get(&self.component) != Some(&self.digest);
        let artifact = is_other_artifact.then(|| ARTIFACT.to_owned());
        let given = self.configuration.changes_since(&in_force.configuration(&self.component));
        artifact.into_iter().chain(given).collect()
    }
}
