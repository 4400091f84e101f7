//! wasi:http@0.2: what arrived, and what goes out (to the network or to a neighbour).

use std::io::{self, Read, Write};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, FutureIncomingResponse, IncomingBody, IncomingRequest, Method, OutgoingBody, OutgoingRequest,
    OutgoingResponse, ResponseOutparam, Scheme,
};

const PIECE_BYTES: usize = 64 << 10;

/// Asks `url`, which is `http://AUTHORITY/PATH`, or `/PATH` without a host.
pub(crate) fn get(url: &str) -> Result<Value, ErrorCode> {
    answered(&handle(to(url)?, None)?)
}

/// Waits for an answer.
fn answered(answer: &FutureIncomingResponse) -> Result<Value, ErrorCode> {
    answer.subscribe().block();
    let response = answer.get().ok_or_else(gone)?.map_err(|()| gone())??;
    let body = response.consume().map_err(|()| gone())?;
    let mut text = String::new();
    body.stream().map_err(|()| gone())?.read_to_string(&mut text).map_err(failed)?;
    Ok(json!({ "status": response.status(), "body": text }))
}

fn to(url: &str) -> Result<OutgoingRequest, ErrorCode> {
    let bad_url = || ErrorCode::HttpRequestUriInvalid;
    let request = OutgoingRequest::new(Fields::new());
    let path = match url.strip_prefix("http://") {
        Some(rest) => {
            let (authority, path) = rest.split_once('/').ok_or_else(bad_url)?;
            request.set_scheme(Some(&Scheme::Http)).map_err(|()| bad_url())?;
            request.set_authority(Some(authority)).map_err(|()| bad_url())?;
            format!("/{path}")
        }
        None => url.to_owned(),
    };
    request.set_path_with_query(Some(&path)).map_err(|()| bad_url())?;
    Ok(request)
}

/// Asks the first of two components to do the same with the names the other way round. A failure of it is one of ours.
pub(crate) fn cycle(through: &str) -> Result<Value, ErrorCode> {
    let (next, then) = through.split_once(',').ok_or(ErrorCode::HttpRequestUriInvalid)?;
    let answer = get(&format!("http://{next}.spin.internal/cycle?through={then},{next}"))?;
    if answer["status"] == 200 { Ok(answer) } else { Err(ErrorCode::InternalError(Some(answer.to_string()))) }
}

/// The method, the URI and the header fields, with all values of a field in one list.
pub(crate) fn describe(request: &IncomingRequest) -> Value {
    let mut headers = Map::new();
    for (name, value) in request.headers().entries() {
        let values = headers.entry(name).or_insert_with(|| json!([]));
        if let Value::Array(values) = values {
            values.push(String::from_utf8_lossy(&value).into());
        }
    }
    let method = match request.method() {
        Method::Other(method) => method,
        method => format!("{method:?}").rsplit("::").next().unwrap_or_default().to_uppercase(),
    };
    json!({ "method": method, "uri": request.path_with_query(), "headers": headers })
}

/// Answers 200 with `body`; a client that is gone meanwhile does not matter.
pub(crate) fn answer(response_out: ResponseOutparam, body: &Value) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(outgoing) = response.body() else {
        return;
    };
    ResponseOutparam::set(response_out, Ok(response));
    if let Ok(mut stream) = outgoing.write() {
        let _ = stream.write_all(body.to_string().as_bytes());
    }
    let _ = OutgoingBody::finish(outgoing, None);
}

/// Sends the body of `request` back as it arrives.
pub(crate) fn send_back(request: &IncomingRequest, response_out: ResponseOutparam) -> Result<(), ErrorCode> {
    let body = request.consume().map_err(|()| gone())?;
    let response = OutgoingResponse::new(Fields::new());
    let outgoing = response.body().map_err(|()| gone())?;
    ResponseOutparam::set(response_out, Ok(response));
    pass_on(&body, outgoing)
}

/// Sends the body of `request` on to `url` as it arrives; the answer to it is JSON.
pub(crate) fn send_on(request: &IncomingRequest, url: &str) -> Result<Value, ErrorCode> {
    let body = request.consume().map_err(|()| gone())?;
    let onward = to(url)?;
    onward.set_method(&Method::Post).map_err(|()| gone())?;
    let outgoing = onward.body().map_err(|()| gone())?;
    let answer = handle(onward, None)?;
    pass_on(&body, outgoing)?;
    let answer = answered(&answer)?;
    let text = answer["body"].as_str().unwrap_or_default();
    Ok(json!({ "status": answer["status"], "answer": serde_json::from_str(text).unwrap_or(Value::Null) }))
}

/// The number of bytes in the body of `request`.
pub(crate) fn count(request: &IncomingRequest) -> Result<Value, ErrorCode> {
    let body = request.consume().map_err(|()| gone())?;
    let bytes = io::copy(&mut body.stream().map_err(|()| gone())?, &mut io::sink()).map_err(failed)?;
    Ok(json!({ "bytes": bytes }))
}

fn pass_on(body: &IncomingBody, outgoing: OutgoingBody) -> Result<(), ErrorCode> {
    let (mut from, mut to) = (body.stream().map_err(|()| gone())?, outgoing.write().map_err(|()| gone())?);
    io::copy(&mut from, &mut to).map_err(failed)?;
    drop(to);
    OutgoingBody::finish(outgoing, None)
}

fn gone() -> ErrorCode {
    ErrorCode::InternalError(Some("it was taken already".to_owned()))
}

fn failed(error: io::Error) -> ErrorCode {
    ErrorCode::InternalError(Some(error.to_string()))
}

/// Answers 200 with so many pieces of 64 KiB, and a pause before each but the first.
pub(crate) fn stream(response_out: ResponseOutparam, pieces: u32, pause: Duration) {
    let response = OutgoingResponse::new(Fields::new());
    let Ok(outgoing) = response.body() else {
        return;
    };
    ResponseOutparam::set(response_out, Ok(response));
    if let Ok(mut stream) = outgoing.write() {
        for piece in 0..pieces {
            if piece > 0 && !pause.is_zero() {
                sleep(pause);
            }
            // A client that is gone needs no more.
            if stream.write_all(&[b'x'; PIECE_BYTES]).is_err() || Write::flush(&mut stream).is_err() {
                return;
            }
        }
    }
    let _ = OutgoingBody::finish(outgoing, None);
}
