//! Single flight: of those who ask for the same at once, one asks the service, and the others wait for what it brings.
//!
//! They wait for the whole answer, whatever thread it comes on, and go on their own when that takes too long, when others cannot
//! have it, or when the one who asked went away or was told of a failure, after which one of them takes its place. Nobody waits for
//! a fetch that began before a purge of what it brings, as far as that is known.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::ask::Key;
use super::stored::Stored;

/// How long a request waits for another one's answer.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// How long it waits for the end of one that has begun: it may come at the pace of a client that is slow.
const BODY_WAIT_MAX: Duration = Duration::from_secs(1);

/// How far a fetch has come.
#[derive(Debug, Clone)]
enum State {
    Open,
    /// The head is there, and the body is on its way.
    Begun,
    Ended(Landing),
}

/// What a fetch has brought.
#[derive(Debug, Clone)]
pub enum Landing {
    /// An answer that is stored.
    Stored(Arc<Stored>),
    /// One that others cannot have, or none in time.
    Unshared,
    /// The service failed.
    Failed,
    /// Who asked went away.
    Lost,
}

/// The fetches that are on their way.
#[derive(Default)]
pub(super) struct Flights {
    open: Mutex<HashMap<Key, Flight>>,
}

struct Flight {
    state: watch::Receiver<State>,
    asked_after: u64,
}

/// What a request is to do.
pub enum Boarding {
    /// To ask the service, and to tell what became of it.
    Lead(Lead),
    /// To wait for another one's answer.
    Wait(Waiting),
}

/// Who asks the service. Dropped without a word it hands over.
pub struct Lead {
    flights: Option<Arc<Flights>>,
    key: Key,
    state: Arc<watch::Sender<State>>,
    /// The number of the last purge before it asks.
    pub asked_after: u64,
}

/// Tells those who wait that the head of the answer is there, and that its body takes a while.
pub struct Begins(Arc<watch::Sender<State>>);

/// Who waits.
pub struct Waiting(watch::Receiver<State>);

impl Flights {
    /// Boards for `key` after the purge with the number `asked_after`. Whether what was asked for after an earlier one still counts,
    /// `is_spared` says.
    pub(super) fn board(
        self: &Arc<Self>,
        key: &Key,
        asked_after: u64,
        is_spared: impl FnOnce(u64) -> bool,
    ) -> Boarding {
        let mut open = self.lock();
        match open.get(key) {
            Some(flight) if is_spared(flight.asked_after) => Boarding::Wait(Waiting(flight.state.clone())),
            _ => {
                let (state, receiver) = watch::channel(State::Open);
                open.insert(key.clone(), Flight { state: receiver, asked_after });
                let state = Arc::new(state);
                Boarding::Lead(Lead { flights: Some(self.clone()), key: key.clone(), state, asked_after })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Flight>> {
        // Every entry is whole after every change.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Who asks for itself alone.
    pub(super) fn alone(key: &Key, asked_after: u64) -> Self {
        Self { flights: None, key: key.clone(), state: Arc::new(watch::channel(State::Open).0), asked_after }
    }

    /// By which those who wait are told that the body takes a while.
    pub fn begins(&self) -> Begins {
        Begins(self.state.clone())
    }

    /// Tells what became of it.
    pub(super) fn ends(self, landing: Landing) {
        self.tell(landing);
    }

    fn tell(&self, landing: Landing) {
        if let Some(flights) = &self.flights {
            let mut open = flights.lock();
            // Another one may have taken its place after a purge.
            if open.get(&self.key).is_some_and(|flight| flight.state.same_channel(&self.state.subscribe())) {
                open.remove(&self.key);
            }
        }
        self.state.send_if_modified(|state| {
            let is_new = !matches!(state, State::Ended(_));
            if is_new {
                *state = State::Ended(landing);
            }
            is_new
        });
    }
}

impl Begins {
    /// Tells it, unless it has ended.
    pub fn tell(self) {
        self.0.send_if_modified(|state| {
            let is_open = matches!(state, State::Open);
            if is_open {
                *state = State::Begun;
            }
            is_open
        });
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.tell(Landing::Lost);
    }
}

impl Waiting {
    /// Waits for the end, for as long as that is worth it.
    pub async fn landing(mut self) -> Landing {
        let mut deadline = Instant::now() + WAIT_MAX;
        loop {
            match &*self.0.borrow_and_update() {
                State::Ended(landing) => return landing.clone(),
                State::Begun => deadline = deadline.min(Instant::now() + BODY_WAIT_MAX),
                State::Open => {}
            }
            match timeout_at(deadline, self.0.changed()).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return Landing::Lost,
                Err(_) => return Landing::Unshared,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> Key {
        super::super::tests::key(text)
    }

    fn board(flights: &Arc<Flights>, path: &str, asked_after: u64) -> Boarding {
        flights.board(&key(path), asked_after, |before| before >= asked_after)
    }

    fn lead(boarding: Boarding) -> Lead {
        match boarding {
            Boarding::Lead(lead) => lead,
            Boarding::Wait(_) => panic!("it is to lead"),
        }
    }

    fn wait(boarding: Boarding) -> Waiting {
        match boarding {
            Boarding::Wait(waiting) => waiting,
            Boarding::Lead(_) => panic!("it is to wait"),
        }
    }

    #[tokio::test]
    async fn those_who_wait_are_told_and_the_next_one_leads() {
        let flights = Arc::new(Flights::default());
        let first = lead(board(&flights, "/a", 0));
        let other = lead(board(&flights, "/b", 0));
        let waiting = [0, 1].map(|_| wait(board(&flights, "/a", 0)));
        first.ends(Landing::Failed);
        for waiting in waiting {
            assert!(matches!(waiting.landing().await, Landing::Failed));
        }
        drop(lead(board(&flights, "/a", 0)));
        drop(other);
        assert!(flights.lock().is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_hands_over() {
        let flights = Arc::new(Flights::default());
        let first = lead(board(&flights, "/a", 0));
        let waiting = wait(board(&flights, "/a", 0));
        drop(first);
        assert!(matches!(waiting.landing().await, Landing::Lost));
        drop(lead(board(&flights, "/a", 0)));
    }

    #[tokio::test]
    async fn nobody_waits_long_for_a_slow_body() {
        let flights = Arc::new(Flights::default());
        let first = lead(board(&flights, "/a", 0));
        let started = Instant::now();
        let waiting = wait(board(&flights, "/a", 0));
        first.begins().tell();
        assert!(matches!(waiting.landing().await, Landing::Unshared));
        assert!((BODY_WAIT_MAX..WAIT_MAX).contains(&started.elapsed()), "{:?}", started.elapsed());
        first.ends(Landing::Failed);
    }

    #[tokio::test]
    async fn nobody_waits_for_what_was_asked_before_a_purge() {
        let flights = Arc::new(Flights::default());
        let before = lead(board(&flights, "/a", 0));
        let after = lead(board(&flights, "/a", 1));
        let waiting = wait(board(&flights, "/a", 1));
        drop(before);
        after.ends(Landing::Unshared);
        assert!(matches!(waiting.landing().await, Landing::Unshared), "it is not told of the former one");
    }
}
