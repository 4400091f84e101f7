//! What watches over one component or upstream: its breaker, and how often it may be asked again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;

use super::{Breaker, BreakerSettings, Change, LetThrough, RetryBudget};

/// The guards of all components and upstreams, by their names.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Guards {
    pub(in crate::gateway) components: BTreeMap<String, Arc<Guard>>,
    pub(in crate::gateway) upstreams: BTreeMap<String, Arc<Guard>>,
    /// Whether any component has a breaker.
    pub(in crate::gateway) have_breakers: bool,
}

/// The guard of one of them.
#[derive(Debug)]
pub struct Guard {
    pub(in crate::gateway) breaker: Option<Arc<Breaker>>,
    budget: Arc<RetryBudget>,
}

/// A request at a component or upstream.
#[derive(Debug)]
pub struct Attempt(Option<LetThrough>);

impl Guard {
    /// With the state of the former one, as far as it is still the same.
    pub(in crate::gateway) fn new(breaker: Option<BreakerSettings>, former: Option<&Arc<Self>>) -> Arc<Self> {
        let kept = former.and_then(|former| former.breaker.as_ref());
        let breaker = breaker.map(|settings| match kept {
            Some(kept) if *kept.settings() == settings => kept.clone(),
            _ => Arc::new(Breaker::new(settings)),
        });
        let budget = former.map(|former| former.budget.clone()).unwrap_or_default();
        Arc::new(Self { breaker, budget })
    }

    /// A request is about to be made, for the first time or once more. It may be known to be in vain, and for how long that is so.
    pub fn attempt(&self, is_first: bool) -> Result<Attempt, Duration> {
        let let_through = self.breaker.as_ref().map(|breaker| breaker.enter(Instant::now())).transpose()?;
        if is_first {
            self.budget.request();
        }
        Ok(Attempt(let_through))
    }

    /// Whether one more retry may be made, which then counts.
    pub fn spend_retry(&self) -> bool {
        self.budget.spend(Instant::now())
    }
}

impl Attempt {
    /// It has been answered. Tells what that changes for those who come next.
    pub fn answered(self, status: StatusCode) -> Option<Change> {
        let failed = status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED;
        self.0?.end(failed, Instant::now())
    }
}
