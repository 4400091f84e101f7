//! What orders' own books say of each order, for an audit.

use serde::Deserialize;
use service::Error;
use sql::{Database, Row};

use crate::audit::Shop;
use crate::refund::{Line, State as RefundState};
use crate::state::State;

/// How long a task may be overdue before it is stuck: many sweeps, and the longest wait between two attempts.
pub(crate) const STUCK_MS_MAX: i64 = 5 * 60 * 1000;

/// How long a task may go on until it is stuck, however regularly it is tried: longer than a checkout may take, and than
/// another service is down for.
const GOES_ON_MS_MAX: i64 = 60 * 60 * 1000;
/// The same of a refund, which a bank may take its time with.
const REFUND_GOES_ON_MS_MAX: i64 = 14 * 24 * 60 * 60 * 1000;

/// What orders' own books say of an order. Amounts are minor units.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) order_id: String,
    /// An order that the same request placed before, by who asked and the key that they chose.
    pub(crate) placed_before: Option<String>,
    pub(crate) state: State,
    pub(crate) currency: String,
    pub(crate) total: i64,
    /// What was sold, as it is kept.
    pub(crate) content: String,
    pub(crate) refunded: i64,
    pub(crate) refund_pending: i64,
    pub(crate) lines: Vec<Line>,
    pub(crate) has_coupons: bool,
    pub(crate) touched_at_ms: i64,
    /// When the first of its tasks is due, if it has any.
    pub(crate) due_at_ms: Option<i64>,
    /// When the first of them is to have come to an end.
    pub(crate) ends_by_ms: Option<i64>,
    /// The kinds of its tasks, for a human.
    pub(crate) tasks: Option<String>,
    /// The state in which the history ends, and how often an entry does not follow from the one before.
    pub(crate) history_end: Option<String>,
    pub(crate) history_breaks: i64,
    /// Entries of the history without an event.
    pub(crate) events_missing: i64,
    pub(crate) refunds_succeeded: i64,
    pub(crate) refunds_pending: i64,
    /// Units that refunds put back into stock.
    pub(crate) restocked: Vec<Line>,
    /// Units that refunds took back and that stay out of stock.
    pub(crate) kept_out: Vec<Line>,
}

impl Facts {
    /// Whether it is worked on, or was since this time.
    pub(crate) fn is_in_motion(&self, since_ms: i64, shop: Shop) -> bool {
        let is_in_time = |due_at_ms| shop == Shop::Stopped || since_ms - due_at_ms <= STUCK_MS_MAX;
        self.due_at_ms.is_some_and(is_in_time) || self.touched_at_ms >= since_ms
    }
}

/// What the books say of the orders after this one, by order.
pub(crate) async fn facts(database: &Database, after: &str, limit: u32) -> Result<Vec<Facts>, Error> {
    const FACTS: &str = "
        SELECT id, state, total, refunded, refund_pending, touched_at_ms,
            (SELECT json_group_array(json_object('sku', value ->> '$.sku', 'quantity', value ->> '$.quantity'))
                FROM json_each(content, '$.lines')),
            json_array_length(content, '$.coupons') > 0,
            (SELECT min(due_at_ms) FROM tasks WHERE order_id = orders.id),
            (SELECT to_state FROM history WHERE order_id = orders.id ORDER BY seq DESC LIMIT 1),
            (SELECT count(*) FROM history AS entry WHERE order_id = orders.id AND from_state IS NOT (
                SELECT to_state FROM history AS before
                WHERE before.order_id = entry.order_id AND before.seq < entry.seq ORDER BY before.seq DESC LIMIT 1
            )),
            (SELECT count(*) FROM history WHERE order_id = orders.id
                AND NOT EXISTS (SELECT 1 FROM outbox WHERE outbox.id = event_id)),
            (SELECT json_group_array(json_object(
                'state', refunds.state, 'amount', amount, 'restock', restock, 'taken_back', taken_back, 'lines', json(lines)
            )) FROM refunds WHERE order_id = orders.id),
            currency, content,
            (SELECT min(id) FROM orders AS other
                WHERE other.actor = orders.actor AND other.key = orders.key AND other.id < orders.id),
            (SELECT min(created_at_ms + iif(kind = 'refund', ?3, ?4)) FROM tasks WHERE order_id = orders.id),
            (SELECT group_concat(DISTINCT kind) FROM tasks WHERE order_id = orders.id)
        FROM orders WHERE id > ?1 ORDER BY id LIMIT ?2";
    let params = [after.into(), limit.into(), REFUND_GOES_ON_MS_MAX.into(), GOES_ON_MS_MAX.into()];
    database.execute(FACTS, &params).await?.into_iter().map(read).collect()
}

/// What an audit needs to know of a refund.
#[derive(Deserialize)]
struct Given {
    state: RefundState,
    amount: i64,
    restock: u8,
    taken_back: u8,
    lines: Vec<Line>,
}

fn read(mut row: Row) -> Result<Facts, Error> {
    let state = State::parse(&row.take::<String>(1)?);
    let refunds: Vec<Given> = serde_json::from_str(&row.take::<String>(12)?)?;
    let sum = |state| refunds.iter().filter(|refund| refund.state == state).map(|refund| refund.amount).sum();
    let lines = |restock| {
        let counts = |refund: &&Given| refund.state != RefundState::Failed || refund.taken_back == 1;
        refunds
            .iter()
            .filter(counts)
            .filter(|refund| refund.restock == restock)
            .flat_map(|refund| refund.lines.clone())
            .collect()
    };
    Ok(Facts {
        order_id: row.take(0)?,
        state: state.ok_or(sql::Error::Column { column: 1, expected: "State" })?,
        placed_before: row.take(15)?,
        currency: row.take(13)?,
        total: row.take(2)?,
        content: row.take(14)?,
        refunded: row.take(3)?,
        refund_pending: row.take(4)?,
        touched_at_ms: row.take(5)?,
        lines: serde_json::from_str(&row.take::<String>(6)?)?,
        has_coupons: row.take(7)?,
        due_at_ms: row.take(8)?,
        ends_by_ms: row.take(16)?,
        tasks: row.take(17)?,
        history_end: row.take(9)?,
        history_breaks: row.take(10)?,
        events_missing: row.take(11)?,
        refunds_succeeded: sum(RefundState::Succeeded),
        refunds_pending: sum(RefundState::Pending),
        restocked: lines(1),
        kept_out: lines(0),
    })
}
