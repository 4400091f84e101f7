//! What who looks after the shop is told: how much was sold, and what is still to be done.

use std::collections::BTreeMap;

use service::figures::COUNT;
use service::testing::Answered;

use super::faults::Fault;
use super::shop::{DELIVERY, Shop};

/// What an answer says, by name with its sign.
fn said(answer: &Answered) -> BTreeMap<String, i64> {
    let Some(text) = answer.headers.get(COUNT) else { return BTreeMap::new() };
    let part = |part: &str| {
        let (name, number) = part.split_at(part.find(['=', ':']).unwrap());
        (format!("{name}{}", &number[..1]), number[1..].parse().unwrap())
    };
    text.to_str().unwrap().split(", ").map(part).collect()
}

fn swept(shop: &Shop) -> BTreeMap<String, i64> {
    let answer = shop.post("/internal/orders/sweep").send();
    answer.is(200);
    said(&answer)
}

#[test]
fn a_purchase_is_counted_once_and_with_what_it_brought() {
    let shop = Shop::open();
    let wish = shop.wish(&shop.cart(&[("MUG", 2)]), "tok_approve");
    let bought = shop.check_out("k", &wish);
    bought.is(201);
    let said_once = said(&bought);
    assert_eq!(
        [
            said_once["order_placed_total="],
            said_once["order_paid_total="],
            said_once["revenue_captured_minor_usd_total="]
        ],
        [1, 1, 2000 + DELIVERY]
    );
    let again = shop.check_out("k", &wish);
    again.is(201);
    assert_eq!(said(&again), BTreeMap::new());

    let declined = shop.check_out("l", &shop.wish(&shop.cart(&[("PAN", 1)]), "tok_decline"));
    let declined = said(&declined);
    assert_eq!((declined["order_failed_total="], declined.get("order_paid_total=")), (1, None));
}

#[test]
fn a_sweep_says_what_there_may_be_and_what_is_left_to_do() {
    let shop = Shop::open();
    let said = swept(&shop);
    for name in ["order_paid_total=", "revenue_captured_minor_usd_total=", "tasks_open:", "tasks_stuck:"] {
        assert_eq!(said.get(name), Some(&0), "{name}");
    }

    shop.world.faults.next("/commit", Fault::LostAnswer);
    shop.check_out("k", &shop.wish(&shop.cart(&[("MUG", 1)]), "tok_approve")).is(202);
    // What is not due yet is left alone by a sweep.
    let is_open = |minutes: i64| {
        let moved =
            "UPDATE tasks SET due_at_ms = unixepoch() * 1000 + 60000, created_at_ms = (unixepoch() - 60 * ?1) * 1000";
        shop.database().read(moved, &[minutes.into()]).unwrap();
        let said = swept(&shop);
        (said["tasks_open:"], said["tasks_stuck:"], said["tasks_oldest_seconds:"] / 60)
    };
    assert_eq!(is_open(59), (1, 0, 59));
    assert_eq!(is_open(61), (1, 1, 61));
}
