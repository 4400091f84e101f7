//! An operator steers a rollout by commands, each of which leaves who and why in the log of actions, and looks on meanwhile.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tests::control::{variant, variant_app};
use tests::host::{Host, PATIENCE};
use tests::load::Load;
use tests::rollouts::{begin, rollout, shop, shop_to_the_end};
use tokio::io::AsyncReadExt as _;
use tokio::time::{Instant, sleep, timeout};

/// Steps that end as soon as there are a few requests of both revisions.
const QUICK: &str = "strategy = \"canary\"\nsteps = [10, 50]\nduration = \"200ms\"\nsamples_min = 20\n\
                     analysis = { settle = \"0s\", latency_ratio_min = 1000.0 }\n";
/// Requests that would be far more than enough for such a step.
const ENOUGH: usize = 600;
/// Who operates.
const OPERATOR: &str = "ann";
/// How long shoppers shop between two changes.
const PAUSE: Duration = Duration::from_millis(400);

async fn host(rollout: &str) -> Host {
    variant_app(rollout).environment("USER", OPERATOR).start().await
}

/// Runs a command of the component, which must succeed; returns what it says.
async fn run(host: &Host, command: &str, arguments: &[&str]) -> String {
    let output = host.operate(&[&[command, "variant"], arguments].concat()).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Shops on, and far longer than a step takes; returns how the rollout is then.
async fn shop_on(host: &Host) -> Value {
    let started = Instant::now();
    let mut asked = 0;
    while asked < ENOUGH || started.elapsed() < PAUSE {
        let (_, answers) = shop(host, |_| true).await;
        asked += answers.len();
    }
    rollout(host).await
}

/// What a person has done of a component, the oldest first: the command, its reason and what came of it.
async fn done_by_the_operator(host: &Host) -> Vec<(String, String, bool)> {
    let actions: Value = host.control("GET", "/v1/actions", "").await.json().await.expect("JSON");
    let own = actions.as_array().expect("a list").iter().rev().filter(|action| action["who"] != "rollout");
    own.map(|action| {
        let text = |name: &str| action[name].as_str().expect("a text").to_owned();
        assert!(text("who").starts_with("admin-token (ann) from 127.0.0.1"), "{action}");
        assert!(text("component") == "variant" && action["at_ms"].as_u64().is_some_and(|at| at > 0), "{action}");
        (text("action"), text("why"), text("outcome") == "ok")
    })
    .collect()
}

fn expected(actions: &[(&str, &str, bool)]) -> Vec<(String, String, bool)> {
    actions.iter().map(|(action, why, is_done)| ((*action).to_owned(), (*why).to_owned(), *is_done)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_waits_at_each_gate_for_a_person() {
    let host = host(&format!("{QUICK}gate = \"manual\"")).await;
    let two = host.write("two.wasm", &variant("two", &[]));
    let begun = run(&host, "deploy", &[two.to_str().expect("UTF-8"), "--why", "a new name"]).await;
    assert!(begun.contains("rollout of revision 2 has begun"), "{begun}");
    for (weight, reason) in [(10, "looks good"), (50, "still good")] {
        let (waits, answers) = shop(&host, |rollout| rollout["state"] == "waiting for a person").await;
        assert!(answers.iter().all(|(status, _)| *status == 200));
        assert!(waits["promoted"].is_null() && waits["weight_percent"] == weight, "{waits}");
        let still = shop_on(&host).await;
        assert_eq!((&still["state"], &still["weight_percent"]), (&waits["state"], &weight.into()), "{still}");
        let promoted = run(&host, "promote", &["--why", reason]).await;
        assert!(promoted.contains(reason), "{promoted}");
    }
    assert_eq!(rollout(&host).await["promoted"], true);
    assert_eq!(host.text("/variant/").await, "two");
    let done = [("deploy", "a new name", true), ("promote", "looks good", true), ("promote", "still good", true)];
    assert_eq!(done_by_the_operator(&host).await, expected(&done));
    let history = run(&host, "history", &[]).await;
    let line = history.lines().nth(1).expect("a revision");
    assert!(["2 ", "in force", "(ann)", "a new name"].iter().all(|words| line.contains(words)), "{history}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_command_leaves_who_and_why() {
    let host = host(QUICK).await;
    let write = |name: &str| host.write(&format!("{name}.wasm"), &variant(name, &[])).display().to_string();
    let (two, six) = (write("two"), write("six"));
    run(&host, "deploy", &[&two, "--why", "first try"]).await;
    let paused = run(&host, "pause", &["--why", "lunch"]).await;
    assert!(paused.contains("in step 1, paused") && paused.contains("lunch"), "{paused}");
    let still = shop_on(&host).await;
    assert_eq!((&still["hold"], &still["weight_percent"]), (&"paused".into(), &10.into()), "{still}");
    let again = host.operate(&["pause", "variant", "--why", "more lunch"]).await;
    assert_eq!(again.status.code(), Some(1), "{again:?}");
    assert!(String::from_utf8_lossy(&again.stderr).contains("paused"), "{again:?}");

    let resumed = run(&host, "resume", &["--why", "back again"]).await;
    assert!(!resumed.contains(", paused") && resumed.contains("back again"), "{resumed}");
    let (on, _) = shop(&host, |rollout| rollout["weight_percent"] == 50).await;
    assert!(on["promoted"].is_null(), "{on}");
    run(&host, "abort", &["--why", "no good"]).await;
    assert_eq!(host.text("/variant/").await, "one");
    let nothing = host.operate(&["resume", "variant", "--why", "no more"]).await;
    assert!(String::from_utf8_lossy(&nothing.stderr).contains("no rollout"), "{nothing:?}");

    run(&host, "deploy", &[&six, "--strategy", "canary", "--why", "second try"]).await;
    run(&host, "promote", &["--full", "--why", "in a hurry"]).await;
    assert_eq!(host.text("/variant/").await, "six");
    run(&host, "rollback", &["--why", "too much of a hurry"]).await;
    assert_eq!(host.text("/variant/").await, "one");

    let done = [
        ("deploy", "first try", true),
        ("pause", "lunch", true),
        ("pause", "more lunch", false),
        ("resume", "back again", true),
        ("abort", "no good", true),
        ("resume", "no more", false),
        ("deploy", "second try", true),
        ("promote", "in a hurry", true),
        ("rollback", "too much of a hurry", true),
    ];
    assert_eq!(done_by_the_operator(&host).await, expected(&done));
    let history = run(&host, "history", &[]).await;
    for (number, state, why) in
        [("3 ", "taken back", "second try"), ("2 ", "taken back", "first try"), ("1 ", "in force", "")]
    {
        let line = history.lines().find(|line| line.starts_with(number)).expect("a revision");
        assert!(line.contains(state) && line.contains(why), "{history}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_switch_and_a_return_during_the_bake_lose_no_request() {
    let host = host("strategy = \"blue-green\"\nbake = \"1h\"\nanalysis = { latency_ratio_min = 1000.0 }").await;
    let load = Load::start(&host);
    sleep(PAUSE).await;
    for _ in 0..3 {
        begin(&host, &variant("two", &[])).await;
        assert_eq!(host.text("/variant/").await, "two", "all of it in one step");
        assert_eq!(rollout(&host).await["state"], "baking");
        sleep(PAUSE).await;
        run(&host, "abort", &["--why", "back to what we know"]).await;
        assert_eq!(host.text("/variant/").await, "one");
        sleep(PAUSE).await;
    }
    begin(&host, &variant("two", &[])).await;
    sleep(PAUSE).await;
    run(&host, "promote", &[]).await;
    sleep(PAUSE).await;
    assert_eq!(host.text("/variant/").await, "two");
    let answers = load.end().await;
    println!("{answers} answers in four switches and three returns");
    host.until_drained("variant").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_status_shows_what_changes() {
    const CLEAR_SCREEN: &str = "\x1b[2J\x1b[H";
    let host = host(QUICK).await;
    begin(&host, &variant("two", &[])).await;
    let state = host.app().state_dir();
    let mut command = host.app().program(&["status", "--live", "--state-dir", state.to_str().expect("UTF-8")]);
    let mut live = command.stdout(Stdio::piped()).spawn().expect("the host's binary runs");
    let mut output = live.stdout.take().expect("it is piped");
    let mut shown = String::new();
    // The page that has these words, in time.
    let mut page_with = async |words: &[&str]| {
        let reading = async {
            loop {
                let page = shown.rsplit(CLEAR_SCREEN).next().unwrap_or_default();
                if words.iter().all(|word| page.contains(word)) {
                    return page.to_owned();
                }
                let mut piece = [0; 4096];
                let bytes = output.read(&mut piece).await.expect("it goes on");
                assert!(bytes > 0, "the command has ended after {shown}");
                shown += &String::from_utf8_lossy(&piece[..bytes]);
            }
        };
        timeout(PATIENCE, reading).await.expect("it is shown in time")
    };
    let first =
        page_with(&["component  revision", "variant", "canary of revision 2", "in step 1, with 10 % of requests"])
            .await;
    println!("{first}");
    run(&host, "pause", &["--why", "lunch"]).await;
    page_with(&["in step 1, paused, with 10 %", "lunch"]).await;
    run(&host, "resume", &[]).await;
    let (end, _) = shop_to_the_end(&host).await;
    assert_eq!(end["promoted"], true, "{end}");
    let last = page_with(&["is promoted", "with 100 % of requests"]).await;
    println!("{last}");
    assert!(!last.contains("(0 so far)"), "what it has answered until then: {last}");
    assert!(shown.starts_with(CLEAR_SCREEN), "each page takes the place of the one before");
    live.kill().await.expect("it is our child, and goes on until it is ended");
}
