//! `bodega deploy`, `promote`, `pause`, `resume`, `abort` and `rollback`: which revisions of its components the running host
//! serves.

mod course;
mod look;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use serde_json::Value;
use url::form_urlencoded;

use self::course::Course;
pub(super) use self::look::{History, Status};
use super::StateDirArgs;
use super::registry::RegistryArgs;
use super::remote::{self, Application, TlsArgs};
use crate::admin::ACTOR;
use crate::admin::control::{DEPLOY_PATH, HISTORY_PATH, IN_FORCE, PROMOTE_PATH, ROLLBACK_PATH, STATUS_PATH, VARIABLE};
use crate::generated;
use crate::rollout::StrategyName;
use crate::state_dir::StateDir;
use crate::variables::read_overrides;

/// How often `--wait` looks.
const WAIT_POLL: Duration = Duration::from_millis(100);
/// How to find the host.
#[derive(Debug, clap::Args)]
pub(super) struct HostArgs {
    #[command(flatten)]
    state_dir: StateDirArgs,
    /// The admin listener's address; by default that of the host that uses the state folder.
    #[arg(long, env = "BODEGA_ADMIN_URL")]
    admin_url: Option<String>,
    #[command(flatten)]
    tls: TlsArgs,
}

impl HostArgs {
    /// The state folder.
    pub(super) fn state(&self) -> StateDir {
        StateDir::at(&self.state_dir.state_dir)
    }

    /// Finds the host, to be asked with this token.
    pub(super) fn connect(&self, token: impl FnOnce() -> anyhow::Result<String>) -> anyhow::Result<Control> {
        let url = match &self.admin_url {
            Some(url) => url.trim_end_matches('/').to_owned(),
            None => {
                let host = self.state().running_host().ok_or_else(|| {
                    let path = self.state_dir.state_dir.display();
                    let text = "no host uses the state folder";
                    NoHost(format!("{text} {path}; name it with --state-dir, or give --admin-url"))
                })?;
                host.admin_url
            }
        };
        Ok(Control(Application { url, token: token()?, token_is_given: true, tls: self.tls.clone() }))
    }
}

/// How to reach the control API.
#[derive(Debug, clap::Args)]
pub(super) struct AdminArgs {
    #[command(flatten)]
    host: HostArgs,
    /// The admin token; by default the one in the state folder. Better given in the environment, where other users do not see it.
    #[arg(long, env = "BODEGA_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
}

impl AdminArgs {
    pub(super) fn connect(&self) -> anyhow::Result<Control> {
        let generated = || Ok(generated::admin_token(&self.host.state())?);
        self.host.connect(|| self.admin_token.clone().map_or_else(generated, Ok))
    }
}

/// No host is there to be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct NoHost(pub(super) String);

/// The control API of a running host.
pub(super) struct Control(Application);

impl Control {
    async fn ask(
        &self,
        method: http::Method,
        path: &str,
        query: &[(&str, &str)],
        body: Bytes,
    ) -> anyhow::Result<Value> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
        let request = Request::builder().method(method).uri(format!("{path}?{query}")).header(ACTOR, remote::actor());
        let body = Full::from(body).map_err(|never| match never {}).boxed_unsync();
        let answer = self.0.send(request, body).await?.into_body().collect().await?.to_bytes();
        serde_json::from_slice(&answer).context("the host's answer is not understood")
    }

    async fn get(&self, path: &str, query: &[(&str, &str)]) -> anyhow::Result<Value> {
        self.ask(http::Method::GET, path, query, Bytes::new()).await
    }

    pub(super) async fn post(&self, path: &str, query: &[(&str, &str)], body: Bytes) -> anyhow::Result<Value> {
        self.ask(http::Method::POST, path, query, body).await
    }

    /// What runs of a component.
    async fn status_of(&self, component: &str) -> anyhow::Result<Value> {
        let status = self.get(STATUS_PATH, &[]).await?;
        let found = list(&status).iter().find(|status| status["component"] == component).cloned();
        found.with_context(|| format!("the host has no component `{component}`"))
    }

    /// Tells how the rollout of a revision goes until it is over; an error if it was taken back.
    async fn follow_rollout(&self, component: &str, number: u64, patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        let mut told = String::new();
        loop {
            let course = self.course(component, number).await?;
            let line = course.to_string();
            if line != told {
                println!("{component}: {line}");
                told = line;
            }
            match course {
                Course::Promoted(_) => return Ok(()),
                Course::TakenBack(reason) => bail!("revision {number} was taken back: {reason}"),
                Course::Unknown => bail!("what came of it is not known; `bodega history {component}` may tell"),
                Course::GoesOn(_) if Instant::now() >= deadline => {
                    bail!("the rollout still goes on; `bodega status` tells how, and --timeout how long to wait")
                }
                Course::GoesOn(_) => tokio::time::sleep(WAIT_POLL).await,
            }
        }
    }

    /// How far the rollout of a revision is.
    async fn course(&self, component: &str, number: u64) -> anyhow::Result<Course> {
        let status = self.status_of(component).await?;
        if let Some(course) = Course::of_rollout(&status["rollout"], number) {
            return Ok(course);
        }
        let history = self.get(HISTORY_PATH, &[("component", component)]).await?;
        Ok(Course::of_history(list(&history), number))
    }

    /// Waits until former revisions of these components have finished what they had begun.
    async fn until_drained(&self, components: &[&str], patience: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            let status = self.get(STATUS_PATH, &[]).await?;
            let draining = list(&status).iter().filter(|status| {
                let is_asked = status["component"].as_str().is_some_and(|id| components.contains(&id));
                is_asked && !list(&status["draining"]).is_empty()
            });
            let names: Vec<&str> = draining.filter_map(|status| status["component"].as_str()).collect();
            if names.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                bail!("it is in force, but former revisions of {} still have requests at work", names.join(", "));
            }
            tokio::time::sleep(WAIT_POLL).await;
        }
    }
}

/// Waiting for the end of a change.
#[derive(Debug, clap::Args)]
struct WaitArgs {
    /// Wait until a rollout is over and the former revision has finished what it had begun; fails if the rollout is taken back.
    #[arg(long)]
    wait: bool,
    /// How long to wait.
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration, default_value = "5m")]
    timeout: Duration,
    /// Why, for those who read the history.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

impl WaitArgs {
    async fn report(&self, control: &Control, done: &Value) -> anyhow::Result<()> {
        println!("{}", outcome_line(done));
        warnings(done).for_each(|warning| eprintln!("{warning}"));
        if !self.wait || is_true(done, "unchanged") {
            return Ok(());
        }
        let component = text(done, "component");
        if is_true(done, "rollout") {
            let number = done["revision"].as_u64().context("the host does not say which revision it rolls out")?;
            return control.follow_rollout(component, number, self.timeout).await;
        }
        control.until_drained(&switched(done), self.timeout).await?;
        println!("{component}: the former revision has finished");
        Ok(())
    }
}

/// Arguments of `bodega deploy`.
#[derive(Debug, clap::Args)]
pub(super) struct Deploy {
    /// The component's id.
    component: String,
    /// The wasm file, or `oci://REGISTRY/REPOSITORY:TAG`: an application of which the component is taken, or a package of one
    /// component. Without it the artifact in force is given the configuration that the manifest and its sources have now.
    artifact: Option<PathBuf>,
    #[command(flatten)]
    registry: RegistryArgs,
    /// A variable's value for this revision, `NAME=VALUE` or `@FILE`, instead of the one that the application's sources have; may be
    /// given several times. Not for secrets.
    #[arg(long = "variable", value_name = "NAME=VALUE")]
    variable: Vec<String>,
    /// How it takes over: `rolling`, `blue-green`, `canary` or `shadow`; by default as the manifest says.
    #[arg(long)]
    strategy: Option<StrategyName>,
    /// A path that the new revision has to answer before it gets other requests.
    #[arg(long, value_name = "PATH")]
    smoke: Option<String>,
    /// The status that it has to answer; by default any from 200 to 299.
    #[arg(long, requires = "smoke", value_name = "STATUS")]
    smoke_status: Option<u16>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Deploy {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let (wasm, source) = match &self.artifact {
            Some(path) => self.registry.component(&self.component, path)?,
            None => Default::default(),
        };
        let variables: Vec<String> =
            read_overrides(&self.variable)?.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let control = self.admin.connect()?;
        let status = self.smoke_status.map(|status| status.to_string());
        let strategy = self.strategy.map(|strategy| strategy.to_string());
        let mut query = vec![("component", self.component.as_str()), ("source", &source), ("why", &self.wait.why)];
        query.extend(self.artifact.is_none().then_some(("artifact", IN_FORCE)));
        query.extend(variables.iter().map(|variable| (VARIABLE, variable.as_str())));
        query.extend(strategy.as_deref().map(|strategy| ("strategy", strategy)));
        query.extend(self.smoke.as_deref().map(|path| ("smoke", path)));
        query.extend(status.as_deref().map(|status| ("smoke_status", status)));
        remote::runtime()?.block_on(async {
            let done = control.post(DEPLOY_PATH, &query, wasm.into()).await?;
            self.wait.report(&control, &done).await
        })
    }
}

/// Arguments of `bodega rollback`.
#[derive(Debug, clap::Args)]
pub(super) struct Rollback {
    /// The component's id.
    component: String,
    /// The revision's number; by default the latest earlier one that was not itself taken back.
    #[arg(long, value_name = "REVISION")]
    to: Option<u32>,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    admin: AdminArgs,
}

impl Rollback {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let control = self.admin.connect()?;
        let to = self.to.map(|number| number.to_string());
        let mut query = vec![("component", self.component.as_str()), ("why", &self.wait.why)];
        query.extend(to.as_deref().map(|to| ("to", to)));
        remote::runtime()?.block_on(async {
            let done = control.post(ROLLBACK_PATH, &query, Bytes::new()).await?;
            self.wait.report(&control, &done).await
        })
    }
}

/// Arguments of the commands that steer a rollout.
#[derive(Debug, clap::Args)]
pub(super) struct Steer {
    /// The component's id.
    component: String,
    /// Why, for those who read the log of actions.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
    #[command(flatten)]
    admin: AdminArgs,
}

/// Arguments of `bodega promote`.
#[derive(Debug, clap::Args)]
pub(super) struct Promote {
    /// To the end, and not only to the next step.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    steer: Steer,
}

impl Promote {
    pub(super) fn run(self) -> anyhow::Result<()> {
        self.steer.run(PROMOTE_PATH, &[("full", if self.full { "true" } else { "false" })])
    }
}

impl Steer {
    pub(super) fn run(self, path: &str, more: &[(&str, &str)]) -> anyhow::Result<()> {
        let control = self.admin.connect()?;
        let query = [&[("component", self.component.as_str()), ("why", &self.why)], more].concat();
        let rollout = remote::runtime()?.block_on(control.post(path, &query, Bytes::new()))?;
        println!("{}: {}", self.component, rollout_line(&rollout));
        Ok(())
    }
}

/// What came of a deployment, in a line.
pub(super) fn outcome_line(done: &Value) -> String {
    let component = text(done, "component");
    let revision = done["revision"].as_u64().map_or("the manifest's own".to_owned(), |number| number.to_string());
    if is_true(done, "unchanged") {
        return format!("{component}: revision {revision} is in force already");
    }
    let changed = texts(&done["changed"]);
    if is_true(done, "rollout") {
        return format!("{component}: the rollout of revision {revision} has begun; changed: {changed}");
    }
    let (took_ms, switched) = (&done["took_ms"], switched(done).join(", "));
    format!("{component}: revision {revision} is in force after {took_ms} ms (in {switched}); changed: {changed}")
}

/// What whoever wanted a deployment should know of it.
pub(super) fn warnings(done: &Value) -> impl Iterator<Item = String> {
    let component = text(done, "component");
    list(&done["warnings"]).iter().filter_map(Value::as_str).map(move |warning| format!("{component}: {warning}"))
}

fn texts(value: &Value) -> String {
    list(value).iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
}

/// The components whose requests another revision answers.
fn switched(done: &Value) -> Vec<&str> {
    list(&done["switched"]).iter().filter_map(Value::as_str).collect()
}

fn is_true(value: &Value, name: &str) -> bool {
    value[name].as_bool() == Some(true)
}

/// How a rollout goes, in a line.
fn rollout_line(rollout: &Value) -> String {
    let hold = rollout["hold"].as_str().map(|hold| format!(", {hold}")).unwrap_or_default();
    format!(
        "{} of revision {} ({}) is {}{hold}, with {} % of requests ({} so far): {}",
        text(rollout, "strategy"),
        rollout["revision"],
        texts(&rollout["changed"]),
        text(rollout, "state"),
        rollout["weight_percent"],
        rollout["requests"],
        text(rollout, "reason")
    )
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gives_no_address_needs_a_running_host() {
        let dir = tempfile::tempdir().unwrap();
        let args = |admin_url: Option<&str>| AdminArgs {
            host: HostArgs {
                state_dir: StateDirArgs { state_dir: dir.path().join("state") },
                admin_url: admin_url.map(str::to_owned),
                tls: TlsArgs::default(),
            },
            admin_token: Some("a token".to_owned()),
        };
        let error = args(None).connect().err().unwrap().to_string();
        assert!(error.starts_with("no host uses the state folder") && error.contains("--admin-url"), "{error}");
        assert_eq!(args(Some("http://10.0.0.1:3001/")).connect().unwrap().0.url, "http://10.0.0.1:3001");
    }
}
