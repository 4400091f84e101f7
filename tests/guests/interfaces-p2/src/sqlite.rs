//! fermyon:spin/sqlite@2.0.0.

use serde_json::{Value as Json, json};

use crate::bindings::fermyon::spin::sqlite::{Connection, Error, QueryResult, Value};

const CREATE: &str = "CREATE TABLE IF NOT EXISTS kinds (i INTEGER, r REAL, t TEXT, b BLOB, n)";

pub(crate) fn use_database(label: &str) -> Result<Json, Error> {
    let connection = Connection::open(label)?;
    connection.execute(CREATE, &[])?;
    connection.execute("DELETE FROM kinds", &[])?;
    let values =
        [Value::Integer(-7), Value::Real(1.5), Value::Text("text".to_owned()), Value::Blob(vec![0, 255]), Value::Null];
    connection.execute("INSERT INTO kinds VALUES (?, ?, ?, ?, ?)", &values)?;
    let result = connection.execute("SELECT i, r, t, b, n FROM kinds", &[])?;
    Ok(json!({
        "columns": result.columns,
        "values": result.rows.iter().flat_map(|row| row.values.iter().map(to_json)).collect::<Vec<_>>(),
        "bad_syntax": error(connection.execute("SELEKT 1", &[])),
        "bad_parameters": error(connection.execute("SELECT ?", &[])),
        "attach": error(connection.execute("ATTACH 'elsewhere.db' AS elsewhere", &[])),
    }))
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

fn error(result: Result<QueryResult, Error>) -> Option<String> {
    result.err().map(|error| format!("{error:?}"))
}
