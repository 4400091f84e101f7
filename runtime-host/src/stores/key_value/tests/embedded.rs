//! What only the embedded store does: entries expire by its own clock, and several stores share a file.

use std::sync::atomic::{AtomicI64, Ordering};

use tempfile::TempDir;

use super::*;
use crate::stores::sqlite::{Database, Location, Settings};

/// A store under a clock that stands still until it is set.
pub(super) struct Fixture {
    pub(super) store: Embedded,
    pub(super) now: Arc<AtomicI64>,
    database: Arc<Database>,
    _folder: TempDir,
}

impl Fixture {
    pub(super) fn new(ttl: Option<Duration>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::open(Location::File(folder.path().join("kv.db")), Settings::default()).unwrap();
        let now = Arc::new(AtomicI64::new(1_000));
        let store = open(&database, "default", ttl, &now);
        Self { store, now, database, _folder: folder }
    }
}

fn open(database: &Arc<Database>, name: &str, ttl: Option<Duration>, now: &Arc<AtomicI64>) -> Embedded {
    let now = now.clone();
    Embedded::open(database.clone(), name, ttl, Arc::new(move || now.load(Ordering::Relaxed))).unwrap()
}

#[tokio::test]
async fn stores_in_one_file_see_only_their_own() {
    let fixture = Fixture::new(None);
    let Fixture { store, now, database, .. } = &fixture;
    let other = open(database, "other", None, now);
    store.set(key("a"), vec![1]).await.unwrap();
    other.set(key("a"), vec![2]).await.unwrap();
    other.set(key("b"), vec![2]).await.unwrap();
    store.delete(key("b")).await.unwrap();
    assert_eq!(other.increment(key("n"), 5).await, Ok(5));
    assert_eq!(store.get("a").await, Ok(Some(vec![1])));
    assert_eq!(keys_of(store).await, ["a"]);
    assert_eq!(keys_of(&other).await, ["a", "b", "n"]);
}

#[tokio::test]
async fn entries_expire_after_their_last_write() {
    let fixture = Fixture::new(Some(Duration::from_millis(100)));
    let Fixture { store, now, database, .. } = &fixture;
    let lasting = open(database, "lasting", None, now);
    lasting.set(key("a"), vec![1]).await.unwrap();
    for name in ["a", "b", "c", "d", "n"] {
        store.set(key(name), 7i64.to_le_bytes().to_vec()).await.unwrap();
    }
    now.fetch_add(60, Ordering::Relaxed);
    store.set(key("b"), vec![2]).await.unwrap();
    store.increment(key("n"), 1).await.unwrap();
    now.fetch_add(40, Ordering::Relaxed);
    assert_eq!(store.get("a").await, Ok(None));
    assert_eq!(store.exists("a").await, Ok(false));
    assert_eq!(store.get_many(vec![key("a"), key("b")]).await.unwrap(), [(key("a"), None), (key("b"), Some(vec![2]))]);
    assert_eq!(keys_of(store).await, ["b", "n"]);
    // What expired counts as absent for a write that depends on it.
    assert_eq!(store.increment(key("c"), 1).await, Ok(1));
    assert_eq!(store.increment(key("n"), 1).await, Ok(9));
    let cas = store.compare(key("d")).await.unwrap();
    assert_eq!(cas.current(), None);
    assert_eq!(store.swap(cas, vec![4]).await, Ok(Swap::Done));
    assert_eq!(store.sweep_expired().await, Ok(1));
    assert_eq!(store.sweep_expired().await, Ok(0));
    now.fetch_add(1_000_000, Ordering::Relaxed);
    assert_eq!(store.sweep_expired().await, Ok(4));
    assert_eq!(lasting.get("a").await, Ok(Some(vec![1])));
}

#[tokio::test]
async fn a_sweep_takes_any_number() {
    let fixture = Fixture::new(Some(Duration::from_millis(1)));
    let Fixture { store, now, .. } = &fixture;
    store.set_many((0..2_345).map(|index| (index.to_string(), vec![])).collect()).await.unwrap();
    now.fetch_add(1, Ordering::Relaxed);
    assert_eq!(store.sweep_expired().await, Ok(2_345));
}

#[tokio::test]
async fn a_file_that_spin_made_is_read_and_stays_one_that_spin_can_write() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sqlite_key_value.db");
    let spin = rusqlite::Connection::open(&path).unwrap();
    spin.execute_batch(
        "CREATE TABLE spin_key_value (store TEXT NOT NULL, key TEXT NOT NULL, value BLOB NOT NULL, PRIMARY KEY (store, key));
         INSERT INTO spin_key_value VALUES ('default', 'old', x'01')",
    )
    .unwrap();
    let database = Database::open(Location::File(path), Settings::default()).unwrap();
    let store = open(&database, "default", None, &Arc::default());
    assert_eq!(store.get("old").await, Ok(Some(vec![1])));
    store.set(key("new"), vec![2]).await.unwrap();
    let write = "INSERT INTO spin_key_value (store, key, value) VALUES ($1, $2, $3) ON CONFLICT(store, key) DO UPDATE SET value=$3";
    spin.execute(write, rusqlite::params!["default", "new", [3u8]]).unwrap();
    assert_eq!(store.get("new").await, Ok(Some(vec![3])));
    // Opening it again changes nothing.
    let again = open(&database, "default", None, &Arc::default());
    assert_eq!(keys_of(&again).await, ["new", "old"]);
}
