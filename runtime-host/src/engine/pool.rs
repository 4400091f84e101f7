//! The instances of one component on one worker thread: admission, dispatch, deadlines, replacement.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use futures::channel::oneshot;
use http::{Method, Request, Response, StatusCode};
use tokio::runtime::Handle;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::{ExpirationError, ProxyPre, TrapOrPanicError};
use wasmtime_wasi_http::p2::bindings::http::types as p2;
use wasmtime_wasi_http::p3::bindings::http::types as p3;

use super::Engine;
use super::admission::Admission;
use super::body::Gathered;
use super::body_end::BodyEnd;
use super::component::Component;
use super::instance::{self, CutOff};
use super::job::{Answer, Job, Lost, Pending};
use super::outbound_http::ServiceChain;
use super::patience::Patience;
use super::queue::{Queue, QueueFull, Seat};
use super::state::GuestState;
use super::way_out::WayOut;
use crate::telemetry::request_context::RequestContext;

/// How much longer than an instance the pool waits, so that the instance can say what went wrong.
const QUEUE_GRACE: Duration = Duration::from_millis(200);
/// How often a request that never reached a guest is given to another instance.
const RETRIES_MAX: u32 = 1;

/// Why a request got no response from its guest.
#[derive(Debug, thiserror::Error)]
pub enum DispatchError {
    /// The queue of the component is full.
    #[error("too many requests wait for component `{component}`")]
    QueueFull {
        /// The component's id.
        component: String,
    },
    /// The response did not begin within the deadline.
    #[error("component `{component}` did not answer within {deadline_ms} ms")]
    DeadlineExceeded {
        /// The component's id.
        component: String,
        /// The deadline that passed.
        deadline_ms: u128,
    },
    /// The instance trapped.
    #[error("component `{component}` trapped: {reason}")]
    Trapped {
        /// The component's id.
        component: String,
        /// The trap, for the log; never for the client.
        reason: String,
    },
    /// The handler returned a `wasi:http` error code in place of a response.
    #[error("component `{component}` returned an error: {reason}")]
    ErrorCode {
        /// The component's id.
        component: String,
        /// The code, for the log.
        reason: String,
    },
    /// The handler gave up because the request body is larger than the listener allows.
    #[error("component `{component}` was sent a body that is too large")]
    BodyTooLarge {
        /// The component's id.
        component: String,
    },
    /// The revision was told to end with all that it worked on.
    #[error("component `{component}` was cut off: its revision is no longer in force, and its time to finish is up")]
    CutOff {
        /// The component's id.
        component: String,
    },
    /// No instance could be made.
    #[error("no instance of component `{component}` could be started: {reason}")]
    Instantiate {
        /// The component's id.
        component: String,
        /// Why, for the log.
        reason: String,
    },
}

/// The instances of one component on one worker thread.
pub struct InstancePool {
    queue: Arc<Queue>,
    component: Arc<Component>,
    admission: Arc<Admission>,
}

impl InstancePool {
    /// A pool of at most `instances_max` instances on the thread of `runtime`. It starts empty; instances come with the
    /// requests.
    pub fn new(
        engine: Arc<Engine>,
        pre: ProxyPre<GuestState>,
        component: Arc<Component>,
        admission: Arc<Admission>,
        chain: Weak<dyn ServiceChain>,
        runtime: &Handle,
        instances_max: usize,
    ) -> Self {
        let limits = component.limits;
        let way_out = WayOut { patience: Patience::default(), chain };
        let instances = Arc::new(Instances { engine, pre, component: component.clone(), way_out });
        // Requests may come from other threads; what works on them stays on this one.
        let runtime = runtime.clone();
        let start = move |seat| drop(runtime.spawn(instances.clone().live(seat)));
        let room_per_instance = limits.concurrency_max.min(limits.reuse_max);
        let queue = Queue::new(room_per_instance, instances_max, admission.clone(), start);
        Self { queue, component, admission }
    }

    /// The component whose instances these are.
    pub fn component(&self) -> &Component {
        &self.component
    }

    /// Says that no new requests are meant for it: instances end as soon as they have no work. Those that come all the same are
    /// answered.
    pub fn retire(&self) {
        self.queue.retire();
    }

    /// What is left of it once it has been dropped.
    pub fn remains(&self) -> Remains {
        Remains { queue: Arc::downgrade(&self.queue), requests_cut: self.queue.requests_cut() }
    }

    /// Has an instance answer `request`.
    pub async fn handle(
        &self,
        request: Request<WasiBody>,
        context: Arc<RequestContext>,
    ) -> Result<Response<WasiBody>, DispatchError> {
        let started = Instant::now();
        let deadline = self.component.limits.deadline;
        let is_head = request.method() == Method::HEAD;
        let job = Job::new(context);
        let (answer, answered) = oneshot::channel();
        let expires = started + deadline;
        let pending = Pending { request, job: job.clone(), answer, expires, retries: RETRIES_MAX };
        if let Err(QueueFull) = self.queue.push(pending) {
            self.admission.turn_away();
            return Err(DispatchError::QueueFull { component: self.component.id.clone() });
        }
        let _waiting = Waiting { queue: &self.queue, job: &job };
        // The instance watches the deadline too; here it also covers the wait for one.
        let Ok(answered) = tokio::time::timeout_at((expires + QUEUE_GRACE).into(), answered).await else {
            return Err(self.deadline_exceeded());
        };
        // The sender is dropped without a word when the instance traps, or when the time was up before one had room.
        match answered.unwrap_or_else(|_| Err(TrapOrPanicError.into())) {
            Ok(Answer { response, held }) => {
                let end = if is_head || is_bodiless(response.status()) {
                    BodyEnd::of_no_interest()
                } else {
                    BodyEnd::new(self.component.metrics.clone())
                };
                let response = if is_head { response.map(Gathered::of_unknown_length) } else { response };
                Ok(response.map(|body| body.into_body(job.clone(), deadline, end, held)))
            }
            Err(error) => Err(self.failure(&error, &job, started)),
        }
    }

    fn failure(&self, error: &wasmtime::Error, job: &Job, started: Instant) -> DispatchError {
        let component = self.component.id.clone();
        if job.lost.get() == Some(&Lost::Cut) {
            return DispatchError::CutOff { component };
        }
        if error.is::<StartError>() {
            return DispatchError::Instantiate { component, reason: format!("{error:#}") };
        }
        match (error.downcast_ref::<p3::ErrorCode>(), error.downcast_ref::<p2::ErrorCode>()) {
            (Some(p3::ErrorCode::HttpRequestBodySize(_)), _) | (_, Some(p2::ErrorCode::HttpRequestBodySize(_))) => {
                return DispatchError::BodyTooLarge { component };
            }
            (None, None) => {}
            _ => return DispatchError::ErrorCode { component, reason: format!("{error:#}") },
        }
        // An instance that is late is lost as one that trapped is.
        if error.is::<ExpirationError>() || started.elapsed() >= self.component.limits.deadline {
            return self.deadline_exceeded();
        }
        // A trap is told to every request of the instance; the error says only that there was one.
        let reason = match job.lost.get() {
            Some(Lost::WithInstance(reason)) => reason.clone(),
            _ => format!("{error:#}"),
        };
        DispatchError::Trapped { component, reason }
    }

    fn deadline_exceeded(&self) -> DispatchError {
        DispatchError::DeadlineExceeded {
            component: self.component.id.clone(),
            deadline_ms: self.component.limits.deadline.as_millis(),
        }
    }
}

impl Drop for InstancePool {
    fn drop(&mut self) {
        // Whoever has a request answered holds the pool, so no request waits or can come.
        self.queue.retire();
    }
}

/// What is left of a pool: the instances that finish what they have begun.
pub struct Remains {
    queue: Weak<Queue>,
    requests_cut: Arc<AtomicUsize>,
}

impl Remains {
    /// Whether nobody can hand the pool a request any more, and the last of its instances is gone with its memory.
    pub fn are_gone(&self) -> bool {
        // The queue belongs to the pool, and to each instance until nothing is left of that.
        self.queue.strong_count() == 0
    }

    /// Instances that live or are starting.
    pub fn instances(&self) -> usize {
        self.queue.upgrade().map_or(0, |queue| queue.instances())
    }

    /// Ends the instances now, with all that they work on.
    pub fn cut(&self) {
        if let Some(queue) = self.queue.upgrade() {
            queue.cut();
        }
    }

    /// Requests that were cut with them.
    pub fn requests_cut(&self) -> usize {
        self.requests_cut.load(Ordering::Relaxed)
    }
}

/// Whether a response with this status has no body, whatever the guest says.
fn is_bodiless(status: StatusCode) -> bool {
    [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}

/// A request that somebody waits for; on drop it leaves the queue if it is still there.
struct Waiting<'a> {
    queue: &'a Arc<Queue>,
    job: &'a Arc<Job>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if self.job.activity.get().is_none() {
            self.queue.forget(self.job);
        }
    }
}

/// Makes instances.
struct Instances {
    engine: Arc<Engine>,
    pre: ProxyPre<GuestState>,
    component: Arc<Component>,
    way_out: WayOut,
}

impl Instances {
    /// The life of one instance. Its seat is free again when nothing is left of it.
    async fn live(self: Arc<Self>, mut seat: Seat) {
        let chain = self.way_out.chain.clone();
        let started = instance::start(&self.engine, &self.pre, self.component.clone(), chain).await;
        let (store, proxy) = match started {
            Ok(started) => started,
            Err(error) => return start_failed(&self.component.id, seat, error),
        };
        let _alive = Alive::new(&self.component);
        let (store, result) = instance::run(&self.engine.epoch, &mut seat, store, &proxy, &self.way_out).await;
        if let Err(error) = result {
            if error.is::<CutOff>() {
                // That is no fault of the guest; who has it end tells of it.
                return seat.queue().count_cut(store.data().requests.lose_all(&Lost::Cut));
            }
            store.data().requests.lose_all(&Lost::WithInstance(format!("{error:#}")));
            self.component.metrics.instance_trapped(trap_kind(&error));
            tracing::warn!(component = %self.component.id, "an instance was lost: {error:#}");
        }
    }
}

/// Has the request that is first in line try again, or fail.
fn start_failed(component: &str, seat: Seat, error: wasmtime::Error) {
    tracing::error!(component, "an instance could not start: {error:#}");
    let queue = seat.queue().clone();
    let Some(mut first) = seat.failed() else { return };
    if first.retries > 0 {
        first.retries -= 1;
        queue.push_front(first);
    } else {
        // A client that went away needs no answer.
        let _ = first.answer.send(Err(error.context(StartError)));
    }
}

/// Marks the error of an instance that could not be made.
#[derive(Debug, thiserror::Error)]
#[error("no instance could be started")]
struct StartError;

/// Counts an instance as long as it lives.
struct Alive<'a>(&'a Component);

impl<'a> Alive<'a> {
    fn new(component: &'a Component) -> Self {
        component.metrics.instance_created();
        Self(component)
    }
}

impl Drop for Alive<'_> {
    fn drop(&mut self) {
        self.0.metrics.instance_dropped();
    }
}

/// A trap's kind as a metric label: few, fixed values.
fn trap_kind(error: &wasmtime::Error) -> &'static str {
    use wasmtime::Trap;
    match error.downcast_ref::<Trap>() {
        Some(Trap::StackOverflow) => "stack_overflow",
        Some(Trap::UnreachableCodeReached) => "unreachable",
        Some(Trap::MemoryOutOfBounds | Trap::TableOutOfBounds | Trap::HeapMisaligned) => "out_of_bounds",
        Some(_) => "trap",
        None if error.to_string().contains("timed out") => "deadline",
        None => "other",
    }
}

#[cfg(test)]
mod tests;
