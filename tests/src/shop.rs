//! The app of this repository with a state of its own, and a staff member's token.

use std::fs;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::app::App;
use crate::host::{Host, PATIENCE};
use crate::programs;
use crate::tokens::TokenIssuer;

/// The databases of the services, by label.
const DATABASES: [&str; 5] = ["auth", "catalog", "orders", "payments", "shipping"];

/// The key-value stores of the services, by label.
const KEY_VALUE_STORES: [&str; 1] = ["cart"];

/// A store that is not in the test's folder: its table in the runtime configuration, and the table's lines.
pub type StoreElsewhere<'a> = (&'a str, &'a str);

/// A running shop.
pub struct Shop {
    /// The host that runs it.
    pub host: Host,
    /// Signs the tokens that it accepts.
    pub issuer: TokenIssuer,
}

impl Shop {
    /// Starts a shop without products.
    pub async fn start() -> Self {
        Self::run(Self::app()).await
    }

    /// Starts a shop without products, some of whose stores are elsewhere; `issuer` signs the tokens that it accepts.
    pub async fn start_on(elsewhere: &[StoreElsewhere<'_>], issuer: TokenIssuer, app: App) -> Self {
        let stores = stores(&app, elsewhere);
        let app = app.runtime_config(&stores).environment("SPIN_VARIABLE_JWKS", issuer.jwks());
        Self { host: app.start().await, issuer }
    }

    /// The app as it is in the repository.
    pub fn app() -> App {
        App::at(programs::repository().join("spin.toml"))
    }

    /// The app with the internal routes of one component open to the test.
    pub fn app_with_internal_routes_of(component: &str) -> App {
        let manifest = fs::read_to_string(programs::repository().join("spin.toml"));
        let built = programs::component(component);
        let built = built.parent().expect("a file is in a folder").display();
        let table = format!("[component.{component}]");
        let trigger = format!("[[trigger.http]]\nroute = \"/internal/...\"\ncomponent = \"{component}\"\n\n");
        let manifest = manifest
            .expect("the repository has an app")
            .replace(&table, &format!("{trigger}{table}"))
            .replace("target/wasm32-wasip2/release", &built.to_string());
        App::from_manifest(&manifest)
    }

    /// Starts a shop from the artifact that it is in a registry.
    pub async fn start_from(reference: &str) -> Self {
        Self::run(App::at(reference.into())).await
    }

    /// Starts a shop without products and with other settings.
    pub async fn start_with(change: impl FnOnce(App) -> App) -> Self {
        Self::run(change(App::at(programs::repository().join("spin.toml")))).await
    }

    /// Runs the app as it is in the repository: the keys for tokens are those that the host makes for itself.
    pub async fn host_with_its_own_keys(change: impl FnOnce(App) -> App) -> Host {
        let app = Self::app();
        let stores = stores(&app, &[]);
        change(app.runtime_config(&stores)).start().await
    }

    /// Starts a shop whose catalog's internal routes are open to the test, as they are to its other components.
    pub async fn start_with_internal_routes() -> Self {
        Self::start_with_internal_routes_of("catalog", |app| app).await
    }

    /// Starts a shop with the internal routes of one component open to the test, and other settings.
    pub async fn start_with_internal_routes_of(component: &str, change: impl FnOnce(App) -> App) -> Self {
        Self::run(change(Self::app_with_internal_routes_of(component))).await
    }

    async fn run(app: App) -> Self {
        Self::start_on(&[], TokenIssuer::new(), app).await
    }

    /// Adds `count` products, `Product 1` and so on, with the SKU `P-1` and so on, 10 of each in stock.
    pub async fn with_products(self, count: u32) -> Self {
        let product = |n: u32| {
            let price = json!({ "amount": 1_000 + 50 * n, "currency": "USD" });
            let variant = json!({ "sku": format!("P-{n}"), "price": price, "stock": 10 });
            format!("{}\n", json!({ "title": format!("Product {n}"), "variants": [variant] }))
        };
        let lines: String = (1..=count).map(product).collect();
        let report = self.import("", "application/jsonl", lines).await;
        assert_eq!(report["imported"], count, "{report}");
        self
    }

    /// Imports a catalogue and returns the report.
    pub async fn import(&self, query: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Value {
        let request = self.staff(self.host.post(&format!("/api/catalog/import{query}")));
        let answer = request.header("content-type", content_type).body(body).send().await;
        json_of(answer.expect("an answer"), 200).await
    }

    /// Holds the books of all services against each other: `bodega verify` must find nothing, and, once all orders have
    /// come to rest, have held every one of them against all books.
    pub async fn verify(&self) {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let report = self.verify_now().await;
            if report["checked"]["in_motion"] == 0 {
                return;
            }
            assert!(Instant::now() < deadline, "orders do not come to rest: {report}");
            sleep(Duration::from_millis(200)).await;
        }
    }

    /// What `bodega verify` says at this moment, whoever is buying: it must find nothing.
    pub async fn verify_now(&self) -> Value {
        let token = self.issuer.access_token("admin");
        let arguments = ["verify", "--json", "--url", &self.host.url(""), "--token", &token];
        let output = self.host.app().command(&arguments).await.expect("the host's binary runs");
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{said}");
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert_eq!(report["findings"], json!([]), "{said}");
        report
    }

    /// Makes `request` one of a staff member.
    pub fn staff(&self, request: RequestBuilder) -> RequestBuilder {
        request.bearer_auth(self.issuer.access_token("staff"))
    }
}

/// The stores in the folder of the test, and not where the repository's own configuration has them.
fn stores(app: &App, elsewhere: &[StoreElsewhere<'_>]) -> String {
    let store = |(kind, label): (&str, &str)| {
        let table = format!("{kind}.{label}");
        let path = app.folder().join(format!("{label}.db"));
        match elsewhere.iter().find(|(name, _)| *name == table) {
            Some((_, lines)) => format!("[{table}]\n{lines}\n\n"),
            None => format!("[{table}]\ntype = \"spin\"\npath = {path:?}\n\n"),
        }
    };
    let databases = DATABASES.map(|label| ("sqlite_database", label));
    let key_value_stores = KEY_VALUE_STORES.map(|label| ("key_value_store", label));
    databases.into_iter().chain(key_value_stores).map(store).collect()
}

/// The JSON of an answer, which must have this status.
pub async fn json_of(answer: Response, status: u16) -> Value {
    let found = answer.status();
    let text = answer.text().await.expect("the body is complete");
    assert_eq!(found.as_u16(), status, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error} in {text}"))
}
