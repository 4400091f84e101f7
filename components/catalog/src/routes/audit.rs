//! For who checks that the books of all services agree.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::Response;
use commerce::Limit;
use serde_json::{Value, json};
use service::request::Pairs;
use service::{Error, answer};

use crate::app::App;
use crate::store::audit::{self, Kept};

type Reply = Result<Response, Error>;

/// `GET /internal/reservations?after=&limit=`: by order, with what came back and whether coupons are used.
pub(crate) async fn reservations(State(app): State<Arc<App>>, headers: HeaderMap, Pairs(pairs): Pairs) -> Reply {
    app.access.internal(&headers)?;
    let (mut after, mut limit) = (String::new(), Limit::MAX);
    for (name, value) in pairs {
        let refuse = |reason: String| Error::Query { name: name.clone(), reason };
        match name.as_str() {
            "after" => after = value,
            "limit" => {
                let rows: u32 = value.parse().map_err(|_| refuse("a number".to_owned()))?;
                limit = Limit::try_from(rows).map_err(refuse)?;
            }
            _ => return Err(refuse("there is no such parameter".to_owned())),
        }
    }
    let kept = audit::reservations(&app.database, &after, limit.get()).await?;
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
