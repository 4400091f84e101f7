//! Operations: written down before the provider is called, open until the outcome is known.
//!
//! Whoever works on one moves its due time ahead, so that nobody else takes it up meanwhile; if they die, it is due
//! again after that time.

use commerce::Id;
use service::Error;
use service::column::{id, name};
use sql::{Database, Row, Transaction, Value};

use crate::operation::{Kind, Operation};

/// Operations that are counted at most.
const COUNTED_MAX: u32 = 1_000;

/// Writes an operation down that is due at this time, and tells whether it is new: there is one open operation of a
/// kind.
pub(crate) async fn open(transaction: &Transaction, operation: &Operation, due_at_ms: i64) -> Result<bool, Error> {
    const OPEN: &str = "
        INSERT INTO operations (id, intent, kind, refund, attempts, due_at_ms, created_at_ms)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING RETURNING id";
    let params = [
        id(operation.id),
        id(operation.intent),
        operation.kind.as_str().into(),
        operation.refund.map_or(Value::Null, id),
        operation.attempts.into(),
        due_at_ms.into(),
        operation.created_at_ms.into(),
    ];
    Ok(!transaction.execute(OPEN, &params).await?.is_empty())
}

/// Takes up the operation that has been due for longest, of one intent or of all. The operations on a charge go in
/// their order; refunds do not wait for each other. The caller has it for `claim_ms`.
pub(crate) async fn claim(
    database: &Database,
    intent: Option<Id>,
    now_ms: i64,
    claim_ms: i64,
) -> Result<Option<Operation>, Error> {
    let of_intent = if intent.is_some() { "AND intent = ?3" } else { "" };
    let claim = format!(
        "UPDATE operations SET due_at_ms = ?2, attempts = attempts + 1 WHERE seq = (
            SELECT seq FROM operations AS next
            WHERE open = 1 AND due_at_ms <= ?1 {of_intent} AND (kind = 'refund' OR NOT EXISTS (
                SELECT 1 FROM operations AS earlier
                WHERE earlier.intent = next.intent AND earlier.open = 1 AND earlier.kind <> 'refund'
                    AND earlier.seq < next.seq
            ))
            ORDER BY due_at_ms, seq LIMIT 1
        ) RETURNING id, intent, kind, refund, attempts, created_at_ms"
    );
    let mut params = vec![now_ms.into(), (now_ms + claim_ms).into()];
    params.extend(intent.map(id));
    database.execute(&claim, &params).await?.pop().map(read).transpose()
}

/// How many operations have an outcome that is not known, and for how many seconds the first of them has been open; no more
/// than [`COUNTED_MAX`] are looked at.
pub(crate) fn open_now(database: &Database, now_ms: i64) -> Result<(u32, u32), Error> {
    const COUNT: &str = "
        SELECT count(*), max(0, ?1 - ifnull(min(created_at_ms), ?1)) / 1000
        FROM (SELECT created_at_ms FROM operations WHERE open = 1 LIMIT ?2)";
    let mut counted = database.read(COUNT, &[now_ms.into(), COUNTED_MAX.into()])?;
    counted.pop().map_or(Ok((0, 0)), |mut row| Ok((row.take(0)?, row.take(1)?)))
}

/// Leaves an operation open, to be taken up again at this time.
pub(crate) async fn postpone(transaction: &Transaction, operation: Id, due_at_ms: i64) -> Result<(), Error> {
    const POSTPONE: &str = "UPDATE operations SET due_at_ms = ?2 WHERE id = ?1 AND open = 1";
    transaction.execute(POSTPONE, &[id(operation), due_at_ms.into()]).await?;
    Ok(())
}

/// Ends an operation.
pub(crate) async fn close(transaction: &Transaction, operation: Id) -> Result<(), Error> {
    transaction.execute("UPDATE operations SET open = 0 WHERE id = ?1", &[id(operation)]).await?;
    Ok(())
}

/// Ends what is open of these kinds on an intent's charge.
pub(crate) async fn close_kinds(transaction: &Transaction, intent: Id, kinds: &[Kind]) -> Result<(), Error> {
    const CLOSE: &str = "UPDATE operations SET open = 0 WHERE intent = ?1 AND open = 1 AND kind = ?2";
    for kind in kinds {
        transaction.execute(CLOSE, &[id(intent), kind.as_str().into()]).await?;
    }
    Ok(())
}

/// Ends what is open of a refund.
pub(crate) async fn close_refund(transaction: &Transaction, intent: Id, refund: Id) -> Result<(), Error> {
    const CLOSE: &str = "UPDATE operations SET open = 0 WHERE intent = ?1 AND open = 1 AND refund = ?2";
    transaction.execute(CLOSE, &[id(intent), id(refund)]).await?;
    Ok(())
}

/// Whether an operation of this kind is open.
pub(crate) async fn is_open(transaction: &Transaction, intent: Id, kind: Kind) -> Result<bool, Error> {
    const FIND: &str = "SELECT 1 FROM operations WHERE intent = ?1 AND open = 1 AND kind = ?2";
    Ok(!transaction.execute(FIND, &[id(intent), kind.as_str().into()]).await?.is_empty())
}

fn read(mut row: Row) -> Result<Operation, Error> {
    let refund: Option<String> = row.take(3)?;
    Ok(Operation {
        id: name(&mut row, 0)?,
        intent: name(&mut row, 1)?,
        kind: Kind::parse(&row.take::<String>(2)?).ok_or(sql::Error::Column { column: 2, expected: "Kind" })?,
        refund: refund.map(|refund| serde_json::from_value(refund.into())).transpose()?,
        attempts: row.take(4)?,
        created_at_ms: row.take(5)?,
    })
}
