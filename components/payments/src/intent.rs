//! An intent: the money of one order, from the wish to pay until it is taken, given back or refused. Pure.

use commerce::{Id, Money};
use serde::{Deserialize, Serialize};

use crate::failure::Failure;

/// Where an intent stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    /// Written down; what the provider says is not known yet.
    Created,
    /// The shopper has to do something, such as to confirm with their bank.
    RequiresAction,
    /// The money is held.
    Authorized,
    /// The money is taken.
    Captured,
    /// The money was released.
    Voided,
    /// The shopper's bank refused.
    Declined,
    /// The provider could not do it.
    Failed,
}

/// What a shopper has to do before the money is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum NextAction {
    /// Go there, and come back to the return URL.
    Redirect { url: String },
    /// Have the provider's script in the browser go on with this secret.
    ClientSecret { client_secret: String },
    /// Post to this path of the shop; the test provider asks for no more.
    Confirm { path: String },
}

/// What a provider reports about an intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    ActionRequired(NextAction),
    Authorized,
    /// Minor units that were taken.
    Captured(i64),
    Voided,
    Declined(Failure),
    Failed(Failure),
}

/// What an event means for an intent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It moves on.
    Moves(State),
    /// It stands there already.
    Known,
    /// It is further than the event tells: the event was late.
    Outdated,
    /// Money is held for an intent that has ended, and has to be released.
    Stray,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::RequiresAction => "requires_action",
            Self::Authorized => "authorized",
            Self::Captured => "captured",
            Self::Voided => "voided",
            Self::Declined => "declined",
            Self::Failed => "failed",
        }
    }

    /// What `event` means here.
    ///
    /// States only move forward, so events may come twice and in any order. Money that was taken is a fact that
    /// overrules whatever was believed before.
    pub(crate) fn after(self, event: &Event) -> Verdict {
        use State::{Authorized, Captured, Created, Declined, Failed, RequiresAction, Voided};
        let target = event.state();
        match (self, target) {
            _ if self == target => Verdict::Known,
            (_, Captured) => Verdict::Moves(Captured),
            (Created, _) => Verdict::Moves(target),
            (RequiresAction, Authorized | Voided | Declined | Failed) => Verdict::Moves(target),
            (Authorized, Voided | Failed) => Verdict::Moves(target),
            (Declined | Failed, Authorized) => Verdict::Stray,
            _ => Verdict::Outdated,
        }
    }

    /// Whether the charge has to be closed at the provider after this event, so that nobody's money stays held for
    /// an intent that has ended: the shopper's browser might go on with a declined charge.
    pub(crate) fn releases(self, event: &Event) -> bool {
        match self.after(event) {
            Verdict::Stray => true,
            Verdict::Moves(State::Declined) => self == Self::RequiresAction,
            Verdict::Moves(State::Failed) => matches!(self, Self::RequiresAction | Self::Authorized),
            _ => false,
        }
    }
}

impl Event {
    /// Where the event leads.
    pub(crate) fn state(&self) -> State {
        match self {
            Self::ActionRequired(_) => State::RequiresAction,
            Self::Authorized => State::Authorized,
            Self::Captured(_) => State::Captured,
            Self::Voided => State::Voided,
            Self::Declined(_) => State::Declined,
            Self::Failed(_) => State::Failed,
        }
    }
}

/// An intent as it is stored.
#[derive(Clone, Debug)]
pub(crate) struct Intent {
    pub(crate) id: Id,
    pub(crate) order_id: Id,
    /// The name of the provider that it was made with.
    pub(crate) provider: String,
    /// The provider's name of the charge, once it is known.
    pub(crate) reference: Option<String>,
    pub(crate) state: State,
    pub(crate) amount: Money,
    /// Minor units.
    pub(crate) captured: i64,
    pub(crate) refunded: i64,
    pub(crate) refund_pending: i64,
    pub(crate) payment_method: String,
    pub(crate) customer: Option<String>,
    /// Of the token by which a guest shows that the order is theirs.
    pub(crate) order_token_digest: Option<String>,
    pub(crate) return_url: Option<String>,
    pub(crate) next_action: Option<NextAction>,
    pub(crate) failure: Option<Failure>,
    /// Whether a capture or a release is under way.
    pub(crate) busy: bool,
    /// Since when the provider is asked about the charge without an outcome.
    pub(crate) open_since_ms: Option<i64>,
    pub(crate) created_at_ms: i64,
    pub(crate) updated_at_ms: i64,
}

impl Intent {
    /// Whether the outcome of an operation is not known yet.
    pub(crate) fn is_pending(&self) -> bool {
        match self.state {
            State::Created => true,
            State::RequiresAction | State::Authorized => self.busy,
            State::Captured | State::Voided | State::Declined | State::Failed => false,
        }
    }

    /// The state as others see it.
    pub(crate) fn shown_state(&self) -> &'static str {
        if self.is_pending() { "pending" } else { self.state.as_str() }
    }

    /// Minor units that may still be refunded.
    pub(crate) fn refundable(&self) -> i64 {
        self.captured - self.refunded - self.refund_pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn failure() -> Failure {
        Failure { code: "declined".into(), message: "No.".into() }
    }

    fn action() -> Event {
        Event::ActionRequired(NextAction::Confirm { path: "/".into() })
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            Just(action()),
            Just(Event::Authorized),
            Just(Event::Captured(5)),
            Just(Event::Voided),
            Just(Event::Declined(failure())),
            Just(Event::Failed(failure())),
        ]
    }

    fn apply(state: State, event: &Event) -> State {
        match state.after(event) {
            Verdict::Moves(next) => next,
            Verdict::Known | Verdict::Outdated | Verdict::Stray => state,
        }
    }

    /// What providers tell in the life of a charge, in the order in which it happened.
    fn any_history() -> impl Strategy<Value = Vec<Event>> {
        prop_oneof![
            Just(vec![Event::Declined(failure())]),
            Just(vec![action(), Event::Declined(failure())]),
            Just(vec![Event::Authorized, Event::Captured(5)]),
            Just(vec![action(), Event::Authorized, Event::Captured(5)]),
            Just(vec![action(), Event::Authorized, Event::Voided]),
            Just(vec![action(), Event::Voided]),
            Just(vec![Event::Authorized, Event::Failed(failure())]),
        ]
    }

    proptest! {
        #[test]
        fn late_and_repeated_events_end_where_the_history_ends(
            (told, end) in any_history().prop_flat_map(|history| {
                let end = history.last().map(Event::state).unwrap();
                let twice: Vec<Event> = history.iter().chain(&history).cloned().collect();
                (Just(twice).prop_shuffle(), Just(end))
            })
        ) {
            let state = told.iter().fold(State::Created, apply);
            prop_assert_eq!(state, end);
        }

        #[test]
        fn what_is_over_stays_over_unless_money_was_taken(events in prop::collection::vec(any_event(), 1..20)) {
            let mut state = State::Created;
            for event in &events {
                let next = apply(state, event);
                if matches!(state, State::Voided | State::Declined | State::Failed) {
                    prop_assert!(next == state || next == State::Captured);
                }
                prop_assert!(state != State::Captured || next == State::Captured);
                prop_assert!(next != State::Created);
                state = next;
            }
        }

        #[test]
        fn held_money_of_an_ended_intent_is_released(events in prop::collection::vec(any_event(), 1..20)) {
            let mut state = State::Created;
            for event in &events {
                let next = apply(state, event);
                let was_held = state == State::Authorized || *event == Event::Authorized;
                let ended_badly = matches!(next, State::Declined | State::Failed);
                prop_assert_eq!(state.releases(event), ended_badly && (was_held || (next != state && state == State::RequiresAction)));
                state = next;
            }
        }
    }
}
