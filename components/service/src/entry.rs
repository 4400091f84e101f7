//! From the host's request to a service's router, which is built once in the life of an instance.

use std::sync::OnceLock;

use axum::Router;
use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use commerce::Problem;
use http_body_util::BodyExt;
use spin_sdk::http::Request;

use crate::figures;

/// Why a service cannot start with the settings that it was given, or with its store.
pub type SettingError = Box<dyn std::error::Error + Send + Sync>;

/// Has the router of `cell` answer. The first request builds it; variables do not change while the instance lives.
pub async fn serve(
    cell: &'static OnceLock<Router>,
    build: impl Future<Output = Result<Router, SettingError>>,
    request: Request,
) -> Response<Body> {
    let router = match cell.get() {
        Some(router) => router,
        None => match build.await {
            Ok(router) => cell.get_or_init(|| router),
            Err(reason) => return misconfigured(&reason).into_response(),
        },
    };
    let request = request.map(|body| Body::new(body.map_err(axum::Error::new)));
    let Ok(response) = figures::said(tower_service::Service::call(&mut router.clone(), request)).await;
    response
}

/// The value of one of the component's variables.
pub async fn variable(name: &str) -> Result<String, SettingError> {
    spin_sdk::variables::get(name).await.map_err(|error| format!("the variable {name}: {error}").into())
}

fn misconfigured(reason: &SettingError) -> Problem {
    eprintln!("the service cannot start: {reason}");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "not-ready", "The service cannot start")
}
