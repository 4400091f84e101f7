//! What every request of an instance shares.

use std::sync::Arc;

use identity::{Fetched, Identity, Principal, Settings};
use service::{Access, Error, SettingError, Transport, idempotency, outbox};
use sql::Database;

use crate::account::Account;
use crate::error::Refusal;
use crate::oidc::Providers;
use crate::store::{self, accounts, keys};

/// Tells the time, in milliseconds since the Unix epoch.
pub(crate) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// How the service is set up.
pub(crate) struct Config {
    /// Whose tokens count beside the service's own, and what its own say.
    pub(crate) identity: Settings,
    pub(crate) internal_secret: String,
    /// Whether a password logs in only after the address was verified.
    pub(crate) verified_only: bool,
    pub(crate) providers: Providers,
}

/// The service: its store, whom it trusts, and what it issues.
pub(crate) struct App {
    pub(crate) database: Arc<Database>,
    pub(crate) access: Access,
    pub(crate) identity: Settings,
    pub(crate) verified_only: bool,
    pub(crate) providers: Providers,
    pub(crate) transport: Transport,
    clock: Clock,
}

impl App {
    /// Opens the database of a label and brings its schema up to date.
    pub(crate) async fn open(
        label: &str,
        config: Config,
        transport: Transport,
        clock: Clock,
    ) -> Result<Self, SettingError> {
        let database = Arc::new(Database::new(label));
        let first = [store::SCHEMA, outbox::EXPIRING_SCHEMA].join("\n\n");
        sql::migrate(&database, &[&first, idempotency::SCHEMA, store::CUSTOMER_GROUPS]).await?;
        // The service's own keys are in its database; it has no need to ask itself over HTTP.
        let trusted = Settings { jwks_url: format!("the database {label:?}"), ..config.identity.clone() };
        let (source, time) = (database.clone(), clock.clone());
        let own_keys = move |_| -> Fetched {
            let (source, now_ms) = (source.clone(), time());
            Box::pin(async move {
                let keyring = keys::keyring(&source, now_ms).await.map_err(|error| error.to_string())?;
                Ok(keyring.jwks(now_ms).to_string().into_bytes())
            })
        };
        Ok(Self {
            database,
            access: Access::new(Identity::new(&trusted, own_keys)?, config.internal_secret),
            identity: config.identity,
            verified_only: config.verified_only,
            providers: config.providers,
            transport,
            clock,
        })
    }

    /// Milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The account of a principal. A token outlives a deleted account, and the host's own tokens belong to none.
    pub(crate) async fn account(&self, principal: &Principal) -> Result<Account, Error> {
        Ok(accounts::find(&self.database, principal.subject()).await?.ok_or(Refusal::NoAccount)?)
    }
}
