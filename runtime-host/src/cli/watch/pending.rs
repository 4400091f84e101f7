//! Builds that are to be put in force, until the host has taken them or refuses them for what they are.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;

use crate::cli::control::NoHost;
use crate::cli::remote::NotDone;

/// How long a build that the host could not take waits before it is offered again; each time after that twice as long.
const RETRY: Duration = Duration::from_secs(1);
/// At most so long.
const RETRY_MAX: Duration = Duration::from_secs(60);

/// The last build of each component that the host has not answered for.
#[derive(Debug, Default)]
pub(super) struct Pending(BTreeMap<String, Build>);

#[derive(Debug)]
struct Build {
    /// `None` for the artifact in force, where only what it is given has changed.
    wasm: Option<Bytes>,
    last: Option<Offer>,
}

/// One that was not taken.
#[derive(Debug)]
struct Offer {
    /// When the next one is due, and how long that waits.
    next: Instant,
    wait: Duration,
    /// Why it was not taken.
    reason: String,
}

impl Pending {
    /// A component was built.
    pub(super) fn add(&mut self, id: &str, wasm: Bytes) {
        self.0.insert(id.to_owned(), Build { wasm: Some(wasm), last: None });
    }

    /// What a component is given has changed. A build that waits is given it too.
    pub(super) fn add_configuration(&mut self, id: &str) {
        let build = self.0.entry(id.to_owned()).or_insert(Build { wasm: None, last: None });
        build.last = None;
    }

    /// The build of a component is out of date.
    pub(super) fn forget(&mut self, id: &str) {
        self.0.remove(id);
    }

    /// Has `deploy` put in force what is due `now`, and says what came of it. What stands in the way and may pass is told once,
    /// and the build is kept.
    pub(super) fn offer(
        &mut self,
        now: Instant,
        mut deploy: impl FnMut(&str, Option<Bytes>) -> anyhow::Result<String>,
    ) {
        self.0.retain(|id, build| {
            if build.last.as_ref().is_some_and(|last| now < last.next) {
                return true;
            }
            let error = match deploy(id, build.wasm.clone()) {
                Ok(outcome) => {
                    println!("{outcome}");
                    return false;
                }
                Err(error) => error,
            };
            if !may_pass(&error) {
                eprintln!("{id}: {error:#}; the last good revision goes on");
                return false;
            }
            let reason = format!("{error:#}");
            if build.last.as_ref().is_none_or(|last| last.reason != reason) {
                eprintln!("{id}: {reason}; what was built is kept and offered again");
            }
            let wait = build.last.as_ref().map_or(RETRY, |last| (2 * last.wait).min(RETRY_MAX));
            build.last = Some(Offer { next: now + wait, wait, reason });
            true
        });
    }
}

/// Whether an error is about the moment and not about what was built: no host is there, or it is at something else.
fn may_pass(error: &anyhow::Error) -> bool {
    let is_busy = |status| matches!(status, StatusCode::CONFLICT | StatusCode::SERVICE_UNAVAILABLE);
    match error.downcast_ref::<NotDone>() {
        Some(not_done) => not_done.status.is_none_or(is_busy),
        None => error.is::<NoHost>(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn not_done(status: Option<StatusCode>) -> anyhow::Error {
        NotDone { status, text: "not done".to_owned() }.into()
    }

    #[test]
    fn what_the_host_cannot_take_now_is_offered_until_it_can() {
        let mut pending = Pending::default();
        pending.add("cart", Bytes::from_static(b"good"));
        let (mut now, mut wait, mut offered) = (Instant::now(), RETRY, 0);
        for answer in [
            Err(NoHost("no host".to_owned()).into()),
            Err(not_done(None)),
            Err(not_done(Some(StatusCode::CONFLICT))),
            Err(not_done(Some(StatusCode::SERVICE_UNAVAILABLE)).context("in between")),
            Ok("cart: it is in force".to_owned()),
        ] {
            let mut answer = Some(answer);
            pending.offer(now, |id, wasm| {
                assert_eq!((id, wasm.as_deref()), ("cart", Some(&b"good"[..])));
                offered += 1;
                answer.take().unwrap()
            });
            pending.offer(now + wait - Duration::from_millis(1), |_, _| panic!("it is too early"));
            (now, wait) = (now + wait, 2 * wait);
        }
        pending.offer(now + RETRY_MAX, |_, _| panic!("it is in force already"));
        assert_eq!(offered, 5);
    }

    #[test]
    fn a_rollout_that_takes_a_day_is_asked_about_once_a_minute_and_a_new_build_at_once() {
        let mut pending = Pending::default();
        pending.add("cart", Bytes::new());
        let (start, mut offered) = (Instant::now(), 0);
        let busy = |offered: &mut u32| {
            *offered += 1;
            Err(not_done(Some(StatusCode::CONFLICT)))
        };
        let seconds_of_a_day = 24 * 60 * 60;
        for second in 0..seconds_of_a_day {
            pending.offer(start + Duration::from_secs(second), |_, _| busy(&mut offered));
        }
        assert!((1_440..1_450).contains(&offered), "{offered}");
        pending.add("cart", Bytes::from_static(b"better"));
        let mut better = None;
        pending.offer(start + Duration::from_secs(seconds_of_a_day), |_, wasm| {
            better = wasm;
            busy(&mut offered)
        });
        assert_eq!(better.as_deref(), Some(&b"better"[..]));
    }

    #[test]
    fn what_is_refused_for_what_it_is_or_is_out_of_date_is_not_offered_again() {
        let mut pending = Pending::default();
        for id in ["cart", "catalog"] {
            pending.add(id, Bytes::new());
        }
        pending.forget("catalog");
        let mut offered = Vec::new();
        pending.offer(Instant::now(), |id, _| {
            offered.push(id.to_owned());
            Err(not_done(Some(StatusCode::UNPROCESSABLE_ENTITY)))
        });
        pending.offer(Instant::now() + RETRY, |_, _| panic!("it is refused"));
        assert_eq!(offered, ["cart"]);
    }

    #[test]
    fn a_build_that_waits_is_given_what_has_changed_and_else_the_artifact_in_force_is() {
        let mut pending = Pending::default();
        pending.add("cart", Bytes::from_static(b"good"));
        let start = Instant::now();
        pending.offer(start, |_, _| Err(not_done(None)));
        for id in ["cart", "catalog"] {
            pending.add_configuration(id);
        }
        let mut offered = Vec::new();
        pending.offer(start, |id, wasm| {
            offered.push((id.to_owned(), wasm.is_some()));
            Ok(String::new())
        });
        assert_eq!(offered, [("cart".to_owned(), true), ("catalog".to_owned(), false)]);
    }
}
