//! The catalog: variants with prices and stock, price rules, reservations, restocks and redemptions.

use std::collections::BTreeMap;

use commerce::{rfc3339, unix_ms};
use serde_json::{Value, json};

use super::{Answer, page, problem};

#[derive(Default)]
pub(in super::super) struct Catalog {
    pub(in super::super) variants: BTreeMap<String, Variant>,
    /// How often each coupon may still be used.
    pub(in super::super) coupons: BTreeMap<String, u32>,
    pub(in super::super) promotions: Vec<Value>,
    pub(in super::super) tax_rates: Vec<Value>,
    pub(in super::super) reservations: BTreeMap<String, Reservation>,
    pub(in super::super) redemptions: BTreeMap<String, (&'static str, Value)>,
    pub(in super::super) restocks: BTreeMap<String, (String, Value)>,
    /// Somebody else is quicker than every reservation.
    pub(in super::super) sold_out_when_asked: bool,
}

pub(in super::super) struct Variant {
    pub(in super::super) price: i64,
    pub(in super::super) on_hand: i64,
    pub(in super::super) reserved: i64,
    /// What was there at first.
    pub(in super::super) counted: i64,
    pub(in super::super) archived: bool,
}

#[derive(Clone)]
pub(in super::super) struct Reservation {
    pub(in super::super) state: &'static str,
    pub(in super::super) lines: Value,
    pub(in super::super) expires_at_ms: i64,
}

impl Reservation {
    /// What has just been held, for 10 minutes.
    pub(in super::super) fn held(lines: Value) -> Self {
        Self { state: "held", lines, expires_at_ms: unix_ms() + 600_000 }
    }
}

/// SKU and units of each line.
pub(in super::super) fn units(lines: &Value) -> Vec<(String, i64)> {
    let line = |line: &Value| (line["sku"].as_str().unwrap().to_owned(), line["quantity"].as_i64().unwrap());
    lines.as_array().unwrap().iter().map(line).collect()
}

impl Catalog {
    pub(super) fn answer(&mut self, method: &str, path: &[&str], query: &str, body: &Value) -> Option<Answer> {
        Some(match (method, path) {
            ("GET", ["internal", "variants"]) => (200, self.show(query)),
            ("GET", ["internal", "pricing-rules"]) => (200, self.rules()),
            ("POST", ["internal", "reservations"]) => self.hold(body),
            ("GET", ["internal", "reservations"]) => (200, self.list(query)),
            ("POST", ["internal", "reservations", order, "commit"]) => self.end(order, "committed"),
            ("POST", ["internal", "reservations", order, "release"]) => self.end(order, "released"),
            ("POST", ["internal", "restocks"]) => self.restock(body),
            ("GET", ["internal", "stock", "audit"]) => (200, self.audit()),
            ("POST", ["internal", "redemptions"]) => self.redeem(body),
            ("POST", ["internal", "redemptions", order, "release"]) => self.unredeem(order),
            _ => return None,
        })
    }

    fn show(&self, query: &str) -> Value {
        let skus = query.split('&').filter_map(|pair| pair.strip_prefix("sku="));
        let show = |sku: &str| {
            let sku = sku.replace("%2D", "-");
            let variant = self.variants.get(&sku)?;
            Some(json!({
                "sku": sku, "product_id": "0190a3c0-7b5e-7000-8000-000000000000", "slug": sku.to_lowercase(),
                "title": format!("The {sku}"), "image": null, "attributes": {},
                "price": {"amount": variant.price, "currency": "USD"},
                "available": variant.on_hand - variant.reserved, "categories": [], "tax_class": "standard",
                "weight_g": 500, "archived": variant.archived,
            }))
        };
        json!({"variants": skus.filter_map(show).collect::<Vec<_>>()})
    }

    fn rules(&self) -> Value {
        json!({
            "version": 1, "prices_include_tax": {"default": false, "exceptions": []},
            "promotions": self.promotions, "tax_rates": self.tax_rates,
        })
    }

    fn hold(&mut self, body: &Value) -> Answer {
        let order = body["order_id"].as_str().unwrap();
        let lines = &body["lines"];
        match self.reservations.get(order) {
            Some(known) if known.lines != *lines => return problem(409, "reservation-differs", json!({})),
            Some(known) if known.state != "expired" => return (200, self.shown(order)),
            _ => {}
        }
        let available = |sku: &str| match self.sold_out_when_asked {
            true => 0,
            false => self.variants.get(sku).map_or(0, |variant| variant.on_hand - variant.reserved),
        };
        let short: Vec<Value> = units(lines)
            .into_iter()
            .filter(|(sku, wanted)| available(sku) < *wanted)
            .map(|(sku, wanted)| json!({"sku": sku, "requested": wanted, "available": available(&sku)}))
            .collect();
        if !short.is_empty() {
            return problem(409, "out-of-stock", json!({"short": short}));
        }
        for (sku, wanted) in units(lines) {
            self.variants.get_mut(&sku).unwrap().reserved += wanted;
        }
        self.reservations.insert(order.to_owned(), Reservation::held(lines.clone()));
        (200, self.shown(order))
    }

    fn end(&mut self, order: &str, state: &'static str) -> Answer {
        let Some(known) = self.reservations.get_mut(order) else { return problem(404, "not-found", json!({})) };
        if known.state == "held" {
            known.state = state;
            let lines = known.lines.clone();
            for (sku, held) in units(&lines) {
                let variant = self.variants.get_mut(&sku).unwrap();
                variant.reserved -= held;
                variant.on_hand -= if state == "committed" { held } else { 0 };
            }
            return (200, self.shown(order));
        }
        match (known.state, state) {
            (known, wanted) if known == wanted => (200, self.shown(order)),
            ("expired", "released") => (200, self.shown(order)),
            (known, _) => problem(409, "reservation-closed", json!({"state": known})),
        }
    }

    /// The time of what is held is up.
    pub(in super::super) fn expire(&mut self) {
        for reservation in self.reservations.values_mut().filter(|one| one.state == "held") {
            reservation.state = "expired";
            for (sku, held) in units(&reservation.lines) {
                self.variants.get_mut(&sku).unwrap().reserved -= held;
            }
        }
    }

    fn restock(&mut self, body: &Value) -> Answer {
        let (id, order) = (body["restock_id"].as_str().unwrap(), body["order_id"].as_str().unwrap());
        if let Some((known, lines)) = self.restocks.get(id) {
            let same = known == order && *lines == body["lines"];
            return if same { (200, body.clone()) } else { problem(409, "restock-differs", json!({})) };
        }
        let Some(sold) = self.reservations.get(order) else { return problem(404, "not-found", json!({})) };
        if sold.state != "committed" {
            return problem(409, "reservation-not-committed", json!({"state": sold.state}));
        }
        let mut left: BTreeMap<String, i64> = units(&sold.lines).into_iter().collect();
        let earlier = self.restocks.values().filter(|(of, _)| of == order).flat_map(|(_, lines)| units(lines));
        for (sku, back) in earlier.chain(units(&body["lines"])) {
            *left.entry(sku).or_default() -= back;
        }
        if left.values().any(|units| *units < 0) {
            return problem(409, "restock-exceeds-order", json!({}));
        }
        for (sku, back) in units(&body["lines"]) {
            let variant = self.variants.get_mut(&sku).unwrap();
            variant.on_hand += back;
            variant.counted += back;
        }
        self.restocks.insert(id.to_owned(), (order.to_owned(), body["lines"].clone()));
        (200, body.clone())
    }

    fn redeem(&mut self, body: &Value) -> Answer {
        let order = body["order_id"].as_str().unwrap();
        if let Some((state, coupons)) = self.redemptions.get(order) {
            return (200, json!({"order_id": order, "state": state, "coupons": coupons}));
        }
        let codes: Vec<String> =
            body["coupons"].as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect();
        let refused: Vec<Value> = codes
            .iter()
            .filter(|code| self.coupons.get(*code).is_none_or(|left| *left == 0))
            .map(|code| json!({"coupon": code, "reason": "used-up"}))
            .collect();
        if !refused.is_empty() {
            return problem(409, "coupons-refused", json!({"coupons": refused}));
        }
        for code in &codes {
            *self.coupons.get_mut(code).unwrap() -= 1;
        }
        self.redemptions.insert(order.to_owned(), ("redeemed", body["coupons"].clone()));
        (200, json!({"order_id": order, "state": "redeemed", "coupons": codes}))
    }

    fn unredeem(&mut self, order: &str) -> Answer {
        let Some((state, coupons)) = self.redemptions.get_mut(order) else {
            return problem(404, "not-found", json!({}));
        };
        if std::mem::replace(state, "released") == "redeemed" {
            for code in coupons.as_array().unwrap() {
                *self.coupons.get_mut(code.as_str().unwrap()).unwrap() += 1;
            }
        }
        (200, json!({"order_id": order, "state": "released"}))
    }

    fn shown(&self, order: &str) -> Value {
        let known = &self.reservations[order];
        let expires_at = rfc3339(known.expires_at_ms);
        json!({"order_id": order, "state": known.state, "lines": known.lines, "expires_at": expires_at})
    }

    fn list(&self, query: &str) -> Value {
        let (after, limit) = page(query);
        let item = |order: &String| {
            let mut shown = self.shown(order);
            let back = self.restocks.values().filter(|(of, _)| of == order);
            let back: Vec<Value> = back.flat_map(|(_, lines)| lines.as_array().unwrap().clone()).collect();
            shown["restocked"] = json!(back);
            shown["redemption"] = json!(self.redemptions.get(order).map(|(state, _)| state));
            shown
        };
        let orders = self.reservations.keys().filter(|order| **order > after);
        json!({"items": orders.take(limit).map(item).collect::<Vec<_>>()})
    }

    fn audit(&self) -> Value {
        let units_in = |state: &str, sku: &str| -> i64 {
            let lines = self.reservations.values().filter(|one| one.state == state).flat_map(|one| units(&one.lines));
            lines.filter(|(of, _)| of == sku).map(|(_, units)| units).sum()
        };
        let wrong = |(sku, variant): (&String, &Variant)| {
            let (held, sold) = (units_in("held", sku), units_in("committed", sku));
            let adds_up = variant.reserved == held
                && (0..=variant.on_hand).contains(&variant.reserved)
                && variant.on_hand == variant.counted - sold;
            (!adds_up).then(|| json!({"sku": sku, "on_hand": variant.on_hand, "reserved": variant.reserved}))
        };
        let wrong: Vec<Value> = self.variants.iter().filter_map(wrong).collect();
        let first = &wrong[..wrong.len().min(100)];
        json!({"variants": self.variants.len(), "wrong_total": wrong.len(), "wrong": first})
    }
}
