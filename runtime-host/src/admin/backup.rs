//! `POST /v1/backup {"folder": "..."}`: copies all stores to a folder on this machine while the application runs.

use std::path::PathBuf;

use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Deserialize;

use super::{Body, Routes, answer, problem};
use crate::listener::IncomingBody;
use crate::stores::Stores;

/// The route's path.
pub const BACKUP_PATH: &str = "/v1/backup";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Order {
    folder: PathBuf,
}

/// Adds the route.
pub fn add(routes: Routes, token: &str, stores: Stores) -> Routes {
    routes.control(token, Method::POST, BACKUP_PATH, move |request| back_up(request, stores.clone()))
}

async fn back_up(request: Request<IncomingBody>, stores: Stores) -> Response<Body> {
    let Ok(body) = request.into_body().collect().await else {
        return problem(StatusCode::BAD_REQUEST, "The request body broke off");
    };
    let order = match serde_json::from_slice::<Order>(&body.to_bytes()) {
        Ok(order) if order.folder.is_absolute() => order,
        _ => {
            return problem(StatusCode::UNPROCESSABLE_ENTITY, "The body has to be {\"folder\": \"/an/absolute/path\"}");
        }
    };
    match stores.backup(&order.folder).await {
        Ok(report) => {
            let report = serde_json::json!({ "files": report.files, "bytes": report.bytes });
            answer(StatusCode::OK, "application/json", report.to_string())
        }
        Err(error) => {
            tracing::error!(folder = %order.folder.display(), "the backup failed: {error:#}");
            problem(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string())
        }
    }
}
