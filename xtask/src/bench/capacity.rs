//! What a core carries: the CPU time of each kind of request, and what follows from it for replicas and money.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::catalogue::Catalogue;
use crate::load::{self, Load};
use crate::report::{Section, Table};
use crate::server::Server;
use crate::shop::Shop;
use crate::shoppers::Shoppers;
use crate::statistics::median;
use crate::{Bench, Stocked, checkout, login, product};

/// Connections that keep both cores of a small machine at work.
const CONNECTIONS: usize = 16;
/// Those who log in at once: an account is locked for a while after five attempts that are still under way.
const LOGINS: usize = 4;
/// How busy a core may be before another replica has to come: the rest is for what comes while that starts.
const UTILISATION: f64 = 0.6;
/// The price of a core for an hour, in USD: the order of what public clouds ask for. An assumption, not a measurement.
const CORE_HOUR_USD: f64 = 0.04;
/// Searches that are asked for in turn.
const SEARCHES: usize = 200;

/// The services that have pods of their own.
const SERVICES: [&str; 6] = ["auth", "cart", "catalog", "orders", "payments", "shipping"];

/// A kind of request, and the CPU time of one in microseconds.
struct Cost {
    what: &'static str,
    cpu_us: f64,
}

/// Measures each kind of request on its own.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let shop = bench.shop("capacity")?;
    shop.copy_catalogue(&stocked.shop)?;
    let (server, _) = shop.start()?;
    let paths = product::paths(&rusqlite::Connection::open(shop.database())?)?;
    let ask = |name: &str, paths: &[String]| script(bench, name, paths);
    let (products, searches) = (ask("products", &paths)?, ask("searches", &searches(&stocked.catalogue))?);
    let logins = login::script(bench.folder.path().join("capacity-logins.lua"), &login::accounts(&server)?)?;
    let of = |server: &Server, path: &str, script: &PathBuf| Load {
        url: server.url(path),
        connections: CONNECTIONS,
        script: Some(script.clone()),
    };
    let edge = edge(bench, stocked)?;
    let kinds = [
        ("product, from the cache of the gateway", &edge, of(&edge, "/", &products)),
        ("product, by its id", &server, of(&server, "/", &products)),
        ("search for two words, with facets", &server, of(&server, "/", &searches)),
        ("login (argon2id)", &server, Load { connections: LOGINS, ..of(&server, "/api/auth/login", &logins) }),
    ];
    let mut costs = Vec::new();
    for (what, server, load) in &kinds {
        costs.push(Cost { what, cpu_us: bench.cpu_per_request(server, load)?.total_us() });
    }
    let what = "whole purchase (cart, line, quote, checkout)";
    costs.push(Cost { what, cpu_us: purchase(bench, stocked, &shop, &server)? });
    let memory = server.memory()?;
    edge.stop()?;
    server.stop()?;
    Ok(Section {
        title: "Capacity",
        about: format!(
            "CPU time of the host for one request of each kind, at {CONNECTIONS} connections (logins: {LOGINS}) over {} products; \
             all stores durable. What a core carries is told for a core that is busy for {:.0} % of the time, and money at \
             {CORE_HOUR_USD} USD for a core and hour, which is assumed.\nThe host of the whole shop has {:.0} MiB resident \
             after it, {:.0} MiB at most.",
            stocked.catalogue.products.len(),
            UTILISATION * 100.0,
            memory.resident_bytes as f64 / f64::from(1 << 20),
            memory.peak_bytes as f64 / f64::from(1 << 20),
        ),
        table: Table {
            columns: vec![
                "request",
                "CPU time, us",
                "a second, of one core",
                "core hours for a million",
                "USD for a million",
            ],
            rows: costs.iter().map(Cost::row).collect(),
        },
        details: vec![(
            "A host for one service alone, as a pod has it: until it is ready, when its code has to be compiled and when that \
             is at hand (median of the rounds), and its memory then, before it has answered anything."
                .to_owned(),
            Table {
                columns: vec!["service", "ready, compiled then, s", "compiled before, ms", "resident memory, MiB"],
                rows: SERVICES.iter().map(|service| alone(bench, service)).collect::<Result<_>>()?,
            },
        )],
        bars: Vec::new(),
    })
}

impl Cost {
    fn row(&self) -> Vec<String> {
        // A million of them take as many seconds as one takes microseconds.
        let core_hours = self.cpu_us / 3600.0;
        vec![
            self.what.to_owned(),
            format!("{:.0}", self.cpu_us),
            format!("{:.0}", UTILISATION * 1e6 / self.cpu_us),
            format!("{core_hours:.3}"),
            format!("{:.4}", core_hours / UTILISATION * CORE_HOUR_USD),
        ]
    }
}

/// A host that keeps products in the memory of its gateway.
fn edge(bench: &Bench, stocked: &Stocked) -> Result<Server> {
    let shop = bench.shop("capacity-edge")?;
    shop.copy_catalogue(&stocked.shop)?;
    let rule = "[[rules]]\npath = \"/api/products/...\"\ncache = { ttl = \"1h\" }\n";
    fs::write(shop.folder().join("gateway.toml"), rule)?;
    Ok(shop.start()?.0)
}

/// The row of a service that has a host of its own.
fn alone(bench: &Bench, service: &str) -> Result<Vec<String>> {
    let shop = bench.shop(&format!("{service}-alone"))?;
    let (server, compiled) = shop.start_alone(service)?;
    server.stop()?;
    let (mut starts_ms, mut memory_mib) = (Vec::new(), Vec::new());
    for _ in 0..bench.rounds {
        let (server, start) = shop.start_alone(service)?;
        starts_ms.push(start.as_secs_f64() * 1e3);
        memory_mib.push(server.memory()?.resident_bytes as f64 / f64::from(1 << 20));
        server.stop()?;
    }
    Ok(vec![
        service.to_owned(),
        format!("{:.2}", compiled.as_secs_f64()),
        format!("{:.0}", median(starts_ms)),
        format!("{:.0}", median(memory_mib)),
    ])
}

fn purchase(bench: &Bench, stocked: &Stocked, shop: &Shop, server: &Server) -> Result<f64> {
    let shoppers = Shoppers::new(server.url(""), checkout::skus(stocked))?;
    let buy = |duration| shoppers.buy(CONNECTIONS, duration).with_context(|| server.last_words());
    buy(bench.warm_up)?;
    let before = server.cpu_time()?;
    let bought = buy(bench.round)?;
    let used = server.cpu_time()?.since(before);
    shop.verify(server)?;
    Ok(used.total_us() / bought.count as f64)
}

/// Searches for what some products are called.
fn searches(catalogue: &Catalogue) -> Vec<String> {
    let step = (catalogue.products.len() / SEARCHES).max(1);
    let titles = catalogue.products.iter().step_by(step).take(SEARCHES).map(|product| &product.title);
    let words = titles.map(|title| title.split(' ').take(2).collect::<Vec<_>>().join("%20"));
    words.map(|words| format!("/api/products?q={words}&facets=true")).collect()
}

fn script(bench: &Bench, name: &str, paths: &[String]) -> Result<PathBuf> {
    load::paths_script(bench.folder.path().join(format!("capacity-{name}.lua")), paths)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_million_requests_cost_what_their_cpu_time_costs_at_the_utilisation() {
        let row = Cost { what: "a request of a tenth of a millisecond", cpu_us: 100.0 }.row();
        assert_eq!(row[1..], ["100", "6000", "0.028", "0.0019"]);
    }
}
