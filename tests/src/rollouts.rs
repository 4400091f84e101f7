//! Rollouts of the guest `variant`, and shoppers who are there meanwhile.

use futures::future::join_all;
use serde_json::Value;
use tokio::time::Instant;

use crate::host::{Host, PATIENCE};

/// Shoppers at once.
pub const SHOPPERS: usize = 8;

/// Deploys an artifact, which has to begin a rollout.
pub async fn begin(host: &Host, wasm: &[u8]) {
    let done = host.deploy("variant", wasm).await;
    assert_eq!(done["rollout"], true, "{done}");
}

/// How the rollout goes, or how the last one ended.
pub async fn rollout(host: &Host) -> Value {
    host.status_of("variant").await["rollout"].clone()
}

/// Shops until the rollout is over or `enough`; returns how it went, and what was answered.
pub async fn shop(host: &Host, enough: impl Fn(&Value) -> bool) -> (Value, Vec<(u16, String)>) {
    let deadline = Instant::now() + PATIENCE;
    let mut answers = Vec::new();
    loop {
        let asked = join_all((0..SHOPPERS).map(|_| async {
            let answer = host.get("/variant/").await;
            (answer.status().as_u16(), answer.text().await.unwrap_or_default())
        }));
        answers.extend(asked.await);
        let rollout = rollout(host).await;
        if !rollout["promoted"].is_null() || enough(&rollout) {
            return (rollout, answers);
        }
        assert!(Instant::now() < deadline, "it goes on for ever: {rollout}");
    }
}

/// Shops until the rollout is over.
pub async fn shop_to_the_end(host: &Host) -> (Value, Vec<(u16, String)>) {
    shop(host, |_| false).await
}
