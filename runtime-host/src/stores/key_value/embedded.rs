//! The embedded key-value store: a table in a SQLite file, the one that Spin uses, with a column for expiry.
//!
//! Several stores may share a file; each sees its own rows.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::FutureExt as _;
use futures::future::ready;
use rusqlite::{Connection, OptionalExtension as _, params};

use super::{
    Answer, BATCH_BYTES_MAX, Cas, Error, KeyValue, Keys, PAGE_KEYS_MAX, Swap, check_batch, check_key, check_value,
};
use crate::stores::sqlite::{self, Database};

/// Expired entries that one transaction removes, so that a sweep does not hold the writer.
const SWEEP_ROWS_MAX: u64 = 1_000;

const GET: &str = "SELECT value FROM spin_key_value
    WHERE store = ?1 AND key = ?2 AND (expires_at_ms IS NULL OR expires_at_ms > ?3)";
const SET: &str = "INSERT INTO spin_key_value (store, key, value, expires_at_ms) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (store, key) DO UPDATE SET value = excluded.value, expires_at_ms = excluded.expires_at_ms";
const DELETE: &str = "DELETE FROM spin_key_value WHERE store = ?1 AND key = ?2";
const KEYS: &str = "SELECT key FROM spin_key_value
    WHERE store = ?1 AND key >= ?2 AND (expires_at_ms IS NULL OR expires_at_ms > ?3) ORDER BY key LIMIT ?4";
const SWEEP: &str = "DELETE FROM spin_key_value WHERE rowid IN
    (SELECT rowid FROM spin_key_value WHERE store = ?1 AND expires_at_ms <= ?2 LIMIT ?3)";

/// Tells the time, in milliseconds since 1970.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// A key-value store in a SQLite file.
#[derive(Debug, Clone)]
pub struct Embedded {
    database: Arc<Database>,
    entries: Arc<Entries>,
}

/// Which rows are a store's, and how long they live.
struct Entries {
    store: String,
    ttl: Option<Duration>,
    clock: Clock,
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("store", &self.store).field("ttl", &self.ttl).finish_non_exhaustive()
    }
}

impl Embedded {
    /// Opens the store `name` of `database`. Every write of an entry lets it live for `ttl` from then on. Blocks while the
    /// table is made.
    pub fn open(
        database: Arc<Database>,
        name: &str,
        ttl: Option<Duration>,
        clock: Clock,
    ) -> Result<Self, sqlite::Error> {
        // The writer thread answers, so this waits on no task.
        futures::executor::block_on(database.write(0, create_table))?;
        Ok(Self { database, entries: Arc::new(Entries { store: name.to_owned(), ttl, clock }) })
    }

    /// The machine's clock.
    pub fn system_clock() -> Clock {
        // A clock before 1970 only means that nothing expires.
        Arc::new(|| SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, milliseconds))
    }

    fn read<T: Send + 'static>(
        &self,
        read: impl Fn(&Connection, &str, i64) -> rusqlite::Result<T> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + '_ {
        let entries = self.entries.clone();
        self.database
            .read(move |connection| read(connection, &entries.store, (entries.clock)()))
            .map(|done| done.map_err(Error::from))
    }

    /// Runs `write` as one unit with the rows of this store.
    fn write<T: Send + 'static>(
        &self,
        bytes: usize,
        write: impl Fn(&Rows<'_>) -> Result<T, Error> + Send + 'static,
    ) -> impl Future<Output = Result<T, Error>> + Send + '_ {
        let entries = self.entries.clone();
        let done = self.database.write(bytes, move |connection| {
            let now = (entries.clock)();
            let expiry = entries.ttl.map(|ttl| now.saturating_add(milliseconds(ttl)));
            let rows = Rows { connection, store: &entries.store, now, expiry };
            match write(&rows) {
                Err(Error::Backend(message)) => Err(sqlite::Error::Sql(message)),
                // A refusal changed nothing, so there is nothing to roll back.
                done => Ok(done),
            }
        });
        done.map(|done| done?)
    }
}

/// The rows of one store inside a unit of writes.
struct Rows<'a> {
    connection: &'a Connection,
    store: &'a str,
    now: i64,
    expiry: Option<i64>,
}

impl Rows<'_> {
    fn get(&self, key: &str) -> rusqlite::Result<Option<Vec<u8>>> {
        get(self.connection, self.store, key, self.now)
    }

    fn set(&self, key: &str, value: &[u8]) -> rusqlite::Result<()> {
        self.connection.prepare_cached(SET)?.execute(params![self.store, key, value, self.expiry]).map(drop)
    }

    fn delete(&self, key: &str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(DELETE)?.execute([self.store, key]).map(drop)
    }
}

fn get(connection: &Connection, store: &str, key: &str, now: i64) -> rusqlite::Result<Option<Vec<u8>>> {
    connection.prepare_cached(GET)?.query_row(params![store, key, now], |row| row.get(0)).optional()
}

impl KeyValue for Embedded {
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>> {
        if let Err(error) = check_key(key) {
            return ready(Err(error)).boxed();
        }
        let key = key.to_owned();
        self.read(move |connection, store, now| get(connection, store, &key, now)).boxed()
    }

    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<(String, Option<Vec<u8>>)>> {
        if let Err(error) = check_batch(keys.iter().map(String::as_str)) {
            return ready(Err(error)).boxed();
        }
        let read = self.read(move |connection, store, now| {
            let mut bytes = 0;
            let mut pairs = Vec::with_capacity(keys.len());
            for key in &keys {
                let value = get(connection, store, key, now)?;
                bytes += value.as_ref().map_or(0, Vec::len);
                if bytes > BATCH_BYTES_MAX {
                    return Ok(Err(Error::BatchTooLarge));
                }
                pairs.push((key.clone(), value));
            }
            Ok(Ok(pairs))
        });
        read.map(|done| done?).boxed()
    }

    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool> {
        if let Err(error) = check_key(key) {
            return ready(Err(error)).boxed();
        }
        let key = key.to_owned();
        self.read(move |connection, store, now| connection.prepare_cached(GET)?.exists(params![store, key, now]))
            .boxed()
    }

    fn set(&self, key: String, value: Vec<u8>) -> Answer<'_, ()> {
        self.set_many(vec![(key, value)])
    }

    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<'_, ()> {
        let checked = check_batch(pairs.iter().map(|(key, _)| key.as_str()));
        if let Err(error) = checked.and_then(|()| pairs.iter().try_for_each(|(_, value)| check_value(value))) {
            return ready(Err(error)).boxed();
        }
        let bytes = pairs.iter().map(|(key, value)| key.len() + value.len()).sum();
        self.write(bytes, move |rows| Ok(pairs.iter().try_for_each(|(key, value)| rows.set(key, value))?)).boxed()
    }

    fn delete(&self, key: String) -> Answer<'_, ()> {
        self.delete_many(vec![key])
    }

    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()> {
        if let Err(error) = check_batch(keys.iter().map(String::as_str)) {
            return ready(Err(error)).boxed();
        }
        let bytes = keys.iter().map(String::len).sum();
        self.write(bytes, move |rows| Ok(keys.iter().try_for_each(|key| rows.delete(key))?)).boxed()
    }

    fn keys(&self, cursor: Option<String>) -> Answer<'_, Keys> {
        // The smallest text after the cursor.
        let from = cursor.map_or(String::new(), |cursor| cursor + "\0");
        let read = self.read(move |connection, store, now| {
            let mut statement = connection.prepare_cached(KEYS)?;
            let keys = statement.query_map(params![store, from, now, PAGE_KEYS_MAX.cast_signed()], |row| row.get(0))?;
            keys.collect::<rusqlite::Result<Vec<String>>>()
        });
        read.map(|keys| {
            let keys = keys?;
            let cursor = if keys.len() == PAGE_KEYS_MAX { keys.last().cloned() } else { None };
            Ok(Keys { keys, cursor })
        })
        .boxed()
    }

    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64> {
        if let Err(error) = check_key(&key) {
            return ready(Err(error)).boxed();
        }
        let write = self.write(key.len(), move |rows| {
            let value = match rows.get(&key)? {
                None => 0,
                Some(value) => {
                    i64::from_le_bytes(value.as_slice().try_into().map_err(|_| Error::NotANumber(value.len()))?)
                }
            };
            let sum = value.checked_add(delta).ok_or(Error::Overflow)?;
            rows.set(&key, &sum.to_le_bytes())?;
            Ok(sum)
        });
        write.boxed()
    }

    fn compare(&self, key: String) -> Answer<'_, Cas> {
        if let Err(error) = check_key(&key) {
            return ready(Err(error)).boxed();
        }
        let read = self.read(move |connection, store, now| {
            let current = get(connection, store, &key, now)?;
            Ok(Cas { key: key.clone(), current })
        });
        read.boxed()
    }

    fn swap(&self, cas: Cas, value: Vec<u8>) -> Answer<'_, Swap> {
        if let Err(error) = check_value(&value) {
            return ready(Err(error)).boxed();
        }
        let write = self.write(cas.key.len() + value.len(), move |rows| {
            let current = rows.get(&cas.key)?;
            if current != cas.current {
                return Ok(Swap::Changed(Cas { key: cas.key.clone(), current }));
            }
            rows.set(&cas.key, &value)?;
            Ok(Swap::Done)
        });
        write.boxed()
    }

    fn sweep_expired(&self) -> Answer<'_, u64> {
        let sweep = async {
            let mut swept = 0;
            loop {
                let removed = self
                    .write(0, |rows| {
                        let removed = rows.connection.prepare_cached(SWEEP)?.execute(params![
                            rows.store,
                            rows.now,
                            SWEEP_ROWS_MAX.cast_signed()
                        ])?;
                        Ok(removed as u64)
                    })
                    .await?;
                swept += removed;
                if removed < SWEEP_ROWS_MAX {
                    return Ok(swept);
                }
            }
        };
        sweep.boxed()
    }
}

/// Makes Spin's table, or adds what we have more to a table that Spin made.
fn create_table(connection: &Connection) -> Result<(), sqlite::Error> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key))",
    )?;
    let has_expiry = connection
        .prepare("SELECT 1 FROM pragma_table_info('spin_key_value') WHERE name = 'expires_at_ms'")?
        .exists([])?;
    if !has_expiry {
        connection.execute_batch("ALTER TABLE spin_key_value ADD COLUMN expires_at_ms INTEGER")?;
    }
    connection.execute_batch(
        "CREATE INDEX IF NOT EXISTS spin_key_value_expiry ON spin_key_value (store, expires_at_ms) WHERE expires_at_ms IS NOT NULL",
    )?;
    Ok(())
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl From<sqlite::Error> for Error {
    fn from(error: sqlite::Error) -> Self {
        Self::Backend(error.to_string())
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        sqlite::Error::from(error).into()
    }
}
