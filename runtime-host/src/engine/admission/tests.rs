//! Who may wait, who is turned away.

use super::*;

#[test]
fn as_many_wait_as_may_and_not_one_more() {
    let admission = Admission::new("cart", 2);
    assert!(admission.wait() && admission.wait());
    assert!(!admission.wait());
    assert_eq!(admission.queue_length(), 2, "who is refused is not counted");
    admission.recount(2, 1);
    assert!(admission.wait());
    assert!(!Admission::new("cart", 0).wait());
}

#[test]
fn those_who_lost_their_instance_wait_above_the_bound_and_keep_others_out() {
    let admission = Admission::new("cart", 1);
    admission.recount(0, 3);
    assert_eq!(admission.queue_length(), 3);
    assert!(!admission.wait());
    admission.recount(3, 1);
    assert!(!admission.wait());
    admission.recount(1, 0);
    assert!(admission.wait());
}

#[test]
fn threads_that_race_for_the_last_places_get_no_more_than_there_are() {
    let admission = Admission::new("cart", 1_000);
    let admitted = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| (0..500).filter(|_| admission.wait()).count())).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum::<usize>()
    });
    assert_eq!((admitted, admission.queue_length()), (1_000, 1_000));
}

#[tokio::test]
async fn those_who_are_turned_away_are_counted_for_a_second() {
    let admission = Arc::new(Admission::new("cart", 0));
    let unreported = || admission.turned_away.load(Ordering::Relaxed);
    for refused in 1..=1_000 {
        admission.turn_away();
        assert_eq!(unreported(), refused);
    }
    tokio::time::sleep(OVERLOAD_REPORT_PERIOD / 2).await;
    assert_eq!(unreported(), 1_000, "the second has not passed");
    let reported = async {
        while unreported() > 0 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(20 * OVERLOAD_REPORT_PERIOD, reported).await.unwrap();
    admission.turn_away();
    assert_eq!(unreported(), 1, "a new second begins");
}
