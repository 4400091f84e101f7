//! The host is killed in the middle of rollouts, at random and right after each transition is on disk: it starts with exactly
//! what is recorded, and shoppers are answered by nothing else.

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
use tests::control::{revision_of, variant};
use tests::host::{Host, PATIENCE};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// Kills at random instants.
const KILLS: usize = 16;
/// How long the host runs between two kills, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 0..500;
/// Shoppers at once.
const SHOPPERS: usize = 8;
/// Requests that have to be answered as recorded after each start: too few for any decision.
const REQUESTS: usize = 20;
/// Answers of the old revision before a switch: enough to compare with.
const PAST_REQUESTS: usize = 200;
const POLL: Duration = Duration::from_micros(500);
/// Sets when the host is killed, as an earlier run has printed it; what it is doing then also depends on the machine.
const SEED_VARIABLE: &str = "BODEGA_TEST_SEED";
/// A canary of short steps, which still wait for more requests than [`REQUESTS`].
const CANARY: &str = "strategy = \"canary\"\nduration = \"50ms\"\nsamples_min = 30\nanalysis = { settle = \"0s\" }\n";

/// What is recorded of the component.
#[derive(Debug, Clone, PartialEq)]
struct Recorded {
    /// The number in force and the beginning of its digest.
    live: (u32, String),
    rollout: Option<Rollout>,
}

/// A rollout that goes on, as it is recorded.
#[derive(Debug, Clone, PartialEq)]
struct Rollout {
    number: u32,
    revision: String,
    /// As `bodega status` says it.
    state: String,
    hold: Option<String>,
}

/// A running or dead host's registry, which is only looked at.
struct Registry(PathBuf);

impl Registry {
    fn of(host: &Host) -> Self {
        Self(host.app().state_dir().join("registry.db"))
    }

    /// What is recorded; `None` before the first deployment.
    fn read(&self) -> Option<Recorded> {
        // Before there is a log of writes, the database is still being made, and must not be held.
        if !self.0.with_extension("db-wal").exists() {
            return None;
        }
        let mut database = Connection::open(&self.0).expect("a database");
        // A host that died has left its log of writes, which it is to find.
        database.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).expect("SQLite has the setting");
        database.busy_timeout(PATIENCE).expect("SQLite has the setting");
        let transaction = database.transaction().expect("a database");
        let digest = |text: String| text[..12].to_owned();
        let live = transaction
            .query_row("SELECT number, digest FROM live JOIN revision USING (component, number)", (), |row| {
                Ok((row.get(0)?, digest(row.get(1)?)))
            })
            .optional()
            // Before the first transaction there are no tables.
            .ok()??;
        let mut rollouts = transaction
            .prepare("SELECT number, digest, state FROM rollout JOIN revision USING (component, number)")
            .expect("the table is there");
        let rollout = |row: &rusqlite::Row<'_>| {
            let state: Value = serde_json::from_str(&row.get::<_, String>(2)?).expect("JSON");
            let index = state["state"]["index"].as_u64().unwrap_or_default();
            Ok(Rollout {
                number: row.get(0)?,
                revision: digest(row.get(1)?),
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
        let is_other = recorded.rollout.as_ref().is_none_or(|rollout| rollout.number != recorded.live.0);
        assert!(is_other, "what is rolled out is in force already: {recorded:?}");
        Some(recorded)
    }

    /// Waits until something else is recorded than `before`.
    async fn change(&self, before: &Option<Recorded>) -> Option<Recorded> {
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

/// Shoppers who go on through kills, until they are told to stop.
struct Shoppers {
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Shoppers {
    fn of(host: &Host) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let shop = |_| {
            let (stop, request) = (stop.clone(), host.request("/variant/"));
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

/// A host with a component whose revisions are `one`, the first, `two`, and `bad`, which fails at times.
struct Scene {
    host: Host,
    registry: Registry,
    one: Vec<u8>,
    two: Vec<u8>,
    bad: Vec<u8>,
    /// The states that were met.
    met: BTreeSet<String>,
}

impl Scene {
    async fn start(rollout: &str) -> Self {
        let one = variant("one", &[]);
        let app = App::new().file("variant.wasm", &one);
        let source = app.folder().join("variant.wasm");
        let settings = format!("[component.variant.tool.bodega.rollout]\n{rollout}");
        let host = app.component("variant", "\"/variant/...\"", &source, &settings).start().await;
        let (two, bad) = (variant("two", &[]), variant("bad", &["errors=0500"]));
        Self { registry: Registry::of(&host), host, one, two, bad, met: BTreeSet::new() }
    }

    /// The name that a revision answers.
    fn name(&self, revision: &str) -> &'static str {
        let names = [(&self.one, "one"), (&self.two, "two"), (&self.bad, "bad")];
        names.into_iter().find(|(wasm, _)| revision_of(wasm) == revision).expect("a revision of this test").1
    }

    /// The healthy one that is not in force.
    fn other(&self) -> Vec<u8> {
        let is_one = self.registry.read().is_none_or(|recorded| recorded.live.1 == revision_of(&self.one));
        if is_one { self.two.clone() } else { self.one.clone() }
    }

    /// Has a deployment begin, whose answer nobody waits for.
    fn deploy(&self, wasm: Vec<u8>) -> JoinHandle<()> {
        self.control("/v1/deploy?component=variant", wasm)
    }

    /// Sends a request whose answer does not matter, as the host may die before it.
    fn control(&self, path_and_query: &str, body: Vec<u8>) -> JoinHandle<()> {
        let request = self.host.client().post(self.host.admin_url(path_and_query));
        let request = request.bearer_auth(self.host.admin_token()).body(body);
        tokio::spawn(async move { drop(request.send().await) })
    }

    /// Kills the host and starts it again: what is recorded is in force, is told, and answers.
    async fn kill(&mut self) {
        self.host.kill_9().await;
        let recorded = self.registry.read();
        self.host.restart().await;
        let status = self.host.status_of("variant").await;
        let Some(recorded) = recorded else {
            assert!(status["revision"].is_null() && status["rollout"].is_null(), "{status}");
            assert_eq!(self.host.text("/variant/").await, "one");
            return;
        };
        assert_eq!(status["revision"], recorded.live.0, "{status}");
        assert_eq!(status["runs"], recorded.live.1.as_str(), "{status}");
        let told = &status["rollout"];
        let mut names = vec![self.name(&recorded.live.1)];
        match &recorded.rollout {
            None => assert!(told.is_null(), "{recorded:?}, {status}"),
            Some(rollout) => {
                assert_eq!(told["revision"], rollout.number, "{status}");
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
        let answers = join_all((0..REQUESTS).map(|_| async {
            let answer = self.host.get("/variant/").await;
            (answer.status().as_u16(), answer.text().await.expect("a body"))
        }));
        for (code, text) in answers.await {
            let is_known = code == 200 && names.contains(&text.as_str());
            let fails_on_purpose = code == 500 && names.contains(&"bad");
            assert!(is_known || fails_on_purpose, "{code} {text}, but {recorded:?}");
        }
        self.met.insert(match &recorded.rollout {
            None => format!("{} in force", self.name(&recorded.live.1)),
            Some(Rollout { state, hold, .. }) => hold.clone().unwrap_or_else(|| state.clone()),
        });
    }

    /// Lets things go on, and kills the host as soon as something else is recorded.
    async fn kill_at_the_next_record(&mut self, action: Option<JoinHandle<()>>, before: &Option<Recorded>) {
        let shoppers = Shoppers::of(&self.host);
        self.registry.change(before).await;
        self.kill_with(shoppers).await;
        if let Some(action) = action {
            action.await.expect("it is told to nobody");
        }
    }

    async fn kill_with(&mut self, shoppers: Shoppers) {
        shoppers.stop.store(true, Ordering::Relaxed);
        self.kill().await;
        shoppers.stop().await;
    }

    /// Begins a rollout and kills the host at each record until it is over, and once more after it.
    async fn kill_at_every_record(&mut self, wasm: Vec<u8>) {
        let mut before = self.registry.read();
        let mut action = Some(self.deploy(wasm));
        loop {
            self.kill_at_the_next_record(action.take(), &before).await;
            before = self.registry.read();
            if before.as_ref().is_some_and(|recorded| recorded.rollout.is_none()) {
                return self.kill().await;
            }
        }
    }

    /// Kills the host as soon as it is recorded that a person has steered the rollout.
    async fn kill_after(&mut self, path: &str) {
        let before = self.registry.read();
        let action = self.control(&format!("/v1/{path}?component=variant"), Vec::new());
        self.kill_at_the_next_record(Some(action), &before).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_at_random_goes_on_with_what_is_recorded() {
    let seed = std::env::var(SEED_VARIABLE).map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("{SEED_VARIABLE}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut scene = Scene::start(CANARY).await;
    for _ in 0..KILLS {
        let shoppers = Shoppers::of(&scene.host);
        let is_going_on = scene.registry.read().is_some_and(|recorded| recorded.rollout.is_some());
        let wasm = if random.u8(..4) == 0 { scene.bad.clone() } else { scene.other() };
        let deployment = (!is_going_on).then(|| scene.deploy(wasm));
        sleep(Duration::from_millis(random.u64(LIFE_MS))).await;
        scene.kill_with(shoppers).await;
        if let Some(deployment) = deployment {
            deployment.await.expect("it is told to nobody");
        }
    }
    println!("{KILLS} kills met {:?}", scene.met);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_after_a_transition_has_made_it() {
    let mut scene = Scene::start(CANARY).await;
    scene.kill_at_every_record(scene.two.clone()).await;
    scene.kill_at_every_record(scene.bad.clone()).await;
    let expected = ["in step 1", "in step 2", "in step 3", "in step 4", "two in force"];
    assert!(expected.iter().all(|state| scene.met.contains(*state)), "{:?}", scene.met);
    let recorded = scene.registry.read().expect("it is recorded");
    assert_eq!(recorded.live.1, revision_of(&scene.two), "the bad one was taken back");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_after_a_person_has_steered_obeys() {
    let mut scene = Scene::start("strategy = \"blue-green\"\ngate = \"manual\"\nbake = \"1h\"").await;
    scene.kill_at_the_next_record(Some(scene.deploy(scene.two.clone())), &None).await;
    for path in ["pause", "resume", "promote", "abort"] {
        scene.kill_after(path).await;
    }
    let before = scene.registry.read();
    scene.kill_at_the_next_record(Some(scene.deploy(scene.two.clone())), &before).await;
    scene.kill_after("promote").await;
    scene.kill_after("promote").await;
    let expected = ["waiting for a person", "paused", "baking", "one in force", "two in force"];
    assert_eq!(scene.met, expected.map(str::to_owned).into());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bake_goes_on_after_a_kill_and_is_held_against_what_the_old_revision_has_answered() {
    let mut scene = Scene::start("strategy = \"blue-green\"\nbake = \"1h\"").await;
    for _ in 0..PAST_REQUESTS {
        assert_eq!(scene.host.text("/variant/").await, "one");
    }
    let before = scene.registry.read();
    // Killed before the new one has answered anybody: nothing is left of the old one but what is recorded.
    let deployment = scene.deploy(scene.bad.clone());
    scene.registry.change(&before).await;
    scene.host.kill_9().await;
    deployment.await.expect("it is told to nobody");
    scene.host.restart().await;
    assert_eq!(scene.host.status_of("variant").await["rollout"]["state"], "baking");
    let deadline = Instant::now() + PATIENCE;
    while scene.host.status_of("variant").await["rollout"]["promoted"] != false {
        assert!(Instant::now() < deadline, "half of its answers are errors, and it is not taken back");
        scene.host.get("/variant/").await;
    }
    let status = scene.host.status_of("variant").await;
    let reason = status["rollout"]["reason"].as_str().expect("a reason");
    assert!(reason.contains(&format!("of {PAST_REQUESTS} before")), "{reason}");
    assert_eq!(scene.host.text("/variant/").await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_in_a_step_takes_it_back_where_that_is_configured() {
    let mut scene = Scene::start(&format!("{CANARY}on_restart = \"rollback\"")).await;
    scene.deploy(scene.two.clone()).await.expect("it is answered");
    let during = scene.registry.read().expect("it is recorded");
    assert_eq!(during.rollout.map(|rollout| rollout.state), Some("in step 1".to_owned()));
    for _ in 0..2 {
        scene.host.kill_9().await;
        scene.host.restart().await;
        assert_eq!(scene.registry.read(), Some(Recorded { live: during.live.clone(), rollout: None }));
        assert_eq!(scene.host.text("/variant/").await, "one");
        assert!(scene.host.status_of("variant").await["rollout"].is_null());
    }
    let history = scene.host.operate(&["history", "variant"]).await;
    assert!(String::from_utf8_lossy(&history.stdout).contains("taken back"), "{history:?}");
}
