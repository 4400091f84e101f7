//! Intents and their refunds. A known outcome answers 200, whatever it is; 202 says that it is not known yet.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use commerce::{Id, unix_ms};
use identity::IdentityError;
use serde_json::{Value, json};
use service::request::{Segments, read_body};
use service::{Error, answer, cards, figures};

use crate::app::App;
use crate::intent::{Intent, State as IntentState};
use crate::owner::Caller;
use crate::refund;
use crate::store::intents::{Key, get};
use crate::store::{journal, refunds as store};
use crate::wish::{Charge, ChargeInput, RefundInput, Repayment, TOKEN_PLACES};
use crate::{charges, refunds, sweep as sweeping, view};

type Reply = Result<Response, Error>;

/// `POST /internal/intents`: holds the money of an order.
pub(crate) async fn authorize(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let input: ChargeInput = cards::parse_with_tokens(&read_body(body).await?, &TOKEN_PLACES)?;
    let charge = Charge::try_from(input).map_err(Error::Invalid)?;
    let intent = charges::authorize(&app, &charge).await?;
    counts(&intent).iter().for_each(|counter| figures::count(*counter, 1));
    outcome(&app, &intent)
}

/// `GET /internal/intents/{order_id}`
pub(crate) async fn show(State(app): State<Arc<App>>, headers: HeaderMap, order_id: OrderId) -> Reply {
    app.access.internal(&headers)?;
    Ok(answer::json(shown(&app, &get(&app.database, Key::Order(parse(&order_id)?))?)?.to_string()))
}

/// `POST /internal/intents/{order_id}/capture`
pub(crate) async fn capture(State(app): State<Arc<App>>, headers: HeaderMap, order_id: OrderId) -> Reply {
    app.access.internal(&headers)?;
    outcome(&app, &charges::capture(&app, parse(&order_id)?).await?)
}

/// `POST /internal/intents/{order_id}/void`
pub(crate) async fn void(State(app): State<Arc<App>>, headers: HeaderMap, order_id: OrderId) -> Reply {
    app.access.internal(&headers)?;
    outcome(&app, &charges::void(&app, parse(&order_id)?).await?)
}

/// `POST /internal/intents/{order_id}/refunds`
pub(crate) async fn refund(State(app): State<Arc<App>>, headers: HeaderMap, order_id: OrderId, body: Body) -> Reply {
    app.access.internal(&headers)?;
    let order_id = parse(&order_id)?;
    let input: RefundInput = cards::parse(&read_body(body).await?)?;
    let wish = Repayment::try_from(input).map_err(Error::Invalid)?;
    let refund = refunds::refund(&app, order_id, &wish).await?;
    Ok(with_status(refund.state == refund::State::Pending, &view::refund(&refund)))
}

/// `POST /internal/intents/sweep`
pub(crate) async fn sweep(State(app): State<Arc<App>>, headers: HeaderMap) -> Reply {
    app.access.internal(&headers)?;
    let swept = sweeping::sweep(&app).await?;
    sweeping::say_what_waits(&app)?;
    figures::expect(["payments_total", "payments_declined_total", "payments_failed_total"]);
    Ok(answer::json(serde_json::to_string(&swept)?))
}

/// `POST /api/payments/intents/{order_id}/confirm`: the shopper did what was required. They see how the payment stands, and
/// no more.
pub(crate) async fn confirm(State(app): State<Arc<App>>, headers: HeaderMap, order_id: OrderId) -> Reply {
    let caller = Caller::from_headers(&app.access, &headers).await?;
    let seen = parse(&order_id).and_then(|id| get(&app.database, Key::Order(id)));
    let seen = match seen {
        Ok(intent) if caller.owns(&intent, unix_ms()) => intent,
        // Who shows nothing does not learn which orders there are.
        Ok(_) | Err(Error::NotFound { .. }) if caller.is_nobody() => return Err(IdentityError::Missing.into()),
        Ok(_) => return Err(Error::NotFound { what: "intent", key: order_id.0 }),
        Err(error) => return Err(error),
    };
    let intent = charges::confirm(&app, seen.order_id).await?;
    Ok(with_status(intent.is_pending(), &view::shopper(&intent)))
}

/// `GET /api/payments/intents/{id}`: with all that happened.
pub(crate) async fn show_to_staff(State(app): State<Arc<App>>, headers: HeaderMap, id: OrderId) -> Reply {
    app.access.staff(&headers).await?;
    let intent = get(&app.database, Key::Id(parse(&id)?))?;
    let mut shown = shown(&app, &intent)?;
    view::merge(&mut shown, json!({"history": journal::history(&app.database, intent.id)?}));
    Ok(answer::json(shown.to_string()))
}

type OrderId = Segments<String>;

/// What is no id is the id of nothing.
fn parse(Segments(id): &Segments<String>) -> Result<Id, Error> {
    id.parse().map_err(|_| Error::NotFound { what: "intent", key: id.clone() })
}

fn shown(app: &App, intent: &Intent) -> Result<Value, Error> {
    Ok(view::intent(intent, &store::list(&app.database, intent)?))
}

fn counts(intent: &Intent) -> &'static [&'static str] {
    match intent.state {
        IntentState::Declined => &["payments_total", "payments_declined_total"],
        IntentState::Failed => &["payments_total", "payments_failed_total"],
        _ => &["payments_total"],
    }
}

fn outcome(app: &App, intent: &Intent) -> Reply {
    Ok(with_status(intent.is_pending(), &shown(app, intent)?))
}

fn with_status(is_pending: bool, body: &Value) -> Response {
    let status = if is_pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    (status, answer::json(body.to_string())).into_response()
}
