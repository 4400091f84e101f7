//! The end of a process's say over revisions, when another process goes on with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::App;
use super::error::with_causes;
use super::tasks::blocking;
use crate::registry::{Action, BY_UPGRADE, RegistryError};

/// What the log of actions calls it that a new process's records do not count.
const UNDONE: &str = "upgrade-undone";

/// Whether another process decides about revisions.
#[derive(Debug, Default)]
pub(super) struct HandedOver(AtomicBool);

impl HandedOver {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// This process goes on deciding about revisions.
#[derive(Debug, thiserror::Error)]
pub enum HandOverError {
    /// Revisions are not what the other process has loaded any more.
    #[error("revisions changed while the new process started")]
    RevisionsChanged,
    /// The other process would go on with what was taken back.
    #[error("the end of the rollout of component `{component}` cannot be written down yet")]
    Unwritten {
        /// The component's id.
        component: String,
    },
    /// There would be no way back.
    #[error("{}", with_causes(.0))]
    Registry(#[from] RegistryError),
}

impl App {
    /// Changes of revisions and rollouts so far, for [`App::hand_over`].
    pub fn revision_changes(&self) -> u64 {
        self.loader.registry.changes()
    }

    /// Changes no revision and no rollout any more, because another process does so from now on; unless some were changed since there
    /// were `changes`, which that process has not seen. Waits for the deployment that is being made.
    pub async fn hand_over(self: &Arc<Self>, changes: u64) -> Result<(), HandOverError> {
        let _turn = self.deployments.turn.lock().await;
        let entries: Vec<_> = self.deployments.rollouts().values().cloned().collect();
        let mut rollouts = Vec::new();
        for entry in &entries {
            rollouts.push(entry.running.lock().await);
        }
        if self.loader.registry.changes() != changes {
            return Err(HandOverError::RevisionsChanged);
        }
        if let Some(unwritten) = rollouts.iter().find(|running| running.has_unwritten_end()) {
            return Err(HandOverError::Unwritten { component: unwritten.change.component.clone() });
        }
        let registry = self.loader.registry.clone();
        blocking(move || registry.mark()).await?;
        self.deployments.handed_over.0.store(true, Ordering::Release);
        Ok(())
    }

    /// Goes on after all: the other process has failed because of `why`, and is gone. What it has recorded is not what answers.
    pub async fn take_back_over(&self, why: &str) {
        if !self.deployments.handed_over.is_so() {
            return;
        }
        let (registry, action) = (self.loader.registry.clone(), Action::done(UNDONE, "", BY_UPGRADE, why));
        match blocking(move || registry.return_to_mark(&action)).await {
            Ok(false) => {}
            Ok(true) => tracing::warn!("what the new process had recorded about revisions is undone: {why}"),
            Err(error) => tracing::error!(
                "what the new process had recorded about revisions cannot be undone, so that the next start would go by it; deploy again \
                 what is in force: {}",
                with_causes(&error)
            ),
        }
        self.deployments.handed_over.0.store(false, Ordering::Release);
    }
}
