//! Databases as a guest sees them. What is timed is timed by holding the writer still, not by sleeping.

mod guard;
mod reads;
mod transactions;
mod writes;

use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::{Connection, Database, Error, Location, QueryResult, Row, Settings, Value};

/// Far longer than anything here takes, so that a hang fails instead.
const SOON: Duration = Duration::from_secs(20);

/// A database in a folder of its own, with a table of items.
struct Fixture {
    database: Arc<Database>,
    _folder: TempDir,
}

impl Fixture {
    async fn new() -> Self {
        Self::with(Settings::default()).await
    }

    async fn with(settings: Settings) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(Location::File(folder.path().join("test.db")), settings).unwrap();
        run(
            &database.connect(),
            "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, amount INTEGER NOT NULL DEFAULT 0)",
        )
        .await;
        Self { database, _folder: folder }
    }

    fn connect(&self) -> Connection {
        self.database.connect()
    }

    /// Holds the writer still until what is returned is dropped.
    async fn hold_writer(&self) -> std::sync::mpsc::Sender<()> {
        let (hold, held) = std::sync::mpsc::channel::<()>();
        let (paused, is_paused) = tokio::sync::oneshot::channel();
        let database = self.database.clone();
        tokio::spawn(async move {
            database
                .pause(move || {
                    paused.send(()).unwrap();
                    let _ = held.recv();
                })
                .await
        });
        is_paused.await.unwrap();
        hold
    }

    /// Starts a statement on a handle of its own and returns when it waits in the writer's queue.
    async fn enqueue(&self, sql: &'static str) -> JoinHandle<Result<Vec<Row>, Error>> {
        let before = self.database.queue_length();
        let connection = self.connect();
        let waiting = tokio::spawn(async move { query(&connection, sql).await });
        timeout(SOON, async {
            while self.database.queue_length() == before {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
        waiting
    }
}

async fn query_with(connection: &Connection, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
    timeout(SOON, async { Ok(connection.execute(sql, params).await?.collect().await?.1) }).await.expect("an answer")
}

async fn query(connection: &Connection, sql: &str) -> Result<Vec<Row>, Error> {
    query_with(connection, sql, Vec::new()).await
}

/// Runs a statement that has to succeed.
async fn run(connection: &Connection, sql: &str) -> Vec<Row> {
    query(connection, sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

/// The one integer that a query returns.
async fn integer(connection: &Connection, sql: &str) -> i64 {
    match run(connection, sql).await.as_slice() {
        [row] => match row.as_slice() {
            [Value::Integer(value)] => *value,
            other => panic!("{sql}: {other:?}"),
        },
        other => panic!("{sql}: {other:?}"),
    }
}
