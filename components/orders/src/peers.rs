//! The services that orders asks, one file each: what is asked, and what the answers mean. Every call has its effect
//! once for an order, however often it is made.

pub(crate) mod cart;
pub(crate) mod catalog;
pub(crate) mod payments;
pub(crate) mod shipping;

use axum::http::StatusCode;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use service::outbox::{Audit, Range};
use service::{Peer, PeerError, Reply};

use crate::failure::Failure;
use crate::saga::Event;

/// The services that orders asks.
pub(crate) struct Peers {
    pub(crate) catalog: Peer,
    /// The catalog again, for what it sells.
    pub(crate) offers: catalog_client::Catalog,
    pub(crate) cart: Peer,
    pub(crate) payments: Peer,
    pub(crate) shipping: Peer,
}

/// What came of a step of the checkout.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) event: Event,
    /// Why the checkout ends with it.
    pub(crate) failure: Option<Failure>,
    /// What the shopper has to do.
    pub(crate) next_action: Option<Value>,
    /// For the journal.
    pub(crate) note: Option<String>,
}

impl Report {
    pub(crate) fn of(event: Event) -> Self {
        Self { event, failure: None, next_action: None, note: None }
    }

    pub(crate) fn failed(event: Event, failure: Failure) -> Self {
        Self { failure: Some(failure), ..Self::of(event) }
    }

    /// The outcome is not known.
    pub(crate) fn open(note: impl ToString) -> Self {
        Self { note: Some(note.to_string()), ..Self::of(Event::Open) }
    }
}

/// The path of a page of what a service keeps by order: so many after this one.
fn page(path: &str, after: &str, limit: u32) -> String {
    format!("{path}?after={}&limit={limit}", utf8_percent_encode(after, NON_ALPHANUMERIC))
}

/// Whether the events of a service about these orders agree with its books. A revision from before there was such an audit
/// cannot tell.
pub(crate) async fn audit_outbox(peer: &Peer, range: &Range) -> Result<Option<Audit>, PeerError> {
    let bound =
        |bound: &Option<String>| bound.as_deref().map(|text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string());
    let parameters = [("after", bound(&range.after)), ("through", bound(&range.through))];
    let parameters = parameters.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value?)));
    let query = parameters.collect::<Vec<_>>().join("&");
    let reply = peer.get(&format!("/internal/outbox/audit?{query}")).await?;
    match reply.status {
        StatusCode::NOT_FOUND => Ok(None),
        _ => reply.expect().map(Some),
    }
}

/// A member of a JSON answer; null if there is none.
fn member(reply: &Reply, name: &str) -> Value {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    body.get(name).cloned().unwrap_or_default()
}
