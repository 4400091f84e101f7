//! Replaces the revision of one component while the application serves.
//!
//! One deployment at a time: compose, compile, link, start one instance, ask it if there is a question, make pools on all worker
//! threads, write it down, and then switch. Until the switch everything can fail and nothing has changed; the switch is one
//! pointer for all components that the artifact is part of. What answered before finishes what it has begun, and stays warm.
//!
//! A request reads the table once and is answered by what it found there. Since dependencies are composed into the components that
//! import them, a request never sees a dependency in one revision and its component in another; a chain of requests from component
//! to component reads the table at each step, as it would between machines. Where two revisions share the requests, the side is the
//! same at each step (`shopper`).

mod former;
mod ways;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::Serialize;

pub use ways::{Deployment, Rollback};

use super::change::Change;
use super::configuration::files_of_records;
use super::error::{DeployError, with_causes};
use super::handover::HandedOver;
use super::loader::{AtHand, InForce};
use super::revision::{Draining, Live, Prepared, Revision};
use super::rollouts::Entry;
use super::table::Split;
use super::tasks::blocking;
use super::{App, smoke};
use crate::engine;
use crate::manifest::{RolloutSettings, Smoke};
use crate::registry::{Action, Digest, RevisionRecord};

/// What has been put in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployed {
    /// The component's id.
    pub component: String,
    /// The revision's number; `None` for the manifest's own where nothing else was ever deployed.
    pub revision: Option<u32>,
    /// The artifact.
    pub digest: Digest,
    /// The components whose requests it answers or has a part in.
    pub switched: Vec<String>,
    /// Whether it was in force already, so that nothing was done.
    pub unchanged: bool,
    /// Whether it is not in force yet, but takes over by a rollout that has begun.
    pub rollout: bool,
    /// What is not as in the revision that was in force: the artifact, and what it is given, by name.
    pub changed: Vec<String>,
    /// What whoever wanted it should know.
    pub warnings: Vec<String>,
    /// How long it took from the artifact to the switch, or to the beginning of the rollout.
    pub took_ms: u64,
}

/// What was deployed, and what is still draining.
pub(super) struct Deployments {
    /// Held by the one deployment that is being made.
    pub(super) turn: tokio::sync::Mutex<()>,
    pub(super) handed_over: HandedOver,
    state: Mutex<State>,
    draining: Mutex<Vec<Arc<Draining>>>,
    /// Held while one table takes another one's place.
    publishing: Mutex<()>,
    /// By the component's id: the one that goes on, or the last one.
    rollouts: Mutex<BTreeMap<String, Entry>>,
}

pub(super) struct State {
    /// The manifest's own artifacts as of the start.
    bases: BTreeMap<String, Digest>,
    pub(super) in_force: InForce,
    /// The latest first.
    pub(super) warm: Vec<Arc<Revision>>,
}

impl Deployments {
    pub(super) fn new(in_force: InForce, bases: BTreeMap<String, Digest>) -> Self {
        let state = Mutex::new(State { bases, in_force, warm: Vec::new() });
        Self {
            turn: tokio::sync::Mutex::default(),
            handed_over: HandedOver::default(),
            state,
            draining: Mutex::default(),
            publishing: Mutex::default(),
            rollouts: Mutex::default(),
        }
    }

    /// Fails once another process decides.
    pub(super) fn are_decided_here(&self) -> Result<(), DeployError> {
        if self.handed_over.is_so() { Err(DeployError::HandedOver) } else { Ok(()) }
    }

    pub(super) fn publishing(&self) -> MutexGuard<'_, ()> {
        self.publishing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rollouts(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.rollouts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        // Every change of it is made in one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn draining(&self) -> MutexGuard<'_, Vec<Arc<Draining>>> {
        self.draining.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Keeps what answered until now, and no longer what answers from now on.
    fn switched(&mut self, former: Arc<Revision>, current: &Revision, kept: usize) {
        self.warm.retain(|warm| !warm.is(&former) && !warm.is(current));
        self.warm.insert(0, former.clone());
        let mut others = self.warm.iter().filter(|warm| warm.component.id == former.component.id);
        if let Some(oldest) = others.nth(kept).cloned() {
            self.warm.retain(|warm| !warm.is(&oldest));
        }
    }
}

impl App {
    /// How revisions of the component take over.
    fn rollout_settings(&self, component: &str) -> RolloutSettings {
        self.loader.manifest.component(component).map(|component| component.rollout.clone()).unwrap_or_default()
    }

    /// The artifact in force of the component.
    pub(super) fn in_force(&self, component: &str) -> Result<Digest, DeployError> {
        let state = self.deployments.state();
        let artifacts = &state.in_force.artifacts;
        artifacts.get(component).cloned().ok_or_else(|| DeployError::UnknownComponent {
            component: component.to_owned(),
            known: artifacts.keys().cloned().collect(),
        })
    }

    /// What was deployed of the component, the latest first.
    pub async fn history(&self, component: &str) -> Result<Vec<RevisionRecord>, DeployError> {
        self.in_force(component)?;
        let (registry, component) = (self.loader.registry.clone(), component.to_owned());
        Ok(blocking(move || registry.history(&component)).await?)
    }

    /// What was done through the control API, the latest first.
    pub async fn actions(&self, count_max: u32) -> Result<Vec<Action>, DeployError> {
        let registry = self.loader.registry.clone();
        Ok(blocking(move || registry.actions(count_max)).await?)
    }

    async fn unchanged(&self, component: &str, digest: Digest) -> Result<Deployed, DeployError> {
        let history = self.history(component).await?;
        let revision = history.iter().find(|record| record.is_live).map(|record| record.number);
        Ok(Deployed {
            component: component.to_owned(),
            revision,
            digest,
            switched: Vec::new(),
            unchanged: true,
            rollout: false,
            changed: Vec::new(),
            warnings: Vec::new(),
            took_ms: 0,
        })
    }

    /// Removes artifacts and files that nobody returns to any more; blocks.
    pub(super) fn remove_unreferenced(&self) {
        let in_force = self.deployments.state().in_force.artifacts.clone();
        let registry = &self.loader.registry;
        if let Err(error) = registry.remove_unreferenced(&in_force) {
            tracing::warn!("artifacts that are no longer needed stay behind: {}", with_causes(&error));
        }
        let removed = registry
            .configurations()
            .map_err(anyhow::Error::from)
            .and_then(|records| Ok(self.loader.configurer.files.keep_only(&files_of_records(&records))?));
        if let Err(error) = removed {
            tracing::warn!("files that are no longer needed stay behind: {error:#}");
        }
    }

    /// Says that no other process has guests any more, and removes what former ones have laid out for theirs.
    pub async fn has_no_former(self: &Arc<Self>) {
        let app = self.clone();
        app.loader.configurer.files.are_own();
        blocking(move || app.remove_unreferenced()).await;
    }

    /// Fails while a rollout has what a change of the component would change to itself. It may end at any time, but none begins
    /// while one holds the turn: what is read after this stays true until the turn ends.
    fn no_rollout_goes_on(&self, component: &str) -> Result<(), DeployError> {
        let places = self.loader.places_with(&self.served, component);
        let is_taken = |(_, entry): &(&String, &Entry)| {
            !entry.is_over() && entry.places.iter().any(|place| places.contains(place))
        };
        match self.deployments.rollouts().iter().find(is_taken) {
            Some((component, _)) => Err(DeployError::RolloutGoesOn { component: component.clone() }),
            None => Ok(()),
        }
    }

    /// Makes all that the change needs ready to answer, or says why that cannot be.
    async fn prepare(self: &Arc<Self>, change: &Change) -> Result<Prepared, DeployError> {
        if self.workers.iter().any(|worker| worker.get().is_none()) {
            return Err(DeployError::NotReady);
        }
        let places = self.loader.places_with(&self.served, &change.component);
        if places.is_empty() {
            let reason = format!("no component that answers requests consists of component `{}`", change.component);
            return Err(DeployError::Refused { reason });
        }
        let loaded = blocking({
            let app = self.clone();
            let in_force = self.deployments.state().in_force.clone();
            let in_force = in_force.with(&change.component, &change.digest, &change.configuration);
            let (at_hand, source) = (change.at_hand.clone(), change.source.clone());
            move || {
                engine::quietly(|| {
                    let load = |place: usize| Ok((place, app.warm_or_new(place, &in_force, &at_hand, &source)?));
                    places.into_iter().map(load).collect::<anyhow::Result<Vec<_>>>()
                })
            }
        });
        let refused = |error: anyhow::Error| DeployError::Refused { reason: format!("{error:#}") };
        let revisions = loaded.await.map_err(refused)?;
        for (_, revision) in &revisions {
            // Also the warm ones: it costs little, and what it needs may have changed.
            self.loader.try_start(revision).await.map_err(|error| refused(error.into()))?;
        }
        if let Some((_, revision)) = revisions.iter().find(|(_, revision)| revision.component.id == change.component) {
            self.loader.migrate(revision, &change.digest).await.map_err(refused)?;
        }
        self.wait_for_room(revisions.iter().map(|(_, revision)| revision.component.limits.instances_max).sum()).await?;
        let live = |revision| Live::new(&self.loader.engine, revision, &self.workers);
        Ok(revisions.into_iter().map(|(place, revision)| (place, live(revision))).collect())
    }

    fn warm_or_new(
        &self,
        place: usize,
        in_force: &InForce,
        at_hand: &AtHand,
        source: &str,
    ) -> anyhow::Result<Arc<Revision>> {
        let id = &self.served[place];
        let component = self.loader.manifest.component(id);
        let component = component.ok_or_else(|| anyhow::anyhow!("there is no component `{id}`"))?;
        let composed = self.loader.compose(component, in_force, at_hand)?;
        let configuration = in_force.configuration(id);
        let is_it = |warm: &&Arc<Revision>| warm.is_of(id, &composed.digest, &configuration);
        let warm = self.deployments.state().warm.iter().find(is_it).cloned();
        warm.map_or_else(|| self.loader.load(composed, &configuration, source), Ok)
    }

    async fn try_out(&self, smoke: &Smoke, component: &str, prepared: &Prepared) -> Result<(), DeployError> {
        let live = prepared.iter().find(|(place, _)| self.served[*place] == component).map(|(_, live)| live);
        let reason = match live {
            Some(live) => smoke::ask(smoke, live).await,
            None => Err(format!("component `{component}` answers no requests of its own, so none can try it out")),
        };
        reason.map_err(|reason| DeployError::Refused { reason })
    }

    /// Has the prepared revisions answer from now on.
    pub(super) fn switch(
        self: &Arc<Self>,
        change: Change,
        prepared: Prepared,
        number: Option<u32>,
        started: Instant,
    ) -> Deployed {
        let places: Vec<usize> = prepared.iter().map(|(place, _)| *place).collect();
        let former: Vec<Arc<Live>> = {
            let _publishing = self.deployments.publishing();
            let table = self.table.load();
            let former = places.iter().map(|place| table.at(*place).main.clone()).collect();
            let splits = prepared.iter().map(|(place, live)| (*place, Split::whole(live.clone())));
            self.replace_table(table.with(splits));
            former
        };
        let mut state = self.deployments.state();
        let changed = change.changes_since(&state.in_force);
        for (former, (_, current)) in former.iter().zip(&prepared) {
            let kept = self.rollout_settings(&former.component().id).revisions_kept;
            state.switched(former.revision.clone(), &current.revision, kept);
        }
        state.in_force.set(&change.component, &change.digest, &change.configuration);
        drop(state);
        drop(prepared);
        former.iter().for_each(|live| self.drain(live));
        // Nobody waits for it.
        let app = self.clone();
        tokio::task::spawn_blocking(move || app.remove_unreferenced());
        let switched = places.into_iter().map(|place| self.served[place].clone()).collect();
        let Change { component, digest, .. } = change;
        let took = started.elapsed();
        let what = changed.join(", ");
        tracing::info!(component, revision = number, %digest, changed = what, ?switched, ?took, "another revision is in force");
        Deployed {
            component,
            revision: number,
            digest,
            switched,
            unchanged: false,
            rollout: false,
            changed,
            warnings: Vec::new(),
            took_ms: took.as_millis() as u64,
        }
    }
}
