//! spin:variables@3.0.0 and wasi:config@0.2.0-draft-2024-09-27.

use serde_json::{Map, Value, json};
use spin_sdk::experimental::wasi::config::store;
use spin_sdk::variables;

pub(crate) async fn get(name: &str) -> Result<Value, variables::Error> {
    Ok(json!({ "value": variables::get(name).await? }))
}

pub(crate) fn get_config(name: &str) -> Result<Value, store::Error> {
    let all: Map<String, Value> = store::get_all()?.into_iter().map(|(name, value)| (name, value.into())).collect();
    Ok(json!({ "value": store::get(name)?, "all": all }))
}
