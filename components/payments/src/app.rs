//! What every request of an instance shares.

use service::news::{self, Listener};
use service::{Access, Peer, outbox};
use sql::Database;

use crate::provider::Providers;
use crate::store;

/// The service: its store, whom it trusts, the providers, and who is told what moved.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) access: Access,
    pub(crate) providers: Providers,
    /// What webhooks are signed with; an empty one lets none in.
    pub(crate) webhook_secret: String,
    pub(crate) orders: Listener,
}

impl App {
    /// Opens the database of a label and brings its schema up to date.
    pub(crate) async fn open(
        label: &str,
        access: Access,
        providers: Providers,
        webhook_secret: String,
        orders: Peer,
    ) -> Result<Self, sql::Error> {
        let database = Database::new(label);
        let first = [store::SCHEMA, outbox::SCHEMA].join("\n\n");
        let migrations = [
            &first,
            store::TEST_PROVIDER_SCHEMA,
            news::SCHEMA,
            store::WEBHOOK_WAITS,
            outbox::AUDIT_SCHEMA,
            store::EVENT_IDS,
            store::ORDER_TOKENS,
        ];
        sql::migrate(&database, &migrations).await?;
        let orders = Listener::new(orders, "/internal/payments/changed");
        Ok(Self { database, access, providers, webhook_secret, orders })
    }
}
