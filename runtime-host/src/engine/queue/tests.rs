//! When instances are asked for, who gets a request, and that none is lost.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;

use futures::channel::oneshot;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use proptest::prelude::*;

use super::super::instance::Answer;
use super::super::state::Job;
use super::*;
use crate::telemetry::request_context::RequestContext;

/// Who waits for an answer; dropping it is going away.
type Client = oneshot::Receiver<wasmtime::Result<Answer>>;

fn request(number: usize) -> (Pending, Client) {
    let (answer, client) = oneshot::channel();
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(format!("http://shop/{number}")).body(body).unwrap();
    let context = Arc::new(RequestContext::default());
    let job = Arc::new(Job { context, activity: OnceLock::new(), failure: OnceLock::new() });
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

/// What may happen to a queue; numbers choose among those that are there.
#[derive(Debug, Clone)]
enum Event {
    Push { client_stays: bool },
    Started { requests_max: usize },
    StartFailed,
    Woken(usize),
    Finished(usize),
    Closed(usize),
    Lost(usize),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => any::<bool>().prop_map(|client_stays| Event::Push { client_stays }),
        3 => (1..6usize).prop_map(|requests_max| Event::Started { requests_max }),
        1 => Just(Event::StartFailed),
        4 => any::<usize>().prop_map(Event::Woken),
        4 => any::<usize>().prop_map(Event::Finished),
        1 => any::<usize>().prop_map(Event::Closed),
        1 => any::<usize>().prop_map(Event::Lost),
    ]
}

/// Instances that take requests only when they have a reason to look.
struct World<'q> {
    queue: &'q Queue,
    room_per_instance: usize,
    starts: Arc<AtomicUsize>,
    /// Starts that have come to an end, good or bad.
    started: usize,
    instances: Vec<(Instance<'q>, usize)>,
    clients: Vec<Client>,
    pushed: usize,
    /// Requests whose clients wait, and that no instance and no failure had yet.
    open: BTreeSet<usize>,
}

impl World<'_> {
    fn happens(&mut self, event: &Event) {
        let starting = self.starts.load(Ordering::Relaxed) - self.started;
        let chosen = |place: usize| (!self.instances.is_empty()).then(|| place % self.instances.len());
        match *event {
            Event::Push { client_stays } => {
                self.pushed += 1;
                let client = push(self.queue, self.pushed);
                if client_stays {
                    self.clients.push(client);
                    self.open.insert(self.pushed);
                }
            }
            Event::Started { requests_max } if starting > 0 => {
                self.started += 1;
                self.instances.push((Instance::start(self.queue, requests_max), 0));
                self.look(self.instances.len() - 1);
            }
            Event::StartFailed if starting > 0 => {
                self.started += 1;
                if let Some(failed) = self.queue.start_failed() {
                    self.open.remove(&number(&failed));
                }
            }
            Event::Woken(place) => {
                if let Some(place) = chosen(place).filter(|place| self.instances[*place].0.bell.rang()) {
                    self.look(place);
                }
            }
            Event::Finished(place) => {
                if let Some(place) = chosen(place).filter(|place| self.instances[*place].1 > 0) {
                    self.instances[place].1 -= 1;
                    self.instances[place].0.place.finished();
                    self.look(place);
                }
            }
            Event::Closed(place) => {
                if let Some(place) = chosen(place) {
                    self.instances[place].0.place.close();
                }
            }
            Event::Lost(place) => {
                if let Some(place) = chosen(place) {
                    self.instances.swap_remove(place);
                }
            }
            Event::Started { .. } | Event::StartFailed => {}
        }
        self.check();
    }

    fn look(&mut self, place: usize) {
        let (instance, running) = &mut self.instances[place];
        while instance.place.has_room() {
            let Some(taken) = instance.take() else { break };
            *running += 1;
            assert!(self.open.remove(&taken), "{taken} is taken twice, or by none who waits");
        }
    }

    fn check(&self) {
        let starting = self.starts.load(Ordering::Relaxed) - self.started;
        let offered: usize =
            self.instances.iter().map(|(instance, _)| instance.place.free.min(instance.place.left)).sum();
        let state = self.queue.lock();
        assert_eq!(state.room, offered + starting * self.room_per_instance, "room is what the instances have");
        assert!(state.waiting.len() <= state.room, "{} wait for room for {}", state.waiting.len(), state.room);
    }

    /// Lets everything come to its end.
    fn settle(&mut self) {
        while self.starts.load(Ordering::Relaxed) > self.started {
            self.happens(&Event::Started { requests_max: 100 });
        }
        let mut quiet = false;
        while !quiet {
            quiet = true;
            for place in 0..self.instances.len() {
                quiet &= self.instances[place].1 == 0 && !self.instances[place].0.bell.0.load(Ordering::Relaxed);
                self.happens(&Event::Woken(place));
                self.happens(&Event::Finished(place));
            }
            while self.starts.load(Ordering::Relaxed) > self.started {
                quiet = false;
                self.happens(&Event::Started { requests_max: 100 });
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_request_is_taken_once(room_per_instance in 1..4usize, events in prop::collection::vec(event(), 1..80)) {
        let (queue, starts) = queue(room_per_instance);
        let mut world = World {
            queue: &queue,
            room_per_instance,
            starts,
            started: 0,
            instances: Vec::new(),
            clients: Vec::new(),
            pushed: 0,
            open: BTreeSet::new(),
        };
        for event in &events {
            world.happens(event);
        }
        world.settle();
        prop_assert!(world.open.is_empty(), "nobody takes {:?}", world.open);
    }
}

#[test]
fn a_closed_place_is_not_woken_in_place_of_one_with_room() {
    let (queue, starts) = queue(1);
    let (first, _client) = request(1);
    queue.push(first);
    let mut one = queue.offer(10);
    let bell_one = Arc::new(Bell::default());
    let waker_one = bell_one.clone().into();
    assert!(one.poll_take(&mut Context::from_waker(&waker_one)).is_ready());
    one.finished();
    let (second, _client) = request(2);
    let (third, _client) = request(3);
    queue.push(second);
    queue.push(third);
    let mut two = queue.offer(10);
    let bell_two = Arc::new(Bell::default());
    let waker_two = bell_two.clone().into();
    assert!(one.poll_take(&mut Context::from_waker(&waker_one)).is_ready());
    assert!(two.poll_take(&mut Context::from_waker(&waker_two)).is_ready());
    one.finished();
    two.finished();
    assert!(two.poll_take(&mut Context::from_waker(&waker_two)).is_pending());
    assert!(one.poll_take(&mut Context::from_waker(&waker_one)).is_pending());
    one.close();
    let before = starts.load(Ordering::Relaxed);
    let (fourth, _client) = request(4);
    queue.push(fourth);
    assert!(bell_two.rang());
    assert_eq!(starts.load(Ordering::Relaxed), before);
}

#[test]
fn nothing_is_kept_for_an_instance_that_computes() {
    let (queue, starts) = queue(16);
    let (first, _client) = request(1);
    queue.push(first);
    let mut place = queue.offer(100);
    let bell = Arc::new(Bell::default());
    let waker = bell.clone().into();
    assert!(place.poll_take(&mut Context::from_waker(&waker)).is_ready());
    let (second, _client) = request(2);
    queue.push(second);
    assert_eq!(starts.load(Ordering::Relaxed), 1, "there is room for fifteen more");
    queue.withdraw(place.number());
    assert_eq!(starts.load(Ordering::Relaxed), 2, "but the instance does not look");
    place.restore();
    let (third, _client) = request(3);
    queue.push(third);
    assert_eq!(starts.load(Ordering::Relaxed), 2);
}
