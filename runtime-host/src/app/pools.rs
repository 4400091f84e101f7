//! Which worker thread has the instances of a component; pure.
//!
//! The bound on a component's instances is divided: each thread has a share of its own, so that threads never meet over
//! it. Where there are fewer instances than threads, the first threads have one each and work for the others too.

use std::num::NonZeroUsize;
use std::sync::OnceLock;

/// The pools of one component, by thread. `P` is a pool.
pub(super) struct Pools<P> {
    instances_max: usize,
    /// One for each thread that has instances, once that has started.
    pools: Box<[OnceLock<P>]>,
}

impl<P> Pools<P> {
    /// No pools yet, for at most `instances_max` instances (at least 1) on `workers` threads together.
    pub(super) fn new(instances_max: usize, workers: NonZeroUsize) -> Self {
        let threads = workers.get().min(instances_max).max(1);
        Self { instances_max, pools: (0..threads).map(|_| OnceLock::new()).collect() }
    }

    /// Makes the pool of the thread `worker`, if it is to have one and has none yet, with its share of the instances.
    pub(super) fn start(&self, worker: usize, make: impl FnOnce(usize) -> P) {
        if let Some(pool) = self.pools.get(worker) {
            pool.get_or_init(|| make(self.share(worker)));
        }
    }

    /// The pool that works for the thread `worker`; `None` before its thread has started.
    pub(super) fn of(&self, worker: usize) -> Option<&P> {
        self.pools[worker % self.pools.len()].get()
    }

    /// The pools that there are.
    pub(super) fn iter(&self) -> impl Iterator<Item = &P> {
        self.pools.iter().filter_map(OnceLock::get)
    }

    fn share(&self, worker: usize) -> usize {
        let threads = self.pools.len();
        self.instances_max / threads + usize::from(worker < self.instances_max % threads)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shares of the threads that have one, all started.
    fn started(instances_max: usize, workers: usize) -> Pools<usize> {
        let pools = Pools::new(instances_max, NonZeroUsize::new(workers).unwrap());
        (0..workers).for_each(|worker| pools.start(worker, |share| share));
        pools
    }

    #[test]
    fn the_shares_are_even_and_never_more_than_the_bound() {
        for workers in 1..=9 {
            for instances_max in [1, 2, 3, 5, 8, 9, 128] {
                let shares: Vec<usize> =
                    started(instances_max, workers).pools.iter().filter_map(|share| share.get().copied()).collect();
                assert_eq!(shares.iter().sum::<usize>(), instances_max, "{workers} threads: {shares:?}");
                assert_eq!(shares.len(), workers.min(instances_max));
                let least = *shares.iter().min().unwrap();
                assert!(least >= 1 && shares.iter().all(|share| *share <= least + 1), "{shares:?}");
            }
        }
    }

    #[test]
    fn every_thread_has_somebody_who_works_for_it() {
        let pools = started(2, 5);
        let works_for = |worker| std::ptr::from_ref(pools.of(worker).unwrap());
        assert_eq!((works_for(2), works_for(3), works_for(4)), (works_for(0), works_for(1), works_for(0)));
        assert_ne!(works_for(0), works_for(1));
        let own = started(5, 2);
        assert_eq!((own.of(0), own.of(1)), (Some(&3), Some(&2)));
    }

    #[test]
    fn a_thread_that_has_not_started_works_for_nobody() {
        let pools = Pools::<usize>::new(1, NonZeroUsize::new(2).unwrap());
        assert_eq!(pools.of(1), None);
        pools.start(1, |_| panic!("the second thread has no instances"));
        pools.start(0, |share| share);
        assert_eq!(pools.of(1), Some(&1));
    }
}
