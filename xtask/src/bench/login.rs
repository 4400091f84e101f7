//! Logins, each of which hashes a password, and what they do to a product's page.

use std::path::PathBuf;
use std::{fs, thread};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::load::{self, Load, Throughput};
use crate::report::{Section, Table};
use crate::server::Server;
use crate::statistics::{Pairs, median};
use crate::{Bench, product};

const ACCOUNTS: usize = 16;
const PASSWORD: &str = "correct horse battery staple";
/// Clients, as a column names them, who log in all the time while products are asked for. An account is locked for a while after five attempts
/// that were not right, which those count as that are still under way.
const CROWD: usize = 4;
/// Connections that ask for products.
const PRODUCT_CONNECTIONS: usize = 16;

/// Measures logins alone and beside another route.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let shop = bench.shop("login")?;
    shop.copy_catalogue(&stocked.shop)?;
    let paths = product::paths(&rusqlite::Connection::open(shop.store("catalog"))?)?;
    let (server, _) = shop.start()?;
    let script = script(bench.folder.path().join("logins.lua"), &accounts(&server)?)?;
    let logins = |connections| Load { url: server.url("/api/auth/login"), connections, script: Some(script.clone()) };
    let products = Load {
        url: server.url("/"),
        connections: PRODUCT_CONNECTIONS,
        script: Some(load::paths_script(bench.folder.path().join("products-beside-logins.lua"), &paths)?),
    };

    let (alone, cpu_ms) = alone(bench, &server, &logins(1))?;
    let crowd = logins(CROWD);
    crowd.run(bench.warm_up)?;
    products.run(bench.warm_up)?;
    let mut beside = Vec::new();
    let round = bench.round;
    let disturbed = || {
        thread::scope(|scope| {
            let logins = scope.spawn(|| crowd.run(round));
            let seen = products.run(round)?;
            beside.push(logins.join().ok().context("the logins panicked")??);
            Ok(seen)
        })
    };
    let pairs = Pairs::measure(bench.rounds, disturbed, || products.run(round))?;
    server.stop()?;

    let mut rows = load::rows(PRODUCT_CONNECTIONS, &pairs);
    // All rows have the same connections, which the text names.
    rows.iter_mut().for_each(|row| drop(row.remove(0)));
    Ok(Section {
        title: "Login",
        about: format!(
            "`POST /api/auth/login` with the right password, which argon2id hashes (19 MiB, 2 passes, in WebAssembly); two \
             durable commits.\nOne login takes {cpu_ms:.1} ms of CPU time in the host, nearly all of it the hash."
        ),
        table: Table {
            columns: vec!["", "1 client", "4 clients, beside the products"],
            rows: vec![
                row("logins/s", &alone, &beside, |run| run.requests_per_s),
                row("p50, ms", &alone, &beside, |run| run.p50_us / 1e3),
                row("p99, ms", &alone, &beside, |run| run.p99_us / 1e3),
            ],
        },
        details: vec![(
            format!(
                "`GET /api/products/{{id}}` at {PRODUCT_CONNECTIONS} connections, while {CROWD} clients log in all the time, \
                 and without them."
            ),
            Table { columns: vec!["", "with logins", "without", "ratio (lowest to highest round)"], rows },
        )],
        bars: Vec::new(),
    })
}

/// The rounds of logins on their own, and the CPU time of a login.
fn alone(bench: &Bench, server: &Server, logins: &Load) -> Result<(Vec<Throughput>, f64)> {
    logins.run(bench.warm_up)?;
    let before = server.cpu_time()?;
    let rounds: Vec<_> = (0..bench.rounds).map(|_| logins.run(bench.round)).collect::<Result<_>>()?;
    let used = server.cpu_time()?.since(before);
    let count: f64 = rounds.iter().map(|round| round.requests_per_s * bench.round.as_secs_f64()).sum();
    Ok((rounds, (used.user_s + used.system_s) * 1e3 / count))
}

fn row(name: &str, alone: &[Throughput], beside: &[Throughput], figure: fn(&Throughput) -> f64) -> Vec<String> {
    let of = |rounds: &[Throughput]| format!("{:.1}", median(rounds.iter().map(figure)));
    vec![name.to_owned(), of(alone), of(beside)]
}

/// Registers accounts, and checks that one can log in.
pub(crate) fn accounts(server: &Server) -> Result<Vec<Value>> {
    let account = |number| json!({ "email": format!("shopper-{number}@example.com"), "password": PASSWORD });
    let accounts: Vec<Value> = (0..ACCOUNTS).map(account).collect();
    for account in &accounts {
        server.post("/api/auth/register", account)?;
    }
    let session = server.post("/api/auth/login", &accounts[0])?;
    ensure!(session["access_token"].is_string(), "a login was answered {session}");
    Ok(accounts)
}

/// Writes a script in which one account logs in after the other.
pub(crate) fn script(path: PathBuf, accounts: &[Value]) -> Result<PathBuf> {
    let bodies: String = accounts.iter().map(|account| format!("  [[{account}]],\n")).collect();
    let script = format!(
        r#"local bodies = {{
{bodies}}}
local headers = {{ ["Content-Type"] = "application/json" }}
local last = 0
function request()
  last = last % #bodies + 1
  return wrk.format("POST", nil, headers, bodies[last])
end
"#
    );
    fs::write(&path, script)?;
    Ok(path)
}
