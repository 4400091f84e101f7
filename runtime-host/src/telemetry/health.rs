//! Whether the application takes requests, and the reserved paths that tell it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

/// Whether the process runs.
const LIVEZ: &str = "/livez";
/// Whether new requests should come here.
const READYZ: &str = "/readyz";
/// Whether the start is over.
const STARTUPZ: &str = "/startupz";
/// The probes that orchestrators ask.
pub const PROBES: [&str; 3] = [LIVEZ, READYZ, STARTUPZ];
/// Under this prefix Spin answers, and no route of an application.
const SPIN_PREFIX: &str = "/.well-known/spin/";

const STARTING: u8 = 0;
const READY: u8 = 1;
const DRAINING: u8 = 2;

/// Whether the application takes requests. Clones speak of the same application.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<AtomicU8>);

impl Health {
    /// The start is over. A drain that has begun meanwhile goes on.
    pub fn ready(&self) {
        self.0.fetch_max(READY, Ordering::Relaxed);
    }

    /// The end has begun.
    pub fn draining(&self) {
        self.0.fetch_max(DRAINING, Ordering::Relaxed);
    }

    /// Whether new requests should come here.
    pub fn is_ready(&self) -> bool {
        self.0.load(Ordering::Relaxed) == READY
    }

    /// Whether the start is over.
    pub fn is_started(&self) -> bool {
        self.0.load(Ordering::Relaxed) != STARTING
    }
}

/// What `/.well-known/spin/info` tells, as a JSON document.
#[derive(Debug)]
pub struct AppInfo(Bytes);

impl AppInfo {
    /// With the fields and names of Spin; an empty version is left out.
    pub fn new(name: &str, version: &str) -> Self {
        let mut document = serde_json::Map::new();
        document.insert("name".to_owned(), name.into());
        if !version.is_empty() {
            document.insert("version".to_owned(), version.into());
        }
        Self(serde_json::Value::Object(document).to_string().into())
    }
}

/// Whether the host answers `path` itself, so that no route can have it.
pub fn is_reserved(path: &str) -> bool {
    PROBES.contains(&path) || path.starts_with(SPIN_PREFIX)
}

/// The answer to a reserved path, or `None` for paths that belong to the application's routes.
///
/// `/livez` is always 200; `/startupz` is 503 until the start is over, `/readyz` also once the drain has begun.
pub fn reserved(path: &str, health: &Health, info: &AppInfo) -> Option<Response<Full<Bytes>>> {
    let probe =
        |good| if good { text(StatusCode::OK, "OK") } else { text(StatusCode::SERVICE_UNAVAILABLE, "unavailable") };
    Some(match path {
        LIVEZ => text(StatusCode::OK, "OK"),
        READYZ => probe(health.is_ready()),
        STARTUPZ => probe(health.is_started()),
        _ => match path.strip_prefix(SPIN_PREFIX)? {
            "health" => text(StatusCode::OK, "OK"),
            "info" => answer(StatusCode::OK, "application/json", info.0.clone()),
            _ => text(StatusCode::NOT_FOUND, "Not Found"),
        },
    })
}

fn text(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    answer(status, "text/plain; charset=utf-8", Bytes::from_static(text.as_bytes()))
}

fn answer(status: StatusCode, content_type: &'static str, body: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn ask(path: &str, health: &Health) -> Option<(u16, String)> {
        let response = reserved(path, health, &AppInfo::new("shop", "1.2.3"))?;
        let status = response.status().as_u16();
        let body = tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(response.collect());
        Some((status, String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()))
    }

    fn probes(health: &Health) -> [u16; 3] {
        ["/startupz", "/readyz", "/livez"].map(|path| ask(path, health).unwrap().0)
    }

    #[test]
    fn probes_follow_the_life_of_the_application() {
        let health = Health::default();
        assert_eq!(probes(&health), [503, 503, 200]);
        health.ready();
        assert_eq!(probes(&health), [200, 200, 200]);
        health.draining();
        health.ready();
        assert_eq!(probes(&health), [200, 503, 200]);
    }

    #[test]
    fn the_paths_of_spin_answer_as_in_spin() {
        let health = Health::default();
        assert_eq!(ask("/.well-known/spin/health", &health), Some((200, "OK".to_owned())));
        assert_eq!(
            ask("/.well-known/spin/info", &health),
            Some((200, r#"{"name":"shop","version":"1.2.3"}"#.to_owned()))
        );
        assert_eq!(ask("/.well-known/spin/other", &health).unwrap().0, 404);
        assert_eq!(AppInfo::new("shop", "").0, r#"{"name":"shop"}"#);
        for path in ["/", "/livez/", "/api/livez", "/.well-known/jwks.json"] {
            assert_eq!((ask(path, &health), is_reserved(path)), (None, false), "{path}");
        }
        for path in PROBES.into_iter().chain(["/.well-known/spin/info", "/.well-known/spin/"]) {
            assert!(ask(path, &health).is_some() && is_reserved(path), "{path}");
        }
    }
}
