//! `POST /v1/gateway/reload`: has the gateway's configuration read again; `why`. Answers `{"rules": ...}`. A mistake in the file is
//! refused with its place, and the former configuration stays in force.
//!
//! `POST /v1/gateway/purge`: drops answers that the gateway has stored: `tag=` those with this surrogate key, `url=` those of this path
//! and query, at whatever host, or `all=true` all of them; `why`. Answers with what was purged.

use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, Uri};

use super::control::{Failure, Query};
use super::{Body, Routes, Who, answer, detailed_problem};
use crate::app::App;
use crate::listener::IncomingBody;
use crate::registry::{Action, now_ms};

/// The route's path.
pub const RELOAD_PATH: &str = "/v1/gateway/reload";
/// The route's path.
pub const PURGE_PATH: &str = "/v1/gateway/purge";
/// What the log of actions calls them.
const RELOAD: &str = "reload gateway";
const PURGE: &str = "purge cache";

/// Adds the routes.
pub fn add(routes: Routes, token: &str, app: &Arc<App>) -> Routes {
    let (reloaded, purged) = (app.clone(), app.clone());
    let routes = routes.control(token, Method::POST, RELOAD_PATH, move |request| {
        let app = reloaded.clone();
        async move { reload(&app, request).await.unwrap_or_else(Failure::into_response) }
    });
    routes.control(token, Method::POST, PURGE_PATH, move |request| {
        let app = purged.clone();
        async move { purge(&app, request).await.unwrap_or_else(Failure::into_response) }
    })
}

async fn purge(app: &Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let mut query = Query::of(&request, &["tag", "url", "all", "why"])?;
    let why = query.text("why").unwrap_or_default();
    let all = match query.text("all").as_deref() {
        None => None,
        Some("true" | "") => Some("all".to_owned()),
        Some(other) => return Err(Failure::Request(format!("`all` is {other:?}; expected `true`"))),
    };
    let wanted = (query.text("tag"), query.text("url"), all);
    let what = match &wanted {
        (Some(tag), None, None) if !tag.is_empty() && !tag.contains(char::is_whitespace) => format!("tag {tag}"),
        (None, Some(url), None) => format!("url {}", path_and_query(url)?),
        (None, None, Some(all)) => all.clone(),
        _ => return Err(Failure::Request("expected one of `tag`, `url` and `all`".to_owned())),
    };
    let Some(cache) = app.gateway.cache() else {
        return Ok(detailed_problem(
            StatusCode::CONFLICT,
            "The gateway stores no answers",
            "no rule of `gateway.toml` has `cache`",
        ));
    };
    match &wanted {
        (Some(tag), ..) => cache.purge_tags(tag),
        (_, Some(url), _) => cache.purge_url(&path_and_query(url)?),
        _ => cache.purge_all(),
    }
    let (who, component, action) = (Who::sent(&request), String::new(), format!("{PURGE} {what}"));
    app.audit(Action { at_ms: now_ms(), who, action, component, why, outcome: "ok".to_owned() }).await;
    Ok(answer(StatusCode::OK, "application/json", serde_json::json!({ "purged": what }).to_string()))
}

/// What is asked for by a URL or a path.
fn path_and_query(url: &str) -> Result<String, Failure> {
    let parsed: Option<Uri> = url.parse().ok();
    let path = parsed.as_ref().and_then(|uri| uri.path_and_query());
    let path = path.filter(|path| path.as_str().starts_with('/'));
    path.map(ToString::to_string).ok_or_else(|| Failure::Request(format!("`url` is {url:?}; expected a URL or a path")))
}

async fn reload(app: &Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let mut query = Query::of(&request, &["why"])?;
    let why = query.text("why").unwrap_or_default();
    let reloaded = app.gateway.reload();
    let outcome = reloaded.as_ref().err().map_or("ok".to_owned(), ToString::to_string);
    let (who, component) = (Who::sent(&request), String::new());
    app.audit(Action { at_ms: now_ms(), who, action: RELOAD.to_owned(), component, why, outcome }).await;
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
