//! A host that is killed while something is rolled out, and what its registry says then.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension as _};
use serde_json::Value;
use tests::app::App;
use tests::control::revision_of;
use tests::host::{Host, PATIENCE};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// The version that fails at times.
pub(super) const BAD: &str = "bad";
/// Shoppers at once.
const SHOPPERS: usize = 8;
/// Requests that have to be answered as recorded after each start: too few for any decision.
const REQUESTS: usize = 20;
const POLL: Duration = Duration::from_micros(500);

/// What is recorded of the component.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recorded {
    pub(super) live: Revision,
    pub(super) rollout: Option<Rollout>,
}

/// A revision, as it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Revision {
    number: u32,
    digest: String,
    /// What it was given.
    configuration: String,
}

/// A rollout that goes on, as it is recorded.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Rollout {
    revision: Revision,
    /// As `bodega status` says it.
    pub(super) state: String,
    hold: Option<String>,
}

/// A running or dead host's registry, which is only looked at.
pub(super) struct Registry(PathBuf);

impl Registry {
    pub(super) fn of(host: &Host) -> Self {
        Self(host.app().state_dir().join("registry.db"))
    }

    /// What is recorded; `None` before the first deployment.
    pub(super) fn read(&self) -> Option<Recorded> {
        // Before there is a log of writes, the database is still being made, and must not be held.
        if !self.0.with_extension("db-wal").exists() {
            return None;
        }
        let mut database = Connection::open(&self.0).expect("a database");
        // A host that died has left its log of writes, which it is to find.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("SQLite has the setting");
        database.busy_timeout(PATIENCE).expect("SQLite has the setting");
        let transaction = database.transaction().expect("a database");
        let revision = |row: &rusqlite::Row<'_>| {
            Ok(Revision { number: row.get(0)?, digest: row.get(1)?, configuration: row.get(2)? })
        };
        let live = transaction
            .query_row(
                "SELECT number, digest, configuration FROM live JOIN revision USING (component, number)",
                (),
                revision,
            )
            .optional()
            // Before the first transaction there are no tables.
            .ok()??;
        let mut rollouts = transaction
            .prepare("SELECT number, digest, configuration, state FROM rollout JOIN revision USING (component, number)")
            .expect("the table is there");
        let rollout = |row: &rusqlite::Row<'_>| {
            let state: Value = serde_json::from_str(&row.get::<_, String>(3)?).expect("JSON");
            let index = state["state"]["index"].as_u64().unwrap_or_default();
            Ok(Rollout {
                revision: revision(row)?,
                state: match state["state"]["name"].as_str().expect("a name") {
                    "step" => format!("in step {}", index + 1),
                    "waiting" => "waiting for a person".to_owned(),
                    other => other.to_owned(),
                },
                hold: state["hold"]["name"].as_str().map(str::to_owned),
            })
        };
        let mut rollouts: Vec<Rollout> =
            rollouts.query_map((), rollout).and_then(Iterator::collect).expect("rollouts are readable");
        assert!(rollouts.len() <= 1, "one rollout at a time: {rollouts:?}");
        let recorded = Recorded { live, rollout: rollouts.pop() };
        let is_other = recorded.rollout.as_ref().is_none_or(|rollout| rollout.revision.number != recorded.live.number);
        assert!(is_other, "what is rolled out is in force already: {recorded:?}");
        Some(recorded)
    }

    /// Waits until something else is recorded than `before`.
    pub(super) async fn change(&self, before: &Option<Recorded>) -> Option<Recorded> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let recorded = self.read();
            if recorded != *before {
                return recorded;
            }
            assert!(Instant::now() < deadline, "nothing is recorded after {before:?}");
            sleep(POLL).await;
        }
    }
}

/// A version of what is rolled out.
pub(super) struct Version {
    /// What its answers begin with.
    name: &'static str,
    /// Text in the record of its artifact or configuration, and in no other version's.
    recorded: String,
    /// How it is deployed: what the query has besides the component, and the body.
    query: &'static str,
    body: Vec<u8>,
}

impl Version {
    /// An artifact.
    pub(super) fn artifact(name: &'static str, wasm: Vec<u8>) -> Self {
        Self { name, recorded: revision_of(&wasm), query: "", body: wasm }
    }

    /// The artifact in force with another variable.
    pub(super) fn variable(value: &'static str, query: &'static str) -> Self {
        Self { name: value, recorded: value.to_owned(), query, body: Vec::new() }
    }
}

/// What is rolled out.
pub(super) struct Subject {
    pub(super) component: &'static str,
    /// Where shoppers ask; all answer by the same version.
    pub(super) paths: &'static [&'static str],
    /// The first one is the manifest's own.
    pub(super) versions: Vec<Version>,
}

/// Shoppers who go on through kills, until they are told to stop.
pub(super) struct Shoppers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Shoppers {
    pub(super) fn of(scene: &Scene) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shop = |number| {
            let (stop, request) = (stop.clone(), scene.host.request(scene.path(number)));
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    // Whoever meets a dead host comes again.
                    let request = request.try_clone().expect("it has no body");
                    if request.send().await.is_err() {
                        sleep(POLL).await;
                    }
                }
            })
        };
        Self { tasks: (0..SHOPPERS).map(shop).collect(), stop }
    }

    async fn stop(self) {
        self.stop.store(true, Ordering::Relaxed);
        join_all(self.tasks).await;
    }
}

/// A host, and what is rolled out there.
pub(super) struct Scene {
    pub(super) host: Host,
    pub(super) registry: Registry,
    subject: Subject,
    /// The states that were met.
    pub(super) met: BTreeSet<String>,
}

impl Scene {
    pub(super) async fn start(app: App, subject: Subject) -> Self {
        let host = app.start().await;
        Self { registry: Registry::of(&host), host, subject, met: BTreeSet::new() }
    }

    /// The name of the version that a recorded revision is.
    pub(super) fn name(&self, revision: &Revision) -> &'static str {
        let is_it = |version: &&Version| {
            revision.digest.contains(&version.recorded) || revision.configuration.contains(&version.recorded)
        };
        self.subject.versions.iter().find(is_it).expect("a version of this test").name
    }

    /// The name of the version that is recorded to be in force.
    pub(super) fn in_force(&self) -> &'static str {
        self.registry.read().map_or(self.subject.versions[0].name, |recorded| self.name(&recorded.live))
    }

    fn path(&self, number: usize) -> &'static str {
        self.subject.paths[number % self.subject.paths.len()]
    }

    /// Has a deployment begin, whose answer nobody waits for.
    pub(super) fn deploy(&self, name: &str) -> JoinHandle<()> {
        let version = self.subject.versions.iter().find(|version| version.name == name).expect("a version");
        let path = format!("/v1/deploy?component={}{}", self.subject.component, version.query);
        self.control(&path, version.body.clone())
    }

    /// Sends a request whose answer does not matter, as the host may die before it.
    fn control(&self, path_and_query: &str, body: Vec<u8>) -> JoinHandle<()> {
        let request = self.host.client().post(self.host.admin_url(path_and_query));
        let request = request.bearer_auth(self.host.admin_token()).body(body);
        tokio::spawn(async move { drop(request.send().await) })
    }

    /// Kills the host and starts it again: what is recorded is in force, is told, and answers.
    pub(super) async fn kill(&mut self) {
        self.host.kill_9().await;
        let recorded = self.registry.read();
        self.host.restart().await;
        let status = self.host.status_of(self.subject.component).await;
        let Some(recorded) = recorded else {
            assert!(status["revision"].is_null() && status["rollout"].is_null(), "{status}");
            return self.assert_answers(&[self.in_force()]).await;
        };
        assert_eq!(status["revision"], recorded.live.number, "{status}");
        // What runs only as a part of others has no name of its own.
        let runs = status["runs"].as_str();
        assert!(runs.is_none_or(|runs| runs.starts_with(&recorded.live.digest[..12])), "{recorded:?}, {status}");
        let told = &status["rollout"];
        let mut names = vec![self.name(&recorded.live)];
        match &recorded.rollout {
            None => assert!(told.is_null(), "{recorded:?}, {status}"),
            Some(rollout) => {
                assert_eq!(told["revision"], rollout.revision.number, "{status}");
                assert_eq!(told["state"], rollout.state.as_str(), "{status}");
                assert_eq!(told["hold"].as_str(), rollout.hold.as_deref(), "{status}");
                assert!(told["promoted"].is_null(), "{status}");
                let name = self.name(&rollout.revision);
                match told["weight_percent"].as_u64().expect("a weight") {
                    0 => {}
                    100 => names = vec![name],
                    _ => names.push(name),
                }
            }
        }
        self.assert_answers(&names).await;
        self.met.insert(match &recorded.rollout {
            None => format!("{} in force", self.name(&recorded.live)),
            Some(Rollout { state, hold, .. }) => hold.clone().unwrap_or_else(|| state.clone()),
        });
    }

    /// All requests are answered by these versions.
    async fn assert_answers(&self, names: &[&str]) {
        let answers = join_all((0..REQUESTS).map(|number| async move {
            let answer = self.host.get(self.path(number)).await;
            (answer.status().as_u16(), answer.text().await.expect("a body"))
        }));
        for (code, text) in answers.await {
            let is_known = code == 200 && names.iter().any(|name| text.starts_with(name));
            let fails_on_purpose = code == 500 && names.contains(&BAD);
            assert!(is_known || fails_on_purpose, "{code} {text}, and not {names:?}");
        }
    }

    /// Lets things go on, and kills the host as soon as something else is recorded.
    pub(super) async fn kill_at_the_next_record(&mut self, action: Option<JoinHandle<()>>, before: &Option<Recorded>) {
        let shoppers = Shoppers::of(self);
        self.registry.change(before).await;
        self.kill_with(shoppers).await;
        if let Some(action) = action {
            action.await.expect("it is told to nobody");
        }
    }

    pub(super) async fn kill_with(&mut self, shoppers: Shoppers) {
        shoppers.stop.store(true, Ordering::Relaxed);
        self.kill().await;
        shoppers.stop().await;
    }

    /// Begins a rollout and kills the host at each record until it is over, and once more after it.
    pub(super) async fn kill_at_every_record(&mut self, name: &str) {
        let mut before = self.registry.read();
        let mut action = Some(self.deploy(name));
        loop {
            self.kill_at_the_next_record(action.take(), &before).await;
            before = self.registry.read();
            if before.as_ref().is_some_and(|recorded| recorded.rollout.is_none()) {
                return self.kill().await;
            }
        }
    }

    /// Kills the host as soon as it is recorded that a person has steered the rollout.
    pub(super) async fn kill_after(&mut self, path: &str) {
        let before = self.registry.read();
        let action = self.control(&format!("/v1/{path}?component={}", self.subject.component), Vec::new());
        self.kill_at_the_next_record(Some(action), &before).await;
    }
}
