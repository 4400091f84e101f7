//! The contract of every key-value store, checked on the embedded one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use proptest::prelude::*;
use tempfile::TempDir;

use super::*;
use crate::stores::sqlite::{Database, Location, Settings};

/// A store under a clock that stands still until it is set.
struct Fixture {
    store: Embedded,
    now: Arc<AtomicI64>,
    database: Arc<Database>,
    _folder: TempDir,
}

impl Fixture {
    fn new(ttl: Option<Duration>) -> Self {
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

fn key(name: &str) -> String {
    name.to_owned()
}

async fn keys_of(store: &dyn KeyValue) -> Vec<String> {
    all_keys(store).await.unwrap()
}

#[tokio::test]
async fn what_is_set_is_there_until_it_is_deleted() {
    let fixture = Fixture::new(None);
    let Fixture { store, .. } = &fixture;
    assert_eq!(store.get("a").await, Ok(None));
    assert_eq!(store.exists("a").await, Ok(false));
    store.set(key("a"), vec![0, 255]).await.unwrap();
    store.set(key("a"), vec![]).await.unwrap();
    assert_eq!(store.get("a").await, Ok(Some(vec![])));
    assert_eq!(store.exists("a").await, Ok(true));
    store.set_many(vec![(key("b"), vec![2]), (key("c"), vec![3])]).await.unwrap();
    let many = store.get_many(vec![key("c"), key("x"), key("b"), key("c")]).await.unwrap();
    assert_eq!(
        many,
        [(key("c"), Some(vec![3])), (key("x"), None), (key("b"), Some(vec![2])), (key("c"), Some(vec![3]))]
    );
    store.delete(key("a")).await.unwrap();
    store.delete(key("a")).await.unwrap();
    store.delete_many(vec![key("b"), key("x")]).await.unwrap();
    assert_eq!(keys_of(store).await, ["c"]);
}

#[tokio::test]
async fn keys_come_in_pages() {
    let fixture = Fixture::new(None);
    let Fixture { store, .. } = &fixture;
    let mut expected: Vec<String> = (0..2_500).map(|index| format!("{index:04}")).collect();
    expected.extend([key(""), key("0000\0"), key("ü")]);
    expected.sort();
    store.set_many(expected.iter().map(|key| (key.clone(), vec![1])).collect()).await.unwrap();
    assert_eq!(keys_of(store).await, expected);
    let first = store.keys(None).await.unwrap();
    assert_eq!((first.keys.len(), first.cursor), (PAGE_KEYS_MAX, first.keys.last().cloned()));
}

#[tokio::test]
async fn a_list_of_all_keys_is_bounded() {
    let fixture = Fixture::new(None);
    let Fixture { store, .. } = &fixture;
    let largest = |index: usize| (format!("{index:0>KEY_BYTES_MAX$}"), vec![]);
    let mut index = 0..;
    for _ in 0..2 {
        store.set_many(index.by_ref().take(7_900).map(largest).collect()).await.unwrap();
    }
    assert_eq!(all_keys(store).await.map(|keys| keys.len()), Ok(15_800));
    store.set_many(index.take(1_000).map(largest).collect()).await.unwrap();
    assert_eq!(all_keys(store).await, Err(Error::KeysTooLarge));
    assert_eq!(store.keys(None).await.map(|page| page.keys.len()), Ok(PAGE_KEYS_MAX), "page by page it goes on");
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
async fn sizes_and_numbers_are_checked() {
    let fixture = Fixture::new(None);
    let Fixture { store, .. } = &fixture;
    let long = "k".repeat(KEY_BYTES_MAX + 1);
    let error = Error::KeyTooLong(KEY_BYTES_MAX + 1);
    assert_eq!(store.get(&long).await, Err(error.clone()));
    assert_eq!(store.exists(&long).await, Err(error.clone()));
    assert_eq!(store.set(long.clone(), vec![]).await, Err(error.clone()));
    assert_eq!(store.delete(long.clone()).await, Err(error.clone()));
    assert_eq!(store.increment(long.clone(), 1).await, Err(error.clone()));
    assert_eq!(store.compare(long.clone()).await, Err(error.clone()));
    assert_eq!(store.get_many(vec![long]).await, Err(error));
    let large = vec![0; VALUE_BYTES_MAX + 1];
    assert_eq!(store.set(key("a"), large.clone()).await, Err(Error::ValueTooLarge(VALUE_BYTES_MAX + 1)));
    let cas = store.compare(key("a")).await.unwrap();
    assert_eq!(store.swap(cas, large).await, Err(Error::ValueTooLarge(VALUE_BYTES_MAX + 1)));
    let largest = vec![1; VALUE_BYTES_MAX];
    for name in ["a", "b", "c"] {
        store.set(key(name), largest.clone()).await.unwrap();
    }
    assert_eq!(store.get("a").await, Ok(Some(largest)));
    assert_eq!(store.get_many(vec![key("a"), key("b")]).await.map(|pairs| pairs.len()), Ok(2));
    assert_eq!(store.get_many(vec![key("a"), key("b"), key("c")]).await, Err(Error::BatchTooLarge));
    let too_many = vec![key("a"); BATCH_KEYS_MAX + 1];
    assert_eq!(store.delete_many(too_many).await, Err(Error::TooManyKeys(BATCH_KEYS_MAX + 1)));

    store.set(key("text"), b"12".to_vec()).await.unwrap();
    assert_eq!(store.increment(key("text"), 1).await, Err(Error::NotANumber(2)));
    assert_eq!(store.increment(key("n"), i64::MAX).await, Ok(i64::MAX));
    assert_eq!(store.increment(key("n"), 1).await, Err(Error::Overflow));
    assert_eq!(store.increment(key("n"), -1).await, Ok(i64::MAX - 1));
    assert_eq!(store.get("n").await, Ok(Some((i64::MAX - 1).to_le_bytes().to_vec())));
}

#[tokio::test]
async fn a_swap_fails_when_the_value_changed() {
    let fixture = Fixture::new(None);
    let Fixture { store, .. } = &fixture;
    let (first, second) = (store.compare(key("a")).await.unwrap(), store.compare(key("a")).await.unwrap());
    assert_eq!(store.swap(first, vec![1]).await, Ok(Swap::Done));
    let Ok(Swap::Changed(fresh)) = store.swap(second, vec![2]).await else { panic!("the value had changed") };
    assert_eq!(fresh.current(), Some([1].as_slice()));
    assert_eq!(store.get("a").await, Ok(Some(vec![1])));
    assert_eq!(store.swap(fresh, vec![2]).await, Ok(Swap::Done));
    let stale = store.compare(key("a")).await.unwrap();
    store.delete(key("a")).await.unwrap();
    assert!(matches!(store.swap(stale, vec![3]).await, Ok(Swap::Changed(fresh)) if fresh.current().is_none()));
    assert_eq!(store.exists("a").await, Ok(false));
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_increments_and_swaps_count_exactly() {
    let fixture = Fixture::new(None);
    let Fixture { store, .. } = &fixture;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    store.increment(key("increments"), 1).await.unwrap();
                }
                let mut cas = store.compare(key("swaps")).await.unwrap();
                loop {
                    let count = cas.current().map_or(0, |value| u64::from_le_bytes(value.try_into().unwrap()));
                    match store.swap(cas, (count + 1).to_le_bytes().to_vec()).await.unwrap() {
                        Swap::Done => break,
                        Swap::Changed(fresh) => cas = fresh,
                    }
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(store.get("increments").await, Ok(Some(640i64.to_le_bytes().to_vec())));
    assert_eq!(store.get("swaps").await, Ok(Some(64u64.to_le_bytes().to_vec())));
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

/// One call of the property test.
#[derive(Debug, Clone)]
enum Call {
    Set(String, Vec<u8>),
    Delete(String),
    Get(String),
    Increment(String, i64),
    Swap(String, Option<Vec<u8>>, Vec<u8>),
    SetMany(Vec<(String, Vec<u8>)>),
    DeleteMany(Vec<String>),
    Advance(i64),
}

fn call() -> impl Strategy<Value = Call> {
    let name = || "[a-d]";
    let value = || {
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..3),
            (-3i64..3).prop_map(|number| number.to_le_bytes().to_vec())
        ]
    };
    prop_oneof![
        (name(), value()).prop_map(|(name, value)| Call::Set(name, value)),
        name().prop_map(Call::Delete),
        name().prop_map(Call::Get),
        (name(), any::<i64>()).prop_map(|(name, delta)| Call::Increment(name, delta)),
        (name(), prop::option::of(value()), value())
            .prop_map(|(name, between, value)| Call::Swap(name, between, value)),
        prop::collection::vec((name(), value()), 0..4).prop_map(Call::SetMany),
        prop::collection::vec(name(), 0..4).prop_map(Call::DeleteMany),
        (1i64..80).prop_map(Call::Advance),
    ]
}

/// What a store is meant to be: values with the time until which they live.
#[derive(Default)]
struct Model {
    entries: BTreeMap<String, (Vec<u8>, i64)>,
    now: i64,
}

impl Model {
    const TTL_MS: i64 = 100;

    fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.entries.get(name).filter(|(_, until)| *until > self.now).map(|(value, _)| value.clone())
    }

    fn set(&mut self, name: String, value: Vec<u8>) {
        self.entries.insert(name, (value, self.now + Self::TTL_MS));
    }

    fn increment(&mut self, name: String, delta: i64) -> Result<i64, Error> {
        let value = self.get(&name).unwrap_or_else(|| vec![0; 8]);
        let number = i64::from_le_bytes(value.as_slice().try_into().map_err(|_| Error::NotANumber(value.len()))?);
        let sum = number.checked_add(delta).ok_or(Error::Overflow)?;
        self.set(name, sum.to_le_bytes().to_vec());
        Ok(sum)
    }
}

async fn check(calls: Vec<Call>) {
    let fixture = Fixture::new(Some(Duration::from_millis(Model::TTL_MS.unsigned_abs())));
    let Fixture { store, now, .. } = &fixture;
    let mut model = Model { now: now.load(Ordering::Relaxed), ..Model::default() };
    for call in calls {
        match call {
            Call::Set(name, value) => {
                store.set(name.clone(), value.clone()).await.unwrap();
                model.set(name, value);
            }
            Call::Delete(name) => {
                store.delete(name.clone()).await.unwrap();
                model.entries.remove(&name);
            }
            Call::Get(name) => {
                assert_eq!(store.get(&name).await.unwrap(), model.get(&name));
                assert_eq!(store.exists(&name).await.unwrap(), model.get(&name).is_some());
            }
            Call::Increment(name, delta) => {
                assert_eq!(store.increment(name.clone(), delta).await, model.increment(name, delta));
            }
            Call::Swap(name, between, value) => {
                let cas = store.compare(name.clone()).await.unwrap();
                let seen = model.get(&name);
                assert_eq!(cas.current(), seen.as_deref());
                if let Some(between) = between {
                    store.set(name.clone(), between.clone()).await.unwrap();
                    model.set(name.clone(), between);
                }
                match store.swap(cas, value.clone()).await.unwrap() {
                    Swap::Done => {
                        assert_eq!(model.get(&name), seen);
                        model.set(name, value);
                    }
                    Swap::Changed(fresh) => {
                        assert_ne!(model.get(&name), seen);
                        assert_eq!(fresh.current(), model.get(&name).as_deref());
                    }
                }
            }
            Call::SetMany(pairs) => {
                store.set_many(pairs.clone()).await.unwrap();
                pairs.into_iter().for_each(|(name, value)| model.set(name, value));
            }
            Call::DeleteMany(names) => {
                store.delete_many(names.clone()).await.unwrap();
                names.iter().for_each(|name| drop(model.entries.remove(name)));
            }
            Call::Advance(by) => model.now = now.fetch_add(by, Ordering::Relaxed) + by,
        }
    }
    let expected: Vec<String> = model.entries.keys().filter(|name| model.get(name).is_some()).cloned().collect();
    assert_eq!(keys_of(store).await, expected);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_store_is_a_map_whose_entries_expire(calls in prop::collection::vec(call(), 0..40)) {
        tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(check(calls));
    }
}
