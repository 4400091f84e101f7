//! spin:sqlite@3.1.0, both its asynchronous functions and its synchronous ones.

use serde_json::{Value as Json, json};
use spin_sdk::sqlite::{Connection, Error, Value, wit};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS kinds (i INTEGER, r REAL, t TEXT, b BLOB, n)";
const INSERT: &str = "INSERT INTO kinds VALUES (?, ?, ?, ?, ?)";
const SELECT: &str = "SELECT i, r, t, b, n FROM kinds ORDER BY rowid DESC LIMIT 1";

pub(crate) async fn use_database(label: &str) -> Result<Json, Error> {
    let connection = Connection::open(label).await?;
    run(&connection, CREATE, []).await?;
    run(&connection, "DELETE FROM kinds", []).await?;
    run(&connection, INSERT, values()).await?;
    let changes = connection.changes().await;
    let last_insert_rowid = connection.last_insert_rowid().await;
    let result = connection.execute(SELECT, []).await?;
    let columns = result.columns().to_vec();
    let rows = result.collect().await?;
    let synchronous = wit::sqlite::Connection::open(label)?.execute(SELECT, &[])?;
    Ok(json!({
        "columns": columns,
        "values": rows.iter().flat_map(|row| row.values.iter().map(to_json)).collect::<Vec<_>>(),
        "changes": changes,
        "last_insert_rowid": last_insert_rowid,
        "same_synchronously": synchronous.columns == columns && synchronous.rows.len() == rows.len(),
        "bad_syntax": error(run(&connection, "SELEKT 1", []).await),
        "bad_parameters": error(run(&connection, "SELECT ?", []).await),
        "attach": error(run(&connection, "ATTACH 'elsewhere.db' AS elsewhere", []).await),
    }))
}

/// Waits for the end of the rows before it reads any of them.
pub(crate) async fn end_before_rows(label: &str) -> Result<Json, Error> {
    let connection = wit::sqlite::Connection::open_async(label.to_owned()).await?;
    let statement = "SELECT 1 UNION SELECT 2".to_owned();
    let (columns, rows, end) = connection.execute_async(statement, Vec::new()).await?;
    end.await?;
    Ok(json!({ "columns": columns.len(), "rows": rows.collect().await.len() }))
}

/// Leaves one transaction by ROLLBACK and another by dropping its connection.
pub(crate) async fn roll_back(label: &str) -> Result<Json, Error> {
    let connection = Connection::open(label).await?;
    run(&connection, CREATE, []).await?;
    run(&connection, "DELETE FROM kinds", []).await?;
    run(&connection, "BEGIN", []).await?;
    run(&connection, INSERT, values()).await?;
    let inside = count(&connection).await?;
    run(&connection, "ROLLBACK", []).await?;
    let rolled_back = count(&connection).await?;

    let dropped = Connection::open(label).await?;
    run(&dropped, "BEGIN", []).await?;
    run(&dropped, INSERT, values()).await?;
    drop(dropped);
    // A write waits for the writer, so it comes after the end of the dropped transaction.
    run(&connection, "DELETE FROM kinds WHERE i = -1", []).await?;
    let after_drop = count(&connection).await?;
    Ok(json!({ "inside": inside, "rolled_back": rolled_back, "after_drop": after_drop }))
}

async fn count(connection: &Connection) -> Result<i64, Error> {
    let rows = connection.execute("SELECT count(*) FROM kinds", []).await?.collect().await?;
    Ok(rows.first().and_then(|row| row.get(0)).unwrap_or(-1))
}

async fn run(
    connection: &Connection,
    statement: &str,
    parameters: impl IntoIterator<Item = Value>,
) -> Result<(), Error> {
    connection.execute(statement, parameters).await?.result().await
}

fn values() -> [Value; 5] {
    [Value::Integer(-7), Value::Real(1.5), "text".into(), [0, 255].into(), Value::Null]
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Integer(integer) => json!({ "integer": integer }),
        Value::Real(real) => json!({ "real": real }),
        Value::Text(text) => json!({ "text": text }),
        Value::Blob(bytes) => json!({ "blob": bytes }),
        Value::Null => Json::Null,
    }
}

fn error(result: Result<(), Error>) -> Option<String> {
    result.err().map(|error| format!("{error:?}"))
}
