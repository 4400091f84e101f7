//! The SQL of shipping, and nothing but.

pub(crate) mod documents;
pub(crate) mod news;
pub(crate) mod places;
pub(crate) mod seeds;
pub(crate) mod shipments;

/// The tables of shipping, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// Who is to be told of parcels, as a later migration.
pub(crate) const NEWS: &str = include_str!("news.sql");
