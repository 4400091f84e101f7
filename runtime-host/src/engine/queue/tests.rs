//! When instances are asked for, and who gets a request.

mod model;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;

use futures::channel::oneshot;
use http::Request;
use http_body_util::{BodyExt as _, Empty};

use super::super::job::{Answer, Job};
use super::*;

/// Who waits for an answer; dropping it is going away.
type Client = oneshot::Receiver<wasmtime::Result<Answer>>;

fn request(number: usize) -> (Pending, Client) {
    let (answer, client) = oneshot::channel();
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(format!("http://shop/{number}")).body(body).unwrap();
    let job = Job::new(Arc::default());
    (Pending { request, job, answer, place: None, retries: 0 }, client)
}

fn number(pending: &Pending) -> usize {
    pending.request.uri().path()[1..].parse().unwrap()
}

/// A queue with a count of the instances that it asked for.
fn queue(room_per_instance: usize) -> (Queue, Arc<AtomicUsize>) {
    let starts = Arc::new(AtomicUsize::new(0));
    let counter = starts.clone();
    let start = move || {
        counter.fetch_add(1, Ordering::Relaxed);
    };
    (Queue::new(room_per_instance, start), starts)
}

/// Says whether it was woken.
#[derive(Default)]
struct Bell(AtomicBool);

impl Bell {
    fn rang(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// An instance as the queue sees it.
struct Instance<'q> {
    place: Place<'q>,
    bell: Arc<Bell>,
}

impl<'q> Instance<'q> {
    fn start(queue: &'q Queue, requests_max: usize) -> Self {
        Self { place: queue.offer(requests_max), bell: Arc::default() }
    }

    fn take(&mut self) -> Option<usize> {
        let waker = self.bell.clone().into();
        match self.place.poll_take(&mut Context::from_waker(&waker)) {
            Poll::Ready(pending) => Some(number(&pending)),
            Poll::Pending => None,
        }
    }
}

/// Two instances with room for one request each that wait; the second one waits last.
fn two_waiting(queue: &Queue) -> [Instance<'_>; 2] {
    let _clients = [1, 2].map(|number| push(queue, number));
    let mut instances = [(); 2].map(|()| Instance::start(queue, 100));
    for instance in &mut instances {
        assert!(instance.take().is_some());
        instance.place.finished();
    }
    for instance in &mut instances {
        assert_eq!(instance.take(), None);
    }
    instances
}

#[must_use = "the client goes away when this is dropped"]
fn push(queue: &Queue, number: usize) -> Client {
    let (pending, client) = request(number);
    queue.push(pending);
    client
}

#[test]
fn an_instance_is_asked_for_when_more_wait_than_there_is_room() {
    let (queue, starts) = queue(2);
    let _clients: Vec<_> = (1..=5)
        .map(|number| {
            let client = push(&queue, number);
            // The room of an instance that is still starting counts.
            assert_eq!(starts.load(Ordering::Relaxed), number.div_ceil(2), "after {number}");
            client
        })
        .collect();

    let mut first = Instance::start(&queue, 100);
    assert_eq!((first.take(), first.take()), (Some(1), Some(2)));
    assert!(!first.place.has_room());
    first.place.finished();
    assert!(first.place.has_room());
    assert_eq!(first.take(), Some(3));
    assert_eq!(starts.load(Ordering::Relaxed), 3, "what was asked for is enough");
}

#[test]
fn the_instance_that_waited_last_is_woken_first() {
    let (queue, starts) = queue(1);
    let [mut cold, mut warm] = two_waiting(&queue);
    let _client = push(&queue, 3);
    assert_eq!((cold.bell.rang(), warm.bell.rang()), (false, true));
    assert_eq!(warm.take(), Some(3));
    let _client = push(&queue, 4);
    assert_eq!((cold.bell.rang(), warm.bell.rang()), (true, false));
    assert_eq!(cold.take(), Some(4));
    assert_eq!(starts.load(Ordering::Relaxed), 2);
}

#[test]
fn a_request_whose_client_went_away_is_passed_over() {
    let (queue, _) = queue(1);
    drop(push(&queue, 1));
    let _client = push(&queue, 2);
    let mut instance = Instance::start(&queue, 100);
    assert_eq!(instance.take(), Some(2), "and takes no room");
    instance.place.finished();
    drop(push(&queue, 3));
    assert_eq!(instance.take(), None);
    assert!(instance.place.has_room());
}

#[test]
fn an_instance_that_cannot_start_fails_the_first_in_line() {
    let (queue, starts) = queue(2);
    let _clients = [1, 2].map(|number| push(&queue, number));
    assert_eq!(starts.load(Ordering::Relaxed), 1);

    let first = queue.start_failed().unwrap();
    assert_eq!(number(&first), 1);
    assert_eq!(starts.load(Ordering::Relaxed), 2, "the other one still needs an instance");

    queue.push_front(first);
    assert_eq!(starts.load(Ordering::Relaxed), 2, "which has room for both");
    let mut instance = Instance::start(&queue, 100);
    assert_eq!((instance.take(), instance.take()), (Some(1), Some(2)), "in the old order");
}

#[test]
fn a_start_that_fails_when_nobody_waits_any_more_hurts_nobody() {
    let (queue, starts) = queue(1);
    let _clients = [1, 2].map(|number| push(&queue, number));
    let mut instance = Instance::start(&queue, 100);
    assert_eq!(instance.take(), Some(1));
    instance.place.finished();
    assert_eq!(instance.take(), Some(2));
    assert!(queue.start_failed().is_none());
    assert_eq!(starts.load(Ordering::Relaxed), 2);
    let _client = push(&queue, 3);
    assert_eq!(starts.load(Ordering::Relaxed), 3, "its room is no longer counted");
}

#[test]
fn what_an_instance_was_woken_for_and_cannot_take_goes_to_another() {
    for ends_by_drop in [true, false] {
        let (queue, starts) = queue(1);
        let [mut other, mut woken] = two_waiting(&queue);
        let _client = push(&queue, 3);
        assert!(woken.bell.rang());
        if ends_by_drop {
            drop(woken);
        } else {
            woken.place.close();
            assert!(woken.place.is_closed() && !woken.place.has_room());
        }
        assert!(other.bell.rang(), "dropped: {ends_by_drop}");
        assert_eq!(other.take(), Some(3));
        assert_eq!(starts.load(Ordering::Relaxed), 2);
    }
}

#[test]
fn an_instance_that_was_closed_is_not_woken() {
    let (queue, _) = queue(1);
    let [mut other, mut closed] = two_waiting(&queue);
    closed.place.close();
    let _client = push(&queue, 3);
    assert_eq!((other.bell.rang(), closed.bell.rang()), (true, false));
    assert_eq!(other.take(), Some(3));
}

#[test]
fn an_instance_that_ends_is_replaced_when_requests_wait() {
    let (queue, starts) = queue(1);
    let _clients = [1, 2].map(|number| push(&queue, number));
    let mut first = Instance::start(&queue, 100);
    let second = Instance::start(&queue, 100);
    assert_eq!(first.take(), Some(1));
    drop(second);
    assert_eq!(starts.load(Ordering::Relaxed), 3);
    drop(first);
    assert_eq!(starts.load(Ordering::Relaxed), 3, "it had no room that is missing now");
}

#[test]
fn an_instance_near_its_end_has_room_for_what_it_may_still_take() {
    let (queue, starts) = queue(2);
    let mut clients = vec![push(&queue, 1)];
    let mut instance = Instance::start(&queue, 3);
    assert_eq!(instance.take(), Some(1));
    clients.push(push(&queue, 2));
    assert_eq!(instance.take(), Some(2));
    instance.place.finished();
    instance.place.finished();
    assert_eq!(starts.load(Ordering::Relaxed), 1);

    clients.extend([3, 4].map(|number| push(&queue, number)));
    assert_eq!(starts.load(Ordering::Relaxed), 2, "one of the two needs another instance");
    assert_eq!(instance.take(), Some(3));
    assert!(instance.place.is_closed() && !instance.place.has_room());
}

#[test]
fn nothing_is_kept_for_an_instance_that_computes() {
    let (queue, starts) = queue(16);
    let _client = push(&queue, 1);
    let mut instance = Instance::start(&queue, 100);
    assert_eq!(instance.take(), Some(1));
    let _client = push(&queue, 2);
    assert_eq!(starts.load(Ordering::Relaxed), 1, "there is room for fifteen more");
    queue.withdraw(instance.place.number());
    assert_eq!(starts.load(Ordering::Relaxed), 2, "but the instance does not look");
    instance.place.restore();
    let _client = push(&queue, 3);
    assert_eq!(starts.load(Ordering::Relaxed), 2);
}

#[test]
fn what_an_instance_was_woken_for_goes_to_another_when_it_computes_instead() {
    let (queue, starts) = queue(1);
    let [mut other, woken] = two_waiting(&queue);
    let _client = push(&queue, 3);
    assert!(woken.bell.rang());
    queue.withdraw(woken.place.number());
    assert!(other.bell.rang());
    assert_eq!(other.take(), Some(3));
    assert_eq!(starts.load(Ordering::Relaxed), 2);
}
