//! Our client against our server, over real sockets; and what the server answers to others.

use std::num::NonZeroUsize;
use std::time::Duration;

use futures::future::join_all;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::listener::{Config, Drain, Listener};
use crate::stores::libsql::{self, LibsqlServer};
use crate::stores::sql;
use crate::stores::sqlite::{Error, Location, RESULT_BYTES_MAX, Row, Settings, Value};

const TOKEN: &str = "a token that nobody guesses";
/// Far longer than anything here takes, so that a hang fails instead.
const SOON: Duration = Duration::from_secs(30);

/// A server with the database `shop`, and clients of it.
struct Running {
    database: Arc<Database>,
    server: Arc<StoreServer>,
    address: std::net::SocketAddr,
    drain: Drain,
    task: JoinHandle<()>,
    folder: TempDir,
}

impl Running {
    async fn start(settings: Settings) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), settings, "127.0.0.1:0".parse().unwrap()).await
    }

    async fn start_in(folder: TempDir, settings: Settings, address: std::net::SocketAddr) -> Self {
        let database = Database::open(Location::File(folder.path().join("shop.db")), settings).unwrap();
        let databases = BTreeMap::from([("shop".to_owned(), database.clone())]);
        let server = StoreServer::new(databases, TOKEN.to_owned(), Arc::new(Telemetry::new("test", "1")));
        let mut config = Config::new(address);
        config.workers = NonZeroUsize::new(2).unwrap();
        config.limits.body_bytes_max = Some(PIPELINE_BYTES_MAX);
        let listener = Listener::bind(config, None).await.unwrap();
        let (address, drain) = (listener.local_addr(), Drain::new());
        let (serving, ended) = (server.clone(), drain.clone());
        let task = tokio::spawn(async move {
            listener.run(move |_| Serving(serving.clone()), ended, || ()).await.unwrap();
        });
        Self { database, server, address, drain, task, folder }
    }

    /// Ends it at once, with all that was open, and starts it again at the same address.
    async fn restart(self) -> Self {
        self.drain.end();
        self.drain.begin();
        timeout(SOON, self.task).await.unwrap().unwrap();
        drop((self.server, self.database));
        Self::start_in(self.folder, Settings::default(), self.address).await
    }

    fn client(&self) -> Arc<libsql::Database> {
        self.client_of("/shop", TOKEN)
    }

    fn client_of(&self, path: &str, token: &str) -> Arc<libsql::Database> {
        libsql::Database::new(&LibsqlServer::parse(&format!("http://{}{path}", self.address), token).unwrap())
    }

    fn connect(&self) -> sql::Connection {
        sql::Database::Remote(self.client()).connect()
    }

    /// What the server answers to a pipeline.
    async fn pipeline(&self, requests: Json) -> Json {
        let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new()).build_http();
        let request = Request::post(format!("http://{}/shop/v2/pipeline", self.address))
            .header(AUTHORIZATION, format!("Bearer {TOKEN}"))
            .body(Full::new(Bytes::from(requests.to_string())))
            .unwrap();
        let answer = client.request(request).await.unwrap();
        serde_json::from_slice(&answer.into_body().collect().await.unwrap().to_bytes()).unwrap()
    }
}

async fn ask(connection: &sql::Connection, sql: &str, params: Vec<Value>) -> Result<Vec<Row>, Error> {
    timeout(SOON, async { Ok(connection.execute(sql, params).await?.collect().await?.1) }).await.expect("an answer")
}

async fn run(connection: &sql::Connection, sql: &str) -> Vec<Row> {
    ask(connection, sql, vec![]).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
}

async fn refused(connection: &sql::Connection, sql: &str) -> Error {
    ask(connection, sql, vec![]).await.expect_err(sql)
}

async fn count(connection: &sql::Connection) -> i64 {
    match run(connection, "SELECT count(*) FROM item").await[0][0] {
        Value::Integer(count) => count,
        ref other => panic!("{other:?}"),
    }
}

const TABLE: &str = "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT UNIQUE, amount INTEGER)";

#[tokio::test(flavor = "multi_thread")]
async fn values_go_there_and_back() {
    let running = Running::start(Settings::default()).await;
    let connection = running.connect();
    let values = vec![
        Value::Integer(i64::MIN),
        Value::Integer(9_007_199_254_740_993),
        Value::Real(0.1 + 0.2),
        Value::Text("ü\0\"".into()),
        Value::Blob((0..=255).collect()),
        Value::Null,
    ];
    let sql = "SELECT ?1 AS a, ?2, ?3, ?4, ?5, ?6 AS f";
    let result = connection.execute(sql, values.clone()).await.unwrap();
    assert_eq!((&*result.columns[0], &*result.columns[5]), ("a", "f"));
    assert_eq!(result.collect().await.unwrap().1, [values]);
    assert_eq!(
        ask(&connection, "SELECT 1 / ?1", vec![Value::Real(f64::INFINITY)]).await.unwrap_err().to_string(),
        "an infinite number cannot be sent to or from this database"
    );
    assert!(refused(&connection, "SELECT 9e999").await.to_string().contains("infinite"));
    run(&connection, TABLE).await;
    run(&connection, "INSERT INTO item (id, name) VALUES (7, 'a'), (9, 'b')").await;
    assert_eq!((connection.changes(), connection.last_insert_rowid()), (2, 9));
    run(&connection, "SELECT * FROM item").await;
    run(&connection, "UPDATE item SET amount = 1 WHERE id = 7").await;
    assert_eq!((connection.changes(), connection.last_insert_rowid()), (1, 9));
    assert_eq!(running.server.streams_open(), 0, "statements by themselves leave nothing open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_is_all_or_nothing_and_one_at_a_time() {
    let running = Running::start(Settings::default()).await;
    let (first, second) = (running.connect(), running.connect());
    run(&first, TABLE).await;
    run(&first, "BEGIN").await;
    run(&first, "INSERT INTO item (name) VALUES ('a')").await;
    assert_eq!((count(&first).await, count(&second).await), (1, 0), "it reads what it wrote, others do not");
    assert_eq!(refused(&first, "BEGIN").await, Error::NestedTransaction);
    // Another one waits for it.
    let waiting = tokio::spawn(async move {
        run(&second, "BEGIN IMMEDIATE").await;
        let seen = count(&second).await;
        run(&second, "INSERT INTO item (name) VALUES ('b')").await;
        run(&second, "ROLLBACK").await;
        (seen, second)
    });
    sleep(Duration::from_millis(50)).await;
    assert!(!waiting.is_finished());
    // A statement that fails leaves the transaction as it was.
    assert!(
        refused(&first, "INSERT INTO item (name) VALUES ('a')").await.to_string().contains("UNIQUE constraint failed")
    );
    run(&first, "SAVEPOINT s").await;
    run(&first, "INSERT INTO item (name) VALUES ('c')").await;
    run(&first, "ROLLBACK TO s").await;
    run(&first, "RELEASE s").await;
    run(&first, "COMMIT").await;
    let (seen, second) = timeout(SOON, waiting).await.unwrap().unwrap();
    assert_eq!((seen, count(&second).await), (1, 1));
    for sql in ["COMMIT", "ROLLBACK"] {
        assert_eq!(refused(&first, sql).await, Error::NoTransaction);
    }
    // A savepoint begins one too, and its release ends it.
    run(&first, "SAVEPOINT outer").await;
    run(&first, "INSERT INTO item (name) VALUES ('d')").await;
    assert_eq!(count(&second).await, 1);
    run(&first, "RELEASE outer").await;
    assert_eq!((count(&second).await, refused(&first, "COMMIT").await), (2, Error::NoTransaction));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_fails_may_be_repaired() {
    let running = Running::start(Settings::default()).await;
    let connection = running.connect();
    run(&connection, TABLE).await;
    run(&connection, "CREATE TABLE part (item REFERENCES item DEFERRABLE INITIALLY DEFERRED)").await;
    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO part VALUES (1)").await;
    assert!(refused(&connection, "COMMIT").await.to_string().contains("FOREIGN KEY"));
    run(&connection, "INSERT INTO item (id) VALUES (1)").await;
    run(&connection, "COMMIT").await;
    assert_eq!(count(&running.connect()).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_drops_a_transaction_frees_the_writer() {
    let running = Running::start(Settings { transaction_time_max: SOON, ..Settings::default() }).await;
    let (first, second) = (running.connect(), running.connect());
    run(&first, TABLE).await;
    run(&first, "BEGIN IMMEDIATE").await;
    run(&first, "INSERT INTO item (name) VALUES ('a')").await;
    drop(first);
    let begun = Instant::now();
    run(&second, "INSERT INTO item (name) VALUES ('b')").await;
    assert!(begun.elapsed() < SOON / 2, "not by the limit on transactions");
    assert_eq!(count(&second).await, 1);
    // Also when a BEGIN is on its way, and nobody waits for it any more.
    let third = running.connect();
    assert!(futures::future::poll_immediate(third.execute("BEGIN IMMEDIATE", vec![])).await.is_none());
    drop(third);
    run(&second, "INSERT INTO item (name) VALUES ('c')").await;
    assert!(begun.elapsed() < SOON / 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_takes_too_long_is_lost_and_its_owner_hears_of_it() {
    let settings = Settings { transaction_time_max: Duration::from_millis(100), ..Settings::default() };
    let running = Running::start(settings).await;
    let (first, second) = (running.connect(), running.connect());
    run(&first, TABLE).await;
    run(&first, "BEGIN IMMEDIATE").await;
    run(&first, "INSERT INTO item (name) VALUES ('a')").await;
    run(&second, "INSERT INTO item (name) VALUES ('b')").await;
    for sql in ["INSERT INTO item (name) VALUES ('c')", "SELECT 1", "COMMIT"] {
        assert_eq!(refused(&first, sql).await, Error::TransactionLost, "{sql}");
    }
    run(&first, "INSERT INTO item (name) VALUES ('d')").await;
    assert_eq!(count(&first).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_comes_back_is_used_again() {
    let running = Running::start(Settings::default()).await;
    let (first, second) = (running.connect(), running.connect());
    run(&first, TABLE).await;
    run(&second, "INSERT INTO item (name) VALUES ('acknowledged')").await;
    run(&first, "BEGIN IMMEDIATE").await;
    run(&first, "INSERT INTO item (name) VALUES ('a')").await;
    let running = running.restart().await;
    // Whether it fails on a connection that ended or by a stream that is not known any more.
    refused(&first, "INSERT INTO item (name) VALUES ('b')").await;
    assert_eq!(refused(&first, "COMMIT").await, Error::TransactionLost);
    assert_eq!(count(&running.connect()).await, 1);
    run(&first, "BEGIN").await;
    run(&first, "INSERT INTO item (name) VALUES ('c')").await;
    run(&first, "COMMIT").await;
    assert_eq!(count(&first).await, 2);
    // Nobody there is said as such.
    running.drain.end();
    running.drain.begin();
    timeout(SOON, running.task).await.unwrap().unwrap();
    let error = refused(&libsql_at(running.address), "SELECT 1").await.to_string();
    assert!(error.contains("cannot be reached") && error.contains("/shop"), "{error}");
}

fn libsql_at(address: std::net::SocketAddr) -> sql::Connection {
    let server = LibsqlServer::parse(&format!("http://{address}/shop"), TOKEN).unwrap();
    sql::Database::Remote(libsql::Database::new(&server)).connect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_handle_is_used_by_many_at_once() {
    let running = Running::start(Settings::default()).await;
    let connection = running.connect();
    run(&connection, TABLE).await;
    run(&connection, "INSERT INTO item (id, amount) VALUES (1, 0)").await;
    let commits = running.database.commits();
    join_all((0..64).map(|_| run(&connection, "UPDATE item SET amount = amount + 1 WHERE id = 1"))).await;
    assert_eq!(run(&connection, "SELECT amount FROM item").await, [[Value::Integer(64)]]);
    assert!(running.database.commits() - commits < 64, "writes that wait together share a commit");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_guests_may_not_do_they_may_not_do_here_either() {
    let running = Running::start(Settings { bytes_max: Some(1 << 20), ..Settings::default() }).await;
    let connection = running.connect();
    run(&connection, TABLE).await;
    let outside = running.folder.path().join("outside.db");
    for sql in
        [&format!("ATTACH '{}' AS o", outside.display()), "PRAGMA journal_mode = off", "SELECT load_extension('x')"]
    {
        refused(&connection, sql).await;
    }
    assert!(!outside.exists());
    let fill = "INSERT INTO item (name) SELECT hex(zeroblob(4000000))";
    assert_eq!(refused(&connection, fill).await, Error::Full);
    let large =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 20) SELECT zeroblob(1000000) FROM n";
    assert!(20_000_000 > RESULT_BYTES_MAX && refused(&connection, large).await.to_string().contains("larger than"));
    assert!(refused(&connection, "SELECT 1; SELECT 2").await.to_string().len() > 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_no_token_learns_nothing() {
    let running = Running::start(Settings::default()).await;
    for (path, token, expected) in [
        ("/shop", "another token", "this needs the stores' token"),
        ("/bank", "another token", "this needs the stores' token"),
        ("/bank", TOKEN, "no database `bank` is served here"),
    ] {
        let connection = sql::Database::Remote(running.client_of(path, token)).connect();
        let error = refused(&connection, "SELECT 1").await.to_string();
        assert!(error.ends_with(expected) && !error.contains(token), "{error}");
        assert!(!format!("{connection:?}").contains(token), "{connection:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn batches_sequences_and_stored_texts_are_carried_out() {
    let running = Running::start(Settings::default()).await;
    let stmt = |sql: &str| json!({ "sql": sql });
    let answers = running
        .pipeline(json!({ "baton": null, "requests": [
            { "type": "sequence", "sql": format!("{TABLE}; INSERT INTO item (name) VALUES ('a;b')") },
            { "type": "store_sql", "sql_id": 3, "sql": "INSERT INTO item (name, amount) VALUES (:name, $amount)" },
            { "type": "batch", "batch": { "steps": [
                { "stmt": stmt("BEGIN") },
                { "stmt": { "sql_id": 3, "named_args": [
                    { "name": "amount", "value": { "type": "integer", "value": "5" } },
                    { "name": ":name", "value": { "type": "text", "value": "c" } },
                ] } },
                { "stmt": stmt("INSERT INTO item (name) VALUES ('c')"), "condition": { "type": "ok", "step": 1 } },
                { "stmt": stmt("COMMIT"), "condition": { "type": "ok", "step": 2 } },
                { "stmt": stmt("ROLLBACK"), "condition": { "type": "not", "cond": { "type": "ok", "step": 3 } } },
            ] } },
            { "type": "get_autocommit" },
            { "type": "execute", "stmt": { "sql": "SELECT * FROM item", "want_rows": false } },
            { "type": "close" },
            { "type": "get_autocommit" },
        ] }))
        .await;
    let results = answers["results"].as_array().unwrap();
    let batch = &results[2]["response"]["result"];
    assert_eq!(batch["step_results"][1]["affected_row_count"], 1, "{answers}");
    assert!(batch["step_errors"][2]["message"].as_str().unwrap().contains("UNIQUE"), "{batch}");
    assert_eq!(batch["step_errors"][2]["code"], "SQLITE_CONSTRAINT");
    assert_eq!((&batch["step_results"][3], &batch["step_errors"][3]), (&Json::Null, &Json::Null), "it was left out");
    assert_eq!(batch["step_errors"][4], Json::Null, "{batch}");
    assert_eq!(results[3]["response"]["is_autocommit"], true);
    assert_eq!(results[4]["response"]["result"]["rows"], json!([]));
    assert_eq!(
        (&results[5]["type"], &results[6]["type"], &answers["baton"]),
        (&json!("ok"), &json!("error"), &Json::Null)
    );
    assert_eq!(run(&running.connect(), "SELECT name FROM item").await, [[Value::Text("a;b".into())]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_baton_is_of_one_use() {
    let running = Running::start(Settings::default()).await;
    let request = |baton: &Json| json!({ "baton": baton, "requests": [{ "type": "get_autocommit" }] });
    let first = running.pipeline(request(&Json::Null)).await["baton"].clone();
    let second = running.pipeline(request(&first)).await["baton"].clone();
    assert!(first.is_string() && second.is_string() && first != second);
    let again = running.pipeline(request(&first)).await;
    assert_eq!(again["code"], TRANSACTION_LOST, "{again}");
    assert_eq!(running.server.streams_open(), 1);
}
