//! The test provider: no money moves, and the token says what happens.
//!
//! | token | what happens |
//! |---|---|
//! | `tok_approve` | approved |
//! | `tok_decline`, `tok_insufficient_funds` | declined |
//! | `tok_action`, `tok_action_fails` | the shopper has to confirm; then approved, or declined |
//! | `tok_timeout` | the first request is lost before the charge |
//! | `tok_fail_after_charge` | the first answer is lost after the charge |
//! | `tok_slow` | approved, but known only after [`SLOW_MS`] |
//! | `tok_capture_fails` | approved, and then the capture fails |
//! | `tok_refund_pending` | approved; a refund is known only after [`SLOW_MS`] |
//!
//! Any other token is a payment method that cannot be used.

use commerce::{Id, unix_ms};
use futures::future::BoxFuture;
use serde::Deserialize;
use service::Error;
use sql::Database;

use super::{Finding, Job, Notice, Provider, Report};
use crate::failure::Failure;
use crate::intent::{Event, Intent, NextAction};
use crate::operation::Kind;
use crate::refund;
use crate::store::test_ledger::{self, Entry};

/// How long what is slow takes.
const SLOW_MS: i64 = 5_000;
/// How long one attempt takes at the most: its books are local.
const ATTEMPT_MS_MAX: i64 = 5_000;

/// The provider with its books.
pub(crate) struct TestProvider {
    database: Database,
}

impl TestProvider {
    pub(crate) const NAME: &'static str = "test";

    /// Keeps its books in tables of its own in this database.
    pub(crate) fn new(database: Database) -> Self {
        Self { database }
    }

    async fn authorize(&self, job: &Job) -> Result<Report, Error> {
        let Job { operation, intent, now_ms, .. } = job;
        let token = intent.payment_method.as_str();
        let is_first = test_ledger::count_request(&self.database, operation.id).await? == 1;
        if is_first && token == "tok_timeout" {
            return Ok(Report::unknown("the request timed out"));
        }
        let (state, wait_ms) = match token {
            "tok_action" | "tok_action_fails" => ("requires_action", 0),
            "tok_slow" => ("authorized", SLOW_MS),
            "tok_approve" | "tok_timeout" | "tok_fail_after_charge" | "tok_capture_fails" | "tok_refund_pending" => {
                ("authorized", 0)
            }
            _ => ("declined", 0),
        };
        let booked = test_ledger::charge(&self.database, operation.id, intent, state, now_ms + wait_ms).await?;
        if is_first && token == "tok_fail_after_charge" {
            return Ok(Report::unknown("the connection broke off before the answer"));
        }
        Ok(report(booked, intent, *now_ms))
    }

    async fn capture(&self, charge: &str, job: &Job) -> Result<Report, Error> {
        if job.intent.payment_method == "tok_capture_fails" {
            return Ok(Report::charge(charge, Event::Failed(Failure::capture())));
        }
        test_ledger::move_charge(&self.database, charge, &["authorized"], "captured").await?;
        self.look_up(charge, job).await
    }

    async fn void(&self, charge: &str, job: &Job) -> Result<Report, Error> {
        test_ledger::move_charge(&self.database, charge, &["requires_action", "authorized"], "voided").await?;
        self.look_up(charge, job).await
    }

    async fn look_up(&self, charge: &str, job: &Job) -> Result<Report, Error> {
        Ok(report(test_ledger::find_charge(&self.database, charge).await?, &job.intent, job.now_ms))
    }

    async fn refund(&self, charge: &str, job: &Job) -> Result<Report, Error> {
        let Some(refund) = &job.refund else { return Ok(Report::unknown("the refund is missing")) };
        let wait_ms = if job.intent.payment_method == "tok_refund_pending" { SLOW_MS } else { 0 };
        let (key, ready_at_ms) = (job.operation.id, job.now_ms + wait_ms);
        let booked = test_ledger::refund(&self.database, key, charge, refund.amount.minor(), ready_at_ms).await?;
        Ok(match booked {
            None => Report::nameless(Finding::Refund(refund::State::Failed, Some(Failure::provider()))),
            Some(entry) if entry.ready_at_ms > job.now_ms => Report::processing(&entry.id),
            Some(entry) => Report::refund(&entry.id, refund::State::Succeeded, None),
        })
    }

    async fn answer_action(&self, intent: &Intent) -> Result<Report, Error> {
        let Some(charge) = intent.reference.as_deref() else { return Ok(Report::unknown("there is no charge")) };
        let approves = intent.payment_method != "tok_action_fails";
        let answer = if approves { "authorized" } else { "declined" };
        test_ledger::move_charge(&self.database, charge, &["requires_action"], answer).await?;
        Ok(report(test_ledger::find_charge(&self.database, charge).await?, intent, unix_ms()))
    }
}

impl Provider for TestProvider {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn attempt_ms_max(&self) -> i64 {
        ATTEMPT_MS_MAX
    }

    fn perform<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Report> {
        Box::pin(async move {
            let report = match (job.operation.kind, job.intent.reference.as_deref()) {
                (Kind::Authorize, _) => self.authorize(job).await,
                (Kind::Capture, Some(charge)) => self.capture(charge, job).await,
                (Kind::Void, Some(charge)) => self.void(charge, job).await,
                (Kind::Refund, Some(charge)) => self.refund(charge, job).await,
                // Without a charge there is nothing to release.
                (Kind::Void, None) => Ok(Report::nameless(Finding::Charge(Event::Voided))),
                (Kind::Capture | Kind::Refund, None) => Ok(Report::unknown("there is no charge")),
            };
            report.unwrap_or_else(Report::unknown)
        })
    }

    fn confirm<'a>(&'a self, intent: &'a Intent) -> BoxFuture<'a, Report> {
        Box::pin(async move { self.answer_action(intent).await.unwrap_or_else(Report::unknown) })
    }

    fn signature_header(&self) -> &'static str {
        "bodega-signature"
    }

    fn read_webhook(&self, body: &[u8]) -> Result<Notice, serde_json::Error> {
        let webhook: Webhook = serde_json::from_slice(body)?;
        let report = match &webhook.refund {
            Some(refund) => Some(Report::nameless(Finding::Refund(refund.state, None))),
            None => event(&webhook.state, &webhook.token, webhook.order_id, webhook.amount)
                .map(|event| Report { reference: webhook.charge.clone(), finding: Finding::Charge(event) }),
        };
        Ok(Notice {
            id: webhook.id,
            at_ms: webhook.created_s.saturating_mul(1000),
            order_id: Some(webhook.order_id),
            charge: webhook.charge,
            refund: webhook.refund.map(|refund| refund.id),
            report,
        })
    }
}

/// What the test provider posts: how a charge stands, or one of its refunds.
#[derive(Deserialize)]
struct Webhook {
    id: String,
    #[serde(rename = "created")]
    created_s: i64,
    order_id: Id,
    charge: Option<String>,
    state: String,
    amount: i64,
    #[serde(default)]
    token: String,
    refund: Option<WebhookRefund>,
}

#[derive(Deserialize)]
struct WebhookRefund {
    id: Id,
    state: refund::State,
}

/// A charge in the books as a report.
fn report(booked: Option<Entry>, intent: &Intent, now_ms: i64) -> Report {
    let Some(entry) = booked else { return Report::unknown("the charge is not in the books") };
    if entry.ready_at_ms > now_ms {
        return Report::processing(&entry.id);
    }
    match event(&entry.state, &entry.token, intent.order_id, entry.amount) {
        Some(event) => Report::charge(&entry.id, event),
        None => Report::unknown(format!("the charge is {}", entry.state)),
    }
}

fn event(state: &str, token: &str, order_id: Id, amount: i64) -> Option<Event> {
    Some(match state {
        "requires_action" => {
            let path = format!("/api/payments/intents/{order_id}/confirm");
            Event::ActionRequired(NextAction::Confirm { path })
        }
        "authorized" => Event::Authorized,
        "captured" => Event::Captured(amount),
        "voided" => Event::Voided,
        "declined" => Event::Declined(match token {
            "tok_decline" => Failure::declined(),
            "tok_insufficient_funds" => Failure::insufficient_funds(),
            "tok_action_fails" => Failure::authentication_failed(),
            _ => Failure::invalid_payment_method(),
        }),
        _ => return None,
    })
}
