//! The SQL of orders, and nothing but.

pub(crate) mod audit;
pub(crate) mod journal;
pub(crate) mod lists;
pub(crate) mod orders;
pub(crate) mod refunds;
pub(crate) mod tasks;

/// The tables of orders, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Which refunds took their units back, as a later migration.
pub(crate) const TAKEN_BACK: &str = include_str!("taken_back.sql");
