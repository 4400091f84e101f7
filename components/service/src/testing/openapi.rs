//! The OpenAPI document against the running service: every operation is there and answers with what it says,
//! also when it is asked wrongly.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, StatusCode, header};
use identity::{INTERNAL_SECRET_HEADER, Role};
use serde_json::{Value, json};

use super::schema::{check, resolve};
use super::{Answered, Ask};
use crate::request::BODY_BYTES_MAX;

/// The secret between services that a router under [`Contract`] has to ask for.
pub const INTERNAL_SECRET: &str = "known to the tests";

const METHODS: [&str; 5] = ["get", "put", "post", "patch", "delete"];

/// A service's description, and which of its operations were asked so far.
///
/// A test asks every operation once, in an order in which each finds what it needs, and then calls
/// [`Contract::finish`].
pub struct Contract {
    document: Value,
    router: Router,
    asked: BTreeSet<String>,
}

impl Contract {
    /// Reads the document of `router`, whose own parts must agree. The router trusts [`INTERNAL_SECRET`].
    #[track_caller]
    pub fn new(document: &str, router: &Router) -> Self {
        let document = serde_json::from_str(document).unwrap();
        let contract = Self { document, router: router.clone(), asked: BTreeSet::new() };
        let mut ids = BTreeSet::new();
        for (path, method, operation) in contract.operations() {
            let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path}: no operationId"));
            assert!(ids.insert(id), "two operations are named {id}");
            assert_eq!(contract.path_parameters(operation), parameters_of(path), "{method} {path}: parameters");
        }
        contract
    }

    /// Asserts that the document describes the routes of a router's source, and no others.
    #[track_caller]
    pub fn describes_routes_of(&self, source: &str) {
        let routes = source.split(".route(").skip(1).filter_map(|route| route.split('"').nth(1));
        let described: BTreeSet<&str> = self.operations().map(|(path, ..)| path).collect();
        assert_eq!(described, routes.collect());
    }

    /// Asks with JSON (`null` for no body) as the document wants it: with the role, the secret and the `If-Match`
    /// that it names. The answer must be a success that the document describes, and so must be the refusals of the
    /// same request without them, or with a body of another shape.
    #[track_caller]
    pub fn ask(&mut self, method: &str, path: &str, body: Value) -> Answered {
        let media_type = if body.is_null() { "" } else { "application/json" };
        let text = if body.is_null() { String::new() } else { body.to_string() };
        self.ask_as(method, path, media_type, text)
    }

    /// As [`Contract::ask`], with a body of another media type.
    #[track_caller]
    pub fn ask_as(&mut self, method: &str, path: &str, media_type: &str, body: impl Into<String>) -> Answered {
        let body = body.into();
        let (template, operation) = self.operation(method, path);
        if media_type.ends_with("json") {
            let schema = &operation["requestBody"]["content"][media_type]["schema"];
            let wrong = check(&self.document, schema, &serde_json::from_str(&body).unwrap(), "");
            wrong.unwrap_or_else(|wrong| panic!("{method} {template}, the request: {wrong}"));
        }
        for (what, ask, body) in self.refusals(method, path, operation, media_type, &body) {
            let answer = ask.body(body);
            assert!(answer.status.is_client_error(), "{method} {path} {what}: {}", answer.status);
            self.holds(method, path, &answer);
        }
        let answer = self.prepare(method, path, operation, media_type).body(body);
        assert!(answer.status.is_success(), "{method} {path}: {} {}", answer.status, answer.text());
        self.check(method, path, &answer);
        answer
    }

    /// Holds an answer that was got in another way against the document, and counts its operation as asked.
    #[track_caller]
    pub fn check(&mut self, method: &str, path: &str, answer: &Answered) {
        self.holds(method, path, answer);
        let (template, _) = self.operation(method, path);
        self.asked.insert(format!("{method} {template}"));
    }

    /// Asserts that every operation was asked.
    #[track_caller]
    pub fn finish(self) {
        let described: BTreeSet<String> =
            self.operations().map(|(path, method, _)| format!("{method} {path}")).collect();
        assert_eq!(described, self.asked);
    }

    /// The same request with one thing missing or wrong.
    fn refusals(
        &self,
        method: &str,
        path: &str,
        operation: &Value,
        media_type: &str,
        body: &str,
    ) -> Vec<(&'static str, Ask, Body)> {
        let ask = || self.prepare(method, path, operation, media_type);
        let own = || Body::from(body.to_owned());
        let mut refusals = Vec::new();
        if self.role(operation).is_some() {
            refusals.push(("without a token", ask().without(header::AUTHORIZATION), own()));
            refusals.push(("as a customer", ask().role(Role::Customer), own()));
        }
        if secured(operation, "internal") {
            refusals.push(("without the secret", ask().without(INTERNAL_SECRET_HEADER), own()));
        }
        if self.takes_if_match(operation) {
            refusals.push(("without If-Match", ask().without(header::IF_MATCH), own()));
            refusals.push(("with an old If-Match", ask().header("if-match", "\"0-0\""), own()));
        }
        // A stream is not read whole, and reports what is wrong in it.
        if media_type.ends_with("json") && operation["responses"].get("413").is_some() {
            refusals.push(("with a broken body", ask(), "{".into()));
            refusals.push(("with an unknown field", ask(), json!({"no such field": true}).to_string().into()));
            refusals.push(("with too long a body", ask(), " ".repeat(BODY_BYTES_MAX + 1).into()));
        }
        refusals
    }

    fn prepare(&self, method: &str, path: &str, operation: &Value, media_type: &str) -> Ask {
        let ask = Ask::new(&self.router, method.to_uppercase().parse::<Method>().unwrap(), path);
        let ask = if media_type.is_empty() { ask } else { ask.header("content-type", media_type) };
        let ask = if self.takes_if_match(operation) { ask.header("if-match", "*") } else { ask };
        let ask = if secured(operation, "internal") { ask.header("x-internal-secret", INTERNAL_SECRET) } else { ask };
        match self.role(operation) {
            Some(role) => ask.role(role),
            None => ask,
        }
    }

    #[track_caller]
    fn holds(&self, method: &str, path: &str, answer: &Answered) {
        let (template, operation) = self.operation(method, path);
        let what = format!("{method} {template} {}", answer.status.as_u16());
        let part = |part| resolve(&self.document, part).unwrap_or_else(|wrong| panic!("{what}: {wrong}"));
        let response = part(&operation["responses"][answer.status.as_str()]);
        assert!(response.is_object(), "{what} is not described: {}", answer.text());
        for name in response["headers"].as_object().into_iter().flatten().map(|(name, _)| name) {
            assert!(answer.headers.contains_key(name.as_str()), "{what}: no {name}");
        }
        if answer.status == StatusCode::NO_CONTENT || answer.status == StatusCode::NOT_MODIFIED {
            return;
        }
        let media_type = answer.header(header::CONTENT_TYPE);
        let schema = &response["content"][media_type]["schema"];
        assert!(schema.is_object(), "{what}: {media_type} is not described");
        if media_type.ends_with("json") {
            let wrong = check(&self.document, schema, &answer.json(), "");
            wrong.unwrap_or_else(|wrong| panic!("{what}: {wrong} in {}", answer.text()));
        }
    }

    /// The operation that a path means: of several templates the one with the most literal segments.
    #[track_caller]
    fn operation(&self, method: &str, path: &str) -> (&str, &Value) {
        let path = path.split('?').next().unwrap_or_default();
        let fitting = self.operations().filter(|(template, of, _)| *of == method && fits(template, path));
        let best = fitting.min_by_key(|(template, ..)| template.matches('{').count());
        let (template, _, operation) = best.unwrap_or_else(|| panic!("{method} {path} is not described"));
        (template, operation)
    }

    fn operations(&self) -> impl Iterator<Item = (&str, &str, &Value)> {
        let paths = self.document["paths"].as_object().into_iter().flatten();
        paths.flat_map(|(path, item)| {
            let operations = METHODS.into_iter().filter_map(|method| Some((method, item.get(method)?)));
            operations.map(|(method, operation)| (path.as_str(), method, operation))
        })
    }

    fn parameters<'a>(&'a self, operation: &'a Value, place: &str) -> impl Iterator<Item = &'a Value> {
        let parameters = operation["parameters"].as_array().into_iter().flatten();
        let resolved = parameters.map(|one| resolve(&self.document, one).unwrap_or(&Value::Null));
        resolved.filter(move |parameter| parameter["in"] == place)
    }

    fn path_parameters<'a>(&'a self, operation: &'a Value) -> BTreeSet<&'a str> {
        self.parameters(operation, "path").filter_map(|parameter| parameter["name"].as_str()).collect()
    }

    fn takes_if_match(&self, operation: &Value) -> bool {
        self.parameters(operation, "header").any(|one| one["name"] == "If-Match" && one["required"] == true)
    }

    /// The role that the operation names by its security scheme; a customer's operations are checked by their own tests.
    fn role(&self, operation: &Value) -> Option<Role> {
        let roles = [("staff", Role::Staff), ("admin", Role::Admin)];
        roles.into_iter().find(|(scheme, _)| secured(operation, scheme)).map(|(_, role)| role)
    }
}

fn secured(operation: &Value, scheme: &str) -> bool {
    operation["security"].as_array().into_iter().flatten().any(|one| one.get(scheme).is_some())
}

fn parameters_of(template: &str) -> BTreeSet<&str> {
    template.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect()
}

fn fits(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template.zip(path).all(|(segment, given)| segment.starts_with('{') || segment == given)
}
