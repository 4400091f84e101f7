//! Restocks, each made once, with the audit rows of the stock that they add.

use service::Error;
use sql::{Database, Transaction};

use super::json_list;
use super::reservations::find_in;
use super::stock::{Cause, Moved, audit};
use crate::error::Refusal;
use crate::reservation::{Line, State};
use crate::restock::{Restock, exceeding};

/// Adds the units of a restock to the stock. The same restock again changes nothing. Units of variants that are
/// no longer in the catalogue go nowhere.
pub(crate) async fn make(database: &Database, restock: &Restock, now_ms: i64) -> Result<(), Error> {
    let transaction = database.begin().await?;
    if let Some(earlier) = find(&transaction, &restock.restock_id).await? {
        return match earlier == *restock {
            true => Ok(()),
            false => Err(Refusal::RestockDiffers(earlier.restock_id).into()),
        };
    }
    let reservation = find_in(&transaction, &restock.order_id).await?;
    if reservation.state != State::Committed {
        return Err(Refusal::NotCommitted(reservation.state.as_str()).into());
    }
    let given_back = of_order(&transaction, &restock.order_id).await?;
    let exceeding = exceeding(&reservation.lines, &given_back, &restock.lines);
    if !exceeding.is_empty() {
        return Err(Refusal::RestockExceedsOrder(exceeding).into());
    }
    add(&transaction, restock).await?;
    let row = [
        restock.restock_id.as_str().into(),
        restock.order_id.as_str().into(),
        json_list(&restock.lines),
        now_ms.into(),
    ];
    transaction.insert("INSERT INTO restocks (id, order_id, lines, at_ms)", [row], "").await?;
    Ok(transaction.commit().await?)
}

async fn add(transaction: &Transaction, restock: &Restock) -> Result<(), Error> {
    const ADD: &str = "
        UPDATE variants SET on_hand = on_hand + (line.value ->> 'quantity'), moves = moves + 1
        FROM json_each(?1) AS line WHERE variants.sku = line.value ->> 'sku'
        RETURNING sku, on_hand";
    let rows = transaction.execute(ADD, &[json_list(&restock.lines)]).await?;
    let on_hand: Vec<(String, u32)> =
        rows.into_iter().map(|mut row| Ok((row.take(0)?, row.take(1)?))).collect::<Result<_, sql::Error>>()?;
    let moved = restock.lines.iter().filter_map(|line| {
        let (_, on_hand) = on_hand.iter().find(|(sku, _)| sku == line.sku.as_str())?;
        Some(Moved { sku: line.sku.as_str(), delta: line.quantity.get().into(), on_hand: *on_hand })
    });
    let (actor, reason) = (format!("order {}", restock.order_id), format!("restock {}", restock.restock_id));
    audit(transaction, moved.collect(), &Cause { actor: &actor, reason: &reason }).await
}

async fn find(transaction: &Transaction, restock_id: &str) -> Result<Option<Restock>, Error> {
    const FIND: &str = "SELECT order_id, lines FROM restocks WHERE id = ?1";
    let Some(mut row) = transaction.execute(FIND, &[restock_id.into()]).await?.pop() else { return Ok(None) };
    Ok(Some(Restock {
        restock_id: restock_id.to_owned(),
        order_id: row.take(0)?,
        lines: serde_json::from_str(&row.take::<String>(1)?)?,
    }))
}

/// The lines of all restocks of an order so far.
async fn of_order(transaction: &Transaction, order_id: &str) -> Result<Vec<Line>, Error> {
    const LINES: &str = "SELECT lines FROM restocks WHERE order_id = ?1";
    let mut lines = Vec::new();
    for mut row in transaction.execute(LINES, &[order_id.into()]).await? {
        lines.extend(serde_json::from_str::<Vec<Line>>(&row.take::<String>(0)?)?);
    }
    Ok(lines)
}
