//! What a bad revision does to shoppers until it is taken back, at the settings that a component has which sets none but a shorter
//! step: a tenth of the shoppers, 200 requests to judge by.

use futures::future::join_all;
use serde_json::Value;
use tests::app::App;
use tests::control::variant;
use tests::host::{Host, PATIENCE};
use tests::rollouts::{begin, rollout};
use tokio::time::Instant;

/// Shorter than a minute, so that latency is compared from its first second on.
const CANARY: &str = "[component.variant.tool.bodega.rollout]\nstrategy = \"canary\"\nduration = \"4s\"";
const SHOPPERS: usize = 400;
/// Of them at once.
const AT_ONCE: usize = 16;
/// Answers of the new revision that are enough to judge by (`samples_min`).
const SAMPLES_MIN: usize = 200;
/// As many again are the window within which it is found; it is looked for every quarter of a second.
const ANSWERS_MAX: usize = 2 * SAMPLES_MIN + 100;

/// Somebody with a browser, which keeps the cookie that it is given.
#[derive(Default)]
struct Shopper {
    cookie: Option<String>,
    /// Answers of the new revision.
    answers: usize,
    errors: usize,
}

impl Shopper {
    async fn visit(&mut self, host: &Host) {
        let mut request = host.request("/variant/");
        if let Some(cookie) = &self.cookie {
            request = request.header("cookie", cookie);
        }
        let answer = request.send().await.expect("an answer");
        if let Some(cookie) = answer.headers().get("set-cookie") {
            let cookie = cookie.to_str().expect("ASCII").split(';').next();
            self.cookie = cookie.map(str::to_owned);
        }
        let is_error = answer.status() == 500;
        assert!(is_error || answer.status() == 200, "{answer:?}");
        self.errors += usize::from(is_error);
        let text = answer.text().await.expect("a body");
        self.answers += usize::from(is_error || text == "bad");
    }
}

/// What shoppers saw of a bad revision, and how its rollout has ended.
struct Seen {
    end: Value,
    /// Answers of the bad revision, errors among them.
    answers: usize,
    /// Shoppers who saw an error.
    shoppers: usize,
}

/// Rolls out a bad revision while shoppers come and come again.
async fn roll_out(old: &[&str], bad: &[&str]) -> Seen {
    let app = App::new().file("variant.wasm", variant("one", old));
    let source = app.folder().join("variant.wasm");
    let host = app.component("variant", "\"/variant/...\"", &source, CANARY).start().await;
    begin(&host, &variant("bad", bad)).await;
    let mut shoppers: Vec<Shopper> = (0..SHOPPERS).map(|_| Shopper::default()).collect();
    let deadline = Instant::now() + PATIENCE;
    let end = 'shop: loop {
        for group in shoppers.chunks_mut(AT_ONCE) {
            join_all(group.iter_mut().map(|shopper| shopper.visit(&host))).await;
            let rollout = rollout(&host).await;
            if !rollout["promoted"].is_null() {
                break 'shop rollout;
            }
            assert!(Instant::now() < deadline, "it goes on for ever: {rollout}");
        }
    };
    let steps = host.metrics().await.sum("bodega_rollout_transitions_total", &[("change", "step-began")]);
    assert_eq!(steps, 1.0, "it went beyond a tenth of the shoppers: {end}");
    let answers = shoppers.iter().map(|shopper| shopper.answers).sum();
    let seen = Seen { end, answers, shoppers: shoppers.iter().filter(|shopper| shopper.errors > 0).count() };
    for group in shoppers.chunks_mut(AT_ONCE) {
        let before: usize = group.iter().map(|shopper| shopper.answers).sum();
        join_all(group.iter_mut().map(|shopper| shopper.visit(&host))).await;
        assert_eq!(group.iter().map(|shopper| shopper.answers).sum::<usize>(), before, "it still answers");
    }
    seen
}

impl Seen {
    fn assert_taken_back(&self, metric: &str) {
        let Self { end, answers, shoppers } = self;
        let reason = end["reason"].as_str().unwrap_or_default();
        println!("{shoppers} of {SHOPPERS} shoppers saw an error, in {answers} answers of the new revision: {reason}");
        assert!(end["promoted"] == false && reason.contains(metric), "{end}");
        assert!(*answers <= ANSWERS_MAX, "{answers} answers until {metric} was found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_with_five_percent_errors_is_taken_back_before_five_percent_of_shoppers_see_one() {
    let seen = roll_out(&[], &["errors=0050"]).await;
    seen.assert_taken_back("error ratio");
    assert!((1..=SHOPPERS / 20).contains(&seen.shoppers), "{} shoppers saw an error", seen.shoppers);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_takes_twice_as_long_is_taken_back_and_nobody_sees_an_error() {
    let seen = roll_out(&["delay_ms=0025"], &["delay_ms=0050"]).await;
    seen.assert_taken_back("latency");
    assert_eq!(seen.shoppers, 0);
}
