//! 64 clients count at once, and not one of their steps is lost or counted twice.

use futures::future::join_all;
use tests::app::App;

const CLIENTS: i64 = 64;
const STEPS: i64 = 10;

async fn exact_count(way: &str) {
    let host = App::new().ledger().start().await;
    let path = format!("/ledger/{way}");
    let client = |_| async {
        let mut seen = Vec::new();
        for _ in 0..STEPS {
            let answer = host.post(&path).send().await.expect("an answer");
            assert_eq!(answer.status(), 201);
            seen.push(answer.json::<i64>().await.expect("the new count"));
        }
        seen
    };
    let mut seen: Vec<i64> = join_all((0..CLIENTS).map(client)).await.concat();
    seen.sort_unstable();
    let each_once: Vec<i64> = (1..=CLIENTS * STEPS).collect();
    assert_eq!(seen, each_once, "every step is its own number");
    assert_eq!(host.json(&path).await, CLIENTS * STEPS);
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_are_exact() {
    exact_count("increment").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn compare_and_swaps_are_exact() {
    exact_count("swap").await;
}
