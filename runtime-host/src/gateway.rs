//! The edge: what is done with every request before a component sees it, and with every answer before the client does.
//!
//! `gateway.toml` says what; without it nothing is done, but that headers which name who asks are taken away.
//! The configuration is replaced as a whole: a request is worked on by the one that was in force when it came.

mod access_log;
pub mod cache;
mod client;
mod compression;
mod configuration;
mod cors;
mod explain;
mod forwarding;
#[cfg(test)]
mod fuzz;
mod header_edits;
mod json_edits;
mod machines;
mod passage;
mod policies;
mod principal;
mod rate_limit;
mod resilience;
mod rule;
mod target;
mod tokens;
mod upstream;
mod validators;

use std::convert::Infallible;
use std::io;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::time::sleep;

pub use access_log::AccessLog;
pub use client::Client;
pub use compression::{BYTES_PER_TURN, Body as BodyAfter, Compressed, Leave};
pub use configuration::{Configuration, FILE_NAME};
pub use forwarding::{Places, Retries};
pub use json_edits::{JsonEdits, NotEdited};
pub use passage::{Passage, Refusal, announced_bytes};
pub use policies::Timeouts;
pub use principal::Principal;
pub use resilience::{Attempt, Change, Guard};
pub use target::Target;
pub use tokens::KeySource;
pub use upstream::{Body, BoxError, Chosen, Connection, SendError, TlsSource, Upstream};

use cache::{Cache, PURGE};
use upstream::Upkeep;

use crate::config_file::ConfigError;
use crate::manifest::Manifest;
use crate::variables::Variables;

/// How often the file is looked at.
const FILE_CHECK_PERIOD: Duration = Duration::from_secs(1);

/// The gateway with the configuration that is in force.
pub struct Gateway {
    configuration: ArcSwap<Configuration>,
    file: Option<File>,
    tls: TlsSource,
    /// There is another configuration.
    changed: Notify,
}

/// Where the configuration comes from, and what it is for.
struct File {
    path: PathBuf,
    manifest: Manifest,
    variables: Variables,
    /// As the file was when it was last read; held while it is.
    read: Mutex<Option<FileState>>,
}

/// What changes whenever a file does: its time and its length.
type FileState = (SystemTime, u64);

/// What is written down of requests now.
#[derive(Debug)]
pub struct AccessLogInForce(Arc<Configuration>);

impl Deref for AccessLogInForce {
    type Target = AccessLog;

    fn deref(&self) -> &AccessLog {
        &self.0.access_log
    }
}

impl Gateway {
    /// The gateway of an application, as the file at `path` says, or one that does nothing.
    ///
    /// `tls` is how servers of upstreams are made sure of.
    pub fn open(
        path: Option<&Path>,
        manifest: &Manifest,
        variables: &Variables,
        tls: TlsSource,
    ) -> Result<Self, ConfigError> {
        let file = path.map(|path| File {
            path: path.to_owned(),
            manifest: manifest.clone(),
            variables: variables.clone(),
            read: Mutex::default(),
        });
        let configuration = file.as_ref().map(|file| file.load(|| file.parse(None))).transpose()?.unwrap_or_default();
        Ok(Self { configuration: ArcSwap::from_pointee(configuration), file, tls, changed: Notify::new() })
    }

    /// Has requests that come from now on worked on as the file says now. If there is a mistake in it, nothing changes.
    ///
    /// Tells how many rules there are; `None` if the gateway has no file.
    pub fn reload(&self) -> Result<Option<usize>, ConfigError> {
        let Some(file) = &self.file else { return Ok(None) };
        file.load(|| {
            let configuration = file.parse(Some(&self.configuration.load()))?;
            let rules = configuration.rules();
            self.configuration.store(Arc::new(configuration));
            self.changed.notify_one();
            Ok(Some(rules))
        })
    }

    /// How servers of upstreams are made sure of.
    pub fn tls(&self) -> &TlsSource {
        &self.tls
    }

    /// Reloads when the file changes, and on SIGHUP, and looks after the upstreams; for ever.
    pub async fn keep_up(&self) -> io::Result<Infallible> {
        let Some(file) = &self.file else { return std::future::pending().await };
        let mut hangup = signal(SignalKind::hangup())?;
        let mut seen = file.state();
        let mut upkeep = Upkeep::default();
        loop {
            upkeep.look_after(&self.configuration.load().upstreams, &self.tls);
            let is_asked = tokio::select! {
                // Its upstreams are looked after at once.
                () = self.changed.notified() => continue,
                Some(()) = hangup.recv() => true,
                () = sleep(FILE_CHECK_PERIOD) => false,
            };
            let state = file.state();
            // One that is gone, or that goes on changing, is just being written.
            let is_settled = state.is_some() && std::mem::replace(&mut seen, state) == state;
            if !is_asked && (!is_settled || state == *lock(&file.read)) {
                continue;
            }
            match self.reload() {
                Ok(Some(rules)) => tracing::info!(rules, "the gateway's configuration was read again"),
                Ok(None) => {}
                Err(error) => tracing::error!("the gateway goes on with the former configuration: {error}"),
            }
        }
    }

    /// What is written down of requests.
    pub fn access_log(&self) -> AccessLogInForce {
        AccessLogInForce(self.configuration.load_full())
    }

    /// Its cache, if any rule has one.
    pub fn cache(&self) -> Option<Arc<Cache>> {
        self.configuration.load().cache.clone()
    }

    /// Takes out of a component's answer what it says has changed, and purges that. The answer may go on now.
    pub fn take_purges(&self, answer: &mut HeaderMap) -> Option<Purge> {
        if !answer.contains_key(PURGE) {
            return None;
        }
        let tags: Vec<HeaderValue> = answer.get_all(PURGE).iter().cloned().collect();
        answer.remove(PURGE);
        let purge = Purge { cache: self.cache()?, tags };
        purge.again();
        Some(purge)
    }

    /// A request comes in.
    pub fn enter(&self, request: &mut Parts, peer: Client) -> Passage {
        Passage::enter(self.configuration.load_full(), request, peer)
    }
}

/// What an answer says has changed.
#[derive(Clone)]
pub struct Purge {
    cache: Arc<Cache>,
    tags: Vec<HeaderValue>,
}

impl Purge {
    /// Purges it once more: an answer whose body takes a while may tell of changes that are still to come.
    pub fn again(&self) {
        self.tags.iter().filter_map(|tags| tags.to_str().ok()).for_each(|tags| self.cache.purge_tags(tags));
    }
}

impl File {
    /// Does `read`, which is all that happens with the file meanwhile.
    fn load<T>(&self, read: impl FnOnce() -> Result<T, ConfigError>) -> Result<T, ConfigError> {
        let mut state = lock(&self.read);
        *state = self.state();
        read()
    }

    fn parse(&self, former: Option<&Configuration>) -> Result<Configuration, ConfigError> {
        let configuration = Configuration::load(&self.path, &self.manifest, Some(&self.variables), former)?;
        for doubt in configuration.doubts(&self.path, &self.manifest) {
            tracing::warn!("{doubt}");
        }
        Ok(configuration)
    }

    /// What changes whenever the file does.
    fn state(&self) -> Option<FileState> {
        let metadata = std::fs::metadata(&self.path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What it guards is whole at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("configuration", &self.configuration.load()).finish_non_exhaustive()
    }
}
