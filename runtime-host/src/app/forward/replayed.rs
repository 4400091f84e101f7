//! The body of a request that may be sent more than once.

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body as _;
use http_body_util::{BodyExt as _, Full};
use wasmtime_wasi_http::WasiBody;

use super::upload;
use crate::gateway;
use crate::problem::Problem;

/// The largest body that is kept so that it can be sent once more.
const REPLAYED_BYTES_MAX: u64 = 64 << 10;

pub(super) enum Replayed {
    Kept(Bytes),
    /// It is too large, or nobody asks for it: it can be sent once.
    Once(Option<WasiBody>),
}

impl Replayed {
    /// Keeps the body if it is small.
    pub(super) async fn of(body: WasiBody, headers: &HeaderMap) -> Result<Self, Problem> {
        if body.is_end_stream() {
            return Ok(Self::Kept(Bytes::new()));
        }
        if gateway::announced_bytes(headers).is_none_or(|bytes| bytes > REPLAYED_BYTES_MAX) {
            return Ok(Self::Once(Some(body)));
        }
        // The listener holds the client to the length that it announced.
        match body.collect().await {
            Ok(whole) => Ok(Self::Kept(whole.to_bytes())),
            Err(error) => Err(upload::problem(&error)),
        }
    }

    pub(super) fn is_kept(&self) -> bool {
        matches!(self, Self::Kept(_))
    }

    pub(super) fn next(&mut self) -> WasiBody {
        let bytes = match self {
            Self::Kept(bytes) => bytes.clone(),
            Self::Once(body) => match body.take() {
                Some(body) => return body,
                None => Bytes::new(),
            },
        };
        Full::new(bytes).map_err(|never| match never {}).boxed_unsync()
    }
}
