//! The benchmark: our host beside others and beside bare SQLite, both sides in one run on one machine.
//!
//! `cargo xtask bench` builds what it measures and runs this program, which writes BENCHMARK.md. The modules named
//! for a section of the report measure it; the others are their tools.

use std::cell::OnceCell;
use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use tempfile::TempDir;

use crate::app::App;
use crate::catalogue::Catalogue;
use crate::load::{Load, Throughput};
use crate::report::{Report, Section};
use crate::server::{CpuTime, Server};
use crate::shop::Shop;
use crate::statistics::Pairs;
use crate::wasmtime::Wasmtime;

mod app;
mod capacity;
mod catalogue;
mod checkout;
mod checkout_steps;
mod counts;
mod deploy;
#[cfg(test)]
mod fixture;
mod gateway;
mod gateway_cache;
mod hello;
mod import;
mod load;
mod login;
mod machine;
mod native_shop;
mod nginx;
mod product;
mod recovery;
mod report;
mod reservations;
mod rollout;
mod search;
mod search_sql;
mod server;
mod shop;
mod shoppers;
mod start;
mod statistics;
mod wasmtime;

/// What the large catalogue is generated from, and how many SKUs it has.
const SEED: u64 = 2;
const SKUS: usize = 100_000;

/// Both sides allocate with what the host allocates with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the host, and writes BENCHMARK.md.
#[derive(Parser)]
#[command(name = "cargo xtask bench")]
struct Options {
    /// Two short rounds instead of five, printed instead of written: shows that all works, not how fast.
    #[arg(long)]
    quick: bool,
    /// Only these sections, printed instead of written.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<SectionName>,
    #[command(subcommand)]
    side: Option<Side>,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
enum SectionName {
    Hello,
    Product,
    Search,
    Reservations,
    Checkout,
    Login,
    Import,
    Start,
    Deploy,
    Rollout,
    Gateway,
    GatewayCache,
    Nginx,
    Recovery,
    Capacity,
}

/// A server that this program itself is.
#[derive(Subcommand)]
enum Side {
    /// Serves products of a catalogue's database natively.
    #[command(hide = true)]
    NativeShop(native_shop::Options),
}

/// What the sections share: how long to measure, the programs, and a folder.
struct Bench {
    rounds: usize,
    round: Duration,
    warm_up: Duration,
    target: PathBuf,
    folder: TempDir,
    stocked: OnceCell<Stocked>,
}

/// A shop that sells a large catalogue; stopped.
struct Stocked {
    shop: Shop,
    catalogue: Catalogue,
    /// What was imported.
    rows: PathBuf,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(Side::NativeShop(options)) = options.side {
        return native_shop::serve(&options);
    }
    let bench = Bench::new(options.quick)?;
    let chosen: BTreeSet<_> = match options.only.as_slice() {
        [] => SectionName::value_variants().iter().copied().collect(),
        only => only.iter().copied().collect(),
    };
    let is_whole = !options.quick && options.only.is_empty();
    let machine = machine::describe(bench.folder.path())?;
    let sections = chosen.into_iter().map(|section| bench.run(section)).collect::<Result<_>>()?;
    let report = Report { machine, method: bench.method(), sections }.to_string();
    if !is_whole {
        println!("{report}");
        return Ok(());
    }
    let path = repository().join("BENCHMARK.md");
    fs::write(&path, report).with_context(|| format!("{}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

impl Bench {
    fn new(quick: bool) -> Result<Self> {
        let program = std::env::current_exe()?;
        let target = program.ancestors().nth(2).context("cargo puts programs two levels down")?.to_owned();
        // Below the build folder, since stores that claim to be durable belong on a disk.
        fs::create_dir_all(target.join("bench"))?;
        let folder = TempDir::with_prefix_in("run-", target.join("bench"))?;
        let (rounds, round, warm_up) = if quick { (2, 1, 1) } else { (5, 5, 2) };
        let seconds = Duration::from_secs;
        Ok(Self { rounds, round: seconds(round), warm_up: seconds(warm_up), target, folder, stocked: OnceCell::new() })
    }

    fn run(&self, section: SectionName) -> Result<Section> {
        let run = match section {
            SectionName::Hello => hello::run,
            SectionName::Product => product::run,
            SectionName::Search => search::run,
            SectionName::Reservations => reservations::run,
            SectionName::Checkout => checkout::run,
            SectionName::Login => login::run,
            SectionName::Import => import::run,
            SectionName::Start => start::run,
            SectionName::Deploy => deploy::run,
            SectionName::Rollout => rollout::run,
            SectionName::Gateway => gateway::run,
            SectionName::GatewayCache => gateway_cache::run,
            SectionName::Nginx => nginx::run,
            SectionName::Recovery => recovery::run,
            SectionName::Capacity => capacity::run,
        };
        let section = run(self)?;
        eprintln!("{section}");
        Ok(section)
    }

    fn method(&self) -> String {
        format!(
            "Both sides of a comparison run on the same machine at the same time and take turns: {} rounds of {} s after \
             a warm-up of {} s.\nFigures are medians of the rounds, and ratios are taken round by round.\n\
             Requests come over loopback from `wrk` where nothing else is said, which shares the cores with what it measures.",
            self.rounds,
            self.round.as_secs(),
            self.warm_up.as_secs()
        )
    }

    /// Warms both sides up, and measures them in turn.
    fn compare(&self, ours: &Load, theirs: &Load) -> Result<Pairs<Throughput>> {
        ours.run(self.warm_up)?;
        theirs.run(self.warm_up)?;
        Pairs::measure(self.rounds, || ours.run(self.round), || theirs.run(self.round))
    }

    /// The CPU time that one request under `load` takes of `server`.
    fn cpu_per_request(&self, server: &Server, load: &Load) -> Result<CpuTime> {
        load.run(self.warm_up)?;
        let before = server.cpu_time()?;
        let run = load.run(self.round)?;
        let used = server.cpu_time()?.since(before);
        Ok(used.each(run.requests_per_s * self.round.as_secs_f64()))
    }

    /// The smallest component as an app, with lines of its `[component.hello.tool.bodega]` table.
    fn hello(&self, name: &str, settings: &str) -> Result<App> {
        App::of_component(&self.host(), self.folder.path().join(name), &self.component("hello"), settings)
    }

    /// A new shop without products.
    fn shop(&self, name: &str) -> Result<Shop> {
        Shop::write(&self.host(), repository(), self.folder.path().join(name))
    }

    /// The shop with the large catalogue, which is imported on the first call.
    fn stocked(&self) -> Result<&Stocked> {
        if let Some(stocked) = self.stocked.get() {
            return Ok(stocked);
        }
        let catalogue = Catalogue::generate(SEED, SKUS);
        let rows = self.folder.path().join("catalogue.jsonl");
        let mut file = BufWriter::new(File::create(&rows)?);
        catalogue.write_jsonl(&mut file)?;
        file.into_inner()?.sync_all()?;
        let shop = self.shop("stocked")?;
        let (server, _) = shop.start()?;
        shop.import(&server, &rows, catalogue.products.len())?;
        server.stop()?;
        Ok(self.stocked.get_or_init(|| Stocked { shop, catalogue, rows }))
    }

    fn wasmtime(&self) -> Result<Wasmtime> {
        Wasmtime::prepare(&self.target, &self.component("hello"), self.folder.path())
    }

    fn host(&self) -> PathBuf {
        self.target.join("release").join("bodega")
    }

    fn component(&self, name: &str) -> PathBuf {
        self.target.join("wasm32-wasip2").join("release").join(format!("{name}.wasm"))
    }
}

/// The root of the repository.
fn repository() -> &'static Path {
    // A package of the workspace is in a folder of its root, so there is a parent.
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("."))
}
