//! `bodega watch`: builds a component again when its sources change, and puts what came of it in force in the running host.
//!
//! Sources are looked at regularly, by the globs of `[component.x.build] watch`. That costs a few hundred `stat` calls, and unlike
//! notices of the system it works on every file system that a container or a virtual machine may have mounted. Where the manifest,
//! `.env`, the runtime configuration or the files of a component change, its artifact in force is given what they say now. What does not
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
use super::{ManifestArgs, RUNTIME_CONFIG, remote};
use crate::admin::control::{DEPLOY_PATH, IN_FORCE};
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

/// The file in the current folder that completes the environment.
const DOTENV: &str = ".env";

/// The sources of a component, by their paths: how long they are, and when they were written.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sources(BTreeMap<PathBuf, (u64, Option<SystemTime>)>);

impl Sources {
    /// As they are now. What cannot be read is not there, which is a change when it can be again.
    fn of(component: &manifest::Component) -> Self {
        let Some(build) = &component.build else { return Self::default() };
        let folder = Pattern::escape(&build.workdir.to_string_lossy());
        let paths = build.watch.iter().filter_map(|pattern| glob::glob(&format!("{folder}/{pattern}")).ok());
        Self::at(paths.flatten().flatten())
    }

    /// What the component is given comes from these.
    fn of_configuration(manifest: &Manifest, component: &manifest::Component) -> Self {
        let files = manifest.files_of(component).unwrap_or_default().into_iter().map(|file| file.source);
        let beside = manifest.path.with_file_name(RUNTIME_CONFIG);
        Self::at(files.chain([manifest.path.clone(), beside, PathBuf::from(DOTENV)]))
    }

    fn at(paths: impl Iterator<Item = PathBuf>) -> Self {
        let source = |path: PathBuf| {
            let metadata = path.metadata().ok().filter(std::fs::Metadata::is_file)?;
            Some((path, (metadata.len(), metadata.modified().ok())))
        };
        Self(paths.filter_map(source).collect())
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
    manifest: &'m Manifest,
    component: &'m manifest::Component,
    sources: Sources,
    configuration: Sources,
}

/// What has changed.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    /// What it is given, by this file.
    Configuration(PathBuf),
    /// This one of its sources.
    Source(PathBuf),
}

impl<'m> Watched<'m> {
    fn new(manifest: &'m Manifest, component: &'m manifest::Component) -> Self {
        let configuration = Sources::of_configuration(manifest, component);
        Self { manifest, component, sources: Sources::of(component), configuration }
    }

    /// What has changed since it was last asked. Where its sources have, it is built, and given what has changed besides.
    fn take_change(&mut self) -> Option<Changed> {
        let sources = Sources::of(self.component);
        let configuration = Sources::of_configuration(self.manifest, self.component);
        let source = sources.difference(&self.sources).map(|path| Changed::Source(path.to_owned()));
        let given = configuration.difference(&self.configuration).map(|path| Changed::Configuration(path.to_owned()));
        (self.sources, self.configuration) = (sources, configuration);
        source.or(given)
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
            for (id, changed) in changes(&mut watched) {
                let (Changed::Source(path) | Changed::Configuration(path)) = &changed;
                println!("{id}: {} has changed", path.display());
                if let Changed::Configuration(_) = changed {
                    pending.add_configuration(id);
                    continue;
                }
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
        Ok(with.into_iter().map(|component| Watched::new(manifest, component)).collect())
    }

    /// Puts what was built of a component in force; returns what came of it, in a line.
    fn deploy(&self, manifest: &Manifest, id: &str, wasm: Option<Bytes>) -> anyhow::Result<String> {
        let source = component(manifest, id)?.source.display().to_string();
        let control: Control = self.admin.connect()?;
        let strategy = self.strategy.to_string();
        let mut query = vec![("component", id), ("strategy", &strategy)];
        match wasm {
            Some(_) => query.extend([("source", source.as_str()), ("why", "its source changed")]),
            None => query.extend([("artifact", IN_FORCE), ("why", "its configuration changed")]),
        }
        let done = remote::runtime()?.block_on(control.post(DEPLOY_PATH, &query, wasm.unwrap_or_default()))?;
        control::warnings(&done).for_each(|warning| eprintln!("{warning}"));
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
fn changes<'m>(watched: &mut [Watched<'m>]) -> Vec<(&'m str, Changed)> {
    let mut changes: BTreeMap<&str, Changed> = BTreeMap::new();
    for _ in 0..=QUIET_WAITS_MAX {
        let found: Vec<_> = watched
            .iter_mut()
            .filter_map(|watched| Some((watched.component.id.as_str(), watched.take_change()?)))
            .collect();
        if found.is_empty() {
            break;
        }
        for (id, changed) in found {
            // A change of sources counts for both.
            let known = changes.remove(id);
            changes.insert(
                id,
                match known {
                    Some(known) => known.max(changed),
                    None => changed,
                },
            );
        }
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
        let mut watched = Watched::new(&manifest, &manifest.components[0]);
        let source = |path: &PathBuf| Some(Changed::Source(path.clone()));
        assert_eq!(watched.take_change(), None);
        std::fs::write(dir.path().join("src/notes.txt"), "no source").unwrap();
        assert_eq!(watched.take_change(), None);
        std::fs::write(&file, "one").unwrap();
        assert_eq!(watched.take_change(), source(&file));
        assert_eq!(watched.take_change(), None);
        std::fs::write(&file, "longer").unwrap();
        assert_eq!(watched.take_change(), source(&file));
        std::fs::remove_file(&file).unwrap();
        assert_eq!(watched.take_change(), source(&file));
    }

    #[test]
    fn several_changes_are_one() {
        let (dir, manifest) = application();
        let mut watched = [Watched::new(&manifest, &manifest.components[0])];
        for name in ["a.rs", "b.rs"] {
            std::fs::write(dir.path().join("src").join(name), name).unwrap();
        }
        std::fs::write(dir.path().join("runtime-config.toml"), "").unwrap();
        assert!(matches!(&changes(&mut watched)[..], [("cart", Changed::Source(_))]), "the build is given the rest");
        assert!(changes(&mut watched).is_empty());
        std::fs::write(dir.path().join("runtime-config.toml"), "[outbound_http]").unwrap();
        assert!(matches!(&changes(&mut watched)[..], [("cart", Changed::Configuration(_))]));
    }
}
