//! The ways by which another revision comes: it is deployed, begins to be rolled out, or is returned to.
//!
//! Each is made ready and recorded, and only then answers.

use std::sync::Arc;
use std::time::Instant;

use super::{App, AtHand, Change, DeployError, Deployed, Digest, Prepared, blocking};
use crate::app::audit::{DEPLOY, ROLLBACK, Wanted};
use crate::app::configuration::{Configuration, Restored};
use crate::app::rollouts::{Entry, Running, UNSAID, actions_of, in_words, now_unix_ms};
use crate::app::tasks::to_the_end;
use crate::app::webhooks::News;
use crate::manifest::Smoke;
use crate::registry::{Base, NewRevision, RegistryError, RevisionRecord};
use crate::rollout::{Gate, Plan, Rollout, Strategy, StrategyName, Transition};
use crate::variables::Values;

/// A revision to be put in force.
#[derive(Debug, Clone)]
pub struct Deployment {
    /// The component's id.
    pub component: String,
    /// Its artifact; the one in force where this is `None`.
    pub wasm: Option<Arc<[u8]>>,
    /// Where that came from, for people.
    pub source: String,
    /// Values of application variables, for this revision, instead of those that the application's sources have.
    pub variables: Values,
    /// Who wants it.
    pub who: String,
    /// Why.
    pub why: String,
    /// What it has to answer before it gets requests; what the manifest says where this is `None`.
    pub smoke: Option<Smoke>,
    /// How it takes over; as the manifest says where this is `None`.
    pub strategy: Option<StrategyName>,
}

/// A deployment with what it consists of.
#[derive(Clone)]
pub(super) struct Found {
    digest: Digest,
    wasm: Arc<[u8]>,
    source: String,
    configuration: Arc<Configuration>,
    /// What the manifest and its sources say.
    of_sources: Digest,
    changed: Vec<String>,
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
            app.log_action(&deployment.wanted(), &result, |done| !done.unchanged).await;
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
            app.log_action(&rollback.wanted(), &result, |done| !done.unchanged).await;
            result
        };
        to_the_end(returning).await
    }

    async fn deploy_in_turn(self: &Arc<Self>, deployment: &Deployment) -> Result<Deployed, DeployError> {
        let started = Instant::now();
        self.deployments.are_decided_here()?;
        let component = &deployment.component;
        self.no_rollout_goes_on(component)?;
        let current = self.in_force(component)?;
        let found = blocking({
            let (app, deployment, current) = (self.clone(), deployment.clone(), current.clone());
            move || app.find(&deployment, current)
        });
        let found = found.await?;
        if found.changed.is_empty() {
            return self.unchanged(component, current).await;
        }
        let change = found.change(component);
        let prepared = self.prepare(&change).await?;
        let settings = self.rollout_settings(component);
        if let Some(smoke) = deployment.smoke.as_ref().or(settings.smoke.as_ref()) {
            self.try_out(smoke, component, &prepared).await?;
        }
        let plan = settings.plan(deployment.strategy);
        if plan.strategy != Strategy::Rolling || plan.gate == Gate::Manual {
            return self.begin_rollout(deployment, found, plan, prepared, started).await;
        }
        let recorded = blocking({
            let (app, deployment) = (self.clone(), deployment.clone());
            move || app.record(&deployment, &found, None)
        });
        let number = recorded.await?;
        let warnings = warnings(&prepared);
        let deployed = Deployed { warnings, ..self.switch(change, prepared, Some(number), started) };
        self.tell_switch(&current, &deployed, "deployed", &deployment.why);
        Ok(deployed)
    }

    /// Reads what the deployment consists of; blocks. `current` is the artifact in force.
    fn find(&self, deployment: &Deployment, current: Digest) -> Result<Found, DeployError> {
        let Deployment { component, wasm, source, variables, .. } = deployment;
        let reason = |error: anyhow::Error| format!("{error:#}");
        let of_sources = self.loader.read_configuration(component);
        let of_sources = of_sources.map_err(|error| DeployError::Configuration { reason: reason(error) })?;
        let configuration = match variables.names().next() {
            None => of_sources.clone(),
            Some(_) => {
                let with_variables = self.loader.read_configuration_with(component, variables);
                with_variables.map_err(|error| DeployError::Refused { reason: reason(error) })?
            }
        };
        let (digest, wasm, source) = match wasm {
            Some(wasm) => (Digest::of(wasm), wasm.clone(), source.clone()),
            None => {
                let wasm = self.loader.registry.artifacts().read(&current)?.into();
                let source = self.source_in_force(component)?;
                (current, wasm, source)
            }
        };
        let of_sources = of_sources.digest();
        let mut found = Found { digest, wasm, source, configuration, of_sources, changed: Vec::new() };
        found.changed = found.change(component).changes_since(&self.deployments.state().in_force);
        Ok(found)
    }

    /// Where the artifact in force came from; blocks.
    fn source_in_force(&self, component: &str) -> Result<String, RegistryError> {
        let history = self.loader.registry.history(component)?;
        let recorded = history.into_iter().find(|record| record.is_live).map(|record| record.source);
        Ok(recorded.unwrap_or_else(|| self.source_in_manifest(component)))
    }

    fn source_in_manifest(&self, component: &str) -> String {
        let of_manifest = self.loader.manifest.component(component);
        of_manifest.map(|component| component.source.display().to_string()).unwrap_or_default()
    }

    /// Tells webhooks what a person has put in force at once.
    fn tell_switch(&self, from: &Digest, deployed: &Deployed, change: &'static str, why: &str) {
        self.webhooks.tell(&News {
            component: &deployed.component,
            from,
            to: &deployed.digest,
            changed: &deployed.changed,
            change,
            weight_percent: 100,
            reason: if why.is_empty() { UNSAID } else { why },
            at_unix_ms: now_unix_ms(),
        });
    }

    /// Writes down that the artifact is in force from now on, or rolled out as `rollout` says with what has happened to it already;
    /// returns the revision's number.
    fn record(
        &self,
        deployment: &Deployment,
        found: &Found,
        rollout: Option<(&str, &[Transition])>,
    ) -> Result<u32, RegistryError> {
        let Deployment { component, who, why, smoke, strategy, .. } = deployment;
        let Found { digest, wasm, source, configuration, of_sources, changed } = found;
        let (base, base_configuration) = {
            let state = self.deployments.state();
            let base = state.bases.get(component).cloned().unwrap_or_else(|| digest.clone());
            (base, state.in_force.configuration(component).record())
        };
        let strategy = strategy.unwrap_or_else(|| self.rollout_settings(component).strategy);
        let smoke = smoke.as_ref().map(|smoke| &smoke.path);
        let settings = serde_json::json!({ "strategy": strategy, "smoke": smoke, "changed": changed });
        let base_source = self.source_in_manifest(component);
        let revision = NewRevision {
            component,
            digest,
            source,
            who,
            why,
            settings: &settings.to_string(),
            configuration: &configuration.record(),
            configuration_of_sources: of_sources,
            base: Base { digest: &base, source: &base_source, configuration: &base_configuration },
        };
        let mut actions = vec![deployment.wanted().done()];
        self.loader.registry.keep_and_record(digest, wasm, |registry| match rollout {
            None => registry.put_in_force(&revision, &actions),
            Some((state, transitions)) => {
                actions.extend(actions_of(component, transitions));
                registry.begin_rollout(&revision, state, &actions)
            }
        })
    }

    async fn roll_back_in_turn(self: &Arc<Self>, rollback: &Rollback) -> Result<Deployed, DeployError> {
        let started = Instant::now();
        self.deployments.are_decided_here()?;
        let component = &rollback.component;
        self.no_rollout_goes_on(component)?;
        let current = self.in_force(component)?;
        let history = self.history(component).await?;
        let live = history.iter().find(|record| record.is_live).map(|record| record.number);
        let target = earlier(&history, component, rollback.to)?;
        let restored = blocking({
            let (app, component, record) = (self.clone(), component.clone(), target.configuration.clone());
            move || app.restore(&component, &record)
        });
        let restored = restored.await.map_err(|error| DeployError::Refused {
            reason: format!("revision {} cannot be what it was: {error:#}", target.number),
        })?;
        restored.warn(component, target.number);
        let warnings = restored.warning();
        let change = Change {
            component: component.clone(),
            digest: target.digest.clone(),
            source: target.source.clone(),
            at_hand: AtHand::new(),
            configuration: Arc::new(restored.configuration),
        };
        if change.changes_since(&self.deployments.state().in_force).is_empty() && live == Some(target.number) {
            return self.unchanged(component, current).await;
        }
        let prepared = self.prepare(&change).await?;
        let number = target.number;
        let recorded = blocking({
            let (app, component, action) = (self.clone(), component.clone(), rollback.wanted().done());
            let bad = live.filter(|live| *live > number);
            move || app.loader.registry.return_to(&component, number, bad, &action)
        });
        recorded.await?;
        let deployed = Deployed { warnings, ..self.switch(change, prepared, Some(number), started) };
        self.tell_switch(&current, &deployed, "returned", &rollback.why);
        Ok(deployed)
    }

    /// What a former revision was given; blocks.
    fn restore(&self, component: &str, record: &str) -> anyhow::Result<Restored> {
        let known: Vec<Arc<Configuration>> = {
            let state = self.deployments.state();
            let warm = state.warm.iter().filter(|warm| warm.component.id == component);
            let warm = warm.map(|warm| warm.configuration.clone());
            warm.chain([state.in_force.configuration(component)]).collect()
        };
        let now = self.loader.configuration_read(component);
        self.loader.configurer.restore(record, known.iter().map(|known| &**known), &now)
    }

    /// Begins a rollout of revisions that are ready to answer.
    async fn begin_rollout(
        self: &Arc<Self>,
        deployment: &Deployment,
        found: Found,
        plan: Plan,
        candidates: Prepared,
        started: Instant,
    ) -> Result<Deployed, DeployError> {
        let now = now_unix_ms();
        let former = self.in_force(&deployment.component)?;
        // What is rolled out for hours is read from its file when it is needed again.
        let change = Change { at_hand: AtHand::new(), ..found.change(&deployment.component) };
        let old = self.counted(candidates.iter().map(|(place, _)| *place), &plan.analysis.counters);
        let mut rollout = Rollout::new(plan, now, fastrand::u64(..));
        rollout.remember(&old);
        let transitions = rollout.warmed(now);
        let (changed, warnings) = (found.changed.clone(), warnings(&candidates));
        let recorded = blocking({
            let (app, deployment, transitions) = (self.clone(), deployment.clone(), transitions.clone());
            let state = in_words(&rollout);
            move || app.record(&deployment, &found, Some((&state, &transitions)))
        });
        let number = recorded.await?;
        let Change { component, digest, .. } = change.clone();
        let switched = candidates.iter().map(|(place, _)| self.served[*place].clone()).collect();
        let entry = Entry::new(Running::new(rollout, former, change, changed.clone(), number, candidates));
        self.deployments.rollouts().insert(component.clone(), entry.clone());
        {
            let mut running = entry.running.lock().await;
            self.carry_out(&entry, &mut running, &transitions);
        }
        self.watch(component.clone(), entry);
        Ok(Deployed {
            component,
            revision: Some(number),
            digest,
            switched,
            unchanged: false,
            rollout: true,
            changed,
            warnings,
            took_ms: started.elapsed().as_millis() as u64,
        })
    }
}

/// What whoever wanted these should know of them.
fn warnings(prepared: &Prepared) -> Vec<String> {
    prepared.iter().flat_map(|(_, live)| live.revision.undeclared.iter().cloned()).collect()
}

impl Found {
    fn change(&self, component: &str) -> Change {
        Change {
            component: component.to_owned(),
            digest: self.digest.clone(),
            source: self.source.clone(),
            at_hand: AtHand::from([(component.to_owned(), self.wasm.clone())]),
            configuration: self.configuration.clone(),
        }
    }
}

impl Deployment {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { action: DEPLOY, component: &self.component, who: &self.who, why: &self.why }
    }
}

impl Rollback {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { action: ROLLBACK, component: &self.component, who: &self.who, why: &self.why }
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
