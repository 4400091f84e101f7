//! Asks the catalog.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use axum::http::{HeaderValue, StatusCode};
use commerce::{Currency, Sku};
use futures::future::try_join_all;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;
use service::{Peer, PeerError};

use crate::{Offer, PricingRules, Variant};

/// SKUs that the catalog answers at once.
pub const SKUS_MAX: usize = 200;
/// Longest query that it is asked with, in bytes; where it is reached over a network, its host bounds the whole address
/// by 8 KiB.
pub const QUERY_BYTES_MAX: usize = 6 << 10;

/// The catalog, as the services see it that sell what it has.
pub struct Catalog {
    peer: Peer,
    currency: Currency,
    /// The rules that were read last. They are asked for each time, and sent only when they have changed.
    known: Mutex<Option<Known>>,
}

#[derive(Clone)]
struct Known {
    etag: HeaderValue,
    rules: Arc<PricingRules>,
}

#[derive(Deserialize)]
struct Variants {
    variants: Vec<Variant>,
}

impl Catalog {
    /// The catalog at `peer`, which sells in `currency`.
    pub fn new(peer: Peer, currency: Currency) -> Self {
        Self { peer, currency, known: Mutex::new(None) }
    }

    /// The currency of all prices.
    pub fn currency(&self) -> Currency {
        self.currency
    }

    /// What the shop sells of these SKUs, and the rules, as of now.
    pub async fn offer(&self, skus: impl IntoIterator<Item = Sku>) -> Result<Offer, PeerError> {
        let (variants, rules) = futures::try_join!(self.variants(skus), self.rules())?;
        Ok(Offer::new(self.currency, variants, rules))
    }

    /// The variants that exist of these SKUs.
    pub async fn variants(&self, skus: impl IntoIterator<Item = Sku>) -> Result<Vec<Variant>, PeerError> {
        let paths = queries(&skus.into_iter().collect());
        let answers = paths.iter().map(|query| async move {
            let reply = self.peer.get(&format!("/internal/variants?{query}")).await?;
            Ok(reply.expect::<Variants>()?.variants)
        });
        Ok(try_join_all(answers).await?.concat())
    }

    /// The rules that carts are priced by.
    pub async fn rules(&self) -> Result<Arc<PricingRules>, PeerError> {
        let known = self.known();
        let etag = known.as_ref().map(|known| known.etag.clone());
        let reply = self.peer.get_unless("/internal/pricing-rules", etag).await?;
        if let Some(known) = known.filter(|_| reply.status == StatusCode::NOT_MODIFIED) {
            return Ok(known.rules);
        }
        let etag = reply.etag.clone();
        let rules = Arc::new(reply.expect::<PricingRules>()?);
        self.keep(etag.map(|etag| Known { etag, rules: rules.clone() }));
        Ok(rules)
    }

    fn known(&self) -> Option<Known> {
        // Who panicked while holding the lock left the value whole.
        self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone()
    }

    fn keep(&self, known: Option<Known>) {
        *self.known.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = known;
    }
}

/// Queries for all SKUs, none of them longer than the catalog takes.
fn queries(skus: &BTreeSet<Sku>) -> Vec<String> {
    let mut queries: Vec<(usize, String)> = Vec::new();
    for sku in skus {
        let pair = format!("sku={}", utf8_percent_encode(sku.as_str(), NON_ALPHANUMERIC));
        match queries.last_mut() {
            Some((count, query)) if *count < SKUS_MAX && query.len() + 1 + pair.len() <= QUERY_BYTES_MAX => {
                *count += 1;
                query.push('&');
                query.push_str(&pair);
            }
            _ => queries.push((1, pair)),
        }
    }
    queries.into_iter().map(|(_, query)| query).collect()
}
