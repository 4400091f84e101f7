//! The smallest component: requests per second and latency beside `wasmtime serve`.

use anyhow::{Result, ensure};

use crate::Bench;
use crate::load::{self, Load};
use crate::report::{Bar, Section, Table};
use crate::wasmtime::{VERSION, Wasmtime};

/// Connections, and how many times the requests per second of `wasmtime serve` are wanted with them.
const CONNECTIONS: [(usize, f64); 3] = [(1, 1.0), (16, 1.5), (64, 1.5)];

/// Measures both hosts with the same component.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let (ours, _) = bench.hello("hello", "")?.start("/")?;
    let wasmtime = bench.wasmtime()?;
    let reuse = wasmtime.best_reuse(bench.warm_up)?;
    let (theirs, _) = wasmtime.serve(reuse)?;
    ensure!(ours.get("/")? == theirs.get("/")?, "the hosts answer differently");

    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for (connections, ratio_wanted) in CONNECTIONS {
        let load = |url| Load::get(url, connections);
        let pairs = bench.compare(&load(ours.url("/")), &load(theirs.url("/")))?;
        let ratio = pairs.ratio(|side| side.requests_per_s);
        let p99 = pairs.ratio(|side| side.p99_us);
        bars.push(Bar::at_least(
            ratio_wanted,
            "x",
            format!("hello, {connections} connections: requests/s, bodega / wasmtime serve"),
            ratio.median,
        ));
        bars.push(Bar::at_most(
            1.0,
            "x",
            format!("hello, {connections} connections: p99, bodega / wasmtime serve"),
            p99.median,
        ));
        rows.extend(load::rows(connections, &pairs));
    }
    Ok(Section {
        title: "Hello",
        about: format!(
            "A component that answers `Hello, world!`, with the host's metrics and log on, \
             beside `wasmtime serve` {VERSION} with the fastest of several settings for the reuse of instances:\n`{}`.",
            Wasmtime::options(reuse)
        ),
        table: Table { columns: load::columns("bodega", "wasmtime serve"), rows },
        details: Vec::new(),
        bars,
    })
}
