//! A shop to ask: the router with its own database, and requests that read as sentences.

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use commerce::Currency;
use futures::executor::block_on;
use identity::{Claims, Identity, Role, Settings, Signer};
use serde_json::{Value, json};
use sql::Database;
use tower::ServiceExt;

use crate::app::App;
use crate::routes;

pub(super) struct Shop {
    folder: tempfile::TempDir,
    internal_secret: &'static str,
    router: Router,
}

pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

impl Shop {
    pub(super) fn open() -> Self {
        Self::with_internal_secret("")
    }

    pub(super) fn with_internal_secret(internal_secret: &'static str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let router = router(&folder, internal_secret);
        Self { folder, internal_secret, router }
    }

    /// Another instance of the component on the same database.
    pub(super) fn instance(&self) -> Router {
        router(&self.folder, self.internal_secret)
    }

    /// The database itself, for what no route shows.
    pub(super) fn database(&self) -> Database {
        Database::new(self.folder.path().join("catalog.db").to_str().unwrap())
    }

    pub(super) fn get(&self, path: &str) -> Answer {
        self.request(Method::GET, path).send()
    }

    pub(super) fn post(&self, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).staff().json(body)
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Ask {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Ask { router: self.router.clone(), request }
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

fn router(folder: &tempfile::TempDir, internal_secret: &str) -> Router {
    let settings = Settings { jwks: signer().jwks(), ..Settings::default() };
    let identity = Identity::new(&settings, identity::no_fetch).unwrap();
    let path = folder.path().join("catalog.db");
    let app = App::open(path.to_str().unwrap(), identity, internal_secret.to_owned(), Currency::USD);
    routes::router(block_on(app).unwrap())
}

fn signer() -> Signer {
    Signer::new("test", [1; 32])
}

pub(super) fn token(role: Role) -> String {
    signer().sign(&Claims::access(&Settings::default(), "tester", &[role], 60))
}

pub(super) fn price(amount: i64) -> Value {
    json!({"amount": amount, "currency": "USD"})
}

/// A request on its way.
pub(super) struct Ask {
    router: Router,
    request: Request<Body>,
}

impl Ask {
    pub(super) fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    /// The instance that would be asked.
    pub(super) fn router(self) -> Router {
        self.router
    }

    pub(super) fn staff(self) -> Self {
        self.role(Role::Staff)
    }

    pub(super) fn role(self, role: Role) -> Self {
        self.header("authorization", &format!("Bearer {}", token(role)))
    }

    pub(super) fn json(self, body: Value) -> Answer {
        self.header("content-type", "application/json").body(body.to_string())
    }

    pub(super) fn body(mut self, body: impl Into<Body>) -> Answer {
        *self.request.body_mut() = body.into();
        self.send()
    }

    pub(super) fn send(self) -> Answer {
        block_on(async {
            let response = self.router.oneshot(self.request).await.unwrap();
            let (parts, body) = response.into_parts();
            let body = to_bytes(body, usize::MAX).await.unwrap();
            Answer { status: parts.status, headers: parts.headers, body }
        })
    }
}

impl Answer {
    pub(super) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    pub(super) fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    /// Asserts a problem with this status, type, and other members.
    #[track_caller]
    pub(super) fn is_problem(&self, status: u16, kind: &str, detail: &str, members: Value) {
        let problem = self.json();
        assert_eq!(self.header(header::CONTENT_TYPE), "application/problem+json");
        assert_eq!(self.status.as_u16(), status, "{problem}");
        let mut expected = json!({"type": format!("urn:bodega:problem:{kind}"), "status": status, "detail": detail});
        expected["title"] = problem["title"].clone();
        expected.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        assert_eq!(problem, expected);
        assert!(problem["title"].as_str().is_some_and(|title| !title.is_empty()));
    }
}
