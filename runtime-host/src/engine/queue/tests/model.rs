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
struct Worker<'q> {
    instance: Instance<'q>,
    running: usize,
    computes: bool,
}

impl Worker<'_> {
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
struct World<'q> {
    queue: &'q Queue,
    room_per_instance: usize,
    starts: Arc<AtomicUsize>,
    /// Starts that have come to an end, good or bad.
    started: usize,
    workers: Vec<Worker<'q>>,
    clients: Vec<Client>,
    pushed: usize,
    /// Requests whose clients wait, and that no instance and no failure had yet.
    open: BTreeSet<usize>,
}

impl World<'_> {
    fn happens(&mut self, event: &Event) {
        let starting = self.starts.load(Ordering::Relaxed) - self.started;
        let chosen = |place: usize| (!self.workers.is_empty()).then(|| place % self.workers.len());
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
                let instance = Instance::start(self.queue, requests_max);
                self.workers.push(Worker { instance, running: 0, computes: false });
                self.look(self.workers.len() - 1);
            }
            Event::StartFailed if starting > 0 => {
                self.started += 1;
                if let Some(failed) = self.queue.start_failed() {
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
                    self.queue.withdraw(self.workers[place].instance.place.number());
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
            Event::Started { .. } | Event::StartFailed => {}
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
        let starting = self.starts.load(Ordering::Relaxed) - self.started;
        let looking = self.workers.iter().filter(|worker| !worker.computes).map(|worker| &worker.instance.place);
        let offered: usize = looking.map(|place| place.free.min(place.left)).sum();
        let state = self.queue.lock();
        assert_eq!(state.room, offered + starting * self.room_per_instance, "room is what the instances have");
        assert!(state.waiting.len() <= state.room, "{} wait for room for {}", state.waiting.len(), state.room);
    }

    /// Lets everything come to its end.
    fn settle(&mut self) {
        let mut quiet = false;
        while !quiet {
            quiet = true;
            while self.starts.load(Ordering::Relaxed) > self.started {
                self.happens(&Event::Started { requests_max: 100 });
            }
            for place in 0..self.workers.len() {
                let worker = &self.workers[place];
                quiet &= worker.running == 0 && !worker.computes && !worker.instance.bell.0.load(Ordering::Relaxed);
                self.happens(&Event::Woken(place));
                self.happens(&Event::Finished(place));
            }
            quiet &= self.starts.load(Ordering::Relaxed) == self.started;
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
