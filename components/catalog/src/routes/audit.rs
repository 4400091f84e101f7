//! For who checks that the books of all services agree.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use serde_json::{Value, json};
use service::request::{Pairs, page};
use service::{Error, answer};

use crate::app::App;
use crate::store::audit::{self, Kept};

type Reply = Result<Response, Error>;

/// `GET /internal/reservations?after=&limit=`: by order, with what came back and whether coupons are used.
pub(crate) async fn reservations(State(app): State<Arc<App>>, headers: HeaderMap, pairs: Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (after, limit) = page(pairs, Ok)?;
    let kept = audit::reservations(&app.database, &after.unwrap_or_default(), limit.get()).await?;
    let items: Vec<Value> = kept.iter().map(shown).collect::<Result<_, Error>>()?;
    Ok(answer::json(json!({"items": items}).to_string()))
}

/// `GET /internal/stock/audit`: the first variants whose counts do not add up, and how many there are.
pub(crate) async fn stock(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let variants = audit::variants(&app.database).await?;
    let wrong = audit::wrong_counts(&app.database).await?;
    let shown = json!({"variants": variants, "wrong_total": wrong.total, "wrong": wrong.first});
    Ok(answer::json(shown.to_string()))
}

fn shown(kept: &Kept) -> Result<Value, Error> {
    let mut shown = serde_json::to_value(&kept.reservation)?;
    shown["restocked"] = serde_json::to_value(&kept.restocked)?;
    shown["redemption"] = json!(kept.redemption);
    Ok(shown)
}
