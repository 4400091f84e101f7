//! What others are told: events that are written down with the change that they are about.

use commerce::Id;
use serde_json::{Value, json};

use crate::shipment::Shipment;

/// An event that nobody has read yet.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Message {
    pub(crate) id: Id,
    pub(crate) kind: String,
    /// The order that it is about.
    pub(crate) subject: String,
    pub(crate) at_ms: i64,
    pub(crate) data: Value,
}

impl Message {
    /// Tells where a shipment is now. Notes are the shop's own and stay here.
    pub(crate) fn about(shipment: &Shipment, now_ms: i64) -> Self {
        let data = json!({
            "shipment_id": shipment.id,
            "order_id": shipment.request.order_id,
            "state": shipment.state,
            "tracking_number": shipment.tracking_number,
        });
        Self {
            id: Id::new(),
            kind: format!("bodega.shipment.{}", shipment.state),
            subject: shipment.request.order_id.to_string(),
            at_ms: now_ms,
            data,
        }
    }
}
