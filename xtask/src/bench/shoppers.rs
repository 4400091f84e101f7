//! Shoppers who buy, each again and again over one connection, and how long it takes them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use ::tests::shopper::{Shopper, Site};
use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinSet;

use crate::statistics::Latencies;

/// Checkouts of one client in one run, at most.
const CHECKOUTS_MAX: usize = 100_000;
/// How they pay; the test provider approves it.
const PAYMENT_METHOD: &str = "tok_approve";

/// A crowd that buys one unit at a time, of every SKU in turn.
pub(crate) struct Shoppers {
    /// One thread: the clients share the cores with what they measure.
    runtime: Runtime,
    shop: Arc<Shop>,
}

/// Where they buy, and what.
struct Shop {
    url: String,
    skus: Vec<String>,
    /// How many carts were filled so far, which is also the number of the next one.
    carts: AtomicUsize,
}

/// What one run measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Bought {
    /// Orders that were paid.
    pub(crate) count: usize,
    /// The same, per second.
    pub(crate) per_s: f64,
    /// The checkout's request alone.
    pub(crate) checkout: Times,
    /// From the empty cart to the paid order: four requests.
    pub(crate) whole: Times,
}

/// Percentiles in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Times {
    /// The median.
    pub(crate) p50_ms: f64,
    /// What 99 of 100 did not exceed.
    pub(crate) p99_ms: f64,
}

/// A full cart that is about to be checked out.
pub(crate) struct FullCart {
    shopper: Shopper,
    key: String,
    wish: Value,
}

/// How long one purchase took.
struct Purchase {
    checkout: Duration,
    whole: Duration,
}

impl Shoppers {
    /// Shoppers of the shop at `url`, which has enough of all `skus`.
    pub(crate) fn new(url: String, skus: Vec<String>) -> Result<Self> {
        ensure!(!skus.is_empty(), "there is nothing to buy");
        let runtime = Builder::new_current_thread().enable_all().build()?;
        Ok(Self { runtime, shop: Arc::new(Shop { url, skus, carts: AtomicUsize::new(0) }) })
    }

    /// Lets as many `clients` buy for `duration`. An order that is not paid at once is an error.
    pub(crate) fn buy(&self, clients: usize, duration: Duration) -> Result<Bought> {
        let begin = Instant::now();
        let client = || {
            let shop = self.shop.clone();
            async move {
                let site = Site::at(shop.url.clone());
                let mut purchases = Vec::new();
                while begin.elapsed() < duration && purchases.len() < CHECKOUTS_MAX {
                    purchases.push(shop.buy(&site).await?);
                }
                unrepeated(&site)?;
                Ok(purchases)
            }
        };
        let purchases = self.all((0..clients).map(|_| client()))?;
        let elapsed = begin.elapsed();
        ensure!(!purchases.is_empty(), "nothing was bought");
        Ok(Bought {
            count: purchases.len(),
            per_s: purchases.len() as f64 / elapsed.as_secs_f64(),
            checkout: Times::of(purchases.iter().map(|purchase| purchase.checkout)),
            whole: Times::of(purchases.iter().map(|purchase| purchase.whole)),
        })
    }

    /// Fills `count` carts, one after the other.
    pub(crate) fn fill(&self, count: usize) -> Result<Vec<FullCart>> {
        self.runtime.block_on(async {
            let site = Site::at(self.shop.url.clone());
            let mut carts = Vec::new();
            for _ in 0..count {
                carts.push(self.shop.fill(&site).await);
            }
            unrepeated(&site)?;
            Ok(carts)
        })
    }

    /// Lets as many `clients` check out these carts, and nothing else.
    pub(crate) fn check_out(&self, mut carts: Vec<FullCart>, clients: usize) -> Result<()> {
        let share = carts.len().div_ceil(clients);
        let mut shares = Vec::new();
        while !carts.is_empty() {
            shares.push(carts.split_off(carts.len().saturating_sub(share)));
        }
        self.all(shares.into_iter().map(|carts| async move {
            for cart in &carts {
                cart.check_out().await?;
            }
            Ok::<Vec<()>, anyhow::Error>(Vec::new())
        }))?;
        Ok(())
    }

    /// What all of these clients did.
    fn all<T: Send + 'static>(
        &self,
        clients: impl Iterator<Item = impl Future<Output = Result<Vec<T>>> + Send + 'static>,
    ) -> Result<Vec<T>> {
        self.runtime.block_on(async {
            let mut running: JoinSet<_> = clients.collect();
            let mut done = Vec::new();
            while let Some(client) = running.join_next().await {
                done.extend(client.context("a shopper gave up")??);
            }
            Ok(done)
        })
    }
}

impl Shop {
    async fn fill(&self, site: &Site) -> FullCart {
        let number = self.carts.fetch_add(1, Ordering::Relaxed);
        let shopper = Shopper::new(site).await;
        let cart = shopper.add(&self.skus[number % self.skus.len()], 1).await;
        let wish = shopper.wish(&cart, PAYMENT_METHOD).await;
        FullCart { shopper, key: format!("checkout-{number}"), wish }
    }

    async fn buy(&self, site: &Site) -> Result<Purchase> {
        let begin = Instant::now();
        let cart = self.fill(site).await;
        let asked = Instant::now();
        cart.check_out().await?;
        Ok(Purchase { checkout: asked.elapsed(), whole: begin.elapsed() })
    }
}

impl FullCart {
    async fn check_out(&self) -> Result<()> {
        let answer = self.shopper.check_out(&self.key, &self.wish).await;
        ensure!(answer.status == 201 && answer.body["state"] == "paid", "a checkout was answered {answer:?}");
        Ok(())
    }
}

impl Times {
    pub(crate) fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let latencies: Latencies = durations.into_iter().collect();
        let ms = |percent| latencies.percentile(percent).as_secs_f64() * 1e3;
        Self { p50_ms: ms(50), p99_ms: ms(99) }
    }
}

/// A shopper asks again when an answer tells them to, which would be no answer in time.
fn unrepeated(site: &Site) -> Result<()> {
    ensure!(site.repeats() == 0, "{} requests had to be sent again", site.repeats());
    Ok(())
}
