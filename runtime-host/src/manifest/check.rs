//! Checks that need more than one part of the manifest, the runtime configuration or the disk.

use std::path::{Path, PathBuf};

use http::Uri;

use super::rollout::{NO_WEBHOOK, webhook_uri};
use super::{Component, Dependency, DependencySource, Manifest, TriggerTarget};
use crate::allowed_hosts::AllowedHost;
use crate::config_file::{ConfigError, Located, suggestion};
use crate::generated::Generate;
use crate::router::Router;
use crate::runtime_config::RuntimeConfig;
use crate::stores::DEFAULT_LABEL;
use crate::template::Template;

impl Manifest {
    /// What the manifest says of itself has to fit together.
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_triggers()?;
        for component in &self.components {
            let headers = component.schedules.iter().flat_map(|schedule| schedule.headers.values());
            let templates = component.variables.values().chain(&component.allowed_outbound_hosts).chain(headers);
            let migration = component.migration.iter().flat_map(|migration| migration.headers.values());
            let templates = templates.chain(migration).chain(&component.rollout.webhooks);
            templates.into_iter().try_for_each(|template| self.check_template(template))?;
            component.allowed_outbound_hosts.iter().try_for_each(|host| self.check_chaining(host))?;
            self.check_chores(component)?;
            for (index, dependency) in component.dependencies.iter().enumerate() {
                self.check_dependency(component, dependency)?;
                let earlier = &component.dependencies[..index];
                if let Some(twin) = earlier.iter().find(|twin| twin.name.overlaps(&dependency.name)) {
                    let problem = format!(
                        "`{}` stands for imports that `{}` in line {} stands for as well",
                        *dependency.name, *twin.name, twin.name.position.line
                    );
                    return Err(self.error(dependency.name.position, problem));
                }
            }
        }
        self.check_settings()
    }

    fn check_triggers(&self) -> Result<(), ConfigError> {
        for (index, trigger) in self.triggers.iter().enumerate() {
            if let TriggerTarget::Component(id) = &trigger.target {
                self.check_exists(id)?;
            }
            if let Some(twin) = self.triggers[..index].iter().find(|other| other.id == trigger.id) {
                let problem =
                    format!("the trigger `{}` has the id of the one in line {}", trigger.id, twin.position.line);
                return Err(self.error(trigger.position, problem));
            }
        }
        let routes: Vec<_> = self.triggers.iter().filter_map(|trigger| trigger.route.as_ref()).collect();
        Router::build(routes.iter().map(|route| (route.value.clone(), ()))).map(drop).map_err(|duplicate| {
            let first = routes[duplicate.first_index].position.line;
            self.error(routes[duplicate.second_index].position, format!("{duplicate} in line {first}"))
        })
    }

    fn check_exists(&self, id: &Located<String>) -> Result<&Component, ConfigError> {
        self.component(id).ok_or_else(|| {
            let hint = suggestion(id, self.components.iter().map(|component| component.id.as_str()));
            self.error(id.position, format!("there is no component `{}`{hint}", id.value))
        })
    }

    /// A component that no trigger names runs only as part of others, so that nobody would answer.
    fn check_chores(&self, component: &Component) -> Result<(), ConfigError> {
        let runs = self.triggers.iter().any(|trigger| trigger.runs(&component.id));
        let schedule = component.schedules.first().map(|schedule| (schedule.position, "schedule"));
        let migration = component.migration.as_ref().map(|migration| (migration.position, "migration"));
        let preview_host = component.rollout.preview_host.as_ref().map(|host| (host.position, "preview host"));
        let chore = schedule.or(migration).or(preview_host);
        match chore.filter(|_| !runs) {
            Some((position, chore)) => Err(self.error(
                position,
                format!(
                    "no trigger runs `{}`, which has a {chore}; add a `[[trigger.http]]` for it, with \
                     `route = {{ private = true }}` where it is not for clients",
                    component.id
                ),
            )),
            None => Ok(()),
        }
    }

    fn check_template(&self, template: &Located<Template>) -> Result<(), ConfigError> {
        let Some(name) = template.variables().find(|name| !self.variables.contains_key(*name)) else {
            return Ok(());
        };
        let hint = suggestion(name, self.variables.keys().map(String::as_str));
        Err(self.error(template.position, format!("`{{{{ {name} }}}}` is not declared in [variables]{hint}")))
    }

    /// A component that is called by a literal name has to be there.
    fn check_chaining(&self, host: &Located<Template>) -> Result<(), ConfigError> {
        let allowed =
            Some(host).filter(|host| host.is_literal()).and_then(|host| AllowedHost::parse(&host.to_string()).ok());
        match allowed.as_ref().and_then(AllowedHost::service_chaining_target) {
            // The name of a host has no case.
            Some(id) if self.components.iter().any(|component| component.id.eq_ignore_ascii_case(id)) => Ok(()),
            Some(id) => self.check_exists(&host.with(id.to_owned())).map(drop),
            None => Ok(()),
        }
    }

    /// What a dependency could use besides its code would silently be missing, so that Spin refuses it.
    fn check_dependency(&self, component: &Component, dependency: &Dependency) -> Result<(), ConfigError> {
        let DependencySource::Component(id) = &dependency.source else {
            return Ok(());
        };
        let other = self.check_exists(id)?;
        let own = [
            ("allowed_outbound_hosts", other.allowed_outbound_hosts.is_empty()),
            ("dependencies", other.dependencies.is_empty()),
            ("environment", other.environment.is_empty()),
            ("files", other.files.is_empty()),
            ("key_value_stores", other.key_value_stores.is_empty()),
            ("sqlite_databases", other.sqlite_databases.is_empty()),
            ("variables", other.variables.is_empty()),
        ];
        match own.iter().find(|(_, empty)| !empty) {
            Some((key, _)) => Err(self.error(
                id.position,
                format!(
                    "`{}` cannot be a dependency of `{}`, because it has `{key}` of its own",
                    other.id, component.id
                ),
            )),
            None => Ok(()),
        }
    }

    /// Settings for a store that nobody opens are most likely meant for another one.
    fn check_settings(&self) -> Result<(), ConfigError> {
        let settings = &self.application.settings;
        if let Some((name, kind)) = settings.generate.iter().find(|(name, _)| !self.variables.contains_key(*name)) {
            let problem = format!(
                "the application has no variable `{name}`{}",
                suggestion(name, self.variables.keys().map(String::as_str))
            );
            return Err(self.error(kind.position, problem));
        }
        // What a variable that is not secret gives to a revision is kept in clear, and shown.
        let is_secret = |name: &String| self.variables.get(name).is_some_and(|declared| declared.secret);
        let mut generated = settings.generate.iter().filter(|(_, kind)| kind.value == Generate::Secret);
        if let Some((name, kind)) = generated.find(|(name, _)| !is_secret(name)) {
            let problem = format!(
                "a secret is generated for the variable `{name}`, which is not declared as one; expected `secret = true` in \
                 [variables] {name}"
            );
            return Err(self.error(kind.position, problem));
        }
        let databases = settings.sqlite_databases.iter().map(|(label, settings)| settings.with(label.as_str()));
        self.check_labels(databases, |component| &component.sqlite_databases)?;
        let stores = settings.key_value_stores.iter().map(|(label, settings)| settings.with(label.as_str()));
        self.check_labels(stores, |component| &component.key_value_stores)
    }

    fn check_labels<'a>(
        &self,
        mut labels: impl Iterator<Item = Located<&'a str>>,
        opened: impl Fn(&Component) -> &Vec<Located<String>>,
    ) -> Result<(), ConfigError> {
        let opened: Vec<&str> = self.components.iter().flat_map(opened).map(|label| label.as_str()).collect();
        match labels.find(|label| !opened.contains(&label.value)) {
            Some(label) => {
                let problem = format!("no component opens the store `{}`{}", label.value, suggestion(&label, opened));
                Err(self.error(label.position, problem))
            }
            None => Ok(()),
        }
    }

    /// Every store that a component opens has to be set up, except `default`, which always is.
    pub fn check_stores(&self, config: &RuntimeConfig) -> Result<(), ConfigError> {
        for component in &self.components {
            let databases = component.sqlite_databases.iter().map(|label| (label, "sqlite_database"));
            let stores = component.key_value_stores.iter().map(|label| (label, "key_value_store"));
            for (label, key) in databases.chain(stores) {
                let set_up = match key {
                    "sqlite_database" => config.sqlite_databases.contains_key(&label.value),
                    _ => config.key_value_stores.contains_key(&label.value),
                };
                if label.value != DEFAULT_LABEL && !set_up {
                    let file = config.path.as_deref().map_or("a runtime configuration".into(), Path::to_string_lossy);
                    let problem = format!(
                        "the store `{0}` of component `{1}` is not set up; expected [{key}.{0}] in {file}",
                        label.value, component.id
                    );
                    return Err(self.error(label.position, problem));
                }
            }
        }
        Ok(())
    }

    /// Every file that the application is made of has to exist; before that it may have to be built.
    pub fn check_sources(&self) -> Result<(), ConfigError> {
        for component in &self.components {
            self.check_wasm(&component.source, &component.id, component.build.is_some())?;
            for dependency in &component.dependencies {
                if let DependencySource::Path(path) = &dependency.source {
                    self.check_wasm(path, &component.id, component.build.is_some())?;
                }
            }
            self.files_of(component)?;
        }
        Ok(())
    }

    fn check_wasm(&self, path: &Located<PathBuf>, id: &str, is_built: bool) -> Result<(), ConfigError> {
        if path.is_file() {
            return Ok(());
        }
        let advice = if is_built { "; run `bodega build`" } else { "" };
        let problem = format!("the wasm file {} of the component `{id}` does not exist{advice}", path.display());
        Err(self.error(path.position, problem))
    }

    /// Where `component` may send requests, with the variables' values in place: the texts of its entries.
    pub fn allowed_hosts(
        &self,
        component: &Component,
        render: impl Fn(&Template) -> String,
    ) -> Result<Vec<String>, ConfigError> {
        let read = |template: &Located<Template>| {
            let entry = render(template);
            // The value may be a secret, so that the error shows the template.
            match AllowedHost::parse(&entry) {
                Ok(_) => Ok(entry),
                Err(problem) => {
                    Err(self.error(template.position, format!("the allowed host \"{}\" {problem}", template.value)))
                }
            }
        };
        component.allowed_outbound_hosts.iter().map(read).collect()
    }

    /// Who is told how rollouts of `component` go, with the variables' values in place.
    pub fn webhooks(
        &self,
        component: &Component,
        render: impl Fn(&Template) -> String,
    ) -> Result<Vec<Located<Uri>>, ConfigError> {
        let read = |template: &Located<Template>| {
            let uri = webhook_uri(&render(template));
            Ok(template.with(uri.ok_or_else(|| self.error(template.position, NO_WEBHOOK))?))
        };
        component.rollout.webhooks.iter().map(read).collect()
    }
}
