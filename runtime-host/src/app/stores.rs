//! Which stores the manifest and the runtime configuration ask for together.

use std::time::Duration;

use crate::manifest::{Manifest, SqliteSettings};
use crate::runtime_config::{DatabasePlace, KeyValuePlace, RuntimeConfig, StoreLocation};
use crate::state_dir::StateDir;
use crate::stores::sqlite::{Location, Settings};
use crate::stores::{KeyValueBackend, KeyValueConfig, SqliteConfig, StoresConfig};

/// The stores of an application: the default ones, those of the runtime configuration, and the manifest's settings for both.
pub fn stores_config(manifest: &Manifest, runtime: &RuntimeConfig, state: &StateDir) -> StoresConfig {
    let mut config = StoresConfig::new(state.path());
    for (label, place) in &runtime.sqlite_databases {
        match place {
            DatabasePlace::Spin(place) => {
                let store = SqliteConfig { location: location(place), settings: Settings::default() };
                config.sqlite.insert(label.clone(), store);
            }
            DatabasePlace::Libsql(server) => {
                // It may be the default database, which then has no file.
                config.sqlite.remove(label);
                config.libsql.insert(label.clone(), server.clone());
            }
        }
    }
    for (label, place) in &runtime.key_value_stores {
        let store = match place {
            KeyValuePlace::Spin(place) => KeyValueConfig::embedded(location(place), Settings::default()),
            KeyValuePlace::Redis(server) => {
                KeyValueConfig { backend: KeyValueBackend::Redis(server.clone()), ttl: None }
            }
        };
        config.key_value.insert(label.clone(), store);
    }
    let settings = &manifest.application.settings;
    for (label, wanted) in &settings.sqlite_databases {
        if let Some(store) = config.sqlite.get_mut(label) {
            store.settings = sqlite_settings(wanted);
        }
    }
    for (label, wanted) in &settings.key_value_stores {
        if let Some(store) = config.key_value.get_mut(label) {
            // How durable a server's writes are, its own settings say.
            if let KeyValueBackend::Embedded(file) = &mut store.backend {
                file.settings.durability = wanted.durability;
            }
            store.ttl = wanted.ttl_seconds.map(Duration::from_secs);
        }
    }
    config
}

/// How the manifest wants a database to be run.
pub fn sqlite_settings(wanted: &SqliteSettings) -> Settings {
    let default = Settings::default();
    Settings {
        durability: wanted.durability,
        bytes_max: wanted.bytes_max,
        transaction_time_max: wanted.transaction_timeout_ms.map_or(default.transaction_time_max, Duration::from_millis),
        read_time_max: wanted.read_timeout_ms.map_or(default.read_time_max, Duration::from_millis),
    }
}

fn location(place: &StoreLocation) -> Location {
    match place {
        StoreLocation::File(path) => Location::File(path.clone()),
        StoreLocation::Memory => Location::Memory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest;
    use crate::stores::key_value::RedisServer;
    use crate::stores::sqlite::Durability;

    const MANIFEST: &str = r#"
        spin_manifest_version = 2
        [application]
        name = "shop"
        [application.tool.bodega.sqlite_database.orders]
        durability = "normal"
        bytes_max = 65536
        transaction_timeout_ms = 7
        read_timeout_ms = 11
        [application.tool.bodega.key_value_store.default]
        durability = "normal"
        ttl_seconds = 60
        [application.tool.bodega.key_value_store.carts]
        ttl_seconds = 30
        [[trigger.http]]
        route = "/"
        component = "orders"
        [component.orders]
        source = "orders.wasm"
        sqlite_databases = ["orders"]
        key_value_stores = ["default", "sessions", "carts"]
    "#;
    const RUNTIME_CONFIG: &str = r#"
        [sqlite_database.orders]
        type = "spin"
        path = "orders.db"
        [key_value_store.sessions]
        type = "spin"
        [key_value_store.carts]
        type = "redis"
        url = "redis://carts:6379/1"
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
        let expected = Settings {
            durability: Durability::Normal,
            bytes_max: Some(65536),
            transaction_time_max: Duration::from_millis(7),
            read_time_max: Duration::from_millis(11),
        };
        assert_eq!(orders.settings, expected);
        assert_eq!(config.sqlite["default"].settings, Settings::default(), "unless someone says so");
        let sessions = &config.key_value["sessions"];
        assert_eq!(sessions, &KeyValueConfig::embedded(Location::Memory, Settings::default()));
        let default = &config.key_value["default"];
        assert_eq!(default.ttl, Some(Duration::from_secs(60)));
        let KeyValueBackend::Embedded(file) = &default.backend else { panic!("{default:?}") };
        assert_eq!(file.settings.durability, Durability::Normal);
        let carts = &config.key_value["carts"];
        let server = RedisServer::parse("redis://carts:6379/1").unwrap();
        assert_eq!((&carts.backend, carts.ttl), (&KeyValueBackend::Redis(server), Some(Duration::from_secs(30))));
        assert_eq!((config.sqlite.len(), config.key_value.len()), (2, 3));
    }
}
