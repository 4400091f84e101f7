//! `bodega upgrade`: has a new process of the host take over from the running one, with no request lost.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;

use super::control::HostArgs;
use super::remote;
use crate::admin::upgrade::UPGRADE_PATH;
use crate::generated;

/// Arguments of `bodega upgrade`.
#[derive(Debug, clap::Args)]
pub(super) struct Upgrade {
    /// The program to go on with; by default the one that the running host was started from, as it is at its path now.
    #[arg(long, value_name = "PROGRAM")]
    binary: Option<PathBuf>,
    /// How long the new process may take until it answers requests; then it is ended, and the old one goes on.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "60s")]
    timeout: Duration,
    /// Why, for those who read the log of actions.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    host: HostArgs,
}

impl Upgrade {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let program = self.binary.as_ref().map(std::path::absolute).transpose()?;
        let program = program.map(|path| path.into_os_string().into_string());
        let program = program.transpose().map_err(|_| anyhow::anyhow!("the program's path has to be UTF-8"))?;
        let timeout_ms = self.timeout.as_millis().to_string();
        // That which only the host's own user can read.
        let control = self.host.connect(|| Ok(generated::upgrade_token(&self.host.state())?))?;
        let mut query = vec![("timeout_ms", timeout_ms.as_str()), ("why", &self.why)];
        query.extend(program.as_deref().map(|program| ("program", program)));
        let done = remote::runtime()?.block_on(control.post(UPGRADE_PATH, &query, Bytes::new()))?;
        let pid = done["pid"].as_u64().context("the host's answer is not understood")?;
        println!("process {pid} has taken over; the former one finishes what it has begun");
        Ok(())
    }
}
