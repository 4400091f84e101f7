//! A request that computes for ever holds up neither the requests beside it nor those of other components.

use std::fs;
use std::time::Duration;

use futures::future::join_all;
use tests::app::App;
use tests::host::Host;
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

/// The niceness and the CPU time, in clock ticks, of the host's threads whose name begins with `name`.
fn threads(host: &Host, name: &str) -> Vec<(i64, u64)> {
    let tasks = fs::read_dir(format!("/proc/{}/task", host.pid())).expect("the host runs");
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    let named = stats.filter(|stat| stat.contains(&format!("({name}")));
    named
        .map(|stat| {
            // proc_pid_stat(5): what follows the name begins with the third field.
            let fields: Vec<&str> = stat.rsplit_once(") ").expect("a name").1.split(' ').collect();
            let number = |field: usize| fields[field - 3].parse::<i64>().expect("a number");
            (number(19), number(14).cast_unsigned())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_of_low_priority_computes_where_it_stands_back_for_all_others() {
    let settings = format!("deadline_ms = {}\npriority = \"low\"", DEADLINE.as_millis());
    let host = App::new().guest("hello", "").misbehaving_guest(&settings).argument("--workers=2").start().await;
    assert_eq!(host.text("/misbehave/requests").await, "1");
    let before = threads(&host, "quiet-");
    assert_eq!(before.len(), 2, "one beside each worker thread: {before:?}");
    assert!(before.iter().all(|(niceness, _)| *niceness > 0), "{before:?}");
    assert!(threads(&host, "worker-").iter().all(|(niceness, _)| *niceness == 0));

    assert_eq!(host.get("/misbehave/loop").await.status(), 504);
    let ticks = |threads: &[(i64, u64)]| threads.iter().map(|(_, ticks)| ticks).sum::<u64>();
    let used = ticks(&threads(&host, "quiet-")) - ticks(&before);
    assert!(used > 0, "the loop ran elsewhere");
    // The connection is on another thread than the guest that reads and writes its bodies.
    let sent = "body".repeat(1 << 18);
    let echoed = host.post("/misbehave/echo").body(sent.clone()).send().await.expect("an answer");
    assert!(echoed.text().await.expect("a whole body") == sent);
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_such_components_there_are_no_such_threads() {
    let host = App::new().guest("hello", "").start().await;
    assert_eq!(host.text("/hello/").await, "Hello, world!\n");
    assert_eq!(threads(&host, "quiet-"), []);
}
