//! A new revision of a component in a running host: how long it takes, and what it costs to choose one for each request.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread::{scope, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::Bench;
use crate::app::App;
use crate::load::Load;
use crate::report::{Bar, Section, Table};
use crate::server::Server;
use crate::statistics::{Latencies, Ratio, median};

/// Earlier revisions that stay warm, and artifacts that are deployed in turn: more, so that none is still warm.
const REVISIONS_KEPT: usize = 1;
const ARTIFACTS: usize = 4;
const DEPLOYMENTS_PER_ROUND: usize = 8;
/// How often the new revision is asked for, well below what is told about it.
const POLL: Duration = Duration::from_micros(200);
const PATIENCE: Duration = Duration::from_secs(60);
/// The name that the component answers with, where tests and this program put another of the same length.
const NAME: &str = "name=one";
/// Connections of the load that revisions are chosen for.
const CONNECTIONS: usize = 16;
/// Percent of the requests for the new revision: next to none, so that only the choice costs, and half, so that both are at work.
const CHOICE_PERCENT: u8 = 1;
const HALF_PERCENT: u8 = 50;

/// Measures deployments, and a host that chooses between two revisions beside one that has one.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let source = bench.component("variant");
    let settings = format!("[component.hello.tool.bodega.rollout]\nrevisions_kept = {REVISIONS_KEPT}\n");
    let app = App::of_component(&bench.host(), bench.folder.path().join("deploy"), &source, &settings)?;
    let (server, _) = app.start("/")?;
    let artifacts = artifacts(&app, &fs::read(&source)?)?;
    let mut compiled = Vec::new();
    for artifact in &artifacts {
        compiled.push(artifact.deploy(&app, &server)?.as_secs_f64() * 1e3);
    }
    let deployments = bench.rounds * DEPLOYMENTS_PER_ROUND;
    let at_hand: Latencies = artifacts
        .iter()
        .cycle()
        .take(deployments)
        .map(|artifact| artifact.deploy(&app, &server))
        .collect::<Result<_>>()?;
    server.stop()?;
    let at_hand_ms = |percent| at_hand.percentile(percent).as_secs_f64() * 1e3;
    let mib = fs::metadata(&source)?.len() as f64 / f64::from(1 << 20);
    let compiled_ms = median(compiled);

    let (chosen, halved) = (choice(bench, CHOICE_PERCENT)?, choice(bench, HALF_PERCENT)?);

    Ok(Section {
        title: "Deploy",
        about: format!(
            "From before the start of `bodega deploy` to the first bytes that the new revision answered; the host serves on.\n\
             {ARTIFACTS} versions of a component of {mib:.2} MiB take turns, of which {REVISIONS_KEPT} stays warm: the code of the \
             next is on disk, its instances are new.\n\
             A choice between two revisions: hello with {CONNECTIONS} connections during a rollout, beside a host without one. \
             With one percent of the requests for the new revision, which shows what the choice costs, the ratio of requests/s is \
             {chosen}; with half of them, where each revision has instances at work and finds less of its code in the caches of \
             the cores, {halved}.",
        ),
        table: Table {
            columns: vec!["", "p50, ms", "p99, ms"],
            rows: vec![
                vec!["compiled before".into(), format!("{:.1}", at_hand_ms(50)), format!("{:.1}", at_hand_ms(99))],
                vec!["compiled then".into(), format!("{compiled_ms:.0}"), String::new()],
                vec!["compiled then, for each MiB".into(), format!("{:.0}", compiled_ms / mib), String::new()],
            ],
        },
        details: Vec::new(),
        bars: vec![
            Bar::at_most(50.0, " ms", "deploy to the first answer, compiled before, p50", at_hand_ms(50)),
            Bar::at_least(0.98, "x", "hello, choice of two revisions: requests/s, with / without", chosen.median),
            Bar::at_least(0.98, "x", "hello, two revisions at work: requests/s, with / without", halved.median),
        ],
    })
}

/// Requests per second of a host that has this share of them answered by a new revision, to those of a host with one revision.
fn choice(bench: &Bench, weight_percent: u8) -> Result<Ratio> {
    let settings = format!(
        "[component.hello.tool.bodega.rollout]\n\
         steps = [{{ weight_percent = {weight_percent}, duration = \"1h\" }}, 100]\nsticky = \"none\"\n"
    );
    let (one, _) = bench.hello(&format!("one-revision-{weight_percent}"), "")?.start("/")?;
    let shared = bench.hello(&format!("two-revisions-{weight_percent}"), &settings)?;
    let (two, _) = shared.start("/")?;
    let candidate = shared.folder().join("candidate.wasm");
    fs::write(&candidate, with_section(&fs::read(bench.component("hello"))?))?;
    command(&shared, &candidate, &["--strategy", "canary"])?;
    let load = |server: &Server| Load::get(server.url("/"), CONNECTIONS);
    let pairs = bench.compare(&load(&two), &load(&one))?;
    let chosen = String::from_utf8(two.get_admin("/metrics")?)?;
    let answering: BTreeSet<&str> = chosen
        .lines()
        .filter(|line| line.starts_with("bodega_http_requests_total{component=\"hello\""))
        .filter_map(|line| line.split_once("revision=\"")?.1.split('"').next())
        .collect();
    ensure!(answering.len() == 2, "only one revision answered:\n{chosen}");
    Ok(pairs.ratio(|side| side.requests_per_s))
}

/// A version of the component, by the name that it answers with.
struct Artifact {
    path: PathBuf,
    name: String,
}

fn artifacts(app: &App, wasm: &[u8]) -> Result<Vec<Artifact>> {
    let place = wasm.windows(NAME.len()).position(|bytes| bytes == NAME.as_bytes()).context("a version to replace")?;
    let version = |number| {
        let name = format!("v{number:02}");
        let mut wasm = wasm.to_vec();
        wasm[place..place + NAME.len()].copy_from_slice(format!("name={name}").as_bytes());
        let path = app.folder().join(format!("{name}.wasm"));
        fs::write(&path, wasm)?;
        Ok(Artifact { path, name })
    };
    (0..ARTIFACTS).map(version).collect()
}

impl Artifact {
    /// Deploys it, and tells how long it took until it answered.
    fn deploy(&self, app: &App, server: &Server) -> Result<Duration> {
        let begin = Instant::now();
        scope(|scope| {
            let answered = scope.spawn(|| {
                while server.get("/")? != self.name.as_bytes() {
                    ensure!(begin.elapsed() < PATIENCE, "{} never answered: {}", self.name, server.last_words());
                    sleep(POLL);
                }
                Ok(begin.elapsed())
            });
            command(app, &self.path, &[])?;
            answered.join().map_err(|_| anyhow::anyhow!("the requests panicked"))?
        })
    }
}

fn command(app: &App, wasm: &Path, arguments: &[&str]) -> Result<()> {
    let mut deploy = app.command();
    deploy.args(["deploy", "hello"]).arg(wasm).arg("--state-dir").arg(app.folder().join("state")).args(arguments);
    let status = deploy.stdout(Stdio::null()).status()?;
    ensure!(status.success(), "{deploy:?}: {status}");
    Ok(())
}

/// The same component with a custom section more, which makes it another artifact.
fn with_section(wasm: &[u8]) -> Vec<u8> {
    const SECTION: &[u8] = b"\x00\x05\x04next";
    [wasm, SECTION].concat()
}
