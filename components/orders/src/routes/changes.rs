//! Changing orders: calling them off, giving money back, sending them on their way.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use commerce::Precondition;
use serde::Deserialize;
use service::Error;
use service::cards;
use service::idempotency::Attempt;
use service::request::{Segments, read_body};

use super::{Reply, shown, tagged};
use crate::access::Caller;
use crate::app::App;
use crate::refund::{self, RefundInput, check_reason};
use crate::transitions::{self, TransitionInput};
use crate::{cancelling, refunding, view};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cancellation {
    reason: String,
}

/// `POST /api/orders/{id}/cancel`
pub(crate) async fn cancel(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(key): Segments<String>,
    body: Body,
) -> Reply {
    let caller = Caller::from_headers(&app.access, &headers).await?;
    let order = caller.find(&app, &key)?;
    let precondition = Precondition::from_headers(&headers)?;
    let Cancellation { reason } = cards::parse(&read_body(body).await?)?;
    if let Some(violation) = check_reason(&reason) {
        return Err(Error::Invalid(vec![violation]));
    }
    shown(&app, &cancelling::cancel(&app, &caller, &order, &precondition, &reason).await?)
}

/// `POST /api/orders/{id}/transitions`
pub(crate) async fn transition(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(key): Segments<String>,
    body: Body,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let order = Caller::from_headers(&app.access, &headers).await?.find(&app, &key)?;
    let precondition = Precondition::from_headers(&headers)?;
    let input: TransitionInput = cards::parse(&read_body(body).await?)?;
    input.check()?;
    shown(&app, &transitions::make(&app, &order, staff.subject(), &precondition, &input).await?)
}

/// `POST /api/orders/{id}/refunds`: 201 with what came of it, 202 while that is not known.
pub(crate) async fn refund(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Segments(key): Segments<String>,
    body: Body,
) -> Reply {
    let staff = app.access.staff(&headers).await?;
    let order = Caller::from_headers(&app.access, &headers).await?.find(&app, &key)?;
    let body = read_body(body).await?;
    // What a unit is called by may well be an article number of as many digits as a card's.
    let input: RefundInput = cards::parse_with_names(&body, "lines", "sku")?;
    input.check()?;
    let target = format!("POST /api/orders/{}/refunds", order.id);
    let attempt = Attempt::new(&headers, staff.subject(), &target, &body)?;
    // A repeated request has the entity tag of before the first one.
    let precondition = Precondition::from_headers(&headers).map_err(Error::from);
    let (refund, order) = refunding::refund(&app, &order, staff.subject(), &attempt, precondition, &input).await?;
    let status = match refund.state {
        refund::State::Pending => StatusCode::ACCEPTED,
        _ => StatusCode::CREATED,
    };
    Ok(tagged(status, &order, view::refund(&refund).to_string()))
}
