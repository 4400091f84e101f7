//! What is sent to Stripe, and what its answers and webhooks come to.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};

use axum::body::Bytes;
use axum::http::{Request, Response};
use commerce::{Currency, Id, Money};
use futures::executor::block_on;
use serde_json::{Value, json};
use service::Transport;

use super::Stripe;
use crate::failure::Failure;
use crate::intent::{Event, Intent, NextAction, State};
use crate::operation::{Kind, Operation};
use crate::provider::{Finding, Job, Provider, Report};
use crate::refund::{self, Refund};

/// What the network does with one request.
enum Turn {
    Answers(u16, Value),
    Fails,
}

/// A line to Stripe that answers as it is told to, and keeps what was sent.
#[derive(Clone, Default)]
struct Line {
    turns: Arc<Mutex<VecDeque<Turn>>>,
    sent: Arc<Mutex<Vec<Request<Bytes>>>>,
}

impl Line {
    fn new(turns: impl IntoIterator<Item = Turn>) -> Self {
        Self { turns: Arc::new(Mutex::new(turns.into_iter().collect())), sent: Arc::default() }
    }

    fn transport(&self) -> Transport {
        let line = self.clone();
        Arc::new(move |request| {
            line.sent.lock().unwrap().push(request);
            let answer = match line.turns.lock().unwrap().pop_front().expect("no more requests are expected") {
                Turn::Answers(status, body) => {
                    Ok(Response::builder().status(status).body(body.to_string().into()).unwrap())
                }
                Turn::Fails => Err("connection refused".to_owned()),
            };
            Box::pin(async move { answer })
        })
    }

    fn perform(&self, job: &Job) -> Report {
        let stripe = Stripe::new("https://api.stripe.test/", "sk_test_1", self.transport());
        block_on(stripe.perform(job))
    }

    /// Method and target of each request.
    fn targets(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        sent.iter().map(|request| format!("{} {}", request.method(), request.uri().path_and_query().unwrap())).collect()
    }

    fn header(&self, index: usize, name: &str) -> Option<String> {
        let sent = self.sent.lock().unwrap();
        sent[index].headers().get(name).map(|value| value.to_str().unwrap().to_owned())
    }

    fn form(&self, index: usize) -> BTreeMap<String, String> {
        form_urlencoded::parse(self.sent.lock().unwrap()[index].body()).into_owned().collect()
    }
}

fn job(kind: Kind) -> Job {
    let intent = Intent {
        id: Id::new(),
        order_id: Id::new(),
        provider: Stripe::NAME.to_owned(),
        reference: (kind != Kind::Authorize).then(|| "pi_1".to_owned()),
        state: State::Created,
        amount: Money::from_minor(1999, Currency::EUR).unwrap(),
        captured: 0,
        refunded: 0,
        refund_pending: 0,
        payment_method: "pm_card_visa".to_owned(),
        customer: None,
        order_token_digest: None,
        open_since_ms: None,
        return_url: None,
        next_action: None,
        failure: None,
        busy: false,
        created_at_ms: 0,
        updated_at_ms: 0,
    };
    let refund = (kind == Kind::Refund).then(|| Refund {
        id: Id::new(),
        state: refund::State::Pending,
        amount: Money::from_minor(500, Currency::EUR).unwrap(),
        reason: "returned".to_owned(),
        reference: None,
        failure: None,
        created_at_ms: 0,
    });
    let operation = Operation::new(intent.id, kind, refund.as_ref().map(|refund| refund.id), 0);
    Job { operation, intent, refund, now_ms: 1_000 }
}

fn intent(status: &str) -> Value {
    json!({"id": "pi_1", "object": "payment_intent", "status": status, "amount": 1999, "amount_received": 0})
}

fn error(status: u16, kind: &str, code: &str, more: Value) -> Turn {
    let mut error = json!({"type": kind, "code": code, "message": "quotes 4242424242424242"});
    error.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    Turn::Answers(status, json!({"error": error}))
}

#[test]
fn an_authorization_says_all_that_stripe_needs() {
    let line = Line::new([Turn::Answers(200, intent("requires_capture"))]);
    let mut job = job(Kind::Authorize);
    job.intent.return_url = Some("https://shop.example/back?a=1&b=2".to_owned());
    assert_eq!(line.perform(&job), Report::charge("pi_1", Event::Authorized));
    assert_eq!(line.targets(), ["POST /v1/payment_intents"]);
    let expected = [
        ("amount", "1999"),
        ("automatic_payment_methods[enabled]", "true"),
        ("capture_method", "manual"),
        ("confirm", "true"),
        ("currency", "eur"),
        ("metadata[operation_id]", &job.operation.id.to_string()),
        ("metadata[order_id]", &job.intent.order_id.to_string()),
        ("payment_method", "pm_card_visa"),
        ("return_url", "https://shop.example/back?a=1&b=2"),
    ];
    let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(line.form(0), BTreeMap::from(expected));
    assert_eq!(line.header(0, "authorization").unwrap(), "Bearer sk_test_1");
    assert_eq!(line.header(0, "idempotency-key"), Some(job.operation.id.to_string()));
    assert_eq!(line.header(0, "stripe-version").unwrap(), "2024-06-20");
    assert_eq!(line.header(0, "content-type").unwrap(), "application/x-www-form-urlencoded");
}

#[test]
fn a_customer_of_stripe_is_named_and_another_only_noted() {
    for (customer, field) in [("cus_1", "customer"), ("0189", "metadata[customer]")] {
        let line = Line::new([Turn::Answers(200, intent("requires_capture"))]);
        let mut job = job(Kind::Authorize);
        job.intent.customer = Some(customer.to_owned());
        line.perform(&job);
        assert_eq!(line.form(0).get(field).map(String::as_str), Some(customer));
        assert_eq!(line.form(0)["automatic_payment_methods[allow_redirects]"], "never");
    }
}

#[test]
fn an_action_is_handed_to_the_shopper() {
    let mut redirect = intent("requires_action");
    redirect["next_action"] = json!({"type": "redirect_to_url", "redirect_to_url": {"url": "https://bank.example"}});
    let action = NextAction::Redirect { url: "https://bank.example".to_owned() };
    let told = Line::new([Turn::Answers(200, redirect)]).perform(&job(Kind::Authorize));
    assert_eq!(told, Report::charge("pi_1", Event::ActionRequired(action)));
    let mut script = intent("requires_action");
    script["client_secret"] = json!("pi_1_secret_2");
    script["next_action"] = json!({"type": "use_stripe_sdk", "use_stripe_sdk": {}});
    let action = NextAction::ClientSecret { client_secret: "pi_1_secret_2".to_owned() };
    let told = Line::new([Turn::Answers(200, script)]).perform(&job(Kind::Authorize));
    assert_eq!(told, Report::charge("pi_1", Event::ActionRequired(action)));
}

#[test]
fn a_decline_is_told_by_what_the_shopper_can_do() {
    let declined = error(
        402,
        "card_error",
        "card_declined",
        json!({"decline_code": "insufficient_funds", "payment_intent": intent("requires_payment_method")}),
    );
    let line = Line::new([declined]);
    assert_eq!(
        line.perform(&job(Kind::Authorize)),
        Report::charge("pi_1", Event::Declined(Failure::insufficient_funds()))
    );
    assert_eq!(line.targets().len(), 1, "a refusal is not asked for again");
    let unusable = error(400, "invalid_request_error", "resource_missing", json!({"param": "payment_method"}));
    assert_eq!(
        Line::new([unusable]).perform(&job(Kind::Authorize)).finding,
        Finding::Charge(Event::Declined(Failure::invalid_payment_method()))
    );
    let wrong_key = error(401, "invalid_request_error", "", json!({}));
    assert_eq!(
        Line::new([wrong_key]).perform(&job(Kind::Authorize)).finding,
        Finding::Charge(Event::Failed(Failure::provider()))
    );
}

#[test]
fn what_may_pass_is_sent_again_under_the_same_key() {
    let lock = error(409, "invalid_request_error", "lock_timeout", json!({}));
    let line = Line::new([Turn::Fails, lock, Turn::Answers(200, intent("requires_capture"))]);
    let job = job(Kind::Authorize);
    assert_eq!(line.perform(&job), Report::charge("pi_1", Event::Authorized));
    for index in 0..3 {
        assert_eq!(line.header(index, "idempotency-key"), Some(job.operation.id.to_string()));
        assert_eq!(line.form(index), line.form(0));
    }
}

#[test]
fn repeats_end_and_leave_the_outcome_unknown() {
    for turn in [
        || Turn::Fails,
        || Turn::Answers(500, json!({"error": {"type": "api_error"}})),
        || Turn::Answers(429, json!({"error": {"type": "invalid_request_error"}})),
        || Turn::Answers(502, json!("bad gateway")),
    ] {
        for kind in [Kind::Authorize, Kind::Capture, Kind::Void, Kind::Refund] {
            let line = Line::new([turn(), turn(), turn()]);
            let report = line.perform(&job(kind));
            assert!(matches!(report.finding, Finding::Unknown(_)), "{kind:?}: {report:?}");
            assert_eq!(line.targets().len(), 3);
        }
    }
}

/// Another version of the component may word a request otherwise than the one that died.
#[test]
fn a_key_that_stands_for_another_wording_tells_nothing() {
    for kind in [Kind::Authorize, Kind::Refund] {
        let told = Line::new([error(400, "idempotency_error", "", json!({}))]).perform(&job(kind));
        assert!(matches!(told.finding, Finding::Unknown(_)), "{told:?}");
    }
}

#[test]
fn what_stays_unknown_is_looked_up() {
    let found = || Turn::Answers(200, json!({"object": "search_result", "data": [intent("requires_capture")]}));
    let nothing = || Turn::Answers(200, json!({"object": "search_result", "data": []}));
    let mut late = job(Kind::Authorize);
    late.operation.attempts = 4;
    let line = Line::new([found()]);
    assert_eq!(line.perform(&late), Report::charge("pi_1", Event::Authorized));
    let query = format!("metadata%5B%22operation_id%22%5D%3A%22{}%22", late.operation.id);
    assert_eq!(line.targets(), [format!("GET /v1/payment_intents/search?query={query}")]);

    // The key is still known, so the request itself is safe.
    let line = Line::new([nothing(), Turn::Answers(200, intent("requires_capture"))]);
    assert_eq!(line.perform(&late), Report::charge("pi_1", Event::Authorized));
    // The key is forgotten: another request would be another charge.
    late.now_ms = super::KEY_KNOWN_MS + 1;
    late.operation.attempts = 1;
    let line = Line::new([nothing()]);
    assert_eq!(line.perform(&late).finding, Finding::Charge(Event::Failed(Failure::provider())));
    assert_eq!(line.targets().len(), 1);

    let mut known = job(Kind::Authorize);
    known.intent.reference = Some("pi_1".to_owned());
    let line = Line::new([Turn::Answers(200, intent("processing"))]);
    assert_eq!(line.perform(&known), Report::processing("pi_1"));
    assert_eq!(line.targets(), ["GET /v1/payment_intents/pi_1"]);
}

#[test]
fn captures_and_cancellations_may_have_happened_before() {
    let mut taken = intent("succeeded");
    taken["amount_received"] = json!(1999);
    for (kind, path, now) in [(Kind::Capture, "capture", taken.clone()), (Kind::Void, "cancel", intent("canceled"))] {
        let event = if kind == Kind::Capture { Event::Captured(1999) } else { Event::Voided };
        let line = Line::new([Turn::Answers(200, now.clone())]);
        assert_eq!(line.perform(&job(kind)), Report::charge("pi_1", event.clone()));
        assert_eq!(line.targets(), [format!("POST /v1/payment_intents/pi_1/{path}")]);
        let state = "payment_intent_unexpected_state";
        let again = error(400, "invalid_request_error", state, json!({"payment_intent": now}));
        assert_eq!(Line::new([again]).perform(&job(kind)), Report::charge("pi_1", event));
    }
    // The release comes too late.
    let late = error(400, "invalid_request_error", "payment_intent_unexpected_state", json!({"payment_intent": taken}));
    assert_eq!(Line::new([late]).perform(&job(Kind::Void)), Report::charge("pi_1", Event::Captured(1999)));
    let expired = error(400, "invalid_request_error", "charge_expired_for_capture", json!({}));
    assert_eq!(
        Line::new([expired]).perform(&job(Kind::Capture)).finding,
        Finding::Charge(Event::Failed(Failure::capture()))
    );
    let wrong_key = error(401, "invalid_request_error", "", json!({}));
    let told = Line::new([wrong_key]).perform(&job(Kind::Capture));
    assert!(matches!(told.finding, Finding::Unknown(_)), "the money stays held until the key is mended: {told:?}");
}

#[test]
fn a_later_attempt_at_an_ending_takes_a_new_key() {
    let mut late = job(Kind::Capture);
    late.operation.attempts = 4;
    let line = Line::new([Turn::Answers(200, intent("succeeded"))]);
    line.perform(&late);
    assert_eq!(line.header(0, "idempotency-key"), Some(format!("{}-4", late.operation.id)));
}

#[test]
fn a_refund_is_made_or_found() {
    let wanted = job(Kind::Refund);
    let id = wanted.refund.as_ref().unwrap().id;
    let made =
        |status: &str| json!({"id": "re_1", "object": "refund", "status": status, "metadata": {"refund_id": id}});
    for (status, state) in [("succeeded", refund::State::Succeeded), ("failed", refund::State::Failed)] {
        let line = Line::new([Turn::Answers(200, made(status))]);
        let report = line.perform(&wanted);
        assert_eq!(report.reference.as_deref(), Some("re_1"));
        assert!(matches!(&report.finding, Finding::Refund(told, _) if *told == state), "{report:?}");
        assert_eq!(line.form(0)["amount"], "500");
        assert_eq!(line.form(0)["payment_intent"], "pi_1");
    }
    let line = Line::new([Turn::Answers(200, made("pending"))]);
    assert_eq!(line.perform(&wanted), Report::processing("re_1"));
    let refused = error(400, "invalid_request_error", "charge_already_refunded", json!({}));
    let told = Line::new([refused]).perform(&wanted);
    assert!(matches!(told.finding, Finding::Refund(refund::State::Failed, Some(_))), "{told:?}");

    let mut late = wanted;
    late.operation.attempts = 4;
    let others = json!({"id": "re_0", "status": "succeeded", "metadata": {"refund_id": "somebody else's"}});
    let line = Line::new([Turn::Answers(200, json!({"object": "list", "data": [others, made("succeeded")]}))]);
    assert_eq!(line.perform(&late), Report::refund("re_1", refund::State::Succeeded, None));
    assert_eq!(line.targets(), ["GET /v1/refunds?payment_intent=pi_1&limit=100"]);
}

#[test]
fn a_currency_that_stripe_counts_otherwise_is_refused() {
    let mut odd = job(Kind::Authorize);
    odd.intent.amount = Money::from_minor(1999, Currency::ISK).unwrap();
    let line = Line::default();
    assert!(matches!(line.perform(&odd).finding, Finding::Charge(Event::Failed(_))));
    assert_eq!(line.targets(), Vec::<String>::new());
}

#[test]
fn webhooks_are_read_by_the_object_that_they_carry() {
    let stripe = Stripe::new("https://api.stripe.test", "sk_test_1", Line::default().transport());
    let (order, refund) = (Id::new(), Id::new());
    let read = |object: Value| {
        let webhook = json!({
            "id": "evt_1", "object": "event", "type": "any", "created": 1_769_860_800, "data": {"object": object},
        });
        stripe.read_webhook(webhook.to_string().as_bytes()).unwrap()
    };
    let mut object = intent("requires_capture");
    object["metadata"] = json!({"order_id": order, "operation_id": "x"});
    let notice = read(object);
    assert_eq!((notice.id.as_str(), notice.at_ms), ("evt_1", 1_769_860_800_000));
    assert_eq!((notice.order_id, notice.charge.as_deref(), notice.refund), (Some(order), Some("pi_1"), None));
    assert_eq!(notice.report, Some(Report::charge("pi_1", Event::Authorized)));

    let mut failed = intent("requires_payment_method");
    failed["last_payment_error"] = json!({"type": "card_error", "code": "payment_intent_authentication_failure"});
    let told = Report::charge("pi_1", Event::Declined(Failure::authentication_failed()));
    assert_eq!(read(failed).report, Some(told));

    let notice = read(json!({
        "object": "refund", "id": "re_1", "status": "succeeded", "payment_intent": "pi_1",
        "metadata": {"order_id": order, "refund_id": refund},
    }));
    assert_eq!((notice.charge.as_deref(), notice.refund), (Some("pi_1"), Some(refund)));
    assert_eq!(notice.report, Some(Report::refund("re_1", refund::State::Succeeded, None)));

    assert_eq!(read(json!({"object": "customer", "id": "cus_1"})).report, None);
    assert!(stripe.read_webhook(b"{}").is_err());
}
