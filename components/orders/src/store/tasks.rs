//! Tasks: written down with what makes them necessary, gone when they are done.
//!
//! Whoever works on one moves its due time ahead, so that nobody else takes it up meanwhile; if they die, it is due
//! again after that time. `holder` tells a holder from the one after it.

use commerce::Id;
use service::Error;
use service::column::{id, name};
use sql::{Database, Row, Transaction};

use super::audit::{GOES_ON_MS_MAX, REFUND_GOES_ON_MS_MAX, STUCK_MS_MAX};
use crate::task::{Kind, LEASE_MS, Task};

/// Tasks that are counted at most.
const COUNTED_MAX: u32 = 1_000;

const COLUMNS: &str = "seq, order_id, kind, reference, data, holder, attempts, created_at_ms";

/// Writes a task down, unless the order has it already. Its maker holds it, unless others of its lane come first.
pub(crate) async fn open(
    transaction: &Transaction,
    order: Id,
    kind: Kind,
    reference: &str,
    data: Option<&str>,
    now_ms: i64,
) -> Result<Option<Task>, Error> {
    let open = format!(
        "INSERT INTO tasks (order_id, kind, reference, lane, data, held, holder, attempts, due_at_ms, created_at_ms)
        SELECT ?1, ?2, ?3, ?4, ?5, waits.no, 1, waits.no, iif(waits.no, ?6, ?7), ?7
        FROM (SELECT NOT EXISTS (SELECT 1 FROM tasks WHERE order_id = ?1 AND lane = ?4) AS no) AS waits WHERE true
        ON CONFLICT DO NOTHING RETURNING {COLUMNS}, held"
    );
    let lane = match kind {
        // Refunds do not wait for each other.
        Kind::Refund | Kind::Restock => format!("{} {reference}", kind.lane()),
        _ => kind.lane().to_owned(),
    };
    let params = [
        id(order),
        kind.as_str().into(),
        reference.into(),
        lane.into(),
        data.into(),
        (now_ms + LEASE_MS).into(),
        now_ms.into(),
    ];
    let Some(mut row) = transaction.execute(&open, &params).await?.pop() else { return Ok(None) };
    let is_held: bool = row.take(8)?;
    let task = read(row)?;
    Ok(is_held.then_some(task))
}

/// Whether there is anything to take up.
pub(crate) fn is_any_due(database: &Database, now_ms: i64) -> Result<bool, Error> {
    Ok(!database.read("SELECT 1 FROM tasks WHERE due_at_ms <= ?1 LIMIT 1", &[now_ms.into()])?.is_empty())
}

/// What is still to be done, for who looks after the shop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Open {
    /// Tasks; no more than [`COUNTED_MAX`] are counted.
    pub(crate) tasks: u32,
    /// How long the first of them has been there, but for refunds, with which a bank may take its time.
    pub(crate) oldest_s: u32,
    /// How many of them are stuck, as an audit says it.
    pub(crate) stuck: u32,
}

/// Counts what is still to be done; what was opened first is counted first.
pub(crate) fn open_now(database: &Database, now_ms: i64) -> Result<Open, Error> {
    const COUNT: &str = "
        SELECT count(*), ifnull(max(max(0, ?1 - created_at_ms)) FILTER (WHERE kind <> 'refund'), 0) / 1000,
            count(*) FILTER (WHERE due_at_ms < ?1 - ?2 OR created_at_ms < ?1 - iif(kind = 'refund', ?4, ?3))
        FROM (SELECT kind, due_at_ms, created_at_ms FROM tasks ORDER BY seq LIMIT ?5)";
    let params =
        [now_ms.into(), STUCK_MS_MAX.into(), GOES_ON_MS_MAX.into(), REFUND_GOES_ON_MS_MAX.into(), COUNTED_MAX.into()];
    let counted = database.read(COUNT, &params)?.pop();
    let mut row = counted.ok_or(sql::Error::Column { column: 0, expected: "a row of counts" })?;
    Ok(Open { tasks: row.take(0)?, oldest_s: row.take(1)?, stuck: row.take(2)? })
}

/// Takes up the task that has been due for longest, of all orders. The tasks of a lane go in their order.
pub(crate) async fn claim(database: &Database, now_ms: i64) -> Result<Option<Task>, Error> {
    let claim = format!(
        "UPDATE tasks SET held = 1, holder = holder + 1, due_at_ms = ?2, attempts = attempts + 1
        WHERE seq = (
            SELECT seq FROM tasks AS next WHERE due_at_ms <= ?1 AND NOT EXISTS (
                SELECT 1 FROM tasks AS earlier
                WHERE earlier.order_id = next.order_id AND earlier.lane = next.lane AND earlier.seq < next.seq
            )
            ORDER BY due_at_ms, seq LIMIT 1
        ) RETURNING {COLUMNS}"
    );
    database.execute(&claim, &[now_ms.into(), (now_ms + LEASE_MS).into()]).await?.pop().map(read).transpose()
}

/// Takes up the tasks of an order that nobody holds, due or not.
pub(crate) async fn claim_of(database: &Database, order: Id, now_ms: i64) -> Result<Vec<Task>, Error> {
    take(database, order, "AND (held = 0 OR due_at_ms <= ?2)", now_ms).await
}

/// Takes up the tasks of an order whoever holds them, because there is news that their holder may not have heard.
pub(crate) async fn seize(database: &Database, order: Id, now_ms: i64) -> Result<Vec<Task>, Error> {
    take(database, order, "AND ?2 IS NOT NULL", now_ms).await
}

async fn take(database: &Database, order: Id, condition: &str, now_ms: i64) -> Result<Vec<Task>, Error> {
    let take = format!(
        "UPDATE tasks SET held = 1, holder = holder + 1, due_at_ms = ?3, attempts = attempts + 1
        WHERE order_id = ?1 {condition} AND NOT EXISTS (
            SELECT 1 FROM tasks AS earlier
            WHERE earlier.order_id = tasks.order_id AND earlier.lane = tasks.lane AND earlier.seq < tasks.seq
        ) RETURNING {COLUMNS}"
    );
    let params = [id(order), now_ms.into(), (now_ms + LEASE_MS).into()];
    database.execute(&take, &params).await?.into_iter().map(read).collect()
}

/// Whether somebody works on the checkout of an order now.
pub(crate) fn is_checkout_held(database: &Database, order: Id, now_ms: i64) -> Result<bool, Error> {
    const FIND: &str = "
        SELECT 1 FROM tasks WHERE order_id = ?1 AND kind = 'checkout' AND held = 1 AND due_at_ms > ?2";
    Ok(!database.read(FIND, &[id(order), now_ms.into()])?.is_empty())
}

/// Holds a task for longer, for its next step, which nobody has attempted yet.
pub(crate) async fn renew(transaction: &Transaction, task: &Task, now_ms: i64) -> Result<Option<Task>, Error> {
    let renew = format!(
        "UPDATE tasks SET held = 1, holder = holder + 1, due_at_ms = ?2, attempts = 1 WHERE seq = ?1
        RETURNING {COLUMNS}"
    );
    let renewed = transaction.execute(&renew, &[task.seq.into(), (now_ms + LEASE_MS).into()]).await?.pop();
    renewed.map(read).transpose()
}

/// Leaves a task to be taken up again at this time, unless somebody else has taken it up meanwhile.
pub(crate) async fn postpone(transaction: &Transaction, task: &Task, due_at_ms: i64) -> Result<(), Error> {
    const POSTPONE: &str = "UPDATE tasks SET held = 0, due_at_ms = ?3 WHERE seq = ?1 AND holder = ?2";
    transaction.execute(POSTPONE, &[task.seq.into(), task.holder.into(), due_at_ms.into()]).await?;
    Ok(())
}

/// Ends a task, and tells whether it was still there.
pub(crate) async fn close(transaction: &Transaction, task: &Task, now_ms: i64) -> Result<bool, Error> {
    const TOUCH: &str = "UPDATE orders SET touched_at_ms = ?2 WHERE id = ?1";
    let closed = transaction.execute("DELETE FROM tasks WHERE seq = ?1 RETURNING seq", &[task.seq.into()]).await?;
    transaction.execute(TOUCH, &[id(task.order), now_ms.into()]).await?;
    Ok(!closed.is_empty())
}

/// Ends the task of a kind that an order has.
pub(crate) async fn close_kind(transaction: &Transaction, order: Id, kind: Kind) -> Result<(), Error> {
    const CLOSE: &str = "DELETE FROM tasks WHERE order_id = ?1 AND kind = ?2";
    transaction.execute(CLOSE, &[id(order), kind.as_str().into()]).await?;
    Ok(())
}

fn read(mut row: Row) -> Result<Task, Error> {
    Ok(Task {
        seq: row.take(0)?,
        order: name(&mut row, 1)?,
        kind: Kind::parse(&row.take::<String>(2)?).ok_or(sql::Error::Column { column: 2, expected: "Kind" })?,
        reference: row.take(3)?,
        data: row.take(4)?,
        holder: row.take(5)?,
        attempts: row.take(6)?,
        created_at_ms: row.take(7)?,
    })
}
