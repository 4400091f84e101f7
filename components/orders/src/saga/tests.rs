//! The saga in a world that dies, repeats itself and changes its mind.

use proptest::prelude::*;

use super::*;

/// What the other services hold for the order, and how they answer; see their own tests.
#[derive(Clone, Debug, PartialEq)]
struct World {
    stock: Stock,
    coupons: Coupons,
    money: Money,
    /// Whether there is stock for a new reservation.
    has_stock: bool,
    takes_coupons: bool,
    bank: Bank,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Stock {
    None,
    Held,
    Expired,
    Released,
    Sold,
    Restocked,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Coupons {
    None,
    Redeemed,
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Money {
    None,
    Waiting,
    Held,
    Declined,
    Voided,
    Captured,
    Failed,
    Refunded,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Bank {
    Approves,
    Declines,
    AsksTheShopper,
    FailsToCapture,
}

impl World {
    /// Asks for the effect of a step.
    fn call(&mut self, step: Step) -> Event {
        match step {
            Step::Reserve | Step::Rehold => match (self.stock, self.has_stock) {
                (Stock::None | Stock::Expired, true) => {
                    self.stock = Stock::Held;
                    Event::Held
                }
                (Stock::None | Stock::Expired, false) => Event::Short,
                _ => Event::Held,
            },
            Step::Redeem => match (self.coupons, self.takes_coupons) {
                (Coupons::None, true) => {
                    self.coupons = Coupons::Redeemed;
                    Event::Redeemed
                }
                (Coupons::None, false) => Event::CouponsRefused,
                _ => Event::Redeemed,
            },
            Step::Authorize => {
                if self.money == Money::Waiting && self.call(Step::Reserve) == Event::Short {
                    return Event::Short;
                }
                self.money = match (self.money, self.bank) {
                    (Money::None, Bank::Approves | Bank::FailsToCapture) => Money::Held,
                    (Money::None, Bank::Declines) => Money::Declined,
                    (Money::None, Bank::AsksTheShopper) => Money::Waiting,
                    (known, _) => known,
                };
                match self.money {
                    Money::Held | Money::Captured => Event::Authorized,
                    Money::Waiting => Event::Open,
                    _ => Event::Declined,
                }
            }
            Step::Commit => match self.stock {
                Stock::Held => {
                    self.stock = Stock::Sold;
                    Event::Sold
                }
                Stock::Sold | Stock::Restocked => Event::Sold,
                _ => Event::HoldLost,
            },
            Step::Capture => {
                if self.money == Money::Held {
                    let fails = self.bank == Bank::FailsToCapture;
                    self.money = if fails { Money::Failed } else { Money::Captured };
                }
                match self.money {
                    Money::Captured | Money::Refunded => Event::Captured,
                    _ => Event::CaptureFailed,
                }
            }
        }
    }

    /// What the tasks do that undo.
    fn undo(&mut self, undo: Undo) {
        if undo.stock {
            self.stock = match self.stock {
                Stock::Held => Stock::Released,
                Stock::Sold => Stock::Restocked,
                other => other,
            };
        }
        if undo.coupons && self.coupons == Coupons::Redeemed {
            self.coupons = Coupons::Released;
        }
        if undo.money {
            self.money = match self.money {
                Money::Waiting | Money::Held => Money::Voided,
                Money::Captured => Money::Refunded,
                other => other,
            };
        }
    }
}

/// What happens next.
#[derive(Clone, Copy, Debug)]
enum Happening {
    /// A driver takes the step and writes down what came of it.
    Step,
    /// A driver takes the step, and dies before it writes that down.
    Death,
    /// A driver that was left behind asks again for what was done long ago, and brings its event late.
    Straggler(Step),
    /// The event of the last step comes once more.
    Twice,
    Expiry,
    SellOut,
    Delivery,
    ShopperConfirms,
    TimeIsUp,
    Cancel,
}

fn any_happening() -> impl Strategy<Value = Happening> {
    prop_oneof![
        6 => Just(Happening::Step),
        3 => Just(Happening::Death),
        2 => prop::sample::select(Step::ALL.to_vec()).prop_map(Happening::Straggler),
        1 => Just(Happening::Twice),
        2 => Just(Happening::Expiry),
        1 => Just(Happening::SellOut),
        1 => Just(Happening::Delivery),
        2 => Just(Happening::ShopperConfirms),
        1 => Just(Happening::TimeIsUp),
        1 => Just(Happening::Cancel),
    ]
}

/// An order on its way: its saga while there is one, and what became of it.
struct Run {
    world: World,
    saga: Saga,
    /// Steps that were taken at least once; a straggler can only be at one of them.
    taken: Vec<Step>,
    end: Option<State>,
    last: Event,
}

impl Run {
    fn apply(&mut self, event: Event) {
        if self.end.is_some() {
            return;
        }
        match self.saga.next(event) {
            Action::Go(step) => self.saga.step = step,
            Action::Complete => self.end = Some(State::Paid),
            Action::End(ending) => {
                self.world.undo(ending.undo);
                self.end = Some(ending.state);
            }
            Action::Wait | Action::Nothing => {}
        }
    }

    fn call(&mut self, step: Step) -> Event {
        self.taken.push(step);
        let event = self.world.call(step);
        // A driver whose order has ended meanwhile undoes what it has just done.
        if matches!(self.end, Some(State::Failed | State::Cancelled)) {
            let late = Saga { step, ..self.saga };
            self.world.undo(late.may_have_been_done());
        }
        event
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Step => {
                if self.end.is_none() {
                    self.last = self.call(self.saga.step);
                    self.apply(self.last);
                }
            }
            Happening::Death => {
                if self.end.is_none() {
                    self.call(self.saga.step);
                }
            }
            Happening::Straggler(step) => {
                if self.taken.contains(&step) {
                    let event = self.call(step);
                    // Its writing is refused unless the saga stands at that step.
                    if self.saga.step == step {
                        self.apply(event);
                    }
                }
            }
            Happening::Twice => self.apply(self.last),
            Happening::Expiry => {
                if self.world.stock == Stock::Held {
                    self.world.stock = Stock::Expired;
                }
            }
            Happening::SellOut => self.world.has_stock = false,
            Happening::Delivery => self.world.has_stock = true,
            Happening::ShopperConfirms => {
                if self.world.money == Money::Waiting {
                    self.world.money = Money::Held;
                }
            }
            Happening::TimeIsUp => self.apply(Event::TimeUp),
            Happening::Cancel => self.apply(Event::Cancelled),
        }
    }
}

fn any_bank() -> impl Strategy<Value = Bank> {
    prop_oneof![
        4 => Just(Bank::Approves),
        1 => Just(Bank::Declines),
        2 => Just(Bank::AsksTheShopper),
        1 => Just(Bank::FailsToCapture),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn it_ends_with_all_or_nothing(
        (has_coupons, has_payment) in any::<(bool, bool)>(),
        (bank, has_stock, takes_coupons) in (any_bank(), prop::bool::weighted(0.9), prop::bool::weighted(0.9)),
        happenings in prop::collection::vec(any_happening(), 0..40),
    ) {
        let world = World {
            stock: Stock::None, coupons: Coupons::None, money: Money::None, has_stock, takes_coupons, bank,
        };
        let saga = Saga { step: Saga::FIRST, has_coupons, has_payment };
        let mut run = Run { world, saga, taken: Vec::new(), end: None, last: Event::Open };
        for happening in happenings {
            run.happen(happening);
            let taken = matches!(run.world.money, Money::Captured);
            prop_assert!(!taken || run.world.stock == Stock::Sold, "taken before it was sold: {:?}", run.world);
            if run.end == Some(State::Paid) {
                prop_assert!(run.world.stock == Stock::Sold);
                prop_assert!(!has_payment || taken);
            }
        }
        // From here on nothing fails any more, and the shopper goes away.
        for _ in 0..2 * Step::ALL.len() {
            run.happen(Happening::Step);
        }
        run.happen(Happening::TimeIsUp);
        let World { stock, coupons, money, .. } = run.world;
        match run.end {
            Some(State::Paid) => {
                prop_assert_eq!(stock, Stock::Sold);
                prop_assert_eq!(money, if has_payment { Money::Captured } else { Money::None });
                prop_assert_eq!(coupons, if has_coupons { Coupons::Redeemed } else { Coupons::None });
            }
            Some(State::Failed | State::Cancelled) => {
                prop_assert!(!matches!(stock, Stock::Held | Stock::Sold), "stock is {:?}", stock);
                prop_assert!(!matches!(money, Money::Waiting | Money::Held | Money::Captured), "money is {:?}", money);
                prop_assert_ne!(coupons, Coupons::Redeemed);
            }
            other => prop_assert!(false, "it ended as {:?}", other),
        }
    }
}

#[test]
fn the_way_of_an_order() {
    let saga = |step| Saga { step, has_coupons: true, has_payment: true };
    for (step, event, next) in [
        (Step::Reserve, Event::Held, Action::Go(Step::Redeem)),
        (Step::Redeem, Event::Redeemed, Action::Go(Step::Authorize)),
        (Step::Authorize, Event::Open, Action::Wait),
        (Step::Authorize, Event::Authorized, Action::Go(Step::Commit)),
        (Step::Commit, Event::HoldLost, Action::Go(Step::Rehold)),
        (Step::Rehold, Event::Held, Action::Go(Step::Commit)),
        (Step::Commit, Event::Sold, Action::Go(Step::Capture)),
        (Step::Capture, Event::Captured, Action::Complete),
        (Step::Capture, Event::TimeUp, Action::Nothing),
        (Step::Capture, Event::Held, Action::Nothing),
    ] {
        assert_eq!(saga(step).next(event), next, "{step:?} {event:?}");
    }
}

#[test]
fn what_is_free_is_not_paid_for() {
    let saga = |step| Saga { step, has_coupons: false, has_payment: false };
    assert_eq!(saga(Step::Reserve).next(Event::Held), Action::Go(Step::Commit));
    assert_eq!(saga(Step::Commit).next(Event::Sold), Action::Complete);
    let undo = Undo { stock: true, coupons: false, money: false };
    let ending = Ending { state: State::Cancelled, undo };
    assert_eq!(saga(Step::Commit).next(Event::Cancelled), Action::End(ending));
}

#[test]
fn names_are_read_as_they_are_written() {
    for step in Step::ALL {
        assert_eq!(Step::parse(step.as_str()), Some(step));
    }
    assert_eq!(Step::parse("pay"), None);
}
