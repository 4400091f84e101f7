//! Whatever is done to carts, in whatever order: limits hold, and quantities are those of a model.

use std::collections::BTreeMap;

use axum::http::Method;
use commerce::QUANTITY_MAX;
use proptest::prelude::*;
use serde_json::json;

use super::shelf::euro;
use super::shop::{ANN, Shop, Who};

const SKUS: [&str; 4] = ["A", "B", "C", "D"];
/// Of each SKU.
const AVAILABLE: u32 = 500_000;

/// What is done; `key` tells repeats of one add.
#[derive(Clone, Debug)]
enum Step {
    Add { sku: usize, quantity: u32, key: Option<u8> },
    Set { sku: usize, quantity: u32 },
    Remove { sku: usize },
    Order { sku: usize, quantity: u32, order: u8 },
    Empty,
    LogIn,
    Rivals(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let quantity = prop_oneof![3 => 1..5_u32, 1 => 1..=QUANTITY_MAX];
    let sku = 0..SKUS.len();
    prop_oneof![
        4 => (sku.clone(), quantity.clone(), prop::option::of(0..3_u8))
            .prop_map(|(sku, quantity, key)| Step::Add { sku, quantity, key }),
        2 => (sku.clone(), quantity.clone()).prop_map(|(sku, quantity)| Step::Set { sku, quantity }),
        1 => sku.clone().prop_map(|sku| Step::Remove { sku }),
        2 => (sku, quantity, 0..4_u8).prop_map(|(sku, quantity, order)| Step::Order { sku, quantity, order }),
        1 => Just(Step::Empty),
        1 => Just(Step::LogIn),
        1 => (0..4_u32).prop_map(Step::Rivals),
    ]
}

/// What a cart has to be: units by SKU, adds by key with what they were, and orders.
#[derive(Clone, Debug, Default)]
struct Model {
    units: BTreeMap<usize, u32>,
    adds: BTreeMap<u8, (usize, u32)>,
    orders: Vec<u8>,
}

impl Model {
    /// The status of the answer to a step of the shopper or of orders.
    fn take(&mut self, step: &Step) -> u16 {
        match *step {
            Step::Add { sku, quantity, key } => {
                if let Some(earlier) = key.and_then(|key| self.adds.get(&key)) {
                    return if *earlier == (sku, quantity) { 200 } else { 422 };
                }
                let sum = self.units.get(&sku).unwrap_or(&0) + quantity;
                if sum > QUANTITY_MAX {
                    return 409;
                }
                self.units.insert(sku, sum);
                self.adds.extend(key.map(|key| (key, (sku, quantity))));
                200
            }
            Step::Set { sku, quantity } => match self.units.get_mut(&sku) {
                Some(units) => {
                    *units = quantity;
                    200
                }
                None => 404,
            },
            Step::Remove { sku } => self.units.remove(&sku).map_or(404, |_| 200),
            Step::Order { sku, quantity, order } => {
                if !self.orders.contains(&order) {
                    self.orders.push(order);
                    let left = self.units.get(&sku).map(|units| units.saturating_sub(quantity));
                    self.units.remove(&sku);
                    self.units.extend(left.filter(|left| *left > 0).map(|left| (sku, left)));
                }
                200
            }
            Step::Empty | Step::LogIn | Step::Rivals(_) => unreachable!("the test does these"),
        }
    }

    fn take_in(&mut self, guest: &Self) {
        for (sku, units) in &guest.units {
            let sum = units + self.units.get(sku).unwrap_or(&0);
            self.units.insert(*sku, sum.min(AVAILABLE));
        }
    }
}

fn perform(shop: &Shop, who: &Who, step: &Step) -> u16 {
    let answer = match *step {
        Step::Add { sku, quantity, key } => {
            let ask = shop.ask(who, Method::POST, "/api/cart/lines");
            let ask = match key {
                Some(key) => ask.header("idempotency-key", &format!("k-{key}")),
                None => ask,
            };
            ask.json(json!({"sku": SKUS[sku], "quantity": quantity}))
        }
        Step::Set { sku, quantity } => shop.set(who, SKUS[sku], quantity),
        Step::Remove { sku } => shop.remove(who, SKUS[sku]),
        Step::Order { sku, quantity, order } => {
            let lines = json!([{"sku": SKUS[sku], "quantity": quantity}]);
            shop.internal("checked-out", who.named(json!({"order_id": format!("o-{order}"), "lines": lines})))
        }
        Step::Empty | Step::LogIn | Step::Rivals(_) => unreachable!("the test does these"),
    };
    answer.status.as_u16()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn carts_are_what_was_done_to_them(steps in prop::collection::vec((any::<bool>(), step()), 1..40)) {
        let shop = Shop::open();
        SKUS.iter().for_each(|sku| shop.shelf.put(sku, json!({"available": AVAILABLE, "price": euro(1)})));
        let mut guest = shop.guest();
        let (mut guests, mut anns) = (Model::default(), Model::default());
        for (by_guest, step) in steps {
            let (who, model) = if by_guest { (guest.clone(), &mut guests) } else { (ANN, &mut anns) };
            match step {
                Step::Rivals(count) => shop.store.rivals(count),
                Step::Empty => {
                    shop.ask(&who, Method::DELETE, "/api/cart").send().is(204);
                    model.units.clear();
                    if by_guest {
                        guest = shop.guest();
                        guests = Model::default();
                    }
                }
                Step::LogIn => {
                    for _ in 0..2 {
                        shop.merge(&ANN, &guest).is(200);
                    }
                    anns.take_in(&guests);
                    guest = shop.guest();
                    guests = Model::default();
                }
                step => prop_assert_eq!(perform(&shop, &who, &step), model.take(&step), "{:?}", step),
            }
            for (who, model) in [(&guest, &guests), (&ANN, &anns)] {
                let mut units = shop.units(who);
                units.sort();
                let expected = model.units.iter().map(|(sku, n)| (SKUS[*sku].to_owned(), u64::from(*n)));
                prop_assert_eq!(units, expected.collect::<Vec<_>>());
            }
        }
    }
}
