//! `bodega watch`: builds a component again when its sources change, and puts what came of it in force in the running host.
//!
//! Sources are looked at regularly, by the globs of `[component.x.build] watch`. That costs a few hundred `stat` calls, and unlike
//! notices of the system it works on every file system that a container or a virtual machine may have mounted. What does not
//! build or is refused is shown, and the last good revision goes on; what the host cannot take at this moment is kept and offered
//! again. A signal ends it, and the build that it is at.

mod pending;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use futures::future::select_all;
use glob::Pattern;
use tokio::signal::unix::{SignalKind, signal};

use self::pending::Pending;
use super::build::{self, Running};
use super::control::{self, AdminArgs, Control};
use super::{ManifestArgs, remote};
use crate::admin::control::DEPLOY_PATH;
use crate::manifest::{self, Manifest};
use crate::rollout::StrategyName;

/// How often sources are looked at.
const POLL: Duration = Duration::from_millis(250);
/// How long they have to be quiet before anything is built: editors and version control write several files.
const QUIET: Duration = Duration::from_millis(200);
/// How often at most that is waited for.
const QUIET_WAITS_MAX: u32 = 25;

/// Arguments of `bodega watch`.
#[derive(Debug, clap::Args)]
pub(super) struct Watch {
    #[command(flatten)]
    manifest: ManifestArgs,
    /// Watch only this component; may be given several times.
    #[arg(short = 'c', long = "component-id")]
    component_id: Vec<String>,
    /// How a build takes over: `rolling`, `blue-green`, `canary` or `shadow`.
    #[arg(long, default_value_t = StrategyName::Rolling)]
    strategy: StrategyName,
    #[command(flatten)]
    admin: AdminArgs,
}

/// The sources of a component, by their paths: how long they are, and when they were written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Sources {
    /// As they are now. What cannot be read is not there, which is a change when it can be again.
    fn of(component: &manifest::Component) -> Self {
        let Some(build) = &component.build else { return Self::default() };
        let folder = Pattern::escape(&build.workdir.to_string_lossy());
        let paths = build.watch.iter().filter_map(|pattern| glob::glob(&format!("{folder}/{pattern}")).ok());
        let source = |path: PathBuf| {
            let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((path, (metadata.len(), metadata.modified().ok())))
        };
        Self(paths.flatten().flatten().filter_map(source).collect())
    }

    /// One that is not in `other` as it is here, or is in `other` alone.
    fn difference<'a>(&'a self, other: &'a Self) -> Option<&'a Path> {
        let changed = |(path, state): &(&PathBuf, &_)| other.0.get(*path) != Some(*state);
        let changed =
            self.0.iter().find(changed).or_else(|| other.0.iter().find(|(path, _)| !self.0.contains_key(*path)));
        changed.map(|(path, _)| path.as_path())
    }
}

/// A component that is watched.
struct Watched<'m> {
    component: &'m manifest::Component,
    sources: Sources,
}

impl<'m> Watched<'m> {
    fn new(component: &'m manifest::Component) -> Self {
        Self { component, sources: Sources::of(component) }
    }

    /// What has changed since it was last asked.
    fn take_change(&mut self) -> Option<PathBuf> {
        let now = Sources::of(self.component);
        let changed = now.difference(&self.sources).map(Path::to_owned);
        self.sources = now;
        changed
    }
}

impl Watch {
    pub(super) fn run(self) -> anyhow::Result<()> {
        let manifest = self.manifest.load()?;
        let mut watched = self.watched(&manifest)?;
        let running = Arc::new(Running::default());
        end_on_signals(running.clone())?;
        // Whoever is not there yet may be so when something has changed.
        if let Err(error) = self.admin.connect() {
            eprintln!("{error:#}");
        }
        let files: usize = watched.iter().map(|watched| watched.sources.0.len()).sum();
        let ids: Vec<&str> = watched.iter().map(|watched| watched.component.id.as_str()).collect();
        println!("watching {files} files of {}", ids.join(", "));
        let mut pending = Pending::default();
        loop {
            std::thread::sleep(POLL);
            for (id, path) in changes(&mut watched) {
                println!("{id}: {} has changed", path.display());
                // What was built before is not what anybody wants any more.
                pending.forget(id);
                match built(&manifest, id, &running) {
                    Ok(wasm) => pending.add(id, wasm),
                    // The next one may be all right.
                    Err(error) => eprintln!("{id}: {error:#}; the last good revision goes on"),
                }
            }
            pending.offer(Instant::now(), |id, wasm| self.deploy(&manifest, id, wasm));
        }
    }

    /// The components to watch; those that cannot be are named if nobody asked for them.
    fn watched<'m>(&self, manifest: &'m Manifest) -> anyhow::Result<Vec<Watched<'m>>> {
        if let Some(unknown) = self.component_id.iter().find(|id| manifest.component(id).is_none()) {
            bail!("the application has no component `{unknown}`");
        }
        let is_wanted = |id: &String| self.component_id.is_empty() || self.component_id.contains(id);
        let wanted = manifest.components.iter().filter(|component| is_wanted(&component.id));
        let (with, without): (Vec<_>, Vec<_>) =
            wanted.partition(|component| component.build.as_ref().is_some_and(|build| !build.watch.is_empty()));
        for component in without {
            eprintln!("{0}: not watched, since [component.{0}.build] has no `watch`", component.id);
        }
        if with.is_empty() {
            bail!("there is nothing to watch; name sources in `watch` of [component.x.build]");
        }
        Ok(with.into_iter().map(Watched::new).collect())
    }

    /// Puts what was built of a component in force; returns what came of it, in a line.
    fn deploy(&self, manifest: &Manifest, id: &str, wasm: Bytes) -> anyhow::Result<String> {
        let source = component(manifest, id)?.source.display().to_string();
        let control: Control = self.admin.connect()?;
        let strategy = self.strategy.to_string();
        let query = [("component", id), ("source", &source), ("why", "its source changed"), ("strategy", &strategy)];
        let done = remote::runtime()?.block_on(control.post(DEPLOY_PATH, &query, wasm))?;
        Ok(control::outcome_line(&done))
    }
}

fn component<'m>(manifest: &'m Manifest, id: &str) -> anyhow::Result<&'m manifest::Component> {
    manifest.component(id).with_context(|| format!("there is no component `{id}`"))
}

/// Builds a component.
fn built(manifest: &Manifest, id: &str, running: &Running) -> anyhow::Result<Bytes> {
    build::build(manifest, &[id.to_owned()], Some(running))?;
    let source = &component(manifest, id)?.source;
    Ok(std::fs::read(&**source).with_context(|| format!("{} cannot be read", source.display()))?.into())
}

/// Ends this process on SIGTERM, SIGINT or SIGHUP, and before it what it builds.
fn end_on_signals(running: Arc<Running>) -> anyhow::Result<()> {
    let runtime = remote::runtime()?;
    let mut kinds = vec![SignalKind::terminate(), SignalKind::interrupt()];
    // `nohup` has it go on without its terminal.
    if !hangup_is_ignored() {
        kinds.push(SignalKind::hangup());
    }
    let mut signals = {
        let _entered = runtime.enter();
        kinds.into_iter().map(signal).collect::<Result<Vec<_>, _>>()?
    };
    std::thread::spawn(move || {
        runtime.block_on(select_all(signals.iter_mut().map(|signal| Box::pin(signal.recv()))));
        running.stop();
        std::process::exit(0);
    });
    Ok(())
}

/// Whether whoever started this process had it ignore SIGHUP; `false` where the system does not tell.
fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or_default();
    // Bits count from signal 1, which is SIGHUP.
    mask & 1 != 0
}

/// The components whose sources have changed and are quiet now, each with one of them.
fn changes<'m>(watched: &mut [Watched<'m>]) -> Vec<(&'m str, PathBuf)> {
    let mut changes = BTreeMap::new();
    for _ in 0..=QUIET_WAITS_MAX {
        let found: Vec<_> = watched
            .iter_mut()
            .filter_map(|watched| Some((watched.component.id.as_str(), watched.take_change()?)))
            .collect();
        if found.is_empty() {
            break;
        }
        changes.extend(found);
        std::thread::sleep(QUIET);
    }
    changes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a manifest of one component, whose sources are below `src`.
    fn application() -> (tempfile::TempDir, Manifest) {
        let dir = tempfile::tempdir().unwrap();
        let text = "spin_manifest_version = 2\n[application]\nname = \"shop\"\n\
                    [[trigger.http]]\nroute = \"/cart\"\ncomponent = \"cart\"\n[component.cart]\nsource = \"cart.wasm\"\n\
                    [component.cart.build]\ncommand = \"true\"\nwatch = [\"src/**/*.rs\"]\n";
        std::fs::create_dir_all(dir.path().join("src/deep")).unwrap();
        std::fs::write(dir.path().join("spin.toml"), text).unwrap();
        let manifest = manifest::load(&dir.path().join("spin.toml")).unwrap();
        (dir, manifest)
    }

    #[test]
    fn a_change_is_a_file_that_is_new_or_other_or_gone() {
        let (dir, manifest) = application();
        let file = dir.path().join("src/deep/lib.rs");
        let mut watched = Watched::new(&manifest.components[0]);
        assert_eq!(watched.take_change(), None);
        std::fs::write(dir.path().join("src/notes.txt"), "no source").unwrap();
        assert_eq!(watched.take_change(), None);
        std::fs::write(&file, "one").unwrap();
        assert_eq!(watched.take_change(), Some(file.clone()));
        assert_eq!(watched.take_change(), None);
        std::fs::write(&file, "longer").unwrap();
        assert_eq!(watched.take_change(), Some(file.clone()));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(watched.take_change(), Some(file));
    }

    #[test]
    fn several_changes_are_one() {
        let (dir, manifest) = application();
        let mut watched = [Watched::new(&manifest.components[0])];
        for name in ["a.rs", "b.rs"] {
            std::fs::write(dir.path().join("src").join(name), name).unwrap();
        }
        assert_eq!(changes(&mut watched).len(), 1);
        assert!(changes(&mut watched).is_empty());
    }
}
