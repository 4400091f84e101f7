//! What a reservation is, and how one is asked for.

use std::collections::BTreeMap;

use commerce::{QUANTITY_MAX, Quantity, Sku, rfc3339};
use serde::{Deserialize, Serialize};
use service::Violation;

/// Most lines of one reservation.
pub(crate) const LINES_MAX: usize = 100;
/// Longest id of an order or a restock, in bytes.
pub(crate) const KEY_BYTES_MAX: usize = 64;
/// Longest time that stock is held for.
pub(crate) const EXPIRES_IN_S_MAX: u32 = 7 * 24 * 60 * 60;
/// How long stock is held when nothing is asked for.
const EXPIRES_IN_S_DEFAULT: u32 = 15 * 60;

/// Units of one SKU.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Line {
    pub(crate) sku: Sku,
    pub(crate) quantity: Quantity,
}

/// What an order asks to be held.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReservationInput {
    order_id: String,
    lines: Vec<Line>,
    expires_in_s: Option<u32>,
}

/// Where a reservation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum State {
    Held,
    Committed,
    Released,
    Expired,
}

impl State {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Committed => "committed",
            Self::Released => "released",
            Self::Expired => "expired",
        }
    }
}

/// Stock that is or was held for an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Reservation {
    pub(crate) order_id: String,
    pub(crate) state: State,
    pub(crate) lines: Vec<Line>,
    #[serde(rename = "expires_at", serialize_with = "as_rfc3339")]
    pub(crate) expires_at_ms: i64,
}

fn as_rfc3339<S: serde::Serializer>(unix_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&rfc3339(*unix_ms))
}

/// An order's wish that passed its checks: one line per SKU, by SKU, so that equal wishes have equal lines.
pub(crate) struct Wish {
    pub(crate) order_id: String,
    pub(crate) lines: Vec<Line>,
    pub(crate) expires_in_s: u32,
}

impl TryFrom<ReservationInput> for Wish {
    type Error = Vec<Violation>;

    fn try_from(input: ReservationInput) -> Result<Self, Vec<Violation>> {
        let mut wrong = Vec::new();
        wrong.extend(check_key("order_id", &input.order_id));
        let lines = merge_lines(input.lines, &mut wrong);
        let expires_in_s = input.expires_in_s.unwrap_or(EXPIRES_IN_S_DEFAULT);
        if !(1..=EXPIRES_IN_S_MAX).contains(&expires_in_s) {
            wrong.push(Violation::new("expires_in_s", format!("1 to {EXPIRES_IN_S_MAX} seconds")));
        }
        match wrong.is_empty() {
            true => Ok(Self { order_id: input.order_id, lines, expires_in_s }),
            false => Err(wrong),
        }
    }
}

/// Says what is wrong with a key that another service chose.
pub(crate) fn check_key(field: &str, key: &str) -> Option<Violation> {
    let plain = key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    let fits = !key.is_empty() && key.len() <= KEY_BYTES_MAX && plain;
    let rule = format!("1 to {KEY_BYTES_MAX} visible ASCII characters without a slash");
    (!fits).then(|| Violation::new(field, rule))
}

/// One line per SKU, in the order of the SKUs.
pub(crate) fn merge_lines(lines: Vec<Line>, wrong: &mut Vec<Violation>) -> Vec<Line> {
    if !(1..=LINES_MAX).contains(&lines.len()) {
        wrong.push(Violation::new("lines", format!("1 to {LINES_MAX} lines")));
    }
    let mut units: BTreeMap<Sku, u32> = BTreeMap::new();
    for line in lines {
        let units = units.entry(line.sku).or_default();
        *units = units.saturating_add(line.quantity.get());
    }
    let mut merged = Vec::with_capacity(units.len());
    for (sku, units) in units {
        match Quantity::try_from(units) {
            Ok(quantity) => merged.push(Line { sku, quantity }),
            Err(_) => wrong.push(Violation::new("lines", format!("at most {QUANTITY_MAX} of {:?}", sku.as_str()))),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wish(input: serde_json::Value) -> Result<Wish, Vec<Violation>> {
        serde_json::from_value::<ReservationInput>(input).unwrap().try_into()
    }

    #[test]
    fn lines_of_one_sku_are_one_line() {
        let lines = json!([{"sku": "b", "quantity": 1}, {"sku": "a", "quantity": 2}, {"sku": "b", "quantity": 3}]);
        let wish = wish(json!({"order_id": "o-1", "lines": lines})).unwrap();
        let lines = serde_json::to_value(&wish.lines).unwrap();
        assert_eq!(lines, json!([{"sku": "a", "quantity": 2}, {"sku": "b", "quantity": 4}]));
    }

    #[test]
    fn every_rule_is_named() {
        let line = json!({"sku": "a", "quantity": QUANTITY_MAX});
        let wrong = wish(json!({"order_id": "a/b", "lines": [line, line], "expires_in_s": 0})).err().unwrap();
        let wrong = serde_json::to_value(wrong).unwrap();
        let fields: Vec<_> = wrong.as_array().unwrap().iter().map(|violation| violation["field"].as_str()).collect();
        assert_eq!(fields, [Some("order_id"), Some("lines"), Some("expires_in_s")]);
        assert!(wish(json!({"order_id": "o", "lines": []})).is_err());
    }
}
