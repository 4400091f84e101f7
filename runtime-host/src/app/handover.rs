//! The end of a process's say over revisions, when another process goes on with them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::App;

/// Whether another process decides about revisions.
#[derive(Debug, Default)]
pub(super) struct HandedOver(AtomicBool);

impl HandedOver {
    pub(super) fn is_so(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// Revisions are not what the other process has loaded any more.
#[derive(Debug, thiserror::Error)]
#[error("revisions changed while the new process started")]
pub struct RevisionsChanged;

impl App {
    /// Changes of revisions and rollouts so far, for [`App::hand_over`].
    pub fn revision_changes(&self) -> u64 {
        self.loader.registry.changes()
    }

    /// Changes no revision and no rollout any more, because another process does so from now on; unless some were changed since there
    /// were `changes`, which that process has not seen. Waits for the deployment that is being made.
    pub async fn hand_over(self: &Arc<Self>, changes: u64) -> Result<(), RevisionsChanged> {
        let _turn = self.deployments.turn.lock().await;
        let entries: Vec<_> = self.deployments.rollouts().values().cloned().collect();
        let mut rollouts = Vec::new();
        for entry in &entries {
            rollouts.push(entry.running.lock().await);
        }
        if self.loader.registry.changes() != changes {
            return Err(RevisionsChanged);
        }
        self.deployments.handed_over.0.store(true, Ordering::Release);
        Ok(())
    }

    /// Goes on after all: the other process has failed.
    pub fn take_back_over(&self) {
        self.deployments.handed_over.0.store(false, Ordering::Release);
    }
}
