//! Many shoppers want the last units at the same moment: each unit goes to exactly one of them.

use std::sync::atomic::{AtomicBool, Ordering};

use futures::future::{join, join_all};
use rusqlite::Connection;
use serde_json::json;
use tests::shop::Shop;
use tests::shopper::{Answer, Shopper, Site};

const RACES: usize = 20;
const BUYERS: usize = 200;
const UNITS: usize = 50;
/// The races that an operator watches; the command takes its share of the machine.
const WATCHED: usize = 2;

/// What is neither an order nor a clear refusal.
fn others(answers: &[Answer]) -> Vec<&Answer> {
    answers.iter().filter(|answer| answer.status != 201 && answer.problem() != "out-of-stock").collect()
}

/// The units that are held for orders.
fn reserved(catalog: &Connection, sku: &str) -> i64 {
    let query = "SELECT reserved FROM variants WHERE sku = ?1";
    catalog.query_row(query, [sku], |row| row.get(0)).expect("the variant")
}

/// What came of the checkouts, while an operator holds the books against each other again and again: whatever is under way,
/// nothing is wrong.
async fn watched<T>(shop: &Shop, checkouts: impl Future<Output = T>) -> T {
    let is_over = AtomicBool::new(false);
    let buyers = async {
        let answers = checkouts.await;
        is_over.store(true, Ordering::Relaxed);
        answers
    };
    let operator = async {
        let mut in_motion = 0;
        while !is_over.load(Ordering::Relaxed) {
            in_motion += shop.verify_now().await["checked"]["in_motion"].as_u64().expect("a count");
        }
        in_motion
    };
    let (answers, in_motion) = join(buyers, operator).await;
    assert!(in_motion > 0, "no order was on its way when the books were looked at");
    answers
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_units_go_to_fifty_of_two_hundred_buyers_each_time() {
    let shop = Shop::start().await;
    let rows: String = (0..RACES)
        .map(|race| {
            let variant =
                json!({ "sku": format!("RACE-{race}"), "price": { "amount": 999, "currency": "USD" }, "stock": UNITS });
            format!("{}\n", json!({ "title": format!("Race {race}"), "variants": [variant] }))
        })
        .collect();
    assert_eq!(shop.import("", "application/jsonl", rows).await["imported"], RACES);
    let site = Site::of(&shop.host);
    let catalog = Connection::open(shop.host.folder().join("catalog.db")).expect("the catalog's database");
    for race in 0..RACES {
        let sku = format!("RACE-{race}");
        let ready = join_all((0..BUYERS).map(async |_| {
            let shopper = Shopper::new(&site).await;
            let cart = shopper.add(&sku, 1).await;
            let wish = shopper.wish(&cart, "tok_approve").await;
            (shopper, wish)
        }))
        .await;
        let checkouts = ready.iter().map(|(shopper, wish)| shopper.check_out_to_the_end("the-only-one", wish));
        let checkouts = join_all(checkouts);
        let answers = if race < WATCHED { watched(&shop, checkouts).await } else { checkouts.await };
        let bought = answers.iter().filter(|answer| answer.status == 201).count();
        let too_late = answers.iter().filter(|answer| answer.problem() == "out-of-stock").count();
        assert_eq!((bought, too_late), (UNITS, BUYERS - UNITS), "race {race}: {:?}", others(&answers));
        assert_eq!(reserved(&catalog, &sku), 0, "race {race}: units are still held");
    }
    shop.verify().await;
}
