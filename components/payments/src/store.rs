//! The SQL of payments, and nothing but.

pub(crate) mod intents;
pub(crate) mod journal;
pub(crate) mod operations;
pub(crate) mod refunds;
pub(crate) mod test_ledger;
pub(crate) mod webhooks;

/// The tables of payments, as a migration; see [`sql::migrate`].
pub(crate) const SCHEMA: &str = include_str!("schema.sql");
/// The tables of the test provider, as a migration.
pub(crate) const TEST_PROVIDER_SCHEMA: &str = include_str!("test_provider.sql");
/// When webhooks are worked on again, as a later migration.
pub(crate) const WEBHOOK_WAITS: &str = include_str!("webhook_waits.sql");
/// Whose the orders of guests are, as a later migration.
pub(crate) const ORDER_TOKENS: &str = include_str!("order_tokens.sql");
/// Which event told of a step, as a later migration.
pub(crate) const EVENT_IDS: &str = include_str!("event_ids.sql");
