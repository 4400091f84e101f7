//! Apps under measurement: each a folder with manifest, stores by label, and the host's state.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::server::Server;

/// An app and the state that the host keeps for it; each start goes on with that state.
pub(crate) struct App {
    host: PathBuf,
    folder: PathBuf,
    environment: Vec<(&'static str, String)>,
}

impl App {
    /// Writes an app into `folder`, which it creates, for the binary `host`.
    pub(crate) fn write(host: &Path, folder: PathBuf, manifest: &str, runtime_config: &str) -> Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("{}", folder.display()))?;
        fs::write(folder.join("spin.toml"), manifest)?;
        fs::write(folder.join("runtime-config.toml"), runtime_config)?;
        Ok(Self { host: host.to_owned(), folder, environment: Vec::new() })
    }

    /// An app of one component, which answers at every path.
    pub(crate) fn of_component(host: &Path, folder: PathBuf, component: &Path, settings: &str) -> Result<Self> {
        let manifest = format!(
            "spin_manifest_version = 2\n[application]\nname = \"hello\"\n\
             [[trigger.http]]\nroute = \"/...\"\ncomponent = \"hello\"\n\
             [component.hello]\nsource = {component:?}\n[component.hello.tool.bodega]\n{settings}\n"
        );
        Self::write(host, folder, &manifest, "")
    }

    /// Sets an environment variable of the host.
    #[must_use]
    pub(crate) fn environment(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.environment.push((name, value.into()));
        self
    }

    /// The app's folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where the host writes its log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Another command of the host, to be completed.
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.host);
        command.current_dir(&self.folder).envs(self.environment.iter().cloned());
        command
    }

    /// A subcommand that is told where the app, its stores and its state are.
    pub(crate) fn located_command(&self, subcommand: &str) -> Command {
        let mut command = self.command();
        command.arg(subcommand).arg("-f").arg(self.folder.join("spin.toml"));
        command.arg("--runtime-config-file").arg(self.folder.join("runtime-config.toml"));
        command.arg("--state-dir").arg(self.folder.join("state"));
        command
    }

    /// Starts the host, and tells how long it took until `path` was answered 200.
    pub(crate) fn start(&self, path: &str) -> Result<(Server, Duration)> {
        self.start_with(path, &[])
    }

    /// The same, with more arguments.
    pub(crate) fn start_with(&self, path: &str, arguments: &[&str]) -> Result<(Server, Duration)> {
        let command = |address: SocketAddr| {
            let mut command = self.located_command("up");
            command.args(arguments);
            command.args(["--admin-listen", "127.0.0.1:0", "--listen"]).arg(address.to_string());
            // The whole catalogue goes in with one request.
            command.args(["--body-bytes-max", "0"]);
            command
        };
        Server::start(command, path, &self.log())
    }
}
