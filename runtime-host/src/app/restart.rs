//! Rollouts that were going on when the host stopped: they go on from what is recorded, or are taken back.

use std::sync::Arc;

use super::deploy::Change;
use super::loader::{AtHand, InForce, Loader};
use super::revision::{Live, Revision, WorkerThread};
use super::rollouts::{BY_ROLLOUT, Entry, Running, change_in_words, in_words, now_unix_ms, outcome};
use super::table::{Split, Table};
use super::webhooks::{News, Webhooks};
use crate::registry::{Action, Base, Digest, Outcome, Registry, RegistryError, RolloutRecord, now_ms};
use crate::rollout::{Change as What, Rollout, State, Transition};

/// What a start has decided and not yet written down: until it serves, another process may, by what was recorded before.
pub(super) struct Decided {
    /// Components whose manifest's artifact is in force instead of a deployed one.
    manifest_changed: Vec<ManifestChanged>,
    rollouts: Vec<DecidedRollout>,
    /// Rollouts that go on, by the component's id.
    pub(super) entries: Vec<(String, Entry)>,
}

/// The artifact that the manifest has now.
pub(super) struct ManifestChanged {
    pub(super) component: String,
    pub(super) digest: Digest,
    pub(super) source: String,
}

struct DecidedRollout {
    component: String,
    number: u32,
    outcome: Option<Outcome>,
    state: String,
    /// From which artifact to which, and what happened to it at the start.
    former: Digest,
    digest: Digest,
    transitions: Vec<Transition>,
}

impl Decided {
    pub(super) fn new(manifest_changed: Vec<ManifestChanged>) -> Self {
        Self { manifest_changed, rollouts: Vec::new(), entries: Vec::new() }
    }

    /// Writes it down.
    pub(super) fn record(&self, registry: &Registry) -> Result<(), RegistryError> {
        for ManifestChanged { component, digest, source } in &self.manifest_changed {
            registry.manifest_changed(component, Base { digest, source })?;
        }
        for DecidedRollout { component, number, outcome, state, transitions, .. } in &self.rollouts {
            match outcome {
                Some(outcome) => registry.end_rollout(component, *number, *outcome)?,
                None => registry.save_rollout(component, *number, state)?,
            }
            for transition in transitions {
                registry.log(&Action {
                    at_ms: now_ms(),
                    who: BY_ROLLOUT.to_owned(),
                    action: change_in_words(transition.change).to_owned(),
                    component: component.clone(),
                    why: format!("{} ({} %)", transition.reason, transition.weight_percent),
                    outcome: "ok".to_owned(),
                })?;
            }
        }
        Ok(())
    }

    /// Tells webhooks of it.
    pub(super) fn tell(&self, webhooks: &Webhooks) {
        for DecidedRollout { component, former, digest, transitions, .. } in &self.rollouts {
            for transition in transitions {
                webhooks.tell(&News::of(component, former, digest, transition));
            }
        }
    }
}

/// The table with the revisions that are being rolled out; adds what becomes of the rollouts to `decided`.
pub(super) async fn resume(
    loader: &Loader,
    served: &[String],
    in_force: &InForce,
    workers: &[std::sync::OnceLock<WorkerThread>],
    preview_token: &Arc<str>,
    mut table: Table,
    decided: &mut Decided,
) -> anyhow::Result<Table> {
    for record in loader.registry.rollouts()? {
        let is_changed = decided.manifest_changed.iter().any(|changed| changed.component == record.component);
        // A component that is not to run keeps its rollout for another start; one whose manifest changed has none any more.
        let Some(former) = in_force.get(&record.component).filter(|_| !is_changed) else { continue };
        let mut rollout: Rollout = match serde_json::from_str(&record.state) {
            Ok(rollout) => rollout,
            Err(error) => {
                decided.rollouts.push(not_understood(former, record, &error));
                continue;
            }
        };
        let mut transitions = rollout.restarted(now_unix_ms());
        let revisions = match outcome(&rollout) {
            Some(_) => Vec::new(),
            None => match revisions(loader, served, in_force, &record).await {
                Ok(revisions) => revisions,
                Err(error) => {
                    transitions = rollout.fail(now_unix_ms(), format!("{error:#}"));
                    Vec::new()
                }
            },
        };
        let (component, number) = (record.component.clone(), record.number);
        tracing::warn!(component, revision = number, "rollout: {}: {}", rollout.state(), rollout.reason());
        let (state, outcome) = (in_words(&rollout), outcome(&rollout));
        decided.rollouts.push(DecidedRollout {
            component: component.clone(),
            number,
            outcome,
            state,
            former: former.clone(),
            digest: record.digest.clone(),
            transitions,
        });
        if outcome.is_some() {
            continue;
        }
        let live = |revision| Live::new(&loader.engine, revision, workers);
        let candidates = revisions.into_iter().map(|(place, revision)| (place, live(revision))).collect();
        let change = Change {
            component: component.clone(),
            digest: record.digest,
            source: "a rollout that was going on".to_owned(),
            at_hand: AtHand::new(),
        };
        let running = Running::new(rollout, former.clone(), change, number, candidates);
        table = table.with(running.candidates.iter().map(|(place, live)| {
            let candidate = Some(Arc::new(running.candidate(live.clone(), preview_token)));
            (*place, Split { main: table.at(*place).main.clone(), candidate })
        }));
        decided.entries.push((component, Entry::new(running)));
    }
    Ok(table)
}

/// Takes back a rollout of which nothing but its record is left.
fn not_understood(former: &Digest, record: RolloutRecord, error: &serde_json::Error) -> DecidedRollout {
    let RolloutRecord { component, number, digest, state, .. } = record;
    let reason = format!("its record is not understood: {error}");
    tracing::error!(component, revision = number, "the rollout is taken back: {reason}");
    let rolled_back = Transition {
        at_unix_ms: now_unix_ms(),
        change: What::RolledBack,
        state: State::RolledBack,
        weight_percent: 0,
        reason,
    };
    let (outcome, transitions) = (Some(Outcome::TakenBack), vec![rolled_back]);
    DecidedRollout { component, number, outcome, state, former: former.clone(), digest, transitions }
}

/// The recorded revision, for each component that it is or is a part of.
async fn revisions(
    loader: &Loader,
    served: &[String],
    in_force: &InForce,
    record: &RolloutRecord,
) -> anyhow::Result<Vec<(usize, Arc<Revision>)>> {
    let mut in_force = in_force.clone();
    in_force.insert(record.component.clone(), record.digest.clone());
    let mut revisions = Vec::new();
    for place in loader.places_with(served, &record.component) {
        let revision = loader.load_place(&served[place], &in_force, &AtHand::new(), "a rollout that was going on")?;
        loader.try_start(&revision).await?;
        revisions.push((place, revision));
    }
    Ok(revisions)
}
