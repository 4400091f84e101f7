//! wasi:http@0.2: what arrived, and what goes out (to the network or to a neighbour).

use std::io::{Read, Write};
use std::thread::sleep;
use std::time::Duration;

use serde_json::{Map, Value, json};
use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, Method, OutgoingBody, OutgoingRequest, OutgoingResponse, ResponseOutparam,
    Scheme,
};

const PIECE_BYTES: usize = 64 << 10;

/// Asks `url`, which is `http://AUTHORITY/PATH`, or `/PATH` without a host.
pub(crate) fn get(url: &str) -> Result<Value, ErrorCode> {
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

    let answer = handle(request, None)?;
    answer.subscribe().block();
    let gone = || ErrorCode::InternalError(Some("the answer was taken already".to_owned()));
    let response = answer.get().ok_or_else(gone)?.map_err(|()| gone())??;
    let body = response.consume().map_err(|()| gone())?;
    let mut text = String::new();
    body.stream()
        .map_err(|()| gone())?
        .read_to_string(&mut text)
        .map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
    Ok(json!({ "status": response.status(), "body": text }))
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
