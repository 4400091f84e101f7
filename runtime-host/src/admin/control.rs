//! The control of revisions:
//!
//! | route | what it does |
//! |---|---|
//! | `POST /v1/deploy?component=` | puts the artifact in the body in force, or begins its rollout; with `artifact=in-force` the one that is, with the configuration of now; `variable` (`name=value`, several), `source`, `why`, `strategy`, `smoke` (a path), `smoke_status` |
//! | `POST /v1/promote?component=` | lets a rollout go on to its next step, or with `full=true` to its end; `why` |
//! | `POST /v1/pause`, `/v1/resume`, `/v1/abort` `?component=` | keeps a rollout where it is, lets it go on, takes it back; `why` |
//! | `POST /v1/rollback?component=` | puts a former revision in force again; `to` (a number), `why` |
//! | `GET /v1/status` | what runs of each component |
//! | `GET /v1/history?component=` | the component's revisions, the latest first |
//! | `GET /v1/actions` | what was done through this API, by rollouts and by a start, the latest first; `limit` |
//!
//! All need the admin token. Answers are JSON; a refusal is a problem document whose `detail` says why, and changes nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use serde::Serialize;
use url::form_urlencoded;

use super::{Body, Routes, Who, answer, detailed_problem, problem};
use crate::app::{App, DeployError, Deployment, Rollback, Steer};
use crate::listener::IncomingBody;
use crate::manifest::Smoke;
use crate::variables::Values;

/// Where an artifact is put in force.
pub const DEPLOY_PATH: &str = "/v1/deploy";
/// Where a former revision is.
pub const ROLLBACK_PATH: &str = "/v1/rollback";
/// Where a rollout is steered.
pub const PROMOTE_PATH: &str = "/v1/promote";
/// Where it is paused,
pub const PAUSE_PATH: &str = "/v1/pause";
/// resumed,
pub const RESUME_PATH: &str = "/v1/resume";
/// and taken back.
pub const ABORT_PATH: &str = "/v1/abort";
/// What runs.
pub const STATUS_PATH: &str = "/v1/status";
/// A component's revisions.
pub const HISTORY_PATH: &str = "/v1/history";
/// What was done.
pub const ACTIONS_PATH: &str = "/v1/actions";

/// The value of `artifact` that names the one in force.
pub const IN_FORCE: &str = "in-force";
/// The parameter with the value of a variable.
pub const VARIABLE: &str = "variable";

/// Actions that are told where nothing is said, and at most.
const ACTIONS_DEFAULT: u32 = 100;
const ACTIONS_MAX: u32 = 1_000;
/// Characters of a reason or a source.
const TEXT_CHARS_MAX: usize = 1_000;

/// Adds the routes.
pub fn add(routes: Routes, token: &str, app: &Arc<App>) -> Routes {
    let with_app = |route: fn(Arc<App>, Request<IncomingBody>) -> Answering| {
        let app = app.clone();
        move |request| {
            let answering = route(app.clone(), request);
            async move { answering.await.unwrap_or_else(Failure::into_response) }
        }
    };
    routes
        .control(token, Method::POST, DEPLOY_PATH, with_app(|app, request| Box::pin(deploy(app, request))))
        .control(token, Method::POST, ROLLBACK_PATH, with_app(|app, request| Box::pin(roll_back(app, request))))
        .control(token, Method::POST, PROMOTE_PATH, with_app(|app, request| Box::pin(promote(app, request))))
        .control(token, Method::POST, PAUSE_PATH, with_app(|app, request| Box::pin(steer(app, request, Steer::Pause))))
        .control(
            token,
            Method::POST,
            RESUME_PATH,
            with_app(|app, request| Box::pin(steer(app, request, Steer::Resume))),
        )
        .control(token, Method::POST, ABORT_PATH, with_app(|app, request| Box::pin(steer(app, request, Steer::Abort))))
        .control(token, Method::GET, STATUS_PATH, with_app(|app, _| Box::pin(async move { json(&app.status().await) })))
        .control(token, Method::GET, HISTORY_PATH, with_app(|app, request| Box::pin(history(app, request))))
        .control(token, Method::GET, ACTIONS_PATH, with_app(|app, request| Box::pin(actions(app, request))))
}

type Answering = std::pin::Pin<Box<dyn Future<Output = Result<Response<Body>, Failure>> + Send>>;

/// Why there is no success to tell of.
pub(super) enum Failure {
    /// The request is wrong.
    Request(String),
    /// The body broke off.
    Body,
    /// It was not done.
    Deploy(DeployError),
}

impl From<DeployError> for Failure {
    fn from(error: DeployError) -> Self {
        Self::Deploy(error)
    }
}

impl Failure {
    pub(super) fn into_response(self) -> Response<Body> {
        let error = match self {
            Self::Request(reason) => {
                return detailed_problem(StatusCode::UNPROCESSABLE_ENTITY, "The request is not understood", &reason);
            }
            Self::Body => return problem(StatusCode::BAD_REQUEST, "The request body broke off"),
            Self::Deploy(error) => error,
        };
        let (status, title) = match error {
            DeployError::UnknownComponent { .. } => (StatusCode::NOT_FOUND, "There is no such component"),
            DeployError::UnknownRevision { .. } => (StatusCode::NOT_FOUND, "There is no such revision"),
            DeployError::Refused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "The revision is refused"),
            // Whoever edits the manifest has not finished: it may pass.
            DeployError::Configuration { .. } => (StatusCode::CONFLICT, "The configuration cannot be read"),
            DeployError::NothingEarlier { .. } => (StatusCode::CONFLICT, "There is no earlier revision"),
            DeployError::RolloutGoesOn { .. } => (StatusCode::CONFLICT, "A rollout goes on"),
            DeployError::NoRollout { .. } => (StatusCode::CONFLICT, "No rollout goes on"),
            DeployError::Steer(_) => (StatusCode::CONFLICT, "The rollout is elsewhere"),
            DeployError::NotReady | DeployError::HandedOver | DeployError::NoRoom { .. } => {
                (StatusCode::SERVICE_UNAVAILABLE, "Not now")
            }
            DeployError::Registry(_) => (StatusCode::INTERNAL_SERVER_ERROR, "It cannot be written down"),
        };
        detailed_problem(status, title, &error.to_string())
    }
}

/// The parameters of a request, each at most once.
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    pub(super) fn of(request: &Request<IncomingBody>, known: &[&str]) -> Result<Self, Failure> {
        Ok(Self::with_list(request, known, "")?.0)
    }

    /// The parameters, and those named `list`, of which there may be several.
    fn with_list(request: &Request<IncomingBody>, known: &[&str], list: &str) -> Result<(Self, Vec<String>), Failure> {
        let (mut parameters, mut listed) = (BTreeMap::new(), Vec::new());
        for (name, value) in form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes()) {
            if name == list && !list.is_empty() {
                listed.push(value.into_owned());
                continue;
            }
            if !known.contains(&&*name) {
                return Err(Failure::Request(format!("unknown parameter `{name}`; expected {}", known.join(", "))));
            }
            if value.chars().count() > TEXT_CHARS_MAX {
                return Err(Failure::Request(format!("`{name}` has more than {TEXT_CHARS_MAX} characters")));
            }
            if parameters.insert(name.clone().into_owned(), value.into_owned()).is_some() {
                return Err(Failure::Request(format!("`{name}` is there twice")));
            }
        }
        Ok((Self(parameters), listed))
    }

    fn component(&mut self) -> Result<String, Failure> {
        self.text("component").ok_or_else(|| Failure::Request("`component` is missing".to_owned()))
    }

    pub(super) fn text(&mut self, name: &str) -> Option<String> {
        self.0.remove(name)
    }

    pub(super) fn number<N: std::str::FromStr>(&mut self, name: &str) -> Result<Option<N>, Failure> {
        let number = self.text(name).map(|text| text.parse().map_err(|_| text)).transpose();
        number.map_err(|text| Failure::Request(format!("`{name}` is {text:?}; expected a number")))
    }
}

async fn deploy(app: Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let known = ["component", "artifact", "source", "why", "strategy", "smoke", "smoke_status"];
    let (mut query, variables) = Query::with_list(&request, &known, VARIABLE)?;
    let component = query.component()?;
    let is_in_force = match query.text("artifact").as_deref() {
        None => false,
        Some(IN_FORCE) => true,
        Some(other) => return Err(Failure::Request(format!("`artifact` is {other:?}; expected `{IN_FORCE}`"))),
    };
    let pair = |text: &String| text.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned()));
    let variables: Option<Values> = variables.iter().map(pair).collect();
    // What was sent may be a lone secret.
    let variables = variables.ok_or_else(|| Failure::Request(format!("a `{VARIABLE}` is not `name=value`")))?;
    let strategy = query.text("strategy").map(|name| name.parse().map_err(Failure::Request)).transpose()?;
    let status = query.number("smoke_status")?.map(StatusCode::from_u16).transpose();
    let status = status.map_err(|_| Failure::Request("`smoke_status` is no status".to_owned()))?;
    let smoke = query.text("smoke").map(|path| Smoke { path, method: Method::GET, status, body_contains: None });
    let source = query.text("source").unwrap_or_default();
    let why = query.text("why").unwrap_or_default();
    let who = Who::sent(&request);
    let wasm = body(request).await?;
    let wasm = (!is_in_force).then(|| wasm.as_ref().into());
    let deployment = Deployment { component, wasm, source, variables, who, why, smoke, strategy };
    json(&app.deploy(deployment).await?)
}

async fn roll_back(app: Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let mut query = Query::of(&request, &["component", "to", "why"])?;
    let component = query.component()?;
    let to = query.number("to")?;
    let why = query.text("why").unwrap_or_default();
    json(&app.roll_back(Rollback { component, to, who: Who::sent(&request), why }).await?)
}

async fn promote(app: Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let mut query = Query::of(&request, &["component", "full", "why"])?;
    let steer = match query.text("full").as_deref() {
        Some("true") => Steer::PromoteFully,
        None | Some("false") => Steer::Promote,
        Some(other) => return Err(Failure::Request(format!("`full` is {other:?}; expected `true` or `false`"))),
    };
    steer_with(&app, query, steer, Who::sent(&request)).await
}

async fn steer(app: Arc<App>, request: Request<IncomingBody>, steer: Steer) -> Result<Response<Body>, Failure> {
    let query = Query::of(&request, &["component", "why"])?;
    steer_with(&app, query, steer, Who::sent(&request)).await
}

async fn steer_with(app: &Arc<App>, mut query: Query, steer: Steer, who: String) -> Result<Response<Body>, Failure> {
    let component = query.component()?;
    let why = query.text("why").unwrap_or_default();
    json(&app.steer(&component, steer, who, why).await?)
}

async fn history(app: Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let component = Query::of(&request, &["component"])?.component()?;
    json(&app.history(&component).await?)
}

async fn actions(app: Arc<App>, request: Request<IncomingBody>) -> Result<Response<Body>, Failure> {
    let limit = Query::of(&request, &["limit"])?.number("limit")?.unwrap_or(ACTIONS_DEFAULT);
    json(&app.actions(limit.min(ACTIONS_MAX)).await?)
}

async fn body(request: Request<IncomingBody>) -> Result<Bytes, Failure> {
    // Whoever sends it has shown the token, and the listener bounds it.
    Ok(request.into_body().collect().await.map_err(|_| Failure::Body)?.to_bytes())
}

fn json(value: &impl Serialize) -> Result<Response<Body>, Failure> {
    // Texts and numbers always serialize.
    let text = serde_json::to_string(value).unwrap_or_default();
    Ok(answer(StatusCode::OK, "application/json", text))
}
