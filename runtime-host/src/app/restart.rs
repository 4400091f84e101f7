//! Rollouts that were going on when the host stopped: they go on from what is recorded, or are taken back.

use std::sync::Arc;

use super::change::{ARTIFACT, Change};
use super::configuration::Configuration;
use super::loader::{AtHand, InForce, Loader};
use super::revision::{Live, Revision, WorkerThread};
use super::rollouts::{Entry, Running, actions_of, in_words, now_unix_ms, outcome};
use super::table::{Split, Table};
use super::webhooks::{News, Webhooks};
use crate::registry::{
    Action, BY_MANIFEST, Base, Batch, Digest, NewRevision, Outcome, Recorded, Registry, RegistryError, RolloutRecord,
    Written,
};
use crate::rollout::{Change as What, Rollout, State, Transition};

/// What a start has decided and not yet written down: until it serves, another process may, by what was recorded before.
pub(super) struct Decided {
    changed: Vec<Changed>,
    rollouts: Vec<DecidedRollout>,
    /// Rollouts that go on, by the component's id.
    pub(super) entries: Vec<(String, Entry)>,
}

/// A component of which something else is in force than was recorded, because the manifest or its sources have changed.
pub(super) struct Changed {
    component: String,
    /// The artifact that was in force.
    former: Digest,
    /// The artifact in force, where that came from, and what it is given.
    digest: Digest,
    source: String,
    configuration: String,
    /// The manifest's own artifact.
    base: Digest,
    why: &'static str,
    /// What, in words.
    pub(super) changes: Vec<String>,
}

impl Changed {
    /// Instead of what was `recorded`, and because of `why`, this artifact with this configuration; `base` is the manifest's own,
    /// which is at `path`.
    pub(super) fn new(
        component: &str,
        why: &'static str,
        recorded: &Recorded,
        base: &Digest,
        path: String,
        digest: &Digest,
        configuration: &Configuration,
    ) -> Self {
        let mut changes = configuration.changes_since_record(&recorded.configuration);
        let is_other_artifact = *digest != recorded.digest;
        if is_other_artifact {
            changes.insert(0, ARTIFACT.to_owned());
        }
        Self {
            component: component.to_owned(),
            former: recorded.digest.clone(),
            digest: digest.clone(),
            source: if is_other_artifact { path } else { recorded.source.clone() },
            configuration: configuration.record(),
            base: base.clone(),
            why,
            changes,
        }
    }

    fn record(&self, batch: &Batch<'_>) -> Written {
        let Self { component, digest, source, configuration, base, why, changes, .. } = self;
        let revision = NewRevision {
            component,
            digest,
            source,
            who: BY_MANIFEST,
            why,
            settings: &serde_json::json!({ "changed": changes }).to_string(),
            configuration,
            configuration_of_sources: &Digest::of(configuration.as_bytes()),
            base: Base { digest: base, source, configuration },
        };
        let action = Action::done("deploy", component, BY_MANIFEST, why);
        batch.put_in_force(&revision, &[action]).map(drop)
    }

    fn news(&self) -> News<'_> {
        News {
            component: &self.component,
            from: &self.former,
            to: &self.digest,
            changed: &self.changes,
            change: "deployed",
            weight_percent: 100,
            reason: self.why,
            at_unix_ms: now_unix_ms(),
        }
    }
}

struct DecidedRollout {
    component: String,
    number: u32,
    outcome: Option<Outcome>,
    state: String,
    /// From which artifact to which, what is different, and what happened to it at the start.
    former: Digest,
    digest: Digest,
    changed: Vec<String>,
    transitions: Vec<Transition>,
}

impl Decided {
    pub(super) fn new(changed: Vec<Changed>) -> Self {
        Self { changed, rollouts: Vec::new(), entries: Vec::new() }
    }

    /// Writes it down.
    pub(super) fn record(&self, registry: &Registry) -> Result<(), RegistryError> {
        if self.changed.is_empty() && self.rollouts.is_empty() {
            return Ok(());
        }
        // A host that dies here has decided nothing.
        registry.at_once(|batch| {
            self.changed.iter().try_for_each(|changed| changed.record(batch))?;
            for DecidedRollout { component, number, outcome, state, transitions, .. } in &self.rollouts {
                let actions = actions_of(component, transitions);
                match outcome {
                    Some(outcome) => batch.end_rollout(component, *number, *outcome, &actions)?,
                    None => batch.save_rollout(component, *number, state, &actions)?,
                }
            }
            Ok(())
        })
    }

    /// Tells webhooks of it.
    pub(super) fn tell(&self, webhooks: &Webhooks) {
        self.changed.iter().for_each(|changed| webhooks.tell(&changed.news()));
        for DecidedRollout { component, former, digest, changed, transitions, .. } in &self.rollouts {
            for transition in transitions {
                webhooks.tell(&News::of(component, former, digest, changed, transition));
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
        // A component that is not to run keeps its rollout for another start.
        let Some(former) = in_force.artifacts.get(&record.component) else { continue };
        let changed = changed(in_force, former, &record);
        let rollout = match decided.changed.iter().find(|changed| changed.component == record.component) {
            // It was to take the place of something else.
            Some(in_force) => Err(format!("{} while the host was not there", in_force.why)),
            None => {
                serde_json::from_str(&record.state).map_err(|error| format!("its record is not understood: {error}"))
            }
        };
        let mut rollout: Rollout = match rollout {
            Ok(rollout) => rollout,
            Err(reason) => {
                decided.rollouts.push(given_up(former, record, changed, reason));
                continue;
            }
        };
        let mut transitions = rollout.restarted(now_unix_ms());
        let (configuration, revisions) = match outcome(&rollout) {
            Some(_) => Default::default(),
            None => match revisions(loader, served, in_force, &record).await {
                Ok(found) => found,
                Err(error) => {
                    transitions = rollout.fail(now_unix_ms(), format!("{error:#}"));
                    Default::default()
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
            changed: changed.clone(),
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
            configuration,
        };
        let running = Running::new(rollout, former.clone(), change, changed, number, candidates);
        table = table.with(running.candidates.iter().map(|(place, live)| {
            let candidate = Some(Arc::new(running.candidate(live.clone(), preview_token)));
            (*place, Split { main: table.at(*place).main.clone(), candidate })
        }));
        decided.entries.push((component, Entry::new(running)));
    }
    Ok(table)
}

/// What a rollout changes, as far as the records tell.
fn changed(in_force: &InForce, former: &Digest, record: &RolloutRecord) -> Vec<String> {
    let artifact = (*former != record.digest).then(|| ARTIFACT.to_owned());
    let given = in_force.configuration(&record.component).changes_since_record(&record.configuration);
    artifact.into_iter().chain(given).collect()
}

/// Takes back a rollout that cannot go on.
fn given_up(former: &Digest, record: RolloutRecord, changed: Vec<String>, reason: String) -> DecidedRollout {
    let RolloutRecord { component, number, digest, state, .. } = record;
    tracing::error!(component, revision = number, "the rollout is taken back: {reason}");
    let rolled_back = Transition {
        at_unix_ms: now_unix_ms(),
        change: What::RolledBack,
        state: State::RolledBack,
        weight_percent: 0,
        reason,
    };
    let (outcome, transitions) = (Some(Outcome::TakenBack), vec![rolled_back]);
    DecidedRollout { component, number, outcome, state, former: former.clone(), digest, changed, transitions }
}

/// The recorded revision, for each component that it is or is a part of, and what it is given.
async fn revisions(
    loader: &Loader,
    served: &[String],
    in_force: &InForce,
    record: &RolloutRecord,
) -> anyhow::Result<(Arc<Configuration>, Vec<(usize, Arc<Revision>)>)> {
    let now = loader.configuration_read(&record.component);
    let in_force_now = in_force.configuration(&record.component);
    let restored = loader.configurer.restore(&record.configuration, [&*in_force_now], &now)?;
    restored.warn(&record.component, record.number);
    let configuration = Arc::new(restored.configuration);
    let in_force = in_force.clone().with(&record.component, &record.digest, &configuration);
    let mut revisions = Vec::new();
    for place in loader.places_with(served, &record.component) {
        let revision = loader.load_place(&served[place], &in_force, &AtHand::new(), "a rollout that was going on")?;
        loader.try_start(&revision).await?;
        revisions.push((place, revision));
    }
    Ok((configuration, revisions))
}
