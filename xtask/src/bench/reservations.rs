//! Reservations of stock that are on disk before they are answered, beside one sync for each.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, params};

use crate::catalogue::Catalogue;
use crate::load::{self, Load, Throughput};
use crate::report::{Bar, Section, Table};
use crate::shop::copy_database;
use crate::statistics::{Latencies, Pairs};
use crate::{Bench, Stocked};

const CLIENTS: usize = 64;
/// Of the variants that are reserved from; far more units are at hand than a run reserves.
const STOCK_MIN: u64 = 100;
const EXPIRES_IN_S: u64 = 3_600;
const RATIO_WANTED: f64 = 5.0;
/// The statement that the catalog runs for a reservation; a trigger moves the stock.
const RESERVE: &str = "
    INSERT INTO reservations (order_id, lines, expires_at_ms) VALUES (?1, ?2, ?3)
    ON CONFLICT (order_id) DO UPDATE SET expires_at_ms = max(expires_at_ms, excluded.expires_at_ms)
        WHERE state = 'held' AND lines = excluded.lines
    RETURNING expires_at_ms";

/// Measures both ways to write reservations.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let Stocked { shop: stocked, catalogue, .. } = bench.stocked()?;
    let shop = bench.shop("reservations")?;
    shop.copy_catalogue(stocked)?;
    let database = bench.folder.path().join("reservations-bare.db");
    copy_database(&stocked.database(), &database)?;
    let skus = skus(catalogue);

    let (server, _) = shop.start()?;
    let script = Some(script(bench.folder.path().join("reservations.lua"), &skus)?);
    let ours = Load { url: server.url("/internal/reservations"), connections: CLIENTS, script };
    let writer = Mutex::new(writer(&database)?);
    ours.run(bench.warm_up)?;
    take_turns(&writer, &skus, bench.warm_up)?;
    let mut answered = 0.0;
    let over_http = || {
        let run = ours.run(bench.round)?;
        answered += run.requests_per_s * bench.round.as_secs_f64();
        Ok(run)
    };
    let pairs = Pairs::measure(bench.rounds, over_http, || take_turns(&writer, &skus, bench.round))?;
    server.stop()?;
    let ratio = pairs.ratio(|side| side.requests_per_s);
    let written = reserved(&Connection::open(shop.database())?)?;
    ensure!(written as f64 >= answered, "{answered:.0} reservations were answered, {written} are in the store");

    Ok(Section {
        title: "Reservations",
        about: format!(
            "`POST /internal/reservations` of one unit by {CLIENTS} clients, each answer durable (synchronous=FULL), beside \
             {CLIENTS} threads that take turns on one rusqlite connection with the same statement and a sync for each.\n\
             Both databases hold the large catalogue and are on the same disk; the host is spoken to over HTTP."
        ),
        table: Table { columns: load::columns("bodega", "a sync for each"), rows: load::rows(CLIENTS, &pairs) },
        details: Vec::new(),
        bars: vec![Bar::at_least(
            RATIO_WANTED,
            "x",
            format!("durable reservations, {CLIENTS} clients: per second, bodega / a sync for each"),
            ratio.median,
        )],
    })
}

fn skus(catalogue: &Catalogue) -> Vec<&str> {
    let variants = catalogue.products.iter().flat_map(|product| &product.variants);
    variants.filter(|variant| variant.stock >= STOCK_MIN).map(|variant| variant.sku.as_str()).collect()
}

/// Writes a script whose every request reserves for another order; time, thread and count make the order's id.
fn script(path: PathBuf, skus: &[&str]) -> Result<PathBuf> {
    let skus: String = skus.iter().map(|sku| format!("  {sku:?},\n")).collect();
    let script = format!(
        r#"local skus = {{
{skus}}}
local threads = 0
function setup(thread)
  threads = threads + 1
  thread:set("thread_number", threads)
end
local started, count = os.time(), 0
local headers = {{ ["Content-Type"] = "application/json" }}
function request()
  count = count + 1
  local order = string.format("%08x-%04x-7000-8000-%012x", started, thread_number, count)
  local sku = skus[(count * 7919 + thread_number) % #skus + 1]
  local body = string.format(
    '{{"order_id":"%s","lines":[{{"sku":"%s","quantity":1}}],"expires_in_s":{EXPIRES_IN_S}}}', order, sku)
  return wrk.format("POST", nil, headers, body)
end
"#
    );
    fs::write(&path, script)?;
    Ok(path)
}

fn writer(database: &Path) -> Result<Connection> {
    let writer = Connection::open(database)?;
    writer.pragma_update(None, "journal_mode", "WAL")?;
    writer.pragma_update(None, "synchronous", "FULL")?;
    Ok(writer)
}

/// Lets as many threads as there are clients write for `duration`, each statement a transaction of its own.
fn take_turns(writer: &Mutex<Connection>, skus: &[&str], duration: Duration) -> Result<Throughput> {
    let before = reserved(&lock(writer))?;
    let begin = Instant::now();
    let client = |client: usize| {
        let mut latencies = Vec::new();
        while begin.elapsed() < duration {
            let sku = skus[(latencies.len() * 7919 + client) % skus.len()];
            let sent = Instant::now();
            let order = format!("{before:08x}-{client:04x}-7000-8000-{:012x}", latencies.len());
            reserve(&lock(writer), &order, sku)?;
            latencies.push(sent.elapsed());
        }
        Ok::<_, anyhow::Error>(latencies)
    };
    let latencies = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|number| scope.spawn(move || client(number))).collect();
        let joined = clients.into_iter().map(|client| client.join().ok().context("a client panicked")?);
        joined.collect::<Result<Vec<_>>>()
    })?;
    let elapsed = begin.elapsed();
    let count = latencies.iter().map(Vec::len).sum::<usize>();
    ensure!(reserved(&lock(writer))? - before == count as u64, "reservations were lost");
    let latencies: Latencies = latencies.into_iter().flatten().collect();
    let us = |percent| latencies.percentile(percent).as_secs_f64() * 1e6;
    Ok(Throughput { requests_per_s: count as f64 / elapsed.as_secs_f64(), p50_us: us(50), p99_us: us(99) })
}

fn lock(writer: &Mutex<Connection>) -> std::sync::MutexGuard<'_, Connection> {
    // A client that panicked left its statement undone, and fails the run.
    writer.lock().unwrap_or_else(PoisonError::into_inner)
}

fn reserve(writer: &Connection, order_id: &str, sku: &str) -> Result<()> {
    let lines = serde_json::json!([{ "sku": sku, "quantity": 1 }]).to_string();
    let expires_at = SystemTime::now().duration_since(UNIX_EPOCH)? + Duration::from_secs(EXPIRES_IN_S);
    let expires_at_ms = i64::try_from(expires_at.as_millis())?;
    let parameters = params![order_id, lines, expires_at_ms];
    let answer: i64 = writer.prepare_cached(RESERVE)?.query_row(parameters, |row| row.get(0))?;
    ensure!(answer == expires_at_ms, "{order_id} is not reserved");
    Ok(())
}

fn reserved(database: &Connection) -> Result<u64> {
    Ok(database.query_row("SELECT count(*) FROM reservations", [], |row| row.get::<_, i64>(0))?.try_into()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;

    #[test]
    fn clients_that_take_turns_reserve_as_much_as_is_told() {
        let catalogue = Catalogue::generate(13, 500);
        let writer = Mutex::new(fixture::filled(&catalogue));
        let run = || take_turns(&writer, &skus(&catalogue), Duration::from_millis(50)).unwrap();
        assert!(run().requests_per_s > 0.0 && run().p50_us > 0.0);
        let database = lock(&writer);
        let units = database.query_row("SELECT sum(reserved) FROM variants", [], |row| row.get::<_, i64>(0));
        assert_eq!(units.unwrap() as u64, reserved(&database).unwrap());
        assert!(reserved(&database).unwrap() >= 2 * CLIENTS as u64);
    }

    #[test]
    fn a_script_names_every_sku() {
        let folder = tempfile::tempdir().unwrap();
        let path = script(folder.path().join("script.lua"), &["SKU-1", "SKU-2"]).unwrap();
        let script = fs::read_to_string(path).unwrap();
        assert!(script.starts_with("local skus = {\n  \"SKU-1\",\n  \"SKU-2\",\n}\n"), "{script}");
        assert!(
            script.contains(r#"'{"order_id":"%s","lines":[{"sku":"%s","quantity":1}],"expires_in_s":3600}'"#),
            "{script}"
        );
    }
}
