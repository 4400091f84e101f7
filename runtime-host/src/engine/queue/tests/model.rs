//! Whatever happens in whatever order: every request is taken once, and what the queue counts is what there is.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;

/// What may happen to a queue; numbers choose among those that are there.
#[derive(Debug, Clone)]
enum Event {
    Push { client_stays: bool },
    Started { requests_max: usize },
    StartFailed,
    Woken(usize),
    Finished(usize),
    Computes(usize),
    Closed(usize),
    Lost(usize),
}

fn event() -> impl Strategy<Value = Event> {
    // Instances are idle most of the time, since a wake-up can only be lost where one waits.
    prop_oneof![
        4 => prop::bool::weighted(0.8).prop_map(|client_stays| Event::Push { client_stays }),
        6 => (1..20usize).prop_map(|requests_max| Event::Started { requests_max }),
        1 => Just(Event::StartFailed),
        6 => any::<usize>().prop_map(Event::Woken),
        12 => any::<usize>().prop_map(Event::Finished),
        1 => any::<usize>().prop_map(Event::Computes),
        1 => any::<usize>().prop_map(Event::Closed),
        1 => any::<usize>().prop_map(Event::Lost),
    ]
}

/// An instance at work.
struct Worker {
    instance: Instance,
    running: usize,
    computes: bool,
}

impl Worker {
    fn has_reason_to_look(&self) -> bool {
        self.computes || self.instance.bell.rang()
    }

    fn pause(&mut self) {
        if std::mem::take(&mut self.computes) {
            self.instance.place.restore();
        }
    }
}

/// Instances that take requests only when they have a reason to look.
struct World {
    queue: Tested,
    room_per_instance: usize,
    seats: usize,
    queue_length_max: usize,
    workers: Vec<Worker>,
    clients: Vec<Client>,
    pushed: usize,
    /// Requests whose clients wait, and that no instance and no failure had yet.
    open: BTreeSet<usize>,
}

impl World {
    fn happens(&mut self, event: &Event) {
        let waited = self.queue.admission.queue_length();
        let chosen = |place: usize| (!self.workers.is_empty()).then(|| place % self.workers.len());
        match *event {
            Event::Push { client_stays } => {
                self.pushed += 1;
                match self.queue.try_push(self.pushed) {
                    Some(client) if client_stays => {
                        self.clients.push(client);
                        self.open.insert(self.pushed);
                    }
                    Some(_) => {}
                    None => assert!(waited >= self.queue_length_max, "turned away while {waited} wait"),
                }
                assert!(self.queue.admission.queue_length() <= waited.max(self.queue_length_max));
            }
            Event::Started { requests_max } if self.starting() > 0 => {
                let instance = self.queue.start(requests_max);
                self.workers.push(Worker { instance, running: 0, computes: false });
                self.look(self.workers.len() - 1);
            }
            Event::StartFailed => {
                if let Some(failed) = self.queue.next_seat().and_then(Seat::failed) {
                    self.open.remove(&number(&failed));
                }
            }
            Event::Woken(place) => {
                if let Some(place) = chosen(place).filter(|place| self.workers[*place].has_reason_to_look()) {
                    self.look(place);
                }
            }
            Event::Finished(place) => {
                if let Some(place) = chosen(place).filter(|place| self.workers[*place].running > 0) {
                    self.workers[place].pause();
                    self.workers[place].running -= 1;
                    self.workers[place].instance.place.finished();
                    self.look(place);
                }
            }
            Event::Computes(place) => {
                if let Some(place) = chosen(place) {
                    self.workers[place].computes = true;
                    self.queue.queue.withdraw(self.workers[place].instance.place.number());
                }
            }
            Event::Closed(place) => {
                if let Some(place) = chosen(place) {
                    self.workers[place].pause();
                    self.workers[place].instance.place.close();
                }
            }
            Event::Lost(place) => {
                if let Some(place) = chosen(place) {
                    self.workers.swap_remove(place);
                }
            }
            Event::Started { .. } => {}
        }
        self.check();
    }

    fn look(&mut self, place: usize) {
        let worker = &mut self.workers[place];
        worker.pause();
        while worker.instance.place.has_room() {
            let Some(taken) = worker.instance.take() else { break };
            worker.running += 1;
            assert!(self.open.remove(&taken), "{taken} is taken twice, or by none who waits");
        }
    }

    fn check(&self) {
        let looking = self.workers.iter().filter(|worker| !worker.computes).map(|worker| &worker.instance.place);
        let offered: usize = looking.map(|place| place.free.min(place.left)).sum();
        let starting = self.starting();
        let state = self.queue.queue.lock();
        assert_eq!(state.room, offered + starting * self.room_per_instance, "room is what the instances have");
        assert_eq!(state.seats + starting + self.workers.len(), self.seats, "nobody takes a seat that is not there");
        let without_room = state.waiting.len().saturating_sub(state.room);
        assert!(without_room == 0 || state.seats == 0, "{without_room} wait beside a free seat");
        assert_eq!(self.queue.admission.queue_length(), without_room);
    }

    fn starting(&self) -> usize {
        self.queue.starting.lock().unwrap().len()
    }

    /// Lets everything come to its end.
    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            while self.starting() > 0 {
                self.happens(&Event::Started { requests_max: 100 });
            }
            for place in (0..self.workers.len()).rev() {
                let worker = &self.workers[place];
                quiet &= worker.running == 0 && !worker.computes && !worker.instance.bell.0.load(Ordering::Relaxed);
                self.happens(&Event::Woken(place));
                self.happens(&Event::Finished(place));
                let worker = &self.workers[place];
                if worker.running == 0 && worker.instance.place.is_closed() {
                    // It has done its share, and ends.
                    quiet = false;
                    self.happens(&Event::Lost(place));
                }
            }
            quiet &= self.starting() == 0;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn every_request_is_taken_once(
        room_per_instance in 1..4usize,
        seats in 1..5usize,
        queue_length_max in 0..6usize,
        events in prop::collection::vec(event(), 1..80),
    ) {
        let mut world = World {
            queue: Tested::bounded(room_per_instance, seats, queue_length_max),
            room_per_instance,
            seats,
            queue_length_max,
            workers: Vec::new(),
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
