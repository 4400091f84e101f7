//! Orders to ask: the router with its own database, in a world of other services.

use std::sync::atomic::{AtomicU32, Ordering};

use axum::Router;
use axum::http::Method;
use commerce::{Currency, Id};
use futures::FutureExt;
use futures::executor::block_on;
use identity::Role;
use serde_json::{Value, json};
use service::Peer;
use service::testing::{Answered, Ask, Folder, access};
use sql::Database;

use super::world::World;
use super::world::{Cart, Variant, quote};
use crate::app::App;
use crate::peers::Peers;
use crate::routes;
use crate::token::Tokens;

/// Sweeps after which nothing may be left to do.
const SWEEPS: usize = 12;
/// What the delivery costs of what the tests order.
pub(super) const DELIVERY: i64 = 490;

pub(super) struct Shop {
    folder: Folder,
    internal_secret: &'static str,
    router: Router,
    pub(super) world: World,
    /// Keys and carts that were made.
    made: AtomicU32,
}

impl Shop {
    /// A shop with 10 mugs of 10.00, 10 pans of 25.00, and 3 pots of 33.33.
    pub(super) fn open() -> Self {
        Self::with_internal_secret("")
    }

    pub(super) fn with_internal_secret(internal_secret: &'static str) -> Self {
        let (folder, world) = (Folder::new(), World::default());
        let router = router(&folder, internal_secret, &world);
        let shop = Self { folder, internal_secret, router, world, made: AtomicU32::new(0) };
        for (sku, price, on_hand) in [("MUG", 1000, 10), ("PAN", 2500, 10), ("POT", 3333, 3)] {
            shop.stock(sku, price, on_hand);
        }
        shop
    }

    pub(super) fn stock(&self, sku: &str, price: i64, on_hand: i64) {
        let variant = Variant { price, on_hand, reserved: 0, counted: on_hand, archived: false };
        self.world.books().catalog.variants.insert(sku.to_owned(), variant);
    }

    /// Takes 10 % off by a code, which may be used so often.
    pub(super) fn coupon(&self, code: &str, uses: u32) {
        let mut books = self.world.books();
        books.catalog.coupons.insert(code.to_owned(), uses);
        books.catalog.promotions.push(json!({
            "id": code, "title": "10 % off", "coupon": code, "reward": {"kind": "percentage", "basis_points": 1000},
            "scope": {"kind": "all"}, "customer_groups": [], "min_subtotal": null, "starts_at": null, "ends_at": null,
            "priority": 0, "stacking": {"kind": "stackable"},
        }));
    }

    /// Another instance of the component on the same database.
    pub(super) fn instance(&self) -> Router {
        router(&self.folder, self.internal_secret, &self.world)
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

    pub(super) fn get(&self, path: &str) -> Ask {
        self.request(Method::GET, path)
    }

    pub(super) fn post(&self, path: &str) -> Ask {
        self.request(Method::POST, path)
    }

    /// A new key.
    pub(super) fn key(&self) -> String {
        format!("key-{}", self.made.fetch_add(1, Ordering::Relaxed))
    }

    /// A new cart of a guest with these units, and its token.
    pub(super) fn cart(&self, lines: &[(&str, i64)]) -> String {
        let token = format!("{:064}", self.made.fetch_add(1, Ordering::Relaxed));
        self.fill(&token, lines);
        token
    }

    /// Puts units into the cart of a token or an account.
    pub(super) fn fill(&self, cart: &str, lines: &[(&str, i64)]) {
        let lines = lines.iter().map(|(sku, units)| ((*sku).to_owned(), *units)).collect();
        self.world.books().carts.0.insert(cart.to_owned(), Cart { lines, ..Cart::default() });
    }

    /// The wish of a guest to buy what is in a cart, for what it costs now, with a payment token.
    pub(super) fn wish(&self, cart: &str, token: &str) -> Value {
        let mut wish = self.wish_of(cart, token);
        wish["cart"] = json!({"token": cart});
        wish["email"] = json!("Guest@Example.com");
        wish
    }

    /// The wish of an account to buy what is in its cart.
    pub(super) fn wish_of(&self, cart: &str, token: &str) -> Value {
        let books = self.world.books();
        let cart = &books.carts.0[cart];
        let (mut value, mut weight_g) = (0, 0);
        for (sku, units) in &cart.lines {
            value += books.catalog.variants[sku].price * units;
            weight_g += 500 * units;
        }
        let off = if cart.coupons.is_empty() { 0 } else { (value + 5) / 10 };
        json!({
            "shipping_address": {
                "name": "Ann", "lines": ["1 Road"], "city": "Springfield", "region": "IL", "postcode": "62701",
                "country": "US",
            },
            "shipping_quote": quote(weight_g, value, "US"),
            "payment_method": token,
            "expected_total": {"amount": value - off + DELIVERY, "currency": "USD"},
        })
    }

    /// Sends a checkout.
    pub(super) fn check_out(&self, key: &str, wish: &Value) -> Answered {
        self.checkout(key).json(wish.clone())
    }

    pub(super) fn checkout(&self, key: &str) -> Ask {
        self.post("/api/checkout").header("idempotency-key", key)
    }

    /// An order of a guest over these units that was paid with a token, as the checkout answered.
    pub(super) fn ordered(&self, lines: &[(&str, i64)], token: &str) -> Value {
        let cart = self.cart(lines);
        self.check_out(&self.key(), &self.wish(&cart, token)).is(201)
    }

    /// An order of an account.
    pub(super) fn ordered_by(&self, account: &str, lines: &[(&str, i64)], token: &str) -> Value {
        let cart = format!("account {account}");
        self.fill(&cart, lines);
        let ask = self.checkout(&self.key()).account(account, Role::Customer);
        ask.json(self.wish_of(&cart, token)).is(201)
    }

    /// An order as staff sees it.
    pub(super) fn order(&self, id: &Value) -> Value {
        self.get(&format!("/api/orders/{}", text(id))).staff().send().is(200)
    }

    /// All orders, as staff sees them.
    pub(super) fn orders(&self) -> Vec<Value> {
        self.get("/api/orders?limit=100").staff().send().is(200)["items"].as_array().unwrap().clone()
    }

    /// Staff does something with an order.
    pub(super) fn act(&self, id: &Value, what: &str, body: Value) -> Answered {
        let path = format!("/api/orders/{}/{what}", text(id));
        self.post(&path).staff().header("if-match", "*").header("idempotency-key", &self.key()).json(body)
    }

    pub(super) fn refund(&self, id: &Value, body: Value) -> Answered {
        self.act(id, "refunds", body)
    }

    pub(super) fn cancel(&self, id: &Value) -> Answered {
        self.act(id, "cancel", json!({"reason": "changed my mind"}))
    }

    pub(super) fn transition(&self, id: &Value, to: &str) -> Answered {
        self.act(id, "transitions", json!({"to": to}))
    }

    /// Payments tells that the payment of an order moved.
    pub(super) fn payment_changed(&self, id: &Value) {
        self.post("/internal/payments/changed").json(json!({"order_id": id})).is(204);
    }

    pub(super) fn sweep(&self) -> Value {
        self.post("/internal/orders/sweep").send().is(200)
    }

    /// A sweep that may die.
    pub(super) fn try_sweep(&self) -> Option<Answered> {
        self.post("/internal/orders/sweep").answer().now_or_never()
    }

    /// Sends a checkout; `None` if the instance died of it.
    pub(super) fn try_check_out(&self, key: &str, wish: &Value) -> Option<Answered> {
        self.try_ask(self.checkout(key), wish)
    }

    /// Sends a checkout that waits for a slow service while others do something.
    pub(super) fn check_out_while(&self, key: &str, wish: &Value, others: impl FnOnce()) -> Answered {
        let ask = self.checkout(key).header("content-type", "application/json").with_body(wish.to_string());
        let mut answer = std::pin::pin!(ask.answer());
        match answer.as_mut().now_or_never() {
            Some(answer) => answer,
            None => {
                others();
                block_on(answer)
            }
        }
    }

    /// Sends JSON; `None` if the instance died of it.
    pub(super) fn try_ask(&self, ask: Ask, body: &Value) -> Option<Answered> {
        ask.header("content-type", "application/json").with_body(body.to_string()).answer().now_or_never()
    }

    /// Every wait of orders has run out. By then every call has arrived.
    pub(super) fn waits_run_out(&self) {
        self.world.books().late_calls_arrive();
        self.change("UPDATE tasks SET due_at_ms = 0, created_at_ms = 0");
    }

    pub(super) fn change(&self, sql: &str) {
        block_on(self.database().execute(sql, &[])).unwrap();
    }

    /// Nothing goes wrong any more, and time passes, until nothing is left to do.
    pub(super) fn settle(&self) {
        self.world.faults.clear();
        self.world.books().payments.time_has_passed = true;
        self.sweep_all();
        // What still waits does so for a shopper, who does not come.
        self.change("UPDATE orders SET created_at_ms = 0 WHERE state = 'pending'");
        self.sweep_all();
        assert_eq!(self.tasks(), [""; 0]);
    }

    fn sweep_all(&self) {
        for _ in 0..SWEEPS {
            if self.tasks().is_empty() {
                break;
            }
            self.waits_run_out();
            self.sweep();
        }
    }

    pub(super) fn tasks(&self) -> Vec<String> {
        let rows = self.database().read("SELECT order_id || ' ' || kind FROM tasks", &[]).unwrap();
        rows.into_iter().map(|mut row| row.take(0).unwrap()).collect()
    }

    /// One number from the database.
    pub(super) fn count(&self, sql: &str) -> i64 {
        self.database().read(sql, &[]).unwrap().pop().unwrap().take(0).unwrap()
    }

    /// Fails unless the one order of mugs came to nothing: its stock is for sale again, and nobody paid.
    #[track_caller]
    pub(super) fn came_to_nothing(&self, state: &str) {
        let orders = self.orders();
        assert_eq!((orders.len(), &orders[0]["state"]), (1, &json!(state)));
        assert_eq!((self.money(), self.units("MUG")), (0, (10, 0)));
        assert_eq!(self.tasks(), [""; 0]);
        assert_eq!(self.findings(), [Value::Null; 0]);
    }

    /// What an audit of all pages finds. What was touched right now counts as settled.
    pub(super) fn findings(&self) -> Vec<Value> {
        self.change("UPDATE orders SET touched_at_ms = touched_at_ms - 1000");
        let (mut findings, mut query) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("/api/orders/audit{query}")).role(Role::Admin).send().is(200);
            findings.extend(page["findings"].as_array().unwrap().clone());
            let Some(cursor) = page["next_cursor"].as_str() else { return findings };
            query = format!("?cursor={cursor}");
        }
    }

    /// Units that are for sale, and units that are held.
    pub(super) fn units(&self, sku: &str) -> (i64, i64) {
        let books = self.world.books();
        let variant = &books.catalog.variants[sku];
        (variant.on_hand - variant.reserved, variant.reserved)
    }

    /// Minor units that the shop has taken and not given back.
    pub(super) fn money(&self) -> i64 {
        let books = self.world.books();
        books.payments.intents.values().map(|intent| intent.captured - intent.refunded("succeeded")).sum()
    }
}

fn router(folder: &Folder, internal_secret: &str, world: &World) -> Router {
    let peer = |name: &'static str| {
        Peer::new(name, &format!("http://{name}.spin.internal"), internal_secret, world.transport())
    };
    let peers = Peers {
        offers: catalog_client::Catalog::new(peer("catalog"), Currency::USD),
        catalog: peer("catalog"),
        cart: peer("cart"),
        payments: peer("payments"),
        shipping: peer("shipping"),
    };
    let tokens = Tokens::new(&"secret".repeat(8)).unwrap();
    let label = folder.label();
    let app = App::open(&label, access(internal_secret), peers, tokens);
    routes::router(block_on(app).unwrap())
}

pub(super) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}

pub(super) fn usd(amount: i64) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// An id that no order has.
pub(super) fn nobody() -> Value {
    json!(Id::new())
}
