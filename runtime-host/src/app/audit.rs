//! What the log of actions says of what people want, and of what came of it.

use super::App;
use super::error::{DeployError, with_causes};
use super::tasks::blocking;
use crate::registry::Action;

impl App {
    /// Says what came of an action, and writes it down unless that was done along with what it has changed.
    pub(super) async fn log_action<T>(
        &self,
        wanted: &Wanted<'_>,
        result: &Result<T, DeployError>,
        is_recorded: impl FnOnce(&T) -> bool,
    ) {
        let end = if result.is_ok() { "ok" } else { "failed" };
        self.telemetry.metrics.control_action(wanted.component, wanted.action, end);
        match result {
            Ok(done) if is_recorded(done) => tell(&wanted.done()),
            Ok(_) => self.audit(wanted.done()).await,
            Err(error) => self.audit(wanted.ended(error.to_string())).await,
        }
    }

    /// Writes down what was done through the control API and changes nothing that is written down.
    pub async fn audit(&self, action: Action) {
        tell(&action);
        let registry = self.loader.registry.clone();
        if let Err(error) = blocking(move || registry.log(&action)).await {
            tracing::error!("an action is missing in the log of actions: {}", with_causes(&error));
        }
    }
}

/// What is counted from the start, because alerts and dashboards tell of it.
pub(super) const DEPLOY: &str = "deploy";
/// A former revision is put in force again.
pub(super) const ROLLBACK: &str = "rollback";

/// What a person wants.
pub(super) struct Wanted<'a> {
    pub(super) action: &'static str,
    pub(super) component: &'a str,
    pub(super) who: &'a str,
    pub(super) why: &'a str,
}

impl Wanted<'_> {
    pub(super) fn done(&self) -> Action {
        Action::done(self.action, self.component, self.who, self.why)
    }

    fn ended(&self, outcome: String) -> Action {
        Action::ended(self.action, self.component, self.who, self.why, outcome)
    }
}

/// Says in the log what was done.
pub(super) fn tell(action: &Action) {
    let Action { who, action: name, component, why, outcome, .. } = action;
    tracing::info!(who, component, why, outcome, "control: {name}");
}
