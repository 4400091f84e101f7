//! Has a revision bring its stores to its schema, once, before it gets any request.
//!
//! The revision is asked in an instance of its own, which has its stores and files but reaches no other component. A file in the
//! state folder is locked meanwhile, so that no two migrations run at once: during an upgrade the new process starts while the
//! former one may be at a deployment. That it is done is recorded for the component and its artifact: a return to it, another start,
//! or whoever waited for the lock, does not ask again. A host that dies in between leaves no lock, and asks again at its next start,
//! so a migration has to stand being asked twice.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use anyhow::Context as _;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::{BodyExt as _, Empty, Limited};
use tokio::runtime::Handle;

use super::chain::chained;
use super::counts::GrowthCounts;
use super::revision::Revision;
use super::schedule;
use super::tasks::blocking;
use super::worker::Worker;
use crate::engine::admission::Admission;
use crate::engine::component::{Component, InstanceLimits};
use crate::engine::pool::InstancePool;
use crate::engine::{self, Engine};
use crate::manifest;
use crate::registry::{Digest, Registry};
use crate::telemetry::request_context::RequestContext;
use crate::variables::Variables;

/// Bytes that an answer may have.
const ANSWER_BYTES_MAX: usize = 1 << 20;
/// What is shown of one that refuses.
const REASON_CHARACTERS_MAX: usize = 2_000;

/// What a component is asked.
pub(super) struct Migration {
    pub(super) path: String,
    uri: Uri,
    headers: HeaderMap,
    timeout: Duration,
}

impl Migration {
    /// What the manifest says, with the variables' values in place.
    pub(super) fn new(migration: &manifest::Migration, component: &str, variables: &Variables) -> anyhow::Result<Self> {
        let named = || format!("the migration of component `{component}`");
        Ok(Self {
            path: migration.path.clone(),
            uri: format!("http://{component}.spin.internal{}", migration.path).parse().with_context(named)?,
            headers: schedule::headers(&migration.headers, variables).with_context(named)?,
            timeout: migration.timeout,
        })
    }

    /// Asks the revision; the error is why it could not.
    pub(super) async fn ask(&self, engine: &Arc<Engine>, revision: &Revision) -> anyhow::Result<()> {
        let own = &*revision.component;
        let limits = InstanceLimits { deadline: self.timeout, ..own.limits };
        // How it grows here says nothing about requests.
        let growth = Arc::new(GrowthCounts::default());
        let component = Arc::new(Component { limits, growth, ..own.clone() });
        let admission = Arc::new(Admission::new(&own.id, limits.queue_length_max));
        let (pre, nobody) = (engine::share(&revision.pre), Weak::<Worker>::new());
        let pool = InstancePool::new(engine.clone(), pre, component, admission, nobody, &Handle::current(), 1);
        let context = Arc::new(RequestContext::default());
        let mut request = Request::new(Empty::new().map_err(|never| match never {}).boxed_unsync());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        let answer = pool.handle(chained(request, &context), context).await;
        pool.retire();
        let answer = answer?;
        let status = answer.status();
        let body = Limited::new(answer.into_body().map_err(anyhow::Error::from), ANSWER_BYTES_MAX);
        let body = body.collect().await.map_err(|error| anyhow::anyhow!("its answer does not end well: {error}"))?;
        if status.is_success() {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&body.to_bytes()).chars().take(REASON_CHARACTERS_MAX).collect::<String>();
        anyhow::bail!("it was answered {status}: {}", text.trim())
    }
}

/// Has this artifact of a component migrate by `ask`, and records that it has, unless it is recorded already; returns whether it was
/// asked. Waits for the process that has `lock`.
pub(super) async fn once(
    registry: &Arc<Registry>,
    lock: &Path,
    component: &str,
    artifact: &Digest,
    ask: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<bool> {
    let is_done = async || {
        let (registry, component, artifact) = (registry.clone(), component.to_owned(), artifact.clone());
        blocking(move || registry.is_migrated(&component, &artifact)).await
    };
    if is_done().await? {
        return Ok(false);
    }
    let locked = blocking({
        let lock = lock.to_owned();
        move || locked(&lock).with_context(|| format!("{} cannot be locked for a migration", lock.display()))
    });
    // Closed, and so unlocked, at the end.
    let _locked = locked.await?;
    if is_done().await? {
        return Ok(false);
    }
    ask.await?;
    let recorded = blocking({
        let (registry, component, artifact) = (registry.clone(), component.to_owned(), artifact.clone());
        move || registry.migrated(&component, &artifact)
    });
    recorded.await?;
    Ok(true)
}

fn locked(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;
    use crate::registry::REVISIONS_KEPT;

    /// How long a migration takes.
    const MIGRATION_TIME: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn of_two_processes_one_migrates_and_the_other_waits() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, artifact) = (dir.path().join("migration.lock"), Digest::of(b"new"));
        let (asked, at_it) = (AtomicU32::new(0), AtomicU32::new(0));
        let process = async |artifact: &Digest| {
            let registry = Arc::new(Registry::open(dir.path(), REVISIONS_KEPT).unwrap());
            let migrates = once(&registry, &lock, "cart", artifact, async {
                assert_eq!(at_it.fetch_add(1, Ordering::Relaxed), 0, "two at once");
                tokio::time::sleep(MIGRATION_TIME).await;
                at_it.fetch_sub(1, Ordering::Relaxed);
                asked.fetch_add(1, Ordering::Relaxed);
                Ok(())
            });
            migrates.await.unwrap()
        };
        let other = Digest::of(b"other");
        let (first, second, other) = tokio::join!(process(&artifact), process(&artifact), process(&other));
        assert!(first != second && other, "{first} {second} {other}");
        assert_eq!(asked.load(Ordering::Relaxed), 2);
        assert!(!process(&artifact).await, "it is recorded");
    }

    #[tokio::test]
    async fn one_that_fails_is_not_recorded_and_leaves_no_lock() {
        let dir = tempfile::tempdir().unwrap();
        let (lock, artifact) = (dir.path().join("migration.lock"), Digest::of(b"new"));
        let registry = Arc::new(Registry::open(dir.path(), REVISIONS_KEPT).unwrap());
        let fails = once(&registry, &lock, "cart", &artifact, async { anyhow::bail!("no room") });
        assert!(fails.await.is_err());
        assert!(once(&registry, &lock, "cart", &artifact, async { Ok(()) }).await.unwrap());
    }
}
