//! Quotes: made for everyone, checked for orders.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::{Money, rfc3339, unix_ms};
use serde::{Deserialize, Serialize};
use serde_json::json;
use service::request::{parse, read_body};
use service::{Error, answer};

use crate::app::App;
use crate::calendar::Delivery;
use crate::destination::Destination;
use crate::error::Refusal;
use crate::quote::{Parcel, promises};
use crate::store::documents;
use crate::token::Promise;
use crate::zone::zone_of;

type Reply = Result<Response, Error>;

/// What is to go where.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    destination: Destination,
    parcel: Parcel,
}

/// A token, and what it is to be good for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Claim {
    token: String,
    destination: Destination,
    parcel: Parcel,
}

/// What a promise says to the client.
#[derive(Serialize)]
struct Shown<'a> {
    method: commerce::Id,
    name: &'a str,
    price: Money,
    tax_class: &'a str,
    delivery: &'a Delivery,
}

impl<'a> From<&'a Promise> for Shown<'a> {
    fn from(promise: &'a Promise) -> Self {
        Self {
            method: promise.method,
            name: &promise.name,
            price: promise.price,
            tax_class: &promise.tax_class,
            delivery: &promise.delivery,
        }
    }
}

/// A quote: the promise, and the token that it can be held to.
#[derive(Serialize)]
struct Quote<'a> {
    #[serde(flatten)]
    shown: Shown<'a>,
    expires_at: String,
    token: String,
}

/// `POST /api/shipping/quotes`: what each method asks for the parcel; none, where the shop sends nothing.
pub(crate) async fn quote(State(app): State<Arc<App>>, body: Body) -> Reply {
    let wish: Wish = parse(&read_body(body).await?)?;
    let parcel = wish.parcel.checked(app.settings.currency).map_err(Error::Invalid)?;
    let areas = documents::areas(&app.database, wish.destination.country.as_str()).await?;
    let methods = match zone_of(&areas, &wish.destination) {
        Some(zone) => documents::methods(&app.database, zone).await?,
        None => Vec::new(),
    };
    let now_ms = unix_ms();
    let expires_at_ms = now_ms + i64::from(app.settings.quote_ttl_s) * 1000;
    let promises = promises(methods, &wish.destination, &parcel, now_ms, expires_at_ms);
    let quote = |promise| {
        let token = app.settings.signer.sign(promise)?;
        Ok(Quote { shown: promise.into(), expires_at: rfc3339(promise.expires_at_ms), token })
    };
    let quotes: Result<Vec<Quote<'_>>, Error> = promises.iter().map(quote).collect();
    Ok(answer::json(json!({"quotes": serde_json::to_value(quotes?)?}).to_string()))
}

/// `POST /internal/quotes/verify`: what a token promises for this parcel.
pub(crate) async fn verify(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let claim: Claim = parse(&read_body(body).await?)?;
    let verified = app.settings.signer.verify(&claim.token, &claim.destination, &claim.parcel, unix_ms());
    let promise = verified.map_err(Refusal::from)?;
    Ok(answer::json(serde_json::to_string(&Shown::from(&promise))?))
}
