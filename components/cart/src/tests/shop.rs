//! Carts to ask: the router with a store of its own and a catalog.

use axum::Router;
use axum::http::{Method, header};
use identity::Role;
use serde_json::{Value, json};
use service::testing::{Answered, Ask, access};

use super::memory::Memory;
use super::shelf::Shelf;
use crate::app::App;
use crate::routes;

pub(super) struct Shop {
    pub(super) store: Memory,
    pub(super) shelf: Shelf,
    pub(super) router: Router,
}

/// Whose cart it is.
#[derive(Clone, Debug)]
pub(super) enum Who {
    Guest(String),
    Account(&'static str),
}

pub(super) const ANN: Who = Who::Account("ann");

impl Shop {
    pub(super) fn open() -> Self {
        Self::with(Memory::default(), "")
    }

    pub(super) fn with(store: Memory, internal_secret: &str) -> Self {
        let shelf = Shelf::new();
        let router = routes::router(app(&store, &shelf, internal_secret));
        Self { store, shelf, router }
    }

    /// Another instance of the component, without its router.
    pub(super) fn app(&self) -> App {
        app(&self.store, &self.shelf, "")
    }

    /// A guest with a new cart.
    pub(super) fn guest(&self) -> Who {
        let made = Ask::new(&self.router, Method::POST, "/api/cart").send().is(201);
        Who::Guest(made["token"].as_str().unwrap().to_owned())
    }

    /// A request about somebody's cart.
    pub(super) fn ask(&self, who: &Who, method: Method, path: &str) -> Ask {
        let ask = Ask::new(&self.router, method, path);
        match who {
            Who::Guest(token) => ask.header("x-cart-token", token),
            Who::Account(subject) => ask.account(subject, Role::Customer),
        }
    }

    pub(super) fn show(&self, who: &Who) -> Answered {
        self.ask(who, Method::GET, "/api/cart").send()
    }

    /// The cart as it is shown.
    pub(super) fn cart(&self, who: &Who) -> Value {
        self.show(who).is(200)
    }

    pub(super) fn etag(&self, who: &Who) -> String {
        self.show(who).header(header::ETAG).to_owned()
    }

    pub(super) fn post(&self, who: &Who, path: &str, body: Value) -> Answered {
        self.ask(who, Method::POST, path).json(body)
    }

    pub(super) fn add(&self, who: &Who, sku: &str, quantity: u32) -> Answered {
        self.post(who, "/api/cart/lines", json!({"sku": sku, "quantity": quantity}))
    }

    pub(super) fn set(&self, who: &Who, sku: &str, quantity: u32) -> Answered {
        self.ask(who, Method::PUT, &format!("/api/cart/lines/{sku}")).json(json!({"quantity": quantity}))
    }

    pub(super) fn remove(&self, who: &Who, sku: &str) -> Answered {
        self.ask(who, Method::DELETE, &format!("/api/cart/lines/{sku}")).send()
    }

    pub(super) fn enter(&self, who: &Who, code: &str) -> Answered {
        self.post(who, "/api/cart/coupons", json!({"code": code}))
    }

    pub(super) fn withdraw(&self, who: &Who, code: &str) -> Answered {
        self.ask(who, Method::DELETE, &format!("/api/cart/coupons/{code}")).send()
    }

    /// Merges a guest's cart into an account's.
    pub(super) fn merge(&self, account: &Who, guest: &Who) -> Answered {
        let Who::Guest(token) = guest else { panic!("an account's cart is not merged") };
        self.post(account, "/api/cart/merge", json!({"token": token}))
    }

    /// A request of another service.
    pub(super) fn internal(&self, path: &str, body: Value) -> Answered {
        Ask::new(&self.router, Method::POST, &format!("/internal/carts/{path}")).json(body)
    }

    /// SKUs and quantities of a cart.
    pub(super) fn units(&self, who: &Who) -> Vec<(String, u64)> {
        units(&self.cart(who))
    }
}

fn app(store: &Memory, shelf: &Shelf, internal_secret: &str) -> App {
    App { store: Box::new(store.clone()), access: access(internal_secret), catalog: shelf.catalog() }
}

impl Who {
    /// As other services name it.
    pub(super) fn named(&self, members: Value) -> Value {
        let mut named = match self {
            Self::Guest(token) => json!({"token": token}),
            Self::Account(subject) => json!({"customer": subject}),
        };
        named.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        named
    }
}

/// SKUs and quantities of a cart that was shown.
pub(super) fn units(cart: &Value) -> Vec<(String, u64)> {
    let lines = cart["lines"].as_array().unwrap().iter();
    lines.map(|line| (line["sku"].as_str().unwrap().to_owned(), line["quantity"].as_u64().unwrap())).collect()
}

/// What [`units`] gives for these.
pub(super) fn list(units: &[(&str, u64)]) -> Vec<(String, u64)> {
    units.iter().map(|(sku, quantity)| ((*sku).to_owned(), *quantity)).collect()
}

/// The kinds of problems of each line.
pub(super) fn problems(cart: &Value) -> Vec<Vec<String>> {
    let kinds = |line: &Value| {
        let problems = line["problems"].as_array().unwrap().iter();
        problems.map(|problem| problem["kind"].as_str().unwrap().to_owned()).collect()
    };
    cart["lines"].as_array().unwrap().iter().map(kinds).collect()
}
