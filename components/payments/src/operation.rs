//! An operation: one effect that is wanted of a provider, open until its outcome is known. Pure.

use commerce::Id;
use service::Retry;

use crate::intent::Event;

/// How long after an attempt without an outcome the next one may come.
const RETRY: Retry = Retry { first_ms: 1_000, max_ms: 5 * 60_000 };

/// What is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Authorize,
    Capture,
    /// Release what is held, or close what cannot be held any more.
    Void,
    Refund,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Authorize => "authorize",
            Self::Capture => "capture",
            Self::Void => "void",
            Self::Refund => "refund",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Authorize, Self::Capture, Self::Void, Self::Refund].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Whether this event is an outcome of such an operation.
    pub(crate) fn is_answered_by(self, event: &Event) -> bool {
        match (self, event) {
            (Self::Authorize, _) => true,
            (Self::Capture | Self::Void, Event::ActionRequired(_) | Event::Authorized) => false,
            (Self::Capture | Self::Void, _) => true,
            (Self::Refund, _) => false,
        }
    }

    /// The operations that this event makes needless, whoever reported it.
    pub(crate) fn settled_by(event: &Event) -> &'static [Self] {
        match event {
            Event::ActionRequired(_) | Event::Authorized | Event::Declined(_) => &[Self::Authorize],
            Event::Failed(_) | Event::Captured(_) => &[Self::Authorize, Self::Capture],
            Event::Voided => &[Self::Authorize, Self::Capture, Self::Void],
        }
    }
}

/// An operation that its holder is to work on.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    /// Also the idempotency key that the provider gets.
    pub(crate) id: Id,
    pub(crate) intent: Id,
    pub(crate) kind: Kind,
    /// Which refund it is about.
    pub(crate) refund: Option<Id>,
    /// How often it was begun, this time included.
    pub(crate) attempts: u32,
    pub(crate) created_at_ms: i64,
}

impl Operation {
    /// A new one, held by whoever makes it.
    pub(crate) fn new(intent: Id, kind: Kind, refund: Option<Id>, now_ms: i64) -> Self {
        Self { id: Id::new(), intent, kind, refund, attempts: 1, created_at_ms: now_ms }
    }

    /// When to try again after an attempt without an outcome.
    pub(crate) fn retry_at_ms(&self, now_ms: i64) -> i64 {
        RETRY.at_ms(self.attempts, now_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_read_as_they_are_written() {
        for kind in [Kind::Authorize, Kind::Capture, Kind::Void, Kind::Refund] {
            assert_eq!(Kind::parse(kind.as_str()), Some(kind));
        }
        assert_eq!(Kind::parse("charge"), None);
    }
}
