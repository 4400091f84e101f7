//! The host is killed again and again while shoppers check out: whoever asks again ends with one order or a clear
//! refusal, nobody is charged twice, and neither stock nor a use of a coupon is lost. Nor does it matter whether the services
//! themselves are being replaced meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tests::control::revision_of;
use tests::host::PATIENCE;
use tests::programs;
use tests::shop::{Shop, json_of};
use tests::shopper::{Shopper, Site};
use tokio::time::{Instant, sleep};

const KILLS: usize = 200;
/// Kills while services are rolled out.
const ROLLOUT_KILLS: usize = 40;
const SHOPPERS: usize = 12;
/// How long the host runs between two kills, in milliseconds.
const LIFE_MS: Range<u64> = 20..250;
/// The same while services are rolled out, which takes some steps.
const ROLLOUT_LIFE_MS: Range<u64> = 100..900;
/// The services that are rolled out: the one that runs the checkout, and one that it needs.
const ROLLED_OUT: [&str; 2] = ["orders", "catalog"];
/// A canary of short steps.
const CANARY: &str = "strategy = \"canary\"\nduration = \"50ms\"\nsamples_min = 1\nanalysis = { settle = \"0s\" }";
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

/// What the seed that the environment names gives, or a new one.
fn random() -> fastrand::Rng {
    let seed = std::env::var(SEED_VARIABLE).map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("{SEED_VARIABLE}={seed}");
    fastrand::Rng::with_seed(seed)
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

/// Has shoppers check out, for as long as `kill` goes on killing the host, and then looks at what has become of it all.
async fn keeps_every_promise(mut shop: Shop, kill: impl AsyncFnOnce(&mut Shop, &Site)) {
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
    kill(&mut shop, &site).await;
    stop.store(true, Ordering::Relaxed);
    let mut outcomes = Outcomes::new();
    for shopper in shoppers {
        outcomes.extend(shopper.await.expect("every shopper gets an answer in the end"));
    }
    println!("{} checkouts", outcomes.len());

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

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_two_hundred_times_keeps_every_promise() {
    let shop = Shop::start_with_internal_routes_of("payments", |app| app).await;
    keeps_every_promise(shop, async |shop, site| {
        let mut random = random();
        let mut steps: BTreeSet<String> = BTreeSet::new();
        for _ in 0..KILLS {
            sleep(Duration::from_millis(random.u64(LIFE_MS))).await;
            shop.host.kill_9().await;
            steps.extend(interrupted(&shop.host.folder().join("orders.db")));
            shop.host.restart().await;
            site.moved_to(&shop.host);
        }
        println!("{KILLS} kills met {steps:?}");
        for step in ["reserve", "authorize", "commit", "capture"] {
            assert!(steps.contains(step), "no kill met an order at `{step}`: {steps:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_killed_while_services_are_rolled_out_keeps_every_promise() {
    let table = |component| format!("[component.{component}.tool.bodega.rollout]\n{CANARY}\n");
    let canaries = ROLLED_OUT.map(table).concat();
    let shop = Shop::start_with_internal_routes_of("payments", |app| app.append(&canaries)).await;
    let revisions = ROLLED_OUT.map(|component| {
        let wasm = std::fs::read(programs::component(component)).expect("the component is readable");
        ["one", "two"].map(|name| named(&wasm, name))
    });
    // They are compiled now, so that they are there at once between two kills.
    for (component, revisions) in ROLLED_OUT.iter().zip(&revisions) {
        for wasm in revisions {
            let path = format!("/v1/deploy?component={component}&strategy=rolling");
            let answer = shop.host.control("POST", &path, wasm.clone()).await;
            assert_eq!(answer.status(), 200, "{answer:?}");
        }
    }
    keeps_every_promise(shop, async |shop, site| {
        let mut random = random();
        let mut under_way = 0;
        for _ in 0..ROLLOUT_KILLS {
            let mut deployments = Vec::new();
            for (component, revisions) in ROLLED_OUT.iter().zip(&revisions) {
                let status = shop.host.status_of(component).await;
                let runs = |wasm: &&Vec<u8>| status["runs"] != revision_of(wasm);
                let other = revisions.iter().find(runs).expect("one of the two is not in force");
                let url = shop.host.admin_url(&format!("/v1/deploy?component={component}"));
                let request = shop.host.client().post(url).bearer_auth(shop.host.admin_token()).body(other.clone());
                // One that goes on since before the kill is not disturbed; whom the kill meets gets no answer.
                deployments.push(tokio::spawn(async move { drop(request.send().await) }));
            }
            sleep(Duration::from_millis(random.u64(ROLLOUT_LIFE_MS))).await;
            shop.host.kill_9().await;
            for deployment in deployments {
                deployment.await.expect("nobody is told");
            }
            shop.host.restart().await;
            site.moved_to(&shop.host);
            for component in ROLLED_OUT {
                under_way += usize::from(!shop.host.status_of(component).await["rollout"].is_null());
            }
        }
        println!("{ROLLOUT_KILLS} kills met {under_way} rollouts");
        assert!(under_way > 0, "no kill met a rollout");
    })
    .await;
}

/// The component with a section that names it, which makes it another revision.
fn named(wasm: &[u8], name: &str) -> Vec<u8> {
    const SECTION: &str = "revision";
    let length = |text: &str| u8::try_from(text.len()).expect("a short text");
    let section = [&[length(SECTION)], SECTION.as_bytes(), name.as_bytes()].concat();
    [wasm, &[0, length(SECTION) + 1 + length(name)], &section].concat()
}
