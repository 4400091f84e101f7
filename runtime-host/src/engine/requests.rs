//! The requests that an instance works on, by the guest's task for each.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use wasmtime::component::GuestTaskId;

use super::job::{Job, Lost};
use crate::telemetry::request_context::RequestContext;

/// From the start of each task until its end, which may come long after its response.
///
/// Only one thread uses it; the lock is there because the guest's output streams share it and have to be `Sync`.
pub(super) struct Requests<Task = GuestTaskId>(Mutex<HashMap<Task, Arc<Job>>>);

impl<Task> Default for Requests<Task> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<Task: Eq + Hash> Requests<Task> {
    /// `task` works on `job` from now on.
    pub(super) fn started(&self, task: Task, job: Arc<Job>) {
        // The number of a task is given out again once the task has ended, so what stands there is over.
        self.lock().insert(task, job);
    }

    /// `task` has ended.
    pub(super) fn ended(&self, task: &Task) {
        self.lock().remove(task);
    }

    /// Every task has ended.
    pub(super) fn all_ended(&self) {
        self.lock().clear();
    }

    /// The request that `task` works on; where the task is not known, the only request that there is.
    pub(super) fn of(&self, task: Option<&Task>) -> Option<Arc<RequestContext>> {
        let jobs = self.lock();
        let job = task.and_then(|task| jobs.get(task)).or_else(|| only(&jobs));
        job.map(|job| job.context.clone())
    }

    /// Tells every request why it gets no further answer. Returns for how many somebody waits.
    pub(super) fn lose_all(&self, why: &Lost) -> usize {
        let jobs = self.lock();
        for job in jobs.values() {
            // A request that was answered no longer looks.
            let _ = job.lost.set(why.clone());
        }
        // Whoever waits for a request, or reads what is answered to it, has it too.
        jobs.values().filter(|job| Arc::strong_count(job) > 1).count()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Task, Arc<Job>>> {
        // The map is whole after every change, so a panic elsewhere does not spoil it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn only<Task>(jobs: &HashMap<Task, Arc<Job>>) -> Option<&Arc<Job>> {
    if jobs.len() == 1 { jobs.values().next() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job() -> Arc<Job> {
        Job::new(Arc::default())
    }

    fn id(requests: &Requests<u32>, task: Option<u32>) -> Option<String> {
        requests.of(task.as_ref()).map(|context| context.request_id().to_owned())
    }

    fn id_of(job: &Job) -> Option<String> {
        Some(job.context.request_id().to_owned())
    }

    #[test]
    fn a_long_request_is_known_until_its_task_ends_however_many_come_after_it() {
        let requests = Requests::default();
        let (long, later) = (job(), job());
        requests.started(1, long.clone());
        for task in 2..1_000 {
            requests.started(task, job());
            requests.ended(&task);
        }
        requests.started(2, later.clone());
        assert_eq!(id(&requests, Some(1)), id_of(&long));
        assert_eq!(id(&requests, Some(2)), id_of(&later));
        requests.ended(&1);
        assert_eq!(id(&requests, Some(1)), id_of(&later), "the only one left");
        requests.all_ended();
        assert_eq!(id(&requests, Some(2)), None);
    }

    #[test]
    fn the_number_of_a_task_is_used_again() {
        let requests = Requests::default();
        let second = job();
        requests.started(1, job());
        requests.started(1, second.clone());
        assert_eq!(id(&requests, Some(1)), id_of(&second));
    }

    #[test]
    fn among_several_an_unknown_task_is_nobodys() {
        let requests = Requests::default();
        let first = job();
        requests.started(1, first.clone());
        assert_eq!(id(&requests, None), id_of(&first));
        requests.started(2, job());
        assert_eq!(id(&requests, None), None);
        assert_eq!(id(&requests, Some(3)), None);
    }

    #[test]
    fn a_lost_instance_tells_all_its_requests_why() {
        let requests = Requests::default();
        let jobs = [job(), job()];
        for (task, job) in (0..).zip(&jobs) {
            requests.started(task, job.clone());
        }
        requests.started(2, job());
        let why = Lost::WithInstance("unreachable".to_owned());
        assert_eq!(requests.lose_all(&why), 2, "nobody waits for the third");
        assert!(jobs.iter().all(|job| job.lost.get() == Some(&why)));
    }
}
