//! Transactions over several calls.

use super::*;

#[tokio::test]
async fn a_transaction_is_seen_by_itself_at_once_and_by_others_after_its_commit() {
    let fixture = Fixture::new().await;
    let (a, b) = (fixture.connect(), fixture.connect());
    for (id, begin) in
        ["BEGIN", "BEGIN IMMEDIATE", "begin exclusive transaction;", "SAVEPOINT s"].into_iter().enumerate()
    {
        let count = integer(&b, "SELECT count(*) FROM item").await;
        run(&a, begin).await;
        query_with(&a, "INSERT INTO item (id) VALUES (?1)", vec![Value::Integer(id as i64)]).await.unwrap();
        assert_eq!(integer(&a, "SELECT count(*) FROM item").await, count + 1);
        assert_eq!(integer(&b, "SELECT count(*) FROM item").await, count);
        run(&a, if begin.starts_with("SAVEPOINT") { "RELEASE s" } else { "COMMIT" }).await;
        assert_eq!(integer(&b, "SELECT count(*) FROM item").await, count + 1);
    }
    run(&a, "BEGIN").await;
    run(&a, "DELETE FROM item").await;
    run(&a, "ROLLBACK").await;
    assert_eq!(integer(&a, "SELECT count(*) FROM item").await, 4);
}

#[tokio::test]
async fn the_wrong_order_is_refused() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    for sql in ["COMMIT", "END", "ROLLBACK"] {
        assert_eq!(query(&connection, sql).await, Err(Error::NoTransaction));
    }
    assert_eq!(query(&connection, "RELEASE s").await, Err(Error::NoTransaction));
    run(&connection, "BEGIN").await;
    assert_eq!(query(&connection, "BEGIN").await, Err(Error::NestedTransaction));
    run(&connection, "COMMIT").await;
    run(&connection, "BEGIN IMMEDIATE").await;
    assert_eq!(query(&connection, "BEGIN IMMEDIATE").await, Err(Error::NestedTransaction));
    assert_eq!(query(&connection, "VACUUM").await, Err(Error::Sql("cannot VACUUM from within a transaction".into())));
    run(&connection, "INSERT INTO item (id) VALUES (1)").await;
    run(&connection, "END TRANSACTION").await;
    assert_eq!(integer(&connection, "SELECT count(*) FROM item").await, 1);
}

#[tokio::test]
async fn a_failed_statement_leaves_the_transaction_open() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO item (id) VALUES (1)").await;
    assert_eq!(
        query(&connection, "INSERT INTO item (id) VALUES (2), (1)").await,
        Err(Error::Sql("UNIQUE constraint failed: item.id".into()))
    );
    run(&connection, "INSERT INTO item (id) VALUES (3)").await;
    run(&connection, "COMMIT").await;
    assert_eq!(run(&connection, "SELECT group_concat(id) FROM item").await, [[Value::Text("1,3".into())]]);
}

#[tokio::test]
async fn savepoints_nest_and_never_reach_the_hosts_own() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO item (id) VALUES (1)").await;
    run(&connection, "SAVEPOINT \"a b\"").await;
    run(&connection, "INSERT INTO item (id) VALUES (2)").await;
    run(&connection, "SAVEPOINT host").await;
    run(&connection, "INSERT INTO item (id) VALUES (3)").await;
    run(&connection, "ROLLBACK TO HOST").await;
    run(&connection, "RELEASE host").await;
    assert_eq!(query(&connection, "RELEASE host").await, Err(Error::Sql("no such savepoint: host".into())));
    run(&connection, "INSERT INTO item (id) VALUES (4)").await;
    run(&connection, "ROLLBACK TO 'A B'").await;
    run(&connection, "INSERT INTO item (id) VALUES (5)").await;
    run(&connection, "COMMIT").await;
    assert_eq!(run(&connection, "SELECT group_concat(id) FROM item").await, [[Value::Text("1,5".into())]]);
}

#[tokio::test]
async fn a_dropped_handle_rolls_back_and_lets_the_others_on() {
    let fixture = Fixture::new().await;
    let holder = fixture.connect();
    run(&holder, "BEGIN IMMEDIATE").await;
    run(&holder, "INSERT INTO item (id) VALUES (1)").await;
    let waiting = fixture.enqueue("INSERT INTO item (id) VALUES (2)").await;
    drop(holder);
    waiting.await.unwrap().unwrap();
    assert_eq!(run(&fixture.connect(), "SELECT id FROM item").await, [[Value::Integer(2)]]);
}

#[tokio::test]
async fn a_handle_that_is_dropped_while_its_begin_waits_never_holds_the_writer() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let begin = fixture.enqueue("BEGIN IMMEDIATE").await;
    let write = fixture.enqueue("INSERT INTO item (id) VALUES (1)").await;
    begin.abort();
    drop(hold);
    // Far less than a transaction may last.
    timeout(Duration::from_secs(3), write).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn a_transaction_that_stays_open_too_long_is_rolled_back_and_its_guest_hears_of_it() {
    let fixture =
        Fixture::with(Settings { transaction_time_max: Duration::from_millis(200), ..Settings::default() }).await;
    let late = fixture.connect();
    run(&late, "BEGIN").await;
    run(&late, "INSERT INTO item (id) VALUES (1)").await;
    // Waits for the limit and no longer.
    run(&fixture.connect(), "INSERT INTO item (id) VALUES (2)").await;
    assert_eq!(query(&late, "INSERT INTO item (id) VALUES (3)").await, Err(Error::TransactionLost));
    assert_eq!(query(&late, "SELECT 1").await, Err(Error::TransactionLost));
    assert_eq!(query(&late, "COMMIT").await, Err(Error::TransactionLost));
    assert_eq!(run(&late, "SELECT id FROM item").await, [[Value::Integer(2)]]);

    run(&late, "BEGIN IMMEDIATE").await;
    run(&fixture.connect(), "INSERT INTO item (id) VALUES (4)").await;
    run(&late, "ROLLBACK").await;
    run(&late, "BEGIN").await;
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) INSERT INTO item (amount) SELECT max(i) FROM n";
    assert!(matches!(query(&late, endless).await, Err(Error::Timeout(_))));
    assert_eq!(query(&late, "SELECT 1").await, Err(Error::TransactionLost));
    run(&late, "BEGIN").await;
    run(&late, "INSERT INTO item (id) VALUES (5)").await;
    run(&late, "COMMIT").await;
    assert_eq!(run(&late, "SELECT group_concat(id) FROM item").await, [[Value::Text("2,4,5".into())]]);
}

#[tokio::test]
async fn a_full_database_ends_the_transaction() {
    let fixture = Fixture::with(Settings { bytes_max: Some(100 << 10), ..Settings::default() }).await;
    let connection = fixture.connect();
    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO item (name) VALUES ('small')").await;
    assert_eq!(query(&connection, "INSERT INTO item (name) VALUES (hex(randomblob(200000)))").await, Err(Error::Full));
    assert_eq!(query(&connection, "INSERT INTO item (name) VALUES ('small')").await, Err(Error::TransactionLost));
    run(&connection, "ROLLBACK").await;
    assert_eq!(integer(&connection, "SELECT count(*) FROM item").await, 0);
    run(&connection, "INSERT INTO item (name) VALUES ('small')").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_of_many_handles_are_isolated_and_share_commits() {
    let fixture = Fixture::new().await;
    run(&fixture.connect(), "INSERT INTO item (id, amount) VALUES (1, 0), (2, 0)").await;
    let before = fixture.database.commits();
    let tasks: Vec<_> = (0..64)
        .map(|task| {
            let connection = fixture.connect();
            tokio::spawn(async move {
                for round in 0..10 {
                    run(&connection, ["BEGIN IMMEDIATE", "BEGIN"][task % 2]).await;
                    let amount = integer(&connection, "SELECT amount FROM item WHERE id = 1").await;
                    let set = "UPDATE item SET amount = ?1 WHERE id = 1";
                    query_with(&connection, set, vec![Value::Integer(amount + 1)]).await.unwrap();
                    run(&connection, "UPDATE item SET amount = amount - 1 WHERE id = 2").await;
                    run(&connection, if (task + round) % 5 == 0 { "ROLLBACK" } else { "COMMIT" }).await;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(
        run(&fixture.connect(), "SELECT amount FROM item ORDER BY id").await,
        [[Value::Integer(512)], [Value::Integer(-512)]]
    );
    let commits = fixture.database.commits() - before;
    assert!(commits < 320, "{commits} commits for 640 transactions");
}

#[tokio::test]
async fn a_deferred_foreign_key_is_checked_when_its_own_transaction_ends() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(
        &connection,
        "CREATE TABLE part (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item DEFERRABLE INITIALLY DEFERRED)",
    )
    .await;
    run(&connection, "CREATE TABLE strict (id INTEGER PRIMARY KEY, item INTEGER REFERENCES item)").await;
    let failed = Err(Error::Sql("FOREIGN KEY constraint failed".into()));

    let hold = fixture.hold_writer().await;
    let orphan = fixture.enqueue("INSERT INTO part VALUES (1, 99)").await;
    let neighbour = fixture.enqueue("INSERT INTO item (id) VALUES (1)").await;
    drop(hold);
    assert_eq!(orphan.await.unwrap(), failed);
    neighbour.await.unwrap().unwrap();

    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO part VALUES (2, 98)").await;
    assert_eq!(query(&connection, "COMMIT").await, failed);
    run(&connection, "INSERT INTO item (id) VALUES (98)").await;
    run(&connection, "COMMIT").await;

    run(&connection, "BEGIN").await;
    run(&connection, "PRAGMA defer_foreign_keys = ON").await;
    run(&connection, "INSERT INTO strict VALUES (1, 97)").await;
    run(&connection, "INSERT INTO item (id) VALUES (97)").await;
    run(&connection, "COMMIT").await;

    // The next transaction of the same group does not inherit it.
    let other = fixture.connect();
    run(&connection, "BEGIN").await;
    run(&connection, "PRAGMA defer_foreign_keys = ON").await;
    run(&connection, "INSERT INTO item (id) VALUES (96)").await;
    let next = fixture.enqueue("INSERT INTO strict VALUES (2, 95)").await;
    let (committed, next) = tokio::join!(query(&connection, "COMMIT"), next);
    assert_eq!((committed, next.unwrap()), (Ok(vec![]), failed.clone()));
    run(&other, "BEGIN").await;
    assert_eq!(query(&other, "INSERT INTO strict VALUES (2, 95)").await, failed);
    run(&other, "ROLLBACK").await;
    assert_eq!(run(&other, "SELECT group_concat(id) FROM part").await, [[Value::Text("2".into())]]);
}

#[tokio::test]
async fn statements_that_are_sent_without_waiting_run_in_their_order() {
    let fixture = Fixture::new().await;
    let hold = fixture.hold_writer().await;
    let connection = fixture.connect();
    let neighbour = fixture.enqueue("INSERT INTO item (id) VALUES (100)").await;
    let all = async {
        tokio::join!(
            query(&connection, "BEGIN IMMEDIATE"),
            query(&connection, "INSERT INTO item (id) VALUES (1)"),
            async { drop(hold) },
        )
    };
    let (begun, inserted, ()) = all.await;
    begun.unwrap();
    inserted.unwrap();
    assert_eq!(query(&connection, "COMMIT").await, Ok(vec![]));
    neighbour.await.unwrap().unwrap();
    assert_eq!(integer(&connection, "SELECT count(*) FROM item").await, 2);
}

#[tokio::test]
async fn where_transactions_are_slow_the_writes_before_one_do_not_wait_for_it() {
    let fixture = Fixture::new().await;
    let slow = fixture.connect();
    run(&slow, "BEGIN IMMEDIATE").await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    run(&slow, "COMMIT").await;

    let hold = fixture.hold_writer().await;
    let neighbour = fixture.enqueue("INSERT INTO item (id) VALUES (100)").await;
    let (begun, ()) = tokio::join!(query(&slow, "BEGIN IMMEDIATE"), async { drop(hold) });
    begun.unwrap();
    timeout(Duration::from_secs(3), neighbour).await.unwrap().unwrap().unwrap();
    run(&slow, "COMMIT").await;
}

#[tokio::test]
async fn who_stands_still_does_not_wait_for_a_transaction_that_began_later() {
    let fixture = Fixture::new().await;
    let (still, other) = (fixture.connect(), fixture.connect());
    const INSERT: &str = "INSERT INTO item DEFAULT VALUES";
    let answered = |sql| timeout(Duration::from_secs(3), still.execute_at_standstill(sql, Vec::new()));

    // The database knows the statement for a write from here on.
    run(&still, INSERT).await;
    let hold = fixture.hold_writer().await;
    let (inserted, begun, ()) = tokio::join!(answered(INSERT), query(&other, "BEGIN IMMEDIATE"), async { drop(hold) });
    inserted.expect("an answer while the other's transaction is open").unwrap();
    begun.unwrap();
    run(&other, "ROLLBACK").await;

    run(&still, "BEGIN IMMEDIATE").await;
    let (begun, committed) = tokio::join!(query(&other, "BEGIN IMMEDIATE"), answered("COMMIT"));
    committed.expect("an answer while the other's transaction is open").unwrap();
    begun.unwrap();
    run(&other, "ROLLBACK").await;
}
