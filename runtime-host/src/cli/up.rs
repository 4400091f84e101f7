//! `bodega up`: starts the application and serves it until a signal ends it.

mod serve;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;

use super::application::ApplicationArgs;
use super::build;
use crate::generated;
use crate::listener::{self, TlsFiles};
use crate::service_manager::PassedSockets;
use crate::state_dir::StateDir;
use crate::telemetry::logs::{self, Format};
use crate::upgrade::Former;

/// Bytes that an admin token has at least, so that nobody guesses it.
const ADMIN_TOKEN_BYTES_MIN: usize = 16;

/// Arguments of `bodega up`.
#[derive(Debug, clap::Args)]
pub(super) struct Up {
    #[command(flatten)]
    application: ApplicationArgs,
    /// Where the application answers, unless systemd passes a socket.
    #[arg(long, env = "SPIN_HTTP_LISTEN_ADDR", default_value = "127.0.0.1:3000")]
    listen: SocketAddr,
    /// Where metrics and the control API answer, unless systemd passes a socket named `admin`.
    #[arg(long, env = "BODEGA_ADMIN_LISTEN", default_value = "127.0.0.1:3001")]
    admin_listen: SocketAddr,
    /// The token that the control API asks for, of at least 16 characters; by default one that is generated and kept in the state
    /// folder. Better given in the environment, where other users do not see it.
    #[arg(long, env = "BODEGA_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Run the components' build commands first.
    #[arg(short = 'b', long)]
    build: bool,
    /// Fill the application with the manifest's demo data once it answers.
    #[arg(long)]
    demo: bool,
    /// Serve TLS with this certificate chain (PEM); read again when it changes.
    #[arg(long, requires = "tls_key", env = "SPIN_TLS_CERT")]
    tls_cert: Option<PathBuf>,
    /// The certificate's private key (PEM).
    #[arg(long, requires = "tls_cert", env = "SPIN_TLS_KEY")]
    tls_key: Option<PathBuf>,
    /// The certificate authorities (PEM) of clients: who shows a certificate has to have it from them. Nobody needs one, but where
    /// `gateway.toml` says so. Read at the start only.
    #[arg(long, requires = "tls_cert", env = "BODEGA_TLS_CLIENT_CA")]
    tls_client_ca: Option<PathBuf>,
    /// Serve the admin listener with TLS and this certificate chain (PEM); read again when it changes.
    #[arg(long, requires = "admin_tls_key", env = "BODEGA_ADMIN_TLS_CERT")]
    admin_tls_cert: Option<PathBuf>,
    /// That certificate's private key (PEM).
    #[arg(long, requires = "admin_tls_cert", env = "BODEGA_ADMIN_TLS_KEY")]
    admin_tls_key: Option<PathBuf>,
    /// The certificate authorities (PEM) of those who may use the control API: it asks for a certificate of theirs instead of the
    /// admin token. `/metrics` and the probes need none. Read at the start only.
    #[arg(long, requires = "admin_tls_cert", env = "BODEGA_ADMIN_CLIENT_CA")]
    admin_client_ca: Option<PathBuf>,
    /// How the log is written.
    #[arg(long, value_enum, default_value_t = Format::Human, env = "BODEGA_LOG_FORMAT")]
    log_format: Format,
    /// What the log shows, as a filter such as `info`, `runtime_host=debug`, or `info,access=info` for a line per request.
    #[arg(long, default_value = "info", env = "BODEGA_LOG")]
    log: String,
    #[command(flatten)]
    limits: LimitArgs,
}

/// Bounds on connections and requests.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
struct LimitArgs {
    /// Threads that answer requests; by default one for each core.
    #[arg(long)]
    workers: Option<std::num::NonZeroUsize>,
    /// Connections open at once.
    #[arg(long)]
    connections_max: Option<usize>,
    /// A request body, in bytes; 0 for no bound.
    #[arg(long)]
    body_bytes_max: Option<u64>,
    /// Request line and headers, in bytes.
    #[arg(long)]
    header_bytes_max: Option<u32>,
    /// How long a request's headers may take.
    #[arg(long)]
    header_read_timeout_ms: Option<u64>,
    /// How long a connection is kept without a request.
    #[arg(long)]
    connection_idle_timeout_ms: Option<u64>,
    /// How long the next piece of a request's body may take.
    #[arg(long)]
    body_read_timeout_ms: Option<u64>,
    /// How long a client may take nothing of an answer.
    #[arg(long)]
    write_timeout_ms: Option<u64>,
    /// How long open requests may take to finish after SIGTERM.
    #[arg(long, env = "BODEGA_DRAIN_TIMEOUT_MS")]
    drain_timeout_ms: Option<u64>,
    /// How long `/readyz` fails before connections are refused after SIGTERM.
    #[arg(long, env = "BODEGA_READINESS_DELAY_MS")]
    readiness_delay_ms: Option<u64>,
}

impl Up {
    pub(super) fn run(self) -> anyhow::Result<()> {
        // Dropped last, so that the last lines are written too.
        let _log = logs::init(self.log_format, &self.log)?;
        let mut former = Former::find()?;
        let passed = match &mut former {
            Some(former) => former.take_sockets(),
            None => PassedSockets::take()?,
        };
        let result = self.run_with(passed, former.as_mut());
        if let (Err(error), Some(former)) = (&result, &former) {
            former.failed(error);
        }
        result
    }

    fn run_with(mut self, passed: PassedSockets, former: Option<&mut Former>) -> anyhow::Result<()> {
        self.application.fetch()?;
        // Before minutes of building end in a mistake that was there to be seen.
        let described = self.application.read()?;
        // Who takes over takes what is there.
        if self.build && former.is_none() {
            build::build(&described.manifest, &[], None)?;
        }
        described.manifest.check_sources()?;

        // The acceptor and the admin listener need no more than one thread; requests have their own.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        runtime.block_on(self.serve(described, passed, former))
    }

    fn admin_token(&self, state: &StateDir) -> anyhow::Result<String> {
        match &self.admin_token {
            Some(token) if token.len() < ADMIN_TOKEN_BYTES_MIN => {
                bail!("the admin token is too short: expected at least {ADMIN_TOKEN_BYTES_MIN} characters")
            }
            Some(token) => Ok(token.clone()),
            None => Ok(generated::admin_token(state)?),
        }
    }

    fn readiness_delay(&self) -> Duration {
        self.limits.readiness_delay_ms.map(Duration::from_millis).unwrap_or_default()
    }

    fn admin_tls(&self) -> Option<TlsFiles> {
        let files = self.admin_tls_cert.clone().zip(self.admin_tls_key.clone());
        let client_authorities = self.admin_client_ca.clone();
        files.map(|(certificate, key)| TlsFiles { certificate, key, client_authorities })
    }

    fn listener_config(&self) -> listener::Config {
        let mut config = listener::Config::new(self.listen);
        let args = &self.limits;
        let tls = self.tls_cert.clone().zip(self.tls_key.clone());
        let client_authorities = self.tls_client_ca.clone();
        config.tls = tls.map(|(certificate, key)| TlsFiles { certificate, key, client_authorities });
        config.workers = args.workers.unwrap_or(config.workers);
        config.connections_max = args.connections_max.unwrap_or(config.connections_max);
        config.drain_timeout = args.drain_timeout_ms.map_or(config.drain_timeout, Duration::from_millis);
        let limits = &mut config.limits;
        limits.body_bytes_max = args.body_bytes_max.map_or(limits.body_bytes_max, |bytes| (bytes > 0).then_some(bytes));
        limits.header_bytes_max = args.header_bytes_max.unwrap_or(limits.header_bytes_max);
        limits.header_read_timeout =
            args.header_read_timeout_ms.map_or(limits.header_read_timeout, Duration::from_millis);
        limits.idle_timeout = args.connection_idle_timeout_ms.map_or(limits.idle_timeout, Duration::from_millis);
        limits.body_read_timeout = args.body_read_timeout_ms.map_or(limits.body_read_timeout, Duration::from_millis);
        limits.write_timeout = args.write_timeout_ms.map_or(limits.write_timeout, Duration::from_millis);
        config
    }
}

#[cfg(test)]
mod tests;
