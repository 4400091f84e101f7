//! Which promotions apply together.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use crate::amount::Amount;
use crate::cart::{Basket, Cart};
use crate::problem::Problem;
use crate::promotion::{Promotion, Reward, Stacking};
use crate::quote::{RejectedCoupon, Rejection};
use crate::reward::{Amounts, reward};

/// What the promotions take off a cart.
pub(crate) struct Reduction<'a> {
    /// What each takes off, in the order in which they apply.
    pub(crate) applied: Vec<(&'a Promotion, Amounts)>,
    /// What is left to pay of each line and of shipping.
    pub(crate) left: Amounts,
}

/// Applies the promotions that hold for the cart, of all permitted combinations the one that takes off most.
///
/// Also returns the entered codes that take nothing off.
pub(crate) fn reduce<'a>(basket: &Basket<'a>) -> Result<(Reduction<'a>, Vec<RejectedCoupon>), Problem> {
    let cart = basket.cart;
    let listed = Amounts::listed(basket)?;
    let subtotal = Amount::sum(listed.lines.iter().copied())?;
    let entered: BTreeSet<_> = cart.coupons.iter().map(|code| normal(code)).collect();

    let mut eligible = Vec::new();
    let mut rejections = BTreeMap::new();
    for promotion in in_order(cart) {
        if promotion.coupon.as_ref().is_some_and(|code| !entered.contains(&normal(code))) {
            continue;
        }
        match promotion.rejection(cart, subtotal)? {
            Some(rejection) => _ = rejections.insert(promotion.id.as_str(), rejection),
            None => eligible.push(promotion),
        }
    }
    let best = best(basket, &listed, &eligible)?;
    let rejected = rejected_coupons(cart, &best, &rejections)?;
    Ok((best, rejected))
}

/// From the highest priority to the lowest, equal ones by id.
fn in_order(cart: &Cart) -> Vec<&Promotion> {
    let mut promotions: Vec<_> = cart.promotions.iter().collect();
    promotions.sort_by_key(|promotion| (Reverse(promotion.priority), &promotion.id));
    promotions
}

/// Each exclusive promotion alone, or all others together. On a tie the others win, then the earlier one.
fn best<'a>(basket: &Basket<'a>, listed: &Amounts, eligible: &[&'a Promotion]) -> Result<Reduction<'a>, Problem> {
    let mut best = apply(basket, listed, &combination(basket, listed, eligible)?)?;
    for exclusive in eligible.iter().filter(|promotion| promotion.stacking == Stacking::Exclusive) {
        let alone = apply(basket, listed, &[exclusive])?;
        if alone.left.total()? < best.left.total()? {
            best = alone;
        }
    }
    Ok(best)
}

/// What may apply together: all that stack, and of each group the one that takes off most by itself.
fn combination<'a>(
    basket: &Basket<'a>,
    listed: &Amounts,
    eligible: &[&'a Promotion],
) -> Result<Vec<&'a Promotion>, Problem> {
    let mut winners: BTreeMap<&str, (Amount, &str)> = BTreeMap::new();
    for promotion in eligible {
        let Stacking::BestOf { group } = &promotion.stacking else { continue };
        let amount = reward(promotion, basket, listed)?.total()?;
        if winners.get(group.as_str()).is_none_or(|(most, _)| amount > *most) {
            winners.insert(group, (amount, &promotion.id));
        }
    }
    let applies = |promotion: &&&Promotion| match &promotion.stacking {
        Stacking::Stackable => true,
        Stacking::Exclusive => false,
        Stacking::BestOf { group } => winners.get(group.as_str()).is_some_and(|(_, id)| *id == promotion.id),
    };
    Ok(eligible.iter().filter(applies).copied().collect())
}

/// Applies promotions one after the other, each to what the ones before have left.
fn apply<'a>(basket: &Basket<'a>, listed: &Amounts, promotions: &[&'a Promotion]) -> Result<Reduction<'a>, Problem> {
    let mut reduction = Reduction { applied: Vec::new(), left: listed.clone() };
    for promotion in promotions {
        let taken = reward(promotion, basket, &reduction.left)?;
        reduction.left = reduction.left.less(&taken);
        reduction.applied.push((promotion, taken));
    }
    Ok(reduction)
}

/// The entered codes that take nothing off, each once.
fn rejected_coupons(
    cart: &Cart,
    best: &Reduction<'_>,
    rejections: &BTreeMap<&str, Rejection>,
) -> Result<Vec<RejectedCoupon>, Problem> {
    let in_order = in_order(cart);
    let mut seen = BTreeSet::new();
    let mut rejected = Vec::new();
    for code in &cart.coupons {
        let entered = normal(code);
        let promotions =
            in_order.iter().filter(|promotion| promotion.coupon.as_deref().map(normal).as_ref() == Some(&entered));
        let reasons = promotions.map(|promotion| rejection(promotion, cart, best, rejections));
        let reasons = reasons.collect::<Result<Vec<_>, _>>()?;
        // The code is good if any of its promotions has no reason against it.
        let Some(reasons) = reasons.into_iter().collect::<Option<Vec<_>>>() else { continue };
        if seen.insert(entered) {
            let reason = reasons.first().copied().unwrap_or(Rejection::Unknown);
            rejected.push(RejectedCoupon { code: code.clone(), reason });
        }
    }
    Ok(rejected)
}

/// Why a promotion whose code was entered takes nothing off, if so.
fn rejection(
    promotion: &Promotion,
    cart: &Cart,
    best: &Reduction<'_>,
    rejections: &BTreeMap<&str, Rejection>,
) -> Result<Option<Rejection>, Problem> {
    if let Some(rejection) = rejections.get(promotion.id.as_str()) {
        return Ok(Some(*rejection));
    }
    // The code is good for the delivery that is yet to be chosen.
    if promotion.reward == (Reward::FreeShipping {}) && cart.shipping.is_none() {
        return Ok(None);
    }
    let Some((_, taken)) = best.applied.iter().find(|(applied, _)| applied.id == promotion.id) else {
        return Ok(Some(Rejection::NotCombinable));
    };
    Ok(taken.total()?.is_zero().then_some(Rejection::WithoutEffect))
}

/// A code as it is compared.
fn normal(code: &str) -> String {
    code.trim().to_uppercase()
}
