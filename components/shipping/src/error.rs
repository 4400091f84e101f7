//! What only shipping refuses, and the answer to each case.

use axum::http::StatusCode;
use commerce::Problem;
use service::Error;

use crate::shipment::State;
use crate::token::QuoteError;

/// Why something cannot be shipped so.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Refusal {
    #[error(transparent)]
    Quote(#[from] QuoteError),
    #[error("the zone has {0} methods; delete them first")]
    ZoneInUse(u32),
    #[error("the order {0} has another shipment")]
    ShipmentDiffers(String),
    #[error("a shipment that is {from} cannot become {to}")]
    NotThere { from: State, to: State },
    #[error("a shipment has at most {0} events")]
    TooManyEvents(u32),
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let conflict = |kind, title| Problem::new(StatusCode::CONFLICT, kind, title);
        let quote = |kind, title| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, kind, title);
        let problem = match refusal {
            Refusal::Quote(QuoteError::Expired) => quote("quote-expired", "The quote has expired"),
            Refusal::Quote(QuoteError::Altered) => quote("quote-altered", "The quote is not one of ours"),
            Refusal::Quote(QuoteError::Differs) => quote("quote-differs", "The quote is for another parcel"),
            Refusal::ZoneInUse(_) => conflict("zone-in-use", "The zone is in use"),
            Refusal::ShipmentDiffers(_) => conflict("shipment-differs", "The order has another shipment"),
            Refusal::NotThere { from, .. } => {
                let next: Vec<&str> = from.next().iter().map(|state| state.as_str()).collect();
                conflict("shipment-state", "The shipment is not at that point")
                    .member("state", from.as_str())
                    .member("next", next)
            }
            Refusal::TooManyEvents(_) => conflict("shipment-full", "The shipment has too many events"),
        };
        problem.detail(detail).into()
    }
}
