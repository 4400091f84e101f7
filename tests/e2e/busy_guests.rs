//! A request that computes for ever holds up neither the requests beside it nor those of other components.

use std::time::Duration;

use futures::future::join_all;
use tests::app::App;
use tokio::time::{Instant, sleep};

const DEADLINE: Duration = Duration::from_millis(3_000);
/// Each of the others takes far less than a millisecond alone; the deadline would show if it waited.
const ANSWER_MAX: Duration = Duration::from_millis(1_000);
/// Long enough for the loops to have begun.
const BEGUN: Duration = Duration::from_millis(50);

#[tokio::test(flavor = "multi_thread")]
async fn endless_loops_hold_up_neither_their_component_nor_another() {
    let settings = format!("deadline_ms = {}", DEADLINE.as_millis());
    // All on one thread, where they can be in each other's way.
    let host = App::new().guest("hello", "").misbehaving_guest(&settings).argument("--workers=1").start().await;
    assert_eq!(host.text("/misbehave/requests").await, "1");

    let started = Instant::now();
    let loops = join_all((0..3).map(|_| host.get("/misbehave/loop")));
    let others = async {
        sleep(BEGUN).await;
        let mut answered = 0;
        while started.elapsed() < DEADLINE - ANSWER_MAX {
            for path in ["/misbehave/requests", "/misbehave/slow?ms=1", "/hello/"] {
                let asked = Instant::now();
                host.text(path).await;
                let took = asked.elapsed();
                assert!(took < ANSWER_MAX, "beside the loops, {path} took {took:?}");
                answered += 1;
            }
        }
        answered
    };
    let (loops, answered) = tokio::join!(loops, others);
    for answer in loops {
        assert_eq!(answer.status(), 504);
    }
    assert!(answered >= 10, "only {answered} requests were answered beside the loops");
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}
