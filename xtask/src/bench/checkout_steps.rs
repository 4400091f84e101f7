//! The steps of checkouts, read from the access log: each request of a component to another is a line there, under the
//! id of the request that it belongs to.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

/// The steps in their order. What is asked at once is one step.
pub(crate) const STEPS: [Step; 9] = [
    Step::new("read the cart", "cart", "POST", 0..1),
    Step::new("look up variants and price rules, at once", "catalog", "GET", 0..2),
    Step::new("check the shipping quote", "shipping", "POST", 0..1),
    Step::new("reserve the stock", "catalog", "POST", 0..1),
    Step::new("authorize the payment", "payments", "POST", 0..1),
    Step::new("commit the stock", "catalog", "POST", 1..2),
    Step::new("capture the payment", "payments", "POST", 1..2),
    Step::new("empty the cart", "cart", "POST", 1..2),
    Step::new("have the parcel made", "shipping", "POST", 1..2),
];
const CHECKOUT_ROUTE: &str = "/api/checkout";

/// A step of the checkout: which requests of it to which component.
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) component: &'static str,
    method: &'static str,
    /// Of those with this method to this component, by the order of their answers.
    places: std::ops::Range<usize>,
}

/// How long one checkout and each of its steps took.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Checkout {
    /// The whole request.
    pub(crate) whole: Duration,
    /// By [`STEPS`].
    pub(crate) steps: [Duration; STEPS.len()],
}

/// A line of the access log.
#[derive(Deserialize)]
struct Line {
    component: String,
    route: String,
    method: String,
    status: u16,
    duration_us: u64,
    request_id: String,
}

impl Step {
    const fn new(
        name: &'static str,
        component: &'static str,
        method: &'static str,
        places: std::ops::Range<usize>,
    ) -> Self {
        Self { name, component, method, places }
    }
}

impl Checkout {
    /// What the checkout spent on no other component: its own work, its store, and the price.
    pub(crate) fn own(&self) -> Duration {
        self.whole.saturating_sub(self.steps.iter().sum())
    }

    /// All checkouts of a log, in the order of their answers.
    pub(crate) fn all(log: &str) -> Result<Vec<Self>> {
        let (mut checkouts, mut others) = (Vec::new(), BTreeMap::<String, Vec<Line>>::new());
        for text in log.lines().filter(|text| text.contains(r#""target":"access""#)) {
            let line: Line = serde_json::from_str(text).with_context(|| format!("no line of an access log: {text}"))?;
            match line.route == CHECKOUT_ROUTE {
                true => checkouts.push(line),
                false => others.entry(line.request_id.clone()).or_default().push(line),
            }
        }
        // A line is written when its answer is let go of, so that of the last step may come after that of the checkout.
        let of = |checkout: &Line| Self::of(checkout, others.get(&checkout.request_id).map_or(&[], Vec::as_slice));
        checkouts.iter().map(of).collect()
    }

    fn of(checkout: &Line, requests: &[Line]) -> Result<Self> {
        let mut seen: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        let mut steps = [Duration::ZERO; STEPS.len()];
        for Line { component, method, status, duration_us, .. } in requests {
            ensure!(*status < 400, "{component} answered a checkout with {status}");
            let place = seen.entry((component, method)).or_default();
            let is_it =
                |step: &Step| step.component == component && step.method == method && step.places.contains(place);
            let Some(step) = STEPS.iter().position(is_it) else {
                bail!("a checkout asked more of {component} ({method}) than the steps that are known");
            };
            // Of what is asked at once, the last answer ends the step.
            steps[step] = steps[step].max(Duration::from_micros(*duration_us));
            *place += 1;
        }
        let expected: usize = STEPS.iter().map(|step| step.places.len()).sum();
        ensure!(requests.len() == expected, "a checkout sent {} requests, {expected} are known", requests.len());
        Ok(Self { whole: Duration::from_micros(checkout.duration_us), steps })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(request_id: &str, component: &str, method: &str, route: &str, duration_us: u64) -> String {
        json!({
            "timestamp": "2026-01-01T00:00:00Z", "level": "INFO", "target": "access", "component": component,
            "route": route, "method": method, "status": 200, "duration_us": duration_us, "request_id": request_id,
        })
        .to_string()
    }

    fn lines(request_id: &str) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, step) in (1..).zip(&STEPS) {
            for faster in 0..step.places.len() as u64 {
                lines.push(line(request_id, step.component, step.method, "*.spin.internal/...", 100 * number - faster));
            }
        }
        lines.push(line(request_id, "orders", "POST", CHECKOUT_ROUTE, 5_000));
        lines
    }

    #[test]
    fn steps_are_told_apart_though_checkouts_overlap() {
        let other = line("sweep", "catalog", "POST", "*.spin.internal/...", 7);
        let zipped = lines("a").into_iter().zip(lines("b")).flat_map(|(a, b)| [a, b]);
        let log: Vec<String> =
            std::iter::once("listening on http://127.0.0.1:1/".to_owned()).chain([other]).chain(zipped).collect();
        let checkouts = Checkout::all(&log.join("\n")).unwrap();
        let expected = Checkout {
            whole: Duration::from_millis(5),
            steps: std::array::from_fn(|place| Duration::from_micros(100 * (place as u64 + 1))),
        };
        assert_eq!(expected.own(), Duration::from_micros(500));
        let [first, second] = checkouts.as_slice() else { panic!("{checkouts:?}") };
        assert_eq!((first, second), (&expected, &expected));
    }

    #[test]
    fn a_checkout_that_takes_other_steps_is_an_error() {
        let mut missing = lines("a");
        missing.remove(0);
        assert!(Checkout::all(&missing.join("\n")).is_err());
        let mut more = lines("a");
        more.insert(0, line("a", "auth", "GET", "*.spin.internal/...", 10));
        assert!(Checkout::all(&more.join("\n")).unwrap_err().to_string().contains("auth"));
    }
}
