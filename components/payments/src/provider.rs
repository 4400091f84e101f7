//! What payments asks of a provider, whoever it is.

pub(crate) mod stripe;
pub(crate) mod test;

use commerce::Id;
use futures::future::BoxFuture;

use crate::failure::Failure;
use crate::intent::{Event, Intent};
use crate::operation::Operation;
use crate::refund::{self, Refund};

/// A payment provider.
pub(crate) trait Provider: Send + Sync {
    /// Its name in routes and in the store.
    fn name(&self) -> &'static str;

    /// How long one attempt takes at the most, all waits together, in milliseconds.
    fn attempt_ms_max(&self) -> i64;

    /// Has the effect that the job wants, or tells what came of it before. The same operation never has a second
    /// effect, however often and by however many it is asked for.
    fn perform<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Report>;

    /// How the charge stands now that the shopper is back from the action that was required.
    fn confirm<'a>(&'a self, intent: &'a Intent) -> BoxFuture<'a, Report>;

    /// The header that signs its webhooks.
    fn signature_header(&self) -> &'static str;

    /// What the body of a webhook says, once its signature was checked.
    fn read_webhook(&self, body: &[u8]) -> Result<Notice, serde_json::Error>;
}

/// An operation with all that a provider needs to know for it.
pub(crate) struct Job {
    pub(crate) operation: Operation,
    pub(crate) intent: Intent,
    /// The refund, if the operation is one.
    pub(crate) refund: Option<Refund>,
    pub(crate) now_ms: i64,
}

/// What a provider answered.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    /// Its name of the charge or the refund, if it told one.
    pub(crate) reference: Option<String>,
    pub(crate) finding: Finding,
}

/// What is known after asking a provider.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Finding {
    /// How the charge stands.
    Charge(Event),
    /// How the refund stands.
    Refund(refund::State, Option<Failure>),
    /// The provider works on it and will know later.
    Processing,
    /// Nobody knows whether it happened; the reason is for the log.
    Unknown(String),
}

/// What a webhook says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Notice {
    /// The provider's id of the webhook.
    pub(crate) id: String,
    /// When it happened.
    pub(crate) at_ms: i64,
    /// The order that the charge was made for, as the provider was told.
    pub(crate) order_id: Option<Id>,
    /// The provider's name of the charge.
    pub(crate) charge: Option<String>,
    /// The refund that it is about, as the provider was told.
    pub(crate) refund: Option<Id>,
    /// What it reports, unless it is about something that payments does not follow.
    pub(crate) report: Option<Report>,
}

impl Report {
    pub(crate) fn charge(reference: &str, event: Event) -> Self {
        Self { reference: Some(reference.to_owned()), finding: Finding::Charge(event) }
    }

    pub(crate) fn refund(reference: &str, state: refund::State, failure: Option<Failure>) -> Self {
        Self { reference: Some(reference.to_owned()), finding: Finding::Refund(state, failure) }
    }

    pub(crate) fn processing(reference: &str) -> Self {
        Self { reference: Some(reference.to_owned()), finding: Finding::Processing }
    }

    /// A finding about something that the provider gave no name.
    pub(crate) fn nameless(finding: Finding) -> Self {
        Self { reference: None, finding }
    }

    pub(crate) fn unknown(reason: impl ToString) -> Self {
        Self::nameless(Finding::Unknown(reason.to_string()))
    }
}

/// The providers that are set up.
pub(crate) struct Providers {
    current: &'static str,
    all: Vec<Box<dyn Provider>>,
}

impl Providers {
    /// New intents go to `current`; `others` finish what was made with them.
    pub(crate) fn new(current: Box<dyn Provider>, others: Vec<Box<dyn Provider>>) -> Self {
        let name = current.name();
        let mut all = others;
        all.push(current);
        Self { current: name, all }
    }

    /// The name of the provider for new intents.
    pub(crate) fn current(&self) -> &'static str {
        self.current
    }

    /// How long whoever works on an operation has it for themselves, in milliseconds. It outlasts every attempt, so that
    /// two at once are rare; they would do no harm, since both show the same key.
    pub(crate) fn claim_ms(&self) -> i64 {
        self.all.iter().map(|provider| provider.attempt_ms_max()).max().unwrap_or_default()
    }

    /// The provider of this name, if it is set up.
    pub(crate) fn get(&self, name: &str) -> Option<&dyn Provider> {
        self.all.iter().find(|provider| provider.name() == name).map(AsRef::as_ref)
    }
}
