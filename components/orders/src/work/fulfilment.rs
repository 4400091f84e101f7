//! What is to be done for an order that is paid: its lines leave the cart, and its parcel goes its way.

use super::{Outcome, outcome};
use crate::app::App;
use crate::order::Order;
use crate::peers::{cart, shipping};
use crate::request::Cart;
use crate::state::State;
use crate::task::Task;

/// Takes what was ordered out of the cart.
pub(super) async fn cart(app: &App, order: &Order, task: &Task) -> Outcome {
    match task.data.as_deref().map(serde_json::from_str::<Cart>) {
        Some(Ok(cart)) => {
            let answer = cart::check_out(&app.peers.cart, &cart, order).await;
            outcome(answer, |()| Outcome::Done("checked_out", None))
        }
        _ => Outcome::Done("unknown", None),
    }
}

/// Has the parcel made.
pub(super) async fn shipment(app: &App, order: &Order) -> Outcome {
    outcome(shipping::make(&app.peers.shipping, order).await, |answer| told(answer, "made"))
}

/// Tells shipping where the parcel is.
pub(super) async fn parcel(app: &App, order: &Order, task: &Task) -> Outcome {
    let state = match State::parse(&task.reference) {
        Some(State::Packed) => "packed",
        Some(State::Shipped) => "handed_over",
        Some(State::Delivered) => "delivered",
        _ => return Outcome::Done("unknown", None),
    };
    let tracking = order.tracking.as_deref();
    let answer = shipping::report(&app.peers.shipping, order.id, state, tracking).await;
    outcome(answer, |answer| told(answer, "told"))
}

/// Has the parcel not sent.
pub(super) async fn recall(app: &App, order: &Order) -> Outcome {
    outcome(shipping::recall(&app.peers.shipping, order.id).await, |answer| told(answer, "recalled"))
}

fn told(answer: Result<(), String>, done: &'static str) -> Outcome {
    match answer {
        Ok(()) => Outcome::Done(done, None),
        Err(refusal) => Outcome::Done("refused", Some(refusal)),
    }
}
