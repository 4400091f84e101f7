//! The ways by which another revision comes: it is deployed, begins to be rolled out, or is returned to.
//!
//! Each is made ready and recorded, and only then answers.

use std::sync::Arc;
use std::time::Instant;

use super::{App, AtHand, Change, DeployError, Deployed, Digest, Prepared, blocking, to_the_end};
use crate::app::rollouts::{Entry, Running, UNSAID, in_words, now_unix_ms};
use crate::app::webhooks::News;
use crate::manifest::Smoke;
use crate::registry::{Base, NewRevision, RegistryError, RevisionRecord};
use crate::rollout::{Gate, Plan, Rollout, Strategy, StrategyName};

/// A revision to be put in force.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The component's id.
    pub component: String,
    /// Its artifact.
    pub wasm: Arc<[u8]>,
    /// Where that came from, for people.
    pub source: String,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub why: String,
    /// What it has to answer before it gets requests; what the manifest says where this is `None`.
    pub smoke: Option<Smoke>,
    /// How it takes over; as the manifest says where this is `None`.
    pub strategy: Option<StrategyName>,
}

/// A return to a former revision.
#[derive(Debug, Clone)]
pub struct Rollback {
    /// The component's id.
    pub component: String,
    /// The revision's number; by default the latest before the one in force that was not itself taken back.
    pub to: Option<u32>,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub why: String,
}

impl App {
    /// Puts an artifact in force for a component. Requests that come after this has returned are answered by it. It is done
    /// also if nobody waits for it any more.
    pub async fn deploy(self: &Arc<Self>, deployment: Deployment) -> Result<Deployed, DeployError> {
        let app = self.clone();
        let deploying = async move {
            let _turn = app.deployments.turn.lock().await;
            let result = app.deploy_in_turn(&deployment).await;
            let Deployment { component, who, why, .. } = deployment;
            app.log_action("deploy", component, who, why, &result).await;
            result
        };
        to_the_end(deploying).await
    }

    /// Puts a former revision in force again, also if nobody waits for it any more.
    pub async fn roll_back(self: &Arc<Self>, rollback: Rollback) -> Result<Deployed, DeployError> {
        let app = self.clone();
        let returning = async move {
            let _turn = app.deployments.turn.lock().await;
            let result = app.roll_back_in_turn(&rollback).await;
            let Rollback { component, who, why, .. } = rollback;
            app.log_action("rollback", component, who, why, &result).await;
            result
        };
        to_the_end(returning).await
    }

    async fn deploy_in_turn(self: &Arc<Self>, deployment: &Deployment) -> Result<Deployed, DeployError> {
        let started = Instant::now();
        self.deployments.are_decided_here()?;
        let Deployment { component, wasm, source, .. } = deployment;
        let current = self.in_force(component)?;
        let digest = Digest::of(wasm);
        if digest == current {
            return self.unchanged(component, digest);
        }
        let change = Change {
            component: component.clone(),
            digest: digest.clone(),
            source: source.clone(),
            at_hand: AtHand::from([(component.clone(), wasm.clone())]),
        };
        let prepared = self.prepare(&change).await?;
        let settings = self.rollout_settings(component);
        if let Some(smoke) = deployment.smoke.as_ref().or(settings.smoke.as_ref()) {
            self.try_out(smoke, component, &prepared).await?;
        }
        let plan = settings.plan(deployment.strategy);
        if plan.strategy != Strategy::Rolling || plan.gate == Gate::Manual {
            // What is rolled out for hours is read from its file when it is needed again.
            let change = Change { at_hand: AtHand::new(), ..change };
            return self.begin_rollout(deployment, plan, current, change, prepared, started).await;
        }
        let recorded = blocking({
            let (app, deployment, digest) = (self.clone(), deployment.clone(), digest.clone());
            move || app.record(&deployment, &digest, None)
        });
        let number = recorded.await?;
        let deployed = self.switch(change, prepared, Some(number), started);
        self.tell_switch(&current, &deployed, "deployed", &deployment.why);
        Ok(deployed)
    }

    /// Tells webhooks what a person has put in force at once.
    fn tell_switch(&self, from: &Digest, deployed: &Deployed, change: &'static str, why: &str) {
        self.webhooks.tell(&News {
            component: &deployed.component,
            from,
            to: &deployed.digest,
            change,
            weight_percent: 100,
            reason: if why.is_empty() { UNSAID } else { why },
            at_unix_ms: now_unix_ms(),
        });
    }

    /// Writes down that the artifact is in force from now on, or rolled out as `rollout` says; returns the revision's number.
    pub(super) fn record(
        &self,
        deployment: &Deployment,
        digest: &Digest,
        rollout: Option<&str>,
    ) -> Result<u32, RegistryError> {
        let Deployment { component, wasm, source, who, why, smoke, strategy } = deployment;
        let registry = &self.loader.registry;
        let base = self.deployments.state().bases.get(component).cloned().unwrap_or_else(|| digest.clone());
        let of_manifest = self.loader.manifest.component(component);
        let base_source = of_manifest.map(|component| component.source.display().to_string()).unwrap_or_default();
        let strategy = strategy.unwrap_or_else(|| self.rollout_settings(component).strategy);
        let smoke = smoke.as_ref().map(|smoke| &smoke.path);
        let revision = NewRevision {
            component,
            digest,
            source,
            who,
            why,
            settings: &serde_json::json!({ "strategy": strategy, "smoke": smoke }).to_string(),
            base: Base { digest: &base, source: &base_source },
        };
        registry.keep_and_record(digest, wasm, |registry| match rollout {
            None => registry.put_in_force(&revision),
            Some(state) => registry.begin_rollout(&revision, state),
        })
    }

    async fn roll_back_in_turn(self: &Arc<Self>, rollback: &Rollback) -> Result<Deployed, DeployError> {
        let started = Instant::now();
        self.deployments.are_decided_here()?;
        let component = &rollback.component;
        let current = self.in_force(component)?;
        let history = self.history(component)?;
        let live = history.iter().find(|record| record.is_live).map(|record| record.number);
        let target = earlier(&history, component, rollback.to)?;
        if target.digest == current {
            return self.unchanged(component, current);
        }
        let change = Change {
            component: component.clone(),
            digest: target.digest.clone(),
            source: target.source.clone(),
            at_hand: AtHand::new(),
        };
        let prepared = self.prepare(&change).await?;
        let number = target.number;
        let recorded = blocking({
            let (app, component) = (self.clone(), component.clone());
            let bad = live.filter(|live| *live > number);
            move || app.loader.registry.return_to(&component, number, bad)
        });
        recorded.await?;
        let deployed = self.switch(change, prepared, Some(number), started);
        self.tell_switch(&current, &deployed, "returned", &rollback.why);
        Ok(deployed)
    }

    /// Begins a rollout of revisions that are ready to answer.
    async fn begin_rollout(
        self: &Arc<Self>,
        deployment: &Deployment,
        plan: Plan,
        former: Digest,
        change: Change,
        candidates: Prepared,
        started: Instant,
    ) -> Result<Deployed, DeployError> {
        let now = now_unix_ms();
        let mut rollout = Rollout::new(plan, now, fastrand::u64(..));
        let transitions = rollout.warmed(now);
        let recorded = blocking({
            let (app, deployment, digest) = (self.clone(), deployment.clone(), change.digest.clone());
            let state = in_words(&rollout);
            move || app.record(&deployment, &digest, Some(&state))
        });
        let number = recorded.await?;
        let Change { component, digest, .. } = change.clone();
        let switched = candidates.iter().map(|(place, _)| self.served[*place].clone()).collect();
        let entry = Entry::new(Running::new(rollout, former, change, number, candidates));
        self.deployments.rollouts().insert(component.clone(), entry.clone());
        {
            let mut running = entry.running.lock().await;
            self.carry_out(&entry, &mut running, &transitions).await;
        }
        self.watch(component.clone(), entry);
        let took_ms = started.elapsed().as_millis() as u64;
        Ok(Deployed { component, revision: Some(number), digest, switched, unchanged: false, rollout: true, took_ms })
    }
}

/// The revision to return to.
fn earlier<'a>(
    history: &'a [RevisionRecord],
    component: &str,
    to: Option<u32>,
) -> Result<&'a RevisionRecord, DeployError> {
    let component = component.to_owned();
    if let Some(number) = to {
        let found = history.iter().find(|record| record.number == number);
        return found.ok_or(DeployError::UnknownRevision { component, number });
    }
    let live = history.iter().find(|record| record.is_live).map_or(0, |record| record.number);
    let earlier = history.iter().find(|record| record.number < live && !record.is_rolled_back);
    earlier.ok_or(DeployError::NothingEarlier { component })
}

#[cfg(test)]
mod tests;
