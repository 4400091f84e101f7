//! Documents by key, with compare-and-swap.

pub(crate) mod keyvalue;

/// A store of documents. A write is on disk when it returns.
pub(crate) trait Store: Send + Sync {
    /// What is under a key.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Writes `value` if what is under the key is still `before`, and says whether it was.
    fn swap(&self, key: &str, before: Option<&[u8]>, value: &[u8]) -> Result<bool, StoreError>;

    /// Removes a key, whatever is under it.
    fn delete(&self, key: &str) -> Result<(), StoreError>;

    /// Some of the keys: the first ones, or those from another page's cursor on.
    fn keys(&self, cursor: Option<&str>) -> Result<Page, StoreError>;
}

/// Some of the keys, in any order.
#[derive(Debug)]
pub(crate) struct Page {
    pub(crate) keys: Vec<String>,
    /// Where the next page begins; none after the last one. A store without pages has all keys in one.
    pub(crate) cursor: Option<String>,
}

/// The store failed.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {reason}")]
pub(crate) struct StoreError {
    pub(crate) operation: &'static str,
    pub(crate) reason: String,
}
