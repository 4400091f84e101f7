//! The other services, as far as orders sees them: a catalog, a cart, payments with its test provider, and shipping, each
//! keeping its word as the real one does. What they keep is in memory, so that tests can look at it.

mod carts;
mod catalog;
mod payments;
mod shipping;

use std::sync::{Arc, Mutex, MutexGuard};

use axum::body::Bytes;
use axum::http::{HeaderValue, Request, Response, StatusCode};
use serde_json::{Value, json};
use service::{Transport, outbox};

use super::faults::{Fault, Faults};

pub(super) use carts::{Cart, Carts};
pub(super) use catalog::{Catalog, Reservation, Variant};
pub(super) use payments::{Intent, Payments};
pub(super) use shipping::{Shipping, quote};

/// All that the other services keep.
#[derive(Default)]
pub(super) struct Books {
    pub(super) catalog: Catalog,
    pub(super) carts: Carts,
    pub(super) payments: Payments,
    pub(super) shipping: Shipping,
    /// Method, service and path of every call that reached its service.
    pub(super) calls: Vec<String>,
    /// Calls that are still on their way.
    late: Vec<(String, Request<Bytes>)>,
}

/// The other services.
#[derive(Clone, Default)]
pub(super) struct World {
    books: Arc<Mutex<Books>>,
    pub(super) faults: Faults,
}

/// A status and a JSON body.
pub(super) type Answer = (u16, Value);

impl World {
    pub(super) fn books(&self) -> MutexGuard<'_, Books> {
        // A test that failed while it held the books has said so.
        self.books.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The way to them, with accidents.
    pub(super) fn transport(&self) -> Transport {
        let world = self.clone();
        Arc::new(move |request| {
            let world = world.clone();
            Box::pin(async move {
                let name = format!("{} {}", request.method(), request.uri());
                let name = name.replace("http://", "").replace(".spin.internal", "");
                match world.faults.take(&name) {
                    Fault::DeathBefore => std::future::pending().await,
                    Fault::LostRequest => Err("the connection was refused".to_owned()),
                    Fault::Late => {
                        world.books().late.push((name, request));
                        std::future::pending().await
                    }
                    Fault::Fails => Ok(response((500, json!({"type": "urn:bodega:problem:internal"})))),
                    Fault::NoRoute => Ok(response(problem(404, "not-found", json!({})))),
                    fault => {
                        if fault == Fault::SlowRequest {
                            turn().await;
                        }
                        let answer = world.books().answer(&name, &request);
                        if fault == Fault::SlowAnswer {
                            turn().await;
                        }
                        match fault {
                            Fault::DeathAfter => std::future::pending().await,
                            Fault::LostAnswer => Err("the connection broke off".to_owned()),
                            _ => Ok(response(answer)),
                        }
                    }
                }
            })
        })
    }
}

impl Books {
    /// What was on its way arrives.
    pub(super) fn late_calls_arrive(&mut self) {
        for (name, request) in std::mem::take(&mut self.late) {
            self.answer(&name, &request);
        }
    }

    fn answer(&mut self, name: &str, request: &Request<Bytes>) -> Answer {
        self.calls.push(name.to_owned());
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let (method, rest) = name.split_once(' ').unwrap();
        let (service, path) = rest.split_once('/').unwrap();
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let path: Vec<&str> = path.split('/').collect();
        let answer = match service {
            "catalog" => self.catalog.answer(method, &path, query, &body),
            "cart" => self.carts.answer(&path, &body),
            "payments" => self.payments.answer(method, &path, query, &body),
            "shipping" => self.shipping.answer(&path, &body),
            _ => None,
        };
        answer.unwrap_or_else(|| panic!("nobody answers {name}"))
    }
}

/// A page of what is keyed by order: after which, and how many.
fn page(query: &str) -> (String, usize) {
    let value = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)).map(str::to_owned);
    let after = value("after=").unwrap_or_default();
    let after = percent_encoding::percent_decode_str(&after).decode_utf8().unwrap().into_owned();
    (after, value("limit=").map_or(100, |limit| limit.parse().unwrap()))
}

/// Events that do not agree with what happened, of which a service names the first.
fn breaches(events: &[Value]) -> Answer {
    let named = events.len().min(outbox::BREACHES_MAX as usize);
    (200, json!({"total": events.len(), "breaches": events[..named]}))
}

fn problem(status: u16, kind: &str, members: Value) -> Answer {
    let mut problem = json!({"type": format!("urn:bodega:problem:{kind}"), "title": kind, "status": status});
    problem.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    (status, problem)
}

fn response((status, body): Answer) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(body.to_string()));
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    // The rules of the shop never change while a test runs, and are sent each time.
    response.headers_mut().insert("etag", HeaderValue::from_static("\"1\""));
    response
}

/// Lets others go first, once.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return std::task::Poll::Ready(());
        }
        context.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
