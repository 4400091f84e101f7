//! How the body of a response ended, so that one that was cut is counted by the reason.

use std::sync::Arc;

use crate::telemetry::metrics::{ABANDONED, ComponentMetrics, DRAINED};

/// Why a body was cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cut {
    /// The guest stood still in the middle of it.
    Stalled,
    /// The guest's instance was lost.
    Trapped,
    /// Its revision had to end.
    Drained,
    /// The guest gave up, or sent another length than it had announced.
    Failed,
    /// Whoever read it went away, or took too long.
    Abandoned,
}

impl Cut {
    /// As a metric label.
    fn reason(self) -> &'static str {
        match self {
            Self::Stalled => "stalled",
            Self::Trapped => "trapped",
            Self::Drained => DRAINED,
            Self::Failed => "failed",
            Self::Abandoned => ABANDONED,
        }
    }
}

/// The end that a body has yet to come to. Dropped before, it counts as abandoned.
pub(super) struct BodyEnd(Option<Arc<ComponentMetrics>>);

impl BodyEnd {
    /// Of a body of the component that these counters belong to.
    pub(super) fn new(metrics: Arc<ComponentMetrics>) -> Self {
        Self(Some(metrics))
    }

    /// Of a body that nobody reads, as that of an answer to HEAD: there is nothing to cut.
    pub(super) fn of_no_interest() -> Self {
        Self(None)
    }

    /// Everything was sent.
    pub(super) fn reached(&mut self) {
        self.0 = None;
    }

    /// It will not be reached. Only the first reason counts.
    pub(super) fn cut(&mut self, cut: Cut) {
        if let Some(metrics) = self.0.take() {
            metrics.response_body_cut(cut.reason());
        }
    }
}

impl Drop for BodyEnd {
    fn drop(&mut self) {
        self.cut(Cut::Abandoned);
    }
}
