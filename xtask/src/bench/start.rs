//! From the start of the process to the first answer, and what it costs to give each request an instance of its own.

use std::thread::sleep;
use std::time::Duration;

use anyhow::Result;

use crate::Bench;
use crate::load::Load;
use crate::report::{Bar, Section, Table};
use crate::server::Server;
use crate::statistics::Pairs;
use crate::wasmtime::Reuse;

/// Starts are short and vary, so there are more of them than rounds elsewhere.
const STARTS_PER_ROUND: usize = 4;
/// Lets the process settle before its memory is looked at.
const SETTLE: Duration = Duration::from_millis(100);

/// One start.
#[derive(Debug, Clone, Copy)]
struct Start {
    first_answer_ms: f64,
    resident_mib: f64,
}

/// Measures starts with compiled code at hand.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let hello = bench.hello("start", "")?;
    let shop = bench.shop("start-shop")?;
    let wasmtime = bench.wasmtime()?;
    let start_hello = || measure(hello.start("/")?);
    let start_shop = || measure(shop.start()?);
    // The first start compiles, and makes the stores.
    start_hello()?;
    start_shop()?;
    let starts = bench.rounds * STARTS_PER_ROUND;
    let hosts = Pairs::measure(starts, start_hello, || measure(wasmtime.serve(Reuse::default())?))?;
    let shops = Pairs::measure(starts, start_shop, start_hello)?;

    let (reused, _) = hello.start("/")?;
    let (fresh, _) = bench.hello("fresh", "instance_reuse_max = 1\n")?.start("/")?;
    let load = |server: &Server| Load::get(server.url("/"), 1);
    let instances = bench.compare(&load(&fresh), &load(&reused))?;
    let fresh_us = instances.difference(|side| side.p50_us);

    let row = |what: &str, figure: &dyn Fn(&Start) -> f64| {
        vec![
            what.to_owned(),
            format!("{:.1}", hosts.ours(figure)),
            format!("{:.1}", hosts.theirs(figure)),
            format!("{:.1}", shops.ours(figure)),
        ]
    };
    Ok(Section {
        title: "Start",
        about: format!(
            "From before the start of the process to the first bytes of a 200, with compiled code at hand \
             (`wasmtime serve`: a component compiled ahead of time); medians of {starts} starts in turns.\n\
             An instance of its own for each request: p50 at one connection {:.0} us, with reuse {:.0} us.",
            instances.ours(|side| side.p50_us),
            instances.theirs(|side| side.p50_us),
        ),
        table: Table {
            columns: vec!["", "hello", "hello by wasmtime serve", "whole shop"],
            rows: vec![
                row("first answer, ms", &|start| start.first_answer_ms),
                row("resident memory, MiB", &|start| start.resident_mib),
            ],
        },
        details: Vec::new(),
        bars: vec![
            Bar::at_most(30.0, " ms", "start of hello to its first answer", hosts.ours(|start| start.first_answer_ms)),
            Bar::at_most(40.0, " MiB", "resident memory of hello after it", hosts.ours(|start| start.resident_mib)),
            Bar::at_most(
                100.0,
                " ms",
                "start of the shop to its first answer",
                shops.ours(|start| start.first_answer_ms),
            ),
            Bar::at_most(100.0, " us", "p50 added by an instance of its own for each request", fresh_us),
        ],
    })
}

fn measure((server, first_answer): (Server, Duration)) -> Result<Start> {
    sleep(SETTLE);
    let resident_mib = server.memory()?.resident_bytes as f64 / f64::from(1 << 20);
    server.stop()?;
    Ok(Start { first_answer_ms: first_answer.as_secs_f64() * 1e3, resident_mib })
}
