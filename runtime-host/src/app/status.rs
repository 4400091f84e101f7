//! What runs at this moment, for people.

use std::sync::Arc;

use serde::Serialize;

use super::App;
use super::rollouts::RolloutStatus;
use super::tasks::blocking;
use crate::registry::{Digest, RevisionRecord};

/// A component, as it runs now.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ComponentStatus {
    /// Its id.
    pub component: String,
    /// The number of the revision in force; `None` for the manifest's own where nothing else was ever deployed.
    pub revision: Option<u32>,
    /// The artifact in force.
    pub digest: Digest,
    /// What its revision has changed: the artifact, and what it is given, by name.
    pub changed: Vec<String>,
    /// The revision by its name in the metrics, which is of the whole that runs; `None` for a component that runs only as part of
    /// others.
    pub runs: Option<String>,
    /// Instances that live or are starting.
    pub instances: usize,
    /// Former revisions that finish what they have begun.
    pub draining: Vec<DrainingStatus>,
    /// Former revisions that can answer at once, by their names in the metrics.
    pub warm: Vec<String>,
    /// The rollout that goes on, or the last one since the start.
    pub rollout: Option<RolloutStatus>,
}

/// A former revision that finishes what it has begun.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DrainingStatus {
    /// By its name in the metrics.
    pub runs: String,
    /// Instances that are left.
    pub instances: usize,
    /// How long it has been draining.
    pub for_ms: u64,
    /// How long it may go on until what is left is cut.
    pub left_ms: u64,
}

impl App {
    /// What runs of each component, in the order of their ids.
    pub async fn status(self: &Arc<Self>) -> Vec<ComponentStatus> {
        let app = self.clone();
        blocking(move || app.status_now()).await
    }

    fn status_now(&self) -> Vec<ComponentStatus> {
        let rollouts = self.deployments.rollouts().clone();
        let draining: Vec<_> = self.deployments.draining().iter().cloned().collect();
        let (artifacts, warm) = {
            let state = self.deployments.state();
            (state.in_force.artifacts.clone(), state.warm.clone())
        };
        let status = |(id, digest): (&String, &Digest)| {
            let live = self.place_of(id).map(|place| self.table.load().at(place).main.clone());
            let of_it = draining.iter().filter(|draining| draining.component == *id);
            // A status without numbers is worth more than none.
            let history = self.loader.registry.history(id).unwrap_or_default();
            let record = history.iter().find(|record| record.is_live);
            ComponentStatus {
                component: id.clone(),
                revision: record.map(|record| record.number),
                digest: digest.clone(),
                changed: record.map(RevisionRecord::changed).unwrap_or_default(),
                runs: live.as_ref().map(|live| live.revision.name.clone()),
                instances: live.as_ref().map_or(0, |live| live.instances()),
                draining: of_it
                    .map(|draining| {
                        let so_far = draining.since.elapsed();
                        DrainingStatus {
                            runs: draining.name.clone(),
                            instances: draining.instances(),
                            for_ms: so_far.as_millis() as u64,
                            left_ms: draining.time.saturating_sub(so_far).as_millis() as u64,
                        }
                    })
                    .collect(),
                warm: warm.iter().filter(|warm| warm.component.id == *id).map(|warm| warm.name.clone()).collect(),
                rollout: rollouts.get(id).map(|entry| entry.status().clone()),
            }
        };
        artifacts.iter().map(status).collect()
    }
}
