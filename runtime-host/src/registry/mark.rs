//! What was recorded when another process was told to go on, to return to where that one dies before it serves.

use rusqlite::{Connection, Transaction};

/// Revisions and rollouts; each table after those that it refers to. The log of actions stays as it is, and stores that were migrated
/// have been.
const TABLES: [&str; 3] = ["revision", "live", "rollout"];

/// Copies them, for this connection alone and in place of an earlier copy.
pub(super) fn set(database: &mut Connection) -> rusqlite::Result<()> {
    // In memory, which is no less there than the connection.
    database.pragma_update(None, "temp_store", "MEMORY")?;
    let transaction = database.transaction()?;
    for table in TABLES {
        transaction.execute_batch(&format!(
            "DROP TABLE IF EXISTS temp.marked_{table};
             CREATE TEMP TABLE marked_{table} AS SELECT * FROM main.{table};"
        ))?;
    }
    transaction.commit()
}

/// Puts the copies back; returns whether anything else was there.
pub(super) fn return_to(transaction: &Transaction<'_>) -> rusqlite::Result<bool> {
    let mut is_other = false;
    for table in TABLES {
        let sql = format!(
            "SELECT EXISTS (SELECT * FROM main.{table} EXCEPT SELECT * FROM temp.marked_{table})
                 OR EXISTS (SELECT * FROM temp.marked_{table} EXCEPT SELECT * FROM main.{table})"
        );
        is_other |= transaction.query_row(&sql, (), |row| row.get::<_, bool>(0))?;
    }
    if is_other {
        for table in TABLES.iter().rev() {
            transaction.execute(&format!("DELETE FROM main.{table}"), ())?;
        }
        for table in TABLES {
            transaction.execute(&format!("INSERT INTO main.{table} SELECT * FROM temp.marked_{table}"), ())?;
        }
    }
    Ok(is_other)
}
