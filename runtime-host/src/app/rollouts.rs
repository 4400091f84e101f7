//! Carries out what `rollout` decides: a revision gets its share of requests step by step, and goes back when it is worse.
//!
//! Both revisions are in the table. A task looks at what was counted of them, once in a while; what has to change is on disk before
//! it happens, except the way back, which does not wait for a disk that fails.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::App;
use super::audit::{Wanted, tell};
use super::change::Change;
use super::error::{DeployError, with_causes};
use super::revision::{Live, Prepared, window};
use super::shadow::Shadow;
use super::table::{Candidate, Split};
use super::tasks::{blocking, to_the_end};
use super::webhooks::News;
use crate::registry::{Action, Digest, Outcome, RegistryError, now_ms};
use crate::rollout::{CounterRatio, Hold, Rollout, Samples, State, Sticky, Strategy, Transition, Window};

/// How often the revisions of a rollout are compared.
const TICK: Duration = Duration::from_millis(250);
/// Who does what the comparison decides.
const BY_ROLLOUT: &str = "rollout";
/// The reason of who gives none.
pub(super) const UNSAID: &str = "somebody wanted it";

/// A rollout that goes on.
pub(super) struct Running {
    pub(super) rollout: Rollout,
    /// The artifact in force when it began.
    former: Digest,
    pub(super) change: Change,
    /// What it changes, in words.
    changed: Vec<String>,
    pub(super) number: u32,
    /// The new revision, by the places of the components that it is or is a part of.
    pub(super) candidates: Prepared,
    pub(super) shadow: Option<Arc<Shadow>>,
    /// What is to be logged with a way back that is gone and not written down yet.
    unwritten_end: Option<Vec<Action>>,
}

/// What somebody wants of a rollout that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Steer {
    /// To the next step.
    Promote,
    /// To the end.
    PromoteFully,
    /// It stays where it is.
    Pause,
    /// It goes on after a pause.
    Resume,
    /// Back.
    Abort,
}

impl Steer {
    fn name(self) -> &'static str {
        match self {
            Self::Promote | Self::PromoteFully => "promote",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Abort => "abort",
        }
    }
}

/// How a rollout goes, or how the last one ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RolloutStatus {
    /// The number of the new revision.
    pub revision: u32,
    /// Its name in the metrics, where it runs by itself.
    pub runs: Option<String>,
    /// What it changes: the artifact, and what it is given, by name.
    pub changed: Vec<String>,
    /// How it takes over.
    pub strategy: String,
    /// Where it is, in words.
    pub state: String,
    /// Whether it has ended with the new revision in force; `None` while it goes on.
    pub promoted: Option<bool>,
    /// The new revision's share of requests.
    pub weight_percent: u8,
    /// Why it does not go on by itself, if something holds it: `paused` or `stalled`.
    pub hold: Option<&'static str>,
    /// How long it has been there.
    pub for_ms: u64,
    /// The reason of the last change.
    pub reason: String,
    /// What the last look found, in words.
    pub findings: Vec<String>,
    /// Requests of the new revision so far.
    pub requests: u64,
}

/// Now, as `rollout` counts time.
pub(super) fn now_unix_ms() -> u64 {
    now_ms().unsigned_abs()
}

impl Running {
    pub(super) fn new(
        rollout: Rollout,
        former: Digest,
        change: Change,
        changed: Vec<String>,
        number: u32,
        candidates: Prepared,
    ) -> Self {
        let is_shadow = matches!(rollout.plan().strategy, Strategy::Shadow { .. });
        let shadow = is_shadow.then(Arc::default);
        Self { rollout, former, change, changed, number, candidates, shadow, unwritten_end: None }
    }

    /// What requests see of it.
    pub(super) fn candidate(&self, live: Arc<Live>, preview_token: &Arc<str>) -> Candidate {
        Candidate {
            live,
            share: self.rollout.share(),
            sticky: match &self.rollout.plan().strategy {
                Strategy::Canary { sticky, .. } => sticky.clone(),
                _ => Sticky::None,
            },
            shadow: self.shadow.clone().filter(|_| self.rollout.is_shadowing()),
            preview_token: preview_token.clone(),
        }
    }

    /// Whether it has been taken back, which is not written down yet.
    pub(super) fn has_unwritten_end(&self) -> bool {
        self.unwritten_end.is_some()
    }

    fn status(&self) -> RolloutStatus {
        let Self { rollout, number, candidates, .. } = self;
        RolloutStatus {
            revision: *number,
            runs: match &candidates[..] {
                [(_, live)] => Some(live.revision.name.clone()),
                _ => None,
            },
            changed: self.changed.clone(),
            strategy: rollout.plan().strategy.name().to_string(),
            state: rollout.state().to_string(),
            promoted: rollout.is_over().then(|| rollout.state() == State::Promoted),
            weight_percent: rollout.weight_percent(),
            hold: rollout.hold().map(|hold| match hold {
                Hold::Paused { .. } => "paused",
                Hold::Stalled { .. } => "stalled",
            }),
            for_ms: now_unix_ms().saturating_sub(rollout.since_unix_ms()),
            reason: rollout.reason().to_owned(),
            findings: rollout.findings().iter().map(|finding| finding.text.clone()).collect(),
            requests: window(candidates.iter().map(|(_, live)| live), &[]).requests,
        }
    }
}

/// A rollout and the places that it has to itself.
#[derive(Clone)]
pub(super) struct Entry {
    pub(super) places: Vec<usize>,
    pub(super) running: Arc<tokio::sync::Mutex<Running>>,
    /// As of the last change or look, for who wants no lock.
    pub(super) status: Arc<std::sync::Mutex<RolloutStatus>>,
}

impl Entry {
    pub(super) fn new(running: Running) -> Self {
        let places = running.candidates.iter().map(|(place, _)| *place).collect();
        let status = Arc::new(std::sync::Mutex::new(running.status()));
        Self { places, running: Arc::new(tokio::sync::Mutex::new(running)), status }
    }

    pub(super) fn is_over(&self) -> bool {
        self.status().promoted.is_some()
    }

    pub(super) fn status(&self) -> std::sync::MutexGuard<'_, RolloutStatus> {
        // Every change of it is made in one step.
        self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl App {
    /// Compares the revisions of a rollout until it is over and that is written down.
    pub(super) fn watch(self: &Arc<Self>, component: String, entry: Entry) {
        let app = self.clone();
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(TICK).await;
                let mut running = entry.running.lock().await;
                if running.rollout.is_over() {
                    if app.write_end(&mut running).await {
                        return;
                    }
                    continue;
                }
                if app.deployments.handed_over.is_so() {
                    continue;
                }
                let samples = app.samples(&running);
                let before = running.rollout.clone();
                let transitions = running.rollout.advance(now_unix_ms(), &samples);
                if let Err(error) = app.record_and_carry_out(&entry, &mut running, &before, &transitions, None).await {
                    let error = with_causes(&error);
                    tracing::error!(component, "the rollout cannot go on, since that cannot be written down: {error}");
                }
                // What has ended stays as it was told then: its revisions are counted elsewhere.
                if !running.rollout.is_over() {
                    *entry.status() = running.status();
                }
            }
        });
    }

    /// Does what a person wants of a rollout, also if they do not wait for it any more.
    pub async fn steer(
        self: &Arc<Self>,
        component: &str,
        steer: Steer,
        who: String,
        why: String,
    ) -> Result<RolloutStatus, DeployError> {
        let (app, component) = (self.clone(), component.to_owned());
        let steering = async move {
            let wanted = Wanted { action: steer.name(), component: &component, who: &who, why: &why };
            let result = app.steer_in_turn(&wanted, steer).await;
            app.log_action(&wanted, &result, |_| true).await;
            result
        };
        to_the_end(steering).await
    }

    async fn steer_in_turn(self: &Arc<Self>, wanted: &Wanted<'_>, steer: Steer) -> Result<RolloutStatus, DeployError> {
        let Wanted { component, why, .. } = *wanted;
        self.in_force(component)?;
        let entry = self.deployments.rollouts().get(component).filter(|entry| !entry.is_over()).cloned();
        let entry = entry.ok_or_else(|| DeployError::NoRollout { component: component.to_owned() })?;
        let mut running = entry.running.lock().await;
        self.deployments.are_decided_here()?;
        let before = running.rollout.clone();
        if matches!(steer, Steer::Promote | Steer::PromoteFully) {
            let samples = self.samples(&running);
            running.rollout.remember(&samples.old);
        }
        let now = now_unix_ms();
        let why = if why.is_empty() { UNSAID } else { why };
        let rollout = &mut running.rollout;
        let transitions = match steer {
            Steer::Promote => rollout.promote(now, why),
            Steer::PromoteFully => rollout.promote_fully(now, why),
            Steer::Pause => rollout.pause(now, why),
            Steer::Resume => rollout.resume(now, why),
            Steer::Abort => rollout.abort(now, why),
        };
        let transitions = match transitions {
            Ok(transitions) => transitions,
            Err(refused) => {
                running.rollout = before;
                return Err(refused.into());
            }
        };
        self.record_and_carry_out(&entry, &mut running, &before, &transitions, Some(wanted.done())).await?;
        Ok(entry.status().clone())
    }

    /// What was counted of the revisions in force at these places.
    pub(super) fn counted(&self, places: impl Iterator<Item = usize> + Clone, ratios: &[CounterRatio]) -> Window {
        let table = self.table.load();
        window(places.map(|place| &table.at(place).main), ratios)
    }

    /// What was counted of both revisions.
    fn samples(&self, running: &Running) -> Samples {
        let ratios = &running.rollout.plan().analysis.counters;
        Samples {
            old: self.counted(running.candidates.iter().map(|(place, _)| *place), ratios),
            new: window(running.candidates.iter().map(|(_, live)| live), ratios),
            answers: running.shadow.as_ref().map(|shadow| shadow.count()).unwrap_or_default(),
        }
    }

    /// Writes transitions down, with the action that they come from, and does what they say. What cannot be written down is not
    /// done, except the way back.
    async fn record_and_carry_out(
        self: &Arc<Self>,
        entry: &Entry,
        running: &mut Running,
        before: &Rollout,
        transitions: &[Transition],
        action: Option<Action>,
    ) -> Result<(), RegistryError> {
        if transitions.is_empty() {
            return Ok(());
        }
        let component = running.change.component.clone();
        let actions: Vec<Action> = action.into_iter().chain(actions_of(&component, transitions)).collect();
        let recorded = blocking({
            let (registry, number, actions) = (self.loader.registry.clone(), running.number, actions.clone());
            let (outcome, state) = (outcome(&running.rollout), in_words(&running.rollout));
            move || match outcome {
                Some(outcome) => registry.end_rollout(&component, number, outcome, &actions),
                None => registry.save_rollout(&component, number, &state, &actions),
            }
        });
        match recorded.await {
            Ok(()) => {}
            Err(error) if outcome(&running.rollout) == Some(Outcome::TakenBack) => {
                tracing::error!("a way back is not written down, and is gone all the same: {}", with_causes(&error));
                running.unwritten_end = Some(actions);
            }
            Err(error) => {
                running.rollout = before.clone();
                return Err(error);
            }
        }
        self.carry_out(entry, running, transitions);
        Ok(())
    }

    /// Tries again to write a way back down; returns whether nothing is left to write. Without it, the next start would give
    /// the revision its share again.
    async fn write_end(&self, running: &mut Running) -> bool {
        let Some(actions) = running.unwritten_end.take() else { return true };
        let written = blocking({
            let (registry, actions) = (self.loader.registry.clone(), actions.clone());
            let (component, number) = (running.change.component.clone(), running.number);
            move || registry.end_rollout(&component, number, Outcome::TakenBack, &actions)
        });
        match written.await {
            Ok(()) => {
                tracing::info!(component = running.change.component, "the way back is written down now");
                true
            }
            Err(_) => {
                running.unwritten_end = Some(actions);
                false
            }
        }
    }

    /// Does what transitions say that are written down.
    pub(super) fn carry_out(self: &Arc<Self>, entry: &Entry, running: &mut Running, transitions: &[Transition]) {
        match outcome(&running.rollout) {
            Some(Outcome::Promoted) => {
                let candidates = running.candidates.clone();
                self.switch(running.change.clone(), candidates, Some(running.number), Instant::now());
            }
            Some(Outcome::TakenBack) => self.take_back(running),
            None => self.publish(running),
        }
        *entry.status() = running.status();
        let component = running.change.component.clone();
        let weight = running.rollout.weight_percent();
        self.telemetry.metrics.rollout_weight(&component, (!running.rollout.is_over()).then_some(weight));
        if running.rollout.is_over() {
            // What has ended holds nothing: the revision is in the table, or drains.
            running.candidates.clear();
        }
        for transition in transitions {
            let change = transition.change.name();
            self.telemetry.metrics.rollout_transition(&component, change);
            let (from, to) = (&running.former, &running.change.digest);
            self.webhooks.tell(&News::of(&component, from, to, &running.changed, transition));
        }
        actions_of(&component, transitions).iter().for_each(tell);
    }

    /// Has the new revision answer its share from now on.
    fn publish(&self, running: &Running) {
        let _publishing = self.deployments.publishing();
        let table = self.table.load();
        let splits = running.candidates.iter().map(|(place, live)| {
            let candidate = Arc::new(running.candidate(live.clone(), &self.preview_token));
            (*place, Split { main: table.at(*place).main.clone(), candidate: Some(candidate) })
        });
        self.replace_table(table.with(splits));
    }

    /// Has the old revision answer everything from now on.
    fn take_back(self: &Arc<Self>, running: &Running) {
        {
            let _publishing = self.deployments.publishing();
            let table = self.table.load();
            let splits =
                running.candidates.iter().map(|(place, _)| (*place, Split::whole(table.at(*place).main.clone())));
            self.replace_table(table.with(splits));
        }
        for (_, live) in &running.candidates {
            self.drain(live);
        }
    }
}

/// How a rollout has ended, if it has.
pub(super) fn outcome(rollout: &Rollout) -> Option<Outcome> {
    match rollout.state() {
        State::Promoted => Some(Outcome::Promoted),
        State::RolledBack | State::Aborted => Some(Outcome::TakenBack),
        _ => None,
    }
}

/// What the log of actions has about transitions.
pub(super) fn actions_of(component: &str, transitions: &[Transition]) -> Vec<Action> {
    let action = |transition: &Transition| {
        let why = format!("{} ({} %)", transition.reason, transition.weight_percent);
        Action::done(transition.change.name(), component, BY_ROLLOUT, &why)
    };
    transitions.iter().map(action).collect()
}

/// A rollout as it is recorded.
pub(super) fn in_words(rollout: &Rollout) -> String {
    // Numbers and texts always serialize.
    serde_json::to_string(rollout).unwrap_or_default()
}
