//! What is counted of a revision for its rollout: finer than the metrics, and without a lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http::Response;

use crate::engine::component::{GrowthObserver, InstanceObserver};
use crate::engine::pool::DispatchError;
use crate::rollout::{InstanceMemory, LATENCY_BUCKETS, Latency, Memory, latency_bucket};

/// The answers of one revision on one thread.
pub(super) struct Answers {
    failures: AtomicU64,
    latencies: [AtomicU64; LATENCY_BUCKETS],
}

impl Default for Answers {
    fn default() -> Self {
        Self { failures: AtomicU64::new(0), latencies: std::array::from_fn(|_| AtomicU64::new(0)) }
    }
}

/// A request that has no answer yet. Dropped before, it was given up: whoever asked waited for so long in vain, and it counts as one
/// that took at least as long. So a revision that is too slow for its clients does not look quick by the others.
#[must_use = "a request is given up when this is dropped"]
pub(super) struct Unanswered<'a> {
    answers: &'a Answers,
    since: Instant,
    is_answered: bool,
}

impl Unanswered<'_> {
    /// Counts the answer, or why there is none, and returns how long it took.
    ///
    /// One that is turned away since too many wait is a failure: the queue is the revision's own, and it is full because the revision
    /// is slow. What was wrong with the request, and what the host cut, does not count.
    pub(super) fn answered<B>(mut self, answer: &Result<Response<B>, DispatchError>) -> Duration {
        self.is_answered = true;
        let duration = self.since.elapsed();
        match answer {
            Ok(response) => self.answers.add(duration, response.status().is_server_error()),
            Err(DispatchError::BodyTooLarge { .. } | DispatchError::CutOff { .. }) => {}
            Err(_) => self.answers.add(duration, true),
        }
        duration
    }
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.answers.add(self.since.elapsed(), false);
        }
    }
}

impl Answers {
    /// A request has come.
    pub(super) fn asked(&self) -> Unanswered<'_> {
        Unanswered { answers: self, since: Instant::now(), is_answered: false }
    }

    /// A request was answered; `is_failure` when the component is to blame for an error.
    fn add(&self, duration: Duration, is_failure: bool) {
        self.latencies[latency_bucket(duration)].fetch_add(1, Ordering::Relaxed);
        if is_failure {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The failures and latencies of all threads together.
    pub(super) fn sum<'a>(threads: impl Iterator<Item = &'a Self>) -> (u64, Latency) {
        let mut failures = 0;
        let mut latencies = vec![0; LATENCY_BUCKETS];
        for thread in threads {
            failures += thread.failures.load(Ordering::Relaxed);
            for (sum, part) in latencies.iter_mut().zip(&thread.latencies) {
                *sum += part.load(Ordering::Relaxed);
            }
        }
        (failures, Latency::from_counts(latencies))
    }
}

/// How the instances of a revision grow.
#[derive(Clone, Default)]
pub(super) struct GrowthCounts(Arc<Mutex<Memory>>);

/// How one of them does. Others are met only at the end of an age.
struct InstanceCounts {
    memory: InstanceMemory,
    revision: GrowthCounts,
}

impl GrowthCounts {
    /// As a rollout compares it.
    pub(super) fn read(&self) -> Memory {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Sums are whole after every change.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl GrowthObserver for GrowthCounts {
    fn instance(&self) -> Box<dyn InstanceObserver> {
        Box::new(InstanceCounts { memory: InstanceMemory::default(), revision: self.clone() })
    }
}

impl InstanceObserver for InstanceCounts {
    fn request_ended(&mut self, bytes: u64) {
        let peak_bytes = self.memory.peak_bytes();
        let age = self.memory.request_ended(bytes);
        if age.is_none() && bytes <= peak_bytes {
            return;
        }
        let mut revision = self.revision.lock();
        revision.peak_bytes = revision.peak_bytes.max(bytes);
        if let Some((age, growth)) = age {
            revision.add(age, growth);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_add_up() {
        let threads = [Answers::default(), Answers::default()];
        threads[0].add(Duration::from_millis(1), false);
        threads[1].add(Duration::from_millis(1), true);
        let (failures, latency) = Answers::sum(threads.iter());
        assert_eq!((failures, latency.count()), (1, 2));
    }

    /// What is counted of a request that came a second ago.
    fn counted(end: impl FnOnce(Unanswered<'_>)) -> (u64, Latency) {
        let answers = Answers::default();
        let mut unanswered = answers.asked();
        unanswered.since = unanswered.since.checked_sub(Duration::from_secs(1)).unwrap();
        end(unanswered);
        Answers::sum([answers].iter())
    }

    #[test]
    fn a_request_that_is_given_up_counts_as_slow_as_it_was_until_then() {
        let (failures, latency) = counted(|unanswered| {
            let _given_up = unanswered;
        });
        assert_eq!((failures, latency.count()), (0, 1));
        let answered = counted(|unanswered| {
            unanswered.answered(&Ok(Response::new(())));
        });
        assert_eq!(answered, (0, latency), "in the bucket of one that took a second");
    }

    #[test]
    fn what_is_turned_away_since_the_queue_is_full_is_the_revisions_failure_and_what_is_too_large_is_not() {
        let component = "cart".to_owned();
        for (error, expected) in [
            (DispatchError::QueueFull { component: component.clone() }, (1, 1)),
            (DispatchError::DeadlineExceeded { component: component.clone(), deadline_ms: 1 }, (1, 1)),
            (DispatchError::BodyTooLarge { component: component.clone() }, (0, 0)),
            (DispatchError::CutOff { component }, (0, 0)),
        ] {
            let message = error.to_string();
            let (failures, latency) = counted(|unanswered| {
                unanswered.answered(&Err::<Response<()>, _>(error));
            });
            assert_eq!((failures, latency.count()), expected, "{message}");
        }
    }

    #[test]
    fn the_growth_of_all_instances_adds_up_by_their_ages() {
        let counts = GrowthCounts::default();
        let mut instances = [counts.instance(), counts.instance()];
        for instance in &mut instances {
            for request in 1..=40 {
                instance.request_ended(if request < 20 { 1_000 } else { 1_064 });
            }
        }
        let memory = counts.read();
        assert_eq!(memory.peak_bytes, 1_064);
        let growth = memory.growth[0];
        assert_eq!((growth.requests, growth.grown, growth.grown_bytes), (32, 2, 128), "from 16 to 32 requests");
    }
}
