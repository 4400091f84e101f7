//! What every request of an instance shares.

use catalog_client::Catalog;
use service::Access;

use crate::store::Store;

/// The service: its store, whom it trusts, and the catalog.
pub(crate) struct App {
    pub(crate) store: Box<dyn Store>,
    pub(crate) access: Access,
    pub(crate) catalog: Catalog,
}
