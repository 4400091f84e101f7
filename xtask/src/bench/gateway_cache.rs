//! The gateway's cache: a product from memory beside the same product from the catalog.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::load::{self, Load};
use crate::report::{Bar, Section, Table};
use crate::{Bench, product};

const CONNECTIONS: [usize; 2] = [16, 64];
/// How many times as many requests as from the catalog.
const RATIO_WANTED: f64 = 3.0;
/// What both hosts do with requests besides.
const POLICIES: &str = "[all]\nsecurity_headers = true\n[[rules]]\npath = \"/api/products/...\"\n";
/// Longer than the measurement takes.
const CACHE: &str = "cache = { ttl = \"1h\" }\n";

/// Measures two hosts with the same catalogue, of which one keeps answers.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let start = |name: &str, cache: &str| {
        let shop = bench.shop(name)?;
        shop.copy_catalogue(&stocked.shop)?;
        fs::write(shop.folder().join("gateway.toml"), format!("{POLICIES}{cache}"))?;
        let paths = product::paths(&rusqlite::Connection::open(shop.database())?)?;
        Ok::<_, anyhow::Error>((shop.start()?.0, paths))
    };
    let (kept, paths) = start("cache", CACHE)?;
    let (asked, _) = start("no-cache", "")?;
    let first = paths.first().context("the catalogue is empty")?;
    ensure!(kept.get(first)? == asked.get(first)?, "the hosts answer {first} differently");
    let script = load::paths_script(bench.folder.path().join("cached-products.lua"), &paths)?;
    let load = |url, connections| Load { url, connections, script: Some(script.clone()) };
    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let pairs = bench.compare(&load(kept.url("/"), connections), &load(asked.url("/"), connections))?;
        let what = format!("product by id, {connections} connections: requests/s, from the cache / from the catalog");
        bars.push(Bar::at_least(RATIO_WANTED, "x", what, pairs.ratio(|side| side.requests_per_s).median));
        rows.extend(load::rows(connections, &pairs));
    }
    let metrics = String::from_utf8(kept.get_admin("/metrics")?)?;
    let misses = metrics.lines().find_map(|line| line.strip_prefix("bodega_gateway_cache_total{outcome=\"miss\"} "));
    let misses: f64 = misses.context("no count of misses")?.parse()?;
    ensure!(misses <= 2.0 * paths.len() as f64, "{misses} requests were not answered from the cache");
    Ok(Section {
        title: "Gateway's cache",
        about: format!(
            "`GET /api/products/{{id}}` for {} products in turn, each of which is in the memory of the gateway, beside the same \
             host without `cache` in its rule. A miss costs as much as the latter, and the storing.",
            paths.len()
        ),
        table: Table { columns: load::columns("from the cache", "from the catalog"), rows },
        details: Vec::new(),
        bars,
    })
}
