//! Writes to the SQLite database `default`.

use std::time::Duration;

use serde_json::Value as Json;
use spin_sdk::sqlite::{Connection, Error, Value};
use spin_sdk::time::sleep;

use crate::{Failure, LABEL};

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS rows (n INTEGER)",
    "CREATE TABLE IF NOT EXISTS pairs (n INTEGER)",
    "CREATE TABLE IF NOT EXISTS blobs (bytes BLOB)",
];

pub(crate) async fn add_row(n: i64) -> Result<Json, Failure> {
    run(&open().await?, "INSERT INTO rows VALUES (?)", [n]).await?;
    Ok(n.into())
}

pub(crate) async fn add_pair(n: i64) -> Result<Json, Failure> {
    let connection = open().await?;
    run(&connection, "BEGIN IMMEDIATE", []).await?;
    run(&connection, "INSERT INTO pairs VALUES (?)", [n]).await?;
    run(&connection, "INSERT INTO pairs VALUES (?)", [-n]).await?;
    run(&connection, "COMMIT", []).await?;
    Ok(n.into())
}

pub(crate) async fn add_blob(bytes: i64) -> Result<Json, Failure> {
    run(&open().await?, "INSERT INTO blobs VALUES (randomblob(?))", [bytes]).await?;
    Ok(bytes.into())
}

/// The numbers in `table`, which is one of this module's own names, never a client's text.
pub(crate) async fn numbers(table: &str) -> Result<Json, Failure> {
    first_column(&format!("SELECT n FROM {table} ORDER BY n")).await
}

pub(crate) async fn integrity() -> Result<Json, Failure> {
    first_column("PRAGMA integrity_check").await
}

/// Asked inside of a transaction, because only those belong to the connection that writes.
pub(crate) async fn synchronous() -> Result<Json, Failure> {
    let connection = open().await?;
    run(&connection, "BEGIN IMMEDIATE", []).await?;
    let answer = column(&connection, "PRAGMA synchronous").await;
    run(&connection, "ROLLBACK", []).await?;
    answer
}

pub(crate) async fn stand_still(milliseconds: i64) -> Result<Json, Failure> {
    let connection = open().await?;
    run(&connection, "BEGIN IMMEDIATE", []).await?;
    sleep(Duration::from_millis(milliseconds.unsigned_abs())).await;
    run(&connection, "COMMIT", []).await?;
    Ok(milliseconds.into())
}

pub(crate) async fn trap_in_transaction(n: i64) -> Result<Json, Failure> {
    let connection = open().await?;
    run(&connection, "BEGIN IMMEDIATE", []).await?;
    run(&connection, "INSERT INTO rows VALUES (?)", [n]).await?;
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    Ok(n.into())
}

async fn open() -> Result<Connection, Error> {
    let connection = Connection::open(LABEL).await?;
    for table in TABLES {
        run(&connection, table, []).await?;
    }
    Ok(connection)
}

async fn run<const N: usize>(connection: &Connection, statement: &str, parameters: [i64; N]) -> Result<(), Error> {
    connection.execute(statement, parameters.map(Value::Integer)).await?.result().await
}

async fn first_column(query: &str) -> Result<Json, Failure> {
    column(&open().await?, query).await
}

async fn column(connection: &Connection, query: &str) -> Result<Json, Failure> {
    let rows = connection.execute(query, []).await?.collect().await?;
    let column = rows.iter().map(|row| match row.values.first() {
        Some(Value::Integer(integer)) => Json::from(*integer),
        Some(Value::Text(text)) => Json::from(text.as_str()),
        _ => Json::Null,
    });
    Ok(column.collect())
}
