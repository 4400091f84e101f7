//! Reservations: stock held for an order until it is committed, released, or its time is up.
//!
//! Every step is one statement, and so one transaction of its own; the triggers of the schema move the stock
//! with it. The constraint that reserved stock never exceeds counted stock decides between two buyers.

use service::{Error, figures};
use sql::{Database, Row, Transaction, Value};

use super::json_list;
use crate::error::{Refusal, Short};
use crate::reservation::{Line, Reservation, State};

/// Reservations that one sweep ends at most.
pub(crate) const SWEEP_MAX: u32 = 500;
/// Sweeps that a buyer who found too little waits for at most.
const SWEEPS_MAX: u32 = 100;

/// The counter of orders for which there was not enough stock.
pub(crate) const STOCK_OUTS: &str = "stock_outs_total";

/// What sweeps have given back.
#[derive(Default)]
pub(crate) struct Swept {
    /// The SKUs, which may be there more than once.
    pub(crate) skus: Vec<String>,
}

/// The SKUs of these lines.
pub(crate) fn skus(lines: &[Line]) -> impl Iterator<Item = String> {
    lines.iter().map(|line| line.sku.as_str().to_owned())
}

/// Holds the lines for an order. The same order again holds them for longer, if the new time is later; what has
/// expired is held anew. A reservation that was ended otherwise stays as it is. `freed` has what was given back for it, even if
/// that was not enough.
pub(crate) async fn hold(
    database: &Database,
    order_id: &str,
    lines: &[Line],
    now_ms: i64,
    expires_at_ms: i64,
    freed: &mut Swept,
) -> Result<Reservation, Error> {
    const HOLD: &str = "
        INSERT INTO reservations (order_id, lines, expires_at_ms) VALUES (?1, ?2, ?3)
        ON CONFLICT (order_id) DO UPDATE SET expires_at_ms = max(expires_at_ms, excluded.expires_at_ms)
            WHERE state = 'held' AND lines = excluded.lines
        RETURNING expires_at_ms";
    let params = [order_id.into(), json_list(lines), expires_at_ms.into()];
    let mut sweeps = 0;
    loop {
        match database.execute(HOLD, &params).await {
            Ok(mut rows) => {
                let Some(mut row) = rows.pop() else { break };
                return Ok(Reservation {
                    order_id: order_id.to_owned(),
                    state: State::Held,
                    lines: lines.to_vec(),
                    expires_at_ms: row.take(0)?,
                });
            }
            // What is short may be held by orders whose time is up.
            Err(error) if is_shortage(&error) && sweeps < SWEEPS_MAX && sweep(database, now_ms, freed).await? > 0 => {
                sweeps += 1
            }
            Err(error) if is_shortage(&error) => {
                figures::count(STOCK_OUTS, 1);
                return Err(Refusal::OutOfStock(short(database, lines).await?).into());
            }
            Err(error) => return Err(error.into()),
        }
    }
    let existing = find(database, order_id).await?;
    match existing.lines == lines {
        true => Ok(existing),
        false => Err(Refusal::ReservationDiffers(order_id.to_owned()).into()),
    }
}

/// Ends a held reservation. Ending it the same way again changes nothing.
pub(crate) async fn end(database: &Database, order_id: &str, state: State) -> Result<Reservation, Error> {
    const END: &str = "UPDATE reservations SET state = ?2 WHERE order_id = ?1 AND state = 'held'";
    database.execute(END, &[order_id.into(), state.as_str().into()]).await?;
    let reservation = find(database, order_id).await?;
    // Stock of an expired reservation has been given back, which is all that a release is for.
    let fulfilled = reservation.state == state || (state == State::Released && reservation.state == State::Expired);
    match fulfilled {
        true => Ok(reservation),
        false => Err(Refusal::ReservationClosed(reservation.state.as_str().to_owned(), state.as_str()).into()),
    }
}

/// Ends the reservations whose time is up, the oldest first, and tells how many.
pub(crate) async fn sweep(database: &Database, now_ms: i64, freed: &mut Swept) -> Result<usize, Error> {
    const SWEEP: &str = "
        UPDATE reservations SET state = 'expired' WHERE order_id IN (
            SELECT order_id FROM reservations
            WHERE state = 'held' AND expires_at_ms <= ?1 ORDER BY expires_at_ms LIMIT ?2
        ) RETURNING lines";
    let swept = database.execute(SWEEP, &[Value::Integer(now_ms), SWEEP_MAX.into()]).await?;
    let count = swept.len();
    for mut row in swept {
        let lines: Vec<Line> = serde_json::from_str(&row.take::<String>(0)?)?;
        freed.skus.extend(skus(&lines));
    }
    Ok(count)
}

/// The reservation of an order.
pub(crate) async fn find(database: &Database, order_id: &str) -> Result<Reservation, Error> {
    found(database.execute(FIND, &[order_id.into()]).await?, order_id)
}

/// The reservation of an order as a transaction sees it.
pub(crate) async fn find_in(transaction: &Transaction, order_id: &str) -> Result<Reservation, Error> {
    found(transaction.execute(FIND, &[order_id.into()]).await?, order_id)
}

const FIND: &str = "SELECT state, lines, expires_at_ms FROM reservations WHERE order_id = ?1";

fn found(rows: Vec<Row>, order_id: &str) -> Result<Reservation, Error> {
    let found = rows.into_iter().next();
    let mut row = found.ok_or_else(|| Error::NotFound { what: "reservation", key: order_id.to_owned() })?;
    Ok(Reservation {
        order_id: order_id.to_owned(),
        state: serde_json::from_value(row.take::<String>(0)?.into())?,
        lines: serde_json::from_str(&row.take::<String>(1)?)?,
        expires_at_ms: row.take(2)?,
    })
}

fn is_shortage(error: &sql::Error) -> bool {
    error.names("stock_covers_reservations") || error.names("reservation_names_unknown_sku")
}

/// The lines that are short now. If stock came back meanwhile there may be none, and the buyer may try again.
async fn short(database: &Database, lines: &[Line]) -> Result<Vec<Short>, Error> {
    const SHORT: &str = "
        SELECT line.value ->> 'sku', line.value ->> 'quantity', coalesce(sellable.units, 0)
        FROM json_each(?1) AS line LEFT JOIN (
            SELECT sku, on_hand - reserved AS units FROM variants WHERE archived = 0
        ) AS sellable ON sellable.sku = line.value ->> 'sku'
        WHERE coalesce(sellable.units, 0) < line.value ->> 'quantity' ORDER BY line.key";
    let row = |mut row: Row| Ok(Short { sku: row.take(0)?, requested: row.take(1)?, available: row.take(2)? });
    database.execute(SHORT, &[json_list(lines)]).await?.into_iter().map(row).collect()
}
