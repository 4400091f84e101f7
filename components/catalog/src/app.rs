//! What every request of an instance shares.

use commerce::Currency;
use service::{Access, idempotency};
use sql::Database;

use crate::store;

/// The service: its store, whom it trusts, and the one currency that it sells in.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) access: Access,
    pub(crate) currency: Currency,
}

impl App {
    /// Opens the database of a label and brings its schema up to date.
    pub(crate) async fn open(label: &str, access: Access, currency: Currency) -> Result<Self, sql::Error> {
        let database = Database::new(label);
        sql::migrate(&database, &[store::SCHEMA, idempotency::SCHEMA, store::RULES_SCHEMA]).await?;
        Ok(Self { database, access, currency })
    }
}
