//! An app written down in a folder of its own: manifest, files, settings.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::{fs, io};

use tempfile::TempDir;
use tokio::process::Command;
use tokio::time::timeout;

use crate::host::{Host, PATIENCE};
use crate::programs;

const MANIFEST: &str = "spin.toml";
const RUNTIME_CONFIG: &str = "runtime-config.toml";

/// An app that no host runs yet.
pub struct App {
    folder: TempDir,
    manifest: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    wrapper: Vec<String>,
    shares_code: bool,
    listen: String,
}

impl Default for App {
    fn default() -> Self {
        Self::new()
    }
}

impl App {
    /// An app without components.
    pub fn new() -> Self {
        Self::from_manifest("spin_manifest_version = 2\n[application]\nname = \"under-test\"\n")
    }

    /// An app with `text` as its manifest.
    pub fn from_manifest(text: &str) -> Self {
        crate::client::prepare();
        let folder = TempDir::with_prefix("bodega-test-").expect("a folder for the test");
        let manifest = folder.path().join(MANIFEST);
        fs::write(&manifest, text).expect("the folder is writable");
        Self {
            folder,
            manifest,
            arguments: Vec::new(),
            environment: Vec::new(),
            wrapper: Vec::new(),
            shares_code: true,
            listen: "127.0.0.1:0".to_owned(),
        }
    }

    /// An app whose manifest is a file elsewhere.
    pub fn at(manifest: PathBuf) -> Self {
        Self { manifest, ..Self::new() }
    }

    /// Adds the guest `name` at `/name/...`; `settings` are TOML lines of its `[component.name]` table.
    #[must_use]
    pub fn guest(self, name: &str, settings: &str) -> Self {
        self.guest_at(name, &format!("\"/{name}/...\""), settings)
    }

    /// As [`App::guest`], with the trigger's `route` in TOML.
    #[must_use]
    pub fn guest_at(self, name: &str, route: &str, settings: &str) -> Self {
        let source = programs::component(name);
        self.component(name, route, &source, settings)
    }

    /// Adds a component of any file.
    #[must_use]
    pub fn component(self, name: &str, route: &str, source: &Path, settings: &str) -> Self {
        self.append(&format!(
            "[[trigger.http]]\nroute = {route}\ncomponent = \"{name}\"\n\
             [component.{name}]\nsource = {source:?}\n{settings}\n"
        ))
    }

    /// Adds the guest `misbehave` with the table that it wants to grow.
    #[must_use]
    pub fn misbehaving_guest(self, settings: &str) -> Self {
        let text = programs::repository().join("tests/guests/misbehave/table.wat");
        let table = wat::parse_file(text).expect("table.wat is a component");
        self.file("table.wasm", table).guest(
            "misbehave",
            &format!(
                "allowed_outbound_hosts = [\"http://misbehave.spin.internal\", \"http://self\"]\n\
                 [component.misbehave.dependencies]\n\
                 \"bodega:misbehave/table@1.0.0\" = {{ path = \"table.wasm\" }}\n\
                 [component.misbehave.tool.bodega]\n{settings}"
            ),
        )
    }

    /// Adds the guest `ledger` with its stores.
    #[must_use]
    pub fn ledger(self) -> Self {
        self.guest("ledger", "key_value_stores = [\"default\"]\nsqlite_databases = [\"default\"]")
    }

    /// Adds TOML to the manifest.
    #[must_use]
    pub fn append(self, toml: &str) -> Self {
        let text = fs::read_to_string(&self.manifest).expect("the manifest was written");
        fs::write(&self.manifest, format!("{text}{toml}\n")).expect("the folder is writable");
        self
    }

    /// Puts a file beside the manifest.
    #[must_use]
    pub fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        let path = self.folder().join(path);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("writable");
        fs::write(path, content).expect("the folder is writable");
        self
    }

    /// Gives the app a runtime configuration: the stores by label.
    #[must_use]
    pub fn runtime_config(self, toml: &str) -> Self {
        let path = self.folder().join(RUNTIME_CONFIG);
        let path = path.to_str().expect("test folders are UTF-8").to_owned();
        self.file(RUNTIME_CONFIG, toml).argument("--runtime-config-file").argument(path)
    }

    /// Adds an argument of `bodega up`.
    #[must_use]
    pub fn argument(mut self, argument: impl Into<String>) -> Self {
        self.arguments.push(argument.into());
        self
    }

    /// Sets an environment variable of the host.
    #[must_use]
    pub fn environment(mut self, name: &str, value: impl Into<String>) -> Self {
        self.environment.push((name.to_owned(), value.into()));
        self
    }

    /// Has it answer at this address, for others that have to know it before it runs.
    #[must_use]
    pub fn listen(mut self, address: impl Into<String>) -> Self {
        self.listen = address.into();
        self
    }

    /// Has another program start the host, which gets the host's command as its last arguments and becomes it.
    #[must_use]
    pub fn through(mut self, program: &[&str]) -> Self {
        self.wrapper = program.iter().map(|&word| word.to_owned()).collect();
        self
    }

    /// Has the host keep its compiled code in the state folder, where there is none yet, and not where all tests keep it.
    #[must_use]
    pub fn cold(mut self) -> Self {
        self.shares_code = false;
        self
    }

    /// The folder of this test: manifest, files, and state.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the host keeps what it stores.
    pub fn state_dir(&self) -> PathBuf {
        self.folder().join("state")
    }

    /// Runs the app and waits until it is ready.
    pub async fn start(self) -> Host {
        Host::start(self).await
    }

    /// Runs the app, which the host must refuse.
    pub async fn refused(self) -> Refusal {
        let output = self.run(self.up()).await.expect("the host's binary runs");
        Refusal {
            code: output.status.code(),
            message: String::from_utf8_lossy(&output.stderr).into_owned(),
            announced: String::from_utf8_lossy(&output.stdout).contains("listening on"),
        }
    }

    /// Runs another subcommand of the host to its end.
    pub async fn command(&self, arguments: &[&str]) -> io::Result<Output> {
        self.run(self.program(arguments)).await
    }

    /// Another subcommand of the host, to be begun; it ends with the test.
    pub fn program(&self, arguments: &[&str]) -> Command {
        let mut command = self.host();
        command.args(arguments);
        command
    }

    /// Runs a subcommand that takes the app as `bodega up` does, with further arguments.
    pub async fn command_on_it(&self, command: &str, arguments: &[&str]) -> io::Result<Output> {
        let mut host = self.host();
        host.arg(command).args(arguments);
        self.named(&mut host);
        self.run(host).await
    }

    async fn run(&self, mut command: Command) -> io::Result<Output> {
        timeout(PATIENCE, command.output()).await.expect("the host ends by itself")
    }

    pub(crate) fn up(&self) -> Command {
        let mut command = self.host();
        command.args(["up", "--listen", &self.listen, "--admin-listen", "127.0.0.1:0"]);
        self.named(&mut command);
        command
    }

    /// Names this app to a command.
    fn named(&self, command: &mut Command) {
        if self.shares_code {
            command.env("BODEGA_CODE_CACHE", programs::code_cache());
        }
        command.arg("-f").arg(&self.manifest).arg("--state-dir").arg(self.state_dir());
        command.args(&self.arguments);
    }

    fn host(&self) -> Command {
        let mut command = match &self.wrapper[..] {
            [] => Command::new(programs::host()),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(programs::host());
                command
            }
        };
        command.current_dir(self.folder()).envs(self.environment.iter().cloned());
        command.kill_on_drop(true);
        command
    }
}

/// How the host refused an app.
#[derive(Debug)]
pub struct Refusal {
    /// The exit code.
    pub code: Option<i32>,
    /// What it said on stderr.
    pub message: String,
    /// Whether it announced a listener all the same.
    pub announced: bool,
}

impl Refusal {
    /// Fails unless the host refused by exit code 1, opened nothing, and said all of `words`.
    #[track_caller]
    pub fn assert_says(&self, words: &[&str]) {
        assert_eq!(self.code, Some(1), "the exit code of a refusal:\n{}", self.message);
        assert!(!self.announced, "nothing may be started:\n{}", self.message);
        for word in words {
            assert!(self.message.contains(word), "`{word}` is not in:\n{}", self.message);
        }
    }
}
