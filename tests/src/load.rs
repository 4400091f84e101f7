//! Steady load on the guest `variant`, over all that clients speak.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use reqwest::Client;
use tokio::task::JoinSet;

use crate::host::{Host, PATIENCE};

/// A streamed answer.
const DRIP: &str = "/variant/drip?ms=300";

/// Requests without pause to the versions `one` and `two`, until told to stop.
pub struct Load {
    stop: Arc<AtomicBool>,
    answers: Arc<AtomicU64>,
    shoppers: JoinSet<Vec<String>>,
}

impl Load {
    /// Has shoppers begin: over kept connections of HTTP/1.1 and HTTP/2, for short and for streamed answers.
    pub fn start(host: &Host) -> Self {
        let mut load = Self { stop: Arc::default(), answers: Arc::default(), shoppers: JoinSet::new() };
        let http1 = || crate::client::builder().timeout(PATIENCE).build().expect("a client");
        let http2 = || crate::client::builder().timeout(PATIENCE).http2_prior_knowledge().build().expect("a client");
        for client in [http1(), http1(), http2(), http2()] {
            load.shopper(client.clone(), host.url("/variant/"), 1);
            load.shopper(client, host.url(DRIP), 10);
        }
        load
    }

    /// Somebody who wants the name of a revision, this many times in one answer.
    fn shopper(&mut self, client: Client, url: String, times: usize) {
        let (stop, answers) = (self.stop.clone(), self.answers.clone());
        self.shoppers.spawn(async move {
            let mut failures = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let answer = client.get(&url).send().await;
                let answer = match answer {
                    Ok(answer) if answer.status() == 200 => answer.text().await.map_err(|error| format!("{error:?}")),
                    Ok(answer) => Err(format!("{answer:?}")),
                    Err(error) => Err(format!("{error:?}")),
                };
                answers.fetch_add(1, Ordering::Relaxed);
                match answer {
                    Ok(text) if text == "one".repeat(times) || text == "two".repeat(times) => {}
                    wrong => failures.push(format!("{url}: {wrong:?}")),
                }
            }
            failures
        });
    }

    /// The number of answers, after a look that none was wrong.
    pub async fn end(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        let failures: Vec<String> = self.shoppers.join_all().await.into_iter().flatten().collect();
        assert!(failures.is_empty(), "{} failed, the first: {:?}", failures.len(), failures.first());
        self.answers.load(Ordering::Relaxed)
    }
}
