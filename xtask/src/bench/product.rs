//! A product by its id: through component and host beside a native server that runs the same query.

use anyhow::{Context, Result, ensure};
use rusqlite::Connection;

use crate::load::{self, Load};
use crate::report::{Bar, Section, Table};
use crate::server::Server;
use crate::shop::copy_database;
use crate::{Bench, native_shop};

const CONNECTIONS: [usize; 3] = [1, 16, 64];
/// Products that are asked for, spread over the catalogue.
const PRODUCTS: u32 = 1_000;
/// Of the native server's requests per second, as is wanted now.
const RATIO_WANTED: f64 = 0.25;
/// Connections with which the CPU time of a request is measured.
const BUSY_CONNECTIONS: usize = 16;

/// Measures both servers on the same products.
pub(crate) fn run(bench: &Bench) -> Result<Section> {
    let stocked = bench.stocked()?;
    let database = bench.folder.path().join("native.db");
    copy_database(&stocked.shop.database(), &database)?;
    let paths = paths(&Connection::open(&database)?)?;
    let (ours, _) = stocked.shop.start()?;
    let first = paths.first().context("the catalogue is empty")?;
    let theirs = native_shop::start(&database, first, &bench.folder.path().join("native.log"))?;
    for path in &paths {
        ensure!(ours.get(path)? == theirs.get(path)?, "the servers answer {path} differently");
    }

    let script = load::paths_script(bench.folder.path().join("products.lua"), &paths)?;
    let mut bars = Vec::new();
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        let load = |url| Load { url, connections, script: Some(script.clone()) };
        let pairs = bench.compare(&load(ours.url("/")), &load(theirs.url("/")))?;
        let what = format!("product by id, {connections} connections: requests/s, bodega / native");
        bars.push(Bar::at_least(RATIO_WANTED, "x", what, pairs.ratio(|side| side.requests_per_s).median));
        rows.extend(load::rows(connections, &pairs));
    }
    let (hello, _) = bench.hello("hello-beside-products", "")?.start("/")?;
    let products = |url| Load { url, connections: BUSY_CONNECTIONS, script: Some(script.clone()) };
    let native = cost(bench, &theirs, &products(theirs.url("/")))?;
    let empty = cost(bench, &hello, &Load::get(hello.url("/"), BUSY_CONNECTIONS))?;
    let product = cost(bench, &ours, &products(ours.url("/")))?;
    Ok(Section {
        title: "Product by id",
        about: format!(
            "`GET /api/products/{{id}}` for {PRODUCTS} products in turn, out of {}, beside a native server (axum, rusqlite, \
             a reader with prepared statements per thread) that runs the same query on a copy of the database.\n\
             The bodies of both are the same bytes.\n\n\
             Where the time goes: CPU time per request at {BUSY_CONNECTIONS} connections, in the program and in the kernel \
             for it, is {native} for the native server, {empty} for the host with a component that asks no store \
             (connection, routing, and one call of a component), and {product} for the host with the catalog: the rest is \
             its router, the store call through the component's boundary, and the copy of the document in and out of it.",
            stocked.catalogue.products.len()
        ),
        table: Table { columns: load::columns("bodega", "native"), rows },
        details: Vec::new(),
        bars,
    })
}

/// What one request costs `server` under `load`, as text.
fn cost(bench: &Bench, server: &Server, load: &Load) -> Result<String> {
    let used = bench.cpu_per_request(server, load)?;
    Ok(format!("{:.0} + {:.0} us", used.user_s * 1e6, used.system_s * 1e6))
}

/// Paths of products all over the catalogue.
pub(crate) fn paths(database: &Connection) -> Result<Vec<String>> {
    let count: u32 = database.query_row("SELECT count(*) FROM products", [], |row| row.get(0))?;
    let mut statement = database.prepare("SELECT '/api/products/' || id FROM products WHERE seq % ?1 = 0 LIMIT ?2")?;
    let paths = statement.query_map([(count / PRODUCTS).max(1), PRODUCTS], |row| row.get(0))?;
    Ok(paths.collect::<Result<_, _>>()?)
}
