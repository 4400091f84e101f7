//! What every request of an instance shares.

use service::{Access, outbox};
use sql::Database;

use crate::peers::Peers;
use crate::store;
use crate::token::Tokens;

/// The service: its store, whom it trusts, whom it asks, and what guests see their orders by.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) access: Access,
    pub(crate) peers: Peers,
    pub(crate) tokens: Tokens,
}

impl App {
    /// Opens the database of a label and brings its schema up to date.
    pub(crate) async fn open(label: &str, access: Access, peers: Peers, tokens: Tokens) -> Result<Self, sql::Error> {
        let database = Database::new(label);
        let first = [store::SCHEMA, outbox::SCHEMA].join("\n\n");
        sql::migrate(&database, &[&first, store::TAKEN_BACK, outbox::AUDIT_SCHEMA]).await?;
        Ok(Self { database, access, peers, tokens })
    }
}
