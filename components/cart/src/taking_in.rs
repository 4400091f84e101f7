//! The policy by which a guest's cart is merged into an account's.
//!
//! Quantities of one SKU are added up, to at most what is in stock and [`QUANTITY_MAX`], but at least to one: what is
//! sold out stays in sight. Lines that are new come after the account's own, as long as there is room, and so do
//! coupons. The account's destination counts, if it has one.

use commerce::{QUANTITY_MAX, Quantity, Sku};
use pricing_client::COUPONS_MAX;
use serde::Serialize;

use crate::cart::{Cart, LINES_MAX, Line};

/// Units that found no place in the account's cart.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct LeftOut {
    pub(crate) sku: Sku,
    pub(crate) quantity: u32,
}

impl Cart {
    /// Takes in a guest's cart, once, and says what found no place.
    pub(crate) fn take_in(&mut self, guest: &Cart, guest_key: &str, available: impl Fn(&Sku) -> u32) -> Vec<LeftOut> {
        if self.merges.iter().any(|done| done == guest_key) {
            return Vec::new();
        }
        self.merges.push(guest_key.to_owned());
        for code in &guest.coupons {
            if self.coupon(code).is_none() && self.coupons.len() < COUPONS_MAX {
                self.coupons.push(code.clone());
            }
        }
        if self.destination.is_none() {
            self.destination.clone_from(&guest.destination);
        }
        guest.lines.iter().filter_map(|line| self.take_in_line(line, available(&line.sku))).collect()
    }

    fn take_in_line(&mut self, guest: &Line, available: u32) -> Option<LeftOut> {
        let own = self.lines.iter().position(|line| line.sku == guest.sku);
        let sum = guest.quantity.get() + own.map_or(0, |at| self.lines[at].quantity.get());
        let fitting = match own {
            None if self.lines.len() >= LINES_MAX => 0,
            _ => sum.min(available.max(1)).min(QUANTITY_MAX),
        };
        if let Ok(quantity) = Quantity::try_from(fitting) {
            // What the guest saw last, the shopper saw last.
            let line = Line { quantity, ..guest.clone() };
            match own {
                Some(at) => self.lines[at] = line,
                None => self.lines.push(line),
            }
        }
        (fitting < sum).then(|| LeftOut { sku: guest.sku.clone(), quantity: sum - fitting })
    }
}
