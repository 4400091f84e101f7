//! A shop to ask: the router with its own database.

use axum::Router;
use axum::http::{Method, StatusCode};
use commerce::Currency;
use futures::executor::block_on;
use serde_json::{Value, json};
use service::testing::{Folder, access};
use sql::Database;

pub(super) use service::testing::{Answered as Answer, Ask};

use crate::app::App;
use crate::routes;

pub(super) struct Shop {
    folder: Folder,
    internal_secret: &'static str,
    router: Router,
}

impl Shop {
    pub(super) fn open() -> Self {
        Self::with_internal_secret("")
    }

    pub(super) fn with_internal_secret(internal_secret: &'static str) -> Self {
        let folder = Folder::new();
        let router = router(&folder, internal_secret);
        Self { folder, internal_secret, router }
    }

    /// Another instance of the component on the same database.
    pub(super) fn instance(&self) -> Router {
        router(&self.folder, self.internal_secret)
    }

    /// The database itself, for what no route shows.
    pub(super) fn database(&self) -> Database {
        self.folder.database()
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send()
    }

    pub(super) fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).staff().json(body)
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Ask {
        Ask::new(&self.router, method, path)
    }

    /// Makes a product and gives its document.
    pub(super) fn stock(&self, title: &str, variants: Value) -> Value {
        let made = self.post("/api/products", json!({"title": title, "variants": variants}));
        assert_eq!(made.status, StatusCode::CREATED, "{}", made.json());
        made.json()
    }

    /// A product with one variant of this SKU, price and stock.
    pub(super) fn stock_one(&self, sku: &str, stock: u32) -> Value {
        self.stock(sku, json!([{"sku": sku, "price": price(1000), "stock": stock}]))
    }

    /// On hand and reserved.
    pub(super) fn units(&self, sku: &str) -> (i64, i64) {
        let rows = self.database().read("SELECT on_hand, reserved FROM variants WHERE sku = ?1", &[sku.into()]);
        let mut row = rows.unwrap().pop().unwrap();
        (row.take(0).unwrap(), row.take(1).unwrap())
    }
}

fn router(folder: &Folder, internal_secret: &str) -> Router {
    routes::router(block_on(App::open(&folder.label(), access(internal_secret), Currency::USD)).unwrap())
}

pub(super) fn price(amount: i64) -> Value {
    json!({"amount": amount, "currency": "USD"})
}
