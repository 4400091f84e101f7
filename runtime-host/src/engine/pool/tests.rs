//! What becomes of a request when no instance can start.

use std::sync::Mutex;

use http_body_util::{BodyExt as _, Empty};
use wasmtime::Trap;

use super::*;

#[test]
fn a_request_that_no_instance_could_start_for_tries_again_once() {
    let seats = Arc::<Mutex<Vec<Seat>>>::default();
    let queue = Queue::new(1, 1, Arc::new(Admission::new("cart", 0)), {
        let seats = seats.clone();
        move |seat| seats.lock().unwrap().push(seat)
    });
    let next = || seats.lock().unwrap().pop();
    let (answer, mut answered) = oneshot::channel();
    let job = Job::new(Arc::default());
    let request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
    let expires = Instant::now() + Duration::from_secs(3600);
    queue.push(Pending { request, job, answer, expires, retries: RETRIES_MAX }).unwrap();

    start_failed("cart", next().unwrap(), wasmtime::format_err!("no memory"));
    assert!(matches!(answered.try_recv(), Ok(None)), "it still waits");

    start_failed("cart", next().unwrap(), wasmtime::format_err!("no memory"));
    let error = answered.try_recv().unwrap().unwrap().err().unwrap();
    assert!(error.is::<StartError>());
    assert_eq!(format!("{error:#}"), "no instance could be started: no memory");
    assert!(next().is_none(), "for nobody");
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
