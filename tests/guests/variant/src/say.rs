//! What a request has it answer: `x-say: status=200 delay_ms=0 drip_ms=0 pieces=10 repeat=1`, and `x-say-header: name: value`, which may be
//! there several times.
//!
//! With `trap=1` it traps instead. The body is the version's name and a number that no other answer has, `repeat` times, in so many pieces over the time of `drip_ms` if there is
//! any. If `etag` is among the headers and the request has it already, the answer is 304.

use std::time::{Duration, SystemTime};

use futures::SinkExt;
use spin_sdk::http::body::stream;
use spin_sdk::http::{HeaderName, HeaderValue, IntoResponse, Request, Response, StatusCode};
use spin_sdk::time::sleep;
use spin_sdk::wasip3::http::types;
use spin_sdk::wasip3::spawn;

pub(crate) async fn answer(request: &Request, name: &str) -> Result<types::Response, types::ErrorCode> {
    let said = request.headers().get("x-say").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let number = |name: &str| {
        let value = said.split(' ').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        value.and_then(|value| value.parse::<u64>().ok())
    };
    if number("trap").is_some() {
        super::trap();
    }
    sleep(Duration::from_millis(number("delay_ms").unwrap_or(0))).await;
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let body = format!("{name} {}\n", since_epoch.as_nanos()).repeat(number("repeat").unwrap_or(1) as usize);
    let headers: Vec<(HeaderName, HeaderValue)> = request
        .headers()
        .get_all("x-say-header")
        .iter()
        .filter_map(|value| {
            let (name, value) = value.to_str().ok()?.split_once(':')?;
            Some((name.trim().parse().ok()?, value.trim().parse().ok()?))
        })
        .collect();
    let etag = headers.iter().find(|(name, _)| name == "etag").map(|(_, etag)| etag);
    let mut status = number("status").and_then(|status| StatusCode::from_u16(status as u16).ok()).unwrap_or_default();
    if etag.is_some() && request.headers().get("if-none-match") == etag {
        status = StatusCode::NOT_MODIFIED;
    }
    let set = |headers_of: &mut spin_sdk::http::HeaderMap| {
        headers.iter().for_each(|(name, value)| {
            headers_of.append(name.clone(), value.clone());
        })
    };
    let Some(drip_ms) = number("drip_ms") else {
        let mut response = Response::new(if status == StatusCode::NOT_MODIFIED { String::new() } else { body });
        *response.status_mut() = status;
        set(response.headers_mut());
        return response.into_response();
    };
    let pieces = number("pieces").unwrap_or(10) as u32;
    let (mut sender, stream) = stream::<String>();
    spawn(async move {
        for _ in 0..pieces {
            // A host that takes nothing any more needs no further pieces.
            if sender.send(body.clone()).await.is_err() {
                return;
            }
            sleep(Duration::from_millis(drip_ms) / pieces).await;
        }
    });
    let mut response = Response::new(stream);
    *response.status_mut() = status;
    set(response.headers_mut());
    response.into_response()
}
