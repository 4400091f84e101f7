//! An order held against what others keep for it. Pure.

use std::collections::BTreeMap;

use commerce::rfc3339;

use super::{Finding, Shop};
use crate::peers::catalog::Reserved;
use crate::peers::payments::Sums;
use crate::priced::Priced;
use crate::refund::Line;
use crate::state::State;
use crate::store::audit::{Facts, GOES_ON_MS_MAX, STUCK_MS_MAX};

/// How long a reservation may outlive its time until a sweep has ended it.
const EXPIRED_MS_MAX: i64 = STUCK_MS_MAX;

/// Whether an order is worked on, or was since this time.
pub(super) fn is_in_motion(facts: &Facts, since_ms: i64, shop: Shop) -> bool {
    let is_in_time = |due_at_ms| shop == Shop::Stopped || since_ms - due_at_ms <= STUCK_MS_MAX;
    facts.due_at_ms.is_some_and(is_in_time) || facts.touched_at_ms >= since_ms
}

/// Whether payments still works on the charge of an order, such as on giving up money that is held for nothing.
pub(super) fn is_worked_on(paid: &Sums, now_ms: i64, shop: Shop) -> bool {
    paid.open_since_ms.is_some_and(|since_ms| shop == Shop::Stopped || now_ms - since_ms <= GOES_ON_MS_MAX)
}

/// What is wrong with a reservation whatever its order does, and whether there is one or not.
pub(super) fn overdue(reserved: &Reserved, now_ms: i64) -> Option<Finding> {
    let late_ms = now_ms - reserved.expires_at_ms;
    let is_overdue = reserved.state == "held" && late_ms > EXPIRED_MS_MAX;
    let detail = || format!("stock is held that was to be free at {}", rfc3339(reserved.expires_at_ms));
    is_overdue.then(|| found("reservation-expired", &reserved.order_id, detail()))
}

/// What is wrong with an order even while it is in motion, because it never changes.
pub(super) fn fixed(facts: &Facts) -> Vec<Finding> {
    let mut wrong = Wrong { order: &facts.order_id, findings: Vec::new() };
    if let Some(before) = &facts.placed_before {
        wrong.unless(false, "ordered-twice", || format!("the same request had placed order {before}"));
    }
    if let Err(reason) = total_of_sold(facts) {
        wrong.unless(false, "order-total", || reason);
    }
    wrong.findings
}

/// That an order is in motion which should have come to rest long ago: what is tried for ever never agrees.
pub(super) fn endless(facts: &Facts, now_ms: i64) -> Option<Finding> {
    let since_ms = facts.ends_by_ms.filter(|ends_by_ms| *ends_by_ms < now_ms)?;
    let tasks = facts.tasks.as_deref().unwrap_or_default();
    let detail = format!("it is {}, and was to be done with {tasks} at {}", facts.state, rfc3339(since_ms));
    Some(found("stuck", &facts.order_id, detail))
}

/// What is wrong with an order that is not in motion, or with what is kept for one that is not there.
pub(super) fn compare(
    facts: Option<&Facts>,
    reserved: Option<&Reserved>,
    paid: Option<&Sums>,
    now_ms: i64,
) -> Vec<Finding> {
    let Some(facts) = facts else {
        let reservation = reserved.map(|one| {
            found("reservation-without-order", &one.order_id, format!("the catalog's reservation is {}", one.state))
        });
        let intent = paid.map(|one| {
            found("intent-without-order", &one.order_id, format!("the intent of payments is {}", one.state))
        });
        return reservation.into_iter().chain(intent).collect();
    };
    let mut wrong = Wrong { order: &facts.order_id, findings: Vec::new() };
    itself(facts, now_ms, &mut wrong);
    if let Some(since_ms) = paid.and_then(|paid| paid.open_since_ms) {
        let detail = || format!("payments asks the provider about the charge since {}", rfc3339(since_ms));
        wrong.unless(false, "stuck", detail);
    }
    match facts.state {
        // What is still pending is looked at when it has ended.
        State::Pending => {}
        State::Paid | State::Packed | State::Shipped | State::Delivered | State::Refunded => {
            stock_of_sold(facts, reserved, &mut wrong);
            money_of_sold(facts, paid, &mut wrong);
        }
        State::Cancelled | State::Failed => {
            stock_of_dead(facts, reserved, &mut wrong);
            money_of_dead(facts, paid, &mut wrong);
        }
    }
    wrong.findings
}

struct Wrong<'a> {
    order: &'a str,
    findings: Vec<Finding>,
}

impl Wrong<'_> {
    fn unless(&mut self, holds: bool, kind: &str, detail: impl FnOnce() -> String) {
        if !holds {
            self.findings.push(found(kind, self.order, detail()));
        }
    }
}

/// Whether the total is what the lines, discounts, taxes and the delivery come to.
fn total_of_sold(facts: &Facts) -> Result<(), String> {
    let sold: Priced = serde_json::from_str(&facts.content).map_err(|error| format!("what was sold: {error}"))?;
    sold.adds_up().map_err(|wrong| wrong.to_string())?;
    let (total, charged) = (sold.totals.total, (facts.total, facts.currency.as_str()));
    match (total.minor(), total.currency().code()) == charged {
        true => Ok(()),
        false => Err(format!(
            "it costs {} {}, and was sold for {} {}",
            charged.0,
            charged.1,
            total.minor(),
            total.currency().code()
        )),
    }
}

/// What the order's own books say.
fn itself(facts: &Facts, now_ms: i64, wrong: &mut Wrong<'_>) {
    let late_ms = facts.due_at_ms.map_or(0, |due_at_ms| now_ms - due_at_ms);
    wrong.unless(late_ms <= STUCK_MS_MAX, "stuck", || format!("a task is due since {late_ms} ms"));
    let goes_on = facts.state != State::Pending || facts.due_at_ms.is_some();
    wrong.unless(goes_on, "stuck", || "nobody goes on with the checkout".to_owned());
    let is_whole = facts.history_breaks == 0 && facts.history_end.as_deref() == Some(facts.state.as_str());
    wrong.unless(is_whole, "history", || {
        format!("it is {}, and its history ends with {:?}", facts.state, facts.history_end)
    });
    let sums = (facts.refunded, facts.refund_pending) == (facts.refunds_succeeded, facts.refunds_pending);
    wrong.unless(sums, "refund-sums", || {
        format!("{} minor units are refunded, and the refunds come to {}", facts.refunded, facts.refunds_succeeded)
    });
}

/// What was sold has left the stock, but for the units of refunds that came back.
fn stock_of_sold(facts: &Facts, reserved: Option<&Reserved>, wrong: &mut Wrong<'_>) {
    let Some(reserved) = reserved else {
        return wrong.unless(false, "stock-not-sold", || format!("it is {} without a reservation", facts.state));
    };
    wrong.unless(reserved.state == "committed", "stock-not-sold", || {
        format!("it is {}, and its reservation is {}", facts.state, reserved.state)
    });
    wrong.unless(units(&reserved.lines) == units(&facts.lines), "reservation-differs", || {
        format!("it has sold {}, and reserved {}", listed(&facts.lines), listed(&reserved.lines))
    });
    wrong.unless(units(&reserved.restocked) == units(&facts.restocked), "restock-differs", || {
        let (back, wanted) = (listed(&reserved.restocked), listed(&facts.restocked));
        format!("{back} went back into stock, and refunds wanted {wanted}")
    });
    let is_redeemed = reserved.redemption.as_deref() == Some("redeemed");
    wrong.unless(is_redeemed == facts.has_coupons, "coupons", || {
        format!("its coupons are {}", reserved.redemption.as_deref().unwrap_or("not redeemed"))
    });
}

/// What came to nothing has all its stock back, but for the units that a refund took back and that stay out of stock.
fn stock_of_dead(facts: &Facts, reserved: Option<&Reserved>, wrong: &mut Wrong<'_>) {
    let Some(reserved) = reserved else { return };
    wrong.unless(reserved.state != "held", "stock-held", || format!("it is {} and holds stock", facts.state));
    if reserved.state == "committed" {
        let mut back = reserved.restocked.clone();
        back.extend(facts.kept_out.iter().cloned());
        wrong.unless(units(&back) == units(&facts.lines), "stock-lost", || {
            format!("it had sold {}, and {} went back into stock", listed(&facts.lines), listed(&reserved.restocked))
        });
    }
    wrong.unless(reserved.redemption.as_deref() != Some("redeemed"), "coupons", || {
        format!("it is {}, and its coupons are redeemed", facts.state)
    });
}

/// What was sold is paid, but for what went back.
fn money_of_sold(facts: &Facts, paid: Option<&Sums>, wrong: &mut Wrong<'_>) {
    if facts.total == 0 {
        return wrong.unless(paid.is_none(), "payment-differs", || "it costs nothing and has an intent".to_owned());
    }
    let Some(paid) = paid else {
        return wrong.unless(false, "payment-missing", || format!("it is {} without an intent", facts.state));
    };
    let is_taken = paid.state == "captured" && paid.captured.minor() == facts.total;
    wrong.unless(is_taken, "payment-missing", || {
        format!("its intent is {}, and {} of {} were taken", paid.state, paid.captured.minor(), facts.total)
    });
    refunds_agree(facts, paid, wrong);
    let all_back = facts.state != State::Refunded || paid.refunded.minor() == facts.total;
    wrong.unless(all_back, "payment-kept", || "it is refunded, and not all the money went back".to_owned());
}

/// What came to nothing has cost nothing.
fn money_of_dead(facts: &Facts, paid: Option<&Sums>, wrong: &mut Wrong<'_>) {
    let Some(paid) = paid else { return };
    let has_ended = ["captured", "voided", "declined", "failed"].contains(&paid.state.as_str());
    wrong.unless(has_ended, "payment-held", || format!("it is {}, and its intent is {}", facts.state, paid.state));
    let kept = paid.captured.minor() - paid.refunded.minor() - paid.refund_pending.minor();
    wrong
        .unless(kept == 0, "payment-kept", || format!("it is {}, and {kept} minor units did not go back", facts.state));
    refunds_agree(facts, paid, wrong);
}

fn refunds_agree(facts: &Facts, paid: &Sums, wrong: &mut Wrong<'_>) {
    wrong.unless(paid.amount.minor() == facts.total, "payment-differs", || {
        format!("it costs {}, and its intent is over {}", facts.total, paid.amount.minor())
    });
    let agrees = (paid.refunded.minor(), paid.refund_pending.minor()) == (facts.refunded, facts.refund_pending);
    wrong.unless(agrees, "refunds-differ", || {
        format!("{} minor units are refunded, and payments gave {} back", facts.refunded, paid.refunded.minor())
    });
}

fn found(kind: &str, order: &str, detail: String) -> Finding {
    Finding { kind: kind.to_owned(), order_id: Some(order.to_owned()), detail }
}

fn units(lines: &[Line]) -> BTreeMap<&str, u64> {
    let mut units = BTreeMap::new();
    for line in lines {
        *units.entry(line.sku.as_str()).or_default() += u64::from(line.quantity.get());
    }
    units
}

fn listed(lines: &[Line]) -> String {
    let parts: Vec<String> = units(lines).into_iter().map(|(sku, units)| format!("{units} x {sku}")).collect();
    if parts.is_empty() { "nothing".to_owned() } else { parts.join(", ") }
}
