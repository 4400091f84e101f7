//! Stripe over its HTTP API: `call` (requests and when to repeat them), `answer` (what an answer means), `declines`
//! (why a bank said no, for the shopper), `webhook`.
//!
//! Payment intents are confirmed as they are made and captured by hand. An operation's id is the idempotency key of
//! its request, so a repeat has no second effect; Stripe forgets keys after a day, and repeats a 500 under its key, so
//! what stays unknown is looked up instead.

mod answer;
mod call;
mod declines;
#[cfg(test)]
mod tests;
mod webhook;

use futures::future::BoxFuture;
use service::Transport;

use self::answer::{PaymentIntent, Refund};
use self::call::{ATTEMPT_MS_MAX, Api};
use super::{Finding, Job, Notice, Provider, Report};
use crate::failure::Failure;
use crate::intent::{Event, Intent};
use crate::operation::Kind;
use crate::refund;

/// How long a key is surely known to Stripe, which keeps them for at least a day.
const KEY_KNOWN_MS: i64 = 23 * 60 * 60 * 1000;
/// Attempts after which an answer is no longer hoped for, and what came of them is looked up.
const HOPEFUL_ATTEMPTS: u32 = 3;
/// Currencies whose minor unit is another one at Stripe than in ISO 4217.
const ODD_CURRENCIES: [&str; 3] = ["ISK", "MGA", "UGX"];

/// The provider with its account.
pub(crate) struct Stripe(Api);

impl Stripe {
    pub(crate) const NAME: &'static str = "stripe";

    /// The account of `secret_key` at `url`.
    pub(crate) fn new(url: &str, secret_key: &str, transport: Transport) -> Self {
        Self(Api::new(url, secret_key, transport))
    }

    async fn authorize(&self, job: &Job) -> Report {
        let Job { intent, operation, .. } = job;
        if ODD_CURRENCIES.contains(&intent.amount.currency().code()) {
            let failure = Failure::new("currency_not_supported", "The payment cannot be made in this currency.");
            return Report::nameless(Finding::Charge(Event::Failed(failure)));
        }
        if let Some(reference) = &intent.reference {
            return self.look_up(reference).await;
        }
        let key_is_old = job.now_ms - operation.created_at_ms > KEY_KNOWN_MS;
        if key_is_old || operation.attempts > HOPEFUL_ATTEMPTS {
            let query = format!("metadata[\"operation_id\"]:\"{}\"", operation.id);
            let answer = self.0.get("/v1/payment_intents/search", &[("query", &query)]).await;
            match answer.and_then(|answer| answer.list::<PaymentIntent>()) {
                Err(reason) => return Report::unknown(reason),
                Ok(found) => match found.into_iter().next() {
                    Some(found) => return found.report(),
                    // Asking again would be a new charge, of a shopper who has long gone.
                    None if key_is_old => return Report::nameless(Finding::Charge(Event::Failed(Failure::provider()))),
                    None => {}
                },
            }
        }
        match self.0.post("/v1/payment_intents", &operation.id.to_string(), &create_form(job)).await {
            Ok(answer) => answer.of_authorization(),
            Err(reason) => Report::unknown(reason),
        }
    }

    /// Captures or cancels, which Stripe does once whatever the key is, so that a later attempt may take a new one and
    /// learn more than what was answered to the first.
    async fn end(&self, reference: &str, how: &str, job: &Job) -> Report {
        let Job { operation, .. } = job;
        let key = match operation.attempts {
            ..=HOPEFUL_ATTEMPTS => operation.id.to_string(),
            later => format!("{}-{later}", operation.id),
        };
        match self.0.post(&format!("/v1/payment_intents/{reference}/{how}"), &key, &[]).await {
            Ok(answer) => answer.of_ending(operation.kind),
            Err(reason) => Report::unknown(reason),
        }
    }

    async fn refund(&self, reference: &str, job: &Job) -> Report {
        let Some(refund) = &job.refund else { return Report::unknown("the refund is missing") };
        if let Some(name) = &refund.reference {
            return match self.0.get(&format!("/v1/refunds/{name}"), &[]).await {
                Ok(answer) => answer.of_refund(),
                Err(reason) => Report::unknown(reason),
            };
        }
        let key_is_old = job.now_ms - job.operation.created_at_ms > KEY_KNOWN_MS;
        if key_is_old || job.operation.attempts > HOPEFUL_ATTEMPTS {
            let answer = self.0.get("/v1/refunds", &[("payment_intent", reference), ("limit", "100")]).await;
            match answer.and_then(|answer| answer.list::<Refund>()) {
                Err(reason) => return Report::unknown(reason),
                Ok(found) => {
                    if let Some(found) = found.into_iter().find(|found| found.metadata.refund_id == Some(refund.id)) {
                        return found.report();
                    }
                }
            }
        }
        let form = [
            ("payment_intent", reference.to_owned()),
            ("amount", refund.amount.minor().to_string()),
            ("metadata[order_id]", job.intent.order_id.to_string()),
            ("metadata[refund_id]", refund.id.to_string()),
        ];
        match self.0.post("/v1/refunds", &job.operation.id.to_string(), &form).await {
            Ok(answer) => answer.of_refund(),
            Err(reason) => Report::unknown(reason),
        }
    }

    async fn look_up(&self, reference: &str) -> Report {
        match self.0.get(&format!("/v1/payment_intents/{reference}"), &[]).await {
            Ok(answer) => answer.of_look_up(),
            Err(reason) => Report::unknown(reason),
        }
    }
}

/// The form of a payment intent that is confirmed as it is made.
fn create_form(job: &Job) -> Vec<(&'static str, String)> {
    let Intent { order_id, amount, payment_method, customer, return_url, .. } = &job.intent;
    let mut form = vec![
        ("amount", amount.minor().to_string()),
        ("currency", amount.currency().code().to_ascii_lowercase()),
        ("payment_method", payment_method.clone()),
        ("capture_method", "manual".to_owned()),
        ("confirm", "true".to_owned()),
        ("automatic_payment_methods[enabled]", "true".to_owned()),
        ("metadata[order_id]", order_id.to_string()),
        ("metadata[operation_id]", job.operation.id.to_string()),
    ];
    match return_url {
        Some(url) => form.push(("return_url", url.clone())),
        // Methods that lead the shopper elsewhere need a way back.
        None => form.push(("automatic_payment_methods[allow_redirects]", "never".to_owned())),
    }
    match customer {
        Some(customer) if customer.starts_with("cus_") => form.push(("customer", customer.clone())),
        Some(customer) => form.push(("metadata[customer]", customer.clone())),
        None => {}
    }
    form
}

impl Provider for Stripe {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attempt_ms_max(&self) -> i64 {
        ATTEMPT_MS_MAX
    }

    fn perform<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            match (job.operation.kind, job.intent.reference.as_deref()) {
                (Kind::Authorize, _) => self.authorize(job).await,
                (Kind::Capture, Some(reference)) => self.end(reference, "capture", job).await,
                (Kind::Void, Some(reference)) => self.end(reference, "cancel", job).await,
                (Kind::Refund, Some(reference)) => self.refund(reference, job).await,
                // Without a charge there is nothing to release.
                (Kind::Void, None) => Report::nameless(Finding::Charge(Event::Voided)),
                (Kind::Capture | Kind::Refund, None) => Report::unknown("there is no payment intent"),
            }
        })
    }

    fn confirm<'a>(&'a self, intent: &'a Intent) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            match &intent.reference {
                Some(reference) => self.look_up(reference).await,
                None => Report::unknown("there is no payment intent"),
            }
        })
    }

    fn signature_header(&self) -> &'static str {
        "stripe-signature"
    }

    fn read_webhook(&self, body: &[u8]) -> Result<Notice, serde_json::Error> {
        webhook::read(body)
    }
}

/// A refund that Stripe refused.
fn refused_refund() -> Report {
    let failure = Failure::new("refund_failed", "The refund could not be made.");
    Report::nameless(Finding::Refund(refund::State::Failed, Some(failure)))
}
