//! Shipping: quotes that say what they are for, and parcels. A parcel costs 4.90 up to 10 kg and 9.90 above.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, breaches, problem};

#[derive(Default)]
pub(in super::super) struct Shipping {
    /// By order.
    pub(in super::super) shipments: BTreeMap<String, Shipment>,
    /// Events that do not agree with what happened.
    pub(in super::super) events: Vec<Value>,
}

pub(in super::super) struct Shipment {
    pub(in super::super) state: String,
    pub(in super::super) tracking: Value,
    /// States and who reported them.
    pub(in super::super) events: Vec<(String, String)>,
    request: Value,
}

const METHOD: &str = "0190a3c0-7b5e-7000-8000-00000000000a";

/// A token for a parcel to a country.
pub(in super::super) fn quote(weight_g: i64, value: i64, country: &str) -> String {
    format!("{weight_g}.{value}.{country}.{}", "quote".repeat(8))
}

impl Shipping {
    pub(super) fn answer(&mut self, path: &[&str], body: &Value) -> Option<Answer> {
        Some(match path {
            ["internal", "quotes", "verify"] => verify(body),
            ["internal", "outbox", "audit"] => breaches(&self.events),
            ["internal", "shipments"] => self.make(body),
            ["internal", "shipments", order] => self.show(order),
            ["internal", "shipments", order, "events"] => self.report(order, body),
            ["internal", "shipments", order, "cancel"] => self.cancel(order),
            _ => return None,
        })
    }

    fn make(&mut self, body: &Value) -> Answer {
        let order = body["order_id"].as_str().unwrap();
        let made = self.shipments.entry(order.to_owned()).or_insert_with(|| Shipment {
            state: "created".to_owned(),
            tracking: Value::Null,
            events: vec![("created".to_owned(), "orders".to_owned())],
            request: body.clone(),
        });
        match made.request == *body {
            true => (200, json!({"state": made.state})),
            false => problem(409, "shipment-differs", json!({})),
        }
    }

    /// Staff moves a parcel in shipping itself.
    pub(in super::super) fn moved_by(&mut self, staff: &str, order: &str, state: &str) {
        let shipment = self.shipments.get_mut(order).unwrap();
        shipment.state = state.to_owned();
        shipment.events.push((state.to_owned(), staff.to_owned()));
    }

    fn show(&self, order: &str) -> Answer {
        let Some(shipment) = self.shipments.get(order) else { return problem(404, "not-found", json!({})) };
        let event = |(state, actor): &(String, String)| json!({"state": state, "actor": actor});
        let events: Vec<Value> = shipment.events.iter().map(event).collect();
        (200, json!({"state": shipment.state, "tracking_number": shipment.tracking, "events": events}))
    }

    fn report(&mut self, order: &str, body: &Value) -> Answer {
        let Some(shipment) = self.shipments.get_mut(order) else { return problem(404, "not-found", json!({})) };
        let to = body["state"].as_str().unwrap();
        let way = ["created", "packed", "handed_over", "delivered"];
        let place = |state: &str| way.iter().position(|step| *step == state);
        if shipment.state != to {
            if place(to) != place(&shipment.state).map(|place| place + 1) {
                return problem(409, "shipment-state", json!({"state": shipment.state}));
            }
            shipment.state = to.to_owned();
            shipment.tracking = body["tracking_number"].clone();
            shipment.events.push((to.to_owned(), "orders".to_owned()));
        }
        (200, json!({"state": shipment.state}))
    }

    fn cancel(&mut self, order: &str) -> Answer {
        let Some(shipment) = self.shipments.get_mut(order) else { return problem(404, "not-found", json!({})) };
        if ["handed_over", "delivered"].contains(&shipment.state.as_str()) {
            return problem(409, "shipment-state", json!({"state": shipment.state}));
        }
        shipment.state = "cancelled".to_owned();
        (200, json!({"state": "cancelled"}))
    }
}

fn verify(body: &Value) -> Answer {
    let token: Vec<&str> = body["token"].as_str().unwrap().split('.').collect();
    let (weight_g, value) = (body["parcel"]["weight_g"].as_i64().unwrap(), body["parcel"]["value"]["amount"].as_i64());
    let country = body["destination"]["country"].as_str().unwrap();
    let price = if weight_g > 10_000 { 990 } else { 490 };
    let promise = json!({
        "method": METHOD, "name": "Post", "price": {"amount": price, "currency": "USD"}, "tax_class": "standard",
        "delivery": {"earliest": "2026-03-02", "latest": "2026-03-04"},
    });
    match token[..] {
        ["expired", ..] => problem(422, "quote-expired", json!({"detail": "its time is up"})),
        [weight, of, to, _] if to != country => {
            let _ = (weight, of);
            problem(422, "quote-differs", json!({"detail": "another place", "renewed": null}))
        }
        [weight, of, _, _]
            if weight == weight_g.to_string() && Some(of) == value.map(|value| value.to_string()).as_deref() =>
        {
            (200, promise)
        }
        [_, _, _, _] => {
            let mut renewed = promise;
            renewed["token"] = json!(quote(weight_g, value.unwrap(), country));
            renewed["expires_at"] = json!("2026-03-01T00:00:00.000Z");
            problem(422, "quote-differs", json!({"detail": "another parcel", "renewed": renewed}))
        }
        _ => problem(422, "quote-altered", json!({"detail": "not one of ours"})),
    }
}
