//! A shopper buys: registers, fills a cart, chooses a delivery, pays, follows the parcel, and gets money back.

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tests::shop::{Shop, json_of};

/// Somebody with a token, at the shop's door.
struct Visitor<'a> {
    shop: &'a Shop,
    token: String,
}

impl<'a> Visitor<'a> {
    /// Registers and logs in.
    async fn registered(shop: &'a Shop, email: &str) -> Self {
        let account = json!({ "email": email, "password": "correct horse battery staple" });
        let mut visitor = Self { shop, token: String::new() };
        visitor.ask(Method::POST, "/api/auth/register", &account, 202).await;
        let session = visitor.ask(Method::POST, "/api/auth/login", &account, 200).await;
        visitor.token = session["access_token"].as_str().expect("a token").to_owned();
        visitor
    }

    /// A member of the staff.
    fn staff(shop: &'a Shop) -> Self {
        Self { shop, token: shop.issuer.access_token("staff") }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.shop.host.client().request(method, self.shop.host.url(path));
        if self.token.is_empty() { request } else { request.bearer_auth(&self.token) }
    }

    async fn ask(&self, method: Method, path: &str, body: &Value, status: u16) -> Value {
        json_of(self.request(method, path).json(body).send().await.expect("an answer"), status).await
    }

    async fn get(&self, path: &str) -> Value {
        json_of(self.request(Method::GET, path).send().await.expect("an answer"), 200).await
    }

    /// Does something with an order, as it is now.
    async fn act(&self, order: &Value, what: &str, body: Value) -> Value {
        let path = format!("/api/orders/{}/{what}", order["id"].as_str().expect("an id"));
        let key = format!("{what}-{body}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let request = self.request(Method::POST, &path).header("if-match", "*").header("idempotency-key", key);
        let answer = request.json(&body).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{what}: {:?}", answer.text().await);
        self.get(&format!("/api/orders/{}", order["id"].as_str().expect("an id"))).await
    }

    /// Buys what is in the cart.
    async fn check_out(&self, key: &str) -> Value {
        let cart = self.get("/api/cart").await;
        let parcel = json!({ "weight_g": 0, "value": cart["totals"]["subtotal"] });
        let to = json!({ "country": "US", "region": "MA", "postcode": "02108" });
        let wish = json!({ "destination": to, "parcel": parcel });
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

async fn available(shop: &Shop, slug: &str) -> Value {
    shop.host.json(&format!("/api/products/{slug}")).await["available"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shopper_buys_and_gets_money_back() {
    let shop = Shop::start().await.with_products(2).await;
    let ann = Visitor::registered(&shop, "ann@example.com").await;
    let staff = Visitor::staff(&shop);

    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-1", "quantity": 2 }), 200).await;
    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-2", "quantity": 1 }), 200).await;
    let order = ann.check_out("first").await;
    assert_eq!(order["state"], "paid");
    assert_eq!(order["totals"]["subtotal"]["amount"], 2 * 1_050 + 1_100);
    assert_eq!(ann.get("/api/cart").await["lines"], json!([]), "what was bought is no longer in the cart");
    assert_eq!((available(&shop, "product-1").await, available(&shop, "product-2").await), (json!(8), json!(9)));
    assert_eq!(ann.get("/api/orders").await["items"][0]["id"], order["id"]);

    for (to, more) in [("packed", json!({})), ("shipped", json!({})), ("delivered", json!({}))] {
        let mut step = json!({ "to": to });
        step.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
        assert_eq!(staff.act(&order, "transitions", step).await["state"], to);
    }
    let line = json!([{ "sku": "P-1", "quantity": 1 }]);
    let refund = json!({ "lines": line, "reason": "broken", "restock": false });
    let partly = staff.act(&order, "refunds", refund).await;
    assert_eq!((&partly["state"], &partly["refunded"]["amount"]), (&json!("delivered"), &json!(1_050)));
    assert_eq!(available(&shop, "product-1").await, 8, "what is broken does not come back");

    ann.ask(Method::POST, "/api/cart/lines", &json!({ "sku": "P-2", "quantity": 3 }), 200).await;
    let second = ann.check_out("second").await;
    assert_eq!(available(&shop, "product-2").await, 6);
    let cancelled = ann.act(&second, "cancel", json!({ "reason": "changed my mind" })).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert_eq!(cancelled["refunded"], second["totals"]["total"]);
    assert_eq!(available(&shop, "product-2").await, 9);

    let history = ann.get(&format!("/api/orders/{}/history", order["id"].as_str().expect("an id"))).await;
    let states: Vec<&str> =
        history["items"].as_array().expect("a list").iter().filter_map(|step| step["to"].as_str()).collect();
    assert_eq!(states, ["pending", "paid", "packed", "shipped", "delivered"], "{history}");
    shop.verify().await;
}
