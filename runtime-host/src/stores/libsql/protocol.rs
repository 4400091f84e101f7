//! Hrana 3 over HTTP, in JSON: what a client and a server of SQLite databases say to each other.
//!
//! The names are those of the specification (`docs/HRANA_3_SPEC.md` of libSQL), which also says to ignore members that are not known.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde::{Deserialize, Serialize};

use crate::stores::sqlite;

/// Where a pipeline goes, after the URL of the database.
pub const PIPELINE: &str = "/v3/pipeline";
/// Says that the client's whole instance stands still until the answer, so that its write is never kept waiting for a transaction which
/// may be of the same instance. Not part of Hrana: other servers do not look at it.
pub const STANDSTILL: &str = "bodega-standstill";
/// The code of an error where the transaction is gone. This and the next are codes that mean something to the client.
pub const TRANSACTION_LOST: &str = "BODEGA_TRANSACTION_LOST";
/// The code of an error where the database or its disk is full.
pub const FULL: &str = "SQLITE_FULL";

/// With or without padding, as clients and servers differ in it.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_encode_padding(false).with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Requests on one stream.
#[derive(Debug, Serialize, Deserialize)]
pub struct Pipeline {
    /// The stream; `None` for a new one.
    #[serde(default)]
    pub baton: Option<String>,
    /// They are carried out one after the other, whether or not the ones before succeed.
    pub requests: Vec<Request>,
}

/// The answer to a pipeline.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answers {
    /// The stream from now on; `None` if it is closed.
    pub baton: Option<String>,
    /// Where the stream's next pipeline goes, unless to the same URL.
    pub base_url: Option<String>,
    /// One for each request.
    pub results: Vec<Answer>,
}

/// A request.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the specification has them")]
pub enum Request {
    Close,
    Execute { stmt: Statement },
    Batch { batch: Batch },
    Sequence(SqlText),
    Describe(SqlText),
    StoreSql { sql_id: i32, sql: String },
    CloseSql { sql_id: i32 },
    GetAutocommit,
}

/// How a request ended.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Answer {
    /// It succeeded.
    Ok {
        /// What came out.
        response: Response,
    },
    /// It failed.
    Error {
        /// Why.
        error: Error,
    },
}

/// What came out of a request that succeeded.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the specification has them")]
pub enum Response {
    Close,
    Execute { result: Outcome },
    Batch { result: BatchOutcome },
    Sequence,
    StoreSql,
    CloseSql,
    GetAutocommit { is_autocommit: bool },
}

/// Why something failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Error {
    /// For people.
    pub message: String,
    /// For programs.
    #[serde(default)]
    pub code: Option<String>,
}

/// SQL, itself or by the number under which it was stored in the stream.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct SqlText {
    /// The text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// The number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sql_id: Option<i32>,
}

/// A statement.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Statement {
    /// What it says.
    #[serde(flatten)]
    pub text: SqlText,
    /// Values of parameters by place.
    #[serde(default)]
    pub args: Vec<Value>,
    /// Values of parameters by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub named_args: Vec<NamedArgument>,
    /// Whether the rows are of interest; yes by default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub want_rows: Option<bool>,
}

/// The value of a parameter with a name, which may be without its sign.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification has them")]
pub struct NamedArgument {
    pub name: String,
    pub value: Value,
}

/// What came out of a statement.
#[derive(Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The columns.
    pub cols: Vec<Column>,
    /// One value for each column.
    pub rows: Vec<Vec<Value>>,
    /// Rows that an INSERT, UPDATE or DELETE changed.
    pub affected_row_count: u64,
    /// A whole number as a text.
    pub last_insert_rowid: Option<String>,
}

/// A column of a result.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification has them")]
pub struct Column {
    pub name: Option<String>,
    #[serde(default)]
    pub decltype: Option<String>,
}

/// Statements of which each may depend on how others ended.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification has them")]
pub struct Batch {
    pub steps: Vec<Step>,
}

/// One statement of a batch.
#[derive(Debug, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification has them")]
pub struct Step {
    #[serde(default)]
    pub condition: Option<Condition>,
    pub stmt: Statement,
}

/// Whether a step is run.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the specification has them")]
pub enum Condition {
    Ok { step: usize },
    Error { step: usize },
    Not { cond: Box<Condition> },
    And { conds: Vec<Condition> },
    Or { conds: Vec<Condition> },
    IsAutocommit,
}

/// What came out of a batch: for each step an outcome, an error, or neither if it was not run.
#[derive(Debug, Default, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the specification has them")]
pub struct BatchOutcome {
    pub step_results: Vec<Option<Outcome>>,
    pub step_errors: Vec<Option<Error>>,
}

/// A SQLite value.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[expect(missing_docs, reason = "the specification has them")]
pub enum Value {
    Null,
    /// As a text, since many programs read a number with 53 bits.
    Integer {
        value: String,
    },
    Float {
        value: f64,
    },
    Text {
        value: String,
    },
    Blob {
        base64: String,
    },
}

/// A value cannot be said in this protocol, or was said wrongly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadValue {
    /// JSON has no such numbers.
    #[error("an infinite number cannot be sent to or from this database")]
    Infinite,
    /// It is not a signed 64-bit integer in decimal digits.
    #[error("an integer is not decimal digits of a signed 64-bit integer")]
    Integer,
    /// It is not base64.
    #[error("a blob is not base64")]
    Blob,
}

impl TryFrom<sqlite::Value> for Value {
    type Error = BadValue;

    fn try_from(value: sqlite::Value) -> Result<Self, BadValue> {
        Ok(match value {
            sqlite::Value::Null => Self::Null,
            sqlite::Value::Integer(value) => Self::Integer { value: value.to_string() },
            sqlite::Value::Real(value) if value.is_finite() => Self::Float { value },
            // SQLite itself takes what is not a number for NULL.
            sqlite::Value::Real(value) if value.is_nan() => Self::Null,
            sqlite::Value::Real(_) => return Err(BadValue::Infinite),
            sqlite::Value::Text(value) => Self::Text { value },
            sqlite::Value::Blob(bytes) => Self::Blob { base64: BASE64.encode(bytes) },
        })
    }
}

impl TryFrom<Value> for sqlite::Value {
    type Error = BadValue;

    fn try_from(value: Value) -> Result<Self, BadValue> {
        Ok(match value {
            Value::Null => Self::Null,
            Value::Integer { value } => Self::Integer(value.parse().map_err(|_| BadValue::Integer)?),
            Value::Float { value } => Self::Real(value),
            Value::Text { value } => Self::Text(value),
            Value::Blob { base64 } => Self::Blob(BASE64.decode(base64).map_err(|_| BadValue::Blob)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_back_as_they_were() {
        let values = [
            sqlite::Value::Null,
            sqlite::Value::Integer(i64::MIN),
            sqlite::Value::Integer(i64::MAX),
            sqlite::Value::Real(0.1 + 0.2),
            sqlite::Value::Real(f64::MIN_POSITIVE),
            sqlite::Value::Real(-1e300),
            sqlite::Value::Text("a\0 \"ü\" \u{1f9fa}".into()),
            sqlite::Value::Blob(vec![]),
            sqlite::Value::Blob((0..=255).collect()),
        ];
        for value in values {
            let sent = serde_json::to_string(&Value::try_from(value.clone()).unwrap()).unwrap();
            let back: Value = serde_json::from_str(&sent).unwrap();
            assert_eq!(sqlite::Value::try_from(back), Ok(value), "{sent}");
        }
        assert_eq!(Value::try_from(sqlite::Value::Real(f64::INFINITY)), Err(BadValue::Infinite));
    }

    #[test]
    fn others_are_understood() {
        // With padding, with members that are not known, and with a whole number where a float is.
        let value = |json: &str| sqlite::Value::try_from(serde_json::from_str::<Value>(json).unwrap());
        assert_eq!(value(r#"{"type":"blob","base64":"AQ=="}"#), Ok(sqlite::Value::Blob(vec![1])));
        assert_eq!(value(r#"{"type":"float","value":2,"note":1}"#), Ok(sqlite::Value::Real(2.0)));
        assert_eq!(value(r#"{"type":"integer","value":"1.5"}"#), Err(BadValue::Integer));
        assert_eq!(value(r#"{"type":"blob","base64":"?"}"#), Err(BadValue::Blob));
        let pipeline: Pipeline =
            serde_json::from_str(r#"{"requests":[{"type":"execute","stmt":{"sql":"SELECT 1"}},{"type":"close"}]}"#)
                .unwrap();
        assert!(pipeline.baton.is_none());
        assert!(matches!(&pipeline.requests[..], [Request::Execute { stmt }, Request::Close] if stmt.args.is_empty()));
    }
}
