//! A revision of a component: compiled, linked and granted what the manifest grants; and the same with instances.
//!
//! A [`Revision`] is warm: it costs its code and can be put in force at once. It gets instances as a [`Live`]. Who may hand a
//! request to a pool of a `Live` holds that pool, and a pool's instances hold its queue; so when the last `Live`, pool and queue
//! are dropped, it is certain that nothing was or will be answered by it any more.

use std::num::NonZeroUsize;
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use http::{Request, Response};
use tokio::runtime::Handle;
use wasmtime_wasi_http::WasiBody;
use wasmtime_wasi_http::handler::ProxyPre;

use super::configuration::Configuration;
use super::counts::{Answers, GrowthCounts};
use super::pools::Pools;
use crate::engine::admission::Admission;
use crate::engine::component::{Component, Priority};
use crate::engine::outbound_http::ServiceChain;
use crate::engine::pool::{DispatchError, InstancePool, Remains};
use crate::engine::state::GuestState;
use crate::engine::{self, Engine};
use crate::registry::Digest;
use crate::rollout::{CounterRatio, Window};
use crate::telemetry::request_context::RequestContext;

/// How often it is looked whether a revision has finished what it had begun.
const DRAIN_POLL: Duration = Duration::from_millis(10);

/// A component's code and grants, without instances.
pub(super) struct Revision {
    pub(super) component: Arc<Component>,
    pub(super) pre: ProxyPre<GuestState>,
    /// How its instances grow.
    pub(super) growth: GrowthCounts,
    /// Of the wasm that runs: the component's own with that of its dependencies.
    pub(super) digest: Digest,
    /// What it is given.
    pub(super) configuration: Arc<Configuration>,
    /// By which metrics and people know it.
    pub(super) name: String,
    /// What it makes use of and is not granted, in sentences for people.
    pub(super) undeclared: Vec<String>,
}

impl Revision {
    /// Whether both are the same code of the same component and are given the same.
    pub(super) fn is(&self, other: &Self) -> bool {
        self.is_of(&other.component.id, &other.digest, &other.configuration)
    }

    /// Whether it is this code of this component and is given this.
    pub(super) fn is_of(&self, component: &str, digest: &Digest, configuration: &Configuration) -> bool {
        self.component.id == component
            && self.digest == *digest
            && self.configuration.digest() == configuration.digest()
    }
}

/// A worker thread's runtime and its calls from component to component.
pub(super) struct WorkerThread {
    pub(super) runtime: Handle,
    /// The runtime of the thread for components of low priority, where there are any.
    pub(super) quiet: Option<Handle>,
    pub(super) chain: Weak<dyn ServiceChain>,
}

/// Its instances on one thread, and what is counted of their answers.
pub(super) struct Pool {
    pub(super) instances: InstancePool,
    answers: Answers,
}

impl Pool {
    /// Has an instance answer `request`, and counts that, also if nobody waits for it to the end. What the component has counted goes
    /// no further. Returns how long it took besides.
    pub(super) async fn answer(
        &self,
        request: Request<WasiBody>,
        context: Arc<RequestContext>,
    ) -> (Result<Response<WasiBody>, DispatchError>, Duration) {
        let unanswered = self.answers.asked();
        let mut answer = self.instances.handle(request, context).await;
        let duration = unanswered.answered(&answer);
        if let Ok(response) = &mut answer {
            self.instances.component().metrics.take_counts(response.headers_mut());
        }
        (answer, duration)
    }
}

/// A revision that answers requests.
pub(super) struct Live {
    pub(super) revision: Arc<Revision>,
    admission: Arc<Admission>,
    pools: Pools<Arc<Pool>>,
}

impl Live {
    /// The revision with a pool to come on each of these threads, and those of the threads that have started.
    ///
    /// It has an admission of its own: what waits for a slow revision must not have another one turn requests away.
    pub(super) fn new(engine: &Arc<Engine>, revision: Arc<Revision>, workers: &[OnceLock<WorkerThread>]) -> Arc<Self> {
        let Component { id, limits, metrics, .. } = &*revision.component;
        let admission = Arc::new(Admission::new(id, limits.queue_length_max));
        metrics.watch_queue({
            let admission = Arc::downgrade(&admission);
            move || admission.upgrade().map_or(0, |admission| admission.queue_length())
        });
        metrics.bounded(limits.instances_max, limits.queue_length_max);
        let pools = Pools::new(limits.instances_max, NonZeroUsize::new(workers.len()).unwrap_or(NonZeroUsize::MIN));
        let live = Arc::new(Self { revision, admission, pools });
        for (index, worker) in workers.iter().enumerate() {
            if let Some(worker) = worker.get() {
                live.start(engine, index, worker);
            }
        }
        live
    }

    /// Makes the pool of the thread `index`, if it is to have one.
    pub(super) fn start(&self, engine: &Arc<Engine>, index: usize, worker: &WorkerThread) {
        let Revision { component, pre, .. } = &*self.revision;
        self.pools.start(index, |instances_max| {
            let (pre, component, admission) = (engine::share(pre), component.clone(), self.admission.clone());
            let chain = worker.chain.clone();
            let runtime = match (component.limits.priority, &worker.quiet) {
                (Priority::Low, Some(quiet)) => quiet,
                _ => &worker.runtime,
            };
            let instances = InstancePool::new(engine.clone(), pre, component, admission, chain, runtime, instances_max);
            Arc::new(Pool { instances, answers: Answers::default() })
        });
    }

    /// The pool that works for the thread `index`; `None` before that has started.
    pub(super) fn pool(&self, index: usize) -> Option<&Arc<Pool>> {
        self.pools.of(index)
    }

    /// Instances that live or are starting.
    pub(super) fn instances(&self) -> usize {
        self.pools.iter().map(|pool| pool.instances.remains().instances()).sum()
    }

    /// The component that it is a revision of.
    pub(super) fn component(&self) -> &Component {
        &self.revision.component
    }

    /// Has it finish what it has begun within `time`; new requests go elsewhere already.
    pub(super) fn retire(self: &Arc<Self>, time: Duration) -> Draining {
        let draining = Draining {
            component: self.component().id.clone(),
            name: self.revision.name.clone(),
            since: Instant::now(),
            time,
            live: Arc::downgrade(self),
            remains: self.pools.iter().map(|pool| pool.instances.remains()).collect(),
        };
        self.pools.iter().for_each(|pool| pool.instances.retire());
        draining
    }
}

/// Revisions that are ready to answer, by the components' places.
pub(super) type Prepared = Vec<(usize, Arc<Live>)>;

/// What was counted so far of the answers of these, which have different components or the same one's pools.
/// Of what the components count themselves it has these ratios.
pub(super) fn window<'a>(lives: impl Iterator<Item = &'a Arc<Live>> + Clone, ratios: &[CounterRatio]) -> Window {
    let pools = lives.clone().flat_map(|live| live.pools.iter());
    let (failures, latency) = Answers::sum(pools.map(|pool| &pool.answers));
    let mut window = Window { requests: latency.count(), failures, latency, ..Window::default() };
    for live in lives {
        let metrics = &live.component().metrics;
        for ratio in ratios {
            let count = window.counters.entry(ratio.name.clone()).or_default();
            count.events += metrics.counted(&ratio.events);
            count.of += metrics.counted(&ratio.of);
        }
        window.failures += metrics.bodies_cut_by_guest();
        window.traps += metrics.instances_trapped();
        let memory = live.revision.growth.read();
        window.memory.peak_bytes = window.memory.peak_bytes.max(memory.peak_bytes);
        for (age, growth) in memory.growth.into_iter().enumerate() {
            window.memory.add(age, growth);
        }
    }
    window
}

/// A revision that finishes what it has begun.
pub(super) struct Draining {
    /// The component's id.
    pub(super) component: String,
    pub(super) name: String,
    /// When new requests began to go elsewhere.
    pub(super) since: Instant,
    /// How long it may go on.
    pub(super) time: Duration,
    live: Weak<Live>,
    remains: Vec<Remains>,
}

impl Draining {
    /// Whether no request can reach it any more and the last of its instances is gone.
    pub(super) fn is_over(&self) -> bool {
        self.live.strong_count() == 0 && self.remains.iter().all(Remains::are_gone)
    }

    /// Instances that live or are starting.
    pub(super) fn instances(&self) -> usize {
        self.remains.iter().map(Remains::instances).sum()
    }
}

/// Waits until `draining` is over, and cuts what is left when its time is up. Returns how many requests were cut.
pub(super) async fn drained(draining: &Draining) -> usize {
    while !draining.is_over() {
        tokio::time::sleep(DRAIN_POLL).await;
        if draining.since.elapsed() >= draining.time {
            // Again each time: who found it in the table when it was still in force may ask it until now.
            draining.remains.iter().for_each(Remains::cut);
        }
    }
    draining.remains.iter().map(Remains::requests_cut).sum()
}
