//! The host is killed again and again while shoppers check out: whoever asks again ends with one order or a clear
//! refusal, nobody is charged twice, and neither stock nor a use of a coupon is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::host::PATIENCE;
use tests::shop::{Shop, json_of};
use tests::shopper::{Shopper, Site};
use tokio::time::{Instant, sleep};

const KILLS: usize = 200;
const SHOPPERS: usize = 12;
/// How long the host runs between two kills, in milliseconds.
const LIFE_MS: std::ops::Range<u64> = 20..250;
const TOKENS: [&str; 5] = ["tok_approve", "tok_fail_after_charge", "tok_timeout", "tok_decline", "tok_capture_fails"];
/// Those by which nobody pays.
const REFUSED: [&str; 2] = ["tok_decline", "tok_capture_fails"];
const STOCK: u64 = 1_000_000;
/// A coupon that takes a tenth off, and how often it may be used; fewer than who want to.
const COUPON: &str = "TENTH";
const COUPON_USES_MAX: u64 = 12;
/// Every so many checkouts come with the coupon.
const COUPON_EVERY: usize = 3;
/// Sets when the host is killed, as an earlier run has printed it; what it is doing then also depends on the machine.
const SEED_VARIABLE: &str = "BODEGA_TEST_SEED";

/// What one checkout came to, by its key: the payment token, and the order, or the id of the order that failed and why.
type Outcomes = BTreeMap<String, (String, Result<Value, (String, String)>)>;

/// The seed that the environment names, or a new one.
fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(seed) => seed.parse().expect("a seed is a number"),
        Err(_) => fastrand::u64(..),
    }
}

/// Buys until told to stop, and then finishes what was begun.
async fn buy_on(site: Site, shopper: usize, stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>) -> Outcomes {
    let mut outcomes = Outcomes::new();
    for attempt in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let key = format!("shopper-{shopper}-{attempt}");
        let token = TOKENS[attempt % TOKENS.len()];
        let shopper = Shopper::new(&site).await;
        let mut cart = shopper.add("KILL-1", 1).await;
        if attempt % COUPON_EVERY == 0 {
            cart = shopper.enter(COUPON).await;
        }
        let wish = shopper.wish(&cart, token).await;
        // While a sweep is at an order, its shopper is told that it is open, and asks again.
        let answer = shopper.check_out_to_the_end(&key, &wish).await;
        let failed = || answer.body["order_id"].as_str().expect("a refused order has an id").to_owned();
        let outcome = match (answer.status.as_u16(), answer.problem()) {
            (201, _) => Ok(answer.body),
            (402, "payment-declined") | (409, "coupon-refused") => Err((failed(), answer.problem().to_owned())),
            // Others had the last uses of the coupon since the cart was shown, so no order was made.
            (409, "price-changed") => continue,
            _ => panic!("{key} with {token}: {answer:?}"),
        };
        answered.fetch_add(1, Ordering::Relaxed);
        outcomes.insert(key, (token.to_owned(), outcome));
    }
    outcomes
}

/// All items of a list that comes in pages.
async fn all(shop: &Shop, path: &str) -> Vec<Value> {
    let (mut items, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = shop.staff(shop.host.request(&format!("{path}?limit=100{cursor}"))).send().await;
        let page = json_of(page.expect("an answer"), 200).await;
        items.extend(page["items"].as_array().expect("a list").iter().cloned());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
}

/// Waits until the sweeps have finished every order.
async fn settled(shop: &Shop) -> Vec<Value> {
    let deadline = Instant::now() + 2 * PATIENCE;
    loop {
        let orders = all(shop, "/api/orders").await;
        match orders.iter().find(|order| order["state"] == "pending") {
            None => return orders,
            Some(order) => assert!(Instant::now() < deadline, "still pending: {order}"),
        }
        sleep(Duration::from_millis(500)).await;
    }
}

/// At which steps of their checkout the orders of a dead host stand.
fn interrupted(database: &Path) -> Vec<String> {
    let database = rusqlite::Connection::open(database).expect("a database");
    let found = database.prepare("SELECT step FROM orders WHERE step IS NOT NULL").and_then(|mut find| {
        let steps = find.query_map([], |row| row.get(0))?;
        steps.collect()
    });
    // It may have died before it made its tables.
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_two_hundred_times_keeps_every_promise() {
    let mut shop = Shop::start_with_internal_routes_of("payments", |app| app).await;
    let variant = json!({ "sku": "KILL-1", "price": { "amount": 1_250, "currency": "USD" }, "stock": STOCK });
    let row = json!({ "title": "Much wanted", "variants": [variant] }).to_string();
    assert_eq!(shop.import("", "application/jsonl", row).await["imported"], 1);

    let promotion = json!({
        "title": "A tenth off", "coupon": COUPON, "reward": { "kind": "percentage", "basis_points": 1_000 },
        "usage_max": COUPON_USES_MAX,
    });
    let made = shop.staff(shop.host.post("/api/promotions")).json(&promotion).send().await.expect("an answer");
    let promotion = format!("/api/promotions/{}", json_of(made, 201).await["id"].as_str().expect("an id"));

    let site = Site::of(&shop.host);
    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let shoppers: Vec<_> = (0..SHOPPERS)
        .map(|shopper| tokio::spawn(buy_on(site.clone(), shopper, stop.clone(), answered.clone())))
        .collect();
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut steps: BTreeSet<String> = BTreeSet::new();
    for _ in 0..KILLS {
        sleep(Duration::from_millis(random.u64(LIFE_MS))).await;
        shop.host.kill_9().await;
        steps.extend(interrupted(&shop.host.folder().join("orders.db")));
        shop.host.restart().await;
        site.moved_to(&shop.host);
    }
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = Outcomes::new();
    for shopper in shoppers {
        outcomes.extend(shopper.await.expect("every shopper gets an answer in the end"));
    }
    println!("{} checkouts over {KILLS} kills, which met {steps:?}", outcomes.len());
    for step in ["reserve", "authorize", "commit", "capture"] {
        assert!(steps.contains(step), "no kill met an order at `{step}`: {steps:?}");
    }

    let orders = settled(&shop).await;
    let by_id: BTreeMap<&str, &Value> =
        orders.iter().map(|order| (order["id"].as_str().expect("an id"), order)).collect();
    assert_eq!(orders.len(), outcomes.len(), "one order for each key");
    for (key, (token, outcome)) in &outcomes {
        let (id, expected) = match outcome {
            Ok(order) => (order["id"].as_str().expect("an id"), "paid"),
            Err((id, _)) => (id.as_str(), "failed"),
        };
        assert_eq!(by_id[id]["state"], expected, "{key} with {token} was answered {outcome:?}");
        match outcome {
            Err((_, problem)) if problem == "coupon-refused" => {}
            _ => assert_eq!(REFUSED.contains(&token.as_str()), expected == "failed", "{key} with {token}: {outcome:?}"),
        }
    }

    // A use of the coupon for each order that was paid with it, and none for the others.
    let paid = outcomes.values().filter_map(|(_, outcome)| outcome.as_ref().ok());
    let used = paid.filter(|order| order["coupons"] == json!([COUPON])).count() as u64;
    let promotion = shop.staff(shop.host.request(&promotion)).send().await.expect("an answer");
    assert_eq!(json_of(promotion, 200).await["used"], used);
    assert!((1..=COUPON_USES_MAX).contains(&used), "{used} orders were paid with the coupon");
    println!("{used} of {COUPON_USES_MAX} uses of the coupon");

    // Until nothing is left to give back.
    shop.verify().await;

    // The provider's own books: one charge for each order that was paid, of what it costs, and no money held for others.
    let mut captured: BTreeMap<String, i64> = BTreeMap::new();
    let mut after = 0;
    loop {
        let ledger = shop.host.json(&format!("/internal/test-provider/ledger?limit=100&after={after}")).await;
        let charges = ledger["items"].as_array().expect("a list");
        let Some(last) = charges.last() else { break };
        after = last["seq"].as_i64().expect("a number");
        for charge in charges {
            assert_ne!(charge["state"], "authorized", "money is held for nothing: {charge}");
            let amount = charge["captured"]["amount"].as_i64().expect("an amount");
            if amount > 0 {
                let order = charge["order_id"].as_str().expect("an id").to_owned();
                assert_eq!(captured.insert(order, amount), None, "charged twice: {charge}");
            }
        }
    }
    for order in &orders {
        let total = order["total"]["amount"].as_i64().expect("a total");
        let expected = (order["state"] == "paid").then_some(total);
        assert_eq!(captured.get(order["id"].as_str().expect("an id")).copied(), expected, "{order}");
    }
    let paid = orders.iter().filter(|order| order["state"] == "paid").count() as u64;
    let product = shop.host.json("/api/products/much-wanted").await;
    assert_eq!(product["available"], STOCK - paid);
}
