//! Two at once, and calls that come late: whoever is left behind undoes what it did.

use serde_json::{Value, json};

use super::faults::Fault;
use super::shop::{Shop, text};

/// The calls by which a checkout takes something.
const TAKING: [&str; 5] = ["internal/reservations", "internal/redemptions", "internal/intents", "/commit", "/capture"];

fn open() -> (Shop, Value) {
    let shop = Shop::open();
    shop.coupon("TEN", 5);
    let cart = shop.cart(&[("MUG", 2)]);
    shop.world.books().carts.0.get_mut(&cart).unwrap().coupons = vec!["TEN".to_owned()];
    let wish = shop.wish(&cart, "tok_approve");
    (shop, wish)
}

fn only_order(shop: &Shop) -> Value {
    shop.orders()[0]["id"].clone()
}

fn nothing_is_left(shop: &Shop, what: &str) {
    shop.settle();
    assert_eq!(shop.findings(), [Value::Null; 0], "{what}");
    assert_eq!((shop.money(), shop.units("MUG")), (0, (10, 0)), "{what}");
    assert_eq!(shop.world.books().catalog.coupons["TEN"], 5, "{what}");
}

#[test]
fn what_a_dead_instance_asked_for_is_undone_when_it_arrives() {
    for call in TAKING {
        let (shop, wish) = open();
        shop.world.faults.next(call, Fault::Late);
        assert!(shop.try_check_out("k", &wish).is_none());
        let cancelled = shop.cancel(&only_order(&shop)).is(200);
        assert_eq!(cancelled["state"], "cancelled", "{call}");
        nothing_is_left(&shop, call);
    }
}

#[test]
fn a_checkout_that_was_called_off_meanwhile_undoes_what_it_has_done() {
    for call in TAKING {
        for slow in [Fault::SlowRequest, Fault::SlowAnswer] {
            let (shop, wish) = open();
            shop.world.faults.next(call, slow);
            let answer = shop.check_out_while("k", &wish, || {
                shop.cancel(&only_order(&shop)).is(200);
                // Longer than any call takes.
                for _ in 0..3 {
                    shop.waits_run_out();
                    shop.sweep();
                }
            });
            let what = format!("{call} {slow:?}");
            assert_eq!(answer.is(409)["type"], "urn:bodega:problem:order-cancelled", "{what}");
            nothing_is_left(&shop, &what);
        }
    }
}

#[test]
fn an_outcome_that_is_not_known_is_undone_as_well() {
    let (shop, mut wish) = open();
    wish["payment_method"] = json!("tok_slow");
    shop.world.faults.next("internal/intents", Fault::SlowRequest);
    let answer = shop.check_out_while("k", &wish, || {
        shop.cancel(&only_order(&shop)).is(200);
        for _ in 0..3 {
            shop.waits_run_out();
            shop.sweep();
        }
    });
    answer.is(409);
    nothing_is_left(&shop, "tok_slow");
}

#[test]
fn the_sweep_takes_over_from_who_is_too_slow() {
    for call in TAKING {
        for slow in [Fault::SlowRequest, Fault::SlowAnswer] {
            let (shop, wish) = open();
            shop.world.faults.next(call, slow);
            let answer = shop.check_out_while("k", &wish, || {
                shop.waits_run_out();
                shop.sweep();
                assert_eq!(only_order_state(&shop), "paid", "{call}");
            });
            assert_eq!(answer.is(201)["state"], "paid", "{call} {slow:?}");
            shop.settle();
            assert_eq!(shop.findings(), [Value::Null; 0], "{call} {slow:?}");
            assert_eq!(shop.units("MUG"), (8, 0));
        }
    }
}

fn only_order_state(shop: &Shop) -> String {
    text(&shop.orders()[0]["state"]).to_owned()
}

#[test]
fn the_same_checkout_at_the_same_time_makes_one_order() {
    let (shop, wish) = open();
    shop.world.faults.next("/commit", Fault::SlowRequest);
    let answer = shop.check_out_while("k", &wish, || {
        let again = shop.check_out("k", &wish);
        assert_eq!(again.headers["retry-after"], "1");
        again.is_problem(
            409,
            "checkout-in-progress",
            "the checkout with this key is being worked on; ask again in a moment",
            json!({}),
        );
    });
    let order = answer.is(201);
    assert_eq!(shop.check_out("k", &wish).is(201), order);

    // The other one is quicker, after this one has priced the cart.
    let (shop, wish) = open();
    shop.world.faults.next("quotes/verify", Fault::SlowAnswer);
    let mut first = Value::Null;
    let second = shop.check_out_while("k", &wish, || first = shop.check_out("k", &wish).is(201));
    assert_eq!(second.is(201), first);
    assert_eq!((shop.orders().len(), shop.units("MUG")), (1, (8, 0)));
}

#[test]
fn many_threads_with_one_key_make_one_order() {
    const CLIENTS: usize = 8;
    let (shop, wish) = open();
    let barrier = std::sync::Barrier::new(CLIENTS);
    let numbers: Vec<Value> = std::thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let (router, barrier, wish) = (shop.instance(), &barrier, &wish);
                let ask = shop.checkout("k").of(&router);
                scope.spawn(move || {
                    barrier.wait();
                    let answer = ask.json(wish.clone());
                    assert!([201, 202, 409].contains(&answer.status.as_u16()), "{}", answer.text());
                    answer.json()["number"].clone()
                })
            })
            .collect();
        clients.into_iter().map(|client| client.join().unwrap()).collect()
    });
    let order = shop.check_out("k", &wish).is(201);
    assert!(numbers.iter().all(|number| number.is_null() || *number == order["number"]));
    assert_eq!((shop.orders().len(), shop.units("MUG")), (1, (8, 0)));
    assert_eq!(shop.findings(), [Value::Null; 0]);
}

#[test]
fn of_many_who_race_for_the_last_units_as_many_win_as_there_are() {
    const BUYERS: usize = 60;
    const UNITS: i64 = 15;
    let shop = Shop::open();
    shop.stock("RARE", 5000, UNITS);
    let wishes: Vec<Value> = (0..BUYERS).map(|_| shop.wish(&shop.cart(&[("RARE", 1)]), "tok_approve")).collect();
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let buyers: Vec<_> = wishes
            .chunks(BUYERS / 6)
            .enumerate()
            .map(|(thread, wishes)| {
                let (router, shop) = (shop.instance(), &shop);
                scope.spawn(move || -> Vec<u16> {
                    let buy = |(buyer, wish): (usize, &Value)| {
                        let ask = shop.checkout(&format!("{thread}-{buyer}")).of(&router);
                        ask.json(wish.clone()).status.as_u16()
                    };
                    wishes.iter().enumerate().map(buy).collect()
                })
            })
            .collect();
        buyers.into_iter().flat_map(|buyer| buyer.join().unwrap()).collect()
    });
    assert_eq!(statuses.iter().filter(|status| **status == 201).count(), UNITS as usize);
    assert!(statuses.iter().all(|status| [201, 409].contains(status)), "{statuses:?}");
    shop.settle();
    assert_eq!((shop.units("RARE"), shop.findings()), ((0, 0), vec![]));
    assert_eq!(shop.orders().iter().filter(|order| order["state"] == "paid").count(), UNITS as usize);
}
