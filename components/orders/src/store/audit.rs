//! What orders' own books say of each order, for an audit.

use serde::Deserialize;
use service::{Error, outbox};
use sql::{Database, Row};

use crate::refund::{Line, State as RefundState};
use crate::state::State;

/// How long a task may be overdue before it is stuck: many sweeps, and the longest wait between two attempts.
pub(crate) const STUCK_MS_MAX: i64 = 5 * 60 * 1000;

/// How long a task may go on until it is stuck, however regularly it is tried: longer than a checkout may take, and than
/// another service is down for.
pub(crate) const GOES_ON_MS_MAX: i64 = 60 * 60 * 1000;
/// The same of a refund, which a bank may take its time with.
pub(crate) const REFUND_GOES_ON_MS_MAX: i64 = 14 * 24 * 60 * 60 * 1000;

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
    pub(crate) refunds_succeeded: i64,
    pub(crate) refunds_pending: i64,
    /// Units that refunds put back into stock.
    pub(crate) restocked: Vec<Line>,
    /// Units that refunds took back and that stay out of stock.
    pub(crate) kept_out: Vec<Line>,
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

/// Every change that others are told of, for [`outbox::audit`]. A refund moves once to where it is; one that succeeded may
/// fail after that. It keeps no event's id, so that the first event that names it and where it is tells of it. An event that
/// cannot be read names none.
const TOLD: &str = "
    SELECT event_id, order_id AS subject, at_ms, 'bodega.order.' || CASE
        WHEN from_state IS NULL THEN 'placed' WHEN from_state = to_state THEN 'parcel_returned' ELSE to_state
    END AS type FROM history WHERE order_id > ?1 AND order_id <= ?2
    UNION ALL
    SELECT ifnull((SELECT event.id FROM outbox AS event WHERE event.subject = order_id
            AND event.type = 'bodega.order.refund_' || state AND iif(json_valid(event.data), event.data ->> '$.refund.refund_id', NULL) = refunds.id
            ORDER BY event.seq LIMIT 1), ''),
        order_id, created_at_ms, 'bodega.order.refund_' || state FROM refunds
    WHERE order_id > ?1 AND order_id <= ?2 AND state <> 'pending'
    UNION ALL
    SELECT (SELECT event.id FROM outbox AS event WHERE event.subject = order_id
            AND event.type = 'bodega.order.refund_succeeded' AND iif(json_valid(event.data), event.data ->> '$.refund.refund_id', NULL) = refunds.id
            ORDER BY event.seq LIMIT 1) AS first,
        order_id, created_at_ms, 'bodega.order.refund_succeeded' FROM refunds
    WHERE order_id > ?1 AND order_id <= ?2 AND state = 'failed' AND first IS NOT NULL";

/// Whether the events about these orders agree with their books.
pub(crate) async fn outbox(database: &Database, range: &outbox::Range) -> Result<outbox::Audit, Error> {
    outbox::audit(database, TOLD, range).await
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
    let refunds: Vec<Given> = serde_json::from_str(&row.take::<String>(11)?)?;
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
        placed_before: row.take(14)?,
        currency: row.take(12)?,
        total: row.take(2)?,
        content: row.take(13)?,
        refunded: row.take(3)?,
        refund_pending: row.take(4)?,
        touched_at_ms: row.take(5)?,
        lines: serde_json::from_str(&row.take::<String>(6)?)?,
        has_coupons: row.take(7)?,
        due_at_ms: row.take(8)?,
        ends_by_ms: row.take(15)?,
        tasks: row.take(16)?,
        history_end: row.take(9)?,
        history_breaks: row.take(10)?,
        refunds_succeeded: sum(RefundState::Succeeded),
        refunds_pending: sum(RefundState::Pending),
        restocked: lines(1),
        kept_out: lines(0),
    })
}
