//! Payments through the real host: against a Stripe that answers late, badly or not at all, and with the host killed
//! in the middle.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value, json};
use tests::app::App;
use tests::host::{Host, PATIENCE};
use tests::shop::{Shop, json_of};
use tests::shopper::{Shopper, Site};
use tests::stripe::{Accident, SECRET_KEY, Stripe, WEBHOOK_SECRET, sign};
use tokio::time::{Instant, sleep};

/// How often a test looks whether something has come about.
const POLL: Duration = Duration::from_millis(100);

async fn shop(provider: &str, stripe_url: &str) -> Shop {
    let (provider, url) = (provider.to_owned(), stripe_url.to_owned());
    Shop::start_with_internal_routes_of("payments", |app| {
        app.environment("SPIN_VARIABLE_PAYMENTS_PROVIDER", provider)
            .environment("SPIN_VARIABLE_STRIPE_URL", url)
            .environment("SPIN_VARIABLE_STRIPE_SECRET_KEY", SECRET_KEY)
            .environment("SPIN_VARIABLE_PAYMENTS_WEBHOOK_SECRET", WEBHOOK_SECRET)
    })
    .await
}

fn order(number: u32) -> String {
    format!("01890000-0000-7000-8000-{number:012}")
}

fn charge(order: &str, token: &str) -> Value {
    json!({ "order_id": order, "amount": { "amount": 1999, "currency": "USD" }, "payment_method": token })
}

async fn authorize(host: &Host, order: &str, token: &str, status: u16) -> Value {
    let answer = host.post("/internal/intents").json(&charge(order, token)).send().await;
    json_of(answer.expect("an answer"), status).await
}

async fn act(host: &Host, order: &str, how: &str, body: Value, status: u16) -> Value {
    let answer = host.post(&format!("/internal/intents/{order}/{how}")).json(&body).send().await;
    json_of(answer.expect("an answer"), status).await
}

/// Waits until the intent of an order has a known outcome, which nobody asks for but the host's own sweep.
async fn settled(host: &Host, order: &str) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let intent = host.json(&format!("/internal/intents/{order}")).await;
        if intent["state"] != "pending" {
            return intent;
        }
        assert!(Instant::now() < deadline, "still pending: {intent}");
        sleep(POLL).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_holds_takes_and_gives_back() {
    let stripe = Stripe::start().await;
    let shop = shop("stripe", &stripe.url()).await;
    let (host, paid, released) = (&shop.host, order(1), order(2));
    let held = authorize(host, &paid, "pm_card_visa", 200).await;
    assert_eq!((&held["state"], &held["provider_reference"]), (&json!("authorized"), &json!("pi_1")));
    assert_eq!(act(host, &paid, "capture", Value::Null, 200).await["captured"]["amount"], 1999);
    let refund = json!({
        "refund_id": order(9), "amount": { "amount": 500, "currency": "USD" }, "reason": "returned",
    });
    for _ in 0..2 {
        assert_eq!(act(host, &paid, "refunds", refund.clone(), 200).await["state"], "succeeded");
    }
    assert_eq!(host.json(&format!("/internal/intents/{paid}")).await["refunded"]["amount"], 500);

    authorize(host, &released, "pm_card_visa", 200).await;
    assert_eq!(act(host, &released, "void", Value::Null, 200).await["state"], "voided");
    assert_eq!(stripe.intents_of(&released)[0]["status"], "canceled");

    let refused = authorize(host, &order(3), "pm_card_visa_chargeDeclinedInsufficientFunds", 200).await;
    assert_eq!((&refused["state"], &refused["failure"]["code"]), (&json!("declined"), &json!("insufficient_funds")));
    let unusable = authorize(host, &order(4), "pm_nothing", 200).await;
    assert_eq!(unusable["failure"]["code"], "invalid_payment_method");

    let metrics = host.metrics().await;
    let counted = |name| metrics.sum("bodega_component_counts_total", &[("component", "payments"), ("name", name)]);
    assert_eq!(counted("payments_total"), 4.0);
    assert_eq!(counted("payments_declined_total") + counted("payments_failed_total"), 2.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn stripe_answers_badly_and_nobody_pays_twice() {
    let stripe = Stripe::start().await;
    let shop = shop("stripe", &stripe.url()).await;
    // Repeated in the same request: a fault before, and an answer that is lost after.
    for (number, accident) in [(1, Accident::FailsBefore), (2, Accident::BreaksOffAfter)] {
        stripe.next_has(accident);
        let held = authorize(&shop.host, &order(number), "pm_card_visa", 200).await;
        assert_eq!(held["state"], "authorized", "{accident:?}");
        assert_eq!(stripe.intents_of(&order(number)).len(), 1, "{accident:?}");
    }
    // Longer than payments waits: the outcome is found later, by the sweep that the host runs.
    stripe.next_has(Accident::Takes(Duration::from_secs(15)));
    assert_eq!(authorize(&shop.host, &order(3), "pm_card_visa", 202).await["state"], "pending");
    assert_eq!(settled(&shop.host, &order(3)).await["state"], "authorized");
    assert_eq!(stripe.intents_of(&order(3)).len(), 1);

    stripe.next_has(Accident::BreaksOffAfter);
    act(&shop.host, &order(3), "capture", Value::Null, 200).await;
    assert_eq!(stripe.intents_of(&order(3))[0]["status"], "succeeded");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_webhook_tells_that_the_shopper_confirmed() {
    let stripe = Stripe::start().await;
    let shop = shop("stripe", &stripe.url()).await;
    let order = order(1);
    let asked = authorize(&shop.host, &order, "pm_card_threeDSecure2Required", 200).await;
    assert_eq!(asked["state"], "requires_action");
    assert_eq!(asked["next_action"], json!({ "type": "client_secret", "client_secret": "pi_1_secret" }));

    let (event, signature) = stripe.shopper_confirms(&order);
    let post = |signature: String| {
        let request = shop.host.post("/api/payments/webhooks/stripe").header("stripe-signature", signature);
        request.body(event.clone()).send()
    };
    assert_eq!(post(sign(&event, 1)).await.expect("an answer").status(), 400, "an old one");
    for _ in 0..2 {
        assert_eq!(post(signature.clone()).await.expect("an answer").status(), 200);
    }
    assert_eq!(shop.host.json(&format!("/internal/intents/{order}")).await["state"], "authorized");
    act(&shop.host, &order, "capture", Value::Null, 200).await;

    let id = asked["id"].as_str().expect("an id");
    let shown = shop.staff(shop.host.request(&format!("/api/payments/intents/{id}"))).send().await;
    let shown = json_of(shown.expect("an answer"), 200).await;
    let causes: Vec<&Value> = shown["history"].as_array().expect("a list").iter().map(|step| &step["cause"]).collect();
    assert_eq!(causes, ["call", "call", "webhook", "call"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_host_charges_each_order_once() {
    const ROUNDS: u32 = 4;
    const ORDERS_PER_ROUND: u32 = 24;
    let mut shop = shop("test", "http://127.0.0.1:9").await;
    let tokens = ["tok_approve", "tok_fail_after_charge", "tok_timeout", "tok_decline"];
    let mut acknowledged: BTreeMap<String, String> = BTreeMap::new();
    for round in 0..ROUNDS {
        let answered = Arc::new(AtomicUsize::new(0));
        let requests = (0..ORDERS_PER_ROUND).map(|number| {
            let order = order(round * ORDERS_PER_ROUND + number);
            let token = tokens[number as usize % tokens.len()];
            let request = shop.host.post("/internal/intents").json(&charge(&order, token)).send();
            let answered = answered.clone();
            async move {
                let answer = request.await.ok()?.json::<Value>().await.ok()?;
                answered.fetch_add(1, Ordering::Relaxed);
                Some((order, answer["state"].as_str()?.to_owned()))
            }
        });
        let requests = tokio::spawn(join_all(requests.collect::<Vec<_>>()));
        // Each round is cut off at another point, with the other requests in between.
        let deadline = Instant::now() + PATIENCE;
        while answered.load(Ordering::Relaxed) < 1 + 4 * round as usize {
            assert!(Instant::now() < deadline, "the host answers in time");
            sleep(Duration::from_millis(1)).await;
        }
        shop.host.kill_9().await;
        acknowledged.extend(requests.await.expect("no request panics").into_iter().flatten());
        shop.host.restart().await;
    }
    assert!(acknowledged.len() >= ROUNDS as usize, "too few to mean anything: {acknowledged:?}");
    for (order, state) in &acknowledged {
        let now = settled(&shop.host, order).await;
        assert!(state == "pending" || now["state"] == **state, "{order} was {state}: {now}");
    }
    let ledger = shop.host.json("/internal/test-provider/ledger").await;
    let mut charges: BTreeMap<&str, &str> = BTreeMap::new();
    for charge in ledger["items"].as_array().expect("a list") {
        let (order, state) = (charge["order_id"].as_str().expect("an id"), charge["state"].as_str().expect("a state"));
        assert_eq!(charges.insert(order, state), None, "{order} was charged twice");
    }
    for (order, state) in charges {
        assert_eq!(settled(&shop.host, order).await["state"], state, "both books say the same of {order}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_have_no_public_way_in_but_their_own() {
    let shop = Shop::start().await;
    assert_eq!(
        shop.host
            .post("/internal/intents")
            .json(&charge(&order(1), "tok_approve"))
            .send()
            .await
            .expect("an answer")
            .status(),
        404
    );
    assert_eq!(shop.host.get("/internal/test-provider/ledger").await.status(), 404);
    assert_eq!(shop.host.get(&format!("/api/payments/intents/{}", order(1))).await.status(), 401);
    let unsigned = shop.host.post("/api/payments/webhooks/test").body("{}").send().await;
    assert_eq!(unsigned.expect("an answer").status(), 400);
    shop.host.log_line(&["the test provider is on"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_card_number_is_refused_and_nowhere_in_the_log() {
    const CARD: &str = "4242424242424242";
    const SPACED: &str = "4242 4242 4242 4242";
    let change = |app: App| app.argument("--log=debug,access=info");
    let shop = Shop::start_with_internal_routes_of("payments", change).await.with_products(1).await;
    let shopper = Shopper::new(&Site::of(&shop.host)).await;
    let cart = shopper.add("P-1", 1).await;
    for card in [CARD, SPACED] {
        let refused = shopper.check_out("k", &shopper.wish(&cart, card).await).await;
        assert_eq!((refused.status.as_u16(), refused.problem()), (422, "card-number"), "{refused:?}");
        let refused = authorize(&shop.host, &order(1), card, 422).await;
        assert_eq!(refused["type"], "urn:bodega:problem:card-number");
    }
    for path in ["/api/checkout", "/internal/intents"] {
        let torn = shop.host.post(path).header("idempotency-key", "k").body(format!("{{\"payment_method\": \"{CARD}"));
        assert_eq!(torn.send().await.expect("an answer").status(), 422, "{path}");
    }
    shop.host.log_line(&["access", "/api/checkout", "422"]).await;
    shop.host.log_line(&["access", "/internal/...", "422"]).await;
    let quoted: Vec<String> =
        shop.host.log().into_iter().filter(|line| line.contains(CARD) || line.contains(SPACED)).collect();
    assert_eq!(quoted, [""; 0]);
}

/// What is left to buy of `Product n`.
async fn available(shop: &Shop, number: u32) -> Value {
    shop.host.json(&format!("/api/products/product-{number}")).await["available"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_checkout_with_a_bad_provider_is_completed_or_taken_back_and_never_both() {
    let stripe = Stripe::start().await;
    let shop = shop("stripe", &stripe.url()).await.with_products(5).await;
    let site = Site::of(&shop.host);
    let asks = async |number: u32, token: &str| {
        let shopper = Shopper::new(&site).await;
        let cart = shopper.add(&format!("P-{number}"), 1).await;
        let wish = shopper.wish(&cart, token).await;
        (shopper, wish)
    };
    let accidents = [Accident::FailsBefore, Accident::BreaksOffAfter, Accident::Takes(Duration::from_secs(15))];
    for (number, accident) in (1..).zip(accidents) {
        let (shopper, wish) = asks(number, "pm_card_visa").await;
        stripe.next_has(accident);
        let order = shopper.check_out_to_the_end("k", &wish).await.is(201);
        assert_eq!(order["state"], "paid", "{accident:?}");
        let charged = stripe.intents_of(order["id"].as_str().expect("an id"));
        assert_eq!(charged.len(), 1, "{accident:?}: {charged:?}");
        assert_eq!(charged[0]["status"], "succeeded", "{accident:?}");
        assert_eq!(available(&shop, number).await, 9, "{accident:?}");
    }

    // For as long as it is down the order is open, with its stock held; then it goes on by itself.
    let (shopper, wish) = asks(4, "pm_card_visa").await;
    for _ in 0..8 {
        stripe.next_has(Accident::FailsBefore);
    }
    let open = shopper.check_out("k", &wish).await.is(202);
    assert_eq!((&open["state"], available(&shop, 4).await), (&json!("pending"), json!(9)));
    let order = shopper.check_out_to_the_end("k", &wish).await.is(201);
    assert_eq!((&order["id"], &order["state"]), (&open["id"], &json!("paid")));
    assert_eq!(stripe.intents_of(order["id"].as_str().expect("an id")).len(), 1);

    let (shopper, wish) = asks(5, "pm_card_visa_chargeDeclinedInsufficientFunds").await;
    let refused = shopper.check_out_to_the_end("k", &wish).await;
    assert_eq!((refused.status.as_u16(), refused.problem()), (402, "payment-declined"), "{refused:?}");
    assert!(refused.body["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{refused:?}");
    shop.verify().await;
    assert_eq!(available(&shop, 5).await, 10);
}
