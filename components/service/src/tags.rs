//! Tags by which a cache in front of the service knows what to forget: what an answer is made of, and what a change concerns.
//!
//! The host takes both headers out of every answer; where nobody stores answers they mean nothing.

use axum::http::HeaderName;
use axum::response::Response;

/// What an answer is made of.
const SURROGATE_KEY: HeaderName = HeaderName::from_static("surrogate-key");
/// What has changed, once the answer is on its way.
const PURGE: HeaderName = HeaderName::from_static("x-bodega-purge");

/// Says what an answer is made of. Tags have no blanks in them.
pub fn made_of<T: AsRef<str>>(response: Response, tags: &[T]) -> Response {
    with(response, SURROGATE_KEY, tags)
}

/// Says what has changed.
pub fn changed<T: AsRef<str>>(response: Response, tags: &[T]) -> Response {
    with(response, PURGE, tags)
}

fn with<T: AsRef<str>>(mut response: Response, name: HeaderName, tags: &[T]) -> Response {
    let tags: Vec<&str> = tags.iter().map(AsRef::as_ref).collect();
    // Tags are letters, digits and hyphens.
    if let Ok(value) = tags.join(" ").parse()
        && !tags.is_empty()
    {
        response.headers_mut().insert(name, value);
    }
    response
}
