//! Reads: where they run, what they return, and that they end.

use std::future::poll_fn;
use std::sync::Arc;

use super::super::result::row_bytes;
use super::*;

/// Counts to its parameter, which takes as long as one likes.
const COUNT: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT max(i) FROM n";
/// Never ends.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";
/// Rows of 1,000 bytes and a bit.
const MANY: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?1) SELECT i, zeroblob(1000) FROM n";

#[tokio::test]
async fn values_come_back_as_they_went_in() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    let values = vec![
        Value::Integer(i64::MIN),
        Value::Real(-0.25),
        Value::Text("zażółć \0 done".into()),
        Value::Text(String::new()),
        Value::Blob(vec![0, 255]),
        Value::Blob(Vec::new()),
        Value::Null,
    ];
    let result =
        connection.execute("SELECT ?1 AS a, ?2, ?3, ?4, ?5, ?6, ?7 AS \"last one\"", values.clone()).await.unwrap();
    assert_eq!((result.columns[0].as_str(), result.columns[6].as_str()), ("a", "last one"));
    assert_eq!(result.collect().await.unwrap().1, vec![values]);
}

#[tokio::test]
async fn a_short_read_is_answered_on_the_spot_and_nothing_else_is() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "INSERT INTO item (name) VALUES ('a')").await;
    for _ in 0..2 {
        let read = connection
            .try_execute_inline("SELECT name FROM item WHERE id = ?1", &[Value::Integer(1)])
            .unwrap()
            .unwrap();
        assert_eq!(read.collect().await.unwrap().1, [[Value::Text("a".into())]]);
        assert!(connection.try_execute_inline("INSERT INTO item (name) VALUES ('b')", &[]).is_none());
        assert!(connection.try_execute_inline("BEGIN", &[]).is_none());
        assert!(connection.try_execute_inline(COUNT, &[Value::Integer(3_000_000)]).is_none());
        assert!(connection.try_execute_inline(MANY, &[Value::Integer(100)]).is_none());
    }
    assert_eq!(integer(&connection, "SELECT count(*) FROM item").await, 1);
}

#[tokio::test]
async fn a_long_read_is_right_and_is_remembered_until_it_is_short_again() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    let is_long = || fixture.database.statements.get(COUNT).is_some_and(|statement| statement.is_long());
    for _ in 0..2 {
        assert!(!is_long());
        assert_eq!(
            query_with(&connection, COUNT, vec![Value::Integer(1_000_000)]).await.unwrap(),
            [[Value::Integer(1_000_000)]]
        );
    }
    assert!(is_long());
    timeout(SOON, async {
        while is_long() {
            assert_eq!(query_with(&connection, COUNT, vec![Value::Integer(1)]).await.unwrap(), [[Value::Integer(1)]]);
        }
    })
    .await
    .unwrap();
}

#[tokio::test]
async fn a_big_result_comes_in_batches() {
    let fixture = Fixture::new().await;
    let mut result = fixture.connect().execute(MANY, vec![Value::Integer(40_000)]).await.unwrap();
    assert_eq!(&*result.columns, ["i", "zeroblob(1000)"]);
    let (mut rows, mut batches) = (0, 0);
    while let Some(batch) = poll_fn(|cx| result.poll_batch(cx)).await {
        let batch = batch.unwrap();
        assert!(batch.iter().map(row_bytes).sum::<usize>() < 300_000);
        for row in batch {
            rows += 1;
            assert_eq!(row[0], Value::Integer(rows));
        }
        batches += 1;
    }
    assert_eq!(rows, 40_000);
    assert!(batches > 100);
    assert!(result.is_complete());
    let whole = query_with(&fixture.connect(), MANY, vec![Value::Integer(40_000)]).await;
    assert_eq!(whole, Err(Error::ResultTooLarge));
}

#[tokio::test]
async fn an_error_after_the_first_batch_is_not_the_end_of_the_rows() {
    let fixture = Fixture::new().await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 9000)
        SELECT zeroblob(1000), CASE WHEN i = 9000 THEN json('no') END FROM n";
    let result = fixture.connect().execute(sql, Vec::new()).await.unwrap();
    assert_eq!(result.collect().await, Err(Error::Sql("malformed JSON".into())));
}

#[tokio::test]
async fn reads_that_nobody_waits_for_free_their_threads() {
    let fixture = Fixture::new().await;
    for _ in 0..20 {
        let connection = fixture.connect();
        // Gone after the first rows.
        drop(connection.execute(MANY, vec![Value::Integer(1_000_000)]).await.unwrap());
        // Gone before the first row.
        assert!(timeout(Duration::from_millis(20), connection.execute(ENDLESS, Vec::new())).await.is_err());
    }
    assert_eq!(
        query_with(&fixture.connect(), COUNT, vec![Value::Integer(500_000)]).await.unwrap(),
        [[Value::Integer(500_000)]]
    );
}

/// Whether a reader keeps the log from being cut back to nothing.
fn log_is_held(fixture: &Fixture) -> bool {
    let checkpoint = || {
        let other = rusqlite::Connection::open(fixture.database.path())?;
        other.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>(0))
    };
    checkpoint().unwrap()
}

/// A read of the table that never ends, whose first row was taken; then the table is written to.
async fn endless_read() -> (Fixture, QueryResult) {
    let fixture = Fixture::with(Settings { read_time_max: Duration::from_millis(500), ..Settings::default() }).await;
    run(&fixture.connect(), "INSERT INTO item (name) VALUES ('a')").await;
    let sql = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT id, zeroblob(1000) FROM n, item";
    let mut result = fixture.connect().execute(sql, Vec::new()).await.unwrap();
    assert!(matches!(poll_fn(|cx| result.poll_batch(cx)).await, Some(Ok(_))));
    run(&fixture.connect(), "INSERT INTO item (name) VALUES ('b')").await;
    assert!(log_is_held(&fixture), "the reader sees the table without the last row");
    (fixture, result)
}

#[tokio::test]
async fn rows_that_are_left_standing_do_not_hold_the_log() {
    let (fixture, result) = endless_read().await;
    timeout(SOON, async {
        while log_is_held(&fixture) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .unwrap();
    assert_eq!(result.collect().await, Err(Error::ResultEnded), "this is not the good end of the rows");
}

#[tokio::test]
async fn rows_that_are_taken_slowly_do_not_hold_the_log() {
    let (fixture, mut result) = endless_read().await;
    let reading = async {
        loop {
            tokio::time::sleep(Duration::from_millis(20)).await;
            match poll_fn(|cx| result.poll_batch(cx)).await {
                Some(Ok(_)) => {}
                ended => return ended,
            }
        }
    };
    let ended = timeout(SOON, reading).await.unwrap();
    assert!(matches!(ended, Some(Err(Error::ResultEnded | Error::Timeout(_)))), "{ended:?}");
    assert!(!log_is_held(&fixture));
}

#[tokio::test]
async fn columns_follow_the_schema() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    let columns = async || connection.execute("SELECT * FROM item", Vec::new()).await.unwrap().columns;
    let before = columns().await;
    assert_eq!(&*before, ["id", "name", "amount"]);
    assert!(Arc::ptr_eq(&before, &columns().await), "the names are shared");
    run(&connection, "ALTER TABLE item ADD COLUMN colour").await;
    assert_eq!(&*columns().await, ["id", "name", "amount", "colour"]);
}

#[tokio::test]
async fn faulty_statements_are_told_apart() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    let error = async |sql: &str, params| query_with(&connection, sql, params).await.unwrap_err();
    assert_eq!(error("SELECT ?1, ?2", vec![Value::Null]).await, Error::ParameterCount { expected: 2, given: 1 });
    assert_eq!(error("SELECT 1", vec![Value::Null]).await, Error::ParameterCount { expected: 0, given: 1 });
    assert_eq!(
        error("INSERT INTO item (id) VALUES (?1)", vec![]).await,
        Error::ParameterCount { expected: 1, given: 0 }
    );
    assert_eq!(error("SELECT * FROM nowhere", vec![]).await, Error::Sql("no such table: nowhere".into()));
    assert_eq!(
        error("INSERT INTO item VALUES (1)", vec![]).await,
        Error::Sql("table item has 3 columns but 1 values were supplied".into())
    );
    assert_eq!(error(" -- nothing", vec![]).await, Error::Sql("there is no statement to run".into()));
    assert_eq!(error("SELECT 1; SELECT 2", vec![]).await, Error::Sql("Multiple statements provided".into()));
    assert_eq!(
        error("INSERT INTO item (id) VALUES (7); SELECT 2", vec![]).await,
        Error::Sql("Multiple statements provided".into())
    );
    assert_eq!(integer(&connection, "SELECT count(*) FROM item").await, 0);
}

#[tokio::test]
async fn a_read_sees_every_write_that_was_answered_before_it() {
    let fixture = Fixture::new().await;
    let (writer, reader) = (fixture.connect(), fixture.connect());
    for count in 1..=100 {
        run(&writer, "INSERT INTO item DEFAULT VALUES").await;
        assert_eq!(integer(&reader, "SELECT count(*) FROM item").await, count);
    }
}
