//! Somebody with an account, who registers, buys, and looks after what was bought; or who runs the shop.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::shop::{Shop, json_of};

/// The password of every account that a visitor registers.
const PASSWORD: &str = "correct horse battery staple";

/// Somebody with a token, at the shop's door.
pub struct Visitor<'a> {
    shop: &'a Shop,
    /// The access token; empty for nobody's.
    pub token: String,
    /// The refresh token; empty if the visitor never logged in.
    pub refresh_token: String,
    /// The account's id; empty for nobody's.
    pub account_id: String,
}

impl<'a> Visitor<'a> {
    /// Registers and logs in.
    pub async fn registered(shop: &'a Shop, email: &str) -> Self {
        let account = json!({ "email": email, "password": PASSWORD });
        Self::with_token(shop, String::new()).ask(Method::POST, "/api/auth/register", &account, 202).await;
        Self::logged_in(shop, email).await
    }

    /// An account of this role, which an admin has made.
    pub async fn employed(shop: &'a Shop, email: &str, role: &str) -> Self {
        let account = json!({ "email": email, "password": PASSWORD, "role": role });
        let admin = Self::with_token(shop, shop.issuer.access_token("admin"));
        admin.ask(Method::POST, "/api/auth/accounts", &account, 201).await;
        Self::logged_in(shop, email).await
    }

    /// Logs in.
    pub async fn logged_in(shop: &'a Shop, email: &str) -> Self {
        let nobody = Self::with_token(shop, String::new());
        let account = json!({ "email": email, "password": PASSWORD });
        let session = nobody.ask(Method::POST, "/api/auth/login", &account, 200).await;
        let text = |name: &str| session[name].as_str().expect("a text").to_owned();
        Self { shop, token: text("access_token"), refresh_token: text("refresh_token"), account_id: text("account_id") }
    }

    /// Who shows this token, whoever that is.
    pub fn with_token(shop: &'a Shop, token: String) -> Self {
        Self { shop, token, refresh_token: String::new(), account_id: String::new() }
    }

    /// A member of the staff.
    pub fn staff(shop: &'a Shop) -> Self {
        Self::with_token(shop, shop.issuer.access_token("staff"))
    }

    /// A request with the token, to be completed and sent.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.shop.host.client().request(method, self.shop.host.url(path));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    /// Sends JSON, and expects this status and JSON.
    pub async fn ask(&self, method: Method, path: &str, body: &Value, status: u16) -> Value {
        json_of(self.request(method, path).json(body).send().await.expect("an answer"), status).await
    }

    /// What is at a path.
    pub async fn get(&self, path: &str) -> Value {
        json_of(self.request(Method::GET, path).send().await.expect("an answer"), 200).await
    }

    /// Does something with an order, as it is now.
    pub async fn act(&self, order: &Value, what: &str, body: Value) -> Value {
        let path = format!("/api/orders/{}/{what}", order["id"].as_str().expect("an id"));
        let key = format!("{what}-{body}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let request = self.request(Method::POST, &path).header("if-match", "*").header("idempotency-key", key);
        let answer = request.json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{what}: {:?}", answer.text().await);
        self.get(&format!("/api/orders/{}", order["id"].as_str().expect("an id"))).await
    }

    /// Buys what is in the cart.
    pub async fn check_out(&self, key: &str) -> Value {
        let cart = self.get("/api/cart").await;
        let to = json!({ "country": "US", "region": "MA", "postcode": "02108" });
        let wish = json!({ "destination": to, "parcel": cart["parcel"] });
        let quotes = self.ask(Method::POST, "/api/shipping/quotes", &wish, 200).await;
        let quote = &quotes["quotes"][0];
        let amount = |money: &Value| money["amount"].as_i64().expect("an amount");
        let total = amount(&cart["totals"]["total"]) + amount(&quote["price"]);
        let checkout = json!({
            "shipping_address": {
                "name": "Ann", "lines": ["1 Road"], "city": "Boston", "region": "MA", "postcode": "02108", "country": "US",
            },
            "shipping_quote": quote["token"],
            "payment_method": "tok_approve",
            "expected_total": { "amount": total, "currency": "USD" },
        });
        let request = self.request(Method::POST, "/api/checkout").header("idempotency-key", key).json(&checkout);
        let order = json_of(request.try_clone().expect("a text").send().await.expect("an answer"), 201).await;
        // Asked again, it is the same order and not a second one.
        let again = json_of(request.send().await.expect("an answer"), 201).await;
        assert_eq!(again["id"], order["id"]);
        order
    }
}
