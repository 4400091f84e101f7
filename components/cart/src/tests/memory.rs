//! A store in memory that compares and swaps as the real one does, with rivals and accidents.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use commerce::unix_ms;

use crate::cart::Cart;
use crate::store::{Page, Store, StoreError};

#[derive(Clone, Default)]
pub(super) struct Memory(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    documents: BTreeMap<String, Vec<u8>>,
    /// How many of the next swaps somebody else is faster than.
    rivals: u32,
    /// After how many writes the store fails, if it is to.
    writes_left: Option<u32>,
    /// Keys of one page; 0 for all.
    page_keys: usize,
}

impl Memory {
    /// A store that gives its keys in pages.
    pub(super) fn with_pages_of(page_keys: usize) -> Self {
        Self(Arc::new(Mutex::new(State { page_keys, ..State::default() })))
    }

    /// Has somebody else write to the cart just before each of so many swaps.
    pub(super) fn rivals(&self, count: u32) {
        self.0.lock().unwrap().rivals = count;
    }

    /// Has every write fail after so many; none to be well again.
    pub(super) fn fails_after(&self, writes: Option<u32>) {
        self.0.lock().unwrap().writes_left = writes;
    }

    /// All documents.
    pub(super) fn documents(&self) -> BTreeMap<String, Vec<u8>> {
        self.0.lock().unwrap().documents.clone()
    }

    /// Puts a document under a key.
    pub(super) fn put(&self, key: &str, document: &str) {
        self.0.lock().unwrap().documents.insert(key.to_owned(), document.into());
    }

    /// Lets so much time pass for all carts.
    pub(super) fn time_passes(&self, ms: i64) {
        for document in self.0.lock().unwrap().documents.values_mut() {
            let Ok(mut cart) = serde_json::from_slice::<Cart>(document) else { continue };
            cart.updated_at_ms -= ms;
            *document = serde_json::to_vec(&cart).unwrap();
        }
    }
}

impl State {
    fn write(&mut self, operation: &'static str) -> Result<(), StoreError> {
        match &mut self.writes_left {
            Some(0) => Err(StoreError { operation, reason: "the disk is gone".to_owned() }),
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }

    fn rival_writes(&mut self, key: &str) {
        let before = self.documents.get(key);
        let mut cart: Cart = before.map(|document| serde_json::from_slice(document).unwrap()).unwrap_or_default();
        cart.touch(unix_ms());
        self.documents.insert(key.to_owned(), serde_json::to_vec(&cart).unwrap());
    }
}

impl Store for Memory {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.0.lock().unwrap().documents.get(key).cloned())
    }

    fn swap(&self, key: &str, before: Option<&[u8]>, value: &[u8]) -> Result<bool, StoreError> {
        let mut state = self.0.lock().unwrap();
        state.write("swap")?;
        if state.rivals > 0 {
            state.rivals -= 1;
            state.rival_writes(key);
        }
        let is_same = state.documents.get(key).map(Vec::as_slice) == before;
        if is_same {
            state.documents.insert(key.to_owned(), value.to_vec());
        }
        Ok(is_same)
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        let mut state = self.0.lock().unwrap();
        state.write("delete")?;
        state.documents.remove(key);
        Ok(())
    }

    fn keys(&self, cursor: Option<&str>) -> Result<Page, StoreError> {
        let state = self.0.lock().unwrap();
        let after = |key: &&String| cursor.is_none_or(|cursor| key.as_str() > cursor);
        let mut keys: Vec<String> = state.documents.keys().filter(after).cloned().collect();
        if state.page_keys == 0 {
            // Spin's stores have no pages and no order.
            assert_eq!(cursor, None);
            keys.reverse();
            return Ok(Page { keys, cursor: None });
        }
        let more = keys.len() > state.page_keys;
        keys.truncate(state.page_keys);
        Ok(Page { cursor: keys.last().filter(|_| more).cloned(), keys })
    }
}
