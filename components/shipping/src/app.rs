//! What every request of an instance shares.

use commerce::Currency;
use service::news::{self, Listener};
use service::{Access, Error, Peer, idempotency, outbox};
use sql::Database;

use crate::country::Country;
use crate::token::Signer;
use crate::{defaults, store};

/// What the merchant sets.
pub(crate) struct Settings {
    /// The one currency that prices are in.
    pub(crate) currency: Currency,
    /// Where the shop sends from.
    pub(crate) home: Country,
    pub(crate) signer: Signer,
    /// How long a quote is good.
    pub(crate) quote_ttl_s: u32,
}

/// The service: its store, whom it trusts, its settings, and who is told what happened to a parcel.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) access: Access,
    pub(crate) settings: Settings,
    pub(crate) orders: Listener,
}

impl App {
    /// Opens the database of a label, brings its schema up to date, and fills a new one with the defaults.
    pub(crate) async fn open(label: &str, access: Access, settings: Settings, orders: Peer) -> Result<Self, Error> {
        let database = Database::new(label);
        let first = [store::SCHEMA, outbox::SCHEMA].join("\n\n");
        let migrations = [&first, idempotency::SCHEMA, news::SCHEMA, outbox::AUDIT_SCHEMA, store::EVENT_IDS];
        sql::migrate(&database, &migrations).await?;
        let orders = Listener::new(orders, "/internal/shipments/changed");
        defaults::fill(&database, settings.currency, &settings.home).await?;
        Ok(Self { database, access, settings, orders })
    }
}
