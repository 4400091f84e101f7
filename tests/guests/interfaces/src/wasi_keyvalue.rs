//! wasi:keyvalue@0.2.0-draft2: store, batch, atomics.

use serde_json::{Value, json};
use spin_sdk::experimental::wasi::keyvalue::atomics::{self, Cas, CasError};
use spin_sdk::experimental::wasi::keyvalue::batch;
use spin_sdk::experimental::wasi::keyvalue::store::{self, Error};

pub(crate) fn use_bucket(label: &str) -> Result<Value, Error> {
    let bucket = store::open(label)?;
    let pairs = [("a", "1"), ("b", "2"), ("c", "3")].map(|(key, value)| (key.to_owned(), value.as_bytes().to_vec()));
    batch::set_many(&bucket, &pairs)?;
    let many = batch::get_many(&bucket, &["a".to_owned(), "missing".to_owned()])?;
    batch::delete_many(&bucket, &["a".to_owned(), "b".to_owned()])?;

    let mut keys = Vec::new();
    let mut cursor = None;
    loop {
        let page = bucket.list_keys(cursor.as_deref())?;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    keys.sort();

    bucket.delete("count")?;
    let sums = [5, 37, -2].map(|delta| atomics::increment(&bucket, "count", delta));

    bucket.set("word", b"old")?;
    let (first, second) = (Cas::new(&bucket, "word")?, Cas::new(&bucket, "word")?);
    let current = first.current()?;
    let swapped = atomics::swap(first, b"new").is_ok();
    let lost = match atomics::swap(second, b"lost") {
        Err(CasError::CasFailed(fresh)) => fresh.current()?,
        Ok(()) => None,
        Err(CasError::StoreError(error)) => return Err(error),
    };
    let again = Cas::new(&bucket, "word")?;
    bucket.set("word", b"newer")?;
    let shown_again = again.current()?;
    let swapped_as_shown = atomics::swap(again, b"newest").is_ok();
    Ok(json!({
        "many": many.into_iter().map(|(key, value)| (key, text(value))).collect::<Vec<_>>(),
        "keys": keys,
        "sums": sums.into_iter().collect::<Result<Vec<_>, _>>()?,
        "current": text(current),
        "swapped": swapped,
        "current_of_the_loser": text(lost),
        "shown_again": text(shown_again),
        "swapped_as_shown": swapped_as_shown,
        "word": text(bucket.get("word")?),
    }))
}

fn text(value: Option<Vec<u8>>) -> Option<String> {
    value.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens the bucket, then compare-and-swaps on it, until either is refused; closes all of these and opens both once more.
pub(crate) fn open_until_refused(label: &str) -> Result<Value, Error> {
    let (opened, no_bucket) = until_refused(|| store::open(label));
    let bucket = store::open(label)?;
    let (swaps, no_swap) = until_refused(|| Cas::new(&bucket, "small"));
    bucket.set("large", &[0; 8 << 20])?;
    let (large_swaps, no_large_swap) = until_refused(|| Cas::new(&bucket, "large"));
    Cas::new(&bucket, "large")?;
    Ok(json!({
        "opened": opened, "refused": no_bucket,
        "swaps": swaps, "swap_refused": no_swap,
        "large_swaps": large_swaps, "large_swap_refused": no_large_swap,
    }))
}

/// Holds what `open` gives until it refuses; then drops it all.
fn until_refused<T>(open: impl Fn() -> Result<T, Error>) -> (usize, String) {
    let mut held = Vec::new();
    loop {
        match open() {
            Ok(one) => held.push(one),
            Err(error) => return (held.len(), format!("{error:?}")),
        }
    }
}

/// What is refused, with the refusal's name, and what is left of the value.
pub(crate) fn increment_text(label: &str) -> Result<Value, Error> {
    let bucket = store::open(label)?;
    bucket.set("text", b"twelve")?;
    let refused = atomics::increment(&bucket, "text", 1).err().map(|error| format!("{error:?}"));
    Ok(json!({ "refused": refused, "text": text(bucket.get("text")?) }))
}
