//! The SQL of shipping, and nothing but.

pub(crate) mod documents;
pub(crate) mod places;
pub(crate) mod seeds;
pub(crate) mod shipments;

/// The tables of shipping, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Which event told of what happened to a shipment, as a later migration.
pub(crate) const EVENT_IDS: &str = include_str!("event_ids.sql");
