//! What revisions are given: read again from the manifest and its sources, and told by their names.

use std::sync::{Arc, PoisonError};

use anyhow::Context as _;

use super::Loader;
use super::declared::check_override;
use crate::app::configuration::{Configuration, Configurations};
use crate::registry::Digest;
use crate::variables::Values;

/// Hex digits by which a revision's name tells what it is given.
const CONFIGURATION_DIGITS: usize = 6;

impl Loader {
    /// What the manifest and its sources gave a component when they were read last.
    pub(in crate::app) fn configuration_read(&self, component: &str) -> Arc<Configuration> {
        let now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.get(component).cloned().unwrap_or_default()
    }

    /// Reads what the manifest and its sources give a component now; blocks.
    pub(in crate::app) fn read_configuration(&self, component: &str) -> anyhow::Result<Arc<Configuration>> {
        if !self.grants.contains_key(component) {
            return Ok(Arc::default());
        }
        let configuration = self.read(component, &Values::default())?;
        let mut now = self.now.lock().unwrap_or_else(PoisonError::into_inner);
        now.insert(component.to_owned(), configuration.clone());
        Ok(configuration)
    }

    /// Reads what they would give it if these application variables had these values; blocks.
    pub(in crate::app) fn read_configuration_with(
        &self,
        component: &str,
        variables: &Values,
    ) -> anyhow::Result<Arc<Configuration>> {
        anyhow::ensure!(
            self.grants.contains_key(component),
            "component `{component}` runs only as part of others and has no variables of its own"
        );
        self.read(component, variables)
    }

    fn read(&self, component: &str, variables: &Values) -> anyhow::Result<Arc<Configuration>> {
        let (manifest, resolved) = (self.sources)(variables)?;
        let found = manifest.component(component);
        let found = found.with_context(|| format!("the manifest has no component `{component}` any more"))?;
        for name in variables.names() {
            check_override(&manifest, found, name)?;
        }
        Ok(Arc::new(self.configurer.read(&manifest, found, &resolved)?))
    }

    /// From here on the names of revisions tell where they are given something else than this.
    pub(in crate::app) fn started_with(&self, configurations: &Configurations) {
        let digests = configurations.iter().map(|(id, configuration)| (id.clone(), configuration.digest()));
        *self.at_start.lock().unwrap_or_else(PoisonError::into_inner) = digests.collect();
    }

    /// The name of a revision in the metrics: of what runs, and where that is not what the process has started with, of what it is
    /// given.
    pub(super) fn name(&self, component: &str, digest: &Digest, configuration: &Digest) -> String {
        let at_start = self.at_start.lock().unwrap_or_else(PoisonError::into_inner);
        match at_start.get(component) {
            Some(at_start) if at_start != configuration => {
                format!("{}-{}", digest.short(), &configuration.short()[..CONFIGURATION_DIGITS])
            }
            _ => digest.short().to_owned(),
        }
    }
}
