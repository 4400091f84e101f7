//! What the gateway decides while a request is with whoever answers it: who that is, how long, how often, how many at once.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::request::Parts;
use http::{HeaderMap, Method, Response, StatusCode, Uri};

use super::policies::Timeouts;
use super::resilience::{Guard, Place, RetrySettings, backoff};
use super::upstream::{self, Chosen, Upstream};
use super::{Passage, Refusal, Target};

/// Places among the requests that are under way, which are given back when this is dropped.
#[derive(Debug, Default)]
pub struct Places {
    own: Option<Place>,
    shared: Option<Place>,
}

impl Places {
    /// The answer has come; it may still be on its way out. If nobody worked on it, it says nothing of how long answers take.
    pub fn answered(&mut self, is_measured: bool) {
        let now = Instant::now();
        for place in [&mut self.own, &mut self.shared].into_iter().flatten() {
            place.answered(is_measured, now);
        }
    }
}

/// How often a request may be sent once more.
#[derive(Debug)]
pub struct Retries {
    settings: RetrySettings,
    done: u32,
}

impl Retries {
    /// Whether there may be another.
    pub fn is_left(&self) -> bool {
        self.done < self.settings.retries
    }

    /// Whether this answer is a reason for it.
    pub fn is_for(&self, status: StatusCode) -> bool {
        self.settings.statuses.contains(&status)
    }

    /// One is made; how long it waits.
    pub fn begin(&mut self) -> Duration {
        self.done += 1;
        backoff(self.done - 1)
    }
}

impl Passage {
    /// Whether nothing but the route decides who answers, and how.
    pub fn is_plain(&self) -> bool {
        self.configuration.is_plain(self.rule)
    }

    /// Takes places for the request among those that are under way.
    pub fn begin(&self) -> Result<Places, Refusal> {
        let (policies, now) = (self.policies(), Instant::now());
        let own = policies.concurrency.as_ref().map(|own| own.enter(1.0, now).ok_or(Refusal::Busy)).transpose()?;
        let part = policies.priority.part();
        let shared = self.configuration.shedding.as_ref().map(|all| all.enter(part, now).ok_or(Refusal::Shed));
        Ok(Places { own, shared: shared.transpose()? })
    }

    /// Who answers, if that is not what the route says.
    pub fn target(&self) -> Option<&Target> {
        self.policies().targets.as_ref()?.choose(self.client_key())
    }

    /// What is the same for all requests of who asks.
    fn client_key(&self) -> u64 {
        match &self.principal {
            Some(user) => upstream::stable_hash(user.subject().as_bytes()),
            None => upstream::stable_hash(self.client.address.ip().to_canonical().to_string().as_bytes()),
        }
    }

    /// The URI that is asked for instead, if there is to be one; `Some(None)` is one that cannot be rewritten.
    pub fn rewritten(&self, uri: &Uri) -> Option<Option<Uri>> {
        self.policies().rewrite.as_ref().map(|rewrite| rewrite.apply(uri))
    }

    /// How long the answer may take.
    pub fn timeouts(&self) -> Timeouts {
        self.policies().timeouts
    }

    /// How often such a request may be sent once more; `None` is not at all.
    pub fn retries(&self, method: &Method, headers: &HeaderMap) -> Option<Retries> {
        let settings = self.policies().retry.as_ref().filter(|retry| retry.may_repeat(method, headers))?;
        Some(Retries { settings: settings.clone(), done: 0 })
    }

    /// What watches over this component.
    pub fn component_guard(&self, id: &str) -> Option<&Arc<Guard>> {
        self.configuration.guards.components.get(id)
    }

    /// What watches over this upstream.
    pub fn upstream_guard(&self, upstream: &Upstream) -> Option<&Arc<Guard>> {
        self.configuration.guards.upstreams.get(upstream.name())
    }

    /// A server of the upstream for this request that none of `tried` is.
    pub fn choose(&self, upstream: &Upstream, request: &Parts, tried: &[u64]) -> Option<Chosen> {
        upstream.choose(upstream.key(request, self), &request.headers, tried, Instant::now())
    }

    /// What is answered in place of this failure, if that is asked for.
    pub fn fallback(&self, method: &Method, status: StatusCode) -> Option<Response<bytes::Bytes>> {
        let fallback = self.policies().fallback.as_ref().filter(|_| status.is_server_error() && method.is_safe())?;
        let mut answer = Response::new(fallback.body.clone());
        *answer.status_mut() = fallback.status;
        *answer.headers_mut() = fallback.headers.clone();
        Some(answer)
    }
}
