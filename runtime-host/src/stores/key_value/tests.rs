//! The contract of every key-value store, checked on each backend; what only one of them does has a file of its own.

mod embedded;
mod model;
mod redis;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use super::*;

/// A store of some backend without entries.
struct Fixture {
    store: Arc<dyn KeyValue>,
    numbers: Numbers,
    /// What the store needs for as long as it is used.
    _kept: Box<dyn Any>,
}

/// How a number looks in a store.
#[derive(Clone, Copy)]
enum Numbers {
    LittleEndian,
    Decimal,
}

impl Numbers {
    fn write(self, number: i64) -> Vec<u8> {
        match self {
            Self::LittleEndian => number.to_le_bytes().to_vec(),
            Self::Decimal => number.to_string().into_bytes(),
        }
    }

    fn read(self, value: &[u8]) -> Result<i64, Error> {
        match self {
            Self::LittleEndian => value.try_into().map(i64::from_le_bytes).map_err(|_| Error::NotANumber(value.len())),
            // Exactly as it would be written.
            Self::Decimal => {
                let number = std::str::from_utf8(value).ok().and_then(|text| text.parse().ok());
                number.filter(|number| self.write(*number) == value).ok_or(Error::NotDecimal)
            }
        }
    }
}

impl Fixture {
    fn embedded() -> Option<Self> {
        let fixture = embedded::Fixture::new(None);
        Some(Self { store: Arc::new(fixture.store.clone()), numbers: Numbers::LittleEndian, _kept: Box::new(fixture) })
    }

    /// `None` where there is no Redis.
    fn redis() -> Option<Self> {
        let server = redis::Server::start()?;
        Some(Self { store: Arc::new(server.store(None)), numbers: Numbers::Decimal, _kept: Box::new(server) })
    }
}

/// Makes a test of each backend of every one of these functions.
macro_rules! on_each_backend {
    ($($name:ident),* $(,)?) => {
        mod on_embedded {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                super::$name(super::Fixture::embedded().unwrap()).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() {
                if let Some(fixture) = super::Fixture::redis() {
                    super::$name(fixture).await;
                }
            })*
        }
    };
}

on_each_backend! {
    what_is_set_is_there_until_it_is_deleted,
    keys_come_in_pages,
    a_list_of_all_keys_is_bounded,
    sizes_and_numbers_are_checked,
    a_swap_fails_when_the_value_changed,
    concurrent_increments_and_swaps_count_exactly,
}

fn key(name: &str) -> String {
    name.to_owned()
}

async fn keys_of(store: &dyn KeyValue) -> Vec<String> {
    all_keys(store).await.unwrap()
}

async fn what_is_set_is_there_until_it_is_deleted(fixture: Fixture) {
    let store = &*fixture.store;
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

async fn keys_come_in_pages(fixture: Fixture) {
    let store = &*fixture.store;
    let mut expected: Vec<String> = (0..2_500).map(|index| format!("{index:04}")).collect();
    expected.extend([key(""), key("0000\0"), key("ü")]);
    expected.sort();
    store.set_many(expected.iter().map(|key| (key.clone(), vec![1])).collect()).await.unwrap();
    assert_eq!(keys_of(store).await, expected);
    let first = store.keys(None).await.unwrap();
    assert!(first.keys.len() < expected.len() / 2 && first.cursor.is_some(), "{} keys at once", first.keys.len());
}

async fn a_list_of_all_keys_is_bounded(fixture: Fixture) {
    let store = &*fixture.store;
    let largest = |index: usize| (format!("{index:0>KEY_BYTES_MAX$}"), vec![]);
    let mut index = 0..;
    for _ in 0..2 {
        store.set_many(index.by_ref().take(7_900).map(largest).collect()).await.unwrap();
    }
    assert_eq!(all_keys(store).await.map(|keys| keys.len()), Ok(15_800));
    store.set_many(index.take(1_000).map(largest).collect()).await.unwrap();
    assert_eq!(all_keys(store).await, Err(Error::KeysTooLarge));
    assert!(store.keys(None).await.is_ok_and(|page| !page.keys.is_empty()), "page by page it goes on");
}

async fn sizes_and_numbers_are_checked(fixture: Fixture) {
    let store = &*fixture.store;
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

    store.set(key("text"), b"x1".to_vec()).await.unwrap();
    assert_eq!(store.increment(key("text"), 1).await.unwrap_err(), fixture.numbers.read(b"x1").unwrap_err());
    assert_eq!(store.increment(key("n"), i64::MAX).await, Ok(i64::MAX));
    assert_eq!(store.increment(key("n"), 1).await, Err(Error::Overflow));
    assert_eq!(store.increment(key("n"), -1).await, Ok(i64::MAX - 1));
    assert_eq!(store.get("n").await, Ok(Some(fixture.numbers.write(i64::MAX - 1))));
}

async fn a_swap_fails_when_the_value_changed(fixture: Fixture) {
    let store = &*fixture.store;
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

async fn concurrent_increments_and_swaps_count_exactly(fixture: Fixture) {
    let store = &*fixture.store;
    let tasks: Vec<_> = (0..64)
        .map(|_| {
            let store = fixture.store.clone();
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
    assert_eq!(store.get("increments").await, Ok(Some(fixture.numbers.write(640))));
    assert_eq!(store.get("swaps").await, Ok(Some(64u64.to_le_bytes().to_vec())));
}
