//! What goes wrong with calls to the other services.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

/// What goes wrong with one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    None,
    /// The instance dies before the call is made.
    DeathBefore,
    /// The instance dies when the other service has acted, before that is written down.
    DeathAfter,
    /// The request never arrives.
    LostRequest,
    /// The answer never comes back.
    LostAnswer,
    /// The other service fails before it has acted.
    Fails,
    /// The other service has no such route.
    NoRoute,
    /// The instance dies, and the request arrives later.
    Late,
    /// The request takes its time, and others go first.
    SlowRequest,
    /// The answer takes its time.
    SlowAnswer,
}

impl Fault {
    /// Those after which somebody has to go on.
    pub(super) const ALL: [Self; 6] =
        [Self::DeathBefore, Self::DeathAfter, Self::LostRequest, Self::LostAnswer, Self::Fails, Self::Late];
}

/// The accidents to come: each happens to the next call whose name has a part.
#[derive(Clone, Default)]
pub(super) struct Faults(Arc<Mutex<VecDeque<(String, Fault)>>>);

impl Faults {
    /// The next call whose name (such as `POST catalog/internal/reservations`) has this part goes wrong.
    pub(super) fn next(&self, part: &str, fault: Fault) {
        self.0.lock().unwrap().push_back((part.to_owned(), fault));
    }

    /// One accident after the other, whatever is called.
    pub(super) fn come(&self, faults: impl IntoIterator<Item = Fault>) {
        self.0.lock().unwrap().extend(faults.into_iter().map(|fault| (String::new(), fault)));
    }

    pub(super) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }

    pub(super) fn take(&self, name: &str) -> Fault {
        let mut faults = self.0.lock().unwrap();
        let found = faults.iter().position(|(part, _)| name.contains(part.as_str()));
        found.and_then(|index| faults.remove(index)).map_or(Fault::None, |(_, fault)| fault)
    }
}
