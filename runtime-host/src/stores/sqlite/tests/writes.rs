//! Writes outside of transactions: groups, failures, bounds and the counters of a handle.

use super::super::{Others, WRITE_QUEUE_MAX};
use super::*;

#[tokio::test]
async fn writes_that_wait_together_share_one_commit() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let before = fixture.database.commits();
    let mut waiting = Vec::new();
    for _ in 0..64 {
        waiting.push(fixture.enqueue("INSERT INTO item DEFAULT VALUES").await);
    }
    // Nobody sees and nobody is told of what is not committed.
    assert_eq!(integer(&fixture.connect(), "SELECT count(*) FROM item").await, 0);
    assert!(waiting.iter().all(|waiting| !waiting.is_finished()));
    drop(hold);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(fixture.database.commits() - before, 1);
    assert_eq!(integer(&fixture.connect(), "SELECT count(*) FROM item").await, 64);
    assert_eq!(fixture.database.queue_length(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_increments_are_all_counted() {
    let fixture = Fixture::new().await;
    run(&fixture.connect(), "INSERT INTO item (id) VALUES (1)").await;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let connection = fixture.connect();
            tokio::spawn(async move {
                for _ in 0..10 {
                    run(&connection, "UPDATE item SET amount = amount + 1 WHERE id = 1").await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(integer(&fixture.connect(), "SELECT amount FROM item").await, 640);
}

#[tokio::test]
async fn a_failing_statement_leaves_its_neighbours_alone() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let before = fixture.database.commits();
    let first = fixture.enqueue("INSERT INTO item (id, name) VALUES (1, 'a')").await;
    let failing = fixture.enqueue("INSERT INTO item (id, name) VALUES (2, 'b'), (3, 'a')").await;
    let last = fixture.enqueue("INSERT INTO item (id, name) VALUES (4, 'b')").await;
    drop(hold);
    assert_eq!(first.await.unwrap(), Ok(vec![]));
    assert_eq!(failing.await.unwrap(), Err(Error::Sql("UNIQUE constraint failed: item.name".into())));
    assert_eq!(last.await.unwrap(), Ok(vec![]));
    assert_eq!(fixture.database.commits() - before, 1);
    assert_eq!(run(&fixture.connect(), "SELECT group_concat(id) FROM item").await, [[Value::Text("1,4".into())]]);
}

#[tokio::test]
async fn a_statement_that_takes_the_whole_transaction_with_it_costs_its_neighbours_only_time() {
    let fixture = Fixture::new().await;
    run(&fixture.connect(), "INSERT INTO item (id) VALUES (1)").await;
    let hold = fixture.hold_writer().await;
    let first = fixture.enqueue("INSERT INTO item (id) VALUES (2)").await;
    let failing = fixture.enqueue("INSERT OR ROLLBACK INTO item (id) VALUES (3), (1)").await;
    let last = fixture.enqueue("INSERT INTO item (id) VALUES (4)").await;
    drop(hold);
    assert_eq!(first.await.unwrap(), Ok(vec![]));
    assert_eq!(failing.await.unwrap(), Err(Error::Sql("UNIQUE constraint failed: item.id".into())));
    assert_eq!(last.await.unwrap(), Ok(vec![]));
    assert_eq!(run(&fixture.connect(), "SELECT group_concat(id) FROM item").await, [[Value::Text("1,2,4".into())]]);
}

#[tokio::test]
async fn a_full_database_is_an_error_and_recovers() {
    let fixture = Fixture::with(Settings { bytes_max: Some(200 << 10), ..Settings::default() }).await;
    let connection = fixture.connect();
    let mut acknowledged = 0;
    let error = loop {
        match query_with(&connection, "INSERT INTO item (name) VALUES (hex(randomblob(2000)))", vec![]).await {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(error, Error::Full);
    assert!(acknowledged > 10);
    assert_eq!(integer(&connection, "SELECT count(*) FROM item").await, acknowledged);
    run(&connection, "DELETE FROM item WHERE id <= 5").await;
    run(&connection, "INSERT INTO item (name) VALUES (hex(randomblob(2000)))").await;
    assert_eq!(run(&connection, "PRAGMA integrity_check").await, [[Value::Text("ok".into())]]);
}

#[tokio::test]
async fn a_panic_in_the_writer_is_answered_and_survived() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let before = fixture.enqueue("INSERT INTO item (id) VALUES (1)").await;
    let database = fixture.database.clone();
    let panicking =
        tokio::spawn(async move { database.write(0, |_| -> Result<(), Error> { panic!("on purpose") }).await });
    while fixture.database.queue_length() < 3 {
        tokio::task::yield_now().await;
    }
    let after = fixture.enqueue("INSERT INTO item (id) VALUES (3)").await;
    drop(hold);
    assert_eq!(before.await.unwrap(), Err(Error::WriterFailed));
    assert_eq!(panicking.await.unwrap(), Err(Error::WriterFailed));
    assert_eq!(after.await.unwrap(), Ok(vec![]));
    assert_eq!(run(&fixture.connect(), "SELECT id FROM item").await, [[Value::Integer(3)]]);
    assert_eq!(fixture.database.queue_length(), 0);
}

#[tokio::test]
async fn the_queue_is_bounded() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let waiting: Vec<_> = (1..WRITE_QUEUE_MAX)
        .map(|_| {
            let connection = fixture.connect();
            tokio::spawn(async move { query(&connection, "INSERT INTO item DEFAULT VALUES").await })
        })
        .collect();
    while fixture.database.queue_length() < WRITE_QUEUE_MAX {
        tokio::task::yield_now().await;
    }
    assert_eq!(query(&fixture.connect(), "INSERT INTO item DEFAULT VALUES").await, Err(Error::QueueFull));
    drop(hold);
    for waiting in waiting {
        waiting.await.unwrap().unwrap();
    }
    assert_eq!(integer(&fixture.connect(), "SELECT count(*) FROM item").await, WRITE_QUEUE_MAX as i64 - 1);

    let hold = fixture.hold_writer().await;
    let big = || Value::Blob(vec![0; 30 << 20]);
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let connection = fixture.connect();
            tokio::spawn(
                async move { query_with(&connection, "INSERT INTO item (name) VALUES (?1)", vec![big()]).await },
            )
        })
        .collect();
    while fixture.database.queue_length() < 3 {
        tokio::task::yield_now().await;
    }
    assert_eq!(
        query_with(&fixture.connect(), "INSERT INTO item (name) VALUES (?1)", vec![big()]).await,
        Err(Error::QueueFull)
    );
    tasks.iter().for_each(JoinHandle::abort);
    drop(hold);
}

#[tokio::test]
async fn a_write_whose_caller_is_gone_before_its_turn_is_left_out() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let gone = fixture.enqueue("INSERT INTO item (id) VALUES (1)").await;
    gone.abort();
    assert!(gone.await.unwrap_err().is_cancelled());
    let stays = fixture.enqueue("INSERT INTO item (id) VALUES (2)").await;
    drop(hold);
    stays.await.unwrap().unwrap();
    assert_eq!(run(&fixture.connect(), "SELECT id FROM item").await, [[Value::Integer(2)]]);
}

#[tokio::test]
async fn counters_belong_to_the_handle() {
    let fixture = Fixture::new().await;
    let (a, b) = (fixture.connect(), fixture.connect());
    assert_eq!((a.last_insert_rowid(), a.changes()), (0, 0));
    run(&a, "INSERT INTO item (id, name) VALUES (10, 'x'), (11, 'y')").await;
    run(&b, "INSERT INTO item (id, name) VALUES (50, 'z')").await;
    assert_eq!((a.last_insert_rowid(), a.changes()), (11, 2));
    assert_eq!((b.last_insert_rowid(), b.changes()), (50, 1));
    assert_eq!(
        run(&a, "SELECT last_insert_rowid(), changes(), total_changes()").await,
        [[11, 2, 2].map(Value::Integer)]
    );
    // A neighbour's INSERT is not taken for the one that did nothing.
    run(&a, "INSERT INTO item (name) VALUES ('z') ON CONFLICT DO NOTHING").await;
    assert_eq!((a.last_insert_rowid(), a.changes()), (11, 0));
    run(&a, "CREATE TABLE other (id INTEGER PRIMARY KEY, item INTEGER)").await;
    run(&a, "INSERT INTO other (item) VALUES (last_insert_rowid())").await;
    assert_eq!(run(&a, "SELECT item FROM other").await, [[Value::Integer(11)]]);
    let rows = run(&b, "UPDATE item SET amount = amount + 1 WHERE id >= 11 RETURNING id, amount").await;
    assert_eq!(rows, [[11, 1], [50, 1]].map(|row| row.map(Value::Integer)));
    assert_eq!((b.last_insert_rowid(), b.changes()), (50, 2));
    run(&a, "BEGIN").await;
    run(&a, "DELETE FROM item").await;
    assert_eq!(
        run(&a, "SELECT last_insert_rowid(), changes(), total_changes()").await,
        [[1, 3, 6].map(Value::Integer)]
    );
}

#[tokio::test]
async fn maintenance_statements_work() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "PRAGMA user_version = 7").await;
    assert_eq!(integer(&connection, "PRAGMA user_version").await, 7);
    run(&connection, "VACUUM").await;
    run(&connection, "ANALYZE").await;
    run(&connection, "PRAGMA optimize").await;
    run(&connection, "REINDEX").await;
    assert_eq!(run(&connection, "PRAGMA quick_check").await, [[Value::Text("ok".into())]]);
    assert_eq!(run(&connection, "PRAGMA table_info(item)").await.len(), 3);
    assert_eq!(integer(&connection, "PRAGMA foreign_keys").await, 1);
}

#[tokio::test]
async fn the_log_stays_bounded_under_constant_writes() {
    let fixture = Fixture::with(Settings { durability: super::super::Durability::Normal, ..Settings::default() }).await;
    let connection = fixture.connect();
    let log = fixture.database.path().with_extension("db-wal");
    let mut largest = 0;
    for _ in 0..1_000 {
        run(&connection, "INSERT INTO item (name) VALUES (hex(randomblob(20000)))").await;
        largest = largest.max(std::fs::metadata(&log).unwrap().len());
    }
    let written = std::fs::metadata(fixture.database.path()).unwrap().len();
    assert!(written > 30 << 20, "the log was written back: {written}");
    assert!(largest < 8 << 20, "{largest}");
}

#[tokio::test]
async fn a_closed_database_has_everything_in_its_file_and_takes_no_more() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "INSERT INTO item (id) VALUES (1)").await;
    run(&connection, "SELECT * FROM item").await;
    fixture.database.close(Others::None).await.unwrap();
    assert_eq!(std::fs::metadata(fixture.database.path().with_extension("db-wal")).map_or(0, |log| log.len()), 0);
    assert_eq!(query(&connection, "INSERT INTO item (id) VALUES (2)").await, Err(Error::Closed));
    assert_eq!(query(&connection, "SELECT 1").await, Err(Error::Closed));
    assert_eq!(fixture.database.close(Others::None).await, Err(Error::Closed));
    let again = Database::open(Location::File(fixture.database.path().into()), Settings::default()).unwrap();
    assert_eq!(integer(&again.connect(), "SELECT id FROM item").await, 1);
}

#[tokio::test]
async fn a_dropped_database_is_at_rest() {
    let fixture = Fixture::new().await;
    let path = fixture.database.path().to_owned();
    run(&fixture.connect(), "INSERT INTO item (id) VALUES (1)").await;
    run(&fixture.connect(), "SELECT * FROM item").await;
    let Fixture { database, _folder } = fixture;
    drop(database);
    // At rest: nothing of the log is left, and nobody has the file open.
    assert!(!path.with_extension("db-wal").exists());
    let again = Database::open(Location::File(path), Settings::default()).unwrap();
    assert_eq!(integer(&again.connect(), "SELECT id FROM item").await, 1);
}

#[tokio::test]
async fn a_temporary_database_is_shared_and_leaves_nothing() {
    let database = Database::open(Location::Memory, Settings::default()).unwrap();
    run(&database.connect(), "CREATE TABLE t (a)").await;
    run(&database.connect(), "INSERT INTO t VALUES (1)").await;
    assert_eq!(integer(&database.connect(), "SELECT a FROM t").await, 1);
    let path = database.path().to_owned();
    assert!(path.exists());
    drop(database);
    assert!(!path.exists());
}
