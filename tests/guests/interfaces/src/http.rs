//! wasi:http@0.3.0: what arrived, and what goes out (to the network or to a neighbour).

use http_body_util::BodyExt;
use serde_json::{Map, Value, json};
use spin_sdk::http::Request;
use spin_sdk::wasip3::http::types::ErrorCode;

pub(crate) async fn get(url: &str) -> Result<Value, ErrorCode> {
    let response = spin_sdk::http::get(url).await?;
    let status = response.status().as_u16();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(json!({ "status": status, "body": String::from_utf8_lossy(&body) }))
}

/// The method, the URI and the header fields, with all values of a field in one list.
pub(crate) fn describe(request: &Request) -> Value {
    let headers: Map<String, Value> = request
        .headers()
        .keys()
        .map(|name| {
            let values = request.headers().get_all(name).iter();
            let values = values.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned());
            (name.to_string(), values.collect())
        })
        .collect();
    json!({ "method": request.method().as_str(), "uri": request.uri().to_string(), "headers": headers })
}
