//! A cart as it is kept: what is wanted, and what has to be remembered so that nothing is done twice.

use catalog_client::Wish;
use commerce::{Money, QUANTITY_MAX, Quantity, Sku};
use pricing_client::{COUPONS_MAX, Destination};
use serde::{Deserialize, Serialize};
use service::Error;

use crate::attempt::Attempt;
use crate::error::Refusal;
use crate::recent::Recent;

/// Most lines of a cart.
pub(crate) const LINES_MAX: usize = 100;
/// How long a cart is kept after it was last written, in milliseconds. Where the host lets entries expire, its
/// `ttl_seconds` is the same.
pub(crate) const TTL_MS: i64 = 30 * 24 * 60 * 60 * 1000;
/// Writes with an idempotency key that a cart remembers.
pub(crate) const ATTEMPTS_KEPT: usize = 20;
/// Orders made from the cart that it remembers.
pub(crate) const ORDERS_KEPT: usize = 20;
/// Guests' carts merged into it that a cart remembers.
pub(crate) const MERGES_KEPT: usize = 16;

/// A cart.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Cart {
    /// 0 before the first write, and then the time of the last write in milliseconds, or one more than before if that
    /// is more: no two documents of one cart have the same, even if the first is long gone when the second is made.
    pub(crate) version: i64,
    pub(crate) updated_at_ms: i64,
    pub(crate) state: State,
    pub(crate) lines: Vec<Line>,
    pub(crate) coupons: Vec<String>,
    pub(crate) destination: Option<Destination>,
    pub(crate) attempts: Recent<Attempt, ATTEMPTS_KEPT>,
    /// Ids of orders whose lines were taken out.
    pub(crate) orders: Recent<String, ORDERS_KEPT>,
    /// Keys of guests' carts that were taken in.
    pub(crate) merges: Recent<String, MERGES_KEPT>,
}

/// What is wanted of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    pub(crate) sku: Sku,
    pub(crate) quantity: Quantity,
    /// The price when the shopper last changed the line.
    pub(crate) seen_price: Option<Money>,
}

/// Where a cart stands. An account's is always open.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum State {
    #[default]
    Open,
    /// It is being merged into the cart of this key, and does not change any more.
    Merging { into: String },
    /// It was merged into the cart of this key.
    Merged { into: String },
    /// It was thrown away.
    Discarded,
}

impl Cart {
    /// A cart without anything in it, that takes the place of another one.
    pub(crate) fn emptied(&self) -> Self {
        Self { version: self.version, updated_at_ms: self.updated_at_ms, ..Self::default() }
    }

    /// Takes everything out, for good: what was remembered stays.
    pub(crate) fn empty(&mut self) {
        self.lines.clear();
        self.coupons.clear();
        self.destination = None;
    }

    /// Whether its time is up. A cart that was never written has no time.
    pub(crate) fn is_expired(&self, now_ms: i64) -> bool {
        self.version != 0 && now_ms >= self.expires_at_ms()
    }

    /// When its time is up.
    pub(crate) fn expires_at_ms(&self) -> i64 {
        self.updated_at_ms.saturating_add(TTL_MS)
    }

    /// Makes it the next version, written now.
    pub(crate) fn touch(&mut self, now_ms: i64) {
        self.version = now_ms.max(self.version + 1);
        self.updated_at_ms = now_ms;
    }

    pub(crate) fn skus(&self) -> impl Iterator<Item = Sku> {
        self.lines.iter().map(|line| line.sku.clone())
    }

    /// The lines as the catalog is asked about them.
    pub(crate) fn wishes(&self) -> impl Iterator<Item = Wish> {
        self.lines.iter().cloned().map(|Line { sku, quantity, seen_price }| Wish { sku, quantity, seen_price })
    }

    /// Adds units of what costs `price`.
    pub(crate) fn add(&mut self, sku: Sku, quantity: Quantity, price: Money) -> Result<(), Refusal> {
        let Some(line) = self.lines.iter_mut().find(|line| line.sku == sku) else {
            if self.lines.len() >= LINES_MAX {
                return Err(Refusal::Full(LINES_MAX));
            }
            self.lines.push(Line { sku, quantity, seen_price: Some(price) });
            return Ok(());
        };
        // Two quantities are far from the end of their type.
        let sum = line.quantity.get() + quantity.get();
        line.quantity = Quantity::try_from(sum).map_err(|_| Refusal::QuantityExceeds)?;
        line.seen_price = Some(price);
        Ok(())
    }

    /// Has a line be of so many units. The price is none if the shop does not sell it any more.
    pub(crate) fn set(&mut self, sku: &Sku, quantity: Quantity, price: Option<Money>) -> Result<(), Error> {
        let line = self.lines.iter_mut().find(|line| line.sku == *sku).ok_or_else(|| no_line(sku))?;
        line.quantity = quantity;
        line.seen_price = price.or(line.seen_price);
        Ok(())
    }

    /// Takes a line out.
    pub(crate) fn remove(&mut self, sku: &Sku) -> Result<(), Error> {
        let at = self.lines.iter().position(|line| line.sku == *sku).ok_or_else(|| no_line(sku))?;
        self.lines.remove(at);
        Ok(())
    }

    /// Enters a coupon; one that is there stays as it was entered.
    pub(crate) fn enter(&mut self, code: String) -> Result<(), Refusal> {
        if self.coupon(&code).is_some() {
            return Ok(());
        }
        if self.coupons.len() >= COUPONS_MAX {
            return Err(Refusal::TooManyCoupons);
        }
        self.coupons.push(code);
        Ok(())
    }

    /// Takes a coupon back.
    pub(crate) fn withdraw(&mut self, code: &str) -> Result<(), Error> {
        let at = self.coupon(code).ok_or_else(|| Error::NotFound { what: "coupon", key: code.to_owned() })?;
        self.coupons.remove(at);
        Ok(())
    }

    /// Where a coupon is; upper and lower case are the same, as for the calculator.
    pub(crate) fn coupon(&self, code: &str) -> Option<usize> {
        self.coupons.iter().position(|entered| entered.to_uppercase() == code.to_uppercase())
    }

    /// Takes out what was ordered, once for each order, and with the last line the coupons, which are used now.
    pub(crate) fn check_out(&mut self, order_id: &str, ordered: &[(Sku, Quantity)]) {
        if self.orders.iter().any(|done| done == order_id) {
            return;
        }
        self.orders.push(order_id.to_owned());
        let had_lines = !self.lines.is_empty();
        for (sku, quantity) in ordered {
            let Some(at) = self.lines.iter().position(|line| line.sku == *sku) else { continue };
            match Quantity::try_from(self.lines[at].quantity.get().saturating_sub(quantity.get())) {
                Ok(left) => self.lines[at].quantity = left,
                Err(_) => drop(self.lines.remove(at)),
            }
        }
        if had_lines && self.lines.is_empty() {
            self.coupons.clear();
        }
    }
}

// A sum of two quantities is computed without a check.
const _: () = assert!(QUANTITY_MAX <= u32::MAX / 2);

fn no_line(sku: &Sku) -> Error {
    Error::NotFound { what: "line", key: sku.as_str().to_owned() }
}
