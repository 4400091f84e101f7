//! For the shop's other services: variants as cart and orders need them, stock held for orders, and stock that they give back.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use commerce::unix_ms;
use serde_json::json;
use service::request::{Pairs, Segments, parse, read_body};
use service::tags::changed;
use service::{Error, answer, figures};

use crate::app::App;
use crate::reservation::{Reservation, ReservationInput, State as Stage, Wish};
use crate::restock::{Restock, RestockInput};
use crate::store::reservations::{STOCK_OUTS, Swept};
use crate::store::stock::products_of;
use crate::store::{products, reservations, restocks};
use crate::tags::{CATALOG, stock_changed};

/// SKUs that one request may ask for.
const SKUS_MAX: usize = 200;

type Reply = Result<Response, Error>;

/// `GET /internal/variants?sku=..&sku=..`
pub(crate) async fn variants(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.internal(&headers)?;
    let refuse = |name: &str, reason: &str| Error::Query { name: name.to_owned(), reason: reason.to_owned() };
    if let Some((name, _)) = pairs.iter().find(|(name, _)| name != "sku") {
        return Err(refuse(name, "there is no such parameter"));
    }
    let skus: Vec<String> = pairs.into_iter().map(|(_, sku)| sku).collect();
    if !(1..=SKUS_MAX).contains(&skus.len()) {
        return Err(refuse("sku", &format!("1 to {SKUS_MAX} SKUs")));
    }
    Ok(answer::json(format!(r#"{{"variants":{}}}"#, products::variants(&app.database, &skus)?)))
}

/// `POST /internal/reservations`: all lines or none.
pub(crate) async fn hold(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let input: ReservationInput = parse(&read_body(body).await?)?;
    let wish = Wish::try_from(input).map_err(Error::Invalid)?;
    let now_ms = unix_ms();
    let expires_at_ms = now_ms + i64::from(wish.expires_in_s) * 1000;
    let mut freed = Swept::default();
    let held = reservations::hold(&app.database, &wish.order_id, &wish.lines, now_ms, expires_at_ms, &mut freed).await;
    let mut skus = freed.skus;
    let response = match held {
        Ok(held) => {
            skus.extend(reservations::skus(&held.lines));
            shown(&held)?
        }
        Err(error) => error.into_response(),
    };
    Ok(moved(&app, response, &skus))
}

/// `GET /internal/reservations/{order_id}`
pub(crate) async fn show(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
) -> Reply {
    app.access.internal(&headers)?;
    shown(&reservations::find(&app.database, &order_id).await?)
}

/// `POST /internal/reservations/{order_id}/commit`: the stock is sold, of which nothing is seen that was held before.
pub(crate) async fn commit(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
) -> Reply {
    app.access.internal(&headers)?;
    shown(&reservations::end(&app.database, &order_id, Stage::Committed).await?)
}

/// `POST /internal/reservations/{order_id}/release`: the stock is free again.
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
) -> Reply {
    app.access.internal(&headers)?;
    let released = reservations::end(&app.database, &order_id, Stage::Released).await?;
    let skus: Vec<String> = reservations::skus(&released.lines).collect();
    Ok(moved(&app, shown(&released)?, &skus))
}

/// `POST /internal/reservations/sweep`: ends those whose time is up.
pub(crate) async fn sweep(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let mut freed = Swept::default();
    figures::expect([STOCK_OUTS]);
    match reservations::sweep(&app.database, unix_ms(), &mut freed).await {
        Ok(expired) => Ok(moved(&app, answer::json(json!({ "expired": expired }).to_string()), &freed.skus)),
        // It may have ended some, of which not all are known.
        Err(error) => Ok(changed(error.into_response(), &[CATALOG])),
    }
}

/// `POST /internal/restocks`: units of a sold order are in stock again, once for each restock.
pub(crate) async fn restock(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let input: RestockInput = parse(&read_body(body).await?)?;
    let restock = Restock::try_from(input).map_err(Error::Invalid)?;
    restocks::make(&app.database, &restock, unix_ms()).await?;
    let skus: Vec<String> = reservations::skus(&restock.lines).collect();
    Ok(moved(&app, answer::json(serde_json::to_string(&restock)?), &skus))
}

/// An answer after which there are more or fewer units of these SKUs.
fn moved(app: &App, response: Response, skus: &[String]) -> Response {
    if skus.is_empty() {
        return response;
    }
    match products_of(&app.database, skus) {
        Ok(products) => stock_changed(response, &products),
        // Which they are is not known now, but that it has happened.
        Err(_) => changed(response, &[CATALOG]),
    }
}

fn shown(reservation: &Reservation) -> Reply {
    Ok(answer::json(serde_json::to_string(reservation)?))
}
