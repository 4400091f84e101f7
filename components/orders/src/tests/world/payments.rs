//! Payments, with the tokens of its test provider. A fake of a fake: what is held and taken is all that counts.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{Answer, breaches, page, problem};

#[derive(Default)]
pub(in super::super) struct Payments {
    pub(in super::super) intents: BTreeMap<String, Intent>,
    /// What is slow is known from now on.
    pub(in super::super) time_has_passed: bool,
    /// Webhooks that cannot be applied.
    pub(in super::super) unapplied: Vec<Value>,
    /// Events that do not agree with what happened.
    pub(in super::super) events: Vec<Value>,
    /// What it answers 422 with instead of holding money.
    pub(in super::super) cannot_read: Option<(&'static str, Value)>,
}

pub(in super::super) struct Intent {
    pub(in super::super) state: &'static str,
    pub(in super::super) amount: i64,
    pub(in super::super) token: String,
    pub(in super::super) captured: i64,
    pub(in super::super) refunds: BTreeMap<String, (i64, &'static str)>,
    requests: u32,
    pub(in super::super) customer: Value,
    pub(in super::super) order_token_digest: Value,
    pub(in super::super) open_since_ms: Option<i64>,
}

impl Intent {
    pub(in super::super) fn refunded(&self, state: &str) -> i64 {
        self.refunds.values().filter(|(_, of)| *of == state).map(|(amount, _)| amount).sum()
    }
}

impl Payments {
    pub(super) fn answer(&mut self, method: &str, path: &[&str], query: &str, body: &Value) -> Option<Answer> {
        Some(match (method, path) {
            ("POST", ["internal", "intents"]) => self.authorize(body),
            ("GET", ["internal", "intents"]) => (200, self.list(query)),
            ("GET", ["internal", "webhooks", "audit"]) => {
                (200, json!({"total": self.unapplied.len(), "webhooks": self.unapplied}))
            }
            ("GET", ["internal", "outbox", "audit"]) => breaches(&self.events),
            ("GET", ["internal", "intents", order]) => match self.intents.contains_key(*order) {
                true => (200, self.shown(order)),
                false => problem(404, "not-found", json!({})),
            },
            ("POST", ["internal", "intents", order, how @ ("capture" | "void")]) => self.end(order, how),
            ("POST", ["internal", "intents", order, "refunds"]) => self.refund(order, body),
            _ => return None,
        })
    }

    fn authorize(&mut self, body: &Value) -> Answer {
        if let Some((kind, members)) = &self.cannot_read {
            return problem(422, kind, members.clone());
        }
        let digest = body.get("order_token_digest");
        assert!(digest.is_none_or(Value::is_string), "payments of before do not know the member");
        let order = body["order_id"].as_str().unwrap();
        let amount = body["amount"]["amount"].as_i64().unwrap();
        let token = body["payment_method"].as_str().unwrap().to_owned();
        let intent = self.intents.entry(order.to_owned()).or_insert_with(|| Intent {
            state: "pending",
            amount,
            token,
            captured: 0,
            refunds: BTreeMap::new(),
            requests: 0,
            customer: body["customer"].clone(),
            order_token_digest: body["order_token_digest"].clone(),
            open_since_ms: None,
        });
        assert!(intent.amount > 0, "an intent is over something");
        if intent.amount != amount {
            return problem(409, "intent-differs", json!({}));
        }
        intent.requests += 1;
        if intent.state == "pending" {
            intent.state = match (intent.token.as_str(), intent.requests) {
                ("tok_timeout" | "tok_fail_after_charge", 1) => "pending",
                ("tok_slow", _) if !self.time_has_passed => "pending",
                ("tok_action" | "tok_action_fails", _) => "requires_action",
                ("tok_approve" | "tok_timeout" | "tok_fail_after_charge" | "tok_slow", _) => "authorized",
                ("tok_capture_fails" | "tok_refund_pending" | "tok_refund_fails", _) => "authorized",
                _ => "declined",
            };
        }
        self.outcome(order)
    }

    fn end(&mut self, order: &str, how: &str) -> Answer {
        let Some(intent) = self.intents.get_mut(order) else { return problem(404, "not-found", json!({})) };
        let refused = |state: &str| problem(409, "intent-state", json!({"state": state}));
        match (how, intent.state) {
            ("capture", "captured") | ("void", "voided" | "declined" | "failed") => {}
            ("capture", "authorized") if intent.token == "tok_capture_fails" => intent.state = "failed",
            ("capture", "authorized") => (intent.state, intent.captured) = ("captured", intent.amount),
            ("void", "pending" | "requires_action" | "authorized") => intent.state = "voided",
            (_, state) => return refused(state),
        }
        self.outcome(order)
    }

    /// The shopper did what their bank asked for.
    pub(in super::super) fn confirm(&mut self, order: &str) {
        let intent = self.intents.get_mut(order).unwrap();
        if intent.state == "requires_action" {
            intent.state = if intent.token == "tok_action_fails" { "declined" } else { "authorized" };
        }
    }

    /// The bank sends the refunds of an order back that it had taken.
    pub(in super::super) fn bounce(&mut self, order: &str) {
        for (_, state) in self.intents.get_mut(order).unwrap().refunds.values_mut() {
            if *state == "succeeded" {
                *state = "failed";
            }
        }
    }

    fn refund(&mut self, order: &str, body: &Value) -> Answer {
        let (id, amount) = (body["refund_id"].as_str().unwrap(), body["amount"]["amount"].as_i64().unwrap());
        let Some(intent) = self.intents.get_mut(order) else { return problem(404, "not-found", json!({})) };
        let waits = intent.token == "tok_refund_pending" && !self.time_has_passed;
        let outcome = match intent.token.as_str() {
            "tok_refund_fails" => "failed",
            _ if waits => "pending",
            _ => "succeeded",
        };
        let given = intent.refunded("succeeded") + intent.refunded("pending");
        match intent.refunds.get_mut(id) {
            Some((_, state)) if *state == "pending" => *state = outcome,
            Some(_) => {}
            None if intent.state != "captured" => {
                return problem(409, "intent-state", json!({"state": intent.state}));
            }
            None if given + amount > intent.captured => {
                return problem(409, "refund-exceeds", json!({}));
            }
            None => {
                intent.refunds.insert(id.to_owned(), (amount, outcome));
            }
        }
        let refund = shown_refund(id, intent.refunds[id]);
        (if refund["state"] == "pending" { 202 } else { 200 }, refund)
    }

    fn outcome(&self, order: &str) -> Answer {
        let shown = self.shown(order);
        (if shown["state"] == "pending" { 202 } else { 200 }, shown)
    }

    fn shown(&self, order: &str) -> Value {
        let intent = &self.intents[order];
        let failure = match intent.state {
            "declined" => json!({"code": "declined", "message": "The card was declined."}),
            "failed" => json!({"code": "capture_failed", "message": "The payment could not be completed."}),
            _ => Value::Null,
        };
        let action = (intent.state == "requires_action")
            .then(|| json!({"type": "confirm", "path": format!("/api/payments/intents/{order}/confirm")}));
        let mut shown = self.sums(order);
        shown["failure"] = failure;
        shown["next_action"] = json!(action);
        let refunds = intent.refunds.iter().map(|(id, refund)| shown_refund(id, *refund));
        shown["refunds"] = refunds.collect();
        shown
    }

    fn sums(&self, order: &str) -> Value {
        let intent = &self.intents[order];
        let money = |amount: i64| json!({"amount": amount, "currency": "USD"});
        json!({
            "order_id": order, "state": intent.state, "amount": money(intent.amount),
            "captured": money(intent.captured), "refunded": money(intent.refunded("succeeded")),
            "refund_pending": money(intent.refunded("pending")), "open_since_ms": intent.open_since_ms,
        })
    }

    fn list(&self, query: &str) -> Value {
        let (after, limit) = page(query);
        let orders = self.intents.keys().filter(|order| **order > after);
        json!({"items": orders.take(limit).map(|order| self.sums(order)).collect::<Vec<_>>()})
    }
}

fn shown_refund(id: &str, (amount, state): (i64, &str)) -> Value {
    let failure = (state == "failed").then(|| json!({"code": "provider_error", "message": "The bank refused."}));
    json!({"refund_id": id, "state": state, "amount": {"amount": amount, "currency": "USD"}, "failure": failure})
}
