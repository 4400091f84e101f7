//! What a running shop counts: requests and store calls by component, and the commits of its databases.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use ::tests::metrics::Metrics;
use anyhow::{Context, Result};

use crate::server::Server;
use crate::shop::Shop;

/// Where the index of a write-ahead log counts the transactions, a number of 32 bits in the machine's byte order (SQLite,
/// "WAL-mode File Format", section 2.1).
const TRANSACTIONS_AT: u64 = 8;

/// What was counted since the start of a shop.
pub(crate) struct Counts {
    metrics: Metrics,
    commits: Vec<(&'static str, u32)>,
}

/// What a component did between two counts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Work {
    /// Requests that it answered.
    pub(crate) requests: f64,
    /// Calls of its store.
    pub(crate) store_calls: f64,
    /// How long it waited for them, in seconds.
    pub(crate) store_s: f64,
    /// Commits of its store; with durability `full`, each is one sync of the disk.
    pub(crate) commits: f64,
}

impl Counts {
    /// Reads them; each of `components` has one store, of the same name.
    pub(crate) fn read(shop: &Shop, server: &Server, components: &[&'static str]) -> Result<Self> {
        let metrics = Metrics::parse(&String::from_utf8(server.get_admin("/metrics")?)?);
        let commits = |component| Ok((component, commits(&shop.store(component))?));
        Ok(Self { metrics, commits: components.iter().copied().map(commits).collect::<Result<_>>()? })
    }

    /// What `component` did since `earlier`.
    pub(crate) fn since(&self, earlier: &Self, component: &str) -> Work {
        let sum = |name: &str| {
            let labels = [("component", component)];
            self.metrics.sum(name, &labels) - earlier.metrics.sum(name, &labels)
        };
        Work {
            requests: sum("bodega_http_requests_total"),
            store_calls: sum("bodega_store_calls_total"),
            store_s: sum("bodega_store_call_duration_seconds_sum"),
            commits: f64::from(self.commits_of(component).wrapping_sub(earlier.commits_of(component))),
        }
    }

    fn commits_of(&self, component: &str) -> u32 {
        self.commits.iter().find(|(name, _)| *name == component).map_or(0, |(_, commits)| *commits)
    }
}

/// How many transactions were committed to a database that somebody has open.
fn commits(database: &Path) -> Result<u32> {
    let index = database.with_extension("db-shm");
    let read = || {
        let mut file = File::open(&index)?;
        let mut count = [0; 4];
        file.seek(SeekFrom::Start(TRANSACTIONS_AT))?;
        file.read_exact(&mut count)?;
        Ok::<_, std::io::Error>(u32::from_ne_bytes(count))
    };
    read().with_context(|| format!("{}", index.display()))
}

#[cfg(test)]
mod tests {
    use rusqlite::Connection;

    use super::*;

    #[test]
    fn every_transaction_is_counted_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let database = Connection::open(&path).unwrap();
        database.pragma_update(None, "journal_mode", "WAL").unwrap();
        database.execute_batch("CREATE TABLE t (n INTEGER)").unwrap();
        let before = commits(&path).unwrap();
        for _ in 0..10 {
            database.execute_batch("BEGIN; INSERT INTO t VALUES (1); INSERT INTO t VALUES (2); COMMIT").unwrap();
        }
        database.query_row("SELECT count(*) FROM t", [], |row| row.get::<_, i64>(0)).unwrap();
        database.execute_batch("BEGIN; INSERT INTO t VALUES (3); ROLLBACK").unwrap();
        assert_eq!(commits(&path).unwrap() - before, 10);
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO t VALUES (4)").unwrap();
        assert_eq!(commits(&path).unwrap() - before, 11);
    }
}
