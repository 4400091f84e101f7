//! A shopper stays on one revision of a canary: by a header, a token, or a cookie of the host's.

use std::ops::RangeInclusive;

use futures::future::join_all;
use serde_json::Value;
use tests::control::{variant, variant_app};
use tests::host::Host;

/// Shoppers at once.
const SHOPPERS: usize = 8;

async fn begin(host: &Host, wasm: &[u8]) {
    let done = host.deploy("variant", wasm).await;
    assert_eq!(done["rollout"], true, "{done}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_stays_on_one_revision_and_shares_are_kept() {
    const SESSIONS: usize = 600;
    // 99 % bounds of the binomial distribution with n = 600 and p = 0.1. The salt is another one each time, so that one group
    // of shoppers in a hundred is outside of them, but hardly ever two.
    const NEWS: RangeInclusive<usize> = 42..=79;
    let host =
        variant_app("strategy = \"canary\"\nduration = \"1h\"\nsamples_min = 1\nsticky = { header = \"x-session\" }")
            .start()
            .await;
    begin(&host, &variant("two", &[])).await;
    let shop = &host;
    let sides_of = async |group: &str| {
        let mut sides = Vec::new();
        for begin in (0..SESSIONS).step_by(50) {
            let asked = (begin..begin + 50).map(|session| async move {
                let request = shop.request("/variant/").header("x-session", format!("{group}-{session}"));
                request.send().await.expect("an answer").text().await.expect("a body")
            });
            sides.extend(join_all(asked).await);
        }
        sides
    };
    let sides = sides_of("s").await;
    assert_eq!(sides, sides_of("s").await, "a shopper flipped");
    let news_of = |sides: &[String]| sides.iter().filter(|name| *name == "two").count();
    let news = news_of(&sides);
    if !NEWS.contains(&news) {
        let others = news_of(&sides_of("t").await);
        assert!(NEWS.contains(&others), "{news} and {others} of {SESSIONS} sessions at 10 %");
    }
    let promoted = host.operate(&["promote", "variant"]).await;
    assert!(String::from_utf8_lossy(&promoted.stdout).contains("25 %"), "{promoted:?}");
    for (session, side) in sides.iter().enumerate() {
        if side == "two" {
            let request = host.request("/variant/").header("x-session", format!("s-{session}"));
            let text = request.send().await.expect("an answer").text().await.expect("a body");
            assert_eq!(text, "two", "who was on the new revision stays there");
        }
    }
}

/// An app of two components of which `interfaces` asks `variant`, with a canary at `variant` that stays at its first step.
async fn chain_under_a_canary(percent: u8) -> Host {
    let steps = format!("steps = [{{ weight_percent = {percent}, duration = \"1h\" }}, 100]");
    let allowed = "allowed_outbound_hosts = [\"http://variant.spin.internal\"]";
    let host = variant_app(&format!("strategy = \"canary\"\n{steps}")).guest("interfaces", allowed).start().await;
    let asked = host.request("/variant/").send().await.expect("an answer");
    assert!(!asked.headers().contains_key("set-cookie"), "nobody has to be known without a rollout");
    begin(&host, &variant("two", &[])).await;
    host
}

/// Which version answers a request with this header, directly or to the other component; and the cookie that it is given.
async fn side(host: &Host, is_chained: bool, header: Option<(&str, &str)>) -> (String, Option<String>) {
    let path = if is_chained { "/interfaces/outbound?url=http://variant.spin.internal/" } else { "/variant/" };
    let mut request = host.request(path);
    if let Some((name, value)) = header {
        request = request.header(name, value);
    }
    let answer = request.send().await.expect("an answer");
    let cookie = answer.headers().get("set-cookie").map(|cookie| {
        assert_eq!(answer.headers()["cache-control"], "private", "a cache would give it to others");
        let cookie = cookie.to_str().expect("ASCII");
        assert!(cookie.contains("; HttpOnly; SameSite=Lax") && !cookie.contains("Max-Age"), "{cookie}");
        cookie.split(';').next().unwrap_or_default().to_owned()
    });
    let text = answer.text().await.expect("a body");
    if !is_chained {
        return (text, cookie);
    }
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    (answer["body"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned(), cookie)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_without_a_token_stays_on_one_revision_down_the_chain() {
    const NEW_SHOPPERS: usize = 600;
    // As above, of 600 at 30 %.
    const NEWS: RangeInclusive<usize> = 151..=209;
    let host = &chain_under_a_canary(30).await;
    let arrive = async || {
        let mut shoppers = Vec::new();
        for begin in (0..NEW_SHOPPERS).step_by(SHOPPERS * 5) {
            let asked = (begin..begin + SHOPPERS * 5).map(|number| side(host, number % 2 == 0, None));
            shoppers.extend(join_all(asked).await);
        }
        shoppers
    };
    let shoppers = arrive().await;
    let news_of = |shoppers: &[(String, Option<String>)]| shoppers.iter().filter(|(name, _)| name == "two").count();
    let news = news_of(&shoppers);
    if !NEWS.contains(&news) {
        let others = news_of(&arrive().await);
        assert!(NEWS.contains(&others), "{news} and {others} of {NEW_SHOPPERS} shoppers at 30 %");
    }
    for (name, cookie) in shoppers.iter().step_by(4) {
        let cookie = format!("a=1; {}", cookie.as_deref().expect("who has no key is given one"));
        for number in 0..6 {
            let again = side(host, number % 2 == 0, Some(("cookie", &cookie))).await;
            assert_eq!(again, (name.clone(), None), "the shopper with {cookie} flipped, or was given another key");
        }
    }
    let token = std::fs::read_to_string(host.app().state_dir().join("secrets/preview-token")).expect("a token");
    let tester = side(host, false, Some(("x-bodega-preview", token.trim()))).await;
    assert_eq!(tester, ("two".to_owned(), None), "a tester is not one of the shoppers");
    let aborted = host.operate(&["abort", "variant"]).await;
    assert!(aborted.status.success(), "{aborted:?}");
    assert_eq!(side(host, true, None).await, ("one".to_owned(), None), "no cookie without a rollout");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_stays_on_one_revision_where_the_token_is_not_sent_on() {
    let host = &chain_under_a_canary(50).await;
    let mut sides = Vec::new();
    for user in 0..40 {
        let token = format!("Basic user-{user}");
        let header = Some(("authorization", token.as_str()));
        let direct = side(host, false, header).await;
        for _ in 0..4 {
            assert_eq!(side(host, true, header).await, direct, "{token} met both revisions");
        }
        assert_eq!(direct.1, None, "who has a token needs no cookie");
        sides.push(direct.0);
    }
    assert!(sides.contains(&"one".to_owned()) && sides.contains(&"two".to_owned()), "{sides:?}");
}
