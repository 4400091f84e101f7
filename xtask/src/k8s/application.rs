//! What `spin.toml` says that manifests have to agree with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::object::{at, items, keys, text};

/// How long a component may take to answer where the manifest does not say, as the host has it.
const DEADLINE_MS_DEFAULT: u64 = 30_000;

/// The application.
#[derive(Debug)]
pub(crate) struct Application {
    /// Those that a trigger runs, by name.
    pub(crate) components: BTreeMap<String, Component>,
    /// Routes, with the component of each.
    pub(crate) routes: Vec<(String, String)>,
    variables: BTreeMap<String, Variable>,
    generated: BTreeSet<String>,
}

#[derive(Debug)]
struct Variable {
    default: String,
    is_secret: bool,
}

/// One component.
#[derive(Debug)]
pub(crate) struct Component {
    /// Templates of the hosts that it may call.
    pub(crate) allowed_outbound_hosts: Vec<String>,
    pub(crate) sqlite_databases: Vec<String>,
    pub(crate) key_value_stores: Vec<String>,
    /// The paths that have to be asked at regular times.
    pub(crate) schedules: Vec<String>,
    pub(crate) deadline_ms: u64,
    /// The memory of all its instances, where the manifest bounds both.
    pub(crate) memory_bytes_max: Option<u64>,
    /// The secret variables that it is given.
    pub(crate) secrets: BTreeSet<String>,
}

impl Application {
    /// Reads the manifest.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
        Self::parse(&text).with_context(|| path.display().to_string())
    }

    pub(crate) fn parse(manifest: &str) -> Result<Self> {
        let manifest: Value = toml::from_str(manifest)?;
        let variables: BTreeMap<_, _> = keys(&manifest, "/variables")
            .map(|name| {
                let declared = at(&manifest, &format!("/variables/{name}"));
                let is_secret = at(declared, "/secret") == &Value::Bool(true);
                (name.to_owned(), Variable { default: text(declared, "/default").to_owned(), is_secret })
            })
            .collect();
        let routes: Vec<_> = items(&manifest, "/trigger/http")
            .iter()
            .filter(|trigger| !text(trigger, "/component").is_empty())
            .map(|trigger| (text(trigger, "/route").to_owned(), text(trigger, "/component").to_owned()))
            .collect();
        let component = |id: &String| component(at(&manifest, &format!("/component/{id}")), &variables);
        let ids: BTreeSet<_> = routes.iter().map(|(_, component)| component.clone()).collect();
        let components = ids.into_iter().map(|id| (id.clone(), component(&id))).collect();
        let generated = keys(&manifest, "/application/tool/bodega/generate").map(str::to_owned).collect();
        Ok(Self { components, routes, variables, generated })
    }

    /// The variable that an environment variable sets, without the prefix: `CATALOG_URL`.
    pub(crate) fn variable_of(&self, key: &str) -> Option<String> {
        Some(key.to_ascii_lowercase()).filter(|name| self.variables.contains_key(name))
    }

    pub(crate) fn is_secret(&self, variable: &str) -> bool {
        self.variables.get(variable).is_some_and(|variable| variable.is_secret)
    }

    /// Whether each host makes a value of its own for it where none is given.
    pub(crate) fn is_generated(&self, variable: &str) -> bool {
        self.generated.contains(variable)
    }

    /// A template with the values of variables in place: those given, or else their defaults.
    pub(crate) fn render(&self, template: &str, given: &BTreeMap<String, String>) -> String {
        let mut rendered = template.to_owned();
        for name in names(template) {
            let default = self.variables.get(&name).map(|variable| &variable.default);
            let value = given.get(&name).or(default).map_or("", String::as_str);
            for braces in [format!("{{{{ {name} }}}}"), format!("{{{{{name}}}}}")] {
                rendered = rendered.replace(&braces, value);
            }
        }
        rendered
    }
}

fn component(component: &Value, variables: &BTreeMap<String, Variable>) -> Component {
    let texts = |pointer| items(component, pointer).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let number = |key| at(component, &format!("/tool/bodega/{key}")).as_u64();
    let schedules = items(component, "/tool/bodega/schedule");
    let used = at(component, "/variables").as_object().into_iter().flatten();
    let used = used.filter_map(|(_, template)| template.as_str()).flat_map(names);
    Component {
        allowed_outbound_hosts: texts("/allowed_outbound_hosts"),
        sqlite_databases: texts("/sqlite_databases"),
        key_value_stores: texts("/key_value_stores"),
        schedules: schedules.iter().map(|schedule| text(schedule, "/path").to_owned()).collect(),
        deadline_ms: number("deadline_ms").unwrap_or(DEADLINE_MS_DEFAULT),
        memory_bytes_max: number("instances_max").zip(number("memory_bytes_max")).map(|(count, bytes)| count * bytes),
        secrets: used.filter(|name| variables.get(name).is_some_and(|variable| variable.is_secret)).collect(),
    }
}

/// The variables that a template names.
fn names(template: &str) -> Vec<String> {
    let parts = template.split("{{").skip(1);
    parts.filter_map(|part| Some(part.split_once("}}")?.0.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MANIFEST: &str = r#"
        [application.tool.bodega.generate]
        token = "secret"
        [variables]
        url = { default = "http://b.spin.internal" }
        token = { default = "", secret = true }
        other = { default = "", secret = true }
        [[trigger.http]]
        route = "/a/..."
        component = "a"
        [[trigger.http]]
        route = "/..."
        static_response = {}
        [component.a]
        allowed_outbound_hosts = ["{{ url }}"]
        sqlite_databases = ["a"]
        [component.a.variables]
        t = "{{ token }}"
        [component.a.tool.bodega]
        instances_max = 2
        memory_bytes_max = 1000
        schedule = [{ every = "5s", path = "/internal/sweep" }]
        [component.library]
    "#;

    #[test]
    fn what_manifests_depend_on_is_read() {
        let application = Application::parse(MANIFEST).unwrap();
        assert_eq!(application.routes, [("/a/...".to_owned(), "a".to_owned())]);
        assert_eq!(application.components.keys().collect::<Vec<_>>(), ["a"]);
        let a = &application.components["a"];
        assert_eq!((a.deadline_ms, a.memory_bytes_max), (DEADLINE_MS_DEFAULT, Some(2000)));
        assert_eq!(a.schedules, ["/internal/sweep"]);
        assert_eq!(a.secrets, BTreeSet::from(["token".to_owned()]));
        assert!(application.is_generated("token") && !application.is_generated("other"));
    }

    #[test]
    fn templates_have_the_given_value_or_the_default() {
        let application = Application::parse(MANIFEST).unwrap();
        let given = BTreeMap::from([("url".to_owned(), "http://b".to_owned())]);
        assert_eq!(application.render("{{ url }}/x", &given), "http://b/x");
        assert_eq!(application.render("{{url}}", &BTreeMap::new()), "http://b.spin.internal");
    }
}
