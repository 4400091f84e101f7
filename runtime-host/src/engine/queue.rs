//! The requests that wait for an instance of one component on one worker thread, and the room that its instances have for them.
//!
//! A new instance is asked for when more requests wait than there is room, counting the room of instances that are starting.
//! A request for which there is neither room nor a seat for another instance is kept only as long as the component's bound on
//! those allows, over all threads.
//!
//! A queue that is retired keeps no instance waiting: what it holds and what still comes is answered, and then its instances
//! end. What is left of them when their time to finish is up is cut. Its last strong reference is dropped when nobody can add a request any more and the last instance is gone.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use futures::future::{AbortHandle, AbortRegistration};

use super::admission::Admission;
use super::job::{Job, Lost, Pending};

/// The queue. As a rule only one thread uses it; those of a component with fewer instances than threads share a few.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Requests that one instance works on at once.
    room_per_instance: usize,
    /// Instances that may live at once.
    seats_max: usize,
    admission: Arc<Admission>,
    start: Box<dyn Fn(Seat) + Send + Sync>,
    /// Requests that were cut.
    requests_cut: Arc<AtomicUsize>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Pending>,
    room: usize,
    /// Instances that may still be started.
    seats: usize,
    /// How many of those that wait have no room, as `admission` knows it.
    without_room: usize,
    /// Instances that wait for a request, by the number of their place.
    takers: Vec<(u64, Waker)>,
    /// The number of the latest place.
    latest: u64,
    /// What of each place stands in `room`.
    counted: BTreeMap<u64, usize>,
    /// Whether instances end as soon as nothing waits for them.
    is_retired: bool,
    /// Whether nothing is answered any more.
    is_cut: bool,
    /// Ends each instance in the middle of its work, by the number of its seat.
    seated: BTreeMap<u64, AbortHandle>,
    /// The number of the latest seat.
    latest_seat: u64,
}

/// As many requests wait without room as may, or there will never be room again.
#[derive(Debug)]
pub(super) struct QueueFull;

impl Queue {
    /// An empty queue for at most `seats` instances at once; `start` is called for each one that is needed.
    pub(super) fn new(
        room_per_instance: usize,
        seats: usize,
        admission: Arc<Admission>,
        start: impl Fn(Seat) + Send + Sync + 'static,
    ) -> Arc<Self> {
        let state = Mutex::new(State { seats, ..State::default() });
        let (start, requests_cut) = (Box::new(start), Arc::default());
        Arc::new(Self { state, room_per_instance, seats_max: seats, admission, start, requests_cut })
    }

    /// Adds a request.
    pub(super) fn push(self: &Arc<Self>, pending: Pending) -> Result<(), QueueFull> {
        let mut state = self.lock();
        if state.is_cut {
            return Err(QueueFull);
        }
        if state.waiting.len() >= state.room && state.seats == 0 {
            if !self.admission.wait() {
                return Err(QueueFull);
            }
            state.without_room += 1;
        }
        state.waiting.push_back(pending);
        // The instance that waited last has the warmest caches.
        let taker = state.takers.pop();
        self.balance(state);
        if let Some((_, waker)) = taker {
            waker.wake();
        }
        Ok(())
    }

    /// Puts a request in front of all others.
    pub(super) fn push_front(self: &Arc<Self>, pending: Pending) {
        let mut state = self.lock();
        if state.is_cut {
            drop(state);
            return self.lose(pending);
        }
        state.waiting.push_front(pending);
        self.balance(state);
    }

    /// Takes a request out for which nobody waits any more, unless an instance has it.
    pub(super) fn forget(self: &Arc<Self>, job: &Arc<Job>) {
        let mut state = self.lock();
        let place = state.waiting.iter().position(|pending| Arc::ptr_eq(&pending.job, job));
        let forgotten = place.and_then(|place| state.waiting.remove(place));
        self.balance(state);
        drop(forgotten);
    }

    /// Counts on no room of an instance that computes without pause, until it looks at the queue again.
    pub(super) fn withdraw(self: &Arc<Self>, number: u64) {
        let mut state = self.lock();
        let counted = state.counted.get_mut(&number).map(std::mem::take).unwrap_or_default();
        if counted == 0 {
            return;
        }
        state.room -= counted;
        state.takers.retain(|(taker, _)| *taker != number);
        let other = if state.waiting.is_empty() { None } else { state.takers.pop() };
        self.balance(state);
        if let Some((_, waker)) = other {
            waker.wake();
        }
    }

    /// Ends the instances: those without work now, the others with their last request. What waits or comes all the same is
    /// answered first.
    pub(super) fn retire(&self) {
        let mut state = self.lock();
        state.is_retired = true;
        let takers = std::mem::take(&mut state.takers);
        drop(state);
        for (_, waker) in takers {
            waker.wake();
        }
    }

    /// Ends the instances now, with all that they work on, and loses what waits.
    pub(super) fn cut(self: &Arc<Self>) {
        let mut state = self.lock();
        state.is_retired = true;
        state.is_cut = true;
        let waiting = std::mem::take(&mut state.waiting);
        let seated = std::mem::take(&mut state.seated);
        self.balance(state);
        waiting.into_iter().for_each(|pending| self.lose(pending));
        seated.into_values().for_each(|seat| seat.abort());
    }

    fn lose(&self, pending: Pending) {
        self.count_cut(usize::from(pending.is_wanted()));
        // Nobody has it yet who could have set it.
        let _ = pending.job.lost.set(Lost::Cut);
    }

    /// So many requests were cut with an instance.
    pub(super) fn count_cut(&self, requests: usize) {
        self.requests_cut.fetch_add(requests, Ordering::Relaxed);
    }

    /// Requests that were cut, for who looks at it when the queue is gone.
    pub(super) fn requests_cut(&self) -> Arc<AtomicUsize> {
        self.requests_cut.clone()
    }

    /// Instances that live or are starting.
    pub(super) fn instances(&self) -> usize {
        self.seats_max - self.lock().seats
    }

    /// Starts what is needed and may be started, and tells how many are left without room.
    fn balance(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut starts = Vec::new();
        while state.waiting.len() > state.room && state.seats > 0 {
            state.seats -= 1;
            state.room += self.room_per_instance;
            state.latest_seat += 1;
            let (seated, end) = AbortHandle::new_pair();
            let number = state.latest_seat;
            state.seated.insert(number, seated);
            starts.push((number, end));
        }
        let without_room = state.waiting.len().saturating_sub(state.room);
        self.admission.recount(state.without_room, without_room);
        state.without_room = without_room;
        drop(state);
        for (number, end) in starts {
            (self.start)(Seat { queue: self.clone(), number, end: Some(end), is_settled: false });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The right to be an instance. Room is counted for it from the beginning.
pub(super) struct Seat {
    queue: Arc<Queue>,
    number: u64,
    /// Tells the instance to end.
    end: Option<AbortRegistration>,
    /// Whether the room is that of a place by now, or was taken back.
    is_settled: bool,
}

impl Seat {
    /// The place of the instance, which has started, in exchange for the room that was counted for it.
    pub(super) fn offer(&mut self, requests_max: usize) -> Place {
        self.is_settled = true;
        let queue = &self.queue;
        let mut state = queue.lock();
        state.latest += 1;
        let number = state.latest;
        state.counted.insert(number, queue.room_per_instance);
        let place = Place { queue: queue.clone(), number, free: queue.room_per_instance, left: requests_max };
        place.count(state);
        place
    }

    /// The instance could not start. The request that is first in line is the one that fails by it.
    pub(super) fn failed(mut self) -> Option<Pending> {
        self.is_settled = true;
        // Whoever is behind it gets another instance when the seat is free, which it is at the end of this.
        let mut state = self.queue.lock();
        state.room -= self.queue.room_per_instance;
        state.waiting.pop_front()
    }

    /// What tells the instance to end in the middle of its work; it is there once.
    pub(super) fn take_end(&mut self) -> Option<AbortRegistration> {
        self.end.take()
    }

    /// What it belongs to.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut state = self.queue.lock();
        state.seats += 1;
        state.seated.remove(&self.number);
        let mut lost = VecDeque::new();
        if !self.is_settled {
            // Its task was dropped before it began: the thread has ended, and nobody will ever take what waits.
            state.room -= self.queue.room_per_instance;
            lost = std::mem::take(&mut state.waiting);
        }
        self.queue.balance(state);
        drop(lost);
    }
}

/// An instance's side of the queue.
pub(super) struct Place {
    queue: Arc<Queue>,
    number: u64,
    /// Requests that it could take now.
    free: usize,
    /// Requests that it may still take in its life; 0 once it is closed.
    left: usize,
}

impl Place {
    /// What [`Queue::withdraw`] knows the place by.
    pub(super) fn number(&self) -> u64 {
        self.number
    }

    /// Where it is.
    pub(super) fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// Counts on its room again after a withdrawal.
    pub(super) fn restore(&mut self) {
        self.count(self.queue.lock());
    }

    /// Whether the instance can take a request now.
    pub(super) fn has_room(&self) -> bool {
        self.free.min(self.left) > 0
    }

    /// Whether it takes none ever again.
    pub(super) fn is_closed(&self) -> bool {
        self.left == 0
    }

    /// The next request, as soon as there is one. Requests whose clients went away or whose time is up are passed over.
    ///
    /// Closes the place when there is none and the queue is retired.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Pending> {
        let mut state = self.queue.lock();
        state.takers.retain(|(number, _)| *number != self.number);
        while let Some(pending) = state.waiting.pop_front() {
            if pending.is_wanted() {
                self.free -= 1;
                self.left -= 1;
                self.count(state);
                return Poll::Ready(pending);
            }
        }
        if state.is_retired {
            self.left = 0;
            self.count(state);
            return Poll::Pending;
        }
        state.takers.push((self.number, cx.waker().clone()));
        self.queue.balance(state);
        Poll::Pending
    }

    /// One of its requests is answered.
    pub(super) fn finished(&mut self) {
        self.free += 1;
        self.count(self.queue.lock());
    }

    /// It takes no further requests.
    pub(super) fn close(&mut self) {
        self.left = 0;
        self.count(self.queue.lock());
    }

    /// Brings the queue's sum up to date, and passes on what this instance has no room for.
    fn count(&self, mut state: MutexGuard<'_, State>) {
        let counts = self.free.min(self.left);
        let counted = state.counted.insert(self.number, counts).unwrap_or_default();
        state.room = state.room - counted + counts;
        let mut other = None;
        if counts == 0 {
            // It must not be woken in place of one that has room.
            state.takers.retain(|(number, _)| *number != self.number);
            other = if state.waiting.is_empty() { None } else { state.takers.pop() };
        }
        self.queue.balance(state);
        if let Some((_, waker)) = other {
            waker.wake();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.close();
        self.queue.lock().counted.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
