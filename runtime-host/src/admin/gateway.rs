//! `POST /v1/gateway/reload`: has the gateway's configuration read again; `why`. Answers `{"rules": ...}`. A mistake in the file is
//! refused with its place, and the former configuration stays in force.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};

use super::control::{Failure, Query};
use super::{Body, Routes, Who, answer, detailed_problem};
use crate::app::App;
use crate::listener::IncomingBody;
use crate::registry::{Action, now_ms};

/// The route's path.
pub const RELOAD_PATH: &str = "/v1/gateway/reload";
/// What the log of actions calls it.
const ACTION: &str = "reload gateway";

/// Adds the route.
pub fn add(routes: Routes, token: &str, app: &Arc<App>) -> Routes {
    let app = app.clone();
    routes.control(token, Method::POST, RELOAD_PATH, move |request| {
        let app = app.clone();
        async move { reload(&app, request).await.unwrap_or_else(Failure::into_response) }
    })
}

async fn reload(app: &Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let mut query = Query::of(&request, &["why"])?;
    let why = query.text("why").unwrap_or_default();
    let reloaded = app.gateway.reload();
    let outcome = reloaded.as_ref().err().map_or("ok".to_owned(), ToString::to_string);
    let (who, component) = (Who::sent(&request), String::new());
    app.audit(Action { at_ms: now_ms(), who, action: ACTION.to_owned(), component, why, outcome }).await;
    Ok(match reloaded {
        Ok(Some(rules)) => {
            answer(StatusCode::OK, "application/json", serde_json::json!({ "rules": rules }).to_string())
        }
        Ok(None) => detailed_problem(
            StatusCode::CONFLICT,
            "The gateway has no configuration",
            "there was no `gateway.toml` when the host started; start it with one",
        ),
        Err(error) => {
            let title = "The configuration is refused, and the former one stays in force";
            detailed_problem(StatusCode::UNPROCESSABLE_ENTITY, title, &error.to_string())
        }
    })
}
