//! Whether the books of all services agree: each order is held against its reservation in the catalog and its intent in
//! payments, and each of these against its order.
//!
//! All three are read by order, in pages, and merged. The orders are read last, and one that was touched since the page
//! was begun is left out, as is one that is being worked on: what is in motion agrees with nothing. One that is worked on for
//! too long is named instead. What must hold at any time is looked at for all. While a shop is stopped all open work is in
//! motion, for it goes on when the shop does.

mod compare;
mod events;

use commerce::unix_ms;
use futures::try_join;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use service::Error;
use service::outbox::Range;

use self::compare::{compare, endless, fixed, is_in_motion, is_worked_on, overdue};
use crate::app::App;
use crate::peers::catalog::{Reserved, StockAudit};
use crate::peers::payments::{Sums, Unapplied};
use crate::peers::{catalog, payments};
use crate::store::audit::{self, Facts};

/// Orders, reservations and intents of one page at most.
pub(crate) const PAGE_MAX: u32 = 100;

/// What an audit found wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Finding {
    /// Stable.
    pub(crate) kind: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) order_id: Option<String>,
    /// For a human.
    pub(crate) detail: String,
}

/// What one page of an audit looked at.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Checked {
    orders: usize,
    reservations: usize,
    intents: usize,
    /// Orders that were in motion, and so left out.
    in_motion: usize,
    /// Variants whose counts were added up; all of them, with the first page.
    variants: u64,
}

/// One page of an audit.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    checked: Checked,
    findings: Vec<Finding>,
    /// The last order that was looked at, if there may be more.
    #[serde(skip)]
    pub(crate) next: Option<String>,
}

/// Whether the shop has been at work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Shop {
    #[default]
    Running,
    /// Nobody could do what is open, so none of it is late.
    Stopped,
}

/// Looks at the orders after this one, and at all that others keep for them.
pub(crate) async fn page(app: &App, after: Option<&str>, shop: Shop) -> Result<Page, Error> {
    let started_ms = unix_ms();
    let (mut checked, mut findings) = (Checked::default(), Vec::new());
    if after.is_none() {
        let stock = catalog::audit_stock(&app.peers.catalog).await?;
        checked.variants = stock.variants;
        findings.extend(wrong_counts(&stock));
        findings.extend(unapplied(&payments::unapplied(&app.peers.payments).await?));
    }
    let after = after.unwrap_or_default();
    let (reserved, paid) = try_join!(
        catalog::reservations(&app.peers.catalog, after, PAGE_MAX),
        payments::sums(&app.peers.payments, after, PAGE_MAX),
    )?;
    let facts = audit::facts(&app.database, after, PAGE_MAX).await?;
    let next = page_end(&facts, &reserved, &paid);
    let events = events::audit(app, &Range { after: Some(after.to_owned()), through: next.clone() }).await?;
    let is_here = |order: &str| next.as_deref().is_none_or(|end| order <= end);

    let mut reserved = reserved.iter().filter(|one| is_here(&one.order_id)).peekable();
    let mut paid = paid.iter().filter(|one| is_here(&one.order_id)).peekable();
    let mut facts = facts.iter().filter(|one| is_here(&one.order_id)).peekable();
    while let Some(order) = least([
        facts.peek().map(|one| one.order_id.as_str()),
        reserved.peek().map(|one| one.order_id.as_str()),
        paid.peek().map(|one| one.order_id.as_str()),
    ]) {
        let facts = facts.next_if(|one| one.order_id == order);
        let reserved = reserved.next_if(|one| one.order_id == order);
        let paid = paid.next_if(|one| one.order_id == order);
        checked.orders += usize::from(facts.is_some());
        checked.reservations += usize::from(reserved.is_some());
        checked.intents += usize::from(paid.is_some());
        findings.extend(reserved.filter(|_| shop == Shop::Running).and_then(|one| overdue(one, started_ms)));
        findings.extend(facts.map(fixed).into_iter().flatten());
        let is_charged = paid.is_some_and(|paid| is_worked_on(paid, started_ms, shop));
        if facts.is_some_and(|facts| is_charged || is_in_motion(facts, started_ms, shop)) {
            checked.in_motion += 1;
            findings.extend(facts.filter(|_| shop == Shop::Running).and_then(|facts| endless(facts, started_ms)));
        } else {
            findings.extend(compare(facts, reserved, paid, started_ms));
        }
    }
    findings.extend(events);
    Ok(Page { checked, findings, next })
}

/// Where the page ends: a list that is full may have more after its last item, so nothing beyond is looked at.
fn page_end(facts: &[Facts], reserved: &[Reserved], paid: &[Sums]) -> Option<String> {
    let full = |count: usize| count >= PAGE_MAX as usize;
    let ends = [
        facts.last().filter(|_| full(facts.len())).map(|one| &one.order_id),
        reserved.last().filter(|_| full(reserved.len())).map(|one| &one.order_id),
        paid.last().filter(|_| full(paid.len())).map(|one| &one.order_id),
    ];
    ends.into_iter().flatten().min().cloned()
}

fn least(orders: [Option<&str>; 3]) -> Option<&str> {
    orders.into_iter().flatten().min()
}

/// Each variant that the catalog names, and how many it does not name.
fn wrong_counts(stock: &StockAudit) -> Vec<Finding> {
    named("stock-count", &stock.wrong, stock.wrong_total, "variants")
}

/// Each webhook that payments names, and how many it does not name.
fn unapplied(unapplied: &Unapplied) -> Vec<Finding> {
    named("webhook-unapplied", &unapplied.webhooks, unapplied.total, "webhooks")
}

/// A finding for each that is listed, and one for all that are not.
fn named(kind: &str, listed: &[Value], total: u64, what: &str) -> Vec<Finding> {
    let found = |detail: String| Finding { kind: kind.to_owned(), order_id: None, detail };
    let unlisted = total.saturating_sub(listed.len() as u64);
    let more = (unlisted > 0).then(|| found(format!("{unlisted} more {what}, which are not listed")));
    listed.iter().map(|one| found(one.to_string())).chain(more).collect()
}
