//! Quotes: made for everyone, checked for orders.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::{Money, rfc3339, unix_ms};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use service::request::{parse, read_body};
use service::{Error, answer};

use crate::app::App;
use crate::calendar::Delivery;
use crate::destination::Destination;
use crate::error::Refusal;
use crate::parcel::Parcel;
use crate::quote::promises;
use crate::store::documents;
use crate::token::{Promise, QuoteError};
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
    let promises = promised(&app, &wish.destination, &parcel, unix_ms()).await?;
    let quotes: Result<Vec<Quote<'_>>, Error> = promises.iter().map(|promise| signed(&app, promise)).collect();
    Ok(answer::json(json!({"quotes": serde_json::to_value(quotes?)?}).to_string()))
}

/// `POST /internal/quotes/verify`: what a token promises for this parcel. For another parcel to the same place, what its
/// method asks now comes with the refusal.
pub(crate) async fn verify(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let claim: Claim = parse(&read_body(body).await?)?;
    let now_ms = unix_ms();
    match app.settings.signer.verify(&claim.token, &claim.destination, &claim.parcel, now_ms) {
        Ok(promise) => Ok(answer::json(serde_json::to_string(&Shown::from(&promise))?)),
        Err(QuoteError::Differs) => {
            let renewed = renewed(&app, &claim, now_ms).await?;
            let refusal = Error::from(Refusal::from(QuoteError::Differs)).into_problem();
            Err(refusal.member("renewed", renewed).into())
        }
        Err(error) => Err(Refusal::from(error).into()),
    }
}

/// The quote of the method that a token was for, for the parcel of the claim; null if there is none.
async fn renewed(app: &App, claim: &Claim, now_ms: i64) -> Result<Value, Error> {
    let earlier = app.settings.signer.recall(&claim.token, &claim.destination);
    let (Some(earlier), Ok(parcel)) = (earlier, claim.parcel.checked(app.settings.currency)) else {
        return Ok(Value::Null);
    };
    let promises = promised(app, &claim.destination, &parcel, now_ms).await?;
    match promises.iter().find(|promise| promise.method == earlier.method) {
        Some(promise) => Ok(serde_json::to_value(signed(app, promise)?)?),
        None => Ok(Value::Null),
    }
}

/// What each method promises for the parcel.
async fn promised(app: &App, destination: &Destination, parcel: &Parcel, now_ms: i64) -> Result<Vec<Promise>, Error> {
    let areas = documents::areas(&app.database, destination.country.as_str()).await?;
    let methods = match zone_of(&areas, destination) {
        Some(zone) => documents::methods(&app.database, zone).await?,
        None => Vec::new(),
    };
    let expires_at_ms = now_ms + i64::from(app.settings.quote_ttl_s) * 1000;
    Ok(promises(methods, destination, parcel, now_ms, expires_at_ms))
}

fn signed<'a>(app: &App, promise: &'a Promise) -> Result<Quote<'a>, Error> {
    let token = app.settings.signer.sign(promise)?;
    Ok(Quote { shown: promise.into(), expires_at: rfc3339(promise.expires_at_ms), token })
}
