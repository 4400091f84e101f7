//! One instance: a task that owns a store and works on several requests at once, until it is used up, idle or broken.
//!
//! wasmtime's own `ProxyHandler` stops offering an instance while it computes, so that another thread's instance can take the
//! request. Here all instances of a queue are on one thread: a second instance would only take turns with the first and cool
//! its caches. So an instance takes whatever it has room for, and a new one starts only when none has room.

use std::convert::Infallible;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use futures::future::{AbortHandle, Abortable, join};
use futures::stream::{FuturesUnordered, Stream};
use http::Response;
use tokio::time::Sleep;
use wasmtime::component::{Accessor, Func};
use wasmtime::{AsContextMut as _, Store, UpdateDeadline};
use wasmtime_wasi_http::handler::{Prepared, Proxy, ProxyPre};
use wasmtime_wasi_http::{WasiBody, WasiHttpView as _};

use super::Engine;
use super::activity::{Activity, Unanswered};
use super::body::gather;
use super::component::Component;
use super::epoch::EpochTicker;
use super::job::{Answer, Pending};
use super::outbound_http::{Outbound, ServiceChain};
use super::queue::Seat;
use super::requests::Requests;
use super::state::GuestState;
use super::way_out::WayOut;

/// How much longer than a request an instance may stand still before it is dropped with all its requests.
const STALL_GRACE: Duration = Duration::from_millis(50);

/// The instance was told to end in the middle of its work.
#[derive(Debug, thiserror::Error)]
#[error("the revision is no longer in force, and its time to finish is up")]
pub(super) struct CutOff;

/// Makes an instance, within the deadline of a request.
pub(super) async fn start(
    engine: &Engine,
    pre: &ProxyPre<GuestState>,
    component: Arc<Component>,
    chain: std::sync::Weak<dyn ServiceChain>,
) -> wasmtime::Result<(Store<GuestState>, Proxy)> {
    let deadline = component.limits.deadline;
    let outbound = Outbound::new(component.clone(), chain);
    let mut store = Store::new(&engine.wasmtime, GuestState::new(component, outbound)?);
    store.limiter(|state| &mut state.limits);
    store.set_epoch_deadline(1);
    // Tokio's own yield, not a bare wake: it lets the runtime look for new I/O before this guest goes on.
    store.epoch_deadline_callback(|store| {
        store.data().computed_for_an_epoch();
        Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now())))
    });
    let starting = engine.epoch.ticking(pre.instantiate_async(&mut store));
    let proxy = tokio::time::timeout(deadline, starting)
        .await
        .map_err(|_| wasmtime::format_err!("the instance did not start within {} ms", deadline.as_millis()))??;
    Ok((store, proxy))
}

/// Takes requests until the instance is used up, idle for too long, or broken.
pub(super) async fn run(
    epoch: &EpochTicker,
    seat: &mut Seat,
    mut store: Store<GuestState>,
    proxy: &Proxy,
    way_out: &WayOut,
) -> (Store<GuestState>, wasmtime::Result<()>) {
    let GuestState { activity, requests, component, .. } = store.data();
    let (activity, requests, limits) = (activity.clone(), requests.clone(), component.limits);
    let end = seat.take_end().unwrap_or_else(|| AbortHandle::new_pair().1);
    let result = {
        let work = epoch.ticking(store.run_concurrent(async |accessor: &Accessor<GuestState>| {
            take_requests(seat, accessor, proxy, &activity, &requests, way_out).await
        }));
        let mut work = pin!(Abortable::new(work, end));
        let mut watch = Watch {
            activity: &activity,
            deadline: limits.deadline + STALL_GRACE,
            idle_timeout: limits.idle_timeout,
            timer: None,
        };
        poll_fn(|cx| match work.as_mut().poll(cx) {
            Poll::Ready(Ok(result)) => Poll::Ready(result.flatten()),
            Poll::Ready(Err(_)) => Poll::Ready(Err(CutOff.into())),
            // A guest that computes keeps the loop inside from looking at the clock, so the clock is watched from outside too.
            Poll::Pending => watch.poll(cx),
        })
        .await
    };
    (store, result)
}

async fn take_requests(
    seat: &mut Seat,
    accessor: &Accessor<GuestState>,
    proxy: &Proxy,
    activity: &Arc<Activity>,
    requests: &Requests,
    way_out: &WayOut,
) -> wasmtime::Result<()> {
    let limits = accessor.with(|mut access| access.get().component.limits);
    let handler = handler(proxy);
    let mut place = seat.offer(limits.reuse_max);
    accessor.with(|mut access| access.get().take_place(place.queue(), place.number()));
    let mut work = pin!(FuturesUnordered::new());
    let mut is_late = false;
    poll_fn(|cx| {
        if activity.paused() {
            place.restore();
        }
        loop {
            while let Poll::Ready(Some(finished)) = work.as_mut().poll_next(cx) {
                match finished {
                    Ok(true) => {}
                    // A guest that is late with one request is not given another.
                    Ok(false) => {
                        place.close();
                        is_late = true;
                    }
                    Err(error) => return Poll::Ready(Err(error)),
                }
                accessor.with(|mut access| access.get().request_ended());
                place.finished();
                activity.touch();
            }
            if place.has_room()
                && accessor.poll_ready_for_concurrent_call(handler, cx).is_ready()
                && let Poll::Ready(pending) = place.poll_take(cx)
            {
                work.push(answer(accessor, proxy, activity, pending, way_out));
                activity.touch();
                continue;
            }
            // What the guest goes on with after its answers counts as work too.
            let is_busy = !work.is_empty() || accessor.poll_no_interesting_tasks(cx).is_pending();
            activity.set_busy(is_busy);
            if !is_busy {
                requests.all_ended();
            }
            // What it is late with nobody waits for, and others may wait for its seat.
            let is_over = !is_busy || is_late && work.is_empty();
            return if place.is_closed() && is_over { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
    })
    .await
}

/// Has the guest answer one request. `Ok(false)` when the deadline passed first.
async fn answer(
    accessor: &Accessor<GuestState>,
    proxy: &Proxy,
    activity: &Arc<Activity>,
    taken: Pending,
    way_out: &WayOut,
) -> wasmtime::Result<bool> {
    let Pending { request, job, answer, expires, .. } = taken;
    let unanswered = activity.request_begun(expires);
    let (head, response) = oneshot::channel();
    let (prepared, former) = accessor.with(|mut access| {
        let mut store = access.as_context_mut();
        let prepared = Prepared::new(store.as_context_mut(), proxy, request, GuestState::http, head)?;
        let (task, former) = match &prepared {
            Prepared::P3 { call, .. } => (call.task(), None),
            Prepared::P2 { call, .. } => (call.task(), Some(call.task())),
        };
        store.data_mut().request_started(task, job);
        wasmtime::error::Ok((prepared, former))
    })?;
    let Some(task) = former else {
        let expiry = tokio::time::sleep_until(expires.into());
        let (answered, body) = join(prepared.run(accessor, expiry), send(way_out, response, answer, unanswered)).await;
        // The handler returns before it writes the body, which is work on the request all the same.
        body.ended().await;
        return answered;
    };
    // A WASI 0.2 guest writes the body before its handler returns, and holds the store while it waits for a reader. So the
    // response leaves by a task of its own, and the deadline is watched from outside.
    let way_out = way_out.clone();
    tokio::spawn(async move { send(&way_out, response, answer, unanswered).await });
    let answered = prepared.run(accessor, pending()).await;
    if matches!(answered, Ok(true)) {
        accessor.with(|mut access| access.get().requests.ended(&task));
    }
    answered
}

/// A body that a client may still be reading.
struct Reading(Option<oneshot::Receiver<Infallible>>);

impl Reading {
    /// Waits until the body has come to its end, or nobody wants it any more.
    async fn ended(self) {
        if let Some(body) = self.0 {
            // Nothing is ever sent: the other end is dropped with the body.
            let _ = body.await;
        }
    }
}

/// Passes a response on with what is ready of its body. A trap drops both ends without a word.
async fn send(
    way_out: &WayOut,
    response: oneshot::Receiver<wasmtime::Result<Response<WasiBody>>>,
    answer: oneshot::Sender<wasmtime::Result<Answer>>,
    unanswered: Unanswered,
) -> Reading {
    let response = response.await;
    drop(unanswered);
    let (result, reading) = match response {
        Ok(Ok(response)) => {
            let (mut parts, body) = response.into_parts();
            let body = gather(body, &way_out.patience).await;
            if let Some(chain) = way_out.chain.upgrade() {
                chain.answered(&mut parts);
            }
            let (held, reading) = body.is_stream().then(oneshot::channel).unzip();
            (Ok(Answer { response: Response::from_parts(parts, body), held }), reading)
        }
        Ok(Err(error)) => (Err(error), None),
        Err(_) => return Reading(None),
    };
    // A client that went away needs no answer.
    let _ = answer.send(result);
    Reading(reading)
}

fn handler(proxy: &Proxy) -> Func {
    match proxy {
        Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
        Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
    }
}

/// Ends an instance that is idle for too long, or at work without progress for longer than any request may take, or still
/// without an answer when it is too late for any: a WASI 0.2 guest that waits for the host cannot be told so from inside.
struct Watch<'a> {
    activity: &'a Activity,
    deadline: Duration,
    idle_timeout: Duration,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Watch<'_> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<wasmtime::Result<()>> {
        loop {
            let busy = self.activity.is_busy();
            let mut expires = self.activity.last() + if busy { self.deadline } else { self.idle_timeout };
            if let Some(expiry) = self.activity.expiry() {
                expires = expires.min(expiry + STALL_GRACE);
            }
            if Instant::now() >= expires {
                let stalled = || {
                    Err(wasmtime::format_err!(
                        "the guest stood still for {} ms and timed out",
                        self.deadline.as_millis()
                    ))
                };
                return Poll::Ready(if busy { stalled() } else { Ok(()) });
            }
            // The timer is moved only when it fires or is too late: a busy instance keeps one for thousands of requests.
            let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(expires.into())));
            if timer.deadline() > expires.into() || timer.is_elapsed() {
                timer.as_mut().reset(expires.into());
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(test)]
mod tests;
