//! Where accounts are opened: the router with its own database, clock and mail.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use axum::Router;
use axum::http::Method;
use futures::executor::block_on;
use identity::Settings;
use serde_json::{Value, json};
use service::Transport;
use service::testing::{Folder, jwks};
use sql::Database;

pub(super) use service::testing::{Answered, Ask};

use crate::app::{App, Config};
use crate::oidc::Providers;
use crate::routes;

pub(super) const PASSWORD: &str = "correct horse";

pub(super) struct Desk {
    folder: Folder,
    setup: Setup,
    router: Router,
    passed_ms: Arc<AtomicI64>,
}

/// How the service is set up.
pub(super) struct Setup {
    pub(super) internal_secret: &'static str,
    pub(super) verified_only: bool,
    pub(super) issuers: Value,
    pub(super) transport: Transport,
}

impl Default for Setup {
    fn default() -> Self {
        let nowhere: Transport = Arc::new(|_| Box::pin(async { Err("there is nothing outside".to_owned()) }));
        Self { internal_secret: "", verified_only: false, issuers: json!([]), transport: nowhere }
    }
}

/// The tokens of a login.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    pub(super) access: String,
    pub(super) refresh: String,
    pub(super) account_id: String,
}

impl Desk {
    pub(super) fn open() -> Self {
        Self::set_up(Setup::default())
    }

    pub(super) fn set_up(setup: Setup) -> Self {
        let (folder, passed_ms) = (Folder::new(), Arc::default());
        let router = router(&folder, &setup, &passed_ms);
        Self { folder, setup, router, passed_ms }
    }

    /// Another instance of the component on the same database.
    pub(super) fn instance(&self) -> Router {
        router(&self.folder, &self.setup, &self.passed_ms)
    }

    /// The database itself, for what no route shows.
    pub(super) fn database(&self) -> Database {
        self.folder.database()
    }

    /// Lets time pass.
    pub(super) fn wait_ms(&self, ms: i64) {
        self.passed_ms.fetch_add(ms, Ordering::SeqCst);
    }

    pub(super) fn now_ms(&self) -> i64 {
        commerce::unix_ms() + self.passed_ms.load(Ordering::SeqCst)
    }

    pub(super) fn request(&self, method: Method, path: &str) -> Ask {
        Ask::new(&self.router, method, path)
    }

    pub(super) fn get(&self, path: &str) -> Answered {
        self.request(Method::GET, path).send()
    }

    pub(super) fn post(&self, path: &str, body: Value) -> Answered {
        self.request(Method::POST, path).json(body)
    }

    /// Asks with an access token.
    pub(super) fn with(&self, access: &str, method: Method, path: &str) -> Ask {
        self.request(method, path).header("authorization", &format!("Bearer {access}"))
    }

    pub(super) fn register(&self, email: &str) {
        self.post("/api/auth/register", json!({"email": email, "password": PASSWORD})).is(202);
    }

    /// Tries to log in; without a client address, so that only the account counts.
    pub(super) fn try_login(&self, email: &str, password: &str) -> Answered {
        self.post("/api/auth/login", json!({"email": email, "password": password}))
    }

    pub(super) fn login(&self, email: &str, password: &str) -> Tokens {
        tokens(&self.try_login(email, password).is(200))
    }

    /// Registers and logs in.
    pub(super) fn member(&self, email: &str) -> Tokens {
        self.register(email);
        self.login(email, PASSWORD)
    }

    pub(super) fn refresh(&self, refresh: &str) -> Answered {
        self.post("/api/auth/refresh", json!({"refresh_token": refresh}))
    }

    /// The events so far.
    pub(super) fn events(&self) -> Vec<Value> {
        let ask = self.request(Method::GET, "/internal/outbox");
        let body = ask.header("x-internal-secret", self.setup.internal_secret).send().is(200);
        body["events"].as_array().unwrap().clone()
    }

    /// The types of the events so far, without what all have in common.
    pub(super) fn event_types(&self) -> Vec<String> {
        let kind = |event: &Value| event["type"].as_str().unwrap().trim_start_matches("bodega.account.").to_owned();
        self.events().iter().map(kind).collect()
    }

    /// The token of the newest mail of a kind.
    pub(super) fn mailed_token(&self, kind: &str) -> String {
        let kind = format!("bodega.account.{kind}");
        let event = self.events().into_iter().rfind(|event| event["type"] == kind.as_str()).unwrap();
        event["data"]["token"].as_str().unwrap().to_owned()
    }
}

pub(super) fn tokens(answer: &Value) -> Tokens {
    let text = |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
    Tokens { access: text("access_token"), refresh: text("refresh_token"), account_id: text("account_id") }
}

fn router(folder: &Folder, setup: &Setup, passed_ms: &Arc<AtomicI64>) -> Router {
    let config = Config {
        identity: Settings { jwks: jwks(), ..Settings::default() },
        internal_secret: setup.internal_secret.to_owned(),
        verified_only: setup.verified_only,
        providers: Providers::parse(&setup.issuers.to_string()).unwrap(),
    };
    let passed_ms = passed_ms.clone();
    let clock = Arc::new(move || commerce::unix_ms() + passed_ms.load(Ordering::SeqCst));
    routes::router(block_on(App::open(&folder.label(), config, setup.transport.clone(), clock)).unwrap())
}
