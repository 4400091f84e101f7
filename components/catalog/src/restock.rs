//! Stock that comes back when an order that was sold is cancelled or refunded.

use std::collections::BTreeMap;

use commerce::Sku;
use serde::{Deserialize, Serialize};
use service::Violation;

use crate::reservation::{Line, check_key, merge_lines};

/// What an order gives back, as another service writes it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RestockInput {
    restock_id: String,
    order_id: String,
    lines: Vec<Line>,
}

/// What an order gives back: one line per SKU, by SKU, so that equal restocks have equal lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Restock {
    pub(crate) restock_id: String,
    pub(crate) order_id: String,
    pub(crate) lines: Vec<Line>,
}

impl TryFrom<RestockInput> for Restock {
    type Error = Vec<Violation>;

    fn try_from(input: RestockInput) -> Result<Self, Vec<Violation>> {
        let keys = [("restock_id", &input.restock_id), ("order_id", &input.order_id)];
        let mut wrong: Vec<_> = keys.into_iter().filter_map(|(field, key)| check_key(field, key)).collect();
        let lines = merge_lines(input.lines, &mut wrong);
        match wrong.is_empty() {
            true => Ok(Self { restock_id: input.restock_id, order_id: input.order_id, lines }),
            false => Err(wrong),
        }
    }
}

/// The SKUs of which an order would have given back more than it was sold.
pub(crate) fn exceeding(sold: &[Line], given_back: &[Line], wanted: &[Line]) -> Vec<Sku> {
    let mut left: BTreeMap<&Sku, i64> = BTreeMap::new();
    for line in sold {
        *left.entry(&line.sku).or_default() += i64::from(line.quantity.get());
    }
    for line in given_back.iter().chain(wanted) {
        *left.entry(&line.sku).or_default() -= i64::from(line.quantity.get());
    }
    left.into_iter().filter(|(_, units)| *units < 0).map(|(sku, _)| sku.clone()).collect()
}
