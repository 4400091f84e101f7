//! The shop under measurement: this repository's app with stores of its own and its internal routes made public.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use ::tests::tokens::{AUDIENCE, ISSUER, TokenIssuer};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use toml::Table;

use crate::app::App;
use crate::catalogue::CURRENCY;
use crate::server::Server;

/// A path that the catalogue answers from its database.
const READY_PATH: &str = "/api/products?limit=1";

/// The app, its stores, and a staff member who may fill them.
pub(crate) struct Shop {
    app: App,
    issuer: TokenIssuer,
}

impl Shop {
    /// Writes the app of `repository` into `folder`, with the components built below `target`.
    pub(crate) fn write(host: &Path, repository: &Path, folder: PathBuf) -> Result<Self> {
        let manifest = fs::read_to_string(repository.join("spin.toml")).context("spin.toml")?;
        let manifest = with_public_internals(&manifest, repository)?;
        let runtime_config = stores(&manifest, &folder)?;
        let issuer = TokenIssuer::new();
        let app = App::write(host, folder, &manifest, &runtime_config)?
            .environment("SPIN_VARIABLE_CURRENCY", CURRENCY)
            .environment("SPIN_VARIABLE_JWKS", issuer.jwks())
            .environment("SPIN_VARIABLE_TOKEN_ISSUER", ISSUER)
            .environment("SPIN_VARIABLE_TOKEN_AUDIENCE", AUDIENCE);
        Ok(Self { app, issuer })
    }

    /// Starts the shop, and tells how long it took until the catalogue answered.
    pub(crate) fn start(&self) -> Result<(Server, Duration)> {
        self.app.start(READY_PATH)
    }

    /// Starts a host for this component alone, and tells how long it took until that was ready.
    pub(crate) fn start_alone(&self, component: &str) -> Result<(Server, Duration)> {
        self.app.start_with("/readyz", &["--component-id", component])
    }

    /// The catalogue's database; complete while the shop is stopped.
    pub(crate) fn database(&self) -> PathBuf {
        self.store("catalog")
    }

    /// The file of the store with this label.
    pub(crate) fn store(&self, label: &str) -> PathBuf {
        store(self.app.folder(), label)
    }

    /// Has the host write a line for each request, of components to each other too, as JSON.
    #[must_use]
    pub(crate) fn with_access_log(mut self) -> Self {
        let settings = [("BODEGA_LOG", "info,access=info"), ("BODEGA_LOG_FORMAT", "json")];
        self.app = settings.into_iter().fold(self.app, |app, (name, value)| app.environment(name, value));
        self
    }

    /// The app's folder.
    pub(crate) fn folder(&self) -> &Path {
        self.app.folder()
    }

    /// `bodega backup` or `bodega restore` of its stores, to be completed with the folder.
    pub(crate) fn stores_command(&self, subcommand: &str) -> Command {
        self.app.located_command(subcommand)
    }

    /// The log of the last start.
    pub(crate) fn log(&self) -> PathBuf {
        self.app.log()
    }

    /// Holds the books of all services against each other: `bodega verify` must find nothing.
    pub(crate) fn verify(&self, server: &Server) -> Result<()> {
        let mut command = self.app.command();
        command.args(["verify", "--url", &server.url("")]);
        let output = command.env("BODEGA_TOKEN", self.issuer.access_token("admin")).output()?;
        let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
        ensure!(output.status.success(), "bodega verify:\n{said}");
        Ok(())
    }

    /// Takes over the catalogue of another shop; both are stopped.
    pub(crate) fn copy_catalogue(&self, other: &Self) -> Result<()> {
        copy_database(&other.database(), &self.database())
    }

    /// Imports all `count` products of the file `rows` (JSONL), and tells how long it took.
    pub(crate) fn import(&self, server: &Server, rows: &Path, count: usize) -> Result<Duration> {
        let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).build().into();
        let request = agent.post(server.url("/api/catalog/import")).content_type("application/jsonl");
        let request = request.header("authorization", format!("Bearer {}", self.issuer.access_token("staff")));
        let begin = Instant::now();
        let mut answer = request.send(File::open(rows)?)?;
        let report = answer.body_mut().read_to_string()?;
        let elapsed = begin.elapsed();
        let imported = serde_json::from_str::<Value>(&report).ok().and_then(|report| report["imported"].as_u64());
        ensure!(answer.status() == 200 && imported == Some(count as u64), "{}: {report}", answer.status());
        Ok(elapsed)
    }
}

/// A runtime configuration with all stores of the manifest, in `folder`.
fn stores(manifest: &str, folder: &Path) -> Result<String> {
    let manifest: Table = manifest.parse().context("spin.toml")?;
    let components = manifest.get("component").and_then(toml::Value::as_table).context("no components")?;
    let mut config = String::new();
    for (kind, list) in [("sqlite_database", "sqlite_databases"), ("key_value_store", "key_value_stores")] {
        let labels = components.values().filter_map(|component| component.get(list)?.as_array());
        let labels: BTreeSet<&str> = labels.flatten().filter_map(toml::Value::as_str).collect();
        for label in labels {
            let path = store(folder, label);
            config.push_str(&format!("[{kind}.{label}]\ntype = \"spin\"\npath = {path:?}\n"));
        }
    }
    Ok(config)
}

/// Where the store with this label is.
fn store(folder: &Path, label: &str) -> PathBuf {
    folder.join(format!("{label}.db"))
}

/// The manifest with the paths of its components made absolute and the internal routes of the catalogue reachable.
fn with_public_internals(manifest: &str, repository: &Path) -> Result<String> {
    let mut manifest: Table = manifest.parse().context("spin.toml")?;
    let components = manifest.get_mut("component").and_then(toml::Value::as_table_mut).context("no components")?;
    for (_, component) in components.iter_mut() {
        if let Some(toml::Value::String(source)) = component.get_mut("source") {
            *source = repository.join(&*source).to_str().context("a path that is not UTF-8")?.to_owned();
        }
    }
    let triggers = manifest.get_mut("trigger").and_then(|triggers| triggers.get_mut("http"));
    let triggers = triggers.and_then(toml::Value::as_array_mut).context("no triggers")?;
    let internal = [("route", "/internal/..."), ("component", "catalog")];
    triggers.push(Table::from_iter(internal.map(|(key, value)| (key.to_owned(), value.into()))).into());
    Ok(manifest.to_string())
}

/// Copies a database that nobody has open.
pub(crate) fn copy_database(from: &Path, to: &Path) -> Result<()> {
    let log = from.with_extension("db-wal");
    let complete = fs::metadata(&log).map_or(true, |log| log.len() == 0);
    ensure!(complete, "the host ended without moving its write-ahead log into the database");
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_keeps_all_but_where_it_is_and_what_is_private() {
        let manifest = r#"
            spin_manifest_version = 2
            [application]
            name = "shop"
            [[trigger.http]]
            route = "/api/products/..."
            component = "catalog"
            [component.catalog]
            source = "target/catalog.wasm"
            sqlite_databases = ["catalog"]
            key_value_stores = ["cart"]
        "#;
        let changed: Table = with_public_internals(manifest, Path::new("/repo")).unwrap().parse().unwrap();
        let triggers = changed["trigger"]["http"].as_array().unwrap();
        assert_eq!(triggers.len(), 2);
        assert_eq!(triggers[0]["route"].as_str(), Some("/api/products/..."));
        assert_eq!(triggers[1]["route"].as_str(), Some("/internal/..."));
        let catalog = &changed["component"]["catalog"];
        assert_eq!(catalog["source"].as_str(), Some("/repo/target/catalog.wasm"));
        assert_eq!(catalog["sqlite_databases"].as_array().unwrap().len(), 1);
        assert!(with_public_internals("[application]\n", Path::new("/repo")).is_err());
        let config: Table = stores(manifest, Path::new("/state")).unwrap().parse().unwrap();
        assert_eq!(config["sqlite_database"]["catalog"]["path"].as_str(), Some("/state/catalog.db"));
        assert_eq!(config["key_value_store"]["cart"]["path"].as_str(), Some("/state/cart.db"));
    }

    #[test]
    fn a_database_is_copied_only_when_it_is_complete() {
        let folder = tempfile::tempdir().unwrap();
        let (from, to) = (folder.path().join("a.db"), folder.path().join("b.db"));
        fs::write(&from, "pages").unwrap();
        fs::write(folder.path().join("a.db-wal"), "").unwrap();
        copy_database(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(&to).unwrap(), "pages");
        fs::write(folder.path().join("a.db-wal"), "more pages").unwrap();
        assert!(copy_database(&from, &to).is_err());
    }
}
