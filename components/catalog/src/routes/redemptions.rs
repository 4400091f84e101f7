//! For orders: coupons that are used, and given back when the order comes to nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::unix_ms;
use service::request::{Segments, parse, read_body};
use service::{Error, answer};

use crate::app::App;
use crate::redemption::{Redemption, RedemptionInput};
use crate::store::redemptions;

type Reply = Result<Response, Error>;

/// `POST /internal/redemptions`: all coupons or none, once for each order.
pub(crate) async fn redeem(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let input: RedemptionInput = parse(&read_body(body).await?)?;
    let wish = Redemption::try_from(input).map_err(Error::Invalid)?;
    shown(&redemptions::redeem(&app.database, wish, unix_ms()).await?)
}

/// `POST /internal/redemptions/{order_id}/release`
pub(crate) async fn release(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(order_id): Segments<String>,
) -> Reply {
    app.access.internal(&headers)?;
    shown(&redemptions::release(&app.database, &order_id).await?)
}

fn shown(redemption: &Redemption) -> Reply {
    Ok(answer::json(serde_json::to_string(redemption)?))
}
