//! The requests that wait for an instance of one component on one worker thread, and the room that its instances have for them.
//!
//! A new instance is asked for when more requests wait than there is room, counting the room of instances that are starting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::job::Pending;

/// The queue. Only one thread uses it; the lock is there because wasmtime's futures have to be `Send`.
pub(super) struct Queue {
    state: Mutex<State>,
    /// Requests that one instance works on at once.
    room_per_instance: usize,
    start: Box<dyn Fn() + Send + Sync>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Pending>,
    room: usize,
    /// Instances that wait for a request, by the number of their place.
    takers: Vec<(u64, Waker)>,
    /// The number of the latest place.
    latest: u64,
    /// What of each place stands in `room`.
    counted: BTreeMap<u64, usize>,
}

impl Queue {
    /// An empty queue; `start` is called for each instance that is needed.
    pub(super) fn new(room_per_instance: usize, start: impl Fn() + Send + Sync + 'static) -> Self {
        Self { state: Mutex::default(), room_per_instance, start: Box::new(start) }
    }

    /// Adds a request.
    pub(super) fn push(&self, pending: Pending) {
        let mut state = self.lock();
        state.waiting.push_back(pending);
        // The instance that waited last has the warmest caches.
        let taker = state.takers.pop();
        self.balance(state);
        if let Some((_, waker)) = taker {
            waker.wake();
        }
    }

    /// The place of an instance that has started, in exchange for the room that was counted for it.
    pub(super) fn offer(&self, requests_max: usize) -> Place<'_> {
        let mut state = self.lock();
        state.latest += 1;
        let number = state.latest;
        state.counted.insert(number, self.room_per_instance);
        let mut place = Place { queue: self, number, free: self.room_per_instance, left: requests_max };
        place.count(state);
        place
    }

    /// Takes back the room of an instance that could not start. The request that is first in line is the one that fails by it.
    pub(super) fn start_failed(&self) -> Option<Pending> {
        let mut state = self.lock();
        state.room -= self.room_per_instance;
        let first = state.waiting.pop_front();
        self.balance(state);
        first
    }

    /// Puts a request in front of all others.
    pub(super) fn push_front(&self, pending: Pending) {
        let mut state = self.lock();
        state.waiting.push_front(pending);
        self.balance(state);
    }

    /// Counts on no room of an instance that computes without pause, until it looks at the queue again.
    pub(super) fn withdraw(&self, number: u64) {
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

    fn balance(&self, mut state: MutexGuard<'_, State>) {
        let needed = state.waiting.len() > state.room;
        if needed {
            state.room += self.room_per_instance;
        }
        drop(state);
        if needed {
            (self.start)();
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance's side of the queue.
pub(super) struct Place<'q> {
    queue: &'q Queue,
    number: u64,
    /// Requests that it could take now.
    free: usize,
    /// Requests that it may still take in its life; 0 once it is closed.
    left: usize,
}

impl Place<'_> {
    /// What [`Queue::withdraw`] knows the place by.
    pub(super) fn number(&self) -> u64 {
        self.number
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

    /// The next request, as soon as there is one. Requests whose clients went away are passed over.
    pub(super) fn poll_take(&mut self, cx: &mut Context<'_>) -> Poll<Pending> {
        let mut state = self.queue.lock();
        state.takers.retain(|(number, _)| *number != self.number);
        while let Some(pending) = state.waiting.pop_front() {
            if !pending.answer.is_canceled() {
                self.free -= 1;
                self.left -= 1;
                self.count(state);
                return Poll::Ready(pending);
            }
        }
        state.takers.push((self.number, cx.waker().clone()));
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
    fn count(&mut self, mut state: MutexGuard<'_, State>) {
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

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.close();
        self.queue.lock().counted.remove(&self.number);
    }
}

#[cfg(test)]
mod tests;
