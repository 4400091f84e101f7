//! An operator replaces the host's own process: no request fails, no write is lost, and one that does not start changes nothing.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use reqwest::{Client, ClientBuilder};
use serde_json::{Value, json};
use tests::app::App;
use tests::control::variant;
use tests::host::{Host, PATIENCE};
use tests::programs;
use tests::upgrades::{has_ended, until_ended};
use tokio::task::JoinSet;
use tokio::time::sleep;

const UPGRADES: usize = 6;
/// Long enough for an upgrade to begin while a request is on its way.
const HEAD_START: Duration = Duration::from_millis(300);
/// Between two upgrades.
const PAUSE: Duration = Duration::from_millis(200);

/// Shoppers who count without pause, until told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    counted: Arc<AtomicI64>,
    shoppers: JoinSet<Vec<String>>,
}

impl Load {
    fn start(host: &Host) -> Self {
        let mut load = Self { stop: Arc::default(), counted: Arc::default(), shoppers: JoinSet::new() };
        let client = |change: fn(ClientBuilder) -> ClientBuilder| {
            change(tests::client::builder().timeout(PATIENCE).no_proxy()).build().expect("a client")
        };
        for _ in 0..2 {
            load.shopper("kept open", client(|builder| builder), host);
            load.shopper("a connection each", client(|builder| builder.pool_max_idle_per_host(0)), host);
            load.shopper("HTTP/2", client(ClientBuilder::http2_prior_knowledge), host);
        }
        load
    }

    fn shopper(&mut self, kind: &'static str, client: Client, host: &Host) {
        let (stop, counted, url) = (self.stop.clone(), self.counted.clone(), host.url("/ledger/increment"));
        self.shoppers.spawn(async move {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                match client.post(&url).send().await {
                    Ok(answer) if answer.status() == 201 => {
                        counted.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok(answer) => failures.push(format!("{kind}: {answer:?}")),
                    Err(error) => failures.push(format!("{kind}: {error:?}")),
                }
            }
            failures
        });
    }

    /// What was counted, after a look that nothing failed.
    async fn end(self) -> i64 {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> = self.shoppers.join_all().await.into_iter().flatten().collect();
        assert!(failures.is_empty(), "{} failed, the first: {:?}", failures.len(), failures.first());
        self.counted.load(Ordering::Relaxed)
    }
}

fn says(output: &std::process::Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

async fn actions(host: &Host) -> Vec<Value> {
    let answer = host.control("GET", "/v1/actions", "").await;
    answer.json().await.expect("a list")
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_under_load_lose_no_request_and_no_write() {
    let mut host = App::new().ledger().start().await;
    let load = Load::start(&host);
    let mut pids = vec![host.serving_pid()];
    for _ in 0..UPGRADES {
        sleep(PAUSE).await;
        pids.push(host.upgrade().await);
    }
    sleep(PAUSE).await;
    let counted = load.end().await;
    assert!(counted > 100, "there was load: {counted}");
    assert_eq!(host.json("/ledger/increment").await, counted, "each acknowledged step is there, once");
    assert_eq!(host.json("/ledger/integrity").await, json!(["ok"]));

    assert_eq!(host.ended().await.code(), Some(0));
    let current = pids.pop().expect("the last one");
    for pid in pids {
        until_ended(pid).await;
    }
    assert!(!has_ended(current));
    assert_eq!(host.json("/ledger/increment").await, counted);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_on_its_way_is_answered_by_the_former_process_and_the_next_by_the_new_one() {
    let mut host = App::new().guest("hello", "").misbehaving_guest("").start().await;
    let slow = tokio::spawn(host.request("/misbehave/slow?ms=3000").send());
    sleep(HEAD_START).await;
    let former = host.serving_pid();
    host.upgrade().await;
    assert!(!slow.is_finished() && !has_ended(former));
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    let answer = slow.await.expect("no panic").expect("the request on its way is answered");
    assert_eq!(answer.text().await.expect("a whole body"), "slow");
    assert_eq!(host.ended().await.code(), Some(0));
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_does_not_start_leaves_the_former_one_serving() {
    let host = App::new().guest("hello", "").start().await;
    let pid = host.serving_pid();
    let silent = host.write("silent.sh", b"#!/bin/sh\nexec sleep 30\n");
    fs::set_permissions(&silent, fs::Permissions::from_mode(0o700)).expect("the file is ours");
    let silent = silent.to_str().expect("UTF-8");
    let absent = host.folder().join("absent").display().to_string();
    for (arguments, reason) in [
        (vec!["--binary", "/bin/false"], "ended (exit status: 1) before it answered"),
        (vec!["--binary", &absent], "absent cannot be started"),
        (vec!["--binary", silent, "--timeout", "500ms"], "was not ready within 500ms"),
    ] {
        let refused = host.try_upgrade(&arguments).await;
        assert_eq!(refused.status.code(), Some(1), "{refused:?}");
        assert!(says(&refused).contains(reason), "{arguments:?}: {}", says(&refused));
        assert_eq!(host.text("/hello/").await, "Hello, world!\n");
        assert_eq!(host.serving_pid(), pid);
    }

    let manifest = host.folder().join("spin.toml");
    let good = fs::read_to_string(&manifest).expect("the manifest");
    fs::write(&manifest, format!("{good}\nnonsense = 1\n")).expect("writable");
    let refused = host.try_upgrade(&["--why", "a new manifest"]).await;
    assert!(says(&refused).contains("does not start") && says(&refused).contains("nonsense"), "{}", says(&refused));
    let last = &actions(&host).await[0];
    assert_eq!((&last["action"], &last["why"]), (&"upgrade".into(), &"a new manifest".into()), "{last}");
    assert!(last["outcome"].as_str().is_some_and(|outcome| outcome.contains("nonsense")), "{last}");
    assert!(!host.control("POST", "/v1/upgrade", "").await.status().is_success(), "the admin token runs no program");

    fs::write(&manifest, good).expect("writable");
    assert_ne!(host.upgrade().await, pid);
    let last = &actions(&host).await[0];
    assert_eq!((&last["action"], &last["outcome"]), (&"upgrade".into(), &"ok".into()), "{last}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deployed_and_rolled_out_goes_on_in_the_new_process() {
    let (one, two, six) = (variant("one", &[]), variant("two", &[]), variant("six", &[]));
    let app = App::new().file("variant.wasm", one);
    let source = app.folder().join("variant.wasm");
    let rollout = "[component.variant.tool.bodega.rollout]\nduration = \"1h\"";
    let mut host = app.component("variant", "\"/variant/...\"", &source, rollout).start().await;
    host.deploy("variant", &two).await;
    host.upgrade().await;
    assert_eq!(host.text("/variant/").await, "two");
    // Until then a connection that was kept may bring it one request more.
    assert_eq!(host.ended().await.code(), Some(0));

    let begun = host.control("POST", "/v1/deploy?component=variant&strategy=canary", six).await;
    assert_eq!(begun.status(), 200);
    let former = host.serving_pid();
    host.upgrade().await;
    until_ended(former).await;
    let rollout = host.status_of("variant").await["rollout"].clone();
    assert_eq!((&rollout["revision"], &rollout["weight_percent"]), (&3.into(), &10.into()), "{rollout}");
    let promoted = host.operate(&["promote", "variant", "--full"]).await;
    assert!(promoted.status.success(), "{promoted:?}");
    assert_eq!(host.text("/variant/").await, "six");
    host.upgrade().await;
    assert_eq!(host.text("/variant/").await, "six");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deployment_meanwhile_is_not_undone_by_the_upgrade() {
    let app = App::new().file("variant.wasm", variant("one", &[]));
    let source = app.folder().join("variant.wasm");
    let host = app.component("variant", "\"/variant/...\"", &source, "").start().await;
    // It waits with its start until the deployment is done.
    let script = format!(
        "#!/bin/sh\nwhile [ ! -e {folder}/deployed ]; do sleep 0.05; done\nexec {program} \"$@\"\n",
        folder = host.folder().display(),
        program = programs::host().display()
    );
    let late = host.write("late.sh", script.as_bytes());
    fs::set_permissions(&late, fs::Permissions::from_mode(0o700)).expect("the file is ours");
    let arguments = ["--binary", late.to_str().expect("UTF-8")];
    let (refused, ()) = tokio::join!(host.try_upgrade(&arguments), async {
        sleep(HEAD_START).await;
        host.deploy("variant", &variant("two", &[])).await;
        host.write("deployed", b"");
    });
    assert!(says(&refused).contains("revisions changed") && says(&refused).contains("try again"), "{refused:?}");
    assert_eq!(host.text("/variant/").await, "two");
    host.upgrade().await;
    assert_eq!(host.text("/variant/").await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_new_process_has_recorded_that_then_dies_is_undone() {
    let app = App::new().file("variant.wasm", variant("one", &[])).file("other.wasm", variant("one", &[]));
    let (source, other) = (app.folder().join("variant.wasm"), app.folder().join("other.wasm"));
    // Each start takes such a rollout back.
    let canary =
        "[component.other.tool.bodega.rollout]\nstrategy = \"canary\"\nduration = \"1h\"\non_restart = \"rollback\"";
    let app =
        app.component("variant", "\"/variant/...\"", &source, "").component("other", "\"/other/...\"", &other, canary);
    let mut host = app.start().await;
    host.deploy("variant", &variant("two", &[])).await;
    host.deploy("other", &variant("six", &[])).await;
    // A new process has another file of the manifest in force.
    host.write("variant.wasm", &variant("new", &[]));

    // It records what it has decided, and then cannot note where it answers.
    let note = host.app().state_dir().join("host.json");
    let noted = fs::read(&note).expect("a host has said where it is");
    fs::remove_file(&note).expect("the folder is ours");
    fs::create_dir_all(note.join("in the way")).expect("the folder is ours");
    let refused = host.try_upgrade(&["--admin-url", &host.admin_url("")]).await;
    fs::remove_dir_all(&note).expect("the folder is ours");
    fs::write(&note, noted).expect("the folder is ours");
    assert!(says(&refused).contains("the host's address cannot be noted"), "{}", says(&refused));
    host.log_line(&["it is in force instead of revision 2"]).await;

    for (component, state) in [("variant", "in force"), ("other", "")] {
        let history = host.operate(&["history", component]).await;
        let history = String::from_utf8_lossy(&history.stdout).into_owned();
        let lines: Vec<&str> = history.lines().collect();
        assert!(lines.len() == 3 && lines[1].starts_with("2 ") && lines[1].contains(state), "{history}");
        assert!(!history.contains("taken back"), "{history}");
    }
    let actions = actions(&host).await;
    let undone = actions.iter().find(|action| action["action"] == "upgrade-undone");
    assert!(
        undone.is_some_and(|action| action["why"].as_str().is_some_and(|why| why.contains("noted"))),
        "{actions:?}"
    );
    assert_eq!(host.text("/variant/").await, "two");
    assert_eq!(host.status_of("other").await["rollout"]["weight_percent"], 10);

    // What goes on is what is recorded.
    let promoted = host.operate(&["promote", "other", "--full"]).await;
    assert!(promoted.status.success(), "{promoted:?}");
    host.write("variant.wasm", &variant("one", &[]));
    host.kill_9().await;
    host.restart().await;
    assert_eq!((host.text("/variant/").await, host.text("/other/").await), ("two".to_owned(), "six".to_owned()));
    host.write("variant.wasm", &variant("new", &[]));
    host.upgrade().await;
    assert_eq!(host.ended().await.code(), Some(0));
    assert_eq!(host.text("/variant/").await, "new");
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_guests_stay_while_the_former_process_has_some() {
    let files = "files = [\"words.txt\"]";
    let app = App::new().file("words.txt", "good words").guest("interfaces-p2", files).misbehaving_guest("");
    let mut host = app.start().await;
    let slow = tokio::spawn(host.request("/misbehave/slow?ms=2000").send());
    sleep(HEAD_START).await;
    host.write("words.txt", b"better words");
    host.upgrade().await;
    let folders = || fs::read_dir(host.app().state_dir().join("files")).expect("files").count();
    assert_eq!(folders(), 2);
    slow.await.expect("no panic").expect("an answer");
    host.ended().await;
    host.log_line(&["the process before this one has ended"]).await;
    assert_eq!(fs::read_dir(host.app().state_dir().join("files")).expect("files").count(), 1);
}

/// When a scheduled run began and ended, in microseconds of the month, from a line of the access log.
fn run(line: &str) -> Option<(u64, u64)> {
    let line: Value = serde_json::from_str(line).ok()?;
    if line["target"] != "access" || line["component"] != "misbehave" {
        return None;
    }
    // 2026-01-31T23:59:59.123456Z
    let parts: Vec<u64> =
        line["timestamp"].as_str()?.split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect();
    let [_, _, day, hour, minute, second, micros] = parts[..] else { panic!("{line}") };
    let end = (((day * 24 + hour) * 60 + minute) * 60 + second) * 1_000_000 + micros;
    Some((end - line["duration_us"].as_u64()?, end))
}

#[tokio::test(flavor = "multi_thread")]
async fn scheduled_runs_of_both_processes_never_overlap() {
    let schedule = "schedule = [{ every = \"100ms\", path = \"/slow?ms=1500\" }]";
    let app = App::new().guest("hello", "").misbehaving_guest(schedule);
    let host = app.argument("--log-format=json").argument("--log=info,access=info").start().await;
    let runs = || host.log().iter().filter_map(|line| run(line)).collect::<Vec<_>>();
    while runs().is_empty() {
        sleep(HEAD_START).await;
    }
    host.upgrade().await;
    let before = runs().len();
    while runs().len() < before + 3 {
        sleep(HEAD_START).await;
    }
    let mut runs = runs();
    runs.sort_unstable();
    for pair in runs.windows(2) {
        assert!(pair[0].1 <= pair[1].0, "two at a time: {runs:?}");
    }
}
