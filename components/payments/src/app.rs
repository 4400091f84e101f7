//! What every request of an instance shares.

use commerce::Id;
use serde_json::json;
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
    orders: Peer,
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
        sql::migrate(&database, &[&first, store::TEST_PROVIDER_SCHEMA]).await?;
        Ok(Self { database, access, providers, webhook_secret, orders })
    }

    /// Tells orders that the payment of an order moved without their doing. They ask by themselves as well, so a
    /// failure costs time and no more.
    pub(crate) async fn tell_orders(&self, order_id: Id) {
        let told = self.orders.post("/internal/payments/changed", &json!({"order_id": order_id})).await;
        match told {
            Ok(reply) if reply.status.is_success() => {}
            Ok(reply) => eprintln!("orders was not told of {order_id}: {}", reply.unexpected()),
            Err(error) => eprintln!("orders was not told of {order_id}: {error}"),
        }
    }
}
