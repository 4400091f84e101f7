//! When instances are asked for, and who gets a request.

mod model;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Wake;
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use http::Request;
use http_body_util::{BodyExt as _, Empty};

use super::super::job::Answer;
use super::*;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Who waits for an answer; dropping it is going away.
type Client = oneshot::Receiver<wasmtime::Result<Answer>>;

fn request(number: usize) -> (Pending, Client) {
    let (answer, client) = oneshot::channel();
    let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
    let request = Request::get(format!("http://shop/{number}")).body(body).unwrap();
    let job = Job::new(Arc::default());
    (Pending { request, job, answer, expires: Instant::now() + NEVER, retries: 0 }, client)
}

fn number(pending: &Pending) -> usize {
    pending.request.uri().path()[1..].parse().unwrap()
}

/// A queue, and the instances that it asked for.
struct Tested {
    queue: Arc<Queue>,
    admission: Arc<Admission>,
    starting: Arc<Mutex<VecDeque<Seat>>>,
    starts: Arc<AtomicUsize>,
}

impl Tested {
    /// With as many seats as anyone may want.
    fn new(room_per_instance: usize) -> Self {
        Self::bounded(room_per_instance, usize::MAX / 2, 0)
    }

    fn bounded(room_per_instance: usize, seats: usize, queue_length_max: usize) -> Self {
        let (starting, starts) = (Arc::<Mutex<VecDeque<Seat>>>::default(), Arc::<AtomicUsize>::default());
        let admission = Arc::new(Admission::new("cart", queue_length_max));
        let start = {
            let (starting, starts) = (starting.clone(), starts.clone());
            move |seat| {
                starts.fetch_add(1, Ordering::Relaxed);
                starting.lock().unwrap().push_back(seat);
            }
        };
        Self { queue: Queue::new(room_per_instance, seats, admission.clone(), start), admission, starting, starts }
    }

    /// Instances that were asked for so far.
    fn starts(&self) -> usize {
        self.starts.load(Ordering::Relaxed)
    }

    fn next_seat(&self) -> Option<Seat> {
        self.starting.lock().unwrap().pop_front()
    }

    fn start(&self, requests_max: usize) -> Instance {
        let mut seat = self.next_seat().expect("no instance was asked for");
        Instance { place: seat.offer(requests_max), _seat: seat, bell: Arc::default() }
    }

    #[must_use = "the client goes away when this is dropped"]
    fn push(&self, number: usize) -> Client {
        self.try_push(number).expect("the queue is full")
    }

    fn try_push(&self, number: usize) -> Option<Client> {
        let (pending, client) = request(number);
        self.queue.push(pending).ok().map(|()| client)
    }

    /// Two instances with room for one request each that wait; the second one waits last.
    fn two_waiting(&self) -> [Instance; 2] {
        let _clients = [1, 2].map(|number| self.push(number));
        let mut instances = [(); 2].map(|()| self.start(100));
        for instance in &mut instances {
            assert!(instance.take().is_some());
            instance.place.finished();
        }
        for instance in &mut instances {
            assert_eq!(instance.take(), None);
        }
        instances
    }
}

impl Drop for Tested {
    fn drop(&mut self) {
        // Seats keep the queue that keeps them.
        while let Some(seat) = self.next_seat() {
            drop(seat.failed());
        }
    }
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
struct Instance {
    // Before the seat, as it ends in life.
    place: Place,
    _seat: Seat,
    bell: Arc<Bell>,
}

impl Instance {
    fn take(&mut self) -> Option<usize> {
        let waker = self.bell.clone().into();
        match self.place.poll_take(&mut Context::from_waker(&waker)) {
            Poll::Ready(pending) => Some(number(&pending)),
            Poll::Pending => None,
        }
    }
}

#[test]
fn an_instance_is_asked_for_when_more_wait_than_there_is_room() {
    let queue = Tested::new(2);
    let _clients: Vec<_> = (1..=5)
        .map(|number| {
            let client = queue.push(number);
            // The room of an instance that is still starting counts.
            assert_eq!(queue.starts(), number.div_ceil(2), "after {number}");
            client
        })
        .collect();

    let mut first = queue.start(100);
    assert_eq!((first.take(), first.take()), (Some(1), Some(2)));
    assert!(!first.place.has_room());
    first.place.finished();
    assert!(first.place.has_room());
    assert_eq!(first.take(), Some(3));
    assert_eq!(queue.starts(), 3, "what was asked for is enough");
}

#[test]
fn the_instance_that_waited_last_is_woken_first() {
    let queue = Tested::new(1);
    let [mut cold, mut warm] = queue.two_waiting();
    let _client = queue.push(3);
    assert_eq!((cold.bell.rang(), warm.bell.rang()), (false, true));
    assert_eq!(warm.take(), Some(3));
    let _client = queue.push(4);
    assert_eq!((cold.bell.rang(), warm.bell.rang()), (true, false));
    assert_eq!(cold.take(), Some(4));
    assert_eq!(queue.starts(), 2);
}

#[test]
fn a_request_whose_client_went_away_is_passed_over() {
    let queue = Tested::new(1);
    drop(queue.push(1));
    let _client = queue.push(2);
    let mut instance = queue.start(100);
    assert_eq!(instance.take(), Some(2), "and takes no room");
    instance.place.finished();
    drop(queue.push(3));
    assert_eq!(instance.take(), None);
    assert!(instance.place.has_room());
}

#[test]
fn a_request_whose_time_is_up_is_told_and_passed_over() {
    let queue = Tested::new(1);
    let (mut late, mut client) = request(1);
    late.expires = Instant::now();
    queue.queue.push(late).unwrap();
    let _client = queue.push(2);
    let mut instance = queue.start(100);
    assert_eq!(instance.take(), Some(2));
    assert!(client.try_recv().is_err(), "nobody works on it any more");
}

#[test]
fn an_instance_that_cannot_start_fails_the_first_in_line() {
    let queue = Tested::new(2);
    let _clients = [1, 2].map(|number| queue.push(number));
    assert_eq!(queue.starts(), 1);

    let first = queue.next_seat().unwrap().failed().unwrap();
    assert_eq!(number(&first), 1);
    assert_eq!(queue.starts(), 2, "the other one still needs an instance");

    queue.queue.push_front(first);
    assert_eq!(queue.starts(), 2, "which has room for both");
    let mut instance = queue.start(100);
    assert_eq!((instance.take(), instance.take()), (Some(1), Some(2)), "in the old order");
}

#[test]
fn a_start_that_fails_when_nobody_waits_any_more_hurts_nobody() {
    let queue = Tested::new(1);
    let _clients = [1, 2].map(|number| queue.push(number));
    let mut instance = queue.start(100);
    assert_eq!(instance.take(), Some(1));
    instance.place.finished();
    assert_eq!(instance.take(), Some(2));
    assert!(queue.next_seat().unwrap().failed().is_none());
    assert_eq!(queue.starts(), 2);
    let _client = queue.push(3);
    assert_eq!(queue.starts(), 3, "its room is no longer counted");
}

#[test]
fn what_an_instance_was_woken_for_and_cannot_take_goes_to_another() {
    for ends_by_drop in [true, false] {
        let queue = Tested::new(1);
        let [mut other, mut woken] = queue.two_waiting();
        let _client = queue.push(3);
        assert!(woken.bell.rang());
        if ends_by_drop {
            drop(woken);
        } else {
            woken.place.close();
            assert!(woken.place.is_closed() && !woken.place.has_room());
        }
        assert!(other.bell.rang(), "dropped: {ends_by_drop}");
        assert_eq!(other.take(), Some(3));
        assert_eq!(queue.starts(), 2);
    }
}

#[test]
fn an_instance_that_was_closed_is_not_woken() {
    let queue = Tested::new(1);
    let [mut other, mut closed] = queue.two_waiting();
    closed.place.close();
    let _client = queue.push(3);
    assert_eq!((other.bell.rang(), closed.bell.rang()), (true, false));
    assert_eq!(other.take(), Some(3));
}

#[test]
fn an_instance_that_ends_is_replaced_when_requests_wait() {
    let queue = Tested::new(1);
    let _clients = [1, 2].map(|number| queue.push(number));
    let mut first = queue.start(100);
    let second = queue.start(100);
    assert_eq!(first.take(), Some(1));
    drop(second);
    assert_eq!(queue.starts(), 3);
    drop(first);
    assert_eq!(queue.starts(), 3, "it had no room that is missing now");
}

#[test]
fn an_instance_near_its_end_has_room_for_what_it_may_still_take() {
    let queue = Tested::new(2);
    let mut clients = vec![queue.push(1)];
    let mut instance = queue.start(3);
    assert_eq!(instance.take(), Some(1));
    clients.push(queue.push(2));
    assert_eq!(instance.take(), Some(2));
    instance.place.finished();
    instance.place.finished();
    assert_eq!(queue.starts(), 1);

    clients.extend([3, 4].map(|number| queue.push(number)));
    assert_eq!(queue.starts(), 2, "one of the two needs another instance");
    assert_eq!(instance.take(), Some(3));
    assert!(instance.place.is_closed() && !instance.place.has_room());
}

#[test]
fn nothing_is_kept_for_an_instance_that_computes() {
    let queue = Tested::new(16);
    let _client = queue.push(1);
    let mut instance = queue.start(100);
    assert_eq!(instance.take(), Some(1));
    let _client = queue.push(2);
    assert_eq!(queue.starts(), 1, "there is room for fifteen more");
    queue.queue.withdraw(instance.place.number());
    assert_eq!(queue.starts(), 2, "but the instance does not look");
    instance.place.restore();
    let _client = queue.push(3);
    assert_eq!(queue.starts(), 2);
}

#[test]
fn what_an_instance_was_woken_for_goes_to_another_when_it_computes_instead() {
    let queue = Tested::new(1);
    let [mut other, woken] = queue.two_waiting();
    let _client = queue.push(3);
    assert!(woken.bell.rang());
    queue.queue.withdraw(woken.place.number());
    assert!(other.bell.rang());
    assert_eq!(other.take(), Some(3));
    assert_eq!(queue.starts(), 2);
}

#[test]
fn without_room_and_seats_a_request_waits_as_long_as_that_is_allowed() {
    let queue = Tested::bounded(2, 1, 2);
    let mut clients: Vec<_> = (1..=4).map(|number| queue.push(number)).collect();
    assert_eq!((queue.starts(), queue.admission.queue_length()), (1, 2), "the first two have room");
    assert!(queue.try_push(5).is_none());

    let mut instance = queue.start(100);
    assert_eq!((instance.take(), instance.take()), (Some(1), Some(2)));
    assert_eq!(queue.admission.queue_length(), 2);
    assert!(queue.try_push(5).is_none());
    instance.place.finished();
    assert_eq!(queue.admission.queue_length(), 1, "there is room for one of them");
    clients.push(queue.push(5));
    assert!(queue.try_push(6).is_none());
    assert_eq!(instance.take(), Some(3));
}

#[test]
fn requests_that_the_instances_have_room_for_are_never_turned_away() {
    let queue = Tested::bounded(2, 2, 0);
    let _clients: Vec<_> = (1..=4).map(|number| queue.push(number)).collect();
    assert!(queue.try_push(5).is_none());
    assert_eq!((queue.starts(), queue.admission.queue_length()), (2, 0));
}

#[test]
fn the_bound_on_those_who_wait_is_over_all_threads() {
    let one = Tested::bounded(1, 1, 2);
    let mut other = Tested::bounded(1, 1, 2);
    other.queue = Queue::new(1, 0, one.admission.clone(), |_| {});
    let _clients = [one.push(1), one.push(2), other.push(3)];
    assert_eq!(one.admission.queue_length(), 2);
    assert!(one.try_push(4).is_none() && other.try_push(4).is_none());
}

#[test]
fn a_request_that_nobody_waits_for_any_more_leaves_its_place_to_others() {
    let queue = Tested::bounded(1, 1, 1);
    let _first = queue.push(1);
    let (pending, _client) = request(2);
    let job = pending.job.clone();
    queue.queue.push(pending).unwrap();
    assert!(queue.try_push(3).is_none());
    queue.queue.forget(&job);
    assert_eq!(queue.admission.queue_length(), 0);
    let _third = queue.push(3);
    let mut instance = queue.start(100);
    assert_eq!(instance.take(), Some(1));
    instance.place.finished();
    assert_eq!(instance.take(), Some(3));
    queue.queue.forget(&job);
}

#[test]
fn an_instance_that_ends_leaves_its_seat_to_the_next() {
    let queue = Tested::bounded(1, 1, 5);
    let _clients = [1, 2].map(|number| queue.push(number));
    let mut first = queue.start(1);
    assert_eq!(first.take(), Some(1));
    assert!(first.place.is_closed());
    assert_eq!(queue.starts(), 1, "it is still at work");
    drop(first);
    assert_eq!(queue.starts(), 2);
    assert_eq!(queue.admission.queue_length(), 0, "there is an instance for the other one");
    assert_eq!(queue.start(100).take(), Some(2));
}

#[test]
fn those_who_lose_their_instance_wait_for_the_next_whatever_the_bound() {
    let queue = Tested::bounded(2, 1, 0);
    let _clients = [1, 2].map(|number| queue.push(number));
    let instance = queue.start(100);
    queue.queue.withdraw(instance.place.number());
    assert_eq!(queue.admission.queue_length(), 2, "it does not look");
    drop(instance);
    assert_eq!((queue.starts(), queue.admission.queue_length()), (2, 0));
    let mut next = queue.start(100);
    assert_eq!((next.take(), next.take()), (Some(1), Some(2)));
}

#[test]
fn what_is_cut_ends_its_instances_and_what_waits_and_nothing_begins_again() {
    let tested = Tested::bounded(1, 1, 5);
    let clients = [1, 2].map(|number| tested.push(number));
    let mut instance = tested.start(100);
    assert_eq!(instance.take(), Some(1));
    let end = instance._seat.take_end().unwrap();
    tested.queue.retire();
    tested.queue.cut();
    assert!(end.handle().is_aborted(), "the instance is told");
    let [_works, mut waits] = clients;
    assert!(waits.try_recv().is_err(), "who waits is told");
    assert_eq!((tested.admission.queue_length(), tested.queue.requests_cut().load(Ordering::Relaxed)), (0, 1));
    assert!(tested.try_push(3).is_none(), "who comes all the same is turned away");
    let (again, mut client) = request(4);
    let job = again.job.clone();
    tested.queue.push_front(again);
    assert!(client.try_recv().is_err());
    assert_eq!(job.lost.get(), Some(&Lost::Cut));
    drop(instance);
    assert_eq!((tested.starts(), tested.queue.instances()), (1, 0));
}

#[test]
fn when_the_thread_of_the_instances_has_ended_nobody_waits_in_vain() {
    let (starts, admission) = (Arc::<AtomicUsize>::default(), Arc::new(Admission::new("cart", 5)));
    let counter = starts.clone();
    // As a runtime does that was shut down.
    let queue = Queue::new(1, 1, admission.clone(), move |seat| {
        counter.fetch_add(1, Ordering::Relaxed);
        drop(seat);
    });
    for asked in 1..=2 {
        let (pending, mut client) = request(asked);
        queue.push(pending).unwrap();
        assert!(client.try_recv().is_err(), "it is told");
        assert_eq!((starts.load(Ordering::Relaxed), admission.queue_length()), (asked, 0));
    }
}
