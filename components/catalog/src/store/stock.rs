//! Adjusting a counted stock, and the audit rows of all that changes one.

use std::collections::BTreeSet;

use service::Error;
use sql::{Database, Transaction, Value};

use super::json_list;
use crate::error::Refusal;

/// The stock of a variant after an adjustment.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Adjusted {
    pub(crate) sku: String,
    pub(crate) on_hand: u32,
    pub(crate) reserved: u32,
    pub(crate) available: u32,
}

/// Who changes a stock, and why.
pub(crate) struct Cause<'a> {
    pub(crate) actor: &'a str,
    pub(crate) reason: &'a str,
}

/// A counted stock that has changed.
pub(crate) struct Moved<'a> {
    pub(crate) sku: &'a str,
    pub(crate) delta: i64,
    /// What it came to.
    pub(crate) on_hand: u32,
}

/// Writes down what has changed, who did it and why.
pub(crate) async fn audit(transaction: &Transaction, moved: Vec<Moved<'_>>, cause: &Cause<'_>) -> Result<(), Error> {
    const HEAD: &str = "INSERT INTO stock_adjustments (sku, delta, on_hand, reason, actor, at_ms)";
    let now_ms = commerce::unix_ms();
    let row = |moved: Moved<'_>| {
        [
            moved.sku.into(),
            moved.delta.into(),
            moved.on_hand.into(),
            cause.reason.into(),
            cause.actor.into(),
            now_ms.into(),
        ]
    };
    Ok(transaction.insert(HEAD, moved.into_iter().map(row), "").await?)
}

/// The products that have these SKUs.
pub(crate) fn products_of(database: &Database, skus: &[String]) -> Result<BTreeSet<i64>, Error> {
    const PRODUCTS: &str = "SELECT DISTINCT product FROM variants WHERE sku IN (SELECT value FROM json_each(?1))";
    let rows = database.read(PRODUCTS, &[json_list(skus)])?;
    rows.into_iter().map(|mut row| Ok(row.take(0)?)).collect()
}

/// Adds units to a variant of a product (or takes them away) and writes down who did it and why.
pub(crate) async fn adjust(
    transaction: &Transaction,
    product_seq: i64,
    sku: &str,
    delta: i64,
    cause: &Cause<'_>,
) -> Result<Adjusted, Error> {
    const MOVE: &str = "
        UPDATE variants SET on_hand = on_hand + ?3, moves = moves + 1 WHERE sku = ?1 AND product = ?2
        RETURNING on_hand, reserved";
    let of_variant = [sku.into(), Value::Integer(product_seq), delta.into()];
    let moved = match transaction.execute(MOVE, &of_variant).await {
        Err(error) if error.names("stock_") => {
            const LEFT: &str = "SELECT on_hand - reserved FROM variants WHERE sku = ?1 AND product = ?2";
            let mut rows = transaction.execute(LEFT, &of_variant[..2]).await?;
            let available = rows.pop().map_or(Ok(0), |mut row| row.take(0))?;
            return Err(Refusal::StockShort { sku: sku.to_owned(), available }.into());
        }
        moved => moved?.pop(),
    };
    let mut moved = moved.ok_or_else(|| Error::NotFound { what: "variant", key: sku.to_owned() })?;
    let (on_hand, reserved) = (moved.take::<u32>(0)?, moved.take::<u32>(1)?);
    audit(transaction, vec![Moved { sku, delta, on_hand }], cause).await?;
    Ok(Adjusted { sku: sku.to_owned(), on_hand, reserved, available: on_hand.saturating_sub(reserved) })
}
