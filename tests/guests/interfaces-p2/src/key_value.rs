//! fermyon:spin/key-value@2.0.0.

use serde_json::{Value, json};

use crate::bindings::fermyon::spin::key_value::{Error, Store};

pub(crate) fn use_store(label: &str) -> Result<Value, Error> {
    let store = Store::open(label)?;
    let missing = store.get("missing")?;
    store.set("word", b"first")?;
    store.set("word", b"second")?;
    store.set("bytes", &[0, 255])?;
    let mut keys = store.get_keys()?;
    keys.sort();
    let word = store.get("word")?;
    let bytes = store.get("bytes")?;
    let existed = store.exists("bytes")?;
    store.delete("bytes")?;
    // A second deletion finds nothing, which is no error.
    store.delete("bytes")?;
    Ok(json!({
        "missing": missing,
        "keys": keys,
        "word": word.map(|word| String::from_utf8_lossy(&word).into_owned()),
        "bytes": bytes,
        "existed": existed,
        "exists": store.exists("bytes")?,
    }))
}

/// Opens the store until that is refused, closes all of these and opens it once more.
pub(crate) fn open_until_refused(label: &str) -> Result<Value, Error> {
    let mut open = Vec::new();
    let refused = loop {
        match Store::open(label) {
            Ok(store) => open.push(store),
            Err(error) => break error,
        }
    };
    let opened = open.len();
    drop(open);
    Store::open(label)?;
    Ok(json!({ "opened": opened, "refused": format!("{refused:?}") }))
}
