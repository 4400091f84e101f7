//! One service's SQLite database.
//!
//! In a component the statements go to the host (`spin:sqlite@3.1.0`); in a native test they run on the same
//! SQLite in process, so that tests exercise the real SQL. Either way:
//!
//! - [`Database::read`] is one host call and holds the instance until it returns: only for what is known to be short.
//! - [`Database::execute`] lets the instance serve other requests meanwhile: searches and all writes.
//! - [`Database::begin`] opens a connection of its own, since an open transaction must never be seen by the
//!   other requests of the instance.

use std::fmt;
use std::sync::{Mutex, OnceLock, PoisonError};

use futures::future::poll_immediate;

mod error;
mod migrate;
#[cfg(not(target_family = "wasm"))]
mod native;
mod row;
#[cfg(target_family = "wasm")]
mod spin;

pub use error::Error;
pub use migrate::migrate;
pub use row::{FromValue, Row};
pub use spin_sdk::sqlite::Value;

#[cfg(not(target_family = "wasm"))]
use native::Connection;
#[cfg(target_family = "wasm")]
use spin::Connection;

/// Values that one statement of [`Transaction::insert`] takes at most; there is one row in any case.
const VALUES_PER_INSERT: usize = 768;

/// A database by its label (in native tests: the path of its file).
///
/// Its connection is opened on first use and kept, because opening is a host call of its own.
#[derive(Debug)]
pub struct Database {
    label: String,
    connection: OnceLock<Connection>,
}

impl Database {
    /// Names a database; nothing is opened yet.
    pub fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), connection: OnceLock::new() }
    }

    /// Runs one statement that is known to be short, such as a read by key.
    pub fn read(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.connection()?.execute_now(sql, params)
    }

    /// Runs one statement in a transaction of its own.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.connection()?.execute(sql, params.to_vec()).await
    }

    /// Starts a write transaction. It is rolled back unless [`Transaction::commit`] is called.
    pub async fn begin(&self) -> Result<Transaction, Error> {
        let connection = Connection::open(&self.label)?;
        connection.execute("BEGIN IMMEDIATE", Vec::new()).await?;
        Ok(Transaction { connection, on_commit: Mutex::default() })
    }

    fn connection(&self) -> Result<&Connection, Error> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection);
        }
        let opened = Connection::open(&self.label)?;
        Ok(self.connection.get_or_init(|| opened))
    }
}

/// A write transaction on a connection of its own.
///
/// Dropping it closes the connection, which rolls back. It must not say ROLLBACK there: that call would hold the whole
/// instance until it is answered, and the answer may have to wait for a transaction of another request of the instance.
pub struct Transaction {
    connection: Connection,
    on_commit: Mutex<Vec<OnCommit>>,
}

type OnCommit = Box<dyn FnOnce() + Send>;

impl Transaction {
    /// Runs one statement within the transaction.
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>, Error> {
        self.connection.execute(sql, params.to_vec()).await
    }

    /// Inserts any number of rows: `head` is the statement up to and without its `VALUES`, `tail` what follows
    /// them. Few long statements cost far fewer host calls than one per row, and full ones share their text
    /// and so the host's prepared statement. The rows of one are made while the store works on the one before.
    pub fn insert<const COLUMNS: usize>(
        &self,
        head: &str,
        rows: impl IntoIterator<Item = [Value; COLUMNS], IntoIter: Send>,
        tail: &str,
    ) -> impl Future<Output = Result<(), Error>> + Send {
        let tuple = format!("({})", ["?"; COLUMNS].join(","));
        let rows_max = (VALUES_PER_INSERT / COLUMNS.max(1)).max(1);
        let mut rows = rows.into_iter();
        let mut running = None;
        async move {
            loop {
                let params: Vec<Value> = rows.by_ref().take(rows_max).flatten().collect();
                if let Some(running) = running.take() {
                    running.await?;
                }
                if params.is_empty() {
                    return Ok(());
                }
                let tuples = vec![tuple.as_str(); params.len() / COLUMNS.max(1)].join(",");
                let sql = format!("{head} VALUES {tuples} {tail}");
                let mut statement = Box::pin(async move { self.connection.execute(&sql, params).await });
                // This sends it off.
                match poll_immediate(&mut statement).await {
                    Some(done) => drop(done?),
                    None => running = Some(statement),
                }
            }
        }
    }

    /// Has something done once the changes are durable, and not otherwise.
    pub fn on_commit(&self, then: impl FnOnce() + Send + 'static) {
        // A push leaves the list whole.
        self.on_commit.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(then));
    }

    /// Makes the changes durable.
    pub async fn commit(self) -> Result<(), Error> {
        self.connection.execute("COMMIT", Vec::new()).await?;
        let then = self.on_commit.into_inner().unwrap_or_else(PoisonError::into_inner);
        then.into_iter().for_each(|then| then());
        Ok(())
    }
}

impl fmt::Debug for Transaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("connection", &self.connection).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    fn database(folder: &tempfile::TempDir) -> Database {
        Database::new(folder.path().join("test.db").to_str().unwrap())
    }

    #[test]
    fn a_dropped_transaction_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        block_on(async {
            database.execute("CREATE TABLE t (n INTEGER NOT NULL)", &[]).await.unwrap();
            let transaction = database.begin().await.unwrap();
            transaction.execute("INSERT INTO t VALUES (1)", &[]).await.unwrap();
            drop(transaction);
            let transaction = database.begin().await.unwrap();
            let rows = (0..VALUES_PER_INSERT as i64 + 1).map(|n| [Value::Integer(n)]);
            transaction.insert("INSERT INTO t", rows, "ON CONFLICT DO NOTHING").await.unwrap();
            transaction.commit().await.unwrap();
        });
        let mut rows = database.read("SELECT n FROM t ORDER BY n DESC", &[]).unwrap();
        assert_eq!(rows.len(), VALUES_PER_INSERT + 1);
        assert_eq!(rows[0].take::<i64>(0).unwrap(), VALUES_PER_INSERT as i64);
    }

    #[test]
    fn what_is_to_follow_a_commit_follows_nothing_else() {
        use std::sync::Arc;
        use std::sync::atomic::{AtomicU32, Ordering};
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        let done = Arc::new(AtomicU32::new(0));
        let begin = || async {
            let (transaction, done) = (database.begin().await.unwrap(), done.clone());
            transaction.on_commit(move || {
                done.fetch_add(1, Ordering::Relaxed);
            });
            transaction
        };
        block_on(async {
            drop(begin().await);
            let committed = begin().await;
            assert_eq!(done.load(Ordering::Relaxed), 0);
            committed.commit().await.unwrap();
        });
        assert_eq!(done.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn a_failed_constraint_is_known_by_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let database = database(&folder);
        block_on(database.execute("CREATE TABLE t (n INTEGER CONSTRAINT positive CHECK (n > 0))", &[])).unwrap();
        let error = database.read("INSERT INTO t VALUES (?1)", &[Value::Integer(0)]).unwrap_err();
        assert!(error.names("positive"));
        assert!(!error.names("negative"));
    }
}
