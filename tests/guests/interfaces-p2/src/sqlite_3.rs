//! spin:sqlite@3.0.0.

use serde_json::{Value as Json, json};

use crate::bindings::spin::sqlite::sqlite::{Connection, Error, QueryResult, Value};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS numbers (n INTEGER)";

pub(crate) fn use_database(label: &str) -> Result<Json, Error> {
    let connection = Connection::open(label)?;
    connection.execute(CREATE, &[])?;
    connection.execute("DELETE FROM numbers", &[])?;
    connection.execute("INSERT INTO numbers VALUES (?), (?)", &[Value::Integer(4), Value::Integer(2)])?;
    let changes = connection.changes();
    let last_insert_rowid = connection.last_insert_rowid();
    let result = connection.execute("SELECT n FROM numbers ORDER BY n", &[])?;
    Ok(json!({
        "columns": result.columns,
        "values": integers(&result),
        "changes": changes,
        "last_insert_rowid": last_insert_rowid,
        "bad_syntax": connection.execute("SELEKT 1", &[]).err().map(|error| format!("{error:?}")),
    }))
}

/// Leaves one transaction by ROLLBACK and another by dropping its connection.
pub(crate) fn roll_back(label: &str) -> Result<Json, Error> {
    let connection = Connection::open(label)?;
    connection.execute(CREATE, &[])?;
    connection.execute("DELETE FROM numbers", &[])?;
    connection.execute("BEGIN", &[])?;
    connection.execute("INSERT INTO numbers VALUES (1)", &[])?;
    let inside = count(&connection)?;
    connection.execute("ROLLBACK", &[])?;
    let rolled_back = count(&connection)?;

    let dropped = Connection::open(label)?;
    dropped.execute("BEGIN", &[])?;
    dropped.execute("INSERT INTO numbers VALUES (1)", &[])?;
    drop(dropped);
    // A write waits for the writer, so it comes after the end of the dropped transaction.
    connection.execute("DELETE FROM numbers WHERE n = -1", &[])?;
    let after_drop = count(&connection)?;
    Ok(json!({ "inside": inside, "rolled_back": rolled_back, "after_drop": after_drop }))
}

fn count(connection: &Connection) -> Result<Option<i64>, Error> {
    let result = connection.execute("SELECT count(*) FROM numbers", &[])?;
    Ok(integers(&result).first().copied())
}

fn integers(result: &QueryResult) -> Vec<i64> {
    let values = result.rows.iter().flat_map(|row| &row.values);
    values.filter_map(|value| if let Value::Integer(n) = value { Some(*n) } else { None }).collect()
}
