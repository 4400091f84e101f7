//! Who gets in, who waits, who is turned away.

use std::collections::HashMap;
use std::time::Instant;

use futures::FutureExt as _;

use super::super::component::InstanceLimits;
use super::*;
use crate::allowed_hosts::AllowedHosts;
use crate::telemetry::Telemetry;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Admission of a component that works on `running_max` requests at once.
fn admission(running_max: usize, queue_length_max: usize) -> Arc<Admission> {
    let telemetry = Telemetry::new("shop", "1");
    Arc::new(Admission::new(&Component {
        id: "cart".to_owned(),
        environment: Vec::new(),
        files: None,
        allowed_hosts: AllowedHosts::default(),
        variables: Default::default(),
        databases: HashMap::new(),
        key_value_stores: HashMap::new(),
        limits: InstanceLimits {
            instances_max: running_max,
            concurrency_max: 1,
            queue_length_max,
            ..InstanceLimits::default()
        },
        metrics: telemetry.component("cart", "1"),
        stdout: telemetry.guest_output("cart", "stdout"),
        stderr: telemetry.guest_output("cart", "stderr"),
    }))
}

#[tokio::test]
async fn as_many_run_as_the_instances_have_room_for() {
    let admission = admission(2, 0);
    let first = admission.enter(NEVER).await.ok().unwrap();
    let _second = admission.enter(NEVER).await.ok().unwrap();
    assert!(matches!(admission.enter(NEVER).await, Err(Refused::QueueFull)));
    drop(first);
    assert!(admission.enter(NEVER).await.is_ok());
}

#[tokio::test]
async fn the_queue_is_bounded_and_first_come_first_served() {
    let admission = admission(1, 2);
    let running = admission.enter(NEVER).await.ok().unwrap();
    let mut first = Box::pin(admission.enter(NEVER));
    assert!(first.as_mut().now_or_never().is_none());
    let mut second = Box::pin(admission.enter(NEVER));
    assert!(second.as_mut().now_or_never().is_none());
    assert_eq!(admission.queue_length(), 2);
    assert!(matches!(admission.enter(NEVER).await, Err(Refused::QueueFull)));
    assert_eq!(admission.queue_length(), 2, "who is refused takes no place");

    drop(running);
    assert!(second.as_mut().now_or_never().is_none());
    let running = first.await.ok().unwrap();
    assert_eq!(admission.queue_length(), 1);
    drop(running);
    assert!(second.await.is_ok());
    assert_eq!(admission.queue_length(), 0);
}

#[tokio::test]
async fn a_client_that_goes_away_gives_its_place_back() {
    let admission = admission(1, 1);
    let running = admission.enter(NEVER).await.ok().unwrap();
    let mut leaves = Box::pin(admission.enter(NEVER));
    assert!(leaves.as_mut().now_or_never().is_none());
    drop(leaves);
    assert_eq!(admission.queue_length(), 0);

    let mut stays = Box::pin(admission.enter(NEVER));
    assert!(stays.as_mut().now_or_never().is_none(), "there is a place to wait at");
    drop(running);
    assert!(stays.await.is_ok(), "the one who left holds nothing");
}

#[tokio::test]
async fn waiting_ends_with_the_deadline() {
    let admission = admission(1, 1);
    let _running = admission.enter(NEVER).await.ok().unwrap();
    let started = Instant::now();
    let deadline = Duration::from_millis(30);
    assert!(matches!(admission.enter(deadline).await, Err(Refused::WaitedTooLong)));
    assert!(started.elapsed() >= deadline);
    assert_eq!(admission.queue_length(), 0);
}

#[tokio::test]
async fn those_who_are_turned_away_are_counted_for_a_second() {
    let admission = admission(1, 0);
    let _running = admission.enter(NEVER).await.ok().unwrap();
    let unreported = || admission.turned_away.load(Ordering::Relaxed);
    for refused in 1..=1_000 {
        assert!(matches!(admission.enter(NEVER).await, Err(Refused::QueueFull)));
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
    assert!(matches!(admission.enter(NEVER).await, Err(Refused::QueueFull)));
    assert_eq!(unreported(), 1, "a new second begins");
}
