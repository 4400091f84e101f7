//! Admission, and what becomes of a request when no instance can start.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;

use futures::FutureExt as _;
use http_body_util::{BodyExt as _, Empty};
use wasmtime::Trap;

use super::super::component::InstanceLimits;
use super::*;
use crate::allowed_hosts::AllowedHosts;
use crate::telemetry::Telemetry;

/// Longer than any test takes.
const NEVER: Duration = Duration::from_secs(3600);

/// Admission of a component that works on `running_max` requests at once.
fn admission(running_max: usize, queue_length_max: usize) -> Admission {
    let telemetry = Telemetry::new("shop", "1");
    Admission::new(&Component {
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
    })
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

#[test]
fn a_request_that_no_instance_could_start_for_tries_again_once() {
    let starts = Arc::new(AtomicUsize::new(0));
    let counter = starts.clone();
    let queue = Queue::new(1, move || {
        counter.fetch_add(1, Ordering::Relaxed);
    });
    let (answer, mut answered) = oneshot::channel();
    let context = Arc::new(RequestContext::default());
    let job = Arc::new(Job { context, activity: OnceLock::new(), failure: OnceLock::new() });
    let request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    queue.push(Pending { request, job, answer, place: None, retries: RETRIES_MAX });
    assert_eq!(starts.load(Ordering::Relaxed), 1);

    start_failed("cart", &queue, wasmtime::format_err!("no memory"));
    assert!(matches!(answered.try_recv(), Ok(None)), "it still waits");
    assert_eq!(starts.load(Ordering::Relaxed), 2);

    start_failed("cart", &queue, wasmtime::format_err!("no memory"));
    let error = answered.try_recv().unwrap().unwrap().err().unwrap();
    assert!(error.is::<StartError>());
    assert_eq!(format!("{error:#}"), "no instance could be started: no memory");
    assert_eq!(starts.load(Ordering::Relaxed), 2, "for nobody");
}

#[test]
fn traps_are_counted_by_few_kinds() {
    let kind = |error: wasmtime::Error| trap_kind(&error);
    assert_eq!(kind(Trap::StackOverflow.into()), "stack_overflow");
    assert_eq!(kind(Trap::UnreachableCodeReached.into()), "unreachable");
    assert_eq!(kind(Trap::TableOutOfBounds.into()), "out_of_bounds");
    assert_eq!(kind(Trap::IntegerDivisionByZero.into()), "trap");
    assert_eq!(kind(wasmtime::Error::from(Trap::StackOverflow).context("wasm backtrace")), "stack_overflow");
    assert_eq!(kind(wasmtime::format_err!("the guest stood still for 50 ms and timed out")), "deadline");
    assert_eq!(kind(wasmtime::format_err!("anything else")), "other");
}
