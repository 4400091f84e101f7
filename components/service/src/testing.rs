//! Asking a service's router in native tests, in requests that read as sentences.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod openapi;
mod schema;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::http::{HeaderMap, HeaderName, Method, Request, StatusCode, header};
use futures::executor::block_on;
use identity::{Claims, Identity, Role, Settings, Signer};
use serde_json::{Value, json};
use sql::Database;
use tower::ServiceExt;

use crate::{Access, figures};

pub use openapi::{Contract, INTERNAL_SECRET};

/// A folder for the service's database, which goes with the test.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// A new folder.
    #[expect(clippy::new_without_default, reason = "a folder is made, not a value")]
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// What a service opens its database by.
    pub fn label(&self) -> String {
        self.0.path().join("service.db").to_str().unwrap().to_owned()
    }

    /// The database itself, for what no route shows.
    pub fn database(&self) -> Database {
        Database::new(self.label())
    }
}

/// Trusts the tokens of [`token`], and `internal_secret`.
pub fn access(internal_secret: &str) -> Access {
    let settings = Settings { jwks: jwks(), ..Settings::default() };
    Access::new(Identity::new(&settings, identity::no_fetch).unwrap(), internal_secret)
}

/// The keys of the tokens of [`token`], for a service that trusts others beside them.
pub fn jwks() -> String {
    signer().jwks()
}

fn signer() -> Signer {
    Signer::new("test", [1; 32])
}

/// A token of the account `subject`.
pub fn token(subject: &str, role: Role) -> String {
    signer().sign(&Claims::access(&Settings::default(), subject, &[role], 60))
}

/// A token of the customer `subject` who is in a group.
fn token_of_member(subject: &str, customer_group: &str) -> String {
    let claims = Claims::access(&Settings::default(), subject, &[Role::Customer], 60);
    signer().sign(&Claims { customer_group: Some(customer_group.to_owned()), ..claims })
}

/// A request on its way.
pub struct Ask {
    router: Router,
    request: Request<Body>,
}

impl Ask {
    /// Asks `router`.
    pub fn new(router: &Router, method: Method, path: &str) -> Self {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        Self { router: router.clone(), request }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        self.request.headers_mut().insert(name, value.parse().unwrap());
        self
    }

    /// Takes a header away.
    #[must_use]
    pub fn without(mut self, name: HeaderName) -> Self {
        self.request.headers_mut().remove(name);
        self
    }

    /// As the account `tester` with the role staff.
    #[must_use]
    pub fn staff(self) -> Self {
        self.role(Role::Staff)
    }

    /// As the account `tester` with this role.
    #[must_use]
    pub fn role(self, role: Role) -> Self {
        self.account("tester", role)
    }

    /// As this account.
    #[must_use]
    pub fn account(self, subject: &str, role: Role) -> Self {
        self.header("authorization", &format!("Bearer {}", token(subject, role)))
    }

    /// As the customer `subject` who is in a group.
    #[must_use]
    pub fn member(self, subject: &str, customer_group: &str) -> Self {
        self.header("authorization", &format!("Bearer {}", token_of_member(subject, customer_group)))
    }

    /// Asks another instance of the service.
    #[must_use]
    pub fn of(self, router: &Router) -> Self {
        Self { router: router.clone(), ..self }
    }

    /// Sends it with JSON.
    pub fn json(self, body: Value) -> Answered {
        self.header("content-type", "application/json").body(body.to_string())
    }

    /// Sends it with a body.
    pub fn body(self, body: impl Into<Body>) -> Answered {
        self.with_body(body).send()
    }

    /// Gives it a body, to be sent beside others.
    #[must_use]
    pub fn with_body(mut self, body: impl Into<Body>) -> Self {
        *self.request.body_mut() = body.into();
        self
    }

    /// Sends it.
    pub fn send(self) -> Answered {
        block_on(self.answer())
    }

    /// Sends it, beside others.
    pub async fn answer(self) -> Answered {
        let Ok(response) = figures::said(self.router.oneshot(self.request)).await;
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, usize::MAX).await.unwrap();
        Answered { status: parts.status, headers: parts.headers, body }
    }
}

/// What a router answered.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
}

impl Answered {
    /// The body as JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("not JSON: {:?}", self.body))
    }

    /// The body as JSON, of an answer with this status.
    #[track_caller]
    pub fn is(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{}", String::from_utf8_lossy(&self.body));
        if self.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8(self.body.to_vec()).unwrap()
    }

    /// A header, which must be there.
    #[track_caller]
    pub fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(&name).unwrap_or_else(|| panic!("no {name}")).to_str().unwrap()
    }

    /// Asserts a problem with this status, type, detail and other members.
    #[track_caller]
    pub fn is_problem(&self, status: u16, kind: &str, detail: &str, members: Value) {
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
