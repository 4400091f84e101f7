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
