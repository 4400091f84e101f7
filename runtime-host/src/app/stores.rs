//! Which stores the manifest and the runtime configuration ask for together.

use std::time::Duration;

use crate::manifest::{Durability, Manifest};
use crate::runtime_config::{RuntimeConfig, StoreLocation};
use crate::state_dir::StateDir;
use crate::stores::sqlite::{self, Location, Settings};
use crate::stores::{KeyValueConfig, SqliteConfig, StoresConfig};

/// The stores of an application: the default ones, those of the runtime configuration, and the manifest's settings for both.
pub fn stores_config(manifest: &Manifest, runtime: &RuntimeConfig, state: &StateDir) -> StoresConfig {
    let mut config = StoresConfig::new(state.path());
    for (label, place) in &runtime.sqlite_databases {
        config.sqlite.insert(label.clone(), SqliteConfig { location: location(place), settings: Settings::default() });
    }
    for (label, place) in &runtime.key_value_stores {
        let store = KeyValueConfig { location: location(place), settings: Settings::default(), ttl: None };
        config.key_value.insert(label.clone(), store);
    }
    let settings = &manifest.application.settings;
    for (label, wanted) in &settings.sqlite_databases {
        if let Some(store) = config.sqlite.get_mut(label) {
            store.settings.durability = durability(wanted.durability);
        }
    }
    for (label, wanted) in &settings.key_value_stores {
        if let Some(store) = config.key_value.get_mut(label) {
            store.settings.durability = durability(wanted.durability);
            store.ttl = wanted.ttl_seconds.map(Duration::from_secs);
        }
    }
    config
}

fn location(place: &StoreLocation) -> Location {
    match place {
        StoreLocation::File(path) => Location::File(path.clone()),
        StoreLocation::Memory => Location::Memory,
    }
}

fn durability(wanted: Durability) -> sqlite::Durability {
    match wanted {
        Durability::Full => sqlite::Durability::Full,
        Durability::Normal => sqlite::Durability::Normal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "shop"
        [application.tool.bodega.sqlite_database.orders]
        durability = "normal"
        [application.tool.bodega.key_value_store.default]
        durability = "normal"
        ttl_seconds = 60
        [[trigger.http]]
        route = "/"
        component = "orders"
        [component.orders]
        source = "orders.wasm"
        sqlite_databases = ["orders"]
        key_value_stores = ["default", "sessions"]
    "#;
    const RUNTIME_CONFIG: &str = r#"
        [sqlite_database.orders]
        type = "spin"
        path = "orders.db"
        [key_value_store.sessions]
        type = "spin"
    "#;

    #[test]
    fn places_come_from_the_runtime_configuration_and_settings_from_the_manifest() {
        let dir = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let manifest = manifest::load(&file("spin.toml", MANIFEST)).unwrap();
        let runtime = RuntimeConfig::load(&file("runtime-config.toml", RUNTIME_CONFIG)).unwrap();
        let state = StateDir::open(dir.path().join("state")).unwrap();
        let config = stores_config(&manifest, &runtime, &state);

        assert_eq!(config.state_dir, state.path());
        let orders = &config.sqlite["orders"];
        assert_eq!(orders.location, Location::File("orders.db".into()));
        assert_eq!(orders.settings.durability, sqlite::Durability::Normal);
        assert_eq!(config.sqlite["default"].settings.durability, sqlite::Durability::Full, "unless someone says so");
        let sessions = &config.key_value["sessions"];
        assert_eq!((&sessions.location, sessions.ttl), (&Location::Memory, None));
        let default = &config.key_value["default"];
        assert_eq!(default.ttl, Some(Duration::from_secs(60)));
        assert_eq!(default.settings.durability, sqlite::Durability::Normal);
        assert_eq!((config.sqlite.len(), config.key_value.len()), (2, 2));
    }
}
