//! An order as it is kept: what was sold to whom, and where it stands. Pure.

use commerce::{Id, Money};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::address::Address;
use crate::failure::Failure;
use crate::number::Number;
use crate::priced::Priced;
use crate::saga::{Saga, Step};
use crate::state::State;

/// What was sold to whom. It never changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Content {
    #[serde(flatten)]
    pub(crate) priced: Priced,
    pub(crate) shipping_address: Address,
    pub(crate) billing_address: Option<Address>,
    pub(crate) note: Option<String>,
}

/// An order as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Order {
    pub(crate) id: Id,
    pub(crate) number: Number,
    /// The account; a guest has none.
    pub(crate) customer: Option<String>,
    /// In lower case.
    pub(crate) email: Option<String>,
    /// The digest of the token by which a guest sees it.
    pub(crate) token_digest: Option<String>,
    /// Tells the request that placed it from another one with the same key.
    pub(crate) fingerprint: String,
    pub(crate) state: State,
    /// Where the checkout stands, while the order is pending.
    pub(crate) step: Option<Step>,
    /// Counts what its owner can see changing.
    pub(crate) version: i64,
    pub(crate) content: Content,
    /// Minor units that went back, and that are on their way back.
    pub(crate) refunded: i64,
    pub(crate) refund_pending: i64,
    /// What the shopper has to do before the money is held, as payments told it.
    pub(crate) next_action: Option<Value>,
    pub(crate) failure: Option<Failure>,
    pub(crate) tracking: Option<String>,
    pub(crate) created_at_ms: i64,
    /// When it was paid, and its version then.
    pub(crate) paid: Option<(i64, i64)>,
    pub(crate) updated_at_ms: i64,
}

impl Order {
    pub(crate) fn total(&self) -> Money {
        self.content.priced.totals.total
    }

    /// The checkout, while it goes on.
    pub(crate) fn saga(&self) -> Option<Saga> {
        self.step.map(|step| self.saga_at(step))
    }

    /// The checkout as it is, or was, at a step.
    pub(crate) fn saga_at(&self, step: Step) -> Saga {
        let has_coupons = !self.content.priced.coupons.is_empty();
        Saga { step, has_coupons, has_payment: self.total().minor() > 0 }
    }

    /// Minor units that may still be given back. That they were taken is for payments to know.
    pub(crate) fn refundable(&self) -> i64 {
        match self.state {
            State::Pending => 0,
            _ => self.total().minor() - self.refunded - self.refund_pending,
        }
    }

    /// The entity tag.
    pub(crate) fn etag(&self) -> String {
        format!("\"{}-0\"", self.version)
    }

    /// The order as it was when it had just been paid, which is what a checkout answers, however late it is repeated.
    pub(crate) fn as_paid(&self) -> Self {
        let (updated_at_ms, version) = self.paid.unwrap_or((self.updated_at_ms, self.version));
        Self {
            state: State::Paid,
            version,
            refunded: 0,
            refund_pending: 0,
            tracking: None,
            updated_at_ms,
            ..self.clone()
        }
    }
}

/// On whose behalf something is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Actor {
    /// The account's owner.
    Customer(String),
    /// Who has the order's token.
    Guest,
    /// The account of somebody who runs the shop.
    Staff(String),
    /// Nobody: a payment that came, a time that was up.
    System,
}

impl Actor {
    pub(crate) fn role(&self) -> &'static str {
        match self {
            Self::Customer(_) => "customer",
            Self::Guest => "guest",
            Self::Staff(_) => "staff",
            Self::System => "system",
        }
    }

    pub(crate) fn account(&self) -> Option<&str> {
        match self {
            Self::Customer(account) | Self::Staff(account) => Some(account),
            Self::Guest | Self::System => None,
        }
    }
}
