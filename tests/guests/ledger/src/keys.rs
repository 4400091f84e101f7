//! Writes to the key-value store `default`, one key for each number.

use serde_json::Value as Json;
use spin_sdk::http::StatusCode;
use spin_sdk::key_value::{Error, Store};

use crate::{Failure, LABEL};

const PREFIX: &str = "n/";

pub(crate) async fn add(n: i64) -> Result<Json, Failure> {
    Store::open(LABEL).await?.set(format!("{PREFIX}{n}"), n.to_string()).await?;
    Ok(n.into())
}

pub(crate) async fn numbers() -> Result<Json, Failure> {
    let keys = Store::open(LABEL).await?.get_keys().await.collect().await?;
    let mut numbers: Vec<i64> = keys.iter().filter_map(|key| key.strip_prefix(PREFIX)?.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers.into())
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self(StatusCode::INTERNAL_SERVER_ERROR, format!("{error:?}"))
    }
}
