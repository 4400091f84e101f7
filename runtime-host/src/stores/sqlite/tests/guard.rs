//! What guests may not do, and that what they may do still works.

use super::*;

#[tokio::test]
async fn what_reaches_outside_is_refused_with_a_reason() {
    let fixture = Fixture::new().await;
    let outside = fixture.database.path().with_file_name("outside.db");
    let attach = format!("ATTACH '{}' AS other", outside.display());
    let vacuum_into = format!("VACUUM INTO '{}'", outside.display());
    for in_transaction in [false, true] {
        let connection = fixture.connect();
        if in_transaction {
            run(&connection, "BEGIN IMMEDIATE").await;
        }
        for sql in [
            attach.as_str(),
            "ATTACH '' AS scratch",
            "DETACH main",
            "SELECT load_extension('x')",
            "PRAGMA journal_mode = DELETE",
            "PRAGMA synchronous = OFF",
            "PRAGMA writable_schema = ON",
            "PRAGMA database_list",
            "PRAGMA temp_store_directory = '/'",
            "PRAGMA foreign_keys = OFF",
            "PRAGMA query_only = ON",
            "PRAGMA wal_checkpoint(TRUNCATE)",
            "PRAGMA locking_mode = EXCLUSIVE",
            "SELECT * FROM pragma_database_list",
            "CREATE TEMP TABLE t (a)",
            "CREATE TABLE temp.t (a)",
            "CREATE TEMP VIEW v AS SELECT 1",
            "EXPLAIN COMMIT",
            "COMMIT AND CHAIN",
        ] {
            let result = query(&connection, sql).await;
            match result {
                Err(Error::Denied(_)) => {}
                Err(Error::Sql(message)) if sql == "COMMIT AND CHAIN" => {
                    assert_eq!(message, "near \"AND\": syntax error")
                }
                other => panic!("{sql}: {other:?}"),
            }
        }
        assert!(query(&connection, &vacuum_into).await.is_err());
    }
    assert!(!outside.exists());
    let denied = query(&fixture.connect(), "PRAGMA synchronous = OFF").await.unwrap_err();
    assert_eq!(denied.to_string(), "not allowed: PRAGMA synchronous = off");
}

#[tokio::test]
async fn the_schema_table_and_shadow_tables_are_written_by_sqlite_alone() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "CREATE VIRTUAL TABLE search USING fts5(body, content='')").await;
    for sql in [
        "DELETE FROM sqlite_schema",
        "UPDATE sqlite_schema SET sql = ''",
        "DELETE FROM search_data",
        "DROP TABLE search_idx",
    ] {
        assert!(matches!(query(&connection, sql).await, Err(Error::Sql(_))), "{sql}");
    }
}

#[tokio::test]
async fn full_text_search_works_inside_and_outside_of_transactions() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    run(&connection, "CREATE VIRTUAL TABLE search USING fts5(name, content='item', content_rowid='id', tokenize='unicode61 remove_diacritics 2')").await;
    run(&connection, "CREATE TRIGGER item_added AFTER INSERT ON item BEGIN INSERT INTO search (rowid, name) VALUES (new.id, new.name); END").await;
    run(&connection, "INSERT INTO item (name) VALUES ('red Café table')").await;
    assert_eq!(connection.last_insert_rowid(), 1);
    run(&connection, "BEGIN").await;
    run(&connection, "INSERT INTO item (name) VALUES ('blue cafe chair')").await;
    let found =
        "SELECT rowid, highlight(search, 0, '<', '>') FROM search WHERE search MATCH 'cafe NOT blue' ORDER BY rank";
    let expected = [[Value::Integer(1), Value::Text("red <Café> table".into())]];
    assert_eq!(run(&connection, found).await, expected);
    run(&connection, "COMMIT").await;
    assert_eq!(run(&connection, found).await, expected);
    assert_eq!(integer(&connection, "SELECT count(*) FROM search WHERE search MATCH 'cafe'").await, 2);
    run(&connection, "INSERT INTO search (search) VALUES ('optimize')").await;
    run(&connection, "INSERT INTO search (search) VALUES ('integrity-check')").await;
    run(&connection, "VACUUM").await;
    run(&connection, "DROP TABLE search").await;
}

#[tokio::test]
async fn tuning_pragmas_and_what_holds_anyway_do_nothing() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    for sql in [
        "PRAGMA busy_timeout = 1",
        "PRAGMA cache_size = 1",
        "PRAGMA journal_mode = WAL",
        "PRAGMA foreign_keys = ON",
        "PRAGMA mmap_size = 1000000",
    ] {
        run(&connection, sql).await;
    }
    assert_eq!(run(&connection, "PRAGMA journal_mode").await, [[Value::Text("wal".into())]]);
}

#[tokio::test]
async fn sizes_are_bounded() {
    let fixture = Fixture::new().await;
    let connection = fixture.connect();
    let long = format!("SELECT '{}'", "x".repeat(1 << 20));
    assert!(query(&connection, &long).await.is_err());
    let nearly = format!("SELECT length('{}')", "x".repeat(1_000_000));
    assert_eq!(integer(&connection, &nearly).await, 1_000_000);
    assert!(query(&connection, "SELECT length(zeroblob(100000000))").await.is_err());
    assert!(query(&connection, &format!("SELECT 'a' LIKE '{}'", "%a".repeat(1_000))).await.is_err());
}
