//! A guest who fills a cart and buys it, and who asks again for as long as there is no answer.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::host::{Host, PATIENCE};

/// How long a shopper waits before asking again.
const PAUSE: Duration = Duration::from_millis(50);
/// How long one answer may take.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// Where the shop is at the moment: a host that was started again has another address.
#[derive(Clone)]
pub struct Site {
    client: Client,
    url: Arc<RwLock<String>>,
    repeats: Arc<AtomicU64>,
}

/// An answer that is one.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its JSON.
    pub body: Value,
}

impl Site {
    /// The site of a host.
    pub fn of(host: &Host) -> Self {
        Self::at(host.url(""))
    }

    /// The site at a URL without a path, with connections of its own, which are kept.
    pub fn at(url: String) -> Self {
        let client = crate::client::builder().timeout(ANSWER_TIME_MAX).no_proxy().build().expect("a plain client");
        Self { client, url: Arc::new(RwLock::new(url)), repeats: Arc::default() }
    }

    /// How often somebody had to ask again.
    pub fn repeats(&self) -> u64 {
        self.repeats.load(Ordering::Relaxed)
    }

    /// The host was started again.
    pub fn moved_to(&self, host: &Host) {
        *self.url.write().expect("nobody panics with it") = host.url("");
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("{}{path}", self.url.read().expect("nobody panics with it"));
        self.client.request(method, url)
    }

    /// Asks until there is an answer that stays: no fault on the way, and no `Retry-After`.
    pub async fn ask(&self, method: Method, path: &str, complete: impl Fn(RequestBuilder) -> RequestBuilder) -> Answer {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let answer = complete(self.request(method.clone(), path)).send().await;
            let reason = match answer {
                Ok(answer) => {
                    let status = answer.status();
                    let passes = status.is_server_error() || answer.headers().contains_key("retry-after");
                    match answer.text().await {
                        Ok(text) if !passes => {
                            let body = serde_json::from_str(&text).unwrap_or_default();
                            return Answer { status, body };
                        }
                        Ok(text) => format!("{status} {text}"),
                        Err(error) => error.to_string(),
                    }
                }
                Err(error) => error.to_string(),
            };
            assert!(Instant::now() < deadline, "{method} {path} gets no answer: {reason}");
            self.repeats.fetch_add(1, Ordering::Relaxed);
            sleep(PAUSE).await;
        }
    }
}

impl Answer {
    /// The JSON of an answer with this status.
    #[track_caller]
    pub fn is(self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", self.body);
        self.body
    }

    /// What kind of problem it tells.
    pub fn problem(&self) -> &str {
        self.body["type"].as_str().and_then(|kind| kind.strip_prefix("urn:bodega:problem:")).unwrap_or_default()
    }
}

/// A guest with a cart.
pub struct Shopper {
    site: Site,
    cart: String,
}

impl Shopper {
    /// A guest with an empty cart.
    pub async fn new(site: &Site) -> Self {
        let made = site.ask(Method::POST, "/api/cart", |request| request).await.is(201);
        Self { site: site.clone(), cart: made["token"].as_str().expect("a token").to_owned() }
    }

    /// Puts units into the cart, and returns it.
    pub async fn add(&self, sku: &str, quantity: u32) -> Value {
        let key = format!("add-{sku}");
        let line = json!({ "sku": sku, "quantity": quantity });
        let added = self.site.ask(Method::POST, "/api/cart/lines", |request| {
            request.header("x-cart-token", &self.cart).header("idempotency-key", &key).json(&line)
        });
        added.await.is(200)
    }

    /// Enters a coupon, and returns the cart.
    pub async fn enter(&self, code: &str) -> Value {
        let (key, coupon) = (format!("enter-{code}"), json!({ "code": code }));
        let entered = self.site.ask(Method::POST, "/api/cart/coupons", |request| {
            request.header("x-cart-token", &self.cart).header("idempotency-key", &key).json(&coupon)
        });
        entered.await.is(200)
    }

    /// Asks what the delivery of what is in `cart` costs, and words the wish to buy it with a payment token.
    pub async fn wish(&self, cart: &Value, payment_method: &str) -> Value {
        let subtotal = &cart["totals"]["subtotal"];
        let wish = json!({
            "destination": { "country": "US", "region": "MA", "postcode": "02108" },
            "parcel": cart["parcel"],
        });
        let quotes = self.site.ask(Method::POST, "/api/shipping/quotes", |request| request.json(&wish)).await.is(200);
        let quote = &quotes["quotes"][0];
        let total = cart["totals"]["total"]["amount"].as_i64().expect("a total");
        let delivery = quote["price"]["amount"].as_i64().expect("a price");
        json!({
            "cart": { "token": self.cart },
            "email": "ann@example.com",
            "shipping_address": {
                "name": "Ann", "lines": ["1 Road"], "city": "Boston", "region": "MA", "postcode": "02108", "country": "US",
            },
            "shipping_quote": quote["token"],
            "payment_method": payment_method,
            "expected_total": { "amount": total + delivery, "currency": subtotal["currency"] },
        })
    }

    /// Sends a checkout under a key.
    pub async fn check_out(&self, key: &str, wish: &Value) -> Answer {
        let checkout = |request: RequestBuilder| request.header("idempotency-key", key).json(wish);
        self.site.ask(Method::POST, "/api/checkout", checkout).await
    }

    /// Sends a checkout under a key, again until it is known what became of it.
    pub async fn check_out_to_the_end(&self, key: &str, wish: &Value) -> Answer {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let answer = self.check_out(key, wish).await;
            if answer.status != StatusCode::ACCEPTED {
                return answer;
            }
            assert!(Instant::now() < deadline, "{key} is still open: {answer:?}");
            sleep(PAUSE).await;
        }
    }

    /// Puts units into the cart, and buys them.
    pub async fn buy(&self, sku: &str, quantity: u32, key: &str, payment_method: &str) -> Answer {
        let cart = self.add(sku, quantity).await;
        let wish = self.wish(&cart, payment_method).await;
        self.check_out(key, &wish).await
    }
}
