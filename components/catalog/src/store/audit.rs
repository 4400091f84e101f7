//! The stock held against its own books: what is reserved, what was sold, and what every count came from.

use serde_json::{Value, json};
use service::Error;
use sql::{Database, Row};

use crate::reservation::{Line, Reservation};

/// Variants that one audit names at most.
pub(crate) const FINDINGS_MAX: u32 = 100;

/// A reservation, and what else the catalog keeps for its order.
pub(crate) struct Kept {
    pub(crate) reservation: Reservation,
    /// The lines of all restocks of the order.
    pub(crate) restocked: Vec<Line>,
    /// Where its redemption stands, if it has one.
    pub(crate) redemption: Option<String>,
}

/// The reservations of the orders after this one, by order.
pub(crate) async fn reservations(database: &Database, after: &str, limit: u32) -> Result<Vec<Kept>, Error> {
    const LIST: &str = "
        SELECT order_id, state, lines, expires_at_ms, (
            SELECT json_group_array(json(line.value)) FROM restocks, json_each(restocks.lines) AS line
            WHERE restocks.order_id = reservations.order_id
        ), (SELECT state FROM redemptions WHERE redemptions.order_id = reservations.order_id)
        FROM reservations WHERE order_id > ?1 ORDER BY order_id LIMIT ?2";
    let kept = |mut row: Row| {
        Ok(Kept {
            reservation: Reservation {
                order_id: row.take(0)?,
                state: serde_json::from_value(row.take::<String>(1)?.into())?,
                lines: serde_json::from_str(&row.take::<String>(2)?)?,
                expires_at_ms: row.take(3)?,
            },
            restocked: serde_json::from_str(&row.take::<String>(4)?)?,
            redemption: row.take(5)?,
        })
    };
    database.execute(LIST, &[after.into(), limit.into()]).await?.into_iter().map(kept).collect()
}

/// The variants whose counts do not add up.
pub(crate) struct WrongCounts {
    /// How many there are.
    pub(crate) total: u32,
    /// The first of them, as JSON.
    pub(crate) first: Vec<Value>,
}

/// How many variants there are.
pub(crate) async fn variants(database: &Database) -> Result<u32, Error> {
    let row = database.execute("SELECT count(*) FROM variants", &[]).await?.pop();
    Ok(row.map_or(Ok(0), |mut row| row.take(0))?)
}

/// The variants whose counts do not add up: more is reserved than is held for orders or than there is, or what is at
/// hand is not what was counted in, less what was sold.
pub(crate) async fn wrong_counts(database: &Database) -> Result<WrongCounts, Error> {
    const WRONG: &str = "
        WITH held AS (
            SELECT line.value ->> 'sku' AS sku, sum(line.value ->> 'quantity') AS units
            FROM reservations, json_each(lines) AS line WHERE state = 'held' GROUP BY 1
        ), sold AS (
            SELECT line.value ->> 'sku' AS sku, sum(line.value ->> 'quantity') AS units
            FROM reservations, json_each(lines) AS line WHERE state = 'committed' GROUP BY 1
        ), counted AS (
            SELECT sku, sum(delta) AS units FROM stock_adjustments GROUP BY 1
        )
        SELECT variants.sku, on_hand, reserved, coalesce(held.units, 0), coalesce(sold.units, 0),
            coalesce(counted.units, 0), count(*) OVER ()
        FROM variants LEFT JOIN held USING (sku) LEFT JOIN sold USING (sku) LEFT JOIN counted USING (sku)
        WHERE reserved < 0 OR reserved > on_hand OR reserved <> coalesce(held.units, 0)
            OR on_hand <> coalesce(counted.units, 0) - coalesce(sold.units, 0)
        ORDER BY variants.sku LIMIT ?1";
    let mut total = 0;
    let wrong = |mut row: Row| {
        total = row.take(6)?;
        Ok(json!({
            "sku": row.take::<String>(0)?,
            "on_hand": row.take::<i64>(1)?,
            "reserved": row.take::<i64>(2)?,
            "held": row.take::<i64>(3)?,
            "sold": row.take::<i64>(4)?,
            "counted": row.take::<i64>(5)?,
        }))
    };
    let rows = database.execute(WRONG, &[FINDINGS_MAX.into()]).await?;
    let first = rows.into_iter().map(wrong).collect::<Result<_, Error>>()?;
    Ok(WrongCounts { total, first })
}
