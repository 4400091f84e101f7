//! What the gateway makes of the body of an answer: JSON with other members, and fewer bytes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{Method, Response};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use wasmtime_wasi_http::{Error, WasiBody};

use crate::gateway::{BYTES_PER_TURN, BodyAfter, Compressed, JsonEdits, Passage};
use crate::problem::Problem;
use crate::telemetry::request_context::RequestContext;

/// Edits the JSON of an answer as its rule says. What cannot be edited is not passed on: what is taken out may be a secret.
pub(super) async fn edit(
    passage: &Passage,
    answer: Response<WasiBody>,
    method: &Method,
    context: &Arc<RequestContext>,
) -> Response<WasiBody> {
    let Some(edits) = passage.json_edits() else { return answer };
    match Box::pin(edited(edits, answer, method)).await {
        Ok(answer) => answer,
        Err((problem, reason)) => {
            let (request_id, line) = (context.request_id(), passage.rule_line());
            tracing::error!(request_id, line, "an answer could not be edited and is not passed on: {reason}");
            problem.response(request_id)
        }
    }
}

async fn edited(
    edits: &JsonEdits,
    mut answer: Response<WasiBody>,
    method: &Method,
) -> Result<Response<WasiBody>, (Problem, String)> {
    let unfit = |reason: String| (Problem::UnfitAnswer, reason);
    if !edits.is_for(answer.status(), answer.headers()).map_err(|error| unfit(error.to_string()))? {
        edits.adjust_unread(answer.status(), answer.headers_mut());
        return Ok(answer);
    }
    edits.adjust(answer.headers_mut());
    if method == Method::HEAD {
        return Ok(answer.map(|body| OfUnknownLength(body).boxed_unsync()));
    }
    let (parts, body) = answer.into_parts();
    let bytes_max = edits.bytes_max();
    let document = match Limited::new(body, bytes_max).collect().await {
        Ok(document) => document.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return Err(unfit(format!("it is larger than {bytes_max} bytes, the rule's `bytes_max`")));
        }
        Err(error) => {
            let problem = match error.downcast_ref::<Error>() {
                Some(Error::HttpResponseTimeout | Error::ConnectionReadTimeout) => Problem::DeadlineExceeded,
                _ => Problem::BadGateway,
            };
            return Err((problem, format!("it broke off: {error}")));
        }
    };
    let edited = match document.is_empty() {
        true => document,
        false => edits.apply(&document).map_err(|error| unfit(format!("{:#}", anyhow::Error::new(error))))?.into(),
    };
    Ok(Response::from_parts(parts, Full::new(edited).map_err(|never| match never {}).boxed_unsync()))
}

/// Compresses an answer, if its rule and the request want that and it bears no secret.
pub(super) fn compress(passage: &Passage, mut answer: Response<WasiBody>) -> Response<WasiBody> {
    let (status, bytes) = (answer.status(), answer.body().size_hint().exact());
    match passage.compress(status, answer.headers_mut(), bytes) {
        BodyAfter::Untouched => answer,
        BodyAfter::OfUnknownLength => answer.map(|body| OfUnknownLength(body).boxed_unsync()),
        BodyAfter::Compressed(leave) => {
            let failed = |error: std::io::Error| Error::InternalError(Some(format!("compression failed: {error}")));
            let (mut parts, body) = answer.into_parts();
            let mut body = Compressed::new(body, leave, failed);
            // What fits into a turn and is there leaves in one piece, with its length.
            let is_short = bytes.is_some_and(|bytes| bytes <= BYTES_PER_TURN as u64);
            let body = match is_short.then(|| body.at_once()).flatten() {
                Some(whole) => {
                    parts.headers.insert(CONTENT_LENGTH, whole.len().into());
                    Full::new(whole).map_err(|never| match never {}).boxed_unsync()
                }
                None => body.boxed_unsync(),
            };
            Response::from_parts(parts, body)
        }
    }
}

/// A body that is not sent, and of which nobody is to tell the length.
struct OfUnknownLength(WasiBody);

impl Body for OfUnknownLength {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }
}
