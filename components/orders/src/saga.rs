//! The checkout of an order as a saga: which step comes after what was found out, and what has to be undone when it
//! ends. Pure.
//!
//! ```text
//! reserve -> redeem -> authorize -> commit -> capture -> paid
//!                                   ^    |
//!                                   rehold   the reservation had expired, and is made again
//! ```
//! Every step asks another service for an effect that it has once for the order, however often it is asked. So a step
//! whose outcome was lost is taken again, and two who work on the same order do no harm. Money is taken only when the
//! stock is sold. What ends badly is undone by tasks that go on until each is done; see [`Undo`].

use crate::state::State;

/// What is to be done next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Hold the stock.
    Reserve,
    /// Use the coupons.
    Redeem,
    /// Hold the money.
    Authorize,
    /// Hold the stock anew for money that is held already.
    Rehold,
    /// Sell the stock.
    Commit,
    /// Take the money.
    Capture,
}

/// Where the checkout of an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Saga {
    pub(crate) step: Step,
    /// An order without coupons redeems none.
    pub(crate) has_coupons: bool,
    /// An order over nothing is not paid.
    pub(crate) has_payment: bool,
}

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Held,
    /// There is not enough stock.
    Short,
    Redeemed,
    CouponsRefused,
    Authorized,
    Declined,
    Sold,
    /// The stock was held for too long, and is not any more.
    HoldLost,
    Captured,
    CaptureFailed,
    /// The outcome is not known yet, or waits for the shopper.
    Open,
    /// The order is older than a checkout may be.
    TimeUp,
    /// Somebody called the order off.
    Cancelled,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Take this step.
    Go(Step),
    /// Take the same step again later.
    Wait,
    /// The order is paid.
    Complete,
    /// The order has come to nothing.
    End(Ending),
    /// The event is late, or came twice.
    Nothing,
}

/// How a checkout ends that comes to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ending {
    pub(crate) state: State,
    pub(crate) undo: Undo,
}

/// What may have been done and has to be undone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undo {
    pub(crate) stock: bool,
    pub(crate) coupons: bool,
    pub(crate) money: bool,
}

impl Saga {
    /// The step that a checkout begins with.
    pub(crate) const FIRST: Step = Step::Reserve;

    /// What follows from an event.
    pub(crate) fn next(&self, event: Event) -> Action {
        match (self.step, event) {
            (Step::Reserve, Event::Held) if self.has_coupons => Action::Go(Step::Redeem),
            (Step::Reserve, Event::Held) | (Step::Redeem, Event::Redeemed) => Action::Go(self.pay_or_commit()),
            (Step::Authorize, Event::Authorized) | (Step::Rehold, Event::Held) => Action::Go(Step::Commit),
            (Step::Commit, Event::HoldLost) => Action::Go(Step::Rehold),
            (Step::Commit, Event::Sold) if self.has_payment => Action::Go(Step::Capture),
            (Step::Commit, Event::Sold) | (Step::Capture, Event::Captured) => Action::Complete,

            (Step::Reserve, Event::Short) => self.fail(Undo::default()),
            (Step::Redeem, Event::CouponsRefused) => self.fail(Undo { stock: true, ..Undo::default() }),
            (Step::Authorize, Event::Declined) | (Step::Capture, Event::CaptureFailed) => {
                self.fail(Undo { stock: true, coupons: true, money: false })
            }
            // While the payment waits for the shopper, the stock is held for longer.
            (Step::Authorize | Step::Rehold, Event::Short) => {
                self.fail(Undo { stock: false, coupons: true, money: true })
            }

            (_, Event::Open) => Action::Wait,
            (step, Event::TimeUp) if step.is_before_payment() => self.end(State::Cancelled, self.may_have_been_done()),
            (_, Event::Cancelled) => self.end(State::Cancelled, self.may_have_been_done()),
            _ => Action::Nothing,
        }
    }

    /// What this step and those before it may have done.
    pub(crate) fn may_have_been_done(&self) -> Undo {
        let undo = match self.step {
            Step::Reserve => Undo { stock: true, ..Undo::default() },
            Step::Redeem => Undo { stock: true, coupons: true, money: false },
            Step::Authorize | Step::Rehold | Step::Commit | Step::Capture => {
                Undo { stock: true, coupons: true, money: true }
            }
        };
        self.of_this_order(undo)
    }

    fn pay_or_commit(&self) -> Step {
        if self.has_payment { Step::Authorize } else { Step::Commit }
    }

    fn fail(&self, undo: Undo) -> Action {
        self.end(State::Failed, undo)
    }

    fn end(&self, state: State, undo: Undo) -> Action {
        Action::End(Ending { state, undo: self.of_this_order(undo) })
    }

    fn of_this_order(&self, undo: Undo) -> Undo {
        Undo { stock: undo.stock, coupons: undo.coupons && self.has_coupons, money: undo.money && self.has_payment }
    }
}

impl Step {
    pub(crate) const ALL: [Self; 6] =
        [Self::Reserve, Self::Redeem, Self::Authorize, Self::Rehold, Self::Commit, Self::Capture];

    /// Whether the shopper has yet to pay. From then on the checkout goes on however late it is.
    pub(crate) fn is_before_payment(self) -> bool {
        matches!(self, Self::Reserve | Self::Redeem | Self::Authorize)
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Reserve => "reserve",
            Self::Redeem => "redeem",
            Self::Authorize => "authorize",
            Self::Rehold => "rehold",
            Self::Commit => "commit",
            Self::Capture => "capture",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|step| step.as_str() == text)
    }
}

impl Event {
    /// How the journal names it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Short => "short",
            Self::Redeemed => "redeemed",
            Self::CouponsRefused => "coupons_refused",
            Self::Authorized => "authorized",
            Self::Declined => "declined",
            Self::Sold => "sold",
            Self::HoldLost => "hold_lost",
            Self::Captured => "captured",
            Self::CaptureFailed => "capture_failed",
            Self::Open => "open",
            Self::TimeUp => "time_up",
            Self::Cancelled => "cancelled",
        }
    }
}

#[cfg(test)]
mod tests;
