//! A catalog that stands in for the real one: what it has, by which rules, and whether it is there.

use std::sync::{Arc, Mutex};
use std::task::Poll;

use axum::body::Bytes;
use axum::http::{Request, Response, StatusCode};
use catalog_client::Catalog;
use commerce::Currency;
use serde_json::{Value, json};
use service::{Peer, Transport};

#[derive(Clone)]
pub(super) struct Shelf(Arc<Mutex<State>>);

struct State {
    variants: Vec<Value>,
    rules: Value,
    is_down: bool,
    /// How often an answer lets others go first.
    turns: u32,
}

impl Shelf {
    /// A mug for 9.00 and a pan for 40.00 EUR, ten of each, 10 % off pans by the code PAN10, 5.00 off from 100.00 by
    /// BIG5, and 19 % VAT in Germany, where prices include it.
    pub(super) fn new() -> Self {
        let state = State {
            variants: vec![
                variant("MUG", json!({"title": "Mug", "price": euro(900)})),
                variant("PAN", json!({"title": "Pan", "price": euro(4000), "categories": ["kitchen/pans"]})),
            ],
            rules: json!({
                "version": 1,
                "prices_include_tax": {"default": false, "exceptions": [{"country": "DE"}]},
                "promotions": [
                    {
                        "id": "p1", "title": "10 % off pans", "coupon": "PAN10",
                        "reward": {"kind": "percentage", "basis_points": 1000},
                        "scope": {"kind": "categories", "categories": ["kitchen/pans"]},
                    },
                    {
                        "id": "p2", "title": "5.00 off", "coupon": "BIG5", "min_subtotal": 10_000,
                        "reward": {"kind": "fixed_total", "amount": 500},
                    },
                ],
                "tax_rates": [{
                    "name": "VAT", "country": "DE", "tax_class": "standard", "rate": 190_000,
                    "applies_to_shipping": true,
                }],
            }),
            is_down: false,
            turns: 0,
        };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Adds a variant, or changes the one of this SKU.
    pub(super) fn put(&self, sku: &str, changes: Value) {
        let mut state = self.0.lock().unwrap();
        match state.variants.iter_mut().find(|variant| variant["sku"] == sku) {
            Some(variant) => variant.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone()),
            None => state.variants.push(variant(sku, changes)),
        }
    }

    /// Takes a variant away for good.
    pub(super) fn forget(&self, sku: &str) {
        self.0.lock().unwrap().variants.retain(|variant| variant["sku"] != sku);
    }

    pub(super) fn set_promotions(&self, promotions: Value) {
        self.0.lock().unwrap().rules["promotions"] = promotions;
    }

    pub(super) fn is_down(&self, is_down: bool) {
        self.0.lock().unwrap().is_down = is_down;
    }

    /// Has every answer take a while, in which others get their turn.
    pub(super) fn takes_turns(&self, turns: u32) {
        self.0.lock().unwrap().turns = turns;
    }

    /// The catalog as the service asks it.
    pub(super) fn catalog(&self) -> Catalog {
        let shelf = self.clone();
        let transport: Transport = Arc::new(move |request| {
            let (answer, turns) = (shelf.answer(&request), shelf.0.lock().unwrap().turns);
            Box::pin(async move {
                for _ in 0..turns {
                    others_first().await;
                }
                answer
            })
        });
        Catalog::new(Peer::new("catalog", "http://catalog.spin.internal", "", transport), Currency::EUR)
    }

    fn answer(&self, request: &Request<Bytes>) -> Result<Response<Bytes>, String> {
        let state = self.0.lock().unwrap();
        if state.is_down {
            return Ok(Response::builder().status(StatusCode::BAD_GATEWAY).body(Bytes::new()).unwrap());
        }
        let body = match request.uri().path() {
            "/internal/pricing-rules" => state.rules.clone(),
            "/internal/variants" => {
                let query = request.uri().query().unwrap();
                let wanted: Vec<&str> = query.split('&').map(|pair| pair.strip_prefix("sku=").unwrap()).collect();
                // The SKUs of these tests have only letters, digits and hyphens.
                let wanted: Vec<String> = wanted.iter().map(|sku| sku.replace("%2D", "-")).collect();
                let found = state.variants.iter().filter(|variant| wanted.iter().any(|sku| variant["sku"] == **sku));
                json!({"variants": found.collect::<Vec<_>>()})
            }
            path => panic!("the catalog has no {path}"),
        };
        Ok(Response::new(body.to_string().into()))
    }
}

fn variant(sku: &str, changes: Value) -> Value {
    let mut variant = json!({
        "sku": sku, "product_id": "0190a3c0-7b5e-7000-8000-000000000000", "slug": sku.to_lowercase(), "title": sku,
        "image": null, "attributes": {}, "price": euro(1000), "available": 10, "categories": [],
        "tax_class": "standard", "weight_g": 0, "archived": false,
    });
    variant.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    variant
}

pub(super) fn euro(amount: i64) -> Value {
    json!({"amount": amount, "currency": "EUR"})
}

/// Waits until everybody else had a turn.
async fn others_first() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if waited {
            return Poll::Ready(());
        }
        waited = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
