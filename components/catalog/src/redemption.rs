//! Coupons that an order uses, counted against how often each may be used.

use std::collections::BTreeSet;

use pricing_rules::COUPONS_MAX;
use serde::{Deserialize, Serialize};
use service::Violation;

use crate::reservation::check_key;
use crate::rules::{Limits, coupon_key};

/// What an order uses, as another service writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedemptionInput {
    order_id: String,
    customer: Option<String>,
    coupons: Vec<String>,
}

/// Where a redemption stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Redeemed,
    Released,
}

/// The coupons of an order, each once and in order, so that equal redemptions have equal coupons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Redemption {
    pub(crate) order_id: String,
    pub(crate) state: State,
    /// Whose uses are counted together; a guest's are not.
    pub(crate) customer: Option<String>,
    pub(crate) coupons: BTreeSet<String>,
}

impl TryFrom<RedemptionInput> for Redemption {
    type Error = Vec<Violation>;

    fn try_from(input: RedemptionInput) -> Result<Self, Vec<Violation>> {
        let mut wrong: Vec<_> = check_key("order_id", &input.order_id).into_iter().collect();
        wrong.extend(input.customer.as_deref().and_then(|customer| check_key("customer", customer)));
        if !(1..=COUPONS_MAX).contains(&input.coupons.len()) {
            wrong.push(Violation::new("coupons", format!("1 to {COUPONS_MAX} coupons")));
        }
        match wrong.is_empty() {
            true => Ok(Self {
                order_id: input.order_id,
                state: State::Redeemed,
                customer: input.customer,
                coupons: input.coupons.iter().map(|code| coupon_key(code)).collect(),
            }),
            false => Err(wrong),
        }
    }
}

/// A coupon that cannot be used, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct RefusedCoupon {
    pub(crate) coupon: String,
    pub(crate) reason: Reason,
}

/// Why a coupon cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Reason {
    /// No promotion has it.
    Unknown,
    /// It was used as often as it may be.
    UsedUp,
    /// This customer used it as often as one may.
    UsedUpByCustomer,
    /// It is counted by customer, and the order names none.
    NeedsCustomer,
}

/// Why a promotion cannot be used once more.
pub(crate) fn refusal(limits: Limits, used: u32, used_by_customer: Option<u32>) -> Option<Reason> {
    if limits.usage_max.is_some_and(|max| used >= max) {
        return Some(Reason::UsedUp);
    }
    match (limits.usage_max_per_customer, used_by_customer) {
        (Some(_), None) => Some(Reason::NeedsCustomer),
        (Some(max), Some(used)) if used >= max => Some(Reason::UsedUpByCustomer),
        _ => None,
    }
}
