//! SQL databases that a libSQL server keeps, or another host with `bodega stores`: several hosts may share them.
//!
//! - Outside of a transaction each statement is a stream of its own, so that they do not wait for each other. What SQL remembers of a
//!   connection, `changes()` and `last_insert_rowid()`, is therefore there within a transaction only; the host remembers it too.
//! - A transaction is one stream, which its requests go through one after the other. It is closed when the guest's handle is, and the
//!   server rolls back; of a host that died it does so when the transaction's time is up.
//! - A request that was sent goes on if nobody waits for it any more, so that the stream stays in step.
//! - A result is held in memory as a whole.

mod http;
pub mod protocol;

use std::fmt;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

use ::http::{HeaderValue, Uri};
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use self::http::{Failure, Http};
use self::protocol::{Answer, Answers, FULL, Pipeline, Request, Response, SqlText, Statement, TRANSACTION_LOST};
use super::sqlite::{Error, Kind, QueryResult, RESULT_BYTES_MAX, Value, row_bytes};

/// Where a database is, and what shows that it may be used. `Debug` and `Display` do not show the token.
#[derive(Clone, PartialEq, Eq)]
pub struct LibsqlServer {
    url: String,
    authorization: HeaderValue,
}

impl LibsqlServer {
    /// Reads a URL and a token as the runtime configuration has them.
    pub fn parse(url: &str, token: &str) -> Result<Self, String> {
        let uri: Option<Uri> = url.parse().ok();
        let scheme = uri.as_ref().and_then(Uri::scheme_str).unwrap_or_default();
        let authority = uri.as_ref().and_then(Uri::authority);
        let has_query = uri.as_ref().is_some_and(|uri| uri.query().is_some());
        // A password in the URL would be shown, so it is not taken.
        if !matches!(scheme, "http" | "https") || has_query || authority.is_none_or(|a| a.as_str().contains('@')) {
            return Err("the URL is none of a libSQL database; expected http(s)://host[:port][/path]".into());
        }
        let mut authorization = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| "the token has characters that no token has; expected visible ASCII")?;
        authorization.set_sensitive(true);
        Ok(Self { url: url.trim_end_matches('/').to_owned(), authorization })
    }
}

impl fmt::Display for LibsqlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.url)
    }
}

impl fmt::Debug for LibsqlServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LibsqlServer").field(&self.url).finish()
    }
}

/// One database, shared by all handles on it.
#[derive(Debug)]
pub struct Database {
    http: Http,
    url: String,
}

impl Database {
    /// A database that is asked from the first statement on: a host starts without it.
    pub fn new(server: &LibsqlServer) -> Arc<Self> {
        Arc::new(Self { http: Http::new(&server.url, server.authorization.clone()), url: server.url.clone() })
    }

    /// A new handle for a guest. Cheap: nothing is sent.
    pub fn connect(self: &Arc<Self>) -> Connection {
        Connection { shared: Arc::new(Shared::new(self.clone())) }
    }

    /// The answers to requests on a stream, and the stream from then on.
    async fn ask(
        &self,
        stream: Stream,
        requests: Vec<Request>,
        stands_still: bool,
    ) -> Result<(Option<Stream>, Vec<Answer>), Error> {
        let expected = requests.len();
        let pipeline = Pipeline { baton: stream.baton, requests };
        let answers = self.http.send(stream.base_url.as_deref(), &pipeline, stands_still).await;
        let Answers { baton, base_url, results } = answers.map_err(|failure| self.error(failure))?;
        if results.len() != expected {
            return Err(self.error(Failure::Unanswered(format!("{} answers to {expected} requests", results.len()))));
        }
        let base_url = base_url.or(stream.base_url);
        Ok((baton.map(|baton| Stream { baton: Some(baton), base_url }), results))
    }

    fn error(&self, failure: Failure) -> Error {
        let url = &self.url;
        match failure {
            Failure::Unreached(why) => Error::Remote(format!("{url} cannot be reached: {why}")),
            Failure::Unanswered(why) => Error::Remote(format!(
                "{url} gave no answer, so nobody knows whether the statement was carried out: {why}"
            )),
            Failure::Refused(error) if error.code.as_deref() == Some(TRANSACTION_LOST) => Error::TransactionLost,
            Failure::Refused(error) => Error::Remote(format!("{url} refuses: {}", error.message)),
        }
    }
}

/// A stream as its next request names it.
#[derive(Debug, Default)]
struct Stream {
    /// `None` for a new one.
    baton: Option<String>,
    base_url: Option<String>,
}

/// Where the transaction of a handle stands.
#[derive(Debug)]
enum Transaction {
    None,
    Open(Stream),
    /// It is gone under the guest's feet, which has to hear of it before it goes on.
    Lost,
}

/// One guest handle. Dropping it closes the stream of an open transaction, which rolls it back.
#[derive(Debug)]
pub struct Connection {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    database: Arc<Database>,
    transaction: Mutex<Transaction>,
    /// Whether there may be a transaction: known before the server knows it, and seen without waiting.
    in_transaction: AtomicBool,
    /// Whether the guest has dropped its handle, while a request may be on its way.
    is_closed: AtomicBool,
    changes: AtomicU64,
    last_insert_rowid: AtomicI64,
}

impl Connection {
    /// Runs one statement.
    pub async fn execute(&self, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        self.execute_for(sql, params, false).await
    }

    /// As [`Self::execute`], for a guest whose whole instance stands still until the answer.
    pub async fn execute_at_standstill(&self, sql: &str, params: Vec<Value>) -> Result<QueryResult, Error> {
        self.execute_for(sql, params, true).await
    }

    /// Row id of this handle's last successful INSERT, 0 before the first.
    pub fn last_insert_rowid(&self) -> i64 {
        self.shared.last_insert_rowid.load(Ordering::Relaxed)
    }

    /// Rows changed by this handle's last INSERT, UPDATE or DELETE.
    pub fn changes(&self) -> u64 {
        self.shared.changes.load(Ordering::Relaxed)
    }

    async fn execute_for(&self, sql: &str, params: Vec<Value>, stands_still: bool) -> Result<QueryResult, Error> {
        let kind = Kind::of(sql);
        let statement = statement(sql, params)?;
        let is_control = !(kind.is_for_sqlite() || matches!(kind, Kind::Vacuum | Kind::Empty));
        if !is_control && !self.shared.in_transaction.load(Ordering::Acquire) {
            return self.shared.execute_alone(&kind, statement, stands_still).await;
        }
        let shared = self.shared.clone();
        // Goes on when nobody waits any more.
        let step = tokio::spawn(async move { shared.step(kind, statement, stands_still).await });
        step.await.unwrap_or_else(|_| Err(Error::Remote("the request was stopped".into())))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // A request that is on its way either sees this or is seen.
        self.shared.is_closed.store(true, Ordering::SeqCst);
        if !self.shared.in_transaction.load(Ordering::SeqCst) {
            return;
        }
        let shared = self.shared.clone();
        // Without a runtime the host is at its end; then the server's time limit does it.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(async move {
                let mut transaction = shared.transaction.lock().await;
                if let Transaction::Open(stream) = mem::replace(&mut *transaction, Transaction::None) {
                    shared.close(stream).await;
                }
            });
        }
    }
}

impl Shared {
    fn new(database: Arc<Database>) -> Self {
        Self {
            database,
            transaction: Mutex::new(Transaction::None),
            in_transaction: AtomicBool::new(false),
            is_closed: AtomicBool::new(false),
            changes: AtomicU64::new(0),
            last_insert_rowid: AtomicI64::new(0),
        }
    }

    /// A statement outside of a transaction: a stream that is closed by its only pipeline.
    async fn execute_alone(&self, kind: &Kind, stmt: Statement, stands_still: bool) -> Result<QueryResult, Error> {
        let requests = vec![Request::Execute { stmt }, Request::Close];
        let (_, answers) = self.database.ask(Stream::default(), requests, stands_still).await?;
        self.result(kind, answers.into_iter().next())
    }

    /// A statement that begins, ends, or is part of a transaction.
    async fn step(self: Arc<Self>, kind: Kind, stmt: Statement, stands_still: bool) -> Result<QueryResult, Error> {
        let mut transaction = self.transaction.lock().await;
        let stream = match (&kind, mem::replace(&mut *transaction, Transaction::None)) {
            (Kind::Commit | Kind::Rollback, Transaction::None) => return Err(Error::NoTransaction),
            (Kind::Rollback, Transaction::Lost) => {
                self.in_transaction.store(false, Ordering::Release);
                return Ok(QueryResult::empty());
            }
            (Kind::Commit, Transaction::Lost) => {
                self.in_transaction.store(false, Ordering::Release);
                return Err(Error::TransactionLost);
            }
            (Kind::Begin { .. }, Transaction::None | Transaction::Lost) => Stream::default(),
            (_, Transaction::Lost) => {
                *transaction = Transaction::Lost;
                return Err(Error::TransactionLost);
            }
            (Kind::Savepoint(_), Transaction::None) => Stream::default(),
            (Kind::Begin { .. }, open @ Transaction::Open(_)) => {
                *transaction = open;
                return Err(Error::NestedTransaction);
            }
            (_, Transaction::Open(stream)) => stream,
            // It ended while this one waited for its turn.
            (_, Transaction::None) => {
                drop(transaction);
                return self.execute_alone(&kind, stmt, stands_still).await;
            }
        };
        self.in_transaction.store(true, Ordering::SeqCst);
        let is_new = stream.baton.is_none();
        let requests = vec![Request::Execute { stmt }, Request::GetAutocommit];
        let asked = self.database.ask(stream, requests, stands_still).await;
        let (stream, answers) = match asked {
            Ok(answered) => answered,
            Err(error) => {
                // A transaction that was not begun is none, and one that was rolled back needs no more.
                let is_over = is_new || kind == Kind::Rollback;
                *transaction = if is_over { Transaction::None } else { Transaction::Lost };
                self.in_transaction.store(!is_over, Ordering::Release);
                return Err(error);
            }
        };
        let mut answers = answers.into_iter();
        let result = self.result(&kind, answers.next());
        let is_without = answers.next().is_some_and(|answer| is_autocommit(&answer));
        let may_end = is_new || matches!(kind, Kind::Commit | Kind::Rollback | Kind::Release(_));
        let has_ended = (is_without && may_end) || (is_new && result.is_err());
        // A server may roll back by itself, as for `INSERT OR ROLLBACK`, a full disk, or a limit of time. What the guest still takes
        // for parts of its transaction must not be committed one by one.
        let result = if is_without && !may_end { result.and(Err(Error::TransactionLost)) } else { result };
        let is_lost = matches!(result, Err(Error::TransactionLost)) || (is_without && !may_end);
        *transaction = match stream {
            Some(stream) if has_ended || is_lost => {
                let shared = self.clone();
                tokio::spawn(async move { shared.close(stream).await });
                if is_lost && !has_ended { Transaction::Lost } else { Transaction::None }
            }
            Some(stream) => Transaction::Open(stream),
            None if has_ended => Transaction::None,
            None => Transaction::Lost,
        };
        if self.is_closed.load(Ordering::SeqCst)
            && let Transaction::Open(stream) = mem::replace(&mut *transaction, Transaction::None)
        {
            self.close(stream).await;
        }
        self.in_transaction.store(!matches!(*transaction, Transaction::None), Ordering::SeqCst);
        result
    }

    async fn close(&self, stream: Stream) {
        // A server that does not hear it closes the stream when its time is up.
        let _ = self.database.ask(stream, vec![Request::Close], false).await;
    }

    /// The result of a statement; what it changed is remembered.
    fn result(&self, kind: &Kind, answer: Option<Answer>) -> Result<QueryResult, Error> {
        let outcome = match answer {
            Some(Answer::Ok { response: Response::Execute { result } }) => result,
            Some(Answer::Error { error }) => {
                return Err(match error.code.as_deref() {
                    Some(FULL) => Error::Full,
                    Some(TRANSACTION_LOST) => Error::TransactionLost,
                    _ => Error::Sql(error.message),
                });
            }
            _ => return Err(Error::Remote(format!("{} answered something else", self.database.url))),
        };
        if *kind == Kind::Change {
            self.changes.store(outcome.affected_row_count, Ordering::Relaxed);
            // The connection is new each time, and says 0 where nothing was inserted.
            if let Some(rowid) = outcome.last_insert_rowid.and_then(|id| id.parse().ok()).filter(|id| *id != 0) {
                self.last_insert_rowid.store(rowid, Ordering::Relaxed);
            }
        }
        let mut bytes = 0;
        let mut rows = Vec::with_capacity(outcome.rows.len());
        for row in outcome.rows {
            let row = row.into_iter().map(Value::try_from).collect::<Result<Vec<_>, _>>();
            let row = row.map_err(|error| Error::Remote(format!("{} answered: {error}", self.database.url)))?;
            bytes += row_bytes(&row);
            if bytes > RESULT_BYTES_MAX {
                return Err(Error::ResultTooLarge);
            }
            rows.push(row);
        }
        let columns = outcome.cols.into_iter().map(|column| column.name.unwrap_or_default());
        Ok(QueryResult::complete(columns.collect(), rows))
    }
}

fn is_autocommit(answer: &Answer) -> bool {
    matches!(answer, Answer::Ok { response: Response::GetAutocommit { is_autocommit: true } })
}

fn statement(sql: &str, params: Vec<Value>) -> Result<Statement, Error> {
    let args = params.into_iter().map(protocol::Value::try_from).collect::<Result<_, _>>();
    let args = args.map_err(|error| Error::Sql(error.to_string()))?;
    Ok(Statement { text: SqlText { sql: Some(sql.to_owned()), sql_id: None }, args, ..Statement::default() })
}
