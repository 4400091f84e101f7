//! What every request of an instance shares.

use axum::http::HeaderMap;
use commerce::Currency;
use identity::{Identity, IdentityError, InternalSecret, Principal, Role};
use sql::Database;

use crate::store;

/// The service: its store, whom it trusts, and the one currency that it sells in.
pub(crate) struct App {
    pub(crate) database: Database,
    pub(crate) currency: Currency,
    identity: Identity,
    internal_secret: InternalSecret,
}

impl App {
    /// Opens the database of a label and brings its schema up to date.
    pub(crate) async fn open(
        label: &str,
        identity: Identity,
        internal_secret: String,
        currency: Currency,
    ) -> Result<Self, sql::Error> {
        let database = Database::new(label);
        sql::migrate(&database, store::MIGRATIONS).await?;
        Ok(Self { database, currency, identity, internal_secret: InternalSecret::new(internal_secret) })
    }

    /// Passes staff.
    pub(crate) async fn staff(&self, headers: &HeaderMap) -> Result<Principal, IdentityError> {
        let principal = self.identity.authenticate(headers).await?;
        principal.require(Role::Staff)?;
        Ok(principal)
    }

    /// Passes the shop's other services.
    pub(crate) fn internal(&self, headers: &HeaderMap) -> Result<(), IdentityError> {
        self.internal_secret.check(headers)
    }
}
