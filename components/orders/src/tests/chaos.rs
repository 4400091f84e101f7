//! Whatever dies and whatever is lost: one order for each key, paid and sold in full, or not at all.

use proptest::prelude::*;
use serde_json::{Value, json};
use service::testing::Answered;

use super::faults::Fault;
use super::shop::{Shop, text};

/// How often a client tries before it gives up.
const TRIES: usize = 12;

/// A client that repeats its checkout until it has an answer that is one.
fn insist(shop: &Shop, key: &str, wish: &Value) -> Option<(u16, Value)> {
    for _ in 0..TRIES {
        if let Some(answer) = shop.try_check_out(key, wish) {
            let (status, body) = (answer.status.as_u16(), answer.json());
            let in_progress = body["type"] == "urn:bodega:problem:checkout-in-progress";
            if status < 500 && status != 202 && !in_progress {
                return Some((status, body));
            }
        }
        shop.waits_run_out();
        shop.world.books().payments.time_has_passed = true;
    }
    None
}

/// What a shopper tries to buy, and with what luck.
#[derive(Clone, Copy, Debug)]
struct Luck {
    token: &'static str,
    coupon: bool,
    /// The coupon is used up, and the stock sold to somebody else, after the cart was priced.
    coupon_fails: bool,
    stock_fails: bool,
}

const LUCKS: [Luck; 9] = {
    let luck = Luck { token: "tok_approve", coupon: true, coupon_fails: false, stock_fails: false };
    [
        luck,
        Luck { coupon: false, ..luck },
        Luck { token: "tok_decline", ..luck },
        Luck { token: "tok_timeout", ..luck },
        Luck { token: "tok_fail_after_charge", ..luck },
        Luck { token: "tok_slow", ..luck },
        Luck { token: "tok_capture_fails", ..luck },
        Luck { coupon_fails: true, ..luck },
        Luck { stock_fails: true, ..luck },
    ]
};

fn open(luck: Luck) -> (Shop, Value) {
    let shop = Shop::open();
    shop.coupon("TEN", 5);
    let cart = shop.cart(&[("MUG", 2), ("POT", 1)]);
    if luck.coupon {
        shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned()];
    }
    if luck.coupon_fails {
        shop.world.books().catalog.coupons.insert("TEN".to_owned(), 0);
    }
    if luck.stock_fails {
        shop.world.books().catalog.sold_out_when_asked = true;
    }
    let wish = shop.wish(&cart, luck.token);
    (shop, wish)
}

/// Payments tells of what the bank sent back until orders hears.
fn tell_of_bounces(shop: &Shop) {
    shop.world.faults.clear();
    let bounced = |books: &super::world::Books| -> Vec<String> {
        let intents = books.payments.intents.iter().filter(|(_, intent)| intent.refunded("failed") > 0);
        intents.map(|(order, _)| order.clone()).collect()
    };
    let orders = bounced(&shop.world.books());
    orders.iter().for_each(|order| shop.payment_changed(&json!(order)));
}

/// Whatever happened: the books agree, and what was sold is what was paid.
fn check(shop: &Shop, what: &str) -> Vec<Value> {
    tell_of_bounces(shop);
    shop.settle();
    // What the bank does not take of an order that is no more is for staff to give again.
    let is_bounced = |order: &Value| {
        let sql = format!("SELECT count(*) FROM refunds WHERE state = 'failed' AND order_id = '{}'", text(order));
        shop.count(&sql) > 0
    };
    let mut findings = shop.findings();
    findings.retain(|finding| finding["kind"] != "payment-kept" || !is_bounced(&finding["order_id"]));
    assert_eq!(findings, [json!(null); 0], "{what}");
    let orders = shop.orders();
    let is_dead = |order: &Value| ["pending", "failed", "cancelled"].contains(&text(&order["state"]));
    let sold = |order: &&Value| !is_dead(order) || is_bounced(&order["id"]);
    let kept =
        |order: &Value| order["total"]["amount"].as_i64().unwrap() - order["refunded"]["amount"].as_i64().unwrap();
    let income: i64 = orders.iter().filter(sold).map(kept).sum();
    assert_eq!(shop.money(), income, "{what}: {orders:?}");
    let books = shop.world.books();
    for (order, intent) in &books.payments.intents {
        let held = ["pending", "requires_action", "authorized"].contains(&intent.state);
        assert!(!held, "{what}: the money of {order} is held");
    }
    for (sku, variant) in &books.catalog.variants {
        assert_eq!(variant.reserved, 0, "{what}: {sku} is held");
    }
    let uses: u32 = books.catalog.redemptions.values().filter(|(state, _)| *state == "redeemed").count() as u32;
    assert_eq!(books.catalog.coupons.get("TEN").map_or(0, |left| left + uses) % 5, 0, "{what}: uses are lost");
    orders
}

/// The calls of a checkout that goes as its luck has it, and what comes of it.
fn rehearse(luck: Luck) -> (usize, u16) {
    let (shop, wish) = open(luck);
    let (status, _) = insist(&shop, "k", &wish).unwrap();
    check(&shop, "rehearsal");
    let books = shop.world.books();
    let calls = books.calls.iter().filter(|call| !call.contains("?after") && !call.contains("audit"));
    (calls.count(), status)
}

/// Every kind of accident at every call, with a client that tries again and with one that goes away.
#[test]
fn any_single_accident_is_survived() {
    for luck in LUCKS {
        let (calls, status) = rehearse(luck);
        for call in 0..calls {
            for fault in Fault::ALL {
                let what = format!("{luck:?}, {fault:?} at call {call}");
                let (shop, wish) = open(luck);
                shop.world.faults.come((0..call).map(|_| Fault::None).chain([fault]));
                let answer = insist(&shop, "k", &wish);
                let (found, body) = answer.unwrap_or_else(|| panic!("{what}: no answer"));
                // An accident may cost the shopper a coupon's last moment, but never more than one order.
                assert_eq!(found, status, "{what}: {body}");
                let orders = check(&shop, &what);
                let paid = orders.iter().filter(|order| order["state"] == "paid").count();
                assert_eq!(paid, usize::from(status == 201), "{what}");
                assert!(orders.len() <= 1, "{what}");
                assert_eq!(insist(&shop, "k", &wish), Some((found, body)), "{what}: the same answer again");

                let (shop, wish) = open(luck);
                shop.world.faults.come((0..call).map(|_| Fault::None).chain([fault]));
                shop.try_check_out("k", &wish);
                assert!(check(&shop, &what).len() <= 1, "{what}");
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    CheckOut(usize),
    /// A checkout waits at this call for its request or its answer, and others go first.
    Overtake(usize, usize, Fault, Vec<Step>),
    Sweep,
    Cancel(usize),
    /// The shopper confirms, and payments tells of it, or does not.
    Confirm(usize, bool),
    Refund(usize, u32, bool),
    RefundAll(usize),
    /// The bank sends back what it had taken, and payments tells of it, or does so later.
    Bounce(usize, bool),
    Send(usize),
    WaitsRunOut,
    PaymentsIsQuick,
    HoldsExpire,
    SellOut,
    Deliver,
}

fn any_step(buyers: usize) -> impl Strategy<Value = Step> {
    let others = prop::collection::vec(any_simple_step(buyers), 1..4);
    let slow = prop::sample::select(vec![Fault::SlowRequest, Fault::SlowAnswer]);
    let overtake = (0..buyers, 0..14_usize, slow, others);
    prop_oneof![
        3 => any_simple_step(buyers),
        1 => overtake.prop_map(|(buyer, call, slow, others)| Step::Overtake(buyer, call, slow, others)),
    ]
}

fn any_simple_step(buyers: usize) -> impl Strategy<Value = Step> {
    let buyer = move || 0..buyers;
    prop_oneof![
        6 => buyer().prop_map(Step::CheckOut),
        3 => Just(Step::Sweep),
        2 => buyer().prop_map(Step::Cancel),
        2 => (buyer(), any::<bool>()).prop_map(|(buyer, told)| Step::Confirm(buyer, told)),
        1 => (buyer(), 1..3_u32, any::<bool>()).prop_map(|(buyer, units, restock)| Step::Refund(buyer, units, restock)),
        1 => buyer().prop_map(Step::RefundAll),
        2 => (buyer(), any::<bool>()).prop_map(|(buyer, told)| Step::Bounce(buyer, told)),
        1 => buyer().prop_map(Step::Send),
        3 => Just(Step::WaitsRunOut),
        1 => Just(Step::PaymentsIsQuick),
        1 => Just(Step::HoldsExpire),
        1 => Just(Step::SellOut),
        1 => Just(Step::Deliver),
    ]
}

/// Accidents at some of the calls of a step, of which a checkout has a dozen.
fn any_faults() -> impl Strategy<Value = Vec<Fault>> {
    let accidents = prop::collection::vec((0..14_usize, prop::sample::select(Fault::ALL.to_vec())), 0..3);
    accidents.prop_map(|accidents| {
        let mut faults = vec![Fault::None; 14];
        for (call, fault) in accidents {
            faults[call] = fault;
        }
        faults
    })
}

const TOKENS: [&str; 11] = [
    "tok_approve",
    "tok_approve",
    "tok_decline",
    "tok_action",
    "tok_action_fails",
    "tok_timeout",
    "tok_fail_after_charge",
    "tok_slow",
    "tok_capture_fails",
    "tok_refund_pending",
    "tok_refund_fails",
];

/// One who buys, or tries to.
struct Buyer {
    key: String,
    wish: Value,
}

/// Takes a step with accidents on the way; who dies of them is gone.
fn take(shop: &Shop, buyers: &[Buyer], step: &Step, faults: &[Fault]) {
    let order_of = |buyer: usize| -> Option<Value> {
        let sql = format!("SELECT id FROM orders WHERE key = '{}'", buyers[buyer].key);
        let mut row = shop.database().read(&sql, &[]).unwrap().pop()?;
        Some(json!(row.take::<String>(0).unwrap()))
    };
    let act = |buyer: usize, what: &str, body: Value| {
        let Some(order) = order_of(buyer) else { return };
        let ask = shop.post(&format!("/api/orders/{}/{what}", text(&order))).staff();
        let ask = ask.header("if-match", "*").header("idempotency-key", &shop.key());
        if let Some(answer) = shop.try_ask(ask, &body) {
            assert!(answer.status.as_u16() < 500, "{step:?}: {}", answer.text());
        }
    };
    let answered = |answer: Answered| {
        // Before anything is written down a service that fails is told of; then the order goes on by itself.
        assert!([201, 202, 402, 409, 503].contains(&answer.status.as_u16()), "{}", answer.text());
        assert_ne!(answer.json()["type"], "urn:bodega:problem:price-changed");
    };
    shop.world.faults.come(faults.iter().copied());
    match step {
        Step::CheckOut(buyer) => {
            let Buyer { key, wish } = &buyers[*buyer];
            shop.try_check_out(key, wish).map(answered);
        }
        Step::Overtake(buyer, call, slow, others) => {
            let Buyer { key, wish } = &buyers[*buyer];
            shop.world.faults.clear();
            shop.world.faults.come((0..*call).map(|_| Fault::None).chain([*slow]));
            answered(shop.check_out_while(key, wish, || others.iter().for_each(|step| take(shop, buyers, step, &[]))));
        }
        Step::Sweep => {
            shop.try_sweep();
        }
        Step::Cancel(buyer) => act(*buyer, "cancel", json!({"reason": "changed my mind"})),
        Step::Confirm(buyer, told) => {
            if let Some(order) = order_of(*buyer) {
                if shop.world.books().payments.intents.contains_key(text(&order)) {
                    shop.world.books().payments.confirm(text(&order));
                }
                if *told {
                    shop.try_ask(shop.post("/internal/payments/changed"), &json!({"order_id": order}));
                }
            }
        }
        Step::Bounce(buyer, told) => {
            let Some(order) = order_of(*buyer) else { return };
            if shop.world.books().payments.intents.contains_key(text(&order)) {
                shop.world.books().payments.bounce(text(&order));
            }
            if *told {
                shop.try_ask(shop.post("/internal/payments/changed"), &json!({"order_id": order}));
            }
        }
        Step::Refund(buyer, units, restock) => {
            let lines = json!([{"sku": "POT", "quantity": units}]);
            act(*buyer, "refunds", json!({"lines": lines, "reason": "broken", "restock": restock}));
        }
        Step::RefundAll(buyer) => act(*buyer, "refunds", json!({"reason": "sent back", "restock": true})),
        Step::Send(buyer) => {
            for to in ["packed", "shipped", "delivered"] {
                act(*buyer, "transitions", json!({"to": to}));
            }
        }
        Step::WaitsRunOut => shop.waits_run_out(),
        Step::PaymentsIsQuick => shop.world.books().payments.time_has_passed = true,
        Step::HoldsExpire => shop.world.books().catalog.expire(),
        Step::SellOut => shop.world.books().catalog.sold_out_when_asked = true,
        Step::Deliver => shop.world.books().catalog.sold_out_when_asked = false,
    }
    shop.world.faults.clear();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn one_order_for_each_key_and_equal_books(
        tokens in prop::collection::vec(prop::sample::select(TOKENS.to_vec()), 3),
        steps in prop::collection::vec((any_step(3), any_faults()), 1..24),
    ) {
        let shop = Shop::open();
        shop.coupon("TEN", 5);
        let buyers: Vec<Buyer> = tokens.iter().map(|token| {
            // Three pots, and three who want two of them.
            let cart = shop.cart(&[("POT", 2), ("MUG", 1)]);
            shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned()];
            Buyer { key: shop.key(), wish: shop.wish(&cart, token) }
        }).collect();
        for (step, faults) in &steps {
            take(&shop, &buyers, step, faults);
        }
        check(&shop, "in the end");
        for buyer in &buyers {
            let sql = format!("SELECT count(*) FROM orders WHERE key = '{}'", buyer.key);
            prop_assert!(shop.count(&sql) <= 1);
        }
        prop_assert!(shop.world.books().catalog.variants["POT"].on_hand >= 0);
    }
}
