//! What the catalog says about the lines of a cart, asked once in the course of a request if it can be.

use std::collections::BTreeSet;

use catalog_client::{Catalog, Offer};
use commerce::Sku;
use service::PeerError;

/// What the catalog said so far.
pub(crate) struct Asked<'a> {
    catalog: &'a Catalog,
    about: BTreeSet<Sku>,
    offer: Option<Offer>,
}

impl<'a> Asked<'a> {
    pub(crate) fn new(catalog: &'a Catalog) -> Self {
        Self { catalog, about: BTreeSet::new(), offer: None }
    }

    /// What the shop sells of these SKUs. Only if one is new the catalog is asked again, about all.
    pub(crate) async fn about(&mut self, skus: impl Iterator<Item = Sku>) -> Result<Offer, PeerError> {
        let skus: BTreeSet<Sku> = skus.collect();
        if let Some(offer) = self.offer.as_ref().filter(|_| skus.is_subset(&self.about)) {
            return Ok(offer.clone());
        }
        let offer = self.catalog.offer(skus.iter().cloned()).await?;
        self.about = skus;
        Ok(self.offer.insert(offer).clone())
    }
}
