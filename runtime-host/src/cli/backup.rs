//! `bodega backup` and `bodega restore`: consistent copies of all stores.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use http::Request;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt as _, Full};
use serde::Deserialize;

use super::advice::{about_stores, advise};
use super::remote::{Application, TlsArgs, actor};
use super::{ManifestArgs, StateDirArgs, runtime_config};
use crate::admin::ACTOR;
use crate::admin::backup::BACKUP_PATH;
use crate::app::stores_config;
use crate::generated::admin_token;
use crate::state_dir::{RunningHost, StateDir};
use crate::stores::{self, Others, RestoreError, Stores, StoresConfig, StoresError};

/// Which stores, as `up` finds them.
#[derive(Debug, clap::Args)]
struct StoreArgs {
    #[command(flatten)]
    manifest: ManifestArgs,
    #[command(flatten)]
    state_dir: StateDirArgs,
    /// Where the stores are, by label.
    #[arg(long, env = "RUNTIME_CONFIG_FILE")]
    runtime_config_file: Option<PathBuf>,
}

impl StoreArgs {
    fn open(&self) -> anyhow::Result<(StateDir, StoresConfig)> {
        let manifest = self.manifest.load()?;
        let runtime = runtime_config(&self.manifest, self.runtime_config_file.as_deref())?;
        let state = self.state_dir.open(&runtime)?;
        let config = stores_config(&manifest, &runtime, &state);
        Ok((state, config))
    }
}

/// Arguments of `bodega backup`.
#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The folder to copy to; it is made, or has to be empty.
    folder: PathBuf,
    /// Why, for those who read the log of actions of a running host.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    stores: StoreArgs,
    /// The admin token of the host that has the stores; by default the one in the state folder. Better given in the environment,
    /// where other users do not see it.
    #[arg(long, env = "BODEGA_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

/// What a host says that it copied.
#[derive(Debug, Deserialize)]
struct Copied {
    /// A host of an earlier version copies all that it has.
    #[serde(default)]
    not_copied: Vec<String>,
}

impl Backup {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (state, config) = self.stores.open()?;
        // Opening the stores would make what is missing, and copy nothing without a word. Who has them open may have fewer of them.
        if let Some(missing) = config.missing_file()
            && !stores::is_in_use(state.path())
        {
            let missing = missing.display();
            bail!(
                "there is no store {missing}; run the command in the application's folder, with the --state-dir of `bodega up`"
            );
        }
        let folder = std::path::absolute(&self.folder)?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let not_copied = match Stores::open(&config) {
                Ok(stores) => {
                    let report = stores.backup(&folder).await?;
                    stores.close(Others::None).await;
                    report.not_copied
                }
                // A host has the stores; it makes the copy while it serves.
                Err(StoresError::InUse(_)) => {
                    let host = state
                        .running_host()
                        .context("another process has the state folder and does not say where it answers")?;
                    let token = self.admin_token.clone().map_or_else(|| admin_token(&state), Ok)?;
                    self.ask(host, token, &folder).await?.not_copied
                }
                Err(error) => return Err(error.into()),
            };
            println!("backup written to {}", folder.display());
            for store in not_copied {
                println!("not in it: {store}; copy it there");
            }
            Ok(())
        })
    }

    /// Has the host that has the stores copy them.
    async fn ask(&self, host: RunningHost, token: String, folder: &Path) -> anyhow::Result<Copied> {
        let body = serde_json::json!({ "folder": folder, "why": self.why }).to_string();
        let request = Request::post(BACKUP_PATH).header(CONTENT_TYPE, "application/json").header(ACTOR, actor());
        let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
        let host = Application { url: host.admin_url, token, token_is_given: true, tls: self.tls.clone() };
        let answer = host.send(request, body).await.context("the host could not make the backup")?;
        let answer = answer.into_body().collect().await.context("the host's answer breaks off")?.to_bytes();
        serde_json::from_slice(&answer).context("the host's answer cannot be read")
    }
}

/// Arguments of `bodega restore`.
#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// The folder that `bodega backup` wrote.
    folder: PathBuf,
    /// Replace stores that are there already.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    stores: StoreArgs,
}

impl Restore {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (state, config) = self.stores.open()?;
        stores::restore(&self.folder, &config, self.force).map_err(|error| match error {
            RestoreError::StateDir(error) => about_stores(error, &state),
            RestoreError::Exists(_) => {
                advise(error, "give --force to replace it, or name another folder with --state-dir")
            }
            error => error.into(),
        })?;
        println!("restored {}", self.folder.display());
        Ok(())
    }
}
