//! The SQL of accounts, and nothing but.

pub(crate) mod accounts;
pub(crate) mod api_keys;
pub(crate) mod keys;
pub(crate) mod logins;
pub(crate) mod mailed_tokens;
pub(crate) mod sessions;
pub(crate) mod sweep;
pub(crate) mod throttle;

/// The tables, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// What accounts are priced in, as a later migration.
pub(crate) const CUSTOMER_GROUPS: &str = include_str!("customer_groups.sql");
