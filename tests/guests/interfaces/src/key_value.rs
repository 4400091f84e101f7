//! spin:key-value@3.0.0.

use serde_json::{Value, json};
use spin_sdk::key_value::{Error, Store, wit};

pub(crate) async fn use_store(label: &str) -> Result<Value, Error> {
    let store = Store::open(label).await?;
    let missing = store.get("missing").await?;
    store.set("word", "first").await?;
    store.set("word", "second").await?;
    store.set("bytes", [0, 255]).await?;
    let mut keys = store.get_keys().await.collect().await?;
    keys.sort();
    let word = store.get("word").await?;
    let bytes = store.get("bytes").await?;
    let existed = store.exists("bytes").await?;
    store.delete("bytes").await?;
    // A second deletion finds nothing, which is no error.
    store.delete("bytes").await?;
    Ok(json!({
        "missing": missing,
        "keys": keys,
        "word": word.map(|word| String::from_utf8_lossy(&word).into_owned()),
        "bytes": bytes,
        "existed": existed,
        "exists": store.exists("bytes").await?,
    }))
}

/// Waits for the end of the keys before it reads any of them.
pub(crate) async fn end_before_keys(label: &str) -> Result<Value, Error> {
    let store = wit::key_value::Store::open(label.to_owned()).await?;
    for key in ["one", "two"] {
        store.set(key.to_owned(), Vec::new()).await?;
    }
    let (keys, end) = store.get_keys().await;
    end.await?;
    let mut keys = keys.collect().await;
    keys.sort();
    Ok(json!({ "keys": keys }))
}

/// Opens the store until that is refused, closes all of these and opens it once more.
pub(crate) async fn open_until_refused(label: &str) -> Result<Value, Error> {
    let mut open = Vec::new();
    let refused = loop {
        match Store::open(label).await {
            Ok(store) => open.push(store),
            Err(error) => break error,
        }
    };
    let opened = open.len();
    drop(open);
    Store::open(label).await?;
    Ok(json!({ "opened": opened, "refused": format!("{refused:?}") }))
}
