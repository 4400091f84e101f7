//! When an instance is ended from outside.

use std::thread::sleep;

use futures::task::noop_waker_ref;

use super::*;

const DEADLINE: Duration = Duration::from_millis(200);
const IDLE_TIMEOUT: Duration = Duration::from_millis(100);

fn watch(activity: &Activity) -> Watch<'_> {
    Watch { activity, deadline: DEADLINE, idle_timeout: IDLE_TIMEOUT, timer: None }
}

fn is_ended(watch: &mut Watch<'_>) -> bool {
    watch.poll(&mut Context::from_waker(noop_waker_ref())).is_ready()
}

async fn end(watch: &mut Watch<'_>) -> wasmtime::Result<()> {
    poll_fn(|cx| watch.poll(cx)).await
}

#[tokio::test]
async fn an_idle_instance_ends_in_peace() {
    let activity = Activity::default();
    activity.touch();
    activity.set_busy(false);
    let started = Instant::now();
    end(&mut watch(&activity)).await.unwrap();
    assert!(started.elapsed() >= IDLE_TIMEOUT - Duration::from_millis(1), "after {:?}", started.elapsed());
}

#[tokio::test]
async fn a_busy_instance_without_progress_is_lost() {
    let activity = Activity::default();
    activity.touch();
    let started = Instant::now();
    let error = end(&mut watch(&activity)).await.unwrap_err();
    assert_eq!(error.to_string(), "the guest stood still for 200 ms and timed out");
    assert!(started.elapsed() >= DEADLINE - Duration::from_millis(1), "after {:?}", started.elapsed());
}

#[tokio::test]
async fn an_instance_that_is_late_with_all_its_requests_is_lost_although_it_made_progress() {
    let activity = Arc::new(Activity::default());
    let started = Instant::now();
    let expires = started + DEADLINE / 4;
    let earlier = activity.request_begun(expires - DEADLINE / 8);
    let later = activity.request_begun(expires);
    drop(earlier);
    activity.touch();
    end(&mut watch(&activity)).await.unwrap_err();
    let lost_after = started.elapsed();
    let expected = DEADLINE / 4 + STALL_GRACE;
    assert!(lost_after >= expected - Duration::from_millis(2) && lost_after < DEADLINE, "after {lost_after:?}");
    drop(later);
    activity.touch();
    assert!(!is_ended(&mut watch(&activity)), "what is answered may go on");
}

#[tokio::test]
async fn progress_gives_more_time() {
    let activity = Activity::default();
    let mut watch = watch(&activity);
    for _ in 0..3 {
        activity.touch();
        assert!(!is_ended(&mut watch));
        sleep(DEADLINE / 2);
    }
    assert!(end(&mut watch).await.is_err(), "and then no more");
}

#[tokio::test]
async fn an_instance_that_becomes_idle_has_the_shorter_time() {
    let activity = Activity::default();
    activity.touch();
    let mut watch = watch(&activity);
    assert!(!is_ended(&mut watch), "the timer runs for the longer time");
    activity.set_busy(false);
    sleep(IDLE_TIMEOUT + Duration::from_millis(2));
    assert!(is_ended(&mut watch));
}
