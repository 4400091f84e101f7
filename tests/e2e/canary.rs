//! A new revision takes over step by step while shoppers are there, and goes back by itself when it is worse.

use std::time::Duration;

use futures::future::join_all;
use tests::control::{revision_of, variant, variant_app};
use tests::host::{Host, PATIENCE};
use tests::rollouts::{SHOPPERS, begin, rollout, shop, shop_to_the_end};
use tokio::time::{Instant, sleep};

const POLL: Duration = Duration::from_millis(50);

/// After the last step there is only the past to compare with, and a machine may be busier by then with what else runs on it.
const ANY_LATENCY: &str = "analysis.latency_ratio_min = 1000.0\n";

/// A canary with steps of a third of a second.
async fn canary(more: &str) -> Host {
    variant_app(&format!("strategy = \"canary\"\nduration = \"300ms\"\nsamples_min = 60\n{more}")).start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_revision_is_promoted_step_by_step() {
    let host = canary(ANY_LATENCY).await;
    let two = variant("two", &[]);
    begin(&host, &two).await;
    assert_eq!(rollout(&host).await["weight_percent"], 10);
    let (end, answers) = shop_to_the_end(&host).await;
    assert_eq!(end["promoted"], true, "{end}");
    assert!(answers.iter().all(|(status, _)| *status == 200));
    let news = answers.iter().filter(|(_, text)| text == "two").count();
    assert!(news > 0 && news < answers.len(), "{news} of {}", answers.len());
    assert_eq!(host.text("/variant/").await, "two");
    host.until_drained("variant").await;
    let metrics = host.metrics().await;
    let transitions = |change| metrics.sum("bodega_rollout_transitions_total", &[("change", change)]);
    assert_eq!((transitions("step-began"), transitions("promoted"), transitions("rolled-back")), (4.0, 1.0, 0.0));
    assert!(!metrics.has("bodega_rollout_weight_percent"));
    let history = String::from_utf8_lossy(&host.operate(&["history", "variant"]).await.stdout).into_owned();
    assert!(
        history.lines().nth(1).is_some_and(|line| line.starts_with("2 ") && line.contains("in force")),
        "{history}"
    );
}

/// Deploys a bad revision, which has to be taken back; returns how many shoppers saw an error.
async fn assert_taken_back(host: &Host, wasm: &[u8], metric: &str) -> usize {
    begin(host, wasm).await;
    let (end, answers) = shop_to_the_end(host).await;
    assert_eq!(end["promoted"], false, "{end}");
    let reason = end["reason"].as_str().unwrap_or_default();
    assert!(reason.contains(metric), "{reason}");
    for _ in 0..20 {
        assert_eq!(host.text("/variant/").await, "one");
    }
    host.until_drained("variant").await;
    let live = host.metrics().await.sum("bodega_instances_live", &[("revision", &revision_of(wasm))]);
    assert_eq!(live, 0.0);
    let errors = answers.iter().filter(|(status, _)| *status >= 500).count();
    println!("{metric}: {errors} errors in {} answers until: {reason}", answers.len());
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_fails_goes_back() {
    let host = canary("").await;
    let errors = assert_taken_back(&host, &variant("bad", &["errors=0300"]), "error ratio").await;
    assert!((1..50).contains(&errors), "{errors} shoppers saw an error");
    let back = host.operate(&["history", "variant"]).await;
    assert_eq!(String::from_utf8_lossy(&back.stdout).matches("taken back").count(), 1, "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_traps_goes_back_even_where_errors_are_allowed() {
    let host = canary("analysis = { error_percent_increase_min = 90.0 }").await;
    let errors = assert_taken_back(&host, &variant("bad", &["traps=0200"]), "trap").await;
    assert!((1..80).contains(&errors), "{errors} shoppers saw an error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_slower_goes_back() {
    let host = canary("analysis = { settle = \"0s\" }").await;
    assert_taken_back(&host, &variant("bad", &["delay_ms=0050"]), "latency").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_is_too_slow_for_clients_to_wait_goes_back() {
    let host = canary("analysis = { settle = \"0s\" }").await;
    begin(&host, &variant("bad", &["delay_ms=5000"])).await;
    let deadline = Instant::now() + PATIENCE;
    let mut given_up = 0;
    let end = loop {
        let asked = join_all((0..SHOPPERS).map(|_| async {
            match host.request("/variant/").timeout(Duration::from_millis(250)).send().await {
                Ok(answer) => {
                    assert_eq!(answer.text().await.expect("a body"), "one");
                    false
                }
                Err(error) => {
                    assert!(error.is_timeout(), "{error:?}");
                    true
                }
            }
        }));
        given_up += asked.await.into_iter().filter(|given_up| *given_up).count();
        let rollout = rollout(&host).await;
        if !rollout["promoted"].is_null() {
            break rollout;
        }
        assert!(Instant::now() < deadline, "what was given up does not count: {rollout}");
    };
    assert_eq!(end["promoted"], false, "{end}");
    assert!(end["reason"].as_str().is_some_and(|reason| reason.contains("latency")), "{end}");
    assert!((1..60).contains(&given_up), "{given_up} shoppers gave up");
    println!("{given_up} shoppers gave up until: {}", end["reason"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_turns_requests_away_since_it_is_slow_goes_back() {
    let canary = "strategy = \"canary\"\nsteps = [{ weight_percent = 50, duration = \"1h\" }, 100]\n\
                  sticky = { header = \"x-session\" }\nanalysis = { latency_ratio_min = 1000.0 }\n\
                  [component.variant.tool.bodega]\n\
                  instances_max = 1\ninstance_concurrency_max = 1\nqueue_length_max = 2";
    let host = variant_app(canary).argument("--workers=1").start().await;
    begin(&host, &variant("bad", &["delay_ms=0100"])).await;
    let ask = async |session: usize| {
        let answer = host.request("/variant/").header("x-session", format!("s-{session}")).send().await;
        let answer = answer.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let mut sides = Vec::new();
    while !(sides.contains(&"one".to_owned()) && sides.contains(&"bad".to_owned())) {
        sides.push(ask(sides.len()).await.1);
    }
    let session_of = |name: &str| sides.iter().position(|side| side == name).expect("it was seen");
    let (old, new) = (session_of("one"), session_of("bad"));
    let deadline = Instant::now() + PATIENCE;
    let end = loop {
        let answers = join_all((0..SHOPPERS).map(|_| ask(new))).await;
        for (status, text) in answers {
            assert!(status == 503 || text == "bad" || text == "one", "{status} {text}");
        }
        for _ in 0..SHOPPERS {
            assert_eq!(ask(old).await, (200, "one".to_owned()));
        }
        let rollout = rollout(&host).await;
        if !rollout["promoted"].is_null() {
            break rollout;
        }
        assert!(Instant::now() < deadline, "what is turned away does not count: {rollout}");
    };
    assert_eq!(end["promoted"], false, "{end}");
    assert!(end["reason"].as_str().is_some_and(|reason| reason.contains("error ratio")), "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_whose_own_counters_are_worse_goes_back_though_no_answer_shows_it() {
    let failed = "events = \"checkouts_failed_total\", of = \"checkouts_total\"";
    let host = canary(&format!("{ANY_LATENCY}analysis.counters.failed = {{ {failed} }}")).await;
    let bad = variant("bad", &["fails=0300"]);
    begin(&host, &bad).await;
    let (end, answers) = shop_to_the_end(&host).await;
    assert!(answers.iter().all(|(status, _)| *status == 200));
    assert_eq!(end["promoted"], false, "{end}");
    let reason = end["reason"].as_str().unwrap_or_default();
    assert!(reason.contains("ratio `failed`") && reason.contains("checkouts_total"), "{reason}");
    let answer = host.get("/variant/").await;
    assert!(!answer.headers().contains_key("x-bodega-count"), "{:?}", answer.headers());
    let metrics = host.metrics().await;
    let one = revision_of(&variant("one", &[]));
    let counted = |name| {
        metrics.sum("bodega_component_counts_total", &[("component", "variant"), ("revision", &one), ("name", name)])
    };
    let good = answers.iter().filter(|(_, text)| text == "one").count() + 1;
    assert_eq!((counted("checkouts_total"), counted("checkouts_failed_total")), (good as f64, 0.0));

    begin(&host, &variant("two", &["fails=0000"])).await;
    let (end, _) = shop_to_the_end(&host).await;
    assert_eq!(end["promoted"], true, "{end}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_leaks_memory_goes_back() {
    let host = canary("").await;
    assert_taken_back(&host, &variant("bad", &["leak_kib=0064"]), "grow").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tester_with_the_token_previews_and_an_operator_steers() {
    let blue_green =
        "strategy = \"blue-green\"\ngate = \"manual\"\nbake = \"1h\"\npreview_host = \"preview.shop.example\"";
    let app = variant_app(blue_green);
    let source = app.folder().join("variant.wasm");
    let mut host = app.component("other", "\"/other/...\"", &source, "").start().await;
    begin(&host, &variant("two", &[])).await;
    let token = std::fs::read_to_string(host.app().state_dir().join("secrets/preview-token")).expect("a token");
    let preview = async |host: &Host, token: &str| {
        let request = host.request("/variant/").header("x-bodega-preview", token);
        request.send().await.expect("an answer").text().await.expect("a body")
    };
    assert_eq!(preview(&host, token.trim()).await, "two");
    assert_eq!(preview(&host, "guess").await, "one");
    assert_eq!(host.text("/variant/").await, "one");

    // A browser has no header of its own to send.
    let at_host_of = async |path: &str, name: &str, value: &str| {
        let request = host.request(path).header("host", "Preview.shop.example:3000").header(name, value);
        let answer = request.send().await.expect("an answer");
        (answer.status().as_u16(), answer.text().await.expect("a body"))
    };
    let at_host = async |name: &str, value: &str| at_host_of("/variant/", name, value).await;
    let cookie = format!("cart=1; x-bodega-preview={}", token.trim());
    assert_eq!(at_host("cookie", &cookie).await, (200, "two".to_owned()));
    assert_eq!(at_host("x-bodega-preview", token.trim()).await, (200, "two".to_owned()));
    let (status, text) = at_host("cookie", "x-bodega-preview=guess").await;
    assert!(status == 403 && text.contains("no-preview"), "{status} {text}");
    // A page there calls other components too.
    assert_eq!(at_host_of("/other/", "cookie", &cookie).await, (200, "one".to_owned()));
    assert_eq!(at_host_of("/other/", "cookie", "cart=1").await.0, 403, "it is no other way in");
    let elsewhere = host.request("/variant/").header("cookie", &cookie).send().await.expect("an answer");
    assert_eq!(elsewhere.text().await.expect("a body"), "one");

    let other = host.control("POST", "/v1/deploy?component=variant", variant("six", &[])).await;
    assert_eq!(other.status(), 409, "one rollout at a time");
    host.kill_9().await;
    host.restart().await;
    assert_eq!(preview(&host, token.trim()).await, "two", "it waits on after a kill");
    assert_eq!(host.text("/variant/").await, "one");

    let promoted = host.operate(&["promote", "variant", "--why", "looks good"]).await;
    assert!(String::from_utf8_lossy(&promoted.stdout).contains("baking"), "{promoted:?}");
    assert_eq!(host.text("/variant/").await, "two");
    host.kill_9().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "two", "it bakes on after a kill");
    let paused = host.operate(&["pause", "variant"]).await;
    assert!(String::from_utf8_lossy(&paused.stdout).contains("paused"), "{paused:?}");
    let aborted = host.operate(&["abort", "variant"]).await;
    assert!(aborted.status.success(), "{aborted:?}");
    assert_eq!(host.text("/variant/").await, "one");
    let nothing = host.operate(&["promote", "variant"]).await;
    assert_eq!(nothing.status.code(), Some(1));
    host.kill_9().await;
    host.restart().await;
    assert_eq!(host.text("/variant/").await, "one");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shadow_is_compared_and_seen_by_nobody() {
    let host = variant_app(
        "strategy = \"shadow\"\nduration = \"300ms\"\nsamples_min = 40\nanalysis = { different_percent_max = 5.0 }",
    )
    .start()
    .await;
    begin(&host, &variant("two", &[])).await;
    let (end, answers) = shop_to_the_end(&host).await;
    assert_eq!(end["promoted"], false, "its answers differ: {end}");
    assert!(answers.iter().all(|answer| *answer == (200, "one".to_owned())));
    // The same answers by other code: what is no number is no setting.
    begin(&host, &variant("one", &["traps=none"])).await;
    let (waits, answers) = shop(&host, |rollout| rollout["state"] == "waiting for a person").await;
    assert!(waits["promoted"].is_null(), "{waits}");
    assert!(answers.iter().all(|answer| *answer == (200, "one".to_owned())));
    let artifact = host.write("bad.wasm", &variant("two", &[]));
    let refused = host.operate(&["deploy", "variant", artifact.to_str().expect("UTF-8")]).await;
    assert!(String::from_utf8_lossy(&refused.stderr).contains("bodega abort variant"), "{refused:?}");
    let promoted = host.operate(&["promote", "variant", "--full"]).await;
    assert!(promoted.status.success(), "{promoted:?}");
    host.until_drained("variant").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_or_compared_while_a_rollout_goes_on_that_may_end_meanwhile() {
    let host = variant_app("strategy = \"blue-green\"\ngate = \"manual\"\nbake = \"1h\"").start().await;
    begin(&host, &variant("two", &[])).await;
    let manifest = std::fs::read(host.folder().join("spin.toml")).expect("readable");
    host.write("spin.toml", b"half of a");
    let goes_on = async |arguments: &[&str]| {
        let refused = host.operate(arguments).await;
        let said = [refused.stdout, refused.stderr].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert!(refused.status.code() == Some(1) && said.contains("bodega abort variant"), "{arguments:?}: {said}");
    };
    goes_on(&["deploy", "variant"]).await;
    host.write("spin.toml", &manifest);
    // What is in force now is not what will be, so that this asks for something.
    let former = host.write("former.wasm", &variant("one", &[]));
    goes_on(&["deploy", "variant", former.to_str().expect("UTF-8")]).await;
    goes_on(&["rollback", "variant"]).await;
    let promoted = host.operate(&["promote", "variant", "--full"]).await;
    assert!(promoted.status.success(), "{promoted:?}");
    let same = host.operate(&["deploy", "variant"]).await;
    assert!(String::from_utf8_lossy(&same.stdout).contains("in force already"), "{same:?}");
    assert_eq!(host.text("/variant/").await, "two");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_waits_for_the_end_and_fails_when_it_is_bad() {
    let host = canary("").await;
    let artifact = host.write("bad.wasm", &variant("bad", &["errors=0500"]));
    let arguments = ["deploy", "variant", artifact.to_str().expect("UTF-8"), "--wait", "--strategy", "canary"];
    let command = host.operate(&arguments);
    let (output, _) = tokio::join!(command, async {
        let deadline = Instant::now() + PATIENCE;
        while rollout(&host).await.is_null() {
            assert!(Instant::now() < deadline, "it does not begin");
            sleep(POLL).await;
        }
        shop_to_the_end(&host).await
    });
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("was taken back"), "{output:?}");
}
