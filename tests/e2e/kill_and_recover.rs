//! The host is killed in the middle of writes, again and again: what it acknowledged is there, and nothing is half there.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use serde_json::{Value, json};
use tests::app::App;
use tests::host::Host;
use tokio::task::JoinSet;
use tokio::time::sleep;

const ROUNDS: u64 = 12;
const WRITERS_OF_EACH_KIND: usize = 4;
const KINDS: [&str; 3] = ["rows", "pairs", "keys"];

#[tokio::test(flavor = "multi_thread")]
async fn every_acknowledged_write_survives_kill_9() {
    let mut host = App::new().ledger().start().await;
    let next = Arc::new(AtomicI64::new(1));
    let mut acknowledged = [BTreeSet::new(), BTreeSet::new(), BTreeSet::new()];
    for round in 0..ROUNDS {
        let mut writers = JoinSet::new();
        for kind in (0..KINDS.len()).cycle().take(KINDS.len() * WRITERS_OF_EACH_KIND) {
            let (client, url) = (host.client().clone(), host.url(&format!("/ledger/{}", KINDS[kind])));
            let next = next.clone();
            writers.spawn(async move {
                let mut taken = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    match client.post(format!("{url}?n={n}")).send().await {
                        Ok(answer) if answer.status() == 201 => taken.push(n),
                        // While the host lives, it has no reason to refuse.
                        Ok(answer) => panic!("{}: {:?}", answer.status(), answer.text().await),
                        Err(_) => return (kind, taken),
                    }
                }
            });
        }
        // Each round is cut off at another point, so that every phase of a commit gets its turn.
        sleep(Duration::from_millis(150 + 37 * round)).await;
        host.kill_9().await;
        let keys = Connection::open(host.folder().join("state/sqlite_key_value.db")).expect("the file of the keys");
        let integrity: String = keys.query_row("PRAGMA integrity_check", [], |row| row.get(0)).expect("an answer");
        assert_eq!(integrity, "ok", "the file of the keys");
        drop(keys);
        for (kind, taken) in writers.join_all().await {
            acknowledged[kind].extend(taken);
        }
        host.restart().await;
        for (kind, acknowledged) in KINDS.iter().zip(&acknowledged) {
            check(&host, kind, acknowledged).await;
        }
        assert_eq!(host.json("/ledger/integrity").await, json!(["ok"]));
    }
    for (kind, acknowledged) in KINDS.iter().zip(&acknowledged) {
        assert!(acknowledged.len() > 10, "too few {kind} to mean anything: {}", acknowledged.len());
    }
}

async fn check(host: &Host, kind: &str, acknowledged: &BTreeSet<i64>) {
    let Value::Array(list) = host.json(&format!("/ledger/{kind}")).await else { panic!("a list") };
    let there: BTreeSet<i64> = list.iter().map(|n| n.as_i64().expect("a number")).collect();
    assert_eq!(there.len(), list.len(), "a write of {kind} is there twice");
    let lost: Vec<_> = acknowledged.difference(&there).collect();
    assert!(lost.is_empty(), "acknowledged {kind} are lost: {lost:?}");
    if kind == "pairs" {
        let half: Vec<_> = there.iter().filter(|n| !there.contains(&-**n)).collect();
        assert!(half.is_empty(), "half of a transaction is there: {half:?}");
    }
}
