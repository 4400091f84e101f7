//! `bodega stores`: serves the application's SQLite databases to other hosts.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use http::uri::Scheme;

use super::advice::{about_address, about_stores};
use super::{ManifestArgs, StateDirArgs, runtime_config};
use crate::admin::{self, Admin};
use crate::app::{sqlite_settings, stores_config};
use crate::generated;
use crate::listener::{Config, Listener, TlsFiles, drain_on_signals};
use crate::manifest::Manifest;
use crate::service_manager;
use crate::state_dir::{RunningHost, StateDir};
use crate::store_server::{PIPELINE_BYTES_MAX, Serving, StoreServer};
use crate::stores::sqlite::{Location, Settings};
use crate::stores::{Others, SqliteConfig, Stores, StoresConfig};
use crate::telemetry::Telemetry;
use crate::telemetry::logs::{self, Format};

/// Bytes that a token has at least, so that nobody guesses it.
const TOKEN_BYTES_MIN: usize = 16;

/// Arguments of `bodega stores`.
#[derive(Debug, clap::Args)]
pub(super) struct StoresCommand {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    state_dir: StateDirArgs,
    /// Where the databases are, by label. One that it has elsewhere, or not at all, is `LABEL.db` in the state folder.
    #[arg(long, env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
    /// Serve the database of this label; may be given several times. By default all that the manifest's components use.
    #[arg(long = "label", env = "BODEGA_STORES_LABELS", value_delimiter = ',')]
    label: Vec<String>,
    /// Where the databases are served.
    #[arg(long, env = "BODEGA_STORES_LISTEN", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Where metrics and the backup API answer.
    #[arg(long, env = "BODEGA_ADMIN_LISTEN", default_value = "127.0.0.1:3001")]
    admin_listen: SocketAddr,
    /// The token that clients show, of at least 16 characters; by default one that is generated and kept in the state folder. Better
    /// given in the environment, where other users do not see it.
    #[arg(long, env = "BODEGA_STORES_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// The token that the backup API asks for; by default one that is generated and kept in the state folder.
    #[arg(long, env = "BODEGA_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Serve TLS with this certificate chain (PEM); read again when it changes.
    #[arg(long, requires = "tls_key", env = "BODEGA_STORES_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, requires = "tls_cert", env = "BODEGA_STORES_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = Format::Human, env = "BODEGA_LOG_FORMAT")]
    log_format: Format,
    /// What the log shows, as a filter such as `info`.
    #[arg(long, default_value = "info", env = "BODEGA_LOG")]
    log: String,
    /// How long open pipelines may take to finish after SIGTERM.
    #[arg(long)]
    drain_timeout_ms: Option<u64>,
}

impl StoresCommand {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // Dropped last, so that the last lines are written too.
        let _log = logs::init(self.log_format, &self.log)?;
        let runtime = runtime_config(&self.manifest, self.runtime_config_file.as_deref())?;
        // With labels, no manifest is needed: its settings apply where there is one.
        let manifest = match self.manifest.path().exists() || self.label.is_empty() {
            true => Some(self.manifest.load()?),
            false => None,
        };
        let state = self.state_dir.open(&runtime)?;
        let all =
            manifest.as_ref().map_or_else(|| StoresConfig::new(state.path()), |m| stores_config(m, &runtime, &state));
        let labels = self.labels(manifest.as_ref())?;
        let config = served(all, manifest.as_ref(), &labels, &state);
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?.block_on(self.serve(
            &config,
            manifest.as_ref(),
            &state,
        ))
    }

    fn labels(&self, manifest: Option<&Manifest>) -> anyhow::Result<Vec<String>> {
        if !self.label.is_empty() {
            return Ok(self.label.clone());
        }
        let components = manifest.into_iter().flat_map(|manifest| &manifest.components);
        let mut labels: Vec<String> =
            components.flat_map(|component| &component.sqlite_databases).map(|label| label.value.clone()).collect();
        labels.sort();
        labels.dedup();
        if labels.is_empty() {
            bail!("no component of the manifest has `sqlite_databases`; name what to serve with --label");
        }
        Ok(labels)
    }

    async fn serve(self, config: &StoresConfig, manifest: Option<&Manifest>, state: &StateDir) -> anyhow::Result<()> {
        let token = token_of(self.token.as_deref(), "stores", || Ok(generated::stores_token(state)?))?;
        let admin_token = token_of(self.admin_token.as_deref(), "admin", || Ok(generated::admin_token(state)?))?;
        let application = manifest.map(|manifest| &manifest.application);
        let name = application.map_or("stores", |application| &application.name);
        let version = application.map_or("", |application| &application.version);
        let telemetry = Arc::new(Telemetry::new(name, version));
        let stores = Stores::open(config).map_err(|error| about_stores(error, state))?;
        let databases = config.sqlite.keys().filter_map(|label| Some((label.clone(), stores.sqlite(label)?)));
        let databases: BTreeMap<_, _> = databases.collect();
        let labels: Vec<String> = databases.keys().cloned().collect();
        let server = StoreServer::new(databases, token, telemetry.clone());

        let drain = drain_on_signals(telemetry.health.clone(), Duration::ZERO)?;
        let mut listener = Config::new(self.listen);
        listener.tls = self.tls_cert.clone().zip(self.tls_key.clone()).map(|(certificate, key)| TlsFiles {
            certificate,
            key,
            client_authorities: None,
        });
        listener.limits.body_bytes_max = Some(PIPELINE_BYTES_MAX);
        listener.drain_timeout = self.drain_timeout_ms.map_or(listener.drain_timeout, Duration::from_millis);
        let connections_max = listener.connections_max as u64;
        let scheme = if listener.tls.is_some() { Scheme::HTTPS } else { Scheme::HTTP };
        let listener = Listener::bind(listener, None).await.map_err(|error| about_address(error, "--listen"))?;
        let admin = Admin::bind(self.admin_listen, None, None).await;
        let admin = admin.map_err(|error| about_address(error, "--admin-listen"))?;
        let url = format!("{scheme}://{}", listener.local_addr());
        let admin_url = format!("http://{}", admin.local_addr());
        state.announce(&RunningHost { pid: std::process::id(), url: url.clone(), admin_url: admin_url.clone() })?;

        let open = listener.open_connections();
        let metrics = &telemetry.metrics;
        metrics
            .gauge("bodega_connections_open", "Open connections of the stores' listener.", move || open.count() as u64);
        metrics.gauge("bodega_connections_max", "Connections that may be open at once.", move || connections_max);
        let streams = server.clone();
        metrics.gauge("bodega_stores_streams_open", "Streams between two pipelines.", move || {
            streams.streams_open() as u64
        });
        let routes = admin::backup::add_alone(admin::routes(&telemetry), &admin_token, stores.clone());
        let admin = tokio::spawn(admin.run(routes, drain.clone()));
        let closing = server.clone();
        let closing = tokio::spawn(async move { closing.close_idle_streams().await });
        let disk = tokio::spawn(telemetry.clone().watch_disk(state.path().to_owned(), stores.files()));
        println!("serving {} on {url}", labels.join(", "));
        println!("admin on {admin_url}");
        let on_serving = || {
            telemetry.health.ready();
            service_manager::notify_ready();
        };
        let drained = listener.run(move |_| Serving(server.clone()), drain.clone(), on_serving).await?;
        closing.abort();
        disk.abort();
        stores.close(Others::None).await;
        drain.end();
        // It ended with the drain; a panic of it is logged and hurts nothing any more.
        let _ = admin.await;
        state.withdraw();
        if drained.connections_cut > 0 {
            tracing::warn!("{} connections were cut because they did not finish in time", drained.connections_cut);
        }
        Ok(())
    }
}

/// The databases of these labels and nothing else.
fn served(all: StoresConfig, manifest: Option<&Manifest>, labels: &[String], state: &StateDir) -> StoresConfig {
    let sqlite = labels.iter().map(|label| {
        let settings = manifest.and_then(|manifest| manifest.application.settings.sqlite_databases.get(label.as_str()));
        let here = || SqliteConfig {
            location: Location::File(state.path().join(format!("{label}.db"))),
            settings: settings.map_or_else(Settings::default, |settings| sqlite_settings(settings)),
        };
        // The clients' configuration, which says that the database is here, may be the same file.
        (label.clone(), all.sqlite.get(label).cloned().unwrap_or_else(here))
    });
    let sqlite = sqlite.collect();
    StoresConfig { state_dir: all.state_dir, sqlite, libsql: BTreeMap::new(), key_value: BTreeMap::new() }
}

fn token_of(
    given: Option<&str>,
    what: &str,
    generated: impl FnOnce() -> anyhow::Result<String>,
) -> anyhow::Result<String> {
    match given {
        Some(token) if token.len() < TOKEN_BYTES_MIN => {
            bail!("the {what} token is too short: expected at least {TOKEN_BYTES_MIN} characters")
        }
        Some(token) => Ok(token.to_owned()),
        None => generated().with_context(|| format!("the {what} token cannot be made")),
    }
}
