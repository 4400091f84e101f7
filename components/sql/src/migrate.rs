//! Schema versions, kept in SQLite's own `user_version`.

use crate::{Database, Error, Row};

/// Brings the schema to the newest version; the common case is one read.
///
/// Each migration is a text of statements that are separated by blank lines. A database that a newer
/// component has migrated further is left as it is: migrations only ever add.
pub async fn migrate(database: &Database, migrations: &[&str]) -> Result<(), Error> {
    const VERSION: &str = "PRAGMA user_version";
    let current = |rows: Vec<Row>| rows.into_iter().next().map_or(Ok(0), |mut row| row.take::<u32>(0));
    // Not by a call that holds the instance: another of its requests may be in the middle of a migration.
    if current(database.execute(VERSION, &[]).await?)? as usize >= migrations.len() {
        return Ok(());
    }
    let transaction = database.begin().await?;
    // Another instance may have migrated while this one waited for the write lock.
    let done = current(transaction.execute(VERSION, &[]).await?)? as usize;
    for migration in migrations.iter().skip(done) {
        for statement in migration.split("\n\n").filter(|statement| !statement.trim().is_empty()) {
            transaction.execute(statement, &[]).await?;
        }
    }
    if done < migrations.len() {
        transaction.execute(&format!("{VERSION} = {}", migrations.len()), &[]).await?;
    }
    transaction.commit().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::executor::block_on;

    const FIRST: &str = "CREATE TABLE t (n INTEGER)\n\nINSERT INTO t VALUES (1)\n";
    const SECOND: &str = "INSERT INTO t VALUES (2)\n";

    #[test]
    fn instances_that_start_together_migrate_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("test.db").to_str().unwrap().to_owned();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| block_on(migrate(&Database::new(&path), &[FIRST])).unwrap());
            }
        });
        let database = Database::new(&path);
        block_on(migrate(&database, &[FIRST, SECOND])).unwrap();
        // A component of the older version meets the newer schema.
        block_on(migrate(&database, &[FIRST])).unwrap();
        let rows = database.read("SELECT group_concat(n) FROM t", &[]).unwrap().pop();
        assert_eq!(rows.unwrap().take::<String>(0).unwrap(), "1,2");
    }

    #[test]
    fn a_failed_migration_leaves_the_old_schema() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(folder.path().join("test.db").to_str().unwrap());
        assert!(block_on(migrate(&database, &["CREATE TABLE t (n)\n\nNONSENSE"])).is_err());
        assert!(database.read("SELECT * FROM t", &[]).is_err());
        block_on(migrate(&database, &[FIRST])).unwrap();
    }
}
