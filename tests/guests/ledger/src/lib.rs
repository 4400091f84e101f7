//! Numbered writes, each acknowledged with 201 only once the store has taken it. The last path segment says what:
//!
//! | request | what happens |
//! |---|---|
//! | `POST rows?n=` | one row in one statement |
//! | `POST pairs?n=` | two rows, `n` and `-n`, in one transaction over four calls |
//! | `POST keys?n=` | one key |
//! | `POST blob?n=` | a row of `n` random bytes |
//! | `POST increment` `POST swap` | adds 1 to the counter of that name, by increment or by compare-and-swap |
//! | `GET rows`, `pairs`, `keys` | the numbers, ascending |
//! | `GET increment`, `swap` | the counter |
//! | `GET synchronous` | what SQLite says about the durability of a write: 2 for `full`, 1 for `normal` |
//! | `POST transaction?n=` | a transaction that stands still for `n` milliseconds before its COMMIT |
//! | `POST trap?n=` | a transaction that adds a row, and traps before its COMMIT |
//! | `GET integrity` | what SQLite says about its file |
//!
//! A store that fails gives 507 when it is full and 500 otherwise, with the error's name.

mod counters;
mod keys;
mod tables;

use serde_json::Value;
use spin_sdk::http::{IntoResponse, Json, Method, Request, StatusCode};
use spin_sdk::sqlite;

/// The label of the database and of the key-value store.
const LABEL: &str = "default";

/// What went wrong, as the answer says it.
struct Failure(StatusCode, String);

#[spin_sdk::http_service]
async fn ledger(request: Request) -> Result<impl IntoResponse, spin_sdk::http::Error> {
    let uri = request.uri();
    let subject = uri.path().rsplit('/').next().unwrap_or_default();
    let n = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes())
        .find(|(name, _)| name == "n")
        .and_then(|(_, n)| n.parse().ok())
        .unwrap_or(0);
    let writes = request.method() == Method::POST;
    let result = match (writes, subject) {
        (true, "rows") => tables::add_row(n).await,
        (true, "pairs") => tables::add_pair(n).await,
        (true, "blob") => tables::add_blob(n).await,
        (true, "transaction") => tables::stand_still(n).await,
        (true, "trap") => tables::trap_in_transaction(n).await,
        (true, "keys") => keys::add(n).await,
        (true, "increment") => counters::increment(),
        (true, "swap") => counters::swap(),
        (false, "rows" | "pairs") => tables::numbers(subject).await,
        (false, "keys") => keys::numbers().await,
        (false, "increment" | "swap") => counters::read(subject),
        (false, "synchronous") => tables::synchronous().await,
        (false, "integrity") => tables::integrity().await,
        _ => Err(Failure(StatusCode::NOT_FOUND, subject.to_owned())),
    };
    let (status, body) = match result {
        Ok(body) if writes => (StatusCode::CREATED, body),
        Ok(body) => (StatusCode::OK, body),
        Err(Failure(status, text)) => (status, Value::from(text)),
    };
    Ok((status, Json(body)))
}

impl From<sqlite::Error> for Failure {
    fn from(error: sqlite::Error) -> Self {
        let status = match error {
            sqlite::Error::DatabaseFull => StatusCode::INSUFFICIENT_STORAGE,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        Self(status, format!("{error:?}"))
    }
}
