//! `bodega purge`: drops answers that the gateway of the running host has stored.

use anyhow::Context as _;
use bytes::Bytes;

use super::control::AdminArgs;
use super::remote;
use crate::admin::gateway::PURGE_PATH;

/// Arguments of `bodega purge`.
#[derive(Debug, clap::Args)]
pub(super) struct Purge {
    #[command(flatten)]
    what: What,
    /// Why, for those who read the log of actions.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    admin: AdminArgs,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct What {
    /// Those of this URL or path, with its query, at whatever host.
    #[arg(long)]
    url: Option<String>,
    /// Those with this surrogate key.
    #[arg(long)]
    tag: Option<String>,
    /// All of them.
    #[arg(long)]
    all: bool,
}

impl Purge {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let What { url, tag, all } = &self.what;
        let mut query = vec![("why", self.why.as_str())];
        query.extend(url.as_deref().map(|url| ("url", url)));
        query.extend(tag.as_deref().map(|tag| ("tag", tag)));
        query.extend(all.then_some(("all", "true")));
        let control = self.admin.connect()?;
        let done = remote::runtime()?.block_on(control.post(PURGE_PATH, &query, Bytes::new()))?;
        println!("purged {}", done["purged"].as_str().context("the host's answer is not understood")?);
        Ok(())
    }
}
