//! What the test's Stripe knows: payment intents, refunds, and the answers that it gave to each idempotency key.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use url::form_urlencoded;

/// A status and a body.
pub(super) type Answer = (u16, Value);
type Form = BTreeMap<String, String>;

#[derive(Default)]
pub(super) struct Books {
    intents: BTreeMap<String, Value>,
    refunds: BTreeMap<String, Value>,
    /// By key: the request, and its answer.
    answers: BTreeMap<String, (String, Answer)>,
}

/// An error as the API words it.
pub(super) fn error(status: u16, kind: &str, code: &str) -> Answer {
    (status, json!({ "error": { "type": kind, "code": code, "message": "No." } }))
}

fn decode(text: &str) -> Form {
    form_urlencoded::parse(text.as_bytes()).into_owned().collect()
}

/// The entries of `metadata[...]`.
fn metadata(form: &Form) -> Value {
    let entry = |(name, value): (&String, &String)| {
        let name = name.strip_prefix("metadata[")?.strip_suffix(']')?;
        Some((name.to_owned(), json!(value)))
    };
    Value::Object(form.iter().filter_map(entry).collect())
}

impl Books {
    pub(super) fn intents_of(&self, order_id: &str) -> Vec<Value> {
        self.intents.values().filter(|intent| intent["metadata"]["order_id"] == order_id).cloned().collect()
    }

    pub(super) fn confirm(&mut self, order_id: &str) -> Value {
        let intent = self.intents.values_mut().find(|intent| intent["metadata"]["order_id"] == order_id);
        let intent = intent.expect("the order has a payment intent");
        assert_eq!(intent["status"], "requires_action");
        intent["status"] = json!("requires_capture");
        intent["next_action"] = Value::Null;
        intent.clone()
    }

    /// The same key gets the same answer to the same request, and a refusal to another one.
    pub(super) fn post(&mut self, path: &str, key: &str, form: &str) -> Answer {
        let request = format!("{path} {form}");
        match self.answers.get(key) {
            Some((same, answer)) if *same == request => return answer.clone(),
            Some(_) => return error(400, "idempotency_error", ""),
            None => {}
        }
        let answer = self.act(path, &decode(form));
        if !key.is_empty() {
            self.answers.insert(key.to_owned(), (request, answer.clone()));
        }
        answer
    }

    pub(super) fn get(&self, path: &str, query: &str) -> Answer {
        let query = decode(query);
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments[..] {
            ["v1", "payment_intents", "search"] => {
                let is_meant = |intent: &&Value| {
                    let operation = intent["metadata"]["operation_id"].as_str().unwrap_or_default();
                    query["query"] == format!("metadata[\"operation_id\"]:\"{operation}\"")
                };
                let found: Vec<&Value> = self.intents.values().filter(is_meant).collect();
                (200, json!({ "object": "search_result", "data": found }))
            }
            ["v1", "payment_intents", id] => found(self.intents.get(id)),
            ["v1", "refunds", id] => found(self.refunds.get(id)),
            ["v1", "refunds"] => {
                let of_intent = |refund: &&Value| refund["payment_intent"] == query["payment_intent"];
                (200, json!({ "object": "list", "data": self.refunds.values().filter(of_intent).collect::<Vec<_>>() }))
            }
            _ => error(404, "invalid_request_error", "resource_missing"),
        }
    }

    fn act(&mut self, path: &str, form: &Form) -> Answer {
        let segments: Vec<&str> = path.trim_start_matches('/').split('/').collect();
        match segments[..] {
            ["v1", "payment_intents"] => self.create(form),
            ["v1", "payment_intents", id, "capture"] => self.end(id, &["requires_capture"], "succeeded"),
            ["v1", "payment_intents", id, "cancel"] => {
                self.end(id, &["requires_capture", "requires_action", "requires_payment_method"], "canceled")
            }
            ["v1", "refunds"] => self.refund(form),
            _ => error(404, "invalid_request_error", "resource_missing"),
        }
    }

    fn create(&mut self, form: &Form) -> Answer {
        let is_as_documented = form.get("confirm").is_some_and(|confirm| confirm == "true")
            && form.get("capture_method").is_some_and(|method| method == "manual")
            && form.get("currency").is_some_and(|currency| currency == "usd");
        let Some(amount) = form.get("amount").and_then(|amount| amount.parse::<i64>().ok()) else {
            return error(400, "invalid_request_error", "parameter_invalid_integer");
        };
        if !is_as_documented {
            return error(400, "invalid_request_error", "parameter_missing");
        }
        let id = format!("pi_{}", self.intents.len() + 1);
        let mut intent = json!({
            "id": id, "object": "payment_intent", "amount": amount, "amount_received": 0, "currency": "usd",
            "client_secret": format!("{id}_secret"), "status": "requires_capture", "metadata": metadata(form),
            "next_action": null, "last_payment_error": null,
        });
        let answer = match form.get("payment_method").map(String::as_str) {
            Some("pm_card_visa") => (200, intent.clone()),
            Some("pm_card_threeDSecure2Required") => {
                intent["status"] = json!("requires_action");
                intent["next_action"] = json!({ "type": "use_stripe_sdk", "use_stripe_sdk": {} });
                (200, intent.clone())
            }
            Some("pm_card_visa_chargeDeclinedInsufficientFunds") => {
                let mut declined = json!({
                    "type": "card_error", "code": "card_declined", "decline_code": "insufficient_funds",
                });
                intent["status"] = json!("requires_payment_method");
                intent["last_payment_error"] = declined.clone();
                declined["payment_intent"] = intent.clone();
                (402, json!({ "error": declined }))
            }
            _ => {
                let mut missing = error(400, "invalid_request_error", "resource_missing");
                missing.1["error"]["param"] = json!("payment_method");
                return missing;
            }
        };
        self.intents.insert(id, intent);
        answer
    }

    fn end(&mut self, id: &str, from: &[&str], status: &str) -> Answer {
        let Some(intent) = self.intents.get_mut(id) else {
            return error(404, "invalid_request_error", "resource_missing");
        };
        if !from.iter().any(|from| intent["status"] == *from) {
            let mut refused = error(400, "invalid_request_error", "payment_intent_unexpected_state");
            refused.1["error"]["payment_intent"] = intent.clone();
            return refused;
        }
        intent["status"] = json!(status);
        if status == "succeeded" {
            intent["amount_received"] = intent["amount"].clone();
        }
        (200, intent.clone())
    }

    fn refund(&mut self, form: &Form) -> Answer {
        let (intent, amount) = (form["payment_intent"].as_str(), form["amount"].parse::<i64>().unwrap_or_default());
        let of_intent = self.refunds.values().filter(|refund| refund["payment_intent"] == intent);
        let refunded: i64 = of_intent.filter_map(|refund| refund["amount"].as_i64()).sum();
        let received = self.intents.get(intent).and_then(|intent| intent["amount_received"].as_i64()).unwrap_or(0);
        if refunded + amount > received {
            return error(400, "invalid_request_error", "charge_already_refunded");
        }
        let id = format!("re_{}", self.refunds.len() + 1);
        let refund = json!({
            "id": id, "object": "refund", "amount": amount, "status": "succeeded", "payment_intent": intent,
            "metadata": metadata(form),
        });
        self.refunds.insert(id, refund.clone());
        (200, refund)
    }
}

fn found(object: Option<&Value>) -> Answer {
    object.map_or_else(|| error(404, "invalid_request_error", "resource_missing"), |object| (200, object.clone()))
}
