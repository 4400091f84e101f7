//! An order on its way to the door: packed, shipped, delivered. Shipping is told of each.

use commerce::{Precondition, unix_ms};
use serde::Deserialize;
use service::{Error, Violation};

use crate::app::App;
use crate::checkout::LIVE_MS_MAX;
use crate::error::Refusal;
use crate::order::{Actor, Order};
use crate::refund::check_reason;
use crate::state::State;
use crate::store::journal::Move;
use crate::store::{orders, tasks};
use crate::task::Kind;
use crate::work;

/// Longest number by which a carrier knows a parcel, in characters; as shipping takes it.
const TRACKING_CHARS_MAX: usize = 64;

/// Where staff moves an order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TransitionInput {
    to: State,
    reason: Option<String>,
    tracking: Option<String>,
}

impl TransitionInput {
    /// Says all that is wrong with it, whatever the order is.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if !matches!(self.to, State::Packed | State::Shipped | State::Delivered) {
            wrong.push(Violation::new("to", "packed, shipped or delivered"));
        }
        wrong.extend(self.reason.as_deref().and_then(check_reason));
        if let Some(tracking) = &self.tracking {
            let fits = !tracking.trim().is_empty() && tracking.chars().count() <= TRACKING_CHARS_MAX;
            if self.to != State::Shipped || !fits || tracking.contains(char::is_control) {
                let rule = format!("1 to {TRACKING_CHARS_MAX} characters in one line, when it is shipped");
                wrong.push(Violation::new("tracking", rule));
            }
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
    }
}

/// Moves an order. Moving it to where it is changes nothing.
pub(crate) async fn make(
    app: &App,
    seen: &Order,
    staff: &str,
    precondition: &Precondition,
    input: &TransitionInput,
) -> Result<Order, Error> {
    let now_ms = unix_ms();
    let transaction = app.database.begin().await?;
    let order = orders::load(&transaction, seen.id).await?;
    if order.state == input.to {
        return Ok(order);
    }
    precondition.check(order.version)?;
    if !order.state.can_become(input.to) {
        return Err(Refusal::NotThere { from: order.state, to: input.to }.into());
    }
    if let Some(tracking) = &input.tracking {
        orders::set_tracking(&transaction, order.id, tracking).await?;
    }
    let actor = Actor::Staff(staff.to_owned());
    let step = Move { to: input.to, actor: &actor, reason: input.reason.as_deref() };
    orders::move_to(&transaction, &order, &step, now_ms).await?;
    let told = tasks::open(&transaction, order.id, Kind::Parcel, input.to.as_str(), None, now_ms).await?;
    transaction.commit().await?;

    work::run(app, told.into_iter().collect(), now_ms + LIVE_MS_MAX).await;
    orders::get(&app.database, order.id)
}
