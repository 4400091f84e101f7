//! A stopped application, loaded to be asked by this process alone: nothing listens, and nothing is done by schedule.

use std::fs;
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::uri::{Authority, Scheme};
use http::{HeaderValue, Request};
use http_body_util::{BodyExt as _, Empty};
use identity::Role;

use crate::app::Worker;
use crate::cli::application::{ApplicationArgs, Loaded};
use crate::cli::remote::{self, RemoteArgs};
use crate::engine::outbound_http::ServiceChain as _;
use crate::stores::{Others, Stores};
use crate::telemetry::request_context::RequestContext;

/// The name that its requests are for.
const HOST: &str = "localhost";
/// Where it notes which components it was loaded with, in the state folder. The host's own notes stay as they are, and with
/// them the rollouts that it is to go on with: the books are read by the manifest's own components.
const NOTES: &str = "verify";

/// The application.
pub(super) struct Stopped {
    worker: Arc<Worker>,
    stores: Stores,
    notes: PathBuf,
    authorization: HeaderValue,
    token_is_given: bool,
}

impl Stopped {
    /// Loads it on this thread, whose runtime its components then run on. Refuses where another host has the stores.
    pub(super) async fn load(application: &ApplicationArgs, remote: &RemoteArgs) -> anyhow::Result<Self> {
        let mut described = application.read()?;
        described.manifest.check_sources()?;
        // Who looks changes nothing.
        described.manifest.components.iter_mut().for_each(|component| component.migration = None);
        let state = application.state_dir.open(&described.config)?;
        // Opening the stores would make what is missing, and then all would agree.
        if let Some(missing) = application.stores(&described, &state).missing_file() {
            bail!(
                "no host uses the state folder {}, and there is no store {}; run the command in the application's folder, \
                 with the --state-dir of `bodega up`, or give the --url of a running application",
                state.path().display(),
                missing.display()
            );
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {}", remote.token(&state, Role::Admin)?))?;
        authorization.set_sensitive(true);
        let notes = state.path().join(NOTES);
        // What a command left that was killed. None runs now that has the stores, which the next step shows.
        remove(&notes)?;
        let Loaded { app, stores, .. } = application.load(&described, &state, &notes, NonZeroUsize::MIN, None).await?;
        app.listens_on(Scheme::HTTP, Authority::from_static(HOST));
        let worker = Worker::new(app, 0);
        Ok(Self { worker, stores, notes, authorization, token_is_given: remote.token_is_given() })
    }

    /// The answer to GET of a path with its query; one that is no success becomes an error with its words.
    pub(super) async fn ask(&self, path: &str) -> anyhow::Result<Bytes> {
        let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let request = Request::get(path).header(AUTHORIZATION, &self.authorization).body(body)?;
        let answer = self.worker.clone().call_self(request, RequestContext::default());
        let answer = answer.context("the application does not answer")?.await;
        let status = answer.status();
        let body = answer.into_body().collect().await.context("the application's answer breaks off")?.to_bytes();
        match status.is_success() {
            true => Ok(body),
            false => bail!("{}", remote::refusal(status, &body, self.token_is_given)),
        }
    }

    /// Leaves all as it was.
    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.stores.close(Others::None).await;
        remove(&self.notes)
    }
}

fn remove(notes: &Path) -> anyhow::Result<()> {
    match fs::remove_dir_all(notes) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", notes.display()))
        }
        _ => Ok(()),
    }
}
