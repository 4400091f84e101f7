//! Carts, by token or account.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{Answer, problem};

#[derive(Default)]
pub(in super::super) struct Carts(pub(in super::super) BTreeMap<String, Cart>);

#[derive(Clone, Default)]
pub(in super::super) struct Cart {
    pub(in super::super) lines: BTreeMap<String, i64>,
    pub(in super::super) coupons: Vec<String>,
    pub(in super::super) ordered: BTreeSet<String>,
}

impl Carts {
    pub(super) fn answer(&mut self, path: &[&str], body: &Value) -> Option<Answer> {
        let key = match (body["customer"].as_str(), body["token"].as_str()) {
            (Some(customer), None) => format!("account {customer}"),
            (None, Some(token)) => token.to_owned(),
            _ => panic!("a cart is named by a customer or a token: {body}"),
        };
        if body["customer"].is_string() {
            self.0.entry(key.clone()).or_default();
        }
        let Some(cart) = self.0.get_mut(&key) else { return Some(problem(404, "not-found", json!({}))) };
        match path {
            ["internal", "carts", "resolve"] => {}
            ["internal", "carts", "checked-out"] => {
                if cart.ordered.insert(body["order_id"].as_str().unwrap().to_owned()) {
                    for (sku, units) in super::catalog::units(&body["lines"]) {
                        *cart.lines.entry(sku).or_default() -= units;
                    }
                    cart.lines.retain(|_, units| *units > 0);
                }
            }
            _ => return None,
        }
        let lines: Vec<Value> =
            cart.lines.iter().map(|(sku, units)| json!({"sku": sku, "quantity": units, "seen_price": null})).collect();
        Some((200, json!({"version": 1, "lines": lines, "coupons": cart.coupons, "destination": null})))
    }
}
