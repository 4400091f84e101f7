//! News of parcels: staff has moved one in shipping, and its order follows.

use commerce::{Id, unix_ms};
use service::Error;

use crate::app::App;
use crate::order::Actor;
use crate::peers::shipping::{self, Event};
use crate::state::State;
use crate::store::journal::{self, Move};
use crate::store::orders;

/// As whom shipping knows what orders have told it.
const ORDERS: &str = "orders";
/// The state of a parcel that came back.
const RETURNED: &str = "returned";

/// Moves an order along the way that its parcel has gone, on behalf of who moved that. What it knows already changes
/// nothing, and neither does a parcel of an order that goes nowhere any more.
///
/// One that comes back is a note in the history and an event, and no more: whether money or goods go back is for staff to
/// decide, by a refund.
pub(crate) async fn hear(app: &App, order: Id) -> Result<(), Error> {
    let known = orders::get(&app.database, order)?;
    let Some(parcel) = shipping::find(&app.peers.shipping, order).await? else { return Ok(()) };
    let way: Vec<(State, &Event)> = parcel.events.iter().filter_map(|event| Some((meaning(event)?, event))).collect();
    let returned = parcel.events.iter().find(|event| event.state == RETURNED);
    if returned.is_none() && !way.iter().any(|(to, _)| known.state.can_become(*to)) {
        return Ok(());
    }
    let transaction = app.database.begin().await?;
    let mut order = orders::load(&transaction, order).await?;
    if let Some(tracking) = parcel.tracking_number.filter(|known| order.tracking.as_ref() != Some(known)) {
        orders::set_tracking(&transaction, order.id, &tracking).await?;
    }
    for (to, event) in way {
        if order.state.can_become(to) {
            let step = Move { to, actor: &actor(event), reason: None };
            order = orders::move_to(&transaction, &order, &step, unix_ms()).await?.unwrap_or(order);
        }
    }
    if let Some(event) = returned {
        journal::parcel_returned(&transaction, &order, &actor(event), unix_ms()).await?;
    }
    Ok(transaction.commit().await?)
}

/// Who made this happen.
fn actor(event: &Event) -> Actor {
    if event.actor == ORDERS { Actor::System } else { Actor::Staff(event.actor.clone()) }
}

/// Where an order is once this has happened to its parcel.
fn meaning(event: &Event) -> Option<State> {
    match event.state.as_str() {
        "packed" => Some(State::Packed),
        "handed_over" | "in_transit" => Some(State::Shipped),
        "delivered" => Some(State::Delivered),
        _ => None,
    }
}
