//! Giving money back: what a wish comes to, and where a refund stands. Pure.
//!
//! The price of some units of a line is a share of what the line cost, rounded so that the shares of all its units come
//! to exactly that, in however many refunds they go back.

use std::collections::BTreeMap;

use commerce::{Id, Money, Quantity, Sku};
use serde::{Deserialize, Serialize};
use service::{Error, Violation};

use crate::error::Refusal;
use crate::order::{Actor, Order};
use crate::state::State as OrderState;

/// Longest reason, in bytes; as payments takes it.
pub(crate) const REASON_BYTES_MAX: usize = 255;
/// Most lines of one refund.
const LINES_MAX: usize = 100;

/// Where a refund stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// On its way, or not known yet.
    Pending,
    Succeeded,
    /// The money is still here.
    Failed,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
        }
    }

    /// Whether news of `next` moves the refund; a bank may send back what it had taken.
    pub(crate) fn moves_to(self, next: Self) -> bool {
        match self {
            Self::Pending => next != Self::Pending,
            Self::Succeeded => next == Self::Failed,
            Self::Failed => false,
        }
    }
}

/// Units of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) sku: Sku,
    pub(crate) quantity: Quantity,
}

/// A refund as it is kept.
#[derive(Clone, Debug)]
pub(crate) struct Refund {
    pub(crate) id: Id,
    pub(crate) order: Id,
    pub(crate) state: State,
    pub(crate) part: Part,
    pub(crate) reason: String,
    /// Whether the units go back into stock.
    pub(crate) restock: bool,
    /// Whether the units came back, whatever became of the money since.
    pub(crate) taken_back: bool,
    /// The account that asked for it; what the shop gives back by itself has none.
    pub(crate) account: Option<String>,
    /// Why it failed, for staff.
    pub(crate) failure: Option<String>,
    pub(crate) created_at_ms: i64,
}

impl Refund {
    /// On whose behalf it is given.
    pub(crate) fn actor(&self) -> Actor {
        self.account.clone().map_or(Actor::System, Actor::Staff)
    }

    /// A new one, on its way.
    pub(crate) fn new(order: Id, part: Part, reason: &str, restock: bool, now_ms: i64) -> Self {
        Self {
            id: Id::new(),
            order,
            state: State::Pending,
            part,
            reason: reason.to_owned(),
            restock,
            taken_back: false,
            account: None,
            failure: None,
            created_at_ms: now_ms,
        }
    }
}

/// A part of an order's price.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) amount: Money,
    pub(crate) lines: Vec<Line>,
    /// Whether the delivery is in it.
    pub(crate) shipping: bool,
}

/// What staff wish to give back; all that is left, if they name neither lines nor an amount nor the delivery.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RefundInput {
    #[serde(default)]
    lines: Vec<Line>,
    /// In place of what the lines and the delivery cost.
    amount: Option<Money>,
    #[serde(default)]
    shipping: bool,
    pub(crate) reason: String,
    pub(crate) restock: bool,
}

impl RefundInput {
    /// Says all that is wrong with it, whatever the order is.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let mut wrong = Vec::new();
        if self.lines.len() > LINES_MAX {
            wrong.push(Violation::new("lines", format!("at most {LINES_MAX} lines")));
        }
        if self.amount.is_some_and(|amount| amount.minor() <= 0) {
            wrong.push(Violation::new("amount", "more than nothing"));
        }
        wrong.extend(check_reason(&self.reason));
        let is_of_units = !self.lines.is_empty() || (self.amount.is_none() && !self.shipping);
        if self.restock && !is_of_units {
            wrong.push(Violation::new("restock", "needs lines"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(Error::Invalid(wrong)) }
    }

    /// What it comes to, beside the refunds that the order had before.
    pub(crate) fn part_of(&self, order: &Order, before: &[Refund]) -> Result<Part, Error> {
        let mut left = Left::of(order, before);
        // The units of an order that was called off are back already.
        if matches!(order.state, OrderState::Cancelled | OrderState::Failed) {
            left.units.clear();
        }
        let refundable = order.refundable();
        let is_whole = self.lines.is_empty() && self.amount.is_none() && !self.shipping;
        let (lines, shipping) = match is_whole {
            true => (left.lines(), left.shipping),
            false => (merged(&self.lines)?, self.shipping),
        };
        let cost = match is_whole {
            true => refundable,
            false => left.cost(order, &lines, shipping)?,
        };
        let currency = order.total().currency();
        let amount = match self.amount {
            Some(amount) if amount.currency() != currency => {
                return Err(Error::invalid("amount.currency", format!("in {}, as the order is", currency.code())));
            }
            Some(amount) => amount.minor(),
            None => cost,
        };
        if amount > refundable || amount == 0 {
            return Err(Refusal::RefundExceeds { refundable }.into());
        }
        let amount = Money::from_minor(amount, currency).map_err(|error| Error::invalid("amount", error))?;
        Ok(Part { amount, lines, shipping })
    }
}

/// Says what is wrong with a reason.
pub(crate) fn check_reason(reason: &str) -> Option<Violation> {
    let fits = !reason.trim().is_empty() && reason.len() <= REASON_BYTES_MAX;
    (!fits).then(|| Violation::new("reason", format!("1 to {REASON_BYTES_MAX} bytes")))
}

/// The money that is left of an order that is called off. Its units go back by themselves, whatever the bank says.
pub(crate) fn rest(order: &Order) -> Option<Part> {
    let amount = Money::from_minor(order.refundable(), order.total().currency()).ok()?;
    (amount.minor() > 0).then_some(Part { amount, lines: Vec::new(), shipping: false })
}

/// The units of an order that no refund has taken back or is about to. Of an order that was called off they stay the same,
/// whenever it is asked: a refund that was on its way then takes its units back even if it fails.
pub(crate) fn units_left(order: &Order, before: &[Refund]) -> Vec<Line> {
    Left::of(order, before).lines()
}

/// What of an order has not gone back and is not on its way back.
struct Left {
    /// Units by SKU, in the order's order.
    units: Vec<(Sku, u32)>,
    shipping: bool,
}

impl Left {
    fn of(order: &Order, before: &[Refund]) -> Self {
        let is_given = |refund: &&Refund| refund.state != State::Failed;
        let mut gone: BTreeMap<&Sku, u32> = BTreeMap::new();
        // Units that came back once do not come back again, even if the bank has sent their money back since.
        let counted = before.iter().filter(|refund| is_given(refund) || refund.taken_back);
        for line in counted.flat_map(|refund| &refund.part.lines) {
            *gone.entry(&line.sku).or_default() += line.quantity.get();
        }
        let left = |line: &crate::priced::SoldLine| {
            let gone = gone.get(&line.sku).copied().unwrap_or_default();
            (line.sku.clone(), line.quantity.get().saturating_sub(gone))
        };
        Self {
            units: order.content.priced.lines.iter().map(left).collect(),
            shipping: !before.iter().filter(is_given).any(|refund| refund.part.shipping),
        }
    }

    fn lines(&self) -> Vec<Line> {
        let line =
            |(sku, units): &(Sku, u32)| Some(Line { sku: sku.clone(), quantity: Quantity::try_from(*units).ok()? });
        self.units.iter().filter_map(line).collect()
    }

    /// What these lines and the delivery cost, in minor units.
    fn cost(&self, order: &Order, lines: &[Line], shipping: bool) -> Result<i64, Error> {
        let priced = &order.content.priced;
        let mut cost = 0;
        for line in lines {
            let left = self.units.iter().find(|(sku, _)| *sku == line.sku).map_or(0, |(_, units)| *units);
            let sold = priced.lines.iter().find(|sold| sold.sku == line.sku);
            let sold = sold.filter(|_| line.quantity.get() <= left);
            let sold = sold.ok_or_else(|| Refusal::UnitsExceed { sku: line.sku.as_str().to_owned(), left })?;
            let gone = sold.quantity.get() - left;
            let share = |units| share(sold.gross.minor(), units, sold.quantity.get());
            cost += share(gone + line.quantity.get()) - share(gone);
        }
        match (shipping, self.shipping) {
            (true, false) => Err(Refusal::ShippingRefunded.into()),
            (true, true) => Ok(cost + priced.shipping.gross.minor()),
            (false, _) => Ok(cost),
        }
    }
}

/// What the first `units` of `all` are worth of a price, rounded down.
fn share(price: i64, units: u32, all: u32) -> i64 {
    let share = i128::from(price) * i128::from(units) / i128::from(all.max(1));
    // A part of an i64 is one.
    i64::try_from(share).unwrap_or(price)
}

/// One line per SKU.
fn merged(lines: &[Line]) -> Result<Vec<Line>, Error> {
    let mut units: BTreeMap<&Sku, u32> = BTreeMap::new();
    for line in lines {
        let units = units.entry(&line.sku).or_default();
        *units = units.saturating_add(line.quantity.get());
    }
    let line = |(sku, units): (&Sku, u32)| {
        let quantity = Quantity::try_from(units).map_err(|error| Error::invalid("lines", error))?;
        Ok(Line { sku: sku.clone(), quantity })
    };
    units.into_iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_come_to_the_price(price in 0..1_000_000_i64, cuts in prop::collection::vec(1..20_u32, 1..10)) {
            let all: u32 = cuts.iter().sum();
            let mut gone = 0;
            let mut paid_back = 0;
            for units in cuts {
                let part = share(price, gone + units, all) - share(price, gone, all);
                prop_assert!(part >= 0);
                paid_back += part;
                gone += units;
            }
            prop_assert_eq!(paid_back, price);
        }
    }
}
