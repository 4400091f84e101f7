//! Key-value stores: what every backend offers. One file per backend.

mod embedded;
mod redis;
#[cfg(test)]
mod tests;

use std::fmt::Debug;

use futures::future::BoxFuture;

pub use self::redis::{Redis, RedisServer};
pub use embedded::{Clock, Embedded};

/// Length of a key, in bytes.
pub const KEY_BYTES_MAX: usize = 1 << 10;
/// Size of a value, in bytes.
pub const VALUE_BYTES_MAX: usize = 8 << 20;
/// Keys in one call of `get_many`, `set_many` or `delete_many`.
pub const BATCH_KEYS_MAX: usize = 10_000;
/// Size of the values that one call of `get_many` returns, in bytes.
pub const BATCH_BYTES_MAX: usize = 16 << 20;
/// Keys in one page of `keys`.
pub const PAGE_KEYS_MAX: usize = 1_000;
/// Size of a list of all keys, in bytes; a store with more has to be read page by page.
pub const ALL_KEYS_BYTES_MAX: usize = 16 << 20;

/// A call on a key-value store failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The key is too long.
    #[error("the key has {0} bytes, the most is {KEY_BYTES_MAX}")]
    KeyTooLong(usize),
    /// The value is too large.
    #[error("the value has {0} bytes, the most is {VALUE_BYTES_MAX}")]
    ValueTooLarge(usize),
    /// Too many keys in one call.
    #[error("{0} keys in one call, the most is {BATCH_KEYS_MAX}")]
    TooManyKeys(usize),
    /// The values of one call are too large together.
    #[error("the values are larger than {BATCH_BYTES_MAX} bytes together; ask for fewer keys")]
    BatchTooLarge,
    /// The keys of the store are too many for one list.
    #[error("the keys are larger than {ALL_KEYS_BYTES_MAX} bytes together; read them page by page")]
    KeysTooLarge,
    /// The value to increment is not a number.
    #[error("the value is not a number: it has {0} bytes, a number has 8 (i64, little-endian)")]
    NotANumber(usize),
    /// The value to increment is not a number, where a number is decimal digits.
    #[error("the value is not a number: a number is decimal digits of a signed 64-bit integer")]
    NotDecimal,
    /// The sum leaves the range of a 64-bit integer.
    #[error("the sum does not fit a signed 64-bit integer")]
    Overflow,
    /// What the next page of keys was asked with is no page's cursor.
    #[error("the cursor is not one that a page of this store's keys has")]
    BadCursor,
    /// The backend failed.
    #[error("the store failed: {0}")]
    Backend(String),
}

/// One page of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys {
    /// About `PAGE_KEYS_MAX` keys at most.
    pub keys: Vec<String>,
    /// What to ask the next page with; `None` after the last.
    pub cursor: Option<String>,
}

/// A compare-and-swap in progress: the key and the value that the swap expects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cas {
    key: String,
    current: Option<Vec<u8>>,
}

impl Cas {
    /// What is to be swapped.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The value that the swap expects.
    pub fn current(&self) -> Option<&[u8]> {
        self.current.as_deref()
    }

    /// Bytes that it keeps in memory.
    pub fn bytes(&self) -> usize {
        self.key.len() + self.current.as_ref().map_or(0, Vec::len)
    }
}

/// How a swap ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swap {
    /// The new value is written.
    Done,
    /// The value was another one; nothing is written. Here is what to try again with.
    Changed(Cas),
}

/// The answer of a store, later.
pub type Answer<'a, T> = BoxFuture<'a, Result<T, Error>>;

/// One key-value store. An answer to a write means that it is as durable as the store's configuration says.
pub trait KeyValue: Debug + Send + Sync {
    /// The value under `key`.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Option<Vec<u8>>>;

    /// The values under `keys`, in their order.
    fn get_many(&self, keys: Vec<String>) -> Answer<'_, Vec<(String, Option<Vec<u8>>)>>;

    /// Whether there is a value under `key`.
    fn exists<'a>(&'a self, key: &'a str) -> Answer<'a, bool>;

    /// Writes `value` under `key`.
    fn set(&self, key: String, value: Vec<u8>) -> Answer<'_, ()>;

    /// Writes all pairs or none.
    fn set_many(&self, pairs: Vec<(String, Vec<u8>)>) -> Answer<'_, ()>;

    /// Removes `key`; a missing key is no error.
    fn delete(&self, key: String) -> Answer<'_, ()>;

    /// Removes all `keys` or none.
    fn delete_many(&self, keys: Vec<String>) -> Answer<'_, ()>;

    /// A page of keys, from the beginning or from another page's cursor on. A key that is there all the while is
    /// returned; a store that others change may return it twice.
    fn keys(&self, cursor: Option<String>) -> Answer<'_, Keys>;

    /// Adds `delta` to the number under `key`, 0 where there is none, and returns the sum. How a number looks to `get` is the
    /// backend's, as in Spin: 8 bytes, little-endian, in the embedded store, decimal digits in Redis.
    fn increment(&self, key: String, delta: i64) -> Answer<'_, i64>;

    /// Begins a compare-and-swap with the value that is there now.
    fn compare(&self, key: String) -> Answer<'_, Cas>;

    /// Writes `value` if the value is still the one that `cas` saw.
    fn swap(&self, cas: Cas, value: Vec<u8>) -> Answer<'_, Swap>;

    /// Removes entries that expired, which no call returns any more, and returns how many.
    fn sweep_expired(&self) -> Answer<'_, u64>;
}

/// All keys of a store, each once, in one list.
pub async fn all_keys(store: &dyn KeyValue) -> Result<Vec<String>, Error> {
    let mut all = Vec::new();
    let mut bytes = 0;
    let mut cursor = None;
    loop {
        let page = store.keys(cursor).await?;
        bytes += page.keys.iter().map(|key| size_of::<String>() + key.len()).sum::<usize>();
        if bytes > ALL_KEYS_BYTES_MAX {
            return Err(Error::KeysTooLarge);
        }
        all.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            // Not while they come: a store that returns one twice returns few so.
            all.sort_unstable();
            all.dedup();
            return Ok(all);
        }
    }
}

fn check_key(key: &str) -> Result<(), Error> {
    if key.len() > KEY_BYTES_MAX { Err(Error::KeyTooLong(key.len())) } else { Ok(()) }
}

fn check_value(value: &[u8]) -> Result<(), Error> {
    if value.len() > VALUE_BYTES_MAX { Err(Error::ValueTooLarge(value.len())) } else { Ok(()) }
}

fn check_batch<'a>(keys: impl ExactSizeIterator<Item = &'a str>) -> Result<(), Error> {
    if keys.len() > BATCH_KEYS_MAX {
        return Err(Error::TooManyKeys(keys.len()));
    }
    for key in keys {
        check_key(key)?;
    }
    Ok(())
}
