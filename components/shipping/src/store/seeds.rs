//! Which defaults were put in already.

use service::Error;
use sql::{Database, Transaction};

/// Whether these defaults were put in.
pub(crate) fn is_in(database: &Database, name: &str) -> Result<bool, Error> {
    Ok(!database.read("SELECT 1 FROM seeds WHERE name = ?1", &[name.into()])?.is_empty())
}

/// Writes down that they are; false if they were already.
pub(crate) async fn put(transaction: &Transaction, name: &str) -> Result<bool, Error> {
    const PUT: &str = "INSERT INTO seeds (name) VALUES (?1) ON CONFLICT DO NOTHING RETURNING name";
    Ok(!transaction.execute(PUT, &[name.into()]).await?.is_empty())
}
