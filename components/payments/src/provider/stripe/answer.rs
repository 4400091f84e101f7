//! What Stripe's answers mean.

use axum::body::Bytes;
use axum::http::StatusCode;
use commerce::Id;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{declines, refused_refund};
use crate::failure::Failure;
use crate::intent::{Event, NextAction};
use crate::operation::Kind;
use crate::provider::{Finding, Report};
use crate::refund;

/// Whether another request may be answered otherwise: a lock or a key in use (409), too many requests, a fault.
pub(super) fn is_passing(status: StatusCode) -> bool {
    status == StatusCode::CONFLICT || status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error()
}

/// An answer with any status.
pub(super) struct Answer {
    status: StatusCode,
    body: Bytes,
}

/// A payment intent, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct PaymentIntent {
    pub(super) id: String,
    status: String,
    #[serde(default)]
    amount_received: i64,
    client_secret: Option<String>,
    next_action: Option<StripeAction>,
    last_payment_error: Option<StripeError>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

#[derive(Debug, Deserialize)]
struct StripeAction {
    redirect_to_url: Option<Redirect>,
}

#[derive(Debug, Deserialize)]
struct Redirect {
    url: String,
}

/// A refund, as far as it is looked at.
#[derive(Debug, Deserialize)]
pub(super) struct Refund {
    id: String,
    status: Option<String>,
    pub(super) payment_intent: Option<String>,
    #[serde(default)]
    pub(super) metadata: Metadata,
}

/// What was sent along with a request; texts that are no ids are somebody else's.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Metadata {
    #[serde(deserialize_with = "id_or_none")]
    pub(super) order_id: Option<Id>,
    #[serde(deserialize_with = "id_or_none")]
    pub(super) refund_id: Option<Id>,
}

fn id_or_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Id>, D::Error> {
    Ok(String::deserialize(deserializer)?.parse().ok())
}

/// An error, of an answer or of the last try to pay.
#[derive(Debug, Deserialize)]
pub(super) struct StripeError {
    #[serde(rename = "type", default)]
    kind: String,
    code: Option<String>,
    decline_code: Option<String>,
    param: Option<String>,
    payment_intent: Option<Box<PaymentIntent>>,
}

#[derive(Deserialize)]
struct ErrorBody {
    error: StripeError,
}

#[derive(Deserialize)]
struct List<T> {
    data: Vec<T>,
}

impl Answer {
    pub(super) fn new(status: StatusCode, body: Bytes) -> Self {
        Self { status, body }
    }

    /// The answer to a payment intent that was made and confirmed.
    pub(super) fn of_authorization(self) -> Report {
        let error = match self.read::<PaymentIntent>() {
            Ok(intent) => return intent.report(),
            Err(Refused::Unclear(reason)) => return Report::unknown(reason),
            Err(Refused::Error(error)) => error,
        };
        let failure = error.failure();
        if let Some(intent) = error.payment_intent {
            return Report::charge(&intent.id, Event::Declined(failure));
        }
        let is_about_method = error.param.as_deref() == Some("payment_method");
        Report::nameless(Finding::Charge(match error.kind.as_str() {
            "card_error" => Event::Declined(failure),
            _ if is_about_method => Event::Declined(Failure::invalid_payment_method()),
            _ => {
                eprintln!("Stripe refused a payment intent: {} {}", self.status, error.summary());
                Event::Failed(Failure::provider())
            }
        }))
    }

    /// The answer to a capture or a cancellation.
    pub(super) fn of_ending(self, kind: Kind) -> Report {
        let error = match self.read::<PaymentIntent>() {
            Ok(intent) => return intent.report(),
            Err(Refused::Unclear(reason)) => return Report::unknown(reason),
            Err(Refused::Error(error)) => error,
        };
        // What was wanted may have happened before, or cannot happen any more.
        let reported = error.payment_intent.as_deref().map(PaymentIntent::report);
        if let Some(report) = reported
            && let Finding::Charge(event) = &report.finding
            && kind.is_answered_by(event)
        {
            return report;
        }
        let reason = format!("Stripe refused to {}: {} {}", kind.as_str(), self.status, error.summary());
        match (kind, self.status) {
            // These are about the account, and leave the money where it is.
            (_, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => Report::unknown(reason),
            (Kind::Capture, _) => {
                eprintln!("{reason}");
                Report::nameless(Finding::Charge(Event::Failed(Failure::capture())))
            }
            _ => Report::unknown(reason),
        }
    }

    /// The answer about a payment intent that is there.
    pub(super) fn of_look_up(self) -> Report {
        match self.read::<PaymentIntent>() {
            Ok(intent) => intent.report(),
            Err(refused) => Report::unknown(refused.reason(self.status)),
        }
    }

    /// The answer to or about a refund.
    pub(super) fn of_refund(self) -> Report {
        let error = match self.read::<Refund>() {
            Ok(refund) => return refund.report(),
            Err(Refused::Unclear(reason)) => return Report::unknown(reason),
            Err(Refused::Error(error)) => error,
        };
        let reason = format!("Stripe refused a refund: {} {}", self.status, error.summary());
        match self.status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Report::unknown(reason),
            _ => {
                eprintln!("{reason}");
                refused_refund()
            }
        }
    }

    /// The items of a list.
    pub(super) fn list<T: DeserializeOwned>(&self) -> Result<Vec<T>, String> {
        self.read::<List<T>>().map(|list| list.data).map_err(|refused| refused.reason(self.status))
    }

    fn read<T: DeserializeOwned>(&self) -> Result<T, Refused> {
        if self.status.is_success() {
            let unclear = |error| Refused::Unclear(format!("Stripe answered {} and then {error}", self.status));
            return serde_json::from_slice(&self.body).map_err(unclear);
        }
        match serde_json::from_slice::<ErrorBody>(&self.body) {
            // The key stands for a request that was worded otherwise, and whose outcome this does not tell.
            Ok(ErrorBody { error }) if error.kind == "idempotency_error" => {
                Err(Refused::Unclear("the request differs from the first one under its key".to_owned()))
            }
            Ok(ErrorBody { error }) if self.status.is_client_error() && !is_passing(self.status) => {
                Err(Refused::Error(Box::new(error)))
            }
            _ => Err(Refused::Unclear(format!("Stripe answered {}", self.status))),
        }
    }
}

/// Why an answer is not what was asked for.
enum Refused {
    /// Stripe says no, and will not say otherwise.
    Error(Box<StripeError>),
    /// Nobody knows what happened.
    Unclear(String),
}

impl Refused {
    fn reason(&self, status: StatusCode) -> String {
        match self {
            Self::Error(error) => format!("Stripe answered {status} {}", error.summary()),
            Self::Unclear(reason) => reason.clone(),
        }
    }
}

impl PaymentIntent {
    /// How the intent stands.
    pub(super) fn report(&self) -> Report {
        let event = match self.status.as_str() {
            "requires_action" => self.next_action().map(Event::ActionRequired),
            "requires_capture" => Some(Event::Authorized),
            "succeeded" => Some(Event::Captured(self.amount_received)),
            "canceled" => Some(Event::Voided),
            "requires_payment_method" => self.last_payment_error.as_ref().map(|error| Event::Declined(error.failure())),
            _ => None,
        };
        match event {
            Some(event) => Report::charge(&self.id, event),
            None => Report::processing(&self.id),
        }
    }

    fn next_action(&self) -> Option<NextAction> {
        let redirect = self.next_action.as_ref().and_then(|action| action.redirect_to_url.as_ref());
        match (redirect, &self.client_secret) {
            (Some(redirect), _) => Some(NextAction::Redirect { url: redirect.url.clone() }),
            (None, Some(secret)) => Some(NextAction::ClientSecret { client_secret: secret.clone() }),
            (None, None) => None,
        }
    }
}

impl Refund {
    /// How the refund stands.
    pub(super) fn report(&self) -> Report {
        match self.status.as_deref() {
            Some("succeeded") => Report::refund(&self.id, refund::State::Succeeded, None),
            Some("failed" | "canceled") => Report { reference: Some(self.id.clone()), ..refused_refund() },
            _ => Report::processing(&self.id),
        }
    }
}

impl StripeError {
    fn failure(&self) -> Failure {
        declines::failure(self.decline_code.as_deref().or(self.code.as_deref()).unwrap_or_default())
    }

    /// For the log: codes only, since messages may quote what was sent.
    fn summary(&self) -> String {
        let text = |part: &Option<String>| part.clone().unwrap_or_default();
        format!("{} {} {}", self.kind, text(&self.code), text(&self.param))
    }
}
