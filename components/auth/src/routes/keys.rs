//! The keys of access tokens.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use identity::Role;
use serde::Deserialize;
use serde_json::json;
use service::answer;
use service::request::{parse, read_body};

use super::Reply;
use crate::app::App;
use crate::keyring::JWKS_MAX_AGE_S;
use crate::store::keys::{self, Rotation};

/// `GET /.well-known/jwks.json`
pub(crate) async fn jwks(State(app): State<Arc<App>>) -> Reply {
    let now_ms = app.now_ms();
    let mut response = answer::json(keys::keyring(&app.database, now_ms).await?.jwks(now_ms).to_string());
    let caching = HeaderValue::try_from(format!("public, max-age={JWKS_MAX_AGE_S}"));
    // Words and digits are always a header value.
    if let Ok(caching) = caching {
        response.headers_mut().insert(header::CACHE_CONTROL, caching);
    }
    Ok(response)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// Whether somebody else may have the key: then it is dropped at once.
    #[serde(default)]
    compromised: bool,
}

/// `POST /api/auth/keys/rotate`
pub(crate) async fn rotate(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Reply {
    app.access.require(&headers, Role::Admin).await?;
    let wish: Wish = parse(&read_body(body).await?)?;
    let rotation = match wish.compromised {
        true => keys::replace(&app.database, app.now_ms()).await?,
        false => keys::rotate(&app.database, app.now_ms()).await?,
    };
    Ok(shown(rotation))
}

/// What a rotation did.
pub(super) fn shown(rotation: Rotation) -> Response {
    let status = match rotation {
        Rotation::Begun => "begun",
        Rotation::UnderWay => "under_way",
        Rotation::NotDue => "not_due",
    };
    answer::json(json!({ "rotation": status }).to_string())
}
