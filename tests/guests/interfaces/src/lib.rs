//! Uses every interface of the Spin 4 generation (wasi 0.3) and answers the outcome as JSON.
//!
//! The last path segment names the interface; `interfaces-p2` answers the same paths for its generation:
//! `key-value?label=`, `key-value-limit?label=`, `sqlite?label=`, `transaction?label=`, `variables?name=`, `environment`, `clocks`, `random`,
//! `files?path=`, `sockets?port=`, `outbound?url=`, `request`; here also `wasi-config?name=`, `wasi-keyvalue?label=`
//! and with the same argument `wasi-keyvalue-limit`, `wasi-keyvalue-text`, `key-value-end-first` and `sqlite-end-first`.
//! An interface that refuses answers `{"error": "..."}` with the name of the refusal's variant.

mod http;
mod key_value;
mod sqlite;
mod variables;
mod wasi;
mod wasi_keyvalue;

use std::collections::HashMap;
use std::fmt::Debug;

use serde_json::{Value, json};
use spin_sdk::http::{IntoResponse, Json, Request};

#[spin_sdk::http_service]
async fn interfaces(request: Request) -> impl IntoResponse {
    let uri = request.uri().clone();
    let query: HashMap<_, _> =
        form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let argument = |name: &str| query.get(name).map_or("", String::as_str);
    let interface = uri.path().rsplit('/').next().unwrap_or_default();
    Json(match interface {
        "key-value" => outcome(key_value::use_store(argument("label")).await),
        "key-value-end-first" => outcome(key_value::end_before_keys(argument("label")).await),
        "key-value-limit" => outcome(key_value::open_until_refused(argument("label")).await),
        "sqlite" => outcome(sqlite::use_database(argument("label")).await),
        "sqlite-end-first" => outcome(sqlite::end_before_rows(argument("label")).await),
        "transaction" => outcome(sqlite::roll_back(argument("label")).await),
        "variables" => outcome(variables::get(argument("name")).await),
        "wasi-keyvalue" => outcome(wasi_keyvalue::use_bucket(argument("label"))),
        "wasi-keyvalue-limit" => outcome(wasi_keyvalue::open_until_refused(argument("label"))),
        "wasi-keyvalue-text" => outcome(wasi_keyvalue::increment_text(argument("label"))),
        "wasi-config" => outcome(variables::get_config(argument("name"))),
        "environment" => wasi::environment(),
        "clocks" => wasi::clocks().await,
        "random" => wasi::random(),
        "files" => wasi::files(argument("path")).await,
        "sockets" => outcome(wasi::connect(argument("port").parse().unwrap_or(0)).await),
        "outbound" => outcome(http::get(argument("url")).await),
        "request" => http::describe(&request),
        _ => json!({ "error": format!("no interface {interface}") }),
    })
}

fn outcome(result: Result<Value, impl Debug>) -> Value {
    result.unwrap_or_else(|error| json!({ "error": format!("{error:?}") }))
}
