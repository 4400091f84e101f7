//! `POST /v1/backup {"folder": "...", "why": "..."}`: copies all stores to a folder on this machine while the application runs.
//! Who has made a copy, where and why is in the log of actions.

use std::path::PathBuf;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use super::{Body, Routes, Who, answer, problem};
use crate::app::App;
use crate::listener::IncomingBody;
use crate::registry::Action;
use crate::stores::Stores;

/// The route's path.
pub const BACKUP_PATH: &str = "/v1/backup";
/// What the log of actions calls it.
const ACTION: &str = "backup";
/// Characters of a reason.
const WHY_CHARS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    folder: PathBuf,
    #[serde(default)]
    why: String,
}

/// Adds the route.
pub fn add(routes: Routes, token: &str, stores: Stores, app: &Arc<App>) -> Routes {
    let app = app.clone();
    routes.control(token, Method::POST, BACKUP_PATH, move |request| back_up(request, stores.clone(), Some(app.clone())))
}

/// Adds the route where no application runs, whose log of actions could tell of it: it is in the host's own log.
pub fn add_alone(routes: Routes, token: &str, stores: Stores) -> Routes {
    routes.control(token, Method::POST, BACKUP_PATH, move |request| back_up(request, stores.clone(), None))
}

async fn back_up(request: Request<IncomingBody>, stores: Stores, app: Option<Arc<App>>) -> Response<Body> {
    let who = Who::sent(&request);
    let Ok(body) = request.into_body().collect().await else {
        return problem(StatusCode::BAD_REQUEST, "The request body broke off");
    };
    let order = match serde_json::from_slice::<Order>(&body.to_bytes()) {
        Ok(order) if order.folder.is_absolute() && order.why.chars().count() <= WHY_CHARS_MAX => order,
        _ => {
            return problem(
                StatusCode::UNPROCESSABLE_ENTITY,
                "The body has to be {\"folder\": \"/an/absolute/path\"}, with a \"why\" of at most 1,000 characters",
            );
        }
    };
    // On a task of its own: what was copied is in the log of actions also if nobody waits for the answer.
    let copying = tokio::spawn(async move {
        let copied = stores.backup(&order.folder).await;
        let outcome = match &copied {
            Ok(_) => format!("ok: copied to {}", order.folder.display()),
            Err(error) => error.to_string(),
        };
        match app {
            Some(app) => app.audit(Action::ended(ACTION, "", &who, &order.why, outcome)).await,
            None => tracing::info!(%who, why = %order.why, %outcome, "{ACTION}"),
        }
        (copied, order.folder)
    });
    // It is never aborted, so it has panicked: a bug, which goes on as one.
    let (copied, folder) = copying.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
    match copied {
        Ok(report) => {
            let report =
                serde_json::json!({ "files": report.files, "bytes": report.bytes, "not_copied": report.not_copied });
            answer(StatusCode::OK, "application/json", report.to_string())
        }
        Err(error) => {
            tracing::error!(folder = %folder.display(), "the backup failed: {error:#}");
            problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}
