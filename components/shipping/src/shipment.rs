//! A parcel's way from the order to the door, as states and the events between them.

use std::fmt;

use commerce::{Id, Quantity, Sku, parse_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};
use service::Violation;

use crate::country::Country;
use crate::destination::{NAME_CHARS_MAX, Postcode};

/// Most lines of a shipment.
pub(crate) const LINES_MAX: usize = 100;
/// Most events of a shipment.
pub(crate) const EVENTS_MAX: u32 = 200;
/// Longest line of an address, in characters.
pub(crate) const ADDRESS_CHARS_MAX: usize = 200;
/// Longest note and tracking number, in characters.
pub(crate) const NOTE_CHARS_MAX: usize = 500;
pub(crate) const TRACKING_NUMBER_CHARS_MAX: usize = 64;
/// How far the clock of who reports an event may be ahead.
const CLOCK_SKEW_MS: i64 = 5 * 60 * 1000;

/// Where a parcel is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum State {
    Created,
    Packed,
    HandedOver,
    InTransit,
    Delivered,
    Returned,
    Cancelled,
}

impl State {
    /// All of them, in the order of a parcel's way.
    pub(crate) const ALL: [Self; 7] = [
        Self::Created,
        Self::Packed,
        Self::HandedOver,
        Self::InTransit,
        Self::Delivered,
        Self::Returned,
        Self::Cancelled,
    ];

    /// Where it can be next. A parcel in transit reports again and again; one that was handed over cannot be called
    /// back.
    pub(crate) fn next(self) -> &'static [Self] {
        match self {
            Self::Created => &[Self::Packed, Self::Cancelled],
            Self::Packed => &[Self::HandedOver, Self::Cancelled],
            Self::HandedOver | Self::InTransit => &[Self::InTransit, Self::Delivered, Self::Returned],
            Self::Delivered | Self::Returned | Self::Cancelled => &[],
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Packed => "packed",
            Self::HandedOver => "handed_over",
            Self::InTransit => "in_transit",
            Self::Delivered => "delivered",
            Self::Returned => "returned",
            Self::Cancelled => "cancelled",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where and to whom a parcel goes, as its label says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Address {
    name: String,
    line1: String,
    line2: Option<String>,
    city: String,
    region: Option<String>,
    #[serde(default)]
    postcode: Postcode,
    country: Country,
    phone: Option<String>,
}

/// Units of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    sku: Sku,
    quantity: Quantity,
}

/// What an order asks to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Request {
    pub(crate) order_id: Id,
    /// The shipping method that was quoted.
    method: Id,
    address: Address,
    lines: Vec<Line>,
}

impl Request {
    /// Says all that is wrong.
    pub(crate) fn checked(self) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        let address = &self.address;
        for (field, text, chars_max) in [
            ("name", Some(&address.name), ADDRESS_CHARS_MAX),
            ("line1", Some(&address.line1), ADDRESS_CHARS_MAX),
            ("line2", address.line2.as_ref(), ADDRESS_CHARS_MAX),
            ("city", Some(&address.city), NAME_CHARS_MAX),
            ("region", address.region.as_ref(), NAME_CHARS_MAX),
            ("phone", address.phone.as_ref(), TRACKING_NUMBER_CHARS_MAX),
        ] {
            if text.is_some_and(|text| !is_text(text, chars_max)) {
                wrong.push(Violation::new(field, format!("1 to {chars_max} characters in one line")).within("address"));
            }
        }
        if !(1..=LINES_MAX).contains(&self.lines.len()) {
            wrong.push(Violation::new("lines", format!("1 to {LINES_MAX} lines")));
        }
        if wrong.is_empty() { Ok(self) } else { Err(wrong) }
    }
}

fn is_text(text: &str, chars_max: usize) -> bool {
    !text.trim().is_empty() && text.chars().count() <= chars_max && !text.contains(char::is_control)
}

/// An event as it is reported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct EventInput {
    state: State,
    /// When it happened; now, if it does not say.
    at: Option<String>,
    note: Option<String>,
    tracking_number: Option<String>,
}

/// Something that happened to a parcel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Event {
    pub(crate) state: State,
    #[serde(serialize_with = "as_rfc3339", rename = "at")]
    pub(crate) at_ms: i64,
    #[serde(serialize_with = "as_rfc3339", rename = "recorded_at")]
    pub(crate) recorded_at_ms: i64,
    /// The account that reported it, or the service.
    pub(crate) actor: String,
    pub(crate) note: Option<String>,
}

/// An event that passed its checks, with the number by which the carrier knows the parcel from then on.
#[derive(Clone, Debug)]
pub(crate) struct Report {
    pub(crate) event: Event,
    pub(crate) tracking_number: Option<String>,
}

impl Report {
    /// What the shop itself does, now.
    pub(crate) fn now(state: State, actor: &str, now_ms: i64) -> Self {
        let event = Event { state, at_ms: now_ms, recorded_at_ms: now_ms, actor: actor.to_owned(), note: None };
        Self { event, tracking_number: None }
    }

    /// What `actor` reports, or all that is wrong with it.
    pub(crate) fn new(input: EventInput, actor: &str, now_ms: i64) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        let at_ms = input.at.as_deref().map_or(Some(now_ms), parse_rfc3339);
        let at_ms = at_ms.filter(|at_ms| *at_ms <= now_ms + CLOCK_SKEW_MS);
        if at_ms.is_none() {
            wrong.push(Violation::new("at", "a time in UTC that is not ahead, such as 2026-01-31T12:00:00Z"));
        }
        for (field, text, chars_max) in [
            ("note", &input.note, NOTE_CHARS_MAX),
            ("tracking_number", &input.tracking_number, TRACKING_NUMBER_CHARS_MAX),
        ] {
            if text.as_ref().is_some_and(|text| !is_text(text, chars_max)) {
                wrong.push(Violation::new(field, format!("1 to {chars_max} characters in one line")));
            }
        }
        match (at_ms, wrong.is_empty()) {
            (Some(at_ms), true) => {
                let (state, actor, note) = (input.state, actor.to_owned(), input.note);
                let event = Event { state, at_ms, recorded_at_ms: now_ms, actor, note };
                Ok(Self { event, tracking_number: input.tracking_number })
            }
            _ => Err(wrong),
        }
    }
}

/// A parcel, with all that happened to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Shipment {
    pub(crate) id: Id,
    pub(crate) state: State,
    pub(crate) tracking_number: Option<String>,
    #[serde(flatten)]
    pub(crate) request: Request,
    #[serde(serialize_with = "as_rfc3339", rename = "created_at")]
    pub(crate) created_at_ms: i64,
    /// The first one is its making. Lists leave them out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Event>,
}

impl Shipment {
    /// The parcel after an event; `None` if it cannot come from where it is to there.
    pub(crate) fn after(mut self, report: &Report) -> Option<Self> {
        if !self.state.next().contains(&report.event.state) {
            return None;
        }
        self.state = report.event.state;
        self.tracking_number = report.tracking_number.clone().or(self.tracking_number);
        self.events.push(report.event.clone());
        Some(self)
    }
}

fn as_rfc3339<S: serde::Serializer>(unix_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*unix_ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn shipment() -> Shipment {
        let request = json!({
            "order_id": Id::new(), "method": Id::new(), "lines": [{"sku": "a", "quantity": 1}],
            "address": {"name": "Ann", "line1": "1 Road", "city": "Oslo", "postcode": "0150", "country": "NO"},
        });
        Shipment {
            id: Id::new(),
            state: State::Created,
            tracking_number: None,
            request: serde_json::from_value(request).unwrap(),
            created_at_ms: 0,
            events: Vec::new(),
        }
    }

    #[test]
    fn an_event_ahead_of_the_clock_is_refused() {
        let report = |at: &str| {
            let input = json!({"state": "packed", "at": at, "tracking_number": "T 1"});
            Report::new(serde_json::from_value(input).unwrap(), "ann", 1_700_000_000_000)
        };
        assert_eq!(report("2023-11-14T22:13:20Z").unwrap().event.at_ms, 1_700_000_000_000);
        assert!(report("2023-11-14T22:18:20Z").is_ok());
        assert!(report("2023-11-14T22:18:21Z").is_err());
        assert!(report("yesterday").is_err());
    }

    proptest! {
        /// Whatever is reported in whatever order: a parcel keeps to its way, and its events tell it.
        #[test]
        fn a_parcel_keeps_to_its_way(reports in prop::collection::vec(prop::sample::select(State::ALL.to_vec()), 0..20)) {
            let mut parcel = shipment();
            for state in reports {
                let before = parcel.clone();
                match parcel.after(&Report::now(state, "ann", 1)) {
                    Some(after) => {
                        prop_assert!(before.state.next().contains(&state));
                        prop_assert_eq!(after.events.last().map(|event| event.state), Some(after.state));
                        prop_assert_eq!(after.events.len(), before.events.len() + 1);
                        parcel = after;
                    }
                    None => {
                        prop_assert!(!before.state.next().contains(&state));
                        parcel = before;
                    }
                }
            }
            let states: Vec<State> = parcel.events.iter().map(|event| event.state).collect();
            let handed_over = states.contains(&State::HandedOver);
            prop_assert!(!(handed_over && states.contains(&State::Cancelled)));
            prop_assert!(handed_over || !states.contains(&State::Delivered));
            let ends = [State::Delivered, State::Returned, State::Cancelled];
            prop_assert!(states.iter().rev().skip(1).all(|state| !ends.contains(state)));
        }
    }
}
