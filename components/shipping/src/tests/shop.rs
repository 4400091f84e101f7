//! A shop to ask: the router with its own database.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::http::{Method, Response, StatusCode};
use commerce::Currency;
use futures::executor::block_on;
use serde_json::{Value, json};
use service::testing::{Answered, Ask, Folder, access};
use service::{Peer, Transport};
use sql::Database;

use crate::app::{App, Settings};
use crate::country::Country;
use crate::routes;
use crate::token::Signer;

const TTL_S: u32 = 1800;

pub(super) struct Shop {
    folder: Folder,
    pub(super) router: Router,
    pub(super) orders: Orders,
}

/// Orders, as far as shipping sees it: the orders that were told, and whether it answers.
#[derive(Clone, Default)]
pub(super) struct Orders(Arc<Mutex<(Vec<String>, bool)>>);

impl Orders {
    /// The orders that were told since the last time.
    pub(super) fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().unwrap().0)
    }

    pub(super) fn is_down(&self, is_down: bool) {
        self.0.lock().unwrap().1 = is_down;
    }

    fn peer(&self) -> Peer {
        let orders = self.clone();
        let transport: Transport = Arc::new(move |request| {
            assert_eq!(request.uri().path(), "/internal/shipments/changed");
            let body: Value = serde_json::from_slice(request.body()).unwrap();
            let mut orders = orders.0.lock().unwrap();
            let answer = if orders.1 { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::NO_CONTENT };
            if !orders.1 {
                orders.0.push(text(&body["order_id"]));
            }
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = answer;
            Box::pin(async move { Ok(response) })
        });
        Peer::new("orders", "http://orders.spin.internal", "", transport)
    }
}

impl Shop {
    /// A new shop in Germany, with what a new shop starts with.
    pub(super) fn open() -> Self {
        Self::with_internal_secret("")
    }

    pub(super) fn with_internal_secret(internal_secret: &str) -> Self {
        let folder = Folder::new();
        let orders = Orders::default();
        let router = router(&folder, internal_secret, TTL_S, &orders);
        Self { folder, router, orders }
    }

    /// Another instance on the same database, whose quotes are good for so long.
    pub(super) fn instance(&self, quote_ttl_s: u32) -> Router {
        router(&self.folder, "", quote_ttl_s, &self.orders)
    }

    /// The database itself, for what no route shows.
    pub(super) fn database(&self) -> Database {
        self.folder.database()
    }

    pub(super) fn ask(&self, method: Method, path: &str) -> Ask {
        Ask::new(&self.router, method, path)
    }

    pub(super) fn get(&self, path: &str) -> Answered {
        self.ask(Method::GET, path).staff().send()
    }

    pub(super) fn post(&self, path: &str, body: Value) -> Answered {
        self.ask(Method::POST, path).staff().json(body)
    }

    /// Replaces or deletes whatever version is there.
    pub(super) fn edit(&self, method: Method, path: &str, body: Value) -> Answered {
        self.ask(method, path).staff().header("if-match", "*").json(body)
    }

    /// A new zone of these areas, and its id.
    pub(super) fn zone(&self, name: &str, areas: Value) -> String {
        text(&self.post("/api/shipping/zones", json!({"name": name, "areas": areas})).is(201)["id"])
    }

    /// A new method of a zone, with changes to [`method`], and its id.
    pub(super) fn method(&self, zone: &str, changes: Value) -> String {
        text(&self.post(&format!("/api/shipping/zones/{zone}/methods"), method(changes)).is(201)["id"])
    }

    /// The quotes for a parcel to a destination.
    pub(super) fn quotes(&self, destination: Value, parcel: Value) -> Vec<Value> {
        let asked = json!({"destination": destination, "parcel": parcel});
        let answer = self.ask(Method::POST, "/api/shipping/quotes").json(asked).is(200);
        answer["quotes"].as_array().unwrap().clone()
    }

    /// Names and prices of the quotes for a parcel to a destination.
    pub(super) fn prices(&self, destination: Value, parcel: Value) -> Vec<(String, i64)> {
        let quotes = self.quotes(destination, parcel);
        quotes.iter().map(|quote| (text(&quote["name"]), quote["price"]["amount"].as_i64().unwrap())).collect()
    }
}

fn router(folder: &Folder, internal_secret: &str, quote_ttl_s: u32, orders: &Orders) -> Router {
    let settings = Settings {
        currency: Currency::EUR,
        home: Country::try_from("DE".to_owned()).unwrap(),
        signer: Signer::new("a secret of this test, which is long").unwrap(),
        quote_ttl_s,
    };
    routes::router(block_on(App::open(&folder.label(), access(internal_secret), settings, orders.peer())).unwrap())
}

/// A method that takes 5.00 up to 1 kg and 9.00 up to 5 kg, with changes.
pub(super) fn method(changes: Value) -> Value {
    let mut method = json!({
        "name": "Parcel", "carrier": "Post", "tax_class": "standard", "days_min": 1, "days_max": 3,
        "cutoff_hour": 24, "by": "weight",
        "brackets": [{"up_to": 1000, "price": euro(500)}, {"up_to": 5000, "price": euro(900)}],
    });
    method.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    method
}

pub(super) fn euro(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

pub(super) fn parcel(weight_g: u32, value: i64) -> Value {
    json!({"weight_g": weight_g, "value": euro(value)})
}

pub(super) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
