//! `up --component-id`: the part of an application that one host runs, selected as Spin selects it.

use super::{Component, DependencySource, Manifest};
use crate::allowed_hosts::AllowedHost;
use crate::config_file::ConfigError;

/// Why a selection of components cannot run by itself.
#[derive(Debug, thiserror::Error)]
pub enum RetainError {
    /// There is no such component.
    #[error("the application has no component `{0}`")]
    Unknown(String),
    /// Nothing would ever ask them.
    #[error("no trigger runs any of the selected components")]
    NoTrigger,
    /// One of them may call a component that is not there then.
    #[error(transparent)]
    Chaining(#[from] ConfigError),
}

impl Manifest {
    /// Leaves the components with these `ids`, the components that are composed into them, and the triggers that run them.
    /// Without `ids` everything stays.
    pub fn retain(&mut self, ids: &[String]) -> Result<(), RetainError> {
        if ids.is_empty() {
            return Ok(());
        }
        // Ids that come from the name of a host have lost their case.
        let selected = |id: &str| ids.iter().any(|selected| selected.eq_ignore_ascii_case(id));
        if let Some(unknown) = ids.iter().find(|id| self.component(id).is_none()) {
            return Err(RetainError::Unknown(unknown.clone()));
        }
        for component in self.components.iter().filter(|component| selected(&component.id)) {
            self.check_chaining_within(component, selected)?;
        }
        // A static response belongs to no component, so that Spin leaves it out as well.
        self.triggers.retain(|trigger| ids.iter().any(|id| trigger.runs(id)));
        if self.triggers.is_empty() {
            return Err(RetainError::NoTrigger);
        }
        let composed: Vec<String> = self
            .components
            .iter()
            .filter(|component| selected(&component.id))
            .flat_map(|component| &component.dependencies)
            .filter_map(|dependency| match &dependency.source {
                DependencySource::Component(id) => Some(id.value.clone()),
                DependencySource::Path(_) => None,
            })
            .collect();
        self.components.retain(|component| selected(&component.id) || composed.contains(&component.id));
        Ok(())
    }

    /// Every component that `component` may call by a literal name has to be selected. A name with variables in it may be
    /// that of another host altogether.
    fn check_chaining_within(&self, component: &Component, selected: impl Fn(&str) -> bool) -> Result<(), ConfigError> {
        for template in component.allowed_outbound_hosts.iter().filter(|template| template.is_literal()) {
            let Ok(host) = AllowedHost::parse(&template.to_string()) else { continue };
            let refused = if host.is_any_component() {
                "every component of the application".to_owned()
            } else {
                match host.service_chaining_target().filter(|id| !selected(id)) {
                    Some(id) => format!("the component `{id}`"),
                    None => continue,
                }
            };
            let problem =
                format!("the selected component `{}` may call {refused}, which is not selected with it", component.id);
            return Err(self.error(template.position, problem));
        }
        Ok(())
    }
}
