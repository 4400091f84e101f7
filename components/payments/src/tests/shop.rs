//! Payments to ask: the router with its own database, the test provider with accidents, and orders that listens.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Response, StatusCode};
use commerce::{Id, unix_s};
use futures::FutureExt;
use futures::executor::block_on;
use futures::future::pending;
use serde_json::{Value, json};
use service::testing::{Answered, Ask, Folder, access};
use service::{Peer, Transport};
use sql::Database;

use super::faults::{Fault, Faults, Faulty};
use crate::app::App;
use crate::provider::Providers;
use crate::provider::test::TestProvider;
use crate::{routes, signature};

pub(super) const WEBHOOK_SECRET: &str = "webhook-secret";

pub(super) struct Shop {
    folder: Folder,
    internal_secret: &'static str,
    router: Router,
    faults: Faults,
    orders: Orders,
}

/// What orders heard, and how it answers; `None` is not at all.
#[derive(Clone)]
struct Orders {
    told: Arc<Mutex<Vec<Value>>>,
    status: Arc<Mutex<Option<StatusCode>>>,
}

impl Shop {
    pub(super) fn open() -> Self {
        Self::with("", StatusCode::NO_CONTENT)
    }

    pub(super) fn with_internal_secret(internal_secret: &'static str) -> Self {
        Self::with(internal_secret, StatusCode::NO_CONTENT)
    }

    /// A shop whose orders service answers with this status.
    pub(super) fn with_orders_answering(status: StatusCode) -> Self {
        Self::with("", status)
    }

    fn with(internal_secret: &'static str, status: StatusCode) -> Self {
        let (folder, faults) = (Folder::new(), Faults::default());
        let orders = Orders { told: Arc::default(), status: Arc::new(Mutex::new(Some(status))) };
        let router = router(&folder, internal_secret, &faults, &orders);
        Self { folder, internal_secret, router, faults, orders }
    }

    /// Another instance of the component on the same database.
    pub(super) fn instance(&self) -> Router {
        router(&self.folder, self.internal_secret, &self.faults, &self.orders)
    }

    pub(super) fn database(&self) -> Database {
        self.folder.database()
    }

    /// All files of the database, as they are on disk.
    pub(super) fn files(&self) -> Vec<u8> {
        let label = self.folder.label();
        ["", "-wal"].iter().flat_map(|suffix| std::fs::read(format!("{label}{suffix}")).unwrap_or_default()).collect()
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Ask {
        Ask::new(&self.router, method, path)
    }

    pub(super) fn get(&self, path: &str) -> Answered {
        self.request(Method::GET, path).send()
    }

    pub(super) fn post(&self, path: &str) -> Ask {
        self.request(Method::POST, path)
    }

    /// Asks to hold 10.00 of an order.
    pub(super) fn authorize(&self, order: Id, token: &str) -> Answered {
        self.post("/internal/intents").json(charge(order, token))
    }

    /// Captures or voids.
    pub(super) fn end(&self, order: Id, how: &str) -> Answered {
        self.post(&format!("/internal/intents/{order}/{how}")).send()
    }

    pub(super) fn refund(&self, order: Id, refund: Id, amount: i64) -> Answered {
        let body = json!({"refund_id": refund, "amount": money(amount), "reason": "returned"});
        self.post(&format!("/internal/intents/{order}/refunds")).json(body)
    }

    /// Goes on with a payment, as who may with any.
    pub(super) fn confirm(&self, order: Id) -> Answered {
        self.post(&format!("/api/payments/intents/{order}/confirm")).staff().send()
    }

    /// A new order with an intent that was authorized with this token, and then captured.
    pub(super) fn captured(&self, token: &str) -> Id {
        let order = Id::new();
        self.authorize(order, token).is(200);
        assert_eq!(self.end(order, "capture").is(200)["state"], "captured");
        order
    }

    pub(super) fn intent(&self, order: Id) -> Value {
        self.get(&format!("/internal/intents/{order}")).is(200)
    }

    pub(super) fn state(&self, order: Id) -> String {
        self.intent(order)["state"].as_str().unwrap().to_owned()
    }

    /// What the provider has booked for an order.
    pub(super) fn booked(&self, order: Id) -> Vec<Value> {
        let ledger = self.get("/internal/test-provider/ledger").is(200);
        let mut items = ledger["items"].as_array().unwrap().clone();
        items.retain(|item| item["order_id"] == order.to_string());
        items
    }

    /// Sends a request with an accident on the way to the provider; `None` if the instance died of it.
    pub(super) fn accident(&self, fault: Fault, ask: Ask, body: &Value) -> Option<Answered> {
        self.faults.next_is(fault);
        let ask = ask.header("content-type", "application/json");
        let answered = ask.with_body(body.to_string()).answer().now_or_never();
        self.faults.clear();
        answered
    }

    pub(super) fn sweep(&self) -> Value {
        self.post("/internal/intents/sweep").send().is(200)
    }

    /// Lets every wait run out.
    pub(super) fn time_passes(&self) {
        for sql in [
            "UPDATE operations SET due_at_ms = 0",
            "UPDATE webhooks SET received_at_ms = 0, due_at_ms = 0",
            "UPDATE news SET due_at_ms = 0",
            "UPDATE test_provider_charges SET ready_at_ms = 0",
            "UPDATE test_provider_refunds SET ready_at_ms = 0",
        ] {
            self.change(sql);
        }
    }

    /// Sends a webhook of the test provider, signed now.
    pub(super) fn webhook(&self, body: &Value) -> Answered {
        self.signed(body).send()
    }

    /// Sends a webhook to an instance that dies of waiting for another service.
    pub(super) fn webhook_and_death(&self, body: &Value) {
        assert!(self.signed(body).answer().now_or_never().is_none());
    }

    fn signed(&self, body: &Value) -> Ask {
        let body = body.to_string();
        let signature = signature::sign(WEBHOOK_SECRET, body.as_bytes(), unix_s());
        self.post("/api/payments/webhooks/test").header("bodega-signature", &signature).with_body(body)
    }

    /// From now on the orders service answers with this status, or not at all.
    pub(super) fn orders_answer(&self, status: Option<StatusCode>) {
        *self.orders.status.lock().unwrap() = status;
    }

    /// The orders that the orders service heard of.
    pub(super) fn told(&self) -> Vec<Value> {
        self.orders.told.lock().unwrap().iter().map(|told| told["order_id"].clone()).collect()
    }

    pub(super) fn change(&self, sql: &str) {
        block_on(self.database().execute(sql, &[])).unwrap();
    }

    /// One number from the database.
    pub(super) fn count(&self, sql: &str) -> i64 {
        self.database().read(sql, &[]).unwrap().pop().unwrap().take(0).unwrap()
    }
}

fn router(folder: &Folder, internal_secret: &str, faults: &Faults, orders: &Orders) -> Router {
    let provider = Faulty { provider: TestProvider::new(folder.database()), faults: faults.clone() };
    let providers = Providers::new(Box::new(provider), Vec::new());
    let orders = Peer::new("orders", "http://orders.spin.internal", internal_secret, orders.clone().transport());
    let (label, access) = (folder.label(), access(internal_secret));
    let app = App::open(&label, access, providers, WEBHOOK_SECRET.to_owned(), orders);
    routes::router(block_on(app).unwrap())
}

impl Orders {
    fn transport(self) -> Transport {
        Arc::new(move |request| {
            assert_eq!(request.uri(), "http://orders.spin.internal/internal/payments/changed");
            let status = *self.status.lock().unwrap();
            let Some(status) = status else { return Box::pin(pending()) };
            if status.is_success() {
                self.told.lock().unwrap().push(serde_json::from_slice(request.body()).unwrap());
            }
            let answer = Response::builder().status(status).body(Bytes::new()).unwrap();
            Box::pin(async move { Ok(answer) })
        })
    }
}

pub(super) fn money(amount: i64) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// The wish to pay 10.00.
pub(super) fn charge(order: Id, token: &str) -> Value {
    json!({"order_id": order, "amount": money(1000), "payment_method": token})
}

/// A webhook about a charge of 10.00.
pub(super) fn event(id: &str, order: Id, charge: Option<&str>, state: &str) -> Value {
    json!({"id": id, "created": unix_s(), "order_id": order, "charge": charge, "state": state, "amount": 1000})
}
