//! Containers that run our host, and what their arguments come to.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::application::Application;
use crate::cluster::{Cluster, Container};
use crate::object::{at, items, text};

/// The host's image, without its tag.
pub(crate) const IMAGE: &str = "ghcr.io/bodega-shop/bodega";
/// Options that may also be set by an environment variable, as `bodega up --help` has them.
const ENVIRONMENT: [(&str, &str); 6] = [
    ("from", "BODEGA_FROM"),
    ("listen", "SPIN_HTTP_LISTEN_ADDR"),
    ("admin-listen", "BODEGA_ADMIN_LISTEN"),
    ("gateway", "BODEGA_GATEWAY"),
    ("runtime-config-file", "RUNTIME_CONFIG_FILE"),
    ("component-id", "SPIN_COMPONENTS_TO_RETAIN"),
];
/// Short and other names of options.
const ALIASES: [(&str, &str); 3] = [("f", "from"), ("file", "from"), ("c", "component-id")];
/// Options without a value.
const FLAGS: [&str; 4] = ["build", "b", "demo", "force"];

/// A container that runs our host.
pub(crate) struct Host<'a> {
    pub(crate) container: Container<'a>,
    /// What the host does: `up`, `stores`, ...
    pub(crate) command: &'a str,
    options: BTreeMap<&'a str, Vec<&'a str>>,
}

impl<'a> Host<'a> {
    /// Reads the arguments of a container of our image.
    pub(crate) fn of(container: Container<'a>) -> Option<Self> {
        let image = container.image().strip_prefix(IMAGE)?;
        if !image.is_empty() && !image.starts_with([':', '@']) {
            return None;
        }
        let mut words = container.words().into_iter();
        let mut host = Self { container, command: words.next().unwrap_or_default(), options: BTreeMap::new() };
        while let Some(word) = words.next() {
            let Some(option) = word.strip_prefix("--").or(word.strip_prefix('-')) else { continue };
            let (name, value) = match option.split_once('=') {
                Some(pair) => pair,
                None if FLAGS.contains(&option) => (option, ""),
                None => (option, words.next().unwrap_or_default()),
            };
            let name = ALIASES.iter().find(|(alias, _)| *alias == name).map_or(name, |(_, name)| name);
            host.options.entry(name).or_default().push(value);
        }
        Some(host)
    }

    /// All hosts that serve the application, or a part of it.
    pub(crate) fn all(cluster: &'a Cluster) -> Vec<Self> {
        cluster.containers().into_iter().filter_map(Host::of).collect()
    }

    /// The value of an option.
    pub(crate) fn option(&self, name: &str) -> Option<&'a str> {
        if let Some(values) = self.options.get(name) {
            return values.last().copied();
        }
        let variable = ENVIRONMENT.iter().find(|(option, _)| *option == name)?.1;
        self.container.env(variable)
    }

    /// The value of an option in milliseconds.
    pub(crate) fn milliseconds(&self, name: &str) -> Option<u64> {
        self.option(name)?.parse().ok()
    }

    /// The port of an address option.
    pub(crate) fn port(&self, name: &str) -> Option<u64> {
        self.option(name)?.rsplit_once(':')?.1.parse().ok()
    }

    /// The components that it runs and that have routes.
    pub(crate) fn components(&self, cluster: &Cluster, application: &Application) -> Vec<String> {
        if self.command != "up" {
            return Vec::new();
        }
        // A manifest of a ConfigMap is one without components: nothing else has them.
        if self.option("from").and_then(|path| self.file(cluster, path)).is_some() {
            return Vec::new();
        }
        let selected = match self.options.get("component-id") {
            Some(values) => values.clone(),
            None => self.option("component-id").map(|list| list.split(',').collect()).unwrap_or_default(),
        };
        let is_selected = |id: &&String| selected.is_empty() || selected.contains(&id.as_str());
        application.components.keys().filter(is_selected).cloned().collect()
    }

    /// Where it fetches the application from, if that is a registry.
    pub(crate) fn registry(&self) -> Option<&'a str> {
        let from = self.option("from").filter(|from| !from.starts_with(['/', '.']) && !from.ends_with(".toml"))?;
        from.split_once('/').map(|(registry, _)| registry)
    }

    /// The content of a file that a ConfigMap or Secret gives to it.
    pub(crate) fn file<'c>(&self, cluster: &'c Cluster, path: &str) -> Option<&'c str> {
        let (volume, key) = self.container.volume_of(path)?;
        let of = |kind, name| cluster.content(kind, name, key);
        match (text(volume, "/configMap/name"), text(volume, "/secret/secretName")) {
            ("", "") => None,
            ("", secret) => of("Secret", secret),
            (map, _) => of("ConfigMap", map),
        }
    }

    /// What its gateway file says.
    pub(crate) fn gateway(&self, cluster: &Cluster) -> Option<Value> {
        toml::from_str(self.file(cluster, self.option("gateway")?)?).ok()
    }

    /// Where the stores of a component are, by their labels: URLs.
    pub(crate) fn stores(&self, cluster: &Cluster, component: &str, application: &Application) -> Vec<String> {
        let file = self.option("runtime-config-file").and_then(|path| self.file(cluster, path));
        let config: Value = file.and_then(|file| toml::from_str(file).ok()).unwrap_or_default();
        let Some(component) = application.components.get(component) else { return Vec::new() };
        let databases = component.sqlite_databases.iter().map(|label| format!("/sqlite_database/{label}/url"));
        let stores = component.key_value_stores.iter().map(|label| format!("/key_value_store/{label}/url"));
        databases
            .chain(stores)
            .map(|pointer| text(&config, &pointer).to_owned())
            .filter(|url| !url.is_empty())
            .collect()
    }
}

/// The URLs of the upstreams of a gateway, by name.
pub(crate) fn upstreams(gateway: &Value) -> BTreeMap<String, Vec<String>> {
    let upstreams = at(gateway, "/upstreams").as_object().into_iter().flatten();
    let urls = |upstream: &Value| {
        let servers = items(upstream, "/servers").iter();
        let servers = servers.map(|server| server.as_str().unwrap_or_else(|| text(server, "/url")).to_owned());
        servers.chain(upstream["dns"].as_str().map(str::to_owned)).collect()
    };
    upstreams.map(|(name, upstream)| (name.clone(), urls(upstream))).collect()
}
