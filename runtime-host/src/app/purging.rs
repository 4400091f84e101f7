//! What changes drop of the cache: an answer says what has changed, or a method that it is unsafe.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LOCATION, LOCATION};
use http::uri::Authority;
use http::{Response, Uri, response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use wasmtime_wasi_http::{Error, WasiBody};

use super::worker::Worker;
use crate::gateway::Purge;
use crate::gateway::cache::Cache;

impl Worker {
    /// Purges what an answer says has changed. Whoever passes it on learns what that was from its extensions.
    pub(super) fn purge(&self, head: &mut response::Parts) {
        if let Some(purge) = self.app.gateway.take_purges(&mut head.headers) {
            head.extensions.insert(purge);
        }
    }

    /// Purges what an answer says has changed, unless that is done, and where its body takes a while, again until it ends.
    pub(super) fn purging(&self, mut answer: Response<WasiBody>) -> Response<WasiBody> {
        let is_done = answer.extensions_mut().remove::<Purge>();
        match is_done.or_else(|| self.app.gateway.take_purges(answer.headers_mut())) {
            Some(purge) if answer.body().size_hint().exact().is_none() => {
                answer.map(|body| Purging { body, purge }.boxed_unsync())
            }
            _ => answer,
        }
    }
}

/// Drops what is stored of the URLs that a request to `own` with an unsafe method has changed (RFC 9111, 4.4), at whatever host.
pub(super) fn invalidate(cache: &Cache, own: Option<&Authority>, uri: &Uri, answer: &Response<WasiBody>) {
    if !answer.status().is_success() && !answer.status().is_redirection() {
        return;
    }
    let named = [LOCATION, CONTENT_LOCATION].into_iter().filter_map(|name| answer.headers().get(name));
    for uri in named.filter_map(|value| of_own_host(value.to_str().ok()?, own)).chain([uri.clone()]) {
        cache.purge_url(uri.path_and_query().map_or("/", |path| path.as_str()));
    }
}

/// What an answer names, if that is at the host that was asked: a service says nothing about others.
fn of_own_host(reference: &str, own: Option<&Authority>) -> Option<Uri> {
    let uri: Uri = reference.parse().ok()?;
    // Two slashes begin with the name of a host.
    let is_path = reference.starts_with('/') && !reference.starts_with("//");
    (is_path || uri.scheme().is_some() && uri.authority() == own).then_some(uri)
}

/// Purges again with each piece of a body, and when it ends.
struct Purging {
    body: WasiBody,
    purge: Purge,
}

impl Body for Purging {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        if frame.is_ready() {
            self.purge.again();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Purging {
    fn drop(&mut self) {
        self.purge.again();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_names_what_is_at_its_own_host() {
        let own = Authority::from_static("shop.example:8443");
        for (reference, expected) in [
            ("/a?b=1", Some("/a?b=1")),
            ("https://Shop.example:8443/a", Some("/a")),
            ("https://other.example/a", None),
            ("https://shop.example/a", None),
            ("//other.example/a", None),
            ("//shop.example:8443/a", None),
            ("shop.example:8443", None),
            ("a", None),
            ("", None),
        ] {
            let named = of_own_host(reference, Some(&own));
            let path = named.as_ref().and_then(|uri| uri.path_and_query()).map(|path| path.as_str());
            assert_eq!(path, expected, "{reference}");
        }
        assert!(of_own_host("a", None).is_none() && of_own_host("/a", None).is_some());
    }
}
