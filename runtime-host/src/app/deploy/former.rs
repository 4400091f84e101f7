//! Former revisions: they finish what they have begun, and make room for others.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::App;
use super::super::revision::{Draining, Live, drained};
use super::DeployError;

/// How long a deployment waits for instances of former revisions to end when there is no room for more.
const ROOM_TIMEOUT: Duration = Duration::from_secs(10);
/// How often it looks whether there is room.
const ROOM_POLL: Duration = Duration::from_millis(20);

impl App {
    /// Waits until `instances` more may live at once.
    pub(super) async fn wait_for_room(&self, instances: usize) -> Result<(), DeployError> {
        let deadline = Instant::now() + ROOM_TIMEOUT;
        loop {
            let answering: usize = self.table.load().live().map(|live| live.component().limits.instances_max).sum();
            let draining = self.deployments.draining().iter().map(|draining| draining.instances()).sum();
            if answering + draining + instances <= self.loader.engine.instances_max() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(DeployError::NoRoom { instances: draining });
            }
            tokio::time::sleep(ROOM_POLL).await;
        }
    }

    /// Has a revision finish what it has begun, and notes when it has.
    pub(in crate::app) fn drain(self: &Arc<Self>, live: &Arc<Live>) {
        let time = self.rollout_settings(&live.component().id).drain;
        let draining = Arc::new(live.retire(time));
        self.deployments.draining().push(draining.clone());
        let app = self.clone();
        tokio::spawn(async move {
            let requests_cut = drained(&draining).await;
            app.deployments.draining().retain(|other| !Arc::ptr_eq(other, &draining));
            let Draining { component, name, since, .. } = &*draining;
            let took = since.elapsed();
            if requests_cut > 0 {
                tracing::warn!(
                    component,
                    revision = name,
                    ?took,
                    requests_cut,
                    "what was left of the former revision was cut"
                );
            } else {
                tracing::info!(component, revision = name, ?took, "the former revision has finished");
            }
        });
    }
}
