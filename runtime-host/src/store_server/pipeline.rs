//! Carries out the requests of one pipeline on its stream.

use super::streams::{STORED_TEXTS_MAX, Stream};
use crate::stores::libsql::protocol::{
    Answer, Batch, BatchOutcome, Column, Condition, Error, FULL, Outcome, Request, Response, SqlText, Statement,
    TRANSACTION_LOST, Value,
};
use crate::stores::sqlite::{self, Kind, parameter_names, split_statements};

/// Steps of one batch.
const STEPS_MAX: usize = 10_000;
/// How deep the condition of a step may be.
const CONDITION_DEPTH_MAX: usize = 32;
/// Size of a text of several statements, in bytes.
const SEQUENCE_BYTES_MAX: usize = 1 << 20;

/// The stream afterwards, unless it is closed, and an answer for each request.
pub(super) async fn run(
    mut stream: Stream,
    requests: Vec<Request>,
    stands_still: bool,
) -> (Option<Stream>, Vec<Answer>) {
    let mut answers = Vec::with_capacity(requests.len());
    let mut is_closed = false;
    for request in requests {
        let answer = match request {
            _ if is_closed => Err(error("the stream is closed", "STREAM_CLOSED")),
            Request::Close => {
                is_closed = true;
                Ok(Response::Close)
            }
            request => stream.answer(request, stands_still).await,
        };
        answers.push(match answer {
            Ok(response) => Answer::Ok { response },
            Err(error) => Answer::Error { error },
        });
    }
    ((!is_closed).then_some(stream), answers)
}

impl Stream {
    async fn answer(&mut self, request: Request, stands_still: bool) -> Result<Response, Error> {
        match request {
            Request::Close => Ok(Response::Close),
            Request::Execute { stmt } => Ok(Response::Execute { result: self.execute(stmt, stands_still).await? }),
            Request::Batch { batch } => Ok(Response::Batch { result: self.batch(batch, stands_still).await? }),
            Request::Sequence(text) => {
                let sql = self.text(&text)?;
                if sql.len() > SEQUENCE_BYTES_MAX {
                    return Err(error(&format!("the text has more than {SEQUENCE_BYTES_MAX} bytes"), "SQL_TOO_LONG"));
                }
                for statement in split_statements(sql) {
                    let done = self.connection.execute(statement, Vec::new()).await;
                    drop(done.map_err(|error| sqlite_error(&error))?);
                }
                Ok(Response::Sequence)
            }
            Request::Describe(_) => Err(error("statements are not described here", "NOT_OFFERED")),
            Request::StoreSql { sql_id, sql } => {
                if self.texts.len() >= STORED_TEXTS_MAX {
                    return Err(error(
                        &format!("{STORED_TEXTS_MAX} texts are stored; close some first"),
                        "SQL_STORE_FULL",
                    ));
                }
                if self.texts.contains_key(&sql_id) {
                    return Err(error("a text is stored under this number already", "SQL_ID_IN_USE"));
                }
                self.texts.insert(sql_id, sql);
                Ok(Response::StoreSql)
            }
            Request::CloseSql { sql_id } => {
                self.texts.remove(&sql_id);
                Ok(Response::CloseSql)
            }
            Request::GetAutocommit => Ok(Response::GetAutocommit { is_autocommit: self.connection.is_autocommit() }),
        }
    }

    async fn execute(&self, statement: Statement, stands_still: bool) -> Result<Outcome, Error> {
        let sql = self.text(&statement.text)?;
        let params =
            parameters(sql, statement.args, statement.named_args.into_iter().map(|arg| (arg.name, arg.value)))?;
        let result = match stands_still {
            false => self.connection.execute(sql, params).await,
            true => self.connection.execute_at_standstill(sql, params).await,
        };
        let collected = match result {
            Ok(result) => result.collect().await,
            Err(error) => Err(error),
        };
        let (columns, rows) = collected.map_err(|error| sqlite_error(&error))?;
        let is_change = Kind::of(sql) == Kind::Change;
        let rows = if statement.want_rows.unwrap_or(true) { rows } else { Vec::new() };
        let rows = rows.into_iter().map(|row| row.into_iter().map(Value::try_from).collect::<Result<Vec<_>, _>>());
        let rows = rows.collect::<Result<_, _>>().map_err(|bad| error(&bad.to_string(), "BAD_VALUE"))?;
        Ok(Outcome {
            cols: columns.iter().map(|name| Column { name: Some(name.clone()), decltype: None }).collect(),
            rows,
            affected_row_count: if is_change { self.connection.changes() } else { 0 },
            last_insert_rowid: is_change.then(|| self.connection.last_insert_rowid().to_string()),
        })
    }

    async fn batch(&self, batch: Batch, stands_still: bool) -> Result<BatchOutcome, Error> {
        if batch.steps.len() > STEPS_MAX {
            return Err(error(&format!("the batch has more than {STEPS_MAX} steps"), "BATCH_TOO_LARGE"));
        }
        let mut outcome = BatchOutcome::default();
        for step in batch.steps {
            let is_run = match &step.condition {
                None => true,
                Some(condition) => self.holds(condition, &outcome, 0)?,
            };
            let (result, failure) = match is_run {
                false => (None, None),
                true => match self.execute(step.stmt, stands_still).await {
                    Ok(result) => (Some(result), None),
                    Err(error) => (None, Some(error)),
                },
            };
            outcome.step_results.push(result);
            outcome.step_errors.push(failure);
        }
        Ok(outcome)
    }

    fn holds(&self, condition: &Condition, so_far: &BatchOutcome, depth: usize) -> Result<bool, Error> {
        if depth > CONDITION_DEPTH_MAX {
            return Err(error("the condition of a step is too deep", "BAD_CONDITION"));
        }
        let holds = |condition| self.holds(condition, so_far, depth + 1);
        Ok(match condition {
            Condition::Ok { step } => so_far.step_results.get(*step).is_some_and(Option::is_some),
            Condition::Error { step } => so_far.step_errors.get(*step).is_some_and(Option::is_some),
            Condition::Not { cond } => !holds(cond)?,
            Condition::And { conds } => conds.iter().map(holds).collect::<Result<Vec<_>, _>>()?.into_iter().all(|c| c),
            Condition::Or { conds } => conds.iter().map(holds).collect::<Result<Vec<_>, _>>()?.into_iter().any(|c| c),
            Condition::IsAutocommit => self.connection.is_autocommit(),
        })
    }

    fn text<'a>(&'a self, text: &'a SqlText) -> Result<&'a str, Error> {
        match (&text.sql, text.sql_id) {
            (Some(sql), None) => Ok(sql),
            (None, Some(id)) => {
                let stored = self.texts.get(&id).map(String::as_str);
                stored.ok_or_else(|| error("no text is stored under this number", "SQL_NOT_FOUND"))
            }
            _ => Err(error("a statement has either `sql` or `sql_id`", "BAD_STATEMENT")),
        }
    }
}

/// The values of a statement's parameters, in their order.
fn parameters(
    sql: &str,
    args: Vec<Value>,
    named: impl ExactSizeIterator<Item = (String, Value)>,
) -> Result<Vec<sqlite::Value>, Error> {
    let value = |value: Value| sqlite::Value::try_from(value).map_err(|bad| error(&bad.to_string(), "BAD_VALUE"));
    let mut params = args.into_iter().map(value).collect::<Result<Vec<_>, _>>()?;
    if named.len() == 0 {
        return Ok(params);
    }
    let names = parameter_names(sql);
    params.resize(names.len().max(params.len()), sqlite::Value::Null);
    for (name, given) in named {
        // With its sign or without it.
        let is_meant = |known: &Option<String>| {
            known.as_deref().is_some_and(|known| known == name || known.get(1..) == Some(&name))
        };
        let place = names.iter().position(is_meant);
        let place = place.ok_or_else(|| error(&format!("the statement has no parameter `{name}`"), "BAD_ARGUMENT"))?;
        params[place] = value(given)?;
    }
    Ok(params)
}

fn error(message: &str, code: &str) -> Error {
    Error { message: message.to_owned(), code: Some(code.to_owned()) }
}

/// A database's error. Clients look at its code for what they can do something about.
fn sqlite_error(error: &sqlite::Error) -> Error {
    let code = match error {
        sqlite::Error::Full => FULL,
        sqlite::Error::TransactionLost => TRANSACTION_LOST,
        sqlite::Error::Locked | sqlite::Error::QueueFull => "SQLITE_BUSY",
        sqlite::Error::Sql(message) if message.contains("constraint failed") => "SQLITE_CONSTRAINT",
        sqlite::Error::Timeout(_) => "SQLITE_INTERRUPT",
        sqlite::Error::Denied(_) => "SQLITE_AUTH",
        _ => "SQLITE_ERROR",
    };
    self::error(&error.to_string(), code)
}
