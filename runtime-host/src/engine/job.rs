//! A request on its way through the engine: as it waits, as an instance works on it, as it is answered.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use futures::channel::oneshot;
use http::Response;
use wasmtime_wasi_http::handler::Request;

use super::activity::Activity;
use super::body::{Gathered, Held};
use crate::telemetry::request_context::RequestContext;

/// A request that waits for an instance.
pub(super) struct Pending {
    pub(super) request: Request,
    pub(super) job: Arc<Job>,
    pub(super) answer: oneshot::Sender<wasmtime::Result<Answer>>,
    /// When it is too late for a response to begin, counted from when it came.
    pub(super) expires: Instant,
    /// How often it may still be given to another instance when one cannot start.
    pub(super) retries: u32,
}

impl Pending {
    /// Whether anybody would still have an answer.
    pub(super) fn is_wanted(&self) -> bool {
        !self.answer.is_canceled() && Instant::now() < self.expires
    }
}

/// What an instance and the pool both know of a request.
pub(super) struct Job {
    pub(super) context: Arc<RequestContext>,
    /// When the instance that took it last made progress; empty until one took it.
    pub(super) activity: OnceLock<Arc<Activity>>,
    /// Why it gets no further answer, once that is so.
    pub(super) lost: OnceLock<Lost>,
}

/// Why a request gets no further answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Lost {
    /// The instance that took it was lost, for this reason.
    WithInstance(String),
    /// The revision is not in force any more, and its time to finish was up.
    Cut,
}

impl Job {
    /// A job that no instance has taken yet.
    pub(super) fn new(context: Arc<RequestContext>) -> Arc<Self> {
        Arc::new(Self { context, activity: OnceLock::new(), lost: OnceLock::new() })
    }
}

/// What the guest answered.
pub(super) struct Answer {
    pub(super) response: Response<Gathered>,
    pub(super) held: Held,
}
