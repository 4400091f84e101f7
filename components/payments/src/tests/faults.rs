//! The test provider with accidents: the instance dies before or after the call, or the answer is lost.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use futures::future::{BoxFuture, pending};

use crate::intent::Intent;
use crate::provider::test::TestProvider;
use crate::provider::{Job, Notice, Provider, Report};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The instance dies when the operation is written down, before the provider is called.
    DeathBefore,
    /// The instance dies when the provider has acted, before that is written down.
    DeathAfter,
    /// The request never reaches the provider.
    LostRequest,
    /// The provider's answer never comes back.
    LostAnswer,
}

/// The accidents to come, one per call; none when they are used up.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<VecDeque<Fault>>>);

impl Faults {
    pub(super) fn next_is(&self, fault: Fault) {
        *self.0.lock().unwrap() = [fault].into();
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    fn take(&self) -> Fault {
        self.0.lock().unwrap().pop_front().unwrap_or(Fault::None)
    }
}

/// The test provider, reached over a bad line from a machine that dies.
pub(super) struct Faulty {
    pub(super) provider: TestProvider,
    pub(super) faults: Faults,
}

impl Provider for Faulty {
    fn name(&self) -> &'static str {
        self.provider.name()
    }

    fn attempt_ms_max(&self) -> i64 {
        self.provider.attempt_ms_max()
    }

    fn perform<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let fault = self.faults.take();
            match fault {
                Fault::DeathBefore => pending().await,
                Fault::LostRequest => Report::unknown("the request is lost"),
                Fault::None | Fault::DeathAfter | Fault::LostAnswer => {
                    let report = self.provider.perform(job).await;
                    match fault {
                        Fault::DeathAfter => pending().await,
                        Fault::LostAnswer => Report::unknown("the answer is lost"),
                        _ => report,
                    }
                }
            }
        })
    }

    fn confirm<'a>(&'a self, intent: &'a Intent) -> BoxFuture<'a, Report> {
        self.provider.confirm(intent)
    }

    fn signature_header(&self) -> &'static str {
        self.provider.signature_header()
    }

    fn read_webhook(&self, body: &[u8]) -> Result<Notice, serde_json::Error> {
        self.provider.read_webhook(body)
    }
}
