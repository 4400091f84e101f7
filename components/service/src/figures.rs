//! What a service counts: what happened while it worked on a request is said with the answer to that request
//! (`x-bodega-count`). A host that counts for its components adds it up and takes it out; to others it is a header like any
//! other, so nothing is in it but what that one request did.
//!
//! What is done in a transaction is counted once it is committed. What the answer to a request did not live to say is not
//! counted.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::mem;
use std::pin::pin;

use axum::http::{HeaderName, HeaderValue};
use axum::response::Response;

/// By which a host is told what has happened, and at what something stands.
pub const COUNT: HeaderName = HeaderName::from_static("x-bodega-count");

thread_local! {
    /// What the request that is worked on now has done.
    static CURRENT: RefCell<Option<Figures>> = const { RefCell::new(None) };
}

#[derive(Debug, Default)]
struct Figures {
    counts: BTreeMap<String, u64>,
    levels: BTreeMap<&'static str, u64>,
}

/// Counts something for the answer to the request that is worked on.
pub fn count(name: impl Into<String>, amount: u64) {
    with_current(|figures| *figures.counts.entry(name.into()).or_default() += amount);
}

/// Says that these have not been counted yet, so that the first time is seen as growth.
pub fn expect<N: Into<String>>(names: impl IntoIterator<Item = N>) {
    names.into_iter().for_each(|name| count(name, 0));
}

/// Says at what something stands in the whole shop. It is for answers that nobody but the shop sees, and is said again and
/// again, as by a sweep: a host forgets it after five minutes.
pub fn level(name: &'static str, value: u64) {
    with_current(|figures| {
        figures.levels.insert(name, value);
    });
}

/// The name of the counter of events of a kind: `order_paid_total` of `bodega.order.paid`.
pub fn counter_of(kind: &str) -> String {
    let kind = kind.strip_prefix("bodega.").unwrap_or(kind);
    let letter = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '_' };
    format!("{}_total", kind.chars().map(letter).collect::<String>())
}

fn with_current(change: impl FnOnce(&mut Figures)) {
    CURRENT.with_borrow_mut(|current| current.as_mut().map(change));
}

/// Has a request answered, and the answer say what was counted meanwhile.
pub async fn said<E>(answering: impl Future<Output = Result<Response, E>>) -> Result<Response, E> {
    let mut answering = pin!(answering);
    let mut figures = Figures::default();
    // An instance works on several requests by turns: each has its own figures in place while it has its turn.
    let answer = poll_fn(|context| {
        let outer = CURRENT.replace(Some(mem::take(&mut figures)));
        let polled = answering.as_mut().poll(context);
        figures = CURRENT.replace(outer).unwrap_or_default();
        polled
    })
    .await;
    answer.map(|mut response| {
        // Names are letters, digits and `_`.
        if let Some(value) = figures.header().and_then(|text| HeaderValue::from_str(&text).ok()) {
            response.headers_mut().append(COUNT, value);
        }
        response
    })
}

impl Figures {
    fn header(&self) -> Option<String> {
        let mut text = String::new();
        let counts = self.counts.iter().map(|(name, amount)| (name.as_str(), '=', amount));
        let levels = self.levels.iter().map(|(name, value)| (*name, ':', value));
        for (name, sign, number) in counts.chain(levels) {
            let separator = if text.is_empty() { "" } else { ", " };
            // Writing to a string cannot fail.
            let _ = write!(text, "{separator}{name}{sign}{number}");
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use axum::response::IntoResponse;
    use futures::executor::block_on;
    use futures::future::join;

    use super::*;

    async fn others_first() {
        let mut waited = false;
        poll_fn(|context| {
            if mem::replace(&mut waited, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }

    async fn header(work: impl Future<Output = ()>) -> Option<String> {
        let answer = said(async {
            work.await;
            Ok::<_, Infallible>("".into_response())
        });
        let Ok(response) = answer.await;
        Some(response.headers().get(COUNT)?.to_str().unwrap().to_owned())
    }

    #[test]
    fn an_answer_says_what_its_own_request_did() {
        let one = header(async {
            count("order_placed_total", 1);
            others_first().await;
            count("order_placed_total", 1);
            count("order_paid_total", 1);
        });
        let other = header(async {
            expect(["order_paid_total"]);
            others_first().await;
            level("tasks_open", 7);
        });
        let (one, other) = block_on(join(one, other));
        assert_eq!(one.as_deref(), Some("order_paid_total=1, order_placed_total=2"));
        assert_eq!(other.as_deref(), Some("order_paid_total=0, tasks_open:7"));
    }

    #[test]
    fn where_nothing_happened_nothing_is_said() {
        count("nobody_works_on_a_request", 1);
        assert_eq!(block_on(header(async {})), None);
    }

    #[test]
    fn the_counter_of_an_event_has_its_name() {
        assert_eq!(counter_of("bodega.order.refund_succeeded"), "order_refund_succeeded_total");
        assert_eq!(counter_of("bodega.account.password-reset"), "account_password_reset_total");
    }
}
