//! Rollouts that were going on when the host stopped: they go on from what is recorded, or are taken back.

use std::sync::Arc;

use super::deploy::Change;
use super::loader::{AtHand, InForce, Loader};
use super::revision::{Live, Revision, WorkerThread};
use super::rollouts::{BY_ROLLOUT, Entry, Running, change_in_words, in_words, now_unix_ms, outcome};
use super::table::{Split, Table};
use super::webhooks::{News, Webhooks};
use crate::registry::{Action, Digest, Outcome, RegistryError, RolloutRecord, now_ms};
use crate::rollout::{self, Rollout};

/// The table with the revisions that are being rolled out, and their rollouts by the component's id.
pub(super) async fn resume(
    loader: &Loader,
    served: &[String],
    in_force: &InForce,
    workers: &[std::sync::OnceLock<WorkerThread>],
    preview_token: &Arc<str>,
    webhooks: &Webhooks,
    mut table: Table,
) -> anyhow::Result<(Table, Vec<(String, Entry)>)> {
    let mut entries = Vec::new();
    for record in loader.registry.rollouts()? {
        // A component that is not to run keeps its rollout for another start.
        let Some(former) = in_force.get(&record.component) else { continue };
        let mut rollout: Rollout = match serde_json::from_str(&record.state) {
            Ok(rollout) => rollout,
            Err(error) => {
                take_back(loader, webhooks, former, &record, &format!("its record is not understood: {error}"))?;
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
        let outcome = outcome(&rollout);
        match outcome {
            Some(outcome) => loader.registry.end_rollout(&component, number, outcome)?,
            None => loader.registry.save_rollout(&component, number, &in_words(&rollout))?,
        }
        for transition in &transitions {
            tell(loader, webhooks, &News::of(&component, former, &record.digest, transition))?;
        }
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
        entries.push((component, Entry::new(running)));
    }
    Ok((table, entries))
}

/// Ends a rollout of which nothing but its record is left.
fn take_back(
    loader: &Loader,
    webhooks: &Webhooks,
    former: &Digest,
    record: &RolloutRecord,
    reason: &str,
) -> Result<(), RegistryError> {
    let RolloutRecord { component, number, digest, .. } = record;
    tracing::error!(component, revision = number, "the rollout is taken back: {reason}");
    loader.registry.end_rollout(component, *number, Outcome::TakenBack)?;
    let news = News {
        component,
        from: former,
        to: digest,
        change: change_in_words(rollout::Change::RolledBack),
        weight_percent: 0,
        reason,
        at_unix_ms: now_unix_ms(),
    };
    tell(loader, webhooks, &news)
}

/// Tells webhooks and the log of actions.
fn tell(loader: &Loader, webhooks: &Webhooks, news: &News<'_>) -> Result<(), RegistryError> {
    webhooks.tell(news);
    loader.registry.log(&Action {
        at_ms: now_ms(),
        who: BY_ROLLOUT.to_owned(),
        action: news.change.to_owned(),
        component: news.component.to_owned(),
        why: format!("{} ({} %)", news.reason, news.weight_percent),
        outcome: "ok".to_owned(),
    })
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
