//! Events for other services.

use commerce::{Limit, rfc3339};
use serde_json::{Value, json};
use service::Error;
use sql::{Database, Row, Transaction};

use super::id;
use crate::outbox::Message;

/// Writes an event down, in the transaction of the change that it is about.
pub(crate) async fn put(transaction: &Transaction, message: &Message) -> Result<(), Error> {
    let row = [
        id(message.id),
        message.kind.as_str().into(),
        message.subject.as_str().into(),
        rfc3339(message.at_ms).into(),
        message.data.to_string().into(),
    ];
    Ok(transaction.insert("INSERT INTO outbox (id, type, subject, time, data)", [row], "").await?)
}

/// The events after the one with this number, in their order, as JSON.
pub(crate) async fn after(database: &Database, seq: i64, limit: Limit) -> Result<Vec<Value>, Error> {
    const FIND: &str = "SELECT seq, id, type, subject, time, data FROM outbox WHERE seq > ?1 ORDER BY seq LIMIT ?2";
    let event = |mut row: Row| {
        Ok(json!({
            "seq": row.take::<i64>(0)?,
            "id": row.take::<String>(1)?,
            "type": row.take::<String>(2)?,
            "subject": row.take::<String>(3)?,
            "time": row.take::<String>(4)?,
            "data": serde_json::from_str::<Value>(&row.take::<String>(5)?)?,
        }))
    };
    database.execute(FIND, &[seq.into(), limit.get().into()]).await?.into_iter().map(event).collect()
}
