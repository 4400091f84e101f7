//! A store is a map, whatever is called in whatever order.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use proptest::prelude::*;

use super::*;

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
            (-3i64..3).prop_map(|number| number.to_le_bytes().to_vec()),
            (-3i64..3).prop_map(|number| number.to_string().into_bytes())
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
struct Model {
    entries: BTreeMap<String, (Vec<u8>, i64)>,
    now: i64,
    numbers: Numbers,
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
        let number = self.get(&name).map_or(Ok(0), |value| self.numbers.read(&value))?;
        let sum = number.checked_add(delta).ok_or(Error::Overflow)?;
        self.set(name, self.numbers.write(sum));
        Ok(sum)
    }
}

/// `advance` lets time pass, where a store's time can be told to.
async fn check(store: &dyn KeyValue, calls: Vec<Call>, mut model: Model, advance: impl Fn(i64)) {
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
            Call::Advance(by) => {
                advance(by);
                model.now += by;
            }
        }
    }
    let expected: Vec<String> = model.entries.keys().filter(|name| model.get(name).is_some()).cloned().collect();
    assert_eq!(keys_of(store).await, expected);
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    prop::collection::vec(call(), 0..40)
}

fn block_on(checked: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(checked);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn the_embedded_store_is_a_map_whose_entries_expire(calls in calls()) {
        let fixture = embedded::Fixture::new(Some(Duration::from_millis(Model::TTL_MS.unsigned_abs())));
        let now = fixture.now.load(Ordering::Relaxed);
        let model = Model { entries: BTreeMap::new(), now, numbers: Numbers::LittleEndian };
        block_on(check(&fixture.store, calls, model, |by| {
            fixture.now.fetch_add(by, Ordering::Relaxed);
        }));
    }
}

#[test]
fn the_store_in_redis_is_a_map() {
    let Some(server) = redis::Server::start() else { return };
    // Its clock cannot be set, so nothing expires here, neither there nor in the model.
    let calls = calls().prop_map(|calls| calls.into_iter().filter(|call| !matches!(call, Call::Advance(_))).collect());
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig::with_cases(64));
    let checked = runner.run(&calls, |calls: Vec<Call>| {
        block_on(async {
            server.run(&["FLUSHALL"]).await;
            let model = Model { entries: BTreeMap::new(), now: 0, numbers: Numbers::Decimal };
            check(&server.store(None), calls, model, |_| ()).await;
        });
        Ok(())
    });
    checked.unwrap();
}
