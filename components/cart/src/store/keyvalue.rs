//! The host's key-value store, through `wasi:keyvalue@0.2.0-draft2`.

use super::{Page, Store, StoreError};

use bindings::wasi::keyvalue::atomics::{self, Cas, CasError};
use bindings::wasi::keyvalue::store::{self, Bucket};

mod bindings {
    wit_bindgen::generate!({ path: "../../wit/wasi-keyvalue@0.2.0-draft2", world: "imports" });
}

/// The store of a label.
pub(crate) struct KeyValue(Bucket);

impl KeyValue {
    /// Opens the store that the manifest grants under `label`.
    pub(crate) fn open(label: &str) -> Result<Self, StoreError> {
        store::open(label).map(Self).map_err(failed("open"))
    }
}

impl Store for KeyValue {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.0.get(key).map_err(failed("get"))
    }

    /// Spin's own SQLite store does not compare where there was nothing: of two first writes to one key at the same
    /// time it keeps the later. That can only be the very first write to an account's cart, since a guest's key is new
    /// and an account's document stays.
    fn swap(&self, key: &str, before: Option<&[u8]>, value: &[u8]) -> Result<bool, StoreError> {
        // A handle lives for this call only, since a host allows few of them at a time, and a change takes a while.
        let cas = Cas::new(&self.0, key).map_err(failed("begin a swap"))?;
        if cas.current().map_err(failed("begin a swap"))?.as_deref() != before {
            return Ok(false);
        }
        match atomics::swap(cas, value) {
            Ok(()) => Ok(true),
            Err(CasError::CasFailed(_)) => Ok(false),
            Err(CasError::StoreError(error)) => Err(failed("swap")(error)),
        }
    }

    fn delete(&self, key: &str) -> Result<(), StoreError> {
        self.0.delete(key).map_err(failed("delete"))
    }

    fn keys(&self, cursor: Option<&str>) -> Result<Page, StoreError> {
        let page = self.0.list_keys(cursor).map_err(failed("list keys"))?;
        Ok(Page { keys: page.keys, cursor: page.cursor })
    }
}

fn failed(operation: &'static str) -> impl Fn(store::Error) -> StoreError {
    move |error| StoreError { operation, reason: format!("{error:?}") }
}
