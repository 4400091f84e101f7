//! `POST /v1/upgrade`: has a new process of the host take over; `program` (a path), `timeout_ms`, `why`. Answers `{"pid": ...}` once that
//! process takes connections; this one then finishes what it has begun.
//!
//! It runs a program, so the admin token is not enough: it needs the host's own token, which never leaves the state folder and is
//! readable only for the user that the host runs as.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response, StatusCode};

use super::control::{Failure, Query};
use super::{Body, Routes, Who, answer, detailed_problem};
use crate::app::{App, HandOverError};
use crate::listener::IncomingBody;
use crate::registry::Action;
use crate::upgrade::{Order, TIMEOUT, UpgradeError, Upgrader};

/// The route's path.
pub const UPGRADE_PATH: &str = "/v1/upgrade";
/// What the log of actions calls it.
const ACTION: &str = "upgrade";

/// Adds the route.
pub fn add(routes: Routes, token: &str, upgrader: &Arc<Upgrader>, app: &Arc<App>) -> Routes {
    let (upgrader, app) = (upgrader.clone(), app.clone());
    routes.own(token, Method::POST, UPGRADE_PATH, move |request| {
        let (upgrader, app) = (upgrader.clone(), app.clone());
        async move {
            match order(&request) {
                Ok(order) => upgrade(&upgrader, &app, order).await,
                Err(failure) => failure.into_response(),
            }
        }
    })
}

/// What the log of actions has about an upgrade, in whichever process.
pub fn action(who: String, why: String, outcome: &str) -> Action {
    Action::ended(ACTION, "", &who, &why, outcome.to_owned())
}

fn order(request: &Request<IncomingBody>) -> Result<Order, Failure> {
    let mut query = Query::of(request, &["program", "timeout_ms", "why"])?;
    let timeout = query.number("timeout_ms")?.map_or(TIMEOUT, Duration::from_millis);
    let program = query.text("program").map(PathBuf::from);
    if let Some(program) = program.as_ref().filter(|program| !program.is_absolute()) {
        return Err(Failure::Request(format!("`program` is {}; expected an absolute path", program.display())));
    }
    Ok(Order { program, timeout, who: Who::sent(request), why: query.text("why").unwrap_or_default() })
}

async fn upgrade(upgrader: &Arc<Upgrader>, app: &Arc<App>, order: Order) -> Response<Body> {
    let Order { who, why, .. } = order.clone();
    let error = match upgrader.upgrade(order).await {
        // The new process writes it down.
        Ok(pid) => return answer(StatusCode::OK, "application/json", serde_json::json!({ "pid": pid }).to_string()),
        Err(error) => error,
    };
    let outcome = error.to_string();
    app.audit(action(who, why, &outcome)).await;
    let status = match error {
        UpgradeError::GoesOn | UpgradeError::FirstProcess | UpgradeError::HandOver(HandOverError::RevisionsChanged) => {
            StatusCode::CONFLICT
        }
        UpgradeError::Ending | UpgradeError::FormerDrains => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    };
    detailed_problem(status, "No other process has taken over", &outcome)
}
